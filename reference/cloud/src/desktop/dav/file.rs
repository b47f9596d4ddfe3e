//! Open files of the drive.

use std::io::SeekFrom;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::RANGE;
use axum::http::{Method, StatusCode};
use dav_server::fs::{DavFile, DavMetaData, FsError, FsFuture, FsResult};
use futures_util::FutureExt as _;
use futures_util::future::ready;

use super::fs::{Inner, Meta, refused};
use crate::desktop::files::{Content, Entry};
use crate::desktop::graph::{Call, Client};
use crate::desktop::spool::Spool;
use crate::extract::next_chunk;

/// A file that is read. Nothing is asked for before the first read, nor more than once if it is read in order.
pub(super) struct Reader {
    client: Client,
    media: String,
    entry: Entry,
    at: u64,
    /// The bytes from `at` on. Never locked: a body alone could not be part of what threads share.
    body: Option<Mutex<Body>>,
    /// Those of them that have come.
    piece: Bytes,
}

impl Reader {
    pub(super) fn new(client: Client, media: String, entry: Entry) -> Self {
        Self { client, media, entry, at: 0, body: None, piece: Bytes::new() }
    }

    async fn read(&mut self, count: usize) -> FsResult<Bytes> {
        if self.at >= self.entry.size {
            return Ok(Bytes::new());
        }
        if self.body.is_none() {
            self.open().await?;
        }
        while self.piece.is_empty() {
            match self.next().await? {
                Some(piece) => self.piece = piece,
                None => return Ok(Bytes::new()),
            }
        }
        let piece = self.piece.split_to(count.min(self.piece.len()));
        self.at += piece.len() as u64;
        Ok(piece)
    }

    async fn open(&mut self) -> FsResult<()> {
        let range = format!("bytes={}-", self.at);
        let mut call = Call::new(Method::GET, &self.media);
        if self.at > 0 {
            call = call.header(RANGE, &range);
        }
        let answer = self.client.open(call).await.map_err(refused)?;
        let mut skip = match answer.status() {
            StatusCode::PARTIAL_CONTENT => 0,
            StatusCode::OK => self.at,
            StatusCode::NOT_FOUND => return Err(FsError::NotFound),
            _ => return Err(FsError::GeneralFailure),
        };
        self.body = Some(Mutex::new(answer.into_body()));
        self.piece = Bytes::new();
        while skip > 0 {
            let mut piece = self.next().await?.ok_or(FsError::GeneralFailure)?;
            let over = piece.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            self.piece = piece.split_off(over);
            skip -= over as u64;
        }
        Ok(())
    }

    async fn next(&mut self) -> FsResult<Option<Bytes>> {
        let Some(body) = &mut self.body else { return Ok(None) };
        let body = body.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The bytes come from this process: nothing to wait for.
        next_chunk(body, Duration::MAX).await.transpose().map_err(|_| FsError::GeneralFailure)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({} at {})", self.media, self.at)
    }
}

impl DavFile for Reader {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        ready(Ok(Box::new(Meta::of_entry(&self.entry)) as Box<dyn DavMetaData>)).boxed()
    }

    fn read_bytes(&mut self, count: usize) -> FsFuture<'_, Bytes> {
        self.read(count).boxed()
    }

    fn seek(&mut self, to: SeekFrom) -> FsFuture<'_, u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.entry.size.checked_add_signed(by),
        };
        let done = at.ok_or(FsError::GeneralFailure).inspect(|at| {
            if *at != self.at {
                (self.at, self.body, self.piece) = (*at, None, Bytes::new());
            }
        });
        ready(done).boxed()
    }

    fn write_bytes(&mut self, _: Bytes) -> FsFuture<'_, ()> {
        ready(Err(FsError::Forbidden)).boxed()
    }

    fn write_buf(&mut self, _: Box<dyn bytes::Buf + Send>) -> FsFuture<'_, ()> {
        ready(Err(FsError::Forbidden)).boxed()
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        ready(Ok(())).boxed()
    }
}

/// A file that is written. It is in the cloud when it is flushed, whole or not at all.
pub(super) struct Writer {
    drive: Arc<Inner>,
    folder: String,
    path: String,
    /// `None` once it is in the cloud.
    spool: Option<Spool>,
}

impl Writer {
    pub(super) fn new(drive: Arc<Inner>, folder: String, path: String, spool: Spool) -> Self {
        Self { drive, folder, path, spool: Some(spool) }
    }

    async fn write(&mut self, bytes: &[u8]) -> FsResult<()> {
        let spool = self.spool.as_mut().ok_or(FsError::GeneralFailure)?;
        spool.write(bytes).await.map_err(refused)
    }

    async fn finish(&mut self) -> FsResult<()> {
        let Some(spool) = self.spool.take() else { return Ok(()) };
        let file = spool.finish().await.map_err(refused)?;
        let mut seen = self.drive.seen().await;
        let tree = self.drive.tree(&mut seen, &self.folder).await?;
        tree.put_bytes(&file).await.map_err(refused)?;
        let now = self.drive.client.now().0;
        let mut content = Content::file(file.length(), file.hash().to_string(), now);
        if let Some(old) = tree.node(&self.path).and_then(|node| node.entry) {
            content.properties = old.properties; // they are the file's, whatever is in it
        }
        tree.write(&self.path, &content).await.map_err(refused)
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({}/{})", self.folder, self.path)
    }
}

impl DavFile for Writer {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        async move {
            let mut seen = self.drive.seen().await;
            let tree = self.drive.tree(&mut seen, &self.folder).await?;
            let entry = tree.node(&self.path).and_then(|node| node.entry).ok_or(FsError::NotFound)?;
            Ok(Box::new(Meta::of_entry(&entry)) as Box<dyn DavMetaData>)
        }
        .boxed()
    }

    fn write_bytes(&mut self, bytes: Bytes) -> FsFuture<'_, ()> {
        async move { self.write(&bytes).await }.boxed()
    }

    fn write_buf(&mut self, mut buffer: Box<dyn bytes::Buf + Send>) -> FsFuture<'_, ()> {
        async move {
            let length = buffer.remaining();
            self.write(&buffer.copy_to_bytes(length)).await
        }
        .boxed()
    }

    fn read_bytes(&mut self, _: usize) -> FsFuture<'_, Bytes> {
        ready(Err(FsError::Forbidden)).boxed()
    }

    fn seek(&mut self, _: SeekFrom) -> FsFuture<'_, u64> {
        ready(Err(FsError::NotImplemented)).boxed()
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        self.finish().boxed()
    }
}
