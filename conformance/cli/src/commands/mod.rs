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

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use meshproof_kit::check::Check;
use meshproof_kit::report::{self, RunReport};
use meshproof_kit::run::{Filter, Options};
use meshproof_kit::target::shim::CannotStart;

use crate::args::Running;

/// How long a shim has for one vector.
const SHIM_TIMEOUT: Duration = Duration::from_secs(30);

/// A program was started, and does not answer as a shim does. What it is to test is not tested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer that a shim gives (`meshproof shim check` says more)")
    }
}

/// Tells a command that is wrong from an implementation that does not answer.
fn unanswered(error: anyhow::Error) -> anyhow::Error {
    if error.is::<CannotStart>() { error } else { error.context(NoAnswer) }
}

/// The words of a shim's command; those between quotes are one, as in a shell.
fn shim_command(command: &str) -> anyhow::Result<Vec<String>> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) =
        (Vec::new(), None, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    ensure!(quote.is_none(), "a quotation mark in {command:?} is not closed");
    words.extend(word);
    ensure!(words.first().is_some_and(|program| !program.is_empty()), "a shim's command is needed");
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
    crate::out::text(&report::summary(report));
    say!("\nreport: {}", written.html.display());
    Ok(report.conclusion().exit_code())
}

/// A word that selects nothing is a mistake, and would leave out checks without a sound.
fn check_words(words: &[String], all: &[Check]) -> anyhow::Result<()> {
    for word in words {
        let filter = Filter::new([word.clone()]);
        ensure!(
            all.iter().any(|check| filter.matches(check)),
            "no check matches {word:?}; `meshproof list` shows them"
        );
    }
    Ok(())
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")
}

#[cfg(test)]
mod tests {
    use super::shim_command;

    #[test]
    fn what_stands_between_quotes_is_one_word() {
        let words = |command: &str| shim_command(command).expect(command);
        assert_eq!(words(" python3  my_shim.py\t-v "), ["python3", "my_shim.py", "-v"]);
        assert_eq!(words(r#"sh -c 'exit 3' "" a"b c"d"#), ["sh", "-c", "exit 3", "", "ab cd"]);
        assert_eq!(words(r#""/opt/my shim" "it's""#), ["/opt/my shim", "it's"]);
        for wrong in ["", "  ", "''", "sh -c 'exit 3"] {
            assert!(shim_command(wrong).is_err(), "{wrong:?}");
        }
    }
}
