//! The cloud services of the Meshproof reference implementation: identity, account, graph and storage in one process.
//!
//! [`start`] serves them over HTTPS from a data directory; the binary `meshd` is a shell around it. One folder a
//! service, one file an endpoint group; `router.rs` is the table of contents. All SQL is in `store/`.
//!
//! Every rejection that `spec/` demands goes through `meshproof_proto::requirement::demand` and becomes a problem
//! document (`problem.rs`) that names the requirement.

mod account;
mod auth;
mod backup;
mod bus;
mod config;
mod descriptors;
mod desktop;
mod etag;
mod extract;
mod graph;
mod health;
mod identity;
mod limits;
mod metrics;
mod observe;
mod problem;
mod relay;
mod router;
mod secrets;
mod seen;
mod server;
mod source;
mod state;
mod stopping;
mod storage;
mod store;
mod tls;
mod turns;

pub use account::keys::{
    IssuerKeyInfo, KeyStep, PUBLISHED as KEY_PUBLISHED_SECONDS, change_issuer_key, issuer_keys,
};
pub use backup::{BackupReport, backup, restore};
pub use config::{
    Account, Config, ConfigError, DEFAULT_FILE, Identity, Limit, Log, LogFormat, Mistake, OidcProvider,
    Operations, ParseUnitError, PasswordCost, Relay, Service, SignInLimits, Storage, bytes, duration,
};
pub use descriptors::raise_descriptor_limit;
pub use relay::{Listener, RunningRelay, Stream, start_relay, start_relay_on};
pub use server::{Running, start};
pub use state::{Clock, SystemClock};

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the cloud could not start, or a command on its data directory failed. The text leaves causes to
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the data directory.
    #[error("{}", path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database.
    #[error("database")]
    Database(#[from] store::StoreError),
    /// The issuer's keys.
    #[error("{0}")]
    Issuer(String),
    /// The certificates.
    #[error("certificates: {0}")]
    Certificates(String),
    /// The configuration.
    #[error("configuration: {0}")]
    Configuration(String),
    /// The address to listen on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Which.
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The new user is refused.
    #[error("the user is refused: {0}")]
    UserRefused(&'static str),
    /// A task ended unexpectedly.
    #[error("the server stopped: {0}")]
    Stopped(String),
}

/// The services as a function of requests, without a socket: for fuzzing. Panics of handlers are the caller's.
#[cfg(feature = "mutants")]
pub fn service(config: &Config) -> Result<axum::Router, Error> {
    Ok(router::router(state::App::open(config)?))
}

/// Adds a user to the cloud of this configuration, as `POST /identity/users` does. Returns the user's identifier.
pub async fn add_user(
    config: &Config,
    name: &str,
    password: &str,
) -> Result<meshproof_proto::codec::Id, Error> {
    let config = Config::clone(config);
    let opened = tokio::task::spawn_blocking(move || state::App::open(&config)).await;
    let app = opened.map_err(|e| Error::Stopped(e.to_string()))??;
    identity::users::register(&app, name.to_owned(), password.to_owned())
        .await
        .map_err(|problem| Error::UserRefused(problem.error()))
}
