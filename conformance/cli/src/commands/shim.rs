//! `meshproof shim`: the reference behind the shim protocol.

use std::io::{BufRead as _, Write as _};

use anyhow::Context as _;
use meshproof_kit::target::shim::{Answer, Shim as _};

/// Answers requests until standard input ends.
pub(crate) fn execute() -> anyhow::Result<u8> {
    let mut reference = crate::shim::reference();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read standard input")?;
        let answer = match serde_json::from_str(&line) {
            Ok(request) => reference.call(&request)?,
            Err(error) => Answer::error(format!("the request is not JSON: {error}")),
        };
        let answer = serde_json::to_string(&answer).context("the answer is no JSON")?;
        writeln!(out, "{answer}").and_then(|()| out.flush()).context("cannot write to standard output")?;
    }
    Ok(0)
}
