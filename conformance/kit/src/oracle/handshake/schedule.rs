//! The key schedule of spec/handshake.md section 3.1, formula by formula.

use super::{frame, kind};
use crate::oracle::crypto::{etm_seal, expand, extract, h, hmac};

/// What k_R and M1 give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct M1Keys {
    /// `ck1 = Extract(salt = H("meshp2p/1"), ikm = k_R)`.
    pub ck1: [u8; 32],
    /// `K1 = Expand(ck1, "m1" || H(M1prefix), 48)`.
    pub k1: Vec<u8>,
}

impl M1Keys {
    /// From k_R and `M1prefix`.
    pub fn new(k_r: &[u8], m1_prefix: &[u8]) -> Self {
        let ck1 = extract(&h(&[b"meshp2p/1"]), k_r);
        let k1 = expand(&ck1, &[b"m1", &h(&[m1_prefix])], 48);
        Self { ck1, k1 }
    }

    /// `KREF = Expand(ck1, "refuse" || H(M1), 48)`.
    pub fn kref(&self, m1: &[u8]) -> Vec<u8> {
        expand(&self.ck1, &[b"refuse", &h(&[m1])], 48)
    }

    /// The REFUSE frame: `EtM(KREF, H(M1), code || zeros)`.
    pub fn refuse(&self, m1: &[u8], code: u16) -> Vec<u8> {
        let mut plaintext = [0; 32];
        plaintext[..2].copy_from_slice(&code.to_be_bytes());
        frame(kind::REFUSE, &etm_seal(&self.kref(m1), &h(&[m1]), &plaintext))
    }
}

/// What M2 adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct M2Keys {
    /// `ck2 = Extract(salt = ck1, ikm = ss_e)`.
    pub ck2: [u8; 32],
    /// `K2 = Expand(ck2, "m2" || H(M1 || M2prefix), 48)`.
    pub k2: Vec<u8>,
}

impl M2Keys {
    /// From ck1, `ss_e`, M1 and `M2prefix`.
    pub fn new(ck1: &[u8; 32], ss_e: &[u8], m1: &[u8], m2_prefix: &[u8]) -> Self {
        let ck2 = extract(ck1, ss_e);
        let k2 = expand(&ck2, &[b"m2", &h(&[m1, m2_prefix])], 48);
        Self { ck2, k2 }
    }
}

/// Who talks to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// X's device identifier.
    pub initiator: Vec<u8>,
    /// Y's device identifier.
    pub responder: Vec<u8>,
    /// X's key.
    pub spki_i: Vec<u8>,
    /// Y's key.
    pub spki_r: Vec<u8>,
}

/// What both sides end with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// `ck3 = Extract(salt = ck2, ikm = k_I)`.
    pub ck3: [u8; 32],
    /// `th = H("meshp2p/1 th" || dev_I || dev_R || H(SPKI_I) || H(SPKI_R) || M1 || M2body)`.
    pub th: [u8; 32],
    /// `tag_R = HMAC(Expand(ck3, "cR", 32), th)`.
    pub tag_r: [u8; 32],
    /// `th2 = H(th || tag_R)`.
    pub th2: [u8; 32],
}

impl Confirmation {
    /// From ck2, k_I and the transcript.
    pub fn new(ck2: &[u8; 32], k_i: &[u8], names: &Names, m1: &[u8], m2_body: &[u8]) -> Self {
        let ck3 = extract(ck2, k_i);
        let Names { initiator, responder, spki_i, spki_r } = names;
        let prints = [h(&[spki_i]), h(&[spki_r])].concat();
        let th = h(&[b"meshp2p/1 th", initiator, responder, &prints, m1, m2_body]);
        let tag_r = hmac(&expand(&ck3, &[b"cR"], 32), &[&th]);
        let th2 = h(&[&th, &tag_r]);
        Self { ck3, th, tag_r, th2 }
    }
}

/// `tag_I = HMAC(Expand(ck3, "cI", 32), th2)`.
pub fn tag_i(ck3: &[u8], th2: &[u8]) -> [u8; 32] {
    hmac(&expand(ck3, &[b"cI"], 32), &[th2])
}

/// `traffic_I = Expand(ck3, "tI" || th2, 32)`.
pub fn traffic_i(ck3: &[u8], th2: &[u8]) -> Vec<u8> {
    expand(ck3, &[b"tI", th2], 32)
}

/// `traffic_R = Expand(ck3, "tR" || th2, 32)`.
pub fn traffic_r(ck3: &[u8], th2: &[u8]) -> Vec<u8> {
    expand(ck3, &[b"tR", th2], 32)
}
