//! Messages survive the wire; merging comes to the same result on both sides.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::merge::conflict_path;
use super::message::Request;
use super::*;
use crate::codec::Id;
use crate::requirement as req;
use crate::storage::MediaHash;

fn entries() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        Just(Kind::Tombstone),
        Just(Kind::Directory),
        (any::<u64>(), 0_u8..3).prop_map(|(size, hash)| Kind::File { size, hash: MediaHash([hash; 32]) }),
    ];
    let version = prop::collection::btree_map((0_u8..4).prop_map(|n| Id([n; 16])), 1_u64..4, 1..4)
        .prop_map(|counters| Version::new(counters.into_iter().collect()).unwrap());
    (kind, version, 0_u64..4, 0_u8..4, any::<u16>()).prop_map(|(kind, version, lamport, writer, mode)| {
        Entry {
            path: PortablePath::parse("a/b.txt").unwrap(),
            kind,
            mode,
            mtime: 7,
            lamport,
            writer: Id([writer; 16]),
            version,
        }
    })
}

fn result(mine: &Entry, theirs: &Entry) -> Entry {
    match merge(mine, theirs) {
        Merge::Keep | Merge::Refuse => mine.clone(),
        Merge::Take(e) | Merge::KeepJoined(e) | Merge::TakeJoined(e) | Merge::Conflict { winner: e, .. } => e,
    }
}

proptest! {
    #[test]
    fn both_sides_come_to_the_same(a in entries(), b in entries()) {
        // Two states with one version are one state: a device never writes two.
        prop_assume!(a.version != b.version);
        prop_assume!((a.lamport, a.writer) != (b.lamport, b.writer));
        prop_assert_eq!(result(&a, &b), result(&b, &a));
        let joined = result(&a, &b);
        prop_assert!(joined.version.dominates(&a.version) && joined.version.dominates(&b.version));
        prop_assert_eq!(result(&joined, &a), joined.clone());
    }

    #[test]
    fn no_concurrent_edit_is_lost(a in entries(), b in entries()) {
        let concurrent = !a.version.dominates(&b.version) && !b.version.dominates(&a.version);
        if let (true, Merge::Conflict { winner, loser, .. }) = (concurrent, merge(&a, &b)) {
            prop_assert!(!winner.is_deleted() && !loser.is_deleted());
        }
    }

    #[test]
    fn messages_survive(entry in entries(), cut in 1_usize..50, content: Vec<u8>) {
        let folder = Id([1; 16]);
        let request = Request { request: 1, folder, hash: MediaHash([2; 32]), offset: 3, length: 4 };
        let messages = [
            Message::Hello([folder, Id([2; 16])].to_vec()),
            Message::Index { folder, last: true, entries: [entry].to_vec() },
            Message::Request(request),
            Message::Block { request: 1, content: Some(content) },
            Message::Block { request: 2, content: None },
            Message::Done(folder),
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

#[test]
fn an_edit_wins_over_a_deletion() {
    let version = |n: u8| Version::new([(Id([n; 16]), 1)].to_vec()).unwrap();
    let path = PortablePath::parse("a").unwrap();
    let kind = Kind::File { size: 1, hash: MediaHash([1; 32]) };
    let edit = Entry { path, kind, mode: 0, mtime: 0, lamport: 1, writer: Id([1; 16]), version: version(1) };
    let deletion =
        Entry { kind: Kind::Tombstone, lamport: 9, writer: Id([2; 16]), version: version(2), ..edit.clone() };
    assert!(matches!(merge(&deletion, &edit), Merge::TakeJoined(e) if e.kind == kind));
    assert!(matches!(merge(&edit, &deletion), Merge::KeepJoined(e) if e.kind == kind));
}

#[test]
fn names_of_conflicts() {
    let name = |path: &str| {
        let entry = Entry {
            path: PortablePath::parse(path).unwrap(),
            kind: Kind::Directory,
            mode: 0,
            mtime: 0,
            lamport: 7,
            writer: Id([0xAB; 16]),
            version: Version::default(),
        };
        alloc::string::ToString::to_string(&conflict_path(&entry).unwrap())
    };
    assert_eq!(name("a/b.tar.gz"), "a/b.tar (conflict abababab 7).gz");
    assert_eq!(name(".profile"), ".profile (conflict abababab 7)");
    assert_eq!(name("Makefile"), "Makefile (conflict abababab 7)");
}

#[test]
fn an_index_in_two_messages_keeps_its_order() {
    let index = |path: &str, last| Message::Index {
        folder: Id([1; 16]),
        last,
        entries: [Entry {
            path: PortablePath::parse(path).unwrap(),
            kind: Kind::Directory,
            mode: 0,
            mtime: 0,
            lamport: 1,
            writer: Id([1; 16]),
            version: Version::default().bump(Id([1; 16])).unwrap(),
        }]
        .to_vec(),
    };
    let read = |messages: &[Message]| {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        messages.iter().for_each(|message| message.write(&mut bytes));
        decoder.push(&bytes);
        messages.iter().map(|_| decoder.next()).collect::<Result<Vec<_>, _>>()
    };
    assert!(read(&[index("a", false), index("b", true), index("a", true)]).is_ok());
    assert!(read(&[index("b", false), index("a", true)]).unwrap_err().is(req::SYN_006));
}

#[test]
fn a_full_version_is_not_joined_and_not_bumped() {
    let version =
        |devices: std::ops::Range<u8>| Version::new(devices.map(|n| (Id([n; 16]), 1)).collect()).unwrap();
    assert!(version(0..40).join(&version(20..64)).is_some());
    assert_eq!(version(0..40).join(&version(30..65)), None);
    assert!(version(0..64).bump(Id([7; 16])).is_some());
    assert_eq!(version(0..64).bump(Id([99; 16])), None);
    let last = Version::new([(Id([1; 16]), message::MAX_COUNTER)].to_vec()).unwrap();
    assert_eq!(last.bump(Id([1; 16])), None);
    assert!(Version::new([(Id([1; 16]), message::MAX_COUNTER + 1)].to_vec()).unwrap_err().is(req::SYN_008));
}
