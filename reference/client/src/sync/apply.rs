//! Taking over what a peer has: merge, then change disk and index in batches.
//!
//! The order in a batch makes "a crash leaves old or new, never half" true: temporary files are flushed, then renamed,
//! then directories are flushed, then the index is written. After a crash between two steps the next scan finds files
//! that the index does not know yet; equal content merges without a conflict.

use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::time::{Duration, Instant, SystemTime};

use meshproof_proto::codec::Id;
use meshproof_proto::sync::merge::conflict_path;
use meshproof_proto::sync::message::Entry;
use meshproof_proto::sync::{Kind, Merge, PortablePath, merge};

use super::Folder;
use super::disk::{self, Directories, Seen, set_mode};
use super::index::Record;
use super::progress::{Progress, Report, SkipReason, Skipped};
use super::scan::{Observed, next_lamport, observe};
use super::temp::{PREFIX, Ready};
use crate::error::{Error, Result};

/// A batch is applied when it has so many files or bytes, or is so old: flushing is what a batch costs, and what is not
/// applied comes again after a crash.
const BATCH_FILES: usize = 16_384;
const BATCH_BYTES: u64 = 256 * 1024 * 1024;
const BATCH_AGE: Duration = Duration::from_secs(3);

/// Takes over one peer's entries of one folder.
pub(super) struct Apply<'a> {
    folder: &'a Folder,
    progress: &'a dyn Progress,
    /// Records that are true on disk and not in the index yet.
    pending: BTreeMap<String, Record>,
    lamport: u64,
    directories: Directories,
    staged: Vec<(Entry, Ready)>,
    staged_bytes: u64,
    /// When the first of them was staged.
    staged_since: Instant,
    /// Deletions wait for the end: until then what they delete is a source of content, and directories fill up.
    deletions: Vec<Entry>,
    /// What waits for a directory to get empty.
    blocked: Vec<(Entry, Option<Ready>)>,
}

enum Resolved {
    /// All done, or left alone with a note.
    Done,
    /// The content of the received entry is needed first. Nothing was changed.
    WantsContent,
    /// A directory that is not empty is in the way.
    Blocked(Option<Ready>),
}

impl<'a> Apply<'a> {
    pub(super) fn new(folder: &'a Folder, progress: &'a dyn Progress) -> Self {
        Self {
            folder,
            progress,
            pending: BTreeMap::new(),
            lamport: 0,
            directories: Directories::default(),
            staged: Vec::new(),
            staged_bytes: 0,
            staged_since: Instant::now(),
            deletions: Vec::new(),
            blocked: Vec::new(),
        }
    }

    /// Takes over received entries as far as no content is needed. Returns those whose content is.
    pub(super) fn offer(&mut self, entries: Vec<Entry>, report: &mut Report) -> Result<Vec<Entry>> {
        let mut wanted = Vec::new();
        let folder = self.folder;
        let _lock = folder.lock();
        self.lamport = folder.index().lamport(folder.id())?;
        for theirs in entries {
            self.lamport = self.lamport.max(theirs.lamport);
            if theirs.path.as_str().starts_with(PREFIX) {
                self.skip(&theirs.path, SkipReason::InTheWay, report);
            } else if theirs.is_deleted() {
                self.deletions.push(theirs);
            } else {
                match self.resolve(&theirs, None, report)? {
                    Resolved::Done => {}
                    Resolved::WantsContent => wanted.push(theirs),
                    Resolved::Blocked(content) => self.blocked.push((theirs, content)),
                }
            }
        }
        self.write()?;
        Ok(wanted)
    }

    /// Takes content that is complete and verified. It gets its name with the next batch.
    pub(super) fn stage(&mut self, theirs: Entry, content: Ready, report: &mut Report) -> Result<()> {
        if self.staged.is_empty() {
            self.staged_since = Instant::now();
        }
        self.staged_bytes += content.seen.size;
        self.staged.push((theirs, content));
        let full = self.staged.len() >= BATCH_FILES || self.staged_bytes >= BATCH_BYTES;
        if full || self.staged_since.elapsed() > BATCH_AGE {
            self.commit(report)?;
        }
        Ok(())
    }

    /// Gives all staged files their names.
    pub(super) fn commit(&mut self, report: &mut Report) -> Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        disk::flush(self.folder.root())?; // SYN-031: all of it is on disk before it gets its name
        let folder = self.folder;
        let _lock = folder.lock();
        self.staged_bytes = 0;
        for (theirs, content) in std::mem::take(&mut self.staged) {
            if let Resolved::Blocked(content) = self.resolve(&theirs, Some(content), report)? {
                self.blocked.push((theirs, content));
            }
        }
        self.write()
    }

    /// The peer's index is known and all content is here: deletes, and places what waited for that.
    pub(super) fn finish(&mut self, report: &mut Report) -> Result<()> {
        self.commit(report)?;
        let folder = self.folder;
        let _lock = folder.lock();
        // What is below a directory goes before it.
        let mut deletions = std::mem::take(&mut self.deletions);
        deletions.sort_by(|a, b| b.path.cmp(&a.path));
        for theirs in deletions {
            self.resolve(&theirs, None, report)?;
        }
        for (theirs, content) in std::mem::take(&mut self.blocked) {
            match self.resolve(&theirs, content, report)? {
                Resolved::Done => {}
                Resolved::WantsContent | Resolved::Blocked(_) => {
                    self.skip(&theirs.path, SkipReason::InTheWay, report);
                }
            }
        }
        self.write()
    }

    /// Notes a path that is left alone.
    pub(super) fn skip(&self, path: &PortablePath, reason: SkipReason, report: &mut Report) {
        let skipped = Skipped { path: path.as_str().into(), reason };
        self.progress.skipped(self.folder.id(), &skipped);
        report.skipped.push((self.folder.id(), skipped));
    }

    /// Makes what was done on disk safe, then true in the index.
    fn write(&mut self) -> Result<()> {
        self.directories.flush(self.folder.root())?;
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() { Ok(()) } else { self.folder.index().put(self.folder.id(), pending.values()) }
    }

    /// Merges one received entry (SYN-020) and does what follows. A file system that refuses one path is no reason to
    /// give up the others.
    fn resolve(&mut self, theirs: &Entry, content: Option<Ready>, report: &mut Report) -> Result<Resolved> {
        match self.try_resolve(theirs, content, report) {
            Err(Error::Io { source, .. }) => {
                self.skip(&theirs.path, SkipReason::Unreadable(source.to_string()), report);
                Ok(Resolved::Done)
            }
            resolved => resolved,
        }
    }

    fn try_resolve(
        &mut self,
        theirs: &Entry,
        content: Option<Ready>,
        report: &mut Report,
    ) -> Result<Resolved> {
        let mut own = self.get(&theirs.path)?;
        let mut looked = false;
        loop {
            let merged = match &own {
                None => Merge::Take(theirs.clone()),
                Some(own) => merge(&own.entry, theirs), // SYN-020, SYN-022
            };
            if merged == Merge::Refuse {
                self.skip(&theirs.path, SkipReason::Unmergeable, report);
                return Ok(Resolved::Done);
            }
            let needs_content = match (&merged, &own) {
                (Merge::Keep | Merge::KeepJoined(_) | Merge::Refuse, _) => false,
                (_, Some(own)) => !theirs.is_deleted() && own.entry.kind != theirs.kind,
                (_, None) => true,
            };
            if needs_content && matches!(theirs.kind, Kind::File { .. }) && content.is_none() {
                return Ok(Resolved::WantsContent);
            }
            if matches!(merged, Merge::Keep) {
                return Ok(Resolved::Done);
            }
            // What changed here since the last scan is a concurrent edit, and never overwritten.
            if !looked {
                looked = true;
                let seen = observe(self.folder, &theirs.path, own.as_ref(), &mut self.lamport)?;
                let now = match seen {
                    Observed::Known(now) => now,
                    Observed::Leave(reason) => {
                        self.skip(&theirs.path, reason, report);
                        return Ok(Resolved::Done);
                    }
                };
                if now != own {
                    now.iter().for_each(|record| self.put(record.clone()));
                    own = now;
                    continue;
                }
            }
            return match merged {
                Merge::Keep | Merge::Refuse => Ok(Resolved::Done),
                Merge::KeepJoined(entry) => {
                    self.put(Record { entry, seen: own.and_then(|own| own.seen) });
                    Ok(Resolved::Done)
                }
                Merge::Take(entry) | Merge::TakeJoined(entry) => {
                    self.take(entry, own.as_ref(), None, content, report)
                }
                Merge::Conflict { winner, loser, theirs: true } => {
                    self.take(winner, own.as_ref(), Some(&loser), content, report)
                }
                Merge::Conflict { winner, loser, theirs: false } => {
                    self.keep_their_copy(winner, &loser, own, content, report)
                }
            };
        }
    }

    /// The received entry won. `loser` is the own one, if it is more than an older version.
    fn take(
        &mut self,
        entry: Entry,
        own: Option<&Record>,
        loser: Option<&Entry>,
        content: Option<Ready>,
        report: &mut Report,
    ) -> Result<Resolved> {
        let target = self.folder.root().join(entry.path.as_str());
        let own_kind = own.map_or(Kind::Tombstone, |own| own.entry.kind);
        if !entry.is_deleted() && !self.directories.make_way(self.folder.root(), &entry.path)? {
            return Ok(Resolved::Blocked(content));
        }
        if let (Some(loser), Kind::File { .. }) = (loser, own_kind)
            && !self.move_aside(own, loser, report)?
        {
            self.skip(&entry.path, SkipReason::InTheWay, report);
            return Ok(Resolved::Done);
        }
        let mut seen = None;
        match (entry.kind, own_kind) {
            (Kind::File { .. }, Kind::File { .. }) if content.is_none() => {
                seen = Some(update_metadata(&target, &entry)?);
            }
            (Kind::File { .. }, _) => {
                let Some(mut content) = content else { return Ok(Resolved::WantsContent) };
                if own_kind == Kind::Directory && std::fs::remove_dir(&target).is_err() {
                    return Ok(Resolved::Blocked(Some(content)));
                }
                content.place(&target).map_err(Error::io("renaming a file to", &target))?;
                self.directories.changed(&target);
                seen = Some(content.seen);
            }
            (Kind::Directory, _) => {
                if matches!(own_kind, Kind::File { .. }) && loser.is_none() {
                    std::fs::remove_file(&target).map_err(Error::io("removing", &target))?;
                }
                if own_kind != Kind::Directory {
                    std::fs::create_dir(&target).map_err(Error::io("making the directory", &target))?;
                    self.directories.changed(&target);
                }
                // Without the owner's bits nothing could be put into it.
                let opened = File::open(&target).map_err(Error::io("opening", &target))?;
                set_mode(&opened, entry.mode | 0o700).map_err(Error::io("setting the mode of", &target))?;
            }
            (Kind::Tombstone, Kind::File { .. }) => {
                std::fs::remove_file(&target).map_err(Error::io("removing", &target))?;
                self.directories.changed(&target);
                report.deleted += 1;
            }
            (Kind::Tombstone, Kind::Directory) => {
                if std::fs::remove_dir(&target).is_err() {
                    self.keep_directory(&entry, own, report);
                    return Ok(Resolved::Done);
                }
                self.directories.changed(&target);
                self.directories.forget_checks();
                report.deleted += 1;
            }
            (Kind::Tombstone, Kind::Tombstone) => {}
        }
        self.put(Record { entry, seen });
        Ok(Resolved::Done)
    }

    /// The own entry won. SYN-021: the peer's content is kept beside it, here as there, as the same entry.
    fn keep_their_copy(
        &mut self,
        winner: Entry,
        loser: &Entry,
        own: Option<Record>,
        content: Option<Ready>,
        report: &mut Report,
    ) -> Result<Resolved> {
        if let (Kind::File { .. }, Ok(path)) = (loser.kind, conflict_path(loser)) {
            let copy = Entry { path: path.clone(), ..loser.clone() };
            let known = self.get(&path)?.is_some();
            match self.resolve(&copy, content, report)? {
                Resolved::Done if !known => self.note_conflict(path, report),
                Resolved::Done => {}
                unfinished => return Ok(unfinished),
            }
        }
        self.put(Record { entry: winner, seen: own.and_then(|own| own.seen) });
        Ok(Resolved::Done)
    }

    /// SYN-021: renames the own file, which lost, to its conflict name. The copy has the loser's version on every
    /// device that resolves the same conflict, so these copies are one entry and no new conflict. `false`: its place
    /// is taken.
    fn move_aside(&mut self, own: Option<&Record>, loser: &Entry, report: &mut Report) -> Result<bool> {
        let Ok(path) = conflict_path(loser) else { return Ok(false) };
        if disk::look(self.folder.root(), &path)? != disk::Found::Nothing {
            return Ok(false);
        }
        let (from, to) = (loser.path.as_str(), path.as_str());
        let to = self.folder.root().join(to);
        let renamed = std::fs::rename(self.folder.root().join(from), &to);
        renamed.map_err(Error::io("renaming a file to", &to))?;
        self.directories.changed(&to);
        let entry = Entry { path: path.clone(), ..loser.clone() };
        self.put(Record { entry, seen: own.and_then(|own| own.seen) });
        self.note_conflict(path, report);
        Ok(true)
    }

    /// A directory was deleted there, and has something in it here: that is an edit, and an edit wins.
    fn keep_directory(&mut self, deletion: &Entry, own: Option<&Record>, report: &mut Report) {
        let Some(own) = own else { return };
        self.lamport = next_lamport(self.lamport);
        let (writer, lamport) = (self.folder.device(), self.lamport);
        let joined = own.entry.version.join(&deletion.version);
        let Some(version) = joined.and_then(|version| version.bump(writer)) else {
            return self.skip(&deletion.path, SkipReason::Unmergeable, report);
        };
        self.put(Record { entry: Entry { lamport, writer, version, ..own.entry.clone() }, seen: None });
    }

    fn note_conflict(&self, path: PortablePath, report: &mut Report) {
        self.progress.conflict(self.folder.id(), &path);
        report.conflicts.push((self.folder.id(), path));
    }

    fn get(&self, path: &PortablePath) -> Result<Option<Record>> {
        match self.pending.get(path.as_str()) {
            Some(record) => Ok(Some(record.clone())),
            None => self.folder.index().get(self.folder.id(), path.as_str()),
        }
    }

    fn put(&mut self, record: Record) {
        self.pending.insert(record.entry.path.as_str().into(), record);
    }

    /// For messages of the session.
    pub(super) fn folder_id(&self) -> Id {
        self.folder.id()
    }
}

/// Same content, other mode or time.
fn update_metadata(target: &std::path::Path, entry: &Entry) -> Result<Seen> {
    let file = File::open(target).map_err(Error::io("opening", target))?;
    set_mode(&file, entry.mode).map_err(Error::io("setting the mode of", target))?;
    if let Some(time) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(entry.mtime)) {
        let _ = file.set_times(FileTimes::new().set_modified(time));
    }
    let metadata = file.metadata().map_err(Error::io("looking at", target))?;
    Ok(Seen::of(&metadata))
}
