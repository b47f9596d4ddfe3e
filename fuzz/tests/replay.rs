//! Every corpus file, and every message of the vectors, through its fuzz function; then inputs that nobody wrote.

use meshproof_fuzz::engine::{hunt, read_corpus};
use meshproof_fuzz::{TARGETS, Target, handshake, plant, record, relay, ticket};
use meshproof_kit::oracle::crypto::from_hex;
use meshproof_kit::vectors::{self, reader};

/// How many inputs are tried of each target. `prove TARGET RUNS` tries more.
const TRIED: usize = 60;

#[test]
fn corpora_are_good_input_and_break_no_promise() {
    for target in &TARGETS {
        let files =
            read_corpus(target.name).unwrap_or_else(|error| panic!("corpus/{}: {error}", target.name));
        let accepted = files.iter().filter(|(name, bytes)| {
            println!("{}/{name}", target.name);
            (target.run)(bytes)
        });
        // A corpus of an older format has nothing that is accepted.
        assert!(accepted.count() > 0, "nothing in corpus/{} is accepted", target.name);
    }
}

#[test]
fn inputs_that_nobody_wrote() {
    for target in &TARGETS {
        let corpus: Vec<Vec<u8>> =
            read_corpus(target.name).unwrap().into_iter().map(|(_, bytes)| bytes).collect();
        if let Some(found) = hunt(target, &corpus, 1, TRIED) {
            panic!("{}: run {} of seed 1: {:02x?}", target.name, found.runs, found.input);
        }
    }
}

#[test]
fn every_bug_is_one_and_every_target_is_wrapped() {
    for Target { name, bugs, .. } in &TARGETS {
        assert!(!bugs.is_empty(), "{name} has no bug to find");
        let file = format!("{}/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(std::fs::read_to_string(file).unwrap().contains(&format!("meshproof_fuzz::{name}(data)")));
        for (bug, budget) in *bugs {
            // Not planted here: other tests run in this process.
            let known =
                meshproof_proto::requirement::Fault::by_name(bug).is_some() || bug.starts_with("fuzz:");
            assert!(known && *budget > 0, "there is no bug {bug}");
        }
    }
    assert!(plant(None));
}

#[test]
fn messages_of_the_vectors() {
    let mut count = 0;
    for test in vectors::all() {
        let hex = |name: &str| test.inputs[name].as_str().and_then(from_hex);
        let bytes = match test.kind.as_str() {
            "TicketVerify" | "TicketPair" => test.inputs["ticket"]
                .as_str()
                .and_then(|text| meshproof_proto::ticket::parse::decode(text).ok()),
            "HandshakeM1" | "HandshakeM2" | "HandshakeM3" => hex("frame"),
            "RecordOpen" => hex("stream").map(|stream| [&[0], &stream[..]].concat()),
            _ => None,
        };
        let Some(bytes) = bytes else { continue };
        match test.kind.as_bytes()[0] {
            b'T' => ticket(&bytes),
            b'H' => handshake(&bytes),
            _ => record(&bytes),
        };
        count += 1;
    }
    assert!(count > 300, "only {count} messages");
}

#[test]
fn connections_of_the_vectors() {
    let mut count = 0;
    for test in vectors::all().iter().filter(|test| test.kind == "RelayJoin") {
        for connection in test.inputs["connections"].as_array().into_iter().flatten() {
            let bytes = connection.as_str().and_then(from_hex).unwrap();
            relay(&[&[0], &bytes[..]].concat());
            count += 1;
        }
    }
    assert!(count > 30, "only {count} connections");
}

/// libFuzzer found it in `shim`: the oracle added to the clock of a request, whatever that said.
#[test]
fn a_clock_that_reads_the_last_second() {
    let mut count = 0;
    for test in vectors::all().iter().filter(|test| test.kind == "TicketVerify" && test.expected.valid) {
        let mut request = vectors::request(test);
        request["test"]["now"] = u64::MAX.into();
        assert_eq!(reader::answer(&request).reason.as_deref(), Some("ticket-expired"), "{}", test.id);
        count += 1;
    }
    assert!(count > 10, "only {count} tickets");
}
