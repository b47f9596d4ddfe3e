//! graph.md section 4.6.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Folder, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::cloud::call;
use crate::target::world::{World, etag};

const HONEST: &str = "gph.delta";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(HONEST, &["GPH-060"], "the delta has what was written since, and deletions", delta),
        check(
            "gph.delta.pages",
            &["GPH-062", "GPH-060"],
            "entries are written while a delta is read page by page",
            pages,
        )
        .twin(HONEST),
        check("gph.delta.watermark", &["GPH-061"], "a delta since a watermark of another feed", watermark)
            .twin(HONEST),
        check("gph.news", &["GPH-063", "GPH-064"], "the news of a folder say who did what", news),
        check("gph.news.mesh", &["GPH-065"], "the news of the mesh have the user's folders", mesh_news),
        check("gph.news.watermark", &["GPH-061"], "news before something unknown", |context| async move {
            let world = World::get(&context).await?;
            let folder = Folder::new(&context, &world, "cloud").await?;
            let path = format!("{}/news?before=no-such-place", folder.path);
            let reply = call(&context, "GET", &path).tickets(&folder.tickets).send().await?;
            reply.expect_problem(410, "watermark-unknown")
        })
        .twin("gph.news"),
        check("gph.delta.query", &["GPH-066"], "queries out of range", |context| async move {
            let world = World::get(&context).await?;
            let folder = Folder::new(&context, &world, "cloud").await?;
            for query in ["limit=0", "limit=1001", "limit=many", "order=name"] {
                let path = format!("{}/feeds/files/sync?{query}", folder.path);
                let reply = call(&context, "GET", &path).tickets(&folder.tickets).send().await?;
                reply.expect_problem(422, "query-unacceptable")?;
            }
            Ok(())
        })
        .twin(HONEST),
    ]
}

/// What a client that follows the delta knows: by entry its tag, and whether it is deleted.
#[derive(Default, PartialEq, Debug)]
struct View(BTreeMap<String, (String, bool)>);

impl View {
    fn take(&mut self, page: &Value) -> Result<(), Stop> {
        let Some(items) = page["items"].as_array() else {
            return Err(Stop::Fail("a delta has no items".to_owned()));
        };
        for item in items {
            let texts = item["entry"].as_str().zip(item["etag"].as_str());
            let Some((entry, etag)) = texts else {
                return Err(Stop::Fail(format!("an item of a delta lacks `entry` or `etag`: {item}")));
            };
            self.0.insert(entry.to_owned(), (etag.to_owned(), item["deleted"] == json!(true)));
        }
        Ok(())
    }
}

async fn get(context: &Context, folder: &Folder, path: &str) -> Result<Value, Stop> {
    call(context, "GET", path).tickets(&folder.tickets).send().await?.expect(200)?.json()
}

async fn put(context: &Context, world: &World, folder: &Folder, name: &str) -> Result<String, Stop> {
    let (path, body) = folder.entry(context, world, name);
    success(
        call(context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?,
        "PUT of an entry",
    )?;
    Ok(path)
}

async fn put_again(context: &Context, world: &World, folder: &Folder, path: &str, n: u64) -> Verdict {
    let (_, mut body) = folder.entry(context, world, "again");
    body["size"] = json!(n);
    let current = etag(context, &folder.tickets, path).await?;
    let request = call(context, "PUT", path).tickets(&folder.tickets).header("if-match", &current);
    success(request.json(&body).send().await?, "PUT of an existing entry").map(|_| ())
}

async fn delete(context: &Context, folder: &Folder, path: &str) -> Verdict {
    let current = etag(context, &folder.tickets, path).await?;
    let request = call(context, "DELETE", path).tickets(&folder.tickets).header("if-match", &current);
    success(request.send().await?, "DELETE of an entry").map(|_| ())
}

fn text(body: &Value, member: &str) -> Result<String, Stop> {
    let text = body[member].as_str().map(str::to_owned);
    text.ok_or_else(|| Stop::Fail(format!("a delta has no text `{member}`")))
}

/// The collection of entries, as a view.
async fn truth(context: &Context, folder: &Folder) -> Result<View, Stop> {
    let mut view = View::default();
    view.take(&get(context, folder, &format!("{}/feeds/files/entries", folder.path)).await?)?;
    Ok(view)
}

async fn delta(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let sync = format!("{}/feeds/files/sync", folder.path);
    let first = put(&context, &world, &folder, "a").await?;
    put(&context, &world, &folder, "b").await?;
    let mut view = View::default();
    let all = get(&context, &folder, &sync).await?;
    view.take(&all)?;
    demand!(all["more"] == json!(false), "`more` of a delta of two entries is {}", all["more"]);
    let known = truth(&context, &folder).await?;
    demand!(view == known, "the delta without watermark gives {view:?} where the entries are {known:?}");

    let nothing = get(&context, &folder, &format!("{sync}?since={}", text(&all, "watermark")?)).await?;
    demand!(
        nothing["items"] == json!([]),
        "nothing was written since, but the delta has {}",
        nothing["items"]
    );
    delete(&context, &folder, &first).await?;
    put(&context, &world, &folder, "c").await?;
    let since = get(&context, &folder, &format!("{sync}?since={}", text(&nothing, "watermark")?)).await?;
    let count = since["items"].as_array().map_or(0, Vec::len);
    demand!(count == 2, "a deletion and a new entry make a delta of {count} items");
    view.take(&since)?;
    let known = truth(&context, &folder).await?;
    demand!(view == known, "who follows the delta knows {view:?} where the entries are {known:?}");
    Ok(())
}

async fn pages(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let mut entries = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        entries.push(put(&context, &world, &folder, name).await?);
    }
    let (mut view, mut path) = (View::default(), format!("{}/feeds/files/sync?limit=2", folder.path));
    for round in 0_u64.. {
        let page = get(&context, &folder, &path).await?;
        view.take(&page)?;
        let count = page["items"].as_array().map_or(0, Vec::len);
        demand!(count <= 2, "a page of at most 2 has {count} items");
        let since = text(&page, "watermark")?;
        if page["more"] != json!(true) {
            break;
        }
        demand!(round < 20, "a delta of few entries does not come to its end");
        let next = page["links"]["next"].as_str();
        // The link and the watermark are two ways to the same page.
        path = match next.filter(|_| round % 2 == 0) {
            Some(next) => next.to_owned(),
            None => format!("{}/feeds/files/sync?limit=2&since={since}", folder.path),
        };
        // One that was read, one that was not, and a new one.
        match round {
            0 => put_again(&context, &world, &folder, &entries[0], 7).await?,
            1 => put_again(&context, &world, &folder, &entries[4], 8).await?,
            2 => delete(&context, &folder, &put(&context, &world, &folder, "f").await?).await?,
            _ => {}
        }
    }
    let known = truth(&context, &folder).await?;
    demand!(view == known, "page by page one knows {view:?} where the entries are {known:?}");
    Ok(())
}

async fn watermark(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let other = Folder::new(&context, &world, "cloud").await?;
    put(&context, &world, &folder, "a").await?;
    put(&context, &world, &other, "a").await?;
    let foreign = get(&context, &other, &format!("{}/feeds/files/sync", other.path)).await?;
    let foreign = text(&foreign, "watermark")?;
    for since in [foreign.as_str(), "no-such-watermark", "0"] {
        let path = format!("{}/feeds/files/sync?since={since}", folder.path);
        let reply = call(&context, "GET", &path).tickets(&folder.tickets).send().await?;
        reply.expect_problem(410, "watermark-unknown")?;
    }
    Ok(())
}

async fn news(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let entry = put(&context, &world, &folder, "a").await?;
    delete(&context, &folder, &entry).await?;
    folder.invite(&context, &world.bob, "reader").await?;
    // The laptop's tickets are older than the folder.
    let mut device = world.laptop.grant.tickets.clone();
    let ticket = call(&context, "POST", &format!("{}/ticket", folder.path)).tickets(&device).send().await?;
    device.push(ticket.expect(200)?.text("ticket")?);
    let (by_device, body) = folder.entry(&context, &world, "b");
    let reply = call(&context, "PUT", &by_device).tickets(&device).json(&body).send().await?;
    success(reply, "PUT of an entry by a device")?;

    let path = format!("{}/news", folder.path);
    let all = get(&context, &folder, &path).await?;
    let items = all["items"].as_array().cloned().unwrap_or_default();
    let told: Vec<String> =
        items.iter().filter_map(|item| item["verb"].as_str().map(str::to_owned)).collect();
    let expected = ["entry.put", "member.joined", "entry.deleted", "entry.put"];
    demand!(told.starts_with(&expected.map(str::to_owned)), "the news are {told:?}, newest first");
    let (newest, oldest) = (&items[0], &items[3]);
    for (item, node, device) in [(newest, &by_device, Some(&world.laptop.id)), (oldest, &entry, None)] {
        demand!(item["node"] == json!(node), "the news of {node} are about {}", item["node"]);
        demand!(item["user"] == json!(world.alice.id), "the news of {node} name the user {}", item["user"]);
        demand!(item["name"] == json!(world.alice.name), "the news of {node} name {}", item["name"]);
        let named = item.get("device").and_then(Value::as_str);
        demand!(named == device.map(String::as_str), "the news of {node} name the device {named:?}");
        demand!(item["time"].is_u64(), "the news of {node} have no time");
    }

    let (mut paged, mut next) = (Vec::new(), Some(format!("{path}?limit=1")));
    while let Some(path) = next {
        let page = get(&context, &folder, &path).await?;
        paged.extend(page["items"].as_array().cloned().unwrap_or_default());
        next = page["links"]["next"].as_str().map(str::to_owned);
        demand!(paged.len() <= items.len(), "page by page there are more news than in one");
    }
    demand!(paged == items, "page by page the news are not those of one page");
    Ok(())
}

async fn mesh_news(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let entry = put(&context, &world, &folder, "a").await?;
    for (user, member) in [(&world.alice, true), (&world.bob, false)] {
        let reply = call(&context, "GET", "/mesh/news").tickets(&user.grant.tickets).send().await?;
        let listed = String::from_utf8_lossy(&reply.expect(200)?.body).contains(&entry);
        demand!(
            listed == member,
            "the news of a mesh have the entry of a folder: {listed}, member: {member}"
        );
    }
    Ok(())
}
