//! `meshproof bench`: what it prints, draws and ends with. How fast anything is plays no part.

use std::process::{Command, Output};

const MESHPROOF: &str = env!("CARGO_BIN_EXE_meshproof");

fn bench(arguments: &[&str]) -> Output {
    Command::new(MESHPROOF).args(["bench", "--seconds", "1"]).args(arguments).output().unwrap()
}

#[test]
fn the_reference_is_measured_through_a_shim() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("bench.svg");
    let shim = format!("{MESHPROOF} shim serve");
    let done = bench(&["--shim", &shim, "--json", "--svg", svg.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(report["target"].as_str().unwrap().starts_with("mesh "), "{report}");
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), meshproof_kit::bench::works().len());
    for row in rows {
        assert!(row["found"]["figures"]["rate"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert!(std::fs::read_to_string(svg).unwrap().ends_with("</svg>\n"));
}

#[test]
fn who_cannot_be_measured_is_incomplete() {
    // It repeats what it hears, and what it hears is no answer.
    assert_eq!(bench(&["--shim", "cat"]).status.code(), Some(3));
    // What cannot be started is no implementation, but a command that is wrong.
    assert_eq!(bench(&["--shim", "no-such-program"]).status.code(), Some(2));
    let folder = tempfile::tempdir().unwrap();
    let idle = folder.path().join("idle.sh");
    std::fs::write(&idle, "while read -r line; do echo '{\"outcome\":\"unsupported\"}'; done\n").unwrap();
    let done = bench(&["--shim", &format!("sh {}", idle.display())]);
    assert_eq!(done.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&done.stdout).contains("unsupported"));
}

#[test]
fn wrong_usage_is_told() {
    assert_eq!(bench(&["--shim", " "]).status.code(), Some(2));
    assert_eq!(bench(&["--sizes"]).status.code(), Some(2));
}
