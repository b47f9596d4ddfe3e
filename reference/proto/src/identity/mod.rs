//! Device sign-in: the challenge that only the holder of a device key can answer (`spec/identity.md`, section 3).

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Id, hex, hex_array};
use crate::crypto::{
    Entropy, KeyRejected, PrivateKey, Provider, Secret, Spki, draw, draw_secret, equal, expand,
};
use crate::requirement::{self as req, deviates};

const LABEL: &[u8] = b"meshproof/1 device challenge";
const ANSWER: &[u8] = b"meshproof/1 device answer";

/// How long a challenge can be answered, in seconds (IDN-012).
pub const CHALLENGE_LIFETIME: u64 = 60;

/// What the device that answers wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// First tickets (IDN-014).
    SignIn,
    /// To be claimed (`spec/graph.md`, section 3.1).
    Claim,
}

impl Purpose {
    /// The name in the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Claim => "claim",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::SignIn => Self::Claim,
            Self::Claim => Self::SignIn,
        }
    }
}

/// What an answer is good for, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// What the device wants.
    pub purpose: Purpose,
    /// The device.
    pub device: Id,
    /// The audience uri of the cloud that it answers to.
    pub audience: &'a str,
}

/// A challenge. The device gets [`Challenge::id`] and [`Challenge::ciphertext`].
pub struct Challenge {
    /// 16 random bytes.
    pub id: [u8; 16],
    /// `k`, encrypted to the device's key.
    pub ciphertext: Vec<u8>,
    /// What the service keeps.
    pub expected: Expected,
}

impl Challenge {
    /// A new challenge for the holder of `key`.
    pub fn new(
        provider: &dyn Provider,
        key: &Spki,
        binding: &Binding<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, KeyRejected> {
        let (id, k) = (draw(entropy), draw_secret(entropy));
        let ciphertext = provider.public_key(key)?.encrypt(LABEL, &k, entropy);
        Ok(Self { id, ciphertext, expected: Expected::new(provider, &k, &id, binding) })
    }
}

/// `H(answer)`: enough to know the answer by, and of no use to who steals it. A mutant knows two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(Vec<[u8; 32]>);

impl Expected {
    fn new(provider: &dyn Provider, k: &Secret, id: &[u8; 16], binding: &Binding<'_>) -> Self {
        let mut bindings = alloc::vec![*binding];
        if deviates(req::IDN_015) {
            bindings.push(Binding { audience: "", ..*binding });
        }
        if deviates(req::IDN_016) {
            bindings.push(Binding { device: Id::default(), ..*binding });
        }
        if deviates(req::IDN_017) {
            bindings.push(Binding { purpose: binding.purpose.other(), ..*binding });
        }
        let digest = |binding| provider.sha256(&[&answer_with(provider, k, id, &binding)]);
        Self(bindings.into_iter().map(digest).collect())
    }

    /// Whether this is the answer, compared in constant time.
    pub fn accepts(&self, provider: &dyn Provider, answer: &[u8]) -> bool {
        let digest = provider.sha256(&[answer]);
        self.0.iter().any(|expected| equal(expected, &digest))
    }

    /// As a service keeps it: hexadecimal.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|digest| hex(digest)).collect::<Vec<_>>().join(" ")
    }

    /// Reads [`to_text`](Self::to_text).
    pub fn parse(text: &str) -> Option<Self> {
        text.split(' ').map(hex_array).collect::<Option<_>>().map(Self)
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
    /// The decoys of one service. All its processes have the same `secret`.
    pub fn new(secret: Secret) -> Self {
        Self { secret }
    }

    /// A challenge that nobody can answer; as long as one for the key `like`, which a revoked device had.
    pub fn challenge(
        &self,
        provider: &dyn Provider,
        binding: &Binding<'_>,
        like: Option<&Spki>,
        entropy: &mut dyn Entropy,
    ) -> Result<Challenge, KeyRejected> {
        let mut modulus = expand::<385>(provider, &self.secret, &[b"decoy", &binding.device.0]);
        let any = if modulus[384] & 1 == 0 { 256 } else { 384 };
        let length = like.map_or(any, |key| key.modulus().len());
        modulus[0] |= 0xC0; // as the product of two primes that start with two ones
        modulus[length - 1] |= 1;
        Challenge::new(provider, &Spki::from_modulus(&modulus[..length])?, binding, entropy)
    }
}

/// The device's answer. A ciphertext that does not decrypt gets an answer too, which is wrong.
pub fn answer(
    provider: &dyn Provider,
    key: &dyn PrivateKey,
    id: &[u8; 16],
    ciphertext: &[u8],
    binding: &Binding<'_>,
    entropy: &mut dyn Entropy,
) -> [u8; 32] {
    let rejection_key: Secret = draw_secret(entropy);
    let (k, _) = crate::crypto::decapsulate(provider, key, &rejection_key, LABEL, ciphertext, entropy);
    answer_with(provider, &k, id, binding)
}

/// Every part has a fixed length or says its length, so no two bindings give the same bytes.
fn answer_with(provider: &dyn Provider, k: &Secret, id: &[u8; 16], binding: &Binding<'_>) -> [u8; 32] {
    let (purpose, audience) = (binding.purpose.name().as_bytes(), binding.audience.as_bytes());
    // Purposes are short, and so is an audience: ticket.md has uris of at most 255 bytes.
    let purpose_length = [u8::try_from(purpose.len()).unwrap_or(u8::MAX)];
    let audience_length = u16::try_from(audience.len()).unwrap_or(u16::MAX).to_be_bytes();
    let device = &binding.device.0;
    provider.hmac(&**k, &[ANSWER, &purpose_length, purpose, id, device, &audience_length, audience])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::DEFAULT;
    use crate::test_keys::{DEVICE_X, DEVICE_Y, Script, pkcs8};

    const BINDING: Binding<'_> =
        Binding { purpose: Purpose::SignIn, device: Id([7; 16]), audience: "urn:meshproof:cloud:here" };

    #[test]
    fn only_the_holder_of_the_key_answers() {
        let x = DEFAULT.private_key(&pkcs8(DEVICE_X)).unwrap();
        let y = DEFAULT.private_key(&pkcs8(DEVICE_Y)).unwrap();
        let entropy = &mut Script::new(1);
        let challenge = Challenge::new(DEFAULT, x.spki(), &BINDING, entropy).unwrap();
        let kept = Expected::parse(&challenge.expected.to_text()).unwrap();
        let mut accepts = |key: &dyn PrivateKey, id: &[u8; 16], binding: &Binding<'_>| {
            kept.accepts(DEFAULT, &answer(DEFAULT, key, id, &challenge.ciphertext, binding, entropy))
        };
        assert!(accepts(&*x, &challenge.id, &BINDING));
        assert!(!accepts(&*y, &challenge.id, &BINDING));
        assert!(!accepts(&*x, &[0; 16], &BINDING));
        // IDN-015, IDN-016, IDN-017
        assert!(!accepts(&*x, &challenge.id, &Binding { audience: "urn:meshproof:cloud:there", ..BINDING }));
        assert!(!accepts(&*x, &challenge.id, &Binding { device: Id([8; 16]), ..BINDING }));
        assert!(!accepts(&*x, &challenge.id, &Binding { purpose: Purpose::Claim, ..BINDING }));
        assert_eq!(Expected::parse(""), None);
    }

    #[test]
    fn devices_that_are_none_look_like_devices() {
        let entropy = &mut Script::new(2);
        let x = DEFAULT.private_key(&pkcs8(DEVICE_X)).unwrap();
        let decoys = Decoys::new(draw_secret(entropy));
        let mut lengths = [0; 2];
        for n in 0..32 {
            let binding = Binding { device: Id([n; 16]), ..BINDING };
            let mut ask = || decoys.challenge(DEFAULT, &binding, None, entropy).unwrap();
            let (first, second) = (ask(), ask());
            assert_eq!(first.ciphertext.len(), second.ciphertext.len());
            assert_ne!(first.ciphertext, second.ciphertext);
            lengths[usize::from(first.ciphertext.len() == 384)] += 1;
            let guess = answer(DEFAULT, &*x, &first.id, &first.ciphertext, &binding, &mut Script::new(3));
            assert!(!first.expected.accepts(DEFAULT, &guess));
        }
        assert!(lengths.iter().all(|count| *count > 4), "{lengths:?}");
    }
}
