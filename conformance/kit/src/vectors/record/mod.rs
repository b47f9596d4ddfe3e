//! The record vectors: `vectors/record/`.

mod pairs;

use serde_json::{Value, json};

use super::envelope::{File, Group, Test};
use super::fixtures::bytes32;
use crate::oracle::crypto::hex;
use crate::oracle::record::{CLOSE_NOTIFY, DATA, Direction, KEY_UPDATE, LARGEST, Opened, TICKET, open};

const LENGTH: (&str, &str) = ("REC-010", "record-length");
const MAC: (&str, &str) = ("REC-011", "record-mac");
const PADDING: (&str, &str) = ("REC-012", "record-padding");
const TYPE: (&str, &str) = ("REC-013", "record-type");
const CONTENT: (&str, &str) = ("REC-014", "record-content");
const UPDATE: (&str, &str) = ("REC-015", "record-mac");
const TRUNCATED: (&str, &str) = ("REC-016", "truncated");
const AFTER_CLOSE: (&str, &str) = ("REC-017", "after-close");

/// All files of the part.
pub(super) fn files() -> Vec<File> {
    vec![open_file(), seal_file()]
}

fn traffic() -> [u8; 32] {
    bytes32("traffic secret")
}

fn sender() -> Direction {
    Direction::new(&traffic())
}

fn open_file() -> File {
    let mut streams = Streams(Vec::new());
    streams.good();
    streams.lengths();
    streams.macs();
    streams.plaintexts();
    streams.ends();
    streams.tickets();
    streams.pairs();
    streams.many();
    File {
        part: "record",
        name: "open",
        algorithm: "Meshproof record: AES-128-CTR, HMAC-SHA256, encrypt-then-MAC",
        header: &[
            "spec/record.md section 4.2: stream is what arrived; fin says that the TCP stream ended after it",
        ],
        groups: vec![Group { kind: "RecordOpen", fields: json!({}), tests: streams.0 }],
    }
}

struct Streams(Vec<Test>);

/// The records "one", "two", "three" and a close.
fn three() -> Vec<Vec<u8>> {
    let mut sender = sender();
    let mut records: Vec<Vec<u8>> =
        [&b"one"[..], b"two", b"three"].iter().map(|content| sender.seal(DATA, content, 0)).collect();
    records.push(sender.seal(CLOSE_NOTIFY, b"", 0));
    records
}

fn inputs(stream: &[u8], fin: bool) -> Value {
    json!({"traffic": hex(&traffic()), "stream": hex(stream), "fin": fin})
}

impl Streams {
    fn valid(&mut self, id: &str, reqs: &[&str], comment: &str, stream: &[u8], fin: bool) {
        let Opened { contents, closed, .. } = open(&traffic(), stream, fin).expect("a good stream");
        let contents: Vec<String> = contents.iter().map(|content| hex(content)).collect();
        let (enc, mac, salt) = sender().keys();
        self.0.push(
            Test::valid(&name(id), comment, reqs, inputs(stream, fin))
                .expect(json!({"contents": contents, "closed": closed}))
                .intermediates(json!({"enc": hex(&enc), "mac": hex(&mac), "salt": hex(&salt)})),
        );
    }

    fn invalid(&mut self, id: &str, twin: &str, rule: (&str, &str), comment: &str, stream: &[u8]) {
        self.ended(id, twin, rule, comment, stream, false);
    }

    fn ended(&mut self, id: &str, twin: &str, rule: (&str, &str), comment: &str, stream: &[u8], fin: bool) {
        self.0.push(Test::invalid(&name(id), &name(twin), comment, &[rule.0], rule.1, inputs(stream, fin)));
    }

    /// What an initiator sent: it alone may send tickets.
    fn renewed(&mut self, id: &str, comment: &str, stream: &[u8], fin: bool) {
        let Opened { contents, tickets, closed } = open(&traffic(), stream, fin).expect("a good stream");
        let [contents, tickets] =
            [contents, tickets].map(|list| list.iter().map(|bytes| hex(bytes)).collect::<Vec<_>>());
        let mut inputs = inputs(stream, fin);
        inputs["role"] = "responder".into();
        let expect = json!({"contents": contents, "tickets": tickets, "closed": closed});
        self.0.push(Test::valid(&name(id), comment, &["REC-013"], inputs).expect(expect));
    }

    fn tickets(&mut self) {
        let ticket = |padding| {
            let mut sender = sender();
            let records = [
                sender.seal(DATA, b"one", 0),
                sender.seal(TICKET, b"a ticket", padding),
                sender.seal(CLOSE_NOTIFY, b"", 0),
            ];
            records.concat()
        };
        self.renewed("ticket-to-responder", "a ticket record, read by a responder", &ticket(0), true);
        self.renewed("ticket-padded", "the same with 20 zeros of padding", &ticket(20), true);
        self.invalid(
            "ticket-to-initiator",
            "ticket-to-responder",
            ("REC-013", "record-type"),
            "the same, read by an initiator",
            &ticket(0),
        );
    }

    fn good(&mut self) {
        self.valid("nothing-yet", &[], "no byte so far", b"", false);
        self.valid("three", &["REC-011", "REC-016"], "three records and a close", &three().concat(), true);
        self.valid("open-end", &["REC-016"], "three records, more may come", &three()[..3].concat(), false);
        self.valid(
            "partial",
            &["REC-010"],
            "a record of which a part has come",
            &three().concat()[..50],
            false,
        );
        self.valid("empty", &[], "a data record without content", &sender().seal(DATA, b"", 0), false);
        self.valid("one-byte", &[], "one byte", &sender().seal(DATA, b"x", 0), false);
        self.valid("padded", &["REC-012"], "padding of 100 zeros", &sender().seal(DATA, b"one", 100), false);
        self.valid(
            "content-ends-in-zeros",
            &["REC-012"],
            "zeros before the type are content",
            &{ sender().seal(DATA, &[1, 0, 0], 4) },
            false,
        );
        self.valid(
            "close-padded",
            &["REC-014"],
            "a padded close",
            &sender().seal(CLOSE_NOTIFY, b"", 9),
            true,
        );
        self.valid(
            "largest",
            &["REC-010"],
            "a record of 65,536 bytes",
            &{ sender().seal(DATA, b"largest", LARGEST - 8) },
            false,
        );
        self.valid(
            "block-boundaries",
            &[],
            "contents around the cipher's block",
            &{
                let mut sender = sender();
                [14, 15, 16, 31, 32].map(|length| sender.seal(DATA, &vec![b'b'; length], 0)).concat()
            },
            false,
        );
        let updated = |sender: &mut Direction| {
            let update = sender.seal(KEY_UPDATE, b"", 0);
            sender.update();
            update
        };
        let mut direction = sender();
        let stream =
            [direction.seal(DATA, b"old", 0), updated(&mut direction), direction.seal(DATA, b"new", 0)];
        self.valid("key-update", &["REC-015"], "a key update between two records", &stream.concat(), false);
        let mut direction = sender();
        let stream = [updated(&mut direction), updated(&mut direction), direction.seal(CLOSE_NOTIFY, b"", 0)];
        self.valid("key-update-twice", &["REC-015"], "two key updates and a close", &stream.concat(), true);
    }

    fn lengths(&mut self) {
        self.invalid(
            "length-0",
            "empty",
            LENGTH,
            "a length of 0, tag and all",
            &sender().seal_plaintext(b""),
        );
        self.invalid("length-0-header", "empty", LENGTH, "a length of 0, nothing more", &[0, 0, 0]);
        self.invalid("length-65537", "largest", LENGTH, "a length of 65,537, before its body", &[1, 0, 1]);
        self.invalid("length-max", "largest", LENGTH, "the largest length that three bytes hold", &[0xff; 3]);
    }

    fn macs(&mut self) {
        let good = three();
        for (id, comment, at) in [
            ("first-byte", "a bit of the first byte of c", 3),
            ("type-byte", "a bit of the encrypted type", 6),
            ("tag-first", "a bit of the tag's first byte", 7),
            ("tag-last", "a bit of the tag's last byte", 38),
        ] {
            let mut stream = good.concat();
            stream[at] ^= 1;
            self.ended(&format!("altered-{id}"), "three", MAC, comment, &stream, true);
        }
        let mut stream = good.concat();
        stream[2] += 1;
        self.ended("altered-length", "three", MAC, "a length one too large", &stream, true);
        let mut stream = good.concat();
        stream.splice(7..39, [0; 32]);
        self.ended("tag-zeros", "three", MAC, "a tag of zeros", &stream, true);
        let order =
            |places: &[usize]| places.iter().flat_map(|place| good[*place].clone()).collect::<Vec<u8>>();
        self.invalid("repeated", "three", MAC, "the first record twice", &order(&[0, 0, 1, 2, 3]));
        self.invalid("omitted", "three", MAC, "the second record missing", &order(&[0, 2, 3]));
        self.invalid("swapped", "three", MAC, "two records swapped", &order(&[0, 2, 1, 3]));
        self.invalid("omitted-first", "three", MAC, "the first record missing", &order(&[1, 2, 3]));
        let mut other = Direction::new(&bytes32("the other direction"));
        let stream = other.seal(DATA, b"one", 0);
        self.invalid("reflected", "three", MAC, "a record of the other direction", &stream);
        let mut stream = good[0].clone();
        stream[3] ^= 1;
        let stream = [stream, good[0].clone(), good[1].clone()].concat();
        self.invalid(
            "good-after-bad",
            "three",
            ("REC-018", "record-mac"),
            "a bad record, then good ones",
            &stream,
        );

        let mut direction = sender();
        let mut stream = direction.seal(KEY_UPDATE, b"", 0);
        stream.extend(direction.seal(DATA, b"new", 0));
        self.invalid("key-update-ignored", "key-update", UPDATE, "old keys after a key update", &stream);
        let mut direction = sender();
        let mut stream = direction.seal(DATA, b"old", 0);
        stream.extend(direction.seal(KEY_UPDATE, b"", 0));
        direction.update();
        direction.seq = 2;
        stream.extend(direction.seal(DATA, b"new", 0));
        self.invalid(
            "key-update-number-kept",
            "key-update",
            UPDATE,
            "new keys, but the number goes on",
            &stream,
        );
        let mut direction = sender();
        direction.update();
        let stream = direction.seal(DATA, b"new", 0);
        self.invalid(
            "key-update-unannounced",
            "key-update",
            UPDATE,
            "new keys without a key update",
            &stream,
        );
    }

    fn plaintexts(&mut self) {
        let sealed = |plaintext: &[u8]| sender().seal_plaintext(plaintext);
        self.invalid("zeros", "padded", PADDING, "a plaintext of zeros", &sealed(&[0; 100]));
        self.invalid("one-zero", "empty", PADDING, "a plaintext of one zero", &sealed(&[0]));
        for kind in [4, 5, 0x17, 0x80, 0xff] {
            let comment = format!("the type {kind}");
            self.invalid(&format!("type-{kind}"), "one-byte", TYPE, &comment, &sealed(&[b'x', kind]));
        }
        self.ended(
            "close-with-content",
            "close-padded",
            CONTENT,
            "a close with content",
            &sealed(&[1, 2]),
            true,
        );
        let stream = sealed(&[0, 2, 0]);
        self.ended(
            "close-with-zero",
            "close-padded",
            CONTENT,
            "a close whose content is a zero",
            &stream,
            true,
        );
        self.invalid(
            "key-update-with-content",
            "key-update",
            CONTENT,
            "a key update with content",
            &sealed(&[1, 3]),
        );
    }

    fn ends(&mut self) {
        let good = three();
        let all = good.concat();
        self.ended(
            "no-close",
            "three",
            TRUNCATED,
            "the stream ends without a close",
            &good[..3].concat(),
            true,
        );
        self.ended("no-record", "three", TRUNCATED, "the stream ends before a record", b"", true);
        self.ended(
            "cut-in-tag",
            "three",
            TRUNCATED,
            "the stream ends inside the close's tag",
            &all[..all.len() - 1],
            true,
        );
        self.ended("cut-in-length", "three", TRUNCATED, "the stream ends inside a length", &all[..41], true);
        self.ended("cut-in-record", "three", TRUNCATED, "the stream ends inside a record", &all[..60], true);
        let mut direction = sender();
        let mut stream = direction.seal(CLOSE_NOTIFY, b"", 0);
        stream.extend(direction.seal(DATA, b"late", 0));
        self.invalid(
            "data-after-close",
            "close-padded",
            AFTER_CLOSE,
            "a data record after the close",
            &stream,
        );
        let mut direction = sender();
        let stream = [direction.seal(CLOSE_NOTIFY, b"", 0), direction.seal(CLOSE_NOTIFY, b"", 0)].concat();
        self.invalid("close-twice", "close-padded", AFTER_CLOSE, "two closes", &stream);
        let mut direction = sender();
        let stream = [direction.seal(CLOSE_NOTIFY, b"", 0), direction.seal(KEY_UPDATE, b"", 0)].concat();
        let stray = [sender().seal(CLOSE_NOTIFY, b"", 0), vec![0]].concat();
        self.invalid("byte-after-close", "close-padded", AFTER_CLOSE, "one byte after the close", &stray);
        self.invalid(
            "key-update-after-close",
            "close-padded",
            AFTER_CLOSE,
            "a key update after the close",
            &stream,
        );
    }
}

fn name(id: &str) -> String {
    format!("record.open.{id}")
}

fn seal_file() -> File {
    let data = |content: &[u8]| json!({"data": hex(content)});
    let (update, close) = (json!({"key_update": true}), json!({"close": true}));
    let list = [
        ("one", "one record", vec![data(b"one")]),
        ("empty", "a record without content", vec![data(b"")]),
        ("zeros", "a content of zeros", vec![data(&[0; 5])]),
        (
            "three-and-close",
            "three records and a close",
            vec![data(b"one"), data(b"two"), data(b"three"), close.clone()],
        ),
        ("close", "a close alone", vec![close.clone()]),
        (
            "block",
            "contents around the cipher's block",
            [14, 15, 16, 17, 32].map(|n| data(&vec![b'b'; n])).to_vec(),
        ),
        (
            "key-update",
            "a key update between two records",
            vec![data(b"old"), update.clone(), data(b"new"), close.clone()],
        ),
        ("key-update-twice", "two key updates", vec![update.clone(), update, data(b"newest"), close]),
        ("long", "4,000 bytes", vec![data(&(0..4000).map(|i: u32| i.to_le_bytes()[0]).collect::<Vec<u8>>())]),
    ];
    let mut tests = Vec::new();
    for (id, comment, actions) in list {
        let inputs = json!({"traffic": hex(&traffic()), "actions": actions});
        let request = json!({"op": "vector", "type": "RecordSeal", "group": {}, "test": inputs});
        let sealed = super::reader::answer(&request).output;
        let reqs: &[&str] =
            if inputs["actions"].as_array().is_some_and(|all| all.contains(&json!({"close": true}))) {
                &["REC-002"]
            } else {
                &[]
            };
        tests.push(Test::valid(&format!("record.seal.{id}"), comment, reqs, inputs).expect(sealed));
    }
    File {
        part: "record",
        name: "seal",
        algorithm: "Meshproof record: AES-128-CTR, HMAC-SHA256, encrypt-then-MAC",
        header: &["spec/record.md section 3: every action is one record, sealed without padding"],
        groups: vec![Group { kind: "RecordSeal", fields: json!({}), tests }],
    }
}
