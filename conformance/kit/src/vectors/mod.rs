//! Test vectors: the committed files of `vectors/`, the generator that writes them from the oracle, and the judge.

mod envelope;
pub mod fixtures;
mod handshake;
pub mod minimise;
mod pairs;
pub mod reader;
mod record;
mod relay;
mod storage;
mod sync;
mod ticket;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::target::shim::{Answer, Outcome};

/// A committed file.
#[derive(Clone, Copy, Debug)]
pub struct VectorFile {
    /// The folder: `ticket`.
    pub part: &'static str,
    /// The name without extension: `verify`.
    pub name: &'static str,
    /// The text.
    pub json: &'static str,
}

/// One test of a committed file.
#[derive(Clone, Debug)]
pub struct VectorTest {
    /// The stable name, such as `ticket.verify.expired-at-boundary`.
    pub id: String,
    /// The type of its group, such as `TicketVerify`.
    pub kind: String,
    /// The requirements it tests.
    pub reqs: Vec<String>,
    /// For an invalid test, the valid one from which it differs in one thing.
    pub twin: Option<String>,
    /// What it is about.
    pub comment: String,
    /// The fields of its group.
    pub group: Value,
    /// Its inputs.
    pub inputs: Value,
    /// What an implementation has to do.
    pub expected: Expected,
}

/// What an implementation has to do with a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Whether it has to accept.
    pub valid: bool,
    /// The error name; none where the specification leaves it open.
    pub reason: Option<String>,
    /// What has to come out; null where nothing does.
    pub output: Value,
    /// Values on the way, for whoever looks for a mistake.
    pub intermediates: Value,
}

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Pass,
    /// Not as expected, and how.
    Fail(String),
    /// The implementation does not do this kind of thing.
    Unsupported,
}

macro_rules! files {
    ($($part:literal $name:literal),* $(,)?) => {
        /// The committed files.
        pub const FILES: &[VectorFile] = &[$(VectorFile {
            part: $part,
            name: $name,
            json: include_str!(concat!("../../vectors/", $part, "/", $name, ".json")),
        }),*];
    };
}

files! {
    "ticket" "verify",
    "ticket" "issue",
    "ticket" "set",
    "ticket" "pair",
    "handshake" "m1",
    "handshake" "m2",
    "handshake" "m3",
    "handshake" "retry",
    "record" "open",
    "record" "seal",
    "relay" "pass",
    "relay" "join",
    "sync" "ignore",
    "sync" "name",
    "sync" "index",
    "sync" "merge",
    "sync" "view",
    "sync" "digest",
    "sync" "signed",
    "storage" "seal",
    "storage" "open",
    "storage" "entry",
    "storage" "key",
}

/// Every test of every committed file.
pub fn all() -> &'static [VectorTest] {
    static ALL: LazyLock<Vec<VectorTest>> = LazyLock::new(|| FILES.iter().flat_map(read).collect());
    &ALL
}

/// The request that a shim gets for a test: the inputs, and nothing of what is expected.
pub fn request(test: &VectorTest) -> Value {
    json!({"op": "vector", "type": test.kind, "group": test.group, "test": test.inputs})
}

/// Compares an answer with what is expected.
pub fn judge(test: &VectorTest, answer: &Answer) -> Verdict {
    let expected = &test.expected;
    let said = answer.reason.as_deref().unwrap_or("no reason");
    match (answer.outcome, expected.valid) {
        (Outcome::Unsupported, _) => return Verdict::Unsupported,
        (Outcome::Error, _) => {
            return Verdict::Fail(format!(
                "the shim failed: {}",
                answer.detail.as_deref().unwrap_or("no detail")
            ));
        }
        (Outcome::Accept, false) => {
            let why = expected.reason.as_deref().unwrap_or("an invalid input");
            return Verdict::Fail(format!("accepted what has to be refused: {why}"));
        }
        (Outcome::Reject, true) => return Verdict::Fail(format!("refused a valid input: {said}")),
        (Outcome::Accept, true) | (Outcome::Reject, false) => {}
    }
    if let (Some(want), Some(got)) = (&expected.reason, &answer.reason)
        && !same_reason(want, got)
    {
        return Verdict::Fail(format!("refused for {got}, expected {want}"));
    }
    // Who only reports verdicts has no output to compare when it refuses.
    if !expected.valid && answer.output.is_null() {
        return Verdict::Pass;
    }
    for (name, want) in expected.output.as_object().unwrap_or(&Map::new()) {
        let got = answer.output.get(name).unwrap_or(&Value::Null);
        if got != want {
            return Verdict::Fail(format!("{name} is {got}, expected {want}"));
        }
    }
    Verdict::Pass
}

/// HSK-023 lets a log name the rule of ticket.md that refused the ticket.
fn same_reason(want: &str, got: &str) -> bool {
    want == got || (want == "ticket" && (got.starts_with("ticket-") || got.starts_with("pair-")))
}

/// Writes all files anew: path below `vectors/`, and bytes.
pub fn generate() -> Vec<(String, Vec<u8>)> {
    let mut files = ticket::files();
    files.extend(handshake::files());
    files.extend(record::files());
    files.extend(relay::files());
    files.extend(sync::files());
    files.extend(storage::files());
    files.iter().map(|file| (file.path(), file.bytes())).collect()
}

/// Fields of a test that are not inputs.
const NOT_INPUTS: [&str; 9] =
    ["tcId", "id", "comment", "reqs", "twin", "result", "reason", "expect", "intermediates"];

fn read(file: &VectorFile) -> Vec<VectorTest> {
    // The files are part of the kit; a test reads them all. A file being bootstrapped holds no tests.
    let json: Value = serde_json::from_str(file.json).unwrap_or_default();
    let mut tests = Vec::new();
    for group in list(&json["testGroups"]) {
        let mut fields = group.as_object().cloned().unwrap_or_default();
        fields.retain(|name, _| !["type", "source", "tests"].contains(&name.as_str()));
        for test in list(&group["tests"]) {
            let mut inputs = test.as_object().cloned().unwrap_or_default();
            inputs.retain(|name, _| !NOT_INPUTS.contains(&name.as_str()));
            tests.push(VectorTest {
                id: text(&test["id"]).unwrap_or_default(),
                kind: text(&group["type"]).unwrap_or_default(),
                reqs: list(&test["reqs"]).iter().filter_map(text).collect(),
                twin: text(&test["twin"]),
                comment: text(&test["comment"]).unwrap_or_default(),
                group: Value::Object(fields.clone()),
                inputs: Value::Object(inputs),
                expected: Expected {
                    valid: test["result"] == "valid",
                    reason: text(&test["reason"]),
                    output: test["expect"].clone(),
                    intermediates: test["intermediates"].clone(),
                },
            });
        }
    }
    tests
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with this outcome and output.
    fn answer(outcome: &str, output: &Value) -> Answer {
        serde_json::from_value(json!({"outcome": outcome, "output": output})).expect("an answer")
    }

    fn verdict(test: &VectorTest, outcome: &str, output: &Value) -> bool {
        judge(test, &answer(outcome, output)) == Verdict::Pass
    }

    #[test]
    fn who_accepts_has_to_put_out_what_is_expected() {
        let test = all().iter().find(|test| test.id == "relay.pass.caller").expect("a valid vector");
        assert!(verdict(test, "accept", &test.expected.output));
        assert!(!verdict(test, "accept", &Value::Null));
        assert!(!verdict(test, "accept", &json!({"pass": "00"})));
    }

    #[test]
    fn only_a_ticket_may_be_refused_under_the_name_of_its_own_rule() {
        for (want, got, same) in [
            ("mac1", "mac1", true),
            ("ticket", "ticket", true),
            ("ticket", "ticket-expired", true),
            ("ticket", "pair-unrelated", true),
            ("ticket", "mac1", false),
            ("mac1", "ticket-expired", false),
            ("mac1", "pair-unrelated", false),
        ] {
            assert_eq!(same_reason(want, got), same, "{want} {got}");
        }
    }

    #[test]
    fn who_refuses_may_say_no_more_and_nothing_else() {
        let refusals = all().iter().filter(|test| !test.expected.valid && test.expected.output.is_object());
        let test = refusals.into_iter().next().expect("a vector of what is refused, and what comes out");
        assert!(verdict(test, "reject", &test.expected.output));
        assert!(verdict(test, "reject", &Value::Null));
        assert!(!verdict(test, "reject", &json!({})));
    }
}
