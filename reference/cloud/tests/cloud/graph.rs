//! Folders, members, devices, entries and meetings (`spec/graph.md`).

use crate::common::{Answer, DEVICE_WEAK, DEVICE_X, DEVICE_Y, DEVICE_Z, World, answer, pkcs8, private_key};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::identity::Purpose;
use meshproof_proto::ticket::{Presenter, Role, Verifier, device_audience, pair};
use meshproof_proto::time::UnixTime;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn folders() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let bob = world.user("bob").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let node = ann.get(&folder).await;
    node.is(200);
    assert_eq!(node.text("storage"), "cloud");
    assert_eq!(
        node.body["links"],
        json!({
            "self": folder,
            "members": format!("{folder}/members"),
            "invitations": format!("{folder}/invitations"),
            "mappings": format!("{folder}/mappings"),
            "writers": format!("{folder}/writers"),
            "entries": format!("{folder}/feeds/files/entries"),
            "key": format!("{folder}/key"),
            "sync": format!("{folder}/feeds/files/sync"),
            "states": format!("{folder}/feeds/states/entries"),
            "states_sync": format!("{folder}/feeds/states/sync"),
            "heads": format!("{folder}/feeds/states/heads"),
            "news": format!("{folder}/news"),
            "presence": format!("{folder}/presence"),
            "media": format!("{folder}/media"),
            "ticket": format!("{folder}/ticket"),
            "uploads": format!("{folder}/uploads"),
            "wanted": format!("{folder}/wanted"),
        })
    );
    let listed = ann.get("/mesh/objects").await.body;
    assert_eq!(listed["items"][0]["etag"], node.etag());
    assert_eq!(listed["links"]["self"], "/mesh/objects");

    // GPH-003
    let nowhere = bob.get(&format!("/mesh/objects/{}", "0".repeat(32))).await;
    nowhere.refused(403, "GPH-002");
    assert_eq!(bob.get(&folder).await.bytes, nowhere.bytes);

    let rename = |etag: Option<&str>| {
        let (ann, folder, etag) = (&ann, &folder, etag.map(str::to_owned));
        let body = Some(json!({"name": "Pictures"}));
        async move { ann.send(Method::PATCH, folder, body, etag.as_deref()).await }
    };
    rename(None).await.refused(428, "GPH-012");
    rename(Some("\"0\"")).await.refused(412, "GPH-013");
    let renamed = rename(Some(&node.etag())).await;
    renamed.is(200);
    assert_eq!(renamed.text("name"), "Pictures");
    assert_ne!(renamed.etag(), node.etag());
    rename(Some(&node.etag())).await.refused(412, "GPH-013");

    ann.send(Method::DELETE, &folder, None, None).await.refused(428, "GPH-012");
    ann.send(Method::DELETE, &folder, None, Some(&renamed.etag())).await.is(204);
    ann.get(&folder).await.refused(403, "GPH-019");
    ann.post("/mesh/objects", json!({"name": "x", "storage": "tape"})).await.refused(422, "GPH-006");
    ann.post("/mesh/objects", json!({"name": ""})).await.refused(422, "GPH-006");
}

#[tokio::test]
async fn members_and_their_rights() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let members = format!("{folder}/members");
    let invitations = format!("{folder}/invitations");
    ann.post(&members, json!({"name": "bob", "role": "reader"})).await.refused(405, "GPH-005");
    let bobs = ann.share(&folder, &mut bob, "reader").await;
    let bobs_path = bobs.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(bobs_path, format!("{members}/{}", bob.id));
    ann.post(&invitations, json!({"name": "bob", "role": "owner"})).await.refused(409, "GPH-023");

    // A reader reads.
    bob.get(&folder).await.is(200);
    assert_eq!(bob.get(&members).await.body["items"].as_array().unwrap().len(), 2);
    let entry = format!("{folder}/feeds/files/entries/{}", "1".repeat(32));
    bob.put(&entry, file("a")).await.refused(403, "GPH-014");
    bob.post(&invitations, json!({"name": "carl", "role": "reader"})).await.refused(403, "GPH-015");
    bob.get(&invitations).await.refused(403, "GPH-015");
    bob.send(Method::PATCH, &folder, Some(json!({"name": "x"})), Some("*")).await.refused(403, "GPH-002");

    // A contributor writes entries, and stops when the role is taken away, whatever the tickets say.
    let change = |role: &'static str, etag: String| {
        let (ann, path) = (&ann, &bobs_path);
        async move { ann.send(Method::PATCH, path, Some(json!({"role": role})), Some(&etag)).await }
    };
    let promoted = change("contributor", bobs.etag()).await;
    promoted.is(200);
    bob.sign_in().await;
    bob.put(&entry, file("a")).await.is(201);
    bob.post(&invitations, json!({"name": "carl", "role": "reader"})).await.refused(403, "GPH-015");
    let demoted = change("reader", promoted.etag()).await;
    bob.send(Method::PUT, &entry, Some(file("b")), Some("*")).await.refused(403, "GPH-014");

    // Removal counts from its moment.
    ann.send(Method::DELETE, &bobs_path, None, None).await.refused(428, "GPH-012");
    ann.send(Method::DELETE, &bobs_path, None, Some(&demoted.etag())).await.is(204);
    bob.get(&folder).await.refused(403, "GPH-019");
    ann.get(&bobs_path).await.refused(404, "GPH-004");

    // One may go, an owner too, but not the creator, who pays.
    ann.share(&folder, &mut bob, "owner").await;
    bob.sign_in().await;
    let anns_path = format!("{members}/{}", ann.id);
    ann.send(Method::DELETE, &anns_path, None, Some("*")).await.refused(409, "GPH-131");
    bob.send(Method::DELETE, &anns_path, None, Some("*")).await.refused(409, "GPH-130");
    for owner in [&ann, &bob] {
        let demote = Some(json!({"role": "reader"}));
        owner.send(Method::PATCH, &anns_path, demote, Some("*")).await.refused(409, "GPH-130");
    }
    bob.send(Method::PATCH, &anns_path, Some(json!({"role": "owner"})), Some("*")).await.is(200);
    bob.send(Method::DELETE, &bobs_path, None, Some("*")).await.is(204);
    ann.get(&folder).await.is(200);
}

#[tokio::test]
async fn claiming() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    let bob = world.user("bob").await;
    let pending = ann.claim(DEVICE_X).await;
    pending.is(201);
    assert_eq!(pending.text("state"), "pending");
    let proof_path = pending.body["links"]["proof"].as_str().unwrap().to_owned();
    let right = answer(DEVICE_X, &pending.text("device"), Purpose::Claim, &pending.body["proof"]);
    bob.post(&proof_path, json!({"answer": right})).await.refused(403, "GPH-017");
    ann.post(&proof_path, json!({"answer": "0".repeat(64)})).await.refused(401, "GPH-033");
    let claimed = ann.post(&proof_path, json!({"answer": right})).await;
    claimed.is(200);
    assert_eq!(claimed.text("state"), "claimed");
    assert_ne!(claimed.etag(), pending.etag());
    let fingerprint = private_key(DEVICE_X).spki().fingerprint(DEFAULT);
    assert_eq!(claimed.text("fingerprint"), meshproof_proto::codec::hex(&fingerprint));
    ann.post(&proof_path, json!({"answer": right})).await.refused(401, "GPH-033");

    bob.claim(DEVICE_X).await.refused(409, "GPH-031");
    // The weak key's SPKI is not one; its PKCS#8 is not one either.
    let weak = json!({"name": "x", "spki": STANDARD.encode(pkcs8(DEVICE_WEAK))});
    ann.post("/mesh/devices", weak).await.refused(422, "GPH-030");
    // Nor is a key whose modulus is even: the exponent 65537 takes the last 5 bytes.
    let mut even = private_key(DEVICE_X).spki().der().to_vec();
    let at = even.len() - 6;
    even[at] &= 0xFE;
    let even = json!({"name": "x", "spki": STANDARD.encode(even)});
    ann.post("/mesh/devices", even).await.refused(422, "GPH-030");
    ann.post("/mesh/devices", json!({"name": "x", "spki": "?"})).await.refused(422, "GPH-006");

    let path = format!("/mesh/devices/{}", claimed.text("device"));
    bob.get(&path).await.refused(403, "GPH-017");
    bob.get(&format!("/mesh/devices/{}", "0".repeat(32))).await.refused(403, "GPH-017");
    let renamed = ann.send(Method::PATCH, &path, Some(json!({"name": "NAS"})), Some(&claimed.etag())).await;
    renamed.is(200);
    assert_eq!(ann.get("/mesh/devices").await.body["items"][0]["name"], "NAS");
}

#[tokio::test]
async fn a_device_makes_no_successor() {
    // GPH-035
    let world = World::new().await;
    let ann = world.user("ann").await;
    let (x, y) = (ann.claimed(DEVICE_X).await, ann.claimed(DEVICE_Y).await);
    let stolen = ann.device(&x, DEVICE_X).await;
    stolen.claim(DEVICE_Z).await.refused(403, "GPH-035");
    let pending = ann.claim(DEVICE_Z).await;
    let proof = pending.body["links"]["proof"].as_str().unwrap();
    let right =
        json!({"answer": answer(DEVICE_Z, &pending.text("device"), Purpose::Claim, &pending.body["proof"])});
    stolen.post(proof, right.clone()).await.refused(403, "GPH-035");
    ann.post(proof, right).await.is(200);
    let (x, y) = (format!("/mesh/devices/{x}"), format!("/mesh/devices/{y}"));
    let name = || Some(json!({"name": "mine"}));
    stolen.send(Method::PATCH, &y, name(), Some("*")).await.refused(403, "GPH-035");
    stolen.send(Method::DELETE, &y, None, Some("*")).await.refused(403, "GPH-035");
    // Itself it may rename, and give up.
    stolen.send(Method::PATCH, &x, name(), Some("*")).await.is(200);
    stolen.send(Method::DELETE, &x, None, Some("*")).await.is(204);
    stolen.get(&y).await.refused(401, "TKT-031");
}

#[tokio::test]
async fn meeting() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let (x, y) = (ann.claimed(DEVICE_X).await, bob.claimed(DEVICE_Y).await);
    let y_path = format!("/mesh/devices/{y}");
    let (dev_x, dev_y) = (ann.device(&x, DEVICE_X).await, bob.device(&y, DEVICE_Y).await);
    let pair_of = |session: &crate::common::Session<'_>, device: &str| {
        let path = format!("/mesh/devices/{device}/pair");
        let (http, url) = (&session.world.http, session.world.url(&path));
        let request =
            http.post(url).header("authorization", format!("MeshTicket {}", session.tickets.join(",")));
        async move { Answer::of(request).await }
    };
    pair_of(&dev_x, &y).await.refused(403, "GPH-040");
    pair_of(&dev_x, &"0".repeat(32)).await.refused(403, "GPH-040");
    pair_of(&ann, &y).await.refused(403, "GPH-043");

    // Share a folder, map it on both.
    let folder = ann.folder(json!({"name": "Photos"})).await;
    ann.share(&folder, &mut bob, "contributor").await;
    let (map_x, map_y) = (format!("{folder}/mappings/{x}"), format!("{folder}/mappings/{y}"));
    ann.put(&map_y, json!({})).await.refused(403, "GPH-016");
    ann.put(&map_x, json!({})).await.is(201);
    ann.put(&map_x, json!({})).await.is(200);
    pair_of(&dev_x, &y).await.refused(403, "GPH-040");
    bob.put(&map_y, json!({})).await.is(201);

    // Addresses.
    let endpoints = format!("{y_path}/endpoints");
    let here = json!({"addresses": ["192.0.2.1:22000"], "ttl": 30});
    bob.put(&endpoints, here.clone()).await.refused(403, "GPH-041");
    dev_y.put(&endpoints, json!({"addresses": ["x"], "ttl": 30})).await.refused(422, "GPH-006");
    dev_y.put(&endpoints, here).await.is(200);
    assert_eq!(dev_x.get(&endpoints).await.body["addresses"], json!(["192.0.2.1:22000"]));
    let carl = world.user("carl").await;
    carl.get(&endpoints).await.refused(403, "GPH-017");

    let paired = pair_of(&dev_x, &y).await;
    paired.is(200);
    assert_eq!(paired.body["device"]["addresses"], json!(["192.0.2.1:22000"]));
    check_pair_ticket(&world, &paired.body, [&x, &y], Id::parse(&folder[folder.len() - 32..]).unwrap());
    world.clock.advance(30);
    assert_eq!(dev_x.get(&endpoints).await.body["addresses"], json!([])); // GPH-042

    // Devices that are pending or revoked.
    let z = ann.claim(DEVICE_Z).await.text("device");
    pair_of(&dev_x, &z).await.refused(409, "GPH-032");
    ann.put(&format!("{folder}/mappings/{z}"), json!({})).await.refused(409, "GPH-032");
    ann.send(Method::DELETE, &format!("/mesh/devices/{z}"), None, Some("*")).await.is(204);
    pair_of(&dev_x, &z).await.refused(403, "GPH-034");
    bob.send(Method::DELETE, &y_path, None, Some("*")).await.is(204);
    bob.get(&map_y).await.refused(404, "GPH-004");
    pair_of(&dev_x, &y).await.refused(403, "GPH-040");
}

/// The device of the other side decides by the ticket alone.
fn check_pair_ticket(world: &World, paired: &Value, [x, y]: [&str; 2], folder: Id) {
    let (x, y) = (Id::parse(x).unwrap(), Id::parse(y).unwrap());
    let mut verifier = Verifier::new(DEFAULT, device_audience(y));
    let running = world.running.as_ref().unwrap();
    verifier.trust(running.issuer.clone(), std::slice::from_ref(&running.issuer_key)).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(paired["ticket"].as_str().unwrap()).unwrap();
    let now = UnixTime(meshproof_cloud::Clock::now(&*world.clock).0);
    let (key_x, key_y) = (private_key(DEVICE_X), private_key(DEVICE_Y));
    assert!(verifier.verify(&bytes, now, Presenter::Anyone).is_err());
    let ticket = verifier.verify(&bytes, now, Presenter::Holder(key_x.spki())).unwrap();
    let grounds = pair::grounds(&ticket, y, &key_y.spki().fingerprint(DEFAULT)).unwrap();
    assert_eq!((grounds.initiator, grounds.user), (x, None));
    let [shared] = grounds.folders[..] else { panic!("{grounds:?}") };
    assert_eq!(shared.folder, folder);
    assert_eq!((shared.initiator_role, shared.responder_role), (Role::Owner, Role::Contributor));
}

#[tokio::test]
async fn entries() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let entries = format!("{folder}/feeds/files/entries");
    let path = format!("{entries}/{}", "1".repeat(32));
    ann.get(&path).await.refused(404, "GPH-004");
    for bad in ["../x", "/x", "a:b", "con", "u\u{308}"] {
        ann.put(&path, file(bad)).await.refused(422, "GPH-050");
    }
    let mut no_hash = file("a");
    no_hash["hash"] = "x".into();
    ann.put(&path, no_hash).await.refused(422, "GPH-006");
    let written = ann.put(&path, file("a/b.txt")).await;
    written.is(201);
    let read = ann.get(&path).await;
    assert_eq!((read.etag(), &read.body), (written.etag(), &written.body));
    assert_eq!(read.body["links"]["self"], path);
    let directory =
        json!({"path": "a", "kind": "directory", "version": {"22222222222222222222222222222222": 1}});
    ann.put(&format!("{entries}/{}", "2".repeat(32)), directory).await.is(201);

    // Of two writers one learns that it lost.
    let write = |name: &'static str, etag: Option<String>| {
        let (ann, path) = (&ann, &path);
        async move { ann.send(Method::PUT, path, Some(file(name)), etag.as_deref()).await }
    };
    write("c", None).await.refused(428, "GPH-012");
    let (first, second) = tokio::join!(write("c", Some(written.etag())), write("d", Some(written.etag())));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);

    // A tombstone stays in the list.
    let etag = ann.get(&path).await.etag();
    ann.send(Method::DELETE, &path, None, None).await.refused(428, "GPH-012");
    ann.send(Method::DELETE, &path, None, Some(&etag)).await.is(204);
    ann.get(&path).await.refused(410, "GPH-051");
    let listed = ann.get(&entries).await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let mut tombstone = listed["items"][0].clone();
    let etag = tombstone["etag"].take();
    assert_ne!(etag, Value::Null);
    assert_eq!(tombstone.as_object().unwrap().len(), 5, "{tombstone}");
    assert_eq!(tombstone["deleted"], true);
    // And can be written again.
    write("e", None).await.refused(428, "GPH-012");
    write("e", Some(etag.as_str().unwrap().into())).await.is(200);
}

#[tokio::test]
async fn a_deletion_that_does_not_fit_the_version() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let path = format!("{folder}/feeds/files/entries/{}", "1".repeat(32));
    let mut full = file("a");
    let devices = (0..64).map(|n| (format!("{n:032x}"), json!(1)));
    full["version"] = Value::Object(devices.collect());
    let written = ann.put(&path, full.clone()).await;
    written.is(201);
    ann.send(Method::DELETE, &path, None, Some(&written.etag())).await.refused(422, "GPH-006");
    // Who has a place in it deletes.
    full["version"].as_object_mut().unwrap().remove(&format!("{:032x}", 0));
    full["version"][&ann.id] = json!(1);
    let written = ann.send(Method::PUT, &path, Some(full), Some(&written.etag())).await;
    ann.send(Method::DELETE, &path, None, Some(&written.etag())).await.is(204);
}

fn file(path: &str) -> Value {
    json!({
        "path": path,
        "kind": "file",
        "size": 3,
        "hash": "0".repeat(64),
        "version": {"11111111111111111111111111111111": 1},
    })
}
