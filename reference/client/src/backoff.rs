//! How long to wait before something that failed is tried again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::crypto::Entropy;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_mins(5);

/// Twice as long each time, from 1 s to 5 min, and each time a random part of it: between half and all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It failed again: how long to wait now.
    pub fn next(&mut self, entropy: &mut dyn Entropy) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(10)).min(LAST);
        self.failures = self.failures.saturating_add(1);
        let mut random = [0; 4];
        entropy.fill(&mut random);
        let part = f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX);
        whole.mul_f64(0.5 + part / 2.0)
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Which devices could not be reached, and when each is to be tried again (HSK-061).
#[derive(Default)]
pub struct Retries {
    waiting: Mutex<HashMap<Id, Retry>>,
    changed: Notify,
}

struct Retry {
    backoff: Backoff,
    at: Instant,
    /// When it was last tried for what somebody said on a local network.
    seen: Option<Instant>,
}

impl Retries {
    /// Whether a device may be tried now.
    pub fn is_due(&self, device: Id, now: Instant) -> bool {
        self.waiting().get(&device).is_none_or(|retry| retry.at <= now)
    }

    /// A device could not be reached once more.
    pub fn failed(&self, device: Id, now: Instant, entropy: &mut dyn Entropy) {
        let mut waiting = self.waiting();
        let retry =
            waiting.entry(device).or_insert(Retry { backoff: Backoff::default(), at: now, seen: None });
        retry.at = now + retry.backoff.next(entropy);
        self.changed.notify_one();
    }

    /// A device is being tried.
    pub fn begun(&self, device: Id, now: Instant) {
        if let Some(retry) = self.waiting().get_mut(&device) {
            retry.at = now + LAST;
        }
    }

    /// Whether a device could not be reached when it was tried last.
    pub fn has_failed(&self, device: Id) -> bool {
        self.waiting().contains_key(&device)
    }

    /// A device was reached.
    pub fn worked(&self, device: Id) {
        self.waiting().remove(&device);
    }

    /// Only these devices are of interest from now on.
    pub fn forget_others(&self, devices: &BTreeSet<Id>) {
        self.waiting().retain(|device, _| devices.contains(device));
    }

    /// A device says that it is there: it is tried at once, and if that fails as soon as at first.
    pub fn announced(&self, device: Id, now: Instant) {
        if let Some(retry) = self.waiting().get_mut(&device) {
            *retry = Retry { backoff: Backoff::default(), at: now, ..*retry };
            self.changed.notify_one();
        }
    }

    /// Somebody says on a local network that a device is there. Anybody can say so: it is tried once more, and no sooner again by
    /// such words than it would be without.
    pub fn seen(&self, device: Id, now: Instant) {
        if let Some(retry) = self.waiting().get_mut(&device)
            && retry.seen.is_none_or(|before| before + LAST <= now)
        {
            (retry.at, retry.seen) = (now, Some(now));
            self.changed.notify_one();
        }
    }

    /// Waits until a device is to be tried again. It is the same until its trial has [`begun`](Self::begun), it
    /// [`failed`](Self::failed) or [`worked`](Self::worked).
    pub async fn next_due(&self) -> Id {
        loop {
            match self.next() {
                Some((at, device)) if at <= Instant::now() => return device,
                Some((at, _)) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    fn next(&self) -> Option<(Instant, Id)> {
        self.waiting().iter().map(|(device, retry)| (retry.at, *device)).min()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Id, Retry>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_tried_again_each_in_its_time() {
        let (near, far, began) = (Id([1; 16]), Id([2; 16]), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut most = |out: &mut [u8]| out.fill(255);
        let retries = Retries::default();
        assert!(retries.is_due(near, began) && retries.next().is_none());
        retries.failed(near, began, &mut most);
        for _ in 0..4 {
            retries.failed(far, began, &mut most);
        }
        assert!(!retries.is_due(near, began) && !retries.is_due(far, at(7)));
        assert_eq!(retries.next(), Some((at(1), near)));
        assert!(retries.is_due(near, at(1)));
        retries.worked(near);
        assert_eq!(retries.next(), Some((at(8), far)));
        retries.failed(far, at(8), &mut most);
        assert_eq!(retries.next(), Some((at(24), far)));
        retries.announced(far, at(9));
        retries.announced(near, at(9)); // nobody waits for it
        assert_eq!(retries.next(), Some((at(9), far)));
        retries.failed(far, at(9), &mut most);
        assert_eq!(retries.next(), Some((at(10), far)));
        retries.forget_others(&BTreeSet::from([near]));
        assert!(retries.next().is_none());
    }

    /// HSK-061: what a stranger repeats on a local network is no announcement.
    #[test]
    fn words_of_anybody_cost_one_trial_in_five_minutes() {
        let (peer, began) = (Id([1; 16]), Instant::now());
        let mut most = |out: &mut [u8]| out.fill(255);
        let retries = Retries::default();
        for _ in 0..9 {
            retries.failed(peer, began, &mut most);
        }
        let mut trials = Vec::new();
        for second in (0..3_600).step_by(5) {
            let now = began + Duration::from_secs(second);
            retries.seen(peer, now);
            if retries.is_due(peer, now) {
                trials.push(second);
                retries.failed(peer, now, &mut most);
            }
        }
        assert!(trials[0] == 0 && trials.len() <= 2 * 3_600 / 300, "{trials:?}");
    }

    #[test]
    fn it_doubles_up_to_five_minutes() {
        let (mut least, mut most) = (|out: &mut [u8]| out.fill(0), |out: &mut [u8]| out.fill(255));
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..10).map(|_| backoff.next(&mut most).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(backoff.next(&mut least), LAST / 2);
        backoff.reset();
        assert_eq!(backoff.next(&mut least), FIRST / 2);
    }
}
