//! How much of a peer's index this device is ready to hold.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::sync::proof::{Deleted, Proof};
use meshproof_proto::sync::{Content, Entry};

use crate::error::{Error, Result};

/// What the indexes of all peers together take in this process, in bytes: an entry waits in memory until its index is here.
static POOL: Pool = Pool::new(1024 * 1024 * 1024);

/// How many entries the index of one folder may have. A peer's counts are its claims (section 6).
const MOST: usize = 4_000_000;

/// What all sessions hold of their peers' indexes (SYN-117). Where that is too much, the largest session with the user who holds most is
/// given up: who takes its time with a large index, or many, keeps nobody from giving a small one.
struct Pool {
    bytes: usize,
    shares: Mutex<Shares>,
}

struct Shares {
    next: u64,
    held: BTreeMap<u64, Held>,
}

struct Held {
    user: Id,
    bytes: usize,
    give_up: Box<dyn Fn() + Send>,
}

impl Pool {
    const fn new(bytes: usize) -> Self {
        Self { bytes, shares: Mutex::new(Shares { next: 0, held: BTreeMap::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(&'static self, user: Id, give_up: impl Fn() + Send + 'static) -> Share {
        let mut shares = self.lock();
        shares.next += 1;
        let number = shares.next;
        shares.held.insert(number, Held { user, bytes: 0, give_up: Box::new(give_up) });
        Share { pool: self, number }
    }
}

/// What one session holds.
pub(super) struct Share {
    pool: &'static Pool,
    number: u64,
}

impl Share {
    /// That of a session with a device of `user`, which `give_up` ends.
    pub(super) fn new(user: Id, give_up: impl Fn() + Send + 'static) -> Self {
        POOL.share(user, give_up)
    }

    /// Holds more. `false`: it may not.
    fn take(&self, bytes: usize) -> bool {
        let mut shares = self.pool.lock();
        match shares.held.get_mut(&self.number) {
            Some(own) => own.bytes += bytes,
            None => return false, // it was given up
        }
        while shares.held.values().map(|held| held.bytes).sum::<usize>() > self.pool.bytes {
            let mut by_user: BTreeMap<Id, usize> = BTreeMap::new();
            for held in shares.held.values() {
                *by_user.entry(held.user).or_default() += held.bytes;
            }
            let most = shares.held.iter().max_by_key(|(_, held)| (by_user[&held.user], held.bytes));
            let most = most.map(|(number, _)| *number);
            let Some((number, held)) = most.and_then(|number| shares.held.remove_entry(&number)) else {
                break;
            };
            if number == self.number {
                return false;
            }
            (held.give_up)();
        }
        true
    }

    fn give_back(&self, bytes: usize) {
        if let Some(own) = self.pool.lock().held.get_mut(&self.number) {
            own.bytes -= bytes;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.lock().held.remove(&self.number);
    }
}

/// What came of the peer's index of one folder.
#[derive(Default)]
pub(super) struct Bound {
    entries: usize,
    /// Of those that are kept.
    bytes: usize,
}

impl Bound {
    /// More entries came, which are kept or only looked at.
    ///
    /// # Errors
    /// If they are too many, or too large.
    pub(super) fn take(&mut self, entries: &[Entry], share: &Share, keeps: bool) -> Result<()> {
        self.entries += entries.len();
        let bytes = if keeps { entries.iter().map(size).sum() } else { 0 };
        if self.entries > MOST || !share.take(bytes) {
            return Err(Error::Peer("an INDEX without end"));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// They are not held any more.
    pub(super) fn give_back(&mut self, share: &Share) {
        share.give_back(std::mem::take(&mut self.bytes));
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

    fn pool(bytes: usize) -> &'static Pool {
        Box::leak(Box::new(Pool::new(bytes)))
    }

    #[test]
    fn an_index_is_bounded_by_count() {
        let share = pool(usize::MAX).share(Id([1; 16]), || ());
        let mut bound = Bound { entries: MOST - 3, bytes: 0 };
        bound.take(&[entry(1), entry(1)], &share, true).unwrap();
        bound.take(&[entry(1)], &share, false).unwrap();
        bound.take(&[], &share, true).unwrap();
        assert!(bound.take(&[entry(1)], &share, true).is_err());
    }

    #[test]
    fn indexes_are_bounded_by_what_they_take_in_memory() {
        let share = pool(2 * size(&entry(64))).share(Id([1; 16]), || ());
        assert!(size(&entry(64)) >= size(&entry(1)) + 63 * 24);
        let mut bound = Bound::default();
        bound.take(&[entry(64)], &share, true).unwrap();
        bound.take(&[entry(1)], &share, true).unwrap();
        for _ in 0..100 {
            bound.take(&[entry(64)], &share, false).unwrap(); // a reader's, of which nothing is kept
        }
        bound.give_back(&share);
        bound.take(&[entry(64), entry(64)], &share, true).unwrap();
        assert!(bound.take(&[entry(1)], &share, true).is_err());
    }

    #[test]
    fn who_holds_most_gives_way_to_others() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        let page = size(&entry(64));
        let (pool, given_up) = (pool(8 * page), std::sync::Arc::new(AtomicUsize::new(0)));
        let session = |user: u8| {
            let given_up = given_up.clone();
            let give_up = move || _ = given_up.fetch_add(1, Ordering::Relaxed);
            (pool.share(Id([user; 16]), give_up), Bound::default())
        };
        // A peer with many sessions, folders and patience.
        let mut hostile: Vec<_> = (0..4).map(|_| session(1)).collect();
        for (share, bound) in &mut hostile {
            bound.take(&[entry(64), entry(64)], share, true).unwrap();
        }
        let (share, mut bound) = session(2);
        bound.take(&[entry(64)], &share, true).unwrap();
        assert_eq!(given_up.load(Ordering::Relaxed), 1);
        let more = hostile.iter_mut().filter_map(|(share, bound)| bound.take(&[entry(64)], share, true).ok());
        assert!(more.count() < 4, "who was given up gets no more, and who holds most is next");
        bound.take(&[entry(1)], &share, true).unwrap();
        let held: usize = pool.lock().held.values().map(|held| held.bytes).sum();
        assert!(held <= 8 * page && held > page);
        drop((share, hostile));
        assert!(pool.lock().held.is_empty());
    }

    #[test]
    fn many_small_sessions_of_one_user_are_one_large_one() {
        let page = size(&entry(64));
        let pool = pool(16 * page);
        let of = |user: u8| (pool.share(Id([user; 16]), || ()), Bound::default());
        let mut hostile: Vec<_> = (0..16).map(|_| of(1)).collect();
        for (share, bound) in &mut hostile {
            bound.take(&[entry(64)], share, true).unwrap();
        }
        let (share, mut bound) = of(2);
        for _ in 0..8 {
            bound.take(&[entry(64)], &share, true).unwrap();
        }
        assert_eq!(pool.lock().held.len(), 9, "as many were given up as room was needed: half for each user");
    }
}
