//! `meshproof shim`: the reference behind the shim protocol, and whether a shim speaks it.

use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use meshproof_kit::target::manners::{self, Manner};
use meshproof_kit::target::shim::{Answer, CannotStart, ProcessShim, Shim as _};
use serde_json::json;

/// How long a shim that is checked has for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers requests until standard input ends.
pub(crate) fn serve() -> anyhow::Result<u8> {
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

/// Says of each rule whether the shim keeps it.
pub(crate) fn check(command: &str) -> anyhow::Result<u8> {
    let words = super::shim_command(command)?;
    if let Err(error) = ProcessShim::new(&words, PATIENCE).call(&json!({"op": "hello"}))
        && error.is::<CannotStart>()
    {
        return Err(error);
    }
    let nonce = getrandom::u64().context("no random numbers")?;
    let mut broken = 0;
    manners::check(&words, PATIENCE, nonce, |Manner { rule, found }| match found {
        Ok(detail) => say!("ok    {rule}{}{detail}", if detail.is_empty() { "" } else { ": " }),
        Err(why) => {
            broken += 1;
            say!("FAIL  {rule}: {why:#}");
        }
    });
    say!("\n{}", if broken == 0 { "the shim speaks protocol 1" } else { "the shim has faults" });
    Ok(u8::from(broken > 0))
}
