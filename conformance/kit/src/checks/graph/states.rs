//! graph.md section 4.15.

use serde_json::{Value, json};

use super::{Folder, check, pick, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::{base64, hex};
use crate::target::cloud::{Reply, call};
use crate::target::world::{Device, Grant, World, device_tickets, etag};

const KEPT: &str = "gph.state.kept";
const DELTA: &str = "gph.state.delta";
const HEAD: &str = "gph.head.kept";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(
            KEPT,
            &["GPH-180", "GPH-011"],
            "a state is put, read back in its node and its collection, and replaced",
            kept,
        ),
        check(
            "gph.state.if-match",
            &["GPH-012", "GPH-013"],
            "an existing state without or with a stale ETag",
            if_match,
        )
        .twin(KEPT),
        check(
            "gph.state.body",
            &["GPH-006"],
            "a state that is no base64, empty, too long, or beside something else",
            body,
        )
        .twin(KEPT),
        check("gph.state.reader", &["GPH-014"], "a reader puts a state", reader).twin(KEPT),
        check(
            "gph.state.p2p",
            &["GPH-183"],
            "a state in a folder of which the cloud shall have nothing",
            p2p,
        )
        .twin(KEPT),
        check(DELTA, &["GPH-181"], "the delta has the states that were put since", delta),
        check(
            "gph.state.watermark",
            &["GPH-061"],
            "a delta of states since a watermark of another feed",
            |c| async move {
                let world = World::get(&c).await?;
                let folder = Folder::new(&c, &world, "cloud").await?;
                let other = Folder::new(&c, &world, "cloud").await?;
                let mark = sync(&c, &other, "").await?["watermark"].as_str().unwrap_or_default().to_owned();
                let path = format!("{}/feeds/states/sync?since={mark}", folder.path);
                let reply = call(&c, "GET", &path).tickets(&folder.tickets).send().await?;
                reply.expect_problem(410, "watermark-unknown")
            },
        )
        .twin(DELTA),
        check(HEAD, &["GPH-180"], "a device puts its head, and reads it back", |c| async move {
            let world = World::get(&c).await?;
            let (folder, tickets) = with_device(&c, &world, &world.laptop).await?;
            let reply = put_head(&c, &folder, &tickets, &world.laptop).await?;
            success(reply, "PUT of a device's own head").map(drop)?;
            let path = format!("{}/feeds/states/heads", folder.path);
            let list = get(&c, &folder, &path).await?;
            let item = &list["items"][0];
            demand!(
                item["head"] == base64(b"a head") && item["device"] == world.laptop.id.as_str(),
                "the heads have {item}"
            );
            Ok(())
        }),
        check("gph.head.other", &["GPH-182"], "a device puts the head of another one", |c| async move {
            let world = World::get(&c).await?;
            let (folder, tickets) = with_device(&c, &world, &world.laptop).await?;
            let reply = put_head(&c, &folder, &tickets, &world.tablet).await?;
            reply.expect_problem(403, "not-authorised")
        })
        .twin(HEAD),
    ]
}

/// The path of a state of a new entry.
fn state_of(context: &Context, folder: &Folder) -> String {
    format!("{}/feeds/states/entries/{}", folder.path, hex(&context.random::<16>()))
}

async fn put(context: &Context, folder: &Folder, path: &str, bytes: &[u8]) -> Result<Reply, Stop> {
    call(context, "PUT", path).tickets(&folder.tickets).json(&json!({"state": base64(bytes)})).send().await
}

async fn get(context: &Context, folder: &Folder, path: &str) -> Result<Value, Stop> {
    call(context, "GET", path).tickets(&folder.tickets).send().await?.expect(200)?.json()
}

async fn sync(context: &Context, folder: &Folder, query: &str) -> Result<Value, Stop> {
    get(context, folder, &format!("{}/feeds/states/sync{query}", folder.path)).await
}

async fn kept(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let (path, bytes) = (state_of(&context, &folder), context.random::<300>());
    let made = put(&context, &folder, &path, &bytes).await?.expect(201)?;
    demand!(made.header("location") == Some(path.as_str()), "Location is {:?}", made.header("location"));
    let shown = get(&context, &folder, &path).await?;
    demand!(shown["state"] == base64(&bytes), "the state is not what was put: {}", shown["state"]);
    let list = get(&context, &folder, &format!("{}/feeds/states/entries", folder.path)).await?;
    let item = &list["items"][0];
    demand!(item["state"] == base64(&bytes), "the collection of states has {item}");
    let before = etag(&context, &folder.tickets, &path).await?;
    demand!(item["etag"] == before.as_str(), "the tag in the collection is {}", item["etag"]);
    let request = call(&context, "PUT", &path).tickets(&folder.tickets).header("if-match", &before);
    let replaced = request.json(&json!({"state": base64(b"another")})).send().await?;
    success(replaced, "PUT of an existing state with its ETag")?;
    let shown = get(&context, &folder, &path).await?;
    demand!(shown["state"] == base64(b"another"), "the state is still {}", shown["state"]);
    let after = etag(&context, &folder.tickets, &path).await?;
    demand!(before != after, "the ETag of a state does not change with it");
    Ok(())
}

async fn if_match(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let path = state_of(&context, &folder);
    put(&context, &folder, &path, b"one").await?.expect(201)?;
    put(&context, &folder, &path, b"two").await?.expect_problem(428, "if-match-required")?;
    let request = call(&context, "PUT", &path).tickets(&folder.tickets).header("if-match", "\"stale\"");
    let stale = request.json(&json!({"state": base64(b"two")})).send().await?;
    stale.expect_problem(412, "etag-mismatch")
}

async fn body(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let path = state_of(&context, &folder);
    for refused in [
        json!({"state": "no base64"}),
        json!({"state": ""}),
        json!({"state": base64(&vec![0; 524_289])}),
        json!({"state": base64(b"good"), "colour": "red"}),
        json!({}),
    ] {
        let reply = call(&context, "PUT", &path).tickets(&folder.tickets).json(&refused).send().await?;
        reply.expect_problem(422, "body-unacceptable")?;
    }
    put(&context, &folder, &path, &vec![0; 524_288]).await?.expect(201).map(drop)
}

async fn reader(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let tickets = folder.invite(&context, &world.bob, "reader").await?;
    let path = state_of(&context, &folder);
    let request = call(&context, "PUT", &path).tickets(&tickets).json(&json!({"state": base64(b"one")}));
    request.send().await?.expect_problem(403, "not-authorised")
}

async fn p2p(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "p2p").await?;
    let path = state_of(&context, &folder);
    put(&context, &folder, &path, b"one").await?.expect_problem(409, "folder-is-p2p")
}

async fn delta(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let paths = [0; 3].map(|_| state_of(&context, &folder));
    for path in &paths {
        put(&context, &folder, path, b"first").await?.expect(201)?;
    }
    let first = sync(&context, &folder, "?limit=2").await?;
    demand!(first["more"] == true, "with three states, a page of two is the last");
    let rest = sync(&context, &folder, &since(&first)).await?;
    let all = [found(&first), found(&rest)].concat();
    demand!(all == paths, "the delta has {all:?} where {paths:?} were put in this order");
    let tag = etag(&context, &folder.tickets, &paths[1]).await?;
    let request = call(&context, "PUT", &paths[1]).tickets(&folder.tickets).header("if-match", &tag);
    success(request.json(&json!({"state": base64(b"second")})).send().await?, "PUT of an existing state")?;
    let news = sync(&context, &folder, &since(&rest)).await?;
    demand!(found(&news) == paths[1..2], "of three states one was put again, and the delta has {news}");
    demand!(news["items"][0]["state"] == base64(b"second"), "the delta has the state of before");
    let none = sync(&context, &folder, &since(&news)).await?;
    demand!(
        found(&none).is_empty() && none["more"] == false,
        "nothing was put since, and the delta has {none}"
    );
    Ok(())
}

fn since(page: &Value) -> String {
    format!("?since={}", page["watermark"].as_str().unwrap_or_default())
}

/// The paths of the states on a page.
fn found(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|item| item["links"]["self"].as_str().map(str::to_owned)).collect()
}

/// A folder of Alice's, and what her device shows for it.
async fn with_device(
    context: &Context,
    world: &World,
    device: &Device,
) -> Result<(Folder, Vec<String>), Stop> {
    let folder = Folder::new(context, world, "cloud").await?;
    let audience = &world.alice.grant.audience;
    let reply = device_tickets(context, &device.id, &device.key, audience).await?.expect(200)?;
    let mut tickets = pick(&Grant::read(&reply)?, &folder.path);
    let path = format!("{}/ticket", folder.path);
    tickets.push(call(context, "POST", &path).tickets(&tickets).send().await?.expect(200)?.text("ticket")?);
    Ok((folder, tickets))
}

async fn put_head(
    context: &Context,
    folder: &Folder,
    tickets: &[String],
    device: &Device,
) -> Result<Reply, Stop> {
    let path = format!("{}/feeds/states/heads/{}", folder.path, device.id);
    call(context, "PUT", &path).tickets(tickets).json(&json!({"head": base64(b"a head")})).send().await
}
