//! A vector that a mutant fails is made smaller, and still shows what the mutant does wrong.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn meshproof(words: &[&str], folder: &Path) -> i32 {
    let output = Command::new(env!("CARGO_BIN_EXE_meshproof"))
        .args(words)
        .current_dir(folder)
        .output()
        .expect("the program starts");
    output.status.code().unwrap_or(-1)
}

/// Runs a vector on a mutant and minimises it: the document, and the length of the input before.
fn minimal(mutant: &str, vector: &str) -> (Value, usize) {
    let folder = tempfile::tempdir().expect("a directory");
    let check = format!("=vector.{vector}");
    let words = ["self-test", "--mutant", mutant, "--filter", &check, "--report", "report"];
    assert_eq!(meshproof(&words, folder.path()), 1, "the mutant is found");
    let evidence = folder.path().join("report/evidence").join(format!("vector.{vector}"));
    let replay = evidence.join("replay.json");
    assert_eq!(meshproof(&["minimise", &replay.to_string_lossy()], folder.path()), 1, "it still fails");
    let text = std::fs::read_to_string(evidence.join("minimal.json")).expect("what was found");
    let vectors = meshproof_kit::vectors::all();
    let test = vectors.iter().find(|test| test.id == vector).expect("the vector");
    (serde_json::from_str(&text).expect("JSON"), test.inputs.to_string().len() + test.group.to_string().len())
}

#[test]
fn a_join_of_a_wrong_version_is_its_first_byte() {
    let (found, before) = minimal("RLY-001", "relay.join.version-2");
    assert_eq!(found["specification"]["reason"], "join-malformed");
    assert_eq!(found["implementation"]["outcome"], "accept");
    let test = &found["request"]["test"];
    assert_eq!(test["now"], 0);
    // 76 bytes before; one that is not 0 is enough.
    let connections = test["connections"].as_array().expect("connections");
    assert!(connections.len() == 1 && connections[0].as_str().is_some_and(|hex| hex.len() == 2), "{test}");
    assert!(found["complete"] == true && found["request"].to_string().len() < before, "{found}");
}

#[test]
fn a_ticket_that_has_expired_keeps_what_makes_it_so() {
    let (found, before) = minimal("TKT-014", "ticket.verify.expired-at-boundary");
    assert_eq!(found["specification"]["reason"], "ticket-expired");
    assert_eq!(found["implementation"]["outcome"], "accept");
    // The signature covers every byte of the ticket, so that none of it can go; what else the group says can.
    let request = &found["request"];
    let after = request["test"].to_string().len() + request["group"].to_string().len();
    assert!(after < before, "{after} bytes of {before}: {found}");
}
