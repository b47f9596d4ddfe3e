//! The fast provider. `aws-lc-rs` draws the seeds of OAEP, of blinding and of ML-KEM itself; the entropy passed in is
//! not used.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use aws_lc_rs::cipher::{AES_128, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    UnparsedPublicKey,
};
use aws_lc_rs::{agreement, digest, hmac, kem, rand};
use meshproof_sha256x2::HmacKey;
use zeroize::Zeroizing;

use super::{
    CtrKey, Entropy, KEM_CIPHERTEXT, KEM_KEY, KemKey, KeyBits, KeyRejected, MacKey, PrivateKey, Provider,
    PublicKey, SIGNATURE, Secret, SigningKey, Spki, X25519Key,
};

pub(super) struct AwsLc;

impl Provider for AwsLc {
    fn name(&self) -> &'static str {
        "aws-lc"
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        parts.iter().for_each(|part| context.update(part));
        first_32(context.finish().as_ref())
    }

    /// By the other provider: this library allocates three contexts for it, which takes as long again as a short message.
    fn hmac(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        super::rustcrypto::hmac(key, parts)
    }

    fn mac_key(&self, key: &[u8]) -> Box<dyn MacKey> {
        Box::new(Hmac256 { one: hmac::Key::new(hmac::HMAC_SHA256, key), two: HmacKey::new(key) })
    }

    fn ctr_key(&self, key: &[u8; 16]) -> Box<dyn CtrKey> {
        Box::new(Ctr(UnboundCipherKey::new(&AES_128, key).and_then(EncryptingKey::ctr).ok()))
    }

    fn public_key(&self, spki: &Spki) -> Result<Box<dyn PublicKey>, KeyRejected> {
        let encrypting = PublicEncryptingKey::from_der(spki.der())
            .and_then(|key| OaepPublicEncryptingKey::new(key).map_err(Into::into))
            .map_err(|_| KeyRejected)?;
        let verifying =
            ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki.der()).map_err(|_| KeyRejected)?;
        Ok(Box::new(Public { encrypting, verifying }))
    }

    fn private_key(&self, pkcs8: &[u8]) -> Result<Box<dyn PrivateKey>, KeyRejected> {
        let signing = KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyRejected)?;
        let decrypting = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| KeyRejected)?;
        let public = decrypting.public_key().as_der().map_err(|_| KeyRejected)?;
        let spki = Spki::parse(public.as_ref())?;
        let decrypting = OaepPrivateDecryptingKey::new(decrypting).map_err(|_| KeyRejected)?;
        Ok(Box::new(Private { decrypting, signing, spki }))
    }

    fn generate_key(&self, bits: KeyBits, _: &mut dyn Entropy) -> Zeroizing<Vec<u8>> {
        let size = match bits {
            KeyBits::B2048 => KeySize::Rsa2048,
            KeyBits::B3072 => KeySize::Rsa3072,
        };
        let der = KeyPair::generate(size).and_then(|pair| pair.as_der()).map(|der| der.as_ref().to_vec());
        Zeroizing::new(der.unwrap_or_default())
    }

    fn x25519_key(&self, secret: &Secret) -> Box<dyn X25519Key> {
        Box::new(X25519(agreement::PrivateKey::from_private_key(&agreement::X25519, &**secret).ok()))
    }

    fn signing_key(&self, seed: &Secret) -> Box<dyn SigningKey> {
        Box::new(Signing(Ed25519KeyPair::from_seed_unchecked(&**seed).ok()))
    }

    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
    }

    fn kem_key(&self, _: &mut dyn Entropy) -> Box<dyn KemKey> {
        Box::new(Kem(kem::DecapsulationKey::generate(&kem::ML_KEM_768).ok()))
    }

    fn kem_encapsulate(
        &self,
        key: &[u8; KEM_KEY],
        _: &mut dyn Entropy,
    ) -> Option<([u8; KEM_CIPHERTEXT], Secret)> {
        let key = kem::EncapsulationKey::new(&kem::ML_KEM_768, key).ok()?;
        let (ciphertext, shared) = key.encapsulate().ok()?;
        Some((ciphertext.as_ref().try_into().ok()?, Secret::new(first_32(shared.as_ref()))))
    }
}

/// To load a key costs what its public half does, so it is loaded once. `None` never happens: any 32 bytes are a key.
struct X25519(Option<agreement::PrivateKey>);

impl X25519Key for X25519 {
    fn public(&self) -> [u8; 32] {
        let public = self.0.as_ref().and_then(|key| key.compute_public_key().ok());
        public.map_or([0; 32], |public| first_32(public.as_ref()))
    }

    fn agree(&self, peer: &[u8; 32]) -> Option<Secret> {
        let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, peer);
        // The library refuses a result of zeros.
        agreement::agree(self.0.as_ref()?, peer, (), |shared| Ok(Secret::new(first_32(shared)))).ok()
    }
}

/// `None` would be a failure of the system's generator; the handshake then fails, for an encapsulation key of ones is none.
struct Kem(Option<kem::DecapsulationKey>);

impl KemKey for Kem {
    fn encapsulation_key(&self) -> [u8; KEM_KEY] {
        let bytes = self.0.as_ref().and_then(|key| key.encapsulation_key().ok()?.key_bytes().ok());
        bytes.and_then(|bytes| bytes.as_ref().try_into().ok()).unwrap_or([0xff; KEM_KEY])
    }

    fn decapsulate(&self, ciphertext: &[u8; KEM_CIPHERTEXT]) -> Secret {
        let shared = self.0.as_ref().and_then(|key| key.decapsulate(ciphertext[..].into()).ok());
        shared.map_or_else(Secret::default, |shared| Secret::new(first_32(shared.as_ref())))
    }
}

/// A key in the form of FIPS 203, section 6.1.
#[cfg(test)]
pub(super) fn kem_key_of(bytes: &[u8]) -> Box<dyn KemKey> {
    Box::new(Kem(kem::DecapsulationKey::new(&kem::ML_KEM_768, bytes).ok()))
}

/// The library's digests and tags are 32 bytes by construction.
fn first_32(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(bytes);
    out
}

struct Hmac256 {
    one: hmac::Key,
    /// Two messages at once, where the processor can.
    two: Option<HmacKey>,
}

impl MacKey for Hmac256 {
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.one);
        parts.iter().for_each(|part| context.update(part));
        first_32(context.sign().as_ref())
    }

    fn mac_pair(&self, prefixes: [&[u8; 8]; 2], messages: [&[u8]; 2]) -> [[u8; 32]; 2] {
        match &self.two {
            Some(two) => two.mac_pair(prefixes, messages),
            None => [0, 1].map(|lane| self.mac(&[prefixes[lane], messages[lane]])),
        }
    }
}

/// `None` never happens: every seed is a key.
struct Signing(Option<Ed25519KeyPair>);

impl SigningKey for Signing {
    fn public(&self) -> [u8; 32] {
        self.0.as_ref().map_or([0; 32], |key| first_32(key.public_key().as_ref()))
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE] {
        let signature = self.0.as_ref().map(|key| key.sign(message));
        signature.and_then(|signature| signature.as_ref().try_into().ok()).unwrap_or([0; SIGNATURE])
    }
}

/// `None` cannot occur with a key of 16 bytes; if it did, nothing would be sent in clear: see `apply`.
struct Ctr(Option<EncryptingKey>);

impl CtrKey for Ctr {
    fn apply(&self, counter_block: &[u8; 16], data: &mut [u8]) {
        let context = EncryptionContext::Iv128(FixedLength::from(*counter_block));
        let done: Option<DecryptionContext> =
            self.0.as_ref().and_then(|key| key.less_safe_encrypt(data, context).ok());
        if done.is_none() {
            data.fill(0);
        }
    }
}

struct Public {
    encrypting: OaepPublicEncryptingKey,
    verifying: ParsedPublicKey,
}

impl PublicKey for Public {
    fn encrypt(&self, label: &[u8], message: &[u8; 32], _: &mut dyn Entropy) -> Vec<u8> {
        let mut out = vec![0; self.encrypting.ciphertext_size()];
        // 32 bytes always fit a key of 2,048 bits.
        let written = self.encrypting.encrypt(&OAEP_SHA256_MGF1SHA256, message, &mut out, Some(label));
        written.map(|ciphertext| ciphertext.to_vec()).unwrap_or_default()
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifying.verify_sig(message, signature).is_ok()
    }
}

struct Private {
    decrypting: OaepPrivateDecryptingKey,
    signing: KeyPair,
    spki: Spki,
}

impl PrivateKey for Private {
    fn spki(&self) -> &Spki {
        &self.spki
    }

    fn decrypt(&self, label: &[u8], ciphertext: &[u8], _: &mut dyn Entropy) -> Option<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new(vec![0; self.decrypting.min_output_size()]);
        let length = self
            .decrypting
            .decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, &mut out, Some(label))
            .ok()
            .map(|plaintext| plaintext.len())?;
        out.truncate(length);
        Some(out)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut out = vec![0; self.signing.public_modulus_len()];
        match self.signing.sign(&RSA_PKCS1_SHA256, &rand::SystemRandom::new(), message, &mut out) {
            Ok(()) => out,
            Err(_) => Vec::new(),
        }
    }
}
