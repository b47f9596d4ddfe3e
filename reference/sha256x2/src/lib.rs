//! HMAC-SHA256 (RFC 2104) of two messages of the same length at once.
//!
//! SHA-256 is a chain: each round waits for the one before, and a processor with SHA instructions idles meanwhile. Two
//! messages hashed in turns fill the gaps. Records of a channel come in runs of one length, so they can be taken in pairs
//! (`spec/record.md`; the reference's `record` seals and opens so).
//!
//! [`HmacKey::new`] gives `None` where the processor has no such instructions; the caller then uses any HMAC it has.
//!
//! The only `unsafe` of the workspace is in [`lanes`]. The tests here compare it with the crates `sha2` and `hmac`, around
//! every border of a block, and Miri runs them, first on the portable code, then on the processor's instructions, which it
//! interprets:
//!
//! ```text
//! cargo +nightly miri test -p meshproof-sha256x2
//! RUSTFLAGS="-Ctarget-feature=+sha,+sse2,+ssse3,+sse4.1" cargo +nightly miri test -p meshproof-sha256x2
//! ```
//!
//! Both passed with rustc 1.97.0-nightly (e50aa6fba 2026-05-19): 6 tests each, no undefined behaviour. They need the
//! components `miri` and `rust-src`.
#![no_std]

#[cfg(test)]
extern crate std;

mod lanes;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a SHA-256 block.
const BLOCK: usize = 64;
/// Bytes that come before a message: the sequence number of a record.
pub const PREFIX: usize = 8;

/// An HMAC-SHA256 key, ready for many pairs of messages.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HmacKey {
    /// The state after `key ^ ipad`.
    inner: [u32; 8],
    /// The state after `key ^ opad`.
    outer: [u32; 8],
}

impl HmacKey {
    /// A key of at most 64 bytes. `None` for a longer one, and where this processor has no SHA instructions.
    pub fn new(key: &[u8]) -> Option<Self> {
        if key.len() > BLOCK || !lanes::available() {
            return None;
        }
        let mut pads = [[0x36; BLOCK], [0x5c; BLOCK]];
        for pad in &mut pads {
            pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        }
        let mut states = [lanes::INITIAL; 2];
        lanes::compress(&mut states, [&pads[0], &pads[1]]);
        pads.zeroize();
        Some(Self { inner: states[0], outer: states[1] })
    }

    /// The MACs of two messages of one length, each behind its prefix.
    ///
    /// # Panics
    /// If the messages differ in length.
    pub fn mac_pair(&self, prefixes: [&[u8; PREFIX]; 2], messages: [&[u8]; 2]) -> [[u8; 32]; 2] {
        let length = messages[0].len();
        assert_eq!(length, messages[1].len(), "two messages of one length");
        let mut states = [self.inner; 2];

        // The first block has the prefix in it; the others lie in the messages as they are.
        let first = length.min(BLOCK - PREFIX);
        let mut heads = [[0; BLOCK]; 2];
        for lane in 0..2 {
            heads[lane][..PREFIX].copy_from_slice(prefixes[lane]);
            heads[lane][PREFIX..PREFIX + first].copy_from_slice(&messages[lane][..first]);
        }
        let rest = messages.map(|message| &message[first..]);
        if first == BLOCK - PREFIX {
            lanes::compress(&mut states, [&heads[0], &heads[1]]);
        }
        let whole = rest[0].len() / BLOCK * BLOCK;
        lanes::compress(&mut states, rest.map(|rest| &rest[..whole]));

        // What is left, then 0x80, zeros, and the length in bits of all, the block of the key with it.
        let bits = 8 * (BLOCK + PREFIX + length) as u64;
        let mut tails = [[0; 2 * BLOCK]; 2];
        let mut blocks = 1;
        for lane in 0..2 {
            let left =
                if first == BLOCK - PREFIX { &rest[lane][whole..] } else { &heads[lane][..PREFIX + first] };
            tails[lane][..left.len()].copy_from_slice(left);
            tails[lane][left.len()] = 0x80;
            blocks = if left.len() + 1 + 8 <= BLOCK { 1 } else { 2 };
            tails[lane][blocks * BLOCK - 8..blocks * BLOCK].copy_from_slice(&bits.to_be_bytes());
        }
        lanes::compress(&mut states, [&tails[0][..blocks * BLOCK], &tails[1][..blocks * BLOCK]]);
        self.finish(states)
    }

    fn finish(&self, inner: [[u32; 8]; 2]) -> [[u8; 32]; 2] {
        let mut blocks = [[0; BLOCK]; 2];
        for lane in 0..2 {
            blocks[lane][..32].copy_from_slice(&bytes(&inner[lane]));
            blocks[lane][32] = 0x80;
            blocks[lane][BLOCK - 8..].copy_from_slice(&(8 * (BLOCK as u64 + 32)).to_be_bytes());
        }
        let mut states = [self.outer; 2];
        lanes::compress(&mut states, [&blocks[0], &blocks[1]]);
        states.map(|state| bytes(&state))
    }
}

fn bytes(state: &[u32; 8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (out, word) in out.chunks_exact_mut(4).zip(state) {
        out.copy_from_slice(&word.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use hmac::{Hmac, KeyInit as _, Mac as _};
    #[cfg(not(miri))]
    use proptest::strategy::Strategy as _;

    use super::*;

    fn expected(key: &[u8], prefix: &[u8], message: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(prefix);
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    fn message(seed: u8, length: usize) -> Vec<u8> {
        (0..length).map(|at| seed.wrapping_add((at * 7 + at / 251).to_le_bytes()[0])).collect()
    }

    /// Miri takes seconds for what a processor does at once, so it gets the borders alone.
    fn lengths() -> Vec<usize> {
        // With the prefix of 8 bytes the first block ends at 56, and at 47 and 111 the padding takes another block.
        let borders = [0, 1, 46, 47, 48, 55, 56, 57, 63, 64, 110, 111, 112, 119, 120, 121, 184, 247, 248];
        if cfg!(miri) {
            return borders.into();
        }
        let records = [1_023, 1_024, 16_384, 16_387, 65_539];
        borders.into_iter().chain(0..400).chain(records).collect()
    }

    #[test]
    fn every_length_around_the_blocks_agrees_with_sha2() {
        let key = HmacKey::new(b"a key of some bytes").unwrap();
        for length in lengths() {
            let (a, b) = (message(1, length), message(99, length));
            let got = key.mac_pair([&[1; 8], &[2; 8]], [&a, &b]);
            assert_eq!(got[0], expected(b"a key of some bytes", &[1; 8], &a), "{length}");
            assert_eq!(got[1], expected(b"a key of some bytes", &[2; 8], &b), "{length}");
        }
    }

    #[test]
    fn every_length_of_a_key_agrees_with_hmac() {
        for length in 0..=64 {
            let bytes = message(7, length);
            let got = HmacKey::new(&bytes).unwrap().mac_pair([&[3; 8], &[4; 8]], [b"one", b"two"]);
            assert_eq!(
                got,
                [expected(&bytes, &[3; 8], b"one"), expected(&bytes, &[4; 8], b"two")],
                "{length}"
            );
        }
    }

    /// RFC 4231, test case 2: its message begins with eight bytes that serve as the prefix.
    #[test]
    fn the_rfc_agrees() {
        let right = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
            0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
        ];
        let got = HmacKey::new(b"Jefe").unwrap().mac_pair([b"what do "; 2], [b"ya want for nothing?"; 2]);
        assert_eq!(got, [right; 2]);
    }

    #[test]
    fn keys_are_short() {
        assert!(HmacKey::new(&[1; 65]).is_none());
    }

    // Proptest keeps a file of failures, which Miri's isolation does not let it.
    #[cfg(not(miri))]
    proptest::proptest! {
        #[test]
        fn lanes_agree_with_hmac(
            key in proptest::collection::vec(0_u8.., 0..=64),
            // Half of the lengths are within two bytes of a border: a multiple of a block, less the prefix or the padding.
            length in proptest::prop_oneof![
                0_usize..1_200,
                (1_usize..20, proptest::sample::select(&[0_usize, 8, 17][..]), 0_usize..5)
                    .prop_map(|(blocks, before, off)| (64 * blocks + off).saturating_sub(before + 2)),
            ],
            seeds: [u8; 2],
            prefixes: [[u8; 8]; 2],
        ) {
            let fast = HmacKey::new(&key).unwrap();
            let messages = seeds.map(|seed| message(seed, length));
            let got = fast.mac_pair([&prefixes[0], &prefixes[1]], [&messages[0], &messages[1]]);
            let right = [0, 1].map(|lane| expected(&key, &prefixes[lane], &messages[lane]));
            proptest::prop_assert_eq!(got, right, "{} bytes", length);
        }
    }
}
