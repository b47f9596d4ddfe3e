//! Which checks find which planted fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::CheckResult;
use crate::check::{Check, Outcome};

/// One row a mutant, and what no mutant shows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KillMatrix {
    /// In the order they were run.
    pub rows: Vec<KillRow>,
    /// Over-strict mutants whose rule no valid twin comes to: there is nothing that they could refuse.
    pub unreached: Vec<String>,
    /// Checks that no mutant made fail.
    pub unkilled: Vec<Unkilled>,
    /// How it was found, if it was not by running every mutant on all that has to find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// A matrix that repeats kills of the committed table, so many that each of its mutants and each of its checks has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Kills of the table that were tried.
    pub tried: usize,
    /// Those of them that happened again at once. With the others, more was run.
    pub repeated: usize,
    /// Mutants that got an implementation of their own, because a kill did not happen again.
    pub alone: usize,
    /// Mutants that were run as for a new table, because they or their checks are new or nothing else found them.
    pub anew: usize,
}

/// What the checks found in one mutant.
#[derive(Clone, Debug, Serialize)]
pub struct KillRow {
    /// Its name, as `self-test --mutant` takes it: `TKT-014` skips the requirement, `against:TKT-014` refuses what keeps
    /// it, `TKT` skips all of its part.
    pub mutant: String,
    /// The requirement, or the part, that it is about.
    pub requirement: String,
    /// The checks that have to find it: those that cite the requirement, or the valid twins of those.
    pub expected: Vec<String>,
    /// The checks that failed.
    pub killed_by: Vec<String>,
    /// Those of them that were not expected to.
    pub collateral: Vec<String>,
    /// What that comes to.
    pub verdict: KillVerdict,
}

/// A check that no mutant made fail.
#[derive(Clone, Debug, Serialize)]
pub struct Unkilled {
    /// The check.
    pub check: String,
    /// Why it is kept; empty if nobody said so, which is a fault of the kit.
    pub reason: String,
}

/// Whether a mutant was found, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillVerdict {
    /// A check that has to find it failed.
    Killed,
    /// Only other checks failed.
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

/// How many killers of a check the text names.
const NAMED: usize = 6;

impl KillMatrix {
    /// Adds a mutant: the checks that have to find it, and the results of those that were run. One that is there already
    /// gets both in addition.
    pub fn add(&mut self, mutant: &str, requirement: &str, expected: Vec<String>, results: &[CheckResult]) {
        let failed = |result: &&CheckResult| matches!(result.outcome, Outcome::Fail | Outcome::Warn);
        let failed = results.iter().filter(failed).map(|result| result.id.clone());
        let place = self.rows.iter().position(|row| row.mutant == mutant);
        let before = place.map(|place| self.rows.remove(place));
        let (mut expected, mut killed_by) = (expected, Vec::new());
        if let Some(row) = before {
            expected = merged(row.expected, expected);
            killed_by = row.killed_by;
        }
        let killed_by = merged(killed_by, failed);
        let collateral: Vec<String> = killed_by.iter().filter(|id| !expected.contains(id)).cloned().collect();
        let verdict = if killed_by.is_empty() {
            KillVerdict::Survived
        } else if collateral.len() < killed_by.len() {
            KillVerdict::Killed
        } else {
            KillVerdict::KilledByOthers
        };
        let (mutant, requirement) = (mutant.to_owned(), requirement.to_owned());
        let row = KillRow { mutant, requirement, expected, killed_by, collateral, verdict };
        self.rows.insert(place.unwrap_or(self.rows.len()), row);
    }

    /// The checks that some mutant made fail, each with the mutants.
    pub fn killers(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut killers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in &self.rows {
            for check in &row.killed_by {
                killers.entry(check).or_default().push(&row.mutant);
            }
        }
        killers
    }

    /// Those of the checks that no mutant has made fail so far.
    pub fn not_killed<'a>(&self, checks: &'a [Check]) -> Vec<&'a Check> {
        let killed: BTreeSet<&str> =
            self.rows.iter().flat_map(|row| &row.killed_by).map(String::as_str).collect();
        checks.iter().filter(|check| !killed.contains(check.id.as_str())).collect()
    }

    /// Ends the matrix: what no mutant killed is written down, with the reason where there is one.
    pub fn close(&mut self, checks: &[Check], reason: impl Fn(&str) -> Option<&'static str>) {
        let left = self.not_killed(checks);
        self.unkilled = left
            .into_iter()
            .map(|check| Unkilled {
                check: check.id.clone(),
                reason: reason(&check.id).unwrap_or_default().to_owned(),
            })
            .collect();
    }

    /// The mutants nobody found.
    pub fn survivors(&self) -> impl Iterator<Item = &KillRow> {
        self.rows.iter().filter(|row| row.verdict == KillVerdict::Survived)
    }

    /// The checks that nothing kills and nothing excuses.
    pub fn unproven(&self) -> impl Iterator<Item = &Unkilled> {
        self.unkilled.iter().filter(|one| one.reason.is_empty())
    }

    /// Whether every mutant was found, and every check found one or has a reason.
    pub fn is_closed(&self) -> bool {
        self.survivors().next().is_none() && self.unproven().next().is_none()
    }

    /// How many rows have this verdict.
    pub fn count(&self, verdict: KillVerdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// The text of `spec/kills.txt`: both tables, mutants by checks and checks by mutants.
    pub fn render(&self) -> String {
        let mut text = String::from(
            "# Written by `meshproof self-test --write-kills spec/kills.txt`: which checks find which planted fault.\n\
             # `TKT-014` is the reference without the rule, `against:TKT-014` refuses what keeps it, `TKT` and `all` are\n\
             # all rules of a part, and all. Timing may move a few names; that every check has a line is tested.\n\
             # mutant: the checks that failed; behind `+` those that were not meant to\n",
        );
        for row in &self.rows {
            text.push_str(&row.mutant);
            text.push(':');
            for check in row.killed_by.iter().filter(|id| !row.collateral.contains(id)) {
                write!(text, " {check}").expect("writing to a String");
            }
            for (number, check) in row.collateral.iter().enumerate() {
                write!(text, "{} {check}", if number == 0 { " +" } else { "" }).expect("writing to a String");
            }
            text.push('\n');
        }
        writeln!(
            text,
            "# over-strict mutants that no valid twin comes to\nunreached: {}",
            self.unreached.join(" ")
        )
        .expect("writing to a String");
        text.push_str("# check < the first mutants that it fails on\n");
        for (check, mutants) in self.killers() {
            let named = mutants.iter().take(NAMED).copied().collect::<Vec<_>>().join(" ");
            write!(text, "{check} < {named}").expect("writing to a String");
            if mutants.len() > NAMED {
                write!(text, " and {} more", mutants.len() - NAMED).expect("writing to a String");
            }
            text.push('\n');
        }
        text.push_str("# check ! why no mutant kills it\n");
        for one in &self.unkilled {
            writeln!(text, "{} ! {}", one.check, one.reason).expect("writing to a String");
        }
        text
    }
}

fn merged(mut list: Vec<String>, more: impl IntoIterator<Item = String>) -> Vec<String> {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Part;
    use crate::check::{Context, Role};

    fn check(id: &str) -> Check {
        Check::new(Role::Vectors, Part::Ticket, id, &["TKT-014"], id, |_: Context| async { Ok(()) })
    }

    #[test]
    fn what_nothing_kills_is_told() {
        let checks = [check("bad"), check("good"), check("still")];
        let result = |n: usize, outcome| CheckResult::new(&checks[n], outcome, "");
        let mut matrix = KillMatrix::default();
        let bad = || vec!["bad".to_owned()];
        matrix.add("TKT-014", "TKT-014", bad(), &[result(0, Outcome::Fail), result(1, Outcome::Fail)]);
        assert_eq!(matrix.rows[0].verdict, KillVerdict::Killed);
        assert_eq!(matrix.rows[0].collateral, ["good"]);
        let left: Vec<&str> = matrix.not_killed(&checks).iter().map(|check| check.id.as_str()).collect();
        assert_eq!(left, ["still"]);
        matrix.close(&checks, |_| None);
        assert!(!matrix.is_closed());
        matrix.close(&checks, |id| (id == "still").then_some("nobody can"));
        assert!(matrix.is_closed());
        let text = matrix.render();
        assert!(text.contains("\nTKT-014: bad + good\n"), "{text}");
        assert!(text.contains("\nbad < TKT-014\n") && text.contains("\nstill ! nobody can\n"), "{text}");

        matrix.add("against:TKT-014", "TKT-014", bad(), &[result(1, Outcome::Pass)]);
        assert!(!matrix.is_closed(), "a survivor");
        assert_eq!((matrix.survivors().count(), matrix.count(KillVerdict::Survived)), (1, 1));
    }

    #[test]
    fn what_is_found_later_joins_the_row() {
        let checks = [check("bad"), check("other")];
        let failed = |n: usize| CheckResult::new(&checks[n], Outcome::Fail, "");
        let mut matrix = KillMatrix::default();
        matrix.add("TKT-014", "TKT-014", vec!["bad".to_owned()], &[failed(1)]);
        assert_eq!(matrix.rows[0].verdict, KillVerdict::KilledByOthers);
        matrix.add("TKT-015", "TKT-015", Vec::new(), &[]);
        matrix.add("TKT-014", "TKT-014", vec!["bad".to_owned()], &[failed(0), failed(1)]);
        assert_eq!(
            matrix.rows.iter().map(|row| row.mutant.as_str()).collect::<Vec<_>>(),
            ["TKT-014", "TKT-015"]
        );
        assert_eq!(matrix.rows[0].verdict, KillVerdict::Killed);
        assert_eq!(
            (&matrix.rows[0].killed_by, &matrix.rows[0].collateral),
            (&vec!["other".to_owned(), "bad".to_owned()], &vec!["other".to_owned()])
        );
    }
}
