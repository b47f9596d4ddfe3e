//! `vectors/handshake/retry.json`: how an initiator answers RETRY.

use serde_json::{Value, json};

use super::exchange::{ALL, Draws, initiator_group, m1_intermediates, m1_offering};
use crate::oracle::crypto::hex;
use crate::oracle::handshake::{HYBRID, frame, kind};
use crate::vectors::envelope::{File, Group, Test};
use crate::vectors::fixtures::{NOW, bytes32};

pub(super) fn file() -> File {
    File {
        part: "handshake",
        name: "retry",
        algorithm: "Meshproof handshake",
        header: &[
            "spec/handshake.md sections 4.4 and 4.7: the initiator wrote m1 from entropy as in m2.json, and reads frames one after the other",
            "valid: it answers with the m1 of expect, and still awaits M2",
        ],
        groups: vec![Group { kind: "HandshakeRetry", fields: initiator_group(ALL), tests: tests() }],
    }
}

fn inputs(frames: &[Vec<u8>]) -> Value {
    let draws = Draws::initiator();
    json!({
        "now": NOW,
        "entropy": draws.entropy(HYBRID),
        "m1": hex(&m1_offering(ALL).build().frame),
        "k_R": hex(&draws.k),
        "frames": frames.iter().map(|frame| hex(frame)).collect::<Vec<_>>(),
    })
}

fn tests() -> Vec<Test> {
    let cookie = [bytes32("cookie").to_vec(), vec![7; 8]].concat();
    let retry = |cookie: &[u8]| frame(kind::RETRY, cookie);
    let mut tests = Vec::new();
    for (id, comment, cookie) in [
        ("good", "a RETRY", cookie.clone()),
        ("zeros", "a cookie of zeros: it is the responder's affair", vec![0; 40]),
    ] {
        let mut second = m1_offering(ALL);
        second.cookie.clone_from(&cookie);
        let second = second.build();
        let test = Test::valid(&name(id), comment, &["HSK-047"], inputs(&[retry(&cookie)]));
        let test = test.expect(json!({"m1": hex(&second.frame)}));
        tests.push(test.intermediates(m1_intermediates(&second)));
    }
    let mut invalid = |id: &str, (req, reason): (&str, &str), comment: &str, frames: &[Vec<u8>]| {
        tests.push(Test::invalid(&name(id), &name("good"), comment, &[req], reason, inputs(frames)));
    };
    let again = ("HSK-048", "unexpected-frame");
    invalid("again", again, "a second RETRY", &[retry(&cookie), retry(&bytes40("another cookie"))]);
    invalid("again-same", again, "the same RETRY again", &[retry(&cookie), retry(&cookie)]);
    invalid("cookie-39", ("HSK-003", "malformed"), "a cookie of 39 bytes", &[retry(&cookie[1..])]);
    invalid("cookie-empty", ("HSK-003", "malformed"), "no cookie", &[retry(&[])]);
    let longer = [&cookie[..], &[0]].concat();
    invalid("cookie-41", ("HSK-002", "frame-too-large"), "a cookie of 41 bytes", &[retry(&longer)]);
    tests
}

fn bytes40(what: &str) -> Vec<u8> {
    [&bytes32(what)[..], &[1; 8]].concat()
}

fn name(id: &str) -> String {
    format!("handshake.retry.{id}")
}
