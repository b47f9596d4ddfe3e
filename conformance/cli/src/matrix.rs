//! The kill matrix: for each requirement, the reference without it, and which checks notice.
//!
//! The switch that plants a fault is one for a process, so each mutant runs in a process of its own, several at once:
//! most of their time is waiting for something that the mutant does not do.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use meshproof_kit::check::{Check, Outcome};
use meshproof_kit::checks;
use meshproof_kit::report::{CheckResult, KillMatrix};
use meshproof_kit::run::Options;
use meshproof_proto::requirement::{self, Requirement};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::progress::Bar;

/// How many mutants run at once.
const AT_ONCE: usize = 8;

/// Ignores a requirement in this process for as long as it lives.
pub(crate) struct Mutant;

impl Mutant {
    /// Switches `requirement` off.
    pub(crate) fn plant(requirement: Requirement) -> Self {
        requirement::ignore(Some(requirement));
        Self
    }
}

impl Drop for Mutant {
    fn drop(&mut self) {
        requirement::ignore(None);
    }
}

/// Runs, for every requirement with a mutant, the checks that cite it. A check that cannot be killed by what it claims
/// to test is no check.
pub(crate) async fn run_all(options: &Options) -> anyhow::Result<KillMatrix> {
    let all = Arc::new(checks::all());
    let cited = |r: &Requirement| all.iter().any(|check| check.reqs.iter().any(|id| id == r.id));
    let mutants: Vec<Requirement> = requirement::ALL.iter().copied().filter(cited).collect();
    let bar = Bar::new("kill matrix");
    bar.plan(mutants.len());
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for (row, mutant) in mutants.iter().copied().enumerate() {
        let (places, all, seed) = (places.clone(), all.clone(), options.seed);
        tasks.spawn(async move {
            let _place = places.acquire().await;
            (row, run_one(mutant, seed, &all).await)
        });
    }
    let mut rows: Vec<Vec<CheckResult>> = vec![Vec::new(); mutants.len()];
    while let Some(done) = tasks.join_next().await {
        let (row, results) = done.context("a mutant's task")?;
        rows[row] = results.with_context(|| format!("the mutant of {}", mutants[row].id))?;
        bar.step(mutants[row].id);
    }
    bar.finish();
    let mut matrix = KillMatrix::default();
    for (mutant, results) in mutants.iter().zip(&rows) {
        matrix.add(mutant.id, &all, results);
    }
    Ok(matrix)
}

/// Runs `self-test --mutant` on the checks that cite the requirement.
async fn run_one(mutant: Requirement, seed: u64, all: &[Check]) -> anyhow::Result<Vec<CheckResult>> {
    let folder = TempDir::new().context("no temporary directory")?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let output = Command::new(program)
        .args(["self-test", "--mutant", mutant.id, "--filter", mutant.id])
        .args(["--seed", &seed.to_string(), "--report"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start this program again")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code().is_some_and(|code| code != 2), "{}: {stderr}", output.status);
    read(folder.path(), all)
}

/// The results of a run, from its `results.json`.
fn read(folder: &Path, all: &[Check]) -> anyhow::Result<Vec<CheckResult>> {
    let text = std::fs::read_to_string(folder.join("results.json")).context("no results.json")?;
    let report: Value = serde_json::from_str(&text).context("results.json is no JSON")?;
    let results = report["results"].as_array().context("results.json has no results")?;
    let found = results.iter().map(|result| {
        let (id, outcome) = (result["id"].as_str()?, result["outcome"].as_str()?);
        let check = all.iter().find(|check| check.id == id)?;
        let outcome = Outcome::ALL.into_iter().find(|known| known.name() == outcome)?;
        Some(CheckResult::new(check, outcome, result["message"].as_str().unwrap_or_default()))
    });
    found.collect::<Option<_>>().context("results.json has a result that this kit does not know")
}
