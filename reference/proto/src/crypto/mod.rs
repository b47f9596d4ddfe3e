//! The cryptography that the protocol uses, behind one seam.
//!
//! A [`Provider`] has SHA-256, HMAC-SHA256, AES-128-CTR, RSA, X25519, Ed25519 and ML-KEM-768. Two exist: [`RUSTCRYPTO`], portable, and
//! [`AWS_LC`] (feature `aws-lc`), constant time and faster. Every handshake test runs over the pairs of them.

mod hkdf;
mod rustcrypto;
mod spki;

#[cfg(feature = "aws-lc")]
mod aws_lc;

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::Zeroizing;

pub use hkdf::{expand, extract};
pub use spki::Spki;

/// 32 secret bytes, erased when dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// The portable provider: the crates `rsa`, `aes`, `hmac`, `sha2`.
pub const RUSTCRYPTO: &dyn Provider = &rustcrypto::RustCrypto;

/// The fast provider: `aws-lc-rs`.
#[cfg(feature = "aws-lc")]
pub const AWS_LC: &dyn Provider = &aws_lc::AwsLc;

/// The provider to use where nothing speaks for another.
#[cfg(feature = "aws-lc")]
pub const DEFAULT: &dyn Provider = AWS_LC;
/// The provider to use where nothing speaks for another.
#[cfg(not(feature = "aws-lc"))]
pub const DEFAULT: &dyn Provider = RUSTCRYPTO;

/// Where random bytes come from. The caller brings it: the operating system's generator, or a script in a test.
pub trait Entropy {
    /// Fills `out` with random bytes.
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}

/// Draws `N` random bytes.
pub fn draw<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut out = [0; N];
    entropy.fill(&mut out);
    out
}

/// Draws 32 secret bytes.
pub fn draw_secret(entropy: &mut dyn Entropy) -> Secret {
    let mut out = Secret::default();
    entropy.fill(&mut *out);
    out
}

/// A set of primitives from one library.
pub trait Provider: Send + Sync {
    /// For logs and test names.
    fn name(&self) -> &'static str;
    /// SHA-256 of the concatenation of `parts`.
    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32];
    /// HMAC-SHA256 of the concatenation of `parts`, under a key that is used for this message alone.
    fn hmac(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32];
    /// HMAC-SHA256 under `key`, to be used for many messages.
    fn mac_key(&self, key: &[u8]) -> Box<dyn MacKey>;
    /// AES-128 in counter mode under `key`, to be used for many messages.
    fn ctr_key(&self, key: &[u8; 16]) -> Box<dyn CtrKey>;
    /// Loads a public key.
    fn public_key(&self, spki: &Spki) -> Result<Box<dyn PublicKey>, KeyRejected>;
    /// Loads a private key of 2,048 to 3,072 bits from PKCS#8 DER.
    fn private_key(&self, pkcs8: &[u8]) -> Result<Box<dyn PrivateKey>, KeyRejected>;
    /// Makes a private key of 2,048 or 3,072 bits, as PKCS#8 DER.
    fn generate_key(&self, bits: KeyBits, entropy: &mut dyn Entropy) -> Zeroizing<Vec<u8>>;
    /// The X25519 key of a secret (RFC 7748).
    fn x25519_key(&self, secret: &Secret) -> Box<dyn X25519Key>;
    /// The Ed25519 key of a seed (RFC 8032).
    fn signing_key(&self, seed: &Secret) -> Box<dyn SigningKey>;
    /// Verifies an Ed25519 signature (RFC 8032).
    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; SIGNATURE]) -> bool;
    /// Makes an ML-KEM-768 key pair (FIPS 203). A provider that cannot take seeds ignores `entropy`.
    fn kem_key(&self, entropy: &mut dyn Entropy) -> Box<dyn KemKey>;
    /// ML-KEM-768 encapsulation: ciphertext and shared secret. `None` if the key is not in the form of FIPS 203, 7.2.
    fn kem_encapsulate(
        &self,
        key: &[u8; KEM_KEY],
        entropy: &mut dyn Entropy,
    ) -> Option<([u8; KEM_CIPHERTEXT], Secret)>;
}

/// An X25519 private key, with the public key that it has.
pub trait X25519Key: Send + Sync {
    /// The public key.
    fn public(&self) -> [u8; 32];
    /// The shared secret. `None` if it is all zeros.
    fn agree(&self, peer: &[u8; 32]) -> Option<Secret>;
}

/// The length of an ML-KEM-768 encapsulation key, in bytes.
pub const KEM_KEY: usize = 1_184;
/// The length of an ML-KEM-768 ciphertext, in bytes.
pub const KEM_CIPHERTEXT: usize = 1_088;

/// An ML-KEM-768 decapsulation key.
pub trait KemKey: Send + Sync {
    /// Its encapsulation key.
    fn encapsulation_key(&self) -> [u8; KEM_KEY];
    /// The shared secret. A ciphertext that is not for this key gives one that nobody else knows (FIPS 203, 6.3).
    fn decapsulate(&self, ciphertext: &[u8; KEM_CIPHERTEXT]) -> Secret;
}

/// The length of an Ed25519 signature, in bytes.
pub const SIGNATURE: usize = 64;

/// An Ed25519 private key: what a device signs its changes with. Its RSA key only decrypts.
pub trait SigningKey: Send + Sync {
    /// The public key.
    fn public(&self) -> [u8; 32];
    /// Signs.
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE];
}

/// HMAC-SHA256 under one key.
pub trait MacKey: Send + Sync {
    /// The MAC of the concatenation of `parts`.
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32];
    /// The MACs of two messages of one length, each behind its prefix.
    fn mac_pair(&self, prefixes: [&[u8; 8]; 2], messages: [&[u8]; 2]) -> [[u8; 32]; 2] {
        [0, 1].map(|lane| self.mac(&[prefixes[lane], messages[lane]]))
    }
}

/// AES-128 in counter mode under one key.
pub trait CtrKey: Send + Sync {
    /// Encrypts or decrypts `data` in place. The block counts up in its last 32 bits.
    fn apply(&self, counter_block: &[u8; 16], data: &mut [u8]);
}

/// An RSA public key.
pub trait PublicKey: Send + Sync {
    /// RSAES-OAEP with SHA-256. A provider that cannot take a seed ignores `entropy` and uses its own generator.
    fn encrypt(&self, label: &[u8], message: &[u8; 32], entropy: &mut dyn Entropy) -> Vec<u8>;
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool;
}

/// An RSA private key.
pub trait PrivateKey: Send + Sync {
    /// The key's public half.
    fn spki(&self) -> &Spki;
    /// RSAES-OAEP with SHA-256. `None` for every kind of failure. `entropy` is for blinding.
    fn decrypt(
        &self,
        label: &[u8],
        ciphertext: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Option<Zeroizing<Vec<u8>>>;
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}

/// Sizes in which keys are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyBits {
    /// 2,048 bits.
    B2048,
    /// 3,072 bits.
    B3072,
}

/// The bytes are no RSA key of the accepted sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRejected;

impl core::fmt::Display for KeyRejected {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("not an RSA key of 2,048 to 3,072 bits with exponent 65537")
    }
}

impl core::error::Error for KeyRejected {}

/// Decrypts a key of 32 bytes with *implicit rejection* (HSK-017, HSK-033): whatever is wrong with `ciphertext`, the
/// result is 32 bytes that look random, the same each time, and no branch tells which case it was.
///
/// Returns the key and whether it is real; the flag is for mutants, and nothing else may look at it.
pub fn decapsulate(
    provider: &dyn Provider,
    key: &dyn PrivateKey,
    rejection_key: &[u8; 32],
    label: &[u8],
    ciphertext: &[u8],
    entropy: &mut dyn Entropy,
) -> (Secret, bool) {
    use subtle::{Choice, ConditionallySelectable};

    let rejected = provider.hmac(rejection_key, &[label, ciphertext]);
    // What is no number below the modulus fails before the private operation. Anybody can see that it is none, yet all that
    // fails shall take one time (handshake.md section 6): a smaller number is decrypted, and comes to nothing.
    let modulus = key.spki().modulus();
    let in_range = ciphertext.len() == modulus.len() && ciphertext < modulus;
    let mut smaller = modulus.to_vec();
    if let Some(first) = smaller.first_mut() {
        *first = 0;
    }
    let decrypted = key.decrypt(label, if in_range { ciphertext } else { &smaller }, entropy);
    let decrypted = decrypted.filter(|_| in_range).unwrap_or_default();
    let real = decrypted.len() == 32;
    let mut padded = Secret::default();
    for (to, from) in padded.iter_mut().zip(decrypted.iter()) {
        *to = *from;
    }
    let mut chosen = Secret::default();
    for ((to, fake), true_) in chosen.iter_mut().zip(&rejected).zip(padded.iter()) {
        *to = u8::conditional_select(fake, true_, Choice::from(u8::from(real)));
    }
    (chosen, real)
}

/// Compares in constant time.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests;
