//! Bytes on disk, each content once, under the hash of its bytes: `blobs/ab/cdef..`.
//!
//! A file gets its name only when all its bytes are on disk, and no row of the database names a file that is not
//! there: so what was answered with 201 is there after a crash (STO-006).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use meshproof_proto::storage::{MediaHash, MediaHasher};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, MutexGuard};

use crate::Error;
use crate::problem::Problem;
use crate::state::make_directory;
use crate::store::Store;

/// The folder of stored bytes.
pub(crate) struct Blobs {
    kept: PathBuf,
    incoming: PathBuf,
    /// Held while a file and the rows that name it come or go, so that the one is not removed while the other comes.
    gate: Mutex<()>,
}

impl Blobs {
    /// Opens the folder.
    pub(crate) fn open(data: &Path) -> Result<Self, Error> {
        let (kept, incoming) = (data.join("blobs"), data.join("incoming"));
        make_directory(&kept)?;
        make_directory(&incoming)?;
        Ok(Self { kept, incoming, gate: Mutex::default() })
    }

    /// Forgets what an earlier server did not finish. For a server that starts, which is the only one.
    pub(crate) fn forget_unfinished(&self) -> Result<(), Error> {
        let path = &self.incoming;
        let removed = fs::remove_dir_all(path).map_err(|source| Error::Data { path: path.clone(), source });
        removed.and_then(|()| make_directory(path))
    }

    /// Removes files that no row names: a server that ended between the one and the other left them. Like
    /// [`forget_unfinished`](Self::forget_unfinished) for a server that starts. Blocks.
    pub(crate) fn sweep(&self, store: &Store) -> Result<(), Error> {
        let failed = |source| Error::Data { path: self.kept.clone(), source };
        for folder in fs::read_dir(&self.kept).map_err(failed)? {
            let folder = folder.map_err(failed)?;
            if !folder.file_type().map_err(failed)?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path()).map_err(failed)? {
                let file = file.map_err(failed)?;
                let (start, rest) = (folder.file_name(), file.file_name());
                // What we did not name is not ours to remove.
                let name = start.to_str().zip(rest.to_str()).map(|(start, rest)| format!("{start}{rest}"));
                let Some(name) = name.as_deref().and_then(MediaHash::parse) else { continue };
                if self.path(name) == file.path() && !store.media_is_held_here(name)? {
                    tracing::info!(%name, "removing bytes that no folder holds");
                    fs::remove_file(file.path()).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// Starts to receive.
    pub(crate) async fn receive(&self) -> io::Result<Incoming> {
        let folder = self.incoming.clone();
        let (file, path) =
            blocking(move || Ok(tempfile::NamedTempFile::new_in(folder)?.into_parts())).await?;
        Ok(Incoming { file: file.into(), path, hasher: MediaHasher::default(), length: 0 })
    }

    /// Waits for the right to add and remove files.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().await
    }

    /// Gives received bytes, all on disk, their name. The caller holds the lock.
    pub(crate) async fn keep(&self, _: &MutexGuard<'_, ()>, received: Received) -> io::Result<()> {
        let (path, root) = (self.path(received.name), self.kept.clone());
        blocking(move || {
            let folder = path.parent().unwrap_or(&root);
            if !folder.is_dir() {
                fs::create_dir(folder)?;
                fs::File::open(&root)?.sync_all()?;
            }
            received.path.persist(&path).map_err(|e| e.error)?;
            fs::File::open(folder)?.sync_all() // STO-006: the name, too, is on disk
        })
        .await
    }

    /// Opens stored bytes. `None` if there are none of this name.
    pub(crate) async fn open_file(&self, name: MediaHash) -> io::Result<Option<tokio::fs::File>> {
        match tokio::fs::File::open(self.path(name)).await {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes bytes that no folder holds any more.
    pub(crate) async fn discard_unheld(&self, store: &Store, name: MediaHash) -> Result<(), Problem> {
        let gate = self.lock().await;
        self.discard(&gate, store, name).await
    }

    /// The same for a caller who holds the lock.
    pub(crate) async fn discard(
        &self,
        _: &MutexGuard<'_, ()>,
        store: &Store,
        name: MediaHash,
    ) -> Result<(), Problem> {
        if store.media_is_held(name).await? {
            return Ok(());
        }
        match tokio::fs::remove_file(self.path(name)).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Problem::internal(e)),
            _ => Ok(()),
        }
    }

    fn path(&self, name: MediaHash) -> PathBuf {
        let name = name.to_string();
        let (folder, file) = name.split_at(2);
        self.kept.join(folder).join(file)
    }
}

/// Bytes that are coming in. Dropping this forgets them (STO-001).
pub(crate) struct Incoming {
    file: tokio::fs::File,
    path: TempPath,
    hasher: MediaHasher,
    length: u64,
}

impl Incoming {
    /// Takes the next bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    /// How many have come.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Their hash.
    pub(crate) fn hash(&self) -> MediaHash {
        self.hasher.finish()
    }

    /// Puts all bytes on disk (STO-006), to be kept under `name`.
    pub(crate) async fn finish(mut self, name: MediaHash) -> io::Result<Received> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(Received { path: self.path, name })
    }
}

/// Bytes that are on disk but have no name yet.
pub(crate) struct Received {
    path: TempPath,
    name: MediaHash,
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}
