//! Which chunks of a content are here already, and which have to come from the peer.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::storage::{MediaHash, MediaHasher};
use meshproof_proto::sync::manifest::MAX_CHUNK;
use meshproof_proto::sync::{Chunk, Kind};

use super::Folder;
use super::chunk::cut;
use super::disk::open_seen;
use super::fetch::Want;
use super::temp::TempFile;
use crate::error::Result;

/// From how many missing bytes on it pays to cut the old version, which means to read all of it.
const WORTH_CUTTING: u64 = 4 * 1024 * 1024;

/// Content that is put together out of verified chunks.
pub(super) struct Plan {
    chunks: Vec<Chunk>,
    /// Where each chunk begins.
    starts: Vec<u64>,
    /// Which are at their place, as far as that was looked at.
    right: Vec<bool>,
}

impl Plan {
    /// Takes over the chunks of a content of `size` bytes.
    pub(super) fn new(chunks: Vec<Chunk>, size: u64) -> Result<Self> {
        let mut starts = Vec::with_capacity(chunks.len());
        let mut end = 0;
        for chunk in &chunks {
            starts.push(end);
            end += u64::from(chunk.length);
        }
        demand(end == size, req::SYN_071)?;
        let right = vec![false; chunks.len()];
        Ok(Self { chunks, starts, right })
    }

    /// The chunks.
    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Which chunk has the byte at `offset`.
    pub(super) fn number(&self, offset: u64) -> Option<usize> {
        self.starts.partition_point(|start| *start <= offset).checked_sub(1)
    }

    /// Where a chunk is.
    pub(super) fn range(&self, number: usize) -> Range<u64> {
        self.starts[number]..self.starts[number] + u64::from(self.chunks[number].length)
    }

    /// A sum of all chunks.
    pub(super) fn sum(&self) -> MediaHash {
        let mut hasher = MediaHasher::default();
        for chunk in &self.chunks {
            hasher.update(&chunk.length.to_be_bytes());
            hasher.update(&chunk.hash.0);
        }
        hasher.finish()
    }

    /// Looks which chunks are at their place in `file`, of which `had` bytes are from an earlier session (SYN-076). `false`: something else is
    /// at the place of one.
    pub(super) fn fits(&mut self, file: &mut TempFile, had: u64) -> bool {
        let mut buffer = vec![0; MAX_CHUNK as usize];
        let mut fits = true;
        for ((chunk, start), right) in self.chunks.iter().zip(&self.starts).zip(&mut self.right) {
            let buffer = &mut buffer[..(chunk.length.min(MAX_CHUNK)) as usize];
            let there = start + buffer.len() as u64 <= had && file.read_at(*start, buffer);
            *right = there && MediaHash::of(buffer) == chunk.hash;
            // Zeros are what nobody wrote.
            fits &= *right || !there || buffer.iter().all(|byte| *byte == 0);
        }
        fits
    }

    /// Puts all that is here already into `file`, but for what [`fits`](Self::fits) found there. Returns what is missing, chunk by chunk.
    pub(super) fn fill(
        &self,
        file: &mut TempFile,
        folder: &Folder,
        want: &Want,
        superseded: Vec<File>,
    ) -> Result<VecDeque<Range<u64>>> {
        let mut buffer = vec![0; MAX_CHUNK as usize];
        let mut sources = superseded;
        sources.extend(old_version(folder, want)?);
        // SYN-076: at their place, in what an earlier session left or in the old version.
        let mut missing = Vec::new();
        let lacking = self.chunks.iter().zip(&self.starts).zip(&self.right).filter(|(_, right)| !**right);
        for ((chunk, start), _) in lacking {
            let buffer = &mut buffer[..(chunk.length.min(MAX_CHUNK)) as usize];
            if sources.iter_mut().any(|source| read(source, *start, chunk, buffer)) {
                file.write_at(*start, buffer)?;
            } else {
                missing.push((*chunk, *start));
            }
        }
        // Elsewhere: in files whose chunks are known, and in the old version if that is worth its reading.
        let bytes: u64 = missing.iter().map(|(chunk, _)| u64::from(chunk.length)).sum();
        let places = if bytes >= WORTH_CUTTING { cut_all(&mut sources) } else { HashMap::new() };
        let mut other = Others { folder, open: None };
        let mut todo = VecDeque::new();
        for (chunk, start) in missing {
            let buffer = &mut buffer[..(chunk.length.min(MAX_CHUNK)) as usize];
            let found = match places.get(&chunk.hash) {
                Some((source, at)) => read(&mut sources[*source], *at, &chunk, buffer),
                None => other.read(&chunk, buffer)?,
            };
            if found {
                file.write_at(start, buffer)?;
            } else {
                todo.push_back(start..start + u64::from(chunk.length));
            }
        }
        Ok(todo)
    }
}

/// Reads a chunk from a file, if it is there.
fn read(source: &mut File, at: u64, chunk: &Chunk, buffer: &mut [u8]) -> bool {
    source.seek(SeekFrom::Start(at)).is_ok()
        && source.read_exact(buffer).is_ok()
        && MediaHash::of(buffer) == chunk.hash
}

/// The file that is in the entry's place now.
fn old_version(folder: &Folder, want: &Want) -> Result<Option<File>> {
    if deviates(req::SYN_076) {
        return Ok(None);
    }
    let record = folder.index().get(folder.id(), want.theirs.path.as_str())?;
    let Some((record, seen)) = record.and_then(|record| record.seen.map(|seen| (record, seen))) else {
        return Ok(None);
    };
    open_seen(folder.root(), &record.entry.path, &seen)
}

/// Whether there is something in the entry's place that may have chunks of the new content.
pub(super) fn has_old_version(folder: &Folder, want: &Want) -> Result<bool> {
    let record = folder.index().get(folder.id(), want.theirs.path.as_str())?;
    Ok(record.is_some_and(|record| match record.entry.kind {
        Kind::File { size, .. } => size >= u64::from(meshproof_proto::sync::manifest::MIN_CHUNK),
        _ => false,
    }))
}

/// Where each chunk is: in which of the files, from where on.
fn cut_all(sources: &mut [File]) -> HashMap<MediaHash, (usize, u64)> {
    let mut places = HashMap::new();
    for (number, source) in sources.iter_mut().enumerate() {
        let size = source.metadata().map_or(0, |metadata| metadata.len());
        let from_start = || {
            (&*source).seek(SeekFrom::Start(0)).ok()?;
            Some(&*source)
        };
        let mut at = 0;
        for chunk in cut(size, from_start).unwrap_or_default() {
            places.entry(chunk.hash).or_insert((number, at));
            at += u64::from(chunk.length);
        }
    }
    places
}

/// Other files of the folder, of which the last is kept open: the next chunk is mostly in the same.
struct Others<'a> {
    folder: &'a Folder,
    open: Option<(MediaHash, File)>,
}

impl Others<'_> {
    fn read(&mut self, chunk: &Chunk, buffer: &mut [u8]) -> Result<bool> {
        for (hash, at) in self.folder.index().places(self.folder.id(), &chunk.hash)? {
            if self.open.as_ref().is_none_or(|(open, _)| *open != hash) {
                self.open = self.folder.open_any(&hash)?.map(|(file, _)| (hash, file));
            }
            if let Some((_, file)) = &mut self.open
                && read(file, at, chunk, buffer)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
