//! How many connections a responder has, so that those who prove nothing take no place from those who do, and one person with many
//! devices or addresses none from others.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::handshake::guard::{Allowance, Guard, SharedGuard};
use tokio::sync::Notify;

/// How many connections a responder serves at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that were accepted and are not authenticated yet; and as many that come through relays. When there are more, the
    /// oldest of the source that has most is closed.
    pub half_open: usize,
    /// Of these, from one source: an IPv4 address, or the /64 of an IPv6 address; through relays, a user. Those above are closed at once.
    pub half_open_per_source: usize,
    /// Sessions with authenticated devices. A quarter is for devices of the same user. Those above are closed at once.
    pub sessions: usize,
    /// Of these, with devices of one other user.
    pub sessions_per_user: usize,
    /// RSA operations for those who prove nothing.
    pub allowance: Allowance,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            half_open: 64,
            half_open_per_source: 8,
            sessions: 64,
            sessions_per_user: 16,
            allowance: Allowance::default(),
        }
    }
}

/// The pools: nobody gets from the first two into the others without the handshake.
pub(crate) struct Admission {
    half_open: Arc<Pool<IpAddr>>,
    /// Of those that come through relays, by whose device calls: the graph says who that is.
    called: Arc<Pool<Id>>,
    sessions: Arc<Pool<Id>>,
    /// Of the sessions, those with devices of other users.
    others: Arc<Pool<Id>>,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        let of_others = limits.sessions - limits.sessions / 4;
        Self {
            half_open: Pool::new(limits.half_open, limits.half_open_per_source),
            called: Pool::new(limits.half_open, limits.half_open_per_source),
            sessions: Pool::new(limits.sessions, limits.sessions),
            others: Pool::new(of_others, limits.sessions_per_user),
        }
    }

    /// A place for a connection from `address`, until it is authenticated or has ended.
    pub(crate) fn half_open(&self, address: IpAddr) -> Option<Place<IpAddr>> {
        Pool::enter(&self.half_open, source(address), Some(network))
    }

    /// A place for a connection through a relay, which a device of `user` asked for, until it is authenticated or has ended.
    pub(crate) fn called(&self, user: Id) -> Option<Place<Id>> {
        Pool::enter(&self.called, user, Some(|user| user))
    }

    /// A place for a session with a device of `user`, which has authenticated; that may be the user of this device.
    pub(crate) fn session(&self, user: Id, is_own: bool) -> Option<[Option<Place<Id>>; 2]> {
        let of_others = if is_own { None } else { Some(Pool::enter(&self.others, user, None)?) };
        Some([Some(Pool::enter(&self.sessions, user, None)?), of_others])
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

/// What one attacker may well have: of IPv6 a /48.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

struct Pool<K> {
    limit: usize,
    limit_per_key: usize,
    /// Those who have places, in the order in which they came, and how they are told that theirs is gone.
    taken: Mutex<BTreeMap<u64, (K, Arc<Notify>)>>,
}

impl<K: Copy + Eq + Hash> Pool<K> {
    fn new(limit: usize, limit_per_key: usize) -> Arc<Self> {
        Arc::new(Self { limit, limit_per_key, taken: Mutex::default() })
    }

    /// Never waits: whoever waited would be one more to hold. With `group` somebody gives way where all places are taken: of the
    /// group with the most, and in it of the key with the most, who has been there longest. So neither do many sources of a few
    /// connections each keep others out.
    fn enter(pool: &Arc<Self>, key: K, group: Option<fn(K) -> K>) -> Option<Place<K>> {
        let mut taken = pool.lock();
        if taken.values().filter(|(other, _)| *other == key).count() >= pool.limit_per_key || pool.limit == 0
        {
            return None;
        }
        if taken.len() >= pool.limit {
            let group = group?;
            let (mut groups, mut keys) = (HashMap::new(), HashMap::new());
            for (key, _) in taken.values() {
                *groups.entry(group(*key)).or_insert(0_usize) += 1;
                *keys.entry(*key).or_insert(0_usize) += 1;
            }
            let most = |key: &K| (groups.get(&group(*key)).copied(), keys.get(key).copied());
            // Of equals the last: the oldest.
            let gives_way =
                taken.iter().rev().max_by_key(|(_, (key, _))| most(key)).map(|(number, _)| *number);
            let (_, tell) = gives_way.and_then(|number| taken.remove(&number))?;
            tell.notify_one();
        }
        let number = taken.last_key_value().map_or(0, |(last, _)| last + 1);
        let gone = Arc::new(Notify::new());
        taken.insert(number, (key, gone.clone()));
        drop(taken);
        Some(Place { pool: pool.clone(), number, gone })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (K, Arc<Notify>)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a pool, until dropped.
pub(crate) struct Place<K: Copy + Eq + Hash> {
    pool: Arc<Pool<K>>,
    number: u64,
    gone: Arc<Notify>,
}

impl<K: Copy + Eq + Hash> Place<K> {
    /// Somebody else has the place now.
    pub(crate) async fn gone(&self) {
        self.gone.notified().await;
    }
}

impl<K: Copy + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.pool.lock();
        // Its number may be another's, if it was the last and gave way.
        if taken.get(&self.number).is_some_and(|(_, gone)| Arc::ptr_eq(gone, &self.gone)) {
            taken.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Whether somebody else has it.
    fn is_gone<K: Copy + Eq + Hash>(place: &Place<K>) -> bool {
        let mut gone = std::pin::pin!(place.gone());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        gone.as_mut().poll(&mut cx).is_ready()
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
    fn few_sources_do_not_take_all_places() {
        let admission = Admission::new(Limits::default());
        // A flood that never ends: from eight networks of IPv6, as much as each may.
        let flood = |n: usize| admission.half_open(ip(&format!("2001:db8:0:{}::1", n % 8)));
        let mut attackers: Vec<_> = (0..64).map(|n| flood(n).unwrap()).collect();
        let honest = admission.half_open(ip("192.0.2.1")).expect("somebody gives way");
        assert!(is_gone(&attackers[0]), "the oldest of those with most");
        assert!(attackers[1..].iter().all(|place| !is_gone(place)));
        for n in 0..500 {
            attackers.remove(0);
            attackers.extend(flood(n));
            assert!(!is_gone(&honest), "{n}");
        }
        // Nor from 64 networks that belong together, while who is alone is in its handshake.
        let network = |n: usize| admission.half_open(ip(&format!("2001:db8:7:{n:x}::1")));
        attackers.extend((0..200).filter_map(network));
        assert!(!is_gone(&honest));
        assert_eq!(admission.half_open.lock().len(), 64);
    }

    #[test]
    fn one_user_does_not_take_the_places_of_others_at_a_relay() {
        let admission = Admission::new(Limits::default());
        let taken: Vec<_> = (0..100).filter_map(|_| admission.called(Id([1; 16]))).collect();
        assert_eq!(taken.len(), 8);
        let others: Vec<_> = (2..=57).filter_map(|n| admission.called(Id([n; 16]))).collect();
        assert_eq!(others.len(), 56);
        assert!(admission.called(Id([200; 16])).is_some() && is_gone(&taken[0]));
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
        assert_eq!(half_open.iter().filter(|place| !is_gone(place)).count(), 64);
        let sessions: Vec<_> = (0..=255).filter_map(|n| admission.session(Id([n; 16]), false)).collect();
        assert_eq!(sessions.len(), 48);
        drop((half_open, sessions));
        assert!(admission.half_open.lock().is_empty());
        assert!(admission.sessions.lock().is_empty() && admission.others.lock().is_empty());
    }

    #[test]
    fn others_leave_room_for_each_other_and_for_own_devices() {
        let admission = Admission::new(Limits::default());
        let member: Vec<_> = (0..64).filter_map(|_| admission.session(Id([1; 16]), false)).collect();
        assert_eq!(member.len(), 16, "however many devices it has");
        let second = admission.session(Id([2; 16]), false);
        assert!(second.is_some());
        let third: Vec<_> = (0..112).filter_map(|n| admission.session(Id([3 + n % 7; 16]), false)).collect();
        assert_eq!(third.len(), 31);
        let own: Vec<_> = (0..64).filter_map(|_| admission.session(Id([0; 16]), true)).collect();
        assert_eq!(own.len(), 16);
    }
}
