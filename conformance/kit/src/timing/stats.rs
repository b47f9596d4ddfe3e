//! What differences of times say. Nothing here looks at a clock.
//!
//! Each round gives one time of each class, in random order, so that what the machine does to one it does to all. Of the
//! differences to the first class the median is looked at, in the interval that the sign test does not rule out: it asks
//! nothing of the distribution, and a few long times do not move it.

use serde::Serialize;

/// Two-sided, 1 in 10,000: several classes are compared in one run.
const Z: f64 = 3.89;

/// Where the median of some differences is, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// At least.
    pub low: i64,
    /// The middle of what was measured.
    pub median: i64,
    /// At most.
    pub high: i64,
}

impl Interval {
    /// The interval for the median; none if there are too few differences to say anything.
    pub fn of(differences: &[i64]) -> Option<Self> {
        let mut sorted = differences.to_vec();
        sorted.sort_unstable();
        // A run has far fewer rounds than the 2^32 that f64 holds exactly.
        let count = u32::try_from(sorted.len()).ok()?;
        let reach = Z * f64::from(count).sqrt() / 2.0;
        let below = (f64::from(count) / 2.0 - reach).floor();
        if below < 1.0 {
            return None;
        }
        // Between 1 and half the count.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rank = below as usize;
        let median = sorted[sorted.len() / 2];
        Some(Self { low: sorted[rank - 1], median, high: sorted[sorted.len() - rank] })
    }

    fn has_zero(self) -> bool {
        self.low <= 0 && 0 <= self.high
    }

    /// The largest difference, either way, that is not ruled out.
    pub fn reach(self) -> i64 {
        self.low.abs().max(self.high.abs())
    }

    /// The smallest difference that is certain; 0 if none is.
    fn certain(self) -> i64 {
        if self.has_zero() { 0 } else { self.low.abs().min(self.high.abs()) }
    }
}

/// What a class of inputs is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It takes another time than the first class.
    Difference,
    /// If there is a difference, it is below what was asked about.
    NoDifference,
    /// The measurement does not say.
    Undecided,
}

impl Finding {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Finding::Difference => "DIFFERENCE",
            Finding::NoDifference => "no difference found",
            Finding::Undecided => "undecided",
        }
    }
}

/// Whether a run sees what it is asked about: two classes that are the same show no difference, and with `limit`
/// nanoseconds added to one of them they do.
pub fn is_calibrated(control: &[i64], limit: i64) -> bool {
    let late: Vec<i64> = control.iter().map(|difference| difference + limit).collect();
    match (Interval::of(control), Interval::of(&late)) {
        (Some(same), Some(late)) => same.has_zero() && late.certain() > same.reach(),
        _ => false,
    }
}

/// What the differences of a class say, beside those of the control.
pub fn judge(differences: &[i64], control: &[i64], limit: i64) -> Finding {
    let (Some(found), Some(same)) = (Interval::of(differences), Interval::of(control)) else {
        return Finding::Undecided;
    };
    if !same.has_zero() {
        return Finding::Undecided;
    }
    // What the control shows by chance is no difference of a class.
    if found.certain() > same.reach() {
        return Finding::Difference;
    }
    if found.reach() <= limit && is_calibrated(control, limit) {
        return Finding::NoDifference;
    }
    Finding::Undecided
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise as a network has it: mostly small, now and then very long; the same for every run of the test.
    fn noise(seed: u64, rounds: usize) -> Vec<i64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            i64::try_from(state >> 40).expect("24 bits")
        };
        let mut one = move || {
            let long = if draw() % 50 == 0 { draw() % 5_000_000 } else { 0 };
            (draw() % 20_000) + (draw() % 20_000) + long
        };
        (0..rounds).map(|_| one() - one()).collect()
    }

    fn later(differences: &[i64], by: i64) -> Vec<i64> {
        differences.iter().map(|difference| difference + by).collect()
    }

    const LIMIT: i64 = 5_000;

    #[test]
    fn a_leak_is_found_and_its_absence_too() {
        for seed in 1..40 {
            let (control, class) = (noise(seed, 4_000), noise(seed + 1_000, 4_000));
            assert!(is_calibrated(&control, LIMIT), "seed {seed}");
            assert_eq!(judge(&class, &control, LIMIT), Finding::NoDifference, "seed {seed}");
            assert_eq!(judge(&later(&class, 6_000), &control, LIMIT), Finding::Difference, "seed {seed}");
            assert_eq!(judge(&later(&class, -6_000), &control, LIMIT), Finding::Difference, "seed {seed}");
        }
    }

    #[test]
    fn a_few_long_times_are_no_difference() {
        let control = noise(3, 4_000);
        let mut class = noise(4, 4_000);
        for (number, difference) in class.iter_mut().enumerate() {
            if number % 20 == 0 {
                *difference += 50_000_000;
            }
        }
        assert_ne!(judge(&class, &control, LIMIT), Finding::Difference);
    }

    #[test]
    fn what_cannot_be_known_is_undecided() {
        let (control, class) = (noise(5, 4_000), noise(6, 4_000));
        // Too few rounds.
        assert_eq!(judge(&class[..10], &control[..10], LIMIT), Finding::Undecided);
        // Enough to see something, not to see so little.
        assert_eq!(judge(&class[..60], &control[..60], 1_000), Finding::Undecided);
        // The control differs: the machine is not to be trusted.
        assert_eq!(judge(&later(&class, 6_000), &later(&control, 6_000), LIMIT), Finding::Undecided);
        // A difference below what the control shows by chance.
        let reach = Interval::of(&control).expect("enough").reach();
        assert_eq!(judge(&later(&class, reach / 2), &control, 1), Finding::Undecided);
    }

    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        let all: Vec<i64> = (1..=101).collect();
        // 50.5 - 3.89 * sqrt(101) / 2 = 30.9: the 30th from either end.
        assert_eq!(Interval::of(&all), Some(Interval { low: 30, median: 51, high: 72 }));
        assert_eq!(Interval::of(&all[..15]), None);
    }
}
