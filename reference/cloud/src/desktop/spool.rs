//! Bytes on their way into the cloud. The cloud names bytes by their hash, so all of them have to be seen before the
//! first can be sent on: they wait in a file without a name, which is gone when it is closed, whatever happens.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use meshproof_proto::storage::{MediaHash, MediaHasher};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _, SeekFrom};
use tokio_util::io::ReaderStream;

use super::failure::Failure;
use super::files::Person;

const PIECE: usize = 128 * 1_024;

/// Where bytes wait, and how many of each person do: together not more than one may have in the cloud, for nothing else
/// has counted them yet. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Spools(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    /// By user.
    waiting: Mutex<HashMap<String, u64>>,
}

impl Spools {
    /// In this directory, which is made if it does not exist.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(Arc::new(Inner { directory, waiting: Mutex::default() }))
    }
}

/// What counts for a person.
struct Share {
    spools: Spools,
    user: String,
    most: u64,
    length: u64,
}

impl Share {
    fn grow(&mut self, bytes: u64) -> Result<(), Failure> {
        let mut waiting = self.spools.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = waiting.entry(self.user.clone()).or_default();
        if sum.saturating_add(bytes) > self.most {
            let status = axum::http::StatusCode::INSUFFICIENT_STORAGE;
            return Err(Failure::Refused { status, error: "quota-exceeded".into() });
        }
        *sum += bytes;
        self.length += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut waiting = self.spools.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let left = waiting.get(&self.user).map_or(0, |sum| sum.saturating_sub(self.length));
        if left > 0 {
            waiting.insert(self.user.clone(), left);
        } else {
            waiting.remove(&self.user);
        }
    }
}

/// A file that is being written.
pub(crate) struct Spool {
    file: tokio::fs::File,
    hasher: MediaHasher,
    share: Share,
}

impl Spool {
    /// An empty one.
    pub(crate) async fn new(spools: &Spools, person: &Person) -> Result<Self, Failure> {
        let (spools, user, most) = (spools.clone(), person.user.clone(), person.quota);
        let directory = spools.0.directory.clone();
        let make =
            move || std::fs::create_dir_all(&directory).and_then(|()| tempfile::tempfile_in(&directory));
        let made = tokio::task::spawn_blocking(make).await;
        let file = made.map_err(Failure::broken)?.map_err(Failure::broken)?;
        let share = Share { spools, user, most, length: 0 };
        Ok(Self { file: file.into(), hasher: MediaHasher::default(), share })
    }

    /// # Errors
    /// `quota-exceeded` if too many bytes of the person wait.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.share.grow(bytes.len() as u64)?;
        self.hasher.update(bytes);
        self.file.write_all(bytes).await.map_err(Failure::broken)
    }

    pub(crate) async fn finish(mut self) -> Result<Spooled, Failure> {
        self.file.flush().await.map_err(Failure::broken)?;
        let file = Arc::new(self.file.into_std().await);
        Ok(Spooled { file, hash: self.hasher.finish(), share: Arc::new(self.share) })
    }
}

/// A file that was written.
#[derive(Clone)]
pub(crate) struct Spooled {
    file: Arc<File>,
    hash: MediaHash,
    share: Arc<Share>,
}

impl Spooled {
    pub(crate) fn hash(&self) -> MediaHash {
        self.hash
    }

    pub(crate) fn length(&self) -> u64 {
        self.share.length
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

    fn person(user: &str, quota: u64) -> Person {
        Person { user: user.into(), name: user.into(), quota, used: 0 }
    }

    #[tokio::test]
    async fn a_person_has_one_quota() {
        let directory = tempfile::tempdir().unwrap();
        let spools = Spools::new(directory.path().into());
        let (ann, bob) = (person("ann", 100), person("bob", 100));
        let mut first = Spool::new(&spools, &ann).await.unwrap();
        first.write(&[0; 60]).await.unwrap();
        let first = first.finish().await.unwrap();
        let mut second = Spool::new(&spools, &ann).await.unwrap();
        second.write(&[0; 40]).await.unwrap();
        assert!(second.write(&[0]).await.unwrap_err().is("quota-exceeded"));
        Spool::new(&spools, &bob).await.unwrap().write(&[0; 100]).await.unwrap();
        drop(first);
        second.write(&[0; 60]).await.unwrap();
        drop(second);
        assert!(spools.0.waiting.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_went_in_comes_out_twice() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool =
            Spool::new(&Spools::new(directory.path().into()), &person("ann", u64::MAX)).await.unwrap();
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
