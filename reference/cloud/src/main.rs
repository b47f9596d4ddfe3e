//! `meshd`: the cloud as a program.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use meshproof_cloud::{Config, DEFAULT_QUOTA, add_user, start};

/// The Meshproof cloud: identity, account, graph and storage services over HTTPS.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8443", env = "MESH_LISTEN")]
    listen: SocketAddr,
    /// The data directory: database, keys, certificates and stored bytes.
    #[arg(long, default_value = "meshd-data", env = "MESH_DATA", global = true)]
    data: PathBuf,
    /// The URL of a database server that several processes share, postgres://user:password@host/database. Without it the
    /// database is a file of the data directory.
    #[arg(long, value_name = "URL", env = "MESH_DATABASE", hide_env_values = true, global = true)]
    database: Option<String>,
    /// A host name or address for the certificate. The first also names issuer and audience.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Bytes that may be charged to a user.
    #[arg(long, default_value_t = DEFAULT_QUOTA)]
    quota: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Manage users.
    #[command(subcommand)]
    User(User),
}

#[derive(Subcommand)]
enum User {
    /// Add a user. The password comes from MESH_PASSWORD, or else from the first line of standard input.
    Add {
        /// 2 to 63 characters of a-z, 0-9, `.`, `_`, `-`.
        name: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // One line, causes behind colons.
            let _ = writeln!(std::io::stderr(), "meshd: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = Config::new(arguments.data);
    config.listen = arguments.listen;
    config.database = arguments.database;
    config.quota = arguments.quota;
    if !arguments.names.is_empty() {
        config.names = arguments.names;
    }
    match arguments.command {
        Some(Command::User(User::Add { name })) => {
            let user = add_user(&config, &name, &password()?).await?;
            println!("{user}");
            Ok(())
        }
        None => serve(config).await,
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let ca = config.data.join("ca.pem");
    let mut running = start(config).await?;
    println!("{}", running.url);
    tracing::info!(url = running.url, ca = %ca.display(), audience = running.audience, "serving");
    tokio::select! {
        stopped = running.stopped() => return Ok(stopped?),
        signal = stop_signal() => signal?,
    }
    tracing::info!("stopping");
    Ok(running.shutdown().await?)
}

/// Waits for Ctrl-C, or where there is such a thing for SIGTERM.
async fn stop_signal() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("cannot watch for signals")?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot watch for signals"),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.context("cannot watch for signals")
}

fn password() -> anyhow::Result<String> {
    if let Ok(password) = std::env::var("MESH_PASSWORD") {
        return Ok(password);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the password from standard input")?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
