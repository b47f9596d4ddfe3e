//! Invitations, contacts and profiles (`spec/graph.md` sections 4.8 to 4.10).

use reqwest::Method;
use serde_json::json;

use crate::common::{Answer, Session, World};

/// The identifiers of the invitations that wait for this user.
async fn waiting(user: &Session<'_>) -> Vec<String> {
    let list = user.get("/mesh/invitations").await;
    list.is(200);
    let items = list.body["items"].as_array().unwrap().iter();
    items.map(|item| item["invitation"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_invitation_waits_for_its_answer() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let carl = world.user("carl").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let invitations = format!("{folder}/invitations");
    let invite =
        async |name: &str| ann.post(&invitations, json!({"name": name, "role": "contributor"})).await;

    let sent = invite("bob").await;
    sent.is(201);
    assert_eq!(sent.body["expires"], meshproof_cloud::Clock::now(&*world.clock).0 + 604_800);
    invite("bob").await.refused(409, "GPH-088");
    invite("Bob").await.refused(422, "GPH-006");
    let id = sent.text("invitation");
    assert_eq!(ann.get(&invitations).await.body["items"][0]["invitation"], *id);
    let (its, bobs) = (format!("{invitations}/{id}"), format!("/mesh/invitations/{id}"));
    ann.get(&its).await.is(200);
    assert_eq!(sent.headers["location"].to_str().unwrap(), its);

    // It is bob's alone, and gives him nothing yet.
    assert_eq!(waiting(&bob).await, [id.as_str()]);
    assert!(waiting(&carl).await.is_empty());
    for (method, path) in [(Method::GET, &bobs), (Method::POST, &bobs), (Method::DELETE, &bobs)] {
        carl.send(method, path, None, None).await.refused(404, "GPH-089");
    }
    bob.get(&its).await.refused(403, "GPH-002");
    bob.post(&format!("{folder}/ticket"), json!({})).await.refused(403, "GPH-002");
    let seen = bob.get(&bobs).await;
    assert_eq!((seen.text("by"), seen.text("folder_name")), ("ann".to_owned(), "Photos".to_owned()));

    // Withdrawn, declined, accepted.
    ann.send(Method::DELETE, &its, None, None).await.is(204);
    ann.send(Method::DELETE, &its, None, None).await.refused(404, "GPH-004");
    bob.post(&bobs, json!({})).await.refused(404, "GPH-004");
    let again = invite("bob").await.text("invitation");
    bob.send(Method::DELETE, &format!("/mesh/invitations/{again}"), None, None).await.is(204);
    assert!(ann.get(&invitations).await.body["items"].as_array().unwrap().is_empty());
    let accepted = ann.share(&folder, &mut bob, "contributor").await;
    assert_eq!(accepted.text("role"), "contributor");
    bob.get(&folder).await.is(200);
    assert!(waiting(&bob).await.is_empty());

    // It ends by itself after a week.
    let late = invite("carl").await.text("invitation");
    world.clock.advance(604_800);
    let mut carl = carl;
    carl.sign_in().await;
    assert!(waiting(&carl).await.is_empty());
    carl.post(&format!("/mesh/invitations/{late}"), json!({})).await.refused(404, "GPH-004");
}

#[tokio::test]
async fn who_invites_learns_nothing_about_accounts() {
    // GPH-087, GPH-092
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let bob = world.user("bob").await;
    let carl = world.user("carl").await;
    carl.put("/contacts/ann", json!({"blocked": true, "note": "sells kitchens"})).await.is(201);
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let invitations = format!("{folder}/invitations");
    let mut shapes = Vec::new();
    for name in ["bob", "nobody", "carl"] {
        let mut sent = ann.post(&invitations, json!({"name": name, "role": "reader"})).await;
        sent.is(201);
        assert_eq!(sent.body["name"], name);
        for member in ["invitation", "name", "links"] {
            sent.body[member] = "".into();
        }
        let mut fields: Vec<String> = sent.headers.keys().map(ToString::to_string).collect();
        fields.sort();
        shapes.push((sent.body, fields));
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:#?}");
    assert_eq!(waiting(&bob).await.len(), 1);
    // Who takes the name later does not get what was meant for nobody.
    let nobody = world.user("nobody").await;
    assert!(waiting(&nobody).await.is_empty());

    assert!(waiting(&carl).await.is_empty());
    let items = ann.get(&invitations).await.body["items"].clone();
    let id =
        items.as_array().unwrap().iter().find(|item| item["name"] == "carl").unwrap()["invitation"].clone();
    let path = format!("/mesh/invitations/{}", id.as_str().unwrap());
    carl.post(&path, json!({})).await.refused(404, "GPH-092");
    carl.put("/contacts/ann", json!({"blocked": false, "note": ""})).await.is(200);
    carl.post(&path, json!({})).await.is(201);
}

#[tokio::test]
async fn options_and_conditions() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    let path = format!("/mesh/objects/{}/members", "0".repeat(32));
    let told = ann.send(Method::OPTIONS, &path, None, None).await;
    told.is(200);
    assert_eq!(told.headers["allow"], "GET,HEAD");
    assert_eq!(told.body["template"], "/mesh/objects/{folder}/members");
    assert_eq!(told.body["links"]["self"], *path);
    assert_eq!(told.body["links"]["schema"], "/openapi.yaml#/paths/~1mesh~1objects~1{folder}~1members");
    ann.send(Method::OPTIONS, "/nothing", None, None).await.refused(404, "GPH-004");
    let file = world.get("/openapi.yaml").await;
    assert!(String::from_utf8(file.bytes).unwrap().starts_with("# The HTTP interface"));

    let etag = ann.get("/profile").await.etag();
    let url = world.url("/profile");
    let ask = |held: &str| {
        let rights = format!("MeshTicket {}", ann.tickets.join(","));
        Answer::of(world.http.get(&url).header("authorization", rights).header("if-none-match", held))
    };
    let same = ask(&format!("\"x\", W/{etag}")).await;
    same.is(304);
    assert!(same.bytes.is_empty() && same.etag() == etag);
    ask("*").await.is(304);
    ask("\"x\"").await.is(200);
    // Who shows no tickets has nothing.
    let unknown = Answer::of(world.http.get(&url).header("if-none-match", &etag)).await;
    unknown.refused(401, "GPH-001");
}

#[tokio::test]
async fn contacts_and_profiles() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let note = json!({"blocked": false, "note": "neighbour"});
    let written = ann.put("/contacts/bob", note.clone()).await;
    written.is(201);
    assert_eq!(ann.get("/contacts").await.body["items"][0]["note"], "neighbour");
    assert!(bob.get("/contacts").await.body["items"].as_array().unwrap().is_empty());
    let stale = ann.send(Method::PUT, "/contacts/bob", Some(note.clone()), Some("\"0\"")).await;
    stale.refused(412, "GPH-013");
    ann.send(Method::PUT, "/contacts/carl", Some(note), Some("*")).await.refused(412, "GPH-013");
    ann.put("/contacts/bob", json!({"blocked": false, "note": "x".repeat(1_001)}))
        .await
        .refused(422, "GPH-006");
    ann.get("/contacts/Bob").await.refused(404, "GPH-004");
    ann.send(Method::DELETE, "/contacts/bob", None, None).await.is(204);
    ann.get("/contacts/bob").await.refused(404, "GPH-004");

    let says = json!({"display_name": "Ann Example", "about": "photographs\nbirds"});
    ann.put("/profile", json!({"display_name": "\u{7}", "about": ""})).await.refused(422, "GPH-006");
    let said = ann.put("/profile", says).await;
    said.is(200);
    assert_eq!(ann.get("/profile").await.etag(), said.etag());
    let path = format!("/profiles/{}", ann.id);
    ann.get(&path).await.is(200);
    bob.get(&path).await.refused(403, "GPH-094");
    bob.get(&format!("/profiles/{}", "0".repeat(32))).await.refused(403, "GPH-094");
    let folder = ann.folder(json!({"name": "Photos"})).await;
    ann.share(&folder, &mut bob, "reader").await;
    let members = bob.get(&format!("{folder}/members")).await.body["items"].clone();
    let link = members.as_array().unwrap().iter().find(|item| item["name"] == "ann").unwrap();
    assert_eq!(link["links"]["profile"], *path);
    assert_eq!(bob.get(&path).await.text("display_name"), "Ann Example");
}
