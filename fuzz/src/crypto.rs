//! Two libraries of cryptography: what one makes of any key, ciphertext and signature, the other has to make too.

use std::sync::LazyLock;

use meshproof_kit::fuzz::Draw;
use meshproof_kit::oracle::crypto::{is_device_key, oaep_encrypt, public_key_from_spki, sign};
use meshproof_kit::vectors::fixtures::{KEY_3072, KEY_3080, KEY_X};
use meshproof_proto::crypto::{AWS_LC, KEM_KEY, PrivateKey, Provider, RUSTCRYPTO, Secret, Spki};

use crate::plant::{LONG_SIGNATURE, planted};
use crate::world::Counter;

const MESSAGE: &[u8] = b"meshproof";
const LABEL: &str = "label";

struct Keys {
    private: [Box<dyn PrivateKey>; 2],
    ciphertext: Vec<u8>,
    signature: Vec<u8>,
    kem: [u8; KEM_KEY],
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    private: both(|p| p.private_key(&KEY_X.pkcs8()).expect("a test key")),
    ciphertext: oaep_encrypt(&KEY_X.private.to_public_key(), LABEL, &[7; 32], &[8; 32]),
    signature: sign(&KEY_X.private, MESSAGE),
    kem: RUSTCRYPTO.kem_key(&mut Counter(1)).encapsulation_key(),
});

fn both<T>(run: impl Fn(&'static dyn Provider) -> T) -> [T; 2] {
    [run(RUSTCRYPTO), run(AWS_LC)]
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, [portable, fast]: [T; 2]) -> T {
    assert_eq!(portable, fast, "{what}: rustcrypto on the left, aws-lc on the right");
    fast
}

/// Whether what was asked for was done.
pub fn crypto(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let keys = &*KEYS;
    match draw.below(8) {
        0 => {
            let mut ciphertext = keys.ciphertext.clone();
            if draw.one_in(2) {
                let message = draw.bytes(40).to_vec();
                ciphertext = oaep_encrypt(&KEY_X.private.to_public_key(), LABEL, &message, &draw.array());
            }
            draw.edit(&mut ciphertext);
            let label = draw.pick(&["label", "other", ""]).as_bytes();
            let decrypted = [0, 1].map(|n| {
                keys.private[n].decrypt(label, &ciphertext, &mut Counter(3)).map(|plain| plain.to_vec())
            });
            same("RSAES-OAEP", decrypted).is_some()
        }
        1 => {
            let mut signature = keys.signature.clone();
            if draw.one_in(4) {
                signature.extend_from_slice(draw.bytes(4));
            } else {
                draw.edit(&mut signature);
            }
            let spki = keys.private[0].spki();
            let verified = both(|p| {
                let key = p.public_key(spki).expect("a test key");
                let longer = p.name() == AWS_LC.name() && planted(LONG_SIGNATURE) && signature.len() > 256;
                key.verify(MESSAGE, if longer { &signature[..256] } else { &signature })
            });
            same("RSASSA-PKCS1-v1_5", verified)
        }
        2 => {
            let mut der = draw.pick(&[&KEY_X, &KEY_3072, &KEY_3080]).spki();
            draw.edit(&mut der);
            let parsed = Spki::parse(&der).ok();
            if parsed.as_ref().and_then(|spki| spki.modulus().last()).is_some_and(|last| last % 2 == 0) {
                return false; // HSK-020 leaves open what a library makes of what is no modulus
            }
            let theirs = public_key_from_spki(&der).is_some_and(|key| is_device_key(&key));
            assert_eq!(
                parsed.is_some(),
                theirs,
                "the oracle says the right of an SPKI of {} bytes",
                der.len()
            );
            let Some(spki) = parsed else { return false };
            let loaded = both(|p| p.public_key(&spki).map(|key| key.verify(MESSAGE, &keys.signature)).ok());
            same("a public key", loaded).is_some()
        }
        3 => {
            let key = draw.bytes(200).to_vec();
            let parts = [draw.bytes(100), draw.bytes(100), draw.bytes(100)];
            same("HMAC-SHA256", both(|p| p.mac_key(&key).mac(&parts)));
            same("SHA-256", both(|p| p.sha256(&parts)));
            true
        }
        4 => {
            let (key, block) = (draw.array(), draw.array());
            let text = draw.bytes(100);
            let applied = both(|p| {
                let mut text = text.to_vec();
                p.ctr_key(&key).apply(&block, &mut text);
                text
            });
            same("AES-128-CTR", applied);
            true
        }
        5 => {
            let seed = Secret::new([9; 32]);
            let mut key = RUSTCRYPTO.signing_key(&seed).public().to_vec();
            let mut signature =
                same("an Ed25519 signature", both(|p| p.signing_key(&seed).sign(MESSAGE))).to_vec();
            if draw.one_in(2) {
                draw.edit(&mut key);
            } else {
                draw.edit(&mut signature);
            }
            let (Ok(key), Ok(signature)) = (<[u8; 32]>::try_from(key), <[u8; 64]>::try_from(signature))
            else {
                return false;
            };
            same("Ed25519", both(|p| p.verify(&key, MESSAGE, &signature)))
        }
        6 => {
            let secret = Secret::new(draw.array());
            let peer = if draw.one_in(3) { [draw.byte() % 3; 32] } else { draw.array() };
            same("an X25519 key", both(|p| p.x25519_key(&secret).public()));
            same("X25519", both(|p| p.x25519_key(&secret).agree(&peer).map(|shared| *shared))).is_some()
        }
        _ => {
            let mut key = keys.kem.to_vec();
            draw.edit(&mut key);
            let Ok(key) = <[u8; KEM_KEY]>::try_from(key) else { return false };
            // Each draws for itself; whether the key is one is the same for both.
            same("an ML-KEM-768 key", both(|p| p.kem_encapsulate(&key, &mut Counter(5)).is_some()))
        }
    }
}
