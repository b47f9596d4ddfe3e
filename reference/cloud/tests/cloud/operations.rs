//! What whoever operates the cloud relies on: logs without secrets, metrics, health, drain, backup and restore.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Body, Frame};
use meshproof_cloud::{Config, backup, restore};
use meshproof_proto::identity::Purpose;
use meshproof_proto::storage::MediaHash;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender};

use crate::common::{DEVICE_X, PASSWORD, Session, World, answer};

fn meshd(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshd"));
    command.arg("--data").arg(data);
    command
}

/// A server in a process of its own, stopped with SIGTERM.
struct Server(Child);

impl Server {
    fn start(command: &mut Command, data: &Path) -> (Self, World) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let ca_pem = std::fs::read_to_string(data.join("ca.pem")).unwrap();
        (Self(child), World::at(url.trim().into(), ca_pem))
    }

    fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The log and the exit code, once it has ended.
    fn end(mut self) -> (String, Option<i32>) {
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (log, self.0.wait().unwrap().code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bytes(seed: usize) -> Vec<u8> {
    format!("content {seed} ").into_bytes().repeat(100)
}

async fn put(session: &Session<'_>, folder: &str, seed: usize) -> String {
    let hash = MediaHash::of(&bytes(seed)).to_string();
    session.put_media(folder, &hash, &bytes(seed)).await.is(201);
    hash
}

/// Everything secret that a run of the cloud sees, and a log that has none of it, at the level that says most.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_no_secrets_and_cites_requirements() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let file = dir.path().join("meshd.toml");
    std::fs::write(&file, "[log]\nformat = \"json\"\nfilter = \"trace\"\n").unwrap();
    let mut command = meshd(&data);
    command.arg("--config").arg(&file).args(["--listen", "127.0.0.1:0"]);
    let (mut server, world) = Server::start(&mut command, &data);
    // The pipe is read all the time, or the server would wait for it.
    let mut pipe = server.0.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut log = String::new();
        pipe.read_to_string(&mut log).unwrap();
        log
    });

    let mut secrets: Vec<String> = vec![PASSWORD.into(), "canary wrong password".into()];
    let mut ann = world.user("ann").await;
    let wrong = json!({"name": "ann", "password": "canary wrong password"});
    world.post("/identity/token", wrong).await.refused(401, "IDN-002");
    let id = ann.claimed(DEVICE_X).await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    put(&ann, &folder, 1).await;
    let challenge = world.post("/tickets/challenge", json!({"device": id})).await.body;
    let proof = answer(DEVICE_X, &id, Purpose::SignIn, &challenge);
    secrets.push(proof.clone());
    let proof = json!({"device": id, "challenge": challenge["challenge"], "answer": proof});
    let device = world.post("/tickets/device", proof.clone()).await;
    device.is(200);
    secrets.extend(crate::common::strings(&device.body["tickets"]));
    world.post("/tickets/device", proof).await.refused(401, "IDN-011");
    let refused = ann.get("/mesh/objects/00000000000000000000000000000000").await;
    let request = refused.headers["x-request-id"].to_str().unwrap().to_owned();
    let mut altered = ann.tickets.clone();
    altered[0].replace_range(100..104, "AAAA");
    secrets.extend(altered.iter().cloned());
    let forger = world.bearer(altered);
    forger.get("/mesh").await.refused(401, "TKT-031");
    secrets.push(ann.token.clone());
    secrets.extend(ann.tickets.iter().cloned());
    for name in ["master.key", "ca.key"] {
        let text = std::fs::read_to_string(data.join(name)).unwrap();
        secrets.extend(text.lines().filter(|line| !line.contains("-----")).map(str::to_owned));
    }

    server.terminate();
    let log = tokio::task::spawn_blocking(move || reading.join().unwrap()).await.unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
    assert!(secrets.iter().all(|secret| secret.len() > 8), "every secret can be searched for");
    for secret in &secrets {
        // Parts are secrets, too: what goes over a line is cut.
        let (start, whole) = (&secret[..secret.len().min(60)], secret.as_str());
        let tail = &secret[secret.len().saturating_sub(60)..];
        for form in [start.to_owned(), tail.to_owned(), STANDARD.encode(whole)] {
            let shown = log.lines().find(|line| line.contains(&form));
            assert!(shown.is_none(), "{form} is in {shown:?}");
        }
    }
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refusal =
        lines.iter().find(|line| line["message"] == "refused" && line["span"]["id"] == request.as_str());
    let refusal = refusal.unwrap_or_else(|| panic!("no line of the request {request}"));
    assert_eq!((&refusal["requirement"], &refusal["status"]), (&json!("GPH-002"), &json!(403)));
    let precise = lines.iter().any(|line| {
        let requirement = line["requirement"].as_str().unwrap_or_default();
        line["message"] == "ticket set rejected"
            && requirement.starts_with("TKT-")
            && requirement != "TKT-031"
    });
    assert!(precise, "the log says why the set was rejected");
}

/// SIGTERM: what is under way ends well, nothing new comes, exit code 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_finished() {
    let data = tempfile::tempdir().unwrap();
    let mut command = meshd(data.path());
    command.args(["--listen", "127.0.0.1:0", "--log", "info"]);
    let (server, world) = Server::start(&mut command, data.path());
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let hash = MediaHash::of(b"one two").to_string();

    let (pieces, body) = in_pieces();
    let request = world
        .http
        .put(world.url(&format!("{folder}/media/{hash}")))
        .header("authorization", format!("MeshTicket {}", ann.tickets.join(",")))
        .body(body);
    let upload = tokio::spawn(request.send());
    pieces.send(b"one ".to_vec()).await.unwrap();
    // The server has begun with it when the file for it is there.
    let incoming = data.path().join("incoming");
    while std::fs::read_dir(&incoming).unwrap().next().is_none() {
        tokio::task::yield_now().await;
    }
    server.terminate();
    // It does not accept any more, soon.
    let address = world.url.trim_start_matches("https://").to_owned();
    while tokio::net::TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    pieces.send(b"two".to_vec()).await.unwrap();
    drop(pieces);
    assert_eq!(upload.await.unwrap().unwrap().status(), 201);
    drop(world); // with its connections
    let (log, code) = tokio::task::spawn_blocking(|| server.end()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
}

/// A body that comes in pieces, when the test sends them.
struct Pieces(Receiver<Vec<u8>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece.into()))))
    }
}

fn in_pieces() -> (Sender<Vec<u8>>, reqwest::Body) {
    let (pieces, body) = tokio::sync::mpsc::channel(1);
    (pieces, reqwest::Body::wrap(Pieces(body)))
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health() {
    let data = tempfile::tempdir().unwrap();
    let listen = Some(([127, 0, 0, 1], 0).into());
    let mut world = World::on(data.path(), |config| config.operations.listen = listen).await;
    let base = format!("http://{}", world.running.as_ref().unwrap().operations.unwrap());
    let get = async |path: &str| {
        let response = reqwest::get(format!("{base}{path}")).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let mut ann = world.user("ann").await;
    ann.get("/mesh").await.is(200);
    let photos = ann.folder(json!({"name": "Photos"})).await;
    let hash = put(&ann, &photos, 0).await;
    ann.get(&format!("{photos}/media/{hash}")).await.is(200);
    world.get("/mesh").await.refused(401, "GPH-001");
    let folder = "/mesh/objects/0123456789abcdef0123456789abcdef";
    ann.get(folder).await.refused(403, "GPH-002");
    ann.send(Method::from_bytes(b"BREW").unwrap(), "/mesh", None, None).await.refused(405, "GPH-005");

    let (status, text) = get("/metrics").await;
    assert_eq!(status, 200);
    for wanted in [
        "meshd_requests_total{method=\"GET\",route=\"/mesh\",status=\"200\"} ",
        "meshd_requests_total{method=\"GET\",route=\"/mesh/objects/{folder}\",status=\"403\"} ",
        "meshd_requests_total{method=\"other\",route=\"/mesh\",status=\"405\"} ",
        "meshd_request_seconds_count{method=\"POST\",route=\"/identity/token\"} ",
        "meshd_refusals_total{requirement=\"GPH-001\"} ",
        "meshd_store_seconds_bucket{operation=\"write\",le=\"+Inf\"} ",
        "meshd_blob_seconds_count{operation=\"keep\"} ",
        "meshd_blob_seconds_count{operation=\"write\"} ",
        "meshd_blob_seconds_count{operation=\"open\"} ",
        "meshd_blob_seconds_count{operation=\"read\"} ",
        "meshd_tickets_issued_total ",
        "meshd_tickets_verified_total ",
    ] {
        let line = text.lines().find_map(|line| line.strip_prefix(wanted));
        assert!(
            line.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count > 0)),
            "{wanted}\n{text}"
        );
    }
    let queue = ann.post("/mesh/queues", json!({})).await.headers["location"].to_str().unwrap().to_owned();
    let poll = format!("{queue}?wait=60");
    let ends = async {
        while get("/metrics").await.1.contains("meshd_polls_waiting 0") {
            tokio::task::yield_now().await;
        }
        ann.send(Method::DELETE, &queue, None, None).await.is(204);
    };
    tokio::join!(ann.get(&poll), ends).0.refused(410, "GPH-071");
    // Names and identifiers of people's things are not labels.
    assert!(!text.contains("ann") && !text.contains("0123456789abcdef"), "{text}");

    assert_eq!(get("/health/live").await, (200, "live\n".into()));
    let ready = |ready, draining, store| json!({"ready": ready, "draining": draining, "store": store});
    let health = async || {
        let (status, body) = get("/health/ready").await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    assert_eq!(health().await, (200, ready(true, false, true)));
    // Somebody else holds the database: no write can begin.
    let holder = rusqlite::Connection::open(data.path().join("meshd.sqlite")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(health().await, (503, ready(false, false, false)));
    holder.execute_batch("ROLLBACK").unwrap();
    drop(holder);

    // While a request is under way the server drains, and says so.
    let (pieces, body) = in_pieces();
    let request = world.http.post(world.url("/identity/token")).body(body);
    let waiting = tokio::spawn(request.send());
    pieces.send(b"{".to_vec()).await.unwrap();
    while !get("/metrics").await.1.contains("meshd_requests_open 1") {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(world.running.take().unwrap().shutdown());
    while health().await.0 == 200 {
        tokio::task::yield_now().await;
    }
    let (status, body) = health().await;
    assert_eq!((status, &body["draining"]), (503, &json!(true)));
    drop(pieces);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 422);
    drop(world);
    stopping.await.unwrap().unwrap();
}

/// A backup that is made while files come and go is complete, and what it restores works.
#[tokio::test(flavor = "multi_thread")]
async fn backup_during_writes_and_restore() {
    let dir = tempfile::tempdir().unwrap();
    let (data, saved, again) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("again"));
    let world = World::on(&data, |_| ()).await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    let before = put(&ann, &folder, 0).await;
    let device = ann.claimed(DEVICE_X).await;

    let stop = Arc::new(AtomicBool::new(false));
    let writing = async {
        let mut written = 0;
        while !stop.load(Ordering::SeqCst) {
            // A folder that comes and goes, with its bytes, and files that stay.
            let made = ann.post("/mesh/objects", json!({"name": "Passing"})).await;
            let passing = made.headers["location"].to_str().unwrap().to_owned();
            let ticket = made.headers["mesh-ticket"].to_str().unwrap().to_owned();
            let tickets = [&ann.tickets[..], &[ticket]].concat();
            let owner = world.bearer(tickets);
            written += 1;
            put(&owner, &passing, 2 * written).await;
            put(&ann, &folder, 2 * written + 1).await;
            let etag = owner.get(&passing).await.etag();
            owner.send(Method::DELETE, &passing, None, Some(&etag)).await.is(204);
        }
        written
    };
    std::fs::write(data.join("oidc-example.secret"), "given by a provider").unwrap();
    let config = Config::new(&data);
    let backing = async {
        let mut reports = Vec::new();
        for round in 0..8 {
            let (config, to) = (config.clone(), saved.with_extension(round.to_string()));
            reports.push(tokio::task::spawn_blocking(move || backup(&config, &to)).await.unwrap().unwrap());
        }
        stop.store(true, Ordering::SeqCst);
        reports
    };
    let (written, reports) = tokio::join!(writing, backing);
    assert!(written > 0 && reports.iter().all(|report| report.blobs > 0), "{written} {reports:?}");
    let saved = saved.with_extension("7");
    assert!(backup(&config, &saved).unwrap_err().to_string().contains("exists already"));

    // Everything that a row of any of the backups names is there, byte for byte.
    for round in 0..8 {
        let saved = dir.path().join(format!("backup.{round}"));
        let rows = rusqlite::Connection::open(saved.join("meshd.sqlite")).unwrap();
        let mut select = rows
            .prepare("SELECT b.object, m.hash, m.size FROM media m JOIN blobs b ON b.hash = m.hash")
            .unwrap();
        let media: Vec<(String, String, i64)> = select
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (object, hash, size) in media {
            let blob = std::fs::read(saved.join("blobs").join(&object[..2]).join(&object[2..])).unwrap();
            assert_eq!((MediaHash::of(&blob).to_string(), i64::try_from(blob.len()).unwrap()), (hash, size));
        }
    }

    let tokens = ann.token.clone();
    let old_ca = world.ca_pem.clone();
    drop(ann);
    drop(world);
    restore(&Config::new(&again), &saved).unwrap();
    assert!(restore(&Config::new(&again), &saved).unwrap_err().to_string().contains("already"));
    let secret = std::fs::read_to_string(again.join("oidc-example.secret")).unwrap();
    assert_eq!(secret, "given by a provider");
    let world = World::on(&again, |_| ()).await;
    assert_eq!(world.ca_pem, old_ca, "clients trust it as before");
    let mut ann = world.session("ann");
    let old = world.http.post(world.url("/tickets")).bearer_auth(tokens);
    crate::common::Answer::of(old).await.refused(401, "IDN-007");
    ann.sign_in().await;
    assert!(ann.get(&format!("{folder}/media/{before}")).await.bytes == bytes(0));
    world.post("/tickets/challenge", json!({"device": device})).await.is(200);
    assert_eq!(ann.device(&device, DEVICE_X).await.get("/mesh").await.status, 200);
    let (config, to) = (Config::new(&again), dir.path().join("of-the-restored"));
    tokio::task::spawn_blocking(move || backup(&config, &to)).await.unwrap().unwrap();
}
