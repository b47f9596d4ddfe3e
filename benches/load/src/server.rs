//! The cloud under load, a process of its own, and what the system knows about it.

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use meshproof_cloud::{Config, PasswordCost};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::http::Address;

/// Serves until standard input ends.
pub(crate) async fn serve(data: &Path, database: &str) -> anyhow::Result<()> {
    let mut config = Config::new(data);
    config.listen = ([127, 0, 0, 1], 0).into();
    config.identity.passwords = PasswordCost::FOR_TESTS;
    database.clone_into(&mut config.database.url);
    config.connections = 100_000; // file descriptors are the limit
    config.identity.limits.registrations_per_source.burst = 100_000;
    config.unticketed = true;
    let running = meshproof_cloud::start(config).await?;
    println!("{}", running.addr);
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(running.shutdown().await?)
}

/// A running server. Dropping the last handle ends it.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: Address,
    process: u32,
    _running: Arc<(Child, tempfile::TempDir)>,
}

impl Server {
    /// Starts this program again, as a server.
    pub(crate) async fn start(database: &str) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--database", database, "--data"])
            .arg(data.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let addr = lines.next_line().await?.context("the server did not start")?;
        let address = Address::new(addr.parse()?, &std::fs::read(data.path().join("ca.pem"))?)?;
        let process = child.id().context("the server has ended")?;
        Ok(Self { address, process, _running: Arc::new((child, data)) })
    }

    /// Processor time that it has used, in microseconds, where the system tells.
    pub(crate) fn cpu_micros(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(ticks * 10_000) // of Linux's 100 a second
    }

    /// Its memory, in KiB, where the system tells.
    pub(crate) fn memory_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}
