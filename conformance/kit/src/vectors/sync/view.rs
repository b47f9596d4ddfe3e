//! The paths of entries, and the digest of a bucket.

use serde_json::{Value, json};

use super::super::envelope::{File, Test};
use super::{Dice, X, Y, Z, two_contents};
use crate::oracle::crypto::hex;
use crate::oracle::sync::{self, Content, Entry, Id, Stamp, id_of};

/// `paths` of an answer.
pub(in super::super) fn paths_value(entries: &[Entry]) -> Value {
    let shown = sync::view(entries);
    let path = |shown: &sync::Shown| {
        let kind = shown.content.as_ref().map_or(2, |content| content.kind);
        json!({"path": shown.path, "id": hex(&shown.id), "kind": kind, "copy": shown.copy})
    };
    json!(shown.iter().map(path).collect::<Vec<_>>())
}

pub(super) fn file() -> File {
    let mut views = Views(Vec::new());
    let mut test = |id: &str, comment: &str, reqs: &[&str], entries: &[Entry]| {
        views.add(id, comment, reqs.first().copied(), entries);
    };
    let into = |path: &str, parent: &str, lamport| {
        let mut entry = Entry::directory(path);
        (entry.parent, entry.place.lamport) = (id_of(parent), lamport);
        entry.contents[0].stamp = entry.place;
        entry
    };
    let deleted = |path: &str| Entry::directory(path).deleted(&[(X, 2)]);
    let tree = [Entry::directory("d"), Entry::file("d/f", b"1"), Entry::file("d.txt", b"2")];
    test("tree", "a tree", &[], &tree);
    test("deleted", "a deleted file", &[], &[Entry::file("f", b"1").deleted(&[(X, 2)])]);
    test(
        "cycle",
        "two directories in each other",
        &["SYN-038"],
        &[into("a", "b", 5), into("b", "a", 6), Entry::file("a/f", b"1")],
    );
    test(
        "cycle-of-three",
        "three directories in each other",
        &["SYN-038"],
        &[into("a", "c", 7), into("b", "a", 6), into("c", "b", 5)],
    );
    test(
        "deleted-parent",
        "a file in a deleted directory",
        &["SYN-039"],
        &[deleted("d"), Entry::file("d/f", b"1")],
    );
    test(
        "deleted-parents",
        "a file far below a deleted directory",
        &["SYN-039"],
        &[deleted("d"), deleted("d/e"), Entry::file("d/e/f", b"1")],
    );
    test("deleted-empty", "a deleted directory in another", &["SYN-039"], &[deleted("d"), deleted("d/e")]);
    test(
        "unknown-parent",
        "a file in a directory that nobody knows",
        &["SYN-040"],
        &[Entry::file("d/f", b"1"), Entry::file("g", b"2")],
    );
    let case = |path: &str, lamport| {
        let mut entry = Entry::file(path, path.as_bytes());
        entry.place.lamport = lamport;
        entry.contents[0].stamp = entry.place;
        entry
    };
    test(
        "case",
        "names that differ in case",
        &["SYN-041"],
        &[case("Name.txt", 2), case("name.txt", 3), case("NAME.TXT", 1)],
    );
    test(
        "sharp-s",
        "names that differ in how capitals are written",
        &["SYN-041"],
        &[case("straße", 1), case("STRASSE", 2)],
    );
    test(
        "taken",
        "a conflict name that is taken",
        &["SYN-041"],
        &[case("A", 1), case("a", 2), case("A (conflict 0d000000 1)", 1)],
    );
    test(
        "long",
        "a long name that has to make room",
        &["SYN-041"],
        &[case(&"É".repeat(127), 1), case(&"é".repeat(127), 2)],
    );
    test("copies", "two contents of one entry", &["SYN-021"], &[two_contents()]);
    let mut same = two_contents();
    same.contents[1].hash = same.contents[0].hash;
    test("no-copy", "two contents that are the same", &["SYN-021"], &[same]);
    let mut mixed = two_contents();
    let content = &mut mixed.contents[0];
    (content.kind, content.size, content.hash) = (2, 0, [0; 32]);
    test("directory-and-file", "a directory and a file of one entry", &["SYN-021"], &[mixed]);
    let mut holds = two_contents();
    holds.contents.truncate(1);
    test(
        "file-that-holds",
        "a file in which there is something",
        &["SYN-021"],
        &[holds, Entry::file("two/f", b"1")],
    );
    views.cycles();
    views.names();
    views.making_room();
    views.copies();
    views.kept_by_a_move();
    views.long_paths();
    views.folders();
    super::file("view", &["spec/sync.md section 4.4"], "SyncView", views.0)
}

/// The same file, put there and written by this change alone.
fn made(path: &str, id: u8, lamport: u64, writer: Id, counter: u64) -> Entry {
    let mut entry = Entry::file(path, &[id]).by(writer, lamport, &[(writer, counter)]);
    entry.id = [id; 16];
    entry.parent = sync::ROOT;
    entry
}

/// The same, and in this directory.
fn within(entry: Entry, parent: u8) -> Entry {
    Entry { parent: [parent; 16], ..entry }
}

fn directory(path: &str, id: u8, lamport: u64, writer: Id, counter: u64) -> Entry {
    let mut entry = made(path, id, lamport, writer, counter);
    let content = &mut entry.contents[0];
    (content.kind, content.size, content.hash) = (2, 0, [0; 32]);
    entry
}

/// One more content, concurrent to the others: its hash is of these bytes.
fn with(mut entry: Entry, bytes: &[u8], lamport: u64, writer: Id, counter: u64) -> Entry {
    let mut content = Entry::file("x", bytes).contents.remove(0);
    content.stamp = Stamp { lamport, writer, counter };
    entry.contents.push(content);
    entry.contents.sort_by_key(|content| content.stamp);
    match entry.version.iter_mut().find(|(device, _)| *device == writer) {
        Some(known) => known.1 = known.1.max(counter),
        None => entry.version.push((writer, counter)),
    }
    entry.version.sort_unstable();
    entry
}

/// The same, put there by a later change.
fn placed(mut entry: Entry, lamport: u64, writer: Id, counter: u64) -> Entry {
    entry.place = Stamp { lamport, writer, counter };
    entry.version.retain(|(device, _)| *device != writer);
    entry.version.push((writer, counter));
    entry.version.sort_unstable();
    entry
}

struct Views(Vec<Test>);

impl Views {
    fn add(&mut self, id: &str, comment: &str, req: Option<&str>, entries: &[Entry]) {
        let bytes: Vec<String> = entries.iter().map(|entry| hex(&entry.bytes())).collect();
        let reqs: Vec<&str> = req.into_iter().collect();
        let test = Test::valid(&format!("sync.view.{id}"), comment, &reqs, json!({"entries": bytes}));
        self.0.push(test.expect(json!({"paths": paths_value(entries)})));
    }

    fn cycles(&mut self) {
        let mut add =
            |id: &str, comment: &str, entries: &[Entry]| self.add(id, comment, Some("SYN-038"), entries);
        let two = |a: (u64, Id, u64), b: (u64, Id, u64)| {
            let a = within(directory("a", 1, a.0, a.1, a.2), 2);
            let b = within(directory("b", 2, b.0, b.1, b.2), 1);
            [a, b, within(made("f", 3, 9, Z, 9), 1)]
        };
        add("cycle-by-writer", "a cycle of one lamport: the writer decides", &two((5, Y, 7), (5, X, 8)));
        add("cycle-by-writer-turned", "the same, the other writer", &two((5, X, 8), (5, Y, 7)));
        add("cycle-by-counter", "a cycle of one lamport and writer", &two((5, X, 8), (5, X, 7)));
        add("cycle-by-lamport", "a cycle, whatever the writers are", &two((5, Z, 8), (6, X, 7)));
        let [a, b, f] = two((5, X, 1), (6, X, 2));
        let tail = within(directory("tail", 4, 99, Z, 99), 1);
        add(
            "cycle-with-tail",
            "what hangs on a cycle is no part of it, though it was moved last",
            &[a.clone(), b.clone(), f.clone(), tail.clone(), within(made("g", 5, 9, Z, 1), 4)],
        );
        let own = within(directory("c", 6, 7, X, 3), 7);
        let other = within(directory("d", 7, 8, X, 4), 6);
        add("cycle-twice", "two cycles", &[a.clone(), b, f.clone(), own, other]);
        let gone = a.clone().deleted(&[(X, 5)]);
        let b = within(directory("b", 2, 6, X, 2), 1);
        add(
            "cycle-deleted",
            "a cycle with a deleted directory, and a file in it",
            &[gone.clone(), b.clone(), f],
        );
        let [gone, b] = [gone, b.deleted(&[(X, 6)])];
        add("cycle-all-deleted", "a cycle of deleted directories", &[gone, b]);
    }

    fn names(&mut self) {
        let mut add =
            |id: &str, comment: &str, entries: &[Entry]| self.add(id, comment, Some("SYN-041"), entries);
        let two = |a: (u8, u64, Id, u64), b: (u8, u64, Id, u64)| {
            [made("name", a.0, a.1, a.2, a.3), made("NAME", b.0, b.1, b.2, b.3)]
        };
        add("name-by-writer", "one lamport: the writer decides", &two((1, 5, Y, 1), (2, 5, X, 2)));
        add("name-by-writer-turned", "the same, the other writer", &two((1, 5, X, 2), (2, 5, Y, 1)));
        add(
            "name-by-counter",
            "one lamport and writer: the counter decides",
            &two((1, 5, X, 1), (2, 5, X, 2)),
        );
        add("name-by-identifier", "one stamp: the smallest identifier", &two((2, 5, X, 1), (1, 5, X, 1)));
        let three = |number: u8| made("name", number, 5, X, 1);
        add("name-thrice", "three of one stamp: identifiers rise", &[three(3), three(1), three(2)]);
        let nameless = [made("name", 1, 9, X, 4), made("name", 2, 5, X, 3), made("name", 3, 5, Y, 2)];
        add("nameless-by-stamp", "two without a name, of one lamport and first digits", &nameless);
        let taken = made("A (CONFLICT 0D000000 1)", 3, 1, X, 3);
        add(
            "taken-folded",
            "the conflict name is taken in capitals",
            &[made("A", 1, 1, X, 1), made("a", 2, 2, X, 2), taken],
        );
        let folded = [made("\u{390}", 1, 1, X, 1), made("\u{3aa}\u{301}", 2, 2, X, 2)];
        add("composed-again", "names that are the same once they are composed again", &folded);
        let later = [made("\u{10d50}", 1, 1, X, 1), made("\u{10d70}", 2, 2, X, 2)];
        add("later-case", "letters whose case came after Unicode 14.0", &later);
        let apart =
            [directory("d", 1, 1, X, 1), within(made("name", 2, 2, X, 2), 1), made("NAME", 3, 3, X, 3)];
        add("names-apart", "the same names in two directories", &apart);
        let gone = directory("name", 1, 5, X, 1).deleted(&[(X, 3)]);
        let held = [gone, within(made("f", 2, 2, X, 2), 1), made("NAME", 3, 4, X, 4)];
        add("name-of-a-deleted-directory", "a deleted directory with a file in it has its name", &held);
        let dead = made("name", 1, 5, X, 1).deleted(&[(X, 3)]);
        add("name-of-the-dead", "a deleted file has none", &[dead, made("NAME", 3, 4, X, 4)]);
        let far = [
            within(made("f", 1, 1, X, 1), 9),
            within(directory("d", 2, 1, X, 2), 9),
            within(made("g", 3, 1, X, 3), 2),
        ];
        self.add("unknown-grandparent", "far below a directory that nobody knows", Some("SYN-040"), &far);
        let file =
            [made("file", 1, 1, X, 1), within(made("f", 2, 1, X, 2), 1), within(made("g", 3, 1, X, 3), 1)];
        self.add("file-that-holds-two", "a file with two files in it", Some("SYN-021"), &file);
    }

    fn making_room(&mut self) {
        let mut add = |id: &str, comment: &str, name: &str| {
            let entries = [made(name, 1, 1, X, 1), made(&name.to_uppercase(), 2, 2, X, 2)];
            self.add(id, comment, Some("SYN-041"), &entries);
        };
        let letters = |count: usize| -> String { ('a'..='z').cycle().take(count).collect() };
        add("extension-32", "32 bytes behind the last dot", &format!("name.{}", letters(32)));
        add("extension-33", "33 bytes behind the last dot", &format!("name.{}", letters(33)));
        add(
            "extension-32-letters",
            "16 letters of two bytes behind the dot",
            &format!("name.{}", "é".repeat(16)),
        );
        add(
            "extension-34-letters",
            "17 letters of two bytes behind the dot",
            &format!("name.{}", "é".repeat(17)),
        );
        add("extensions-two", "two dots: the last counts", "name.tar.gz");
        add("dot-begin", "a dot at the begin is none", ".name");
        add("dot-begin-extension", "a dot at the begin, and one behind it", ".name.txt");
        add("stem-cut", "a stem that loses its end", &format!("{}.txt", letters(251)));
        add(
            "stem-cut-letters",
            "a stem that loses letters of two bytes",
            &format!("x{}.txt", "éèêë".repeat(31)),
        );
        add("stem-not-cut", "a stem that just has room", &format!("{}.txt", letters(229)));
        add("stem-cut-one", "a stem that loses one letter", &format!("{}.txt", letters(230)));
        add("stem-cut-extension", "a long extension stays", &format!("{}.{}", letters(222), letters(32)));
        let name = letters(255);
        let many = [made(&name, 1, 9, X, 4), made(&name, 2, 1, X, 1), made(&name, 3, 1, X, 1)];
        self.add("stem-cut-again", "a number that needs more room", Some("SYN-041"), &many);
    }

    fn copies(&mut self) {
        let mut add =
            |id: &str, comment: &str, entries: &[Entry]| self.add(id, comment, Some("SYN-021"), entries);
        // The main content is the latest; two copies have one lamport, and writers whose first digits are the same.
        let one = with(with(made("f.txt", 1, 5, X, 1), b"y", 5, Y, 1), b"z", 9, Z, 1);
        add("copies-by-stamp", "two copies of one lamport and first digits", std::slice::from_ref(&one));
        let nameless = made("F.txt", 2, 5, X, 7);
        let winner = placed(one.clone(), 6, Y, 2);
        add("nameless-before-copies", "an entry without a name is before copies", &[winner, nameless]);
        let other = with(made("F.TXT", 3, 5, X, 1), b"w", 9, Z, 2);
        let both = [placed(one, 4, Z, 2), placed(other, 3, Y, 3)];
        add("copies-by-identifier", "copies of two entries with one stamp", &both);
        let edit = |change: &dyn Fn(&mut Content)| {
            let mut entry = with(made("f", 1, 5, X, 1), &[1], 9, Y, 1);
            change(&mut entry.contents[0]);
            entry
        };
        add(
            "no-copy-mode",
            "two contents that differ in their mode",
            &[edit(&|content| content.mode = 0o755)],
        );
        add("no-copy-time", "two contents that differ in their time", &[edit(&|content| content.mtime += 1)]);
        add("copy-size", "two contents that differ in their size", &[edit(&|content| content.size = 2)]);
        add("copy-hash", "two contents that differ in their hash", &[edit(&|content| content.hash[31] ^= 1)]);
        add("copy-link", "a link and a file of the same bytes", &[edit(&|content| content.kind = 3)]);
        add(
            "no-copy-gone",
            "a content that is gone",
            &[{
                let entry = with(made("f", 1, 5, X, 1), b"2", 9, Y, 1);
                let mut gone = Entry { version: vec![(X, 1), (Y, 2)], ..entry };
                (gone.contents[0].gone, gone.contents[0].kind) = (1, 3);
                gone
            }],
        );
        add(
            "no-copy-gone-latest",
            "the later content is gone",
            &[{
                let entry = with(made("f", 1, 5, X, 1), b"2", 9, Y, 1);
                let mut gone = Entry { version: vec![(X, 1), (Y, 2)], ..entry };
                (gone.contents[1].gone, gone.contents[1].kind) = (1, 3);
                gone
            }],
        );
        let same = with(with(made("f", 1, 5, X, 1), b"y", 6, Y, 1), b"y", 9, Z, 1);
        add("copies-same-as-main", "of three contents two are the same, one of them shown", &[same]);
        let same = with(with(made("f", 1, 5, X, 1), &[1], 6, Y, 1), b"z", 9, Z, 1);
        add("copies-same", "of three contents the two older are the same", &[same]);
        let mut directories = with(directory("d", 1, 5, X, 1), b"", 6, Y, 1);
        directories.contents[1] =
            Content { kind: 2, size: 0, hash: [0; 32], ..directories.contents[1].clone() };
        add("directories-two", "two contents that are directories", &[directories]);
        let mixed = with(with(directory("d", 1, 5, X, 1), b"y", 6, Y, 1), b"z", 9, Z, 1);
        add(
            "directory-and-files",
            "a directory and two later files of one entry",
            std::slice::from_ref(&mixed),
        );
        add(
            "directory-and-files-in-it",
            "the same, and something in it",
            &[mixed, within(made("f", 2, 1, X, 5), 1)],
        );
    }

    /// SYN-022: what is gone of an entry that only a move keeps.
    fn kept_by_a_move(&mut self) {
        let mut add =
            |id: &str, comment: &str, entry: Entry| self.add(id, comment, Some("SYN-022"), &[entry]);
        let moved = |before: &Entry| {
            let stamp = Stamp { lamport: 12, writer: Z, counter: 9 };
            let mut version = before.version.clone();
            version.retain(|(device, _)| *device != Z);
            version.push((Z, 9));
            let mut entry = Entry { place: stamp, version, name: b"moved".to_vec(), ..before.clone() };
            entry.gone = 0;
            entry.knowing(before)
        };
        let one = made("f", 1, 5, X, 1).deleted(&[(X, 2)]);
        add("moved-file", "a deleted file that was moved", moved(&one));
        let two = with(made("f", 1, 5, X, 1), b"2", 9, Y, 1).deleted(&[(X, 2), (Y, 1)]);
        add("moved-file-of-two", "a file of two contents, all deleted, that was moved", moved(&two));
        // The older is a link, so that one can see which is shown.
        let mut living = with(made("f", 1, 5, X, 1), b"2", 9, Y, 1);
        living.contents[0].kind = 3;
        let half = |number: usize| {
            let mut half = Entry { version: vec![(X, 2), (Y, 1)], gone: 1, ..living.clone() };
            half.contents[number].gone = 1;
            half.knowing(&living)
        };
        add("moved-file-half", "a link and a file, the file deleted, that was moved", moved(&half(1)));
        let directory = directory("d", 1, 5, X, 1).deleted(&[(X, 2)]);
        add("moved-directory", "a deleted directory that was moved", moved(&directory));
        add("kept-content", "a file keeps an entry that was deleted from its place", half(0));
        add("kept-older-content", "a link keeps an entry that was deleted from its place", half(1));
    }

    /// A path of 4,096 bytes is the longest that is shown.
    fn long_paths(&mut self) {
        let down = |last: usize| -> Vec<Entry> {
            let mut all: Vec<Entry> = (1..=16)
                .map(|n: u8| {
                    let entry = directory(&"d".repeat(254), n, 1, X, u64::from(n));
                    if n == 1 { entry } else { within(entry, n - 1) }
                })
                .collect();
            // 16 times 254 letters and a slash are 4,080 bytes.
            all.push(within(made(&"f".repeat(last), 17, 1, X, 17), 16));
            all
        };
        for (id, comment, last) in
            [("path-4096", "a path of 4,096 bytes", 16), ("path-4097", "a path of 4,097 bytes", 17)]
        {
            self.add(id, comment, None, &down(last));
        }
        let mut below = down(16);
        below[16] = within(directory(&"f".repeat(16), 17, 1, X, 17), 16);
        below.push(within(made("g", 18, 1, X, 18), 17));
        self.add("path-below-4096", "what is below a path of 4,096 bytes", None, &below);
    }

    /// Small folders in which all of this meets.
    fn folders(&mut self) {
        let mut dice = Dice(4_711);
        for number in 0..100 {
            let entries = some_folder(&mut dice);
            let comment = format!("a folder of {} entries", entries.len());
            self.add(&format!("random-{number}"), &comment, Some("SYN-041"), &entries);
        }
    }
}

/// Some entries that are in each other, with names that are alike, copies and deletions. Each change has a dot of its own.
fn some_folder(dice: &mut Dice) -> Vec<Entry> {
    let count = u8::try_from(3 + dice.roll(5)).expect("small");
    let mut counter = 0;
    let mut change = |dice: &mut Dice| {
        counter += 1;
        (1 + dice.roll(4), [X, Y, Z][usize::try_from(dice.roll(3)).expect("small")], counter)
    };
    let mut entries = Vec::new();
    for id in 1..=count {
        let name = ["a", "A", "a.txt", "A.TXT", "b"][usize::try_from(dice.roll(5)).expect("small")];
        let (lamport, writer, number) = change(dice);
        let kind = dice.roll(3);
        let mut entry = if kind == 0 {
            directory(name, id, lamport, writer, number)
        } else {
            made(name, id, lamport, writer, number)
        };
        if kind == 2 {
            entry.contents[0].kind = 3;
        }
        let parent = u8::try_from(dice.roll(u64::from(count) + 2)).expect("small");
        if parent != id {
            entry = within(entry, parent);
        }
        if dice.roll(3) == 0 {
            let (lamport, writer, number) = change(dice);
            let bytes = [u8::try_from(dice.roll(3)).expect("small")];
            entry = with(entry, &bytes, lamport, writer, number);
        }
        if dice.roll(4) == 0 {
            let (_, writer, number) = change(dice);
            let mut version = entry.version.clone();
            version.retain(|(device, _)| *device != writer);
            version.push((writer, number));
            version.sort_unstable();
            let living = entry.clone();
            entry = if dice.roll(2) == 0 {
                entry.deleted(&version)
            } else {
                // Only the place: the contents keep it.
                Entry { gone: 1, version, proofs: None, ..entry }.knowing(&living)
            };
        }
        entries.push(entry);
    }
    entries
}

pub(super) fn digest_file() -> File {
    let mut tests = Vec::new();
    let mut test = |id: &str, comment: &str, entries: &[Entry]| {
        let bytes: Vec<String> = entries.iter().map(|entry| hex(&entry.bytes())).collect();
        let test =
            Test::valid(&format!("sync.digest.{id}"), comment, &["SYN-043"], json!({"entries": bytes}));
        tests.push(test.expect(json!({"digest": hex(&sync::digest(entries))})));
    };
    test("none", "an empty bucket", &[]);
    test("one", "one entry", &[Entry::file("f", b"1")]);
    let mut two = [Entry::file("f", b"1"), two_contents()];
    two.sort_by_key(|entry| entry.id);
    test("two", "two entries", &two);
    super::file("digest", &["spec/sync.md section 3.2: the digest of a bucket"], "SyncDigest", tests)
}
