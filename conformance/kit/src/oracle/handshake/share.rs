//! The shares of section 3 and `ss_e` of section 3.1, over `x25519-dalek` and `ml-kem`.

use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{DecapsulationKey768, EncapsulationKey768};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::oracle::{Rejection, reject, require};

/// The suite that everybody has.
pub const SUITE: u16 = 0x0101;
/// The suite with X25519.
pub const X25519: u16 = 0x0201;
/// The suite with X25519 and ML-KEM-768.
pub const HYBRID: u16 = 0x0301;

/// An ML-KEM-768 encapsulation key, in bytes.
const KEM_KEY: usize = 1184;
/// An ML-KEM-768 ciphertext, in bytes.
const KEM_CIPHERTEXT: usize = 1088;

/// What one side draws for the ephemeral exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ephemeral {
    /// The X25519 secret.
    pub x25519: [u8; 32],
    /// Of an initiator: the seed `d || z` of its ML-KEM key, 64 bytes. Of a responder: the message `m`, 32 bytes.
    pub kem: Vec<u8>,
}

/// The length of the share in an M1 with this offer (HSK-013).
pub fn initiator_length(offer: &[u16]) -> usize {
    match () {
        () if offer.contains(&HYBRID) => KEM_KEY + 32,
        () if offer.contains(&X25519) => 32,
        () => 0,
    }
}

/// The length of the share in an M2 of this suite (HSK-031).
pub fn responder_length(suite: u16) -> usize {
    match suite {
        HYBRID => KEM_CIPHERTEXT + 32,
        X25519 => 32,
        _ => 0,
    }
}

impl Ephemeral {
    /// The initiator's share for this offer.
    pub fn initiator_share(&self, offer: &[u16]) -> Vec<u8> {
        let kem = self.kem_key().encapsulation_key().to_bytes();
        let whole = [&kem[..], &self.public()].concat();
        whole[whole.len() - initiator_length(offer)..].to_vec()
    }

    /// The responder's share and `ss_e`, from the share of M1.
    pub fn answer(&self, suite: u16, share: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Rejection> {
        if suite == SUITE {
            return Ok((Vec::new(), vec![0; 32]));
        }
        let (kem_key, peer) = share.split_at(share.len() - 32);
        if suite == X25519 {
            return Ok((self.public().to_vec(), self.agree(peer)?));
        }
        let key: [u8; KEM_KEY] = kem_key.try_into().expect("the length was checked");
        let Ok(key) = EncapsulationKey768::new(&key.into()) else { return reject("HSK-044", "share") };
        let message: [u8; 32] = self.kem[..].try_into().expect("a responder draws 32 bytes");
        let (ciphertext, secret) = key.encapsulate_deterministic(&message.into());
        Ok(([&ciphertext[..], &self.public()].concat(), [&secret[..], &self.agree(peer)?].concat()))
    }

    /// The initiator's `ss_e`, from the share of M2.
    pub fn conclude(&self, suite: u16, share: &[u8]) -> Result<Vec<u8>, Rejection> {
        if suite == SUITE {
            return Ok(vec![0; 32]);
        }
        let (ciphertext, peer) = share.split_at(share.len() - 32);
        let mut ss_e = Vec::new();
        if suite == HYBRID {
            let ciphertext: [u8; KEM_CIPHERTEXT] = ciphertext.try_into().expect("the length was checked");
            ss_e.extend_from_slice(&self.kem_key().decapsulate(&ciphertext.into()));
        }
        ss_e.extend(self.agree(peer)?);
        Ok(ss_e)
    }

    fn kem_key(&self) -> DecapsulationKey768 {
        let seed: [u8; 64] = self.kem[..].try_into().expect("an initiator draws 64 bytes");
        DecapsulationKey768::from_seed(seed.into())
    }

    fn public(&self) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(self.x25519)).to_bytes()
    }

    fn agree(&self, peer: &[u8]) -> Result<Vec<u8>, Rejection> {
        let peer: [u8; 32] = peer.try_into().expect("32 bytes");
        let shared = StaticSecret::from(self.x25519).diffie_hellman(&peer.into());
        require(shared.to_bytes() != [0; 32], "HSK-043", "share")?;
        Ok(shared.to_bytes().to_vec())
    }
}
