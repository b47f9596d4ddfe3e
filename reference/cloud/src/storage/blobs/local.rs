//! Objects as files: `blobs/ab/cdef..`, and `incoming/` for what has not come to its end.
//!
//! A file gets its name only when all its bytes are on disk, and is on disk under its name when that is answered.

use std::fs;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempPath;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::Object;
use super::file_body::FileBody;
use crate::Error;
use crate::state::make_directory;

/// The folders.
pub(crate) struct Local {
    kept: PathBuf,
    incoming: PathBuf,
}

impl Local {
    pub(super) fn open(data: &Path) -> Result<Self, Error> {
        let (kept, incoming) = (data.join("blobs"), data.join("incoming"));
        make_directory(&kept)?;
        make_directory(&incoming)?;
        Ok(Self { kept, incoming })
    }

    pub(super) async fn receive(&self, object: &Object) -> io::Result<Receiving> {
        let (folder, target, root) = (self.incoming.clone(), self.path(object), self.kept.clone());
        let (file, path) =
            blocking(move || Ok(tempfile::NamedTempFile::new_in(folder)?.into_parts())).await?;
        Ok(Receiving { file: file.into(), path, target, root })
    }

    pub(super) async fn open_range(
        &self,
        object: &Object,
        range: Range<u64>,
    ) -> io::Result<Option<FileBody>> {
        let mut file = match tokio::fs::File::open(self.path(object)).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        if range.start > 0 {
            file.seek(SeekFrom::Start(range.start)).await?;
        }
        Ok(Some(FileBody::new(file, range.end.saturating_sub(range.start))))
    }

    pub(super) async fn remove(&self, object: &Object) -> io::Result<()> {
        match tokio::fs::remove_file(self.path(object)).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    pub(super) async fn list(&self, prefix: u8) -> io::Result<Vec<(Object, SystemTime)>> {
        let start = format!("{prefix:02x}");
        let folder = self.kept.join(&start);
        blocking(move || {
            let mut found = Vec::new();
            for (file, modified) in files(&folder)? {
                // What we did not name is not ours to remove.
                let name =
                    file.file_name().and_then(|rest| rest.to_str()).map(|rest| format!("{start}{rest}"));
                found.extend(name.as_deref().and_then(Object::parse).map(|object| (object, modified)));
            }
            Ok(found)
        })
        .await
    }

    pub(super) async fn forget_unfinished(&self, time: SystemTime) -> io::Result<()> {
        let folder = self.incoming.clone();
        blocking(move || {
            for (file, modified) in files(&folder)? {
                if modified < time {
                    fs::remove_file(file)?;
                }
            }
            Ok(())
        })
        .await
    }

    fn path(&self, object: &Object) -> PathBuf {
        let (folder, file) = object.as_str().split_at(2);
        self.kept.join(folder).join(file)
    }
}

/// A file that is being written. Dropping this removes it.
pub(super) struct Receiving {
    file: tokio::fs::File,
    path: TempPath,
    target: PathBuf,
    root: PathBuf,
}

impl Receiving {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await
    }

    pub(super) async fn keep(mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let Self { path, target, root, .. } = self;
        blocking(move || {
            let folder = target.parent().unwrap_or(&root);
            if !folder.is_dir() {
                fs::create_dir_all(folder)?;
                fs::File::open(&root)?.sync_all()?;
            }
            path.persist(&target).map_err(|e| e.error)?;
            fs::File::open(folder)?.sync_all() // the name, too, is on disk
        })
        .await
    }
}

/// The files of a folder, which need not exist, with the time of their last write. Others may remove some meanwhile.
fn files(folder: &Path) -> io::Result<Vec<(PathBuf, SystemTime)>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => found.push((entry.path(), metadata.modified()?)),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(found)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}
