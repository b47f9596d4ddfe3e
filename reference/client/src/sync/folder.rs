//! One folder of this device: where it is, and the lock under which its files change.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::{PublicKey, Spki};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Name;

use super::claims::Claims;
use super::disk::{Seen, open_seen};
use super::given::Given;
use super::ignore::{self, Rules};
use super::index::Batch;
use super::past::Past;
use super::temp::{PREFIX, TempFile};
use super::upload::size_of;
use super::versions::{self, Limits};
use super::watch::{Named, Watch};
use super::writers::Signer;
use super::{Index, collect, only};
use crate::error::{Error, Result};

/// How the names start of what was moved out of the way and not yet to its place.
pub(super) const ASIDE: &str = ".meshproof-aside-";

/// How often all of a watched folder is looked at, for what nobody told.
const FULL_SCAN: Duration = Duration::from_mins(10);

/// Whether this program gives such names itself, or what some file systems take for the same. They are no part of a folder.
pub(super) fn is_own_name(name: &str) -> bool {
    let is_own = |name: &str| {
        name.starts_with(PREFIX)
            || name.starts_with(ASIDE)
            || name == versions::DIRECTORY
            || name == only::FILE
            || name == ignore::HERE
    };
    name.starts_with('.') && (is_own(name) || Name::parse(name).is_ok_and(|name| is_own(&name.folded())))
}

/// Which way changes go, by choice of this device's user. What the user *may* do is in the tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// Changes of others are taken, own changes stay here.
    ReceiveOnly,
    /// Own changes are given, changes of others are left out.
    SendOnly,
}

/// One folder of this device.
pub struct Folder {
    id: Id,
    device: Id,
    root: PathBuf,
    direction: Direction,
    index: Arc<Index>,
    signer: Arc<Signer>,
    /// The keys of the issuer, by whose word this device believes who writes.
    issuers: Mutex<Arc<Vec<Box<dyn PublicKey>>>>,
    lock: Mutex<()>,
    /// Counts the writes, so that who plans in several steps notices others.
    writes: AtomicU64,
    /// The devices on which the folder is mapped, as far as somebody said.
    devices: Mutex<Option<Vec<Id>>>,
    /// The devices that gave nothing of the folder when they were met.
    silent: Mutex<BTreeSet<Id>>,
    /// Tells own temporary files, which are in use, from leftovers of a run that ended early (SYN-033).
    run: String,
    temporary: AtomicU64,
    watch: Mutex<Option<Watch>>,
    /// When all of it was last looked at, with a watch already there.
    looked: Mutex<Option<Instant>>,
    /// What its sessions are getting.
    claims: Claims,
    /// One looks at a time.
    turn: Mutex<()>,
    /// Whether a scan found changes that nobody asked for yet.
    news: AtomicBool,
    /// How much is kept of what others replace and delete. `None`: nothing.
    versions: Option<Limits>,
    /// The patterns that were compiled last.
    rules: Mutex<Option<Arc<Rules>>>,
    /// What others were given through relays.
    given: Given,
    /// How many entries it keeps, and how many bytes of them (SYN-116).
    most: Size,
    /// As much as it has, or less than that by no more than was deleted since it was counted.
    size: Mutex<Option<Size>>,
}

/// Entries and their bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Fewer than what a session may hold of an index: so what a folder has, its devices can give to each other.
const MOST: Size = Size { entries: 1_000_000, bytes: 512 * 1024 * 1024 };

impl Folder {
    /// The folder `id` of the device that signs with `signer`, with its files below the directory `root`.
    pub fn open(
        id: Id,
        signer: Arc<Signer>,
        root: &Path,
        direction: Direction,
        index: Arc<Index>,
    ) -> Result<Self> {
        let root = std::fs::canonicalize(root).map_err(Error::io("opening the folder", root))?;
        if !root.is_dir() {
            return Err(Error::usage(format!("{} is not a directory", root.display())));
        }
        let mut run = [0; 8];
        crate::os_entropy(&mut run);
        Ok(Self {
            id,
            device: signer.device(),
            root,
            direction,
            index,
            signer,
            issuers: Mutex::default(),
            lock: Mutex::new(()),
            writes: AtomicU64::new(0),
            devices: Mutex::new(None),
            silent: Mutex::default(),
            run: hex(&run),
            temporary: AtomicU64::new(0),
            watch: Mutex::default(),
            looked: Mutex::default(),
            claims: Claims::default(),
            turn: Mutex::new(()),
            news: AtomicBool::new(false),
            versions: None,
            rules: Mutex::default(),
            given: Given::default(),
            most: MOST,
            size: Mutex::default(),
        })
    }

    /// Keeps what a sync replaces or deletes, within these limits.
    #[must_use]
    pub fn with_versions(self, limits: Limits) -> Self {
        Self { versions: Some(limits), ..self }
    }

    #[cfg(test)]
    pub(super) fn with_most(self, most: Size) -> Self {
        Self { most, ..self }
    }

    /// How much more it may keep, where so much is to come. The caller holds the lock.
    pub(super) fn room(&self, more: Size) -> Result<Size> {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |size: Size| Size {
            entries: self.most.entries.saturating_sub(size.entries),
            bytes: self.most.bytes.saturating_sub(size.bytes),
        };
        if let Some(known) =
            size.map(left).filter(|left| left.entries >= more.entries && left.bytes >= more.bytes)
        {
            return Ok(known);
        }
        let counted = self.index.size(self.id)?;
        *size = Some(counted);
        Ok(left(counted))
    }

    /// The patterns that were compiled last.
    pub(super) fn rules(&self) -> MutexGuard<'_, Option<Arc<Rules>>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What others were given of it through relays.
    pub(super) fn given(&self) -> &Given {
        &self.given
    }

    /// Has the system tell of changes from now on, so that [`super::refresh`] looks only there. `tell` is called when there is
    /// something to look at.
    ///
    /// # Errors
    /// If the system does not, because there are too many directories, for example.
    pub fn watch(&self, tell: impl Fn() + Send + 'static) -> Result<()> {
        let watch = Watch::start(&self.root, tell)?;
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
        Ok(())
    }

    /// Ends [`watch`](Self::watch).
    pub fn unwatch(&self) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.lose_track();
    }

    /// Whether a scan found changes since the last time this was asked.
    pub fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::Relaxed)
    }

    pub(super) fn note_news(&self) {
        self.news.store(true, Ordering::Relaxed);
    }

    /// What the watch named. `None`: all has to be looked at.
    pub(super) fn named(&self) -> Option<Named> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = looked.is_some_and(|looked| looked.elapsed() < FULL_SCAN);
        watch.as_ref().filter(|_| fresh).map(Watch::take)
    }

    /// A look at all begins: what was named until now is part of it.
    pub(super) fn begin_look(&self) -> bool {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.as_ref().map(Watch::take).is_some()
    }

    /// All was looked at.
    pub(super) fn looked(&self) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Something was missed: all has to be looked at again.
    pub(super) fn lose_track(&self) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How much is kept of what others replace and delete.
    pub(super) fn versions(&self) -> Option<&Limits> {
        self.versions.as_ref()
    }

    /// The folder's identifier.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The device that this is.
    pub fn device(&self) -> Id {
        self.device
    }

    /// Where its files are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which way changes go.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Believes cards that an issuer with these keys signed (SYN-056).
    pub fn trust(&self, keys: &[Spki]) {
        let provider = self.signer.provider();
        let keys = keys.iter().filter_map(|key| provider.public_key(key).ok()).collect();
        *self.issuers.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// What its sessions are getting.
    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Held while somebody looks for changes; before the lock.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What [`trust`](Self::trust) said.
    pub(super) fn issuers(&self) -> Arc<Vec<Box<dyn PublicKey>>> {
        self.issuers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What signs the changes of this device.
    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// What is known of its paths.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// A file of the folder that has this content and did not change since it was hashed; or what a link of it has.
    pub fn open_content(&self, hash: &MediaHash, size: u64) -> Result<Option<File>> {
        for record in self.index.find(self.id, hash)? {
            let Some(seen) = record.seen.filter(|seen| seen.size == size) else { continue };
            if let Some(file) = open_seen(&self.root, &record.entry.path, &seen)? {
                return Ok(Some(file));
            }
        }
        self.open_link(hash)
    }

    /// A file of the folder that has this content, whatever its size, and how it looked when it was hashed.
    pub(super) fn open_any(&self, hash: &MediaHash) -> Result<Option<(File, Seen)>> {
        for record in self.index.find(self.id, hash)? {
            let Some(seen) = record.seen else { continue };
            if let Some(file) = open_seen(&self.root, &record.entry.path, &seen)? {
                return Ok(Some((file, seen)));
            }
        }
        let Some(link) = self.open_link(hash)? else { return Ok(None) };
        let seen = link.metadata().map(|metadata| Seen::of(&metadata));
        Ok(Some((link, seen.map_err(Error::io("looking at a link of", &self.root))?)))
    }

    /// Says on which devices the folder is mapped: the tombstones that all of them have seen are forgotten (SYN-047).
    pub fn set_devices(&self, devices: Vec<Id>) -> Result<()> {
        *self.devices.lock().unwrap_or_else(PoisonError::into_inner) = Some(devices);
        let _lock = self.lock();
        collect::collect(self)
    }

    /// What [`set_devices`](Self::set_devices) said.
    pub(super) fn devices(&self) -> Option<Vec<Id>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A device was met, and gives nothing of the folder, as a reader's does; or it gave all.
    pub(super) fn note_giving(&self, device: Id, gives: bool) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if gives {
            silent.remove(&device)
        } else {
            silent.insert(device)
        };
    }

    /// Whether all other devices on which the folder is mapped were met and give nothing of it.
    pub(super) fn is_given_nothing(&self) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = |device: &Id| *device == self.device || silent.contains(device);
        self.devices().is_some_and(|devices| devices.iter().all(is_silent))
    }

    /// Writes to the index. The caller holds the lock.
    pub(super) fn write(&self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        if let Some(size) = &mut *self.size.lock().unwrap_or_else(PoisonError::into_inner) {
            size.entries += batch.entries.len() as u64;
            size.bytes += batch.entries.iter().map(|entry| size_of(entry) as u64).sum::<u64>();
        }
        self.index.write(self.id, batch)
    }

    /// Forgets what is known of it and begins with this `past`, counting on from beyond `used`. The caller holds the lock.
    pub(super) fn begin(&self, past: Past, used: u64) -> Result<()> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.index.begin(self.id, past, used)
    }

    /// How often was written.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Whoever changes files or the index of this folder holds this.
    pub(super) fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new temporary file, in the folder's own file system so that it can be renamed into place.
    pub(super) fn temp_file(&self) -> Result<TempFile> {
        TempFile::create(self.temp_path())
    }

    /// Where nothing is yet, in the folder's own file system.
    pub(super) fn temp_path(&self) -> PathBuf {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        self.root.join(format!("{}{number}", self.temp_prefix()))
    }

    /// A name for what has to get out of the way for a moment. A scan knows that nobody gave it.
    pub(super) fn aside(&self) -> PathBuf {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        PathBuf::from(format!("{ASIDE}{}-{number}", self.run))
    }

    /// How the names of this run's temporary files start.
    pub(super) fn temp_prefix(&self) -> String {
        format!("{PREFIX}{}-", self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_in_any_case() {
        for own in [
            ".meshproof-versions",
            ".meshproof-ignore",
            ".Meshproof-Versions",
            ".MESHPROOF-TMP-1-2",
            ".meshproof-ver\u{17F}ions",
            ".meshproof-only",
        ] {
            assert!(is_own_name(own), "{own}");
        }
        for other in [".meshproof", "meshproof-versions", ".meshproof-versions2", ".meshignore", "", "."] {
            assert!(!is_own_name(other), "{other}");
        }
    }
}
