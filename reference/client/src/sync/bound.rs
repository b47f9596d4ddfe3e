//! How much of peers' indexes this device is ready to hold, in all sessions together.
//!
//! A peer's counts are its claims (section 6), and its entries wait in memory until all of them are there. One user alone may take
//! all the room; where it is not enough for two, the one who holds more gives way (SYN-117).

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::codec::Id;
use meshproof_proto::sync::proof::{Deleted, Proof};
use meshproof_proto::sync::{Content, Entry};

use crate::error::{Error, Result};

/// How many bytes of entries are held at once. As many as a folder may have (SYN-116) are fewer.
const MOST: usize = 1024 * 1024 * 1024;
/// How long a session waits for others that are taking over what they hold, or end.
const PATIENCE: Duration = Duration::from_mins(1);

/// The room of this process.
pub(super) static ROOM: LazyLock<Arc<Room>> = LazyLock::new(|| Room::new(MOST));

/// How many bytes of peers' indexes are in memory now.
pub fn held() -> usize {
    ROOM.lock().sessions.values().map(|session| session.bytes).sum()
}

/// What all sessions share.
pub(super) struct Room {
    most: usize,
    taken: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Default)]
struct Taken {
    sessions: BTreeMap<u64, Holder>,
    next: u64,
}

/// One session.
struct Holder {
    user: Id,
    bytes: usize,
    /// Ends the session. `None`: that was done.
    end: Option<Box<dyn FnOnce() + Send>>,
}

impl Room {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default(), freed: Condvar::new() })
    }

    /// A session with a device of `user`, which `end` ends.
    pub(super) fn enter(self: &Arc<Self>, user: Id, end: impl FnOnce() + Send + 'static) -> Bound {
        let mut taken = self.lock();
        let number = taken.next;
        taken.next += 1;
        taken.sessions.insert(number, Holder { user, bytes: 0, end: Some(Box::new(end)) });
        Bound { room: self.clone(), number }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn all(&self) -> usize {
        self.sessions.values().map(|session| session.bytes).sum()
    }

    fn of(&self, user: Id) -> usize {
        self.sessions.values().filter(|session| session.user == user).map(|session| session.bytes).sum()
    }

    /// Ends the largest session of the user who holds most, if that is more than `own`. One at a time.
    fn make_room(&mut self, own: usize, freed: &Condvar) {
        if self.sessions.values().any(|session| session.end.is_none()) {
            return;
        }
        let most = self.sessions.values().map(|session| (self.of(session.user), session.user)).max();
        let Some((bytes, user)) = most else { return };
        let largest = self.sessions.values_mut().filter(|session| session.user == user);
        if bytes > own
            && let Some(end) =
                largest.max_by_key(|session| session.bytes).and_then(|session| session.end.take())
        {
            end();
            freed.notify_all(); // it may be waiting for room itself
        }
    }
}

/// What the indexes of one session may have of the room. Gives all back when dropped.
pub(super) struct Bound {
    room: Arc<Room>,
    number: u64,
}

impl Bound {
    /// More entries came. Returns what they take in memory, in bytes. Waits, if others have to give way first.
    ///
    /// # Errors
    /// If they are too many, or too large.
    pub(super) fn take(&self, entries: &[Entry]) -> Result<usize> {
        let bytes: usize = entries.iter().map(size).sum();
        let until = Instant::now() + PATIENCE;
        let mut taken = self.room.lock();
        loop {
            let all = taken.all();
            let Some(own) = taken.sessions.get_mut(&self.number).filter(|own| own.end.is_some()) else {
                return Err(Error::Peer("its index takes the room that others need"));
            };
            if all.saturating_add(bytes) <= self.room.most {
                own.bytes += bytes;
                return Ok(bytes);
            }
            if own.bytes == all {
                return Err(Error::Peer("an INDEX without end"));
            }
            let user = own.user;
            let own = taken.of(user).saturating_add(bytes);
            taken.make_room(own, &self.room.freed);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::usage("there is no room for its index while others give theirs"));
            }
            taken = self.room.freed.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// So many bytes are not held any more.
    pub(super) fn give(&self, bytes: usize) {
        if let Some(own) = self.room.lock().sessions.get_mut(&self.number) {
            own.bytes = own.bytes.saturating_sub(bytes);
        }
        self.room.freed.notify_all();
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.room.lock().sessions.remove(&self.number);
        self.room.freed.notify_all();
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

    fn user(number: u8) -> Id {
        Id([number; 16])
    }

    #[test]
    fn an_index_is_bounded_by_what_it_takes_in_memory() {
        assert!(size(&entry(64)) >= size(&entry(1)) + 63 * 24);
        let room = Room::new(2 * size(&entry(64)));
        let bound = room.enter(user(1), || unreachable!("nobody else needs it"));
        let taken = bound.take(&[entry(64)]).unwrap();
        bound.take(&[entry(1)]).unwrap();
        assert!(bound.take(&[entry(64)]).is_err());
        bound.give(taken);
        bound.take(&[entry(64)]).unwrap();
        drop(bound);
        assert_eq!(room.lock().all(), 0);
    }

    #[test]
    fn sessions_share_one_room_and_a_user_has_one_share_however_many_sessions() {
        let one = size(&entry(1));
        let room = Room::new(10 * one);
        let ended = Arc::new(Mutex::new(Vec::new()));
        // Nine sessions of one user: each would have been within a bound of its own.
        let (tell, gone) = std::sync::mpsc::channel();
        let hoards: Vec<_> = (0..9)
            .map(|number| {
                let (ended, tell) = (ended.clone(), tell.clone());
                let bound = room.enter(user(1), move || {
                    ended.lock().unwrap().push(number);
                    let _ = tell.send(number);
                });
                bound.take(&[entry(1)]).unwrap();
                Some(bound)
            })
            .collect();
        // They end when they are told to, as sessions do.
        std::thread::spawn(move || {
            let mut hoards = hoards;
            for number in gone {
                hoards[number] = None;
            }
        });
        let honest = room.enter(user(2), || unreachable!("it holds less"));
        for _ in 0..5 {
            honest.take(&[entry(1)]).unwrap();
        }
        assert_eq!(ended.lock().unwrap().len(), 4, "no more than was needed: half of it each");
        assert_eq!(room.lock().of(user(1)), 5 * one);
    }

    #[test]
    fn who_has_to_give_way_takes_no_more() {
        let room = Room::new(3 * size(&entry(1)));
        let hoard = room.enter(user(1), || {});
        hoard.take(&[entry(1), entry(1), entry(1)]).unwrap();
        let honest = room.enter(user(2), || {});
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| honest.take(&[entry(1)]));
            while room.lock().sessions[&0].end.is_some() {
                std::thread::yield_now();
            }
            assert!(hoard.take(&[]).is_err());
            drop(hoard);
            waits.join().unwrap().unwrap();
        });
    }
}
