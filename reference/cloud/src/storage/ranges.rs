//! Which part of its bytes a request asks a media for (RFC 9110, section 14).

use std::ops::Range;

use axum::http::HeaderMap;
use axum::http::header::{IF_RANGE, RANGE};
use meshproof_proto::requirement::{self as req, deviates};

use crate::etag;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All.
    Whole,
    /// One range, which is there and not empty (STO-008).
    Some(Range<u64>),
    /// What is not there (STO-009).
    Nothing,
}

/// What a GET with these fields asks of `size` bytes. What is no single range of bytes is ignored, as RFC 9110 allows,
/// and so is a range of bytes with another tag (STO-010).
pub(super) fn asked(headers: &HeaderMap, tag: &str, size: u64) -> Part {
    let mut fields = headers.get_all(RANGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return Part::Whole };
    let other = |field: &axum::http::HeaderValue| field.as_bytes() != etag::quoted(tag).as_bytes();
    if headers.get_all(IF_RANGE).iter().any(other) && !deviates(req::STO_010) || deviates(req::STO_008) {
        return Part::Whole;
    }
    field.to_str().ok().and_then(|text| parse(text, size)).unwrap_or(Part::Whole)
}

fn parse(text: &str, size: u64) -> Option<Part> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let range = if first.is_empty() {
        // Of no bytes not even the last ones can be said where they are.
        match number(last)?.min(size) {
            0 if size == 0 => return None,
            0 => size..size,
            length => size - length..size,
        }
    } else {
        let first = number(first)?;
        let last = if last.is_empty() { u64::MAX } else { number(last)? };
        if last < first {
            return None;
        }
        first..last.saturating_add(1).min(size)
    };
    Some(if range.is_empty() { Part::Nothing } else { Part::Some(range) })
}

/// Digits only: Rust's own parser takes a sign too. What is too large is as large as can be.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges() {
        for (text, size, part) in [
            ("bytes=0-0", 10, Part::Some(0..1)),
            ("bytes=2-4", 10, Part::Some(2..5)),
            ("Bytes= 2-", 10, Part::Some(2..10)),
            ("bytes=2-99999999999999999999999", 10, Part::Some(2..10)),
            ("bytes=-3", 10, Part::Some(7..10)),
            ("bytes=-30", 10, Part::Some(0..10)),
            ("bytes=10-", 10, Part::Nothing),
            ("bytes=10-12", 10, Part::Nothing),
            ("bytes=-0", 10, Part::Nothing),
            ("bytes=0-", 0, Part::Nothing),
        ] {
            assert_eq!(parse(text, size), Some(part), "{text}");
        }
        for ignored in
            ["bytes=4-2", "bytes=", "bytes=-", "bytes=+1-2", "bytes=0-1,3-4", "items=0-1", "0-1", "bytes=a-"]
        {
            assert_eq!(parse(ignored, 10), None, "{ignored}");
        }
        assert_eq!(parse("bytes=-3", 0), None);
    }

    #[test]
    fn other_bytes_than_meant() {
        let with = |if_range: &'static str| {
            let fields = [(RANGE, "bytes=1-2"), (IF_RANGE, if_range)];
            asked(&fields.map(|(name, text)| (name, text.parse().unwrap())).into_iter().collect(), "abc", 10)
        };
        assert_eq!(with("\"abc\""), Part::Some(1..3));
        for other in ["\"abd\"", "W/\"abc\"", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(with(other), Part::Whole, "{other}");
        }
    }
}
