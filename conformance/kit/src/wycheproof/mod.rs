//! The public Wycheproof files, against the primitives that an implementation of the protocol is made of.
//!
//! They know the mistakes that libraries made; a protocol inherits each of them. What the protocol does not use is left out
//! and counted by name, so that nobody takes a file for tested because it was read. Which files there are is up to whoever
//! has them: <https://github.com/C2SP/wycheproof>, `testvectors_v1/` or `testvectors/`.

mod judge;
mod oracle;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

pub use self::oracle::Oracle;

/// The primitives of one implementation.
pub trait Primitives {
    /// What a report calls it.
    fn name(&self) -> &str;
    /// HMAC-SHA256.
    fn hmac(&self, key: &[u8], message: &[u8]) -> [u8; 32];
    /// HKDF-SHA256; `length` is at most 8,160.
    fn hkdf(&self, salt: &[u8], ikm: &[u8], info: &[u8], length: usize) -> Vec<u8>;
    /// AES-128 in counter mode; the block counts up in its last 32 bits.
    fn aes_ctr(&self, key: &[u8; 16], block: &[u8; 16], text: &[u8]) -> Vec<u8>;
    /// Whether this is an RSASSA-PKCS1-v1_5 signature with SHA-256.
    fn rsa_verify(&self, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, NoKey>;
    /// An RSASSA-PKCS1-v1_5 signature with SHA-256, by a key in PKCS#8.
    fn rsa_sign(&self, pkcs8: &[u8], message: &[u8]) -> Result<Vec<u8>, NoKey>;
    /// RSAES-OAEP with SHA-256 for hash and MGF1, by a key in PKCS#8.
    fn oaep_decrypt(&self, pkcs8: &[u8], label: &[u8], ciphertext: &[u8]) -> Result<Option<Vec<u8>>, NoKey>;
    /// The shared secret of X25519, unless it is all zeros.
    fn x25519(&self, secret: &[u8; 32], peer: &[u8; 32]) -> Option<[u8; 32]>;
    /// Whether this is an Ed25519 signature.
    fn ed25519_verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;
    /// Whether what ML-KEM draws can be given to it.
    fn kem_takes_seeds(&self) -> bool;
    /// The ML-KEM-768 encapsulation key of a seed `d || z`, and what its owner makes of a ciphertext.
    fn kem_decapsulate(&self, seed: &[u8; 64], ciphertext: &[u8; 1088]) -> (Vec<u8>, [u8; 32]);
    /// The ML-KEM-768 ciphertext and secret of a key, with this `m`; nothing if the key is not in the form of FIPS 203, 7.2.
    fn kem_encapsulate(&self, key: &[u8; 1184], m: &[u8; 32]) -> Option<(Vec<u8>, [u8; 32])>;
}

/// An implementation does not load a key that the protocol allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;

/// What came of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    /// How many tests were run.
    pub ran: usize,
    /// Those that failed.
    pub failures: Vec<Failure>,
    /// How many were left out, and why.
    pub left_out: BTreeMap<String, usize>,
}

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its number in the file.
    pub test: u64,
    /// What it is about.
    pub comment: String,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "test {}: {}", self.test, self.why)?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " ({})", self.comment) }
    }
}

/// What became of one test.
enum Verdict {
    Passed,
    Failed(String),
    LeftOut(String),
}

/// The files of a directory: names and texts, in order.
pub fn files(directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)
        .with_context(|| format!("cannot read the directory {}", directory.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            found.push((name, text));
        }
    }
    ensure!(!found.is_empty(), "there is no .json file in {}", directory.display());
    found.sort();
    Ok(found)
}

/// Runs a file. An error is one of the file: it is not what Wycheproof writes.
pub fn run(text: &str, primitives: &dyn Primitives) -> anyhow::Result<FileReport> {
    let file: Value = serde_json::from_str(text).context("no JSON")?;
    let groups = file["testGroups"].as_array().context("no testGroups")?;
    let mut report = FileReport::default();
    let mut number = 0_usize;
    for group in groups {
        for test in group["tests"].as_array().context("a group without tests")? {
            number += 1;
            let id = test["tcId"].as_u64().with_context(|| format!("test {number} has no tcId"))?;
            let verdict = judge::judge(&file["algorithm"], group, test, primitives);
            match verdict.with_context(|| format!("test {id}"))? {
                Verdict::Passed => report.ran += 1,
                Verdict::Failed(why) => {
                    report.ran += 1;
                    let comment = test["comment"].as_str().unwrap_or_default().to_owned();
                    report.failures.push(Failure { test: id, comment, why });
                }
                Verdict::LeftOut(why) => *report.left_out.entry(why).or_default() += 1,
            }
        }
    }
    // A file that lost its end would pass.
    if let Some(said) = file["numberOfTests"].as_u64() {
        ensure!(said == number as u64, "{number} tests, though numberOfTests is {said}");
    }
    Ok(report)
}
