//! Sizes and durations as people write them: `"5 GiB"`, `"30 s"`.

#![allow(clippy::trivially_copy_pass_by_ref)] // serde's signature of `serialize`

use std::time::Duration;

use serde::{Deserializer, Serializer, de};

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// In milliseconds.
const TIMES: [(&str, u64); 5] =
    [("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

/// What is no size or duration. The text says what would be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ParseUnitError(String);

/// Reads a number of bytes.
pub fn parse_bytes(text: &str) -> Result<u64, ParseUnitError> {
    parse(text, &SIZES).ok_or_else(|| {
        ParseUnitError(format!(
            "{text:?} is no size: a whole number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB are expected, such as \
             \"5 GiB\""
        ))
    })
}

/// Reads a duration.
pub fn parse_duration(text: &str) -> Result<Duration, ParseUnitError> {
    parse(text, &TIMES).map(Duration::from_millis).ok_or_else(|| {
        ParseUnitError(format!(
            "{text:?} is no duration: a whole number and ms, s, min, h or days are expected, such as \"30 s\""
        ))
    })
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn write(value: u64, units: &[(&str, u64)]) -> String {
    let exact = units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (unit, factor) = exact.or(units.last()).copied().unwrap_or(("", 1));
    format!("{} {unit}", value / factor)
}

/// Text, or in its place a number, which has no unit and so is refused with advice.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Text;
    impl de::Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text with a number and its unit")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    deserializer.deserialize_str(Text)
}

/// For `u64` in bytes.
pub mod bytes {
    use super::{Deserializer, SIZES, Serializer, de, text, write};

    pub use super::parse_bytes as parse;

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&write(*value, &SIZES))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        parse(&text(deserializer)?).map_err(de::Error::custom)
    }
}

/// For `u32` in KiB.
pub(crate) mod kibibytes {
    use super::{Deserializer, Serializer, bytes, de};

    pub(crate) fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(&(u64::from(*value) << 10), serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let bytes = bytes::deserialize(deserializer)?;
        let whole = Some(bytes >> 10).filter(|_| bytes.is_multiple_of(1 << 10));
        let fits = whole.and_then(|kib| u32::try_from(kib).ok());
        fits.ok_or_else(|| de::Error::custom("a whole number of KiB below 4 TiB is expected"))
    }
}

/// For [`Duration`].
pub mod duration {
    use super::{Deserializer, Duration, Serializer, TIMES, de, text, write};

    pub use super::parse_duration as parse;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        serializer.serialize_str(&write(millis, &TIMES))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(&text(deserializer)?).map_err(de::Error::custom)
    }
}

/// For `u64` in seconds.
pub(crate) mod seconds {
    use super::{Deserializer, Duration, Serializer, de, duration};

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        duration::serialize(&Duration::from_secs(*value), serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let time = duration::deserialize(deserializer)?;
        let whole = Some(time.as_secs()).filter(|_| time.subsec_millis() == 0);
        whole.ok_or_else(|| de::Error::custom("whole seconds are expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        for (text, bytes) in [("5 GiB", 5 << 30), ("5GiB", 5 << 30), ("1 kB", 1_000), ("0 B", 0), ("7 B", 7)]
        {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        for (text, millis) in [("30 s", 30_000), ("250 ms", 250), ("2 days", 172_800_000), ("5min", 300_000)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for wrong in ["", "5", "GiB", "-1 B", "1.5 GiB", "5 gib", "5 s ", "99999999999 TiB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
            assert!(wrong == "5 s " || parse_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(write(5 << 30, &SIZES), "5 GiB");
        assert_eq!(write(0, &SIZES), "0 B");
        assert_eq!(write(600_000, &TIMES), "10 min");
    }
}
