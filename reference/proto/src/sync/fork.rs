//! What shows that a writer said two things under one number (`spec/sync.md`, section 3.6).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::entry::{Entry, MAX_COUNTER};
use super::proof::{self, Proof};
use super::wire::malformed;
use super::writer::Head;
use crate::codec::{Id, Reader, Write};
use crate::crypto::Provider;
use crate::error::Error;
use crate::requirement as req;

/// Two statements of one writer that contradict each other, each under its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fork {
    /// Two chains of one length.
    Heads(Box<[Head; 2]>),
    /// Two proofs of one change of an entry.
    Changes(Id, Box<[Proof; 2]>),
}

impl Fork {
    /// What these two entries, of one identifier, show.
    pub fn of(mine: &Entry, theirs: &Entry) -> Option<Self> {
        let other = |proof: &Proof| theirs.proofs.iter().find(|their| proof.contradicts(their)).cloned();
        let two = mine.proofs.iter().find_map(|proof| Some([proof.clone(), other(proof)?]));
        two.map(|two| Self::Changes(mine.id, Box::new(two)))
    }

    /// Who said so, and of which of its changes.
    pub fn dot(&self) -> (Id, u64) {
        match self {
            Self::Heads(heads) => (heads[0].device, heads[0].counter),
            Self::Changes(_, proofs) => proofs[0].stamp.dot(),
        }
    }

    /// Whether the statements are of a change that can be, and contradict each other. For that, nobody needs a key.
    pub fn is_one(&self) -> bool {
        let contradicts = match self {
            Self::Heads(heads) => heads[0].contradicts(&heads[1]),
            Self::Changes(_, proofs) => proofs[0].contradicts(&proofs[1]),
        };
        contradicts && (1..=MAX_COUNTER).contains(&self.dot().1)
    }

    /// Whether it is one, and the writer, who has this key, signed both statements.
    pub fn verify(&self, provider: &dyn Provider, folder: Id, key: &[u8; 32]) -> bool {
        let signed = match self {
            Self::Heads(heads) => heads.iter().all(|head| head.verify(provider, folder, key)),
            Self::Changes(entry, proofs) => {
                proofs.iter().all(|proof| proof.verify(provider, (folder, *entry), key))
            }
        };
        self.is_one() && signed
    }

    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Heads(heads) => {
                out.put_u8(1);
                heads.iter().for_each(|head| head.write(out));
            }
            Self::Changes(entry, proofs) => {
                out.put_u8(2);
                out.extend_from_slice(&entry.0);
                proofs.iter().for_each(|proof| proof.write(out));
            }
        }
    }

    /// The next.
    pub fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        match malformed(fields.u8())? {
            1 => Ok(Self::Heads(Box::new([Head::read(fields)?, Head::read(fields)?]))),
            2 => {
                let entry = malformed(fields.array().map(Id))?;
                Ok(Self::Changes(entry, Box::new([proof::read_one(fields)?, proof::read_one(fields)?])))
            }
            _ => Err(req::SYN_003.into()),
        }
    }
}

pub(super) fn write_all(forks: &[Fork], out: &mut Vec<u8>) {
    out.put_u16(u16::try_from(forks.len()).unwrap_or(u16::MAX));
    forks.iter().for_each(|fork| fork.write(out));
}

pub(super) fn read_all(fields: &mut Reader<'_>) -> Result<Vec<Fork>, Error> {
    let count = malformed(fields.u16())?;
    (0..count).map(|_| Fork::read(fields)).collect()
}
