//! What is behind a shim: vectors with one input changed, answered by it and by the oracle.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{Draw, Ended, What, Wrong};
use crate::check::Context;
use crate::oracle::crypto::{base64, base64url, from_base64, from_base64url, from_hex, hex};
use crate::target::shim::{Answer, Outcome, ProcessShim, Shim as _};
use crate::vectors::{self, VectorTest, Verdict, reader};

/// The shim, and the vectors that it does not have.
pub(super) struct Fuzzed {
    shim: ProcessShim,
}

impl Fuzzed {
    pub(super) fn new(shim: ProcessShim) -> Self {
        Fuzzed { shim }
    }

    /// Its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.shim.pid()
    }

    /// Whether it answers at all.
    pub(super) fn probe(&mut self) -> Result<(), Wrong> {
        let answer = self.call(&json!({"op": "meshproof-probe"}))?;
        let known = answer.outcome != Outcome::Unsupported;
        if known { Err(Wrong::accepted("the shim claims to know an op that does not exist")) } else { Ok(()) }
    }

    /// One vector with a change, then the same as it was.
    pub(super) fn session(&mut self, context: &Context, draw: &mut Draw<'_>) -> Result<Ended, Wrong> {
        let tests = unscripted();
        let test = tests[draw.below(tests.len())];
        let mut request = vectors::request(test);
        for _ in 0..=draw.below(2) {
            change(draw, &mut request["test"]);
        }
        context.note("request", serde_json::to_string_pretty(&request).unwrap_or_default());
        let got = self.call(&request)?;
        context.note("answer", serde_json::to_string_pretty(&got).unwrap_or_default());
        let wanted = reader::answer(&request);
        context.note("the specification", serde_json::to_string_pretty(&wanted).unwrap_or_default());
        if (wanted.outcome, got.outcome) == (Outcome::Reject, Outcome::Accept) {
            let rule = wanted.requirement.unwrap_or_default();
            return Err(Wrong::accepted(format!("{}, changed, is accepted, and breaks {rule}", test.id)));
        }
        let honest = self.call(&vectors::request(test))?;
        if let Verdict::Fail(why) = vectors::judge(test, &honest) {
            return Err(Wrong::accepted(format!("{}, as it is, right after: {why}", test.id)));
        }
        Ok(if wanted.outcome == Outcome::Reject { Ended::Refused } else { Ended::Fine })
    }

    fn call(&mut self, request: &Value) -> Result<Answer, Wrong> {
        self.shim.call(request).map_err(|error| {
            let text = format!("{error:#}");
            Wrong(if text.contains("did not answer within") { What::Hang } else { What::Crash }, text)
        })
    }
}

/// The vectors whose answer does not depend on a script of random draws.
fn unscripted() -> &'static [&'static VectorTest] {
    static TESTS: LazyLock<Vec<&'static VectorTest>> = LazyLock::new(|| {
        let scripted = ["HandshakeM2", "HandshakeM3", "HandshakeRetry", "TicketIssue"];
        vectors::all().iter().filter(|test| !scripted.contains(&test.kind.as_str())).collect()
    });
    &TESTS
}

/// Changes one input: bytes as bytes, in whatever encoding they are written.
fn change(draw: &mut Draw<'_>, value: &mut Value) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let at = draw.below(members.len());
            if let Some(inner) = members.values_mut().nth(at) {
                change(draw, inner);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = draw.below(items.len());
            change(draw, &mut items[at]);
        }
        Value::String(text) => {
            type Codec = (fn(&str) -> Option<Vec<u8>>, fn(&[u8]) -> String);
            let codecs: [Codec; 3] = [(from_hex, hex), (from_base64url, base64url), (from_base64, base64)];
            let decoded = codecs.iter().find_map(|(read, write)| Some((read(text)?, *write)));
            if let Some((mut bytes, write)) = decoded.filter(|_| text.len() > 8) {
                draw.edit(&mut bytes);
                *text = write(&bytes);
            }
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or_default();
            *value = (*draw.pick(&[number + 1, number.saturating_sub(1), number + 600, 0])).into();
        }
        _ => {}
    }
}
