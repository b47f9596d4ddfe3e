//! graph.md section 4.12.

use serde_json::{Value, json};

use super::{Folder, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::hex;
use crate::target::cloud::{Reply, call};
use crate::target::world::{User, World, etag, new_user};

const HONEST: &str = "gph.batch";
const HUNDRED: &str = "gph.batch.hundred";
const GOES_ON: &str = "gph.batch.goes-on";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(HONEST, &["GPH-095"], "parts are done in order, and answered as alone", in_order),
        check(
            "gph.batch.rights",
            &["GPH-002", "GPH-095"],
            "a part for which the tickets are not good",
            rights,
        )
        .twin(HONEST),
        check("gph.batch.no-tickets", &["GPH-001"], "a batch without tickets", |context| async move {
            let body = json!({"parts": [get("/mesh")]});
            let reply = call(&context, "POST", "/mesh/batch").json(&body).send().await?;
            reply.expect_problem(401, "tickets-required")
        })
        .twin(HONEST),
        check("gph.batch.body", &["GPH-006"], "batches that are none", |context| async move {
            let world = World::get(&context).await?;
            for parts in [
                json!({}),
                json!([{"method": "HEAD", "href": "/mesh"}]),
                json!([{"method": "GET", "href": "mesh"}]),
                json!([{"method": "GET", "href": "/mesh/de vices"}]),
                json!([{"method": "GET", "href": "https://elsewhere.example/mesh"}]),
                json!([{"method": "GET", "href": "/mesh", "headers": {"accept": "*/*"}}]),
                json!([{"method": "GET", "href": "/mesh", "if_match": null}]),
                json!([{"method": "GET"}]),
            ] {
                let reply = send(&context, &world.bob.grant.tickets, &json!({"parts": parts})).await?;
                reply.expect_problem(422, "body-unacceptable")?;
            }
            Ok(())
        })
        .twin(HONEST),
        check(HUNDRED, &["GPH-097"], "a batch of a hundred parts", |context| async move {
            let world = World::get(&context).await?;
            let items = batch(&context, &world.bob.grant.tickets, &vec![get("/profile"); 100], false).await?;
            demand!(items.len() == 100, "{} answers to a hundred parts", items.len());
            each(&items, &[200; 100])
        }),
        check(
            "gph.batch.too-many",
            &["GPH-097"],
            "a batch of a hundred and one parts",
            |context| async move {
                let world = World::get(&context).await?;
                let body = json!({"parts": vec![get("/profile"); 101]});
                send(&context, &world.bob.grant.tickets, &body).await?.expect_problem(413, "batch-too-large")
            },
        )
        .twin(HUNDRED),
        check("gph.batch.full", &["GPH-098"], "a batch with answers of more than 4 MiB", full).twin(HUNDRED),
        check("gph.batch.elsewhere", &["GPH-099"], "parts that a batch does not take", elsewhere)
            .twin(HONEST),
        check(GOES_ON, &["GPH-102"], "parts behind one that failed", |context| async move {
            let (carl, items) = failing(&context, false).await?;
            each(&items, &[201, 412, 201])?;
            read(&context, &carl, "/contacts/third").await?.expect(200).map(drop)
        }),
        check("gph.batch.stop", &["GPH-101"], "the same where the batch is to stop", |context| async move {
            let (carl, items) = failing(&context, true).await?;
            each(&items, &[201, 412, 424])?;
            problem(&items[2], "batch-stopped")?;
            read(&context, &carl, "/contacts/third").await?.expect_problem(404, "no-such-node")
        })
        .twin(GOES_ON),
    ]
}

async fn in_order(context: Context) -> Verdict {
    let carl = new_user(&context, "carl").await?;
    let tickets = &carl.grant.tickets;
    let path = "/contacts/somebody";
    let items = batch(&context, tickets, &[put(path, "first"), get(path)], false).await?;
    each(&items, &[201, 200])?;
    demand!(items[0]["location"] == path, "the location of a new contact is {}", items[0]["location"]);
    let alone = read(&context, &carl, path).await?.expect(200)?;
    for item in &items {
        demand!(
            item["etag"].as_str() == alone.header("etag"),
            "the ETag of a part is {}, alone it is {:?}",
            item["etag"],
            alone.header("etag")
        );
        demand!(item["body"] == alone.json()?, "the body of a part is {}, alone it is another", item["body"]);
    }
    let current = etag(&context, tickets, path).await?;
    let with = |mut part: Value, member: &str, tag: &str| {
        part[member] = json!(tag);
        part
    };
    let parts = [
        with(put(path, "second"), "if_match", "\"stale\""),
        with(get(path), "if_none_match", &current),
        with(put(path, "third"), "if_match", &current),
        with(get(path), "if_none_match", &current),
        json!({"method": "DELETE", "href": path}),
        get(path),
    ];
    let items = batch(&context, tickets, &parts, false).await?;
    each(&items, &[412, 304, 200, 200, 204, 404])?;
    problem(&items[0], "etag-mismatch")?;
    problem(&items[5], "no-such-node")?;
    demand!(items[3]["body"]["note"] == "third", "the contact has the note {}", items[3]["body"]["note"]);
    demand!(items[4].get("body").is_none(), "a part that was answered with 204 has a body");
    Ok(())
}

async fn rights(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let readers = folder.invite(&context, &world.bob, "reader").await?;
    let (entry, body) = folder.entry(&context, &world, "a");
    let parts = [
        get(&folder.path),
        json!({"method": "PUT", "href": entry, "body": body}),
        get(&format!("/mesh/objects/{}", hex(&context.random::<16>()))),
        get("/mesh"),
    ];
    let items = batch(&context, &readers, &parts, false).await?;
    each(&items, &[200, 403, 403, 200])?;
    problem(&items[1], "not-authorised")?;
    let items = batch(&context, &folder.tickets, &parts, false).await?;
    each(&items, &[200, 201, 403, 200])
}

async fn full(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let (entry, mut body) = folder.entry(&context, &world, "a");
    body["properties"] = json!({"filling": "x".repeat(65_000)});
    let reply = call(&context, "PUT", &entry).tickets(&folder.tickets).json(&body).send().await?;
    success(reply, "PUT of an entry")?;
    let mut parts = vec![get(&entry); 98];
    parts.push(put("/contacts/behind-a-full-batch", ""));
    parts.push(get("/mesh"));
    let items = batch(&context, &folder.tickets, &parts, false).await?;
    demand!(items.len() == parts.len(), "{} answers to {} parts", items.len(), parts.len());
    each(&items[..60], &[200; 60])?; // less than 4,194,304 bytes
    for item in [&items[97], &items[99]] {
        each(std::slice::from_ref(item), &[413])?;
        problem(item, "batch-full")?;
    }
    let written = items[98]["status"].as_u64();
    demand!(
        matches!(written, Some(200 | 201)),
        "a write in a batch that is full was answered with {written:?}"
    );
    Ok(())
}

async fn elsewhere(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let (alice, device) = (&world.alice, &world.laptop.id);
    let credentials = json!({"name": alice.name, "password": alice.password});
    for (method, href, body) in [
        ("POST", format!("{}/ticket", folder.path), json!({})),
        ("GET", format!("{}/wanted", folder.path), json!({})),
        ("GET", format!("{}/uploads", folder.path), json!({})),
        ("GET", format!("{}/media/{}", folder.path, hex(&context.random::<32>())), json!({})),
        ("POST", format!("/mesh/devices/{device}/pair"), json!({})),
        ("POST", format!("/mesh/devices/{device}/proof"), json!({"answer": "00"})),
        ("POST", "/mesh/devices".to_owned(), json!({"name": "x", "spki": ""})),
        ("POST", "/mesh/queues".to_owned(), json!({})),
        ("GET", "/mesh/queues".to_owned(), json!({})),
        ("POST", "/mesh/batch".to_owned(), json!({"parts": []})),
        ("GET", "/openapi.yaml".to_owned(), json!({})),
        ("POST", "/identity/token".to_owned(), credentials),
        ("POST", "/tickets".to_owned(), json!({})),
        ("GET", "/nothing".to_owned(), json!({})),
    ] {
        let mut part = json!({"method": method, "href": href});
        if method == "POST" {
            part["body"] = body;
        }
        let items = batch(&context, &folder.tickets, &[part, get(&folder.path)], false).await?;
        demand!(
            items[0]["status"] == 422,
            "{method} {href} in a batch was answered with {}",
            items[0]["status"]
        );
        problem(&items[0], "not-in-batch")?;
        each(&items, &[422, 200])?;
    }
    Ok(())
}

/// A new user writes three contacts, the second with a wrong `If-Match`.
async fn failing(context: &Context, stop: bool) -> Result<(User, Vec<Value>), Stop> {
    let carl = new_user(context, "carl").await?;
    let mut second = put("/contacts/second", "");
    second["if_match"] = json!("\"stale\"");
    let parts = [put("/contacts/first", ""), second, put("/contacts/third", "")];
    let items = batch(context, &carl.grant.tickets, &parts, stop).await?;
    Ok((carl, items))
}

fn get(href: &str) -> Value {
    json!({"method": "GET", "href": href})
}

fn put(href: &str, note: &str) -> Value {
    json!({"method": "PUT", "href": href, "body": {"blocked": false, "note": note}})
}

async fn read(context: &Context, user: &User, path: &str) -> Result<Reply, Stop> {
    call(context, "GET", path).tickets(&user.grant.tickets).send().await
}

async fn send(context: &Context, tickets: &[String], body: &Value) -> Result<Reply, Stop> {
    call(context, "POST", "/mesh/batch").tickets(tickets).json(body).send().await
}

async fn batch(
    context: &Context,
    tickets: &[String],
    parts: &[Value],
    stop: bool,
) -> Result<Vec<Value>, Stop> {
    let mut body = json!({"parts": parts});
    if stop {
        body["stop"] = json!(true);
    }
    let reply = send(context, tickets, &body).await?.expect(200)?.json()?;
    let items = reply["items"].as_array().cloned().unwrap_or_default();
    demand!(items.len() == parts.len(), "{} answers to {} parts", items.len(), parts.len());
    Ok(items)
}

/// Fails unless the answers have these status codes.
fn each(items: &[Value], statuses: &[u16]) -> Verdict {
    let have: Vec<Option<u64>> = items.iter().map(|item| item["status"].as_u64()).collect();
    let want: Vec<Option<u64>> = statuses.iter().map(|status| Some(u64::from(*status))).collect();
    demand!(have == want, "the status codes of the parts are {have:?} where {want:?} were expected");
    Ok(())
}

fn problem(item: &Value, name: &str) -> Verdict {
    let kind = item["body"]["type"].as_str().unwrap_or_default();
    demand!(
        kind == format!("urn:meshproof:error:{name}"),
        "the problem of a part is {kind:?} and not {name}"
    );
    Ok(())
}
