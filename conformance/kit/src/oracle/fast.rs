//! Private operations of RSA by aws-lc, which takes a fifth of the time: a run does thousands of them. What it says is taken
//! only as far as `RustCrypto` confirms it, by the public operation or by doing it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use rsa::traits::PublicKeyParts as _;

use super::crypto::{RsaPrivateKey, private_key_to_der, verify};

/// A key as aws-lc has it.
struct Fast {
    signing: KeyPair,
    opening: OaepPrivateDecryptingKey,
}

/// RSASSA-PKCS1-v1_5 with SHA-256: there is one signature of a message, so one that verifies is it. `None`: not here.
pub(super) fn sign(key: &RsaPrivateKey, message: &[u8]) -> Option<Vec<u8>> {
    let fast = of(key)?;
    let mut signature = vec![0; fast.signing.public_modulus_len()];
    fast.signing.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
    verify(&key.to_public_key(), message, &signature).then_some(signature)
}

/// RSAES-OAEP with SHA-256, whose padding shows that it was opened right. `None`: not here, or not at all.
pub(super) fn open(key: &RsaPrivateKey, label: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let fast = of(key)?;
    let mut message = vec![0; fast.opening.min_output_size()];
    let opened = fast.opening.decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, &mut message, Some(label)).ok()?;
    Some(opened.to_vec())
}

/// A key is read once. `None`: aws-lc does not take it, for it is smaller than 2,048 bits, say.
fn of(key: &RsaPrivateKey) -> Option<Arc<Fast>> {
    static READ: Mutex<BTreeMap<Vec<u8>, Option<Arc<Fast>>>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    read.entry(key.n_bytes().into())
        .or_insert_with(|| Fast::read(&private_key_to_der(key)).map(Arc::new))
        .clone()
}

impl Fast {
    fn read(pkcs8: &[u8]) -> Option<Self> {
        let opening = OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(pkcs8).ok()?).ok()?;
        Some(Self { signing: KeyPair::from_pkcs8(pkcs8).ok()?, opening })
    }
}

#[cfg(test)]
mod tests {
    use super::super::crypto::{SHA256_PREFIX, h, oaep_encrypt, sign_digest};
    use super::*;
    use crate::vectors::fixtures::{KEY_1024, KEY_3072, KEY_X};

    #[test]
    fn both_ways_give_the_same() {
        for key in [&KEY_X.private, &KEY_3072.private] {
            assert_eq!(sign(key, b"message"), Some(sign_digest(key, SHA256_PREFIX, &h(&[b"message"]))));
            let sealed = oaep_encrypt(&key.to_public_key(), "label", &[7; 32], &[9; 32]);
            assert_eq!(open(key, b"label", &sealed), Some(vec![7; 32]));
            assert_eq!(open(key, b"another label", &sealed), None);
            assert_eq!(open(key, b"label", &sealed[1..]), None);
        }
        assert_eq!(sign(&KEY_1024.private, b"message"), None);
    }
}
