//! Device sign-in: the challenge that only the holder of a device key can answer (`spec/identity.md`, section 3).

use alloc::vec::Vec;

use crate::crypto::{Entropy, KeyRejected, PrivateKey, Provider, Secret, Spki, draw, draw_secret, equal};

const LABEL: &[u8] = b"meshproof/1 device challenge";
const ANSWER: &[u8] = b"meshproof/1 device answer";

/// How long a challenge can be answered, in seconds (IDN-012).
pub const CHALLENGE_LIFETIME: u64 = 60;

/// A challenge as the service keeps it. What the device gets is [`Challenge::id`] and [`Challenge::ciphertext`].
pub struct Challenge {
    /// 16 random bytes.
    pub id: [u8; 16],
    /// `k`, encrypted to the device's key.
    pub ciphertext: Vec<u8>,
    answer: [u8; 32],
}

impl Challenge {
    /// A new challenge for the holder of `key`.
    pub fn new(provider: &dyn Provider, key: &Spki, entropy: &mut dyn Entropy) -> Result<Self, KeyRejected> {
        let (id, k) = (draw(entropy), draw_secret(entropy));
        let ciphertext = provider.public_key(key)?.encrypt(LABEL, &k, entropy);
        Ok(Self { id, ciphertext, answer: answer_with(provider, &k, &id) })
    }

    /// A challenge that nobody can answer, for a device that does not exist (IDN-009). `length` is that of a modulus.
    pub fn unanswerable(length: usize, entropy: &mut dyn Entropy) -> Self {
        let mut ciphertext = alloc::vec![0; length];
        entropy.fill(&mut ciphertext);
        // A number above the modulus would give the pretence away.
        if let Some(first) = ciphertext.first_mut() {
            *first &= 0x7F;
        }
        Self { id: draw(entropy), ciphertext, answer: draw(entropy) }
    }

    /// Whether this is the answer, compared in constant time.
    pub fn accepts(&self, answer: &[u8]) -> bool {
        equal(&self.answer, answer)
    }
}

/// The device's answer. A ciphertext that does not decrypt gets an answer too, which is wrong.
pub fn answer(
    provider: &dyn Provider,
    key: &dyn PrivateKey,
    id: &[u8; 16],
    ciphertext: &[u8],
    entropy: &mut dyn Entropy,
) -> [u8; 32] {
    let rejection_key: Secret = draw_secret(entropy);
    let (k, _) = crate::crypto::decapsulate(provider, key, &rejection_key, LABEL, ciphertext, entropy);
    answer_with(provider, &k, id)
}

fn answer_with(provider: &dyn Provider, k: &Secret, id: &[u8; 16]) -> [u8; 32] {
    provider.mac_key(&**k).mac(&[ANSWER, id])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::DEFAULT;
    use crate::test_keys::{DEVICE_X, DEVICE_Y, Script, pkcs8};

    #[test]
    fn only_the_holder_of_the_key_answers() {
        let x = DEFAULT.private_key(&pkcs8(DEVICE_X)).unwrap();
        let y = DEFAULT.private_key(&pkcs8(DEVICE_Y)).unwrap();
        let entropy = &mut Script::new(1);
        let challenge = Challenge::new(DEFAULT, x.spki(), entropy).unwrap();
        assert!(challenge.accepts(&answer(DEFAULT, &*x, &challenge.id, &challenge.ciphertext, entropy)));
        assert!(!challenge.accepts(&answer(DEFAULT, &*y, &challenge.id, &challenge.ciphertext, entropy)));
        assert!(!challenge.accepts(&answer(DEFAULT, &*x, &[0; 16], &challenge.ciphertext, entropy)));
        let nobody = Challenge::unanswerable(256, entropy);
        assert!(!nobody.accepts(&answer(DEFAULT, &*x, &nobody.id, &nobody.ciphertext, entropy)));
        assert_eq!(nobody.ciphertext.len(), challenge.ciphertext.len());
    }
}
