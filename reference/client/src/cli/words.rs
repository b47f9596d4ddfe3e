//! A key's fingerprint in words, for two people to compare by voice.

/// The English list of BIP-39: 2048 words that are told apart by their first four letters.
const WORDS: &str = include_str!("words.txt");
/// How many words are said: 132 bits, more than anybody can search a second key for.
const SAID: usize = 12;

/// The first 132 bits of a fingerprint in hexadecimal digits, eleven a word. Empty if it is none.
pub(super) fn words(fingerprint: &str) -> String {
    let bits: Vec<u32> = fingerprint
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .flat_map(|digit| (0..4).rev().map(move |bit| digit >> bit & 1))
        .collect();
    let list: Vec<&str> = WORDS.lines().collect();
    let said = bits.chunks_exact(11).take(SAID).map(|bits| bits.iter().fold(0, |n, bit| n << 1 | *bit));
    let said: Vec<&str> = said.filter_map(|number| list.get(number as usize).copied()).collect();
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_that_of_bip_39() {
        let list: Vec<&str> = WORDS.lines().collect();
        assert_eq!((list.len(), list[0], list[2047]), (2048, "abandon", "zoo"));
        assert!(list.is_sorted());
    }

    /// A vector of BIP-39, but for its last word, which is a checksum there.
    #[test]
    fn fingerprints_in_words() {
        let fingerprint = "9e885d952ad362caeb4efe34a8e91bd2";
        let expected = "ozone drill grab fiber curtain grace pudding thank cruise elder eight";
        assert_eq!(words(fingerprint), expected);
        assert_eq!(words(&"0".repeat(64)), ["abandon"; 12].join(" "));
        assert_eq!(words(&"f".repeat(64)), ["zoo"; 12].join(" "));
        assert_eq!(words(""), "");
    }
}
