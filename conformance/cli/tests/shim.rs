//! The program as a shim, and as the judge of shims.

use std::process::{Command, Output};

const MESHPROOF: &str = env!("CARGO_BIN_EXE_meshproof");

fn check(command: &str) -> Output {
    Command::new(MESHPROOF).args(["shim", "check", command]).output().unwrap()
}

#[test]
fn the_reference_speaks_the_protocol() {
    let done = check(&format!("{MESHPROOF} shim serve"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

#[test]
fn whoever_repeats_what_it_hears_does_not() {
    let done = check("cat");
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.lines().all(|line| line.len() < 400), "a line of the shim is quoted whole");
}

/// A client in a process of its own, as anybody else's would be.
#[test]
fn the_reference_is_a_client() {
    let report = tempfile::tempdir().unwrap();
    let done = Command::new(MESHPROOF)
        .args(["run", "--client", &format!("{MESHPROOF} shim serve"), "--report"])
        .arg(report.path())
        .args(["--filter", "client.sync", "--filter", "client.tls"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("client mesh ") && said.contains("CONFORMANT"), "{said}");
}
