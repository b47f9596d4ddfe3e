//! `meshproof minimise`: the smallest input on which an implementation still fails a vector in the same way. The conversations
//! of other checks are those of [`super::live`].
//!
//! What it ought to do with an input that nobody wrote down is known from the oracle, so that any piece can be left out:
//! the input that remains is one on which the two still differ as they did.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use meshproof_kit::target::shim::{Answer, Outcome, ProcessShim, Shim};
use meshproof_kit::text::printable;
use meshproof_kit::vectors::{self, VectorTest, Verdict, minimise, reader};
use meshproof_proto::requirement::Fault;
use serde_json::{Value, json};

use super::live::{self, Bounds};
use super::replay::{self, Replay};
use super::{SHIM_TIMEOUT, shim_command};
use crate::args::Minimise;
use crate::matrix::Mutant;

/// Exit code for a failure that is still there.
const FAILS: u8 = 1;
/// A request that is longer stands in its file alone: on a terminal it would be a wall.
const SHOWN: usize = 1_000;

/// Makes what failed smaller and writes it beside the `replay.json`.
pub(crate) fn execute(options: &Minimise) -> anyhow::Result<u8> {
    let file = &options.file;
    let replay = replay::read(file)?;
    let Some(id) = replay.check.strip_prefix("vector.") else {
        let bounds = Bounds { tries: options.tries, time: Duration::from_secs(options.seconds) };
        return live::minimise(file, &replay, &bounds);
    };
    let test = vectors::all().iter().find(|test| test.id == id);
    let test = test.with_context(|| format!("there is no vector {id}"))?;
    let (mut shim, _mutant) = implementation(&replay)?;
    let Some(found) = smaller(test, &replay, &mut *shim)? else {
        say!("{} does not fail any more", replay.check);
        return Ok(0);
    };
    let path = file.with_file_name("minimal.json");
    let text = serde_json::to_string_pretty(&found.document).context("JSON")? + "\n";
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    say!("{}: {}", replay.check, found.what);
    if found.after < found.before {
        say!("{} bytes of input became {} in {} tries", found.before, found.after, found.tried);
    } else {
        say!("its {} bytes of input could not be made smaller, in {} tries", found.before, found.tried);
    }
    let request = serde_json::to_string_pretty(&found.document["request"]).context("JSON")?;
    if request.len() <= SHOWN {
        say!("{request}");
    }
    say!("\nwritten to {}; `meshproof replay` does it again", path.display());
    Ok(FAILS)
}

/// Runs the vector of a `minimal.json` once more: on it, the implementation is compared with the specification.
pub(super) fn again(replay: &Replay, request: &Value) -> anyhow::Result<u8> {
    let (mut shim, _mutant) = implementation(replay)?;
    let (wanted, got) = (reader::answer(request), shim.call(request).context("the shim does not answer")?);
    if !differ(&wanted, &got) {
        say!("{} with less input does not fail any more: {}", replay.check, words(&got));
        return Ok(0);
    }
    say!("FAIL       {} with less input", replay.check);
    say!("           specification:  {}", words(&wanted));
    say!("           implementation: {}", words(&got));
    Ok(FAILS)
}

/// An answer in a line.
fn words(answer: &Answer) -> String {
    let outcome = match answer.outcome {
        Outcome::Accept => "accept",
        Outcome::Reject => "reject",
        Outcome::Unsupported => "unsupported",
        Outcome::Error => "error",
    };
    let why = answer.reason.as_deref().or(answer.detail.as_deref());
    printable(&why.map_or_else(|| outcome.to_owned(), |why| format!("{outcome}: {why}")))
}

/// What was found.
struct Found {
    document: Value,
    what: String,
    before: usize,
    after: usize,
    tried: usize,
}

/// The smallest input that still fails the same way; nothing if the vector passes.
fn smaller(test: &VectorTest, replay: &Replay, shim: &mut dyn Shim) -> anyhow::Result<Option<Found>> {
    let request = vectors::request(test);
    let got = shim.call(&request).context("the shim does not answer")?;
    let Verdict::Fail(what) = vectors::judge(test, &got) else { return Ok(None) };
    let wanted = reader::answer(&request);
    ensure!(differ(&wanted, &got), "the oracle itself answers so: this is a fault of the kit");
    let (want, have) = (kind(&wanted), kind(&got));
    let input = json!({"group": request["group"], "test": request["test"]});
    let whole = |input: &Value| json!({"op": "vector", "type": request["type"], "group": input["group"], "test": input["test"]});
    let same = |input: &Value| {
        let request = whole(input);
        // The oracle is cheaper to ask, and most pieces matter to it.
        let wanted = reader::answer(&request);
        kind(&wanted) == want
            && shim.call(&request).is_ok_and(|got| kind(&got) == have && differ(&wanted, &got))
    };
    let found = minimise::minimise(&input, same);
    let request = whole(&found.input);
    let answers = [reader::answer(&request), shim.call(&request).context("the shim does not answer")?];
    let [wanted, got] = answers.map(|answer| serde_json::to_value(answer).unwrap_or_default());
    let document = json!({
        "check": replay.check, "seed": replay.seed, "arguments": replay.arguments,
        "vector": test.id, "reqs": test.reqs, "request": request, "specification": wanted, "implementation": got,
        "complete": found.complete,
    });
    let after = minimise::size(&found.input);
    Ok(Some(Found { document, what, before: minimise::size(&input), after, tried: found.tried }))
}

/// What stays the same while an input gets smaller.
fn kind(answer: &Answer) -> (Outcome, Option<String>) {
    (answer.outcome, answer.reason.clone())
}

/// Whether two answers are not those of one specification.
fn differ(wanted: &Answer, got: &Answer) -> bool {
    let output = wanted.outcome == Outcome::Accept
        && wanted.output.as_object().into_iter().flatten().any(|(name, value)| got.output[name] != *value);
    wanted.outcome != got.outcome || output || (got.reason.is_some() && wanted.reason != got.reason)
}

/// What the replay was of: a shim's command, or the reference with or without a fault.
fn implementation(replay: &Replay) -> anyhow::Result<(Box<dyn Shim>, Option<Mutant>)> {
    let value = |option: &str| {
        let at = replay.arguments.iter().position(|word| word.split('=').next() == Some(option))?;
        let word = &replay.arguments[at];
        word.split_once('=')
            .map(|(_, value)| value.to_owned())
            .or_else(|| replay.arguments.get(at + 1).cloned())
    };
    if let Some(command) = value("--shim") {
        return Ok((Box::new(ProcessShim::new(&shim_command(&command)?, SHIM_TIMEOUT)), None));
    }
    let fault =
        value("--mutant").map(|name| Fault::by_name(&name).with_context(|| format!("no mutant {name}")));
    Ok((Box::new(crate::shim::reference()), fault.transpose()?.map(Mutant::plant)))
}
