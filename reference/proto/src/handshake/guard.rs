//! What a responder does before it spends an RSA operation (`spec/handshake.md`, section 4.7).
//!
//! One [`Guard`] serves all connections of a device. It keeps an allowance for each source and for all together, and
//! remembers the M1s that were answered; the cookie needs no memory.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::crypto::{Entropy, Provider, Secret, draw_secret, equal};
use crate::error::Error;
use crate::requirement::{self as req, demand};
use crate::time::UnixTime;

/// The length of a cookie, in bytes.
pub(super) const COOKIE: usize = 40;
/// How often the secret of the cookies changes, in seconds. Those of the one before are good still.
const COOKIE_EPOCH: u64 = 120;
/// For how long an M1 that was answered is remembered, in seconds (HSK-051): its time may have been 300 s ahead, and is good until
/// it is 300 s behind.
const MEMORY: u64 = 601;
/// How many sources have an allowance of their own in memory. More share what all have.
const SOURCES: usize = 4_096;

/// How many M1s may cost an RSA operation without leading to M2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// At once, from one source.
    pub per_source: u32,
    /// Given back to a source every second.
    pub per_source_rate: u32,
    /// At once, from all together. Below half of it, cookies are asked for.
    pub all: u32,
    /// Given back to all together every second.
    pub all_rate: u32,
}

impl Default for Allowance {
    /// A hundred RSA operations of a third of a millisecond each second are 3 % of one core.
    fn default() -> Self {
        Self { per_source: 16, per_source_rate: 1, all: 512, all_rate: 100 }
    }
}

/// Keeps those who prove nothing from using up a responder.
pub struct Guard {
    provider: &'static dyn Provider,
    secret: Secret,
    allowance: Allowance,
    all: Bucket,
    sources: BTreeMap<Vec<u8>, Bucket>,
    /// The first 16 bytes of the hashes of M1s that were answered, or are about to be. In `order` are those that were, by their times.
    answered: BTreeSet<[u8; 16]>,
    order: VecDeque<(UnixTime, [u8; 16])>,
}

/// A guard behind the caller's lock.
pub trait SharedGuard: Send + Sync {
    /// Calls `with` once, with the guard locked.
    fn locked(&self, with: &mut dyn FnMut(&mut Guard));
}

/// What the guard looks at.
pub(super) struct Knock<'a> {
    pub(super) now: UnixTime,
    pub(super) source: &'a [u8],
    /// `H(M1)`.
    pub(super) m1: [u8; 32],
    /// `H(M1head)`.
    pub(super) head: [u8; 32],
    pub(super) cookie: &'a [u8],
}

impl Guard {
    /// A guard without memories.
    pub fn new(provider: &'static dyn Provider, allowance: Allowance, entropy: &mut dyn Entropy) -> Self {
        Self {
            provider,
            secret: draw_secret(entropy),
            allowance,
            all: Bucket::full(allowance.all),
            sources: BTreeMap::new(),
            answered: BTreeSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether an M1 may cost an RSA operation, which is charged. A cookie comes back when one is asked for first.
    pub(super) fn admit(&mut self, knock: &Knock<'_>) -> Result<Option<[u8; COOKIE]>, Error> {
        let shown = !knock.cookie.is_empty();
        demand(!shown || self.made(knock), req::HSK_050)?;
        self.forget_old(knock.now);
        demand(!self.answered.contains(&short(&knock.m1)), req::HSK_051)?;
        self.all.refill(knock.now, self.allowance.all, self.allowance.all_rate);
        if !shown && self.all.left < self.allowance.all / 2 {
            return Ok(Some(self.cookie(knock, knock.now)));
        }
        demand(self.source(knock).take() && self.all.take(), req::HSK_052)?;
        // From now on, so that the same one is not admitted twice while the first is looked at.
        self.answered.insert(short(&knock.m1));
        Ok(None)
    }

    /// The M1 that was admitted came to nothing.
    pub(super) fn failed(&mut self, knock: &Knock<'_>) {
        self.answered.remove(&short(&knock.m1));
    }

    /// The M1 led to M2: the charge is given back, and it leads nowhere a second time.
    pub(super) fn answered(&mut self, knock: &Knock<'_>) {
        let allowance = self.allowance;
        self.all.give_back(allowance.all);
        self.source(knock).give_back(allowance.per_source);
        self.order.push_back((knock.now, short(&knock.m1)));
    }

    fn forget_old(&mut self, now: UnixTime) {
        while self.order.front().is_some_and(|(time, _)| now.distance(*time) >= MEMORY) {
            if let Some((_, m1)) = self.order.pop_front() {
                self.answered.remove(&m1);
            }
        }
    }

    fn source(&mut self, knock: &Knock<'_>) -> &mut Bucket {
        let (now, allowance) = (knock.now, self.allowance);
        if !self.sources.contains_key(knock.source) && self.sources.len() >= SOURCES {
            // Who has its whole allowance back is like one that was never seen.
            self.sources.retain(|_, bucket| {
                bucket.refill(now, allowance.per_source, allowance.per_source_rate);
                bucket.left < allowance.per_source
            });
            if self.sources.len() >= SOURCES {
                return self.sources.entry(Vec::new()).or_insert(Bucket::full(allowance.per_source));
            }
        }
        let bucket = self.sources.entry(knock.source.to_vec()).or_insert(Bucket::full(allowance.per_source));
        bucket.refill(now, allowance.per_source, allowance.per_source_rate);
        bucket
    }

    fn made(&self, knock: &Knock<'_>) -> bool {
        let Some(time) = knock.cookie.first_chunk().map(|time| UnixTime(u64::from_be_bytes(*time))) else {
            return false;
        };
        let fresh = time <= knock.now && knock.now.distance(time) < 2 * COOKIE_EPOCH;
        equal(&self.cookie(knock, time), knock.cookie) && fresh
    }

    fn cookie(&self, knock: &Knock<'_>, time: UnixTime) -> [u8; COOKIE] {
        let epoch = time.0 / COOKIE_EPOCH;
        let secret = self.provider.hmac(&*self.secret, &[&epoch.to_be_bytes()]);
        let time = time.0.to_be_bytes();
        let mac = self.provider.hmac(&secret, &[&time, knock.source, &knock.head]);
        let mut cookie = [0; COOKIE];
        cookie[..8].copy_from_slice(&time);
        cookie[8..].copy_from_slice(&mac);
        cookie
    }
}

fn short(hash: &[u8; 32]) -> [u8; 16] {
    core::array::from_fn(|at| hash[at])
}

/// A token bucket.
struct Bucket {
    left: u32,
    since: Option<UnixTime>,
}

impl Bucket {
    fn full(size: u32) -> Self {
        Self { left: size, since: None }
    }

    /// A clock that goes back gives nothing and takes nothing.
    fn refill(&mut self, now: UnixTime, size: u32, rate: u32) {
        let since = self.since.replace(now).unwrap_or(now);
        let seconds = u32::try_from(now.0.saturating_sub(since.0)).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(seconds.saturating_mul(rate)).min(size);
    }

    fn take(&mut self) -> bool {
        let there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        there
    }

    fn give_back(&mut self, size: u32) {
        self.left = self.left.saturating_add(1).min(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::DEFAULT;
    use crate::handshake::tests::NOW;
    use crate::test_keys::Script;

    const SMALL: Allowance = Allowance { per_source: 2, per_source_rate: 1, all: 8, all_rate: 1 };

    fn guard(allowance: Allowance) -> Guard {
        Guard::new(DEFAULT, allowance, &mut Script::new(1))
    }

    fn knock<'a>(source: &'a [u8], m1: u8, cookie: &'a [u8]) -> Knock<'a> {
        Knock { now: NOW, source, m1: [m1; 32], head: [7; 32], cookie }
    }

    #[test]
    fn a_source_has_an_allowance_that_comes_back() {
        let mut guard = guard(SMALL);
        for m1 in 0..2 {
            assert_eq!(guard.admit(&knock(b"a", m1, &[])), Ok(None));
        }
        assert!(guard.admit(&knock(b"a", 3, &[])).unwrap_err().is(req::HSK_052));
        assert_eq!(guard.admit(&knock(b"b", 4, &[])), Ok(None), "another source has its own");
        let later = Knock { now: NOW.plus(1), ..knock(b"a", 5, &[]) };
        assert_eq!(guard.admit(&later), Ok(None));
    }

    #[test]
    fn what_leads_to_m2_costs_nothing_and_is_good_once() {
        let mut guard = guard(SMALL);
        for m1 in 0..100 {
            guard.admit(&knock(b"a", m1, &[])).unwrap();
            let meanwhile = guard.admit(&knock(b"b", m1, &[]));
            assert!(meanwhile.unwrap_err().is(req::HSK_051), "while it is being looked at");
            guard.answered(&knock(b"a", m1, &[]));
        }
        assert!(guard.admit(&knock(b"b", 50, &[])).unwrap_err().is(req::HSK_051));
        // Its time may be 300 s ahead when it is answered, and is good for 300 s after that.
        let last = Knock { now: NOW.plus(600), ..knock(b"b", 50, &[]) };
        assert!(guard.admit(&last).unwrap_err().is(req::HSK_051));
        let over = Knock { now: NOW.plus(MEMORY), ..knock(b"b", 50, &[]) };
        assert_eq!(guard.admit(&over), Ok(None));
        assert!(guard.order.is_empty() && guard.answered.len() == 1);
        guard.failed(&over);
        assert!(guard.answered.is_empty());
        assert_eq!(guard.admit(&over), Ok(None), "what came to nothing may come again, and is charged");
    }

    #[test]
    fn when_the_allowance_of_all_runs_low_a_cookie_is_asked_for() {
        let mut guard = guard(SMALL);
        for source in 0..5_u8 {
            assert_eq!(guard.admit(&knock(&[source], source, &[])), Ok(None));
        }
        let cookie = guard.admit(&knock(b"x", 9, &[])).unwrap().unwrap();
        let shown = knock(b"x", 9, &cookie);
        assert_eq!(guard.admit(&shown), Ok(None));
        guard.failed(&shown);
        let wrong = [
            Knock { source: b"y", ..knock(b"x", 9, &cookie) },
            Knock { head: [8; 32], ..knock(b"x", 9, &cookie) },
            Knock { now: NOW.plus(2 * COOKIE_EPOCH), ..knock(b"x", 9, &cookie) },
            Knock { now: UnixTime(NOW.0 - 1), ..knock(b"x", 9, &cookie) },
            knock(b"x", 9, &[1; COOKIE]),
        ];
        for knock in wrong {
            assert!(guard.admit(&knock).unwrap_err().is(req::HSK_050));
        }
        let still = Knock { now: NOW.plus(2 * COOKIE_EPOCH - 1), ..knock(b"x", 9, &cookie) };
        assert_eq!(guard.admit(&still), Ok(None));
    }

    #[test]
    fn a_flood_from_many_sources_takes_bounded_memory() {
        let mut guard = guard(Allowance { all: u32::MAX, ..SMALL });
        for source in 0..2 * u32::try_from(SOURCES).unwrap() {
            let (source, mut m1) = (source.to_be_bytes(), [0; 32]);
            m1[..4].copy_from_slice(&source);
            let knock = Knock { m1, ..knock(&source, 0, &[]) };
            if guard.admit(&knock).is_ok() {
                guard.failed(&knock);
            }
        }
        assert!(guard.answered.is_empty() && guard.order.is_empty());
        assert!(guard.sources.len() <= SOURCES + 1);
    }
}
