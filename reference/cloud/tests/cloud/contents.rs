//! What the cloud holds, and for how long: times that the kit cannot wait for, and many at once.

use std::path::Path;
use std::time::Duration;

use meshproof_proto::storage::MediaHash;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, Session, World};
use crate::meshd::{Server, session};

fn hash(bytes: &[u8]) -> String {
    MediaHash::of(bytes).to_string()
}

fn entry(bytes: &[u8], device: &str) -> Value {
    json!({"path": "a", "kind": "file", "size": bytes.len(), "hash": hash(bytes), "version": {device: 1}})
}

async fn used(session: &Session<'_>) -> (u64, u64) {
    let mesh = session.get("/mesh").await.body;
    (mesh["used"].as_u64().unwrap(), mesh["uploading"].as_u64().unwrap())
}

/// Begins an upload. Returns its path.
async fn begin(session: &Session<'_>, folder: &str, bytes: &[u8]) -> String {
    let body = json!({"hash": hash(bytes), "length": bytes.len()});
    let begun = session.post(&format!("{folder}/uploads"), body).await;
    begun.is(201);
    begun.headers["location"].to_str().unwrap().to_owned()
}

fn patch(session: &Session<'_>, upload: &str, offset: usize, body: reqwest::Body) -> reqwest::RequestBuilder {
    let request = session.world.http.patch(session.world.url(upload));
    let tickets = format!("MeshTicket {}", session.tickets.join(","));
    request.header("authorization", tickets).header("upload-offset", offset).body(body)
}

async fn offset(session: &Session<'_>, upload: &str) -> usize {
    let head = session.send(Method::HEAD, upload, None, None).await;
    head.is(200);
    head.headers["upload-offset"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn bytes_wait_a_day_for_their_entry() {
    // STO-037
    let world = World::with(|config| {
        config.storage.quota = 100;
        config.account.ticket_lifetime = 600;
    })
    .await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let (named, unnamed) = ([1; 60], [2; 40]);
    ann.put_media(&folder, &hash(&named), &named).await.is(201);
    ann.put(&format!("{folder}/feeds/files/entries/{}", "0".repeat(32)), entry(&named, &ann.id))
        .await
        .is(201);
    ann.put_media(&folder, &hash(&unnamed), &unnamed).await.is(201);
    world.clock.advance(86_399);
    ann.sign_in().await;
    ann.put_media(&folder, &hash(&[3; 40]), &[3; 40]).await.refused(507, "STO-002");
    ann.get(&format!("{folder}/media/{}", hash(&unnamed))).await.is(200);
    world.clock.advance(1);
    ann.sign_in().await;
    // Room is made when it is needed, and no later.
    ann.put_media(&folder, &hash(&[3; 40]), &[3; 40]).await.is(201);
    assert_eq!(used(&ann).await, (100, 0));
    ann.get(&format!("{folder}/media/{}", hash(&unnamed))).await.refused(404, "STO-005");
    assert_eq!(ann.get(&format!("{folder}/media/{}", hash(&named))).await.bytes, named);
}

#[tokio::test]
async fn uploads_wait_a_day_for_more() {
    // STO-025
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let upload = begin(&ann, &folder, &[1; 100]).await;
    for (wait, sent) in [(86_399, 10), (86_399, 20)] {
        world.clock.advance(wait);
        ann.sign_in().await;
        Answer::of(patch(&ann, &upload, sent - 10, vec![1; 10].into())).await.is(204);
        assert_eq!(used(&ann).await, (0, sent as u64));
    }
    world.clock.advance(86_400);
    ann.sign_in().await;
    ann.get(&upload).await.refused(404, "STO-024");
    assert_eq!(used(&ann).await, (0, 0));
    Answer::of(patch(&ann, &upload, 20, vec![1; 80].into())).await.refused(404, "STO-024");
}

/// A body that brings a byte now and then, and never ends.
pub(crate) fn dripping() -> reqwest::Body {
    struct Drip(tokio::time::Interval);
    impl hyper::body::Body for Drip {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            let frame = || Some(Ok(hyper::body::Frame::data(axum::body::Bytes::from_static(b"x"))));
            self.0.poll_tick(cx).map(|_| frame())
        }
    }
    reqwest::Body::wrap(Drip(tokio::time::interval(Duration::from_millis(5))))
}

#[tokio::test]
async fn who_is_too_slow_is_given_up() {
    // STO-027
    let world = World::with(|config| {
        config.storage.rate_window = Duration::from_millis(100);
        config.storage.min_rate = 1_000_000;
        config.body_idle = Duration::from_millis(500);
    })
    .await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let url = world.url(&format!("{folder}/media/{}", hash(b"")));
    let tickets = format!("MeshTicket {}", ann.tickets.join(","));
    let put = world.http.put(url).header("authorization", tickets).body(dripping());
    Answer::of(put).await.refused(408, "STO-027");
    // What came of an upload stays.
    let upload = begin(&ann, &folder, &b"x".repeat(100_000)).await;
    Answer::of(patch(&ann, &upload, 0, dripping())).await.refused(408, "STO-027");
    assert_eq!(used(&ann).await.1, offset(&ann, &upload).await as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_is_exact_whatever_comes_at_once() {
    // STO-002, STO-020: PUTs with and without a length, and uploads, for twice the quota.
    const QUOTA: usize = 4_000_000;
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |config| config.storage.quota = QUOTA as u64).await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let tickets = format!("MeshTicket {}", ann.tickets.join(","));
    let sizes: Vec<usize> = (0..36).map(|n| (n * 137_199) % 700_001 + 1).collect();
    assert!(sizes.iter().sum::<usize>() > 2 * QUOTA);
    let mut tasks = Vec::new();
    for (n, size) in sizes.into_iter().enumerate() {
        let bytes = vec![u8::try_from(n).unwrap(); size];
        let (http, url, tickets) = (world.http.clone(), world.url(&folder), tickets.clone());
        tasks.push(tokio::spawn(async move {
            let with = |request: reqwest::RequestBuilder| request.header("authorization", &tickets);
            let hash = hash(&bytes);
            if n % 3 == 2 {
                let body = json!({"hash": hash, "length": size});
                let begun = Answer::of(with(http.post(format!("{url}/uploads"))).json(&body)).await;
                if begun.status != 201 {
                    return (begun.status.as_u16(), size);
                }
                let id = begun.text("upload");
                let half = size / 2;
                let send = |at: usize, part: &[u8]| {
                    let request = with(http.patch(format!("{url}/uploads/{id}")));
                    Answer::of(request.header("upload-offset", at).body(part.to_vec()))
                };
                let first = send(0, &bytes[..half]).await;
                let last = if first.status == 204 { send(half, &bytes[half..]).await } else { first };
                if last.status != 201 {
                    Answer::of(with(http.delete(format!("{url}/uploads/{id}")))).await.is(204);
                }
                return (last.status.as_u16(), size);
            }
            let request = with(http.put(format!("{url}/media/{hash}")));
            let body = reqwest::Body::from(bytes);
            // A wrapped body does not say its length.
            let body = if n % 3 == 1 { reqwest::Body::wrap(Unsized(body)) } else { body };
            (Answer::of(request.body(body)).await.status.as_u16(), size)
        }));
    }
    let mut kept = 0;
    for task in tasks {
        let (status, size) = task.await.unwrap();
        assert!([201, 507].contains(&status), "{status}");
        kept += if status == 201 { size } else { 0 };
    }
    assert!(kept <= QUOTA && kept > QUOTA / 2, "{kept}");
    assert_eq!(used(&ann).await, (kept as u64, 0));
    // What is left can be filled to the byte, and not by one more.
    let left = QUOTA - kept;
    let (fits, more) = (vec![99; left], vec![99; left + 1]);
    ann.put_media(&folder, &hash(&more), &more).await.refused(507, "STO-002");
    ann.put_media(&folder, &hash(&fits), &fits).await.is(201);
    assert_eq!(used(&ann).await, (QUOTA as u64, 0));
}

struct Unsized(reqwest::Body);

impl hyper::body::Body for Unsized {
    type Data = axum::body::Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }
}

/// An upload goes on after the server was killed in the middle of a piece (STO-026).
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_survives_kill() {
    let data = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let (server, world) = Server::start(data.path());
    let mut ann = world.user("ann").await;
    let (id, folder) = (ann.id.clone(), ann.folder(json!({"name": "Photos"})).await);
    let upload = begin(&ann, &folder, &bytes).await;
    Answer::of(patch(&ann, &upload, 0, bytes[..1_500_000].to_vec().into())).await.is(204);
    // The rest is under way, and no more than the first piece of it is kept.
    let rest = patch(&ann, &upload, 1_500_000, bytes[1_500_000..].to_vec().into());
    let rest = tokio::spawn(rest.send());
    crate::uploads::eventually("some of it is on disk", async || {
        crate::uploads::on_disk(&data.path().join("incoming")) > 1_000_000
    })
    .await;
    drop(server); // SIGKILL
    drop(rest.await);

    let (_server, world) = Server::start(data.path());
    let mut ann = session(&world, &id);
    ann.sign_in().await;
    let media = format!("{folder}/media/{}", hash(&bytes));
    if ann.get(&media).await.status != 200 {
        let at = offset(&ann, &upload).await;
        assert!(at >= 1_500_000, "{at}");
        Answer::of(patch(&ann, &upload, at, bytes[at..].to_vec().into())).await.is(201);
    }
    assert!(ann.get(&media).await.bytes == bytes);
    assert_eq!(used(&ann).await, (bytes.len() as u64, 0));
}

/// The server is killed while 1,000 writes are under way: none that was acknowledged is lost (STO-006).
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_writes_survive_kill() {
    const WRITES: u32 = 1_000;
    let data = tempfile::tempdir().unwrap();
    let (server, world) = Server::start(data.path());
    let mut ann = world.user("ann").await;
    let (id, folder) = (ann.id.clone(), ann.folder(json!({"name": "Photos"})).await);
    let tickets = format!("MeshTicket {}", ann.tickets.join(","));
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(64));
    for n in 0..WRITES {
        let (http, url, tickets) = (world.http.clone(), world.url(&folder), tickets.clone());
        let (acknowledge, places, writer) = (acknowledge.clone(), places.clone(), id.clone());
        tokio::spawn(async move {
            let _place = places.acquire_owned().await;
            let bytes = content(n);
            // Every other write is the media, every other the entry that names it.
            let put = http.put(format!("{url}/media/{}", hash(&bytes))).body(bytes.clone());
            let answer = put.header("authorization", &tickets).send().await.ok()?;
            let entry_id = format!("{n:032x}");
            if answer.status() == 201 {
                acknowledge.send((n, false)).ok()?;
                let mut body = entry(&bytes, &writer);
                body["path"] = json!(format!("file {n}"));
                let put = http.put(format!("{url}/feeds/files/entries/{entry_id}")).json(&body);
                let answer = put.header("authorization", &tickets).send().await.ok()?;
                if answer.status() == 201 {
                    acknowledge.send((n, true)).ok()?;
                }
            }
            Some(())
        });
    }
    drop(acknowledge);
    let (mut all, mut server) = (Vec::new(), Some(server));
    while let Some(write) = acknowledged.recv().await {
        all.push(write);
        if all.len() == WRITES as usize / 2 {
            server = None; // SIGKILL, in the middle
        }
    }
    assert!(server.is_none() && all.len() >= WRITES as usize / 2 && all.len() < 2 * WRITES as usize);

    let (_server, world) = Server::start(data.path());
    let mut ann = session(&world, &id);
    ann.sign_in().await;
    let mut charged = 0;
    for (n, is_entry) in &all {
        let bytes = content(*n);
        if *is_entry {
            let entry = ann.get(&format!("{folder}/feeds/files/entries/{n:032x}")).await;
            assert_eq!((entry.text("hash"), entry.text("cloud")), (hash(&bytes), "stored".into()));
        } else {
            let got = ann.get(&format!("{folder}/media/{}", hash(&bytes))).await;
            assert!(got.bytes == bytes, "{n}: {:?}", got.status);
            charged += bytes.len() as u64;
        }
    }
    // Nothing is charged that is not there: every file of the data directory is one that counts, or an orphan.
    let (used, _) = used(&ann).await;
    assert!(used >= charged && used <= crate::uploads::on_disk(Path::new(&data.path().join("blobs"))));
}

fn content(n: u32) -> Vec<u8> {
    n.to_le_bytes().repeat(500 + n as usize % 1_000)
}

/// Whoever says that there are no more bytes can ask for an upload to be put together, which takes as much room as it.
#[tokio::test]
async fn an_upload_is_put_together_once_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |_| ()).await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let bytes = vec![7; 24 * 1_024 * 1_024];
    let begun = json!({"hash": hash(&bytes), "length": bytes.len() + 1});
    let begun = ann.post(&format!("{folder}/uploads"), begun).await;
    let upload = begun.headers["location"].to_str().unwrap();
    Answer::of(patch(&ann, upload, 0, bytes.clone().into())).await.is(204);
    // As a server leaves it that ends when the last byte has come.
    let database = rusqlite::Connection::open(data.path().join("meshd.sqlite")).unwrap();
    database.execute("UPDATE uploads SET length = received", []).unwrap();

    let ends = (0..8).map(|_| tokio::spawn(patch(&ann, upload, bytes.len(), Vec::new().into()).send()));
    let ends: Vec<_> = ends.collect();
    let mut most = 0;
    while !ends.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(data.path().join("incoming").read_dir().unwrap().count());
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(most <= 1, "{most} times the room of the upload");
    let mut answers = Vec::new();
    for end in ends {
        answers.push(end.await.unwrap().unwrap().status().as_u16());
    }
    answers.sort_unstable();
    assert_eq!(answers, [200, 200, 200, 200, 200, 200, 200, 201]);
    assert_eq!(used(&ann).await, (bytes.len() as u64, 0));
}
