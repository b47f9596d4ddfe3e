//! HMAC-SHA256 (RFC 2104) of two messages of the same length at once.
//!
//! SHA-256 is a chain: each round waits for the one before, and a processor with SHA instructions idles meanwhile. Two
//! messages hashed in turns fill the gaps. Records of a channel come in runs of one length, so they can be taken in pairs
//! (`spec/record.md`; the reference's `record` seals and opens so).
//!
//! [`HmacKey::new`] gives `None` where the processor has no such instructions; the caller then uses any HMAC it has.
//!
//! The only `unsafe` of the workspace is in [`lanes`]; it is compared with the crate `sha2` by the tests here, and runs
//! on plain Rust under Miri (`cargo miri test -p meshproof-sha256x2`), where no processor instruction is found.
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

    #[test]
    fn every_length_around_the_blocks_agrees_with_sha2() {
        let Some(key) = HmacKey::new(b"a key of some bytes") else { return };
        for length in (0..400).chain([1_023, 1_024, 16_384, 16_387, 65_539]) {
            let (a, b) = (message(1, length), message(99, length));
            let got = key.mac_pair([&[1; 8], &[2; 8]], [&a, &b]);
            assert_eq!(got[0], expected(b"a key of some bytes", &[1; 8], &a), "{length}");
            assert_eq!(got[1], expected(b"a key of some bytes", &[2; 8], &b), "{length}");
        }
    }

    #[test]
    fn keys_are_short() {
        assert!(HmacKey::new(&[1; 65]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn lanes_agree_with_sha2(key in proptest::collection::vec(0_u8.., 0..=64), a: Vec<u8>, p: [u8; 8], q: [u8; 8]) {
            if let Some(fast) = HmacKey::new(&key) {
                let b: Vec<u8> = a.iter().map(|byte| byte ^ 0x5a).collect();
                let got = fast.mac_pair([&p, &q], [&a, &b]);
                proptest::prop_assert_eq!(got, [expected(&key, &p, &a), expected(&key, &q, &b)]);
            }
        }
    }
}
