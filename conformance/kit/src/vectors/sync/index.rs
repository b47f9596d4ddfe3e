//! The bodies of an INDEX.

use serde_json::json;

use super::super::envelope::{File, Test};
use super::{END, X, Y, Z, contents, devices, two_contents};
use crate::oracle::Rejection;
use crate::oracle::crypto::hex;
use crate::oracle::sync::{self, Entry, Id, Proof, ROOT, Stamp};
use crate::target::fixture::PeerFixture;

fn index_body(entries: &[Entry]) -> Vec<u8> {
    let mut body = [&PeerFixture::FOLDER[..], &[1]].concat();
    body.extend(u32::try_from(entries.len()).expect("few").to_be_bytes());
    entries.iter().for_each(|entry| entry.write(&mut body));
    body
}

pub(super) fn file() -> File {
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
    boundaries(&mut tests);
    super::file(
        "index",
        &["spec/sync.md section 3: the body of an INDEX that is the last"],
        "SyncIndex",
        tests,
    )
}

/// Name, comment, and what is done to a good entry.
type Broken<'a> = (&'a str, &'a str, &'a dyn Fn(&mut Entry));

/// What is just allowed, and beside it what no more is.
fn boundaries(tests: &mut Vec<Test>) {
    let input = |entry: &Entry| json!({"body": hex(&index_body(std::slice::from_ref(entry)))});
    let mut pair = |good: (&str, &str), entry: Entry, bad: &[Broken<'_>]| {
        let twin = format!("sync.index.{}", good.0);
        let ids = json!({"ids": [hex(&entry.id)]});
        tests.push(Test::valid(&twin, good.1, &[], input(&entry)).expect(ids));
        for (id, comment, change) in bad {
            let mut changed = entry.clone();
            change(&mut changed);
            let Err(rule) = sync::index(&index_body(std::slice::from_ref(&changed))) else {
                panic!("{id} is good")
            };
            let (Rejection { requirement, reason }, id) = (rule, format!("sync.index.{id}"));
            tests.push(Test::invalid(&id, &twin, comment, &[requirement], reason, input(&changed)));
        }
    };
    pair(
        ("version-64", "64 devices"),
        devices("f", 64),
        &[("version-65", "65 devices", &|entry| *entry = devices("f", 65))],
    );
    let many: &[(Id, u64)] = &[(X, END - 1), (Z, 1)];
    pair(
        ("version-largest", "a counter of 2^48 - 1"),
        Entry::file("f", b"1").by(Z, 1, many),
        &[
            ("version-end", "a counter of 2^48", &|entry| entry.version[0].1 = END),
            ("version-twice", "one device twice", &|entry| entry.version.push((Z, 1))),
            ("version-first-zero", "the first device has no changes", &|entry| entry.version[0].1 = 0),
            ("stamp-unknown", "a stamp of a device that the version does not have", &|entry| {
                entry.place.writer = Y;
            }),
            ("content-stamp-zero", "a content with a counter of 0", &|entry| {
                entry.contents[0].stamp.counter = 0;
            }),
            ("content-stamp-unknown", "a content of a device that the version does not have", &|entry| {
                entry.contents[0].stamp.writer = Y;
            }),
        ],
    );
    let last = Entry::file("f", b"1").by(X, END - 1, &[(X, 1)]);
    pair(
        ("lamport-largest", "a lamport of 2^48 - 1"),
        last,
        &[
            ("place-lamport-end", "the place has a lamport of 2^48", &|entry| entry.place.lamport = END),
            ("content-lamport-end", "the content has a lamport of 2^48", &|entry| {
                entry.contents[0].stamp.lamport = END;
            }),
        ],
    );
    let kind = |kind, size| {
        let mut entry = Entry::file("f", b"1");
        (entry.contents[0].kind, entry.contents[0].size) = (kind, size);
        entry
    };
    pair(
        ("link-shortest", "a link of one byte"),
        kind(3, 1),
        &[
            ("link-none", "a link of no bytes", &|entry| entry.contents[0].size = 0),
            ("kind-0", "a content of kind 0", &|entry| entry.contents[0].kind = 0),
            ("kind-255", "a content of kind 255", &|entry| entry.contents[0].kind = 255),
        ],
    );
    pair(
        ("file-empty", "a file of no bytes, with the hash of none"),
        Entry::file("f", b""),
        &[("file-empty-hash", "a file of no bytes with another hash", &|entry| {
            entry.contents[0].hash[31] ^= 1;
        })],
    );
    pair(
        ("link-longest", "a link of 4,096 bytes"),
        kind(3, 4_096),
        &[("link-too-long", "a link of 4,097 bytes", &|entry| entry.contents[0].size = 4_097)],
    );
    pair(
        ("file-large", "a file of 2^64 - 1 bytes"),
        kind(1, u64::MAX),
        &[("link-large", "a link as long", &|entry| entry.contents[0].kind = 3)],
    );
    pair(
        ("directory", "a directory"),
        Entry::directory("f"),
        &[
            ("directory-hash", "a directory with a hash", &|entry| entry.contents[0].hash[31] = 1),
            ("directory-one-byte", "a directory of one byte", &|entry| entry.contents[0].size = 1),
            ("content-gone-2", "a content that is gone twice", &|entry| entry.contents[0].gone = 2),
        ],
    );
    pair(
        ("contents-16", "16 contents"),
        contents("f", 16),
        &[
            ("contents-17", "17 contents", &|entry| *entry = contents("f", 17)),
            ("contents-falling", "contents that fall, by their writers", &|entry| entry.contents.swap(3, 4)),
        ],
    );
    // One writer wrote both, at the end of the lamports.
    let mut counted = Entry::file("f", b"1").by(X, END - 1, &[(X, 2)]);
    let mut later = counted.contents[0].clone();
    counted.contents[0].stamp.counter = 1;
    (later.stamp.counter, later.hash) = (2, [7; 32]);
    counted.contents.push(later);
    pair(
        ("contents-by-counter", "contents that only their counters order"),
        counted,
        &[("contents-by-counter-falling", "the same, falling", &|entry| entry.contents.swap(0, 1))],
    );
    // Two changes, of which the second only moved it, and a third that left nothing.
    let before = Entry::file("f", b"1");
    let moved =
        before.clone().moved("g", Stamp { lamport: 4, writer: Z, counter: 3 }, &[(X, 1), (Y, 1), (Z, 3)]);
    let resign = |entry: &mut Entry, number: usize, change: &dyn Fn(&mut Proof)| {
        let (id, proofs) = (entry.id, entry.proofs.as_mut().expect("known"));
        change(&mut proofs[number]);
        proofs[number].sign(id);
    };
    pair(
        ("moved", "a file that was moved"),
        moved,
        &[
            ("unproven-place-lamport", "the proof of the place has another lamport", &|entry| {
                resign(entry, 2, &|proof| proof.stamp.lamport += 1);
            }),
            ("unproven-content-lamport", "the proof of the content has another lamport", &|entry| {
                resign(entry, 0, &|proof| proof.stamp.lamport += 1);
            }),
            ("unproven-moved-place", "the proof of the place has another place", &|entry| {
                resign(entry, 2, &|proof| proof.place[0] ^= 1);
            }),
            ("unproven-parent", "the directory is another one", &|entry| entry.parent = [5; 16]),
            ("unproven-name", "the name is another one", &|entry| entry.name = b"h".to_vec()),
            ("unproven-mode", "the mode is another one", &|entry| entry.contents[0].mode ^= 1),
            ("unproven-time", "the time is another one", &|entry| entry.contents[0].mtime ^= 1),
            ("unproven-counter", "a change without a proof that left nothing", &|entry| {
                entry.proofs.as_mut().expect("known").remove(1);
            }),
            ("proofs-exchanged", "two proofs that fall", &|entry| {
                entry.proofs.as_mut().expect("known").swap(0, 1);
            }),
            ("proof-repeated", "one proof twice, side by side", &|entry| {
                let proofs = entry.proofs.as_mut().expect("known");
                proofs.insert(1, proofs[1].clone());
            }),
        ],
    );
    // The deletion of the place is not the last change of the device that made it.
    let mut restored = Entry::file("f", b"1").deleted(&[(X, 1), (Z, 1)]);
    restored.version[1].1 = 2;
    let mut proofs = restored.proofs();
    let stamp = Stamp { lamport: 3, writer: Z, counter: 2 };
    let mut nothing =
        Proof { stamp, place: [0; 32], content: [0; 32], deleted: Vec::new(), signature: [0; 64] };
    nothing.sign(restored.id);
    proofs.push(nothing);
    restored.proofs = Some(proofs);
    pair(
        ("proof-older-deletion", "a proof that only a deletion needs"),
        restored,
        &[
            ("proof-older-deletion-missing", "the same without it", &|entry| {
                entry.proofs.as_mut().expect("known").remove(1);
            }),
            ("proof-older-nothing", "it did not delete that", &|entry| {
                entry.proofs.as_mut().expect("known")[1].deleted[1].change.1 = 9;
                (entry.gone, entry.contents[0].gone) = (0, 0);
            }),
            ("deletion-twice", "one deletion twice", &|entry| {
                let deleted = &mut entry.proofs.as_mut().expect("known")[1].deleted;
                deleted.push(deleted[1]);
            }),
            ("deletion-of-part-0", "a deletion of a part 0", &|entry| {
                entry.proofs.as_mut().expect("known")[1].deleted[0].part = 0;
            }),
            ("deletion-of-another-counter", "the deletion of another change", &|entry| {
                entry.proofs.as_mut().expect("known")[1].deleted[1].change.1 = 9;
            }),
        ],
    );
    // A stamp is beyond a version without devices, so that two rules refuse it.
    let mut none = Entry::file("f", b"1");
    let proofs = Some(none.proofs());
    (none.version, none.proofs) = (Vec::new(), proofs);
    let (twin, comment) = ("sync.index.one", "a version without devices");
    tests.push(Test::invalid("sync.index.version-none", twin, comment, &["SYN-008"], "", input(&none)));
    framing(tests);
}

/// The fields around the entries.
fn framing(tests: &mut Vec<Test>) {
    let good = index_body(&[Entry::file("f", b"content")]);
    let twin = "sync.index.one";
    let ids = json!({"ids": [hex(&Entry::file("f", b"").id)]});
    tests.push(Test::valid(twin, "one file", &[], json!({"body": hex(&good)})).expect(ids));
    let mut bad = |id: &str, comment: &str, body: &[u8]| {
        let Err(Rejection { requirement, reason }) = sync::index(body) else { panic!("{id} is good") };
        let (id, input) = (format!("sync.index.{id}"), json!({"body": hex(body)}));
        tests.push(Test::invalid(&id, twin, comment, &[requirement], reason, input));
    };
    let changed = |at: usize, byte: u8| {
        let mut body = good.clone();
        body[at] = byte;
        body
    };
    bad("nothing", "a body of no bytes", b"");
    bad("head-cut", "a body without all of its count", &good[..20]);
    bad("last-2", "`last` is 2", &changed(16, 2));
    bad("count-more", "a count of two, and one entry", &changed(20, 2));
    bad("count-less", "a count of none, and one entry", &changed(20, 0));
    bad("count-large", "a count of 2^32 - 1, and one entry", &[&good[..17], &[255; 4], &good[21..]].concat());
    // The length of the name is behind the identifier and the parent.
    bad("name-longer", "a name that is longer than what is left", &changed(53, 255));
}
