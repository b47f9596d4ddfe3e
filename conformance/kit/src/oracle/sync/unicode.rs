//! Section 2: characters are those of Unicode 14.0.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Characters that came later and of which the tables of Unicode 15.0 to 18.0 say what 14.0 does not: a case, a combining
/// class, a composition. Made by comparing them with those of 14.0, character by character.
const LATER: &str = "5C8-5C9 897 1ACF-1AF0 1C89-1C8A A7CB-A7CF A7D2 A7D4 A7DA-A7DC 105C9 105E4 10D50-10D65 10D69-10D6D \
    10D70-10D85 10ECB-10ECF 10EF0-10EFB 10EFD-10EFF 11383 11385 1138E 11391 113B8 113BB 113C2 113C5 \
    113C7-113C9 113CE-113D0 11F41-11F42 1611E-16129 1612F 16D67-16D6A 16EA0-16EB8 16EBB-16ED3 \
    1D127-1D128 1D250-1D252 1D25B-1D25C 1D25F 1D280-1D281 1E08F 1E4EC-1E4EF 1E5EE-1E5EF 1E6E3 1E6E6 \
    1E6EE-1E6EF 1E6F5";

static IS_LATER: LazyLock<BTreeSet<char>> = LazyLock::new(|| {
    let number = |text: &str| u32::from_str_radix(text, 16).expect("a number of the list");
    let range = |text: &'static str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        (number(first)..=number(last)).filter_map(char::from_u32)
    };
    LATER.split(' ').flat_map(range).collect()
});

/// The runs of characters of Unicode 14.0, and those that stand between them.
fn runs(text: &str) -> Vec<&str> {
    let mut runs = vec![""];
    let mut rest = text;
    while let Some(at) = rest.find(|c| IS_LATER.contains(&c)) {
        let width = rest[at..].chars().next().map_or(0, char::len_utf8);
        runs.extend([&rest[..at], &rest[at..at + width]]);
        rest = &rest[at + width..];
    }
    runs.push(rest);
    runs
}

fn is_later(run: &str) -> bool {
    run.chars().any(|c| IS_LATER.contains(&c))
}

/// Whether it is in Normalization Form C.
pub(super) fn is_composed(text: &str) -> bool {
    runs(text).into_iter().all(|run| is_later(run) || is_nfc(run))
}

/// What names that are the same have in common.
pub fn fold(name: &str) -> String {
    let fold = |run: &str| -> String {
        let upper: String = run.chars().flat_map(char::to_uppercase).collect();
        let lower: String = upper.chars().flat_map(char::to_lowercase).collect();
        lower.nfc().collect()
    };
    runs(name).into_iter().map(|run| if is_later(run) { run.to_owned() } else { fold(run) }).collect()
}
