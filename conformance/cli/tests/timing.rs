//! `meshproof timing` measures and says that so few rounds tell nothing. What many tell is tested with times that are made up
//! (`meshproof_kit::timing`): no verdict here depends on a clock.

use std::process::Command;

use serde_json::Value;

fn timing(words: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_meshproof"))
        .args(["timing", "--json", "--rounds", "8", "--seconds", "60"])
        .args(words)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn shows_too_few(timing: &Value) {
    assert_eq!(timing["rounds"], 8);
    let classes = timing["classes"].as_array().expect("classes");
    assert_eq!(classes.len(), 5);
    assert!(
        classes.iter().all(|class| class["finding"] == "undecided" && class["interval"].is_null()),
        "{timing}"
    );
}

#[test]
fn the_embedded_peer_is_measured_with_and_without_the_leak() {
    shows_too_few(&timing(&[]));
    shows_too_few(&timing(&["--leaky"]));
}

#[test]
fn a_shim_is_measured() {
    let shim = format!("{} shim serve", env!("CARGO_BIN_EXE_meshproof"));
    shows_too_few(&timing(&["--shim", &shim]));
}
