//! RSA public keys as the protocol writes them: DER `SubjectPublicKeyInfo`, one form only.

use alloc::vec::Vec;

use super::{KeyRejected, Provider};

/// The DER of an RSA key of 2,048 to 3,072 bits, the last of them set, with exponent 65537. Any other bytes cannot become this type.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Spki {
    der: Vec<u8>,
    modulus_at: usize,
}

/// `AlgorithmIdentifier { rsaEncryption, NULL }`, RFC 8017 appendix A.1.
const RSA_ENCRYPTION: [u8; 15] = [0x30, 13, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0];
/// `INTEGER 65537`
const EXPONENT: [u8; 5] = [2, 3, 1, 0, 1];

impl Spki {
    /// Accepts the one DER encoding of an acceptable key.
    pub fn parse(der: &[u8]) -> Result<Self, KeyRejected> {
        // An encoding is right if it is the one that we would write: so find the modulus, write, compare.
        let end = der.len().checked_sub(EXPONENT.len()).ok_or(KeyRejected)?;
        let start = if der.get(INTEGER_AT) == Some(&0) { INTEGER_AT + 1 } else { INTEGER_AT };
        let written = Self::from_modulus(der.get(start..end).ok_or(KeyRejected)?)?;
        if written.der == der { Ok(written) } else { Err(KeyRejected) }
    }

    /// The key with this modulus, big-endian without leading zeros.
    pub fn from_modulus(modulus: &[u8]) -> Result<Self, KeyRejected> {
        let first = *modulus.first().ok_or(KeyRejected)?;
        let bits = modulus.len() * 8 - first.leading_zeros() as usize;
        let odd = modulus.last().is_some_and(|last| last & 1 == 1);
        if first == 0 || !odd || !(2_048..=3_072).contains(&bits) {
            return Err(KeyRejected);
        }
        let pad: &[u8] = if first & 0x80 == 0 { &[] } else { &[0] };
        let integer = [&tag(2, pad.len() + modulus.len()), pad, modulus].concat();
        let key = [&tag(0x30, integer.len() + EXPONENT.len())[..], &integer, &EXPONENT].concat();
        let bit_string = [&tag(3, key.len() + 1)[..], &[0], &key].concat();
        let der =
            [&tag(0x30, RSA_ENCRYPTION.len() + bit_string.len())[..], &RSA_ENCRYPTION, &bit_string].concat();
        let modulus_at = der.len() - EXPONENT.len() - modulus.len();
        Ok(Self { der, modulus_at })
    }

    /// The DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The modulus, big-endian without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        &self.der[self.modulus_at..self.der.len() - EXPONENT.len()]
    }

    /// `H(SPKI)`.
    pub fn fingerprint(&self, provider: &dyn Provider) -> [u8; 32] {
        provider.sha256(&[&self.der])
    }
}

/// Where the modulus starts, or its leading zero: behind two sequences, a bit string, a sequence, and a header.
const INTEGER_AT: usize = 4 + RSA_ENCRYPTION.len() + 5 + 4 + 4;

/// Tag and length of a DER value of 256 to 65,535 bytes.
fn tag(tag: u8, length: usize) -> [u8; 4] {
    let [.., high, low] = length.to_be_bytes();
    [tag, 0x82, high, low]
}

impl core::fmt::Debug for Spki {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Spki({} bytes of modulus)", self.modulus().len())
    }
}
