//! Running programs that are not ours.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

const INSTALL: &str = "run conformance/interop/install.sh";

/// Runs a program with `input` on its standard input.
pub fn run(command: &mut Command, input: &[u8]) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}: {INSTALL}"))?;
    // From a thread, for the program may write before it has read everything. Who doesn't read is no failure here.
    let mut stdin = child.stdin.take().context("no standard input")?;
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().with_context(|| format!("waiting for {name}"))
    })
}

/// Runs a program that has to succeed, and returns what it printed.
pub fn output(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let out = run(command, input)?;
    ensure!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    Ok(out.stdout)
}

/// The Python of the environment that `install.sh` made.
pub fn python() -> Result<Command> {
    let venv = std::env::var_os("MESHPROOF_INTEROP_VENV").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/interop-venv")),
        PathBuf::from,
    );
    let python = venv.join("bin/python");
    ensure!(python.exists(), "no {}: {INSTALL}", python.display());
    Ok(Command::new(python))
}

/// A line that `run.sh` picks out of the output of a passing test.
pub fn say(line: &str) {
    println!("interop: {line}");
}
