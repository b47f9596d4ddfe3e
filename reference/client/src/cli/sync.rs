//! `mesh sync`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::output::{self, Bars};
use crate::Agent;
use crate::agent::{Journal, Outcome, Round, ServeOptions};
use crate::error::Result;
use crate::sync::Limited;

#[derive(clap::Args)]
pub(super) struct Sync {
    /// Stay online and answer peers until interrupted.
    #[arg(long)]
    serve: bool,
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:0", requires = "serve")]
    listen: SocketAddr,
    /// What to tell peers to connect to, as host:port, if not the address of this device.
    #[arg(long, value_name = "HOST:PORT", requires = "serve")]
    advertise: Vec<String>,
    /// Seconds between two rounds of scanning and dialling; 0: only answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "serve")]
    interval: u64,
    /// Send at most so much content a second, as 500K or 2M; over all peers together.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit_up: Option<u64>,
    /// Receive at most so much content a second.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit_down: Option<u64>,
    /// Find devices on the local network, and be found there.
    #[arg(long, requires = "serve")]
    lan: bool,
}

impl Sync {
    pub(super) async fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let bars = Arc::new(Bars::new());
        let journal = agent.journal(bars.clone());
        let progress = Arc::new(Limited::new(journal.clone(), self.limit_up, self.limit_down));
        if !self.serve {
            let round = agent.sync_once(progress).await;
            let round = round.inspect_err(|error| journal.failed(None, &error.to_string()))?;
            bars.finish();
            return Ok(tell(&round, &journal, json));
        }
        let options = ServeOptions {
            listen: self.listen,
            advertise: self.advertise,
            interval: (self.interval > 0).then(|| Duration::from_secs(self.interval)),
            lan: self.lan,
        };
        let online = |address: SocketAddr| {
            if json {
                output::json_line(&json!({ "event": "listening", "address": address.to_string() }));
            } else {
                say!("listening on {address}");
            }
        };
        let on_round = |round: Result<Round>| match round {
            Ok(round) => drop(tell(&round, &journal, json)),
            Err(error) => {
                journal.failed(None, &error.to_string());
                output::complain(&error.to_string());
            }
        };
        agent.serve(options, progress, online, on_round, interrupted()).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Bytes a second: a number, with K, M or G for thousands, millions or thousands of millions.
fn rate(text: &str) -> std::result::Result<u64, String> {
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'm' | 'M')) => (&text[..at], 1_000_000),
        Some((at, 'g' | 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let rate = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    rate.filter(|rate| *rate > 0).ok_or_else(|| "not a number of bytes a second, such as 500K".into())
}

/// Says what happened. The code is a failure if a peer or the cloud failed.
fn tell(round: &Round, journal: &Journal, as_json: bool) -> ExitCode {
    // A session that failed is noted already; a peer may fail before there is one.
    if let Some((peer, error)) = round.failure() {
        journal.failed(Some(peer.device), &error.to_string());
    }
    journal.flush();
    if as_json {
        output::json_line(&in_json(round));
    } else {
        in_words(round);
    }
    let mut good = true;
    for (folder, result) in &round.cloud {
        let short = output::short(&folder.to_string());
        match result {
            Ok(report) => {
                for doubt in &report.doubts {
                    journal.failed(None, &doubt.text);
                    output::complain(&format!("folder {short}: {}", doubt.text));
                    good = false;
                }
            }
            Err(error) => {
                output::complain(&format!("the cloud's copy of folder {short}: {error}"));
                good = false;
            }
        }
    }
    if let Some((peer, error)) = round.failure() {
        output::complain(&format!("sync with {} failed: {error}", peer.device));
        good = false;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn in_json(round: &Round) -> Value {
    let peers = round.peers.iter().map(|peer| {
        let mut value = json!({
            "device": peer.device.to_string(), "name": peer.name,
            "outcome": match &peer.outcome {
                Outcome::Synced(_) => "synced",
                Outcome::Underway => "underway",
                Outcome::Waiting => "waiting",
                Outcome::Offline => "offline",
                Outcome::Failed(_) => "failed",
            },
        });
        match &peer.outcome {
            Outcome::Synced(report) => {
                value["files_received"] = report.files_received.into();
                value["bytes_received"] = report.bytes_received.into();
                value["bytes_sent"] = report.bytes_sent.into();
                value["deleted"] = report.deleted.into();
                value["conflicts"] = report.conflicts.len().into();
            }
            Outcome::Failed(error) => value["error"] = error.to_string().into(),
            _ => {}
        }
        value
    });
    let cloud = round.cloud.iter().map(|(folder, result)| match result {
        Ok(report) => json!({
            "folder": folder.to_string(), "entries": report.entries, "files": report.files, "bytes": report.bytes,
            "states": report.states, "taken": report.taken, "files_received": report.files_received,
            "bytes_received": report.bytes_received, "deleted": report.deleted,
            "left_out": report.skipped.iter().map(|one| json!({ "path": one.path, "why": one.reason.to_string() }))
                .collect::<Vec<_>>(),
            "doubts": report.doubts.iter().map(|doubt| json!({ "rule": doubt.rule.id, "why": doubt.text }))
                .collect::<Vec<_>>(),
        }),
        Err(error) => json!({ "folder": folder.to_string(), "error": error.to_string() }),
    });
    let left_out = round.skipped.iter().map(|(folder, skipped)| {
        json!({ "folder": folder.to_string(), "path": skipped.path, "why": skipped.reason.to_string() })
    });
    json!({
        "event": "round", "peers": peers.collect::<Vec<_>>(), "cloud": cloud.collect::<Vec<_>>(),
        "left_out": left_out.collect::<Vec<_>>(),
    })
}

fn in_words(round: &Round) {
    for peer in &round.peers {
        let short = output::short(&peer.device.to_string());
        let name = if peer.name.is_empty() { short } else { format!("{} ({short})", peer.name) };
        match &peer.outcome {
            Outcome::Offline => say!("{name}: offline"),
            Outcome::Underway => say!("{name}: a session with it goes on"),
            // Offline a moment ago; below, on stderr.
            Outcome::Waiting | Outcome::Failed(_) => {}
            Outcome::Synced(report) => say!(
                "{name}: in sync; received {}, {}; sent {}; deleted {}; {}",
                output::counted(report.files_received, "file", "files"),
                output::bytes(report.bytes_received),
                output::bytes(report.bytes_sent),
                report.deleted,
                output::counted(report.conflicts.len() as u64, "conflict", "conflicts"),
            ),
        }
    }
    for (folder, result) in &round.cloud {
        if let Ok(report) = result
            && report.entries + report.files + report.states + report.taken + report.files_received > 0
        {
            say!(
                "cloud, folder {}: {}, {}, {} to it; {}, {}, {} from it",
                output::short(&folder.to_string()),
                output::counted(report.states, "change", "changes"),
                output::counted(report.files, "file", "files"),
                output::bytes(report.bytes),
                output::counted(report.taken, "change", "changes"),
                output::counted(report.files_received, "file", "files"),
                output::bytes(report.bytes_received)
            );
        }
    }
}

async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates() {
        assert_eq!(
            ["1", "500K", "2m", "3G"].map(rate),
            [Ok(1), Ok(500_000), Ok(2_000_000), Ok(3_000_000_000)]
        );
        for bad in ["", "K", "0", "0M", "-1", "1.5M", "1T", "99999999999G"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
