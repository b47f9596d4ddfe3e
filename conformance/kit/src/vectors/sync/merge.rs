//! Two states of one entry.

use serde_json::{Value, json};

use super::super::envelope::{File, Test};
use super::{Dice, END, X, Y, Z, contents, devices};
use crate::oracle::crypto::hex;
use crate::oracle::sync::{self, Content, Deleted, Entry, Id, Proof, ROOT, Stamp};

pub(super) fn file() -> File {
    let mut dice = Dice(2_026);
    let mut merges = Merges(Vec::new());
    let mut test =
        |id: &str, comment: &str, reqs: &[&str], mine: &Entry, theirs: &Entry, seen: [&[(Id, u64)]; 2]| {
            merges.add(id, "edits", comment, reqs, (mine, theirs), seen);
        };
    let first = Entry::file("f", b"1");
    let edited = |writer, lamport, version: &[(Id, u64)], content: &[u8]| {
        let mut entry = Entry::file("f", content).by(writer, lamport, version);
        entry.place = first.place;
        entry.knowing(&first)
    };
    let by_x = edited(X, 2, &[(X, 2)], b"2");
    let by_z = edited(Z, 3, &[(X, 1), (Z, 1)], b"3");
    let gone = first.clone().deleted(&[(X, 1), (Z, 1)]);
    let moved = first.clone().moved("g", Stamp { lamport: 2, writer: X, counter: 2 }, &[(X, 2)]);
    let moved_by_z = first.clone().moved("h", Stamp { lamport: 2, writer: Z, counter: 1 }, &[(X, 1), (Z, 1)]);
    test("edits", "two edits that do not know of each other", &["SYN-037"], &by_x, &by_z, [&[], &[]]);
    test("later", "an edit that knows of the other", &["SYN-037"], &first, &by_z, [&[], &[]]);
    test("moves", "two moves of one lamport", &["SYN-020"], &moved, &moved_by_z, [&[], &[]]);
    test("move-edit", "a move and an edit", &["SYN-020", "SYN-037"], &moved, &by_z, [&[], &[]]);
    test(
        "delete-edit",
        "a deletion and an edit that do not know of each other",
        &["SYN-022"],
        &gone,
        &by_x,
        [&[], &[]],
    );
    test(
        "delete-move",
        "a deletion and a move that do not know of each other",
        &["SYN-022"],
        &gone,
        &moved,
        [&[], &[]],
    );
    test("deleted", "a deletion that knows of all", &["SYN-022"], &first, &gone, [&[], &[]]);
    let anew = Entry::file("f", b"4").by(Z, 9, &[(Z, 7)]);
    test("context", "what was collected and made anew", &["SYN-037"], &first, &anew, [&[], &[(X, 1)]]);
    test("same", "the same", &[], &first, &first, [&[], &[]]);
    let many = |from: u8| {
        let version: Vec<(Id, u64)> = (from..from + 40).map(|n| ([n; 16], 1)).collect();
        Entry::file("f", b"5").by([from; 16], 1, &version)
    };
    test("full", "versions of 80 devices together", &["SYN-016"], &many(1), &many(100), [&[], &[]]);
    for number in 0..40 {
        let (a, b) = (some_entry(&mut dice), some_entry(&mut dice));
        test(
            &format!("random-{number}"),
            "two states of one entry",
            &["SYN-020", "SYN-037"],
            &a,
            &b,
            [&[], &[]],
        );
    }
    merges.seen();
    merges.limits();
    merges.ties();
    super::file("merge", &["spec/sync.md section 4.3"], "SyncMerge", merges.0)
}

struct Merges(Vec<Test>);

impl Merges {
    fn add(
        &mut self,
        id: &str,
        twin: &str,
        comment: &str,
        reqs: &[&str],
        (mine, theirs): (&Entry, &Entry),
        seen: [&[(Id, u64)]; 2],
    ) {
        let context = |seen: &[(Id, u64)]| {
            let counters: Vec<Value> =
                seen.iter().map(|(device, counter)| json!([hex(device), counter])).collect();
            json!(counters)
        };
        let inputs = json!({
            "mine": hex(&mine.bytes()), "theirs": hex(&theirs.bytes()),
            "mine_context": context(seen[0]), "theirs_context": context(seen[1]),
        });
        let (id, twin) = (format!("sync.merge.{id}"), format!("sync.merge.{twin}"));
        self.0.push(match sync::merge(mine, theirs, (seen[0], seen[1])) {
            Some(entry) => {
                Test::valid(&id, comment, reqs, inputs).expect(json!({"entry": hex(&entry.bytes())}))
            }
            None => Test::invalid(&id, &twin, comment, reqs, "", inputs),
        });
    }

    /// Both ways round.
    fn both(
        &mut self,
        id: &str,
        comment: &str,
        req: &str,
        (a, b): (&Entry, &Entry),
        seen: [&[(Id, u64)]; 2],
    ) {
        self.add(id, "edits", comment, &[req], (a, b), seen);
        let (id, comment) = (format!("{id}-turned"), format!("{comment}, the other way round"));
        self.add(&id, "edits", &comment, &[req], (b, a), [seen[1], seen[0]]);
    }

    /// What a side has seen and has no more, was replaced there.
    fn seen(&mut self) {
        let (x, z) = (Entry::file("f", b"1").by(X, 1, &[(X, 5)]), Entry::file("f", b"2").by(Z, 2, &[(Z, 5)]));
        for (id, comment, seen) in [
            ("seen-here", "the own context has their content", &[(Z, 5)][..]),
            ("seen-later", "the own context is beyond their content", &[(Z, 6)]),
            ("seen-before", "the own context ends before their content", &[(Z, 4)]),
            ("seen-of-another", "the own context is of another device", &[(Y, 9)]),
        ] {
            self.both(id, comment, "SYN-037", (&x, &z), [seen, &[]]);
        }
        let comment = "each side has seen the other's content: the later stays";
        self.both("none-left", comment, "SYN-037", (&x, &z), [&[(Z, 5)], &[(X, 5)]]);
        let one = Entry::file("f", b"1");
        let deleted = |writer: Id, place: u8, content: u8| {
            let mut entry = Entry { gone: place, version: vec![(X, 1), (writer, 1)], ..one.clone() };
            entry.contents[0].gone = content;
            entry.knowing(&one)
        };
        let (place_gone, content_gone) = (deleted(Y, 1, 0), deleted(Z, 0, 1));
        self.both("place-gone", "only the place was deleted", "SYN-022", (&one, &place_gone), [&[], &[]]);
        self.both(
            "content-gone",
            "only the content was deleted",
            "SYN-022",
            (&one, &content_gone),
            [&[], &[]],
        );
        self.both("parts-gone", "each deleted a part", "SYN-022", (&place_gone, &content_gone), [&[], &[]]);
    }

    /// What is too much to be said (SYN-016).
    fn limits(&mut self) {
        let part = |from: u8, to: u8| {
            let all = contents("f", to);
            let version = all.version[usize::from(from) - 1..].to_vec();
            let contents = all.contents[usize::from(from) - 1..].to_vec();
            Entry { place: contents[0].stamp, version, contents, ..all }
        };
        let (few, more) = (part(1, 8), part(9, 16));
        self.add("contents-16", "edits", "16 contents together", &["SYN-016"], (&few, &more), [&[], &[]]);
        let too_many = "17 contents together";
        self.add("contents-17", "contents-16", too_many, &["SYN-016"], (&few, &part(9, 17)), [&[], &[]]);
        let mut deletions = |id: &str, twin: &str, count: u8| {
            let one = Entry::file("f", b"1");
            let edited = Entry::file("f", b"2").by(Z, 2, &[(X, 1), (Z, 1)]).knowing(&one);
            let mut proofs = edited.proofs();
            for proof in proofs.iter_mut().filter(|proof| proof.dot() == (Z, 1)) {
                proof.deleted = (1..=count).map(|n| Deleted { part: 2, change: ([n; 16], 1) }).collect();
                proof.sign(edited.id);
            }
            let edited = Entry { proofs: Some(proofs), ..edited };
            let comment = format!("a change of theirs deleted {count} contents");
            self.add(id, twin, &comment, &["SYN-160"], (&one, &edited), [&[], &[]]);
        };
        deletions("deleted-32", "edits", 32);
        deletions("deleted-33", "deleted-32", 33);
        let half = |from: u8, to: u8, writer: u8| {
            let mut entry = devices("f", to);
            entry.version.drain(..usize::from(from) - 1);
            entry.place.writer = [writer; 16];
            entry.contents[0].stamp = entry.place;
            entry
        };
        let mut add = |id: &str, twin: &str, comment: &str, to: (u8, u8)| {
            let (few, more) = (half(1, 32, 1), half(to.0, to.1, to.1));
            self.add(id, twin, comment, &["SYN-016"], (&few, &more), [&[], &[]]);
        };
        add("devices-64", "edits", "versions of 64 devices together", (33, 64));
        add("devices-65", "devices-64", "versions of 65 devices together", (33, 65));
        add("devices-shared", "edits", "versions of 64 devices together, of which they share one", (32, 64));
    }

    /// Stamps of which the lamport does not decide.
    fn ties(&mut self) {
        let place = |path: &str, lamport, writer: Id, counter| {
            let (stamp, moved) = (Stamp { lamport, writer, counter }, (writer, counter));
            let version = if writer == X { vec![moved] } else { vec![(X, 1), moved] };
            Entry::file("f", b"1").moved(path, stamp, &version)
        };
        let (first, second) = (place("g", 5, Y, 9), place("h", 5, Z, 2));
        self.both("places-by-writer", "two places of one lamport", "SYN-020", (&first, &second), [&[], &[]]);
        let (first, second) = (place("g", END - 1, X, 8), place("h", END - 1, X, 9));
        let comment = "two places of one writer at the end of the lamports";
        self.both("places-by-counter", comment, "SYN-020", (&first, &second), [&[], &[]]);
        let (first, second) = (place("g", 9, Y, 2), place("h", 10, X, 2));
        let comment = "a later place of a smaller writer";
        self.both("places-by-lamport", comment, "SYN-020", (&first, &second), [&[], &[]]);
    }
}

/// Some state that an entry may have, after a few of 3 x 4 changes.
fn some_entry(dice: &mut Dice) -> Entry {
    let devices = [[1; 16], [2; 16], [3; 16]];
    let version: Vec<(Id, u64)> = devices.map(|device| (device, 1 + dice.roll(4))).to_vec();
    let stamp = |dice: &mut Dice| {
        let (writer, last) = version[usize::try_from(dice.roll(3)).expect("small")];
        let counter = 1 + dice.roll(last);
        Stamp { lamport: counter * 2 + u64::from(writer[0]) % 2, writer, counter }
    };
    let mut contents: Vec<Content> = Vec::new();
    for _ in 0..=dice.roll(3) {
        let stamp = stamp(dice);
        let mut content = Entry::file("x", &[stamp.writer[0], u8::try_from(stamp.counter).expect("small")])
            .contents[0]
            .clone();
        (content.stamp, content.gone) = (stamp, u8::from(dice.roll(4) == 0));
        if contents.iter().all(|other| other.stamp != stamp) {
            contents.push(content);
        }
    }
    contents.sort_by_key(|content| content.stamp);
    let place = stamp(dice);
    let name = format!("{}-{}", place.writer[0], place.counter).into_bytes();
    // What is gone was deleted by one of the changes that are in the version.
    let last = version.iter().map(|(_, counter)| *counter).max().unwrap_or_default();
    contents.iter_mut().for_each(|content| content.gone &= u8::from(content.stamp.counter < last));
    let gone = u8::from(dice.roll(3) == 0 && place.counter < last);
    let mut entry = Entry { id: [9; 16], parent: ROOT, name, place, gone, contents, version, proofs: None };
    let mut dots = entry.version.clone();
    dots.push((place.writer, place.counter));
    dots.extend(entry.contents.iter().map(|content| (content.stamp.writer, content.stamp.counter)));
    dots.sort_unstable();
    dots.dedup();
    entry.proofs = Some(dots.into_iter().map(some_proof).collect());
    entry
}

/// What the change with this dot did, in whatever state it occurs: it put, wrote, and deleted all with a smaller counter.
fn some_proof((writer, counter): (Id, u64)) -> Proof {
    let mut did = some_change(writer, counter);
    let mut proof = did.proofs().remove(0);
    for (part, device) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)] {
        for counter in 1..counter {
            proof.deleted.push(Deleted { part, change: ([device; 16], counter) });
        }
    }
    did.id = [9; 16];
    proof.sign(did.id);
    proof
}

/// An entry with nothing but the place and content of one change.
fn some_change(writer: Id, counter: u64) -> Entry {
    let byte = u8::try_from(counter).expect("small");
    let mut entry = Entry::file(&format!("{}-{counter}", writer[0]), &[writer[0], byte]).by(
        writer,
        counter * 2 + u64::from(writer[0]) % 2,
        &[(writer, counter)],
    );
    entry.parent = ROOT;
    entry
}
