//! Symbolic links between devices: what they say comes as it is, and where they lead nobody goes.
#![cfg(unix)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{FOLDER, Node, RawPeer, X, Y, Z, card, connect, file, file_of, serve, signed, state, sync};
use meshproof_client::sync::{Progress, Report, SkipReason};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::entry::new_id;
use meshproof_proto::sync::{Content, Entry, Kind, Message, Name, Stamp};
use meshproof_proto::ticket::Role;

fn both() -> (Node, Node) {
    (Node::new(DEFAULT, X), Node::new(DEFAULT, Y))
}

fn link(node: &Node, path: &str, target: impl AsRef<Path>) {
    let path = node.root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = std::fs::remove_file(&path);
    std::os::unix::fs::symlink(target, path).unwrap();
}

fn target(node: &Node, path: &str) -> Option<String> {
    std::fs::read_link(node.root.join(path)).ok().map(|target| target.to_string_lossy().into_owned())
}

/// The links that were not made, and where they lead.
fn left_out(report: &Report) -> Vec<(&str, &str)> {
    let leads_out = |skipped: &'_ (_, meshproof_client::sync::Skipped)| match &skipped.1.reason {
        SkipReason::LeadsOut(_) => true,
        reason => panic!("{reason}"),
    };
    let skipped = report.skipped.iter().filter(|skipped| leads_out(skipped));
    skipped
        .map(|(_, skipped)| match &skipped.reason {
            SkipReason::LeadsOut(target) => (skipped.path.as_str(), target.as_str()),
            _ => unreachable!(),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn links_come_as_they_are() {
    let (x, y) = both();
    x.write("d/file", "content");
    for (path, target) in [("l", "d/file"), ("to d", "d"), ("d/up", "./..//d/"), ("nowhere", "no such thing")]
    {
        link(&x, path, target);
    }
    link(&x, "d/up", "../d/file");
    let (_, report) = sync(&x, &y).await;
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    assert_eq!(x.tree(), y.tree());
    assert_eq!(y.tree().len(), 6, "what is behind a link is there once");
    assert_eq!(target(&y, "to d").as_deref(), Some("d"));
    let (mine, theirs) = sync(&y, &x).await;
    assert_eq!((mine.bytes_sent, theirs.bytes_sent), (0, 0), "nothing is left to do");

    // Another target, another name, another kind, and gone.
    link(&y, "l", "another");
    std::fs::rename(y.root.join("to d"), y.root.join("d/renamed")).unwrap();
    y.remove("nowhere");
    y.write("nowhere", "a file now");
    y.remove("d/up");
    let before = x.entry("to d").unwrap().id;
    let (_, report) = sync(&y, &x).await;
    assert!(report.skipped.is_empty() && report.conflicts.is_empty(), "{report:?}");
    assert_eq!(x.tree(), y.tree());
    assert_eq!(target(&x, "l").as_deref(), Some("another"));
    assert_eq!(x.read("nowhere").as_deref(), Some("a file now"));
    assert_eq!(x.entry("d/renamed").unwrap().id, before, "SYN-036");
    assert_eq!(target(&x, "d/up"), None);

    // Both at once.
    link(&x, "l", "what x says");
    link(&y, "l", "what y says");
    sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    let all: Vec<_> = x.tree().into_keys().filter_map(|path| target(&x, &path)).collect();
    assert!(["what x says", "what y says"].iter().all(|said| all.iter().any(|one| one == said)), "{all:?}");
    let (mine, theirs) = sync(&y, &x).await;
    assert_eq!((mine.bytes_sent, theirs.bytes_sent), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_out_is_told_and_kept_for_others() {
    let (x, y) = both();
    let z = Node::new(DEFAULT, Z);
    let outside = x.root.parent().unwrap().to_string_lossy().into_owned();
    link(&x, "absolute", &outside);
    link(&x, "d/up", "../../x");
    let expected = [("absolute", &*outside), ("d/up", "../../x")];
    let none: [(&str, &str); 0] = [];
    for expected in [&expected[..], &none] {
        let (_, report) = sync(&x, &y).await;
        assert_eq!(left_out(&report), expected, "told once");
        assert_eq!(y.tree().keys().collect::<Vec<_>>(), ["d"]);
    }
    let (_, report) = sync(&y, &z).await;
    assert_eq!(left_out(&report), expected, "from one that has not made it either");
    // It is no deletion of theirs, and their own stays where its user put it.
    sync(&y, &x).await;
    sync(&z, &x).await;
    assert_eq!(target(&x, "absolute").as_deref(), Some(&*outside));
    assert_eq!(target(&x, "d/up").as_deref(), Some("../../x"));
    x.remove("absolute");
    let (_, report) = sync(&x, &y).await;
    assert_eq!(left_out(&report), none);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_move_leads_nowhere_new() {
    for (from, to) in [("d/e", "e"), ("d/e/l", "l")] {
        let (x, y) = both();
        x.write("f", "content");
        link(&x, "d/e/l", "../../f");
        sync(&x, &y).await;
        assert_eq!(y.read("d/e/l").as_deref(), Some("content"));
        std::fs::rename(x.root.join(from), x.root.join(to)).unwrap();
        let (_, report) = sync(&x, &y).await;
        let now = if to == "e" { "e/l" } else { "l" };
        assert_eq!(left_out(&report), [(now, "../../f")]);
        assert_eq!((target(&y, now), target(&y, "d/e/l")), (None, None));
        sync(&y, &x).await;
        assert_eq!(target(&x, now).as_deref(), Some("../../f"), "it is where its user put it");
        std::fs::create_dir_all(x.root.join("d")).unwrap();
        std::fs::rename(x.root.join(to), x.root.join(from)).unwrap();
        sync(&x, &y).await;
        assert_eq!(x.tree(), y.tree());
        assert_eq!(y.read("d/e/l").as_deref(), Some("content"));
    }
}

/// The peer breaks off when the first content comes.
struct BreaksOff;

impl Progress for BreaksOff {
    fn received(&self, _: meshproof_proto::codec::Id, _: u64, bytes: u64) {
        assert_eq!(bytes, 0, "the test ends the session here");
    }
}

/// What is to become of it comes later, or never.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_move_leads_nowhere_new_in_between() {
    let (x, y) = both();
    x.write("f", "content");
    for name in ["deleted", "moved", "edited", "stays"] {
        link(&x, &format!("d/e/{name}"), "../../f");
    }
    link(&x, "z/z/other", "../../f");
    sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    std::fs::rename(x.root.join("d/e"), x.root.join("e")).unwrap();
    x.remove("e/deleted");
    std::fs::rename(x.root.join("e/moved"), x.root.join("z/z/moved")).unwrap();
    link(&x, "e/edited", "../f");
    x.write("new", "content that never comes");
    let serving = serve(&x).await;
    let connection =
        connect(&y.device, &x.device, &serving.address, (Role::Owner, Role::Owner)).await.unwrap();
    let broken =
        meshproof_client::responder::sync(connection, vec![y.folder.clone()], Arc::new(BreaksOff)).await;
    assert!(broken.is_err());
    let _ = serving.ended().await;
    assert!(y.root.join("e").is_dir());
    for path in y.tree().into_keys().filter(|path| path.starts_with("e/")) {
        assert_ne!(target(&y, &path).as_deref(), Some("../../f"), "{path}");
    }
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    let mut expected = x.tree();
    assert!(expected.remove("e/stays").is_some(), "it leads out, and is where its user put it");
    assert_eq!(y.tree(), expected);
    assert_eq!(target(&y, "z/z/moved").as_deref(), Some("../../f"));
}

/// Two links with one target: one leads out and is kept, the other does not, and is made when it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_like_one_that_is_kept_is_made() {
    let y = Node::new(DEFAULT, Y);
    y.write("f", "content");
    let content = b"../f";
    let mut directory = file_of("d", b"", Stamp { lamport: 3, writer: X, counter: 3 });
    directory.contents[0].kind = Kind::Directory;
    let directory = signed(directory);
    let as_link = |mut entry: Entry| {
        let Kind::File { size, hash } = entry.contents[0].kind else { unreachable!() };
        entry.contents[0].kind = Kind::Link { size, hash };
        signed(entry)
    };
    let good = as_link(inside(&directory, "l", content, 2));
    let mut entries = vec![directory, good, link_entry("l", "../f")];
    entries.sort_by_key(|entry| entry.id);
    for first in [None, Some(content.to_vec())] {
        let serving = serve(&y).await;
        let mut peer = RawPeer::connect(X, &y, &serving.address, Role::Contributor).await;
        peer.offer(entries.clone());
        peer.send(&[Message::Done(FOLDER), Message::Bye]);
        let mut answers = vec![Some(content.to_vec()), first];
        while let Some(message) = peer.next().await {
            if let Message::Request(asked) = message {
                // In the order of the paths.
                peer.send(&[Message::Block { request: asked.request, content: answers.pop().unwrap() }]);
            }
        }
        peer.connection.outgoing.close();
        serving.ended().await.unwrap();
    }
    assert_eq!(target(&y, "l"), None);
    assert_eq!(target(&y, "d/l").as_deref(), Some("../f"));
}

/// A file in a directory, or in what is to be one.
fn inside(parent: &Entry, name: &str, content: &[u8], counter: u64) -> Entry {
    let name = Name::parse(name).unwrap();
    let stamp = Stamp { lamport: 2, writer: X, counter };
    let kind = Kind::File { size: content.len() as u64, hash: MediaHash::of(content) };
    let content = Content { stamp, kind, mode: 0o644, mtime: 0, gone: false };
    signed(Entry::new(new_id(parent.id, &name, 0), (parent.id, name), content).unwrap())
}

fn link_entry(name: &str, target: &str) -> Entry {
    let mut entry = file(name, target.as_bytes(), X, 1);
    let Kind::File { size, hash } = entry.contents[0].kind else { unreachable!() };
    entry.contents[0].kind = Kind::Link { size, hash };
    signed(entry)
}

/// What Y says of a session in which X offers this and gives these contents.
async fn offered(y: &Node, mut entries: Vec<Entry>, contents: &[&[u8]]) -> Report {
    entries.sort_by_key(|entry| entry.id);
    let serving = serve(y).await;
    let mut peer = RawPeer::connect(X, y, &serving.address, Role::Contributor).await;
    peer.send(&[
        Message::Hello(vec![FOLDER]),
        Message::Writers { folder: FOLDER, cards: vec![card(X)] },
        state(),
        Message::Index { folder: FOLDER, last: true, entries },
        Message::Done(FOLDER),
        Message::Bye,
    ]);
    while let Some(message) = peer.next().await {
        if let Message::Request(asked) = message {
            let content = contents.iter().find(|content| MediaHash::of(content) == asked.hash);
            let content = content.map(|content| content.to_vec());
            peer.send(&[Message::Block { request: asked.request, content }]);
        }
    }
    peer.connection.outgoing.close();
    serving.ended().await.unwrap()
}

/// An entry that is a link, and one that is in it.
#[tokio::test(flavor = "multi_thread")]
async fn no_link_is_a_way_out() {
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().to_string_lossy().into_owned();
    for target in [&*absolute, "sub", ".."] {
        let content: &[u8] = b"written by X";
        for at_once in [true, false] {
            let y = Node::new(DEFAULT, Y);
            y.write("sub/mine", "mine");
            let link = link_entry("a", target);
            let inside = inside(&link, "x", content, 2);
            if !at_once {
                offered(&y, vec![link.clone()], &[target.as_bytes()]).await;
                assert_eq!(std::fs::read_link(y.root.join("a")).is_ok(), target == "sub");
            }
            offered(&y, vec![link, inside], &[target.as_bytes(), content]).await;
            assert_eq!(y.read("a/x").as_deref(), Some("written by X"), "{target}: a directory of its own");
            assert!(std::fs::symlink_metadata(y.root.join("a")).unwrap().is_dir());
            assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{target}");
            assert_eq!(std::fs::read_dir(y.root.join("sub")).unwrap().count(), 1, "{target}");
            assert!(!y.root.parent().unwrap().join("x").exists(), "{target}");
        }
    }
}

/// A link that is not in the index, for it is ignored, is in the way of what is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_the_way_is_in_the_way() {
    let outside = tempfile::tempdir().unwrap();
    let (x, y) = both();
    y.write(".meshignore", "/a\n!/a/\n");
    link(&y, "a", outside.path());
    x.write("a/x", "written by X");
    x.write("b/x", "beside");
    for _ in 0..2 {
        let (_, report) = sync(&x, &y).await;
        assert!(
            report.skipped.iter().all(|(_, skipped)| skipped.reason == SkipReason::InTheWay),
            "{report:?}"
        );
        assert_eq!(y.read("b/x").as_deref(), Some("beside"));
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
    y.remove("a");
    sync(&x, &y).await;
    assert_eq!(y.read("a/x").as_deref(), Some("written by X"));
}
