//! Files that are not all there yet: under a temporary name, without a name of their own unless they are renamed into place
//! (SYN-031, SYN-033).

use std::fs::{File, FileTimes, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use meshproof_proto::storage::{MediaHash, MediaHasher};

use super::disk::{Seen, set_mode};
use crate::error::{Error, Result};

/// How the names of temporary files start. They are no part of the folder.
pub const PREFIX: &str = ".meshproof-tmp-";

/// How much is read at once when a file is verified, in bytes.
const READ: usize = 1024 * 1024;

/// A file that is being written: from its beginning to its end with [`TempFile::write`], or in any order with
/// [`TempFile::write_at`].
pub(super) struct TempFile {
    path: PathBuf,
    file: File,
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
        Ok(Self { path, file, hasher: MediaHasher::default(), written: 0, stays: false, removes })
    }

    /// Takes a file that stays when it was begun: see [`super::part`].
    pub(super) fn resume(path: PathBuf, file: File) -> Self {
        let begun = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
        let removes = Removes((!begun).then(|| path.clone()));
        Self { path, file, hasher: MediaHasher::default(), written: 0, stays: true, removes }
    }

    /// Appends what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(Error::io("writing", &self.path))?;
        self.written += bytes.len() as u64;
        self.is_begun();
        Ok(())
    }

    /// Puts bytes to their place.
    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut write = || {
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.write_all(bytes)
        };
        write().map_err(Error::io("writing", &self.path))?;
        self.is_begun();
        Ok(())
    }

    /// Reads what is at a place. `false`: it is not all there.
    pub(super) fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> bool {
        self.file.seek(SeekFrom::Start(offset)).is_ok() && self.file.read_exact(bytes).is_ok()
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
    pub(super) fn into_source(self) -> Option<File> {
        self.file.try_clone().ok()
    }

    /// What is in the file is of no use.
    pub(super) fn discard(mut self) {
        self.removes.0 = Some(self.path.clone());
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) -> Result<()> {
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
        let mut hasher = MediaHasher::default();
        let mut hash = || {
            self.file.set_len(size)?;
            self.file.seek(SeekFrom::Start(0))?;
            let mut buffer = vec![0; READ];
            loop {
                match self.file.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => hasher.update(&buffer[..count]),
                }
            }
        };
        hash().map_err(Error::io("reading", &self.path))?;
        Ok(hasher.finish())
    }

    /// Gives the file the mode and time of its entry. What was written is not yet safe from a crash: see
    /// [`super::disk::flush`].
    pub(super) fn finish(mut self, mode: u16, mtime: u64) -> Result<Ready> {
        self.removes.0 = Some(self.path.clone());
        let failed = || Error::io("finishing", &self.path);
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
    /// Renames the file to `target`, replacing what is there. The only place where a received file gets its name.
    pub(super) fn place(&mut self, target: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.removes.0 = None;
        self.lock = None;
        remove_if_empty(self.path.parent());
        Ok(())
    }
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
