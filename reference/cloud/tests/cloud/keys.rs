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
    let session = world.signed_in("ann").await;
    let id = folder.trim_matches('/').rsplit('/').next().unwrap();
    encrypt(&session, &format!("/mesh/objects/{id}")).await;
    browser.get("/desktop/").await.is(200).has("Papers").has("encrypted");
    browser.get(&folder).await.is(403).has("This folder is encrypted");
    browser.upload(&folder, "", "more.txt", b"in clear").await.is(403);
    // What was charged for it is credited.
    let mesh = session.get("/mesh").await;
    assert_eq!((mesh.body["used"].as_u64(), mesh.body["uploading"].as_u64()), (Some(0), Some(0)));
}

/// The drive shows that there is such a folder, and nothing of it (feature `webdav`).
#[cfg(feature = "webdav")]
#[tokio::test]
async fn the_drive_shows_a_locked_folder() {
    use crate::common::PASSWORD;
    use reqwest::{Method, StatusCode};

    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("Papers", "cloud").await;
    browser.folder("Open", "cloud").await;
    browser.upload(&folder, "", "plain.txt", b"in clear").await.is(204);
    let ask = async |method: &str, path: &str, field: Option<(&str, String)>, body: &'static str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request =
            world.http.request(method, world.url(path)).basic_auth("ann", Some(PASSWORD)).body(body);
        if let Some((name, value)) = field {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let depth = |depth: &str| Some(("depth", depth.to_owned()));
    let to = |path: &str| Some(("destination", world.url(path)));
    let (status, listed) = ask("PROPFIND", "/dav/Papers/", depth("1"), "").await;
    assert!(status == StatusCode::MULTI_STATUS && listed.contains("plain.txt"), "{status} {listed}");
    assert_eq!(ask("PUT", "/dav/Open/draft", None, "a draft").await.0, StatusCode::CREATED);

    let session = world.signed_in("ann").await;
    let id = folder.trim_matches('/').rsplit('/').next().unwrap();
    encrypt(&session, &format!("/mesh/objects/{id}")).await;

    // It is in the list, under the name that the cloud knows anyway, and not lost to who looks for it.
    let (status, listed) = ask("PROPFIND", "/dav/", depth("1"), "").await;
    assert!(status == StatusCode::MULTI_STATUS && listed.contains("/dav/Papers/"), "{status} {listed}");
    let requests = [
        ("PROPFIND", "/dav/Papers/", depth("0"), ""),
        ("PROPFIND", "/dav/Papers/", depth("1"), ""),
        ("PROPFIND", "/dav/Papers/plain.txt", depth("0"), ""),
        ("GET", "/dav/Papers/plain.txt", None, ""),
        ("HEAD", "/dav/Papers/plain.txt", None, ""),
        ("PUT", "/dav/Papers/plain.txt", None, "in clear"),
        ("PUT", "/dav/Papers/new.txt", None, "in clear"),
        ("MKCOL", "/dav/Papers/new", None, ""),
        ("DELETE", "/dav/Papers/plain.txt", None, ""),
        ("DELETE", "/dav/Papers/", None, ""),
        ("COPY", "/dav/Open/draft", to("/dav/Papers/draft"), ""),
        ("MOVE", "/dav/Open/draft", to("/dav/Papers/draft"), ""),
        ("COPY", "/dav/Papers/plain.txt", to("/dav/Open/plain.txt"), ""),
    ];
    for (method, path, field, body) in requests {
        let (status, text) = ask(method, path, field.clone(), body).await;
        // Where it would be written to is what cannot be opened (RFC 4918, section 9.8.5).
        let into = matches!(field, Some(("destination", _))) && path == "/dav/Open/draft";
        let refused = if into { StatusCode::CONFLICT } else { StatusCode::FORBIDDEN };
        assert_eq!(status, refused, "{method} {path} {field:?}: {text}");
        assert!(!text.contains("plain") && !text.contains("clear"), "{method} {path}: {text}");
    }
    // What is not encrypted works as before, and lost nothing by what was tried.
    let (status, text) = ask("GET", "/dav/Open/draft", None, "").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "a draft"));
    let entries = session.get(&format!("/mesh/objects/{id}/feeds/files/entries")).await;
    assert_eq!(entries.body["items"], json!([]));
}
