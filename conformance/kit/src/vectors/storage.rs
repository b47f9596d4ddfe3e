//! The storage vectors: `vectors/storage/`.

use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use super::envelope::{File, Group, Test};
use super::fixtures::{DEVICE_X, DEVICE_Y, DEVICE_Z, FOLDER, KEY_X, KEY_Y, OTHER_FOLDER, bytes32};
use crate::oracle::crypto::{from_hex, hex};
use crate::oracle::storage::{
    EntryFields, HEADER, Id, Record, SEGMENT, Sealed, id_in_graph, recovery_public,
};

const FORGED: (&str, &str) = ("STO-061", "sealed-forged");
const CUT: (&str, &str) = ("STO-062", "sealed-cut");
const MALFORMED: (&str, &str) = ("STO-060", "sealed-malformed");
const PADDING: (&str, &str) = ("STO-063", "sealed-padding");

/// All files of the part.
pub(super) fn files() -> Vec<File> {
    vec![seal_file(), open_file(), entry_file(), key_file()]
}

fn file(
    name: &'static str,
    header: &'static [&'static str],
    kind: &'static str,
    fields: Value,
    tests: Vec<Test>,
) -> File {
    let algorithm = "Meshproof storage: sealed objects and the keys of encrypted folders";
    File { part: "storage", name, algorithm, header, groups: vec![Group { kind, fields, tests }] }
}

fn id(text: &str) -> Id {
    from_hex(text).and_then(|bytes| bytes.try_into().ok()).expect("an identifier")
}

/// Generation and key.
fn key(generation: u32) -> (u32, [u8; 32]) {
    (generation, bytes32(&format!("folder key {generation}")))
}

fn keys(generations: u32) -> Vec<[u8; 32]> {
    (1..=generations).map(|generation| key(generation).1).collect()
}

fn texts(keys: &[[u8; 32]]) -> Vec<String> {
    keys.iter().map(|key| hex(key)).collect()
}

const ENTRY: Id = [0xe1; 16];

fn nonce(what: &str) -> Id {
    bytes32(what)[..16].try_into().expect("16 bytes")
}

fn sealed_entry(content: &[u8]) -> Sealed {
    Sealed::entry(id(FOLDER), key(2), ENTRY, nonce("nonce of an entry"), content)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n % 251).expect("below 251")).collect()
}

fn seal_file() -> File {
    let mut tests = Vec::new();
    for length in [0, 1, 248, 249, 1_000] {
        let content = bytes(length);
        let sealed = sealed_entry(&content);
        let inputs =
            json!({"kind": 1, "object": hex(&ENTRY), "nonce": hex(&sealed.nonce), "content": hex(&content)});
        let comment = format!("an entry of {length} bytes");
        tests.push(
            Test::valid(&format!("storage.seal.entry-{length}"), &comment, &["STO-066"], inputs)
                .expect(json!({"sealed": hex(&sealed.bytes())}))
                .intermediates(json!({"K48": hex(&sealed.k48())})),
        );
    }
    for (kind, what) in [(3, "state"), (4, "head")] {
        let content = bytes(300);
        let sealed = Sealed { kind, ..sealed_entry(&content) };
        let inputs = json!({
            "kind": kind, "object": hex(&ENTRY), "nonce": hex(&sealed.nonce), "content": hex(&content),
        });
        let comment = format!("a {what} of 300 bytes");
        tests.push(
            Test::valid(&format!("storage.seal.{what}-300"), &comment, &["STO-066"], inputs)
                .expect(json!({"sealed": hex(&sealed.bytes())})),
        );
    }
    for length in [0, 300, 65_528, 65_529] {
        let content = bytes(length);
        let sealed = Sealed::content(id(FOLDER), key(2), &content);
        let inputs = json!({"kind": 2, "object": hex(&sealed.object), "content": hex(&content)});
        let comment = format!("a file of {length} bytes");
        tests.push(
            Test::valid(&format!("storage.seal.file-{length}"), &comment, &["STO-065", "STO-066"], inputs)
                .expect(json!({"sealed": hex(&sealed.bytes())}))
                .intermediates(json!({"K48": hex(&sealed.k48()), "nonce": hex(&sealed.nonce)})),
        );
    }
    let header = &[
        "spec/storage.md section 3.1: seal under the last of the keys, and what entries are called in the graph",
    ];
    let fields = json!({"folder": FOLDER, "keys": texts(&keys(2))});
    let mut file = file("seal", header, "StorageSeal", fields.clone(), tests);
    let called = id_in_graph(id(FOLDER), &key(1).1, ENTRY);
    let test = Test::valid("storage.seal.id", "an entry", &["STO-068"], json!({"entry": hex(&ENTRY)}));
    let tests = vec![test.expect(json!({"id": hex(&called)}))];
    file.groups.push(Group { kind: "StorageId", fields, tests });
    file
}

struct Opens(Vec<Test>);

impl Opens {
    fn inputs(kind: u8, object: &[u8], sealed: &[u8]) -> Value {
        json!({"kind": kind, "object": hex(object), "sealed": hex(sealed)})
    }

    fn valid(&mut self, name: &str, comment: &str, sealed: &Sealed, content: &[u8]) {
        let inputs = Self::inputs(sealed.kind, &sealed.object, &sealed.bytes());
        let expect = json!({"length": content.len(), "hash": hex(blake3::hash(content).as_bytes())});
        let id = format!("storage.open.{name}");
        let reqs = ["STO-060", "STO-061", "STO-063"];
        self.0.push(Test::valid(&id, comment, &reqs, inputs).expect(expect));
    }

    fn invalid(
        &mut self,
        name: &str,
        twin: &str,
        (req, reason): (&str, &str),
        comment: &str,
        of: (u8, &[u8]),
        sealed: &[u8],
    ) {
        let (id, twin) = (format!("storage.open.{name}"), format!("storage.open.{twin}"));
        let inputs = Self::inputs(of.0, of.1, sealed);
        self.0.push(Test::invalid(&id, &twin, comment, &[req], reason, inputs));
    }

    fn entries(&mut self) {
        let content = bytes(300);
        let good = sealed_entry(&content);
        self.valid("entry", "an entry", &good, &content);
        self.valid("empty", "an entry of no bytes", &sealed_entry(&[]), &[]);
        let first = Sealed::entry(id(FOLDER), key(1), ENTRY, nonce("nonce of an entry"), &content);
        self.valid("earlier", "an entry under the key before", &first, &content);
        let of = (1, &ENTRY[..]);
        let sealed = good.bytes();
        for (name, rule, comment, at) in [
            ("magic", MALFORMED, "the first byte of the header is another", 0),
            ("nonce", FORGED, "a bit of the nonce is flipped", 8),
            ("ciphertext", FORGED, "a bit of the ciphertext is flipped", HEADER + 10),
            ("tag-first", FORGED, "a bit of the tag is flipped", sealed.len() - 32),
            ("tag-last", FORGED, "a bit of the tag's last byte is flipped", sealed.len() - 1),
        ] {
            let mut bad = sealed.clone();
            bad[at] ^= 0x40;
            self.invalid(name, "entry", rule, comment, of, &bad);
        }
        let mut older = sealed.clone();
        older[7] = 1;
        self.invalid("other-generation", "entry", FORGED, "the generation before is named", of, &older);
        let no_key = ("STO-064", "sealed-generation");
        for (name, generation, comment) in [
            ("generation-0", 0, "generation 0"),
            ("generation-3", 3, "a generation of which there is no key"),
        ] {
            let bad = Sealed { generation, ..good.clone() };
            self.invalid(name, "entry", no_key, comment, of, &bad.bytes());
        }
        let other = [&[0xe2], &ENTRY[1..]].concat();
        let bad = Sealed { object: other, ..good.clone() };
        self.invalid("other-object", "entry", FORGED, "what was sealed for another entry", of, &bad.bytes());
        let bad = Sealed { folder: id(OTHER_FOLDER), ..good.clone() };
        self.invalid("other-folder", "entry", FORGED, "what was sealed for another folder", of, &bad.bytes());
        let bad = Sealed { kind: 2, ..good.clone() };
        self.invalid(
            "other-kind",
            "entry",
            FORGED,
            "what was sealed as the bytes of a file",
            of,
            &bad.bytes(),
        );
        for (name, end) in
            [("nothing", 0), ("header-cut", HEADER - 1), ("header-alone", HEADER), ("tag-alone", HEADER + 32)]
        {
            let comment = format!("the first {end} bytes");
            self.invalid(name, "entry", MALFORMED, &comment, of, &sealed[..end]);
        }
        let cut = &sealed[..sealed.len() - 1];
        self.invalid("byte-cut", "entry", FORGED, "all but the last byte", of, cut);
        let longer = [&sealed[..], &[0]].concat();
        self.invalid("byte-more", "entry", FORGED, "a byte more", of, &longer);
        let not_last = [good.header(), good.segment(0, false, &good.plaintext)].concat();
        self.invalid("not-last", "entry", CUT, "one segment, sealed as if others followed", of, &not_last);
        let second = [good.header(), good.segment(1, true, &good.plaintext)].concat();
        self.invalid("second", "entry", FORGED, "one segment, sealed as the second", of, &second);
        let mut padded = |name: &str, comment: &str, plaintext: Vec<u8>| {
            let bad = Sealed { plaintext, ..good.clone() };
            self.invalid(name, "entry", PADDING, comment, of, &bad.bytes());
        };
        padded("no-padding", "no zeros", good.plaintext[..308].to_vec());
        padded("more-padding", "16 zeros too many", [&good.plaintext[..], &[0; 16]].concat());
        let mut spoilt = |name: &str, at: usize, comment: &str| {
            let mut plaintext = good.plaintext.clone();
            plaintext[at] = 1;
            padded(name, comment, plaintext);
        };
        spoilt("padding-first", 308, "a one right behind the content");
        spoilt("padding-last", good.plaintext.len() - 1, "a one at the end of the zeros");
        let mut long = good.plaintext.clone();
        long[..8].copy_from_slice(&5_000_u64.to_be_bytes());
        padded("length-more", "a length of more than there is", long.clone());
        long[..8].fill(0xff);
        padded("length-most", "a length of 2^64 - 1", long);
        padded("no-length", "a plaintext of 7 bytes", vec![0; 7]);
    }

    fn files(&mut self) {
        let content = bytes(SEGMENT + 100);
        let good = Sealed::content(id(FOLDER), key(2), &content);
        self.valid("file", "a file of two segments", &good, &content);
        let of = (2, &good.object[..]);
        let segments = good.segments();
        let cut = [good.header(), segments[0].clone()].concat();
        self.invalid("segment-cut", "file", CUT, "without the last segment", of, &cut);
        let without = [good.header(), segments[1].clone()].concat();
        self.invalid("segment-first", "file", FORGED, "without the first segment", of, &without);
        let (first, second) = (&good.plaintext[..SEGMENT], &good.plaintext[SEGMENT..]);
        let ended = [good.header(), good.segment(0, true, first), good.segment(1, true, second)].concat();
        self.invalid(
            "segment-more",
            "file",
            CUT,
            "a segment behind one that was sealed as the last",
            of,
            &ended,
        );
        let order = [good.header(), good.segment(1, false, first), good.segment(0, true, second)].concat();
        self.invalid("segment-order", "file", FORGED, "the segments in each other's place", of, &order);
    }
}

fn open_file() -> File {
    let mut opens = Opens(Vec::new());
    opens.entries();
    opens.files();
    let fields = json!({"folder": FOLDER, "keys": texts(&keys(2))});
    file("open", &["spec/storage.md section 4.6: open a sealed object"], "StorageOpen", fields, opens.0)
}

fn entry_file() -> File {
    let mut tests = Vec::new();
    let one = EntryFields { path: b"a/b.txt".to_vec(), kind: 1, size: 12, hash: [3; 32] };
    let directory = EntryFields { path: b"a".to_vec(), kind: 2, size: 0, hash: [0; 32] };
    let deep = |last: usize| {
        let names = [&[b'a'; 255][..], b"/"].concat().repeat(15);
        EntryFields { path: [&names, &b"bb/"[..], &vec![b'c'; last]].concat(), ..one.clone() }
    };
    let longest = deep(253);
    for (name, comment, fields) in [
        ("file", "a file", &one),
        ("directory", "a directory", &directory),
        ("path-4096", "a path of 4,096 bytes", &longest),
    ] {
        let expect =
            json!({"path": String::from_utf8_lossy(&fields.path), "kind": fields.kind, "size": fields.size});
        let inputs = json!({"content": hex(&fields.bytes())});
        tests.push(
            Test::valid(&format!("storage.entry.{name}"), comment, &["STO-067"], inputs).expect(expect),
        );
    }
    let mut bad = |name: &str, comment: &str, content: &[u8]| {
        let id = format!("storage.entry.{name}");
        let inputs = json!({"content": hex(content)});
        tests.push(Test::invalid(&id, "storage.entry.file", comment, &["STO-067"], "sealed-entry", inputs));
    };
    bad("more", "a byte more", &[&one.bytes()[..], &[0]].concat());
    bad("less", "a byte less", &one.bytes()[1..]);
    bad("kind-0", "kind 0", &EntryFields { kind: 0, ..one.clone() }.bytes());
    bad("kind-3", "kind 3", &EntryFields { kind: 3, ..one.clone() }.bytes());
    bad(
        "directory-size",
        "a directory with a size",
        &EntryFields { kind: 2, hash: [0; 32], ..one.clone() }.bytes(),
    );
    bad("leads-out", "a path that leads out", &EntryFields { path: b"../b".to_vec(), ..one.clone() }.bytes());
    let twin = "storage.entry.path-4096";
    let inputs = json!({"content": hex(&deep(254).bytes())});
    let long = Test::invalid(
        "storage.entry.path-4097",
        twin,
        "a path of 4,097 bytes",
        &["STO-067"],
        "sealed-entry",
        inputs,
    );
    bad("not-utf8", "a path that is not UTF-8", &EntryFields { path: vec![0xff], ..one.clone() }.bytes());
    tests.push(long);
    file(
        "entry",
        &["spec/storage.md section 3.1: what is in the sealed object of an entry"],
        "StorageEntry",
        json!({}),
        tests,
    )
}

const RECOVERY: [u8; 16] = [0x5a; 16];

fn writer() -> SigningKey {
    SigningKey::from_bytes(&bytes32("signing key of a writer"))
}

/// A record by Y for X and Y, of so many generations, not signed yet.
fn record(generations: u32) -> Record {
    let keys = keys(generations);
    let newest = key(generations).1;
    let folder = id(FOLDER);
    let mut record = Record::new(folder, &keys, id(DEVICE_Y));
    let seed = |device: &str| bytes32(&format!("seed {generations} {device}"));
    record.wrap(folder, id(DEVICE_X), &KEY_X.private.to_public_key(), &newest, &seed(DEVICE_X));
    record.wrap(folder, id(DEVICE_Y), &KEY_Y.private.to_public_key(), &newest, &seed(DEVICE_Y));
    record.recovery(folder, recovery_public(&RECOVERY), &newest, bytes32("ephemeral"));
    record
}

fn key_file() -> File {
    let folder = id(FOLDER);
    let mut tests = Vec::new();
    let signed = |record: Record| record.signed(folder, &writer()).bytes();
    let inputs = |record: &[u8], known: &[[u8; 32]], recovery: Option<&[u8]>| {
        let mut inputs = json!({"record": hex(record), "known": texts(known)});
        if let Some(recovery) = recovery {
            inputs["recovery"] = hex(recovery).into();
        }
        inputs
    };
    let mut valid = |name: &str, reqs: &[&str], comment: &str, generations: u32, inputs: Value| {
        let test = Test::valid(&format!("storage.key.{name}"), comment, reqs, inputs);
        tests.push(test.expect(json!({"keys": texts(&keys(generations))})));
    };
    let (one, three) = (signed(record(1)), signed(record(3)));
    let new = &["STO-070", "STO-071", "STO-072", "STO-073"];
    valid("first", new, "the first record, for a device that has no key", 1, inputs(&one, &[], None));
    valid(
        "third",
        &["STO-075"],
        "a record of generation 3, for a device that has no key",
        3,
        inputs(&three, &[], None),
    );
    valid(
        "known",
        &["STO-074", "STO-075"],
        "the same, for a device that has two keys",
        3,
        inputs(&three, &keys(2), None),
    );
    valid("again", &["STO-075"], "the same, for a device that has all", 3, inputs(&three, &keys(3), None));
    valid("recovery", &["STO-076"], "the same, by a recovery key", 3, inputs(&three, &[], Some(&RECOVERY)));

    let mut bad = |name: &str, twin: &str, rule: (&str, &str), comment: &str, inputs: Value| {
        let (id, twin) = (format!("storage.key.{name}"), format!("storage.key.{twin}"));
        tests.push(Test::invalid(&id, &twin, comment, &[rule.0], rule.1, inputs));
    };
    let new_device = |record: &[u8]| inputs(record, &[], None);
    let malformed = ("STO-070", "folder-key-malformed");
    bad("cut", "third", malformed, "a byte less", new_device(&three[..three.len() - 1]));
    bad("more", "third", malformed, "a byte more", new_device(&[&three[..], &[0]].concat()));
    let zero = Record { generation: 0, earlier: Vec::new(), ..record(1) };
    bad("generation-0", "first", malformed, "generation 0", new_device(&signed(zero)));
    let much = Record { generation: 1_025, earlier: vec![0; 32 * 1_025], ..record(1) };
    bad("generation-1025", "first", malformed, "generation 1,025", new_device(&signed(much)));
    let mut falling = record(3);
    falling.wraps.reverse();
    bad("falling", "third", malformed, "devices that fall", new_device(&signed(falling)));
    let mut twice = record(3);
    twice.recoveries.push(twice.recoveries[0].clone());
    bad("recovery-twice", "third", malformed, "one recovery key twice", new_device(&signed(twice)));

    let unsigned = ("STO-071", "folder-key-unsigned");
    let stranger = SigningKey::from_bytes(&bytes32("signing key of a stranger"));
    let by_another = record(3).signed(folder, &stranger).bytes();
    bad("stranger", "third", unsigned, "signed by somebody else", new_device(&by_another));
    let elsewhere = record(3).signed(id(OTHER_FOLDER), &writer()).bytes();
    bad("signed-elsewhere", "third", unsigned, "signed for another folder", new_device(&elsewhere));
    let mut more = record(3).signed(folder, &writer());
    more.wraps.push((id(DEVICE_Z), vec![7; 256]));
    bad("wrap-added", "third", unsigned, "with a wrap that was not signed", new_device(&more.bytes()));

    let wrap = ("STO-072", "folder-key-wrap");
    let mut without = record(3);
    without.wraps.remove(0);
    bad("no-wrap", "third", wrap, "nothing for this device", new_device(&signed(without)));
    let rewrapped = |generation: u32, folder: Id, device: &str| {
        let mut other = record(3);
        let mut wrapped = Record { generation, wraps: Vec::new(), ..other.clone() };
        let public = KEY_X.private.to_public_key();
        wrapped.wrap(folder, id(device), &public, &key(3).1, &bytes32("another seed"));
        other.wraps[0].1.clone_from(&wrapped.wraps[0].1);
        signed(other)
    };
    bad(
        "wrap-other-device",
        "third",
        wrap,
        "wrapped for another device",
        new_device(&rewrapped(3, folder, DEVICE_Z)),
    );
    bad(
        "wrap-other-generation",
        "third",
        wrap,
        "wrapped as of generation 2",
        new_device(&rewrapped(2, folder, DEVICE_X)),
    );
    bad(
        "wrap-other-folder",
        "third",
        wrap,
        "wrapped for another folder",
        new_device(&rewrapped(3, id(OTHER_FOLDER), DEVICE_X)),
    );
    let mut other_key = record(3);
    other_key.wraps[0].1.clone_from(&record(3).wraps[1].1);
    bad(
        "wrap-other-key",
        "third",
        wrap,
        "encrypted to the key of another device",
        new_device(&signed(other_key)),
    );

    let checked = ("STO-073", "folder-key-check");
    let mut other = record(1);
    other.wraps.clear();
    other.wrap(folder, id(DEVICE_X), &KEY_X.private.to_public_key(), &[9; 32], &bytes32("another seed"));
    bad(
        "check",
        "first",
        checked,
        "another key for this device than `check` is of",
        new_device(&signed(other)),
    );

    bad(
        "stale",
        "first",
        ("STO-074", "folder-key-stale"),
        "generation 1, and the device has 2",
        inputs(&one, &keys(2), None),
    );
    let mut without = record(1);
    without.wraps.remove(0);
    bad(
        "stale-no-wrap",
        "first",
        ("STO-074", "folder-key-stale"),
        "the same, with nothing for this device",
        inputs(&signed(without), &keys(2), None),
    );

    let foreign = ("STO-075", "folder-key-foreign");
    let known = |record: &[u8], known: &[[u8; 32]]| inputs(record, known, None);
    let mut other = keys(2);
    other[0][0] ^= 1;
    bad("foreign", "known", foreign, "the device has another first key", known(&three, &other));
    let mut other = keys(3);
    other[2][0] ^= 1;
    bad("foreign-newest", "again", foreign, "the device has another third key", known(&three, &other));
    let mut broken = record(3);
    broken.earlier[0] ^= 1;
    bad("earlier", "third", foreign, "a bit of the earlier keys is flipped", new_device(&signed(broken)));

    let recovery = ("STO-076", "folder-key-recovery");
    bad(
        "recovery-other",
        "recovery",
        recovery,
        "another recovery key",
        inputs(&three, &[], Some(&[0x5b; 16])),
    );
    let mut small = record(3);
    small.recoveries.clear();
    small.recovery_by(folder, recovery_public(&RECOVERY), &key(3).1, ([0; 32], [0; 32]));
    bad(
        "recovery-small-order",
        "recovery",
        recovery,
        "an ephemeral key of small order, with which X25519 gives zeros",
        inputs(&signed(small), &[], Some(&RECOVERY)),
    );
    let mut broken = record(3);
    broken.recoveries[0].2[40] ^= 1;
    bad(
        "recovery-tag",
        "recovery",
        recovery,
        "a bit of the tag is flipped",
        inputs(&signed(broken), &[], Some(&RECOVERY)),
    );

    let fields = json!({
        "folder": FOLDER,
        "device": DEVICE_X,
        "key": KEY_X.pkcs8_text(),
        "writer": hex(&writer().verifying_key().to_bytes()),
    });
    file("key", &["spec/storage.md section 4.7: open a key record"], "StorageKey", fields, tests)
}

#[cfg(test)]
mod tests {
    use crate::oracle::storage::plaintext;

    #[test]
    fn plaintexts_end_in_zeros() {
        assert_eq!(plaintext(b"x").len(), 256);
        assert_eq!(plaintext(&[1; 300])[308..], [0; 12]);
    }
}
