//! Devices that know each other find each other on a local network (`spec/handshake.md`, section 4.9). What is found there are
//! addresses to try; who is there the handshake says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::Provider;
use meshproof_proto::handshake::nearby::{Announcement, LanKey, PERIOD, SERVICE, Tag, read_tags};

use crate::error::{Error, Result};
use crate::{now, os_entropy};

/// How many announcements are kept. Those above are strangers' or a flood.
const MAX_SEEN: usize = 1_024;
/// How many addresses an announcement may have, and how many of a peer are tried at once.
const MAX_ADDRESSES: usize = 8;
/// How many addresses are remembered at which a peer was not.
const MAX_FAILED: usize = 8 * MAX_SEEN;

/// This device on its local networks: what it announces, and what others do. It ends when it is dropped.
pub struct Lan {
    provider: &'static dyn Provider,
    own: Id,
    listening: SocketAddr,
    daemon: ServiceDaemon,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<Id, LanKey>,
    /// By the name of the instance.
    seen: HashMap<String, Seen>,
    /// How often a peer was sought at these addresses and not found.
    failed: HashMap<String, u32>,
    /// What is announced: its full name, the period, and for how many keys.
    announced: Option<(String, u64, usize)>,
}

struct Seen {
    addresses: Vec<String>,
    tags: BTreeSet<Tag>,
}

impl Lan {
    /// Looks for others from now on, and announces the listener as soon as there is somebody to whom. `found` is called when
    /// there is something new to see.
    pub fn start(
        provider: &'static dyn Provider,
        own: Id,
        listening: SocketAddr,
        found: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let failed = |error| Error::Usage(format!("the local network: {error}"));
        let daemon = ServiceDaemon::new().map_err(failed)?;
        let events = daemon.browse(SERVICE).map_err(failed)?;
        let state = Arc::<Mutex<State>>::default();
        let seen = state.clone();
        std::thread::spawn(move || {
            // Ends with the daemon.
            while let Ok(event) = events.recv() {
                match event {
                    ServiceEvent::ServiceResolved(service) if lock(&seen).saw(&service) => found(),
                    ServiceEvent::ServiceRemoved(_, name) => drop(lock(&seen).seen.remove(&name)),
                    _ => {}
                }
            }
        });
        Ok(Self { provider, own, listening, daemon, state })
    }

    /// A peer, and by what the two know each other.
    pub fn knows(&self, peer: Id, key: LanKey) {
        lock(&self.state).keys.insert(peer, key);
    }

    /// Announces this device, if it is time or there are other peers than before.
    pub fn announce(&self) -> Result<()> {
        let failed = |error| Error::Usage(format!("the local network: {error}"));
        let (time, mut state) = (now(), lock(&self.state));
        let (period, peers) = (time.0 / PERIOD, state.keys.len());
        let current = state.announced.as_ref().is_some_and(|(_, of, to)| (*of, *to) == (period, peers));
        if current || peers == 0 {
            return Ok(());
        }
        let Announcement { name, properties } =
            Announcement::new(self.provider, self.own, state.keys.values(), time, &mut os_entropy);
        let (host, port) = (format!("{name}.local."), self.listening.port());
        let ip = self.listening.ip();
        let service = if ip.is_unspecified() {
            ServiceInfo::new(SERVICE, &name, &host, "", port, &properties[..])
                .map(ServiceInfo::enable_addr_auto)
        } else {
            ServiceInfo::new(SERVICE, &name, &host, ip, port, &properties[..])
        };
        let service = service.map_err(failed)?;
        let fullname = service.get_fullname().to_owned();
        if let Some((before, ..)) = state.announced.take() {
            let _ = self.daemon.unregister(&before);
        }
        self.daemon.register(service).map_err(failed)?;
        state.announced = Some((fullname, period, peers));
        Ok(())
    }

    /// Where a peer may be, as `host:port`. Who repeats its tags adds to that as it likes, so these are some of all: those that
    /// failed least, by chance.
    pub fn addresses(&self, peer: Id) -> Vec<String> {
        lock(&self.state).addresses(self.provider, peer)
    }

    /// No peer answered at an address.
    pub fn failed(&self, address: &str) {
        lock(&self.state).failed(address);
    }

    /// The peers that are seen now.
    pub fn peers(&self) -> Vec<Id> {
        let state = lock(&self.state);
        let peers = state.keys.keys().copied();
        peers.filter(|peer| state.all_addresses(self.provider, *peer).next().is_some()).collect()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        if let Some((name, ..)) = lock(&self.state).announced.take() {
            let _ = self.daemon.unregister(&name);
        }
        let _ = self.daemon.shutdown();
    }
}

impl State {
    /// Whether it is news.
    fn saw(&mut self, service: &ResolvedService) -> bool {
        let tags = read_tags(|key| service.get_property_val_str(key));
        let known = self.seen.contains_key(&service.fullname);
        if tags.is_empty() || (!known && self.seen.len() >= MAX_SEEN) {
            return false;
        }
        // An address of IPv6 that holds on one link only says nothing without the link.
        let usable = |ip: &IpAddr| match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        };
        let ips = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr).filter(usable);
        let mut addresses: Vec<String> =
            ips.map(|ip| SocketAddr::new(ip, service.port).to_string()).collect();
        addresses.sort();
        addresses.truncate(MAX_ADDRESSES);
        let seen = Seen { addresses, tags };
        let before = self.seen.get(&service.fullname);
        let news = before.is_none_or(|before| before.addresses != seen.addresses || before.tags != seen.tags);
        self.seen.insert(service.fullname.clone(), seen);
        news
    }

    fn addresses(&self, p: &dyn Provider, peer: Id) -> Vec<String> {
        let all: BTreeSet<&String> = self.all_addresses(p, peer).collect();
        let chance = || {
            let mut random = [0; 8];
            os_entropy(&mut random);
            random
        };
        let failures = |address: &String| self.failed.get(address).copied().unwrap_or(0);
        let mut ordered: Vec<_> = all.into_iter().map(|one| (failures(one), chance(), one)).collect();
        ordered.sort();
        ordered.into_iter().take(MAX_ADDRESSES).map(|(.., address)| address.clone()).collect()
    }

    fn all_addresses<'a>(&'a self, p: &'a dyn Provider, peer: Id) -> impl Iterator<Item = &'a String> {
        let time = now();
        let key = self.keys.get(&peer);
        let seen = self.seen.values().filter(move |seen| {
            let found = key.map(|key| key.finds(p, peer, &seen.tags, time));
            found.unwrap_or(false)
        });
        seen.flat_map(|seen| &seen.addresses)
    }

    fn failed(&mut self, address: &str) {
        // Those of the graph and the relay are not from here.
        if !self.seen.values().any(|seen| seen.addresses.iter().any(|known| known == address)) {
            return;
        }
        if self.failed.len() >= MAX_FAILED {
            self.failed.clear();
        }
        *self.failed.entry(address.to_owned()).or_default() += 1;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
