//! Passkeys (`spec/identity.md`, section 4.9): what the kit cannot see.

use meshproof_cloud::{Config, Limit};
use reqwest::Method;
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::common::{Answer, PASSWORD, World};

async fn asked(world: &World) -> Value {
    Answer::of(world.http.post(world.url("/identity/passkeys/challenge"))).await.is(200).body.clone()
}

async fn sign_in(world: &World, passkey: &mut Authenticator) -> Answer {
    let body = passkey.sign_in(&asked(world).await);
    world.post("/identity/passkeys/token", body).await
}

async fn remove(world: &World, token: &str, path: &str) -> Answer {
    Answer::of(world.http.request(Method::DELETE, world.url(path)).bearer_auth(token)).await
}

fn path_of(added: &Answer) -> String {
    added.is(201);
    added.body["links"]["self"].as_str().unwrap().into()
}

#[tokio::test]
async fn a_session_by_passkey() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    let mut passkey = Authenticator::new();
    passkey.add_to(&world, &ann.token, "key ring").await.is(201);
    let token = sign_in(&world, &mut passkey).await.is(200).text("token");
    let sessions = Answer::of(world.http.get(world.url("/identity/sessions")).bearer_auth(&token)).await;
    let items = sessions.body["items"].as_array().unwrap();
    let current = items.iter().find(|item| item["current"] == true).unwrap();
    assert_eq!(current["provider"], "passkey");
    let second = Authenticator::new().add_to(&world, &token, "phone").await;
    second.is(201);
    let listed = Answer::of(world.http.get(world.url("/identity/passkeys")).bearer_auth(&token)).await;
    let labels: Vec<&str> =
        listed.body["items"].as_array().unwrap().iter().filter_map(|it| it["label"].as_str()).collect();
    assert_eq!(labels.len(), 2, "{labels:?}");
    for label in ["", "a\nb", "x".repeat(256).as_str()] {
        Authenticator::new().add_to(&world, &token, label).await.refused(422, "GPH-006");
    }
}

#[tokio::test]
async fn challenges_end_and_outlive_the_process() {
    // IDN-049
    let data = tempfile::tempdir().unwrap();
    let mut world = World::on(data.path(), |config| config.names = vec!["localhost".into()]).await;
    let (ann, mut passkey) = (world.user("ann").await, Authenticator::new());
    passkey.add_to(&world, &ann.token, "key ring").await.is(201);
    let late = passkey.sign_in(&asked(&world).await);
    world.clock.advance(301);
    world.post("/identity/passkeys/token", late).await.refused(401, "IDN-049");
    let mut earlier = asked(&world).await;
    world.clock.advance(300);
    world.post("/identity/passkeys/token", passkey.sign_in(&earlier)).await.is(200);

    earlier = asked(&world).await;
    world.running.take().unwrap().shutdown().await.unwrap();
    let clock = world.clock.clone();
    let origin = earlier["origin"].as_str().unwrap().to_owned(); // another port, but people know it by that name
    let world = World::on(data.path(), |config| {
        config.identity.origin = origin;
        config.clock = clock;
    })
    .await;
    world.post("/identity/passkeys/token", passkey.sign_in(&earlier)).await.is(200);
}

#[tokio::test]
async fn the_last_way_in_stays() {
    // IDN-058
    let data = tempfile::tempdir().unwrap();
    let keep = |config: &mut Config| config.identity.origin = "https://localhost:8443".into();
    let mut world = World::on(data.path(), keep).await;
    let (token, mut first, mut second) =
        (world.user("ann").await.token.clone(), Authenticator::new(), Authenticator::new());
    let first_path = path_of(&first.add_to(&world, &token, "one").await);
    let second_path = path_of(&second.add_to(&world, &token, "two").await);
    let third_path = path_of(&Authenticator::new().add_to(&world, &token, "three").await);
    world.running.take().unwrap().shutdown().await.unwrap();

    let mut world = World::on(data.path(), |config| {
        keep(config);
        config.identity.password_sign_in = false;
    })
    .await;
    let token = sign_in(&world, &mut first).await.is(200).text("token");
    remove(&world, &token, &third_path).await.is(204);
    remove(&world, &token, &first_path).await.is(204);
    remove(&world, &token, &second_path).await.refused(409, "IDN-058");
    sign_in(&world, &mut second).await.is(200);
    sign_in(&world, &mut first).await.refused(401, "IDN-057");
    world.running.take().unwrap().shutdown().await.unwrap();

    // With a password there is another way.
    let world = World::on(data.path(), keep).await;
    let token = sign_in(&world, &mut second).await.is(200).text("token");
    remove(&world, &token, &second_path).await.is(204);
    remove(&world, &token, &second_path).await.refused(404, "IDN-059");
}

#[tokio::test]
async fn wrong_ones_count_as_wrong_passwords_of_their_address() {
    // IDN-021
    let world = World::with(|config| {
        config.identity.limits.failures_per_source = Limit { burst: 4, per: 60 };
        config.identity.limits.failures_per_name_and_source = Limit { burst: 2, per: 60 };
    })
    .await;
    let (ann, mut passkey) = (world.user("ann").await, Authenticator::new());
    passkey.add_to(&world, &ann.token, "key ring").await.is(201);
    let password = |password: &str| json!({ "name": "ann", "password": password });
    for _ in 0..2 {
        world.post("/identity/token", password("battery staple")).await.refused(401, "IDN-002");
    }
    world.post("/identity/token", password(PASSWORD)).await.refused(429, "IDN-018");
    // Passkeys are not kept out by who guesses passwords, and right ones do not count.
    for _ in 0..5 {
        sign_in(&world, &mut passkey).await.is(200);
    }
    for _ in 0..2 {
        sign_in(&world, &mut Authenticator::new()).await.refused(401, "IDN-057");
    }
    sign_in(&world, &mut passkey).await.refused(429, "IDN-021");
    world
        .post("/identity/token", json!({ "name": "bob", "password": PASSWORD }))
        .await
        .refused(429, "IDN-021");
}

#[tokio::test]
async fn where_there_are_no_passkeys() {
    // IDN-035, IDN-036
    let off = World::with(|config| config.identity.passkey_sign_in = false).await;
    let address = World::with(|config| config.names = vec!["127.0.0.1".into(), "::1".into()]).await;
    for world in [off, address] {
        let providers = world.get("/identity/providers").await;
        assert!(!providers.body["items"].to_string().contains("passkey"), "{:?}", providers.body);
        let challenge = Answer::of(world.http.post(world.url("/identity/passkeys/challenge"))).await;
        challenge.refused(404, "IDN-036");
        let ann = world.user("ann").await;
        let options = world.http.post(world.url("/identity/passkeys/registration")).bearer_auth(&ann.token);
        Answer::of(options).await.refused(404, "IDN-036");
        remove(&world, &ann.token, &format!("/identity/passkeys/{}", ann.id)).await.refused(404, "IDN-036");
    }
    for (origin, id, passkeys) in [
        ("https://mesh.example", "mesh.example", "https://mesh.example"),
        ("https://192.0.2.1:444", "localhost", "https://localhost:444"),
        ("https://[2001:db8::1]", "localhost", "https://localhost"),
    ] {
        let asked = asked(&World::with(|config| config.identity.origin = origin.into()).await).await;
        assert_eq!((&asked["options"]["rpId"], &asked["origin"]), (&id.into(), &passkeys.into()));
    }
}
