//! Which checks find which planted fault.

use serde::Serialize;

use super::CheckResult;
use crate::check::{Check, Outcome};

/// One row a mutant: an implementation that skips exactly one requirement.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KillMatrix {
    /// In the order they were run.
    pub rows: Vec<KillRow>,
}

/// What the checks found in one mutant.
#[derive(Clone, Debug, Serialize)]
pub struct KillRow {
    /// The requirement that the mutant skips.
    pub requirement: String,
    /// The checks that cite it and therefore have to find it.
    pub expected: Vec<String>,
    /// The checks that failed.
    pub killed_by: Vec<String>,
    /// What that comes to.
    pub verdict: KillVerdict,
}

/// Whether a mutant was found, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillVerdict {
    /// A check that cites the requirement failed.
    Killed,
    /// Only checks that cite other requirements failed.
    KilledByOthers,
    /// No check failed.
    Survived,
}

impl KillVerdict {
    /// In words, for people.
    pub fn words(self) -> &'static str {
        match self {
            KillVerdict::Killed => "killed",
            KillVerdict::KilledByOthers => "killed by others",
            KillVerdict::Survived => "survived",
        }
    }
}

impl KillMatrix {
    /// Adds the mutant of a requirement: the checks that could be run, and the results of those that were.
    pub fn add(&mut self, requirement: &str, checks: &[Check], results: &[CheckResult]) {
        let cites = |reqs: &[String]| reqs.iter().any(|id| id == requirement);
        let expected: Vec<String> =
            checks.iter().filter(|check| cites(&check.reqs)).map(|check| check.id.clone()).collect();
        let failed = |result: &&CheckResult| matches!(result.outcome, Outcome::Fail | Outcome::Warn);
        let killed_by: Vec<String> = results.iter().filter(failed).map(|result| result.id.clone()).collect();
        let verdict = if killed_by.is_empty() {
            KillVerdict::Survived
        } else if killed_by.iter().any(|id| expected.contains(id)) {
            KillVerdict::Killed
        } else {
            KillVerdict::KilledByOthers
        };
        self.rows.push(KillRow { requirement: requirement.to_owned(), expected, killed_by, verdict });
    }

    /// The mutants nobody found.
    pub fn survivors(&self) -> impl Iterator<Item = &KillRow> {
        self.rows.iter().filter(|row| row.verdict == KillVerdict::Survived)
    }

    /// How many rows have this verdict.
    pub fn count(&self, verdict: KillVerdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }
}
