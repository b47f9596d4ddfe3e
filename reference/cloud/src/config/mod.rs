//! What a cloud can be told: one TOML file, every setting of which has a default.
//!
//! `default.toml` beside this file is the documentation of all settings; a test holds it against these types. Secrets
//! are no settings: they come from the environment or from files in the data directory.

mod file;
mod identity;
mod relay;
mod units;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::ticket::MAX_LIFETIME;
use serde::{Deserialize, Serialize};

pub use self::file::{ConfigError, Mistake};
pub use self::identity::{Identity, Limit, OidcProvider, SignInLimits};
pub use self::relay::Relay;
pub use self::units::{ParseUnitError, bytes, duration};

use crate::state::{Clock, SystemClock};
use crate::store::entries::Bounds;

/// The commented file of all settings with their defaults, as `meshd default-config` prints it.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// Names longer than this make an issuer's uri that the grammar of tickets has no room for.
const MAX_NAME: usize = 230;

/// Everything a cloud can be told. [`Config::new`] fits tests, [`Config::read`] reads a file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The data directory: database, keys, certificates and stored bytes. Made if it does not exist.
    pub data: PathBuf,
    /// Host names and addresses for the certificate. The first also names issuer and audience.
    pub names: Vec<String>,
    /// Which services this process runs.
    pub services: Vec<Service>,
    /// How many connections there may be at once.
    pub connections: usize,
    /// How many of them one address may have, in percent: IPv6 by the first 64 bits, without proxies and this machine.
    pub source_share: u8,
    /// How long the next piece of a body may take to come, before the request is given up.
    #[serde(with = "units::duration")]
    pub body_idle: Duration,
    /// How long a client may take nothing of what is sent to it, before the connection is closed.
    #[serde(with = "units::duration")]
    pub answer_idle: Duration,
    /// How long open requests have when the server stops.
    #[serde(with = "units::duration")]
    pub drain: Duration,
    /// Where metadata is kept.
    pub database: Database,
    /// How processes wake each other.
    pub bus: Bus,
    /// The identity service.
    pub identity: Identity,
    /// The account service.
    pub account: Account,
    /// The graph service.
    pub graph: Graph,
    /// The storage service.
    pub storage: Storage,
    /// The relay.
    pub relay: Relay,
    /// What is for whoever operates the cloud.
    pub operations: Operations,
    /// The log.
    pub log: Log,
    /// The issuer's first key as PKCS#8 DER, in place of one that would be made. For tests that sign tickets too.
    #[serde(skip)]
    pub issuer_key: Option<Vec<u8>>,
    /// For benchmarks: a request with `Authorization: Unticketed USER` may do everything, so that what tickets cost can be
    /// measured on the same route. No file and no option can say this.
    #[cfg(feature = "load")]
    #[serde(skip)]
    pub unticketed: bool,
    /// The clock.
    #[serde(skip, default = "system_clock")]
    pub clock: Arc<dyn Clock>,
}

/// A service that can run in a process of its own, beside others that share its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Users and tokens.
    Identity,
    /// Tickets.
    Account,
    /// Nodes.
    Graph,
    /// The bytes of files.
    Storage,
    /// Web pages, and with the feature `webdav` a network drive. A client of the others, which have to run here, too.
    Desktop,
    /// Forwards between devices, on a port of its own. Alone it needs neither database nor certificates.
    Relay,
}

impl Service {
    /// All those that are reached by HTTPS.
    pub const ALL: [Self; 5] = [Self::Identity, Self::Account, Self::Graph, Self::Storage, Self::Desktop];

    /// A service by its name in files: `graph`.
    pub fn parse(name: &str) -> Option<Self> {
        use serde::de::IntoDeserializer as _;
        let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
        Self::deserialize(name).ok()
    }
}

/// Section `[database]`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `postgres://user@host/database`; empty for a file of the data directory.
    pub url: String,
    /// The password, if the URL has none.
    #[serde(skip)]
    pub password: Option<String>,
}

/// Section `[bus]`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bus {
    /// `nats://host:4222`; empty for one process.
    pub url: String,
    /// What the server asks for.
    #[serde(skip)]
    pub token: Option<String>,
}

/// Section `[account]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// How long a ticket lives, in seconds, 1 to 600 (TKT-002).
    #[serde(with = "units::seconds")]
    pub ticket_lifetime: u64,
}

/// Section `[graph]`: what a user may have.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Graph {
    /// Entries of a folder, with those deleted (GPH-132).
    pub entries: u64,
    /// Bytes of the entries of all folders that a user has made (GPH-133).
    #[serde(with = "units::bytes")]
    pub metadata: u64,
    /// Folders that a user has made (GPH-134).
    pub folders: u64,
    /// Claimed devices of a user (GPH-137).
    pub devices: u64,
}

impl Graph {
    /// What entries may take.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { entries: self.entries, metadata: self.metadata }
    }
}

/// Section `[storage]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Bytes that may be charged to a user (STO-002).
    #[serde(with = "units::bytes")]
    pub quota: u64,
    /// `s3://bucket/prefix` where stored bytes are; empty for files of the data directory.
    pub objects: String,
    /// How long bytes wait for an entry that names them, in seconds (STO-037).
    #[serde(with = "units::seconds")]
    pub grace: u64,
    /// How long an upload waits for its next bytes, in seconds (STO-025).
    #[serde(with = "units::seconds")]
    pub upload_idle: u64,
    /// How many unfinished uploads a folder has (STO-022).
    pub uploads: u64,
    /// Bytes a second that a client has to send, as an average over `rate_window` (STO-027).
    #[serde(with = "units::bytes")]
    pub min_rate: u64,
    /// See `min_rate`.
    #[serde(with = "units::duration")]
    pub rate_window: Duration,
}

/// Section `[operations]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Operations {
    /// Where to serve metrics and health, without TLS. `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// Section `[log]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Which are written: a level, or `target=level` with commas between.
    pub filter: String,
}

/// How the lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The cost of an argon2id password hash (IDN-006).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordCost {
    /// Memory in KiB.
    #[serde(rename = "memory", with = "units::kibibytes")]
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Config {
    /// The configuration of a cloud on this data directory, at a free port of 127.0.0.1.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let relay = Relay { listen, ..Relay::default() };
        Self { listen, data: data.into(), relay, ..Self::default() }
    }

    /// What no single setting says: whether they make sense. The key names the setting.
    pub(crate) fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mut demand = |holds: bool, key: &'static str, what: &str| {
            if !holds {
                wrong.push((key, what.to_owned()));
            }
        };
        demand(!self.data.as_os_str().is_empty(), "data", "a directory is needed");
        demand(!self.names.is_empty(), "names", "at least one name is needed");
        for name in &self.names {
            let what = format!(
                "{name:?} is no host name or address: 1 to {MAX_NAME} letters, digits, `-`, `.`, `:` are expected"
            );
            demand(is_host(name), "names", &what);
        }
        demand(!self.services.is_empty(), "services", "at least one service is needed");
        let whole = Service::ALL.iter().all(|service| self.services.contains(service));
        let desktop = self.services.contains(&Service::Desktop);
        demand(whole || !desktop, "services", "desktop needs all other services beside it");
        demand(self.connections > 0, "connections", "at least 1 is needed");
        demand((1..=100).contains(&self.source_share), "source_share", "1 to 100 percent are expected");
        let postgres = ["postgres://", "postgresql://"];
        let known = |url: &str| url.is_empty() || postgres.iter().any(|scheme| url.starts_with(scheme));
        demand(known(&self.database.url), "database.url", "postgres://user@host/database is expected");
        let nats =
            self.bus.url.is_empty() || ["nats://", "tls://"].iter().any(|s| self.bus.url.starts_with(s));
        demand(nats, "bus.url", "nats://host:port or tls://host:port is expected");
        let bucket = self.storage.objects.is_empty() || self.storage.objects.starts_with("s3://");
        demand(bucket, "storage.objects", "s3://bucket/prefix is expected");
        self.identity.check(&mut demand);
        self.relay.check(&mut demand);
        let lives = (1..=MAX_LIFETIME).contains(&self.account.ticket_lifetime);
        demand(lives, "account.ticket_lifetime", "tickets live 1 s to 600 s (TKT-002)");
        let fits = i64::try_from(self.storage.quota).is_ok();
        demand(fits, "storage.quota", "at most 8388607 TiB fit");
        let waits = self.storage.grace > 0 && self.storage.upload_idle > 0;
        demand(waits, "storage", "grace and upload_idle are at least 1 s");
        let filter = self.log.filter.parse::<tracing_subscriber::filter::Targets>();
        let what =
            "a level (error, warn, info, debug, trace, off) is expected, or target=level with commas between";
        demand(filter.is_ok(), "log.filter", what);
        wrong
    }

    /// Whether this process is nothing but a relay.
    pub fn is_only_a_relay(&self) -> bool {
        !self.services.is_empty() && self.services.iter().all(|service| *service == Service::Relay)
    }

    /// The issuer's uri.
    pub fn issuer(&self) -> String {
        format!("urn:meshproof:issuer:{}", self.first_name())
    }

    /// The uri for which the services accept tickets.
    pub fn audience(&self) -> String {
        format!("urn:meshproof:cloud:{}", self.first_name())
    }

    fn first_name(&self) -> &str {
        self.names.first().map_or("localhost", String::as_str)
    }
}

impl PasswordCost {
    /// Next to nothing: for tests that sign many users in. It protects nobody.
    pub const FOR_TESTS: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            data: "meshd-data".into(),
            names: ["localhost", "127.0.0.1", "::1"].map(String::from).into(),
            services: Service::ALL.into(),
            // As many as leave file descriptors for everything else, where a process has 1,024.
            connections: 512,
            source_share: 25,
            body_idle: Duration::from_secs(30),
            answer_idle: Duration::from_mins(1),
            drain: Duration::from_secs(10),
            database: Database::default(),
            bus: Bus::default(),
            identity: Identity::default(),
            account: Account::default(),
            graph: Graph::default(),
            storage: Storage::default(),
            relay: Relay::default(),
            operations: Operations::default(),
            log: Log::default(),
            issuer_key: None,
            #[cfg(feature = "load")]
            unticketed: false,
            clock: system_clock(),
        }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self { ticket_lifetime: MAX_LIFETIME }
    }
}

impl Default for Graph {
    fn default() -> Self {
        Self { entries: 1_000_000, metadata: 1_073_741_824, folders: 10_000, devices: 1_000 }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            quota: 5_368_709_120,
            objects: String::new(),
            grace: 86_400,
            upload_idle: 86_400,
            uploads: 16,
            min_rate: 1_024,
            rate_window: Duration::from_mins(1),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

impl Default for PasswordCost {
    /// What the `argon2` crate recommends (19 MiB, 2 passes, 1 lane).
    fn default() -> Self {
        use argon2::Params;
        Self {
            memory_kib: Params::DEFAULT_M_COST,
            passes: Params::DEFAULT_T_COST,
            lanes: Params::DEFAULT_P_COST,
        }
    }
}

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn is_host(name: &str) -> bool {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    (1..=MAX_NAME).contains(&name.len()) && (letters || name.parse::<IpAddr>().is_ok())
}
