//! Every corpus file, and every message of the vectors, through its fuzz function; and random traces for the puppeteer.

use std::path::Path;

use arbitrary::{Arbitrary as _, Unstructured};
use meshproof_fuzz::{Trace, handshake, handshake_puppet, record, relay, storage, sync, ticket};
use meshproof_kit::vectors;

type Target = fn(&[u8]);

#[test]
fn corpora() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let targets: [(&str, Target); 7] = [
        ("ticket", ticket),
        ("handshake", handshake),
        ("handshake_puppet", |data| handshake_puppet(&trace(data))),
        ("record", record),
        ("relay", relay),
        ("storage", storage),
        ("sync", sync),
    ];
    for (name, target) in targets {
        let mut files: Vec<_> = std::fs::read_dir(root.join(name))
            .unwrap_or_else(|error| panic!("corpus/{name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "corpus/{name} is empty");
        for file in files {
            target(&std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn messages_of_the_vectors() {
    let mut count = 0;
    for test in vectors::all() {
        let hex = |name: &str| test.inputs[name].as_str().and_then(unhex);
        let bytes = match test.kind.as_str() {
            "TicketVerify" | "TicketPair" => test.inputs["ticket"]
                .as_str()
                .and_then(|text| meshproof_proto::ticket::parse::decode(text).ok()),
            "HandshakeM1" | "HandshakeM2" | "HandshakeM3" => hex("frame"),
            "RecordOpen" => hex("stream"),
            "StorageOpen" => hex("sealed"),
            "StorageKey" => hex("record"),
            "StorageEntry" => hex("content"),
            _ => None,
        };
        let Some(bytes) = bytes else { continue };
        match test.kind.as_bytes()[0] {
            b'T' => ticket(&bytes),
            b'H' => handshake(&bytes),
            b'S' => storage(&bytes),
            _ => record(&bytes),
        }
        count += 1;
    }
    assert!(count > 300, "only {count} messages");
}

/// The bytes of connections, and random lives of a relay.
#[test]
fn relays() {
    let mut count = 0;
    for test in vectors::all().iter().filter(|test| test.kind == "RelayJoin") {
        for connection in test.inputs["connections"].as_array().into_iter().flatten() {
            let bytes = connection.as_str().and_then(unhex).unwrap();
            relay(&[&[0], &bytes[..]].concat());
            count += 1;
        }
    }
    assert!(count > 30, "only {count} connections");
    for seed in 0_u64..500 {
        relay(&[&[1], &noise(seed, 400)[..]].concat());
    }
}

#[test]
fn random_traces() {
    // Replayable: the trace of a number is always the same.
    for seed in 0_u64..150 {
        println!("seed {seed}");
        handshake_puppet(&trace(&noise(seed, 64)));
    }
}

/// Bytes that are the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(state.to_be_bytes()[0])
    };
    let mut state = seed;
    std::iter::from_fn(|| next(&mut state)).take(length).collect()
}

fn trace(data: &[u8]) -> Trace {
    Trace::arbitrary_take_rest(Unstructured::new(data)).unwrap_or(Trace { steps: Vec::new() })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
