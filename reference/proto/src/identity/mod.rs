//! Device sign-in: the challenge that only the holder of a device key can answer (`spec/identity.md`, section 3).

use alloc::vec::Vec;

use crate::codec::Id;
use crate::crypto::{
    Entropy, KeyRejected, PrivateKey, Provider, Secret, Spki, draw, draw_secret, equal, expand,
};

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

    /// Whether this is the answer, compared in constant time.
    pub fn accepts(&self, answer: &[u8]) -> bool {
        equal(&self.answer, answer)
    }
}

/// Challenges for devices that do not exist, told from others by nobody (IDN-009).
///
/// Each such device has a modulus of its own, always the same, of one of the usual sizes. It is no product of known
/// primes, so nobody decrypts what is encrypted to it; the work and the numbers are those of a real device.
pub struct Decoys {
    secret: Secret,
}

impl Decoys {
    /// Decoys of one service.
    pub fn new(entropy: &mut dyn Entropy) -> Self {
        Self { secret: draw_secret(entropy) }
    }

    /// A challenge that nobody can answer; as long as one for the key `like`, which a revoked device had.
    pub fn challenge(
        &self,
        provider: &dyn Provider,
        device: Id,
        like: Option<&Spki>,
        entropy: &mut dyn Entropy,
    ) -> Result<Challenge, KeyRejected> {
        let mut modulus = expand::<385>(provider, &self.secret, &[b"decoy", &device.0]);
        let any = if modulus[384] & 1 == 0 { 256 } else { 384 };
        let length = like.map_or(any, |key| key.modulus().len());
        modulus[0] |= 0xC0; // as the product of two primes that start with two ones
        modulus[length - 1] |= 1;
        Challenge::new(provider, &Spki::from_modulus(&modulus[..length])?, entropy)
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
    }

    #[test]
    fn devices_that_are_none_look_like_devices() {
        let entropy = &mut Script::new(2);
        let x = DEFAULT.private_key(&pkcs8(DEVICE_X)).unwrap();
        let decoys = Decoys::new(entropy);
        let mut lengths = [0; 2];
        for n in 0..32 {
            let mut ask = || decoys.challenge(DEFAULT, Id([n; 16]), None, entropy).unwrap();
            let (first, second) = (ask(), ask());
            assert_eq!(first.ciphertext.len(), second.ciphertext.len());
            assert_ne!(first.ciphertext, second.ciphertext);
            lengths[usize::from(first.ciphertext.len() == 384)] += 1;
            assert!(!first.accepts(&answer(DEFAULT, &*x, &first.id, &first.ciphertext, &mut Script::new(3))));
        }
        assert!(lengths.iter().all(|count| *count > 4), "{lengths:?}");
    }
}
