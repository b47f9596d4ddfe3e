//! `meshproof fuzz` finds what is planted, and says how it is done again.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn fuzz(report: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    command.arg("fuzz").args(words).arg("--report").arg(report).output().expect("the program starts")
}

fn finding(report: &Path) -> Value {
    let text = std::fs::read_to_string(report.join("finding.json")).expect("a finding");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn nothing_is_found_in_the_reference() {
    let report = TempDir::new().unwrap();
    let done = fuzz(report.path(), &["--seed", "1", "--runs", "60"]);
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("60 runs, of which ") && said.contains("nothing found"), "{said}");
}

/// One in each of what is reached over a network: handshake, relay, graph.
#[test]
fn planted_bugs_are_found_and_found_again() {
    for mutant in ["HSK-040", "RLY-004", "GPH-006"] {
        let report = TempDir::new().unwrap();
        let done = fuzz(report.path(), &["--mutant", mutant, "--seed", "3", "--runs", "600"]);
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(done.status.code(), Some(1), "{mutant}: {said}{}", String::from_utf8_lossy(&done.stderr));
        let found = finding(report.path());
        assert_eq!(found["what"], "accepted", "{mutant}: {said}");
        assert!(found["message"].as_str().unwrap().contains(mutant), "{mutant}: {said}");

        let file = report.path().join("finding.json");
        let again = TempDir::new().unwrap();
        // What is printed is enough: the finding knows what it was found in, and so does the finding of a finding.
        let done = fuzz(again.path(), &["--replay", file.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(1), "{mutant}: {}", String::from_utf8_lossy(&done.stdout));
        assert_eq!(finding(again.path()), found);
        let mut honest = found;
        honest["arguments"] = serde_json::json!(["fuzz"]);
        std::fs::write(&file, honest.to_string()).unwrap();
        let done = fuzz(again.path(), &["--replay", file.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(0), "{mutant}: {}", String::from_utf8_lossy(&done.stdout));
    }
}

/// A shim that answers what nobody may know, and then does as the script says.
fn shim(script: &str, words: &[&str]) -> (Value, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("shim.sh");
    std::fs::write(&file, format!("u='{{\"outcome\":\"unsupported\"}}'\nread -r l; echo \"$u\"\n{script}\n"))
        .unwrap();
    let command = format!("sh {}", file.display());
    let words = [&["--shim", &command, "--seed", "1", "--runs", "400"], words].concat();
    let done = fuzz(folder.path(), &words);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&done.stderr));
    let found = finding(folder.path());
    // The same shim again, with the patience that it had, and nothing of what a replay has no use for.
    let arguments: Vec<&str> =
        found["arguments"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(arguments[..3], ["fuzz", "--shim", &command], "{found}");
    assert!(!arguments.contains(&"--seed") && !arguments.contains(&"--growth"), "{found}");
    (found, said)
}

#[test]
fn a_target_that_dies_is_found() {
    let (found, said) = shim("for n in 1 2 3 4 5; do read -r l; echo \"$u\"; done; read -r l; exit 3", &[]);
    assert_eq!(found["what"], "crash", "{said}");
}

#[test]
fn a_target_that_hangs_is_found() {
    let (found, said) = shim("read -r l; echo \"$u\"; while read -r l; do :; done", &["--timeout", "1"]);
    assert_eq!(found["what"], "hang", "{said}");
}

#[test]
#[cfg(target_os = "linux")] // where processes show what they have
fn a_target_that_grows_is_found() {
    let grow = "s=$(head -c 4000000 /dev/zero | tr '\\0' x)\nwhile read -r l; do x=$x$s; echo \"$u\"; done";
    let (found, said) = shim(grow, &["--growth", "32"]);
    assert_eq!(found["what"], "growth", "{said}");
}

#[test]
fn a_finding_is_not_repeated_on_a_target_of_another_kind() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("finding.json");
    let record = |subject: &str, arguments: Value| {
        let case = serde_json::json!({
            "format": "meshproof-finding/1", "what": "accepted", "message": "", "subject": subject, "seed": 1, "run": 0,
            "case": "00", "arguments": arguments,
        });
        std::fs::write(&file, case.to_string()).unwrap();
    };
    let replay = |more: &[&str]| {
        let done = fuzz(folder.path(), &[&["--replay", file.to_str().unwrap()][..], more].concat());
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let refused = |(code, said): (Option<i32>, String), option: &str| {
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&format!("of a target of {option}")), "{said}");
    };
    record("cloud", serde_json::json!(["fuzz", "--shim", "cat"]));
    refused(replay(&[]), "--cloud");
    record("shim", serde_json::json!([]));
    refused(replay(&[]), "--shim");
    refused(replay(&["--peer", "127.0.0.1:1"]), "--shim");
    record("peer", serde_json::json!(["fuzz", "--peer", "127.0.0.1:1"]));
    refused(replay(&["--shim", "cat"]), "--peer");
    record("peer", serde_json::json!(["run", "--peer", "127.0.0.1:1"]));
    assert_eq!(replay(&[]).0, Some(2));
}

#[test]
fn what_is_not_there_or_not_honest_is_not_fuzzed() {
    let report = TempDir::new().unwrap();
    let done = fuzz(report.path(), &["--shim", "cat", "--runs", "1"]);
    assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stdout));
    assert_eq!(fuzz(report.path(), &["--runs", "0"]).status.code(), Some(2));
    assert_eq!(fuzz(report.path(), &["--replay", "nowhere.json"]).status.code(), Some(2));
}
