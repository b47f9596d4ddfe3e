//! The ephemeral exchange: what the suites add to RSA (`spec/handshake.md`, section 3).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::suite::Suite;
use crate::crypto::{Entropy, KEM_CIPHERTEXT, KEM_KEY, KemKey, Provider, Secret, X25519Key, draw_secret};
use crate::error::Error;
use crate::requirement::{self as req, demand_some};

/// `ss_e`: 32 or 64 bytes.
pub(super) type Shared = Zeroizing<Vec<u8>>;

/// `ss_e` of the suite that has no ephemeral exchange.
fn nothing() -> Shared {
    Zeroizing::new(vec![0; 32])
}

/// What the initiator keeps of its share until M2 comes.
pub(super) struct Offer {
    x25519: Option<Box<dyn X25519Key>>,
    kem: Option<Box<dyn KemKey>>,
}

impl Offer {
    /// Keys for the strongest suite on offer, and the share. Drawn are the X25519 secret and then the seed of ML-KEM.
    pub(super) fn draw(p: &dyn Provider, strongest: Suite, entropy: &mut dyn Entropy) -> (Self, Vec<u8>) {
        let x25519 = (strongest >= Suite::X25519).then(|| p.x25519_key(&draw_secret(entropy)));
        let kem = (strongest >= Suite::Hybrid).then(|| p.kem_key(entropy));
        let mut share = Vec::with_capacity(strongest.initiator_share());
        share.extend(kem.iter().flat_map(|kem| kem.encapsulation_key()));
        share.extend(x25519.iter().flat_map(|key| key.public()));
        (Self { x25519, kem }, share)
    }

    /// `ss_e` from the share of an M2, whose length was checked (HSK-031).
    pub(super) fn agree(&self, suite: Suite, share: &[u8]) -> Result<Shared, Error> {
        if suite == Suite::Baseline {
            return Ok(nothing());
        }
        let mut shared = Shared::default();
        if suite == Suite::Hybrid {
            let (Some(kem), Some(ciphertext)) = (&self.kem, share.first_chunk::<KEM_CIPHERTEXT>()) else {
                return Err(req::HSK_031.into());
            };
            shared.extend_from_slice(&*kem.decapsulate(ciphertext));
        }
        let (Some(key), Some(peer)) = (&self.x25519, share.last_chunk()) else {
            return Err(req::HSK_031.into());
        };
        shared.extend_from_slice(&*agree_x25519(&**key, peer)?);
        Ok(shared)
    }
}

/// The responder's share and `ss_e`, from the share of an M1, whose length was checked (HSK-013). Drawn are the X25519
/// secret and then the message of ML-KEM.
pub(super) fn answer(
    p: &dyn Provider,
    suite: Suite,
    share: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<(Vec<u8>, Shared), Error> {
    if suite == Suite::Baseline {
        return Ok((Vec::new(), nothing()));
    }
    let (mut own, mut shared) = (Vec::with_capacity(suite.responder_share()), Shared::default());
    let x25519 = p.x25519_key(&draw_secret(entropy));
    if suite == Suite::Hybrid {
        let key = demand_some(share.first_chunk::<KEM_KEY>().copied(), req::HSK_013, || [0; KEM_KEY])?;
        let encapsulated = p.kem_encapsulate(&key, entropy);
        let lax = || ([0; KEM_CIPHERTEXT], Secret::default());
        let (ciphertext, secret) = demand_some(encapsulated, req::HSK_044, lax)?;
        own.extend_from_slice(&ciphertext);
        shared.extend_from_slice(&*secret);
    }
    own.extend_from_slice(&x25519.public());
    let peer = demand_some(share.last_chunk().copied(), req::HSK_013, || [0; 32])?;
    shared.extend_from_slice(&*agree_x25519(&*x25519, &peer)?);
    Ok((own, shared))
}

fn agree_x25519(key: &dyn X25519Key, peer: &[u8; 32]) -> Result<Secret, Error> {
    demand_some(key.agree(peer), req::HSK_043, Secret::default)
}
