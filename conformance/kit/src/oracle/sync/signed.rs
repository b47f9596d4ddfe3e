//! Sections 3.4 and 3.5: proofs, cards, heads, and what the kit's devices sign them with.

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};

use super::{Content, Entry, Fields, Id, Stamp};
use crate::oracle::crypto::RsaPublicKey;
use crate::oracle::{Rejection, reject};
use crate::target::fixture::PeerFixture;

/// `proof` of section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The change.
    pub stamp: Stamp,
    /// The hash of the place, or zeros.
    pub place: [u8; 32],
    /// The hash of the content, or zeros.
    pub content: [u8; 32],
    /// What was deleted.
    pub deleted: Vec<Deleted>,
    /// By the writer.
    pub signature: [u8; 64],
}

/// `deleted` of section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deleted {
    /// 1 the place, 2 a content.
    pub part: u8,
    /// The dot of the change that made it.
    pub change: (Id, u64),
}

/// `card` of section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Of whom.
    pub device: Id,
    /// Its key.
    pub key: [u8; 32],
    /// By the issuer.
    pub signature: Vec<u8>,
}

/// `head` of section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose.
    pub device: Id,
    /// Its last change.
    pub counter: u64,
    /// The chain of all.
    pub chain: [u8; 32],
    /// By the device.
    pub signature: [u8; 64],
}

/// `fork` of section 3: two statements of one writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fork {
    /// Two heads.
    Heads([Head; 2]),
    /// Two proofs of an entry.
    Changes(Id, [Proof; 2]),
}

impl Fork {
    /// Whose.
    pub fn writer(&self) -> Id {
        match self {
            Fork::Heads(heads) => heads[0].device,
            Fork::Changes(_, proofs) => proofs[0].stamp.writer,
        }
    }

    /// As in FORKS.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Fork::Heads(heads) => {
                out.push(1);
                heads.iter().for_each(|head| head.write(out));
            }
            Fork::Changes(entry, proofs) => {
                out.push(2);
                out.extend(entry);
                proofs.iter().for_each(|proof| proof.write(out));
            }
        }
    }
}

impl Head {
    /// As in STATE.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.device);
        out.extend(self.counter.to_be_bytes());
        out.extend(self.chain);
        out.extend(self.signature);
    }
}

/// What a device of the kit's world signs with.
pub fn signing_key(device: Id) -> SigningKey {
    SigningKey::from_bytes(&PeerFixture::signing_seed(device))
}

/// Its public key.
pub fn public_key(device: Id) -> [u8; 32] {
    signing_key(device).verifying_key().to_bytes()
}

/// The card of a device of the kit's world.
pub fn card(folder: Id, device: Id) -> Card {
    let key = public_key(device);
    let statement = [b"meshproof writer", &folder[..], &device, &key].concat();
    Card { device, key, signature: crate::oracle::crypto::sign(&PeerFixture::get().issuer, &statement) }
}

/// The head of a device of the kit's world, where the chain is whatever the kit says.
pub fn head(folder: Id, device: Id, counter: u64, chain: [u8; 32]) -> Head {
    let statement = [b"meshproof head", &folder[..], &device, &counter.to_be_bytes(), &chain].concat();
    Head { device, counter, chain, signature: signing_key(device).sign(&statement).to_bytes() }
}

impl Proof {
    /// The change.
    pub fn dot(&self) -> (Id, u64) {
        (self.stamp.writer, self.stamp.counter)
    }

    /// What the writer signs.
    pub fn statement(&self, folder: Id, entry: Id) -> Vec<u8> {
        let mut out = [b"meshproof change", &folder[..], &entry].concat();
        self.write_what(&mut out);
        out
    }

    /// Signs anew.
    pub fn sign(&mut self, entry: Id) {
        let statement = self.statement(PeerFixture::FOLDER, entry);
        self.signature = signing_key(self.stamp.writer).sign(&statement).to_bytes();
    }

    fn write_what(&self, out: &mut Vec<u8>) {
        self.stamp.write(out);
        out.extend(self.place);
        out.extend(self.content);
        out.push(u8::try_from(self.deleted.len()).expect("the kit deletes little"));
        for Deleted { part, change } in &self.deleted {
            out.push(*part);
            out.extend(change.0);
            out.extend(change.1.to_be_bytes());
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.write_what(out);
        out.extend(self.signature);
    }

    fn deletes(&self, part: u8, stamp: Stamp) -> bool {
        self.deleted.contains(&Deleted { part, change: (stamp.writer, stamp.counter) })
    }
}

impl Fields<'_> {
    pub(super) fn proof(&mut self) -> Option<Proof> {
        let (stamp, place, content, count) = (self.stamp()?, self.array()?, self.array()?, self.u8()?);
        let deleted =
            (0..count).map(|_| Some(Deleted { part: self.u8()?, change: (self.array()?, self.u64()?) }));
        let deleted = deleted.collect::<Option<Vec<_>>>()?;
        if deleted.iter().any(|deleted| !(1..=2).contains(&deleted.part)) {
            return None;
        }
        Some(Proof { stamp, place, content, deleted, signature: self.array()? })
    }

    /// The next head.
    pub fn head(&mut self) -> Option<Head> {
        Some(Head {
            device: self.array()?,
            counter: self.u64()?,
            chain: self.array()?,
            signature: self.array()?,
        })
    }

    /// The next fork.
    pub fn fork(&mut self) -> Option<Fork> {
        match self.u8()? {
            1 => Some(Fork::Heads([self.head()?, self.head()?])),
            2 => Some(Fork::Changes(self.array()?, [self.proof()?, self.proof()?])),
            _ => None,
        }
    }

    /// The next card.
    pub fn card(&mut self) -> Option<Card> {
        let (device, key, length) = (self.array()?, self.array()?, self.u16()?);
        let (signature, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(Card { device, key, signature: signature.to_vec() })
    }
}

impl Card {
    /// As in WRITERS.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(self.signature.len()).expect("an RSA signature");
        [&self.device[..], &self.key, &length.to_be_bytes(), &self.signature].concat()
    }

    /// Whether the issuer with this key signed it.
    pub fn is_signed(&self, folder: Id, issuer: &RsaPublicKey) -> bool {
        let statement = [b"meshproof writer", &folder[..], &self.device, &self.key].concat();
        crate::oracle::crypto::verify(issuer, &statement, &self.signature)
    }
}

impl Head {
    /// As in STATE.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.device[..], &self.counter.to_be_bytes(), &self.chain, &self.signature].concat()
    }

    /// Whether the owner of this key signed it.
    pub fn is_signed(&self, folder: Id, key: &[u8; 32]) -> bool {
        let statement =
            [b"meshproof head", &folder[..], &self.device, &self.counter.to_be_bytes(), &self.chain].concat();
        is_signed(key, &statement, &self.signature)
    }
}

impl Proof {
    /// Whether the owner of this key signed it.
    pub fn is_signed(&self, folder: Id, entry: Id, key: &[u8; 32]) -> bool {
        is_signed(key, &self.statement(folder, entry), &self.signature)
    }
}

/// Whether the owner of an Ed25519 key signed these bytes.
pub fn is_signed(key: &[u8; 32], statement: &[u8], signature: &[u8; 64]) -> bool {
    let verify = |key: VerifyingKey| key.verify(statement, &Signature::from_bytes(signature)).is_ok();
    VerifyingKey::from_bytes(key).is_ok_and(verify)
}

impl Content {
    /// All but the stamp and whether it is gone.
    pub(super) fn what(&self) -> Vec<u8> {
        let mut out = vec![self.kind];
        out.extend(self.mode.to_be_bytes());
        out.extend(self.mtime.to_be_bytes());
        out.extend(self.size.to_be_bytes());
        out.extend(self.hash);
        out
    }
}

impl Entry {
    /// Its proofs, as they are or as they would be.
    pub fn proofs(&self) -> Vec<Proof> {
        self.proofs.clone().unwrap_or_else(|| self.prove(&[]))
    }

    /// The proofs that the writers would make, but for the changes that are proved already.
    pub(super) fn prove(&self, known: &[Proof]) -> Vec<Proof> {
        let place_dot = (self.place.writer, self.place.counter);
        let mut dots: Vec<(Id, u64)> = self.version.clone();
        dots.push(place_dot);
        dots.extend(self.contents.iter().map(|content| (content.stamp.writer, content.stamp.counter)));
        dots.extend(known.iter().filter(|proof| self.needs(proof)).map(Proof::dot));
        dots.sort_unstable();
        dots.dedup();
        let is_known = |dot: &(Id, u64)| known.iter().any(|proof| proof.dot() == *dot);
        let wrote = |dot: (Id, u64)| {
            place_dot == dot
                || self.contents.iter().any(|content| (content.stamp.writer, content.stamp.counter) == dot)
        };
        // A change that did nothing else was the deletion.
        let deleter = dots.iter().copied().filter(|dot| !is_known(dot)).max_by_key(|dot| !wrote(*dot));
        let proof = |dot: (Id, u64)| {
            if let Some(known) = known.iter().find(|proof| proof.dot() == dot) {
                return known.clone();
            }
            let content =
                self.contents.iter().find(|content| (content.stamp.writer, content.stamp.counter) == dot);
            let stamp = match content {
                Some(content) => content.stamp,
                None if place_dot == dot => self.place,
                None => Stamp { lamport: 1, writer: dot.0, counter: dot.1 },
            };
            let mut proof =
                Proof { stamp, place: [0; 32], content: [0; 32], deleted: Vec::new(), signature: [0; 64] };
            if place_dot == dot {
                proof.place = hash_of_place(self);
            }
            if let Some(content) = content {
                proof.content = hash_of_content(content);
            }
            if deleter == Some(dot) {
                proof.deleted = self.gone_parts();
                proof.deleted.retain(|part| !known.iter().any(|proof| proof.deleted.contains(part)));
            }
            proof.sign(self.id);
            proof
        };
        dots.iter().map(|dot| proof(*dot)).collect()
    }

    fn gone_parts(&self) -> Vec<Deleted> {
        let mut parts = Vec::new();
        if self.gone == 1 {
            parts.push(Deleted { part: 1, change: (self.place.writer, self.place.counter) });
        }
        for content in self.contents.iter().filter(|content| content.gone == 1) {
            parts.push(Deleted { part: 2, change: (content.stamp.writer, content.stamp.counter) });
        }
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    /// Whether a proof proves something of this state.
    pub fn needs(&self, proof: &Proof) -> bool {
        let dot = proof.dot();
        let of = |stamp: Stamp| (stamp.writer, stamp.counter) == dot;
        of(self.place)
            || self.contents.iter().any(|content| of(content.stamp))
            || self.version.contains(&dot)
            || proof.deleted.iter().any(|part| self.gone_parts().contains(part))
    }
}

/// SYN-050 and SYN-051.
pub(super) fn check(entry: &Entry) -> Result<(), Rejection> {
    let proofs = entry.proofs();
    let ascending = proofs.windows(2).all(|pair| pair[0].dot() < pair[1].dot());
    let in_order = proofs.iter().all(|proof| proof.deleted.windows(2).all(|pair| pair[0] < pair[1]));
    if !ascending || !in_order || !proofs.iter().all(|proof| entry.needs(proof)) {
        return reject("SYN-050", "sync-proofs");
    }
    let of = |stamp: Stamp| proofs.iter().find(move |proof| proof.stamp == stamp);
    let deleted = |part, stamp| proofs.iter().any(|proof| proof.deletes(part, stamp));
    let place = of(entry.place).is_some_and(|proof| proof.place == hash_of_place(entry))
        && (entry.gone == 0 || deleted(1, entry.place));
    let contents = entry.contents.iter().all(|content| {
        of(content.stamp).is_some_and(|proof| proof.content == hash_of_content(content))
            && (content.gone == 0 || deleted(2, content.stamp))
    });
    let counted = entry.version.iter().all(|dot| proofs.iter().any(|proof| proof.dot() == *dot));
    if place && contents && counted { Ok(()) } else { reject("SYN-051", "change-unproven") }
}

fn hash_of_place(entry: &Entry) -> [u8; 32] {
    *blake3::hash(&[b"meshproof place", &entry.parent[..], &entry.name].concat()).as_bytes()
}

fn hash_of_content(content: &Content) -> [u8; 32] {
    *blake3::hash(&[b"meshproof content", &content.what()[..]].concat()).as_bytes()
}
