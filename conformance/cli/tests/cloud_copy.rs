//! A device and the cloud over a line that breaks: what was sent is not sent again, what came does not come again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meshproof_client::Agent;
use meshproof_client::agent::NewFolder;
use meshproof_client::sync::{Direction, NoProgress};
use meshproof_cloud::{Config, PasswordCost, Running};
use meshproof_proto::crypto::KeyBits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SIZE: usize = 30_000_000;
/// What upload and download lose at most when the line breaks, in bytes: a piece, and what buffers hold.
const LOST: u64 = 12_000_000;

/// A line to the cloud that counts bytes, and breaks when so many have gone up or down.
#[derive(Default)]
struct Line {
    up: AtomicU64,
    down: AtomicU64,
    /// The connection breaks when this many bytes have passed in all; 0: never.
    breaks_at: AtomicU64,
}

impl Line {
    async fn to(cloud: std::net::SocketAddr) -> (Arc<Self>, u16) {
        let line = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let this = line.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(cloud).await.unwrap();
                let this = this.clone();
                tokio::spawn(async move {
                    let ((client_in, client_out), (server_in, server_out)) =
                        (client.into_split(), server.into_split());
                    tokio::select! {
                        () = this.copy(client_in, server_out, &this.up) => {}
                        () = this.copy(server_in, client_out, &this.down) => {}
                    }
                });
            }
        });
        (line, port)
    }

    /// Ends when either side ends, or the line breaks.
    async fn copy(
        &self,
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
        count: &AtomicU64,
    ) {
        let mut piece = vec![0; 64 * 1_024];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            count.fetch_add(read as u64, Ordering::SeqCst);
            let breaks_at = self.breaks_at.load(Ordering::SeqCst);
            if breaks_at > 0 && self.passed() >= breaks_at {
                self.breaks_at.store(0, Ordering::SeqCst);
                return;
            }
            if to.write_all(&piece[..read]).await.is_err() {
                return;
            }
        }
    }

    fn passed(&self) -> u64 {
        self.up.load(Ordering::SeqCst) + self.down.load(Ordering::SeqCst)
    }

    /// From now on, the line breaks once after so many bytes more.
    fn break_after(&self, bytes: u64) {
        self.breaks_at.store(self.passed() + bytes, Ordering::SeqCst);
    }
}

async fn start(data: &Path, quota: u64) -> Running {
    let mut config = Config::new(data);
    config.identity.passwords = PasswordCost::FOR_TESTS;
    config.storage.quota = quota;
    meshproof_cloud::start(config).await.unwrap()
}

/// A person with a device and a folder on it. Returns the folder's identifier.
async fn device(home: &Path, url: &str, ca: &str, root: &Path) -> (Agent, String) {
    let mut agent = Agent::open(home).unwrap();
    agent.login(url, Some(ca.as_bytes().to_vec()), "ann", "correct horse", true).await.unwrap();
    agent.add_device("laptop", KeyBits::B2048).await.unwrap();
    let (path, direction) = (root.to_owned(), Direction::Both);
    let new = NewFolder { path, name: None, join: None, p2p_only: false, direction };
    let id = agent.add_folder(new).await.unwrap();
    (agent, id.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks() {
    let data = tempfile::tempdir().unwrap();
    let (root, home) = (data.path().join("folder"), data.path().join("home"));
    std::fs::create_dir_all(root.join("a")).unwrap();
    let large: Vec<u8> = (0..SIZE).map(|n| (n * 7 + n / 251).to_le_bytes()[0]).collect();
    std::fs::write(root.join("a/large"), &large).unwrap();
    std::fs::write(root.join("small"), b"small").unwrap();

    let cloud = start(&data.path().join("cloud"), 100_000_000).await;
    let (line, port) = Line::to(cloud.addr).await;
    let (agent, folder) = device(&home, &format!("https://127.0.0.1:{port}"), &cloud.ca_pem, &root).await;

    // The program ends in the middle of the upload.
    let before = line.up.load(Ordering::SeqCst);
    let syncing = tokio::spawn(async move { agent.sync_once(Arc::new(NoProgress)).await.map(drop) });
    while line.up.load(Ordering::SeqCst) < before + 12_000_000 {
        assert!(!syncing.is_finished(), "the upload ended too soon");
        tokio::task::yield_now().await;
    }
    syncing.abort();
    drop(syncing.await);
    // Its next run goes on, also when the line breaks in the middle.
    let agent = Agent::open(&home).unwrap();
    line.break_after(10_000_000);
    let round = agent.sync_once(Arc::new(NoProgress)).await.unwrap();
    let report = round.cloud[0].1.as_ref().unwrap();
    assert_eq!((report.missing, report.bytes), (0, SIZE as u64));
    let sent = line.up.load(Ordering::SeqCst) - before;
    assert!(sent < SIZE as u64 + 2 * LOST, "{sent} bytes were sent for {SIZE}");

    // Down again, over a line that breaks.
    let before = line.down.load(Ordering::SeqCst);
    line.break_after(12_000_000);
    let to = data.path().join("fetched");
    agent.fetch_from_cloud(&folder, "a/large", &to).await.unwrap();
    assert!(std::fs::read(&to).unwrap() == large);
    let came = line.down.load(Ordering::SeqCst) - before;
    assert!(came < SIZE as u64 + LOST, "{came} bytes came for {SIZE}");
    agent.fetch_from_cloud(&folder, "small", &to).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), b"small");

    // Nothing is to be done any more; a deletion frees what it held.
    let round = agent.sync_once(Arc::new(NoProgress)).await.unwrap();
    let report = round.cloud[0].1.as_ref().unwrap();
    assert_eq!((report.entries, report.files), (0, 0));
    std::fs::remove_file(root.join("a/large")).unwrap();
    let round = agent.sync_once(Arc::new(NoProgress)).await.unwrap();
    assert_eq!(round.cloud[0].1.as_ref().unwrap().entries, 1);
    assert!(agent.fetch_from_cloud(&folder, "a/large", &to).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_quota() {
    let data = tempfile::tempdir().unwrap();
    let (root, home) = (data.path().join("folder"), data.path().join("home"));
    std::fs::create_dir(&root).unwrap();
    for (name, size) in [("large", 900), ("middle", 600), ("small", 300)] {
        std::fs::write(root.join(name), name.repeat(200).get(..size).unwrap()).unwrap();
    }
    let cloud = start(&data.path().join("cloud"), 1_000).await;
    let (agent, folder) = device(&home, &cloud.url, &cloud.ca_pem, &root).await;
    let sync = async || {
        let round = agent.sync_once(Arc::new(NoProgress)).await.unwrap();
        let report = round.cloud[0].1.as_ref().unwrap();
        (report.entries, report.files, report.bytes)
    };
    // The metadata of all, the bytes of the smallest.
    assert_eq!(sync().await, (3, 2, 900));
    assert_eq!(sync().await, (0, 0, 0));
    let to = data.path().join("fetched");
    assert!(agent.fetch_from_cloud(&folder, "large", &to).await.is_err());
    // Freed space brings the rest.
    std::fs::remove_file(root.join("small")).unwrap();
    std::fs::remove_file(root.join("middle")).unwrap();
    assert_eq!(sync().await, (2, 1, 900));
    assert_eq!(agent.fetch_from_cloud(&folder, "large", &to).await.unwrap(), 900);
}
