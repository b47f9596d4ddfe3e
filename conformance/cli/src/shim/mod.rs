//! The reference as a vector target: feeds `meshproof-proto` and says what it did, or how fast. It observes and never
//! judges.
//!
//! Where nothing is random, every request is run with both crypto providers, and a difference between them is an error.

mod bench;
mod client;
mod connect;
mod fields;
mod handshake;
mod record;
mod relay;
mod storage;
mod sync;
mod ticket;

use meshproof_client::SuiteBook;
use meshproof_kit::target::shim::{Answer, Outcome, Shim};
use meshproof_proto::crypto::{AWS_LC, Provider, RUSTCRYPTO};
use meshproof_proto::error::Error;
use meshproof_proto::requirement::garbles;
use serde_json::{Value, json};

use fields::Fields;

/// The reference implementation behind the kit's shim interface.
pub(crate) fn reference() -> impl Shim {
    let suites = SuiteBook::default();
    move |request: &Value| match request["op"].as_str() {
        Some("hello") => hello(),
        Some("vector") => vector(request),
        Some("bench") => bench::answer(request),
        Some("client") => tell(client::act(Fields::new(request))),
        Some("connect") => tell(connect::connect(&suites, Fields::new(request))),
        _ => Answer::unsupported(),
    }
}

/// What this shim can do.
fn hello() -> Answer {
    Answer::accept(json!({
        "protocol": 1,
        "implementation": concat!("mesh ", env!("CARGO_PKG_VERSION")),
        "ops": ["hello", "vector", "connect", "client", "bench"],
    }))
}

/// Why a run of a request has no good end.
enum Stop {
    /// A rule was broken.
    Rejected(Error, Value),
    /// The responder refused, as it may: no rule was broken.
    Refused(Value),
    /// It did not work, and no rule says why.
    Failed(String),
    /// The request makes no sense.
    BadRequest(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Rejected(error, Value::Null)
    }
}

type Ran = Result<Value, Stop>;

fn vector(request: &Value) -> Answer {
    let (group, test) = (Fields::new(&request["group"]), Fields::new(&request["test"]));
    let both = |run: &dyn Fn(&'static dyn Provider) -> Ran| {
        let (portable, fast) = (tell(run(RUSTCRYPTO)), tell(run(AWS_LC)));
        if portable == fast {
            return fast;
        }
        Answer::error(format!("the providers differ: rustcrypto {portable:?}, aws-lc {fast:?}"))
    };
    match request["type"].as_str().unwrap_or_default() {
        "TicketVerify" => both(&|p| ticket::verify(p, group, test)),
        "TicketIssue" => both(&|p| ticket::issue(p, group, test)),
        "TicketSet" => both(&|p| ticket::set(p, group, test)),
        "TicketPair" => both(&|p| ticket::pair(p, group, test)),
        "HandshakeM1" => both(&|p| handshake::m1(p, group, test)),
        // These repeat a handshake from a script, and only one provider takes the seed of OAEP.
        "HandshakeM2" => tell(handshake::m2(RUSTCRYPTO, group, test)),
        "HandshakeM3" => tell(handshake::m3(RUSTCRYPTO, group, test)),
        "HandshakeRetry" => tell(handshake::retry(RUSTCRYPTO, group, test)),
        "RecordOpen" => both(&|p| record::open(p, test)),
        "RecordSeal" => both(&|p| record::seal(p, test)),
        "RelayPass" => both(&|p| relay::pass(p, group, test)),
        "RelayJoin" => both(&|p| relay::join(p, group, test)),
        "SyncIgnore" => tell(sync::ignore(test)),
        "SyncName" => tell(sync::name(test)),
        "SyncIndex" => tell(sync::index(test)),
        "SyncMerge" => tell(sync::merge(test)),
        "SyncView" => tell(sync::view(test)),
        "SyncDigest" => tell(sync::digest(test)),
        "SyncSigned" => both(&|p| sync::signed(p, group, test)),
        "StorageSeal" => both(&|p| storage::seal(p, group, test)),
        "StorageId" => both(&|p| storage::id(p, group, test)),
        "StorageOpen" => both(&|p| storage::open(p, group, test)),
        "StorageEntry" => tell(storage::entry(test)),
        "StorageKey" => both(&|p| storage::key(p, group, test)),
        _ => Answer::unsupported(),
    }
}

fn tell(ran: Ran) -> Answer {
    match ran {
        Ok(output) if garbles() => Answer::accept(garbled(output)),
        Ok(output) => Answer::accept(output),
        Err(Stop::Refused(output)) => {
            Answer { outcome: Outcome::Reject, reason: Some("refused".to_owned()), ..Answer::accept(output) }
        }
        Err(Stop::Failed(what)) => refused_by_no_rule(what),
        Err(Stop::BadRequest(what)) => Answer::error(what),
        Err(Stop::Rejected(error, output)) => match error.requirement() {
            Some(requirement) => Answer { output, ..Answer::reject(requirement.id, requirement.error) },
            // The caller's fault: what the reference refuses to do at all.
            None => refused_by_no_rule(error.to_string()),
        },
    }
}

/// What the mutant `output` says.
fn garbled(output: Value) -> Value {
    match output {
        Value::Null => 0.into(),
        Value::Bool(bool) => (!bool).into(),
        Value::Number(_) => "many".into(),
        Value::String(text) => (text + "00").into(),
        Value::Array(mut items) => {
            items.push(Value::Null);
            items.into()
        }
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, garbled(value))).collect(),
    }
}

fn refused_by_no_rule(detail: String) -> Answer {
    Answer { outcome: Outcome::Reject, ..Answer::error(detail) }
}

fn none() -> Value {
    json!({})
}

#[cfg(test)]
mod tests {
    use meshproof_kit::vectors::{self, Verdict};

    use super::*;

    #[test]
    fn the_reference_passes_every_vector() {
        let failures: Vec<String> = vectors::all()
            .iter()
            .filter_map(|test| match vectors::judge(test, &vector(&vectors::request(test))) {
                Verdict::Pass => None,
                Verdict::Fail(why) => Some(format!("{}: {why}", test.id)),
                Verdict::Unsupported => Some(format!("{}: unsupported", test.id)),
            })
            .collect();
        assert!(
            failures.is_empty(),
            "{} of {}:\n{}",
            failures.len(),
            vectors::all().len(),
            failures.join("\n")
        );
    }
}
