//! A key's fingerprint in words, for two people to compare by voice; and a recovery key in words, to be written down.

use meshproof_proto::codec::hex;
use meshproof_proto::crypto::DEFAULT;
use zeroize::Zeroizing;

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

/// A recovery key in words, as BIP-39 has it: its 128 bits and the first 4 of its SHA-256.
pub(super) fn of_key(key: &[u8; 16]) -> Zeroizing<String> {
    let [check, ..] = DEFAULT.sha256(&[key]);
    let mut digits = Zeroizing::new(hex(key));
    digits.push(char::from_digit(u32::from(check >> 4), 16).unwrap_or_default());
    Zeroizing::new(words(&digits))
}

/// The recovery key that is said so, however it is spaced and spelled large or small. `None`: a word is wrong.
pub(super) fn key_of(said: &str) -> Option<[u8; 16]> {
    let list: Vec<&str> = WORDS.lines().collect();
    let mut number = [0_u8; 17];
    let mut bits = 0;
    for word in said.split_whitespace() {
        let place = list.binary_search(&word.to_lowercase().as_str()).ok()?;
        for bit in (0..11).rev() {
            *number.get_mut(bits / 8)? |= u8::from(place >> bit & 1 == 1) << (7 - bits % 8);
            bits += 1;
        }
    }
    let key: [u8; 16] = *number.first_chunk()?;
    let [check, ..] = DEFAULT.sha256(&[&key]);
    (bits == 132 && number[16] >> 4 == check >> 4).then_some(key)
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

    /// Vectors of BIP-39.
    #[test]
    fn recovery_keys_in_words() {
        for (key, said) in [
            ([0; 16], ["abandon"; 11].join(" ") + " about"),
            (
                [0x7f; 16],
                "legal winner thank year wave sausage worth useful legal winner thank yellow".to_owned(),
            ),
            ([0xff; 16], ["zoo"; 11].join(" ") + " wrong"),
        ] {
            assert_eq!(*of_key(&key), said);
            assert_eq!(key_of(&format!("  {}\n", said.to_uppercase())), Some(key));
        }
        let said = of_key(&[7; 16]);
        assert_eq!(key_of(&said.replacen(' ', " zoo ", 1)), None);
        assert_eq!(key_of(said.rsplit_once(' ').unwrap().0), None);
        assert_eq!(key_of(&["abandon"; 12].join(" ")), None);
        assert_eq!(key_of("not these words"), None);
    }
}
