//! File bytes and quota (`spec/storage.md`).

use crate::common::{Answer, World};
use meshproof_proto::storage::MediaHash;
use reqwest::Method;
use serde_json::json;

fn hash(bytes: &[u8]) -> String {
    MediaHash::of(bytes).to_string()
}

#[tokio::test]
async fn bytes_come_back() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let other = ann.folder(json!({"name": "Other"})).await;
    for bytes in [vec![], vec![7; 3], (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect()] {
        let hash = hash(&bytes);
        let path = format!("{folder}/media/{hash}");
        ann.get(&path).await.refused(404, "STO-005");
        ann.put_media(&folder, &hash, &bytes).await.is(201);
        ann.put_media(&folder, &hash, &bytes).await.is(200);
        let got = ann.get(&path).await;
        got.is(200);
        assert_eq!(got.headers["content-type"], "application/octet-stream");
        assert_eq!(got.headers["content-length"], bytes.len().to_string().as_str());
        assert_eq!(got.etag(), format!("\"{hash}\""));
        assert!(got.bytes == bytes);
        let head = ann.send(Method::HEAD, &path, None, None).await;
        head.is(200);
        assert_eq!(head.headers["content-length"], bytes.len().to_string().as_str());
        assert!(head.bytes.is_empty());
        // Another folder does not hold it, and a stranger gets nothing.
        ann.get(&format!("{other}/media/{hash}")).await.refused(404, "STO-005");
        bob.get(&path).await.refused(403, "STO-007");
        bob.put_media(&folder, &hash, &bytes).await.refused(403, "STO-007");
    }
    ann.share(&folder, &mut bob, "reader").await;
    bob.sign_in().await;
    bob.get(&format!("{folder}/media/{}", hash(b""))).await.is(200);
    bob.put_media(&folder, &hash(b"x"), b"x").await.refused(403, "STO-007");
}

#[tokio::test]
async fn what_is_not_kept() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let path = format!("{folder}/media/{}", hash(b"right"));
    ann.put_media(&folder, &hash(b"right"), b"wrong").await.refused(422, "STO-001");
    ann.get(&path).await.refused(404, "STO-005");
    assert_eq!(ann.get("/mesh").await.body["used"], 0);
    let p2p = ann.folder(json!({"name": "Private", "storage": "p2p"})).await;
    ann.put_media(&p2p, &hash(b"right"), b"right").await.refused(409, "STO-003");
    // Over HTTP/1.1 too the answer is seen while the client still sends.
    let request = world.http1().put(world.url(&path)).body(vec![0; 4_000_000]);
    let tickets = format!("MeshTicket {}", ann.tickets.join(","));
    Answer::of(request.header("authorization", tickets)).await.refused(422, "STO-001");
}

#[tokio::test]
async fn the_quota_is_exact() {
    let world = World::with(|config| config.storage.quota = 100).await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let other = ann.folder(json!({"name": "Other"})).await;
    ann.share(&folder, &mut bob, "contributor").await;
    bob.sign_in().await;
    let put = |session, folder, bytes: Vec<u8>| put(session, folder, bytes);
    put(&bob, &folder, vec![1; 60]).await.is(201);
    put(&bob, &folder, vec![1; 60]).await.is(200);
    put(&ann, &other, vec![1; 41]).await.refused(507, "STO-002");
    put(&ann, &other, vec![1; 60]).await.refused(507, "STO-002"); // charged once for each folder
    put(&ann, &other, vec![1; 40]).await.is(201);
    put(&ann, &other, vec![1; 1]).await.refused(507, "STO-002");
    assert_eq!(ann.get("/mesh").await.body["used"], 100);
    assert_eq!(bob.get("/mesh").await.body["used"], 0, "the creator is charged");
    // What is held is still there; freed space can be used again.
    ann.send(Method::DELETE, &folder, None, Some("*")).await.is(204);
    assert_eq!(ann.get("/mesh").await.body["used"], 40);
    put(&ann, &other, vec![1; 60]).await.is(201);
    ann.get(&format!("{other}/media/{}", hash(&[1; 40]))).await.is(200);
}

async fn put(session: &crate::common::Session<'_>, folder: &str, bytes: Vec<u8>) -> Answer {
    session.put_media(folder, &hash(&bytes), &bytes).await
}

#[tokio::test]
async fn many_at_once_stay_below_the_quota() {
    let world = World::with(|config| config.storage.quota = 100).await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let puts = (0..20_u8).map(|n| {
        let url = world.url(&format!("{folder}/media/{}", hash(&[n; 30])));
        let tickets = format!("MeshTicket {}", ann.tickets.join(","));
        let request = world.http.put(url).header("authorization", tickets).body(vec![n; 30]);
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    });
    let mut kept = 0;
    for put in puts.collect::<Vec<_>>() {
        kept += u32::from(put.await.unwrap() == 201);
    }
    assert_eq!(kept, 3);
    assert_eq!(ann.get("/mesh").await.body["used"], 90);
}

#[tokio::test]
async fn all_survives_a_restart() {
    // STO-006; and issuer, authority and accounts stay what they were.
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |_| ()).await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    put(&ann, &folder, b"bytes".to_vec()).await.is(201);
    let (tickets, id, ca) = (ann.tickets.clone(), ann.id.clone(), world.ca_pem.clone());
    let old_client = world.http.clone();
    drop(world.running); // no graceful end

    let world = World::on(data.path(), |_| ()).await;
    assert_eq!(world.ca_pem, ca);
    let ann = crate::common::Session { id, name: "ann".into(), ..world.bearer(tickets) };
    let got = ann.get(&format!("{folder}/media/{}", hash(b"bytes"))).await;
    assert_eq!(got.bytes, b"bytes");
    // Who trusted the authority before still does.
    let tickets = format!("MeshTicket {}", ann.tickets.join(","));
    let request = old_client.get(world.url("/mesh")).header("authorization", tickets);
    assert_eq!(Answer::of(request).await.body["used"], 5);

    #[cfg(unix)]
    for file in ["master.key", "ca.key", "meshd.sqlite", "meshd.sqlite-wal"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(data.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}
