//! The peer checks against simulated devices: an honest one passes them all, and each fault is found by the checks meant
//! for it.

mod sim;

use std::sync::Arc;
use std::time::Duration;

use meshproof_kit::check::{Check, Outcome};
use meshproof_kit::checks;
use meshproof_kit::report::{RunReport, summary};
use meshproof_kit::run::{Filter, Options, Quiet, run};
use meshproof_kit::target::peer::PeerTarget;
use meshproof_kit::target::{Patience, Targets};
use sim::Fault;

async fn report(fault: Fault, filter: &[&str]) -> RunReport {
    let address = sim::start(fault).await;
    let targets = Targets {
        description: format!("simulated device, {fault:?}"),
        peer: Some(PeerTarget { address, folder: None }),
        patience: Patience(Duration::from_secs(2)),
        ..Targets::default()
    };
    // A simulated device syncs nothing, so that checks of sync are for its faults alone.
    let sync = if filter.is_empty() { Vec::new() } else { checks::sync::checks() };
    let all: Vec<Check> = [checks::handshake::checks(), checks::record::checks(), sync].concat();
    let checks = Filter::new(filter.iter().copied()).select(&all);
    run(&checks, targets, &Options::default(), Arc::new(Quiet)).await
}

fn outcome(report: &RunReport, id: &str) -> Outcome {
    report.results.iter().find(|result| result.id == id).unwrap_or_else(|| panic!("no check {id}")).outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_device_passes() {
    let report = report(Fault::None, &[]).await;
    assert_eq!(report.conclusion().exit_code(), 0, "{}", summary(&report));
    assert!(report.results.len() > 120, "only {} checks", report.results.len());
}

/// What asks for cookies is tested like everybody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_under_load_passes() {
    let report = report(Fault::UnderLoad, &[]).await;
    assert_eq!(report.conclusion().exit_code(), 0, "{}", summary(&report));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_asks_for_ever_is_not_conformant() {
    let report =
        report(Fault::AsksForEver, &["hs.m1.honest", "hs.box1.clock-slow", "hs.m1.mac1-flipped"]).await;
    let message = |id: &str| {
        let found = report.results.iter().find(|result| result.id == id);
        found.map_or_else(|| panic!("no check {id}"), |result| (result.outcome, result.message.clone()))
    };
    let (outcome, text) = message("hs.m1.honest");
    assert!(outcome == Outcome::Fail && text.contains("HSK-080"), "{text}");
    assert_eq!(message("hs.box1.clock-slow").0, Outcome::Fail);
    // It asks before it looks: RETRY is a byte where there may be none.
    assert_eq!(message("hs.m1.mac1-flipped").0, Outcome::Fail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_refuses_everything_shows_nothing() {
    let report = report(Fault::RefusesAll, &[]).await;
    assert_eq!(outcome(&report, "hs.m1.honest"), Outcome::Fail);
    assert_eq!(outcome(&report, "hs.m1.mac1-flipped"), Outcome::Blocked);
    assert!(report.results.iter().all(|result| result.outcome != Outcome::Pass), "{}", summary(&report));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_found() {
    for (fault, id) in [
        (Fault::Talks, "hs.m1.mac1-flipped"),
        (Fault::Talks, "hs.m1.failures-alike"),
        (Fault::Eager, "hs.m3.silence-before"),
        (Fault::TakesFinForClose, "rec.close.missing"),
        (Fault::Patient, "hs.frame.m1-too-large"),
        (Fault::TakesAnyM3, "hs.m3.tag-last-bit"),
        (Fault::Hangs, "syn.folder.not-in-ticket"),
    ] {
        let report = report(fault, &[id]).await;
        assert_eq!(outcome(&report, id), Outcome::Fail, "{fault:?}\n{}", summary(&report));
        assert_eq!(report.conclusion().exit_code(), 1);
    }
}
