//! The small world in which a device under test lives: who it is, whom it trusts, and who calls on it.

use std::sync::OnceLock;

use crate::oracle::crypto::{RsaPrivateKey, fingerprint, hex, spki};
use crate::oracle::ticket::{ConfirmationKey, TicketFields, time, uri};
use crate::vectors::fixtures;

/// How to set up a peer, so that the kit can dial it.
///
/// Start the implementation as a device with
///
/// - the private key `vectors/keys/device-y.pem` and the device identifier [`PeerFixture::DEVICE_Y`]
///   (`0d00000000000000000000000000000b`),
/// - trust in tickets of the issuer [`PeerFixture::ISSUER`], whose public key is that of `vectors/keys/issuer-a.pem`,
/// - the Ed25519 signing key of the seed [`PeerFixture::signing_seed`] of its identifier, which is
///   BLAKE3("meshproof signing key" || identifier); its card comes from the kit, in WRITERS,
/// - no revoked devices, the time of day in UTC,
/// - one folder to sync, [`PeerFixture::FOLDER`], on an empty directory that it may fill and empty again,
/// - an address on which it accepts TCP connections of initiators.
///
/// The kit plays the device [`PeerFixture::DEVICE_X`] with `vectors/keys/device-x.pem`. Both devices are claimed by the
/// user [`PeerFixture::USER`]; all this stands in the pair tickets that the kit shows, and needs no configuration.
#[derive(Clone)]
pub struct PeerFixture {
    /// The key of the kit's device.
    pub key_x: RsaPrivateKey,
    /// The key of the device under test.
    pub key_y: RsaPrivateKey,
    /// The key of the issuer.
    pub issuer: RsaPrivateKey,
}

impl PeerFixture {
    /// The identifier of the kit's device.
    pub const DEVICE_X: [u8; 16] = id(0x0d00_0000_0000_0000_0000_0000_0000_000a);
    /// The identifier of the device under test.
    pub const DEVICE_Y: [u8; 16] = id(0x0d00_0000_0000_0000_0000_0000_0000_000b);
    /// A third device, which exists in tickets and version vectors only.
    pub const DEVICE_Z: [u8; 16] = id(0x0d00_0000_0000_0000_0000_0000_0000_000c);
    /// The user of both devices.
    pub const USER: [u8; 16] = id(0xa11c_e000_0000_0000_0000_0000_0000_0001);
    /// Another user.
    pub const OTHER_USER: [u8; 16] = id(0xb0b0_0000_0000_0000_0000_0000_0000_0002);
    /// The folder that is mapped on both.
    pub const FOLDER: [u8; 16] = id(0xf01d_e400_0000_0000_0000_0000_0000_0001);
    /// A folder that the device under test does not have.
    pub const OTHER_FOLDER: [u8; 16] = id(0xf01d_e400_0000_0000_0000_0000_0000_0002);
    /// The name of the trusted issuer.
    pub const ISSUER: &str = fixtures::ISSUER;

    /// The fixture with the keys of `vectors/keys/`.
    pub fn get() -> &'static PeerFixture {
        static FIXTURE: OnceLock<PeerFixture> = OnceLock::new();
        FIXTURE.get_or_init(|| PeerFixture {
            key_x: fixtures::KEY_X.private.clone(),
            key_y: fixtures::KEY_Y.private.clone(),
            issuer: fixtures::ISSUER_A.private.clone(),
        })
    }

    /// What the signing key of a device of this world is made of.
    pub fn signing_seed(device: [u8; 16]) -> [u8; 32] {
        *blake3::hash(&[b"meshproof signing key", &device[..]].concat()).as_bytes()
    }

    /// The pair ticket that lets X talk to Y: one user claims both, and one folder is mapped on both.
    pub fn pair_ticket(&self, id: [u8; 16], now: u64) -> TicketFields {
        let (x, y) = (hex(&Self::DEVICE_X), hex(&Self::DEVICE_Y));
        let (user, folder) = (hex(&Self::USER), hex(&Self::FOLDER));
        let print = |key: &RsaPrivateKey| hex(&fingerprint(&key.to_public_key()));
        TicketFields {
            id: format!("_{}", hex(&id)),
            issue_instant: time::to_text(now),
            issuer: Self::ISSUER.to_owned(),
            subject: format!("{}{x}", uri::DEVICE),
            confirmation: Some(ConfirmationKey::of(&self.key_x.to_public_key())),
            not_before: time::to_text(now),
            not_on_or_after: time::to_text(now + 600),
            audience: format!("{}{y}", uri::DEVICE),
            authn: None,
            authz: Vec::new(),
            attributes: vec![
                (
                    uri::KEY.to_owned(),
                    vec![format!("{x} {}", print(&self.key_x)), format!("{y} {}", print(&self.key_y))],
                ),
                (uri::CLAIM.to_owned(), vec![format!("{x} {user}"), format!("{y} {user}")]),
                (uri::MAPPING.to_owned(), vec![format!("{folder} {x} owner"), format!("{folder} {y} owner")]),
            ],
        }
    }

    /// The SPKI of the kit's device.
    pub fn spki_x(&self) -> Vec<u8> {
        spki(&self.key_x.to_public_key())
    }

    /// The SPKI of the device under test.
    pub fn spki_y(&self) -> Vec<u8> {
        spki(&self.key_y.to_public_key())
    }
}

/// An identifier as 32 hexadecimal digits, the way it stands in tickets and configurations.
const fn id(digits: u128) -> [u8; 16] {
    digits.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixture_is_the_world_of_the_vectors() {
        assert_eq!(hex(&PeerFixture::DEVICE_X), fixtures::DEVICE_X);
        assert_eq!(hex(&PeerFixture::DEVICE_Y), fixtures::DEVICE_Y);
        assert_eq!(hex(&PeerFixture::DEVICE_Z), fixtures::DEVICE_Z);
        assert_eq!(hex(&PeerFixture::USER), fixtures::ALICE);
        assert_eq!(hex(&PeerFixture::OTHER_USER), fixtures::BOB);
        assert_eq!(hex(&PeerFixture::FOLDER), fixtures::FOLDER);
        assert_eq!(hex(&PeerFixture::OTHER_FOLDER), fixtures::OTHER_FOLDER);
    }
}
