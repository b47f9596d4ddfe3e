//! Finding out what changed on disk since the last look, and writing it to the index as this device's changes.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::{MediaHash, MediaHasher};
use meshproof_proto::sync::{Kind, PortablePath};

use super::Folder;
use super::changes::Changes;
use super::disk::{Found, Seen};
use super::ignore::Rules;
use super::index::Record;
use super::progress::{Progress, SkipReason, Skipped};
use super::temp::PREFIX;
use crate::error::{Error, Result};

const BUFFER: usize = 256 * 1024;

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
    super::part::sweep(folder.root());
    let mut scan = Scan::of(folder)?;
    scan.walk(folder.root(), "")?;
    let records = folder.index().records(folder.id())?;
    check_root(folder, scan.found.is_empty() && scan.unknown.is_empty(), &records)?;

    let mut found = BTreeMap::new();
    for (path, state) in scan.hash_what_changed(&records, progress) {
        match state {
            Ok(state) => drop(found.insert(path.as_str().to_owned(), (path, state))),
            Err(reason) => scan.skip(path.as_str(), reason),
        }
    }
    let mut changes = Changes::new(folder, &records, found)?;
    changes.find(|path| scan.is_unknown(path) || scan.is_ignored(path, &records))?;
    folder.write(&changes.batch)?;
    scan.report.changed = changes.changed;
    scan.report.deleted = changes.deleted;
    scan.report.skipped.append(&mut changes.skipped);
    for skipped in &scan.report.skipped {
        progress.skipped(folder.id(), skipped);
    }
    Ok(scan.report)
}

/// What is at a path now.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    File { hash: MediaHash, seen: Seen, mode: u16 },
    Directory { seen: Seen, mode: u16 },
}

struct Scan<'a> {
    folder: &'a Folder,
    report: ScanReport,
    found: BTreeMap<PortablePath, Found>,
    /// Paths below which we do not know what there is: they are not taken for deleted.
    unknown: Vec<String>,
    rules: Rules,
}

type Looked = Vec<(PortablePath, std::result::Result<State, SkipReason>)>;

impl<'a> Scan<'a> {
    fn of(folder: &'a Folder) -> Result<Self> {
        let rules = Rules::read(folder.root())?;
        let report = ScanReport::default();
        Ok(Self { folder, report, found: BTreeMap::new(), unknown: Vec::new(), rules })
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
            let path = format!("{prefix}{}{}", if prefix.is_empty() { "" } else { "/" }, name.display());
            let temporary = name.to_string_lossy().starts_with(PREFIX);
            if temporary {
                self.remove_leftover(&entry.path(), &name.to_string_lossy());
                continue;
            }
            // The metadata is of the entry itself: symbolic links are not followed.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.skip(&path, SkipReason::Unreadable(error.to_string()));
                    continue;
                }
            };
            let found = Found::of(&metadata);
            // SYN-080: no change is made of what is ignored.
            let ignored = self.rules.matches(&path, matches!(found, Found::Directory { .. }));
            if ignored && !deviates(req::SYN_080) {
                continue;
            }
            let portable = match name.to_str().map(|_| PortablePath::parse(&path)) {
                Some(Ok(portable)) => portable,
                // SYN-010 to SYN-014: left out of the index, and the user is told.
                Some(Err(error)) => {
                    let rule = error.requirement().map_or("SYN-010", |requirement| requirement.id);
                    self.skip(&path, SkipReason::Unportable(rule));
                    continue;
                }
                None => {
                    self.skip(&path, SkipReason::Unportable("SYN-003"));
                    continue;
                }
            };
            if found == Found::Foreign {
                self.skip(&path, SkipReason::NotAFile);
                continue;
            }
            self.report.present += 1;
            self.found.insert(portable, found);
            if matches!(found, Found::Directory { .. }) {
                self.walk(&entry.path(), &path)?;
            }
        }
        Ok(())
    }

    /// SYN-033: what a run that ended early left behind goes.
    fn remove_leftover(&self, path: &Path, name: &str) {
        if !name.starts_with(&self.folder.temp_prefix()) {
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
                        match (record.entry.kind, record.seen) {
                            (Kind::File { hash, .. }, Some(before)) if before.still(&seen) => Some(hash),
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
                Found::Nothing | Found::Foreign => {}
            }
        }
        let next = AtomicUsize::new(0);
        let hashed = Mutex::new(Looked::new());
        let work = || {
            while let Some((path, seen, mode)) = unhashed.get(next.fetch_add(1, Ordering::Relaxed)) {
                let told = &mut |bytes| progress.hashed(self.folder.id(), bytes);
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

/// An empty root that is not the directory of the last scan is more likely an unmounted disk than a wish to delete all.
fn check_root(folder: &Folder, empty: bool, known: &BTreeMap<String, Record>) -> Result<()> {
    let metadata =
        std::fs::metadata(folder.root()).map_err(Error::io("reading the folder", folder.root()))?;
    let inode = Seen::of(&metadata).inode;
    let moved = folder.index().root(folder.id())?.is_some_and(|before| before != inode);
    if moved && empty && !known.is_empty() {
        return Err(Error::usage(format!(
            "{} is empty and not the directory it was: is a disk not mounted? To start anew run `mesh folder add` again",
            folder.root().display()
        )));
    }
    folder.index().set_root(folder.id(), inode)
}

/// Whether the file at `path` has the content that `record` says, however it looks.
pub(super) fn has_content(path: &Path, record: &Record, now: &Seen) -> bool {
    match (record.entry.kind, record.seen) {
        (Kind::File { .. }, Some(before)) if before.still(now) => true,
        (Kind::File { hash, .. }, _) => {
            hash_file(path, now, &mut |_| {}).is_ok_and(|(found, _)| found == hash)
        }
        _ => false,
    }
}

/// Hashes the file at `path` if it is the one that was `seen`, and did not change meanwhile.
fn hash_file(
    path: &Path,
    seen: &Seen,
    told: &mut dyn FnMut(u64),
) -> std::result::Result<(MediaHash, Seen), SkipReason> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => SkipReason::Busy,
        _ => SkipReason::Unreadable(error.to_string()),
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let size = usize::try_from(seen.size).unwrap_or(usize::MAX);
    let mut buffer = vec![0; BUFFER.min(size + 1)];
    let mut hasher = MediaHasher::default();
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                told(count as u64);
            }
        }
    }
    let now = file.metadata().map(|metadata| Seen::of(&metadata)).map_err(unreadable)?;
    if now != *seen {
        return Err(SkipReason::Busy);
    }
    // A change right after the reading shows only if the file was old enough when the reading began.
    Ok((hasher.finish(), Seen { certain: seen.certain, ..now }))
}
