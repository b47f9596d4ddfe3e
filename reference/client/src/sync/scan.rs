//! Finding out what changed on disk since the last look, and writing it to the index as this device's changes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use meshproof_proto::storage::{MediaHash, MediaHasher};
use meshproof_proto::sync::message::{Entry, MAX_COUNTER};
use meshproof_proto::sync::{Kind, PortablePath, Version};

use super::disk::{Found, Seen};
use super::index::Record;
use super::progress::{Progress, SkipReason, Skipped};
use super::temp::PREFIX;
use super::{Folder, disk};
use crate::error::{Error, Result};

const PAGE: usize = 4_096;
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
    let mut scan =
        Scan { folder, report: ScanReport::default(), found: BTreeMap::new(), unknown: Vec::new() };
    scan.walk(folder.root(), "")?;
    let mut known = load(folder)?;
    check_root(folder, scan.found.is_empty() && scan.unknown.is_empty(), &known)?;

    let changes = scan.hash_what_changed(&known, progress);
    let mut lamport = folder.index().lamport(folder.id())?;
    let mut records = Vec::new();
    for (path, state) in changes {
        match state {
            Ok(state) => {
                let own = known.get(path.as_str());
                match record_change(folder, path.clone(), &state, own, &mut lamport) {
                    Ok(Some(record)) => {
                        scan.report.changed += u64::from(own.is_none_or(|own| own.entry != record.entry));
                        records.push(record);
                    }
                    Ok(None) => {}
                    Err(reason) => scan.leave(path.as_str(), reason),
                }
            }
            Err(reason) => scan.skip(path.as_str(), reason),
        }
    }
    for path in scan.found.keys() {
        known.remove(path.as_str());
    }
    for (path, own) in &known {
        if !own.entry.is_deleted() && !scan.is_unknown(path) {
            match record_change(folder, own.entry.path.clone(), &State::Gone, Some(own), &mut lamport) {
                Ok(record) => {
                    records.extend(record);
                    scan.report.deleted += 1;
                }
                Err(reason) => scan.leave(path, reason),
            }
        }
    }
    folder.index().put(folder.id(), &records)?;
    for skipped in &scan.report.skipped {
        progress.skipped(folder.id(), skipped);
    }
    Ok(scan.report)
}

/// What is at a path just before it would be replaced.
pub(super) enum Observed {
    /// What this record says, or nothing that ever was.
    Known(Option<Record>),
    /// What has to stay as it is, and why: it is not ours, cannot be read, or is a change that no version can say.
    Leave(SkipReason),
}

/// Looks at one path again. Nothing is written.
pub(super) fn observe(
    folder: &Folder,
    path: &PortablePath,
    own: Option<&Record>,
    lamport: &mut u64,
) -> Result<Observed> {
    let state = match disk::look(folder.root(), path)? {
        Found::Foreign => return Ok(Observed::Leave(SkipReason::InTheWay)),
        Found::Nothing => State::Gone,
        Found::Directory { mode, mtime } => State::Directory { mode, mtime },
        Found::File { seen, mode } => match own.and_then(|own| own.seen) {
            Some(before) if before.still(&seen) => return Ok(Observed::Known(own.cloned())),
            _ => match hash_file(&folder.root().join(path.as_str()), &seen, &mut |_| {}) {
                Ok((hash, seen)) => State::File { hash, seen, mode },
                Err(_) => return Ok(Observed::Leave(SkipReason::InTheWay)),
            },
        },
    };
    Ok(match record_change(folder, path.clone(), &state, own, lamport) {
        Ok(changed) => Observed::Known(changed.or_else(|| own.cloned())),
        Err(reason) => Observed::Leave(reason),
    })
}

/// What is at a path now.
enum State {
    Gone,
    File { hash: MediaHash, seen: Seen, mode: u16 },
    Directory { mode: u16, mtime: u64 },
}

/// The record that takes the place of `own`, if it has to be another one: a change is one more of this device.
///
/// # Errors
/// If no version can say so (SYN-016). `own` is to stay then: a record without the change would make the edit look
/// like the old version, which a peer may replace.
fn record_change(
    folder: &Folder,
    path: PortablePath,
    state: &State,
    own: Option<&Record>,
    lamport: &mut u64,
) -> std::result::Result<Option<Record>, SkipReason> {
    let (kind, mode, mtime, seen) = match *state {
        State::Gone => (Kind::Tombstone, 0, 0, None),
        State::File { hash, seen, mode } => {
            (Kind::File { size: seen.size, hash }, mode, seen.mtime, Some(seen))
        }
        State::Directory { mode, mtime } => (Kind::Directory, mode, mtime, None),
    };
    if let Some(own) = own {
        let same_mode = kind == Kind::Tombstone || (own.entry.mode & 0o777) == mode;
        if own.entry.kind == kind && same_mode {
            // Not a change of the entry; at most it looks different on disk.
            let as_before =
                own.seen == seen && own.seen.map(|seen| seen.certain) == seen.map(|seen| seen.certain);
            return Ok((!as_before).then(|| Record { entry: own.entry.clone(), seen }));
        }
    } else if kind == Kind::Tombstone {
        return Ok(None);
    }
    let before = own.map_or_else(Version::default, |own| own.entry.version.clone());
    let version = before.bump(folder.device()).ok_or(SkipReason::Uncountable)?;
    *lamport = next_lamport(*lamport);
    let entry = Entry { path, kind, mode, mtime, lamport: *lamport, writer: folder.device(), version };
    Ok(Some(Record { entry, seen }))
}

/// The Lamport counter of a change after `lamport`. At its end it stays there: peers close on a larger one (SYN-016).
pub(super) fn next_lamport(lamport: u64) -> u64 {
    lamport.saturating_add(1).min(MAX_COUNTER)
}

struct Scan<'a> {
    folder: &'a Folder,
    report: ScanReport,
    found: BTreeMap<PortablePath, Found>,
    /// Paths below which we do not know what there is: they are not taken for deleted.
    unknown: Vec<String>,
}

type Changes = Vec<(PortablePath, std::result::Result<State, SkipReason>)>;

impl Scan<'_> {
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
            let found = Found::of(&metadata);
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
    fn hash_what_changed(&self, known: &BTreeMap<String, Record>, progress: &dyn Progress) -> Changes {
        let mut changes = Changes::new();
        let mut unhashed = Vec::new();
        for (path, found) in &self.found {
            let own = known.get(path.as_str());
            match *found {
                Found::File { seen, mode } => {
                    let hash = match own {
                        Some(Record {
                            entry: Entry { kind: Kind::File { hash, .. }, .. },
                            seen: Some(before),
                        }) if before.still(&seen) => Some(*hash),
                        _ => None,
                    };
                    match hash {
                        Some(hash) => changes.push((path.clone(), Ok(State::File { hash, seen, mode }))),
                        None => unhashed.push((path, seen, mode)),
                    }
                }
                Found::Directory { mode, mtime } => {
                    changes.push((path.clone(), Ok(State::Directory { mode, mtime })));
                }
                Found::Nothing | Found::Foreign => {}
            }
        }
        let next = AtomicUsize::new(0);
        let hashed = Mutex::new(Changes::new());
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
        changes.extend(hashed.into_inner().unwrap_or_else(PoisonError::into_inner));
        // In path order, so that Lamport counters do not depend on which thread was first.
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        changes
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

    fn is_unknown(&self, path: &str) -> bool {
        let covers = |unknown: &String| {
            path.strip_prefix(unknown.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.unknown.iter().any(covers)
    }
}

fn load(folder: &Folder) -> Result<BTreeMap<String, Record>> {
    let mut known = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = folder.index().page(folder.id(), &after, PAGE)?;
        let full = page.len() == PAGE;
        for record in page {
            after = record.entry.path.as_str().into();
            known.insert(after.clone(), record);
        }
        if !full {
            return Ok(known);
        }
    }
}

/// An empty root that is not the directory of the last scan is more likely an unmounted disk than a wish to delete all.
fn check_root(folder: &Folder, empty: bool, known: &BTreeMap<String, Record>) -> Result<()> {
    let metadata =
        std::fs::metadata(folder.root()).map_err(Error::io("reading the folder", folder.root()))?;
    let inode = Seen::of(&metadata).inode;
    let moved = folder.index().root(folder.id())?.is_some_and(|before| before != inode);
    if moved && empty && known.values().any(|record| !record.entry.is_deleted()) {
        return Err(Error::usage(format!(
            "{} is empty and not the directory it was: is a disk not mounted? To start anew run `mesh folder add` again",
            folder.root().display()
        )));
    }
    folder.index().set_root(folder.id(), inode)
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
