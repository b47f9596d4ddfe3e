//! Who writes in a folder, and how far each writer has come (`spec/sync.md`, section 3.5).

use alloc::vec::Vec;

use super::entry::{Context, MAX_COUNTER};
use super::wire::{MAX_CONTEXT, malformed};
use crate::codec::{Id, Reader, Write};
use crate::crypto::{Provider, PublicKey, SIGNATURE, SigningKey};
use crate::error::Error;
use crate::requirement::{self as req, demand};

/// The issuer's word that a device may write in a folder, and signs with this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The device.
    pub device: Id,
    /// Its Ed25519 key.
    pub key: [u8; 32],
    /// By the issuer of tickets: RSASSA-PKCS1-v1_5 with SHA-256.
    pub signature: Vec<u8>,
}

/// How far a writer has come in a folder, under its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The writer.
    pub device: Id,
    /// The number of its last change.
    pub counter: u64,
    /// The hash chain over all its changes.
    pub chain: [u8; 32],
    /// By the writer.
    pub signature: [u8; SIGNATURE],
}

impl Card {
    /// What the issuer signs.
    pub fn statement(folder: Id, device: Id, key: &[u8; 32]) -> Vec<u8> {
        [b"meshproof writer", &folder.0[..], &device.0, key].concat()
    }

    /// The next card.
    pub fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let device = malformed(fields.array().map(Id))?;
        Ok(Self { device, key: malformed(fields.array())?, signature: malformed(fields.field16())?.to_vec() })
    }

    /// Whether an issuer with this key signed it.
    pub fn verify(&self, folder: Id, issuer: &dyn PublicKey) -> bool {
        issuer.verify(&Self::statement(folder, self.device, &self.key), &self.signature)
    }
}

impl Head {
    /// Says where `key`, of `device`, stands.
    pub fn sign(folder: Id, device: Id, counter: u64, chain: [u8; 32], key: &dyn SigningKey) -> Self {
        let mut head = Self { device, counter, chain, signature: [0; SIGNATURE] };
        head.signature = key.sign(&head.statement(folder));
        head
    }

    /// Whether the writer, who has this key, said it.
    pub fn verify(&self, provider: &dyn Provider, folder: Id, key: &[u8; 32]) -> bool {
        provider.verify(key, &self.statement(folder), &self.signature)
    }

    /// Whether the other is another chain of the same length.
    pub fn contradicts(&self, other: &Self) -> bool {
        (self.device, self.counter) == (other.device, other.counter) && self.chain != other.chain
    }

    fn statement(&self, folder: Id) -> Vec<u8> {
        [b"meshproof head", &folder.0[..], &self.device.0, &self.counter.to_be_bytes(), &self.chain].concat()
    }

    /// Appends the head to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.device.0);
        out.put_u64(self.counter);
        out.extend_from_slice(&self.chain);
        out.extend_from_slice(&self.signature);
    }

    /// The next head.
    pub fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            device: malformed(fields.array().map(Id))?,
            counter: malformed(fields.u64())?,
            chain: malformed(fields.array())?,
            signature: malformed(fields.array())?,
        })
    }
}

/// The chain with one more change.
pub fn link(chain: &[u8; 32], statement: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"meshproof chain").update(chain).update(statement);
    *hasher.finalize().as_bytes()
}

/// What was seen by who has these heads.
pub fn context(heads: &[Head]) -> Context {
    Context(heads.iter().map(|head| (head.device, head.counter)).collect())
}

pub(super) fn write_heads(heads: &[Head], out: &mut Vec<u8>) {
    out.put_u16(u16::try_from(heads.len()).unwrap_or(u16::MAX));
    heads.iter().for_each(|head| head.write(out));
}

pub(super) fn read_heads(fields: &mut Reader<'_>) -> Result<Vec<Head>, Error> {
    let count = usize::from(malformed(fields.u16())?);
    demand(count <= MAX_CONTEXT, req::SYN_028)?;
    let mut heads: Vec<Head> = Vec::new();
    for _ in 0..count {
        heads.push(Head::read(fields)?);
    }
    let ascending = heads.windows(2).all(|pair| pair[0].device < pair[1].device);
    let counted = heads.iter().all(|head| (1..=MAX_COUNTER).contains(&head.counter));
    demand(ascending && counted, req::SYN_028)?;
    Ok(heads)
}

pub(super) fn write_cards(cards: &[Card], out: &mut Vec<u8>) {
    out.put_u16(u16::try_from(cards.len()).unwrap_or(u16::MAX));
    for card in cards {
        out.extend_from_slice(&card.device.0);
        out.extend_from_slice(&card.key);
        out.put_field16(&card.signature);
    }
}

pub(super) fn read_cards(fields: &mut Reader<'_>) -> Result<Vec<Card>, Error> {
    let count = malformed(fields.u16())?;
    (0..count).map(|_| Card::read(fields)).collect()
}
