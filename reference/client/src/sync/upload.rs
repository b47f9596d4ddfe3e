//! The sending half of a session, on a thread of its own: indexes, then answers to requests. It waits for room in the
//! channel so that nobody else has to.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Entry;
use meshproof_proto::sync::manifest::ManifestRequest;
use meshproof_proto::sync::message::{MAX_BODY, Request, WHO_KEEPS};
use meshproof_proto::sync::{Chunk, Message};
use tokio::sync::mpsc::Receiver;

use super::Folder;
use super::chunk::cut;
use super::disk::{Seen, is_seen};
use super::hash::fill_at;
use super::keepers::Kept;
use super::progress::Progress;
use super::take::Differing;
use crate::error::{Error, Result};
use crate::transport::Outgoing;

/// Messages are put together up to this size.
const PIECE: usize = 256 * 1024;
/// What a message has before its body, and a BLOCK before its bytes.
const HEADER: usize = 5;
const BLOCK_HEADER: usize = HEADER + 5;

/// Keeps what the session has to say behind the indexes: requests and DONE come after INDEX (section 3.3).
pub(super) struct Gate {
    outgoing: Outgoing,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// How many indexes are not out yet. `None`: not known yet.
    indexes: Option<usize>,
    bytes: Vec<u8>,
}

impl Gate {
    pub(super) fn new(outgoing: Outgoing) -> Self {
        Self { outgoing, held: Mutex::default() }
    }

    /// Sends what comes before the indexes. Does not wait.
    pub(super) fn send_at_once(&self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.outgoing.send(bytes);
        }
    }

    /// Sends, as soon as the indexes are out. Does not wait.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.indexes == Some(0) {
            self.outgoing.send(bytes);
        } else {
            held.bytes.extend_from_slice(&bytes);
        }
    }

    /// So many indexes will be sent.
    pub(super) fn opens_after(&self, indexes: usize) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).indexes = Some(indexes);
        self.release();
    }

    /// An index is out.
    fn index_is_out(&self) {
        {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.indexes = held.indexes.map(|indexes| indexes.saturating_sub(1));
        }
        self.release();
    }

    fn release(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.indexes == Some(0) && !held.bytes.is_empty() {
            self.outgoing.send(std::mem::take(&mut held.bytes));
        }
    }
}

/// What the thread is told to do.
pub(super) enum Job {
    /// Send the entries in these buckets of the folder with this number.
    Index(usize, Box<Differing>),
    /// Answer a request for a file of the folder with this number.
    Answer(usize, Request),
    /// Say how a content of the folder with this number is cut into chunks.
    Manifest(usize, ManifestRequest),
}

pub(super) struct Upload<'a> {
    pub(super) folders: &'a [&'a Folder],
    pub(super) outgoing: Outgoing,
    pub(super) gate: &'a Gate,
    pub(super) progress: &'a dyn Progress,
    pub(super) peer: Id,
    /// The file of the last answer: the next is mostly for the same.
    pub(super) open: Option<(usize, MediaHash, File, Seen)>,
    /// What is kept of each folder, if anybody asked.
    pub(super) kept: Vec<Option<Kept>>,
    /// How many bytes of content are in what is put together.
    pub(super) content: u64,
    /// The user who gets it through a relay at the expense of this one's account. `None`: directly, or the same user.
    pub(super) guest: Option<Id>,
}

impl Upload<'_> {
    /// Works until there are no more jobs, or the channel ended. Returns how many bytes of content it sent.
    pub(super) fn run(mut self, jobs: &mut Receiver<Job>) -> Result<u64> {
        let sent = self.work(jobs);
        self.outgoing.pulse().sends(false);
        sent
    }

    fn work(&mut self, jobs: &mut Receiver<Job>) -> Result<u64> {
        let mut sent = 0;
        let mut piece = Vec::new();
        let mut sizes = Vec::new();
        for folder in self.folders.iter().filter(|_| self.guest.is_some()) {
            sizes.push(folder.index().totals(folder.id())?.1);
        }
        while let Some(job) = jobs.blocking_recv() {
            self.outgoing.pulse().sends(true);
            let mut next = Some(job);
            while let Some(job) = next {
                match job {
                    // SYN-118
                    Job::Index(number, _) if !self.gives(number, 0, &sizes) => {
                        self.outgoing.abort();
                        return Err(Error::usage(
                            "its user was given as much through relays as there is in a day",
                        ));
                    }
                    Job::Manifest(number, asked) if !self.gives(number, MAX_BODY, &sizes) => {
                        Message::Manifest { request: asked.request, chunks: None }.write(&mut piece);
                    }
                    Job::Answer(number, asked) if !self.gives(number, asked.length as usize, &sizes) => {
                        Message::Block { request: asked.request, content: None }.write(&mut piece);
                    }
                    Job::Index(number, differing) => {
                        let bytes = self.write_index(number, &differing, &mut piece)?;
                        self.gives(number, bytes, &sizes);
                        self.flush(&mut piece);
                        self.gate.index_is_out();
                    }
                    Job::Manifest(number, asked) => {
                        let chunks = self.chunks(number, &asked.hash)?;
                        Message::Manifest { request: asked.request, chunks }.write(&mut piece);
                    }
                    Job::Answer(number, request) => sent += self.answer(number, &request, &mut piece)?,
                }
                if piece.len() >= PIECE && !self.flush(&mut piece) {
                    return Ok(sent);
                }
                next = jobs.try_recv().ok();
            }
            if !self.flush(&mut piece) {
                return Ok(sent);
            }
            self.outgoing.pulse().sends(false);
        }
        Ok(sent)
    }

    /// SYN-118: whether so many bytes more of this folder may go to who gets them.
    fn gives(&self, number: usize, bytes: usize, sizes: &[u64]) -> bool {
        let Some(user) = self.guest else { return true };
        let size = sizes.get(number).copied().unwrap_or_default();
        self.folders[number].given().take(user, bytes as u64, crate::now().0 / 86_400, size)
    }

    /// Sends, as fast as it may and as the peer takes it. `false`: the channel has ended.
    fn flush(&mut self, piece: &mut Vec<u8>) -> bool {
        let slice = self.progress.slice().max(1);
        if piece.len() <= slice {
            return self.send(std::mem::take(piece));
        }
        // Little at a time, so that the peer sees that it goes on.
        let going_on = piece.chunks(slice).all(|slice| self.send(slice.to_vec()));
        piece.clear();
        going_on
    }

    fn send(&mut self, bytes: Vec<u8>) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let content = self.content.min(bytes.len() as u64);
        if content > 0 {
            self.content -= content;
            self.progress.sent(self.peer, content);
        }
        let pulse = self.outgoing.pulse();
        pulse.sends(false);
        let taken = self.outgoing.send_bulk(bytes);
        pulse.sends(true);
        pulse.beat();
        taken
    }

    /// SYN-043, SYN-044: all entries of the buckets that differ, and no others.
    /// Returns about how many bytes that is.
    fn write_index(&mut self, number: usize, differing: &Differing, piece: &mut Vec<u8>) -> Result<usize> {
        let folder = self.folders[number];
        let (mut some, mut size, mut all) = (Vec::new(), 0, 0);
        for (bucket, _) in (0_u8..=u8::MAX).zip(differing).filter(|(_, differs)| **differs) {
            for entry in folder.index().bucket(folder.id(), bucket)? {
                if deviates(req::SYN_044) && entry.is_gone() {
                    continue;
                }
                // Names may be long and contents many: a message is cut by bytes.
                let bytes = size_of(&entry);
                if size + bytes > MAX_BODY - 64 {
                    let entries = std::mem::take(&mut some);
                    Message::Index { folder: folder.id(), last: false, entries }.write(piece);
                    size = 0;
                }
                if piece.len() >= PIECE {
                    self.flush(piece);
                }
                (size, all) = (size + bytes, all + bytes);
                some.push(entry);
            }
        }
        Message::Index { folder: folder.id(), last: true, entries: some }.write(piece);
        Ok(all)
    }

    fn answer(&mut self, number: usize, request: &Request, piece: &mut Vec<u8>) -> Result<u64> {
        if (request.offset, request.length) == (WHO_KEEPS, 0) {
            let content = self.keeps(number, &request.hash)?.then(Vec::new);
            Message::Block { request: request.request, content }.write(piece);
            return Ok(0);
        }
        let (start, content) = (piece.len(), piece.len() + BLOCK_HEADER);
        Message::Block { request: request.request, content: Some(Vec::new()) }.write(piece);
        // The bytes go from the file to their place in the message.
        if !self.read(number, request, piece)? {
            // SYN-032
            piece.truncate(start);
            Message::Block { request: request.request, content: None }.write(piece);
            return Ok(0);
        }
        let sent = piece.len() - content;
        let body = u32::try_from(piece.len() - start - HEADER).unwrap_or(u32::MAX);
        piece[start + 1..start + HEADER].copy_from_slice(&body.to_be_bytes());
        self.content += sent as u64;
        Ok(sent as u64)
    }

    /// Appends the bytes, if some file of the folder has the content (SYN-034) and did not change since it was hashed
    /// (SYN-032). `false`: whatever was appended is of no use.
    fn read(&mut self, number: usize, request: &Request, piece: &mut Vec<u8>) -> Result<bool> {
        let is_open = matches!(&self.open, Some((n, hash, ..)) if (*n, *hash) == (number, request.hash));
        if !is_open && !self.find(number, &request.hash)? {
            return Ok(false);
        }
        let Some((_, _, file, seen)) = &mut self.open else { return Ok(false) };
        let good = read_part(file, seen.size, request, piece).is_some() && is_seen(file, seen);
        if !good {
            self.open = None;
        }
        Ok(good)
    }

    /// SYN-151: whether the content is here to stay.
    fn keeps(&mut self, number: usize, hash: &MediaHash) -> Result<bool> {
        let folder = self.folders[number];
        if self.kept[number].as_ref().is_none_or(|kept| kept.is_old(folder)) {
            self.kept[number] = Some(Kept::of(folder)?);
        }
        let kept = self.kept[number].as_ref().is_some_and(|kept| kept.has(hash));
        Ok(kept && folder.open_any(hash)?.is_some())
    }

    fn find(&mut self, number: usize, hash: &MediaHash) -> Result<bool> {
        let found = self.folders[number].open_any(hash)?;
        let is_found = found.is_some();
        if let Some((file, seen)) = found {
            self.open = Some((number, *hash, file, seen));
        }
        Ok(is_found)
    }

    /// SYN-073: the chunks of a content. `None` if it is not here (SYN-074), or is too long for a MANIFEST.
    fn chunks(&mut self, number: usize, hash: &MediaHash) -> Result<Option<Vec<Chunk>>> {
        let folder = self.folders[number];
        let Some((file, seen)) = folder.open_any(hash)? else { return Ok(None) };
        let mut chunks = folder.index().chunks(folder.id(), hash)?;
        if chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>() != seen.size {
            chunks.clear(); // not known, or known wrongly
        }
        if chunks.is_empty() {
            let from_start = || {
                (&file).seek(SeekFrom::Start(0)).ok()?;
                Some(&file)
            };
            match cut(seen.size, from_start).filter(|_| is_seen(&file, &seen)) {
                None => return Ok(None),
                Some(cut) => chunks = cut,
            }
            folder.index().remember(folder.id(), hash, &chunks)?;
        }
        if deviates(req::SYN_073) {
            chunks.iter_mut().for_each(|chunk| chunk.hash = MediaHash::default());
        }
        Ok(Some(chunks))
    }
}

fn read_part(file: &File, size: u64, request: &Request, piece: &mut Vec<u8>) -> Option<()> {
    let length = size.checked_sub(request.offset)?.min(u64::from(request.length));
    let start = piece.len();
    piece.resize(start + usize::try_from(length).ok()?, 0);
    fill_at(file, &mut piece[start..], request.offset).ok()?.then_some(())
}

/// Not less than what the entry takes in an INDEX.
pub(super) fn size_of(entry: &Entry) -> usize {
    let proofs: usize = entry.proofs.iter().map(|proof| 161 + 25 * proof.deleted.len()).sum();
    96 + entry.place.name.as_str().len()
        + 96 * entry.contents.len()
        + 24 * entry.version.counters().len()
        + proofs
}
