//! Proofs: what the writer of a change says of it, under its signature (`spec/sync.md`, section 3.4).
//!
//! An entry carries the proofs of the changes that made it what it is. Whoever gives it to others, a device or a cloud, can
//! change none of them without being noticed.

use alloc::vec::Vec;

use super::entry::{Content, Entry, Place, Stamp};
use super::wire::malformed;
use crate::codec::{Id, Reader, Write};
use crate::crypto::{Provider, SIGNATURE, SigningKey};
use crate::error::Error;
use crate::requirement::{self as req, demand, deviates};

/// The most proofs that an entry has.
pub const MAX_PROOFS: usize = 255;

/// The most that a proof may have deleted (SYN-160).
const MAX_DELETED: usize = 32;

/// What a change did to an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// The change.
    pub stamp: Stamp,
    /// The hash of where it put the entry, or zeros.
    pub place: [u8; 32],
    /// The hash of the content that it wrote, or zeros.
    pub content: [u8; 32],
    /// What it deleted. Ascending.
    pub deleted: Vec<Deleted>,
    /// By the writer. Zeros until it signs.
    pub signature: [u8; SIGNATURE],
}

/// What was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deleted {
    /// Which part of the entry.
    pub part: Part,
    /// The dot of the change that had put or written it.
    pub change: (Id, u64),
}

/// A part of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Its place.
    Place,
    /// One of its contents.
    Content,
}

impl Proof {
    /// Of a change that put and wrote this, and deleted nothing. Not signed yet.
    pub fn new(stamp: Stamp, place: Option<&Place>, content: Option<&Content>) -> Self {
        let place = place.map(hash_of_place).unwrap_or_default();
        let content = content.map(hash_of_content).unwrap_or_default();
        Self { stamp, place, content, deleted: Vec::new(), signature: [0; SIGNATURE] }
    }

    /// What the writer signs.
    pub fn statement(&self, folder: Id, entry: Id) -> Vec<u8> {
        let mut out = b"meshproof change".to_vec();
        out.extend_from_slice(&folder.0);
        out.extend_from_slice(&entry.0);
        self.write_what(&mut out);
        out
    }

    /// Whether the signature is that of the writer, who has this key.
    pub fn verify(&self, provider: &dyn Provider, (folder, entry): (Id, Id), key: &[u8; 32]) -> bool {
        provider.verify(key, &self.statement(folder, entry), &self.signature)
    }

    fn dot(&self) -> (Id, u64) {
        self.stamp.dot()
    }

    /// Whether the other says something else of the same change. To sign the same once more is no contradiction.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let unsigned = |proof: &Self| Self { signature: [0; SIGNATURE], ..proof.clone() };
        self.dot() == other.dot() && self != other && unsigned(self) != unsigned(other)
    }

    fn deletes(&self, part: Part, change: (Id, u64)) -> bool {
        self.deleted.contains(&Deleted { part, change })
    }

    fn write_what(&self, out: &mut Vec<u8>) {
        self.stamp.write(out);
        out.extend_from_slice(&self.place);
        out.extend_from_slice(&self.content);
        out.put_u8(u8::try_from(self.deleted.len()).unwrap_or(u8::MAX));
        for Deleted { part, change: (device, counter) } in &self.deleted {
            out.put_u8(if *part == Part::Place { 1 } else { 2 });
            out.extend_from_slice(&device.0);
            out.put_u64(*counter);
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.write_what(out);
        out.extend_from_slice(&self.signature);
    }

    fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let stamp = Stamp::read(fields)?;
        let (place, content) = (malformed(fields.array())?, malformed(fields.array())?);
        let mut deleted = Vec::new();
        for _ in 0..malformed(fields.u8())? {
            let part = match malformed(fields.u8())? {
                1 => Part::Place,
                2 => Part::Content,
                _ => return Err(req::SYN_003.into()),
            };
            deleted.push(Deleted {
                part,
                change: (malformed(fields.array().map(Id))?, malformed(fields.u64())?),
            });
        }
        let ascending = deleted.windows(2).all(|pair| pair[0] < pair[1]);
        demand(ascending, req::SYN_050)?;
        Ok(Self { stamp, place, content, deleted, signature: malformed(fields.array())? })
    }
}

impl Entry {
    /// The same with one more proof, and without those that prove nothing of it any more.
    pub(super) fn proved(mut self, proof: Proof) -> Self {
        self.proofs.push(proof);
        self.proofs.sort_by_key(Proof::dot);
        self.prune();
        self
    }

    /// Drops the proofs that prove nothing of this state.
    pub(super) fn prune(&mut self) {
        let proofs = core::mem::take(&mut self.proofs);
        self.proofs = proofs.into_iter().filter(|proof| self.needs(proof)).collect();
    }

    /// Signs the changes that are not signed yet. Returns what was signed, by counter.
    pub fn sign(&mut self, folder: Id, key: &dyn SigningKey) -> Vec<(u64, Vec<u8>)> {
        let mut signed = Vec::new();
        for proof in self.proofs.iter_mut().filter(|proof| proof.signature == [0; SIGNATURE]) {
            let statement = proof.statement(folder, self.id);
            proof.signature = key.sign(&statement);
            signed.push((proof.stamp.counter, statement));
        }
        signed
    }

    /// SYN-050, SYN-051: the proofs are in order, and say all that the entry says. Signatures are another matter.
    pub(super) fn check_proofs(&self) -> Result<(), Error> {
        let ascending = self.proofs.windows(2).all(|pair| pair[0].dot() < pair[1].dot());
        demand(ascending && self.proofs.iter().all(|proof| self.needs(proof)), req::SYN_050)?;
        let of = |stamp: &Stamp| self.proofs.iter().find(|proof| proof.stamp == *stamp);
        let place = of(&self.place.stamp).is_some_and(|proof| proof.place == hash_of_place(&self.place));
        let written = |content: &Content| {
            of(&content.stamp).is_some_and(|proof| proof.content == hash_of_content(content))
        };
        let deleted = |part, stamp: &Stamp| self.proofs.iter().any(|proof| proof.deletes(part, stamp.dot()));
        let gone = |content: &Content| !content.gone || deleted(Part::Content, &content.stamp);
        let counted = |dot: &(Id, u64)| self.proofs.iter().any(|proof| proof.dot() == *dot);
        let all = place
            && self.contents.iter().all(written)
            && (!self.place.gone || deleted(Part::Place, &self.place.stamp))
            && self.contents.iter().all(gone)
            && self.version.counters().iter().all(counted);
        demand(all, req::SYN_051)
    }

    /// Who signed that it deleted more than anybody sees of an entry, if somebody did. Such an entry is ignored (SYN-160).
    pub fn overdone(&self) -> Option<Id> {
        let long = self.proofs.iter().find(|proof| proof.deleted.len() > MAX_DELETED);
        long.filter(|_| !deviates(req::SYN_160)).map(|proof| proof.stamp.writer)
    }

    fn needs(&self, proof: &Proof) -> bool {
        let dot = proof.dot();
        let deleted = |content: &Content| content.gone && proof.deletes(Part::Content, content.stamp.dot());
        self.place.stamp.dot() == dot
            || self.version.counters().contains(&dot)
            || self.contents.iter().any(|content| content.stamp.dot() == dot || deleted(content))
            || self.place.gone && proof.deletes(Part::Place, self.place.stamp.dot())
    }
}

/// The proofs of both, one a change.
pub(super) fn join(mine: &[Proof], theirs: &[Proof]) -> Vec<Proof> {
    let mut all: Vec<Proof> = mine.iter().chain(theirs).cloned().collect();
    all.sort_by(|a, b| a.dot().cmp(&b.dot()).then_with(|| b.cmp(a)));
    all.dedup_by_key(|proof| proof.dot());
    all
}

pub(super) fn write(proofs: &[Proof], out: &mut Vec<u8>) {
    out.put_u8(u8::try_from(proofs.len()).unwrap_or(u8::MAX));
    proofs.iter().for_each(|proof| proof.write(out));
}

pub(super) fn read_one(fields: &mut Reader<'_>) -> Result<Proof, Error> {
    Proof::read(fields)
}

pub(super) fn read(fields: &mut Reader<'_>) -> Result<Vec<Proof>, Error> {
    let count = malformed(fields.u8())?;
    (0..count).map(|_| Proof::read(fields)).collect()
}

fn hash_of_place(place: &Place) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"meshproof place").update(&place.parent.0).update(place.name.as_str().as_bytes());
    *hasher.finalize().as_bytes()
}

fn hash_of_content(content: &Content) -> [u8; 32] {
    let mut bytes = b"meshproof content".to_vec();
    content.write_what(&mut bytes);
    *blake3::hash(&bytes).as_bytes()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::storage::MediaHash;
    use crate::sync::entry::{Kind, MAX_CONTENTS};
    use crate::sync::{Name, Version};

    fn stamp(number: u8) -> Stamp {
        Stamp { lamport: 1, writer: Id([number; 16]), counter: 1 }
    }

    #[test]
    fn the_longest_entry_fits_into_a_message_and_into_a_state() {
        let content = |number| Content {
            stamp: stamp(number),
            kind: Kind::File { size: 1, hash: MediaHash([number; 32]) },
            mode: 0o644,
            mtime: 0,
            gone: true,
        };
        let contents: Vec<Content> = (1..=MAX_CONTENTS).map(|n| content(u8::try_from(n).unwrap())).collect();
        let name = Name::parse(&"n".repeat(255)).unwrap();
        let mut entry = Entry::new(Id([9; 16]), (Id([8; 16]), name), contents[0].clone()).unwrap();
        let deletes = |n: usize| Deleted { part: Part::Content, change: (Id([1; 16]), n as u64) };
        let deleted: Vec<Deleted> = (1..=MAX_DELETED).map(deletes).collect();
        let proof = |number| Proof { deleted: deleted.clone(), ..Proof::new(stamp(number), None, None) };
        entry.contents = contents;
        entry.version = Version::new((1..=64).map(|n| (Id([n; 16]), 1)).collect()).unwrap();
        entry.proofs = (1..=u8::MAX).map(proof).collect();
        assert_eq!((entry.proofs.len(), entry.overdone()), (MAX_PROOFS, None));
        assert!(entry.to_bytes().len() < 262_144, "{}", entry.to_bytes().len());

        let more = vec![deletes(MAX_DELETED + 1)];
        entry.proofs[200].deleted.extend(more);
        assert_eq!(entry.overdone(), Some(Id([201; 16])));
    }
}
