//! `meshproof vectors --wycheproof DIR`: the public files, on the primitives of the oracle and of both providers of the
//! reference.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use meshproof_kit::wycheproof::{self, NoKey, Oracle, Primitives};
use meshproof_proto::crypto::{AWS_LC, PrivateKey, Provider, RUSTCRYPTO, Secret, Spki, expand, extract};

/// Exit code for a run in which nothing was run.
const INCOMPLETE: u8 = 3;

/// Runs the files and says what came of them.
pub(super) fn execute(directory: &Path) -> anyhow::Result<u8> {
    let files = wycheproof::files(directory)?;
    let all: [&dyn Primitives; 3] = [&Oracle, &Reference(RUSTCRYPTO), &Reference(AWS_LC)];
    let longest = files.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let title: Vec<String> = all.iter().map(|by| format!("{:>12}", by.name())).collect();
    say!("{:longest$} {}", "passed", title.concat());
    let (mut ran, mut failed) = (0, 0);
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    for (name, text) in &files {
        let run = |by: &&dyn Primitives| {
            wycheproof::run(text, *by).with_context(|| format!("{name} is no Wycheproof file"))
        };
        let reports = all.iter().map(run).collect::<anyhow::Result<Vec<_>>>()?;
        let mut here: BTreeMap<&String, usize> = BTreeMap::new();
        for (why, count) in reports.iter().flat_map(|report| &report.left_out) {
            let most = here.entry(why).or_default();
            *most = (*most).max(*count);
        }
        for (why, count) in here {
            *left_out.entry(why.clone()).or_default() += count;
        }
        if reports.iter().any(|report| report.ran > 0) {
            let passed = reports.iter().map(|report| format!("{:>12}", report.ran - report.failures.len()));
            say!("{name:longest$} {}", passed.collect::<String>());
        }
        for (by, report) in all.iter().zip(&reports) {
            for failure in &report.failures {
                say!("FAIL  {}: {failure}", by.name());
            }
            ran += report.ran;
            failed += report.failures.len();
        }
    }
    if !left_out.is_empty() {
        say!("\nleft out, for the protocol has no use for it:");
        for (why, count) in left_out {
            say!("{count:>8}  {why}");
        }
    }
    say!("\n{} files, {ran} tests run, {failed} failed", files.len());
    Ok(match (ran, failed) {
        (0, _) => INCOMPLETE,
        (_, 0) => 0,
        _ => 1,
    })
}

/// A provider of the reference.
struct Reference(&'static dyn Provider);

impl Reference {
    fn private(&self, pkcs8: &[u8]) -> Result<Box<dyn PrivateKey>, NoKey> {
        self.0.private_key(pkcs8).map_err(|_| NoKey)
    }
}

/// The same draws each time, from what the file gives.
fn script(bytes: &[u8]) -> impl FnMut(&mut [u8]) {
    let mut left = bytes.iter().copied();
    move |out: &mut [u8]| out.fill_with(|| left.next().unwrap_or_default())
}

impl Primitives for Reference {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> [u8; 32] {
        self.0.hmac(key, &[message])
    }

    fn hkdf(&self, salt: &[u8], ikm: &[u8], info: &[u8], length: usize) -> Vec<u8> {
        // The reference knows its lengths when it is compiled; a shorter output is the begin of a longer one.
        expand::<8_160>(self.0, &extract(self.0, salt, ikm), &[info])[..length].to_vec()
    }

    fn aes_ctr(&self, key: &[u8; 16], block: &[u8; 16], text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        self.0.ctr_key(key).apply(block, &mut text);
        text
    }

    fn rsa_verify(&self, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, NoKey> {
        let spki = Spki::parse(spki).map_err(|_| NoKey)?;
        Ok(self.0.public_key(&spki).map_err(|_| NoKey)?.verify(message, signature))
    }

    fn rsa_sign(&self, pkcs8: &[u8], message: &[u8]) -> Result<Vec<u8>, NoKey> {
        Ok(self.private(pkcs8)?.sign(message))
    }

    fn oaep_decrypt(&self, pkcs8: &[u8], label: &[u8], ciphertext: &[u8]) -> Result<Option<Vec<u8>>, NoKey> {
        let found = self.private(pkcs8)?.decrypt(label, ciphertext, &mut meshproof_client::os_entropy);
        Ok(found.map(|message| message.to_vec()))
    }

    fn x25519(&self, secret: &[u8; 32], peer: &[u8; 32]) -> Option<[u8; 32]> {
        self.0.x25519_key(&Secret::new(*secret)).agree(peer).map(|shared| *shared)
    }

    fn ed25519_verify(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify(key, message, signature)
    }

    fn kem_takes_seeds(&self) -> bool {
        let key = || self.0.kem_key(&mut script(&[7; 64])).encapsulation_key();
        key() == key()
    }

    fn kem_decapsulate(&self, seed: &[u8; 64], ciphertext: &[u8; 1088]) -> (Vec<u8>, [u8; 32]) {
        let key = self.0.kem_key(&mut script(seed));
        (key.encapsulation_key().to_vec(), *key.decapsulate(ciphertext))
    }

    fn kem_encapsulate(&self, key: &[u8; 1184], m: &[u8; 32]) -> Option<(Vec<u8>, [u8; 32])> {
        let (ciphertext, secret) = self.0.kem_encapsulate(key, &mut script(m))?;
        Some((ciphertext.to_vec(), *secret))
    }
}
