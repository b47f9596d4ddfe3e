//! `meshproof fuzz`: sessions with an implementation that keep the protocol but for one place, until something goes wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Parser as _;
use meshproof_kit::check::Role;
use meshproof_kit::evidence::{self, Exhibit};
use meshproof_kit::fuzz::{self, Case, Finding, Fuzzed, Limits, Subject};
use meshproof_kit::target::Targets;
use meshproof_kit::target::shim::ProcessShim;
use serde::{Deserialize, Serialize};

use super::{SHIM_TIMEOUT, replay, runtime, self_test, shim_command};
use crate::args::{self, Args, Command};
use crate::embedded::Embedded;
use crate::matrix::Mutant;

/// Exit code for a finding.
const FOUND: u8 = 1;
/// Exit code for a target that is not there, or does not do what is honest.
const INCOMPLETE: u8 = 3;
/// How long the embedded reference has for what it does at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// What `finding.json` begins with.
const FORMAT: &str = "meshproof-finding/1";

/// What a finding is repeated by.
#[derive(Serialize, Deserialize)]
struct Record {
    format: String,
    what: String,
    message: String,
    /// The words of the command line that say what was fuzzed.
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(flatten)]
    case: Case,
}

/// Options that do not say what is fuzzed, and have a value.
const OWN: [&str; 7] = ["--seed", "--runs", "--seconds", "--replay", "--pid", "--growth", "--report"];
/// The same without values.
const OWN_FLAGS: [&str; 1] = ["--show-secrets"];

/// Fuzzes, or repeats one case: on what it was found in, unless the command names something else of the same kind.
pub(crate) fn execute(options: &args::Fuzz) -> anyhow::Result<u8> {
    let replayed = options.replay.as_deref().map(read).transpose()?;
    let mut arguments = replay::without(std::env::args().skip(1), &OWN, &OWN_FLAGS);
    let recorded = match &replayed {
        Some(record) if arguments.len() == 1 && !record.arguments.is_empty() => {
            arguments.clone_from(&record.arguments);
            Some(fuzz_options(&arguments)?)
        }
        _ => None,
    };
    let fuzzed = recorded.as_deref().unwrap_or(options);
    if let Some(record) = &replayed {
        check_kind(record.case.subject, fuzzed.targets.as_ref())?;
    }
    let seed = match (&replayed, options.seed) {
        (Some(record), _) => record.case.seed,
        (None, Some(seed)) => seed,
        (None, None) => getrandom::u64().context("no random numbers for a seed")? >> 32,
    };
    let runs = options.runs.unwrap_or(u64::MAX);
    ensure!(runs > 0, "no runs are no fuzzing");
    let lasting = options.seconds.unwrap_or(if options.runs.is_some() { 86_400 } else { 60 });
    let limits = Limits {
        seed,
        first: 0,
        runs,
        lasting: Duration::from_secs(lasting),
        pid: options.pid,
        growth: options.growth * 1_024 * 1_024,
    };
    let runtime = runtime()?;
    let mutant = fuzzed.mutant.as_deref().map(self_test::find_mutant).transpose()?;
    let _planted = mutant.map(Mutant::plant);
    let roles = [Role::Cloud, Role::Peer, Role::Relay].into();
    let embedded = match fuzzed.targets {
        None => Some(runtime.block_on(Embedded::start(&roles))?),
        Some(_) => None,
    };
    let (targets, shim) = match (&embedded, &fuzzed.targets) {
        (Some(embedded), _) => (embedded.targets(PATIENCE)?, None),
        (None, Some(named)) => {
            let command = named.shim.as_deref().map(shim_command).transpose()?;
            let shim = command.map(|words| {
                ProcessShim::new(&words, fuzzed.timeout.map_or(SHIM_TIMEOUT, Duration::from_secs))
            });
            (targets(named)?, shim)
        }
        (None, None) => (Targets::default(), None),
    };
    say!("fuzzing {} with seed {seed}", targets.description);
    let ended = runtime.block_on(async {
        match &replayed {
            Some(record) => Ok(fuzz::replay(targets, shim, &record.case).await),
            None => fuzz::fuzz(targets, shim, &limits).await,
        }
    });
    if let Some(embedded) = embedded {
        runtime.block_on(embedded.stop());
    }
    match ended {
        Ok(ended) => conclude(&ended, options, arguments),
        Err(error) => {
            complain!("meshproof: {error:#}");
            Ok(INCOMPLETE)
        }
    }
}

/// The options that a finding was made with.
fn fuzz_options(arguments: &[String]) -> anyhow::Result<Box<args::Fuzz>> {
    let words = std::iter::once("meshproof").chain(arguments.iter().map(String::as_str));
    match Args::try_parse_from(words).context("the arguments of the finding")?.command {
        Some(Command::Fuzz(options)) => Ok(options),
        _ => bail!("the arguments of the finding are not of meshproof fuzz"),
    }
}

/// A session with a cloud says nothing of a device: that would be called "nothing found".
fn check_kind(subject: Subject, targets: Option<&args::FuzzTargets>) -> anyhow::Result<()> {
    let (option, there) = match (subject, targets) {
        // The reference in this process is device, relay and cloud.
        (Subject::Peer, given) => ("--peer", given.is_none_or(|given| given.networked.peer.is_some())),
        (Subject::Relay, given) => ("--relay", given.is_none_or(|given| given.networked.relay.is_some())),
        (Subject::Cloud, given) => ("--cloud", given.is_none_or(|given| given.networked.cloud.is_some())),
        (Subject::Shim, given) => ("--shim", given.is_some_and(|given| given.shim.is_some())),
    };
    ensure!(there, "the finding is of a target of {option}: it needs one again");
    Ok(())
}

/// The targets of `run`, but for the shim, which is fuzzed by itself.
fn targets(named: &args::FuzzTargets) -> anyhow::Result<Targets> {
    let mut targets = super::run::networked(&named.networked)?;
    if let Some(command) = &named.shim {
        let names = [targets.description, format!("shim {command}")];
        targets.description =
            names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ");
    }
    Ok(targets)
}

fn conclude(fuzzed: &Fuzzed, options: &args::Fuzz, arguments: Vec<String>) -> anyhow::Result<u8> {
    let Fuzzed { runs, refused, finding } = fuzzed;
    let Some(finding) = finding else {
        say!("{runs} runs, of which {refused} had to be refused: nothing found");
        return Ok(0);
    };
    let file = write(finding, arguments, &options.report, options.show_secrets)?;
    say!("{}: {}", finding.what, finding.message);
    say!("found in run {} of seed {}, after {runs} runs", finding.case.run, finding.case.seed);
    say!("\nmeshproof fuzz --replay {} does it again; the evidence is beside it", file.display());
    Ok(FOUND)
}

/// Writes `finding.json` and what was seen.
fn write(
    finding: &Finding,
    arguments: Vec<String>,
    folder: &Path,
    show_secrets: bool,
) -> anyhow::Result<PathBuf> {
    let record = Record {
        format: FORMAT.to_owned(),
        what: finding.what.to_string(),
        message: finding.message.clone(),
        arguments,
        case: finding.case.clone(),
    };
    let exhibits = finding.evidence.iter().cloned();
    let exhibits: Vec<_> =
        if show_secrets { exhibits.collect() } else { exhibits.map(Exhibit::redacted).collect() };
    evidence::write(folder, &exhibits).with_context(|| format!("writing {}", folder.display()))?;
    let file = folder.join("finding.json");
    let text = serde_json::to_string_pretty(&record).context("JSON")? + "\n";
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

fn read(file: &Path) -> anyhow::Result<Record> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let record: Record =
        serde_json::from_str(&text).with_context(|| format!("{} is no finding", file.display()))?;
    ensure!(record.format == FORMAT, "{} is a finding of another version", file.display());
    Ok(record)
}
