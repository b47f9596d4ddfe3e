//! The sync vectors: `vectors/sync/`.

use serde_json::{Value, json};

use super::envelope::{File, Group, Test};
use crate::oracle::Rejection;
use crate::oracle::crypto::hex;
use crate::oracle::sync::{self, Content, Deleted, Entry, Id, Proof, ROOT, Stamp, fold, id_of};
use crate::target::fixture::PeerFixture;

const X: Id = PeerFixture::DEVICE_X;
const Z: Id = PeerFixture::DEVICE_Z;

/// All files of the part.
pub(super) fn files() -> Vec<File> {
    vec![name_file(), index_file(), merge_file(), view_file(), digest_file(), signed_file()]
}

fn file(name: &'static str, header: &'static [&'static str], kind: &'static str, tests: Vec<Test>) -> File {
    let algorithm = "Meshproof sync: entries, what they become together, and their paths";
    File { part: "sync", name, algorithm, header, groups: vec![Group { kind, fields: json!({}), tests }] }
}

fn name_file() -> File {
    let input = |bytes: &[u8]| json!({"name": hex(bytes)});
    let good = [
        ("plain", "a.txt"),
        ("hidden", ".hidden"),
        ("unicode", "…ü\u{1f4be}"),
        ("no-device", "console"),
        ("com0", "COM0"),
        ("long", &"x".repeat(255)),
        ("sharp-s", "Straße"),
        ("final-sigma", "Ὀδυσσεύς"),
        ("dotted-i", "İstanbul"),
        ("kelvin-like", "Å"),
    ];
    let mut tests: Vec<Test> = good
        .iter()
        .map(|(id, name)| {
            Test::valid(&format!("sync.name.{id}"), name, &["SYN-041"], input(name.as_bytes()))
                .expect(json!({"folded": fold(name)}))
        })
        .collect();
    let bad: [(&str, &[u8]); 17] = [
        ("empty", b""),
        ("dot", b"."),
        ("dot-dot", b".."),
        ("slash", b"a/b"),
        ("too-long", &[b'x'; 256]),
        ("backslash", b"a\\b"),
        ("colon", b"a:b"),
        ("newline", b"a\nb"),
        ("delete", b"a\x7fb"),
        ("next-line", "a\u{85}b".as_bytes()),
        ("not-utf8", b"a\xff"),
        ("decomposed", "u\u{308}".as_bytes()),
        ("angstrom", "\u{212b}".as_bytes()),
        ("trailing-dot", b"a."),
        ("trailing-space", b"a "),
        ("device", b"nul"),
        ("device-extension", b"Lpt9.tar.gz"),
    ];
    for (id, name) in bad {
        let Err(Rejection { requirement, reason }) = sync::name(name) else { continue };
        let comment = "a name that some system cannot hold, or that leads elsewhere";
        let id = format!("sync.name.{id}");
        tests.push(Test::invalid(&id, "sync.name.plain", comment, &[requirement], reason, input(name)));
    }
    file("name", &["spec/sync.md section 4.2, and the folding of section 4.4"], "SyncName", tests)
}

fn index_body(entries: &[Entry]) -> Vec<u8> {
    let mut body = [&PeerFixture::FOLDER[..], &[1]].concat();
    body.extend(u32::try_from(entries.len()).expect("few").to_be_bytes());
    entries.iter().for_each(|entry| entry.write(&mut body));
    body
}

fn index_file() -> File {
    let mut good =
        vec![Entry::directory("d"), Entry::file("d/f", b"content"), Entry::file("g", b"").deleted(&[(X, 2)])];
    let mut link = Entry::file("link", b"d/f");
    link.contents[0].kind = 3;
    good.push(link);
    good.push(two_contents());
    good.sort_by_key(|entry| entry.id);
    let ids: Vec<String> = good.iter().map(|entry| hex(&entry.id)).collect();
    let input = |body: &[u8]| json!({"body": hex(body)});
    let mut tests = vec![
        Test::valid("sync.index.all-kinds", "an entry of each kind", &[], input(&index_body(&good)))
            .expect(json!({"ids": ids})),
        Test::valid("sync.index.empty", "no entries", &[], input(&index_body(&[])))
            .expect(json!({"ids": []})),
    ];
    let mut bad = |id: &str, comment: &str, body: Vec<u8>| {
        let Err(Rejection { requirement, reason }) = sync::index(&body) else { panic!("{id} is good") };
        let id = format!("sync.index.{id}");
        tests.push(Test::invalid(&id, "sync.index.all-kinds", comment, &[requirement], reason, input(&body)));
    };
    let one = |change: &dyn Fn(&mut Entry)| {
        let mut entry = Entry::file("f", b"content");
        change(&mut entry);
        index_body(&[entry])
    };
    let mut falling = good.clone();
    falling.reverse();
    bad("falling", "identifiers that fall", index_body(&falling));
    bad("twice", "one entry twice", index_body(&[good[0].clone(), good[0].clone()]));
    bad("root", "the identifier of the folder itself", one(&|entry| entry.id = ROOT));
    bad("own-parent", "an entry in itself", one(&|entry| entry.parent = entry.id));
    bad("kind", "a content of kind 4", one(&|entry| entry.contents[0].kind = 4));
    bad("directory-size", "a directory with a size", one(&|entry| entry.contents[0].kind = 2));
    bad("lamport", "a lamport of 2^48", one(&|entry| entry.place.lamport = 1 << 48));
    bad("gone", "a place that is gone twice", one(&|entry| entry.gone = 2));
    bad("stamp-zero", "a counter of 0", one(&|entry| entry.place.counter = 0));
    bad("stamp-beyond", "a counter beyond the version", one(&|entry| entry.contents[0].stamp.counter = 2));
    bad("contents-none", "no content", one(&|entry| entry.contents.clear()));
    bad("contents-twice", "one content twice", one(&|entry| entry.contents.push(entry.contents[0].clone())));
    bad("version-zero", "a device with no changes", one(&|entry| entry.version.push((Z, 0))));
    bad("version-falling", "devices that fall", one(&|entry| entry.version.insert(0, (Z, 1))));
    bad("name", "a name that leads out", one(&|entry| entry.name = b"..".to_vec()));
    let proofs = |change: &dyn Fn(&mut Vec<Proof>)| {
        let mut entry = two_contents().deleted(&[(X, 4), (Z, 2)]);
        change(entry.proofs.as_mut().expect("known"));
        index_body(&[entry])
    };
    bad("proofs-falling", "proofs that fall", proofs(&|proofs| proofs.reverse()));
    bad("proofs-twice", "one proof twice", proofs(&|proofs| proofs.push(proofs[2].clone())));
    bad(
        "proof-unneeded",
        "the proof of a change that left nothing",
        one(&|entry| {
            let mut proofs = entry.proofs();
            proofs[0].stamp.counter = 2;
            let unneeded = proofs.remove(0);
            entry.proofs = Some([entry.proofs(), vec![unneeded]].concat());
        }),
    );
    bad("deleted-falling", "deletions that fall", proofs(&|proofs| proofs[1].deleted.reverse()));
    bad("deleted-part", "a deletion of what is neither", proofs(&|proofs| proofs[1].deleted[0].part = 3));
    bad("unproven", "a change without a proof", proofs(&|proofs| drop(proofs.remove(2))));
    bad("unproven-all", "no proofs", proofs(&Vec::clear));
    bad("unproven-lamport", "a stamp with another lamport", proofs(&|proofs| proofs[0].stamp.lamport += 1));
    bad("unproven-place", "another place", proofs(&|proofs| proofs[0].place[0] ^= 1));
    bad("unproven-content", "another content", proofs(&|proofs| proofs[2].content[31] ^= 1));
    bad(
        "unproven-deletion",
        "a place that nobody deleted",
        proofs(&|proofs| _ = proofs[1].deleted.remove(0)),
    );
    bad(
        "unproven-deletion-of",
        "a content that nobody deleted",
        proofs(&|proofs| _ = proofs[1].deleted.pop()),
    );
    let mut trailing = index_body(&good);
    trailing.push(0);
    bad("trailing", "a byte behind the entries", trailing);
    let mut short = index_body(&good);
    short.pop();
    bad("short", "an entry that is cut short", short);
    file("index", &["spec/sync.md section 3: the body of an INDEX that is the last"], "SyncIndex", tests)
}

fn two_contents() -> Entry {
    let mut entry = Entry::file("two", b"x").by(X, 3, &[(X, 3), (Z, 2)]);
    let mut second = entry.contents[0].clone();
    (second.stamp, second.hash) = (Stamp { lamport: 4, writer: Z, counter: 2 }, [7; 32]);
    entry.contents.push(second);
    entry
}

/// The same numbers for the same seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
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

fn merge_file() -> File {
    let mut dice = Dice(2_026);
    let mut tests = Vec::new();
    let mut test =
        |id: &str, comment: &str, reqs: &[&str], mine: &Entry, theirs: &Entry, seen: [&[(Id, u64)]; 2]| {
            let context = |seen: &[(Id, u64)]| {
                let counters: Vec<Value> =
                    seen.iter().map(|(device, counter)| json!([hex(device), counter])).collect();
                json!(counters)
            };
            let inputs = json!({
                "mine": hex(&mine.bytes()), "theirs": hex(&theirs.bytes()),
                "mine_context": context(seen[0]), "theirs_context": context(seen[1]),
            });
            let id = format!("sync.merge.{id}");
            tests.push(match sync::merge(mine, theirs, (seen[0], seen[1])) {
                Some(entry) => {
                    Test::valid(&id, comment, reqs, inputs).expect(json!({"entry": hex(&entry.bytes())}))
                }
                None => Test::invalid(&id, "sync.merge.edits", comment, reqs, "", inputs),
            });
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
    file("merge", &["spec/sync.md section 4.3"], "SyncMerge", tests)
}

/// `paths` of an answer.
pub(super) fn paths_value(entries: &[Entry]) -> Value {
    let shown = sync::view(entries);
    let path = |shown: &sync::Shown| {
        let kind = shown.content.as_ref().map_or(2, |content| content.kind);
        json!({"path": shown.path, "id": hex(&shown.id), "kind": kind, "copy": shown.copy})
    };
    json!(shown.iter().map(path).collect::<Vec<_>>())
}

fn view_file() -> File {
    let mut tests = Vec::new();
    let mut test = |id: &str, comment: &str, reqs: &[&str], entries: &[Entry]| {
        let bytes: Vec<String> = entries.iter().map(|entry| hex(&entry.bytes())).collect();
        let test = Test::valid(&format!("sync.view.{id}"), comment, reqs, json!({"entries": bytes}));
        tests.push(test.expect(json!({"paths": paths_value(entries)})));
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
    file("view", &["spec/sync.md section 4.4"], "SyncView", tests)
}

fn digest_file() -> File {
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
    file("digest", &["spec/sync.md section 3.2: the digest of a bucket"], "SyncDigest", tests)
}

fn signed_file() -> File {
    let mut tests = Vec::new();
    let keys = json!([X, Z].map(|device| json!([hex(&device), hex(&sync::public_key(device))])));
    let mut test = |id: &str, what: &str, comment: &str, bad: Option<(&str, &str)>, bytes: &[u8]| {
        let inputs = json!({"what": what, "bytes": hex(bytes), "keys": keys.clone()});
        let (id, twin) = (format!("sync.signed.{id}"), format!("sync.signed.{what}"));
        tests.push(match bad {
            None => Test::valid(&id, comment, &[], inputs),
            Some((requirement, reason)) => Test::invalid(&id, &twin, comment, &[requirement], reason, inputs),
        });
    };
    let entry = two_contents().deleted(&[(X, 4), (Z, 2)]);
    let forged = Some(("SYN-052", "change-forged"));
    test("entry", "entry", "an entry that its writers signed", None, &entry.bytes());
    for number in 0..3 {
        let mut proofs = entry.proofs();
        proofs[number].signature[63 - number] ^= 1;
        let bad = Entry { proofs: Some(proofs), ..entry.clone() };
        test(&format!("entry-{number}"), "entry", "one signature with another bit", forged, &bad.bytes());
    }
    let mut proofs = entry.proofs();
    proofs[1].place = [1; 32];
    let bad = Entry { proofs: Some(proofs), ..entry.clone() };
    test("entry-more", "entry", "a proof that says more than was signed", forged, &bad.bytes());
    let mut elsewhere = entry.clone();
    elsewhere.id[15] ^= 1;
    elsewhere.proofs = Some(entry.proofs());
    test("entry-elsewhere", "entry", "the proofs of another entry", forged, &elsewhere.bytes());
    let head = sync::head(PeerFixture::FOLDER, X, 7, [3; 32]);
    test("head", "head", "a head that its writer signed", None, &head.bytes());
    let forged = Some(("SYN-055", "head-forged"));
    let later = sync::Head { counter: 8, ..head };
    test("head-later", "head", "a head with another counter", forged, &later.bytes());
    let other = sync::Head { chain: [4; 32], ..head };
    test("head-other", "head", "a head with another chain", forged, &other.bytes());
    let whose = sync::Head { device: Z, ..head };
    test("head-of-another", "head", "a head of another device", forged, &whose.bytes());
    let card = sync::card(PeerFixture::FOLDER, X);
    test("card", "card", "a card that the issuer signed", None, &card.bytes());
    let forged = Some(("SYN-056", "none"));
    let other = sync::Card { device: Z, ..card.clone() };
    test("card-of-another", "card", "the card of another device", forged, &other.bytes());
    let mut other = card;
    other.key[0] ^= 1;
    test("card-key", "card", "a card with another key", forged, &other.bytes());
    let fields = json!({
        "folder": hex(&PeerFixture::FOLDER),
        "issuer": hex(&crate::oracle::crypto::spki(&PeerFixture::get().issuer.to_public_key())),
    });
    let header = &["spec/sync.md sections 3.4 and 3.5: what writers and the issuer sign"];
    let file = file("signed", header, "SyncSigned", tests);
    let groups = file.groups.into_iter().map(|group| Group { fields: fields.clone(), ..group }).collect();
    File { groups, ..file }
}
