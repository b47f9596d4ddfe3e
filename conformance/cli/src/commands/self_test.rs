//! `meshproof self-test`: the kit against the reference in this process, and the kit against itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use meshproof_kit::checks;
use meshproof_kit::report::RunReport;
use meshproof_kit::run::{Filter, Options, run};
use meshproof_proto::requirement::{self, Requirement};

use super::{conclude, options, runtime};
use crate::args::SelfTest;
use crate::embedded::{Embedded, mission};
use crate::matrix::{self, Mutant};
use crate::progress::Bar;

/// Exit code for a fault that the kit planted and did not find.
const SURVIVED: u8 = 4;
/// How long a check waits for what has to happen at once, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same where a mutant is known not to do it.
const MUTANT_PATIENCE: Duration = Duration::from_millis(700);

/// Demonstration, checks, kill matrix, report.
pub(crate) fn execute(args: &SelfTest) -> anyhow::Result<u8> {
    let mutant = args.mutant.as_deref().map(find_mutant).transpose()?;
    let sources = mission::sources(&args.dir)?;
    let all = checks::all();
    super::check_words(&args.running.filter, &all)?;
    let selected = Filter::new(args.running.filter.iter().cloned()).select(&all);
    let options = Options { left_out: all.len() - selected.len(), ..options(&args.running)? };
    ensure!(!selected.is_empty(), "no check matches {:?}", args.running.filter);
    println!("meshproof {}: self-test with seed {}", env!("CARGO_PKG_VERSION"), options.seed);

    let report = runtime()?.block_on(async {
        let _planted = mutant.map(Mutant::plant);
        let mission = match mutant {
            None if !args.no_mission => Some(mission::run(&sources).await?),
            _ => None,
        };
        let mut report = run_checks(&selected, &options, mutant).await?;
        report.mission = mission;
        if mutant.is_none() && !args.no_matrix && args.running.filter.is_empty() {
            report.kill_matrix = Some(matrix::run_all(&options).await?);
        }
        anyhow::Ok(report)
    })?;
    let code = conclude(&report, &args.running)?;
    if let (Some(mutant), 0) = (mutant, code) {
        println!("the mutant of {} SURVIVED: none of these checks noticed", mutant.id);
        return Ok(SURVIVED);
    }
    let mission_failed = report.mission.is_some_and(|mission| mission.steps.iter().any(|step| !step.ok));
    Ok(if mission_failed { code.max(1) } else { code })
}

async fn run_checks(
    selected: &[meshproof_kit::check::Check],
    options: &Options,
    mutant: Option<Requirement>,
) -> anyhow::Result<RunReport> {
    let embedded = Embedded::start().await?;
    let patience = if mutant.is_some() { MUTANT_PATIENCE } else { PATIENCE };
    let mut targets = embedded.targets(patience)?;
    if let Some(mutant) = mutant {
        targets.description = format!("{} without {}", targets.description, mutant.id);
    }
    let bar = Arc::new(Bar::new("checks"));
    let report = run(selected, targets, options, bar.clone()).await;
    bar.finish();
    embedded.stop().await;
    Ok(report)
}

fn find_mutant(id: &str) -> anyhow::Result<Requirement> {
    requirement::by_id(&id.to_uppercase())
        .with_context(|| format!("there is no mutant {id}; `meshproof explain ID` says which there are"))
}
