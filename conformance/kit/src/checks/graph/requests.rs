//! graph.md section 4.1.

use serde_json::json;

use super::{Folder, check, success};
use crate::catalog::Catalog;
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::hex;
use crate::target::cloud::{Reply, call};
use crate::target::world::{World, etag};

const HONEST: &str = "gph.folder.create";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        check("gph.root.open", &["GPH-010"], "GET / needs no tickets and has links", |context| async move {
            let reply = call(&context, "GET", "/").send().await?.expect(200)?;
            demand!(reply.json()?["links"]["self"].is_string(), "the service document has no links.self");
            Ok(())
        }),
        check(HONEST, &["GPH-022", "GPH-020"], "a folder is made, with Location and Mesh-Ticket", create),
        check("gph.links", &["GPH-010"], "every representation has links.self", links).twin(HONEST),
        check("gph.no-such-node", &["GPH-004"], "paths that name no node", no_such_node).twin(HONEST),
        check("gph.method", &["GPH-005"], "methods that nodes do not have", methods).twin(HONEST),
        check("gph.body.too-large", &["GPH-007"], "a JSON body of more than 1 MiB", |context| async move {
            let world = World::get(&context).await?;
            let body = json!({"name": "x".repeat(1_048_577), "storage": "cloud"});
            let request =
                call(&context, "POST", "/mesh/objects").tickets(&world.alice.grant.tickets).json(&body);
            request.send().await?.expect_problem(413, "body-too-large")
        })
        .twin(HONEST),
        check(
            "gph.header.http1",
            &["GPH-009"],
            "65,536 bytes of header fields over HTTP/1.1",
            |context| async move { large_header(context, true).await },
        ),
        check(
            "gph.header.http2",
            &["GPH-009"],
            "65,536 bytes of header fields over HTTP/2",
            |context| async move { large_header(context, false).await },
        ),
        check(
            "gph.problem",
            &["GPH-008"],
            "error bodies are problem documents that name a requirement",
            problems,
        )
        .twin(HONEST),
        check(
            "gph.etag.changes",
            &["GPH-011"],
            "the ETag of a folder is strong and changes with it",
            etag_changes,
        )
        .twin(HONEST),
        check("gph.etag.missing", &["GPH-012"], "PATCH and DELETE without If-Match", if_match_missing)
            .twin("gph.etag.changes"),
        check(
            "gph.etag.stale",
            &["GPH-013"],
            "PATCH and DELETE with an ETag that is not current",
            if_match_stale,
        )
        .twin("gph.etag.changes"),
    ];
    for path in ["/mesh", "/mesh/devices", "/mesh/objects"] {
        let id = format!("gph.no-tickets{}", path.replace('/', "."));
        let check =
            check(&id, &["GPH-001"], &format!("GET {path} without tickets"), move |context| async move {
                let reply = call(&context, "GET", path).send().await?.expect(401)?;
                demand!(
                    reply.header("www-authenticate") == Some("MeshTicket"),
                    "WWW-Authenticate is {:?} instead of MeshTicket",
                    reply.header("www-authenticate")
                );
                reply.expect_problem(401, "tickets-required")
            });
        checks.push(check.twin("tkt.http.honest"));
    }
    for (id, body) in BODIES {
        let title = format!("a new folder from the body {body}");
        let check = check(&format!("gph.body.{id}"), &["GPH-006"], &title, move |context| async move {
            let world = World::get(&context).await?;
            let request = call(&context, "POST", "/mesh/objects")
                .tickets(&world.alice.grant.tickets)
                .header("content-type", "application/json")
                .body(body.as_bytes().to_vec());
            request.send().await?.expect_problem(422, "body-unacceptable")
        });
        checks.push(check.twin(HONEST));
    }
    checks
}

/// Bodies that are not of the form `{"name", "storage"}`.
const BODIES: [(&str, &str); 8] = [
    ("empty", ""),
    ("no-json", "{\"name\": "),
    ("array", "[]"),
    ("text", "\"name\""),
    ("no-name", "{\"storage\": \"cloud\"}"),
    ("name-number", "{\"name\": 1, \"storage\": \"cloud\"}"),
    ("storage-unknown", "{\"name\": \"x\", \"storage\": \"tape\"}"),
    ("member-unknown", "{\"name\": \"x\", \"storage\": \"cloud\", \"colour\": \"red\"}"),
];

async fn create(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    demand!(folder.path.starts_with("/mesh/objects/"), "Location is {} and no path of a folder", folder.path);
    let new = folder.reply.headers("mesh-ticket");
    demand!(!new.is_empty(), "the creation of a folder was answered without Mesh-Ticket");
    let mut grant = world.alice.grant.clone();
    grant.tickets = new;
    let tickets = crate::checks::ticket::verified(&grant)?;
    demand!(
        tickets.iter().flat_map(|ticket| &ticket.fields.authz).any(|right| right.resource == folder.path),
        "no ticket in Mesh-Ticket is for {}",
        folder.path
    );
    call(&context, "GET", &folder.path).tickets(&folder.tickets).send().await?.expect(200).map(|_| ())
}

async fn links(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let below = |name: &str| format!("{}/{name}", folder.path);
    let device = format!("/mesh/devices/{}", world.laptop.id);
    for path in [
        "/mesh".to_owned(),
        "/mesh/devices".to_owned(),
        "/mesh/objects".to_owned(),
        device,
        folder.path.clone(),
        below("members"),
        below("mappings"),
        below("feeds/files/entries"),
    ] {
        let body = call(&context, "GET", &path).tickets(&folder.tickets).send().await?.expect(200)?.json()?;
        let own = &body["links"]["self"];
        demand!(*own == *path, "GET {path}: links.self is {own}");
    }
    Ok(())
}

async fn no_such_node(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    for path in ["/mesh/nothing", "/mesh/devices/x/y/z", "/nothing"] {
        let reply = call(&context, "GET", path).tickets(&world.alice.grant.tickets).send().await?;
        reply.expect_problem(404, "no-such-node")?;
    }
    Ok(())
}

async fn methods(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    for (method, path) in [("DELETE", "/mesh"), ("PUT", "/mesh/devices"), ("PATCH", "/mesh/objects")] {
        let reply =
            call(&context, method, path).tickets(&world.alice.grant.tickets).json(&json!({})).send().await?;
        let reply = reply.expect(405)?;
        demand!(
            reply.header("allow").is_some_and(|allow| allow.contains("GET")),
            "{method} {path}: Allow does not name GET"
        );
        reply.expect_problem(405, "method-not-allowed")?;
    }
    Ok(())
}

/// A request counts name and value of its fields; what the client adds of its own keeps it just above 65,536.
async fn large_header(context: Context, http1: bool) -> Verdict {
    let world = World::get(&context).await?;
    let mut request = call(&context, "GET", "/mesh").tickets(&world.alice.grant.tickets);
    let used = world.alice.grant.tickets.join(",").len() + "authorizationMeshTicket ".len();
    // Several fields, for one of this size is refused by many servers for another reason.
    let mut left = 65_536 - used;
    for number in 0..8 {
        let name = format!("x-filling-{number}");
        let length = (left / (8 - number)).saturating_sub(name.len());
        request = request.header(&name, &"f".repeat(length));
        left -= length + name.len();
    }
    if http1 {
        request = request.http1();
    }
    request.send().await?.expect(200).map(|_| ())
}

async fn problems(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let tickets = &world.alice.grant.tickets;
    let replies = [
        call(&context, "GET", "/mesh").send().await?,
        call(&context, "GET", "/mesh").tickets(&["AAAA"]).send().await?,
        call(&context, "GET", "/mesh/nothing").tickets(tickets).send().await?,
        call(&context, "DELETE", "/mesh").tickets(tickets).send().await?,
        call(&context, "POST", "/mesh/objects").tickets(tickets).json(&json!({})).send().await?,
        foreign(&context, tickets).await?,
    ];
    for reply in replies {
        let kind = reply.header("content-type").unwrap_or_default().to_owned();
        demand!(
            kind.starts_with("application/problem+json"),
            "an error of status {} is {kind:?}",
            reply.status
        );
        let body = reply.json()?;
        demand!(
            body["status"] == reply.status,
            "`status` is {} in a reply of {}",
            body["status"],
            reply.status
        );
        demand!(body["title"].is_string(), "an error of status {} has no `title`", reply.status);
        let requirement = body["requirement"].as_str().unwrap_or_default();
        demand!(
            Catalog::embedded().get(requirement).is_some(),
            "an error of status {} names the requirement {requirement:?}, which does not exist",
            reply.status
        );
    }
    Ok(())
}

async fn foreign(context: &Context, tickets: &[String]) -> Result<Reply, Stop> {
    let path = format!("/mesh/objects/{}", hex(&context.random::<16>()));
    call(context, "GET", &path).tickets(tickets).send().await
}

async fn etag_changes(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let before = etag(&context, &folder.tickets, &folder.path).await?;
    demand!(
        before.starts_with('"') && before.ends_with('"') && before.len() > 2,
        "the ETag {before} is not strong"
    );
    let again = etag(&context, &folder.tickets, &folder.path).await?;
    demand!(before == again, "the ETag changes from {before} to {again} though nothing else did");
    let renamed = call(&context, "PATCH", &folder.path)
        .tickets(&folder.tickets)
        .header("if-match", &before)
        .json(&json!({"name": "another name"}))
        .send()
        .await?;
    success(renamed, "PATCH of a folder")?;
    let after = etag(&context, &folder.tickets, &folder.path).await?;
    demand!(before != after, "the ETag is {before} before and after a change of name");
    Ok(())
}

async fn if_match_missing(context: Context) -> Verdict {
    each_write(&context, None, 428, "if-match-required").await
}

async fn if_match_stale(context: Context) -> Verdict {
    each_write(&context, Some("\"no-such-etag\""), 412, "etag-mismatch").await
}

/// PATCH and DELETE of a folder, device and member.
async fn each_write(context: &Context, if_match: Option<&str>, status: u16, error: &str) -> Verdict {
    let world = World::get(context).await?;
    let folder = Folder::new(context, &world, "cloud").await?;
    folder.invite(context, &world.bob, "reader").await?;
    let device = format!("/mesh/devices/{}", world.laptop.id);
    let member = format!("{}/members/{}", folder.path, world.bob.id);
    for (path, patch) in [
        (folder.path.clone(), json!({"name": "x"})),
        (device, json!({"name": "x"})),
        (member, json!({"role": "contributor"})),
    ] {
        for method in ["PATCH", "DELETE"] {
            let mut request = call(context, method, &path).tickets(&folder.tickets);
            if method == "PATCH" {
                request = request.json(&patch);
            }
            if let Some(etag) = if_match {
                request = request.header("if-match", etag);
            }
            request.send().await?.expect_problem(status, error)?;
        }
    }
    Ok(())
}
