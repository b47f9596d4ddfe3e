//! `meshd`: the cloud as a program.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use meshproof_cloud::{
    Config, ConfigError, DEFAULT_FILE, Error, IssuerKeyInfo, KeyStep, Log, LogFormat, ParseUnitError,
    Service, add_user, backup, bytes, change_issuer_key, issuer_keys, raise_descriptor_limit, restore, start,
    start_relay,
};
use meshproof_proto::time::UnixTime;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;

/// The Meshproof cloud: identity, account, graph and storage services over HTTPS.
///
/// Exit codes: 0 after SIGTERM or when the command did its work; 1 when something failed; 2 when the command line or
/// the configuration is not acceptable.
#[derive(Parser)]
#[command(name = "meshd", version)]
struct Arguments {
    /// The configuration. See `meshd default-config`. The options below go before it.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where to listen. [default: 127.0.0.1:8443]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The data directory: database, keys, certificates and stored bytes. [default: meshd-data]
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    /// A host name or address for the certificate. The first also names issuer and audience.
    #[arg(long = "name", value_name = "NAME", global = true)]
    names: Vec<String>,
    /// Which services run here: identity, account, graph, storage, desktop, relay. [default: all but the relay]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = service)]
    services: Vec<Service>,
    /// Where the relay listens. [default: 127.0.0.1:8444]
    #[arg(long, value_name = "ADDRESS")]
    relay_listen: Option<SocketAddr>,
    /// Bytes that may be charged to a user, such as 5GiB; without a unit they are bytes.
    #[arg(long, value_parser = size)]
    quota: Option<u64>,
    /// Which lines the log has: error, warn, info, debug, trace, off, or target=level with commas between.
    #[arg(long, value_name = "FILTER", global = true)]
    log: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Print a commented configuration file of all settings and their defaults.
    DefaultConfig,
    /// Say all that is wrong in a configuration file.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
    /// Copy the database, the blobs that it names, and the keys to a new directory, while a server may run.
    Backup {
        /// The directory to make.
        to: PathBuf,
    },
    /// Make the data directory of a backup. All sessions end.
    Restore {
        /// The directory that `meshd backup` made.
        from: PathBuf,
    },
    /// Replace the issuer's key while servers run: add-key, 15 minutes later promote, 15 minutes later retire.
    #[command(subcommand)]
    Issuer(Issuer),
    /// Manage users.
    #[command(subcommand)]
    User(User),
}

#[derive(Subcommand)]
enum Issuer {
    /// List the keys: fingerprint, state, and since when.
    Keys,
    /// Publish a new key, which does not sign yet.
    AddKey,
    /// Let the new key sign; the old one stays published.
    Promote {
        /// Even if devices may not have learnt of the new key: the old one was stolen.
        #[arg(long)]
        now: bool,
    },
    /// Remove the key that does not sign.
    Retire {
        /// Even if tickets that it signed may be about: it was stolen.
        #[arg(long)]
        now: bool,
    },
}

#[derive(Subcommand)]
enum User {
    /// Add a user. The password comes from MESH_PASSWORD, or else from the first line of standard input.
    Add {
        /// 2 to 63 characters of a-z, 0-9, `.`, `_`, `-`.
        name: String,
    },
}

const UNACCEPTABLE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    no_core_dumps();
    let Err(error) = run(Arguments::parse()).await else { return ExitCode::SUCCESS };
    let unacceptable =
        error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(Error::Configuration(_)));
    // The mistakes of a file are a line each, with the file's name as compilers have it; all else is one line.
    let prefix =
        if matches!(error.downcast_ref(), Some(ConfigError::Mistakes { .. })) { "" } else { "meshd: " };
    let _ = writeln!(std::io::stderr(), "{prefix}{error:#}"); // causes behind colons
    if unacceptable { ExitCode::from(UNACCEPTABLE) } else { ExitCode::FAILURE }
}

async fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    let command = arguments.command.take();
    match &command {
        Some(Command::DefaultConfig) => {
            print!("{DEFAULT_FILE}");
            return Ok(());
        }
        Some(Command::CheckConfig { file }) => {
            Config::read(file)?;
            println!("{}: no mistakes", file.display());
            return Ok(());
        }
        _ => {}
    }
    let config = configure(arguments)?;
    start_log(&config.log)?;
    match command {
        Some(Command::User(User::Add { name })) => {
            let user = add_user(&config, &name, &password()?).await?;
            println!("{user}");
            Ok(())
        }
        Some(Command::Backup { to }) => {
            let report = tokio::task::spawn_blocking(move || backup(&config, &to)).await??;
            println!("{} blobs, {} bytes", report.blobs, report.bytes);
            Ok(())
        }
        Some(Command::Restore { from }) => {
            let report = tokio::task::spawn_blocking(move || restore(&config, &from)).await??;
            println!("{} blobs, {} bytes", report.blobs, report.bytes);
            Ok(())
        }
        Some(Command::Issuer(command)) => {
            // The store blocks.
            let keys = tokio::task::spawn_blocking(move || issuer(&config, &command)).await??;
            for IssuerKeyInfo { fingerprint, state, since } in keys {
                println!("{fingerprint} {state} since {}", UnixTime(since));
            }
            Ok(())
        }
        _ => serve(config).await,
    }
}

/// A size with its unit, or just bytes.
fn size(text: &str) -> Result<u64, ParseUnitError> {
    text.parse().or_else(|_| bytes::parse(text))
}

/// A service by its name.
fn service(name: &str) -> Result<Service, String> {
    Service::parse(name).ok_or_else(|| format!("there is no service {name:?}"))
}

/// The configuration file, and what the command line says in its place.
fn configure(arguments: Arguments) -> Result<Config, ConfigError> {
    let Arguments { config, listen, data, names, services, relay_listen, quota, log, command: _ } = arguments;
    let mut config = config.map_or_else(|| Ok(Config::default()), |path| Config::read(&path))?;
    config.listen = listen.unwrap_or(config.listen);
    config.data = data.unwrap_or(config.data);
    if !names.is_empty() {
        config.names = names;
    }
    if !services.is_empty() {
        config.services = services;
    }
    config.relay.listen = relay_listen.unwrap_or(config.relay.listen);
    config.bus.token = std::env::var("MESH_BUS_TOKEN").ok();
    config.database.password = std::env::var("MESH_DATABASE_PASSWORD").ok();
    config.storage.quota = quota.unwrap_or(config.storage.quota);
    config.log.filter = log.unwrap_or(config.log.filter);
    Ok(config)
}

fn issuer(config: &Config, command: &Issuer) -> Result<Vec<IssuerKeyInfo>, Error> {
    match *command {
        Issuer::Keys => {}
        Issuer::AddKey => change_issuer_key(config, KeyStep::Add)?,
        Issuer::Promote { now } => change_issuer_key(config, KeyStep::Promote { early: now })?,
        Issuer::Retire { now } => change_issuer_key(config, KeyStep::Retire { early: now })?,
    }
    issuer_keys(config)
}

fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter: tracing_subscriber::filter::Targets = log
        .filter
        .parse()
        .map_err(|_| Error::Configuration(format!("the log filter {:?} is none", log.filter)))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    tracing::subscriber::set_global_default(subscriber).context("there is a log already")
}

async fn serve(config: Config) -> anyhow::Result<()> {
    raise_descriptor_limit(&config);
    if config.is_only_a_relay() {
        let running = start_relay(&config).await?;
        println!("{}", running.address);
        let operations = running.operations.map(tracing::field::display);
        tracing::info!(listening = %running.addr, address = running.address, operations, "relaying");
        stop_signal().await?;
        tracing::info!("draining");
        running.shutdown().await;
        return Ok(());
    }
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

/// A core dump would have the keys of issuer and relay, tokens and tickets. As a side effect, who is not root cannot attach a debugger.
fn no_core_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        eprintln!("core dumps cannot be switched off: {error}");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn a_crash_leaves_no_keys_on_disk() {
        super::no_core_dumps();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
