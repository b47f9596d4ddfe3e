//! An authenticator in software (identity.md section 4.9; Web Authentication, Level 2, section 6). Everything that it
//! says can be changed before it is signed.

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::json;

use super::crypto::{RsaPrivateKey, h, modulus, sign};

/// The person touched the authenticator.
pub const USER_PRESENT: u8 = 0x01;
/// The authenticator recognised the person.
pub const USER_VERIFIED: u8 = 0x04;
/// There is a new credential in the data.
const ATTESTED: u8 = 0x40;

/// A key of one of the two algorithms.
#[derive(Clone)]
pub enum Key {
    /// ES256.
    P256(Box<SigningKey>),
    /// RS256.
    Rsa(Box<RsaPrivateKey>),
}

/// A passkey that its authenticator holds.
#[derive(Clone)]
pub struct Passkey {
    /// The credential's identifier.
    pub credential: Vec<u8>,
    /// Its key.
    pub key: Key,
}

/// What browser and authenticator say in a ceremony.
#[derive(Clone, Debug)]
pub struct Ceremony {
    /// `webauthn.create` or `webauthn.get`.
    pub kind: &'static str,
    /// The service's challenge, as it came.
    pub challenge: String,
    /// Of the page.
    pub origin: String,
    /// Whether the page is in a frame of another site.
    pub cross_origin: bool,
    /// For whom the authenticator thinks it is.
    pub rp_id: String,
    /// [`USER_PRESENT`] and [`USER_VERIFIED`].
    pub flags: u8,
    /// How often the passkey was used.
    pub counter: u32,
}

impl Key {
    /// The P-256 key with this scalar.
    pub fn p256(scalar: &[u8; 32]) -> Option<Key> {
        SigningKey::from_slice(scalar).ok().map(|key| Key::P256(Box::new(key)))
    }

    /// `COSE_Key`.
    pub fn cose(&self) -> Vec<u8> {
        match self {
            Key::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(32);
                ec2(x, y)
            }
            Key::Rsa(key) => rs256(&modulus(&key.to_public_key())),
        }
    }

    /// ASN.1 for P-256, PKCS #1 for RSA.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Key::P256(key) => {
                let signature: Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Key::Rsa(key) => sign(key, message),
        }
    }
}

impl Ceremony {
    /// The client data.
    pub fn client_data(&self) -> Vec<u8> {
        let (origin, challenge) = (&self.origin, &self.challenge);
        let data = json!({
            "type": self.kind, "challenge": challenge, "origin": origin, "crossOrigin": self.cross_origin,
        });
        data.to_string().into_bytes()
    }

    /// The authenticator data of a sign-in.
    pub fn data(&self) -> Vec<u8> {
        [&h(&[self.rp_id.as_bytes()])[..], &[self.flags], &self.counter.to_be_bytes()].concat()
    }

    /// The attestation object of a registration: a credential, and a key as `COSE_Key`.
    pub fn attestation(&self, credential: &[u8], cose: &[u8]) -> Vec<u8> {
        let mut data = self.data();
        data[32] |= ATTESTED;
        data.extend([0; 16]); // no model
        data.extend(u16::try_from(credential.len()).unwrap_or(u16::MAX).to_be_bytes());
        data.extend(credential);
        data.extend(cose);
        let mut object = vec![0xa3];
        for (name, value) in [("fmt", text("none")), ("attStmt", vec![0xa0]), ("authData", bytes(&data))] {
            object.extend(text(name));
            object.extend(value);
        }
        object
    }

    /// The signature of a sign-in.
    pub fn signature(&self, key: &Key) -> Vec<u8> {
        key.sign(&[&self.data()[..], &h(&[&self.client_data()])].concat())
    }
}

/// `COSE_Key` of ES256: a point of P-256, or what looks like one.
pub fn ec2(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21][..], &bytes(x), &[0x22], &bytes(y)].concat()
}

/// `COSE_Key` of RS256 with exponent 65537.
pub fn rs256(modulus: &[u8]) -> Vec<u8> {
    let head = [0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20];
    [&head[..], &bytes(modulus), &[0x21], &bytes(&[1, 0, 1])].concat()
}

/// `COSE_Key` of EdDSA on Ed25519.
pub fn ed25519(point: &[u8; 32]) -> Vec<u8> {
    [&[0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21][..], &bytes(point)].concat()
}

/// A CBOR string of text.
fn text(text: &str) -> Vec<u8> {
    [&head(0x60, text.len())[..], text.as_bytes()].concat()
}

/// A CBOR string of bytes.
fn bytes(bytes: &[u8]) -> Vec<u8> {
    [&head(0x40, bytes.len())[..], bytes].concat()
}

/// The head of a CBOR item, the length in its shortest form.
fn head(major: u8, length: usize) -> Vec<u8> {
    match u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes() {
        [0, low] if low < 24 => vec![major | low],
        [0, low] => vec![major | 0x18, low],
        [high, low] => vec![major | 0x19, high, low],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::crypto::hex;

    #[test]
    fn lengths() {
        assert_eq!(hex(&text("a")), "6161");
        assert_eq!(hex(&bytes(&[7; 24])[..3]), "581807");
        assert_eq!(hex(&bytes(&[7; 256])[..4]), "59010007");
    }

    #[test]
    fn an_attestation_byte_by_byte() {
        let ceremony = Ceremony {
            kind: "webauthn.create",
            challenge: "AA".to_owned(),
            origin: "https://mesh.example".to_owned(),
            cross_origin: false,
            rp_id: "mesh.example".to_owned(),
            flags: USER_PRESENT | USER_VERIFIED,
            counter: 1,
        };
        let object = ceremony.attestation(&[0xcc, 0xdd], &[0xa0]);
        let expected = [
            "a3",                     // a map of three
            "63666d74646e6f6e65",     // "fmt": "none"
            "6761747453746d74a0",     // "attStmt": {}
            "686175746844617461583a", // "authData": 58 bytes
            &hex(&h(&[b"mesh.example"])),
            "4500000001",                       // user present, verified, a credential; counter
            "00000000000000000000000000000000", // no model
            "0002ccdd",                         // the credential's identifier
            "a0",                               // its key
        ];
        assert_eq!(hex(&object), expected.concat());
    }
}
