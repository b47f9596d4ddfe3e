//! graph.md sections 4.1 and 4.10: what a client finds with the root alone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Folder, check, pick, success};
use crate::check::{Check, Context, Verdict, demand};
use crate::checks::identity::{is_offered, passkeys};
use crate::oracle::crypto::{base64, hex};
use crate::target::cloud::call;
use crate::target::world::{
    Device, Grant, User, World, claim, device_tickets, etag, new_user, revoke, sign_in,
};

const OPTIONS: &str = "gph.options";
const READ: &str = "gph.read.again";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(OPTIONS, &["GPH-100"], "OPTIONS tells template, methods and schema of a node", options),
        check("gph.walk", &["GPH-010"], "every kind of node is found from / by links alone", walk)
            .twin(OPTIONS)
            .in_turn("spare key"),
        check(READ, &["GPH-105"], "HEAD is answered as GET without the body", |context| async move {
            let world = World::get(&context).await?;
            for path in ["/mesh", "/mesh/objects", "/profile"] {
                let ask = |method| call(&context, method, path).tickets(&world.bob.grant.tickets);
                let (get, head) =
                    (ask("GET").send().await?.expect(200)?, ask("HEAD").send().await?.expect(200)?);
                demand!(head.body.is_empty(), "HEAD {path} has a body");
                for field in ["content-type", "etag"] {
                    demand!(
                        get.header(field) == head.header(field),
                        "{path}: {field} is {:?} to GET and {:?} to HEAD",
                        get.header(field),
                        head.header(field)
                    );
                }
            }
            Ok(())
        }),
        check("gph.read.not-modified", &["GPH-104"], "GET of what the client has", |context| async move {
            let world = World::get(&context).await?;
            let tickets = &world.bob.grant.tickets;
            let current = etag(&context, tickets, "/profile").await?;
            for (given, status) in
                [(current.clone(), 304), (format!("\"x\", W/{current}"), 304), ("\"x\"".to_owned(), 200)]
            {
                let request = call(&context, "GET", "/profile").tickets(tickets);
                let reply = request.header("if-none-match", &given).send().await?.expect(status)?;
                demand!(reply.body.is_empty() == (status == 304), "{status} with {} bytes", reply.body.len());
                demand!(
                    reply.header("etag") == Some(current.as_str()),
                    "{status} with the ETag {:?} instead of {current}",
                    reply.header("etag")
                );
            }
            Ok(())
        })
        .twin(READ),
    ]
}

async fn options(context: Context) -> Verdict {
    let id = hex(&context.random::<16>());
    for (path, template, methods) in [
        ("/".to_owned(), "/", &["GET"][..]),
        ("/mesh/devices".to_owned(), "/mesh/devices", &["GET", "POST"]),
        (format!("/mesh/objects/{id}"), "/mesh/objects/{folder}", &["GET", "PATCH", "DELETE"]),
        (
            format!("/mesh/objects/{id}/members/{id}"),
            "/mesh/objects/{folder}/members/{user}",
            &["GET", "PATCH", "DELETE"],
        ),
    ] {
        let reply = call(&context, "OPTIONS", &path).send().await?.expect(200)?;
        let allow = reply.header("allow").unwrap_or_default();
        let missing: Vec<&&str> =
            methods.iter().filter(|method| !allow.split(',').any(|one| one.trim() == **method)).collect();
        demand!(missing.is_empty(), "OPTIONS {path}: Allow is {allow:?} without {missing:?}");
        let body = reply.json()?;
        let subscribable = template == "/mesh/objects/{folder}";
        demand!(
            body["subscribable"] == subscribable,
            "OPTIONS {path}: subscribable is {}",
            body["subscribable"]
        );
        demand!(body["template"] == template, "OPTIONS {path}: the template is {}", body["template"]);
        let schema = body["links"]["schema"].as_str().unwrap_or_default();
        let Some((document, _)) = schema.split_once('#') else {
            return Err(crate::check::Stop::Fail(format!("OPTIONS {path}: links.schema is {schema:?}")));
        };
        let document = call(&context, "GET", document).send().await?.expect(200)?;
        let text = String::from_utf8_lossy(&document.body);
        demand!(text.contains(template), "{schema} does not have {template}");
    }
    Ok(())
}

/// Follows all links of all representations, from the root, and compares what was found with what was made.
async fn walk(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let dora = new_user(&context, "dora").await?;
    let device = claim(&context, &dora, "camera", &world.spare_key).await?;
    let walked = walk_of(&context, &world, &dora, &device).await;
    success(revoke(&context, &dora, &device.id).await?, "the revocation of a device")?;
    walked
}

async fn walk_of(context: &Context, world: &World, dora: &User, device: &Device) -> Verdict {
    let made = call(context, "POST", "/mesh/objects").tickets(&dora.grant.tickets);
    let made = made.json(&json!({"name": "walk", "storage": "cloud"})).send().await?.expect(201)?;
    let folder = made.header("location").unwrap_or_default().to_owned();
    let tickets = [dora.grant.tickets.clone(), made.headers("mesh-ticket")].concat();
    let (entry, hash) = (hex(&context.random::<16>()), hex(blake3::hash(b"hello").as_bytes()));
    Folder::new(context, world, "cloud").await?.ask(context, &dora.name, "reader").await?.expect(201)?;
    let queue = call(context, "POST", "/mesh/queues").tickets(&tickets).send().await?.expect(201)?;
    let subscriptions = format!("{}/subscriptions", queue.header("location").unwrap_or_default());
    let token = sign_in(context, &dora.name, &dora.password).await?;
    for (method, path, body) in [
        ("POST", subscriptions, json!({"resource": "/mesh"})),
        ("PUT", "/contacts/somebody".to_owned(), json!({"blocked": false, "note": ""})),
        ("PUT", format!("{folder}/mappings/{}", device.id), json!({})),
        ("POST", format!("{folder}/invitations"), json!({"name": world.bob.name, "role": "reader"})),
        (
            "PUT",
            format!("{folder}/feeds/files/entries/{entry}"),
            json!({"path": "a", "kind": "file", "size": 5, "hash": hash, "version": {&device.id: 1}}),
        ),
        ("POST", format!("{folder}/uploads"), json!({"hash": hash, "length": 5})),
        ("PUT", format!("{folder}/feeds/states/entries/{entry}"), json!({"state": base64(b"a state")})),
    ] {
        success(call(context, method, &path).tickets(&tickets).json(&body).send().await?, &path)?;
    }
    // Only the device itself puts its head.
    let reply = device_tickets(context, &device.id, &device.key, &dora.grant.audience).await?.expect(200)?;
    let mut own = pick(&Grant::read(&reply)?, &folder);
    let rights = call(context, "POST", &format!("{folder}/ticket")).tickets(&own).send().await?;
    own.push(rights.expect(200)?.text("ticket")?);
    let path = format!("{folder}/feeds/states/heads/{}", device.id);
    let head = call(context, "PUT", &path).tickets(&own).json(&json!({"head": base64(b"a head")}));
    success(head.send().await?, &path)?;

    let bearer = format!("Bearer {token}");
    let made = call(context, "POST", "/identity/app-passwords").header("authorization", &bearer);
    success(made.json(&json!({"label": "walk"})).send().await?, "an app password")?;
    let passkeys = is_offered(context, "passkey").await?;
    if passkeys {
        passkeys::add(context, &token).await?;
    }

    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut next: BTreeSet<String> = ["/".to_owned()].into();
    let mut seen = next.clone();
    while let Some(path) = next.pop_first() {
        let bare = path.split('?').next().unwrap_or_default();
        let described = call(context, "OPTIONS", bare).send().await?;
        if described.status == 404 {
            continue; // the prefix of media
        }
        let reads = described.header("allow").is_some_and(|allow| allow.contains("GET"));
        found.insert(described.text("template")?);
        if !reads || bare == "/openapi.yaml" {
            continue;
        }
        let request = call(context, "GET", &path);
        let request = if path.starts_with("/identity/") {
            request.header("authorization", &bearer)
        } else {
            request.tickets(&tickets)
        };
        let reply = request.send().await?;
        if reply.status != 200 {
            continue; // bytes that are not there
        }
        let body = reply.json()?;
        let own = body["links"]["self"].as_str().unwrap_or_default();
        demand!(own == bare, "GET {path}: links.self is {own:?}");
        let mut links = BTreeSet::new();
        collect(&body, &mut links);
        next.extend(links.into_iter().filter(|link| seen.insert(link.clone())));
    }
    let described = include_str!("../../../spec/openapi.yaml").lines();
    let templates = described.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    let wanted: Vec<&str> = templates.filter(|path| path.starts_with('/')).collect();
    demand!(wanted.len() > 40, "spec/openapi.yaml was read as {} paths", wanted.len());
    // Other providers, where there are some, are links of their own (identity.md, section 3).
    let wanted = wanted.iter().filter(|path| !path.starts_with("/identity/federated/"));
    let wanted = wanted.filter(|path| passkeys || !path.starts_with("/identity/passkeys"));
    // No link has a user code: a person reads it off the program that was given it.
    let wanted = wanted.filter(|path| **path != "/identity/codes/{user_code}");
    let codes = is_offered(context, "code").await?;
    let wanted = wanted.filter(|path| codes || !path.starts_with("/identity/codes"));
    let missing: Vec<&&str> = wanted.filter(|template| !found.contains(**template)).collect();
    demand!(missing.is_empty(), "not found by links: {missing:?}; found were {found:?}");
    Ok(())
}

/// The paths of all `links` at any depth.
fn collect(value: &Value, links: &mut BTreeSet<String>) {
    if let Value::Object(members) = value {
        for link in
            members.get("links").and_then(Value::as_object).into_iter().flat_map(|links| links.values())
        {
            links.extend(link.as_str().filter(|path| path.starts_with('/')).map(str::to_owned));
        }
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| collect(member, links)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, links)),
        _ => {}
    }
}
