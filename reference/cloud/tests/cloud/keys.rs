//! Encrypted folders: what the cloud forgets, and what the web shows of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::{DEFAULT, Secret, SigningKey};
use meshproof_proto::identity::Purpose;
use meshproof_proto::storage::keys::{FolderKeys, KeyRecord, Readers};
use serde_json::json;

use crate::common::{DEVICE_X, Session, World, answer, private_key, spki};
use crate::desktop::Browser;

/// Encrypts a folder, as a device of this person.
async fn encrypt(session: &Session<'_>, folder: &str) {
    let signing = DEFAULT.signing_key(&Secret::new([5; 32]));
    let body = json!({"name": "laptop", "spki": spki(DEVICE_X), "signing_key": hex(&signing.public())});
    let pending = session.post("/mesh/devices", body).await;
    let id = pending.text("device");
    let device = Id::parse(&id).unwrap();
    let print = private_key(DEVICE_X).spki().fingerprint(DEFAULT);
    let statement = [b"meshproof device key", &device.0[..], &print].concat();
    let proof = json!({
        "answer": answer(DEVICE_X, &id, Purpose::Claim, &pending.body["proof"]),
        "signature": hex(&signing.sign(&statement)),
    });
    session.post(&format!("/mesh/devices/{id}/proof"), proof).await.is(200);
    let laptop = session.device(&id, DEVICE_X).await;
    let record = record(folder, device, &*signing);
    laptop.put(&format!("{folder}/key"), json!({ "record": record })).await.is(201);
}

fn record(folder: &str, device: Id, signing: &dyn SigningKey) -> String {
    let id = folder.trim_end_matches('/').rsplit('/').next().and_then(Id::parse).unwrap();
    let keys = FolderKeys::first(id, Secret::new([6; 32]));
    let nobody = Readers { devices: &[], recoveries: &[] };
    let mut entropy = |out: &mut [u8]| getrandom::fill(out).unwrap();
    let record = KeyRecord::write(DEFAULT, &keys, &nobody, (device, signing), &mut entropy).unwrap();
    STANDARD.encode(record.to_bytes())
}

#[tokio::test]
async fn the_web_shows_a_locked_folder() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("Papers", "cloud").await;
    browser.upload(&folder, "", "plain.txt", b"in clear").await.is(204);
    browser.get(&folder).await.is(200).has("plain.txt");
    let mut session = Session {
        world: &world,
        id: String::new(),
        name: "ann".into(),
        tickets: Vec::new(),
        token: String::new(),
    };
    session.sign_in().await;
    let id = folder.trim_matches('/').rsplit('/').next().unwrap();
    encrypt(&session, &format!("/mesh/objects/{id}")).await;
    browser.get("/desktop/").await.is(200).has("Papers").has("encrypted");
    browser.get(&folder).await.is(403).has("This folder is encrypted");
    browser.upload(&folder, "", "more.txt", b"in clear").await.is(403);
    // What was charged for it is credited.
    let mesh = session.get("/mesh").await;
    assert_eq!((mesh.body["used"].as_u64(), mesh.body["uploading"].as_u64()), (Some(0), Some(0)));
}
