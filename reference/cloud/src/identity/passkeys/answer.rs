//! What authenticators answer: client data and authenticator data (Web Authentication, sections 5.8.1 and 6.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::requirement::{self as req, demand};
use serde::{Deserialize, Deserializer, de};

use super::RelyingParty;
use super::cbor::Item;
use crate::problem::Problem;

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;
/// The longest credential identifier.
const MAX_CREDENTIAL: usize = 1_023;

/// Bytes that are base64url without padding in JSON.
pub(super) struct Encoded(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        URL_SAFE_NO_PAD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// What the browser says. It says more, and what else is not fixed.
#[derive(Deserialize)]
pub(super) struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    /// As it was given out.
    pub(super) challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
}

impl ClientData {
    /// # Errors
    /// IDN-051.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(bytes).map_err(|_| req::IDN_051.into())
    }

    /// Whether the ceremony was of this kind, on a page of ours (IDN-051).
    pub(super) fn verify(&self, kind: &str, party: &RelyingParty) -> Result<(), Problem> {
        demand(self.kind == kind, req::IDN_051)?;
        demand(self.origin == party.origin, req::IDN_051)?;
        Ok(demand(!self.cross_origin, req::IDN_051)?)
    }
}

/// What the authenticator says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8],
    flags: u8,
    pub(super) counter: u32,
    /// There in a registration.
    pub(super) attested: Option<Attested<'a>>,
}

/// A new credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attested<'a> {
    pub(super) credential: &'a [u8],
    /// `COSE_Key`.
    pub(super) key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// # Errors
    /// IDN-052.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Problem> {
        Self::parse(bytes).ok_or(req::IDN_052.into())
    }

    /// Whether it was for us (IDN-052), and the person was there and recognised (IDN-053).
    pub(super) fn verify(&self, party: &RelyingParty) -> Result<(), Problem> {
        demand(self.rp_id_hash == DEFAULT.sha256(&[party.id.as_bytes()]), req::IDN_052)?;
        let wanted = USER_PRESENT | USER_VERIFIED;
        Ok(demand(self.flags & wanted == wanted, req::IDN_053)?)
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_at_checked(32)?;
        let (&flags, rest) = rest.split_first()?;
        let (counter, mut rest) = rest.split_first_chunk()?;
        let counter = u32::from_be_bytes(*counter);
        let mut attested = None;
        if flags & ATTESTED != 0 {
            let (_model, after) = rest.split_at_checked(16)?;
            let (length, after) = after.split_first_chunk()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (credential, key) = after.split_at_checked(length)?;
            let (_, after) = Item::first(key)?;
            let key = &key[..key.len() - after.len()];
            attested = Some(Attested { credential, key }).filter(|_| (1..=MAX_CREDENTIAL).contains(&length));
            attested.as_ref()?;
            rest = after;
        }
        if flags & EXTENSIONS != 0 {
            let (extensions, after) = Item::first(rest)?;
            matches!(extensions, Item::Map(_)).then_some(())?;
            rest = after;
        }
        rest.is_empty().then_some(Self { rp_id_hash, flags, counter, attested })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(flags: u8, rest: &[u8]) -> Vec<u8> {
        [&[7; 32][..], &[flags], &[0, 0, 1, 0], rest].concat()
    }

    #[test]
    fn forms() {
        let plain = data(0x05, &[]);
        let read = AuthenticatorData::parse(&plain).unwrap();
        assert_eq!((read.counter, read.attested), (256, None));
        let credential = [&[0; 16][..], &[0, 2, 8, 9], &[0xa1, 1, 2]].concat();
        let attested = data(0x45, &credential);
        let read = AuthenticatorData::parse(&attested).unwrap().attested.unwrap();
        assert_eq!((read.credential, read.key), (&[8, 9][..], &[0xa1, 1, 2][..]));
        let both = data(0xc5, &[&credential[..], &[0xa1, 0x61, 0x61, 0xf5]].concat());
        assert!(AuthenticatorData::parse(&both).is_some());
        for other in [
            data(0x05, &[0]),                                          // something follows
            data(0x45, &[]),                                           // no credential
            data(0xc5, &credential),                                   // no extensions
            data(0x85, &[0x01]),                                       // extensions that are no map
            data(0x45, &[&[0; 16][..], &[0, 0, 0xa1, 1, 2]].concat()), // a credential without identifier
            plain[..36].to_vec(),
        ] {
            assert_eq!(AuthenticatorData::parse(&other), None, "{other:02x?}");
        }
    }

    #[test]
    fn client_data_may_have_more() {
        let text = br#"{"type":"webauthn.get","challenge":"AA","origin":"https://a","other_keys":"x"}"#;
        let at = |origin: &str| RelyingParty { id: "a".into(), origin: origin.into() };
        let party = at("https://a");
        let data = ClientData::read(text).unwrap();
        assert!(!data.cross_origin && data.verify("webauthn.get", &party).is_ok());
        assert!(data.verify("webauthn.create", &party).is_err());
        assert!(data.verify("webauthn.get", &at("https://b")).is_err());
        assert!(ClientData::read(b"[]").is_err());
    }
}
