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
    let said = says(&["minimise", &replay.to_string_lossy()], folder.path(), 1);
    assert!(said.len() < 2_000, "what is long is in the file: {said}");
    let minimal = evidence.join("minimal.json");
    let text = std::fs::read_to_string(&minimal).expect("what was found");
    // What is left is done again, and without the fault is as it should be.
    let again = says(&["replay", &minimal.to_string_lossy()], folder.path(), 1);
    assert!(again.contains(&check[1..]) && again.contains("implementation: accept"), "{again}");
    let mut honest: Value = serde_json::from_str(&text).expect("JSON");
    honest["arguments"] = serde_json::json!(["self-test"]);
    let other = folder.path().join("honest.json");
    std::fs::write(&other, honest.to_string()).expect("a file");
    let again = says(&["replay", &other.to_string_lossy()], folder.path(), 0);
    assert!(again.contains("does not fail any more: reject"), "{again}");
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

/// Runs a check of a network on a mutant and minimises its conversation: what was said, and the document.
fn conversation(mutant: &str, check: &str, folder: &Path, more: &[&str]) -> (String, Value) {
    let filter = format!("={check}");
    let words = ["self-test", "--mutant", mutant, "--filter", &filter, "--seed", "7", "--report", "report"];
    assert_eq!(meshproof(&words, folder), 1, "the mutant is found");
    let evidence = folder.join("report/evidence").join(check);
    let replay = evidence.join("replay.json");
    let said = says(&[&["minimise", &replay.to_string_lossy()], more].concat(), folder, 1);
    let text = std::fs::read_to_string(evidence.join("minimal.json")).expect("what was found");
    (said, serde_json::from_str(&text).expect("JSON"))
}

fn says(words: &[&str], folder: &Path, code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    let output = command.args(words).current_dir(folder).output().expect("the program starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// `A messages became B`: both.
fn messages(said: &str) -> (usize, usize) {
    let line = said.lines().find(|line| line.contains(" messages became ")).expect(said);
    let numbers: Vec<usize> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

#[test]
fn of_a_conversation_with_a_cloud_the_requests_are_left_that_it_is_about() {
    let folder = tempfile::tempdir().expect("a directory");
    let (said, found) = conversation("GPH-014", "gph.rights.reader-writes", folder.path(), &[]);
    let (before, after) = messages(&said);
    assert!(after >= 1 && after * 2 <= before, "{said}");
    let left_out = |edit: &&Value| edit["change"] == "left-out";
    let edits = found["edits"].as_array().expect("changes");
    assert_eq!(edits.iter().filter(left_out).count(), before - after, "{found}");
    // The request that is wrong is the last, and still there.
    assert!(said.contains(&format!("  {}  ", before - 1)), "{said}");

    // It is done again, and fails as it did.
    let minimal = folder.path().join("report/evidence/gph.rights.reader-writes/minimal.json");
    let again = says(&["replay", &minimal.to_string_lossy()], folder.path(), 1);
    assert!(again.contains(&format!("{} messages are left out", before - after)), "{again}");
    let message = said.lines().find_map(|line| line.strip_prefix("gph.rights.reader-writes: ")).expect("why");
    let status = message.split(": ").last().expect("the status");
    assert!(
        again.contains("FAIL ") && again.contains("GPH-014") && again.contains(status),
        "{message}\n{again}"
    );

    // Without the fault the same conversation is as it should be.
    let mut honest = found;
    honest["arguments"] = serde_json::json!(["self-test"]);
    std::fs::write(&minimal, honest.to_string()).expect("a file");
    says(&["replay", &minimal.to_string_lossy()], folder.path(), 0);
    let said = says(&["minimise", &minimal.to_string_lossy()], folder.path(), 0);
    assert!(said.contains("does not fail any more"), "{said}");
}

#[test]
fn of_a_session_with_a_device_what_is_wrong_stays() {
    let folder = tempfile::tempdir().expect("a directory");
    // Each try waits for what the mutant does not do. Whole messages come first.
    let (said, found) = conversation("SYN-015", "syn.state.hello-twice", folder.path(), &["--tries", "25"]);
    assert_eq!(messages(&said), (6, 4), "{said}");
    // A second HELLO is what it is about; both, and the handshake before, stay.
    for left in ["0  M1", "1  M3", "2  content of HELLO", "5  content of what must not be taken"] {
        assert!(said.contains(&format!("     {left}")), "{said}");
    }
    assert!(found["seed"] == 7 && found["check"] == "syn.state.hello-twice", "{found}");
}

#[test]
fn a_search_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a directory");
    let (said, _) = conversation("GPH-014", "gph.rights.reader-writes", folder.path(), &["--tries", "2"]);
    assert!(said.contains(" in 2 tries, and it was stopped there"), "{said}");
}
