//! What a scan found, as this device's changes of entries: what was made, edited, moved and deleted since the last look.
//!
//! A change says which contents its author saw: those that were on this disk. What came from others and is not on disk yet
//! was not seen, and is not replaced.

use std::collections::{BTreeMap, HashMap, HashSet};

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::sync::entry::{MAX_COUNTER, new_id, next_lamport};
use meshproof_proto::sync::{Content, Entry, Item, Kind, Name, PortablePath, ROOT, Stamp, Tree};

use super::Folder;
use super::entries::Entries;
use super::folder::ASIDE;
use super::index::{Batch, Clock, Record};
use super::moves::{Moves, find_moves};
use super::progress::{SkipReason, Skipped};
use super::scan::State;
use super::writers::{say_head, sign};
use crate::error::Result;

/// The mode that entries of links have.
const LINK_MODE: u16 = 0o777;

/// What was found, by path.
pub(super) type Found = BTreeMap<String, (PortablePath, State)>;

/// The changes of one scan.
pub(super) struct Changes<'a> {
    folder: &'a Folder,
    records: &'a BTreeMap<String, Record>,
    found: Found,
    entries: Entries<'a>,
    /// What should be on disk, where it may not be yet.
    wanted: BTreeMap<String, Item>,
    clock: Clock,
    /// The entries of the directories on disk, by path.
    directories: HashMap<String, Id>,
    touched: HashSet<Id>,
    /// What is to be written.
    pub(super) batch: Batch,
    /// Files and directories that are new or changed.
    pub(super) changed: u64,
    /// Those that are gone.
    pub(super) deleted: u64,
    /// What could not be said.
    pub(super) skipped: Vec<Skipped>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(
        folder: &'a Folder,
        records: &'a BTreeMap<String, Record>,
        found: Found,
        few: Option<Vec<Item>>,
    ) -> Result<Self> {
        let index = folder.index();
        let (entries, wanted) = if let Some(items) = few {
            (Entries::some(folder), items)
        } else {
            let (settled, all) = (index.settled(folder.id())?, index.entries(folder.id())?);
            let wanted = if settled { Vec::new() } else { Tree::of(&all).items };
            (Entries::all(folder, all), wanted)
        };
        let wanted = wanted.into_iter().map(|item| (item.path.as_str().to_owned(), item)).collect();
        Ok(Self {
            folder,
            records,
            found,
            entries,
            wanted,
            clock: index.clock(folder.id())?,
            directories: HashMap::new(),
            touched: HashSet::new(),
            batch: Batch::default(),
            changed: 0,
            deleted: 0,
            skipped: Vec::new(),
        })
    }

    /// What is on the way to a path was not looked at, and is what it was.
    pub(super) fn is_below_known(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            if let Some(record) = self.records.get(&path[..at]) {
                self.directories.insert(path[..at].to_owned(), record.entry.id);
            }
        }
    }

    /// Fills the batch. Nothing is said of paths that are unknown.
    pub(super) fn find(&mut self, is_unknown: impl Fn(&str) -> bool) -> Result<()> {
        let gone: Vec<&Record> = self
            .records
            .values()
            .filter(|record| {
                let path = record.entry.path.as_str();
                !self.is_same(record) && !is_unknown(path)
            })
            .collect();
        let moves =
            if deviates(req::SYN_036) { Moves::new() } else { find_moves(&self.found, self.records, &gone) };
        let found = std::mem::take(&mut self.found);
        let start = self.clock;
        let mut origins: HashSet<&str> = HashSet::new();
        // A directory before what is in it.
        for (key, (path, state)) in &found {
            let same = self.records.get(key).filter(|record| same_class(record, state));
            let origin = same.or_else(|| moves.get(key).and_then(|from| self.records.get(from)));
            if let Some(origin) = origin {
                origins.insert(origin.entry.path.as_str());
            }
            if let Err(reason) = self.look(path, state, origin, &found) {
                self.skipped.push(Skipped { path: key.clone(), reason });
            }
        }
        // What is below a directory before it.
        for record in gone.iter().rev().filter(|record| !origins.contains(record.entry.path.as_str())) {
            match self.delete(record, &found) {
                Ok(()) => self.deleted += 1,
                Err(reason) => {
                    let path = record.entry.path.as_str().to_owned();
                    self.skipped.push(Skipped { path, reason });
                }
            }
        }
        for id in &self.touched {
            self.batch.entries.extend(self.entries.get(*id)?);
        }
        self.batch.entries.sort_by_key(|entry| entry.id);
        if self.clock != start {
            sign(self.folder, &mut self.batch, &mut self.clock);
        }
        self.batch.clock = Some(self.clock);
        self.batch.unsettles = self.clock != start;
        say_head(self.folder, &mut self.batch, &self.clock, self.clock != start)?;
        Ok(())
    }

    /// Whether something of the same kind is still at the record's path.
    fn is_same(&self, record: &Record) -> bool {
        let at = self.found.get(record.entry.path.as_str());
        at.is_some_and(|(_, state)| same_class(record, state))
    }

    /// One path that is there.
    fn look(
        &mut self,
        path: &PortablePath,
        state: &State,
        origin: Option<&'a Record>,
        found: &Found,
    ) -> Result<(), SkipReason> {
        let (parent, name) = path.split();
        let parent = parent.map_or(Some(ROOT), |parent| self.directories.get(parent.as_str()).copied());
        // Below what could not be said is nothing that can.
        let parent = parent.ok_or(SkipReason::Uncountable)?;
        let origin = origin.filter(|origin| matches!(self.entries.get(origin.entry.id), Ok(Some(_))));
        match origin {
            Some(origin) if origin.entry.copy && self.is_untouched(origin, path, state, parent) => {
                self.keep(path, state, origin, None);
                Ok(())
            }
            Some(origin) if origin.entry.copy => {
                self.forget_copy(origin)?;
                self.make(path, state, parent, &name)
            }
            Some(origin) => self.change(path, state, origin, parent, name, found),
            None if self.adopt(path, state) => Ok(()),
            None => self.make(path, state, parent, &name),
        }
    }

    /// What was on disk before, perhaps elsewhere, perhaps with another content.
    fn change(
        &mut self,
        path: &PortablePath,
        state: &State,
        origin: &'a Record,
        parent: Id,
        name: Name,
        found: &Found,
    ) -> Result<(), SkipReason> {
        let id = origin.entry.id;
        let moved = parent != self.parent_of(&origin.entry.path)
            || (origin.entry.path.split().1 != name && !name.as_str().starts_with(ASIDE));
        let edited = !same_content(&origin.entry, state);
        if edited && self.adopt(path, state) {
            return Ok(());
        }
        let implied = origin.entry.stamp == Stamp::default() && matches!(state, State::Directory { .. });
        let edited = edited && !implied;
        if edited {
            self.free_copies(id, found)?;
        }
        let mut entry = self.entry(id)?.ok_or(SkipReason::Uncountable)?;
        let mut item = origin.entry.clone();
        let forsaken = is_forsaken(&entry, &item);
        let edited = edited || forsaken;
        if moved {
            let stamp = self.stamp()?;
            entry = entry.moved((parent, name), stamp).ok_or(SkipReason::Uncountable)?;
            (item.place, item.renamed) = (stamp, false);
        }
        if edited {
            let content = self.content(state)?;
            let seen = if forsaken { dots(&entry) } else { same_as(&entry, &item) };
            entry = entry.rewritten(content.clone(), &seen).ok_or(SkipReason::Uncountable)?;
            (item.stamp, item.kind, item.mode, item.mtime) =
                (content.stamp, content.kind, content.mode, content.mtime);
        }
        if moved || edited {
            self.changed += 1;
            self.put(entry);
        }
        self.keep(path, state, origin, Some(item));
        Ok(())
    }

    fn entry(&self, id: Id) -> Result<Option<Entry>, SkipReason> {
        self.entries.get(id).map_err(|error| SkipReason::Unreadable(error.to_string()))
    }

    /// Something new.
    fn make(
        &mut self,
        path: &PortablePath,
        state: &State,
        parent: Id,
        name: &Name,
    ) -> Result<(), SkipReason> {
        let content = self.content(state)?;
        let mut attempts = (0..).map(|attempt| new_id(parent, name, attempt));
        let free = |id: &Id| !matches!(self.entries.get(*id), Ok(Some(entry)) if !entry.is_gone());
        let mut id = attempts.find(free).unwrap_or_default();
        if deviates(req::SYN_035) {
            crate::os_entropy(&mut id.0);
        }
        let place = (parent, name.clone());
        let entry = match self.entry(id)? {
            Some(gone) => gone.revived(place, &content),
            None => Entry::new(id, place, content.clone()),
        };
        let entry = entry.ok_or(SkipReason::Uncountable)?;
        let item = Item {
            path: path.clone(),
            id,
            kind: content.kind,
            mode: content.mode,
            mtime: content.mtime,
            stamp: content.stamp,
            place: content.stamp,
            copy: false,
            renamed: false,
        };
        self.changed += 1;
        self.put(entry);
        self.remember(Record { entry: item, seen: Some(seen_of(state)) });
        Ok(())
    }

    /// What is here may be what was to come: after a crash between the disk and the index, or by somebody's own copy.
    fn adopt(&mut self, path: &PortablePath, state: &State) -> bool {
        let Some(item) = self.wanted.get(path.as_str()).filter(|item| same_kind(item, state)) else {
            return false;
        };
        let here = |record: &Record| {
            record.entry.path != *path && (record.entry.id, record.entry.copy) == (item.id, item.copy)
        };
        if self.records.values().any(here) {
            return false;
        }
        let mode = match state {
            State::File { mode, .. } | State::Directory { mode, .. } => *mode,
            State::Link { .. } => item.mode,
        };
        let entry = Item { mode, ..item.clone() };
        self.remember(Record { entry, seen: Some(seen_of(state)) });
        true
    }

    /// A path where nothing is any more.
    fn delete(&mut self, record: &Record, found: &Found) -> Result<(), SkipReason> {
        let item = &record.entry;
        self.say_deleted(item, record, found)?;
        if !self.batch.records.contains_key(item.path.as_str()) {
            self.batch.vacate(item.path.as_str());
        }
        Ok(())
    }

    fn say_deleted(&mut self, item: &Item, record: &Record, found: &Found) -> Result<(), SkipReason> {
        let Some(entry) = self.entry(item.id)? else { return Ok(()) };
        if item.copy {
            return self.forget_copy(record);
        }
        if entry.is_gone() {
            return Ok(());
        }
        self.free_copies(item.id, found)?;
        let entry = self.entry(item.id)?.unwrap_or(entry);
        let stamp = self.stamp()?;
        let seen = same_as(&entry, item);
        self.put(entry.deleted(item.place, &seen, stamp).ok_or(SkipReason::Uncountable)?);
        Ok(())
    }

    /// Whoever edits or deletes an entry saw its copies beside it: they become entries of their own and stay.
    fn free_copies(&mut self, id: Id, found: &Found) -> Result<(), SkipReason> {
        let copies: Vec<&Record> =
            self.records.values().filter(|record| record.entry.copy && record.entry.id == id).collect();
        for copy in copies {
            let path = &copy.entry.path;
            let Some((path, state)) = found.get(path.as_str()) else { continue };
            let (parent, name) = path.split();
            let parent = parent.map_or(Some(ROOT), |parent| self.directories.get(parent.as_str()).copied());
            let (Some(parent), false) = (parent, matches!(state, State::Directory { .. })) else { continue };
            if self.batch.records.get(path.as_str()).is_some_and(|record| !record.entry.copy) {
                continue; // it is one already
            }
            self.forget_copy(copy)?;
            self.make(path, state, parent, &name)?;
        }
        Ok(())
    }

    /// The content of a copy is no more one of the entry's.
    fn forget_copy(&mut self, copy: &Record) -> Result<(), SkipReason> {
        if is_left_over(copy) {
            return Ok(());
        }
        let Some(entry) = self.entry(copy.entry.id)? else { return Ok(()) };
        let seen = same_as(&entry, &copy.entry);
        if !entry.contents.iter().any(|content| seen.contains(&content.stamp.dot())) {
            return Ok(());
        }
        let stamp = self.stamp()?;
        if let Some(entry) = entry.without(&seen, stamp) {
            self.put(entry);
        }
        Ok(())
    }

    fn is_untouched(&self, origin: &Record, path: &PortablePath, state: &State, parent: Id) -> bool {
        let same_name = origin.entry.path.split().1 == path.split().1;
        let same_place = same_name && parent == self.parent_of(&origin.entry.path);
        same_place && (is_left_over(origin) || same_content(&origin.entry, state))
    }

    /// The directory in which a path of the last look was.
    fn parent_of(&self, path: &PortablePath) -> Id {
        let parent = path.split().0;
        parent.and_then(|parent| self.records.get(parent.as_str())).map_or(ROOT, |parent| parent.entry.id)
    }

    /// The entry is what it was, or what it was made; it is here, and looks like this.
    fn keep(&mut self, path: &PortablePath, state: &State, origin: &Record, item: Option<Item>) {
        let mut entry = item.unwrap_or_else(|| origin.entry.clone());
        if entry.path != *path {
            // Whatever comes to the old path is looked at before or after this.
            if !self.batch.records.contains_key(origin.entry.path.as_str()) {
                self.batch.vacant.push(origin.entry.path.as_str().into());
            }
            entry.path = path.clone();
        }
        let seen = Some(seen_of(state));
        let rest = |seen: Option<super::Seen>| seen.map(|seen| (seen.certain, seen.changed, seen.born));
        let directory = matches!(state, State::Directory { .. });
        let as_before = entry == origin.entry
            && (directory && inode(origin.seen) == inode(seen)
                || origin.seen == seen && rest(origin.seen) == rest(seen));
        if as_before {
            if directory {
                self.directories.insert(path.as_str().into(), entry.id);
            }
        } else {
            self.remember(Record { entry, seen });
        }
    }

    fn remember(&mut self, record: Record) {
        if record.entry.kind == Kind::Directory {
            self.directories.insert(record.entry.path.as_str().into(), record.entry.id);
        }
        self.batch.put(record);
    }

    fn put(&mut self, entry: Entry) {
        self.touched.insert(entry.id);
        self.entries.put(entry);
    }

    fn content(&mut self, state: &State) -> Result<Content, SkipReason> {
        let (kind, mode, mtime) = match *state {
            State::File { hash, seen, mode } => (Kind::File { size: seen.size, hash }, mode, seen.mtime),
            State::Directory { seen, mode } => (Kind::Directory, mode, seen.mtime),
            State::Link { hash, size, seen } => (Kind::Link { size, hash }, LINK_MODE, seen.mtime),
        };
        Ok(Content { stamp: self.stamp()?, kind, mode, mtime, gone: false })
    }

    /// The next change of this device.
    fn stamp(&mut self) -> Result<Stamp, SkipReason> {
        if self.clock.counter >= MAX_COUNTER {
            return Err(SkipReason::Uncountable);
        }
        let (lamport, counter) = (next_lamport(self.clock.lamport), self.clock.counter + 1);
        self.clock = Clock { lamport, counter, ..self.clock };
        Ok(Stamp { lamport, writer: self.folder.device(), counter })
    }
}

/// Whether this is what stayed of a directory that got another name (`super::shape`): what is new in it belongs to that one. It says
/// nothing of the entry itself. Else a directory is never a copy.
pub(super) fn is_left_over(record: &Record) -> bool {
    record.entry.copy && record.entry.kind == Kind::Directory
}

/// The dots of the contents that are what a person sees in this item: its own and those that are the same.
fn same_as(entry: &Entry, item: &Item) -> Vec<(Id, u64)> {
    let same = |content: &&Content| content.stamp == item.stamp || content.kind == item.kind;
    entry.contents.iter().filter(same).map(|content| content.stamp.dot()).collect()
}

/// Whether a move alone keeps a file whose content somebody deleted who had another one than this disk has: nobody may have
/// that any more (SYN-022).
fn is_forsaken(entry: &Entry, item: &Item) -> bool {
    let is_file = item.kind != Kind::Directory;
    let is_lost = |content: &Content| content.gone && content.kind != item.kind;
    is_file && !entry.is_gone() && entry.contents.iter().all(is_lost)
}

fn dots(entry: &Entry) -> Vec<(Id, u64)> {
    entry.contents.iter().map(|content| content.stamp.dot()).collect()
}

fn same_class(record: &Record, state: &State) -> bool {
    (record.entry.kind == Kind::Directory) == matches!(state, State::Directory { .. })
}

fn same_kind(item: &Item, state: &State) -> bool {
    match (item.kind, state) {
        (Kind::File { size, hash: known }, State::File { hash, seen, .. }) => {
            known == *hash && size == seen.size
        }
        (Kind::Link { size, hash }, State::Link { hash: found, size: length, .. }) => {
            (size, hash) == (*length, *found)
        }
        (Kind::Directory, State::Directory { .. }) => true,
        _ => false,
    }
}

fn same_content(item: &Item, state: &State) -> bool {
    let same_mode = match *state {
        State::File { mode, .. } => item.mode & 0o777 == mode,
        // The owner's bits of a directory are not taken away: nothing could be put into it.
        State::Directory { mode, .. } => item.mode & 0o777 | 0o700 == mode | 0o700,
        // Links have none of their own.
        State::Link { .. } => true,
    };
    same_kind(item, state) && (same_mode || deviates(req::SYN_163))
}

fn seen_of(state: &State) -> super::Seen {
    match *state {
        State::File { seen, .. } | State::Directory { seen, .. } | State::Link { seen, .. } => seen,
    }
}

fn inode(seen: Option<super::Seen>) -> Option<u64> {
    seen.map(|seen| seen.inode)
}
