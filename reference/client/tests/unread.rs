//! A file whose size and time say nothing new is not read again; but one that has other content with the same size and time is.

#![cfg(unix)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use common::{FOLDER, Node, X, Y, sync};
use meshproof_client::sync::{Progress, scan};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Kind;

/// Counts the bytes that a scan read.
#[derive(Default)]
struct Read(AtomicU64);

impl Progress for Read {
    fn hashed(&self, _: Id, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn scanned(node: &Node) -> u64 {
    let read = Read::default();
    scan(&node.folder, &read).unwrap();
    read.0.into_inner()
}

/// As an archive is unpacked whose files all have one time.
fn unpack(node: &Node, path: &str, content: &str) {
    node.write(path, content);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options().append(true).open(node.root.join(path)).unwrap().set_modified(time).unwrap();
}

fn hash(node: &Node, path: &str) -> MediaHash {
    match node.folder.index().get(FOLDER, path).unwrap().unwrap().entry.kind {
        Kind::File { hash, .. } => hash,
        _ => panic!("{path} is no file"),
    }
}

#[test]
fn unpacked_over_another_with_the_same_size_and_time() {
    let x = Node::new(DEFAULT, X);
    unpack(&x, "version", "1.0.0");
    assert_eq!((scanned(&x), scanned(&x)), (5, 0));
    unpack(&x, "version", "1.0.1");
    assert_eq!(scanned(&x), 5);
    assert_eq!(hash(&x, "version"), MediaHash::of(b"1.0.1"));
}

/// File systems give the numbers of removed inodes to new files.
#[test]
fn removed_and_unpacked_again_with_one_more() {
    let x = Node::new(DEFAULT, X);
    let unpack_all = |first: u32| {
        (first..300).for_each(|number| unpack(&x, &format!("{number:03}"), &format!("{number:03}")));
    };
    unpack_all(1);
    scanned(&x);
    std::fs::read_dir(&x.root)
        .unwrap()
        .for_each(|entry| std::fs::remove_file(entry.unwrap().path()).unwrap());
    unpack_all(0);
    scanned(&x);
    for path in (0..300).map(|number| format!("{number:03}")) {
        assert_eq!(hash(&x, &path), MediaHash::of(path.as_bytes()), "{path}");
    }
}

#[test]
fn what_was_renamed_is_not_read_again() {
    let x = Node::new(DEFAULT, X);
    (0..20).for_each(|number| unpack(&x, &format!("dir/{number}"), "content"));
    scanned(&x);
    std::fs::rename(x.root.join("dir"), x.root.join("moved")).unwrap();
    std::fs::rename(x.root.join("moved/7"), x.root.join("seven")).unwrap();
    let made = std::fs::metadata(x.root.join("seven")).unwrap().created();
    // Where nobody knows when a file was made, it is read to be sure.
    assert_eq!(scanned(&x), if made.is_ok() { 0 } else { 7 * 20 });
    assert_eq!(hash(&x, "seven"), MediaHash::of(b"content"));
    assert_eq!(scanned(&x), 0);
}

/// Each has them as it placed them: the next scan reads none.
#[tokio::test]
async fn what_came_from_a_peer_is_not_read_again() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    (0..100).for_each(|number| unpack(&x, &format!("dir/{number}"), &format!("content {number}")));
    sync(&x, &y).await;
    assert_eq!((scanned(&x), scanned(&y)), (0, 0));
    unpack(&x, "dir/7", "other content");
    sync(&x, &y).await;
    assert_eq!((scanned(&x), scanned(&y)), (0, 0));
}
