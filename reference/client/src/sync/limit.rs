//! How much a second goes out and comes in: `mesh sync --limit-up`, `--limit-down`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::codec::Id;
use meshproof_proto::sync::PortablePath;

use super::progress::{Progress, Report, Skipped};
use crate::error::Result;

/// A token bucket: on average `rate` bytes a second, at once those of a second. It may owe: who takes more than there is waits
/// until the debt is paid, so that a block larger than the rate passes, late.
#[derive(Debug)]
pub struct Bucket {
    rate: u64,
    /// Bytes that may be taken at once, times a thousand million.
    filled: i128,
    at: Duration,
}

/// How many bytes are sent at once at least: a sign that it goes on (HSK-066).
const SMALLEST: u64 = 1_024;

const NANO: i128 = 1_000_000_000;

impl Bucket {
    /// Full. `rate` is in bytes a second, at least 1.
    pub fn new(rate: u64) -> Self {
        let rate = rate.max(1);
        Self { rate, filled: i128::from(rate) * NANO, at: Duration::ZERO }
    }

    /// Takes so many bytes. `now` is the time since any fixed moment. Returns how long to wait.
    pub fn take(&mut self, bytes: u64, now: Duration) -> Duration {
        let rate = i128::from(self.rate);
        let passed = now.saturating_sub(self.at).as_nanos().min(u128::from(u64::MAX));
        self.at = self.at.max(now);
        let passed = i128::try_from(passed).unwrap_or(i128::MAX);
        self.filled = self.filled.saturating_add(passed.saturating_mul(rate)).min(rate * NANO);
        self.filled -= i128::from(bytes) * NANO;
        let debt = (-self.filled).max(0);
        Duration::from_nanos(u64::try_from(debt / rate).unwrap_or(u64::MAX))
    }
}

/// Watches as another does, and makes the sessions that it watches wait: they tell what they sent and received on the threads
/// that send and receive, and TCP slows the peer down.
pub struct Limited {
    watch: Arc<dyn Progress>,
    up: Option<Mutex<Bucket>>,
    down: Option<Mutex<Bucket>>,
    begin: Instant,
}

impl Limited {
    /// Limits what is sent and received in bytes a second, over all sessions together.
    pub fn new(watch: Arc<dyn Progress>, up: Option<u64>, down: Option<u64>) -> Self {
        let bucket = |rate: Option<u64>| rate.map(|rate| Mutex::new(Bucket::new(rate)));
        Self { watch, up: bucket(up), down: bucket(down), begin: Instant::now() }
    }

    fn wait(&self, bucket: Option<&Mutex<Bucket>>, bytes: u64) {
        if let Some(bucket) = bucket {
            let now = self.begin.elapsed();
            let wait = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, now);
            std::thread::sleep(wait);
        }
    }
}

impl Progress for Limited {
    fn hashed(&self, folder: Id, bytes: u64) {
        self.watch.hashed(folder, bytes);
    }

    fn expected(&self, peer: Id, files: u64, bytes: u64) {
        self.watch.expected(peer, files, bytes);
    }

    fn received(&self, peer: Id, files: u64, bytes: u64) {
        self.watch.received(peer, files, bytes);
        self.wait(self.down.as_ref(), bytes);
    }

    fn sent(&self, peer: Id, bytes: u64) {
        self.watch.sent(peer, bytes);
        self.wait(self.up.as_ref(), bytes);
    }

    /// What may go in a quarter of a second: who waits for all of a block would hear nothing for long.
    fn slice(&self) -> usize {
        let rate = |bucket: &Mutex<Bucket>| bucket.lock().unwrap_or_else(PoisonError::into_inner).rate;
        let quarter = self.up.as_ref().map_or(u64::MAX, |bucket| rate(bucket) / 4);
        usize::try_from(quarter.max(SMALLEST)).unwrap_or(usize::MAX).min(self.watch.slice())
    }

    fn skipped(&self, folder: Id, skipped: &Skipped) {
        self.watch.skipped(folder, skipped);
    }

    fn placed(&self, folder: Id, path: &PortablePath) {
        self.watch.placed(folder, path);
    }

    fn removed(&self, folder: Id, path: &PortablePath) {
        self.watch.removed(folder, path);
    }

    fn ended(&self, peer: Id, result: &Result<Report>) {
        self.watch.ended(peer, result);
    }

    fn conflict(&self, folder: Id, kept: &PortablePath) {
        self.watch.conflict(folder, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_second_at_once_and_then_the_rate() {
        let mut bucket = Bucket::new(1_000);
        assert_eq!(bucket.take(1_000, Duration::ZERO), Duration::ZERO);
        assert_eq!(bucket.take(500, Duration::ZERO), SECOND / 2);
        assert_eq!(bucket.take(500, SECOND / 2), SECOND / 2);
        assert_eq!(bucket.take(0, SECOND), Duration::ZERO);
    }

    #[test]
    fn what_is_larger_than_the_rate_passes_late() {
        let mut bucket = Bucket::new(1_000);
        assert_eq!(bucket.take(262_144, Duration::ZERO), Duration::from_millis(261_144));
        assert_eq!(bucket.take(1, Duration::from_millis(261_144)), SECOND / 1_000);
    }

    #[test]
    fn a_pause_saves_no_more_than_a_second() {
        let mut bucket = Bucket::new(1_000);
        bucket.take(1_000, Duration::ZERO);
        assert_eq!(bucket.take(1_500, 3_600 * SECOND), SECOND / 2);
    }

    #[test]
    fn the_average_is_the_rate_whatever_the_pieces() {
        for piece in [1, 70, 999, 5_000] {
            let mut bucket = Bucket::new(10_000);
            let (mut now, mut bytes) = (Duration::ZERO, 0);
            while now < 100 * SECOND {
                now += bucket.take(piece, now);
                bytes += piece;
            }
            let most = 10_000 * 101 + piece;
            assert!((10_000 * 100..=most).contains(&bytes), "{bytes} bytes in pieces of {piece}");
        }
    }

    #[test]
    fn a_clock_that_stands_or_leaps_is_no_fault() {
        let mut bucket = Bucket::new(u64::MAX);
        assert_eq!(bucket.take(u64::MAX, Duration::MAX), Duration::ZERO);
        assert!(bucket.take(u64::MAX, Duration::ZERO) <= SECOND);
        assert_eq!(Bucket::new(0).take(1, Duration::ZERO), Duration::ZERO, "a rate of 0 would never end");
    }
}
