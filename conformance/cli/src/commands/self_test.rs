//! `meshproof self-test`: the kit against the reference in this process, and the kit against itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use meshproof_kit::check::{Check, Context, Outcome, Role};
use meshproof_kit::checks;
use meshproof_kit::report::{self, RunReport};
use meshproof_kit::run::{Filter, Options, Progress, Quiet, run};
use meshproof_kit::target::world::World;
use meshproof_proto::requirement::Fault;
use tokio::task::JoinSet;

use super::{conclude, options, runtime};
use crate::args::SelfTest;
use crate::embedded::{Embedded, mission};
use crate::matrix::{self, Mutant};
use crate::progress::Bar;

/// Exit code for a fault that the kit planted and did not find.
const SURVIVED: u8 = 4;
/// Exit code for a fault that was found: the implementation that has it is not conformant.
const FOUND: u8 = 1;
/// How many devices share the checks that take turns at one.
const DEVICES: usize = 3;
/// How long a check waits for what has to happen at once, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same where a mutant is known not to do it.
pub(crate) const MUTANT_PATIENCE: Duration = Duration::from_millis(700);

/// Demonstration, checks, kill matrix, report.
pub(crate) fn execute(args: &SelfTest) -> anyhow::Result<u8> {
    let mutant = args.mutant.as_deref().map(find_mutant).transpose()?;
    let sources = mission::sources(&args.dir)?;
    let all = checks::all();
    super::check_words(&args.running.filter, &all)?;
    let selected = Filter::new(args.running.filter.iter().cloned()).select(&all);
    let options = Options { left_out: all.len() - selected.len(), ..options(&args.running)? };
    ensure!(!selected.is_empty(), "no check matches {:?}", args.running.filter);
    report::prepare(&args.running.report)?;
    say!("meshproof {}: self-test with seed {}", env!("CARGO_PKG_VERSION"), options.seed);

    let report = runtime()?.block_on(async {
        let mission = match mutant {
            None if !args.no_mission => Some(Box::pin(mission::run(&sources)).await?),
            _ => None,
        };
        let whole = mutant.is_none() && !args.no_matrix && args.running.filter.is_empty();
        let (mut report, kill_matrix) = match mutant {
            Some(_) => {
                let bar = Arc::new(Bar::new("checks"));
                (run_checks(&selected, &options, mutant, MUTANT_PATIENCE, bar).await?, None)
            }
            None if whole && !(args.full_matrix || args.write_kills.is_some()) => {
                let plain = run_shared_out(&selected, &options);
                let (report, matrix) = Box::pin(matrix::prove(plain, &options)).await?;
                (report, Some(matrix))
            }
            None => {
                let report = run_shared_out(&selected, &options).await?;
                let full = if whole { Some(matrix::run_all(&options).await?) } else { None };
                (report, full)
            }
        };
        report.mission = mission;
        report.kill_matrix = kill_matrix;
        if let (Some(file), Some(matrix)) = (&args.write_kills, &report.kill_matrix) {
            std::fs::write(file, matrix.render())
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        anyhow::Ok(report)
    })?;
    let code = conclude(&report, &args.running)?;
    if let (Some(mutant), 0) = (mutant, code) {
        say!("the mutant {mutant} SURVIVED: none of these checks noticed");
        return Ok(SURVIVED);
    }
    if let (Some(mutant), FOUND) = (mutant, code) {
        let killers = report.counts().of(Outcome::Fail);
        let checks = if killers == 1 { "check" } else { "checks" };
        say!("mutant {mutant}: killed by {killers} {checks}, as it has to be");
    }
    let mission_failed = report.mission.is_some_and(|mission| mission.steps.iter().any(|step| !step.ok));
    Ok(if mission_failed { code.max(1) } else { code })
}

/// Runs checks of a device's folder, which take turns at it, on several devices at once; all else beside them.
async fn run_shared_out(selected: &[Check], options: &Options) -> anyhow::Result<RunReport> {
    let mut shares: Vec<Vec<Check>> = vec![Vec::new(); DEVICES];
    let mut turns = 0;
    for check in selected {
        turns += usize::from(check.turn.is_some() && check.role == Role::Peer);
        let alone = check.turn.is_none() || check.role != Role::Peer;
        shares[if alone { 0 } else { turns % DEVICES }].push(check.clone());
    }
    let bar = Arc::new(Bar::new("checks"));
    let mut running = JoinSet::new();
    for (number, share) in shares.into_iter().enumerate().filter(|(_, share)| !share.is_empty()) {
        // Verdicts rest on valid twins, so each share has its own.
        let share = Filter::new(share.iter().map(|check| format!("={}", check.id))).select(selected);
        let (options, bar) = (options.clone(), bar.clone());
        running.spawn(async move {
            let progress: Arc<dyn Progress> = if number == 0 { bar } else { Arc::new(Quiet) };
            (number, run_checks(&share, &options, None, PATIENCE, progress).await)
        });
    }
    let mut reports = BTreeMap::new();
    while let Some(done) = running.join_next().await {
        let (number, report) = done.context("a share of the checks")?;
        reports.insert(number, report?);
    }
    bar.finish();
    let (_, mut whole) = reports.pop_first().context("no checks")?;
    for report in reports.into_values() {
        whole.seconds = whole.seconds.max(report.seconds);
        let known: BTreeSet<String> = whole.results.iter().map(|result| result.id.clone()).collect();
        whole.results.extend(report.results.into_iter().filter(|result| !known.contains(&result.id)));
    }
    let place: BTreeMap<&str, usize> =
        selected.iter().enumerate().map(|(place, check)| (check.id.as_str(), place)).collect();
    whole.results.sort_by_key(|result| place.get(result.id.as_str()).copied());
    Ok(whole)
}

/// Runs checks on an implementation of their own, with a fault if one is given.
pub(crate) async fn run_checks(
    selected: &[Check],
    options: &Options,
    mutant: Option<Fault>,
    patience: Duration,
    progress: Arc<dyn Progress>,
) -> anyhow::Result<RunReport> {
    // What refuses the good would refuse to be set up: such a mutant is planted when the kit has its users and devices.
    let late = mutant.filter(|mutant| matches!(mutant, Fault::Against(_)));
    let _planted = mutant.filter(|_| late.is_none()).map(Mutant::plant);
    let roles: BTreeSet<Role> = selected.iter().map(|check| check.role).collect();
    let embedded = Embedded::start(&roles).await?;
    let mut targets = embedded.targets(patience)?;
    if let Some(mutant) = mutant {
        targets.description = format!("{}, mutant {mutant}", targets.description);
    }
    if late.is_some() && selected.iter().any(|check| check.role == Role::Cloud) {
        let context = Context::new(Arc::new(targets.clone()), options.seed, "set up");
        // Why it fails, if it does, the checks will say.
        let _ = World::get(&context).await;
    }
    let _planted = late.map(Mutant::plant);
    let report = run(selected, targets, options, progress).await;
    embedded.stop().await;
    Ok(report)
}

pub(super) fn find_mutant(name: &str) -> anyhow::Result<Fault> {
    // Ids are in capitals, and people write them as they like.
    let capitals = name.to_uppercase().replace("AGAINST:", "against:");
    let fault = Fault::by_name(name).or_else(|| Fault::by_name(&capitals));
    fault.with_context(|| {
        format!("there is no mutant {name}; spec/kills.txt lists all, `meshproof explain ID` says what it is about")
    })
}
