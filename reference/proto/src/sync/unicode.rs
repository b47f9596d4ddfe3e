//! What names need to know of characters, by the tables of Unicode 14.0 (`spec/sync.md`, section 2).
//!
//! The tables in use are later ones. They agree with those of 14.0 on every character that 14.0 has, which Unicode
//! promises of normalization, and which was tried for folding; to the others they must not be applied.

use alloc::string::String;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Whether a text is in Normalization Form C.
pub(super) fn is_composed(text: &str) -> bool {
    text.split(is_later).all(is_nfc)
}

/// Character by character the upper-case mapping, of that the lower-case mapping, then Normalization Form C.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::new();
    for piece in text.split_inclusive(is_later) {
        let own = piece.trim_end_matches(is_later);
        folded.extend(own.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc());
        folded.push_str(piece.get(own.len()..).unwrap_or_default());
    }
    folded
}

/// Whether it came after 14.0, and some table says something of it: a case, a composition, or a place among marks.
fn is_later(c: char) -> bool {
    LATER.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Up to Unicode 18.0.
const LATER: [(char, char); 44] = [
    ('\u{5c8}', '\u{5c9}'),
    ('\u{897}', '\u{897}'),
    ('\u{1acf}', '\u{1af0}'),
    ('\u{1c89}', '\u{1c8a}'),
    ('\u{a7cb}', '\u{a7cf}'),
    ('\u{a7d2}', '\u{a7d2}'),
    ('\u{a7d4}', '\u{a7d4}'),
    ('\u{a7da}', '\u{a7dc}'),
    ('\u{105c9}', '\u{105c9}'),
    ('\u{105e4}', '\u{105e4}'),
    ('\u{10d50}', '\u{10d65}'),
    ('\u{10d69}', '\u{10d6d}'),
    ('\u{10d70}', '\u{10d85}'),
    ('\u{10ecb}', '\u{10ecf}'),
    ('\u{10ef0}', '\u{10efb}'),
    ('\u{10efd}', '\u{10eff}'),
    ('\u{11383}', '\u{11383}'),
    ('\u{11385}', '\u{11385}'),
    ('\u{1138e}', '\u{1138e}'),
    ('\u{11391}', '\u{11391}'),
    ('\u{113b8}', '\u{113b8}'),
    ('\u{113bb}', '\u{113bb}'),
    ('\u{113c2}', '\u{113c2}'),
    ('\u{113c5}', '\u{113c5}'),
    ('\u{113c7}', '\u{113c9}'),
    ('\u{113ce}', '\u{113d0}'),
    ('\u{11f41}', '\u{11f42}'),
    ('\u{1611e}', '\u{16129}'),
    ('\u{1612f}', '\u{1612f}'),
    ('\u{16d67}', '\u{16d6a}'),
    ('\u{16ea0}', '\u{16eb8}'),
    ('\u{16ebb}', '\u{16ed3}'),
    ('\u{1d127}', '\u{1d128}'),
    ('\u{1d250}', '\u{1d252}'),
    ('\u{1d25b}', '\u{1d25c}'),
    ('\u{1d25f}', '\u{1d25f}'),
    ('\u{1d280}', '\u{1d281}'),
    ('\u{1e08f}', '\u{1e08f}'),
    ('\u{1e4ec}', '\u{1e4ef}'),
    ('\u{1e5ee}', '\u{1e5ef}'),
    ('\u{1e6e3}', '\u{1e6e3}'),
    ('\u{1e6e6}', '\u{1e6e6}'),
    ('\u{1e6ee}', '\u{1e6ef}'),
    ('\u{1e6f5}', '\u{1e6f5}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables that are later than the list above may say something of more characters.
    #[test]
    fn the_list_is_as_new_as_the_tables() {
        assert!(char::UNICODE_VERSION <= (18, 0, 0) && unicode_normalization::UNICODE_VERSION <= (18, 0, 0));
    }

    #[test]
    fn what_came_later_stays_as_it_is_and_joins_with_nothing() {
        assert_eq!(fold("\u{10d50}E\u{301}"), "\u{10d50}\u{e9}");
        assert!(is_composed("\u{16d63}\u{16d67}") && is_composed("a\u{1e4ee}\u{301}"));
        assert!(!is_composed("\u{10d50}u\u{308}") && !is_composed("u\u{308}\u{10d50}"));
        assert!(LATER.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }
}
