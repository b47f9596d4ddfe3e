//! Whether a shim keeps the rules of `conformance/shims/README.md`, whatever the implementation behind it does.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::shim::{Answer, Claims, Outcome, ProcessShim, Shim as _};
use crate::vectors;

/// One rule, and what was found: something to say, or what is wrong.
pub struct Manner {
    /// The rule.
    pub rule: &'static str,
    /// What was found.
    pub found: anyhow::Result<String>,
}

/// Tries a shim rule by rule. `nonce` is another one each time, so that no shim can know the op that does not exist.
pub fn check(command: &[String], patience: Duration, nonce: u64, mut tell: impl FnMut(Manner)) {
    let mut shim = ProcessShim::new(command, patience);
    let mut try_rule = |rule, run: &dyn Fn(&mut ProcessShim) -> anyhow::Result<String>| {
        tell(Manner { rule, found: run(&mut shim) });
    };
    try_rule("it says what it is", &says_what_it_is);
    try_rule("an op that does not exist is unsupported", &|shim| {
        unsupported(shim, &json!({"op": format!("op-{nonce:016x}")}))
    });
    try_rule("a type of vector that does not exist is unsupported", &|shim| {
        unsupported(shim, &json!({"op": "vector", "type": "NoSuchType", "group": {}, "test": {}}))
    });
    try_rule("a member that it does not know is ignored", &|shim| {
        let plain = shim.call(&json!({"op": "hello"}))?;
        let more = shim.call(&json!({"op": "hello", "shoe-size": 43}))?;
        ensure!(plain == more, "it answers hello otherwise");
        Ok(String::new())
    });
    try_rule("each type of vector is answered or unsupported", &types);
    try_rule("the same request has the same answer", &|shim| {
        let request = json!({"op": "vector", "type": "RecordOpen", "group": {}, "test": {
            "traffic": "00".repeat(32), "stream": "000000", "fin": false}});
        let (one, other) = (shim.call(&request)?, shim.call(&request)?);
        ensure!(one.outcome == other.outcome, "first {:?}, then {:?}", one.outcome, other.outcome);
        Ok(String::new())
    });
    try_rule("a line of a million bytes is read", &|shim| {
        let request = json!({"op": "vector", "type": "RecordOpen", "group": {}, "test": {
            "traffic": "00".repeat(32), "stream": "00".repeat(500_000), "fin": false}});
        let answer = shim.call(&request)?;
        ensure!(answer.outcome != Outcome::Accept, "it takes half a million zeros for records");
        Ok(String::new())
    });
    try_rule("it ends when standard input ends", &|shim| {
        shim.call(&json!({"op": "hello"}))?;
        shim.end(patience)?;
        Ok(String::new())
    });
    try_rule("it starts again", &says_what_it_is);
}

fn says_what_it_is(shim: &mut ProcessShim) -> anyhow::Result<String> {
    let claims = Claims::ask(shim)?.context("hello is unsupported")?;
    ensure!(claims.has("hello"), "its ops do not name hello");
    Ok(format!("{}, {}", claims.implementation, claims.ops.join(" ")))
}

fn unsupported(shim: &mut ProcessShim, request: &Value) -> anyhow::Result<String> {
    let answer = shim.call(request)?;
    ensure!(answer.outcome == Outcome::Unsupported, "the outcome is {:?}", answer.outcome);
    Ok(String::new())
}

/// One valid vector of each type.
fn types(shim: &mut ProcessShim) -> anyhow::Result<String> {
    let mut first: Vec<&vectors::VectorTest> = Vec::new();
    for test in vectors::all().iter().filter(|test| test.expected.valid) {
        if !first.iter().any(|before| before.kind == test.kind) {
            first.push(test);
        }
    }
    let mut done = Vec::new();
    for test in first {
        let Answer { outcome, detail, .. } =
            shim.call(&vectors::request(test)).with_context(|| test.kind.clone())?;
        ensure!(outcome != Outcome::Error, "{}: error, {}", test.kind, detail.unwrap_or_default());
        if outcome != Outcome::Unsupported {
            done.push(test.kind.as_str());
        }
    }
    Ok(done.join(" "))
}
