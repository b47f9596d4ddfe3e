//! Entries as a scan needs them: all at once where it looks everywhere, else one after the other.

use std::cell::RefCell;
use std::collections::HashMap;

use meshproof_proto::codec::Id;
use meshproof_proto::sync::Entry;

use super::Folder;
use crate::error::Result;

/// The entries of a folder, with what a scan made of them.
pub(super) struct Entries<'a> {
    folder: &'a Folder,
    known: RefCell<HashMap<Id, Option<Entry>>>,
    /// Whether the others are not there.
    all: bool,
}

impl<'a> Entries<'a> {
    /// All of them.
    pub(super) fn all(folder: &'a Folder, entries: Vec<Entry>) -> Self {
        let known = entries.into_iter().map(|entry| (entry.id, Some(entry))).collect();
        Self { folder, known: RefCell::new(known), all: true }
    }

    /// Each when it is asked for.
    pub(super) fn some(folder: &'a Folder) -> Self {
        Self { folder, known: RefCell::default(), all: false }
    }

    /// One entry.
    pub(super) fn get(&self, id: Id) -> Result<Option<Entry>> {
        if let Some(known) = self.known.borrow().get(&id) {
            return Ok(known.clone());
        }
        if self.all {
            return Ok(None);
        }
        let entry = self.folder.index().entry(self.folder.id(), id)?;
        self.known.borrow_mut().insert(id, entry.clone());
        Ok(entry)
    }

    /// What a change made of it.
    pub(super) fn put(&mut self, entry: Entry) {
        self.known.get_mut().insert(entry.id, Some(entry));
    }
}
