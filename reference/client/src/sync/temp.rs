//! Files that are not all there yet: under a temporary name, gone unless they are renamed into place (SYN-031, SYN-033).

use std::fs::{File, FileTimes, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use meshproof_proto::storage::{MediaHash, MediaHasher};

use super::disk::{Seen, set_mode};
use crate::error::{Error, Result};

/// How the names of temporary files start. They are no part of the folder.
pub const PREFIX: &str = ".meshproof-tmp-";

/// A file that is being written.
pub(super) struct TempFile {
    path: PathBuf,
    file: File,
    hasher: MediaHasher,
    written: u64,
    removes: Removes,
}

/// A file that is written and verified, but not under its name.
pub(super) struct Ready {
    path: PathBuf,
    /// How it will look in its place.
    pub(super) seen: Seen,
    removes: Removes,
}

/// Removes the file when dropped, unless it is disarmed.
struct Removes(Option<PathBuf>);

impl Drop for Removes {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl TempFile {
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(Error::io("creating", &path))?;
        let removes = Removes(Some(path.clone()));
        Ok(Self { path, file, hasher: MediaHasher::default(), written: 0, removes })
    }

    /// Appends what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(Error::io("writing", &self.path))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes were written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The hash of what was written.
    pub(super) fn hash(&self) -> MediaHash {
        self.hasher.finish()
    }

    /// Gives the file the mode and time of its entry. What was written is not yet safe from a crash: see
    /// [`super::disk::flush`].
    pub(super) fn finish(self, mode: u16, mtime: u64) -> Result<Ready> {
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
        Ok(Ready { path: self.path, seen: Seen::of(&metadata), removes: self.removes })
    }
}

impl Ready {
    /// Renames the file to `target`, replacing what is there. The only place where a received file gets its name.
    pub(super) fn place(&mut self, target: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.removes.0 = None;
        Ok(())
    }
}
