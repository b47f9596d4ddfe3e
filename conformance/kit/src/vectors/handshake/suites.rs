//! The suites with an ephemeral exchange, in `m1.json`, `m2.json` and `m3.json`; and a relayed connection.

use serde_json::{Value, json};

use super::exchange::{
    ALL, Draws, initiator_group, m1_fields, m1_intermediates, m1_offering, m2_in, m2_intermediates,
    responder_group,
};
use crate::oracle::crypto::hex;
use crate::oracle::handshake::{HYBRID, M1Fields, M2, M2Fields, SUITE, X25519};
use crate::vectors::envelope::{Group, Test};
use crate::vectors::fixtures::{DEVICE_X, KEY_Y, NOW, bytes32};

/// A responder that has all suites.
pub(super) fn m1_group() -> Group {
    let mut list = M1List(Vec::new());
    for (offer, suite) in OFFERS {
        let reqs: &[&str] = if offer.len() > 1 { &["HSK-013", "HSK-016"] } else { &["HSK-013"] };
        list.valid(&format!("offer-{}", text(offer)), reqs, suite, &m1_offering(offer));
    }
    for (offer, right) in [(&[SUITE][..], 0_usize), (&[X25519, SUITE], 32), (&[HYBRID, X25519, SUITE], 1216)]
    {
        for length in [0, 1, 31, 32, 33, 1184, 1215, 1216, 1217].into_iter().filter(|length| *length != right)
        {
            let id = format!("share-{length}-for-{}", text(offer));
            let comment = format!("a share of {length} bytes where {right} are due");
            let twin = format!("offer-{}", text(offer));
            list.invalid(&twin, &id, ("HSK-013", "share"), &comment, offer, |m1| m1.share.resize(length, 9));
        }
    }
    for (id, comment, point) in SMALL_POINTS {
        for offer in [&[X25519][..], &[HYBRID]] {
            let id = format!("x25519-{id}-{}", text(offer));
            let comment = format!("an X25519 share of {comment}");
            let twin = format!("offer-{}", text(offer));
            list.invalid(&twin, &id, ("HSK-043", "share"), &comment, offer, |m1| {
                let from = m1.share.len() - 32;
                m1.share[from..].copy_from_slice(&point());
            });
        }
    }
    // Coefficients of 12 bits, two in three bytes, least significant first.
    let rule = ("HSK-044", "share");
    for (id, comment, at) in
        [("first", "the first coefficient", 0_usize), ("last", "the last coefficient", 1149)]
    {
        for (value, what) in [(3329_u16, "3,329"), (4095, "4,095")] {
            let id = format!("ml-kem-{id}-{value}");
            let comment = format!("an ML-KEM key in which {comment} is {what}");
            list.invalid("offer-0301", &id, rule, &comment, &[HYBRID], |m1| {
                let [low, high] = value.to_le_bytes();
                if at == 0 {
                    m1.share[0] = low;
                    m1.share[1] = m1.share[1] & 0xf0 | high;
                } else {
                    m1.share[at + 1] = m1.share[at + 1] & 0x0f | low << 4;
                    m1.share[at + 2] = high << 4 | low >> 4;
                }
            });
        }
    }
    // In suite 0x0201 the ML-KEM key is not looked at.
    Group { kind: "HandshakeM1", fields: responder_group(&KEY_Y, ALL), tests: list.0 }
}

/// What is offered, and what has to be chosen.
const OFFERS: [(&[u16], u16); 9] = [
    (&[SUITE], SUITE),
    (&[X25519], X25519),
    (&[HYBRID], HYBRID),
    (&[X25519, SUITE], X25519),
    (&[SUITE, X25519], X25519),
    (&[HYBRID, SUITE], HYBRID),
    (&[SUITE, X25519, HYBRID], HYBRID),
    (&[HYBRID, X25519, SUITE], HYBRID),
    (&[0x7f01, X25519, 0x0401], X25519),
];

type Point = fn() -> [u8; 32];
/// Points whose product with any scalar is zero (RFC 7748, section 6.1).
const SMALL_POINTS: [(&str, &str, Point); 3] = [
    ("zero", "zeros", || [0; 32]),
    ("one", "the number 1", || {
        let mut point = [0; 32];
        point[0] = 1;
        point
    }),
    ("minus-one", "the number 2^255 - 20", || {
        let mut point = [0xff; 32];
        point[0] = 0xec;
        point[31] = 0x7f;
        point
    }),
];

fn text(offer: &[u16]) -> String {
    offer.iter().map(|suite| format!("{suite:04x}")).collect::<Vec<_>>().join("-")
}

struct M1List(Vec<Test>);

impl M1List {
    fn valid(&mut self, id: &str, reqs: &[&str], suite: u16, fields: &M1Fields) {
        let m1 = fields.build();
        let comment = format!("the suites {} on offer", text(&fields.suites));
        self.0.push(
            Test::valid(&m1_name(id), &comment, reqs, json!({"now": NOW, "frame": hex(&m1.frame)}))
                .expect(json!({"answer": "m2", "suite": suite, "initiator": DEVICE_X}))
                .intermediates(m1_intermediates(&m1)),
        );
    }

    fn invalid(
        &mut self,
        twin: &str,
        id: &str,
        (req, reason): (&str, &str),
        comment: &str,
        offer: &[u16],
        change: impl FnOnce(&mut M1Fields),
    ) {
        let mut fields = m1_offering(offer);
        change(&mut fields);
        let inputs = json!({"now": NOW, "frame": hex(&fields.build().frame)});
        let test = Test::invalid(&m1_name(id), &m1_name(twin), comment, &[req], reason, inputs);
        self.0.push(test.expect(json!({"answer": "silent"})));
    }
}

fn m1_name(id: &str) -> String {
    format!("handshake.m1.{id}")
}

/// A responder that listens on a relayed connection.
pub(super) fn relayed_group() -> Group {
    let token: [u8; 16] = std::array::from_fn(|at| bytes32("rdv_token")[at]);
    let mut fields = responder_group(&KEY_Y, &[SUITE]);
    fields["rdv_token"] = json!(hex(&token));
    let mut list = M1List(Vec::new());
    list.valid("relayed", &["HSK-053"], SUITE, &M1Fields { rdv_token: token, ..m1_fields() });
    let rule = ("HSK-053", "rdv-token");
    for (id, comment, change) in [
        ("relayed-zeros", "no token on a relayed connection", (|_| [0; 16]) as fn([u8; 16]) -> [u8; 16]),
        ("relayed-first-bit", "a bit of the token's first byte", |mut token| {
            token[0] ^= 0x80;
            token
        }),
        ("relayed-last-bit", "a bit of the token's last byte", |mut token| {
            token[15] ^= 1;
            token
        }),
    ] {
        list.invalid("relayed", id, rule, comment, &[SUITE], |m1| m1.rdv_token = change(token));
    }
    Group { kind: "HandshakeM1", fields, tests: list.0 }
}

/// An initiator that offers all suites.
pub(super) fn m2_group() -> Group {
    let m1 = m1_offering(ALL);
    let built = m1.build();
    let inputs = |frame: &[u8]| {
        let draws = Draws::initiator();
        json!({
            "now": NOW,
            "entropy": draws.entropy(HYBRID),
            "m1": hex(&built.frame),
            "k_R": hex(&draws.k),
            "frame": hex(frame),
        })
    };
    let write = |suite: u16, change: &dyn Fn(&mut M2Fields)| {
        let mut fields = m2_in(suite, &m1);
        change(&mut fields);
        fields.build(&built.keys.ck1, &built.frame)
    };
    let mut tests = Vec::new();
    for suite in ALL {
        let good = write(*suite, &|_| {});
        let (traffic_i, traffic_r) = good.traffic();
        let expect =
            json!({"m3": hex(&good.m3()), "traffic_i": hex(&traffic_i), "traffic_r": hex(&traffic_r)});
        let comment = format!("a good M2 of suite {suite:#06x}");
        let test = Test::valid(&m2_name("chosen", *suite), &comment, &["HSK-030"], inputs(&good.frame));
        tests.push(test.expect(expect).intermediates(intermediates(&good)));
    }
    let mut invalid =
        |suite: u16, id: &str, rule: (&str, &str), comment: &str, change: &dyn Fn(&mut M2Fields)| {
            let frame = write(suite, change).frame;
            let (id, twin) = (m2_name(id, suite), m2_name("chosen", suite));
            tests.push(Test::invalid(&id, &twin, comment, &[rule.0], rule.1, inputs(&frame)));
        };
    for suite in [X25519, HYBRID] {
        let right = if suite == HYBRID { 1120 } else { 32 };
        for length in [0, 31, 33, 1088, 1119, 1121].into_iter().filter(|length| *length != right) {
            let comment = format!("a share of {length} bytes where {right} are due");
            invalid(suite, &format!("share-{length}"), ("HSK-031", "share"), &comment, &|m2| {
                m2.share.resize(length, 9);
            });
        }
        for (id, comment, point) in SMALL_POINTS {
            let comment = format!("an X25519 share of {comment}");
            invalid(suite, &format!("x25519-{id}"), ("HSK-043", "share"), &comment, &|m2| {
                let from = m2.share.len() - 32;
                m2.share[from..].copy_from_slice(&point());
                let zeros = m2.ss_e.len() - 32;
                m2.ss_e[zeros..].fill(0);
            });
        }
        let of_zeros = |m2: &mut M2Fields| {
            let from = m2.share.len() - 32;
            m2.share[from..].fill(0);
            let zeros = m2.ss_e.len() - 32;
            m2.ss_e[zeros..].fill(0);
        };
        let (share, malformed) = (("HSK-043", "share"), ("HSK-003", "malformed"));
        invalid(suite, "order-zeros-box2", share, "an X25519 share of zeros, and a bit of box2", &|m2| {
            of_zeros(m2);
            m2.forge.sealed = Some(Box::new(|bytes| bytes[0] ^= 1));
        });
        invalid(
            suite,
            "order-zeros-more",
            malformed,
            "an X25519 share of zeros, and a byte behind tag_R",
            &|m2| {
                of_zeros(m2);
                m2.forge.after = Some(Box::new(|frame| {
                    frame.push(0);
                    let len = crate::oracle::handshake::u24(frame.len() - 4);
                    frame[1..4].copy_from_slice(&len);
                }));
            },
        );
        invalid(suite, "x25519-other", ("HSK-032", "box2"), "an X25519 share of another secret", &|m2| {
            let from = m2.share.len() - 32;
            m2.share[from..].copy_from_slice(&bytes32("another X25519 key"));
        });
        invalid(
            suite,
            "no-exchange",
            ("HSK-032", "box2"),
            "keys of a responder that leaves the exchange out",
            &|m2| {
                m2.ss_e = vec![0; 32];
            },
        );
        invalid(suite, "suite-baseline", ("HSK-031", "share"), "the suite number of the baseline", &|m2| {
            m2.suite = SUITE;
        });
        invalid(suite, "suite-not-offered", ("HSK-030", "suite"), "a suite that was not offered", &|m2| {
            m2.suite = 0x0401;
        });
    }
    invalid(HYBRID, "ml-kem-first-bit", ("HSK-032", "box2"), "a bit of the ML-KEM ciphertext", &|m2| {
        m2.share[0] ^= 1;
    });
    invalid(HYBRID, "ml-kem-last-bit", ("HSK-032", "box2"), "the last bit of the ML-KEM ciphertext", &|m2| {
        m2.share[1087] ^= 1;
    });
    invalid(HYBRID, "order", ("HSK-032", "box2"), "the two secrets in the other order", &|m2| {
        m2.ss_e.rotate_left(32);
    });
    Group { kind: "HandshakeM2", fields: initiator_group(ALL), tests }
}

fn m2_name(id: &str, suite: u16) -> String {
    format!("handshake.m2.{id}-{suite:04x}")
}

fn intermediates(m2: &M2) -> Value {
    m2_intermediates(m2)
}

/// What a responder of every suite has at the end.
pub(super) fn m3_group() -> Group {
    let mut tests = Vec::new();
    for suite in [X25519, HYBRID] {
        let offer = &ALL[ALL.iter().position(|other| *other == suite).unwrap_or_default()..];
        let fields = m1_offering(offer);
        let m1 = fields.build();
        let m2 = m2_in(suite, &fields).build(&m1.keys.ck1, &m1.frame);
        let (traffic_i, traffic_r) = m2.traffic();
        let inputs = |frame: &[u8]| {
            json!({
                "now": NOW,
                "m1": hex(&m1.frame),
                "entropy": Draws::responder().entropy(suite),
                "m2": hex(&m2.frame),
                "state": {"ck3": hex(&m2.confirmation.ck3), "th2": hex(&m2.confirmation.th2)},
                "frame": hex(frame),
            })
        };
        let name = |id: &str| format!("handshake.m3.{id}-{suite:04x}");
        let good = m2.m3();
        let comment = format!("a good M3 of suite {suite:#06x}");
        let test = Test::valid(&name("good"), &comment, &["HSK-040"], inputs(&good));
        let expect = json!({"traffic_i": hex(&traffic_i), "traffic_r": hex(&traffic_r)});
        tests.push(test.expect(expect).intermediates(m2_intermediates(&m2)));
        for (id, at) in [("tag-first-bit", 4), ("tag-last-bit", 35)] {
            let mut frame = good.clone();
            frame[at] ^= 1;
            let comment = "a bit of tag_I";
            tests.push(Test::invalid(
                &name(id),
                &name("good"),
                comment,
                &["HSK-040"],
                "confirm",
                inputs(&frame),
            ));
        }
    }
    Group { kind: "HandshakeM3", fields: responder_group(&KEY_Y, ALL), tests }
}
