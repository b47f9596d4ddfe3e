//! The kill matrix: the reference with one fault each, and which checks notice.
//!
//! | mutants | what is wrong with them | what has to notice |
//! |---|---|---|
//! | `TKT-014` | the requirement is left out | a check that cites it |
//! | `against:TKT-014` | what keeps the requirement is refused | the valid twins of those checks |
//! | `TKT`, `against:TKT`, `all`, `against:all` | the same for all rules of a part, and all | the checks that are left |
//! | `output` | it gives back something else than what came out | what is left of vectors, and of what a shim does |
//!
//! The first shows that a check of a rule finds its absence, the second that its valid twin comes as far as the rule. The
//! third is for checks whose input breaks several rules, and for those that no single rule decides.
//!
//! `run_all` runs every mutant on all that has to find it, which takes a minute, and `spec/kills.txt` keeps what came of it;
//! `prove` repeats enough of those kills to come to every mutant and every check.
//!
//! The switch that plants a fault is one for a process. Vectors are run in this one, a mutant after the other; what
//! talks over a network in several workers, for most of its time is waiting.

mod proof;
mod table;
mod worker;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use meshproof_kit::check::{Check, Outcome, Role};
use meshproof_kit::checks;
use meshproof_kit::report::{CheckResult, KillMatrix};
use meshproof_kit::run::{Filter, Options, Quiet, run};
use meshproof_kit::target::{ShimTarget, Targets};
use meshproof_proto::requirement::{self, Fault, Rules};
use tokio::task::JoinSet;

pub(crate) use self::proof::prove;
pub(crate) use self::worker::serve;
use self::worker::{How, Worker};
use crate::progress::Bar;

/// How many workers there are.
const AT_ONCE: usize = 8;

/// Checks that no mutant kills, and why they are kept.
const REASONS: &[(&str, &str)] = &[
    ("hs.frame.body-shorter", NOT_THERE),
    ("hs.box1.ticket-length", NOT_THERE),
    (
        "hs.m1.nonce-outside-box",
        "another key opens nothing: it is for those that derive the key of box1 from less",
    ),
    ("vector.ticket.verify.encoding-none", NOT_THERE),
    ("vector.ticket.verify.syntax-subject-two", FOR_XML),
    ("vector.ticket.verify.wrapping-1", FOR_XML),
    ("vector.ticket.verify.wrapping-8", FOR_XML),
    ("vector.ticket.issue.id-empty", NO_SUCH_VALUE),
    ("vector.ticket.issue.id-no-underscore", NO_SUCH_VALUE),
    ("vector.ticket.issue.id-uppercase", NO_SUCH_VALUE),
    ("vector.ticket.issue.subject-mail", NO_SUCH_VALUE),
    ("vector.ticket.issue.resource-markup", NO_SUCH_VALUE),
    ("vector.ticket.issue.attribute-value", NO_SUCH_VALUE),
    ("vector.handshake.m1.ticket-empty", SEVERAL),
    ("vector.handshake.m1.ticket-8193", SEVERAL),
    ("vector.handshake.m2.refuse-63", SEVERAL),
    ("vector.handshake.m2.refuse-empty", SEVERAL),
    ("vector.sync.name.not-utf8", NO_TEXT),
    ("vector.sync.name.overlong-slash", NO_TEXT),
    ("vector.sync.name.surrogate", NO_TEXT),
    ("vector.sync.name.beyond-last", NO_TEXT),
    ("vector.sync.name.cut-character", NO_TEXT),
    ("vector.storage.entry.less", NOT_THERE),
    ("vector.storage.entry.not-utf8", NO_TEXT),
    ("vector.storage.key.cut", NOT_THERE),
    ("vector.storage.key.generation-0", SEVERAL),
    ("vector.storage.key.generation-1025", SEVERAL),
];
const NO_TEXT: &str = "bytes that are no text become no name, whatever is left out";
const NOT_THERE: &str = "what it speaks of does not exist: the laxest reader has nothing to go on with";
const FOR_XML: &str =
    "it is for those that read tickets with an XML parser; a reader of literal text has no place for it";
const NO_SUCH_VALUE: &str =
    "the types of the reference cannot hold the value, so that there is no rule to leave out";
const SEVERAL: &str =
    "several rules refuse it, which of them is left open, and nothing can be made of it without them";

/// Has a fault in this process for as long as it lives.
pub(crate) struct Mutant;

impl Mutant {
    /// Plants it.
    pub(crate) fn plant(fault: Fault) -> Self {
        requirement::plant(Some(fault));
        Self
    }
}

impl Drop for Mutant {
    fn drop(&mut self) {
        requirement::plant(None);
    }
}

/// A mutant, and what is run on it.
struct Trial {
    fault: Fault,
    /// The checks that have to find it.
    expected: Vec<String>,
    /// What is run, with the twins that verdicts rest on.
    checks: Vec<Check>,
    /// What it means that none of them failed.
    missed: Missed,
    /// What the checks of a network are run on.
    how: How,
}

/// What it means that nothing noticed a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missed {
    /// The kit has a hole.
    Survived,
    /// Nothing: no valid twin may come to the rule, and a broad mutant may be for others.
    Unreached,
    /// Nothing yet: it is run on more.
    Open,
}

/// Runs all mutants on the checks that have to find them, and those that are left on the broad ones.
pub(crate) async fn run_all(options: &Options) -> anyhow::Result<KillMatrix> {
    let all = checks::all();
    let mut matrix = KillMatrix::default();
    run_trials(single(&all, |_| true, |_| true), options, &mut matrix).await?;
    run_broad(&all, |_| true, Missed::Unreached, options, &mut matrix).await?;
    matrix.close(&all, reason);
    Ok(matrix)
}

/// These mutants of single rules, each with those wanted checks that have to find it.
fn single(all: &[Check], faults: impl Fn(Fault) -> bool, wanted: impl Fn(&Check) -> bool) -> Vec<Trial> {
    let mut trials = Vec::new();
    for requirement in requirement::ALL {
        let cites = |check: &&Check| check.reqs.iter().any(|id| id == requirement.id);
        let citing: Vec<&Check> = all.iter().filter(cites).collect();
        let twins: BTreeSet<&str> = citing.iter().filter_map(|check| check.twin.as_deref()).collect();
        let twins = all.iter().filter(|check| twins.contains(check.id.as_str()));
        let rules = Rules::One(*requirement);
        for (fault, found_by) in [(Fault::Without(rules), citing), (Fault::Against(rules), twins.collect())] {
            let found_by: Vec<&Check> = found_by.into_iter().filter(|check| wanted(check)).collect();
            if !found_by.is_empty() && faults(fault) {
                trials.push(Trial::new(fault, ids(&found_by), &found_by, all));
            }
        }
    }
    trials
}

/// The mutants of parts and of all, on those wanted checks that are left.
async fn run_broad(
    all: &[Check],
    wanted: impl Fn(&Check) -> bool,
    missed: Missed,
    options: &Options,
    matrix: &mut KillMatrix,
) -> anyhow::Result<()> {
    let left = |matrix: &KillMatrix| -> Vec<&Check> {
        let killed = matrix.killers();
        all.iter().filter(|check| wanted(check) && !killed.contains_key(check.id.as_str())).collect()
    };
    let parts = Rules::PARTS.into_iter().map(|part| (Rules::Part(part), Some(part)));
    for round in [parts.collect::<Vec<_>>(), vec![(Rules::All, None)]] {
        let left = left(matrix);
        let mut broad = Vec::new();
        for (rules, prefix) in round {
            let of_part = |check: &&&Check| prefix.is_none_or(|prefix| check.part.prefix() == prefix);
            let checks: Vec<&Check> = left.iter().filter(of_part).copied().collect();
            if !checks.is_empty() {
                for fault in [Fault::Without(rules), Fault::Against(rules)] {
                    broad.push(Trial { missed, ..Trial::new(fault, ids(&checks), &checks, all) });
                }
            }
        }
        run_trials(broad, options, matrix).await?;
    }
    let checks = left(matrix);
    if !checks.is_empty() {
        let trial = Trial { missed, ..Trial::new(Fault::Garbled, ids(&checks), &checks, all) };
        run_trials(vec![trial], options, matrix).await?;
    }
    Ok(())
}

/// Whether the kit has a hole if nothing finds it.
fn must_be_found(fault: Fault) -> bool {
    matches!(fault, Fault::Without(Rules::One(_)))
}

fn ids(checks: &[&Check]) -> Vec<String> {
    checks.iter().map(|check| check.id.clone()).collect()
}

/// Why a check that nothing kills is kept.
fn reason(check: &str) -> Option<&'static str> {
    REASONS.iter().find(|(name, _)| check == *name).map(|(_, why)| *why)
}

impl Trial {
    fn new(fault: Fault, expected: Vec<String>, checks: &[&Check], all: &[Check]) -> Self {
        let words = checks.iter().map(|check| format!("={}", check.id));
        let missed = if must_be_found(fault) { Missed::Survived } else { Missed::Unreached };
        Self { fault, expected, checks: Filter::new(words).select(all), missed, how: How::WithTwins }
    }

    /// The same where it does not matter if it is missed.
    fn open(self) -> Self {
        Self { missed: Missed::Open, ..self }
    }
}

async fn run_trials(trials: Vec<Trial>, options: &Options, matrix: &mut KillMatrix) -> anyhow::Result<()> {
    let bar = Arc::new(Bar::new("kill matrix"));
    bar.plan(2 * trials.len());
    let live = |trial: &Trial| trial.checks.iter().filter(|check| is_live(check)).count();
    // The longest first, so that none is left alone at the end.
    let mut order: Vec<usize> = (0..trials.len()).filter(|row| live(&trials[*row]) > 0).collect();
    order.sort_by_key(|row| std::cmp::Reverse(live(&trials[*row])));
    (0..trials.len() - order.len()).for_each(|_| bar.step(""));
    let mut rows: Vec<Vec<CheckResult>> = vec![Vec::new(); trials.len()];
    let trials = Arc::new(trials);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE.min(order.len()) {
        let (trials, order, next, bar) = (trials.clone(), order.clone(), next.clone(), bar.clone());
        let seed = options.seed;
        workers.spawn(async move {
            let mut worker = Worker::start()?;
            let mut done = Vec::new();
            while let Some(row) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                let trial = &trials[*row];
                let live: Vec<&Check> = trial.checks.iter().filter(|check| is_live(check)).collect();
                let results = worker.run(Some(trial.fault), &live, seed, trial.how).await;
                done.push((*row, results.with_context(|| format!("the mutant {}", trial.fault))?));
                bar.step(&trial.fault.to_string());
            }
            worker.end().await;
            anyhow::Ok(done)
        });
    }
    for (row, trial) in trials.iter().enumerate() {
        let vectors: Vec<Check> = trial.checks.iter().filter(|check| !is_live(check)).cloned().collect();
        if !vectors.is_empty() {
            rows[row] = here(trial.fault, &vectors, options).await;
        }
        bar.step(&trial.fault.to_string());
    }
    while let Some(done) = workers.join_next().await {
        for (row, results) in done.context("a worker's task")?? {
            rows[row].extend(results);
        }
    }
    bar.finish();
    for (trial, results) in trials.iter().zip(&rows) {
        let found = results.iter().any(|result| matches!(result.outcome, Outcome::Fail | Outcome::Warn));
        let name = trial.fault.to_string();
        if found || trial.missed == Missed::Survived {
            matrix.add(&name, &trial.fault.rules().to_string(), trial.expected.clone(), results);
        } else if trial.missed == Missed::Unreached {
            matrix.unreached.push(name);
        }
    }
    Ok(())
}

fn is_live(check: &Check) -> bool {
    check.role != Role::Vectors
}

/// The reference behind the shim interface.
fn reference() -> ShimTarget {
    Arc::new(Mutex::new(crate::shim::reference()))
}

/// Runs vectors on a mutant in this process.
async fn here(fault: Fault, vectors: &[Check], options: &Options) -> Vec<CheckResult> {
    let targets = Targets { shim: Some(reference()), ..Targets::default() };
    let _planted = Mutant::plant(fault);
    let options = Options { evidence: false, ..options.clone() };
    run(vectors, targets, &options, Arc::new(Quiet)).await.results
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed tables are of these checks and mutants, but for the newest: `self-test` says which those are, and fails
    /// on one that is not closed.
    #[test]
    fn the_committed_matrix_is_closed_and_not_old() {
        let text = include_str!("../../spec/kills.txt");
        let lines = || text.lines().filter(|line| !line.starts_with('#'));
        let named = |mark| lines().filter_map(|line| line.split_once(mark)).map(|(name, _)| name).collect();
        let [killed, excused, rows]: [BTreeSet<&str>; 3] = [" < ", " ! ", ": "].map(named);
        for check in &excused {
            assert!(reason(check).is_some(), "nothing kills {check}, and nothing excuses it");
        }
        let all = checks::all();
        for (name, _) in REASONS {
            assert!(all.iter().any(|check| check.id == *name), "there is no check {name}");
        }
        let known =
            |check: &&Check| killed.contains(check.id.as_str()) || excused.contains(check.id.as_str());
        let new = all.iter().filter(|check| !known(check)).count();
        let cited = |id: &str| all.iter().any(|check| check.reqs.iter().any(|req| req == id));
        let unseen = requirement::ALL.iter().filter(|one| cited(one.id) && !rows.contains(one.id)).count();
        let again = "run `meshproof self-test --write-kills spec/kills.txt`";
        assert!(new * 20 < all.len() && unseen * 20 < rows.len(), "{new} checks, {unseen} mutants: {again}");
    }
}
