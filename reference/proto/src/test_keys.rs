//! What the tests of this crate share: the public test keys of `vectors/keys/`, and scripted entropy.

use alloc::vec::Vec;

use base64::Engine as _;

use crate::crypto::Entropy;

pub(crate) const ISSUER_A: &str = include_str!("../../../vectors/keys/issuer-a.pem");
pub(crate) const DEVICE_X: &str = include_str!("../../../vectors/keys/device-x.pem");
pub(crate) const DEVICE_Y: &str = include_str!("../../../vectors/keys/device-y.pem");

/// The PKCS#8 DER of a PEM file.
pub(crate) fn pkcs8(pem: &str) -> Vec<u8> {
    let text: alloc::string::String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// Entropy that is the same in every run.
pub(crate) struct Script(u64);

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Entropy for Script {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            // SplitMix64
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *byte = (z >> 56) as u8;
        }
    }
}
