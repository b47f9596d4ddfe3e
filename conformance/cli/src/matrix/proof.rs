//! The short way to the kill matrix: kills that `spec/kills.txt` has, again.
//!
//! 1. The chosen checks are run on the mutants, in an implementation for each; only a cloud is kept by its worker from one
//!    mutant to the next.
//! 2. Then the checks that failed on it are run on this cloud once more, without a fault. One that does not pass now may
//!    have failed for what an earlier mutant left behind, and its kill does not count.
//! 3. A kill that did not happen, or does not count, is tried in an implementation of its own.
//! 4. A mutant that is still not found, or that the table does not have, is run on all that has to find it; a check that
//!    killed nothing, or that the table does not have, on all that it has to find, and on the broad mutants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use meshproof_kit::check::{Check, Outcome, Role};
use meshproof_kit::checks;
use meshproof_kit::report::{CheckResult, KillMatrix, KillVerdict, Proof};
use meshproof_kit::run::Options;
use meshproof_proto::requirement::{Fault, Rules};
use tokio::task::JoinSet;

use super::table::Table;
use super::worker::{How, Worker};
use super::{Missed, Trial, ids, is_live, must_be_found, reason, run_broad, run_trials, single};
use crate::progress::Bar;

/// How many workers there are: for the most part they wait.
const WORKERS: usize = 24;
/// How many of them keep a cloud.
const CLOUDS: usize = 8;
/// How many begin with the vectors, which wait for nothing.
const VECTORS: usize = 2;
/// How many checks that take turns, or wait long where a mutant does nothing, one worker gets at once.
const TURNS: usize = 3;

/// A mutant, and recorded kills of it that are tried.
struct Order {
    fault: Fault,
    expected: Vec<String>,
    checks: Vec<Check>,
    how: How,
}

/// Where a check is run. A cloud takes long to set up, so it is kept; all else is made for the mutant.
fn place(role: Role) -> (How, usize) {
    match role {
        Role::Cloud | Role::Relay => (How::Kept, usize::MAX),
        Role::Peer | Role::Client => (How::Alone, TURNS),
        // They share one program.
        Role::Initiator => (How::Alone, 1),
        Role::Vectors => (How::Alone, usize::MAX),
    }
}

/// Proves the committed table, while this process does something else, for most of a conversation is waiting. What comes
/// after it may plant faults in this process.
pub(crate) async fn prove<T>(
    beside: impl Future<Output = anyhow::Result<T>>,
    options: &Options,
) -> anyhow::Result<(T, KillMatrix)> {
    let all = checks::all();
    let table = Table::committed();
    let mut orders: Vec<Order> = Vec::new();
    for chosen in table.choose(&all) {
        let expected = expected(chosen.fault, &all).unwrap_or(chosen.meant);
        let mut by_role: BTreeMap<Role, Vec<Check>> = BTreeMap::new();
        for check in chosen.checks {
            by_role.entry(check.role).or_default().push(check.clone());
        }
        for (role, checks) in by_role {
            let (how, most) = place(role);
            let pieces = checks.chunks(most);
            let order = |checks: &[Check]| Order {
                fault: chosen.fault,
                expected: expected.clone(),
                checks: checks.to_vec(),
                how,
            };
            orders.extend(pieces.map(order));
        }
    }
    let tried = orders.iter().map(|order| order.checks.len()).sum();
    let orders = Arc::new(orders);
    let (beside, rows) = tokio::try_join!(beside, again(&orders, options))?;

    let mut matrix = KillMatrix::default();
    let mut lost = Vec::new();
    let mut repeated = 0;
    for (order, results) in orders.iter().zip(&rows) {
        let failed: BTreeSet<&str> = results.iter().map(|result| result.id.as_str()).collect();
        repeated += failed.len();
        if !failed.is_empty() {
            let rules = order.fault.rules().to_string();
            matrix.add(&order.fault.to_string(), &rules, order.expected.clone(), results);
        }
        let missing: Vec<&Check> =
            order.checks.iter().filter(|check| !failed.contains(check.id.as_str())).collect();
        if !missing.is_empty() {
            lost.push(Trial {
                fault: order.fault,
                expected: order.expected.clone(),
                checks: missing.into_iter().cloned().collect(),
                missed: Missed::Open,
                how: How::Alone,
            });
        }
    }
    let alone = lost.iter().map(|trial| trial.fault.to_string()).collect::<BTreeSet<_>>().len();
    run_trials(lost, options, &mut matrix).await?;

    let found = |matrix: &KillMatrix, name: &str| {
        matrix.rows.iter().any(|row| row.mutant == name && row.verdict == KillVerdict::Killed)
    };
    let known: BTreeSet<String> = orders.iter().map(|order| order.fault.to_string()).collect();
    // What refuses the good and is not in the table found nothing to refuse when that was written.
    let lost = |fault: Fault| {
        let name = fault.to_string();
        !found(&matrix, &name) && (must_be_found(fault) || known.contains(&name))
    };
    let anew = single(&all, lost, |_| true);
    let mut anew_runs = anew.len();
    run_trials(anew, options, &mut matrix).await?;
    let killed: BTreeSet<String> = matrix.killers().into_keys().map(str::to_owned).collect();
    let open = |check: &Check| !killed.contains(&check.id) && !table.excused.contains(&check.id);
    if all.iter().any(open) {
        let trials: Vec<Trial> = single(&all, |_| true, open).into_iter().map(Trial::open).collect();
        anew_runs += trials.len();
        run_trials(trials, options, &mut matrix).await?;
        run_broad(&all, open, Missed::Open, options, &mut matrix).await?;
    }
    matrix.unreached.extend(table.unreached.iter().cloned());
    matrix.proof = Some(Proof { tried, repeated, alone, anew: anew_runs });
    matrix.close(&all, reason);
    Ok((beside, matrix))
}

/// The checks that have to find a mutant of a single rule.
fn expected(fault: Fault, all: &[Check]) -> Option<Vec<String>> {
    let Rules::One(rule) = fault.rules() else { return None };
    let citing = all.iter().filter(|check| check.reqs.iter().any(|id| id == rule.id));
    let citing: Vec<&Check> = citing.collect();
    let twins: BTreeSet<&str> = citing.iter().filter_map(|check| check.twin.as_deref()).collect();
    let twins: Vec<&Check> = all.iter().filter(|check| twins.contains(check.id.as_str())).collect();
    Some(ids(if matches!(fault, Fault::Against(_)) { &twins } else { &citing }))
}

/// Runs the orders, shared out over workers. Of each, the results of the checks that failed and whose failure counts.
async fn again(orders: &Arc<Vec<Order>>, options: &Options) -> anyhow::Result<Vec<Vec<CheckResult>>> {
    let bar = Arc::new(Bar::new("mutants"));
    bar.plan(orders.len());
    // What waits first, what only computes last.
    let mut cloud: VecDeque<usize> = VecDeque::new();
    let mut rest: Vec<usize> = Vec::new();
    for (row, order) in orders.iter().enumerate() {
        if order.how == How::Kept { cloud.push_back(row) } else { rest.push(row) }
    }
    rest.sort_by_key(|row| !orders[*row].checks.iter().any(is_live));
    let queues = Arc::new(Mutex::new((cloud, VecDeque::from(rest))));
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let (orders, queues, bar, seed) = (orders.clone(), queues.clone(), bar.clone(), options.seed);
        workers.spawn(async move {
            let next = || {
                let mut queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
                let (cloud, rest) = &mut *queues;
                match number {
                    0..CLOUDS => cloud.pop_front().or_else(|| rest.pop_front()),
                    number if number < WORKERS - VECTORS => rest.pop_front(),
                    _ => rest.pop_back(),
                }
            };
            let mut worker = Worker::start()?;
            let mut done: Vec<(usize, Vec<CheckResult>)> = Vec::new();
            while let Some(row) = next() {
                let order = &orders[row];
                let checks: Vec<&Check> = order.checks.iter().collect();
                // Another seed each time: what is drawn may not have been seen before (HSK-051).
                let seed = seed.wrapping_add(row as u64 + 1);
                let results = worker.run(Some(order.fault), &checks, seed, order.how).await;
                let mut results = results.with_context(|| format!("the mutant {}", order.fault))?;
                results.retain(|result| matches!(result.outcome, Outcome::Fail | Outcome::Warn));
                done.push((row, results));
                bar.step(&order.fault.to_string());
            }
            let kept = || done.iter().filter(|(row, _)| orders[*row].how == How::Kept);
            let failed: BTreeSet<&str> =
                kept().flat_map(|(_, results)| results).map(|result| result.id.as_str()).collect();
            let control: BTreeMap<&str, &Check> = kept()
                .flat_map(|(row, _)| &orders[*row].checks)
                .map(|check| (check.id.as_str(), check))
                .filter(|(id, _)| failed.contains(id))
                .collect();
            if !control.is_empty() {
                let control: Vec<&Check> = control.into_values().collect();
                let seed = seed.wrapping_sub(number as u64 + 1);
                let results = worker.run(None, &control, seed, How::Kept).await.context("without a fault")?;
                let doubtful: BTreeSet<String> = results
                    .into_iter()
                    .filter(|result| result.outcome != Outcome::Pass)
                    .map(|result| result.id)
                    .collect();
                for (_, results) in done.iter_mut().filter(|(row, _)| orders[*row].how == How::Kept) {
                    results.retain(|result| !doubtful.contains(&result.id));
                }
            }
            worker.end().await;
            anyhow::Ok(done)
        });
    }
    let mut rows = vec![Vec::new(); orders.len()];
    while let Some(done) = workers.join_next().await {
        for (row, results) in done.context("a worker's task")?? {
            rows[row] = results;
        }
    }
    bar.finish();
    Ok(rows)
}
