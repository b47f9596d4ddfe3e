//! What a cloud can be told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::ticket::MAX_LIFETIME;

use crate::state::{Clock, SystemClock};

/// The quota of a user unless configured otherwise, in bytes (STO-002).
pub const DEFAULT_QUOTA: u64 = 5_368_709_120;

/// Everything a cloud can be told. [`Config::new`] fits production; tests change single fields.
#[derive(Clone)]
pub struct Config {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The data directory: database, keys, certificates and stored bytes. Made if it does not exist.
    pub data: PathBuf,
    /// Host names and addresses for the certificate. The first also names issuer and audience.
    pub names: Vec<String>,
    /// Bytes that may be charged to a user (STO-002).
    pub quota: u64,
    /// What a password hash costs.
    pub passwords: PasswordCost,
    /// How long a ticket lives, in seconds, 1 to 600 (TKT-002).
    pub ticket_lifetime: u64,
    /// How long a token lives at most, in seconds. Without use it ends earlier: [`Identity::session_idle`].
    pub token_lifetime: u64,
    /// Signing people in.
    pub identity: Identity,
    /// The issuer's key as PKCS#8 DER, in place of the one in the data directory. For tests that sign tickets too.
    pub issuer_key: Option<Vec<u8>>,
    /// How long the next piece of a body may take to come, before the request is given up.
    pub body_idle: Duration,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Config {
    /// The configuration of a cloud on this data directory, at a free port of 127.0.0.1.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: data.into(),
            names: ["localhost", "127.0.0.1", "::1"].map(String::from).into(),
            quota: DEFAULT_QUOTA,
            passwords: PasswordCost::default(),
            ticket_lifetime: MAX_LIFETIME,
            token_lifetime: 43_200,
            identity: Identity::default(),
            issuer_key: None,
            body_idle: Duration::from_secs(30),
            clock: Arc::new(SystemClock),
        }
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

/// How people sign in (`spec/identity.md`).
#[derive(Clone, Debug)]
pub struct Identity {
    /// Whether people may register and sign in with a name and a password.
    pub passwords: bool,
    /// How long a session lives without use, in seconds (IDN-032). With use it lives as long as a token.
    pub session_idle: u64,
    /// How long an address from which a user signed in is known as that user's, in seconds (IDN-024).
    pub known_source: u64,
    /// How often one may try.
    pub limits: SignInLimits,
    /// The addresses of proxies in front of this cloud, whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpAddr>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            passwords: true,
            session_idle: 3_600,
            known_source: 30 * 86_400,
            limits: SignInLimits::default(),
            proxies: Vec::new(),
        }
    }
}

/// How often one may try (`spec/identity.md`, section 4.2).
#[derive(Clone, Copy, Debug)]
pub struct SignInLimits {
    /// Wrong passwords for one name from one address (IDN-018).
    pub failures_per_name_and_source: Limit,
    /// Wrong passwords for one name from all addresses that are not known as that user's (IDN-018).
    pub failures_per_name: Limit,
    /// Wrong passwords for any name from one address (IDN-021).
    pub failures_per_source: Limit,
    /// New users from one address (IDN-022).
    pub registrations_per_source: Limit,
    /// Challenges for one address (IDN-023).
    pub challenges_per_source: Limit,
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self {
            failures_per_name_and_source: Limit { burst: 10, per: 600 },
            failures_per_name: Limit { burst: 100, per: 3_600 },
            failures_per_source: Limit { burst: 1_000, per: 3_600 },
            registrations_per_source: Limit { burst: 2_000, per: 3_600 },
            challenges_per_source: Limit { burst: 1_200, per: 60 },
        }
    }
}

/// So many at once, and evenly distributed as many again in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many at once, at least 1.
    pub burst: u64,
    /// The period in seconds.
    pub per: u64,
}

impl Limit {
    /// How long one of them counts, in milliseconds.
    pub(crate) fn cost(self) -> u64 {
        (self.per.saturating_mul(1_000) / self.burst.max(1)).max(1)
    }
}

/// The cost of an argon2id password hash (IDN-006).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl PasswordCost {
    /// Next to nothing: for tests that sign many users in. It protects nobody.
    pub const FOR_TESTS: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };
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
