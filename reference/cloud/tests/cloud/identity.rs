//! Signing people and devices in (`spec/identity.md`).

use crate::common::{
    AUDIENCE, Answer, DEVICE_3072, DEVICE_X, DEVICE_Y, PASSWORD, World, answer, bound_answer,
};
use meshproof_proto::codec::Id;
use meshproof_proto::identity::{Binding, Purpose};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_name_and_a_password_give_tickets() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    assert_eq!(ann.tickets.len(), 2, "authentication and /mesh");
    let mesh = ann.get("/mesh").await;
    mesh.is(200);
    assert_eq!(mesh.text("user"), ann.id);
    assert_eq!(mesh.text("name"), "ann");
    assert_eq!(mesh.body["quota"], 5_368_709_120_u64);
    assert_eq!(mesh.body["used"], 0);
    assert_eq!(mesh.body["links"]["objects"], "/mesh/objects");
}

#[tokio::test]
async fn wrong_password_and_unknown_name_are_alike() {
    let world = World::new().await;
    world.user("ann").await;
    let sign_in = |name, password| {
        let world = &world;
        async move { world.post("/identity/token", json!({"name": name, "password": password})).await }
    };
    let (wrong, unknown) = (sign_in("ann", "battery staple").await, sign_in("bob", "battery staple").await);
    wrong.refused(401, "IDN-002");
    unknown.refused(401, "IDN-002");
    assert_eq!(wrong.bytes, unknown.bytes);
    sign_in("no name of the form", "x").await.refused(401, "IDN-002");
}

#[tokio::test]
async fn new_users_that_are_refused() {
    let world = World::new().await;
    world.user("ann").await;
    let register = |name: &str, password: &str| {
        let (world, body) = (&world, json!({"name": name, "password": password}));
        async move { world.post("/identity/users", body).await }
    };
    register("bob", "1234567").await.refused(422, "IDN-003");
    register("bob", &"x".repeat(1_025)).await.refused(422, "IDN-003");
    register("b", PASSWORD).await.refused(422, "IDN-004");
    register("Bob", PASSWORD).await.refused(422, "IDN-004");
    register("ann", PASSWORD).await.refused(409, "IDN-005");
    register("bob", "12345678").await.is(201);
}

#[tokio::test]
async fn tokens() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    let trade = |token: &str| {
        let request = world.http.post(world.url("/tickets")).bearer_auth(token);
        async move { Answer::of(request).await }
    };
    trade("AAAA").await.refused(401, "IDN-007");
    Answer::of(world.http.post(world.url("/tickets"))).await.refused(401, "IDN-007");
    // IDN-032: an hour without use; using it begins the hour anew.
    world.clock.advance(3_599);
    trade(&ann.token).await.is(200);
    world.clock.advance(3_599);
    trade(&ann.token).await.is(200);
    world.clock.advance(3_600);
    trade(&ann.token).await.refused(401, "IDN-032");
    // Twelve hours are the end in any case.
    let mut ann = ann;
    ann.sign_in().await;
    for _ in 0..23 {
        world.clock.advance(1_800);
        trade(&ann.token).await.is(200);
    }
    world.clock.advance(1_800);
    trade(&ann.token).await.refused(401, "IDN-007");
}

#[tokio::test]
async fn a_device_signs_in_by_its_key() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    let x = ann.claimed(DEVICE_X).await;
    let device = ann.device(&x, DEVICE_X).await;
    let mesh = device.get("/mesh").await;
    mesh.is(200);
    assert_eq!(mesh.text("user"), ann.id, "a device acts for its user (IDN-014)");

    // A bigger key too.
    let big = ann.claimed(DEVICE_3072).await;
    ann.device(&big, DEVICE_3072).await.get("/mesh").await.is(200);
}

#[tokio::test]
async fn challenges_are_for_one_answer() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    let x = ann.claimed(DEVICE_X).await;
    let challenge = world.post("/tickets/challenge", json!({"device": x})).await.body;
    let proof = |answer: &str| json!({"device": x, "challenge": challenge["challenge"], "answer": answer});
    let right = answer(DEVICE_X, &x, Purpose::SignIn, &challenge);
    world.post("/tickets/device", proof(&"0".repeat(64))).await.refused(401, "IDN-010");
    world.post("/tickets/device", proof(&right)).await.refused(401, "IDN-011");

    let challenge = world.post("/tickets/challenge", json!({"device": x})).await.body;
    let right = json!({"device": x, "challenge": challenge["challenge"], "answer": answer(DEVICE_X, &x, Purpose::SignIn, &challenge)});
    world.post("/tickets/device", right.clone()).await.is(200);
    world.post("/tickets/device", right).await.refused(401, "IDN-011");
}

#[tokio::test]
async fn challenges_end_after_a_minute() {
    // IDN-012
    let world = World::new().await;
    let ann = world.user("ann").await;
    let x = ann.claimed(DEVICE_X).await;
    for (seconds, in_time) in [(60, true), (61, false)] {
        let challenge = world.post("/tickets/challenge", json!({"device": x})).await.body;
        let proof = json!({"device": x, "challenge": challenge["challenge"], "answer": answer(DEVICE_X, &x, Purpose::SignIn, &challenge)});
        world.clock.advance(seconds);
        let answered = world.post("/tickets/device", proof).await;
        if in_time {
            answered.is(200);
        } else {
            answered.refused(401, "IDN-012");
        }
    }
}

#[tokio::test]
async fn devices_that_are_none_look_like_devices() {
    // IDN-009
    let world = World::new().await;
    let ann = world.user("ann").await;
    let pending = ann.claim(DEVICE_X).await.text("device");
    for (device, lengths) in [(pending, vec![344]), ("0".repeat(32), vec![344, 512])] {
        let challenge = world.post("/tickets/challenge", json!({"device": device})).await;
        challenge.is(200);
        let proof = json!({
            "device": device,
            "challenge": challenge.body["challenge"],
            "answer": answer(DEVICE_X, &device, Purpose::SignIn, &challenge.body),
        });
        assert!(lengths.contains(&challenge.text("ciphertext").len()));
        world.post("/tickets/device", proof).await.refused(401, "IDN-010");
    }
}

#[tokio::test]
async fn answers_are_good_for_one_thing() {
    // IDN-015, IDN-016, IDN-017
    let world = World::new().await;
    let ann = world.user("ann").await;
    let x = ann.claimed(DEVICE_X).await;
    let right = Binding { purpose: Purpose::SignIn, device: Id::parse(&x).unwrap(), audience: AUDIENCE };
    let others = [
        Binding { purpose: Purpose::Claim, ..right },
        Binding { device: Id::default(), ..right },
        Binding { audience: "urn:meshproof:cloud:elsewhere", ..right },
        Binding { audience: "", ..right },
    ];
    for binding in others.iter().chain([&right]) {
        let challenge = world.post("/tickets/challenge", json!({"device": x})).await.body;
        let answer = bound_answer(DEVICE_X, binding, &challenge);
        let proof = json!({"device": x, "challenge": challenge["challenge"], "answer": answer});
        let answered = world.post("/tickets/device", proof).await;
        if binding.audience == right.audience
            && binding.device == right.device
            && binding.purpose == right.purpose
        {
            answered.is(200);
        } else {
            answered.refused(401, "IDN-010");
        }
    }
    // A claim is no sign-in either.
    let pending = ann.claim(DEVICE_Y).await;
    let path = pending.body["links"]["proof"].as_str().unwrap();
    let device = pending.text("device");
    let wrong = answer(DEVICE_Y, &device, Purpose::SignIn, &pending.body["proof"]);
    ann.post(path, json!({"answer": wrong})).await.refused(401, "GPH-033");
    let right = answer(DEVICE_Y, &device, Purpose::Claim, &pending.body["proof"]);
    ann.post(path, json!({"answer": right})).await.is(200);
}

#[tokio::test]
async fn challenges_outlive_the_process() {
    let data = tempfile::tempdir().unwrap();
    let unknown = "5".repeat(32);
    let (x, challenge, decoy);
    {
        let mut world = World::on(data.path(), |_| ()).await;
        x = world.user("ann").await.claimed(DEVICE_X).await;
        challenge = world.post("/tickets/challenge", json!({"device": x})).await.body;
        decoy = world.post("/tickets/challenge", json!({"device": unknown})).await.text("ciphertext");
        world.running.take().unwrap().shutdown().await.unwrap();
    }
    let world = World::on(data.path(), |_| ()).await;
    let right = answer(DEVICE_X, &x, Purpose::SignIn, &challenge);
    let proof = json!({"device": x, "challenge": challenge["challenge"], "answer": right});
    world.post("/tickets/device", proof.clone()).await.is(200);
    world.post("/tickets/device", proof).await.refused(401, "IDN-011");
    // IDN-009: a device that does not exist keeps the size of its key.
    let again = world.post("/tickets/challenge", json!({"device": unknown})).await.text("ciphertext");
    assert_eq!(again.len(), decoy.len());
}

#[tokio::test]
async fn a_revoked_device_is_refused() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    let x = ann.claimed(DEVICE_X).await;
    let device = ann.device(&x, DEVICE_X).await;
    let challenge = world.post("/tickets/challenge", json!({"device": x})).await.body;
    let node = ann.get(&format!("/mesh/devices/{x}")).await;
    ann.send(Method::DELETE, &format!("/mesh/devices/{x}"), None, Some(&node.etag())).await.is(204);

    let proof = json!({"device": x, "challenge": challenge["challenge"], "answer": answer(DEVICE_X, &x, Purpose::SignIn, &challenge)});
    world.post("/tickets/device", proof).await.refused(401, "IDN-013");
    // TKT-026, and on the wire TKT-031
    device.get("/mesh").await.refused(401, "TKT-031");
    assert_eq!(ann.get(&format!("/mesh/devices/{x}")).await.text("state"), "revoked");
}
