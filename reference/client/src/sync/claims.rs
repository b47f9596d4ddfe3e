//! What the sessions of a folder are getting, so that they share it out: of small files each gets others, of a large one each gets
//! other chunks.
//!
//! Nobody waits for another's peer, which may be slow, or mean to be: who has nothing else to do asks for what others asked for,
//! too. What comes first counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::{Item, Stamp};

use super::Folder;
use super::together::Together;

/// A content and the place that it is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    path: String,
    stamp: Stamp,
    hash: MediaHash,
}

impl Key {
    pub(super) fn of(item: &Item, hash: MediaHash) -> Self {
        Self { path: item.path.as_str().to_owned(), stamp: item.stamp, hash }
    }
}

/// All claims of a folder.
#[derive(Default)]
pub(super) struct Claims {
    state: Mutex<State>,
    /// Whether there were several members at once, since there were none. Without, there is nothing to look up.
    joint: AtomicBool,
}

#[derive(Default)]
struct State {
    next: u64,
    members: usize,
    claims: BTreeMap<Key, Claim>,
    /// Large contents that several get.
    open: BTreeMap<Key, Arc<Together>>,
}

struct Claim {
    member: u64,
    /// Whether this member got it, and puts it in its place.
    is_here: bool,
}

/// A session among those of a folder, until dropped.
pub(super) struct Member {
    folder: Arc<Folder>,
    number: u64,
}

impl Member {
    pub(super) fn enter(folder: &Arc<Folder>) -> Self {
        let claims = folder.claims();
        let mut state = claims.lock();
        let number = state.next;
        (state.next, state.members) = (state.next + 1, state.members + 1);
        if state.members > 1 {
            claims.joint.store(true, Ordering::Relaxed);
        }
        drop(state);
        Self { folder: folder.clone(), number }
    }

    /// Among all.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether another may get, or have got, anything that this one wants.
    pub(super) fn is_joint(&self) -> bool {
        self.folder.claims().joint.load(Ordering::Relaxed)
    }

    /// This member gets it. `false`: another does, too.
    pub(super) fn claim(&self, key: &Key) -> bool {
        let mut state = self.folder.claims().lock();
        let member = self.number;
        let claim = state.claims.entry(key.clone()).or_insert(Claim { member, is_here: false });
        claim.member == member
    }

    /// Whether another got it.
    pub(super) fn is_here(&self, key: &Key) -> bool {
        let state = self.folder.claims().lock();
        self.is_joint()
            && state.claims.get(key).is_some_and(|claim| claim.is_here && claim.member != self.number)
    }

    /// It is here.
    pub(super) fn arrived(&self, key: &Key) {
        let mut state = self.folder.claims().lock();
        state.open.remove(key);
        if state.members > 1 {
            state.claims.insert(key.clone(), Claim { member: self.number, is_here: true });
        } else {
            state.claims.remove(key);
        }
    }

    /// This member does not get it.
    pub(super) fn release(&self, key: &Key) {
        let mut state = self.folder.claims().lock();
        if state.claims.get(key).is_some_and(|claim| claim.member == self.number) {
            state.claims.remove(key);
        }
        if let Some(together) = state.open.get(key) {
            together.leave(self.number);
            if together.is_left() {
                state.open.remove(key);
            }
        }
    }

    /// Others may join, unless they may already join others.
    pub(super) fn open(&self, key: &Key, together: &Arc<Together>) {
        self.folder.claims().lock().open.entry(key.clone()).or_insert_with(|| together.clone());
    }

    /// Those who get it by chunks, if there are some.
    pub(super) fn opened(&self, key: &Key) -> Option<Arc<Together>> {
        if !self.is_joint() {
            return None;
        }
        self.folder.claims().lock().open.get(key).filter(|together| !together.is_over()).cloned()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let claims = self.folder.claims();
        let mut state = claims.lock();
        state.members -= 1;
        state.claims.retain(|_, claim| claim.member != self.number);
        state.open.retain(|_, together| {
            together.leave(self.number);
            !together.is_left()
        });
        if state.members == 0 {
            claims.joint.store(false, Ordering::Relaxed);
        }
    }
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
