//! How much of a peer's index this device is ready to hold.

use meshproof_proto::codec::Id;
use meshproof_proto::sync::proof::{Deleted, Proof};
use meshproof_proto::sync::{Content, Entry};

use crate::error::{Error, Result};

/// What the peer's index of one folder may still have. A peer's counts are its claims (section 6), and its entries wait
/// in memory until their content is here.
pub(super) struct Bound {
    entries: usize,
    bytes: usize,
}

impl Default for Bound {
    fn default() -> Self {
        Self { entries: 4_000_000, bytes: 1024 * 1024 * 1024 }
    }
}

impl Bound {
    /// More entries came.
    ///
    /// # Errors
    /// If they are too many, or too large.
    pub(super) fn take(&mut self, entries: &[Entry]) -> Result<()> {
        let bytes = entries.iter().map(size).sum();
        match (self.entries.checked_sub(entries.len()), self.bytes.checked_sub(bytes)) {
            (Some(entries), Some(bytes)) => {
                *self = Self { entries, bytes };
                Ok(())
            }
            _ => Err(Error::Peer("an INDEX without end")),
        }
    }
}

/// What an entry takes in memory.
fn size(entry: &Entry) -> usize {
    size_of::<Entry>()
        + entry.place.name.as_str().len()
        + size_of_val::<[Content]>(&entry.contents)
        + size_of_val::<[(Id, u64)]>(entry.version.counters())
        + size_of_val::<[Proof]>(&entry.proofs)
        + entry.proofs.iter().map(|proof| size_of_val::<[Deleted]>(&proof.deleted)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use meshproof_proto::sync::{Kind, Name, ROOT, Stamp, Version};

    use super::*;

    fn entry(devices: u8) -> Entry {
        let stamp = Stamp { lamport: 1, writer: Id([1; 16]), counter: 1 };
        let content = Content { stamp, kind: Kind::Directory, mode: 0, mtime: 0, gone: false };
        let entry = Entry::new(Id([1; 16]), (ROOT, Name::parse("a name").unwrap()), content).unwrap();
        Entry { version: Version::new((1..=devices).map(|n| (Id([n; 16]), 1)).collect()).unwrap(), ..entry }
    }

    #[test]
    fn an_index_is_bounded_by_count() {
        let mut bound = Bound { entries: 3, ..Bound::default() };
        bound.take(&[entry(1), entry(1)]).unwrap();
        assert!(bound.take(&[entry(1), entry(1)]).is_err());
        bound.take(&[entry(1)]).unwrap();
        bound.take(&[]).unwrap();
    }

    #[test]
    fn an_index_is_bounded_by_what_it_takes_in_memory() {
        let mut bound = Bound { bytes: 2 * size(&entry(64)), ..Bound::default() };
        assert!(size(&entry(64)) >= size(&entry(1)) + 63 * 24);
        bound.take(&[entry(64)]).unwrap();
        bound.take(&[entry(1)]).unwrap();
        assert!(bound.take(&[entry(64)]).is_err());
        // The bound of a folder is 1 GiB: far fewer than 4,000,000 entries if they are as large as they can be.
        let mut bound = Bound::default();
        let page = vec![entry(64); 600];
        let pages = (0..4_000_000 / page.len()).take_while(|_| bound.take(&page).is_ok()).count();
        assert!((700..1_200).contains(&pages), "{pages} MiB");
    }
}
