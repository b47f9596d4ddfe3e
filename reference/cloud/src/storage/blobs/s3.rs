//! Objects in S3, or what speaks like it: any number of servers share them.
//!
//! An object comes into being all at once: a small one by one request, a large one when its parts are put together. What
//! is written is never changed, so nothing is asked of the store but that what it acknowledged is there. Parts of what
//! never came to its end cannot be listed by their age: a rule of the bucket (`AbortIncompleteMultipartUpload`) removes
//! them where a server was killed.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use axum::body::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _};
use tokio::io::AsyncWriteExt as _;

use super::Object;
use crate::Error;

/// What is sent at once, and so what an upload holds in memory.
const PART: usize = 8 * 1_024 * 1_024;
/// How many parts of an upload are on their way at once.
const PARTS: usize = 2;

/// A bucket, or the part of one below a prefix.
pub(crate) struct S3 {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl S3 {
    /// Opens `s3://bucket/prefix`. Where it is and who may use it are read from the environment: `AWS_ENDPOINT_URL`,
    /// `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and what else such programs read.
    pub(super) fn open(url: &str) -> Result<Self, Error> {
        let unusable = |what: String| Error::Configuration(format!("storage.objects: {what}"));
        let (_, rest) =
            url.split_once("://").ok_or_else(|| unusable("s3://bucket/prefix is expected".into()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
        let store = Arc::new(store.map_err(|e| unusable(e.to_string()))?);
        let prefix = Path::parse(prefix).map_err(|e| unusable(e.to_string()))?;
        Ok(Self { store, prefix })
    }

    pub(super) fn receive(&self, object: &Object) -> Receiving {
        let writer = BufWriter::with_capacity(self.store.clone(), self.path(object), PART);
        Receiving(Some(writer.with_max_concurrency(PARTS)))
    }

    pub(super) async fn open_range(&self, object: &Object, range: Range<u64>) -> io::Result<Option<S3Body>> {
        let left = range.end.saturating_sub(range.start);
        let options = GetOptions {
            // The store knows no empty ranges.
            range: (left > 0).then_some(GetRange::Bounded(range)),
            head: left == 0,
            ..GetOptions::default()
        };
        match self.store.get_opts(&self.path(object), options).await {
            Ok(found) => Ok(Some(S3Body { stream: found.into_stream(), left })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) async fn remove(&self, object: &Object) -> io::Result<()> {
        match self.store.delete(&self.path(object)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) async fn list(&self, prefix: u8) -> io::Result<Vec<(Object, SystemTime)>> {
        let folder = self.prefix.clone().join(format!("{prefix:02x}"));
        let mut found = Vec::new();
        let mut listing = self.store.list(Some(&folder));
        while let Some(meta) = listing.next().await {
            let meta = meta?;
            // What we did not name is not ours to remove.
            let name = meta.location.filename().map(|rest| format!("{prefix:02x}{rest}"));
            let object = name.as_deref().and_then(Object::parse);
            found.extend(object.map(|object| (object, meta.last_modified.into())));
        }
        Ok(found)
    }

    fn path(&self, object: &Object) -> Path {
        let (folder, file) = object.as_str().split_at(2);
        self.prefix.clone().join(folder).join(file)
    }
}

/// An object that is being written. Dropping this removes its parts.
pub(super) struct Receiving(Option<BufWriter>);

impl Receiving {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writer = self.0.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writer.write_all(bytes).await
    }

    /// Puts the object together. If that fails its parts are removed with it.
    pub(super) async fn keep(mut self) -> io::Result<()> {
        let writer = self.0.take();
        writer.ok_or(io::ErrorKind::BrokenPipe)?.shutdown().await
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        // Without a runtime the process ends: see the rule of the bucket.
        if let Some(mut writer) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if let Err(error) = writer.abort().await {
                    tracing::warn!("cannot remove parts of an upload: {error}");
                }
            });
        }
    }
}

/// A part of an object, as it comes.
pub(crate) struct S3Body {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    left: u64,
}

impl S3Body {
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The next piece; exactly as many bytes as were promised, or an error.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Some(piece) = ready!(Pin::new(&mut self.stream).poll_next_unpin(cx)) else {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        };
        let mut piece = piece?;
        piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(piece)))
    }
}
