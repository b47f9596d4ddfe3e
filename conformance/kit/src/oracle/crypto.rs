//! The primitives of spec/README.md and spec/handshake.md section 2, over `RustCrypto`.

use aes::Aes128;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ctr::Ctr32BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::traits::PublicKeyParts as _;
use rsa::{BoxedUint, Oaep, Pkcs1v15Sign};
use sha2::{Digest as _, Sha256};

use super::fast;

pub use rsa::{RsaPrivateKey, RsaPublicKey};

/// `DigestInfo` of SHA-256 without the digest (RFC 8017, 9.2 note 1).
pub const SHA256_PREFIX: &[u8] = &[
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// `DigestInfo` of SHA-1 without the digest, for tickets that must be refused.
pub const SHA1_PREFIX: &[u8] =
    &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];

/// `H`: SHA-256.
pub fn h(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// `HMAC`: HMAC-SHA256.
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// `Extract` of HKDF-SHA256 (RFC 5869, 2.2).
pub fn extract(salt: &[u8], ikm: &[u8]) -> [u8; 32] {
    hmac(salt, &[ikm])
}

/// `Expand` of HKDF-SHA256 (RFC 5869, 2.3).
pub fn expand(prk: &[u8], info: &[&[u8]], length: usize) -> Vec<u8> {
    let info = info.concat();
    let mut output = Vec::new();
    let mut block: Vec<u8> = Vec::new();
    for counter in 1_u8..=255 {
        if output.len() >= length {
            break;
        }
        block = hmac(prk, &[&block, &info, &[counter]]).to_vec();
        output.extend_from_slice(&block);
    }
    assert!(output.len() >= length, "HKDF gives no more than 8,160 bytes");
    output.truncate(length);
    output
}

/// AES-128 in counter mode; the block counts up in its last 32 bits. Sealing and opening are the same.
pub fn aes_ctr(key: &[u8], initial_block: &[u8; 16], text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    let mut cipher = Ctr32BE::<Aes128>::new_from_slices(key, initial_block).expect("a key of 16 bytes");
    cipher.apply_keystream(&mut text);
    text
}

/// `EtM(K48, aad, p)` of spec/handshake.md section 2.
pub fn etm_seal(key: &[u8], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let (enc, mac) = key.split_at(16);
    let mut sealed = aes_ctr(enc, &[0; 16], plaintext);
    let tag = hmac(mac, &[aad, &sealed]);
    sealed.extend_from_slice(&tag);
    sealed
}

/// The inverse of [`etm_seal`]; `None` when the tag is wrong.
pub fn etm_open(key: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (enc, mac) = key.split_at(16);
    let (body, tag) = sealed.split_at_checked(sealed.len().checked_sub(32)?)?;
    (hmac(mac, &[aad, body]) == tag).then(|| aes_ctr(enc, &[0; 16], body))
}

/// `OAEP(pk, label, k, seed)`: RSAES-OAEP with SHA-256 for hash and MGF1, the seed given.
pub fn oaep_encrypt(key: &RsaPublicKey, label: &str, message: &[u8], seed: &[u8; 32]) -> Vec<u8> {
    let padding = Oaep::<Sha256>::new_with_label(label.as_bytes());
    key.encrypt(&mut Script(seed.to_vec()), padding, message).expect("a key and a message that fit OAEP")
}

/// The inverse of [`oaep_encrypt`]; `None` when the padding, the label or the length is wrong.
pub fn oaep_decrypt(key: &RsaPrivateKey, label: impl AsRef<[u8]>, ciphertext: &[u8]) -> Option<Vec<u8>> {
    let label = label.as_ref();
    let slow = || key.decrypt(Oaep::<Sha256>::new_with_label(label), ciphertext).ok();
    fast::open(key, label, ciphertext).or_else(slow)
}

/// RSASSA-PKCS1-v1_5 with SHA-256 over a message.
pub fn sign(key: &RsaPrivateKey, message: &[u8]) -> Vec<u8> {
    fast::sign(key, message).unwrap_or_else(|| sign_digest(key, SHA256_PREFIX, &h(&[message])))
}

/// RSASSA-PKCS1-v1_5 over any digest with any `DigestInfo` prefix.
pub fn sign_digest(key: &RsaPrivateKey, prefix: &[u8], digest: &[u8]) -> Vec<u8> {
    let scheme = Pkcs1v15Sign { hash_len: Some(digest.len()), prefix: prefix.into() };
    key.sign(scheme, digest).expect("a key of at least 1,024 bits signs a digest")
}

/// Verifies what [`sign`] writes.
pub fn verify(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> bool {
    let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: SHA256_PREFIX.into() };
    key.verify(scheme, &h(&[message]), signature).is_ok()
}

/// Reads a private key from PKCS#8 PEM.
pub fn private_key_from_pem(pem: &str) -> Option<RsaPrivateKey> {
    RsaPrivateKey::from_pkcs8_pem(pem).ok()
}

/// Reads a private key from PKCS#8 DER.
pub fn private_key_from_der(der: &[u8]) -> Option<RsaPrivateKey> {
    RsaPrivateKey::from_pkcs8_der(der).ok()
}

/// Writes a private key as PKCS#8 DER.
pub fn private_key_to_der(key: &RsaPrivateKey) -> Vec<u8> {
    key.to_pkcs8_der().expect("an RSA key has a PKCS#8 form").as_bytes().to_vec()
}

/// The SPKI of a key.
pub fn spki(key: &RsaPublicKey) -> Vec<u8> {
    key.to_public_key_der().expect("an RSA key has an SPKI").into_vec()
}

/// Reads an SPKI. Only the one DER form is read: whatever does not encode back to the same bytes is none.
pub fn public_key_from_spki(der: &[u8]) -> Option<RsaPublicKey> {
    let key = RsaPublicKey::from_public_key_der(der).ok()?;
    (spki(&key) == der).then_some(key)
}

/// The fingerprint of a key: `H(SPKI)`.
pub fn fingerprint(key: &RsaPublicKey) -> [u8; 32] {
    h(&[&spki(key)])
}

/// The modulus in its shortest big-endian form.
pub fn modulus(key: &RsaPublicKey) -> Vec<u8> {
    let bytes = key.n_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros..].to_vec()
}

/// The key of a modulus and an exponent, both big-endian.
pub fn public_key_from_parts(modulus: &[u8], exponent: &[u8]) -> Option<RsaPublicKey> {
    let bits = u32::try_from(modulus.len()).ok()?.checked_mul(8)?;
    let n = BoxedUint::from_be_slice(modulus, bits).ok()?;
    let e = BoxedUint::from_be_slice(exponent, 64).ok()?;
    RsaPublicKey::new(n, e).ok()
}

/// Whether a key is one a device may have: RSA of 2,048 to 3,072 bits with exponent 65537 (TKT-012, HSK-020).
pub fn is_device_key(key: &RsaPublicKey) -> bool {
    let bits = key.n().as_ref().bits();
    (2048..=3072).contains(&bits) && *key.e() == BoxedUint::from(65_537_u64)
}

/// Base64 with padding (RFC 4648 section 4).
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads what [`base64()`] writes and no other spelling.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    (base64(&bytes) == text).then_some(bytes)
}

/// Base64url without padding (RFC 4648 section 5).
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads what [`base64url`] writes and no other spelling.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    (base64url(&bytes) == text).then_some(bytes)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Reads hexadecimal of an even number of digits.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect()
}

/// A "random" source that deals out what it was given: the seed of OAEP.
struct Script(Vec<u8>);

impl TryRng for Script {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, output: &mut [u8]) -> Result<(), Self::Error> {
        assert!(output.len() <= self.0.len(), "OAEP draws its seed and no more");
        let rest = self.0.split_off(output.len());
        output.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Script {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::fixtures::{ISSUER_A, KEY_X, KEY_Y};
    use serde_json::Value;

    /// What the OpenSSL command line wrote: `vectors/crypto/openssl.json`.
    fn openssl(kind: &str) -> Vec<Value> {
        let file: Value =
            serde_json::from_str(include_str!("../../vectors/crypto/openssl.json")).expect("JSON");
        let groups = file["testGroups"].as_array().cloned().unwrap_or_default();
        let tests: Vec<Value> = groups
            .iter()
            .filter(|group| group["type"] == kind)
            .flat_map(|group| group["tests"].as_array().cloned().unwrap_or_default())
            .collect();
        assert!(!tests.is_empty(), "no tests of {kind}");
        tests
    }

    fn bytes(value: &Value) -> Vec<u8> {
        from_hex(value.as_str().expect("a string")).expect("hexadecimal")
    }

    #[test]
    fn openssl_agrees_on_symmetric_primitives() {
        for test in openssl("Hmac") {
            assert_eq!(hmac(&bytes(&test["key"]), &[&bytes(&test["message"])]).to_vec(), bytes(&test["tag"]));
        }
        for test in openssl("Hkdf") {
            let prk = extract(&bytes(&test["salt"]), &bytes(&test["ikm"]));
            assert_eq!(prk.to_vec(), bytes(&test["prk"]));
            assert_eq!(expand(&prk, &[&bytes(&test["info"])], 52), bytes(&test["okm"]));
        }
        for test in openssl("AesCtr") {
            let block = bytes(&test["block"]).try_into().expect("a block");
            let sealed = aes_ctr(&bytes(&test["key"]), &block, &bytes(&test["plaintext"]));
            assert_eq!(sealed, bytes(&test["ciphertext"]));
        }
    }

    #[test]
    fn hkdf_gives_all_that_it_can() {
        let most = expand(&[7; 32], &[b"info"], 8_160);
        assert_eq!(most.len(), 8_160);
        assert_eq!(most[..100], expand(&[7; 32], &[b"info"], 100));
    }

    #[test]
    fn openssl_agrees_on_rsa() {
        for test in openssl("OaepDecrypt") {
            let label = test["label"].as_str().expect("a label");
            let message = oaep_decrypt(&KEY_Y.private, label, &bytes(&test["ciphertext"]));
            assert_eq!(message, Some(bytes(&test["message"])));
            assert_eq!(oaep_decrypt(&KEY_Y.private, "another label", &bytes(&test["ciphertext"])), None);
        }
        for test in openssl("RsaSign") {
            assert_eq!(sign(&ISSUER_A.private, &bytes(&test["message"])), bytes(&test["signature"]));
        }
        for test in openssl("Fingerprint") {
            assert_eq!(fingerprint(&KEY_X.private.to_public_key()).to_vec(), bytes(&test["fingerprint"]));
        }
    }

    #[test]
    fn oaep_with_a_given_seed_is_the_same_every_time_and_opens() {
        let key = KEY_X.private.to_public_key();
        let sealed = oaep_encrypt(&key, "label", &[7; 32], &[9; 32]);
        assert_eq!(sealed, oaep_encrypt(&key, "label", &[7; 32], &[9; 32]));
        assert_ne!(sealed, oaep_encrypt(&key, "label", &[7; 32], &[8; 32]));
        assert_eq!(oaep_decrypt(&KEY_X.private, "label", &sealed), Some(vec![7; 32]));
    }
}
