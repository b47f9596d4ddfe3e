//! Processes that end at any moment, and a disk that takes no more: what is visible is old or new, never half.
//!
//! The receiving device is a process of its own: this test program again, with the part to play in its environment.
//! `MESH_KILLS=200 MESH_FILES=10000 cargo test -p meshproof-client --test killed` is the long version; `MESH_SEED` replays one.

#![cfg(unix)]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Node, X, Y, connect, serve_with, sync};
use meshproof_client::sync::{Progress, versions};
use meshproof_client::{Limits, responder};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::handshake::guard::Allowance;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::ticket::Role;

const HOME: &str = "MESH_TEST_HOME";
const ADDRESS: &str = "MESH_TEST_ADDRESS";

/// Says a byte for all that happens, so that whoever reads can end this process in the middle of it.
struct Telling;

impl Progress for Telling {
    fn expected(&self, _: Id, _: u64, _: u64) {
        tell();
    }

    fn received(&self, _: Id, _: u64, _: u64) {
        tell();
    }
}

fn tell() {
    let _ = std::io::stdout().write_all(b".");
    let _ = std::io::stdout().flush();
}

/// Not a test: the part of the process that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn receiver() {
    let (Ok(home), Ok(address)) = (std::env::var(HOME), std::env::var(ADDRESS)) else { return };
    let x = Node::new(DEFAULT, X); // for its key
    let y = Node::at(DEFAULT, Y, Path::new(&home)).keeping(versions::Limits::default());
    let connection = connect(&y.device, &x.device, &address, (Role::Owner, Role::Owner)).await.unwrap();
    if let Err(error) = responder::sync(connection, vec![y.folder], Arc::new(Telling)).await {
        eprintln!("session: {error}");
        std::process::exit(9);
    }
}

fn child(home: &Path, address: &str, shell: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell} exec \"$0\" --exact receiver --nocapture")]);
    command.arg(std::env::current_exe().unwrap()).env(HOME, home).env(ADDRESS, address);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A small generator, so that a seed says all.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What X ever had under each name.
#[derive(Default)]
struct History(BTreeMap<String, HashSet<String>>);

impl History {
    fn write(&mut self, x: &Node, path: &str, content: &[u8]) {
        x.write(path, content);
        self.0.entry(path.to_owned()).or_default().insert(MediaHash::of(content).to_string());
    }

    /// All that is visible on `y` is something that X once had there.
    fn check(&self, y: &Node) {
        for (path, hash) in y.tree() {
            if hash == "directory" || path.starts_with(".meshproof-tmp-") {
                continue;
            }
            // Nor is a version: `.meshproof-versions/<time>/<path>`.
            let path = match path.strip_prefix(versions::DIRECTORY) {
                Some(kept) => kept.splitn(3, '/').last().unwrap_or_default().to_owned(),
                None => path,
            };
            assert!(self.0.get(&path).is_some_and(|had| had.contains(&hash)), "{path} is {hash}");
        }
    }
}

fn limits() -> Limits {
    let allowance = Allowance { per_source: 100_000, per_source_rate: 0, all: 200_000, all_rate: 0 };
    Limits { sessions: 256, sessions_per_user: 256, allowance, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_killed_at_any_moment() {
    let (kills, files, seed) = (number("MESH_KILLS", 10), number("MESH_FILES", 500), number("MESH_SEED", 1));
    println!("MESH_SEED={seed}");
    let mut random = Random(seed as u64);
    let (x, mut history) = (Node::new(DEFAULT, X), History::default());
    let home = tempfile::tempdir().unwrap();
    let name = |n: usize| format!("d{}/f{n}", n / 50);
    for n in 0..files {
        let length = random.below(4_000);
        history.write(&x, &name(n), &random.bytes(length));
    }
    let serving = serve_with(&x, limits()).await;
    let (mut killed, mut large) = (0, random.bytes(3_000_000));
    // The last two come to their end: one may give all files, the other then replaces some.
    for turn in 0..kills + 2 {
        // Some files change, and a large one, so that there is an old version of most things.
        for _ in 0..files / 20 {
            let (n, length) = (random.below(files), random.below(4_000));
            history.write(&x, &name(n), &random.bytes(length));
        }
        let (at, with) = (random.below(large.len() - 1_000), random.bytes(1_000));
        large[at..at + 1_000].copy_from_slice(&with);
        if turn % 3 == 0 {
            large.rotate_left(1_000_000);
        }
        history.write(&x, "large", &large);

        let mut process = child(home.path(), &serving.address, "").spawn().unwrap();
        let mut told = BufReader::new(process.stdout.take().unwrap()).bytes();
        // After a hundred small files, or not at all, or between these.
        let moment =
            if turn < kills { random.below(if turn % 2 == 0 { 60 } else { files * 3 }) } else { usize::MAX };
        let mut seen = 0;
        while seen < moment && told.next().is_some() {
            seen += 1;
        }
        if turn < kills {
            process.kill().unwrap(); // SIGKILL
        }
        killed += usize::from(!process.wait().unwrap().success());
        history.check(&Node::at(DEFAULT, Y, home.path()));
    }
    assert!(killed * 2 >= kills, "only {killed} of {kills} processes were killed before their end");
    let y = Node::at(DEFAULT, Y, home.path());
    sync(&x, &y).await;
    let kept = versions::list(&y.root, None).len();
    assert!(kept >= files / 40, "what was replaced is kept: {kept} of {files}, MESH_SEED={seed}");
    std::fs::remove_dir_all(y.root.join(versions::DIRECTORY)).unwrap();
    assert_eq!(x.tree(), y.tree(), "after {killed} kills, MESH_SEED={seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_more() {
    // No file may get longer than 2 MiB: writing on fails, as on a full disk. (`ulimit -f` counts 512 bytes, in some shells 1,024.)
    let full = "trap '' XFSZ; ulimit -f 4096;";
    let (x, mut history) = (Node::new(DEFAULT, X), History::default());
    let home = tempfile::tempdir().unwrap();
    history.write(&x, "a/small", b"fits");
    let serving = serve_with(&x, limits()).await;
    let first = child(home.path(), &serving.address, full).output().unwrap();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let mut random = Random(7);
    history.write(&x, "large", &random.bytes(6_000_000));
    history.write(&x, "a/small", b"fits, newer");
    let second = child(home.path(), &serving.address, full).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("writing"), "{said}");
    let y = Node::at(DEFAULT, Y, home.path());
    history.check(&y);
    assert!(y.read("large").is_none());
    let _ = std::fs::remove_dir_all(y.root.join(versions::DIRECTORY));
    // There is room again: what came before the disk was full has not to come again.
    let (_, received) = sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    assert!(received.bytes_received < 5_000_000, "{} bytes came", received.bytes_received);
}
