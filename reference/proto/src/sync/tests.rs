//! Messages survive the wire; names, merges and views that examples show better than properties.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::entry::{MAX_COUNTER, new_id};
use super::message::Request;
use super::*;
use crate::codec::Id;
use crate::requirement as req;
use crate::storage::MediaHash;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn stamp(writer: u8, lamport: u64) -> Stamp {
    Stamp { lamport, writer: Id([writer; 16]), counter: lamport }
}

fn content(kind: Kind, stamp: Stamp) -> Content {
    Content { stamp, kind, mode: 0o644, mtime: 7, gone: false }
}

fn file(n: u8) -> Kind {
    Kind::File { size: 1, hash: MediaHash([n; 32]) }
}

/// `id` and `parent` are repeated bytes.
fn entry(id: u8, parent: u8, text: &str, kind: Kind, stamp: Stamp) -> Entry {
    Entry::new(Id([id; 16]), (Id([parent; 16]), name(text)), content(kind, stamp)).unwrap()
}

fn joined(a: &Entry, b: &Entry) -> Entry {
    let unknown = Context::default();
    let joined = merge(a, b, (&unknown, &unknown)).unwrap();
    assert_eq!(merge(b, a, (&unknown, &unknown)).as_ref(), Some(&joined), "commutative");
    assert_eq!(merge(&joined, a, (&unknown, &unknown)).as_ref(), Some(&joined), "idempotent");
    joined
}

fn paths(entries: &[Entry]) -> Vec<String> {
    Tree::of(entries).items.iter().map(|item| item.path.to_string()).collect()
}

#[test]
fn an_edit_wins_over_a_deletion_and_so_does_a_move() {
    let first = entry(1, 0, "a", file(1), stamp(1, 1));
    let gone = first.deleted(first.place.stamp, &[first.contents[0].stamp.dot()], stamp(2, 9)).unwrap();
    assert!(gone.is_gone() && joined(&first, &gone).is_gone());
    let edited = first.rewritten(content(file(2), stamp(3, 2)), &[first.contents[0].stamp.dot()]).unwrap();
    assert_eq!(joined(&gone, &edited).main().unwrap().kind, file(2));
    let moved = first.moved((ROOT, name("b")), stamp(3, 2)).unwrap();
    assert_eq!(paths(&[joined(&gone, &moved)]), ["b"]);
    assert_eq!(joined(&gone, &moved).main().unwrap().kind, file(1));
}

#[test]
fn a_rename_and_an_edit_both_survive() {
    let first = entry(1, 0, "a", file(1), stamp(1, 1));
    let moved = first.moved((ROOT, name("b")), stamp(1, 2)).unwrap();
    let edited = first.rewritten(content(file(2), stamp(2, 2)), &[first.contents[0].stamp.dot()]).unwrap();
    let both = joined(&moved, &edited);
    assert_eq!((both.place.name.as_str(), both.main().unwrap().kind), ("b", file(2)));
    assert_eq!(both.contents.len(), 1);
}

#[test]
fn concurrent_edits_are_a_copy_unless_they_are_the_same() {
    let (mine, theirs) =
        (entry(1, 0, "a.txt", file(1), stamp(1, 3)), entry(1, 0, "a.txt", file(2), stamp(2, 3)));
    let both = joined(&mine, &theirs);
    assert_eq!(paths(core::slice::from_ref(&both)), ["a (conflict 01010101 3).txt", "a.txt"]);
    assert_eq!(Tree::of(&[both]).items[1].kind, file(2));
    let same = entry(1, 0, "a.txt", file(1), stamp(2, 3));
    assert_eq!(paths(&[joined(&mine, &same)]), ["a.txt"]);
}

#[test]
fn a_deletion_that_was_collected_is_seen() {
    // One side forgot the entry and made it anew; the other has the old one.
    let (old, new) = (entry(1, 0, "a", file(1), stamp(1, 1)), entry(1, 0, "a", file(2), stamp(2, 5)));
    let (unknown, saw_old) = (Context::default(), Context([(Id([1; 16]), 1)].into()));
    let merged = merge(&old, &new, (&unknown, &saw_old)).unwrap();
    assert_eq!(merged.contents, new.contents);
    assert_eq!(merge(&new, &old, (&saw_old, &unknown)), Some(merged));
}

#[test]
fn the_view_of_odd_trees() {
    let directory = |id, parent, text, at| entry(id, parent, text, Kind::Directory, stamp(1, at));
    // A cycle: who was moved last goes to the root.
    assert_eq!(paths(&[directory(1, 2, "a", 5), directory(2, 1, "b", 6)]), ["b", "b/a"]);
    // A living child of a deleted directory keeps it.
    let parent = directory(1, 0, "d", 1);
    let gone = parent.deleted(parent.place.stamp, &[parent.contents[0].stamp.dot()], stamp(1, 2)).unwrap();
    assert_eq!(paths(core::slice::from_ref(&gone)), Vec::<String>::new());
    assert_eq!(paths(&[gone, entry(2, 1, "f", file(1), stamp(2, 2))]), ["d", "d/f"]);
    // An unknown parent.
    let tree = Tree::of(&[entry(2, 9, "f", file(1), stamp(2, 2))]);
    assert_eq!((tree.items.len(), tree.hidden), (0, [Id([2; 16])].to_vec()));
    // One name for two, as some file systems see it: the later place has it.
    let (first, second) =
        (entry(1, 0, "Straße", file(1), stamp(1, 1)), entry(2, 0, "STRASSE", file(2), stamp(2, 2)));
    assert_eq!(paths(&[first, second]), ["STRASSE", "Straße (conflict 01010101 1)"]);
}

#[test]
fn names_of_conflicts() {
    let marked = |text: &str| {
        name(text).marked(Stamp { writer: Id([0xAB; 16]), lamport: 7, counter: 9 }, 1).to_string()
    };
    assert_eq!(marked("b.tar.gz"), "b.tar (conflict abababab 7).gz");
    assert_eq!(marked(".profile"), ".profile (conflict abababab 7)");
    assert_eq!(marked("Makefile"), "Makefile (conflict abababab 7)");
    assert_eq!(name("a.b").marked(stamp(1, 2), 3).as_str(), "a (conflict 01010101 2 3).b");
    let long = marked(&"é".repeat(127));
    assert!(
        long.len() <= 255 && long.starts_with("éé") && long.ends_with(" (conflict abababab 7)"),
        "{long}"
    );
}

#[test]
fn identifiers_of_new_entries() {
    let first = new_id(ROOT, &name("a"), 0);
    assert_eq!(first, new_id(ROOT, &name("a"), 0));
    assert!(first != new_id(ROOT, &name("a"), 1) && first != new_id(first, &name("a"), 0));
}

#[test]
fn an_index_in_two_messages_keeps_its_order() {
    let index = |id, last| Message::Index {
        folder: Id([1; 16]),
        last,
        entries: [entry(id, 0, "a", Kind::Directory, stamp(1, 1))].to_vec(),
    };
    let read = |messages: &[Message]| {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        messages.iter().for_each(|message| message.write(&mut bytes));
        decoder.push(&bytes);
        messages.iter().map(|_| decoder.next()).collect::<Result<Vec<_>, _>>()
    };
    assert!(read(&[index(1, false), index(2, true), index(1, true)]).is_ok());
    assert!(read(&[index(2, false), index(1, true)]).unwrap_err().is(req::SYN_006));
}

#[test]
fn a_full_version_is_not_joined_and_takes_no_change() {
    let version =
        |devices: std::ops::Range<u8>| Version::new(devices.map(|n| (Id([n; 16]), 1)).collect()).unwrap();
    let change = |writer: u8, counter| Stamp { lamport: 1, writer: Id([writer; 16]), counter };
    assert!(version(0..40).join(&version(20..64)).is_some());
    assert_eq!(version(0..40).join(&version(30..65)), None);
    assert!(version(0..64).with(change(7, 2)).is_some());
    assert_eq!(version(0..64).with(change(7, 1)), None, "it says that it has this change");
    assert_eq!(version(0..64).with(change(99, 1)), None);
    assert_eq!(version(0..1).with(change(0, MAX_COUNTER + 1)), None);
    assert!(Version::new([(Id([1; 16]), MAX_COUNTER + 1)].to_vec()).unwrap_err().is(req::SYN_008));
}

proptest! {
    #[test]
    fn messages_survive(kind in 0_u8..4, lamport in 1_u64..99, cut in 1_usize..50, bytes: Vec<u8>) {
        let folder = Id([1; 16]);
        let request = Request { request: 1, folder, hash: MediaHash([2; 32]), offset: 3, length: 4 };
        let kind = match kind {
            0 => Kind::Directory,
            1 => Kind::Link { size: 4, hash: MediaHash([4; 32]) },
            n => file(n),
        };
        let entry = entry(1, 2, "name", kind, stamp(3, lamport));
        let head = Head { device: Id([3; 16]), counter: lamport, chain: [6; 32], signature: [7; 64] };
        let card = Card { device: Id([3; 16]), key: [8; 32], signature: bytes.clone() };
        let state = State {
            folder,
            complete: true,
            heads: [head].to_vec(),
            digests: Digests([[5; 16]; 256]),
        };
        let messages = [
            Message::Hello([folder, Id([2; 16])].to_vec()),
            Message::State(Box::new(state)),
            Message::Index { folder, last: true, entries: [entry].to_vec() },
            Message::Request(request),
            Message::Block { request: 1, content: Some(bytes) },
            Message::Block { request: 2, content: None },
            Message::Done(folder),
            Message::Writers { folder, cards: [card].to_vec() },
            Message::Bye,
        ];
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.write(&mut bytes));
        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        for piece in bytes.chunks(cut) {
            decoder.push(piece);
            while let Some(message) = decoder.next().unwrap() {
                got.push(message);
            }
        }
        prop_assert_eq!(got, messages);
    }
}
