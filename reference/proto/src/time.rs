//! Time as the protocol has it: seconds since 1970 in UTC, read by the caller from its own clock.

use alloc::format;
use alloc::string::String;

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(pub u64);

/// 9999-12-31T23:59:59Z, the last time that a ticket can say.
const LAST: u64 = 253_402_300_799;

impl UnixTime {
    /// This time and `seconds` more.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// How many seconds lie between two times, whichever is earlier.
    pub fn distance(self, other: Self) -> u64 {
        self.0.abs_diff(other.0)
    }

    /// Parses `YYYY-MM-DDThh:mm:ssZ` of the years 1970 to 9999 and nothing else (TKT-008).
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
        for (at, separator) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')] {
            if bytes[at] != separator {
                return None;
            }
        }
        let number = |range: core::ops::Range<usize>| {
            bytes[range]
                .iter()
                .try_fold(0_u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let in_calendar =
            year >= 1970 && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        if !in_calendar || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(Self(days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second))
    }
}

impl core::fmt::Display for UnixTime {
    /// The form that [`UnixTime::parse`] reads. Times after the year 9999 are written as its last second.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&format_utc(self.0.min(LAST)))
    }
}

fn format_utc(seconds: u64) -> String {
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970 + days / 366;
    while days_before(year + 1, 1, 1) <= days {
        year += 1;
    }
    days -= days_before(year, 1, 1);
    let mut month = 1;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

/// Days from 1970-01-01 to the given date of the Gregorian calendar.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400 - 477; // 477 up to the end of 1969
    let months: u64 = (1..month).map(|m| days_in(year, m)).sum();
    (year - 1970) * 365 + leap_days + months + day - 1
}

fn days_in(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn known_times() {
        // `date -u -d @N +%FT%TZ`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_211_000_000, "2008-05-17T04:53:20Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(UnixTime(seconds).to_string(), text);
            assert_eq!(UnixTime::parse(text), Some(UnixTime(seconds)));
        }
    }

    #[test]
    fn times_that_are_none() {
        for text in [
            "2008-02-30T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2008-13-01T00:00:00Z",
            "2008-01-01T24:00:00Z",
            "2008-01-01T00:00:60Z",
            "1969-12-31T23:59:59Z",
            "2008-01-01t00:00:00Z",
            "2008-01-01T00:00:00+00:00",
            "2008-01-01T00:00:0Z ",
        ] {
            assert_eq!(UnixTime::parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_second_survives(seconds in 0..=LAST) {
            proptest::prop_assert_eq!(UnixTime::parse(&UnixTime(seconds).to_string()), Some(UnixTime(seconds)));
        }
    }
}
