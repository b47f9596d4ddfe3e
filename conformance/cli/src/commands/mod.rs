//! One file a command. Each returns the exit code; an error is one of usage.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod coverage;
pub(crate) mod explain;
pub(crate) mod freeze;
pub(crate) mod fuzz;
pub(crate) mod list;
mod live;
pub(crate) mod minimise;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod self_test;
pub(crate) mod shim;
pub(crate) mod timing;
pub(crate) mod vectors;
mod wycheproof;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use meshproof_kit::check::Check;
use meshproof_kit::report::{self, RunReport};
use meshproof_kit::run::{Filter, Options};

use crate::args::Running;

/// How long a shim has for one vector.
const SHIM_TIMEOUT: Duration = Duration::from_secs(30);

/// The words of a shim's command.
fn shim_command(command: &str) -> anyhow::Result<Vec<String>> {
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    ensure!(!words.is_empty(), "a shim's command is needed");
    Ok(words)
}

/// The options that all runs share.
fn options(running: &Running) -> anyhow::Result<Options> {
    let seed = match running.seed {
        Some(seed) => seed,
        None => getrandom::u64().context("no random numbers for a seed")? >> 32,
    };
    let jobs = usize::from(running.jobs);
    Ok(Options { jobs, seed, show_secrets: running.show_secrets, ..Options::default() })
}

/// Writes the report and says what it says; the exit code of the run.
fn conclude(report: &RunReport, running: &Running) -> anyhow::Result<u8> {
    let written = report::write_all(report, &running.report)
        .with_context(|| format!("cannot write the report to {}", running.report.display()))?;
    replay::leave(report, &written.evidence)?;
    print!("{}", report::summary(report));
    println!("\nreport: {}", written.html.display());
    Ok(report.conclusion().exit_code())
}

/// A word that selects nothing is a mistake, and would leave out checks without a sound.
fn check_words(words: &[String], all: &[Check]) -> anyhow::Result<()> {
    for word in words {
        let filter = Filter::new([word.clone()]);
        ensure!(all.iter().any(|check| filter.matches(check)), "no check matches {word:?}");
    }
    Ok(())
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")
}
