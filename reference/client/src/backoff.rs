//! How long to wait before something that failed is tried again.

use std::time::Duration;

use meshproof_proto::crypto::Entropy;

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

#[cfg(test)]
mod tests {
    use super::*;

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
