//! Section `[relay]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use meshproof_proto::relay::{IDLE_TIME, JOIN_TIME, WAIT_TIME};
use serde::{Deserialize, Serialize};

use super::units;

/// Section `[relay]`: what the relay does, and which relays the graph offers to devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// Where the relay listens.
    pub listen: SocketAddr,
    /// `host:port` under which devices know it; empty for where it listens.
    pub address: String,
    /// The relays that the graph offers; empty for the one of this process, if it runs one.
    pub offers: Vec<String>,
    /// How many connections wait or are joined at once (RLY-009).
    pub connections: usize,
    /// Bytes that the devices of a user may send in a day (RLY-018).
    #[serde(with = "units::bytes")]
    pub quota: u64,
    /// Bytes that they may send in a second, as an average; 0 for as many as fit.
    #[serde(with = "units::bytes")]
    pub rate: u64,
    /// How long circuits have to end when the relay stops.
    #[serde(with = "units::duration")]
    pub drain: Duration,
    /// RLY-013. For tests, as the next two.
    #[serde(skip)]
    pub join: Duration,
    /// RLY-014
    #[serde(skip)]
    pub wait: Duration,
    /// RLY-017
    #[serde(skip)]
    pub idle: Duration,
}

impl Relay {
    pub(super) fn check(&self, demand: &mut impl FnMut(bool, &'static str, &str)) {
        let what = "host:port is expected";
        demand(self.address.is_empty() || is_address(&self.address), "relay.address", what);
        demand(self.offers.iter().all(|offer| is_address(offer)), "relay.offers", what);
        demand(self.offers.len() <= 8, "relay.offers", "at most 8 are offered");
        demand(self.connections > 1, "relay.connections", "at least 2 are needed");
    }
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8444)),
            address: String::new(),
            offers: Vec::new(),
            connections: 20_000,
            quota: 100 << 30,
            rate: 0,
            drain: Duration::from_mins(1),
            join: Duration::from_secs(JOIN_TIME),
            wait: Duration::from_secs(WAIT_TIME),
            idle: Duration::from_secs(IDLE_TIME),
        }
    }
}

/// `host:port`, as devices dial it and passes are bound to it.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let visible = host.bytes().all(|byte| byte.is_ascii_graphic());
    visible && !host.is_empty() && text.len() <= 261 && port.parse::<u16>().is_ok_and(|port| port > 0)
}
