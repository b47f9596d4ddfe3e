//! The key schedule (`spec/handshake.md`, section 3.1).

use zeroize::Zeroizing;

use super::share::Shared;
use crate::codec::Id;
use crate::crypto::{Provider, Secret, expand, extract};

/// The secrets from which the keys of the records come (`spec/record.md`).
pub struct Traffic {
    /// What the initiator sends.
    pub initiator: Secret,
    /// What the responder sends.
    pub responder: Secret,
}

/// `ck1`: after k_R.
pub(super) struct Chain1(Secret);
/// `ck2`: after the ephemeral exchange.
pub(super) struct Chain2(Secret);
/// `ck3`: after k_I.
pub(super) struct Chain3(Secret);

pub(super) type BoxKey = Zeroizing<[u8; 48]>;

impl Chain1 {
    pub(super) fn new(p: &dyn Provider, k_r: &Secret) -> Self {
        Self(extract(p, &p.sha256(&[b"meshp2p/1"]), &**k_r))
    }

    /// `K1`, from `H(M1prefix)`.
    pub(super) fn box1(&self, p: &dyn Provider, prefix_hash: &[u8; 32]) -> BoxKey {
        expand(p, &self.0, &[b"m1", prefix_hash])
    }

    /// `KREF`, from `H(M1)`.
    pub(super) fn refuse(&self, p: &dyn Provider, m1_hash: &[u8; 32]) -> BoxKey {
        expand(p, &self.0, &[b"refuse", m1_hash])
    }

    pub(super) fn mix_ephemeral(&self, p: &dyn Provider, ss_e: &Shared) -> Chain2 {
        Chain2(extract(p, &*self.0, ss_e))
    }
}

impl Chain2 {
    /// `K2`, from `H(M1 || M2prefix)`.
    pub(super) fn box2(&self, p: &dyn Provider, prefix_hash: &[u8; 32]) -> BoxKey {
        expand(p, &self.0, &[b"m2", prefix_hash])
    }

    pub(super) fn mix_k_i(&self, p: &dyn Provider, k_i: &Secret) -> Chain3 {
        Chain3(extract(p, &*self.0, &**k_i))
    }
}

/// What both sides compute once box2 is known.
pub(super) struct Confirmation {
    pub(super) tag_r: [u8; 32],
    pub(super) tag_i: [u8; 32],
    pub(super) th2: [u8; 32],
    pub(super) traffic: Traffic,
}

/// A device as it enters `th`.
#[derive(Clone, Copy)]
pub(super) struct Party {
    pub(super) id: Id,
    /// `H(SPKI)`.
    pub(super) fingerprint: [u8; 32],
}

impl Chain3 {
    /// `m2_body` is M2 from its type byte to the end of box2.
    pub(super) fn confirm(
        &self,
        p: &dyn Provider,
        initiator: Party,
        responder: Party,
        m1: &[u8],
        m2_body: &[u8],
    ) -> Confirmation {
        let names: [&[u8]; 4] =
            [&initiator.id.0, &responder.id.0, &initiator.fingerprint, &responder.fingerprint];
        let th = p.sha256(&[b"meshp2p/1 th", &names.concat(), m1, m2_body]);
        let mac = |label: &[u8], hash: &[u8; 32]| {
            let key: Secret = expand(p, &self.0, &[label]);
            p.hmac(&*key, &[hash])
        };
        let tag_r = mac(b"cR", &th);
        let th2 = p.sha256(&[&th, &tag_r]);
        let tag_i = mac(b"cI", &th2);
        let traffic = Traffic {
            initiator: expand(p, &self.0, &[b"tI", &th2]),
            responder: expand(p, &self.0, &[b"tR", &th2]),
        };
        Confirmation { tag_r, tag_i, th2, traffic }
    }
}
