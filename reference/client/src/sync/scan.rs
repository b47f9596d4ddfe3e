//! Finding out what changed on disk since the last look, and writing it to the index as this device's changes.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::{Item, Kind, PortablePath};

use super::Folder;
use super::changes::Changes;
use super::disk::{Found, Identity, Seen};
use super::few::{self, Few};
use super::folder::{ASIDE, is_own_name};
use super::hash::hash_of;
use super::ignore::Rules;
use super::index::Record;
use super::keyed::Settled;
use super::link;
use super::past::Past;
use super::progress::{Progress, SkipReason, Skipped};
use super::scope::Scope;
use super::temp::PREFIX;
use crate::error::{Error, Result};

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct ScanReport {
    /// Files and directories there are.
    pub present: u64,
    /// Those that are new or changed.
    pub changed: u64,
    /// Those that are gone.
    pub deleted: u64,
    /// What is left out, and why. Its index entries, if it has some, stay as they were.
    pub skipped: Vec<Skipped>,
}

/// Brings the folder's index up to date with the disk.
///
/// A file counts as changed if size, time or inode differ from the last look and its content does too.
///
/// # Errors
/// If the root is gone, or looks like the empty mount point of a disk that is not there.
pub fn scan(folder: &Folder, progress: &dyn Progress) -> Result<ScanReport> {
    let _lock = folder.lock();
    if waits(folder)? {
        return Ok(ScanReport::default());
    }
    let watched = folder.begin_look();
    let result = scan_all(folder, progress);
    match &result {
        Ok(_) if watched => folder.looked(),
        _ => folder.lose_track(),
    }
    result
}

/// SYN-140: whether this device lost its past, and makes no changes before it knows what others have of it.
fn waits(folder: &Folder) -> Result<bool> {
    Ok(folder.index().past(folder.id())? == Past::Anew && !deviates(req::SYN_140))
}

fn scan_all(folder: &Folder, progress: &dyn Progress) -> Result<ScanReport> {
    super::part::sweep(folder.root());
    if let Some(limits) = folder.versions() {
        super::prune::prune(folder.root(), folder.id(), limits, progress);
    }
    let root = Identity::of(folder.root())?;
    let mut scan = Scan::of(folder)?;
    scan.walk(folder.root(), "")?;
    let records = folder.index().records(folder.id())?;
    check_root(folder, root, &scan.found, &records)?;
    scan.write(&records, &Scope::Whole, None, progress)
}

/// What a scan would leave out. Nothing is written.
pub fn names_left_out(folder: &Folder) -> Result<Vec<Skipped>> {
    let mut scan = Scan::of(folder)?;
    scan.tidies = false;
    scan.walk(folder.root(), "")?;
    Ok(scan.report.skipped)
}

/// The same for the paths that a watch named.
pub(super) fn scan_within(
    folder: &Folder,
    named: &BTreeMap<String, bool>,
    progress: &dyn Progress,
) -> Result<ScanReport> {
    let lock = folder.lock();
    if waits(folder)? {
        return Ok(ScanReport::default());
    }
    let root = Identity::of(folder.root())?;
    if folder.index().root(folder.id())? != Some(root) {
        drop(lock);
        return scan(folder, progress); // which says whether that is well
    }
    // Before the index is read: other rules than before change what it says is here.
    let mut scan = Scan::of(folder)?;
    let few = match folder.index().how_settled(folder.id())? {
        Settled::Yes => Some(Few::default()),
        Settled::But(ids) => few::view_of(folder, &ids)?,
        Settled::No => None,
    };
    let records = match &few {
        Some(few) => records_near(folder, named, few)?,
        None => folder.index().records(folder.id())?,
    };
    let scope = Scope::Some(Scope::of(named, folder.root(), &records));
    for (path, deep) in scope.tops() {
        scan.look_at(&path, deep)?;
    }
    is_still_there(folder, root)?;
    scan.write(&records, &scope, few.map(|few| few.items), progress)
}

/// Of what is on disk that which a look at these paths may be about.
fn records_near(
    folder: &Folder,
    named: &BTreeMap<String, bool>,
    few: &Few,
) -> Result<BTreeMap<String, Record>> {
    let (index, id) = (folder.index(), folder.id());
    let mut near: BTreeMap<String, Record> = BTreeMap::new();
    let add = |near: &mut BTreeMap<String, Record>, path: &str| -> Result<()> {
        for path in path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]) {
            if !near.contains_key(path)
                && let Some(record) = index.get(id, path)?
            {
                near.insert(path.to_owned(), record);
            }
        }
        Ok(())
    };
    for path in named.keys() {
        add(&mut near, path)?;
    }
    for (path, deep) in Scope::above(named, folder.root(), &near) {
        add(&mut near, &path)?;
        if deep {
            near.extend(index.records_below(id, &path)?);
        }
    }
    let mut shown: Vec<Id> = near.values().map(|record| record.entry.id).collect();
    shown.extend(few.items.iter().map(|item| item.id));
    for entry in shown {
        for record in index.records_of(id, entry)? {
            add(&mut near, record.entry.path.as_str())?;
        }
    }
    Ok(near)
}

/// What is at a path now.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    File { hash: MediaHash, seen: Seen, mode: u16 },
    Directory { seen: Seen, mode: u16 },
    Link { hash: MediaHash, size: u64, seen: Seen },
}

struct Scan<'a> {
    folder: &'a Folder,
    report: ScanReport,
    found: BTreeMap<PortablePath, Found>,
    /// Paths below which we do not know what there is: they are not taken for deleted.
    unknown: Vec<String>,
    rules: Arc<Rules>,
    /// Whether leftovers are removed.
    tidies: bool,
}

type Looked = Vec<(PortablePath, std::result::Result<State, SkipReason>)>;

impl<'a> Scan<'a> {
    fn of(folder: &'a Folder) -> Result<Self> {
        let rules = Rules::of(folder)?;
        let report = ScanReport::default();
        Ok(Self { folder, report, found: BTreeMap::new(), unknown: Vec::new(), rules, tidies: true })
    }

    fn walk(&mut self, directory: &Path, prefix: &str) -> Result<()> {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if prefix.is_empty() => {
                return Err(Error::io("reading the folder", directory)(error));
            }
            Err(error) => {
                self.skip(prefix, SkipReason::Unreadable(error.to_string()));
                return Ok(());
            }
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("reading", directory))?;
            let name = entry.file_name();
            let text = name.to_string_lossy();
            if is_own_name(&text) && !text.starts_with(ASIDE) {
                self.remove_leftover(&entry.path(), &text);
                continue;
            }
            let path = format!("{prefix}{}{}", if prefix.is_empty() { "" } else { "/" }, name.display());
            // The metadata is of the entry itself: symbolic links are not followed.
            self.visit(&entry.path(), name.to_str(), &path, entry.metadata(), true)?;
        }
        Ok(())
    }

    /// Looks at one path, in a directory of the folder.
    fn look_at(&mut self, path: &str, deep: bool) -> Result<()> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !above.is_empty() && self.rules.ignore(above, true) && !deviates(req::SYN_080) {
            return Ok(());
        }
        let at = self.folder.root().join(path);
        let metadata = std::fs::symlink_metadata(&at);
        self.visit(&at, Some(name), path, metadata, deep)
    }

    /// `deep`: and at what is below it. `name`: if it is Unicode.
    fn visit(
        &mut self,
        at: &Path,
        name: Option<&str>,
        path: &str,
        metadata: std::io::Result<Metadata>,
        deep: bool,
    ) -> Result<()> {
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => {
                self.skip(path, SkipReason::Unreadable(error.to_string()));
                return Ok(());
            }
        };
        let found = Found::of(&metadata);
        let is_directory = matches!(found, Found::Directory { .. });
        if !self.rules.choose(path, is_directory) {
            self.leave(path, SkipReason::NotChosen);
            return Ok(());
        }
        // SYN-080: no change is made of what is ignored.
        let ignored = self.rules.matches(path, is_directory);
        if ignored && !deviates(req::SYN_080) {
            return Ok(());
        }
        let portable = match name.map(|_| PortablePath::parse(path)) {
            Some(Ok(portable)) => portable,
            // SYN-010 to SYN-014: left out of the index, and the user is told.
            Some(Err(error)) => {
                let rule = error.requirement().map_or("SYN-010", |requirement| requirement.id);
                self.skip(path, SkipReason::Unportable(rule));
                return Ok(());
            }
            None => {
                self.skip(path, SkipReason::Unportable("SYN-003"));
                return Ok(());
            }
        };
        let is_odd = found == Found::Foreign || deviates(req::SYN_131) && matches!(found, Found::Link { .. });
        if is_odd {
            self.skip(path, SkipReason::NotAFile);
            return Ok(());
        }
        self.report.present += 1;
        self.found.insert(portable, found);
        if deep && matches!(found, Found::Directory { .. }) {
            self.walk(at, path)?;
        }
        Ok(())
    }

    /// Makes changes of what was found, where something else was known.
    fn write(
        mut self,
        records: &BTreeMap<String, Record>,
        scope: &Scope,
        few: Option<Vec<Item>>,
        progress: &dyn Progress,
    ) -> Result<ScanReport> {
        let mut found = BTreeMap::new();
        for (path, state) in self.hash_what_changed(records, progress) {
            match state {
                Ok(state) => drop(found.insert(path.as_str().to_owned(), (path, state))),
                Err(reason) => self.skip(path.as_str(), reason),
            }
        }
        let mut changes = Changes::new(self.folder, records, found, few)?;
        scope.tops().iter().for_each(|(path, _)| changes.is_below_known(path));
        changes.find(|path| !scope.has(path) || self.is_unknown(path) || self.is_ignored(path, records))?;
        self.folder.write(&changes.batch)?;
        self.report.changed = changes.changed;
        self.report.deleted = changes.deleted;
        self.report.skipped.append(&mut changes.skipped);
        if changes.changed + changes.deleted > 0 {
            self.folder.note_news();
        }
        for skipped in &self.report.skipped {
            progress.skipped(self.folder.id(), skipped);
        }
        Ok(self.report)
    }

    /// SYN-033: what a run that ended early left behind goes.
    fn remove_leftover(&self, path: &Path, name: &str) {
        if self.tidies && name.starts_with(PREFIX) && !name.starts_with(&self.folder.temp_prefix()) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Compares what was found with what is known, and reads what differs, on all processors.
    fn hash_what_changed(&self, records: &BTreeMap<String, Record>, progress: &dyn Progress) -> Looked {
        let mut states = Looked::new();
        let mut unhashed = Vec::new();
        // What was renamed is not read again.
        let by_inode: HashMap<u64, &Record> =
            records.values().filter_map(|record| Some((record.seen?.inode, record))).collect();
        for (path, found) in &self.found {
            match *found {
                Found::File { seen, mode } => {
                    let known = [records.get(path.as_str()), by_inode.get(&seen.inode).copied()];
                    let hash = known.into_iter().flatten().find_map(|record| {
                        let is_same = if record.entry.path == *path { Seen::still } else { Seen::renamed };
                        match (record.entry.kind, record.seen) {
                            (Kind::File { hash, .. }, Some(before)) if is_same(&before, &seen) => Some(hash),
                            _ => None,
                        }
                    });
                    match hash {
                        Some(hash) => states.push((path.clone(), Ok(State::File { hash, seen, mode }))),
                        None => unhashed.push((path, seen, mode)),
                    }
                }
                Found::Directory { seen, mode } => {
                    states.push((path.clone(), Ok(State::Directory { seen, mode })));
                }
                Found::Link { seen } => {
                    let target = link::read(&self.folder.root().join(path.as_str()));
                    let state = target.map(|target| {
                        let (hash, size) = (MediaHash::of(&target), target.len() as u64);
                        State::Link { hash, size, seen }
                    });
                    states.push((path.clone(), state.ok_or(SkipReason::OddLink)));
                }
                Found::Nothing | Found::Foreign => {}
            }
        }
        let next = AtomicUsize::new(0);
        let hashed = Mutex::new(Looked::new());
        let work = || {
            while let Some((path, seen, mode)) = unhashed.get(next.fetch_add(1, Ordering::Relaxed)) {
                let told = &|bytes| progress.hashed(self.folder.id(), bytes);
                let state = hash_file(&self.folder.root().join(path.as_str()), seen, told)
                    .map(|(hash, seen)| State::File { hash, seen, mode: *mode });
                hashed.lock().unwrap_or_else(PoisonError::into_inner).push(((*path).clone(), state));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(unhashed.len());
        std::thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        states.extend(hashed.into_inner().unwrap_or_else(PoisonError::into_inner));
        states
    }

    /// Leaves out a path and all below it.
    fn skip(&mut self, path: &str, reason: SkipReason) {
        self.unknown.push(path.into());
        self.leave(path, reason);
    }

    /// Leaves a path as the index has it.
    fn leave(&mut self, path: &str, reason: SkipReason) {
        self.report.skipped.push(Skipped { path: path.into(), reason });
    }

    /// Whether what was at the path is ignored: that it was not found says nothing.
    fn is_ignored(&self, path: &str, records: &BTreeMap<String, Record>) -> bool {
        let is_directory = records.get(path).is_some_and(|record| record.entry.kind == Kind::Directory);
        self.rules.ignore(path, is_directory) && !deviates(req::SYN_080)
    }

    fn is_unknown(&self, path: &str) -> bool {
        let covers = |unknown: &String| {
            path.strip_prefix(unknown.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.unknown.iter().any(covers)
    }
}

/// A root that is not the directory of the last scan, and in which nothing is of what was known, is more likely the mount point of a disk
/// that is not there, or another disk, than a wish to delete all.
fn check_root(
    folder: &Folder,
    root: Identity,
    found: &BTreeMap<PortablePath, Found>,
    known: &BTreeMap<String, Record>,
) -> Result<()> {
    is_still_there(folder, root)?;
    let before = folder.index().root(folder.id())?;
    let moved = before.is_some_and(|before| before != root);
    let is_there = |record: &Record| found.contains_key(&record.entry.path);
    if moved && !known.is_empty() && !known.values().any(is_there) {
        return Err(Error::usage(format!(
            "{} is not the directory it was, and nothing is there of what was: is a disk not mounted? To start anew run `mesh folder add` \
             again",
            folder.root().display()
        )));
    }
    if before == Some(root) { Ok(()) } else { folder.index().set_root(folder.id(), root) }
}

/// Nobody took the disk away while it was looked at.
fn is_still_there(folder: &Folder, root: Identity) -> Result<()> {
    if Identity::of(folder.root())? == root {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{} became another directory while it was looked at: is a disk not mounted?",
        folder.root().display()
    )))
}

/// Whether the file at `path` has the content that `record` says, however it looks.
fn has_content(path: &Path, record: &Record, now: &Seen) -> bool {
    match (record.entry.kind, record.seen) {
        (Kind::File { .. }, Some(before)) if before.still(now) => true,
        (Kind::File { hash, .. }, _) => hash_file(path, now, &|_| {}).is_ok_and(|(found, _)| found == hash),
        _ => false,
    }
}

/// The same for whatever was found there, if it is of the same kind.
pub(super) fn still_has(path: &Path, record: &Record, found: &Found) -> bool {
    match (record.entry.kind, found) {
        (Kind::File { .. }, Found::File { seen, .. }) => has_content(path, record, seen),
        (Kind::Link { hash, .. }, Found::Link { .. }) => {
            link::read(path).is_some_and(|target| MediaHash::of(&target) == hash)
        }
        _ => false,
    }
}

/// Hashes the file at `path` if it is the one that was `seen`, and did not change meanwhile.
fn hash_file(
    path: &Path,
    seen: &Seen,
    told: &(dyn Fn(u64) + Sync),
) -> std::result::Result<(MediaHash, Seen), SkipReason> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => SkipReason::Busy,
        _ => SkipReason::Unreadable(error.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    let hash = hash_of(&file, seen.size, told).map_err(unreadable)?;
    let now = file.metadata().map(|metadata| Seen::of(&metadata)).map_err(unreadable)?;
    if now != *seen {
        return Err(SkipReason::Busy);
    }
    // A change right after the reading shows only if the file was old enough when the reading began.
    Ok((hash, Seen { certain: seen.certain, ..now }))
}
