//! Small files in Wycheproof's format: the oracle passes, what is wrong in one place does not, and a file that is not whole
//! is no file.

use std::collections::BTreeMap;
use std::path::Path;

use meshproof_kit::wycheproof::{self, FileReport, NoKey, Oracle, Primitives};
use serde_json::Value;

fn files() -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wycheproof");
    wycheproof::files(&directory).expect("the files").into_iter().collect()
}

fn run(name: &str, by: &dyn Primitives) -> FileReport {
    wycheproof::run(&files()[name], by).expect("a file of Wycheproof's")
}

#[test]
fn the_oracle_passes_and_nothing_is_left_out_without_a_word() {
    let counts: BTreeMap<String, (usize, usize)> = files()
        .keys()
        .map(|name| {
            let report = run(name, &Oracle);
            assert_eq!(report.failures, [], "{name}");
            (name.clone(), (report.ran, report.left_out.values().sum()))
        })
        .collect();
    let expected = [
        ("aes_cbc_pkcs5_test.json", (0, 2)),
        ("aes_gcm_test.json", (1, 2)),
        ("ed25519_test.json", (4, 1)),
        ("hkdf_sha256_test.json", (2, 1)),
        ("hmac_sha256_test.json", (3, 1)),
        ("mlkem_768_encaps_test.json", (2, 0)),
        ("mlkem_768_keygen_seed_test.json", (1, 0)),
        ("mlkem_768_test.json", (2, 2)),
        ("rsa_oaep_2048_sha256_mgf1sha256_test.json", (6, 1)),
        ("rsa_pkcs1_2048_sig_gen_test.json", (1, 1)),
        ("rsa_signature_2048_sha256_test.json", (6, 2)),
        ("x25519_test.json", (3, 1)),
    ];
    assert_eq!(counts, expected.map(|(name, counts)| (name.to_owned(), counts)).into());
    let cbc = run("aes_cbc_pkcs5_test.json", &Oracle);
    assert_eq!(cbc.left_out, [("AES-CBC-PKCS5, IndCpaTest".to_owned(), 2)].into());
}

/// The oracle with a mistake in every primitive: it takes all, or gives what is a little else.
struct Lax;

impl Primitives for Lax {
    fn name(&self) -> &'static str {
        "lax"
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> [u8; 32] {
        // As if a key were cut to a block, where it has to be hashed.
        Oracle.hmac(&key[..key.len().min(64)], message)
    }

    fn hkdf(&self, salt: &[u8], ikm: &[u8], info: &[u8], length: usize) -> Vec<u8> {
        // As if the second block did not go on from the first.
        let first = Oracle.hkdf(salt, ikm, info, 32);
        first.iter().copied().cycle().take(length).collect()
    }

    fn aes_ctr(&self, key: &[u8; 16], block: &[u8; 16], text: &[u8]) -> Vec<u8> {
        // As if the counter stood still.
        text.chunks(16).flat_map(|chunk| Oracle.aes_ctr(key, block, chunk)).collect()
    }

    fn rsa_verify(&self, _: &[u8], _: &[u8], signature: &[u8]) -> Result<bool, NoKey> {
        Ok(!signature.is_empty())
    }

    fn rsa_sign(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, NoKey> {
        Err(NoKey)
    }

    fn oaep_decrypt(&self, pkcs8: &[u8], _: &[u8], ciphertext: &[u8]) -> Result<Option<Vec<u8>>, NoKey> {
        Oracle.oaep_decrypt(pkcs8, b"", ciphertext)
    }

    fn x25519(&self, secret: &[u8; 32], peer: &[u8; 32]) -> Option<[u8; 32]> {
        Some(Oracle.x25519(secret, peer).unwrap_or_default())
    }

    fn ed25519_verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        // As if S could be any number of its residue.
        Oracle.ed25519_verify(key, message, signature) || signature[63] >= 0x10
    }

    fn kem_takes_seeds(&self) -> bool {
        true
    }

    fn kem_decapsulate(&self, seed: &[u8; 64], ciphertext: &[u8; 1088]) -> (Vec<u8>, [u8; 32]) {
        let (mut key, secret) = Oracle.kem_decapsulate(seed, ciphertext);
        key[1183] ^= 1;
        (key, secret)
    }

    fn kem_encapsulate(&self, key: &[u8; 1184], m: &[u8; 32]) -> Option<(Vec<u8>, [u8; 32])> {
        Some(Oracle.kem_encapsulate(key, m).unwrap_or_default())
    }
}

#[test]
fn every_mistake_is_found_where_it_is() {
    let mut found = BTreeMap::new();
    for name in files().into_keys() {
        let failed: Vec<u64> = run(&name, &Lax).failures.iter().map(|failure| failure.test).collect();
        if !failed.is_empty() {
            found.insert(name, failed);
        }
    }
    let expected: [(&str, &[u64]); 11] = [
        ("aes_gcm_test.json", &[1]),
        ("ed25519_test.json", &[2]),
        ("hkdf_sha256_test.json", &[1, 2]),
        ("hmac_sha256_test.json", &[3]),
        ("mlkem_768_encaps_test.json", &[2]),
        ("mlkem_768_keygen_seed_test.json", &[1]),
        ("mlkem_768_test.json", &[1, 2]),
        ("rsa_oaep_2048_sha256_mgf1sha256_test.json", &[2]),
        ("rsa_pkcs1_2048_sig_gen_test.json", &[1]),
        // What is acceptable, the second, may be taken.
        ("rsa_signature_2048_sha256_test.json", &[3, 4, 5]),
        // Zeros are acceptable to RFC 7748, and not to the protocol.
        ("x25519_test.json", &[3]),
    ];
    assert_eq!(found, expected.map(|(name, tests)| (name.to_owned(), tests.to_vec())).into());
}

#[test]
fn a_file_that_is_not_whole_is_none() {
    let text = &files()["hmac_sha256_test.json"];
    let changed = |change: fn(&mut Value)| {
        let mut file: Value = serde_json::from_str(text).expect("JSON");
        change(&mut file);
        format!("{:#}", wycheproof::run(&file.to_string(), &Oracle).expect_err("an error"))
    };
    let cut = |file: &mut Value| drop(file["testGroups"].as_array_mut().map(Vec::pop));
    assert_eq!(changed(cut), "3 tests, though numberOfTests is 4");
    let maybe = |file: &mut Value| file["testGroups"][0]["tests"][1]["result"] = "maybe".into();
    assert_eq!(changed(maybe), "test 2: the result \"maybe\" is none");
    let no_key = |file: &mut Value| file["testGroups"][0]["tests"][0]["key"] = Value::Null;
    assert_eq!(changed(no_key), "test 1: no key");
    assert!(wycheproof::run("{}", &Oracle).is_err());
}
