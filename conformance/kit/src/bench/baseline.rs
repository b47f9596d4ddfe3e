//! What an implementation is measured beside: bare functions of aws-lc-rs, with keys that are loaded already. The oracle's
//! own cryptography is portable and slow, and would flatter everybody.

use std::time::{Duration, Instant};

use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
use aws_lc_rs::rsa::{
    KeyPair, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use aws_lc_rs::{hmac, rand};
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
        "rsa-oaep-decrypt" => operations(seconds, Keypair::decrypt),
        "handshake-0101" => operations(seconds, Keypair::rsa),
        "handshake-0201" => operations(seconds, |keys| keys.rsa().and_then(|()| x25519())),
        "handshake-0301" => {
            operations(seconds, |keys| keys.rsa().and_then(|()| x25519()).and_then(|()| ml_kem()))
        }
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

fn operations(seconds: f64, work: impl Fn(&mut Keypair) -> Done<()>) -> Done<Answer> {
    let mut keys = Keypair::new()?;
    work(&mut keys)?;
    let measured = Measured::repeating(seconds, 1, || {
        timed(|| {
            let _ = std::hint::black_box(work(&mut keys));
        })
    });
    Ok(measured.answer(Unit::Operations))
}

/// An RSA key of 2,048 bits, loaded for all that a handshake does with such keys.
struct Keypair {
    private: OaepPrivateDecryptingKey,
    public: OaepPublicEncryptingKey,
    verifying: ParsedPublicKey,
    ciphertext: Vec<u8>,
    signature: Vec<u8>,
    out: Vec<u8>,
}

impl Keypair {
    fn new() -> Done<Self> {
        let pkcs8 = KEY_X.pkcs8();
        let private = PrivateDecryptingKey::from_pkcs8(&pkcs8)?;
        let verifying =
            ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, private.public_key().as_der()?.as_ref())?;
        let public = OaepPublicEncryptingKey::new(private.public_key())?;
        let private = OaepPrivateDecryptingKey::new(private)?;
        let mut ciphertext = vec![0; public.ciphertext_size()];
        public.encrypt(&OAEP_SHA256_MGF1SHA256, &[7; 32], &mut ciphertext, Some(b"label"))?;
        let mut signature = vec![0; ciphertext.len()];
        KeyPair::from_pkcs8(&pkcs8)?.sign(
            &RSA_PKCS1_SHA256,
            &rand::SystemRandom::new(),
            b"message",
            &mut signature,
        )?;
        let out = vec![0; private.min_output_size()];
        Ok(Self { private, public, verifying, ciphertext, signature, out })
    }

    fn decrypt(&mut self) -> Done<()> {
        let Self { private, ciphertext, out, .. } = self;
        private.decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, out, Some(b"label")).map(|_| ())
    }

    /// Of a whole handshake: each side decrypts and encrypts once, and the responder verifies a ticket.
    fn rsa(&mut self) -> Done<()> {
        for _ in 0..2 {
            self.decrypt()?;
            self.public.encrypt(&OAEP_SHA256_MGF1SHA256, &[7; 32], &mut self.out, Some(b"label"))?;
        }
        self.verifying.verify_sig(b"message", &self.signature)
    }
}

/// Each side makes a key and agrees with the other's.
fn x25519() -> Done<()> {
    let keys = [agreement::PrivateKey::generate(&X25519)?, agreement::PrivateKey::generate(&X25519)?];
    for (mine, peer) in [(0, 1), (1, 0)] {
        let public = keys[peer].compute_public_key()?;
        let public = UnparsedPublicKey::new(&X25519, public.as_ref());
        agreement::agree(&keys[mine], public, aws_lc_rs::error::Unspecified, |_| Ok(()))?;
    }
    Ok(())
}

fn ml_kem() -> Done<()> {
    let key = DecapsulationKey::generate(&ML_KEM_768)?;
    let (ciphertext, _) = key.encapsulation_key()?.encapsulate()?;
    key.decapsulate(ciphertext).map(|_| ())
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}
