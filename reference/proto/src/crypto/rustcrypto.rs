//! The portable provider.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::convert::Infallible;

use aes::Aes128;
use ctr::cipher::{InnerIvInit, KeyInit as _, StreamCipherCore};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use hmac::{Hmac, Mac};
use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::{DecapsulationKey768, EncapsulationKey768};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::traits::{PublicKeyParts, SignatureScheme};
use rsa::{BoxedUint, Oaep, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use sha2::{Digest, Sha256};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::{
    CtrKey, Entropy, KEM_CIPHERTEXT, KEM_KEY, KemKey, KeyBits, KeyRejected, MacKey, PrivateKey, Provider,
    PublicKey, SIGNATURE, Secret, SigningKey, Spki, X25519Key, draw_secret,
};

pub(super) struct RustCrypto;

impl Provider for RustCrypto {
    fn name(&self) -> &'static str {
        "rustcrypto"
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        sha256(parts)
    }

    fn hmac(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        hmac(key, parts)
    }

    fn mac_key(&self, key: &[u8]) -> Box<dyn MacKey> {
        Box::new(Hmac256(hmac_key(key)))
    }

    fn ctr_key(&self, key: &[u8; 16]) -> Box<dyn CtrKey> {
        Box::new(Ctr(Aes128::new(key.into())))
    }

    fn public_key(&self, spki: &Spki) -> Result<Box<dyn PublicKey>, KeyRejected> {
        let modulus = BoxedUint::from_be_slice_vartime(spki.modulus());
        let key = RsaPublicKey::new(modulus, BoxedUint::from(65_537_u64)).map_err(|_| KeyRejected)?;
        Ok(Box::new(Public(key)))
    }

    fn private_key(&self, pkcs8: &[u8]) -> Result<Box<dyn PrivateKey>, KeyRejected> {
        let key = RsaPrivateKey::from_pkcs8_der(pkcs8).map_err(|_| KeyRejected)?;
        if *key.e() != BoxedUint::from(65_537_u64) {
            return Err(KeyRejected);
        }
        let spki = Spki::from_modulus(&key.n().to_be_bytes_trimmed_vartime())?;
        Ok(Box::new(Private { key, spki }))
    }

    fn generate_key(&self, bits: KeyBits, entropy: &mut dyn Entropy) -> Zeroizing<Vec<u8>> {
        let bits = match bits {
            KeyBits::B2048 => 2_048,
            KeyBits::B3072 => 3_072,
        };
        let der = RsaPrivateKey::new(&mut Rng(entropy), bits)
            .ok()
            .and_then(|key| key.to_pkcs8_der().ok())
            .map(|document| document.as_bytes().to_vec());
        Zeroizing::new(der.unwrap_or_default())
    }

    fn x25519_key(&self, secret: &Secret) -> Box<dyn X25519Key> {
        Box::new(X25519(StaticSecret::from(**secret)))
    }

    fn signing_key(&self, seed: &Secret) -> Box<dyn SigningKey> {
        Box::new(Signing(ed25519_dalek::SigningKey::from_bytes(seed)))
    }

    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        use ed25519_dalek::Verifier as _;
        let verify = |key: VerifyingKey| key.verify(message, &Signature::from_bytes(signature));
        VerifyingKey::from_bytes(key).is_ok_and(|key| verify(key).is_ok())
    }

    fn kem_key(&self, entropy: &mut dyn Entropy) -> Box<dyn KemKey> {
        let mut seed = Zeroizing::new([0; 64]);
        entropy.fill(&mut *seed);
        Box::new(Kem(Box::new(DecapsulationKey768::from_seed((*seed).into()))))
    }

    fn kem_encapsulate(
        &self,
        key: &[u8; KEM_KEY],
        entropy: &mut dyn Entropy,
    ) -> Option<([u8; KEM_CIPHERTEXT], Secret)> {
        let key = EncapsulationKey768::new(&(*key).into()).ok()?;
        let message = draw_secret(entropy);
        let (ciphertext, shared) = key.encapsulate_deterministic(&(*message).into());
        Some((ciphertext.into(), Secret::new(shared.into())))
    }
}

struct Signing(ed25519_dalek::SigningKey);

impl SigningKey for Signing {
    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE] {
        self.0.sign(message).to_bytes()
    }
}

struct X25519(StaticSecret);

impl X25519Key for X25519 {
    fn public(&self) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&self.0).to_bytes()
    }

    fn agree(&self, peer: &[u8; 32]) -> Option<Secret> {
        let shared = self.0.diffie_hellman(&(*peer).into());
        shared.was_contributory().then(|| Secret::new(shared.to_bytes()))
    }
}

struct Kem(Box<DecapsulationKey768>);

impl KemKey for Kem {
    fn encapsulation_key(&self) -> [u8; KEM_KEY] {
        self.0.encapsulation_key().to_bytes().into()
    }

    fn decapsulate(&self, ciphertext: &[u8; KEM_CIPHERTEXT]) -> Secret {
        Secret::new(self.0.decapsulate(&(*ciphertext).into()).into())
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// HMAC-SHA256 of one message. It allocates nothing.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    finish(hmac_key(key), parts)
}

fn hmac_key(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length: those over a block are hashed first, RFC 2104 section 2.
    let mut block = Zeroizing::new([0; 64]);
    let short = if key.len() > block.len() { &sha256(&[key])[..] } else { key };
    block[..short.len()].copy_from_slice(short);
    Hmac::new((&*block).into())
}

fn finish(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

struct Hmac256(Hmac<Sha256>);

impl MacKey for Hmac256 {
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        finish(self.0.clone(), parts)
    }
}

struct Ctr(Aes128);

impl CtrKey for Ctr {
    fn apply(&self, counter_block: &[u8; 16], data: &mut [u8]) {
        let core =
            ctr::CtrCore::<&Aes128, ctr::flavors::Ctr32BE>::inner_iv_init(&self.0, counter_block.into());
        core.apply_keystream_partial(data.into());
    }
}

struct Public(RsaPublicKey);

impl PublicKey for Public {
    fn encrypt(&self, label: &[u8], message: &[u8; 32], entropy: &mut dyn Entropy) -> Vec<u8> {
        // 32 bytes always fit a key of 2,048 bits, and the generator does not fail.
        self.0.encrypt(&mut Rng(entropy), Oaep::<Sha256>::new_with_label(label), message).unwrap_or_default()
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Pkcs1v15Sign::new::<Sha256>().verify(&self.0, &sha256(&[message]), signature).is_ok()
    }
}

struct Private {
    key: RsaPrivateKey,
    spki: Spki,
}

impl PrivateKey for Private {
    fn spki(&self) -> &Spki {
        &self.spki
    }

    fn decrypt(
        &self,
        label: &[u8],
        ciphertext: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let padding = Oaep::<Sha256>::new_with_label(label);
        self.key.decrypt_blinded(&mut Rng(entropy), padding, ciphertext).ok().map(Zeroizing::new)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        // Fails only for keys shorter than the padding, which do not load.
        self.key.sign(Pkcs1v15Sign::new::<Sha256>(), &sha256(&[message])).unwrap_or_default()
    }
}

/// Our entropy as the `rsa` crate wants it.
struct Rng<'a>(&'a mut dyn Entropy);

impl TryRng for Rng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(super::draw(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(super::draw(self.0)))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(dst);
        Ok(())
    }
}

impl TryCryptoRng for Rng<'_> {}
