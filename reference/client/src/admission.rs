//! How many connections a responder has, so that those who prove nothing take no place from those who do.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::handshake::guard::{Allowance, Guard, SharedGuard};

/// How many connections a responder serves at once. Those above are closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that were accepted and are not authenticated yet; and as many that come through relays.
    pub half_open: usize,
    /// Of these, from one source: an IPv4 address, or the /64 of an IPv6 address; through relays, a device.
    pub half_open_per_source: usize,
    /// Sessions with authenticated devices.
    pub sessions: usize,
    /// Of these, with one device.
    pub sessions_per_device: usize,
    /// RSA operations for those who prove nothing.
    pub allowance: Allowance,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            half_open: 64,
            half_open_per_source: 8,
            sessions: 64,
            sessions_per_device: 16,
            allowance: Allowance::default(),
        }
    }
}

/// The pools: nobody gets from the first two into the third without the handshake.
pub(crate) struct Admission {
    half_open: Arc<Pool<IpAddr>>,
    /// Of those that come through relays, by who calls: the graph says who that is.
    called: Arc<Pool<Id>>,
    sessions: Arc<Pool<Id>>,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            half_open: Pool::new(limits.half_open, limits.half_open_per_source),
            called: Pool::new(limits.half_open, limits.half_open_per_source),
            sessions: Pool::new(limits.sessions, limits.sessions_per_device),
        }
    }

    /// A place for a connection from `address`, until it is authenticated or has ended.
    pub(crate) fn half_open(&self, address: IpAddr) -> Option<Place<IpAddr>> {
        Pool::enter(&self.half_open, source(address))
    }

    /// A place for a connection through a relay, which `device` asked for, until it is authenticated or has ended.
    pub(crate) fn called(&self, device: Id) -> Option<Place<Id>> {
        Pool::enter(&self.called, device)
    }

    /// A place for a session with `device`, which has authenticated.
    pub(crate) fn session(&self, device: Id) -> Option<Place<Id>> {
        Pool::enter(&self.sessions, device)
    }
}

/// The guard of a device, for all its connections (HSK-050 to HSK-052).
pub(crate) struct Guarded(pub(crate) Mutex<Guard>);

impl SharedGuard for Guarded {
    fn locked(&self, with: &mut dyn FnMut(&mut Guard)) {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What counts as one source. Whoever has one IPv6 address has its /64.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

struct Pool<K> {
    limit: usize,
    limit_per_key: usize,
    /// How many places are taken by each key that has some.
    taken: Mutex<HashMap<K, usize>>,
}

impl<K: Copy + Eq + Hash> Pool<K> {
    fn new(limit: usize, limit_per_key: usize) -> Arc<Self> {
        Arc::new(Self { limit, limit_per_key, taken: Mutex::default() })
    }

    /// Never waits: whoever waited would be one more to hold.
    fn enter(pool: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut taken = pool.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        if all >= pool.limit || taken.get(&key).is_some_and(|own| *own >= pool.limit_per_key) {
            return None;
        }
        *taken.entry(key).or_default() += 1;
        Some(Place { pool: pool.clone(), key })
    }
}

/// A place in a pool, until dropped.
pub(crate) struct Place<K: Copy + Eq + Hash> {
    pool: Arc<Pool<K>>,
    key: K,
}

impl<K: Copy + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.pool.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_source_does_not_take_all_places() {
        let admission = Admission::new(Limits::default());
        let mut taken: Vec<_> = (0..8).map(|_| admission.half_open(ip("192.0.2.1")).unwrap()).collect();
        assert!(admission.half_open(ip("192.0.2.1")).is_none());
        assert!(admission.half_open(ip("::ffff:192.0.2.1")).is_none(), "the same one, said otherwise");
        assert!(admission.half_open(ip("192.0.2.2")).is_some());
        taken.pop();
        assert!(admission.half_open(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn one_device_does_not_take_the_places_of_others_at_a_relay() {
        let admission = Admission::new(Limits::default());
        let taken: Vec<_> = (0..100).filter_map(|_| admission.called(Id([1; 16]))).collect();
        assert_eq!(taken.len(), 8);
        let others: Vec<_> = (2..=255).filter_map(|n| admission.called(Id([n; 16]))).collect();
        assert_eq!(others.len(), 56);
        assert!(admission.half_open(ip("192.0.2.1")).is_some(), "who comes directly has other places");
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let admission = Admission::new(Limits { half_open_per_source: 1, ..Limits::default() });
        let _first = admission.half_open(ip("2001:db8::1")).unwrap();
        assert!(admission.half_open(ip("2001:db8::ffff:2")).is_none());
        assert!(admission.half_open(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn half_open_connections_take_no_place_of_a_session() {
        let admission = Admission::new(Limits::default());
        let half_open: Vec<_> =
            (0..=255).filter_map(|n| admission.half_open(IpAddr::from([192, 0, 2, n]))).collect();
        assert_eq!(half_open.len(), 64);
        let sessions: Vec<_> = (0..=255).filter_map(|n| admission.session(Id([n; 16]))).collect();
        assert_eq!(sessions.len(), 64);
        drop((half_open, sessions));
        assert!(admission.half_open.taken.lock().unwrap().is_empty());
        assert!(admission.sessions.taken.lock().unwrap().is_empty());
    }
}
