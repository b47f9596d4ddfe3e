//! Bytes on their way into the cloud. The cloud names bytes by their hash, so all of them have to be seen before the
//! first can be sent on: they wait in a file without a name, which is gone when it is closed, whatever happens.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use meshproof_proto::storage::{MediaHash, MediaHasher};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _, SeekFrom};
use tokio_util::io::ReaderStream;

use super::failure::Failure;

const PIECE: usize = 128 * 1_024;

/// A file that is being written.
pub(crate) struct Spool {
    file: tokio::fs::File,
    hasher: MediaHasher,
    length: u64,
}

impl Spool {
    /// An empty one in this directory, which is made if it does not exist.
    pub(crate) async fn new(directory: &Path) -> Result<Self, Failure> {
        let directory = directory.to_path_buf();
        let make =
            move || std::fs::create_dir_all(&directory).and_then(|()| tempfile::tempfile_in(&directory));
        let made = tokio::task::spawn_blocking(make).await;
        let file = made.map_err(Failure::broken)?.map_err(Failure::broken)?;
        Ok(Self { file: file.into(), hasher: MediaHasher::default(), length: 0 })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).await.map_err(Failure::broken)
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) async fn finish(mut self) -> Result<Spooled, Failure> {
        self.file.flush().await.map_err(Failure::broken)?;
        let file = Arc::new(self.file.into_std().await);
        Ok(Spooled { file, hash: self.hasher.finish(), length: self.length })
    }
}

/// A file that was written.
#[derive(Clone)]
pub(crate) struct Spooled {
    file: Arc<File>,
    hash: MediaHash,
    length: u64,
}

impl Spooled {
    pub(crate) fn hash(&self) -> MediaHash {
        self.hash
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// All bytes. The bodies of one file share its position: one after the other.
    pub(crate) async fn body(&self) -> Result<Body, Failure> {
        let mut file = tokio::fs::File::from_std(self.file.try_clone().map_err(Failure::broken)?);
        file.seek(SeekFrom::Start(0)).await.map_err(Failure::broken)?;
        Ok(Body::from_stream(ReaderStream::with_capacity(file, PIECE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_went_in_comes_out_twice() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(directory.path()).await.unwrap();
        let bytes: Vec<u8> = (0..400_000u32).flat_map(u32::to_le_bytes).collect();
        for piece in bytes.chunks(70_001) {
            spool.write(piece).await.unwrap();
        }
        assert_eq!(directory.path().read_dir().unwrap().count(), 0, "it has no name");
        let spooled = spool.finish().await.unwrap();
        assert_eq!((spooled.hash(), spooled.length()), (MediaHash::of(&bytes), bytes.len() as u64));
        for _ in 0..2 {
            let body = spooled.body().await.unwrap();
            assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap(), bytes);
        }
    }
}
