//! Both providers against each other, and the seam's own promises.

use alloc::vec::Vec;

use super::*;
use crate::test_keys::{DEVICE_X, Script, pkcs8};

fn providers() -> Vec<&'static dyn Provider> {
    alloc::vec![
        RUSTCRYPTO,
        #[cfg(feature = "aws-lc")]
        AWS_LC,
    ]
}

proptest::proptest! {
    #[test]
    fn providers_agree(key: [u8; 16], block: [u8; 16], parts: Vec<Vec<u8>>) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let run = |p: &dyn Provider| {
            let mut data = parts.concat();
            p.ctr_key(&key).apply(&block, &mut data);
            let signing = p.signing_key(&Secret::new([key[0]; 32]));
            let signed = signing.sign(&data);
            assert!(p.verify(&signing.public(), &data, &signed));
            assert!(!p.verify(&signing.public(), &key, &signed) || key[..] == data[..]);
            let tag = p.mac_key(&key).mac(&parts);
            assert_eq!(p.hmac(&key, &parts), tag, "{}", p.name());
            (p.sha256(&parts), tag, data, signing.public(), signed)
        };
        for provider in providers() {
            proptest::prop_assert_eq!(run(provider), run(RUSTCRYPTO));
        }
    }

    #[test]
    fn only_one_encoding_of_a_key_is_read(at in 0_usize..294, flip in 1_u8..=255) {
        let key = RUSTCRYPTO.private_key(&pkcs8(DEVICE_X)).unwrap();
        let mut der = key.spki().der().to_vec();
        der[at] ^= flip;
        // Another odd modulus is another key, if it is in shortest form; anything else is none.
        let shortest = if der[32] == 0 { der[33] & 0x80 != 0 } else { der[32] & 0x80 == 0 };
        let odd = der[288] & 1 == 1;
        proptest::prop_assert_eq!(Spki::parse(&der).is_ok(), (32..289).contains(&at) && shortest && odd);
    }
}

#[test]
fn rsa_works_across_providers() {
    for sender in providers() {
        for receiver in providers() {
            let private = receiver.private_key(&pkcs8(DEVICE_X)).unwrap();
            let public = sender.public_key(private.spki()).unwrap();
            let ciphertext = public.encrypt(b"label", &[7; 32], &mut Script::new(1));
            let open = |label: &[u8]| private.decrypt(label, &ciphertext, &mut Script::new(2));
            assert_eq!(open(b"label").unwrap()[..], [7; 32], "{} to {}", sender.name(), receiver.name());
            assert!(open(b"other").is_none());
            let signature = private.sign(b"message");
            assert!(public.verify(b"message", &signature));
            assert!(!public.verify(b"another", &signature));
        }
    }
}

#[test]
fn failed_decapsulation_is_a_key_like_any_other() {
    for provider in providers() {
        let private = provider.private_key(&pkcs8(DEVICE_X)).unwrap();
        let open = |c: &[u8]| decapsulate(provider, &*private, &[9; 32], b"label", c, &mut Script::new(3));
        let (first, real) = open(&[1; 256]);
        assert!(!real);
        assert_eq!(first, open(&[1; 256]).0, "the same ciphertext gives the same key");
        assert_ne!(first, open(&[2; 256]).0);
        assert_ne!(*open(&[]).0, [0; 32]);
    }
}

#[test]
fn made_keys_load_everywhere() {
    for maker in providers() {
        let der = maker.generate_key(KeyBits::B2048, &mut Script::new(4));
        for user in providers() {
            assert!(user.private_key(&der).is_ok(), "{} to {}", maker.name(), user.name());
        }
    }
}

#[test]
fn ephemeral_exchanges_work_across_providers() {
    for left in providers() {
        for right in providers() {
            let key = |p: &dyn Provider, seed| p.x25519_key(&draw_secret(&mut Script::new(seed)));
            let (a, b) = (key(left, 3), key(right, 4));
            let shared = a.agree(&b.public()).unwrap();
            assert_eq!(shared, b.agree(&a.public()).unwrap());
            assert!(a.agree(&[0; 32]).is_none(), "{}: a result of zeros", left.name());
            let mut one = [0; 32];
            one[0] = 1; // a point of small order
            assert!(a.agree(&one).is_none());

            let key = left.kem_key(&mut Script::new(5));
            let mut wire = key.encapsulation_key();
            let (ciphertext, shared) = right.kem_encapsulate(&wire, &mut Script::new(6)).unwrap();
            assert_eq!(key.decapsulate(&ciphertext), shared);
            let mut changed = ciphertext;
            changed[0] ^= 1;
            assert_ne!(key.decapsulate(&changed), shared);
            wire[..3].fill(0xff); // coefficients of 4,095
            assert!(right.kem_encapsulate(&wire, &mut Script::new(6)).is_none(), "{}", right.name());
        }
    }
}

/// Those that others published, of one kind: `vectors/crypto/published.json`.
fn published(kind: &str) -> Vec<serde_json::Value> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../../vectors/crypto/published.json")).unwrap();
    let groups = file["testGroups"].as_array().unwrap().iter().filter(|group| group["type"] == kind);
    let tests: Vec<_> = groups.flat_map(|group| group["tests"].as_array().unwrap().clone()).collect();
    assert!(!tests.is_empty(), "no vectors of {kind}");
    tests
}

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn array<const N: usize>(value: &serde_json::Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

#[test]
fn published_vectors_of_hkdf_hold() {
    for test in published("Hkdf") {
        for p in providers() {
            let prk = hkdf::extract(p, &bytes(&test["salt"]), &bytes(&test["ikm"]));
            assert_eq!(*prk, array(&test["prk"]), "{}", p.name());
            let okm = hkdf::expand::<42>(p, &prk, &[&bytes(&test["info"])]);
            assert_eq!(*okm, array(&test["okm"]), "{}", p.name());
        }
    }
}

#[test]
fn published_vectors_of_x25519_hold() {
    for test in published("X25519") {
        for p in providers() {
            let shared = p.x25519_key(&Secret::new(array(&test["secret"]))).agree(&array(&test["peer"]));
            assert_eq!(*shared.unwrap(), array(&test["shared"]), "{}", p.name());
        }
    }
}

/// AWS-LC makes no keys of seeds, so it gets the one that the other provider made, and checks it.
#[test]
#[allow(deprecated)] // no other form is taken over there
fn published_vectors_of_ml_kem_hold() {
    use ml_kem::{DecapsulationKey768, ExpandedKeyEncoding as _};

    for test in published("MlKem768") {
        let (seed, ciphertext): ([u8; 64], _) = (array(&test["seed"]), array(&test["ciphertext"]));
        let mut keys = alloc::vec![RUSTCRYPTO.kem_key(&mut |out: &mut [u8]| out.copy_from_slice(&seed))];
        let expanded = DecapsulationKey768::from_seed(seed.into()).to_expanded_bytes();
        #[cfg(feature = "aws-lc")]
        keys.push(super::aws_lc::kem_key_of(&expanded));
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(*key.decapsulate(&ciphertext), array(&test["shared"]), "{number}");
        }
        assert_eq!(keys[0].encapsulation_key(), array(&test["key"]));
        assert!(expanded.windows(KEM_KEY).any(|part| part == bytes(&test["key"])));
        // And it encapsulates to the published key.
        for p in providers() {
            let (ciphertext, shared) = p.kem_encapsulate(&array(&test["key"]), &mut Script::new(1)).unwrap();
            assert!(keys.iter().all(|key| key.decapsulate(&ciphertext) == shared), "{}", p.name());
        }
    }
}
