//! Devices that know each other find each other on a local network (`spec/handshake.md`, section 4.9). What is found there are
//! addresses to try; who is there the handshake says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::Provider;
use meshproof_proto::handshake::nearby::{Announcement, LanKey, PERIOD, SERVICE, Tag, read_tags};
use meshproof_proto::time::UnixTime;

use crate::error::{Error, Result};
use crate::{now, os_entropy};

/// How many announcements are kept. Those above are strangers' or a flood.
const MAX_SEEN: usize = 1_024;
/// How many of them may have a tag of the same peer: one is its own, the others repeat it.
const MAX_OF_PEER: usize = 64;
/// How many addresses an announcement may have, and how many of a peer are tried at once.
const MAX_ADDRESSES: usize = 8;
/// How many addresses are remembered at which a peer was not.
const MAX_FAILED: usize = 8 * MAX_SEEN;
/// How long to wait before looking again when the daemon gave up: more came than was taken.
const AGAIN: Duration = Duration::from_secs(5);

/// This device on its local networks: what it announces, and what others do. It ends when it is dropped.
pub struct Lan {
    provider: &'static dyn Provider,
    own: Id,
    listening: SocketAddr,
    daemon: ServiceDaemon,
    stopped: Arc<AtomicBool>,
    /// What the tags that stand for nobody are made of.
    padding: LanKey,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<Id, LanKey>,
    /// Who announces these tags now, and in which period that is so: to look at an announcement costs no cryptography.
    expected: HashMap<Tag, Id>,
    period: u64,
    /// By the name of the instance.
    seen: HashMap<String, Seen>,
    /// How often a peer was sought at an address and not found.
    failed: HashMap<(Id, String), u32>,
    /// What is announced: its full name, the period, and to whom.
    announced: Option<(String, u64, BTreeSet<Id>)>,
}

struct Seen {
    addresses: Vec<String>,
    tags: BTreeSet<Tag>,
    /// Whose tag is among them in this period: one that repeats tags of several is taken for one of them.
    peer: Option<Id>,
}

impl Lan {
    /// Looks for others from now on, and announces the listener as soon as there is somebody to whom. `found` is called with a peer
    /// of which there is something new to see.
    pub fn start(
        provider: &'static dyn Provider,
        own: Id,
        listening: SocketAddr,
        found: impl Fn(Id) + Send + 'static,
    ) -> Result<Self> {
        let failed = |error| Error::Usage(format!("the local network: {error}"));
        let daemon = ServiceDaemon::new().map_err(failed)?;
        let mut events = daemon.browse(SERVICE).map_err(failed)?;
        let (state, stopped) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let (seen, stop, looking) = (state.clone(), stopped.clone(), daemon.clone());
        let loopback = listening.ip().is_loopback();
        std::thread::spawn(move || {
            loop {
                while let Ok(event) = events.recv() {
                    let news = match event {
                        ServiceEvent::ServiceResolved(service) => {
                            lock(&seen).resolved(provider, &service, loopback)
                        }
                        ServiceEvent::ServiceRemoved(_, name) => {
                            lock(&seen).seen.remove(&name);
                            None
                        }
                        _ => None,
                    };
                    if let Some(peer) = news {
                        found(peer);
                    }
                }
                // The daemon ends a subscription for which too much comes at once, and then nothing comes any more.
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(AGAIN);
                match looking.browse(SERVICE) {
                    Ok(again) => events = again,
                    Err(_) => return,
                }
            }
        });
        let mut padding = [0; 32];
        os_entropy(&mut padding);
        Ok(Self { provider, own, listening, daemon, stopped, padding: LanKey::new(padding), state })
    }

    /// A peer, and by what the two know each other.
    pub fn knows(&self, peer: Id, key: LanKey) {
        let mut state = lock(&self.state);
        state.keys.insert(peer, key);
        state.expect(self.provider, now());
    }

    /// Only these are peers from now on: nothing is announced to others, and they are not sought.
    pub fn forget_others(&self, peers: &BTreeSet<Id>) {
        let mut state = lock(&self.state);
        state.keys.retain(|peer, _| peers.contains(peer));
        state.expect(self.provider, now());
    }

    /// Announces this device, if it is time or there are other peers than before.
    pub fn announce(&self) -> Result<()> {
        let failed = |error| Error::Usage(format!("the local network: {error}"));
        let (time, mut state) = (now(), lock(&self.state));
        let (period, peers) = (time.0 / PERIOD, state.keys.keys().copied().collect::<BTreeSet<_>>());
        let current = state.announced.as_ref().is_some_and(|(_, of, to)| (*of, to) == (period, &peers));
        if current {
            return Ok(());
        }
        if let Some((before, ..)) = state.announced.take() {
            let _ = self.daemon.unregister(&before);
        }
        if peers.is_empty() {
            return Ok(());
        }
        let keys = state.keys.values();
        let Announcement { name, properties } =
            Announcement::new(self.provider, self.own, keys, &self.padding, time, &mut os_entropy);
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
        self.daemon.register(service).map_err(failed)?;
        state.announced = Some((fullname, period, peers));
        Ok(())
    }

    /// Where a peer may be, as `host:port`. Who repeats its tags adds to that as it likes, so these are some of all: those that
    /// failed least, by chance.
    pub fn addresses(&self, peer: Id) -> Vec<String> {
        let mut state = lock(&self.state);
        state.expect_now(self.provider, now());
        state.addresses(peer)
    }

    /// The peer was not at an address.
    pub fn failed(&self, peer: Id, address: &str) {
        lock(&self.state).failed(peer, address);
    }

    /// The peer was at an address.
    pub fn worked(&self, peer: Id, address: &str) {
        lock(&self.state).failed.remove(&(peer, address.to_owned()));
    }

    /// The peers that are seen now.
    pub fn peers(&self) -> BTreeSet<Id> {
        let mut state = lock(&self.state);
        state.expect_now(self.provider, now());
        state.seen.values().filter_map(|seen| seen.peer).collect()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some((name, ..)) = lock(&self.state).announced.take() {
            let _ = self.daemon.unregister(&name);
        }
        let _ = self.daemon.shutdown();
    }
}

impl State {
    fn resolved(&mut self, p: &dyn Provider, service: &ResolvedService, loopback: bool) -> Option<Id> {
        let usable = |ip: &IpAddr| is_usable(*ip, loopback);
        let ips = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr).filter(usable);
        let mut addresses: Vec<String> =
            ips.map(|ip| SocketAddr::new(ip, service.port).to_string()).collect();
        addresses.sort();
        addresses.truncate(MAX_ADDRESSES);
        let tags = read_tags(|key| service.get_property_val_str(key));
        self.expect_now(p, now());
        self.saw(&service.fullname, Seen { addresses, tags, peer: None })
    }

    /// Of which peer it is news.
    fn saw(&mut self, name: &str, seen: Seen) -> Option<Id> {
        let same = |known: &Seen| (&known.addresses, &known.tags) == (&seen.addresses, &seen.tags);
        if seen.tags.is_empty() || self.seen.get(name).is_some_and(same) {
            return None;
        }
        let peer = self.peer(&seen.tags);
        if !self.seen.contains_key(name) && !self.makes_room(peer) {
            return None;
        }
        self.seen.insert(name.to_owned(), Seen { peer, ..seen });
        peer
    }

    /// Whether one more may be kept, of a peer or of a stranger. Strangers give way; of those with the tag of one peer another does.
    fn makes_room(&mut self, peer: Option<Id>) -> bool {
        let gives_way = match peer {
            Some(peer) if self.names_of(Some(peer)).count() >= MAX_OF_PEER => {
                let names: Vec<&String> = self.names_of(Some(peer)).collect();
                Some(names[random() % names.len()].clone())
            }
            Some(_) if self.seen.len() >= MAX_SEEN => self.names_of(None).next().cloned(),
            _ => None,
        };
        gives_way.map(|name| self.seen.remove(&name));
        self.seen.len() < MAX_SEEN
    }

    /// What has a tag of this peer, or of none.
    fn names_of(&self, peer: Option<Id>) -> impl Iterator<Item = &String> {
        self.seen.iter().filter(move |(_, seen)| seen.peer == peer).map(|(name, _)| name)
    }

    fn peer(&self, tags: &BTreeSet<Tag>) -> Option<Id> {
        tags.iter().find_map(|tag| self.expected.get(tag)).copied()
    }

    /// Computes what peers announce, if that was for another time.
    fn expect_now(&mut self, p: &dyn Provider, now: UnixTime) {
        if self.period != now.0 / PERIOD {
            self.expect(p, now);
        }
    }

    fn expect(&mut self, p: &dyn Provider, now: UnixTime) {
        let tags = |(peer, key): (&Id, &LanKey)| key.tags(p, *peer, now).map(|tag| (tag, *peer));
        self.expected = self.keys.iter().flat_map(tags).collect();
        self.period = now.0 / PERIOD;
        let peer = |tags: &BTreeSet<Tag>| tags.iter().find_map(|tag| self.expected.get(tag)).copied();
        self.seen.values_mut().for_each(|seen| seen.peer = peer(&seen.tags));
    }

    fn addresses(&self, peer: Id) -> Vec<String> {
        let of_peer = self.seen.values().filter(|seen| {
            let mut peers = seen.tags.iter().filter_map(|tag| self.expected.get(tag));
            peers.any(|known| *known == peer)
        });
        let all: BTreeSet<&String> = of_peer.flat_map(|seen| &seen.addresses).collect();
        let failures = |address: &String| self.failed.get(&(peer, address.clone())).copied().unwrap_or(0);
        let mut ordered: Vec<_> = all.into_iter().map(|one| (failures(one), random(), one)).collect();
        ordered.sort();
        ordered.into_iter().take(MAX_ADDRESSES).map(|(.., address)| address.clone()).collect()
    }

    fn failed(&mut self, peer: Id, address: &str) {
        // Those of the graph and the relay are not from here.
        if !self.seen.values().any(|seen| seen.addresses.iter().any(|known| known == address)) {
            return;
        }
        if self.failed.len() >= MAX_FAILED {
            self.failed.clear();
        }
        *self.failed.entry((peer, address.to_owned())).or_default() += 1;
    }
}

/// Whether an address that somebody announced on a network may be tried. One of IPv6 that holds on one link only says nothing without the
/// link; and nobody else says what is on this machine.
fn is_usable(ip: IpAddr, loopback: bool) -> bool {
    let nowhere = ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() && !loopback;
    !nowhere
        && match ip.to_canonical() {
            IpAddr::V4(v4) => !v4.is_broadcast() && (loopback || !v4.is_loopback()),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        }
}

/// A number that nobody else can foretell.
fn random() -> usize {
    let mut bytes = [0; size_of::<usize>()];
    os_entropy(&mut bytes);
    usize::from_ne_bytes(bytes)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use meshproof_proto::crypto::DEFAULT;

    use super::*;

    const PEER: Id = Id([2; 16]);
    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn state() -> State {
        let mut state = State::default();
        state.keys.insert(PEER, LanKey::new([7; 32]));
        state.expect(DEFAULT, NOW);
        state
    }

    /// An announcement with the tag of the peer.
    fn of_peer(address: &str) -> Seen {
        let tags = LanKey::new([7; 32]).tags(DEFAULT, PEER, NOW);
        Seen { addresses: vec![address.into()], tags: BTreeSet::from([tags[1]]), peer: None }
    }

    fn of_stranger(number: usize) -> Seen {
        let tag = (number as u64).to_be_bytes();
        Seen { addresses: vec![format!("192.0.2.1:{number}")], tags: BTreeSet::from([tag]), peer: None }
    }

    #[test]
    fn a_flood_of_strangers_is_bounded_and_hides_no_peer() {
        let mut state = state();
        for number in 1..5_000 {
            assert!(state.saw(&format!("stranger {number}"), of_stranger(number)).is_none(), "no news");
        }
        assert_eq!(state.seen.len(), MAX_SEEN);
        assert_eq!(state.saw("peer", of_peer("192.0.2.9:1")), Some(PEER));
        assert_eq!(state.saw("peer", of_peer("192.0.2.9:1")), None, "the same again");
        assert_eq!(state.saw("peer", of_peer("192.0.2.9:2")), Some(PEER), "it has moved");
        assert_eq!((state.addresses(PEER), state.seen.len()), (vec!["192.0.2.9:2".into()], MAX_SEEN));
    }

    #[test]
    fn who_repeats_a_tag_is_bounded_and_hides_the_peer_from_no_long_search() {
        let mut state = state();
        for number in 0..5_000 {
            state.saw(&format!("repeated {number}"), of_peer(&format!("192.0.2.1:{number}")));
        }
        assert_eq!(state.seen.len(), MAX_OF_PEER);
        state.saw("peer", of_peer("192.0.2.9:1"));
        let searches = (1..=5_000).find(|_| {
            let tried = state.addresses(PEER);
            assert!(tried.len() <= MAX_ADDRESSES);
            tried.iter().for_each(|address| state.failed(PEER, address));
            tried.contains(&"192.0.2.9:1".into())
        });
        assert!(searches.unwrap() <= MAX_OF_PEER / MAX_ADDRESSES, "{searches:?}: none twice before all once");
        state.failed(PEER, "relay.example:8444");
        assert!(state.failed.keys().all(|(_, address)| address != "relay.example:8444"));
    }

    #[test]
    fn where_one_peer_is_not_another_may_be() {
        let mut state = state();
        let other = Id([3; 16]);
        state.keys.insert(other, LanKey::new([8; 32]));
        state.expect(DEFAULT, NOW);
        let tags = LanKey::new([8; 32]).tags(DEFAULT, other, NOW);
        let theirs = |address: &str| Seen {
            addresses: vec![address.into()],
            tags: BTreeSet::from([tags[1]]),
            peer: None,
        };
        // Somebody repeats the tag of one with the address of the other, and with more than are tried.
        state.saw("peer", of_peer("192.0.2.9:1"));
        state.saw("repeated", theirs("192.0.2.9:1"));
        for _ in 0..100 {
            state.failed(other, "192.0.2.9:1");
        }
        for number in 0..MAX_OF_PEER {
            state.saw(&format!("fresh {number}"), of_peer(&format!("192.0.2.1:{number}")));
        }
        let searches = (0..MAX_OF_PEER).find(|_| {
            state.saw("peer", of_peer("192.0.2.9:1")); // it announces itself again
            let tried = state.addresses(PEER);
            tried.iter().for_each(|address| state.failed(PEER, address));
            tried.contains(&"192.0.2.9:1".into())
        });
        assert!(searches.unwrap() <= 1 + MAX_OF_PEER / MAX_ADDRESSES, "{searches:?}");
    }

    #[test]
    fn nobody_else_says_what_is_on_this_machine() {
        let usable = |text: &str, loopback| is_usable(text.parse().unwrap(), loopback);
        for here in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(!usable(here, false) && usable(here, true), "{here}");
        }
        for nowhere in ["0.0.0.0", "::", "224.0.0.251", "ff02::fb", "255.255.255.255", "fe80::1"] {
            assert!(!usable(nowhere, false) && !usable(nowhere, true), "{nowhere}");
        }
        assert!(usable("192.168.1.2", false) && usable("fd00::1", false));
    }

    #[test]
    fn who_is_no_peer_any_more_is_not_sought() {
        let mut state = state();
        state.saw("peer", of_peer("192.0.2.9:1"));
        state.keys.clear();
        state.expect(DEFAULT, NOW);
        assert!(state.addresses(PEER).is_empty());
    }

    #[test]
    fn what_is_expected_follows_the_clock() {
        let mut state = state();
        state.saw("peer", of_peer("192.0.2.9:1"));
        state.expect_now(DEFAULT, NOW.plus(PERIOD));
        assert_eq!(state.addresses(PEER).len(), 1, "clocks differ");
        state.expect_now(DEFAULT, NOW.plus(2 * PERIOD));
        assert!(state.addresses(PEER).is_empty());
    }
}
