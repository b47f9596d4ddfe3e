//! Entries: what devices say about files and directories (`spec/sync.md`, section 3), and what a change makes of them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::path::Name;
use super::proof::{Deleted, Part, Proof};
use crate::codec::Id;
use crate::error::Error;
use crate::requirement::{self as req, demand, deviates};
use crate::storage::MediaHash;

/// The parent of what is directly in the folder. No entry has this identifier.
pub const ROOT: Id = Id([0; 16]);
/// The largest counter of a version and the largest Lamport counter (SYN-007, SYN-008).
pub const MAX_COUNTER: u64 = (1 << 48) - 1;
/// The most contents that an entry has (SYN-026).
pub const MAX_CONTENTS: usize = 16;
/// The longest target of a symbolic link, in bytes (SYN-007).
pub const MAX_LINK: u64 = 4_096;
const MAX_VERSION: usize = 64;

/// The state of one file, directory or symbolic link, whatever its names were and are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What stays the same when it is renamed.
    pub id: Id,
    /// Where it is.
    pub place: Place,
    /// What it holds: one content, or several that were written concurrently. Ascending by stamp, 1 to 16.
    pub contents: Vec<Content>,
    /// All changes.
    pub version: Version,
    /// What the writers say of the changes in it. Ascending by writer and counter.
    pub proofs: Vec<Proof>,
}

/// One change, and when it was: larger is later as far as anybody can know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The Lamport counter of the change.
    pub lamport: u64,
    /// The device that made it.
    pub writer: Id,
    /// The number of the change among all that this device made in this folder.
    pub counter: u64,
}

impl Stamp {
    /// What identifies the change.
    pub fn dot(&self) -> (Id, u64) {
        (self.writer, self.counter)
    }
}

/// Where an entry is. The larger stamp wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The change that put it there.
    pub stamp: Stamp,
    /// The directory, or [`ROOT`].
    pub parent: Id,
    /// Its name there.
    pub name: Name,
    /// Whether it was deleted from there.
    pub gone: bool,
}

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// The change that wrote it.
    pub stamp: Stamp,
    /// What it is.
    pub kind: Kind,
    /// POSIX permission bits.
    pub mode: u16,
    /// When it was modified, in nanoseconds since 1970. Decides nothing.
    pub mtime: u64,
    /// Whether it was deleted.
    pub gone: bool,
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A file.
    File {
        /// In bytes.
        size: u64,
        /// Of its bytes.
        hash: MediaHash,
    },
    /// A directory.
    Directory,
    /// A symbolic link, whose content is its target.
    Link {
        /// Of the target, in bytes.
        size: u64,
        /// Of the target.
        hash: MediaHash,
    },
}

/// A version vector: ascending devices, each with the counter of its last change of the entry; 1 to 64 (SYN-008).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version(Vec<(Id, u64)>);

/// Which changes of a folder a device has seen: all of each device up to a counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context(pub BTreeMap<Id, u64>);

impl Entry {
    /// A new entry. Every change of the same writer and folder has another counter in its stamp.
    pub fn new(id: Id, (parent, name): (Id, Name), content: Content) -> Option<Self> {
        let stamp = content.stamp;
        let version = Version::default().with(stamp)?;
        let place = Place { stamp, parent, name, gone: false };
        let proofs = [Proof::new(stamp, Some(&place), Some(&content))].to_vec();
        Some(Self { id, place, contents: [content].to_vec(), version, proofs })
    }

    /// Whether it was deleted, and no change says otherwise that the deletion did not see (SYN-022).
    pub fn is_gone(&self) -> bool {
        let gone = |content: &Content| content.gone;
        if deviates(req::SYN_022) {
            return self.place.gone || self.contents.iter().any(gone);
        }
        self.place.gone && self.contents.iter().all(gone)
    }

    /// The contents that are not deleted; all of them if only a move keeps the entry.
    pub fn living(&self) -> impl Iterator<Item = &Content> {
        let any = self.contents.iter().any(|content| !content.gone);
        self.contents.iter().filter(move |content| !any || !content.gone)
    }

    /// The content that is shown under the entry's name: a directory before all else, for others are in it; then the
    /// latest.
    pub fn main(&self) -> Option<&Content> {
        self.living().max_by_key(|content| (content.kind == Kind::Directory, content.stamp))
    }

    /// Another place. `None` if no version can say so (SYN-016).
    #[must_use]
    pub fn moved(&self, (parent, name): (Id, Name), stamp: Stamp) -> Option<Self> {
        let place = Place { stamp, parent, name, gone: false };
        let proof = Proof::new(stamp, Some(&place), None);
        let entry = Self { place, version: self.version.with(stamp)?, ..self.clone() };
        Some(entry.proved(proof))
    }

    /// Another content, by somebody who saw those with the dots `seen`. It stays or comes back. `None` if no version or
    /// list of contents can say so.
    #[must_use]
    pub fn rewritten(&self, content: Content, seen: &[(Id, u64)]) -> Option<Self> {
        let version = self.version.with(content.stamp)?;
        let mut contents: Vec<Content> = self.contents.clone();
        contents.retain(|other| !other.gone && !seen.contains(&other.stamp.dot()));
        let proof = Proof::new(content.stamp, None, Some(&content));
        contents.push(content);
        contents.sort();
        let entry = Self { contents, version, ..self.clone() };
        (entry.contents.len() <= MAX_CONTENTS).then(|| entry.proved(proof))
    }

    /// Deleted, by somebody who saw it at the place with this stamp, and the contents with these dots.
    #[must_use]
    pub fn deleted(&self, place: Stamp, seen: &[(Id, u64)], stamp: Stamp) -> Option<Self> {
        let mut entry = Self { version: self.version.with(stamp)?, ..self.clone() };
        let mut proof = Proof::new(stamp, None, None);
        if entry.place.stamp == place && !entry.place.gone {
            entry.place.gone = true;
            proof.deleted.push(Deleted { part: Part::Place, change: place.dot() });
        }
        let here = |content: &&mut Content| !content.gone && seen.contains(&content.stamp.dot());
        for content in entry.contents.iter_mut().filter(here) {
            content.gone = true;
            proof.deleted.push(Deleted { part: Part::Content, change: content.stamp.dot() });
        }
        proof.deleted.sort_unstable();
        Some(entry.proved(proof))
    }

    /// Without the contents with these dots, which became entries of their own. `None` as above, or if none would stay.
    #[must_use]
    pub fn without(&self, seen: &[(Id, u64)], stamp: Stamp) -> Option<Self> {
        let mut entry = Self { version: self.version.with(stamp)?, ..self.clone() };
        entry.contents.retain(|content| !seen.contains(&content.stamp.dot()));
        (!entry.contents.is_empty()).then(|| entry.proved(Proof::new(stamp, None, None)))
    }

    /// Put where it was, anew, with a new content: what somebody makes at the place of something deleted.
    #[must_use]
    pub fn revived(&self, place: (Id, Name), content: &Content) -> Option<Self> {
        let mut entry = self.rewritten(content.clone(), &[])?;
        let place = Place { stamp: content.stamp, parent: place.0, name: place.1, gone: false };
        let proof = Proof::new(content.stamp, Some(&place), Some(content));
        entry.proofs.retain(|other| other.stamp != content.stamp);
        Some(Self { place, ..entry }.proved(proof))
    }

    /// The largest Lamport counter in it.
    pub fn lamport(&self) -> u64 {
        self.contents.iter().map(|content| content.stamp.lamport).fold(self.place.stamp.lamport, u64::max)
    }
}

/// The identifier of a new entry with this place (SYN-035): the first of this sequence that is free.
pub fn new_id(parent: Id, name: &Name, attempt: u64) -> Id {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"meshproof entry").update(&parent.0).update(name.as_str().as_bytes());
    if attempt > 0 {
        hasher.update(&[0]).update(&attempt.to_be_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Id(id)
}

/// The Lamport counter of a change after `lamport`. At its end it stays there (SYN-016).
pub fn next_lamport(lamport: u64) -> u64 {
    lamport.saturating_add(1).min(MAX_COUNTER)
}

impl Version {
    /// Checks the rule.
    pub fn new(counters: Vec<(Id, u64)>) -> Result<Self, Error> {
        let ascending = counters.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let counted = counters.iter().all(|(_, counter)| (1..=MAX_COUNTER).contains(counter));
        demand((1..=MAX_VERSION).contains(&counters.len()) && ascending && counted, req::SYN_008)?;
        Ok(Self(counters))
    }

    /// The counters.
    pub fn counters(&self) -> &[(Id, u64)] {
        &self.0
    }

    /// This version and one more change. `None` if no version can say so: it is full, or claims to have the change.
    #[must_use]
    pub fn with(&self, change: Stamp) -> Option<Self> {
        if self.has(change.dot()) {
            return None;
        }
        self.join(&Self([change.dot()].to_vec()))
    }

    /// Whether every change of `other` is in this version.
    pub fn dominates(&self, other: &Self) -> bool {
        other.0.iter().all(|(device, counter)| self.counter(*device) >= *counter)
    }

    /// Whether this change is in this version.
    pub fn has(&self, (device, counter): (Id, u64)) -> bool {
        self.counter(device) >= counter
    }

    /// The least version that dominates both. `None` if it would be of more than 64 devices.
    #[must_use]
    pub fn join(&self, other: &Self) -> Option<Self> {
        let mut joined = self.0.clone();
        for (device, counter) in &other.0 {
            match joined.binary_search_by_key(device, |(id, _)| *id) {
                Ok(at) => joined[at].1 = joined[at].1.max(*counter),
                Err(at) => joined.insert(at, (*device, *counter)),
            }
        }
        let counted = joined.iter().all(|(_, counter)| *counter <= MAX_COUNTER);
        (joined.len() <= MAX_VERSION && counted).then_some(Self(joined))
    }

    fn counter(&self, device: Id) -> u64 {
        self.0.binary_search_by_key(&device, |(id, _)| *id).map_or(0, |at| self.0[at].1)
    }
}

impl Context {
    /// Whether this change was seen.
    pub fn has(&self, (device, counter): (Id, u64)) -> bool {
        self.0.get(&device).is_some_and(|seen| *seen >= counter)
    }

    /// Whether every change of `version` was seen.
    pub fn covers(&self, version: &Version) -> bool {
        version.counters().iter().all(|dot| self.has(*dot))
    }

    /// Adds what `other` has seen.
    pub fn join(&mut self, other: &Self) {
        for (device, counter) in &other.0 {
            let seen = self.0.entry(*device).or_default();
            *seen = (*seen).max(*counter);
        }
    }
}
