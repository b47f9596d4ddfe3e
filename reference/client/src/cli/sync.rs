//! `mesh sync`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::output::{self, Bars};
use crate::Agent;
use crate::agent::{Outcome, Round, ServeOptions};
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
    pub(super) async fn run(self, agent: &Agent) -> Result<ExitCode> {
        let bars = Arc::new(Bars::new());
        let progress = Arc::new(Limited::new(bars.clone(), self.limit_up, self.limit_down));
        if !self.serve {
            let round = agent.sync_once(progress).await?;
            bars.finish();
            return Ok(tell(&round));
        }
        let options = ServeOptions {
            listen: self.listen,
            advertise: self.advertise,
            interval: (self.interval > 0).then(|| Duration::from_secs(self.interval)),
            lan: self.lan,
        };
        let online = |address| println!("listening on {address}");
        let on_round = |round: Result<Round>| match round {
            Ok(round) => drop(tell(&round)),
            Err(error) => output::complain(&error.to_string()),
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
fn tell(round: &Round) -> ExitCode {
    for peer in &round.peers {
        let short: String = peer.device.to_string().chars().take(8).collect();
        let name = if peer.name.is_empty() { short } else { format!("{} ({short})", peer.name) };
        match &peer.outcome {
            Outcome::Offline => println!("{name}: offline"),
            Outcome::Underway => println!("{name}: a session with it goes on"),
            // Offline a moment ago; below, on stderr.
            Outcome::Waiting | Outcome::Failed(_) => {}
            Outcome::Synced(report) => println!(
                "{name}: in sync; received {} files, {}; sent {}; deleted {}; {} conflicts",
                report.files_received,
                output::bytes(report.bytes_received),
                output::bytes(report.bytes_sent),
                report.deleted,
                report.conflicts.len(),
            ),
        }
    }
    let mut cloud_failed = false;
    for (folder, result) in &round.cloud {
        let short: String = folder.to_string().chars().take(8).collect();
        match result {
            Ok(report) if report.entries + report.files > 0 => println!(
                "cloud, folder {short}: {} entries, {} files, {}",
                report.entries,
                report.files,
                output::bytes(report.bytes)
            ),
            Ok(_) => {}
            Err(error) => {
                output::complain(&format!("the cloud's copy of folder {short}: {error}"));
                cloud_failed = true;
            }
        }
    }
    match round.failure() {
        None if cloud_failed => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
        Some((peer, error)) => {
            output::complain(&format!("sync with {} failed: {error}", peer.device));
            ExitCode::FAILURE
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
