//! Stored bytes behind one seam: receive pieces, keep them under a name, open a range of them, remove them.
//!
//! An object is written once, under a name that nobody used before, and never changed. Which object has the bytes of
//! which media is a row of the database, and only there is decided what exists: so several servers can share objects and
//! database without any other agreement. An object comes before the row that names it and goes after it (STO-006); one
//! without row is removed by the sweep when it is older than [`ORPHAN_AGE`].

mod file_body;
mod local;
#[cfg(feature = "s3")]
mod s3;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::draw;
use meshproof_proto::storage::{MediaHash, MediaHasher};

use self::file_body::FileBody;
use self::local::Local;
use crate::Error;
use crate::metrics;
use crate::state::OsEntropy;

/// How long an object may wait for its row. It mostly waits for milliseconds.
pub(crate) const ORPHAN_AGE: Duration = Duration::from_hours(1);

/// Where bytes are kept.
pub(crate) enum Blobs {
    /// In files of the data directory.
    Local(Local),
    /// In a bucket that several servers share.
    #[cfg(feature = "s3")]
    S3(s3::S3),
}

impl Blobs {
    /// Opens the folder of stored bytes below the data directory.
    pub(crate) fn open_local(data: &Path) -> Result<Self, Error> {
        Local::open(data).map(Self::Local)
    }

    /// Opens a bucket: `s3://bucket/prefix`.
    #[cfg(feature = "s3")]
    pub(crate) fn open_bucket(url: &str) -> Result<Self, Error> {
        s3::S3::open(url).map(Self::S3)
    }

    /// What a build can do that knows no buckets.
    #[cfg(not(feature = "s3"))]
    pub(crate) fn open_bucket(_: &str) -> Result<Self, Error> {
        Err(Error::Configuration("storage.objects: this meshd was built without the feature `s3`".into()))
    }

    /// Starts to receive what will be kept as `object`.
    pub(crate) async fn receive(&self, object: Object) -> io::Result<Incoming> {
        let sink = match self {
            Self::Local(local) => Sink::Local(local.receive(&object).await?),
            #[cfg(feature = "s3")]
            Self::S3(s3) => Sink::S3(s3.receive(&object)),
        };
        Ok(Incoming { object, sink, hasher: Box::default(), length: 0 })
    }

    /// Opens a part of an object. `None` if there is none of this name.
    pub(crate) async fn open(&self, object: &Object, range: Range<u64>) -> io::Result<Option<Reading>> {
        let started = Instant::now();
        let source = match self {
            Self::Local(local) => local.open_range(object, range).await?.map(Source::Local),
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.open_range(object, range).await?.map(Source::S3),
        };
        metrics::blob("open", started.elapsed());
        Ok(source.map(|source| Reading { source, asked: None }))
    }

    /// Removes an object. One that is not there is removed already.
    pub(crate) async fn remove(&self, object: &Object) -> io::Result<()> {
        match self {
            Self::Local(local) => local.remove(object).await,
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.remove(object).await,
        }
    }

    /// All objects whose names start with these two hexadecimal digits, and when they were written.
    pub(crate) async fn list(&self, prefix: u8) -> io::Result<Vec<(Object, SystemTime)>> {
        match self {
            Self::Local(local) => local.list(prefix).await,
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.list(prefix).await,
        }
    }

    /// Forgets what was not received to its end and got its last byte before `time`.
    pub(crate) async fn forget_unfinished(&self, time: SystemTime) -> io::Result<()> {
        match self {
            Self::Local(local) => local.forget_unfinished(time).await,
            #[cfg(feature = "s3")]
            Self::S3(_) => Ok(()), // a rule of the bucket does
        }
    }
}

/// The name of an object: lower-case hexadecimal digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Object(String);

impl Object {
    /// A new name for the bytes of a media. Its end is random: a name never comes back.
    pub(crate) fn media(hash: MediaHash) -> Self {
        Self(format!("{hash}-{}", random()))
    }

    /// A new name for a piece of an upload.
    pub(crate) fn piece(upload: Id) -> Self {
        Self(format!("{upload}-{}", random()))
    }

    /// A name of ours. Version 0.1.0 named media by their hash alone.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (start, end) = name.split_once('-').unwrap_or((name, ""));
        let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let fits = matches!((start.len(), end.len(), name.len()), (64, 0, 64) | (64, 16, 81) | (32, 16, 49));
        (fits && is_hex(start) && is_hex(end)).then(|| Self(name.to_owned()))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn random() -> String {
    hex(&draw::<8>(&mut OsEntropy))
}

/// Bytes that are coming in. Dropping this forgets them (STO-001).
pub(crate) struct Incoming {
    object: Object,
    sink: Sink,
    hasher: Box<MediaHasher>, // two kilobytes
    length: u64,
}

enum Sink {
    Local(local::Receiving),
    #[cfg(feature = "s3")]
    S3(s3::Receiving),
}

impl Incoming {
    /// Takes the next bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        let started = Instant::now();
        match &mut self.sink {
            Sink::Local(receiving) => receiving.write(bytes).await?,
            #[cfg(feature = "s3")]
            Sink::S3(receiving) => receiving.write(bytes).await?,
        }
        metrics::blob("write", started.elapsed());
        Ok(())
    }

    /// How many have come.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Their hash.
    pub(crate) fn hash(&self) -> MediaHash {
        self.hasher.finish()
    }

    /// Makes the bytes safe from a crash, under the object's name (STO-006).
    pub(crate) async fn keep(self) -> io::Result<Kept> {
        let started = Instant::now();
        match self.sink {
            Sink::Local(receiving) => receiving.keep().await?,
            #[cfg(feature = "s3")]
            Sink::S3(receiving) => receiving.keep().await?,
        }
        metrics::blob("keep", started.elapsed());
        Ok(Kept { object: self.object, length: self.length, since: Instant::now() })
    }
}

/// An object without row.
pub(crate) struct Kept {
    object: Object,
    pub(crate) length: u64,
    since: Instant,
}

impl Kept {
    /// The object, for a row to name it.
    ///
    /// # Errors
    /// If it has waited so long that a sweep may take it for an orphan.
    pub(crate) fn object(&self) -> io::Result<&Object> {
        let in_time = self.since.elapsed() < ORPHAN_AGE / 2;
        in_time.then_some(&self.object).ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

/// A part of an object, as a body. One that is shorter than promised breaks the connection.
pub(crate) struct Reading {
    source: Source,
    /// Since when the next piece is waited for.
    asked: Option<Instant>,
}

enum Source {
    /// From a file.
    Local(FileBody),
    /// From a bucket.
    #[cfg(feature = "s3")]
    S3(s3::S3Body),
}

impl Body for Reading {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let asked = *self.asked.get_or_insert_with(Instant::now);
        let polled = match &mut self.source {
            Source::Local(body) => Pin::new(body).poll_frame(cx),
            #[cfg(feature = "s3")]
            Source::S3(body) => body.poll_piece(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        };
        if polled.is_ready() {
            self.asked = None;
            metrics::blob("read", asked.elapsed());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Local(body) => body.is_end_stream(),
            #[cfg(feature = "s3")]
            Source::S3(body) => body.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Local(body) => body.size_hint(),
            #[cfg(feature = "s3")]
            Source::S3(body) => SizeHint::with_exact(body.left()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let hash = MediaHash::of(b"");
        for ours in [Object::media(hash), Object::piece(Id([7; 16])), Object(hash.to_string())] {
            assert_eq!(Object::parse(ours.as_str()), Some(ours));
        }
        assert_ne!(Object::media(hash), Object::media(hash));
        for foreign in
            ["README", "", "-", &hash.to_string().to_uppercase(), &format!("{hash}-0123/56789abcdef")]
        {
            assert_eq!(Object::parse(foreign), None, "{foreign}");
        }
    }
}
