//! What an implementation is measured beside: bare functions of aws-lc-rs, with keys that are loaded already. The oracle's
//! own cryptography is portable and slow, and would flatter everybody.

use std::time::{Duration, Instant};

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use serde_json::Value;

use super::{Measured, Unit};
use crate::target::shim::Answer;
use crate::vectors::fixtures::KEY_X;

/// How much is done between two readings of the clock, in bytes.
const RUN: usize = 65_536;

/// Answers a `bench` as a shim does: the same bytes and operations, and nothing around them.
pub fn answer(request: &Value) -> Answer {
    let seconds = request["seconds"].as_f64().unwrap_or_default();
    let size = request["size"].as_u64().and_then(|size| usize::try_from(size).ok());
    let work = request["work"].as_str().unwrap_or_default();
    let Some(size) = size.filter(|size| (1..=RUN).contains(size)) else {
        return Answer::unsupported();
    };
    match work {
        "aes-128-ctr" => bytes(seconds, size, Keys::encrypt),
        "hmac-sha256" => bytes(seconds, size, |keys, data| {
            keys.mac(data);
            Ok(())
        }),
        // The tag of a record is of its ciphertext.
        "seal" => bytes(seconds, size, |keys, data| keys.encrypt(data).map(|()| keys.mac(data))),
        "open" => bytes(seconds, size, |keys, data| {
            keys.mac(data);
            keys.encrypt(data)
        }),
        "rsa-oaep-decrypt" => decryptions(seconds, 1),
        // Each side decrypts once.
        "handshake-0101" | "handshake-0201" | "handshake-0301" => decryptions(seconds, 2),
        _ => return Answer::unsupported(),
    }
    .unwrap_or_else(|error| Answer::error(format!("aws-lc-rs: {error}")))
}

type Done<T> = Result<T, aws_lc_rs::error::Unspecified>;

struct Keys {
    aes: EncryptingKey,
    hmac: hmac::Key,
}

impl Keys {
    fn encrypt(&self, data: &mut [u8]) -> Done<()> {
        let block = EncryptionContext::Iv128(FixedLength::from([3; 16]));
        self.aes.less_safe_encrypt(data, block).map(|_| ())
    }

    fn mac(&self, data: &[u8]) {
        std::hint::black_box(hmac::sign(&self.hmac, data));
    }
}

fn bytes(seconds: f64, size: usize, work: impl Fn(&Keys, &mut [u8]) -> Done<()>) -> Done<Answer> {
    let aes = EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &[1; 16])?)?;
    let keys = Keys { aes, hmac: hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]) };
    let pieces = RUN / size;
    let mut data = vec![0x5a; pieces * size];
    // A failure would be a fault of the library, and shows in the first run if at all.
    work(&keys, &mut data[..size])?;
    let measured = Measured::repeating(seconds, (pieces * size) as u64, || {
        timed(|| {
            for piece in std::hint::black_box(&mut data).chunks_exact_mut(size) {
                let _ = work(&keys, piece);
            }
        })
    });
    Ok(measured.answer(Unit::Bytes))
}

/// Decryptions with a key of 2,048 bits; so many are one operation.
fn decryptions(seconds: f64, at_once: usize) -> Done<Answer> {
    let private = PrivateDecryptingKey::from_pkcs8(&KEY_X.pkcs8())?;
    let public = OaepPublicEncryptingKey::new(private.public_key())?;
    let private = OaepPrivateDecryptingKey::new(private)?;
    let mut ciphertext = vec![0; public.ciphertext_size()];
    public.encrypt(&OAEP_SHA256_MGF1SHA256, &[7; 32], &mut ciphertext, Some(b"label"))?;
    let mut out = vec![0; private.min_output_size()];
    let mut decrypt = || {
        private.decrypt(&OAEP_SHA256_MGF1SHA256, &ciphertext, &mut out, Some(b"label")).map(|key| key.len())
    };
    decrypt()?;
    let measured = Measured::repeating(seconds, 1, || {
        timed(|| {
            for _ in 0..at_once {
                let _ = std::hint::black_box(decrypt());
            }
        })
    });
    Ok(measured.answer(Unit::Operations))
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}
