//! Writing M1, M2 and M3 with every field free. Closures change the bytes between the steps; what comes after a change
//! (encryption, MACs, tags) is computed over the changed bytes.

use super::schedule::{Confirmation, M1Keys, M2Keys, Names, tag_i, traffic_i, traffic_r};
use super::{BLOCK, LABEL_I, LABEL_R, SUITE, frame, kind, u16, u24};
use crate::oracle::crypto::{RsaPublicKey, etm_seal, h, hmac, oaep_encrypt, spki};

/// One change of bytes.
pub type Edit = Box<dyn Fn(&mut Vec<u8>)>;

/// The fields of M1, in the order in which they are written.
pub struct M1Fields {
    /// The version.
    pub version: u16,
    /// The suites offered.
    pub suites: Vec<u16>,
    /// Random.
    pub nonce_i: [u8; 32],
    /// Zeros on a direct connection.
    pub rdv_token: [u8; 16],
    /// Empty, or what RETRY brought.
    pub cookie: Vec<u8>,
    /// As the offer says.
    pub share: Vec<u8>,
    /// The secret from which ck1 comes.
    pub k_r: Vec<u8>,
    /// The ciphertext, as a rule of k_R.
    pub ct_r: Vec<u8>,
    /// X's clock.
    pub time: u64,
    /// X's key.
    pub spki_i: Vec<u8>,
    /// The pair ticket.
    pub ticket: Vec<u8>,
    /// The parameters.
    pub params: Vec<u8>,
    /// The key of the responder, for `mac1`.
    pub spki_r: Vec<u8>,
    /// Changes between the steps.
    pub forge: M1Forge,
}

/// Where M1 can be changed.
#[derive(Default)]
pub struct M1Forge {
    /// Bytes behind `mac1`, which the length of the body counts.
    pub trailing: Vec<u8>,
    /// The type of the frame.
    pub kind: Option<u8>,
    /// The plaintext of box1, before padding.
    pub fields: Option<Edit>,
    /// The plaintext of box1, after padding.
    pub plaintext: Option<Edit>,
    /// box1 after sealing.
    pub sealed: Option<Edit>,
    /// The frame up to mac1, before mac1 is computed; its `len` is set again afterwards.
    pub before_mac: Option<Edit>,
    /// mac1.
    pub mac1: Option<Edit>,
    /// The whole frame.
    pub after: Option<Edit>,
}

/// M1 with its intermediate values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct M1 {
    /// The frame.
    pub frame: Vec<u8>,
    /// `M1prefix`.
    pub prefix: Vec<u8>,
    /// The plaintext of box1.
    pub plaintext: Vec<u8>,
    /// ck1 and K1.
    pub keys: M1Keys,
}

impl M1Fields {
    /// A good M1 of the baseline suite to a responder.
    pub fn new(responder: &RsaPublicKey, nonce_i: [u8; 32], k_r: [u8; 32], seed: &[u8; 32]) -> Self {
        Self {
            version: 1,
            suites: vec![SUITE],
            nonce_i,
            rdv_token: [0; 16],
            cookie: Vec::new(),
            share: Vec::new(),
            k_r: k_r.to_vec(),
            ct_r: oaep_encrypt(responder, LABEL_R, &k_r, seed),
            time: 0,
            spki_i: Vec::new(),
            ticket: Vec::new(),
            params: Vec::new(),
            spki_r: spki(responder),
            forge: M1Forge::default(),
        }
    }

    /// Writes M1.
    pub fn build(&self) -> M1 {
        let mut plaintext = self.time.to_be_bytes().to_vec();
        plaintext.extend([&u16(self.spki_i.len())[..], &self.spki_i].concat());
        plaintext.extend([&u24(self.ticket.len())[..], &self.ticket].concat());
        plaintext.extend([&u16(self.params.len())[..], &self.params].concat());
        edit(self.forge.fields.as_ref(), &mut plaintext);
        pad(&mut plaintext);
        edit(self.forge.plaintext.as_ref(), &mut plaintext);

        let suites: Vec<u8> = self.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
        let count = u8::try_from(self.suites.len()).expect("the kit offers few suites");
        let cookie = u8::try_from(self.cookie.len()).expect("the kit writes short cookies");
        let box1_len = plaintext.len() + 32;
        let fixed = [
            &self.version.to_be_bytes()[..],
            &[count],
            &suites,
            &self.nonce_i,
            &self.rdv_token,
            &[cookie],
            &self.cookie,
            &u16(self.share.len()),
            &self.share,
            &u16(self.ct_r.len()),
            &self.ct_r,
            &u24(box1_len),
        ]
        .concat();
        // The body is known in length before box1 is sealed, for M1prefix begins with the frame's header.
        let len = fixed.len() + box1_len + 16 + self.forge.trailing.len();
        let prefix = [&[self.forge.kind.unwrap_or(kind::M1)], &u24(len)[..], &fixed].concat();

        let keys = M1Keys::new(&self.k_r, &prefix);
        let mut box1 = etm_seal(&keys.k1, &h(&[&prefix]), &plaintext);
        edit(self.forge.sealed.as_ref(), &mut box1);
        let mut frame = [&prefix[..], &box1].concat();
        edit(self.forge.before_mac.as_ref(), &mut frame);
        let len = u24(frame.len() - 4 + 16 + self.forge.trailing.len());
        frame[1..4].copy_from_slice(&len);
        let mut mac1 = hmac(&h(&[b"meshp2p/1 mac1", &self.spki_r]), &[&frame])[..16].to_vec();
        edit(self.forge.mac1.as_ref(), &mut mac1);
        frame.extend(mac1);
        frame.extend(&self.forge.trailing);
        edit(self.forge.after.as_ref(), &mut frame);
        M1 { frame, prefix, plaintext, keys }
    }
}

/// The fields of M2.
pub struct M2Fields {
    /// The suite chosen.
    pub suite: u16,
    /// Random.
    pub nonce_r: [u8; 32],
    /// As the suite says.
    pub share: Vec<u8>,
    /// What the ephemeral exchange gave.
    pub ss_e: Vec<u8>,
    /// The secret that enters ck3.
    pub k_i: Vec<u8>,
    /// The ciphertext, as a rule of k_I.
    pub ct_i: Vec<u8>,
    /// The parameters.
    pub params: Vec<u8>,
    /// Who talks to whom.
    pub names: Names,
    /// Changes between the steps.
    pub forge: M2Forge,
}

/// Where M2 can be changed.
#[derive(Default)]
pub struct M2Forge {
    /// The plaintext of box2, before padding.
    pub fields: Option<Edit>,
    /// The plaintext of box2, after padding.
    pub plaintext: Option<Edit>,
    /// box2 after sealing.
    pub sealed: Option<Edit>,
    /// `tag_R`.
    pub tag_r: Option<Edit>,
    /// The whole frame.
    pub after: Option<Edit>,
}

/// M2 with its intermediate values, and all that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct M2 {
    /// The frame.
    pub frame: Vec<u8>,
    /// `M2prefix`.
    pub prefix: Vec<u8>,
    /// The plaintext of box2.
    pub plaintext: Vec<u8>,
    /// ck2 and K2.
    pub keys: M2Keys,
    /// ck3, th, `tag_R`, th2.
    pub confirmation: Confirmation,
}

impl M2Fields {
    /// A good M2 of the baseline suite to an initiator.
    pub fn new(initiator: &RsaPublicKey, nonce_r: [u8; 32], k_i: [u8; 32], seed: &[u8; 32]) -> Self {
        Self {
            suite: SUITE,
            nonce_r,
            share: Vec::new(),
            ss_e: vec![0; 32],
            k_i: k_i.to_vec(),
            ct_i: oaep_encrypt(initiator, LABEL_I, &k_i, seed),
            params: Vec::new(),
            names: Names::default(),
            forge: M2Forge::default(),
        }
    }

    /// Writes the M2 that answers an M1.
    pub fn build(&self, ck1: &[u8; 32], m1: &[u8]) -> M2 {
        let mut plaintext = [&u16(self.ct_i.len())[..], &self.ct_i].concat();
        plaintext.extend([&u16(self.params.len())[..], &self.params].concat());
        edit(self.forge.fields.as_ref(), &mut plaintext);
        pad(&mut plaintext);
        edit(self.forge.plaintext.as_ref(), &mut plaintext);

        let box2_len = plaintext.len() + 32;
        let fixed = [
            &self.suite.to_be_bytes()[..],
            &self.nonce_r,
            &u16(self.share.len()),
            &self.share,
            &u24(box2_len),
        ]
        .concat();
        let len = fixed.len() + box2_len + 32;
        let prefix = [&[kind::M2], &u24(len)[..], &fixed].concat();

        let keys = M2Keys::new(ck1, &self.ss_e, m1, &prefix);
        let mut box2 = etm_seal(&keys.k2, &h(&[m1, &prefix]), &plaintext);
        edit(self.forge.sealed.as_ref(), &mut box2);
        let body = [&prefix[..], &box2].concat();
        let confirmation = Confirmation::new(&keys.ck2, &self.k_i, &self.names, m1, &body);
        let mut tag_r = confirmation.tag_r.to_vec();
        edit(self.forge.tag_r.as_ref(), &mut tag_r);
        let mut frame = [body, tag_r].concat();
        edit(self.forge.after.as_ref(), &mut frame);
        M2 { frame, prefix, plaintext, keys, confirmation }
    }
}

impl M2 {
    /// The M3 that answers it.
    pub fn m3(&self) -> Vec<u8> {
        frame(kind::M3, &tag_i(&self.confirmation.ck3, &self.confirmation.th2))
    }

    /// `traffic_I` and `traffic_R`.
    pub fn traffic(&self) -> (Vec<u8>, Vec<u8>) {
        let Confirmation { ck3, th2, .. } = &self.confirmation;
        (traffic_i(ck3, th2), traffic_r(ck3, th2))
    }
}

/// Zeros up to the next multiple of 1,024; none when there is nothing to fill.
pub fn pad(plaintext: &mut Vec<u8>) {
    plaintext.resize(plaintext.len().next_multiple_of(BLOCK), 0);
}

fn edit(change: Option<&Edit>, bytes: &mut Vec<u8>) {
    if let Some(change) = change {
        change(bytes);
    }
}
