//! Limits, sessions and providers (`spec/identity.md`, sections 4.2 to 4.4).

use std::net::{IpAddr, Ipv4Addr};

use meshproof_cloud::{Config, Limit, PasswordCost};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, PASSWORD, World};

const WRONG: &str = "battery staple";

/// A cloud that takes the tests' `X-Forwarded-For` for the address of the client.
fn behind_a_proxy(config: &mut Config) {
    config.identity.proxies = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
}

async fn post_from(world: &World, address: &str, path: &str, body: Value) -> Answer {
    let request = world.http.post(world.url(path)).header("x-forwarded-for", address).json(&body);
    Answer::of(request).await
}

async fn sign_in(world: &World, address: &str, name: &str, password: &str) -> Answer {
    post_from(world, address, "/identity/token", json!({"name": name, "password": password})).await
}

#[track_caller]
fn wait(answer: &Answer, requirement: &str) -> u64 {
    answer.refused(429, requirement);
    answer.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

async fn bearer(world: &World, method: Method, path: &str, token: &str) -> Answer {
    Answer::of(world.http.request(method, world.url(path)).bearer_auth(token)).await
}

#[tokio::test]
async fn wrong_passwords_from_one_address() {
    // IDN-018, IDN-019, IDN-020, IDN-025
    let world = World::with(behind_a_proxy).await;
    world.user("ann").await;
    for name in ["ann", "nobody", "no name of the form"] {
        for _ in 0..10 {
            sign_in(&world, "192.0.2.1", name, WRONG).await.refused(401, "IDN-002");
        }
        assert_eq!(wait(&sign_in(&world, "192.0.2.1", name, WRONG).await, "IDN-018"), 60);
    }
    // The right one is not looked at, but from elsewhere it is.
    wait(&sign_in(&world, "192.0.2.1", "ann", PASSWORD).await, "IDN-018");
    sign_in(&world, "192.0.2.2", "ann", PASSWORD).await.is(200);
    world.clock.advance(59);
    assert_eq!(wait(&sign_in(&world, "192.0.2.1", "ann", PASSWORD).await, "IDN-018"), 1);
    world.clock.advance(1);
    // Right ones do not count.
    for _ in 0..20 {
        sign_in(&world, "192.0.2.1", "ann", PASSWORD).await.is(200);
    }
}

#[tokio::test]
async fn strangers_keep_nobody_out() {
    // IDN-024, and what IDN-018 says of many addresses.
    let world = World::with(|config| {
        behind_a_proxy(config);
        config.identity.limits.failures_per_name = Limit { burst: 20, per: 3_600 };
    })
    .await;
    world.user("ann").await; // signed in from 127.0.0.1
    sign_in(&world, "192.0.2.1", "ann", PASSWORD).await.is(200);
    for attempt in 0..20 {
        let address = format!("198.51.100.{attempt}");
        sign_in(&world, &address, "ann", WRONG).await.refused(401, "IDN-002");
    }
    assert_eq!(wait(&sign_in(&world, "203.0.113.1", "ann", PASSWORD).await, "IDN-018"), 180);
    sign_in(&world, "192.0.2.1", "ann", PASSWORD).await.is(200);
    // Even if the strangers never stop, for thirty days. Then the address is a stranger's.
    let wear_out = async |from: u64| {
        for attempt in from.. {
            let address = format!("198.51.{}.{}", 1 + attempt / 250, attempt % 250);
            if sign_in(&world, &address, "ann", WRONG).await.status == 429 {
                break;
            }
        }
    };
    world.clock.advance(29 * 86_400);
    wear_out(0).await;
    sign_in(&world, "192.0.2.1", "ann", PASSWORD).await.is(200);
    world.clock.advance(31 * 86_400);
    wear_out(100).await;
    wait(&sign_in(&world, "192.0.2.1", "ann", PASSWORD).await, "IDN-018");
}

#[tokio::test]
async fn limits_of_an_address() {
    // IDN-021, IDN-022, IDN-023
    let world = World::with(|config| {
        behind_a_proxy(config);
        let limits = &mut config.identity.limits;
        limits.failures_per_source = Limit { burst: 3, per: 60 };
        limits.registrations_per_source = Limit { burst: 2, per: 60 };
        limits.challenges_per_source = Limit { burst: 2, per: 60 };
    })
    .await;
    for name in ["ann", "bob"] {
        let body = json!({"name": name, "password": PASSWORD});
        post_from(&world, "192.0.2.1", "/identity/users", body).await.is(201);
    }
    let carl = json!({"name": "carl", "password": PASSWORD});
    assert_eq!(wait(&post_from(&world, "192.0.2.1", "/identity/users", carl.clone()).await, "IDN-022"), 30);
    post_from(&world, "192.0.2.2", "/identity/users", carl).await.is(201);

    for name in ["ann", "bob", "nobody"] {
        sign_in(&world, "192.0.2.1", name, WRONG).await.refused(401, "IDN-002");
    }
    assert_eq!(wait(&sign_in(&world, "192.0.2.1", "carl", PASSWORD).await, "IDN-021"), 20);
    sign_in(&world, "192.0.2.2", "carl", PASSWORD).await.is(200);

    let body = json!({"device": "0".repeat(32)});
    for _ in 0..2 {
        post_from(&world, "2001:db8::1", "/tickets/challenge", body.clone()).await.is(200);
    }
    wait(&post_from(&world, "2001:db8::ffff:2", "/tickets/challenge", body.clone()).await, "IDN-023");
    post_from(&world, "2001:db8:0:1::1", "/tickets/challenge", body).await.is(200);
}

#[tokio::test]
async fn limits_outlive_the_process() {
    let data = tempfile::tempdir().unwrap();
    let mut world = World::on(data.path(), |_| ()).await;
    let ann = world.user("ann").await;
    let token = ann.token.clone();
    for _ in 0..10 {
        world.post("/identity/token", json!({"name": "ann", "password": WRONG})).await.is(401);
    }
    world.running.take().unwrap().shutdown().await.unwrap();
    let world = World::on(data.path(), |_| ()).await;
    wait(&world.post("/identity/token", json!({"name": "ann", "password": PASSWORD})).await, "IDN-018");
    bearer(&world, Method::POST, "/tickets", &token).await.is(200);
}

#[tokio::test]
async fn sessions() {
    // IDN-026, IDN-027, IDN-028, IDN-033
    let world = World::with(behind_a_proxy).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let request = world.http.post(world.url("/identity/token")).header("x-forwarded-for", "192.0.2.7");
    let request = request.header("user-agent", "a phone").json(&json!({"name": "ann", "password": PASSWORD}));
    let other = Answer::of(request).await;
    let listed = bearer(&world, Method::GET, "/identity/sessions", &ann.token).await;
    let items = listed.body["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 2, "{items:?}");
    let phone = items.iter().find(|item| item["session"] == other.body["session"]).unwrap();
    assert_eq!(phone["current"], false);
    assert_eq!((&phone["agent"], &phone["source"]), (&json!("a phone"), &json!("192.0.2.7")));
    assert_eq!((&phone["provider"], &other.body["idle"]), (&json!("password"), &json!(3_600)));

    let path = phone["links"]["self"].as_str().unwrap();
    bearer(&world, Method::DELETE, path, &bob.token).await.refused(404, "IDN-033");
    bearer(&world, Method::POST, "/tickets", &other.text("token")).await.is(200);
    bearer(&world, Method::DELETE, path, &ann.token).await.is(204);
    bearer(&world, Method::POST, "/tickets", &other.text("token")).await.refused(401, "IDN-007");
    bearer(&world, Method::DELETE, path, &ann.token).await.refused(404, "IDN-033");

    bearer(&world, Method::DELETE, "/identity/token", &ann.token).await.is(204);
    bearer(&world, Method::GET, "/identity/sessions", &ann.token).await.refused(401, "IDN-007");
    bearer(&world, Method::POST, "/tickets", &bob.token).await.is(200);
}

#[tokio::test]
async fn a_changed_password() {
    // IDN-029, IDN-030, IDN-031, IDN-034
    let world = World::new().await;
    let ann = world.user("ann").await;
    let other = world.post("/identity/token", json!({"name": "ann", "password": PASSWORD})).await;
    let change = async |token: &str, old: &str, new: &str| {
        let request = world.http.put(world.url("/identity/password")).bearer_auth(token);
        Answer::of(request.json(&json!({"password": old, "new_password": new}))).await
    };
    change("AAAA", PASSWORD, WRONG).await.refused(401, "IDN-007");
    change(&ann.token, PASSWORD, "1234567").await.refused(422, "IDN-034");
    change(&ann.token, WRONG, WRONG).await.refused(401, "IDN-029");
    change(&ann.token, PASSWORD, WRONG).await.is(204);
    bearer(&world, Method::POST, "/tickets", &other.text("token")).await.refused(401, "IDN-007");
    bearer(&world, Method::POST, "/tickets", &ann.token).await.is(200);
    let sign_in = async |password: &str| {
        world.post("/identity/token", json!({"name": "ann", "password": password})).await
    };
    sign_in(PASSWORD).await.refused(401, "IDN-002");
    sign_in(WRONG).await.is(200);
    // A stolen token is no way to try passwords for ever: two wrong ones were counted.
    for _ in 0..8 {
        change(&ann.token, PASSWORD, PASSWORD).await.refused(401, "IDN-029");
    }
    wait(&change(&ann.token, PASSWORD, PASSWORD).await, "IDN-018");
}

#[tokio::test]
async fn a_cloud_without_passwords() {
    // IDN-035, IDN-036
    let world = World::with(|config| config.identity.password_sign_in = false).await;
    let credentials = json!({"name": "ann", "password": PASSWORD});
    world.post("/identity/users", credentials.clone()).await.refused(404, "IDN-036");
    world.post("/identity/token", credentials).await.refused(404, "IDN-036");
    let names = async |world: &World| {
        let listed = world.get("/identity/providers").await;
        let items = listed.body["items"].as_array().unwrap().iter();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&world).await, ["passkey", "code"]);
    assert_eq!(names(&World::new().await).await, ["password", "passkey", "code"]);
}

#[tokio::test]
async fn a_cloud_that_takes_nobody_new() {
    // GPH-004
    let world = World::with(|config| config.identity.registration = false).await;
    let credentials = json!({"name": "ann", "password": PASSWORD});
    world.post("/identity/users", credentials.clone()).await.refused(404, "GPH-004");
    // Who is there signs in as ever, which is to say: who is not does not.
    world.post("/identity/token", credentials).await.refused(401, "IDN-002");
}

/// IDN-030: a sign-in that began before the password was changed and ends after it.
#[tokio::test]
async fn an_old_password_begins_no_session_after_its_change() {
    let world = World::with(|config| {
        config.identity.passwords = PasswordCost { memory_kib: 16_384, passes: 4, lanes: 1 };
        let much = Limit { burst: 10_000, per: 60 };
        let limits = &mut config.identity.limits;
        (limits.failures_per_name_and_source, limits.failures_per_name) = (much, much);
    })
    .await;
    let ann = json!({"name": "ann", "password": PASSWORD});
    world.post("/identity/users", ann.clone()).await.is(201);
    let token = world.post("/identity/token", ann.clone()).await.text("token");
    let change = json!({"password": PASSWORD, "new_password": WRONG});
    let change = world.http.put(world.url("/identity/password")).bearer_auth(&token).json(&change);
    let change = tokio::spawn(change.send());
    let mut sign_ins = Vec::new();
    while !change.is_finished() {
        let sign_in = world.http.post(world.url("/identity/token")).json(&ann);
        sign_ins.push(tokio::spawn(Answer::of(sign_in)));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(change.await.unwrap().unwrap().status(), 204);
    for sign_in in sign_ins {
        let signed_in = sign_in.await.unwrap();
        if signed_in.status == 200 {
            let token = signed_in.text("token");
            bearer(&world, Method::GET, "/identity/sessions", &token).await.refused(401, "IDN-007");
        }
    }
}
