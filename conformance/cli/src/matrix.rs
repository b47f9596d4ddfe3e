//! The kill matrix: for each requirement, the reference without it, and which checks notice.

use std::sync::Arc;
use std::time::Duration;

use meshproof_kit::check::{Check, Role};
use meshproof_kit::checks;
use meshproof_kit::report::KillMatrix;
use meshproof_kit::run::{Filter, Options, Quiet, run};
use meshproof_proto::requirement::{self, Requirement};

use crate::embedded::Embedded;
use crate::progress::Bar;

/// How long a check waits for a mutant that does not do what it should.
const PATIENCE: Duration = Duration::from_millis(700);

/// Ignores a requirement for as long as this lives. One at a time: the switch is one for the process.
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
    let all = checks::all();
    let mutants: Vec<Requirement> =
        requirement::ALL.iter().copied().filter(|r| all.iter().any(|check| cites(check, *r))).collect();
    let bar = Bar::new("kill matrix");
    bar.plan(mutants.len());
    let mut matrix = KillMatrix::default();
    let mut shared = None;
    for mutant in mutants {
        bar.step(mutant.id);
        let citing: Vec<Check> = Filter::new([mutant.id]).select(&all);
        let planted = Mutant::plant(mutant);
        // A cloud keeps what a mutant let in, so checks of clouds get a fresh one; vectors and peers keep nothing.
        let fresh = citing.iter().any(|check| check.role == Role::Cloud);
        let embedded = match shared.take() {
            Some(embedded) if !fresh => embedded,
            _ => Embedded::start().await?,
        };
        let report = run(&citing, embedded.targets(PATIENCE)?, options, Arc::new(Quiet)).await;
        drop(planted);
        matrix.add(mutant.id, &all, &report.results);
        if fresh { embedded.stop().await } else { shared = Some(embedded) }
    }
    if let Some(embedded) = shared {
        embedded.stop().await;
    }
    bar.finish();
    Ok(matrix)
}

fn cites(check: &Check, requirement: Requirement) -> bool {
    check.reqs.iter().any(|id| id == requirement.id)
}
