//! What one user can make the cloud keep and do (GPH-132 to GPH-137, IDN-066 to IDN-068).

use meshproof_cloud::Limit;
use meshproof_proto::codec::Id;
use meshproof_proto::identity::Purpose;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, DEVICE_X, DEVICE_Y, PASSWORD, Session, World, answer};

fn entry(n: u8) -> String {
    format!("feeds/files/entries/{}", Id([n; 16]))
}

fn file(ann: &Session<'_>, property: usize) -> Value {
    json!({
        "path": "a", "kind": "file", "size": 1, "hash": "0".repeat(64), "version": { (&ann.id): 1 },
        "properties": { "p": "x".repeat(property) },
    })
}

#[tokio::test]
async fn entries_of_a_folder() {
    // GPH-132
    let world = World::with(|config| config.graph.entries = 2).await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "f"})).await;
    let path = |n| format!("{folder}/{}", entry(n));
    for n in [1, 2] {
        ann.put(&path(n), file(&ann, 0)).await.is(201);
    }
    ann.put(&path(3), file(&ann, 0)).await.refused(409, "GPH-132");
    ann.get(&path(3)).await.refused(404, "GPH-004");
    // What is there may grow, go and come back, but takes its place as a tombstone too.
    ann.send(Method::PUT, &path(1), Some(file(&ann, 100)), Some("*")).await.is(200);
    ann.send(Method::DELETE, &path(1), None, Some("*")).await.is(204);
    ann.put(&path(3), file(&ann, 0)).await.refused(409, "GPH-132");
    ann.send(Method::PUT, &path(1), Some(file(&ann, 0)), Some("*")).await.is(200);
    // Another folder has its own.
    let other = ann.folder(json!({"name": "f"})).await;
    ann.put(&format!("{other}/{}", entry(1)), file(&ann, 0)).await.is(201);
}

#[tokio::test]
async fn metadata_of_a_creator() {
    // GPH-133
    let world = World::with(|config| config.graph.metadata = 20_000).await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let (first, second) = (ann.folder(json!({"name": "f"})).await, ann.folder(json!({"name": "f"})).await);
    let path = |folder: &str, n| format!("{folder}/{}", entry(n));
    ann.put(&path(&first, 1), file(&ann, 10_000)).await.is(201);
    ann.put(&path(&second, 1), file(&ann, 10_000)).await.refused(507, "GPH-133");
    ann.put(&path(&second, 1), file(&ann, 5_000)).await.is(201);
    // Whoever writes, the creator's are full; an own folder is another matter.
    ann.share(&second, &mut bob, "contributor").await;
    bob.sign_in().await;
    bob.put(&path(&second, 2), file(&bob, 5_000)).await.refused(507, "GPH-133");
    let bobs = bob.folder(json!({"name": "f"})).await;
    bob.put(&path(&bobs, 2), file(&bob, 5_000)).await.is(201);
    // Less is always taken, and a deletion; both make room, as does the deletion of a folder.
    ann.send(Method::PUT, &path(&first, 1), Some(file(&ann, 9_000)), Some("*")).await.is(200);
    ann.send(Method::PUT, &path(&first, 1), Some(file(&ann, 20_000)), Some("*"))
        .await
        .refused(507, "GPH-133");
    ann.send(Method::DELETE, &path(&first, 1), None, Some("*")).await.is(204);
    ann.put(&path(&second, 3), file(&ann, 10_000)).await.is(201);
    ann.put(&path(&second, 4), file(&ann, 10_000)).await.refused(507, "GPH-133");
    ann.send(Method::DELETE, &second, None, Some("*")).await.is(204);
    ann.put(&path(&first, 4), file(&ann, 18_000)).await.is(201);
}

#[tokio::test]
async fn folders_and_devices_of_a_user() {
    // GPH-134, GPH-137
    let world = World::with(|config| (config.graph.folders, config.graph.devices) = (2, 1)).await;
    let mut ann = world.user("ann").await;
    let (first, _) = (ann.folder(json!({"name": "f"})).await, ann.folder(json!({"name": "f"})).await);
    let more = || ann.post("/mesh/objects", json!({"name": "x"}));
    more().await.refused(409, "GPH-134");
    ann.send(Method::DELETE, &first, None, Some("*")).await.is(204);
    more().await.is(201);

    let prove = async |key| {
        let claim = ann.claim(key).await;
        let proof = answer(key, &claim.text("device"), Purpose::Claim, &claim.body["proof"]);
        let done = ann.post(claim.body["links"]["proof"].as_str().unwrap(), json!({"answer": proof})).await;
        (claim.body["links"]["self"].as_str().unwrap().to_owned(), done)
    };
    let (device, done) = prove(DEVICE_X).await;
    done.is(200);
    prove(DEVICE_Y).await.1.refused(409, "GPH-137");
    ann.send(Method::DELETE, &device, None, Some("*")).await.is(204);
    prove(DEVICE_Y).await.1.is(200);
}

#[tokio::test]
async fn claims_that_nobody_proves() {
    // GPH-135, GPH-136
    let world = World::new().await;
    let ann = world.user("ann").await;
    let states = async || {
        let listed = ann.get("/mesh/devices").await;
        listed.body["items"].as_array().unwrap().iter().map(|item| item["state"].clone()).collect::<Vec<_>>()
    };
    let first = ann.claim(DEVICE_X).await;
    ann.send(Method::DELETE, first.body["links"]["self"].as_str().unwrap(), None, Some("*")).await.is(204);
    for _ in 0..20 {
        world.clock.advance(1);
        ann.claim(DEVICE_X).await.is(201);
    }
    assert_eq!(states().await.iter().filter(|state| **state == "pending").count(), 16);
    world.clock.advance(299);
    ann.claim(DEVICE_X).await.is(201);
    assert_eq!(states().await.iter().filter(|state| **state == "pending").count(), 2, "the last two");
    assert_eq!(states().await.len(), 3, "that one was revoked is remembered");
}

#[tokio::test]
async fn sessions_of_a_user() {
    // IDN-066
    let world = World::new().await;
    let ann = world.user("ann").await;
    let trade =
        async |token: &str| Answer::of(world.http.post(world.url("/tickets")).bearer_auth(token)).await;
    let sign_in = async || {
        world.clock.advance(1);
        let body = json!({"name": "ann", "password": PASSWORD});
        world.post("/identity/token", body).await.text("token")
    };
    let second = sign_in().await;
    for _ in 0..62 {
        sign_in().await;
    }
    trade(&ann.token).await.is(200); // 64; used a minute after it began, so the second is the one to go
    sign_in().await;
    trade(&second).await.refused(401, "IDN-007");
    trade(&ann.token).await.is(200);
    // Another user's are not concerned.
    let bob = world.user("bob").await;
    trade(&bob.token).await.is(200);
    trade(&ann.token).await.is(200);
}

#[tokio::test]
async fn work_for_one_user() {
    // IDN-067, IDN-068
    let world = World::with(|config| {
        let limits = &mut config.identity.limits;
        limits.sign_ins_per_name_and_source = Limit { burst: 3, per: 60 };
        limits.tickets_per_user = Limit { burst: 4, per: 60 };
    })
    .await;
    let mut ann = world.user("ann").await; // 1 and 1
    let mut bob = world.user("bob").await;
    let sign_in =
        |name: &'static str| world.post("/identity/token", json!({"name": name, "password": PASSWORD}));
    for _ in 0..2 {
        sign_in("ann").await.is(200);
    }
    let refused = sign_in("ann").await;
    refused.refused(429, "IDN-067");
    assert_eq!(refused.headers["retry-after"], "20");
    sign_in("bob").await.is(200);
    world.clock.advance(20);
    sign_in("ann").await.is(200);

    let folder = ann.folder(json!({"name": "f"})).await;
    let trade = async || Answer::of(world.http.post(world.url("/tickets")).bearer_auth(&ann.token)).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(trade().await.status);
    }
    assert_eq!(answers.iter().filter(|status| **status == 429).count(), 1, "{answers:?}");
    trade().await.refused(429, "IDN-068");
    ann.post(&format!("{folder}/ticket"), json!({})).await.refused(429, "IDN-068");
    ann.post("/mesh/objects", json!({"name": "x"})).await.refused(429, "IDN-068");
    bob.folder(json!({"name": "f"})).await;
    world.clock.advance(15);
    ann.post(&format!("{folder}/ticket"), json!({})).await.is(200);
}
