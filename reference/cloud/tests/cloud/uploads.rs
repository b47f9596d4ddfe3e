//! Uploads that do not come to their end, and what they leave: nothing.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::common::{Session, World};
use axum::body::Bytes;
use hyper::body::{Body, Frame};
use meshproof_proto::storage::MediaHash;
use serde_json::json;

/// A body that is silent after its first piece.
pub(crate) struct Stalled(pub(crate) Option<Bytes>);

impl Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }
}

fn hash(bytes: &[u8]) -> String {
    MediaHash::of(bytes).to_string()
}

fn put(session: &Session<'_>, folder: &str, hash: &str, body: reqwest::Body) -> reqwest::RequestBuilder {
    let url = session.world.url(&format!("{folder}/media/{hash}"));
    let tickets = format!("MeshTicket {}", session.tickets.join(","));
    session.world.http.put(url).header("authorization", tickets).body(body)
}

/// The bytes of all files below a folder.
pub(crate) fn on_disk(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => on_disk(&entry.path()),
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

/// Waits until it holds, for ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("after ten seconds still not: {what}");
}

#[tokio::test]
async fn stalled_ones_stay_below_the_quota_together() {
    // STO-002
    const QUOTA: u64 = 2_000_000;
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |config| {
        config.storage.quota = QUOTA;
        config.body_idle = Duration::from_secs(3);
    })
    .await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let incoming = data.path().join("incoming");
    let puts: Vec<_> = (0..8_u8)
        .map(|n| {
            let body = reqwest::Body::wrap(Stalled(Some(vec![n; 600_000].into())));
            let request = put(&ann, &folder, &hash(&[n]), body);
            tokio::spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) })
        })
        .collect();
    eventually("three uploads fill the quota", async || on_disk(&incoming) > 1_500_000).await;
    for _ in 0..50 {
        assert!(on_disk(&incoming) <= QUOTA, "{}", on_disk(&incoming));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What is in flight is not there for others.
    let more = vec![9; 700_000];
    ann.put_media(&folder, &hash(&more), &more).await.refused(507, "STO-002");

    // Who is silent for too long is given up, and leaves nothing.
    let mut answers = Vec::new();
    for put in puts {
        answers.extend(put.await.unwrap());
    }
    assert!(
        answers.contains(&507) && answers.iter().all(|status| [422, 507].contains(status)),
        "{answers:?}"
    );
    eventually("incoming is empty", async || on_disk(&incoming) == 0).await;
    let all = vec![9; usize::try_from(QUOTA).unwrap()];
    ann.put_media(&folder, &hash(&all), &all).await.is(201);
    assert_eq!(ann.get("/mesh").await.body["used"], QUOTA);
}

#[tokio::test]
async fn aborted_ones_leave_what_is_charged() {
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |_| ()).await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    for n in 0..40_u8 {
        let bytes = vec![n; 10_000];
        let request = put(&ann, &folder, &hash(&bytes), bytes.into());
        let put = tokio::spawn(request.send());
        tokio::time::sleep(Duration::from_micros(250 * u64::from(n))).await;
        put.abort();
    }
    let (blobs, incoming) = (data.path().join("blobs"), data.path().join("incoming"));
    eventually("used is what is on disk", async || {
        let used = ann.get("/mesh").await.body["used"].as_u64().unwrap();
        used == on_disk(&blobs) && on_disk(&incoming) == 0
    })
    .await;

    // And whoever deletes the folder need not wait for the answer.
    let tickets = format!("MeshTicket {}", ann.tickets.join(","));
    let request = world.http.delete(world.url(&folder)).header("authorization", tickets);
    let delete = tokio::spawn(request.header("if-match", "*").send());
    let gone = async || ann.get(&folder).await.status.as_u16() == 403;
    eventually("the folder has gone", gone).await;
    delete.abort();
    eventually("its bytes have gone", async || on_disk(&blobs) == 0).await;
    assert_eq!(ann.get("/mesh").await.body["used"], 0);
}

#[tokio::test]
async fn files_without_a_row_go_when_the_server_starts() {
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |_| ()).await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    ann.put_media(&folder, &hash(b"held"), b"held").await.is(201);
    world.running.unwrap().shutdown().await.unwrap();

    // All are two hours old but the last, which another server may be about to name in a row.
    let (blobs, incoming) = (data.path().join("blobs"), data.path().join("incoming"));
    let name = hash(b"orphan");
    let folder = blobs.join(&name[..2]);
    std::fs::create_dir_all(&folder).unwrap();
    let [orphan, legacy, foreign, young] = [
        format!("{}-0123456789abcdef", &name[2..]),
        name[2..].into(),
        "README".into(),
        format!("{}-{:016}", &name[2..], 1),
    ]
    .map(|name| folder.join(name));
    let unfinished = incoming.join("x");
    for file in [&orphan, &legacy, &foreign, &young, &unfinished] {
        std::fs::write(file, b"orphan").unwrap();
    }
    let hours_ago = std::time::SystemTime::now() - Duration::from_hours(2);
    for file in files(&blobs).into_iter().chain([unfinished.clone()]).filter(|file| *file != young) {
        std::fs::File::options().append(true).open(file).unwrap().set_modified(hours_ago).unwrap();
    }

    let world = World::on(data.path(), |_| ()).await;
    let gone = || [&orphan, &legacy, &unfinished].iter().all(|file| !file.exists());
    eventually("the orphans have gone", async || gone()).await;
    assert!(foreign.exists() && young.exists());
    drop(world);
    assert_eq!(files(&blobs).len(), 3, "what is held is there");
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Who starts a second one does not mean it.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_server() {
    let data = tempfile::tempdir().unwrap();
    let _world = World::on(data.path(), |_| ()).await;
    let second = meshproof_cloud::start(meshproof_cloud::Config::new(data.path())).await;
    assert!(second.is_err_and(|error| error.to_string().contains("another meshd")));
}

#[tokio::test]
async fn who_comes_second_leaves_the_database_alone() {
    let data = tempfile::tempdir().unwrap();
    let first = std::fs::File::create(data.path().join("meshd.lock")).unwrap();
    first.lock().unwrap();
    let second = meshproof_cloud::start(meshproof_cloud::Config::new(data.path())).await;
    assert!(second.is_err_and(|error| error.to_string().contains("another meshd")));
    assert!(!data.path().join("meshd.sqlite").exists(), "it would be migrated under the first");
}
