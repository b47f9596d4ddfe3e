//! `vectors/handshake/m3.json`: how a responder reads M3.

use serde_json::{Value, json};

use super::exchange::{BASELINE, Draws, m1, m2, m2_intermediates, responder_group};
use crate::oracle::crypto::{expand, hex, hmac};
use crate::oracle::handshake::schedule::tag_i;
use crate::oracle::handshake::{SUITE, frame, kind};
use crate::vectors::envelope::{File, Group, Test};
use crate::vectors::fixtures::{KEY_Y, NOW, bytes32};

const CONFIRM: (&str, &str) = ("HSK-040", "confirm");

pub(super) fn file() -> File {
    File {
        part: "handshake",
        name: "m3",
        algorithm: "Meshproof handshake",
        header: &[
            "spec/handshake.md section 4.5: the responder answered m1 with m2 from entropy (nonce_R, k_I, the seed of ct_I, the X25519 secret, m of ML-KEM; 32 bytes each), reads frame",
            "m2 has no params; state is what section 4.3 remembers, for an implementation that cannot be given entropy",
            "valid: the responder is established and has the traffic secrets",
        ],
        groups: vec![
            Group { kind: "HandshakeM3", fields: responder_group(&KEY_Y, BASELINE), tests: tests() },
            super::suites::m3_group(),
        ],
    }
}

fn inputs(frame: &[u8]) -> Value {
    let m2 = m2();
    json!({
        "now": NOW,
        "m1": hex(&m1().frame),
        "entropy": Draws::responder().entropy(SUITE),
        "m2": hex(&m2.frame),
        "state": {"ck3": hex(&m2.confirmation.ck3), "th2": hex(&m2.confirmation.th2)},
        "frame": hex(frame),
    })
}

fn tests() -> Vec<Test> {
    let m2 = m2();
    let good = m2.m3();
    let (ck3, th, th2) = (m2.confirmation.ck3, m2.confirmation.th, m2.confirmation.th2);
    let (traffic_i, traffic_r) = m2.traffic();
    let mut tests = vec![
        Test::valid("handshake.m3.good", "a good M3", &["HSK-040", "HSK-041"], inputs(&good))
            .expect(json!({"traffic_i": hex(&traffic_i), "traffic_r": hex(&traffic_r)}))
            .intermediates(m2_intermediates(&m2)),
    ];
    let mut invalid = |id: &str, (req, reason): (&str, &str), comment: &str, frame: &[u8]| {
        let id = format!("handshake.m3.{id}");
        tests.push(Test::invalid(&id, "handshake.m3.good", comment, &[req], reason, inputs(frame)));
    };
    let altered = |at: usize| {
        let mut frame = good.clone();
        frame[at] ^= 1;
        frame
    };
    invalid("tag-first-bit", CONFIRM, "a bit of tag_I's first byte", &altered(4));
    invalid("tag-last-bit", CONFIRM, "a bit of tag_I's last byte", &altered(35));
    invalid("tag-zeros", CONFIRM, "a tag_I of zeros", &frame(kind::M3, &[0; 32]));
    invalid("tag-reflected", CONFIRM, "the responder's own tag_R", &frame(kind::M3, &m2.confirmation.tag_r));
    let over_th = hmac(&expand(&ck3, &[b"cI"], 32), &[&th]);
    invalid("tag-over-th", CONFIRM, "a tag over th rather than th2", &frame(kind::M3, &over_th));
    let label = hmac(&expand(&ck3, &[b"cR"], 32), &[&th2]);
    invalid("tag-label-r", CONFIRM, "a tag under the responder's label", &frame(kind::M3, &label));
    let other = tag_i(&bytes32("another"), &th2);
    invalid("tag-other-k", CONFIRM, "a tag by someone who could not open ct_I", &frame(kind::M3, &other));
    let other = tag_i(&ck3, &bytes32("another"));
    invalid("tag-other-transcript", CONFIRM, "a tag over another transcript", &frame(kind::M3, &other));

    let unexpected = ("HSK-001", "unexpected-frame");
    for (id, kind) in [("m1", kind::M1), ("m2", kind::M2), ("retry", 4), ("refuse", kind::REFUSE), ("0", 0)] {
        let frame = [&[kind], &good[1..]].concat();
        invalid(&format!("frame-{id}"), unexpected, &format!("an M3 in a frame of type {kind}"), &frame);
    }
    invalid("m1-again", unexpected, "M1 again", &m1().frame);
    let large = ("HSK-002", "frame-too-large");
    invalid("frame-33", large, "a body of 33 bytes", &frame(kind::M3, &[&good[4..], &[0]].concat()));
    invalid("frame-33-header", large, "its header alone", &[3, 0, 0, 33]);
    let malformed = ("HSK-003", "malformed");
    invalid("frame-31", malformed, "a body of 31 bytes", &frame(kind::M3, &good[4..35]));
    invalid("frame-16", malformed, "half a tag", &frame(kind::M3, &good[4..20]));
    invalid("frame-empty", malformed, "an empty body", &frame(kind::M3, &[]));
    tests
}
