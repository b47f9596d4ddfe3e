//! Files that are not all there yet: under a temporary name, without a name of their own unless they are renamed into place
//! (SYN-031, SYN-033).

use std::fs::{File, FileTimes, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use meshproof_proto::storage::{MediaHash, MediaHasher};

use super::direct::{self, Direct};
use super::disk::{Seen, set_mode};
use super::hash::hash_of;
use crate::error::{Error, Result};

/// How the names of temporary files start. They are no part of the folder.
pub const PREFIX: &str = ".meshproof-tmp-";

/// A file that is being written: from its beginning to its end with [`TempFile::write`], or in any order with
/// [`TempFile::write_at`].
pub(super) struct TempFile {
    path: PathBuf,
    file: File,
    /// Writes it past the cache, as long as it is appended to.
    direct: Option<Direct>,
    hasher: MediaHasher,
    written: u64,
    /// Whether a later session can find it again.
    stays: bool,
    removes: Removes,
}

/// A file that is written and verified, but not under its name.
pub(super) struct Ready {
    path: PathBuf,
    /// How it will look in its place.
    pub(super) seen: Seen,
    removes: Removes,
    /// Of a part: its lock, held until it has its name or is gone. Else another session could take it up and change it.
    lock: Option<File>,
}

/// Removes the file when dropped, unless it is disarmed.
struct Removes(Option<PathBuf>);

impl Drop for Removes {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(&path);
            remove_if_empty(path.parent());
        }
    }
}

impl TempFile {
    /// Makes a file that does not outlive this process's interest in it.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = open_private(&mut options, &path).map_err(Error::io("creating", &path))?;
        let removes = Removes(Some(path.clone()));
        let hasher = MediaHasher::default();
        Ok(Self { path, file, direct: None, hasher, written: 0, stays: false, removes })
    }

    /// Takes a file that stays when it was begun: see [`super::part`].
    pub(super) fn resume(path: PathBuf, file: File) -> Self {
        let begun = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
        let removes = Removes((!begun).then(|| path.clone()));
        let hasher = MediaHasher::default();
        Self { path, file, direct: None, hasher, written: 0, stays: true, removes }
    }

    /// So many bytes will be appended, and none are there yet.
    pub(super) fn expects(&mut self, size: u64) {
        if size >= direct::FROM {
            self.direct = Direct::begin(&self.file);
        }
    }

    /// Appends what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.write_hashed(bytes)
    }

    /// The same for bytes whose hash is known.
    pub(super) fn write_hashed(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.direct {
            Some(direct) => direct.write(bytes),
            None => self.file.write_all(bytes),
        };
        written.map_err(Error::io("writing", &self.path))?;
        self.written += bytes.len() as u64;
        self.is_begun();
        Ok(())
    }

    /// From now on all that was written is in the file.
    fn settle(&mut self) -> std::io::Result<()> {
        match self.direct.take() {
            Some(mut direct) => {
                direct.end()?;
                self.file.seek(SeekFrom::Start(self.written)).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Puts bytes to their place.
    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut write = || {
            self.settle()?;
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.write_all(bytes)
        };
        write().map_err(Error::io("writing", &self.path))?;
        self.is_begun();
        Ok(())
    }

    /// Reads what is at a place. `false`: it is not all there.
    pub(super) fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> bool {
        self.settle().is_ok()
            && self.file.seek(SeekFrom::Start(offset)).is_ok()
            && self.file.read_exact(bytes).is_ok()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// There are bytes in it, whoever wrote them.
    pub(super) fn is_begun(&mut self) {
        if self.stays {
            self.removes.0 = None;
        }
    }

    /// The file, which is not written any more; it stays if it was begun. To be read while it is locked.
    pub(super) fn into_source(mut self) -> Option<File> {
        self.settle().ok()?;
        self.file.try_clone().ok()
    }

    /// What is in the file is of no use.
    pub(super) fn discard(mut self) {
        self.removes.0 = Some(self.path.clone());
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.direct = None;
        self.file.set_len(0).map_err(Error::io("writing", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(Error::io("writing", &self.path))?;
        (self.hasher, self.written) = (MediaHasher::default(), 0);
        Ok(())
    }

    /// How many bytes were appended.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The hash of what was appended.
    pub(super) fn hash(&self) -> MediaHash {
        self.hasher.finish()
    }

    /// Cuts the file at `size` and hashes all of it, for content that was not appended.
    pub(super) fn hash_all(&mut self, size: u64) -> Result<MediaHash> {
        let mut hash = || {
            self.settle()?;
            self.file.set_len(size)?;
            hash_of(&self.file, size, &|_| {})
        };
        hash().map_err(Error::io("reading", &self.path))
    }

    /// Gives the file the mode and time of its entry. What was written is not yet safe from a crash: see
    /// [`super::disk::flush`].
    pub(super) fn finish(mut self, mode: u16, mtime: u64) -> Result<Ready> {
        self.removes.0 = Some(self.path.clone());
        let settled = self.settle();
        let failed = || Error::io("finishing", &self.path);
        settled.map_err(failed())?;
        set_mode(&self.file, mode).map_err(failed())?;
        // Times before 1970 or absurd ones are left as they are: mtime decides nothing.
        if let Some(time) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(mtime)) {
            let _ = self.file.set_times(FileTimes::new().set_modified(time));
        }
        let metadata = self.file.metadata().map_err(failed())?;
        if !cfg!(target_os = "linux") {
            self.file.sync_all().map_err(failed())?;
        }
        let lock = self.stays.then_some(self.file);
        Ok(Ready { path: self.path, seen: Seen::of(&metadata), removes: self.removes, lock })
    }
}

impl Ready {
    /// What is in it, if that is little. It has the mode of its entry, which may be any.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        #[cfg(unix)]
        let _ = std::fs::set_permissions(&self.path, std::os::unix::fs::PermissionsExt::from_mode(0o600));
        std::fs::read(&self.path).map_err(Error::io("reading", &self.path))
    }

    /// Renames the file to `target`, replacing what is there. A received file gets its name here or in `place_new`.
    pub(super) fn place(&mut self, target: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.is_placed(target);
        Ok(())
    }

    /// The same, but nothing is replaced. `false`: something is there.
    pub(super) fn place_new(&mut self, target: &Path) -> std::io::Result<bool> {
        let is_placed = rename_new(&self.path, target)?;
        if is_placed {
            self.is_placed(target);
        }
        Ok(is_placed)
    }

    fn is_placed(&mut self, target: &Path) {
        self.seen.is_placed(target);
        self.removes.0 = None;
        self.lock = None;
        remove_if_empty(self.path.parent());
    }
}

/// Renames in one step, unless something has the name.
pub(super) fn rename_new(from: &Path, to: &Path) -> std::io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => return Ok(false),
            // Some file systems do not know this flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if std::fs::symlink_metadata(to).is_ok() {
        return Ok(false);
    }
    std::fs::rename(from, to).map(|()| true)
}

/// Opens a file that nobody else may read: its mode comes with its content.
pub(super) fn open_private(options: &mut OpenOptions, path: &Path) -> std::io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// The directory of parts goes with the last of them.
pub(super) fn remove_if_empty(directory: Option<&Path>) {
    if let Some(directory) = directory.filter(|directory| directory.ends_with(super::part::DIRECTORY)) {
        let _ = std::fs::remove_dir(directory);
    }
}
