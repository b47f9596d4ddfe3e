//! Large files: what is here is not sent again, after a change and after a session that was cut short.

mod common;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{FOLDER, Node, RawPeer, X, Y, file, noise, serve, sync};
use meshproof_client::sync::Progress;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::message::{MAX_REQUEST, Request};
use meshproof_proto::sync::{Chunk, Message};
use meshproof_proto::ticket::Role;

const MIB: usize = 1024 * 1024;
const PARTS: &str = ".meshproof-tmp-parts";

/// X's file is on Y as well.
async fn shared(content: &[u8]) -> (Node, Node) {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    x.write("large", content);
    let (_, received) = sync(&x, &y).await;
    assert_eq!(received.bytes_received, content.len() as u64);
    assert_eq!(x.tree(), y.tree());
    (x, y)
}

/// Syncs, and says how many bytes of content Y got.
async fn received(x: &Node, y: &Node) -> u64 {
    let (_, received) = sync(x, y).await;
    assert_eq!(x.tree(), y.tree());
    received.bytes_received
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_mebibyte_in_many_sends_about_a_mebibyte() {
    let content = noise(1, 48 * MIB);
    let (x, y) = shared(&content).await;
    let mut large = File::options().write(true).open(x.root.join("large")).unwrap();
    large.seek(SeekFrom::Start(20_000_000)).unwrap();
    large.write_all(&noise(2, MIB)).unwrap();
    drop(large);
    let bytes = received(&x, &y).await;
    assert!((MIB as u64..2 * MIB as u64).contains(&bytes), "{bytes} bytes were sent");
    // And back: what Y learned of the chunks is of use to it as a sender.
    y.write("large", [&content[..30 * MIB], &noise(3, 100), &content[30 * MIB..]].concat());
    let bytes = received(&y, &x).await;
    assert!(bytes < 4 * MIB as u64, "{bytes} bytes were sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insertion_at_the_beginning_sends_what_is_new() {
    let content = noise(4, 24 * MIB);
    let (x, y) = shared(&content).await;
    x.write("large", [b"a line at the beginning\n", &content[..]].concat());
    let bytes = received(&x, &y).await;
    assert!((1..MIB as u64).contains(&bytes), "{bytes} bytes were sent");
    x.write("large", &content[5_000_000..]);
    let bytes = received(&x, &y).await;
    assert!(bytes < MIB as u64, "{bytes} bytes were sent after a removal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_copy_takes_its_chunks_from_the_other_file() {
    let content = noise(5, 8 * MIB);
    let (x, y) = shared(&content).await;
    // A change makes the chunks of `large` known on Y.
    let mut content = [&content[..], b"end"].concat();
    x.write("large", &content);
    received(&x, &y).await;
    // Something that is large is in the place of the copy, so that its manifest is asked for.
    x.write("copy", noise(6, 2 * MIB));
    received(&x, &y).await;
    content[4 * MIB] ^= 1;
    x.write("copy", &content);
    let bytes = received(&x, &y).await;
    assert!((1..MIB as u64).contains(&bytes), "{bytes} bytes were sent");
}

/// Cuts the connection when so many bytes were received.
struct Cut {
    at: u64,
    received: AtomicU64,
}

impl Progress for Cut {
    fn received(&self, _: Id, _: u64, bytes: u64) {
        let received = self.received.fetch_add(bytes, Ordering::SeqCst) + bytes;
        assert!(received < self.at, "the test ends the session here");
    }
}

/// One session that dies when Y has got `at` bytes, in the middle of all that it does.
async fn cut(x: &Node, y: &Node, at: u64) -> u64 {
    let serving = serve(x).await;
    let connection =
        common::connect(&y.device, &x.device, &serving.address, (Role::Owner, Role::Owner)).await.unwrap();
    let progress = Arc::new(Cut { at, received: AtomicU64::new(0) });
    let ended = meshproof_client::responder::sync(connection, vec![y.folder.clone()], progress.clone()).await;
    assert!(ended.is_err());
    let _ = serving.ended().await;
    progress.received.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_was_cut_short_goes_on_where_it_ended() {
    let size = 12 * MIB;
    for seed in 0..4 {
        let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
        x.write("large", noise(10 + seed, size));
        let mut total = 0;
        // Chunks are at most 512 KiB, and a session has 8 MiB under way: so much may be asked for twice, and no more.
        for part in 1..4 {
            let at = u64::from(noise(100 + seed * 8 + part, 1)[0]) * 10_000 + 300_000;
            total += cut(&x, &y, at).await;
            assert_eq!(y.read("large"), None, "SYN-033");
            assert!(y.root.join(PARTS).exists());
        }
        let rest = received(&x, &y).await;
        total += rest;
        println!("seed {seed}: {total} bytes for {size}");
        assert!(rest < size as u64);
        assert!(total <= size as u64 + 4 * 512 * 1024, "{total} bytes were received for a file of {size}");
        assert!(!y.root.join(PARTS).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_another_peer_change_nothing() {
    let content = noise(20, 6 * MIB);
    let (x, y, z) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y), Node::new(DEFAULT, common::Z));
    x.write("large", &content);
    let got = cut(&x, &y, 3_000_000).await;
    received(&x, &z).await;
    let y = y.reopen();
    let (_, rest) = sync(&z, &y).await;
    assert_eq!(z.tree(), y.tree());
    assert!(got + rest.bytes_received <= 7 * MIB as u64, "{got} and {} bytes", rest.bytes_received);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_disk_of_a_part_is_never_believed() {
    let content = noise(30, 3 * MIB);
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    x.write("large", &content);
    cut(&x, &y, 1_500_000).await;
    let part = std::fs::read_dir(y.root.join(PARTS)).unwrap().next().unwrap().unwrap().path();
    let mut file = File::options().write(true).open(part).unwrap();
    file.seek(SeekFrom::Start(200_000)).unwrap();
    file.write_all(b"torn").unwrap();
    drop(file);
    let bytes = received(&x, &y).await;
    assert!(bytes < 2 * MIB as u64 + 512 * 1024, "{bytes} bytes were sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_goes_on_with_what_is_here_of_the_older() {
    let mut content = noise(40, 6 * MIB);
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    x.write("large", &content);
    cut(&x, &y, 4_000_000).await;
    content[1_000_000] ^= 1;
    x.write("large", &content);
    let bytes = received(&x, &y).await;
    assert!(bytes < 3 * MIB as u64, "{bytes} bytes were sent");
    assert!(!y.root.join(PARTS).exists());
}

/// Every path with what it is.
type Tree = std::collections::BTreeMap<String, String>;

/// Y has an older version of what a raw peer offers and is asked for its chunks. Also Y's tree before that.
async fn asked_for_chunks(content: &[u8]) -> (Node, common::Serving, RawPeer, u32, Tree) {
    let (x, y) = shared(&noise(50, 2 * MIB)).await;
    let before = y.tree();
    let known = x.entry("large").unwrap();
    let mut new = file("large", content, X, 9).contents[0].clone();
    new.stamp.counter = known.version.counters()[0].1 + 1;
    let entry = common::sign_new(known.rewritten(new, &[known.contents[0].stamp.dot()]).unwrap());
    let serving = serve(&y).await;
    let mut peer = RawPeer::connect(X, &y, &serving.address, Role::Owner).await;
    peer.offer(vec![entry]);
    let asked = peer.wait(|message| match message {
        Message::ManifestRequest(asked) => Some(asked),
        _ => None,
    });
    let asked = asked.await.unwrap();
    assert_eq!((asked.folder, asked.hash), (FOLDER, MediaHash::of(content)));
    (y, serving, peer, asked.request, before)
}

fn chunks(content: &[u8]) -> Vec<Chunk> {
    let chunk =
        |bytes: &[u8]| Chunk { hash: MediaHash::of(bytes), length: u32::try_from(bytes.len()).unwrap() };
    content.chunks(100_000).map(chunk).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_that_are_not_the_contents_close() {
    let content = noise(51, 2 * MIB);
    let (y, serving, peer, request, before) = asked_for_chunks(&content).await;
    peer.send(&[Message::Manifest { request, chunks: Some(chunks(&content[1..])) }]);
    assert!(serving.ended().await.unwrap_err().starts_with("SYN-071"));
    assert_eq!(y.tree(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_with_other_bytes_closes_and_is_not_kept() {
    let content = noise(52, 2 * MIB);
    let (y, serving, mut peer, request, before) = asked_for_chunks(&content).await;
    peer.send(&[Message::Manifest { request, chunks: Some(chunks(&content)) }]);
    let asked = peer.wait(|message| match message {
        Message::Request(request) => Some(request),
        _ => None,
    });
    let asked = asked.await.unwrap();
    assert_eq!((asked.offset, asked.length), (0, 100_000));
    peer.send(&[Message::Block { request: asked.request, content: Some(vec![7; 100_000]) }]);
    assert!(serving.ended().await.unwrap_err().starts_with("SYN-072"));
    assert_eq!(y.tree(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_other_content_does_not_get_it_in() {
    // Every chunk is what the manifest says; the whole is not what the entry says.
    let (content, other) = (noise(53, 2 * MIB), noise(54, 2 * MIB));
    let (y, serving, mut peer, request, before) = asked_for_chunks(&content).await;
    peer.send(&[Message::Manifest { request, chunks: Some(chunks(&other)) }]);
    while let Some(message) = peer.next().await {
        if let Message::Request(asked) = message {
            let from = usize::try_from(asked.offset).unwrap();
            let content = other[from..from + asked.length as usize].to_vec();
            peer.send(&[Message::Block { request: asked.request, content: Some(content) }]);
        }
    }
    assert!(serving.ended().await.unwrap_err().starts_with("SYN-030"));
    assert_eq!(y.tree(), before);
}

/// A reader is asked for content like anybody. What it says leads to nothing, and costs nothing of what others gave.
#[tokio::test(flavor = "multi_thread")]
async fn who_lies_about_chunks_spoils_nothing_that_others_gave() {
    let content = noise(60, 6 * MIB);
    for lie in [0..MIB, 4 * MIB..6 * MIB, 0..6 * MIB] {
        let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
        x.write("large", &content);
        let got = cut(&x, &y, 3_000_000).await;
        assert!(got > 2_000_000);
        let mut other = content.clone();
        other[lie.clone()].copy_from_slice(&noise(61, lie.len()));

        let serving = serve(&y).await;
        let mut peer = RawPeer::connect(X, &y, &serving.address, Role::Reader).await;
        peer.offer(Vec::new());
        while let Some(message) = peer.next().await {
            match message {
                Message::ManifestRequest(asked) => {
                    peer.send(&[Message::Manifest { request: asked.request, chunks: Some(chunks(&other)) }]);
                }
                Message::Request(asked) => {
                    let from = usize::try_from(asked.offset).unwrap();
                    let content = other[from..from + asked.length as usize].to_vec();
                    peer.send(&[Message::Block { request: asked.request, content: Some(content) }]);
                }
                _ => {}
            }
        }
        assert!(serving.ended().await.unwrap_err().starts_with("SYN-030"), "{lie:?}");
        let rest = received(&x, &y).await;
        assert!(got + rest <= 7 * MIB as u64, "{lie:?}: {got} and {rest} bytes");
        assert!(!y.root.join(PARTS).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_manifest_all_is_asked_for() {
    let content = noise(55, 2 * MIB);
    let (y, serving, mut peer, request, _) = asked_for_chunks(&content).await;
    peer.send(&[Message::Manifest { request, chunks: None }]);
    let mut bytes = 0;
    while let Some(message) = peer.next().await {
        match message {
            Message::Request(asked) => {
                let from = usize::try_from(asked.offset).unwrap();
                assert!(asked.length <= MAX_REQUEST);
                bytes += asked.length as usize;
                let content = content[from..from + asked.length as usize].to_vec();
                peer.send(&[Message::Block { request: asked.request, content: Some(content) }]);
            }
            Message::Bye => {
                peer.send(&[Message::Done(FOLDER), Message::Bye]);
                peer.connection.outgoing.close();
            }
            _ => {}
        }
    }
    serving.ended().await.unwrap();
    assert_eq!(bytes, content.len());
    assert_eq!(std::fs::read(y.root.join("large")).unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_nobody_asked_for_closes() {
    let y = Node::new(DEFAULT, Y);
    let serving = serve(&y).await;
    let peer = RawPeer::connect(X, &y, &serving.address, Role::Owner).await;
    peer.offer(Vec::new());
    peer.send(&[Message::Manifest { request: 0, chunks: None }]);
    assert!(serving.ended().await.unwrap_err().starts_with("SYN-015"));
}

/// What is complete is there, however long a large file takes, or its peer.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_does_not_wait_for_a_large_one() {
    let (small, large) = (b"small".to_vec(), noise(50, 2 * MIB));
    let y = Node::new(DEFAULT, Y);
    let serving = serve(&y).await;
    let mut entries = vec![file("small", &small, X, 1), file("large", &large, X, 2)];
    entries.sort_by_key(|entry| entry.id);
    let mut peer = RawPeer::connect(X, &y, &serving.address, Role::Owner).await;
    peer.offer(entries);
    let (mut held, mut given) = (Vec::new(), false);
    while !given || held.len() < large.len().div_ceil(MAX_REQUEST as usize) {
        match peer.next().await.unwrap() {
            Message::Request(asked) if asked.hash == MediaHash::of(&small) => {
                peer.send(&[Message::Block { request: asked.request, content: Some(small.clone()) }]);
                given = true;
            }
            Message::Request(asked) => held.push(asked),
            _ => {}
        }
    }
    // All of the large one is asked for and nothing of it given. Y answers what the peer asks meanwhile.
    let asked =
        |request| Request { request, folder: FOLDER, hash: MediaHash::of(&small), offset: 0, length: 5 };
    let mut there = false;
    for request in 0..1_000 {
        peer.send(&[Message::Request(asked(request))]);
        let block = |message| match message {
            Message::Block { content, .. } => Some(content),
            _ => None,
        };
        there = peer.wait(block).await.unwrap().is_some();
        if there {
            break;
        }
    }
    assert!(there && y.root.join("small").exists());
    for asked in held {
        let from = usize::try_from(asked.offset).unwrap();
        let content = large[from..from + asked.length as usize].to_vec();
        peer.send(&[Message::Block { request: asked.request, content: Some(content) }]);
    }
    peer.send(&[Message::Done(FOLDER), Message::Bye]);
    while peer.next().await.is_some() {}
    peer.connection.outgoing.close();
    serving.ended().await.unwrap();
    assert!(std::fs::read(y.root.join("large")).unwrap() == large);
}
