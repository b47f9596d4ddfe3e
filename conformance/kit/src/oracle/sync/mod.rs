//! sync.md, transcribed: entries as bytes, merging them, and the paths that they have.

mod ignore;
mod merge;
mod read;
mod signed;
mod unicode;
mod view;

pub use ignore::ignored;
pub use merge::merge;
pub use read::{Fields, index, name, state};
pub use signed::{Card, Deleted, Fork, Head, Proof, card, head, is_signed, public_key, signing_key};
pub use unicode::fold;
pub use view::{Shown, view};

use crate::target::fixture::PeerFixture;

/// 16 bytes.
pub type Id = [u8; 16];
/// The parent of what is in the folder itself.
pub const ROOT: Id = [0; 16];

/// `stamp` of section 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The Lamport counter.
    pub lamport: u64,
    /// Who made the change.
    pub writer: Id,
    /// Its number.
    pub counter: u64,
}

/// `content` of section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The change that wrote it.
    pub stamp: Stamp,
    /// 0 or 1, and whatever must not be.
    pub gone: u8,
    /// 1 file, 2 directory, 3 symbolic link.
    pub kind: u8,
    /// Permission bits.
    pub mode: u16,
    /// Nanoseconds since 1970.
    pub mtime: u64,
    /// In bytes.
    pub size: u64,
    /// BLAKE3 of the bytes.
    pub hash: [u8; 32],
}

/// `entry` of section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The identifier.
    pub id: Id,
    /// The directory.
    pub parent: Id,
    /// The name, as bytes, for not every name sent is UTF-8.
    pub name: Vec<u8>,
    /// The change that put it there.
    pub place: Stamp,
    /// 0 or 1, and whatever must not be.
    pub gone: u8,
    /// One or more.
    pub contents: Vec<Content>,
    /// Devices and their counters.
    pub version: Vec<(Id, u64)>,
    /// Of its changes. `None`: those that the writers would make of it, if it were all that they ever did.
    pub proofs: Option<Vec<Proof>>,
}

/// The identifier of a new entry at a path (SYN-035).
pub fn id_of(path: &str) -> Id {
    path.split('/').fold(ROOT, |parent, name| new_id(parent, name.as_bytes(), 0))
}

/// The `attempt`th choice of an identifier.
pub fn new_id(parent: Id, name: &[u8], attempt: u64) -> Id {
    let mut bytes = [b"meshproof entry", &parent[..], name].concat();
    if attempt > 0 {
        bytes.push(0);
        bytes.extend(attempt.to_be_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
    id
}

/// The digest of the entries of a bucket (section 3.2).
pub fn digest(entries: &[Entry]) -> [u8; 16] {
    let mut bytes = b"meshproof entries".to_vec();
    entries.iter().for_each(|entry| entry.write(&mut bytes));
    let mut digest = [0; 16];
    if !entries.is_empty() {
        digest.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
    }
    digest
}

impl Entry {
    /// A directory that the kit's device made at a path.
    pub fn directory(path: &str) -> Self {
        let (parent, name) =
            path.rsplit_once('/').map_or((ROOT, path), |(parent, name)| (id_of(parent), name));
        let stamp = Stamp { lamport: 1, writer: PeerFixture::DEVICE_X, counter: 1 };
        Entry {
            id: new_id(parent, name.as_bytes(), 0),
            parent,
            name: name.as_bytes().to_vec(),
            place: stamp,
            gone: 0,
            contents: vec![Content {
                stamp,
                gone: 0,
                kind: 2,
                mode: 0o755,
                mtime: 1_700_000_000_000_000_000,
                size: 0,
                hash: [0; 32],
            }],
            version: vec![(stamp.writer, stamp.counter)],
            proofs: None,
        }
    }

    /// A file that the kit's device made.
    pub fn file(path: &str, content: &[u8]) -> Self {
        let mut entry = Entry::directory(path);
        entry.contents[0].kind = 1;
        entry.contents[0].mode = 0o644;
        entry.contents[0].size = content.len() as u64;
        entry.contents[0].hash = *blake3::hash(content).as_bytes();
        entry
    }

    /// The same as the only change of another writer, or as a later one of it.
    #[must_use]
    pub fn by(mut self, writer: Id, lamport: u64, version: &[(Id, u64)]) -> Self {
        let counter = version.iter().find(|(device, _)| *device == writer).map_or(0, |(_, counter)| *counter);
        let stamp = Stamp { lamport, writer, counter };
        self.place = stamp;
        self.contents.iter_mut().for_each(|content| content.stamp = stamp);
        (self.version, self.proofs) = (version.to_vec(), None);
        self
    }

    /// The same, deleted by a change that is in this version.
    #[must_use]
    pub fn deleted(self, version: &[(Id, u64)]) -> Self {
        let before = self.clone();
        let mut entry = Entry { gone: 1, version: version.to_vec(), proofs: None, ..self };
        entry.contents.iter_mut().for_each(|content| content.gone = 1);
        entry.knowing(&before)
    }

    /// The same, with the changes that another state of the entry proves, proved as there.
    #[must_use]
    pub fn knowing(mut self, before: &Entry) -> Self {
        self.proofs = Some(self.prove(&before.proofs()));
        self
    }

    /// The same, moved by a change of the kit's device.
    #[must_use]
    pub fn moved(self, path: &str, stamp: Stamp, version: &[(Id, u64)]) -> Self {
        let (at, before) = (Entry::directory(path), self.clone());
        let (parent, name, version) = (at.parent, at.name, version.to_vec());
        let entry = Entry { parent, name, place: stamp, gone: 0, version, proofs: None, ..self };
        entry.knowing(&before)
    }

    /// The name, for people and comparison.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Whether it is no tombstone.
    pub fn is_living(&self) -> bool {
        self.gone == 0 || self.contents.iter().any(|content| content.gone == 0)
    }

    /// The contents that are not gone; all if all are.
    pub fn living(&self) -> Vec<&Content> {
        let living: Vec<&Content> = self.contents.iter().filter(|content| content.gone == 0).collect();
        if living.is_empty() { self.contents.iter().collect() } else { living }
    }

    /// What is shown under the name.
    pub fn main(&self) -> Option<&Content> {
        self.living().into_iter().max_by_key(|content| (content.kind == 2, content.stamp))
    }
}
