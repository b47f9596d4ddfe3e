//! `meshproof minimise` of a conversation: the fewest messages, and the least of each, with which a check still fails as it did.
//!
//! Left out are requests, whole messages of handshakes and sessions, header fields, members of JSON bodies, and bytes.
//!
//! 1. A change is kept if the implementation fails the check with the same words, and the embedded reference, without a
//!    fault, still passes it: a conversation that nobody could get right shows nothing.
//! 2. A request that is left out is answered by what the reference answered when all was sent. Its identifiers and tokens
//!    exist nowhere else, so that what is made by such a request is missed if anything builds on it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Parser as _;
use meshproof_kit::check::{Check, Outcome, Role};
use meshproof_kit::checks;
use meshproof_kit::edit::{Change, Edit, Message, Script, steady};
use meshproof_kit::report::{self, CheckResult, RunReport};
use meshproof_kit::run::{Options, Quiet, run};
use meshproof_proto::requirement::Fault;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::replay::{self, Replay};
use super::{run as given, runtime, self_test};
use crate::args::{Args, Command, Run};
use crate::progress::Bar;

/// Exit code for a failure that is still there.
const FAILS: u8 = 1;
/// Exit code for a run that could not find out anything.
const INCOMPLETE: u8 = 3;
/// How long the reference has for what it does at once: less than in a run, for most changes are good for nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// A body is not taken apart into pieces smaller than this part of it.
const PIECES: usize = 64;

/// How long is looked for less.
pub(crate) struct Bounds {
    pub(crate) tries: usize,
    pub(crate) time: Duration,
}

/// Makes the conversation of a `replay.json` smaller and writes what is left beside it.
pub(super) fn minimise(file: &Path, replay: &Replay, bounds: &Bounds) -> anyhow::Result<u8> {
    let bench = Bench::new(replay)?;
    let found = bench.on_target(Script::plain(&replay.check))?;
    if !fails(&found.result) {
        say!("{} does not fail any more: {}", replay.check, ending(&found.result));
        return Ok(if found.result.outcome == Outcome::Pass { 0 } else { INCOMPLETE });
    }
    let control = bench.on_reference(Script::plain(&replay.check))?;
    ensure!(
        control.result.outcome == Outcome::Pass,
        "the reference does not pass {} either, so that nothing says what may be left out: {}",
        replay.check,
        ending(&control.result)
    );
    say!("{}: {}", replay.check, found.result.message);
    let mut search = Search {
        bench: &bench,
        wanted: &found.result,
        replies: control.messages,
        messages: found.messages,
        edits: replay.edits.clone(),
        tries: 0,
        bounds,
        began: Instant::now(),
        bar: Bar::new("minimise"),
    };
    let complete = search.all()?;
    search.bar.finish();
    let (before, after) = (search.messages.len(), search.left().len());
    let words = if complete { "and nothing more can go" } else { "and it was stopped there" };
    say!(
        "{before} messages became {after}, {} bytes {}, in {} tries, {words}",
        search.messages.iter().map(|message| message.bytes.len()).sum::<usize>(),
        search.left().iter().map(|number| search.bytes_left(*number)).sum::<usize>(),
        search.tries
    );
    for number in search.left() {
        say!("{number:>6}  {}{}", search.messages[number].name, search.cuts(number));
    }
    let path = file.with_file_name("minimal.json");
    let less = Replay { edits: search.edits, ..replay.clone() };
    replay::write(&path, &less)?;
    say!("\nwritten to {}; `meshproof replay` does it again", path.display());
    Ok(FAILS)
}

/// Runs a check with its changes once more and reports as a run does.
pub(super) fn again(replay: &Replay, folder: &Path) -> anyhow::Result<u8> {
    let bench = Bench::new(replay)?;
    let control = bench.on_reference(Script::plain(&replay.check))?;
    let found = bench.on_target(Script::new(&replay.check, replay.edits.clone(), control.messages))?;
    if let Some(why) = found.misfit {
        say!("{} goes another way than when it was made smaller: {why}", replay.check);
        return Ok(INCOMPLETE);
    }
    let written = report::write_all(&found.report, folder)
        .with_context(|| format!("cannot write the report to {}", folder.display()))?;
    replay::leave_as(&found.report, &written.evidence, replay)?;
    let left_out = replay.edits.iter().filter(|edit| edit.change == Change::LeftOut).count();
    say!("{left_out} messages are left out, {} more changes", replay.edits.len() - left_out);
    crate::out::text(&report::summary(&found.report));
    say!("\nreport: {}", written.html.display());
    Ok(found.report.conclusion().exit_code())
}

/// What a check is run on.
enum Target {
    /// The reference in this process, with or without a fault.
    Embedded(Option<Fault>),
    /// What `meshproof run` was given.
    Given(Box<Run>),
}

/// One check, and what it is run on.
struct Bench {
    check: Check,
    target: Target,
    seed: u64,
    runtime: Runtime,
}

/// What came of a run.
struct Ran {
    result: CheckResult,
    report: RunReport,
    messages: Vec<Message>,
    misfit: Option<String>,
}

impl Bench {
    fn new(replay: &Replay) -> anyhow::Result<Self> {
        let check = checks::all().into_iter().find(|check| check.id == replay.check);
        let mut check = check.with_context(|| format!("there is no check {}", replay.check))?;
        ensure!(
            check.role != Role::Client,
            "a client says what it likes: {} is replayed, not minimised",
            check.id
        );
        // A failure is one whatever the twin does.
        check.twin = None;
        let words = std::iter::once("meshproof").chain(replay.arguments.iter().map(String::as_str));
        let args = Args::try_parse_from(words).context("the arguments of the replay")?;
        let target = match args.command.unwrap_or(Command::SelfTest(args.self_test)) {
            Command::SelfTest(options) => {
                Target::Embedded(options.mutant.as_deref().map(self_test::find_mutant).transpose()?)
            }
            Command::Run(options) => Target::Given(options),
            _ => bail!("the replay is of no run"),
        };
        Ok(Self { check, target, seed: replay.seed, runtime: runtime()? })
    }

    fn options(&self, script: &Arc<Script>) -> Options {
        Options { seed: self.seed, script: Some(script.clone()), ..Options::default() }
    }

    /// The check on the implementation that failed it.
    fn on_target(&self, script: Script) -> anyhow::Result<Ran> {
        let script = Arc::new(script);
        let (options, selected) = (self.options(&script), [self.check.clone()]);
        let report = match &self.target {
            Target::Embedded(mutant) => {
                let running = self_test::run_checks(
                    &selected,
                    &options,
                    *mutant,
                    self_test::MUTANT_PATIENCE,
                    Arc::new(Quiet),
                );
                self.runtime.block_on(running)?
            }
            Target::Given(args) => {
                let targets = given::targets(args)?;
                self.runtime.block_on(run(&selected, targets, &options, Arc::new(Quiet)))
            }
        };
        Ran::of(report, &script)
    }

    /// The check on the reference without a fault.
    fn on_reference(&self, script: Script) -> anyhow::Result<Ran> {
        let script = Arc::new(script);
        let (options, selected) = (self.options(&script), [self.check.clone()]);
        let running = self_test::run_checks(&selected, &options, None, PATIENCE, Arc::new(Quiet));
        Ran::of(self.runtime.block_on(running)?, &script)
    }
}

impl Ran {
    fn of(report: RunReport, script: &Script) -> anyhow::Result<Self> {
        let result = report.results.first().cloned().context("the check was not run")?;
        Ok(Self { result, report, messages: script.messages(), misfit: script.misfit() })
    }
}

fn fails(result: &CheckResult) -> bool {
    matches!(result.outcome, Outcome::Fail | Outcome::Warn)
}

fn ending(result: &CheckResult) -> String {
    format!("{} {}", result.outcome, result.message).trim_end().to_owned()
}

/// The search for less.
struct Search<'a> {
    bench: &'a Bench,
    /// How the check has to end.
    wanted: &'a CheckResult,
    /// What the reference was sent and answered.
    replies: Vec<Message>,
    /// What the implementation was sent when nothing was left out.
    messages: Vec<Message>,
    edits: Vec<Edit>,
    tries: usize,
    bounds: &'a Bounds,
    began: Instant,
    bar: Bar,
}

impl Search<'_> {
    /// Tries all there is, large pieces first; whether it came to its end.
    fn all(&mut self) -> anyhow::Result<bool> {
        self.bar.plan(self.bounds.tries);
        self.messages_out()?;
        for number in self.left() {
            let message = self.messages[number].clone();
            for name in &message.headers {
                self.attempt(vec![(number, Change::WithoutHeader(name.clone()))])?;
            }
            match serde_json::from_slice::<Value>(&message.bytes) {
                Ok(body @ (Value::Object(_) | Value::Array(_))) => self.members_out(number, &body)?,
                _ => self.bytes_out(number, message.bytes.len())?,
            }
        }
        Ok(!self.over())
    }

    /// Halves of the conversation, quarters, and so on down to single messages.
    fn messages_out(&mut self) -> anyhow::Result<()> {
        let mut step = self.messages.len().div_ceil(2);
        while step > 0 {
            let left = self.left();
            // From the end: what comes late builds on what comes early.
            for piece in left.rchunks(step) {
                self.attempt(piece.iter().map(|number| (*number, Change::LeftOut)).collect())?;
            }
            step = if step == 1 { 0 } else { step.div_ceil(2) };
        }
        Ok(())
    }

    fn members_out(&mut self, number: usize, body: &Value) -> anyhow::Result<()> {
        let mut pointers = Vec::new();
        list(body, "", &mut pointers);
        let mut gone: Vec<String> = Vec::new();
        for pointer in pointers {
            // What held it may be gone.
            let below = |above: &String| pointer.starts_with(&format!("{above}/"));
            if !gone.iter().any(below) && self.attempt(vec![(number, Change::Without(pointer.clone()))])? {
                gone.push(pointer);
            }
        }
        Ok(())
    }

    fn bytes_out(&mut self, number: usize, length: usize) -> anyhow::Result<()> {
        let (mut left, mut step) = (length, length);
        let least = length.div_ceil(PIECES).max(1);
        while left > 0 && step >= least {
            let mut to = left;
            while to > 0 {
                let from = to.saturating_sub(step);
                if self.attempt(vec![(number, Change::Cut(from, to))])? {
                    left -= to - from;
                }
                to = from;
            }
            step /= 2;
        }
        Ok(())
    }

    /// Keeps these changes if the check still fails as it did, and the reference still passes.
    fn attempt(&mut self, changes: Vec<(usize, Change)>) -> anyhow::Result<bool> {
        if self.over() || changes.is_empty() {
            return Ok(false);
        }
        let edit = |(message, change): (usize, Change)| Edit {
            message,
            name: self.messages[message].name.clone(),
            change,
        };
        let more: Vec<Edit> = changes.into_iter().map(edit).collect();
        let edits = [self.edits.clone(), more].concat();
        self.tries += 1;
        self.bar.step(&format!("{} of {} messages left", self.left().len(), self.messages.len()));
        let check = &self.wanted.id;
        let script = || Script::new(check, edits.clone(), self.replies.clone());
        let found = self.bench.on_target(script())?;
        let same = found.misfit.is_none()
            && found.result.outcome == self.wanted.outcome
            && steady(&found.result.message) == steady(&self.wanted.message);
        if !same {
            return Ok(false);
        }
        let control = self.bench.on_reference(script())?;
        let kept = control.misfit.is_none() && control.result.outcome == Outcome::Pass;
        if kept {
            self.edits = edits;
        }
        Ok(kept)
    }

    fn over(&self) -> bool {
        self.tries >= self.bounds.tries || self.began.elapsed() >= self.bounds.time
    }

    /// The messages that are sent.
    fn left(&self) -> Vec<usize> {
        let out = |number: &usize| {
            self.edits.iter().any(|edit| edit.message == *number && edit.change == Change::LeftOut)
        };
        (0..self.messages.len()).filter(|number| !out(number)).collect()
    }

    fn bytes_left(&self, number: usize) -> usize {
        let alone = Script::new(
            "",
            self.edits
                .iter()
                .filter(|edit| edit.message == number)
                .cloned()
                .map(|edit| Edit { message: 0, ..edit })
                .collect(),
            Vec::new(),
        );
        alone.bytes_of(self.messages[number].clone())
    }

    /// What is changed of a message, for a person.
    fn cuts(&self, number: usize) -> String {
        let of_it = self.edits.iter().filter(|edit| edit.message == number);
        let words: Vec<String> = of_it
            .filter_map(|edit| match &edit.change {
                Change::LeftOut | Change::Cut(..) => None,
                Change::WithoutHeader(name) => Some(name.clone()),
                Change::Without(pointer) => Some(pointer.clone()),
            })
            .collect();
        let bytes = self.messages[number].bytes.len();
        let left = self.bytes_left(number);
        let cut = if left < bytes { format!(", {left} of {bytes} bytes") } else { String::new() };
        let without = if words.is_empty() { String::new() } else { format!(", without {}", words.join(" ")) };
        cut + &without
    }
}

/// All pointers into a body, elements of a list from the last to the first, so that taking one out moves none that is left.
fn list(value: &Value, path: &str, pointers: &mut Vec<String>) {
    let mut add = |name: &str, value: &Value| {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        pointers.push(path.clone());
        list(value, &path, pointers);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| add(name, value)),
        Value::Array(items) => {
            items.iter().enumerate().rev().for_each(|(number, value)| add(&number.to_string(), value));
        }
        _ => {}
    }
}
