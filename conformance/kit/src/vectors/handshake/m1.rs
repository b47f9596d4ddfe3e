//! `vectors/handshake/m1.json`: how a responder answers an M1. After a change everything else is computed anew, so that
//! nothing but the rule under test can refuse the message.

use serde_json::{Value, json};

use super::exchange::{ALL, BASELINE, m1_fields, m1_intermediates, m1_offering, responder_group};
use super::m1_refuse::with_key;
use crate::oracle::crypto::{hex, oaep_encrypt};
use crate::oracle::handshake::{HYBRID, LABEL_I, LABEL_R, M1Fields, SUITE, X25519, kind};
use crate::vectors::envelope::{File, Group, Test};
use crate::vectors::fixtures::{DEVICE_X, KEY_3072, KEY_Y, KEY_Z, NOW, bytes32};

const MALFORMED: (&str, &str) = ("HSK-003", "malformed");
const PADDING: (&str, &str) = ("HSK-004", "padding");
const BOX1: (&str, &str) = ("HSK-018", "box1");

pub(super) fn file() -> File {
    let mut list = List::new(BASELINE, "");
    list.good();
    list.frames();
    list.clear_fields();
    list.key_transport();
    list.box1();
    list.refusals();
    list.tickets();
    File {
        part: "handshake",
        name: "m1",
        algorithm: "Meshproof handshake",
        header: &[
            "spec/handshake.md section 4.2: a responder that has suites reads frame as the first on a connection",
            "valid: it answers with M2; invalid: answer says what it sends before it closes",
        ],
        groups: vec![
            Group { kind: "HandshakeM1", fields: responder_group(&KEY_Y, BASELINE), tests: list.tests },
            super::suites::m1_group(),
            in_other_suites(),
            super::suites::relayed_group(),
        ],
    }
}

/// The refusals that are found behind the exchange of keys, in the other suites: one after another in turn, for what follows
/// box1 does not depend on the suite, but an implementation might.
fn in_other_suites() -> Group {
    let mut tests = Vec::new();
    for (suites, tag, turn) in
        [(&[X25519, SUITE][..], "-in-0201", 0), (&[HYBRID, X25519, SUITE], "-in-0301", 1)]
    {
        let mut list = List::new(suites, tag);
        list.turn = Some(turn);
        list.last();
        list.refusals();
        list.tickets();
        tests.extend(list.tests);
    }
    Group { kind: "HandshakeM1", fields: responder_group(&KEY_Y, ALL), tests }
}

/// The tests so far.
pub(super) struct List {
    tests: Vec<Test>,
    /// What is on offer, the strongest first.
    suites: &'static [u16],
    /// What their names end in.
    tag: &'static str,
    /// Of the invalid tests only every second, from this on.
    turn: Option<usize>,
    count: usize,
}

/// What a responder sends before it closes.
#[derive(Clone, Copy)]
pub(super) enum Sends {
    Silent,
    NoCommonSuite,
    Refuse(u16),
}

fn inputs(frame: &[u8]) -> Value {
    json!({"now": NOW, "frame": hex(frame)})
}

impl List {
    fn new(suites: &'static [u16], tag: &'static str) -> Self {
        Self { tests: Vec::new(), suites, tag, turn: None, count: 0 }
    }

    fn name(&self, id: &str) -> String {
        match (id, self.tag) {
            // A good one in other suites is there already.
            ("good", "-in-0201") => "handshake.m1.offer-0201-0101".to_owned(),
            ("good", "-in-0301") => "handshake.m1.offer-0301-0201-0101".to_owned(),
            _ => format!("handshake.m1.{id}{}", self.tag),
        }
    }

    fn fields(&self) -> M1Fields {
        if self.suites == BASELINE { m1_fields() } else { m1_offering(self.suites) }
    }

    pub(super) fn valid(
        &mut self,
        id: &str,
        reqs: &[&str],
        comment: &str,
        change: impl FnOnce(&mut M1Fields),
    ) {
        let mut fields = self.fields();
        change(&mut fields);
        let m1 = fields.build();
        let expect = json!({"answer": "m2", "suite": self.suites[0], "initiator": DEVICE_X});
        let test = Test::valid(&self.name(id), comment, reqs, inputs(&m1.frame)).expect(expect);
        self.tests.push(test.intermediates(m1_intermediates(&m1)));
    }

    /// A message that is answered with silence.
    fn silent(&mut self, id: &str, rule: (&str, &str), comment: &str, change: impl FnOnce(&mut M1Fields)) {
        self.beside("good", id, rule, Sends::Silent, comment, change);
    }

    pub(super) fn beside(
        &mut self,
        twin: &str,
        id: &str,
        (req, reason): (&str, &str),
        sends: Sends,
        comment: &str,
        change: impl FnOnce(&mut M1Fields),
    ) {
        self.count += 1;
        if self.turn.is_some_and(|turn| self.count % 2 != turn) {
            return;
        }
        let mut fields = self.fields();
        change(&mut fields);
        let m1 = fields.build();
        let mut test =
            Test::invalid(&self.name(id), &self.name(twin), comment, &[req], reason, inputs(&m1.frame));
        match sends {
            Sends::Silent => test = test.expect(json!({"answer": "silent"})),
            Sends::NoCommonSuite => test = test.expect(json!({"answer": "no-common-suite"})),
            Sends::Refuse(code) => {
                let refuse = hex(&m1.keys.refuse(&m1.frame, code));
                let kref = hex(&m1.keys.kref(&m1.frame));
                test = test
                    .expect(json!({"answer": {"refuse": code}}))
                    .intermediates(json!({"refuse": refuse, "KREF": kref}));
            }
        }
        self.tests.push(test);
    }

    /// A message that is refused with a code.
    pub(super) fn refused(
        &mut self,
        id: &str,
        rule: (&str, &str),
        code: u16,
        comment: &str,
        change: impl FnOnce(&mut M1Fields),
    ) {
        self.beside("good", id, rule, Sends::Refuse(code), comment, change);
    }

    fn good(&mut self) {
        self.first();
        self.valid("rendezvous-token", &[], "a token, as on a relayed connection", |m1| {
            m1.rdv_token = [7; 16];
        });
        self.valid("params-unknown", &["HSK-003"], "two unknown parameters are ignored", |m1| {
            m1.params = vec![0xff, 0xff, 0, 2, 1, 2, 0, 9, 0, 0];
        });
        self.valid("no-padding", &["HSK-004"], "a plaintext that fills its blocks without padding", |m1| {
            m1.params = exact_params();
        });
        self.valid(
            "offer-stronger-too",
            &["HSK-013", "HSK-016"],
            "a reserved suite and its share too",
            |m1| {
                m1.suites = vec![0x0201, 0x0101];
                m1.share = bytes32("share").to_vec();
            },
        );
        self.valid("offer-order", &["HSK-016"], "the order carries no meaning", |m1| {
            m1.suites = vec![0x0101, 0x0201];
            m1.share = bytes32("share").to_vec();
        });
        self.valid("offer-8", &["HSK-011"], "eight suites", |m1| m1.suites = suites(8));
        self.valid("largest", &["HSK-002"], "a body as large as its fields allow: 24,123 bytes", |m1| {
            largest(m1, 22);
        });
        self.last();
    }

    fn first(&mut self) {
        self.valid("good", &["HSK-014", "HSK-016", "HSK-018", "HSK-023"], "a complete good M1", |_| {});
    }

    /// What other suites have, too.
    fn last(&mut self) {
        self.valid("clock-300-behind", &["HSK-019"], "a clock 300 s behind", |m1| m1.time = NOW - 300);
        self.valid("clock-300-ahead", &["HSK-019"], "a clock 300 s ahead", |m1| m1.time = NOW + 300);
        self.valid("key-3072", &["HSK-020"], "an initiator's key of 3,072 bits", |m1| {
            with_key(m1, &KEY_3072);
        });
    }

    fn frames(&mut self) {
        let unexpected = ("HSK-001", "unexpected-frame");
        for (id, kind) in
            [("m2", kind::M2), ("m3", kind::M3), ("retry", 4), ("refuse", kind::REFUSE), ("0", 0), ("22", 22)]
        {
            let comment = format!("an M1 in a frame of type {kind}");
            self.silent(&format!("frame-{id}"), unexpected, &comment, |m1| m1.forge.kind = Some(kind));
        }
        let large = ("HSK-002", "frame-too-large");
        self.beside("largest", "frame-24577", large, Sends::Silent, "a body of 25,147 bytes", |m1| {
            largest(m1, 23);
        });
        self.beside("largest", "frame-24577-header", large, Sends::Silent, "its header alone", |m1| {
            m1.forge.after = Some(Box::new(|frame| *frame = vec![1, 0, 0x60, 1]));
        });
        self.beside(
            "largest",
            "frame-16-mebibyte",
            large,
            Sends::Silent,
            "the header of the largest len",
            |m1| {
                m1.forge.after = Some(Box::new(|frame| *frame = vec![1, 0xff, 0xff, 0xff]));
            },
        );
        self.silent("body-empty", MALFORMED, "an empty body", |m1| {
            m1.forge.after = Some(Box::new(|frame| *frame = vec![1, 0, 0, 0]));
        });
        self.silent("body-trailing-byte", MALFORMED, "a byte after mac1", |m1| {
            m1.forge.after = Some(Box::new(|frame| {
                frame.push(0);
                set_len(frame);
            }));
        });
        // The last byte of mac1 is missing, so that no field fills the body.
        self.silent("body-short", MALFORMED, "a byte less", |m1| {
            m1.forge.after = Some(Box::new(|frame| {
                frame.pop();
                set_len(frame);
            }));
        });
        self.silent("body-version-only", MALFORMED, "a version and nothing more", |m1| {
            m1.forge.after = Some(Box::new(|frame| *frame = vec![1, 0, 0, 2, 0, 1]));
        });
        self.silent("body-before-mac1-trailing-byte", MALFORMED, "a byte between box1 and mac1", |m1| {
            m1.forge.before_mac = Some(Box::new(|frame| frame.push(0)));
        });
    }

    fn clear_fields(&mut self) {
        for version in [0x0000, 0x0002, 0x0100, 0xffff] {
            let comment = format!("the version {version:#06x}");
            let rule = ("HSK-010", "version");
            self.silent(&format!("version-{version:04x}"), rule, &comment, |m1| m1.version = version);
        }
        let rule = ("HSK-011", "suite-list");
        self.silent("offer-none", rule, "no suite", |m1| m1.suites.clear());
        self.beside("offer-8", "offer-9", rule, Sends::Silent, "nine suites", |m1| m1.suites = suites(9));
        self.silent("offer-twice", rule, "the suite twice", |m1| m1.suites = vec![0x0101, 0x0101]);
        self.beside("offer-8", "offer-unknown-twice", rule, Sends::Silent, "an unknown suite twice", |m1| {
            m1.suites = vec![0x7f01, 0x0101, 0x7f01];
        });
        for length in [1, 16, 39, 41, 255] {
            let comment = format!("a cookie of {length} bytes");
            self.silent(&format!("cookie-{length}"), ("HSK-012", "cookie"), &comment, |m1| {
                m1.cookie = vec![1; length];
            });
        }
        let rule = ("HSK-050", "cookie-unknown");
        self.silent("cookie-not-made", rule, "a cookie that the responder never made", |m1| {
            m1.cookie = vec![1; 40];
        });
        for length in [1, 32] {
            let comment = format!("a share of {length} bytes with suite 0x0101 alone");
            self.silent(&format!("share-{length}"), ("HSK-013", "share"), &comment, |m1| {
                m1.share = vec![1; length];
            });
        }
        let rule = ("HSK-014", "mac1");
        for (id, comment, at) in
            [("first", "a bit of mac1's first byte", 0), ("last", "a bit of mac1's last byte", 15)]
        {
            self.silent(&format!("mac1-{id}"), rule, comment, |m1| {
                m1.forge.mac1 = Some(Box::new(move |mac1| mac1[at] ^= 1));
            });
        }
        self.silent("mac1-zeros", rule, "a mac1 of zeros", |m1| {
            m1.forge.mac1 = Some(Box::new(|mac1| mac1.fill(0)));
        });
        self.silent("mac1-other-key", rule, "mac1 for another responder", |m1| m1.spki_r = KEY_Z.spki());
        let rule = ("HSK-015", "no-common-suite");
        self.beside(
            "offer-order",
            "no-common-suite",
            rule,
            Sends::NoCommonSuite,
            "reserved suites only",
            |m1| {
                m1.suites = vec![0x0301, 0x0201];
                m1.share = vec![1; 1216];
            },
        );
        self.beside(
            "good",
            "no-common-suite-unknown",
            rule,
            Sends::NoCommonSuite,
            "an unknown suite only",
            |m1| {
                m1.suites = vec![0x7f01];
            },
        );
        // HSK-014 comes first: who does not know the key hears nothing.
        self.silent(
            "no-common-suite-wrong-mac1",
            ("HSK-014", "mac1"),
            "no common suite, and a wrong mac1",
            |m1| {
                m1.suites = vec![0x7f01];
                m1.forge.mac1 = Some(Box::new(|mac1| mac1[0] ^= 1));
            },
        );
    }

    /// HSK-017: what goes wrong with ct_R shows as box1.
    fn key_transport(&mut self) {
        let rule = ("HSK-017", "box1");
        let to_y = |label: &str, message: &[u8]| {
            oaep_encrypt(&KEY_Y.private.to_public_key(), label, message, &bytes32("seed of ct_R"))
        };
        let set = |ct_r: Vec<u8>| move |m1: &mut M1Fields| m1.ct_r = ct_r;
        let k_r = bytes32("k_R");
        self.silent(
            "ct-label-i",
            rule,
            "encrypted under the label of the other direction",
            set(to_y(LABEL_I, &k_r)),
        );
        self.silent("ct-label-none", rule, "encrypted without label", set(to_y("", &k_r)));
        let other = oaep_encrypt(&KEY_Z.private.to_public_key(), LABEL_R, &k_r, &bytes32("seed of ct_R"));
        self.silent("ct-other-key", rule, "encrypted to another key", set(other));
        self.silent("ct-zeros", rule, "a ct_R of zeros", set(vec![0; 256]));
        self.silent("ct-ones", rule, "a ct_R above the modulus", set(vec![0xff; 256]));
        self.silent("ct-one", rule, "a ct_R of the number 1", set([vec![0; 255], vec![1]].concat()));
        for length in [0, 31, 33, 64] {
            let message = [k_r, k_r].concat()[..length].to_vec();
            let comment = format!("a k_R of {length} bytes");
            self.silent(&format!("k-{length}"), rule, &comment, |m1| {
                m1.ct_r = to_y(LABEL_R, &message);
                m1.k_r = message;
            });
        }
        let mut altered = to_y(LABEL_R, &k_r);
        altered[255] ^= 1;
        self.silent("ct-altered", rule, "a bit of ct_R", set(altered));
        self.silent(
            "ct-of-other-k",
            rule,
            "a good ct_R of another k_R",
            set(to_y(LABEL_R, &bytes32("another"))),
        );
        self.silent("ct-255", rule, "a ct_R of 255 bytes", set(to_y(LABEL_R, &k_r)[1..].to_vec()));
        self.silent(
            "ct-257",
            rule,
            "a ct_R with a zero before it",
            set([vec![0], to_y(LABEL_R, &k_r)].concat()),
        );
        self.silent("ct-empty", rule, "no ct_R", set(Vec::new()));
    }

    fn box1(&mut self) {
        let sealed = |at: fn(&mut Vec<u8>)| move |m1: &mut M1Fields| m1.forge.sealed = Some(Box::new(at));
        self.silent("box1-first-bit", BOX1, "a bit of box1's first byte", sealed(|bytes| bytes[0] ^= 1));
        self.silent(
            "box1-tag",
            BOX1,
            "a bit of box1's tag",
            sealed(|bytes| {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
            }),
        );
        self.silent(
            "box1-tag-zeros",
            BOX1,
            "a tag of zeros",
            sealed(|bytes| {
                let from = bytes.len() - 32;
                bytes[from..].fill(0);
            }),
        );
        let prefix = |at: usize| {
            move |m1: &mut M1Fields| m1.forge.before_mac = Some(Box::new(move |frame| frame[at] ^= 1))
        };
        // type, len, version, count, suite, then nonce_I from 9, the token from 41.
        self.silent("aad-nonce", BOX1, "a bit of nonce_I, mac1 computed anew", prefix(9));
        self.silent("aad-token", BOX1, "a bit of the token, mac1 computed anew", prefix(41));
        let fields = |at: fn(&mut Vec<u8>)| move |m1: &mut M1Fields| m1.forge.fields = Some(Box::new(at));
        let params = |bytes: &'static [u8]| move |m1: &mut M1Fields| m1.params = bytes.to_vec();
        self.silent(
            "params-trailing-byte",
            MALFORMED,
            "a byte after the last parameter",
            params(&[0, 9, 0, 0, 0]),
        );
        self.silent("params-cut-type", MALFORMED, "a parameter of one byte", params(&[0]));
        self.silent("params-cut-length", MALFORMED, "a parameter without length", params(&[0, 9]));
        self.silent(
            "params-overrun",
            MALFORMED,
            "a parameter longer than the list",
            params(&[0, 9, 0, 3, 1, 2]),
        );
        self.silent(
            "plaintext-spki-overrun",
            MALFORMED,
            "an SPKI longer than the plaintext",
            fields(|bytes| {
                bytes[8] = 0xff;
            }),
        );
        self.silent(
            "plaintext-ticket-overrun",
            MALFORMED,
            "a ticket longer than the plaintext",
            fields(|bytes| {
                bytes[8 + 2 + 294] = 0xff;
            }),
        );
        self.silent("ticket-empty", MALFORMED, "an empty ticket", |m1| m1.ticket.clear());
        self.silent("ticket-8193", MALFORMED, "a ticket of 8,193 bytes", |m1| {
            m1.ticket = vec![b' '; 8193];
        });
        let plaintext =
            |at: fn(&mut Vec<u8>)| move |m1: &mut M1Fields| m1.forge.plaintext = Some(Box::new(at));
        self.silent(
            "padding-last",
            PADDING,
            "padding that ends in 1",
            plaintext(|bytes| {
                let last = bytes.len() - 1;
                bytes[last] = 1;
            }),
        );
        self.silent("padding-first", PADDING, "a byte after params that is not zero", |m1| {
            m1.forge.fields = Some(Box::new(|bytes| bytes.push(0x80)));
        });
        self.silent(
            "padding-block",
            PADDING,
            "a block of zeros too many",
            plaintext(|bytes| {
                bytes.resize(bytes.len() + 1024, 0);
            }),
        );
        self.silent("padding-byte", PADDING, "a zero too many", plaintext(|bytes| bytes.push(0)));
        self.silent(
            "padding-short",
            PADDING,
            "a zero too few",
            plaintext(|bytes| {
                bytes.pop();
            }),
        );
        self.silent(
            "padding-none",
            PADDING,
            "no padding where there has to be",
            plaintext(|bytes| {
                let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
                // What follows the last byte of the ticket is the length of params, two zeros.
                bytes.truncate(end + 1 + 2);
            }),
        );
        self.beside(
            "no-padding",
            "padding-full-block",
            PADDING,
            Sends::Silent,
            "a block where none is missing",
            |m1| {
                m1.params = exact_params();
                m1.forge.plaintext = Some(Box::new(|bytes| bytes.resize(bytes.len() + 1024, 0)));
            },
        );
    }
}

/// So many suites, the baseline last.
fn suites(count: u16) -> Vec<u16> {
    (1..count).map(|i| 0x7f00 + i).chain([0x0101]).collect()
}

/// One unknown parameter, so long that the plaintext of a good M1 fills its blocks.
fn exact_params() -> Vec<u8> {
    let m1 = m1_fields();
    let before = 8 + 2 + m1.spki_i.len() + 3 + m1.ticket.len() + 2;
    let length = (before + 4).next_multiple_of(1024) - before - 4;
    let length = u16::try_from(length).expect("less than a block");
    [vec![0xff, 0xff], length.to_be_bytes().to_vec(), vec![1; usize::from(length)]].concat()
}

/// Eight suites, the longest share, and a box1 of so many blocks, filled with an unknown parameter.
fn largest(m1: &mut M1Fields, blocks: usize) {
    m1.suites = [0x0301].into_iter().chain(suites(7)).collect();
    m1.share = vec![1; 1216];
    let before = 8 + 2 + m1.spki_i.len() + 3 + m1.ticket.len() + 2 + 4;
    let length = u16::try_from(blocks * 1024 - before).expect("less than 64 KiB");
    m1.params = [vec![0xff, 0xff], length.to_be_bytes().to_vec(), vec![1; usize::from(length)]].concat();
}

/// Writes the length of a frame again.
fn set_len(frame: &mut [u8]) {
    let len = crate::oracle::handshake::u24(frame.len() - 4);
    frame[1..4].copy_from_slice(&len);
}
