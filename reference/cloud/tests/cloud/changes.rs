//! The log of changes: deltas, watermarks, news (`spec/graph.md`, section 4.6).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{DEVICE_X, Session, World};

fn directory(path: &str, writer: &str, counter: u64) -> Value {
    json!({"path": path, "kind": "directory", "version": {writer: counter}})
}

fn id(n: u64) -> String {
    format!("{n:032x}")
}

/// What who follows the delta of a folder knows: by entry its tag.
#[derive(Default)]
struct View {
    entries: BTreeMap<String, String>,
    watermark: Option<String>,
}

impl View {
    /// Reads one page. Whether there is more.
    async fn step(&mut self, session: &Session<'_>, folder: &str, limit: u64) -> bool {
        let since = self.watermark.as_ref().map(|mark| format!("&since={mark}")).unwrap_or_default();
        let page = session.get(&format!("{folder}/feeds/files/sync?limit={limit}{since}")).await;
        page.is(200);
        for item in page.body["items"].as_array().unwrap() {
            self.entries.insert(item["entry"].to_string(), item["etag"].to_string());
        }
        self.watermark = Some(page.text("watermark"));
        page.body["more"] == json!(true)
    }
}

async fn truth(session: &Session<'_>, folder: &str) -> BTreeMap<String, String> {
    let all = session.get(&format!("{folder}/feeds/files/entries")).await.body;
    let items = all["items"].as_array().unwrap();
    items.iter().map(|item| (item["entry"].to_string(), item["etag"].to_string())).collect()
}

/// Writers write and delete, a reader reads small pages all the while (GPH-062).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_while_others_write() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "x"})).await;
    let writer = async |first: u64| {
        for n in 0..40_u64 {
            let entry = format!("{folder}/feeds/files/entries/{}", id(first + n));
            let body = directory(&format!("d{}", first + n), &ann.id, 1);
            let made = ann.put(&entry, body.clone()).await;
            made.is(201);
            if n % 3 == 1 {
                ann.send(Method::PUT, &entry, Some(body), Some(&made.etag())).await.is(200);
            } else if n % 3 == 2 {
                ann.send(Method::DELETE, &entry, None, Some(&made.etag())).await.is(204);
            }
        }
    };
    let done = AtomicBool::new(false);
    let mut view = View::default();
    let writers = async {
        tokio::join!(writer(1_000), writer(2_000), writer(3_000));
        done.store(true, Ordering::SeqCst);
    };
    let reader = async {
        loop {
            let last_round = done.load(Ordering::SeqCst);
            while view.step(&ann, &folder, 3).await {}
            if last_round {
                break;
            }
        }
    };
    tokio::join!(writers, reader);
    assert_eq!(view.entries.len(), 120);
    assert_eq!(view.entries, truth(&ann, &folder).await);
}

/// Who restores a backup is behind the clients: what they know is not taken for what is in it (GPH-061).
#[tokio::test]
async fn a_restored_backup() {
    let data = tempfile::tempdir().unwrap();
    let database = data.path().join("meshd.sqlite");
    let world = World::on(data.path(), |_| ()).await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "x"})).await;
    let sync = format!("{folder}/feeds/files/sync");
    let entry = |n| format!("{folder}/feeds/files/entries/{}", id(n));
    ann.put(&entry(1), directory("a", &ann.id, 1)).await.is(201);
    let before = ann.get(&sync).await.text("watermark");
    rusqlite::Connection::open(&database)
        .unwrap()
        .execute("VACUUM INTO ?1", [data.path().join("backup").to_str().unwrap()])
        .unwrap();
    ann.put(&entry(2), directory("b", &ann.id, 1)).await.is(201);
    let after = ann.get(&sync).await.text("watermark");
    ann.get(&format!("{sync}?since={after}")).await.is(200);
    let tickets = std::mem::take(&mut ann.tickets);
    world.running.unwrap().shutdown().await.unwrap();

    for name in ["meshd.sqlite-wal", "meshd.sqlite-shm"] {
        let _ = std::fs::remove_file(data.path().join(name));
    }
    std::fs::copy(data.path().join("backup"), &database).unwrap();
    let restored = World::on(data.path(), |_| ()).await;
    let ann = restored.bearer(tickets);
    ann.get(&format!("{sync}?since={before}")).await.is(200);
    ann.get(&format!("{sync}?since={after}")).await.refused(410, "GPH-061");
    let Session { tickets, .. } = ann;
    restored.running.unwrap().shutdown().await.unwrap();

    // As a restoring program does it, so that no watermark is mistaken once new numbers reach the old ones.
    rusqlite::Connection::open(&database).unwrap().execute("DELETE FROM epochs", []).unwrap();
    let restored = World::on(data.path(), |_| ()).await;
    let ann = restored.bearer(tickets);
    ann.get(&format!("{sync}?since={before}")).await.refused(410, "GPH-061");
    assert_eq!(ann.get(&sync).await.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn news_of_the_mesh_and_of_folders() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let device = ann.claimed(DEVICE_X).await;
    ann.put(&format!("{folder}/mappings/{device}"), json!({})).await.is(201);
    bob.get(&format!("{folder}/news")).await.refused(403, "GPH-002");
    ann.share(&folder, &mut bob, "reader").await;
    let etag = ann.get(&folder).await.etag();
    ann.send(Method::PATCH, &folder, Some(json!({"name": "Pictures"})), Some(&etag)).await.is(200);
    let path = format!("/mesh/devices/{device}");
    let etag = ann.get(&path).await.etag();
    ann.send(Method::DELETE, &path, None, Some(&etag)).await.is(204);

    let told = async |session: &Session<'_>, path: &str| {
        let news = session.get(path).await;
        news.is(200);
        let item = |item: &Value| format!("{} {}", item["verb"].as_str().unwrap(), item["detail"]);
        let mut told: Vec<String> = news.body["items"].as_array().unwrap().iter().map(item).collect();
        told.reverse();
        told
    };
    let of_folder = [
        r#"member.joined {"name":"ann","role":"owner"}"#,
        r#"mapping.added {"name":"a device"}"#,
        r#"member.joined {"name":"bob","role":"reader"}"#,
        r#"folder.renamed {"name":"Pictures"}"#,
        r#"mapping.removed {"name":"a device"}"#,
    ];
    let news = format!("{folder}/news");
    assert_eq!(told(&ann, &news).await, of_folder);
    assert_eq!(told(&bob, &news).await, of_folder);

    // Of one second the order is that of the feeds, which are random: so of each feed alone.
    let mesh = told(&ann, "/mesh/news").await;
    let own: Vec<&String> = mesh.iter().filter(|told| !of_folder[..3].contains(&told.as_str())).collect();
    for verb in ["folder.appeared", "device.claimed", "device.revoked", "folder.renamed", "mapping.removed"] {
        assert!(own.iter().any(|told| told.starts_with(verb)), "{verb} in {mesh:?}");
    }
    assert_eq!(mesh.len(), of_folder.len() + 4);

    // Who has left reads of the leaving only.
    let member = format!("{folder}/members/{}", bob.id);
    let etag = bob.get(&member).await.etag();
    bob.send(Method::DELETE, &member, None, Some(&etag)).await.is(204);
    bob.get(&news).await.refused(403, "GPH-019");
    let left = told(&bob, "/mesh/news").await;
    let verbs: Vec<&str> = left.iter().filter_map(|told| told.split(' ').next()).collect();
    assert_eq!(verbs, ["invitation.received", "folder.appeared", "folder.renamed", "folder.gone"]);

    // Pages of one.
    let mut next = Some("/mesh/news?limit=1".to_owned());
    let mut count = 0;
    while let Some(path) = next {
        let page = ann.get(&path).await;
        count += page.body["items"].as_array().unwrap().len();
        next = page.body["links"]["next"].as_str().map(str::to_owned);
    }
    assert_eq!(count, mesh.len() + 1); // bob has left meanwhile
    ann.get("/mesh/news?before=1-2-3").await.refused(410, "GPH-061");
    ann.get("/mesh/news?limit=0").await.refused(422, "GPH-066");
}
