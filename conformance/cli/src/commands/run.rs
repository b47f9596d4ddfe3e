//! `meshproof run`: checks an implementation that is already running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use meshproof_kit::catalog::{FrozenSet, Part};
use meshproof_kit::check::{Check, Outcome as Verdict, Role};
use meshproof_kit::checks;
use meshproof_kit::expect;
use meshproof_kit::report::{self, CheckResult, RunReport};
use meshproof_kit::run::{Filter, Options, run};
use meshproof_kit::target::cloud::{CloudTarget, Connections};
use meshproof_kit::target::peer::PeerTarget;
use meshproof_kit::target::relay::RelayTarget;
use meshproof_kit::target::shim::{Claims, Outcome, ProcessShim, Shim};
use meshproof_kit::target::{ShimTarget, Targets};
use meshproof_kit::text::printable;

use super::{SHIM_TIMEOUT, conclude, options, runtime, shim_command, unanswered};
use crate::args::{Networked, Run};
use crate::progress::Bar;

/// How long a client has for what its user wants.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(40);

/// With fewer sessions nothing is said of how the device was set up.
const FEW: usize = 3;
/// Exit code for a run that could not find out anything.
const INCOMPLETE: u8 = 3;

/// Runs the checks for the targets that were given.
pub(crate) fn execute(args: &Run) -> anyhow::Result<u8> {
    let targets = targets(args)?;
    let set = args.set.as_deref().map(|version| {
        let versions: Vec<&str> = FrozenSet::versions().collect();
        FrozenSet::of(version)
            .with_context(|| format!("there is no set {version}, but {}", versions.join(", ")))
    });
    let set = set.transpose()?.map(Arc::new);
    let all = checks::for_roles(&targets.roles());
    let selected = Filter::new(args.running.filter.iter().cloned()).select(&all);
    if selected.is_empty() {
        bail!("{}", nothing_selected(&args.running.filter));
    }
    let expected_failures = match &args.expect {
        Some(file) => {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            let known: Vec<&str> = all.iter().map(|check| check.id.as_str()).collect();
            expect::parse(&text, &file.display().to_string(), &known)
                .with_context(|| file.display().to_string())?
        }
        None => BTreeMap::new(),
    };
    super::check_words(&args.running.filter, &all)?;
    report::prepare(&args.running.report)?;
    let runtime = runtime()?;
    if let Err(error) = runtime.block_on(probe(&targets)) {
        complain!("meshproof: {}", printable(&format!("{error:#}")));
        return Ok(INCOMPLETE);
    }
    let left_out = all.len() - selected.len();
    let options = Options { expected_failures, left_out, set, ..options(&args.running)? };
    say!("checking {} with seed {}", targets.description, options.seed);
    let bar = Arc::new(Bar::new("checks"));
    let mut report = runtime.block_on(run(&selected, targets, &options, bar.clone()));
    bar.finish();
    report.expectations = args.expect.as_ref().map(|file| file.display().to_string());
    if let Some(file) = &args.write_expect {
        let text = expect::render(&report, &options.expected_failures);
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        say!("wrote the failures of this run to {}", file.display());
    }
    let code = conclude(&report, &args.running)?;
    if let Some((failed, all)) = strange_fixture(&selected, &report) {
        say!(
            "\n{failed} of {all} sessions of sync in which nothing is wrong failed: is the device set up with the signing seed, \
             the folder and the clock of the fixture (README, the row of --peer)?"
        );
    }
    Ok(code)
}

/// Whether a device fails nearly all sessions that it has to get through, which says more of how it was set up than of what
/// it does: how many it fails, of how many.
fn strange_fixture(checks: &[Check], report: &RunReport) -> Option<(usize, usize)> {
    let of_sync = |check: &&Check| check.role == Role::Peer && check.part == Part::Sync;
    let twins: BTreeSet<&str> =
        checks.iter().filter(of_sync).filter_map(|check| check.twin.as_deref()).collect();
    let twin = |result: &&CheckResult| twins.contains(result.id.as_str());
    let failed = |result: &&CheckResult| matches!(result.outcome, Verdict::Fail | Verdict::Blocked);
    let (all, failed) = (
        report.results.iter().filter(twin).count(),
        report.results.iter().filter(twin).filter(failed).count(),
    );
    (all >= FEW && failed * 10 >= all * 8).then_some((failed, all))
}

/// Why no check is run: nothing matches, or what matches is for other targets.
fn nothing_selected(words: &[String]) -> String {
    let all = checks::all();
    let filter = Filter::new(words.iter().cloned());
    let matching = all.iter().filter(|check| filter.matches(check));
    let options: BTreeSet<&str> = matching
        .map(|check| match check.role {
            Role::Cloud => "--cloud",
            Role::Peer => "--peer",
            Role::Relay => "--relay",
            Role::Client => "--client",
            Role::Vectors | Role::Initiator => "--shim",
        })
        .collect();
    let options: Vec<&str> = options.into_iter().collect();
    match options[..] {
        [] => format!("no check matches {words:?}; `meshproof list` shows them"),
        _ => format!("the checks that match {words:?} need {}", options.join(" or ")),
    }
}

/// Whether the targets are there at all: one line says more than a thousand blocked checks.
async fn probe(targets: &Targets) -> anyhow::Result<()> {
    if let Some(cloud) = &targets.cloud {
        cloud.probe().await?;
    }
    if let Some(peer) = &targets.peer {
        let reached = tokio::net::TcpStream::connect(peer.address).await;
        reached.with_context(|| format!("cannot connect to the peer {}", peer.address))?;
    }
    if let Some(relay) = &targets.relay {
        let reached = tokio::net::TcpStream::connect(relay.address).await;
        reached.with_context(|| format!("cannot connect to the relay {}", relay.address))?;
    }
    if let Some(shim) = targets.shim.as_ref().or(targets.caller.as_ref()) {
        let asked = shim.lock().map(|mut shim| shim.call(&serde_json::json!({"op": "meshproof-probe"})));
        let answer =
            asked.map_err(|_| anyhow::anyhow!("the shim panicked"))?.context("the shim does not answer")?;
        ensure!(answer.outcome == Outcome::Unsupported, "the shim claims to know an op that does not exist");
    }
    Ok(())
}

/// The targets that are reached over a network, by their names.
pub(super) fn networked(args: &Networked) -> anyhow::Result<Targets> {
    let mut targets = Targets::default();
    let mut named = Vec::new();
    if let Some(url) = &args.cloud {
        ensure!(url.starts_with("https://"), "--cloud takes an https URL, not {url}");
        let ca = args.ca.as_deref().map(|path| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        });
        let ca = ca.transpose()?;
        let pem = ca.as_ref().is_none_or(|text| text.contains("-----BEGIN CERTIFICATE-----"));
        ensure!(pem, "the file of --ca has no PEM certificate");
        let connections = if args.fresh_connections { Connections::Fresh } else { Connections::Kept };
        let cloud = CloudTarget::connecting(url, ca.as_deref(), Vec::new(), connections)?;
        targets.cloud = Some(Arc::new(cloud));
        named.push(format!("cloud {url}"));
    }
    if let Some(address) = args.peer {
        if let Some(folder) = &args.folder {
            ensure!(folder.is_dir(), "{} is not a directory", folder.display());
        }
        targets.peer = Some(PeerTarget { address, folder: args.folder.clone() });
        named.push(format!("peer {address}"));
    }
    if let (Some(address), Some(file)) = (args.relay, &args.relay_key) {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let key = text.split_whitespace().next().and_then(meshproof_proto::codec::hex_array);
        let key = key.with_context(|| format!("{} has no key of 64 hexadecimal digits", file.display()))?;
        let name = args.relay_address.clone().unwrap_or_else(|| address.to_string());
        targets.relay = Some(RelayTarget { address, name, key, quota: args.relay_quota });
        named.push(format!("relay {address}"));
    }
    targets.description = named.join(", ");
    Ok(targets)
}

/// All targets that were given.
pub(super) fn targets(args: &Run) -> anyhow::Result<Targets> {
    let mut targets = networked(&args.networked)?;
    let mut named: Vec<String> = Vec::new();
    named.extend((!targets.description.is_empty()).then(|| targets.description.clone()));
    if let Some(command) = &args.shim {
        let mut shim = ProcessShim::new(&shim_command(command)?, SHIM_TIMEOUT);
        let claims = Claims::ask(&mut shim).map_err(unanswered)?;
        let shim: ShimTarget = Arc::new(Mutex::new(shim));
        if claims.as_ref().is_some_and(|claims| claims.has("connect")) {
            targets.caller = Some(shim.clone());
            targets.caller_suites = claims.as_ref().and_then(|claims| claims.suites.clone());
        }
        if claims.as_ref().is_none_or(|claims| claims.has("vector")) {
            targets.shim = Some(shim);
        }
        named.push(claims.map_or_else(|| format!("shim {command}"), |claims| claims.implementation));
    }
    if let Some(command) = &args.client {
        let words = shim_command(command)?;
        let claims = Claims::ask(&mut ProcessShim::new(&words, SHIM_TIMEOUT)).map_err(unanswered)?;
        let claims = claims.context("the program of --client does not say what it is")?;
        ensure!(claims.has("client"), "the program of --client does not do the op client");
        let start = move || Box::new(ProcessShim::new(&words, CLIENT_TIMEOUT)) as Box<dyn Shim>;
        targets.client = Some(Arc::new(start));
        named.push(format!("client {}", claims.implementation));
    }
    targets.description = named.join(", ");
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use meshproof_kit::run::Quiet;

    use super::*;

    #[tokio::test]
    async fn who_fails_nearly_all_good_sessions_is_asked_how_it_was_set_up() {
        let of_peer = |check: &Check| check.role == Role::Peer && check.part == Part::Sync;
        let selected: Vec<Check> = checks::all().into_iter().filter(of_peer).collect();
        let mut report = run(&[], Targets::default(), &Options::default(), Arc::new(Quiet)).await;
        let mut all = |outcome| {
            report.results = selected.iter().map(|check| CheckResult::new(check, outcome, "")).collect();
            strange_fixture(&selected, &report)
        };
        assert_eq!(all(Verdict::Pass), None);
        let (failed, of) = all(Verdict::Fail).expect("a hint");
        assert!(failed == of && of >= FEW && of < selected.len(), "{failed} of {of}");
        // One that stumbles over what is wrong, as it should not, gets its findings and no advice.
        let twins: BTreeSet<&str> = selected.iter().filter_map(|check| check.twin.as_deref()).collect();
        for result in &mut report.results {
            let good = twins.contains(result.id.as_str());
            result.outcome = if good { Verdict::Pass } else { Verdict::Fail };
        }
        assert_eq!(strange_fixture(&selected, &report), None);
    }
}
