//! The keys of one direction between two key updates (`spec/record.md`, section 3).

use alloc::boxed::Box;
use zeroize::Zeroizing;

use crate::crypto::{CtrKey, MacKey, Provider, Secret, expand};

pub(super) struct Epoch {
    traffic: Secret,
    cipher: Box<dyn CtrKey>,
    mac: Box<dyn MacKey>,
    salt: [u8; 4],
    seq: u64,
}

impl Epoch {
    pub(super) fn new(p: &dyn Provider, traffic: Secret) -> Self {
        let keys: Zeroizing<[u8; 52]> = expand(p, &traffic, &[b"rec"]);
        let (mut enc, mut salt) = (Zeroizing::new([0; 16]), [0; 4]);
        enc.copy_from_slice(&keys[..16]);
        salt.copy_from_slice(&keys[48..]);
        Self { cipher: p.ctr_key(&enc), mac: p.mac_key(&keys[16..48]), salt, seq: 0, traffic }
    }

    /// REC-015: the next epoch, with sequence number 0.
    pub(super) fn next(&self, p: &dyn Provider) -> Self {
        Self::new(p, expand(p, &self.traffic, &[b"upd"]))
    }

    /// Records sealed or opened so far.
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    /// The tag of the current record. `header` is its length field.
    pub(super) fn tag(&self, header: &[u8], ciphertext: &[u8]) -> [u8; 32] {
        self.mac.mac(&[&self.seq.to_be_bytes(), header, ciphertext])
    }

    /// Encrypts or decrypts the current record.
    pub(super) fn apply(&self, data: &mut [u8]) {
        let mut block = [0; 16];
        block[..4].copy_from_slice(&self.salt);
        block[4..12].copy_from_slice(&self.seq.to_be_bytes());
        self.cipher.apply(&block, data);
    }

    /// Goes on to the next record.
    pub(super) fn advance(&mut self) {
        self.seq += 1;
    }
}
