//! Meeting at a relay, as the graph has it.

use meshproof_cloud::Service;
use serde_json::json;

use crate::common::{DEVICE_X, DEVICE_Y, World};

#[tokio::test]
async fn a_rendezvous_lasts_a_minute() {
    // GPH-127, GPH-121
    let world = World::with(|config| config.services.push(Service::Relay)).await;
    let ann = world.user("ann").await;
    let (x, y) = (ann.claimed(DEVICE_X).await, ann.claimed(DEVICE_Y).await);
    let (dev_x, dev_y) = (ann.device(&x, DEVICE_X).await, ann.device(&y, DEVICE_Y).await);
    let relays = dev_x.get("/mesh/relays").await;
    let relay = world.running.as_ref().unwrap().relay.as_ref().unwrap().address.clone();
    assert_eq!(relays.body["items"], json!([{ "address": relay }]));

    let path = format!("/mesh/devices/{y}/rendezvous");
    let asked = dev_x.post(&path, json!({ "relay": relay })).await;
    asked.is(200);
    assert_eq!((&asked.body["device"], &asked.body["ttl"]), (&json!(y), &json!(60)));
    world.clock.advance(59);
    let found = dev_y.get(&path).await;
    found.is(200);
    let found = &found.body["items"][0];
    assert_eq!((&found["device"], &found["ttl"]), (&json!(x), &json!(1)));
    assert_eq!((&found["circuit"], &found["token"]), (&asked.body["circuit"], &asked.body["token"]));
    assert_ne!(found["pass"], asked.body["pass"]);
    let again = dev_y.get(&path).await;
    assert_eq!(again.body["items"][0]["pass"], found["pass"], "the key of a box is for one box");
    world.clock.advance(1);
    assert_eq!(dev_y.get(&path).await.body["items"], json!([]));
    dev_x.post(&path, json!({ "relay": null })).await.refused(422, "GPH-006");
}

#[tokio::test]
async fn a_cloud_without_relays() {
    // GPH-125
    let world = World::new().await;
    let ann = world.user("ann").await;
    let (x, y) = (ann.claimed(DEVICE_X).await, ann.claimed(DEVICE_Y).await);
    let dev_x = ann.device(&x, DEVICE_X).await;
    assert_eq!(dev_x.get("/mesh/relays").await.body["items"], json!([]));
    let path = format!("/mesh/devices/{y}/rendezvous");
    dev_x.post(&path, json!({})).await.refused(422, "GPH-125");
}

#[tokio::test]
async fn one_key_serves_a_relay_elsewhere() {
    let world =
        World::with(|config| config.relay.offers = vec!["relay.example:8444".into(), "b.example:1".into()])
            .await;
    assert!(world.running.as_ref().unwrap().relay.is_none());
    let ann = world.user("ann").await;
    let (x, y) = (ann.claimed(DEVICE_X).await, ann.claimed(DEVICE_Y).await);
    let dev_x = ann.device(&x, DEVICE_X).await;
    let path = format!("/mesh/devices/{y}/rendezvous");
    let first = dev_x.post(&path, json!({})).await;
    assert_eq!(first.body["relay"], "relay.example:8444");
    let second = dev_x.post(&path, json!({ "relay": "b.example:1" })).await;
    assert_eq!(second.body["relay"], "b.example:1");
    dev_x.post(&path, json!({ "relay": "c.example:1" })).await.refused(422, "GPH-125");
}
