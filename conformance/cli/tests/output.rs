//! Standard output that is closed, or full: the run is what it was, and nobody sees a panic.

use std::fs::{File, OpenOptions};
use std::process::{Command, Stdio};

const MESHPROOF: &str = env!("CARGO_BIN_EXE_meshproof");

/// A pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A disk on which there is no room.
fn full() -> Stdio {
    let device: File = OpenOptions::new().write(true).open("/dev/full").unwrap();
    device.into()
}

/// The exit code, and what standard error says.
fn run(words: &[&str], stdout: Stdio) -> (Option<i32>, String) {
    let mut command = Command::new(MESHPROOF);
    let child = command.args(words).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    let done = child.wait_with_output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn a_reader_that_leaves_ends_no_run() {
    let report = tempfile::tempdir().unwrap();
    let at = report.path().to_str().unwrap();
    let shim = format!("{MESHPROOF} shim serve");
    let one =
        ["run", "--shim", &shim, "--filter", "=vector.ticket.verify.user-authentication", "--report", at];
    let (code, said) = run(&one, closed());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(std::fs::read_to_string(report.path().join("summary.txt")).unwrap().contains("CONFORMANT"));
    // What is only words is quiet, too.
    for words in [&["list"][..], &["explain", "TKT-014"], &["coverage"], &["vectors"]] {
        assert_eq!(run(words, closed()), (Some(0), String::new()), "{words:?}");
    }
    // The demonstration and its lines.
    let mission =
        ["self-test", "--no-matrix", "--filter", "=vector.ticket.verify.user-authentication", "--report", at];
    assert_eq!(run(&mission, closed()), (Some(0), String::new()));
}

#[test]
fn neither_does_one_that_leaves_standard_error() {
    let mut command = Command::new(MESHPROOF);
    let status = command.args(["explain", "nothing"]).stderr(closed()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
#[cfg(target_os = "linux")] // where there is /dev/full
fn a_full_disk_is_told() {
    let (code, said) = run(&["explain", "TKT-014"], full());
    assert_eq!(code, Some(4), "{said}");
    assert!(said.starts_with("meshproof: cannot write to standard output: No space left"), "{said}");
}
