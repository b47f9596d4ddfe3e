//! `meshproof replay`: one failed check again, with the same target, seed and words.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use meshproof_kit::edit::Edit;
use meshproof_kit::evidence::file_name;
use meshproof_kit::report::RunReport;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a run leaves beside the evidence of a check.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Replay {
    pub(super) check: String,
    pub(super) seed: u64,
    /// The words of the command line that say what was tested.
    pub(super) arguments: Vec<String>,
    /// What is left out of the conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) edits: Vec<Edit>,
    /// What a vector was made to, by `minimise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Value>,
}

/// Options that a replay sets itself, and their values.
const OWN: [&str; 8] =
    ["--seed", "--filter", "--report", "--expect", "--write-expect", "--jobs", "--dir", "--write-kills"];
/// The same without values.
const OWN_FLAGS: [&str; 3] = ["--no-matrix", "--full-matrix", "--no-mission"];

/// Leaves a `replay.json` beside the evidence of each check.
pub(super) fn leave(report: &RunReport, evidence: &Path) -> anyhow::Result<()> {
    let arguments = what_was_tested(std::env::args().skip(1));
    let replay =
        Replay { check: String::new(), seed: report.seed, arguments, edits: Vec::new(), request: None };
    leave_as(report, evidence, &replay)
}

/// The same for what was tested as this replay says.
pub(super) fn leave_as(report: &RunReport, evidence: &Path, replay: &Replay) -> anyhow::Result<()> {
    for result in report.results.iter().filter(|result| !result.evidence.is_empty()) {
        let replay = Replay { check: result.id.clone(), ..replay.clone() };
        write(&evidence.join(file_name(&result.id)).join("replay.json"), &replay)?;
    }
    Ok(())
}

/// Writes a `replay.json`.
pub(super) fn write(file: &Path, replay: &Replay) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(replay).context("a replay is JSON")? + "\n";
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Runs the check again, in a process of its own, and ends as that does.
pub(crate) fn execute(file: &Path, report: &Path) -> anyhow::Result<u8> {
    let replay = read(file)?;
    if !replay.edits.is_empty() {
        return super::live::again(&replay, report);
    }
    if let Some(request) = &replay.request {
        return super::minimise::again(&replay, request);
    }
    let program = std::env::current_exe().context("where this program is")?;
    let mut command = Command::new(program);
    command.args(&replay.arguments);
    if replay.arguments.first().is_none_or(|first| first != "run") {
        command.args(["--no-matrix", "--no-mission"]);
    }
    command.args(["--seed", &replay.seed.to_string(), "--filter", &format!("={}", replay.check)]);
    command.arg("--report").arg(report);
    let status = command.status().context("cannot start this program again")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(super::super::USAGE))
}

/// Reads a `replay.json`.
pub(super) fn read(file: &Path) -> anyhow::Result<Replay> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no replay", file.display()))
}

fn what_was_tested(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = without(words, &OWN, &OWN_FLAGS);
    if kept.first().is_none_or(|first| first.starts_with("--")) {
        kept.insert(0, "self-test".to_owned());
    }
    kept
}

/// A command line without these options and their values, and without these flags.
pub(super) fn without(words: impl Iterator<Item = String>, options: &[&str], flags: &[&str]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let (option, value) = word.split_once('=').map_or((word.as_str(), None), |(o, v)| (o, Some(v)));
        if options.contains(&option) {
            if value.is_none() {
                words.next();
            }
        } else if !flags.contains(&option) {
            kept.push(word);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::what_was_tested;

    #[test]
    fn the_target_is_kept_and_the_choice_of_checks_is_not() {
        let kept = |words: &str| what_was_tested(words.split(' ').map(str::to_owned)).join(" ");
        assert_eq!(
            kept("run --peer 127.0.0.1:1 --filter hs --seed=3 --show-secrets"),
            "run --peer 127.0.0.1:1 --show-secrets"
        );
        assert_eq!(kept("self-test --mutant TKT-014 --no-matrix"), "self-test --mutant TKT-014");
        assert_eq!(kept("--mutant TKT-014 --report x"), "self-test --mutant TKT-014");
    }
}
