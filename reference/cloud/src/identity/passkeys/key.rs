//! Public keys of passkeys: `COSE_Key` (RFC 9052, RFC 8812) of the two algorithms that are asked for.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};

use super::cbor::Item;

/// In the numbers of COSE, the preferred one first.
pub(super) const ALGORITHMS: [i64; 2] = [ES256, RS256];
const ES256: i64 = -7;
const RS256: i64 = -257;
/// How long the modulus of an RSA key may be, in bytes.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=512;
/// 65537
const EXPONENT: &[u8] = &[1, 0, 1];

/// A public key.
pub(super) enum Key {
    P256(ParsedPublicKey),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Key {
    /// Reads a `COSE_Key` with exactly the members that its algorithm has. A point has to be on the curve.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let key = Item::all(bytes)?;
        let Item::Map(members) = &key else { return None };
        let number = |label| match key.numbered(label) {
            Some(Item::Integer(number)) => Some(*number),
            _ => None,
        };
        let bytes = |label| key.numbered(label).and_then(Item::bytes);
        match (members.len(), number(1)?, number(3)?) {
            (5, 2, ES256) => {
                let (curve, x, y) = (number(-1)?, bytes(-2)?, bytes(-3)?);
                let fits = curve == 1 && x.len() == 32 && y.len() == 32;
                let point = [&[4], x, y].concat();
                let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).ok()?;
                fits.then_some(Self::P256(key))
            }
            (4, 3, RS256) => {
                let (n, e) = (bytes(-1)?, bytes(-2)?);
                let fits = MODULUS.contains(&n.len()) && n[0] >= 0x80 && e == EXPONENT;
                fits.then(|| Self::Rsa { n: n.into(), e: e.into() })
            }
            _ => None,
        }
    }

    /// Whether this key signed the message.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P256(key) => key.verify_sig(message, signature).is_ok(),
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9052, appendix C.7.1 (`meriadoc.brandybuck@buckland.example`), with an algorithm.
    fn p256(y: &str) -> Vec<u8> {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let x = "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d";
        hex(&format!("a5010203262001215820{x}225820{y}"))
    }

    #[test]
    fn points_are_on_the_curve() {
        let y = "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c";
        assert!(Key::read(&p256(y)).is_some());
        assert!(Key::read(&p256(&y.replace("d19c", "d19d"))).is_none());
        let mut trailing = p256(y);
        trailing.push(0);
        assert!(Key::read(&trailing).is_none());
    }

    #[test]
    fn rsa_keys() {
        let key = |top: u8, length: u16, exponent: u8| {
            let mut bytes = vec![0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59];
            bytes.extend(length.to_be_bytes());
            bytes.extend([&[top][..], &vec![0x55; usize::from(length) - 1]].concat());
            bytes.extend([0x21, 0x43, 1, 0, exponent]);
            bytes
        };
        assert!(Key::read(&key(0x80, 256, 1)).is_some());
        assert!(Key::read(&key(0x80, 512, 1)).is_some());
        for (top, length, exponent) in [(0x7f, 256, 1), (0, 257, 1), (0x80, 513, 1), (0x80, 256, 3)] {
            assert!(Key::read(&key(top, length, exponent)).is_none(), "{top} {length} {exponent}");
        }
    }
}
