//! Several peers have what a device lacks: it comes from all of them, and none of them holds it up.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{FOLDER, Node, RawPeer, Serving, X, Y, Z, file, noise, serve};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::{Chunk, Entry, Message};
use meshproof_proto::ticket::Role;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

const MIB: usize = 1024 * 1024;
const PARTS: &str = ".meshproof-tmp-parts";

fn chunks(content: &[u8], length: usize) -> Vec<Chunk> {
    let chunk =
        |bytes: &[u8]| Chunk { hash: MediaHash::of(bytes), length: u32::try_from(bytes.len()).unwrap() };
    content.chunks(length).map(chunk).collect()
}

/// What a giver has done.
#[derive(Clone, Default)]
struct Given {
    /// The contents that it was asked for, in this order, each once.
    asked: Vec<MediaHash>,
    bytes: usize,
    told_chunks: bool,
}

/// A peer that answers with what it has, one request for each permit.
struct Giver {
    permits: Arc<Semaphore>,
    given: watch::Receiver<Given>,
    work: JoinHandle<()>,
}

impl Giver {
    /// `contents` are what it gives; `chunks` is what it says of any.
    async fn new(
        id: meshproof_proto::codec::Id,
        (node, serving): (&Node, &Serving),
        entries: Vec<Entry>,
        contents: Vec<(MediaHash, Vec<u8>)>,
        chunks: Option<Vec<Chunk>>,
    ) -> Self {
        let mut peer = RawPeer::connect(id, node, &serving.address, Role::Owner).await;
        peer.offer(entries);
        let permits = Arc::new(Semaphore::new(0));
        let (tell, given) = watch::channel(Given::default());
        let may = permits.clone();
        let work = tokio::spawn(async move {
            let mut waiting = std::collections::VecDeque::new();
            let mut over = false;
            while !over || !waiting.is_empty() {
                tokio::select! {
                    message = peer.next(), if !over => match message {
                        Some(Message::Request(asked)) => {
                            tell.send_modify(|given| if !given.asked.contains(&asked.hash) { given.asked.push(asked.hash) });
                            waiting.push_back(asked);
                        }
                        Some(Message::ManifestRequest(asked)) => {
                            peer.send(&[Message::Manifest { request: asked.request, chunks: chunks.clone() }]);
                            tell.send_modify(|given| given.told_chunks = true);
                        }
                        Some(Message::Bye) => {
                            peer.send(&[Message::Done(FOLDER), Message::Bye]);
                            peer.connection.outgoing.close();
                        }
                        Some(_) => {}
                        None => over = true,
                    },
                    permit = may.acquire(), if !over && !waiting.is_empty() => {
                        permit.unwrap().forget();
                        if let Some(asked) = waiting.pop_front() {
                            let from = usize::try_from(asked.offset).unwrap();
                            let content = contents.iter().find(|(hash, _)| *hash == asked.hash).unwrap();
                            let content = content.1[from..from + asked.length as usize].to_vec();
                            let bytes = content.len();
                            peer.send(&[Message::Block { request: asked.request, content: Some(content) }]);
                            tell.send_modify(|given| given.bytes += bytes);
                        }
                    }
                    else => break,
                }
            }
        });
        Self { permits, given, work }
    }

    fn may(&self, more: usize) {
        self.permits.add_permits(more);
    }

    async fn until(&mut self, done: impl FnMut(&Given) -> bool) -> Given {
        self.given.wait_for(done).await.unwrap().clone()
    }

    fn bytes(&self) -> usize {
        self.given.borrow().bytes
    }
}

/// Y, which lacks a file of so many bytes that X and Z have. X gave a part of it when Z came.
struct Scene {
    y: Node,
    serving: Serving,
    content: Vec<u8>,
    x: Giver,
    z: Giver,
}

async fn scene(seed: u64, told_by_z: impl FnOnce(&[u8]) -> (Vec<u8>, Vec<Chunk>)) -> Scene {
    let content = noise(seed, 24 * MIB);
    let entry = file("large", &content, X, 1);
    let hash = MediaHash::of(&content);
    let y = Node::new(DEFAULT, Y);
    let serving = serve(&y).await;
    let has = vec![(hash, content.clone())];
    let mut x =
        Giver::new(X, (&y, &serving), vec![entry.clone()], has, Some(chunks(&content, 262_144))).await;
    x.may(4);
    x.until(|given| given.bytes == MIB).await;
    let (other, chunks) = told_by_z(&content);
    let z = Giver::new(Z, (&y, &serving), vec![entry], vec![(hash, other)], Some(chunks)).await;
    Scene { y, serving, content, x, z }
}

fn honest(content: &[u8]) -> (Vec<u8>, Vec<Chunk>) {
    (content.to_vec(), chunks(content, 262_144))
}

impl Scene {
    fn is_complete(&self) {
        assert!(std::fs::read(self.y.root.join("large")).unwrap() == self.content);
        assert_eq!(self.y.tree().len(), 1, "nothing is left beside it");
        assert!(!self.y.root.join(PARTS).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_comes_from_both() {
    let mut scene = scene(1, honest).await;
    scene.z.may(52);
    scene.z.until(|given| given.bytes == 13 * MIB).await;
    // Z stops in the middle: X gives the rest, and nothing of what Z gave but what was asked for already.
    scene.x.may(1_000);
    scene.serving.ended().await.unwrap();
    scene.z.may(1_000);
    scene.serving.ended().await.unwrap();
    scene.is_complete();
    let (x, z, total) = (scene.x.bytes(), scene.z.bytes(), scene.content.len());
    assert!(x > 8 * MIB && z > 8 * MIB, "{x} and {z} bytes");
    assert!(scene.x.given.borrow().told_chunks, "the first joined");
    assert!(x < total && z < total, "{x} and {z} bytes: neither gave all of it");
    scene.x.work.await.unwrap();
    scene.z.work.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_off_keeps_nobody_from_going_on() {
    for first_goes in [true, false] {
        let mut scene = scene(2, honest).await;
        scene.z.may(10);
        scene.z.until(|given| given.bytes > 2 * MIB).await;
        let (goes, stays) = if first_goes { (&scene.x, &scene.z) } else { (&scene.z, &scene.x) };
        goes.work.abort();
        assert!(scene.serving.ended().await.is_err());
        stays.may(1_000);
        scene.serving.ended().await.unwrap();
        scene.is_complete();
    }
}

/// SYN-075, whoever of them had begun it.
#[tokio::test(flavor = "multi_thread")]
async fn what_two_gave_is_there_when_both_broke_off() {
    let Scene { y, serving, content, x, mut z } = scene(6, honest).await;
    z.may(40);
    z.until(|given| given.bytes == 10 * MIB).await;
    // One after the other, so that all that was given has come.
    for giver in [z, x] {
        giver.work.abort();
        assert!(serving.ended().await.is_err());
    }
    let y = y.reopen();
    let serving = serve(&y).await;
    let (entry, hash) = (file("large", &content, X, 1), MediaHash::of(&content));
    let has = vec![(hash, content.clone())];
    let x = Giver::new(X, (&y, &serving), vec![entry], has, Some(chunks(&content, 262_144))).await;
    x.may(1_000);
    serving.ended().await.unwrap();
    let rest = x.bytes();
    assert!(rest <= content.len() - 8 * MIB, "{rest} bytes came again");
    assert!(std::fs::read(y.root.join("large")).unwrap() == content);
    assert_eq!(y.tree().len(), 1, "nothing is left beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_wrong_bytes_is_named_and_costs_its_own_chunks() {
    // It says what is right, and gives something else.
    let scene = scene(3, |content| (vec![7; content.len()], chunks(content, 262_144))).await;
    scene.z.may(1_000);
    let refused = scene.serving.ended().await.unwrap_err();
    assert!(refused.starts_with("SYN-072"), "{refused}");
    scene.x.may(1_000);
    scene.serving.ended().await.unwrap();
    scene.is_complete();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_other_chunks_gets_nobody_else_into_trouble() {
    // What it gives is what it said, and is not the content: each of the two is alone with its own.
    let scene = scene(4, |content| {
        let other = noise(5, content.len());
        let chunks = chunks(&other, 262_144);
        (other, chunks)
    })
    .await;
    scene.z.may(1_000);
    let refused = scene.serving.ended().await.unwrap_err();
    assert!(refused.starts_with("SYN-030"), "{refused}");
    scene.x.may(1_000);
    scene.serving.ended().await.unwrap();
    scene.is_complete();
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_shared_out_and_a_peer_that_is_slow_holds_none_up() {
    let contents: Vec<Vec<u8>> = (0..100).map(|number| noise(100 + number, 200_000)).collect();
    let has: Vec<_> = contents.iter().map(|content| (MediaHash::of(content), content.clone())).collect();
    let mut entries: Vec<_> =
        (0..).zip(&contents).map(|(n, content)| file(&format!("{n}"), content, X, n + 1)).collect();
    entries.sort_by_key(|entry| entry.id);
    let y = Node::new(DEFAULT, Y);
    let serving = serve(&y).await;
    let mut x = Giver::new(X, (&y, &serving), entries.clone(), has.clone(), None).await;
    let of_x: BTreeSet<_> = x.until(|given| given.asked.len() > 30).await.asked.into_iter().collect();
    let mut z = Giver::new(Z, (&y, &serving), entries, has, None).await;
    let of_z = z.until(|given| given.asked.len() > 30).await.asked;
    assert!(of_z.iter().all(|hash| !of_x.contains(hash)), "each is asked of one while there are others");
    // X gives nothing, and Z all.
    z.may(1_000);
    z.until(|given| given.asked.len() == 100).await;
    x.may(1_000);
    serving.ended().await.unwrap();
    serving.ended().await.unwrap();
    assert_eq!(y.tree().len(), 100);
    for (number, content) in contents.iter().enumerate() {
        assert!(std::fs::read(y.root.join(number.to_string())).unwrap() == *content);
    }
    x.work.await.unwrap();
    z.work.await.unwrap();
}
