//! `vectors/handshake/m2.json`: how an initiator reads what answers its M1.

use serde_json::{Value, json};

use super::exchange::{
    BASELINE, Draws, initiator_group, m1, m1_intermediates, m2, m2_fields, m2_intermediates,
};
use crate::oracle::crypto::{etm_seal, h, hex, oaep_encrypt};
use crate::oracle::handshake::{LABEL_I, LABEL_R, M2Fields, SUITE, frame, kind};
use crate::vectors::envelope::{File, Group, Test};
use crate::vectors::fixtures::{DEVICE_Z, KEY_X, KEY_Z, NOW, bytes32};

const MALFORMED: (&str, &str) = ("HSK-003", "malformed");
const PADDING: (&str, &str) = ("HSK-004", "padding");
const CONFIRM: (&str, &str) = ("HSK-034", "confirm");

pub(super) fn file() -> File {
    let mut list = List(Vec::new());
    list.good();
    list.frames();
    list.clear_fields();
    list.box2();
    list.confirmation();
    list.refuse();
    File {
        part: "handshake",
        name: "m2",
        algorithm: "Meshproof handshake",
        header: &[
            "spec/handshake.md section 4.4: the initiator wrote m1 from entropy (nonce_I, k_R, the seed of ct_R, the X25519 secret, 32 bytes each; the ML-KEM seed d || z), reads frame",
            "m1 offers suites, strongest first, has no params, and time = now; ticket is the base64 of the ticket's bytes",
            "valid: it answers with m3 and has the traffic secrets; reason refused: an authentic REFUSE",
        ],
        groups: vec![
            Group { kind: "HandshakeM2", fields: initiator_group(BASELINE), tests: list.0 },
            super::suites::m2_group(),
        ],
    }
}

struct List(Vec<Test>);

fn name(id: &str) -> String {
    format!("handshake.m2.{id}")
}

fn inputs(frame: &[u8]) -> Value {
    let draws = Draws::initiator();
    json!({
        "now": NOW,
        "entropy": draws.entropy(SUITE),
        "m1": hex(&m1().frame),
        "k_R": hex(&draws.k),
        "frame": hex(frame),
    })
}

fn written(change: impl FnOnce(&mut M2Fields)) -> crate::oracle::handshake::M2 {
    let m1 = m1();
    let mut fields = m2_fields();
    change(&mut fields);
    fields.build(&m1.keys.ck1, &m1.frame)
}

impl List {
    fn valid(&mut self, id: &str, reqs: &[&str], comment: &str, change: impl FnOnce(&mut M2Fields)) {
        let m2 = written(change);
        let (traffic_i, traffic_r) = m2.traffic();
        let mut intermediates = m1_intermediates(&m1());
        if let (Some(all), Value::Object(more)) = (intermediates.as_object_mut(), m2_intermediates(&m2)) {
            all.extend(more);
        }
        self.0.push(
            Test::valid(&name(id), comment, reqs, inputs(&m2.frame))
                .expect(json!({
                    "m3": hex(&m2.m3()),
                    "traffic_i": hex(&traffic_i),
                    "traffic_r": hex(&traffic_r),
                }))
                .intermediates(intermediates),
        );
    }

    fn invalid(&mut self, id: &str, rule: (&str, &str), comment: &str, change: impl FnOnce(&mut M2Fields)) {
        self.frame(id, rule, comment, &written(change).frame);
    }

    fn frame(&mut self, id: &str, (req, reason): (&str, &str), comment: &str, frame: &[u8]) {
        self.0.push(Test::invalid(&name(id), &name("good"), comment, &[req], reason, inputs(frame)));
    }

    fn good(&mut self) {
        self.valid("good", &["HSK-030", "HSK-032", "HSK-034"], "a complete good M2", |_| {});
        self.valid("params-unknown", &["HSK-003"], "an unknown parameter is ignored", |m2| {
            m2.params = vec![0xff, 0xff, 0, 2, 1, 2];
        });
        self.valid("no-padding", &["HSK-004"], "a plaintext that fills its block without padding", |m2| {
            let length = 1024 - (2 + 256 + 2 + 4);
            m2.params = [vec![0xff, 0xff, 2, 0xf8], vec![1; length]].concat();
        });
    }

    fn frames(&mut self) {
        let good = m2().frame;
        let unexpected = ("HSK-001", "unexpected-frame");
        for (id, kind) in [("m1", kind::M1), ("m3", kind::M3), ("0", 0), ("7", 7)] {
            let frame = [&[kind], &good[1..]].concat();
            self.frame(
                &format!("frame-{id}"),
                unexpected,
                &format!("an M2 in a frame of type {kind}"),
                &frame,
            );
        }
        let large = ("HSK-002", "frame-too-large");
        self.frame("frame-24577-header", large, "the header of a body of 24,577 bytes", &[2, 0, 0x60, 1]);
        self.frame("refuse-65-header", large, "the header of a REFUSE of 65 bytes", &[5, 0, 0, 65]);
        self.frame(
            "frame-retry",
            large,
            "the header of an M2 in a frame of type RETRY",
            &[4, good[1], good[2], good[3]],
        );
        self.frame("no-common-suite-1", large, "a NO_COMMON_SUITE with a byte", &[6, 0, 0, 1, 0]);
        self.frame("body-empty", MALFORMED, "an empty body", &[2, 0, 0, 0]);
        self.invalid("body-trailing-byte", MALFORMED, "a byte after tag_R", |m2| {
            m2.forge.after = Some(Box::new(|frame| {
                frame.push(0);
                set_len(frame);
            }));
        });
        self.invalid("body-short", MALFORMED, "a byte less", |m2| {
            m2.forge.after = Some(Box::new(|frame| {
                frame.pop();
                set_len(frame);
            }));
        });
        let rule = ("HSK-037", "no-common-suite");
        self.frame(
            "no-common-suite",
            rule,
            "NO_COMMON_SUITE: a failure, not a reason to try again",
            &[6, 0, 0, 0],
        );
    }

    fn clear_fields(&mut self) {
        for suite in [0x0000, 0x0102, 0x7f01, 0x0201, 0x0301] {
            let comment = format!("the suite {suite:#06x}, which was not offered");
            self.invalid(&format!("suite-{suite:04x}"), ("HSK-030", "suite"), &comment, |m2| {
                m2.suite = suite;
            });
        }
        for length in [1, 32] {
            let comment = format!("a share of {length} bytes");
            self.invalid(&format!("share-{length}"), ("HSK-031", "share"), &comment, |m2| {
                m2.share = vec![1; length];
            });
        }
        // The body is read from its begin: what is wrong fails before what is missing behind it.
        let cut = |at: usize| {
            move |frame: &mut Vec<u8>| {
                frame.truncate(at);
                set_len(frame);
            }
        };
        self.invalid(
            "order-suite-cut",
            ("HSK-030", "suite"),
            "a suite that was not offered, and then nothing",
            |m2| {
                m2.suite = 0x7f01;
                m2.forge.after = Some(Box::new(cut(4 + 2)));
            },
        );
        self.invalid(
            "order-share-cut",
            ("HSK-031", "share"),
            "a share of 32 bytes, and then nothing",
            |m2| {
                m2.share = vec![1; 32];
                m2.forge.after = Some(Box::new(cut(4 + 2 + 32 + 2 + 32)));
            },
        );
    }

    fn box2(&mut self) {
        let rule = ("HSK-032", "box2");
        let sealed = |at: fn(&mut Vec<u8>)| move |m2: &mut M2Fields| m2.forge.sealed = Some(Box::new(at));
        self.invalid("box2-first-bit", rule, "a bit of box2's first byte", sealed(|bytes| bytes[0] ^= 1));
        self.invalid(
            "box2-tag",
            rule,
            "a bit of box2's tag",
            sealed(|bytes| {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
            }),
        );
        self.invalid("aad-nonce", rule, "a bit of nonce_R", |m2| {
            m2.forge.after = Some(Box::new(|frame| frame[6] ^= 1));
        });
        let good = m1();
        let other_ck1 = crate::oracle::handshake::M1Keys::new(&bytes32("another"), &good.prefix).ck1;
        let frame = m2_fields().build(&other_ck1, &good.frame).frame;
        self.frame("other-k", rule, "written by someone who has another k_R", &frame);
        let frame = m2_fields().build(&good.keys.ck1, &[&good.frame[..], &[0]].concat()).frame;
        self.frame("other-m1", rule, "written for another M1", &frame);

        let params = |bytes: &'static [u8]| move |m2: &mut M2Fields| m2.params = bytes.to_vec();
        self.invalid(
            "params-trailing-byte",
            MALFORMED,
            "a byte after the last parameter",
            params(&[0, 9, 0, 0, 0]),
        );
        self.invalid(
            "params-overrun",
            MALFORMED,
            "a parameter longer than the list",
            params(&[0, 9, 0, 3, 1, 2]),
        );
        self.invalid("plaintext-ct-overrun", MALFORMED, "a ct_I longer than the plaintext", |m2| {
            m2.forge.fields = Some(Box::new(|bytes| bytes[0] = 0xff));
        });
        let plaintext =
            |at: fn(&mut Vec<u8>)| move |m2: &mut M2Fields| m2.forge.plaintext = Some(Box::new(at));
        self.invalid("padding-last", PADDING, "padding that ends in 1", plaintext(|bytes| bytes[1023] = 1));
        self.invalid(
            "padding-first",
            PADDING,
            "a byte after params that is not zero",
            plaintext(|bytes| bytes[260] = 1),
        );
        self.invalid(
            "padding-block",
            PADDING,
            "a block of zeros too many",
            plaintext(|bytes| bytes.resize(2048, 0)),
        );
        self.invalid("padding-short", PADDING, "a zero too few", plaintext(|bytes| bytes.truncate(1023)));
        self.invalid(
            "padding-none",
            PADDING,
            "no padding where there has to be",
            plaintext(|bytes| bytes.truncate(260)),
        );
    }

    fn confirmation(&mut self) {
        let tag = |at: fn(&mut Vec<u8>)| move |m2: &mut M2Fields| m2.forge.tag_r = Some(Box::new(at));
        self.invalid("tag-first-bit", CONFIRM, "a bit of tag_R's first byte", tag(|bytes| bytes[0] ^= 1));
        self.invalid("tag-last-bit", CONFIRM, "a bit of tag_R's last byte", tag(|bytes| bytes[31] ^= 1));
        self.invalid("tag-zeros", CONFIRM, "a tag_R of zeros", tag(|bytes| bytes.fill(0)));
        self.invalid("other-responder", CONFIRM, "the responder takes itself for another device", |m2| {
            m2.names.responder = super::exchange::device_bytes(DEVICE_Z);
        });
        self.invalid(
            "other-initiator",
            CONFIRM,
            "the responder takes the initiator for another device",
            |m2| {
                m2.names.initiator = super::exchange::device_bytes(DEVICE_Z);
            },
        );
        self.invalid("devices-swapped", CONFIRM, "initiator and responder swapped", |m2| {
            std::mem::swap(&mut m2.names.initiator, &mut m2.names.responder);
        });
        self.invalid(
            "other-initiator-key",
            CONFIRM,
            "another key of the initiator in the transcript",
            |m2| {
                m2.names.spki_i = KEY_Z.spki();
            },
        );
        self.invalid(
            "other-responder-key",
            CONFIRM,
            "another key of the responder in the transcript",
            |m2| {
                m2.names.spki_r = KEY_Z.spki();
            },
        );
        // HSK-033: what goes wrong with ct_I shows as tag_R.
        let rule = ("HSK-033", "confirm");
        let (k_i, seed) = (bytes32("k_I"), bytes32("seed of ct_I"));
        let to_x =
            |label: &str, message: &[u8]| oaep_encrypt(&KEY_X.private.to_public_key(), label, message, &seed);
        let set = |ct_i: Vec<u8>| move |m2: &mut M2Fields| m2.ct_i = ct_i;
        self.invalid(
            "ct-label-r",
            rule,
            "encrypted under the label of the other direction",
            set(to_x(LABEL_R, &k_i)),
        );
        self.invalid("ct-label-none", rule, "encrypted without label", set(to_x("", &k_i)));
        let other = oaep_encrypt(&KEY_Z.private.to_public_key(), LABEL_I, &k_i, &seed);
        self.invalid("ct-other-key", rule, "encrypted to another key", set(other));
        self.invalid("ct-zeros", rule, "a ct_I of zeros", set(vec![0; 256]));
        self.invalid("ct-ones", rule, "a ct_I above the modulus", set(vec![0xff; 256]));
        self.invalid(
            "ct-of-other-k",
            rule,
            "a good ct_I of another k_I",
            set(to_x(LABEL_I, &bytes32("another"))),
        );
        for length in [0, 31, 33] {
            let message = [k_i, k_i].concat()[..length].to_vec();
            self.invalid(&format!("k-{length}"), rule, &format!("a k_I of {length} bytes"), |m2| {
                m2.ct_i = to_x(LABEL_I, &message);
                m2.k_i = message;
            });
        }
        self.invalid("ct-255", rule, "a ct_I of 255 bytes", set(to_x(LABEL_I, &k_i)[1..].to_vec()));
        self.invalid("ct-empty", rule, "no ct_I", set(Vec::new()));
    }

    fn refuse(&mut self) {
        let m1 = m1();
        for (code, comment) in [(1, "not authorised"), (2, "ticket expired"), (3, "busy")] {
            let frame = m1.keys.refuse(&m1.frame, code);
            let comment = format!("an authentic REFUSE: {comment}");
            let test = Test::invalid(
                &name(&format!("refused-{code}")),
                &name("good"),
                &comment,
                &["HSK-035"],
                "refused",
                inputs(&frame),
            );
            self.0.push(test.expect(json!({"refused": code})));
        }
        for (id, comment, begin) in [
            ("unknown", "a code of a later version, which counts as 1", [0x7f, 0x01, 0]),
            ("more", "not authorised, and more behind the code", [0, 1, 9]),
        ] {
            let mut plaintext = [0; 32];
            plaintext[..3].copy_from_slice(&begin);
            let body = etm_seal(&m1.keys.kref(&m1.frame), &h(&[&m1.frame]), &plaintext);
            let test = Test::invalid(
                &name(&format!("refused-{id}")),
                &name("good"),
                &format!("an authentic REFUSE: {comment}"),
                &["HSK-035"],
                "refused",
                inputs(&frame(kind::REFUSE, &body)),
            );
            self.0.push(test.expect(json!({"refused": 1})));
        }
        let rule = ("HSK-035", "refuse");
        let good = m1.keys.refuse(&m1.frame, 1);
        for (id, comment, at) in [
            ("first-bit", "a bit of the encrypted code", 4),
            ("tag-first", "a bit of the tag's first byte", 36),
            ("tag-last", "a bit of the tag's last byte", 67),
        ] {
            let mut frame = good.clone();
            frame[at] ^= 1;
            self.frame(&format!("refuse-{id}"), rule, &format!("REFUSE: {comment}"), &frame);
        }
        self.frame("refuse-zeros", rule, "a REFUSE of zeros", &frame(kind::REFUSE, &[0; 64]));
        let other = m1.keys.refuse(&[&m1.frame[..], &[0]].concat(), 1);
        self.frame("refuse-other-m1", rule, "the REFUSE of another M1", &other);
        let clear = etm_seal(&[0; 48], &h(&[&m1.frame]), &[0; 32]);
        self.frame("refuse-zero-key", rule, "a REFUSE under a key of zeros", &frame(kind::REFUSE, &clear));
        // Whether a body of another length is malformed or does not authenticate is open.
        let open = ("HSK-035", "");
        self.frame("refuse-63", open, "a REFUSE of 63 bytes", &frame(kind::REFUSE, &good[4..67]));
        self.frame("refuse-empty", open, "an empty REFUSE", &[5, 0, 0, 0]);
    }
}

fn set_len(frame: &mut [u8]) {
    let len = crate::oracle::handshake::u24(frame.len() - 4);
    frame[1..4].copy_from_slice(&len);
}
