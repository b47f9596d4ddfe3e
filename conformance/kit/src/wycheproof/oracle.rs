//! The oracle's primitives.

use super::{NoKey, Primitives};
use crate::oracle::crypto::{
    self, aes_ctr, expand, extract, hmac, oaep_decrypt, private_key_from_der, public_key_from_spki,
};
use crate::oracle::handshake::{Ephemeral, HYBRID, X25519};
use crate::oracle::sync::is_signed;

/// What the kit itself judges with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oracle;

/// The base point of X25519: a peer for those who ask for ML-KEM alone.
const BASE: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 9;
    point
};

impl Primitives for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> [u8; 32] {
        hmac(key, &[message])
    }

    fn hkdf(&self, salt: &[u8], ikm: &[u8], info: &[u8], length: usize) -> Vec<u8> {
        expand(&extract(salt, ikm), &[info], length)
    }

    fn aes_ctr(&self, key: &[u8; 16], block: &[u8; 16], text: &[u8]) -> Vec<u8> {
        aes_ctr(key, block, text)
    }

    fn rsa_verify(&self, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, NoKey> {
        Ok(crypto::verify(&public_key_from_spki(spki).ok_or(NoKey)?, message, signature))
    }

    fn rsa_sign(&self, pkcs8: &[u8], message: &[u8]) -> Result<Vec<u8>, NoKey> {
        Ok(crypto::sign(&private_key_from_der(pkcs8).ok_or(NoKey)?, message))
    }

    fn oaep_decrypt(&self, pkcs8: &[u8], label: &[u8], ciphertext: &[u8]) -> Result<Option<Vec<u8>>, NoKey> {
        Ok(oaep_decrypt(&private_key_from_der(pkcs8).ok_or(NoKey)?, label, ciphertext))
    }

    fn x25519(&self, secret: &[u8; 32], peer: &[u8; 32]) -> Option<[u8; 32]> {
        let (_, secret) = Ephemeral { x25519: *secret, kem: Vec::new() }.answer(X25519, peer).ok()?;
        secret.try_into().ok()
    }

    fn ed25519_verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        is_signed(key, message, signature)
    }

    fn kem_takes_seeds(&self) -> bool {
        true
    }

    fn kem_decapsulate(&self, seed: &[u8; 64], ciphertext: &[u8; 1088]) -> (Vec<u8>, [u8; 32]) {
        let owner = Ephemeral { x25519: [1; 32], kem: seed.to_vec() };
        let secret = owner.conclude(HYBRID, &[&ciphertext[..], &BASE].concat());
        let share = owner.initiator_share(&[HYBRID]);
        let secret = secret.ok().and_then(|secret| secret[..32].try_into().ok()).unwrap_or_default();
        (share[..1184].to_vec(), secret)
    }

    fn kem_encapsulate(&self, key: &[u8; 1184], m: &[u8; 32]) -> Option<(Vec<u8>, [u8; 32])> {
        let sender = Ephemeral { x25519: [1; 32], kem: m.to_vec() };
        let (share, secret) = sender.answer(HYBRID, &[&key[..], &BASE].concat()).ok()?;
        Some((share[..1088].to_vec(), secret[..32].try_into().ok()?))
    }
}
