//! graph.md section 4.11.

use serde_json::{Value, json};

use super::{Folder, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::cloud::call;
use crate::target::world::{User, World, new_user};

const HONEST: &str = "gph.pages";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(HONEST, &["GPH-067", "GPH-068"], "every collection is read page by page", all_collections),
        check(
            "gph.pages.changes",
            &["GPH-067"],
            "items are added and removed while a collection is read page by page",
            changes,
        )
        .twin(HONEST),
        check("gph.pages.query", &["GPH-066"], "pages of a size out of range", |context| async move {
            let world = World::get(&context).await?;
            let folder = Folder::new(&context, &world, "cloud").await?;
            let entries = format!("{}/feeds/files/entries", folder.path);
            for collection in ["/contacts", "/mesh/devices", &entries] {
                let ask = async |query: &str| {
                    let request = call(&context, "GET", &format!("{collection}?{query}"));
                    request.tickets(&folder.tickets).send().await
                };
                for query in ["limit=0", "limit=1001", "limit=x", "limit=", "after=", "after=A", "page=2"] {
                    ask(query).await?.expect_problem(422, "query-unacceptable")?;
                }
                ask("limit=1000").await?.expect(200)?;
            }
            Ok(())
        })
        .twin(HONEST),
    ]
}

/// A collection, and the identifiers that are there all the while.
struct Collection {
    path: String,
    tickets: Vec<String>,
    /// The member that identifies an item.
    key: &'static str,
    there: Vec<String>,
}

async fn all_collections(context: Context) -> Verdict {
    for collection in collections(&context).await? {
        let Collection { path, tickets, key, there } = collection;
        for limit in [1, 2] {
            let (mut seen, mut next) = (Vec::new(), Some(format!("{path}?limit={limit}")));
            while let Some(link) = next {
                let (keys, behind) = page(&context, &tickets, &link, key, limit).await?;
                seen.extend(keys);
                next = behind;
                demand!(seen.len() < 10_000, "{path}: there is no end of pages");
            }
            expect_once(&path, &seen, &there)?;
        }
    }
    Ok(())
}

/// One of each kind, with two items or more.
async fn collections(context: &Context) -> Result<Vec<Collection>, Stop> {
    let world = World::get(context).await?;
    let carl = new_user(context, "carl").await?;
    let folder = Folder::new(context, &world, "cloud").await?;
    folder.invite(context, &world.bob, "reader").await?;
    folder.invite(context, &carl, "contributor").await?;
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();

    let (mut entries, mut invited, mut received, mut folders) = (vec![], vec![], vec![], vec![]);
    for n in 0..3 {
        let (path, body) = folder.entry(context, &world, &format!("{n}.txt"));
        success(
            call(context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?,
            "PUT of an entry",
        )?;
        entries.push(last(&path));
        let asked = folder.ask(context, &format!("nobody-{n}"), "reader").await?.expect(201)?;
        invited.push(asked.text("invitation")?);
        let other = Folder::new(context, &world, "cloud").await?;
        received.push(other.ask(context, &carl.name, "reader").await?.expect(201)?.text("invitation")?);
        folders.push(last(&other.path));
        let contact = call(context, "PUT", &format!("/contacts/friend-{n}")).tickets(&carl.grant.tickets);
        contact.json(&json!({"blocked": false, "note": ""})).send().await?.expect(201)?;
    }
    for device in [&world.laptop, &world.phone] {
        let path = format!("{}/mappings/{}", folder.path, device.id);
        let mapped = call(context, "PUT", &path).tickets(&folder.tickets).json(&json!({})).send().await?;
        success(mapped, "PUT of a mapping")?;
    }

    let collection = |path: &str, tickets: &[String], key, there: &[String]| Collection {
        path: path.to_owned(),
        tickets: tickets.to_vec(),
        key,
        there: there.to_vec(),
    };
    let below = |name: &str| format!("{}/{name}", folder.path);
    let (alice, carls) = (&folder.tickets, &carl.grant.tickets);
    let friends: Vec<String> = (0..3).map(|n| format!("friend-{n}")).collect();
    let own = [world.laptop.id.clone(), world.phone.id.clone()];
    let members = [world.alice.id.clone(), world.bob.id.clone(), carl.id.clone()];
    Ok(vec![
        collection("/mesh/devices", alice, "device", &own),
        collection("/mesh/objects", alice, "folder", &folders),
        collection("/mesh/invitations", carls, "invitation", &received),
        collection("/contacts", carls, "name", &friends),
        collection(&below("members"), alice, "user", &members),
        collection(&below("invitations"), alice, "invitation", &invited),
        collection(&below("mappings"), alice, "device", &own),
        collection(&below("feeds/files/entries"), alice, "entry", &entries),
    ])
}

/// What comes before and behind is added, what was read already is removed: pages by number would miss and repeat.
async fn changes(context: Context) -> Verdict {
    let carl = new_user(&context, "carl").await?;
    let tickets = &carl.grant.tickets;
    let names: Vec<String> = (0..8).map(|n| format!("m{n}")).collect();
    for name in &names {
        contact(&context, &carl, "PUT", name).await?;
    }
    let (mut seen, mut removed): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut next = Some("/contacts?limit=2".to_owned());
    for n in 0.. {
        let Some(link) = next else { break };
        let (keys, behind) = page(&context, tickets, &link, "name", 2).await?;
        if n == 0 {
            for name in &keys {
                contact(&context, &carl, "DELETE", name).await?;
            }
            removed.clone_from(&keys);
        } else if n == 1 {
            for new in ["a0", "a1", "a2", "z0"] {
                contact(&context, &carl, "PUT", new).await?;
            }
        }
        seen.extend(keys);
        next = behind;
        demand!(n < 100, "/contacts: there is no end of pages");
    }
    let there: Vec<String> = names.iter().filter(|name| !removed.contains(name)).cloned().collect();
    expect_once("/contacts", &seen, &there)
}

async fn contact(context: &Context, user: &User, method: &str, name: &str) -> Verdict {
    let mut request = call(context, method, &format!("/contacts/{name}")).tickets(&user.grant.tickets);
    if method == "PUT" {
        request = request.json(&json!({"blocked": false, "note": ""}));
    }
    success(request.send().await?, &format!("{method} of a contact")).map(drop)
}

fn expect_once(path: &str, seen: &[String], there: &[String]) -> Verdict {
    for item in there {
        let times = seen.iter().filter(|one| *one == item).count();
        demand!(
            times == 1,
            "{path}: {item} is there all the while, and was listed {times} times in {seen:?}"
        );
    }
    Ok(())
}

/// The keys of the items of a page, and the next page.
async fn page(
    context: &Context,
    tickets: &[String],
    link: &str,
    key: &str,
    limit: usize,
) -> Result<(Vec<String>, Option<String>), Stop> {
    let page = call(context, "GET", link).tickets(tickets).send().await?.expect(200)?.json()?;
    let items = page["items"].as_array().cloned().unwrap_or_default();
    demand!(items.len() <= limit, "GET {link}: a page of {} items", items.len());
    let keys = items.iter().map(|item| item[key].as_str().map(str::to_owned));
    let Some(keys) = keys.collect::<Option<Vec<String>>>() else {
        return Err(Stop::Fail(format!("GET {link}: an item has no text `{key}`")));
    };
    Ok((keys, page["links"].get("next").and_then(Value::as_str).map(str::to_owned)))
}
