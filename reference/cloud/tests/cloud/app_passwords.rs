//! App passwords (`spec/identity.md`, section 4.10). That they open the drive is shown by conformance/interop.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, World};

async fn bearer(world: &World, method: Method, path: &str, token: &str) -> Answer {
    Answer::of(world.http.request(method, world.url(path)).bearer_auth(token)).await
}

async fn make(world: &World, token: &str, label: &str) -> Answer {
    let request = world.http.post(world.url("/identity/app-passwords")).bearer_auth(token);
    Answer::of(request.json(&json!({ "label": label }))).await
}

#[tokio::test]
async fn they_are_shown_once_and_are_no_passwords() {
    let world = World::new().await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let made = make(&world, &ann.token, "rclone").await;
    let (password, path) = (made.is(201).text("password"), made.body["links"]["self"].as_str().unwrap());
    assert_eq!((password.len(), made.headers["location"].to_str().unwrap()), (32, path));
    world
        .post("/identity/token", json!({ "name": "ann", "password": password }))
        .await
        .refused(401, "IDN-002");
    bearer(&world, Method::POST, "/tickets", &password).await.refused(401, "IDN-007");

    let list = async |token: &str| bearer(&world, Method::GET, "/identity/app-passwords", token).await.body;
    let listed = list(&ann.token).await;
    assert_eq!(listed["items"][0]["label"], "rclone");
    assert!(!listed.to_string().contains(&password) && listed["items"][0]["used"] == Value::Null);
    assert_eq!(list(&bob.token).await["items"], json!([]));
    bearer(&world, Method::DELETE, path, &bob.token).await.refused(404, "GPH-004");
    bearer(&world, Method::DELETE, path, &ann.token).await.is(204);
    bearer(&world, Method::DELETE, path, &ann.token).await.refused(404, "GPH-004");
    assert_eq!(list(&ann.token).await["items"], json!([]));
    make(&world, &ann.token, "").await.refused(422, "GPH-006");
    make(&world, "not a token", "rclone").await.refused(401, "IDN-007");
}
