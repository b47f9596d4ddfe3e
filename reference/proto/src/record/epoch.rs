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

    /// The tag of the current record: of its length field and ciphertext.
    pub(super) fn tag(&self, record: &[u8]) -> [u8; 32] {
        self.mac.mac(&[&self.seq.to_be_bytes(), record])
    }

    /// The tags of the current record and the one behind it, which are of one length.
    pub(super) fn tag_pair(&self, records: [&[u8]; 2]) -> [[u8; 32]; 2] {
        let numbers = [self.seq, self.seq + 1].map(u64::to_be_bytes);
        self.mac.mac_pair([&numbers[0], &numbers[1]], records)
    }

    /// Encrypts or decrypts a record of this number.
    pub(super) fn apply(&self, seq: u64, data: &mut [u8]) {
        let mut block = [0; 16];
        block[..4].copy_from_slice(&self.salt);
        block[4..12].copy_from_slice(&seq.to_be_bytes());
        self.cipher.apply(&block, data);
    }

    /// Goes on by so many records.
    pub(super) fn advance(&mut self, records: u64) {
        self.seq += records;
    }
}
