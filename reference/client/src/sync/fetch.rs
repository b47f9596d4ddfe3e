//! Getting content: from a file of the folder that has it already, or from the peer by requests of which many are
//! under way at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Read;

use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::message::{Entry, MAX_REQUEST, Request};
use meshproof_proto::sync::{Kind, Message};

use super::temp::{Ready, TempFile};
use super::{Folder, disk};
use crate::error::Result;

/// How many bytes are asked for and not here yet. This bounds what a session keeps in memory.
const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// How many requests are unanswered.
const WINDOW_REQUESTS: usize = 2_048;

/// Content that is needed for an entry of the folder with this number in the session.
pub(super) struct Want {
    pub(super) folder: usize,
    pub(super) theirs: Entry,
}

/// What came out of a block or a local copy.
pub(super) enum Fetched {
    /// More is to come.
    Part,
    /// The content is complete and verified.
    Complete(Want, Ready),
    /// The peer does not have it any more.
    Gone(Want),
}

/// All content that is on its way.
#[derive(Default)]
pub(super) struct Fetch {
    queue: VecDeque<Want>,
    /// The file whose requests are being written.
    asking: Option<u64>,
    files: HashMap<u64, Receiving>,
    parts: HashMap<u32, Part>,
    outstanding: u64,
    next_file: u64,
    next_request: u32,
}

struct Receiving {
    want: Want,
    size: u64,
    hash: MediaHash,
    file: TempFile,
    /// Up to where it was asked for.
    asked: u64,
    unanswered: usize,
    /// Parts that came before those in front of them.
    early: BTreeMap<u64, Vec<u8>>,
    gone: bool,
}

struct Part {
    file: u64,
    offset: u64,
    length: u32,
}

impl Fetch {
    /// Content is needed.
    pub(super) fn want(&mut self, want: Want) {
        self.queue.push_back(want);
    }

    /// Whether nothing is needed any more.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.files.is_empty()
    }

    /// Whether all that was asked for has been answered.
    pub(super) fn is_answered(&self) -> bool {
        self.parts.is_empty()
    }

    /// Writes as many requests as may be under way to `out`. Returns content that was here already.
    pub(super) fn ask(&mut self, folders: &[&Folder], out: &mut Vec<u8>) -> Result<Option<Fetched>> {
        while self.outstanding < WINDOW_BYTES && self.parts.len() < WINDOW_REQUESTS {
            if let Some(number) = self.asking
                && self.ask_for_part(number, folders, out)
            {
                continue;
            }
            let Some(want) = self.queue.pop_front() else { return Ok(None) };
            let folder = folders[want.folder];
            let Kind::File { size, hash } = want.theirs.kind else { continue };
            if size > 0
                && let Some(ready) = copy_local(folder, &want, size, &hash)?
            {
                return Ok(Some(Fetched::Complete(want, ready)));
            }
            let file = folder.temp_file()?;
            let receiving = Receiving {
                want,
                size,
                hash,
                file,
                asked: 0,
                unanswered: 0,
                early: BTreeMap::new(),
                gone: false,
            };
            if size == 0 {
                return receiving.complete().map(Some);
            }
            self.files.insert(self.next_file, receiving);
            self.asking = Some(self.next_file);
            self.next_file += 1;
        }
        Ok(None)
    }

    /// Asks for the next part of the file. `false`: all of it was asked for.
    fn ask_for_part(&mut self, number: u64, folders: &[&Folder], out: &mut Vec<u8>) -> bool {
        let file = self.files.get_mut(&number).filter(|file| file.asked < file.size && !file.gone);
        let Some(file) = file else {
            self.asking = None;
            return false;
        };
        let length = u32::try_from(file.size - file.asked).unwrap_or(u32::MAX).min(MAX_REQUEST);
        let (request, offset) = (self.next_request, file.asked);
        let folder = folders[file.want.folder].id();
        Message::Request(Request { request, folder, hash: file.hash, offset, length }).write(out);
        file.asked += u64::from(length);
        file.unanswered += 1;
        self.parts.insert(request, Part { file: number, offset, length });
        self.outstanding += u64::from(length);
        self.next_request = self.next_request.wrapping_add(1);
        true
    }

    /// A BLOCK came.
    pub(super) fn block(&mut self, request: u32, content: Option<Vec<u8>>) -> Result<Fetched> {
        let part = self.parts.remove(&request);
        demand(part.is_some(), req::SYN_015)?;
        let Some(part) = part else { return Ok(Fetched::Part) };
        self.outstanding -= u64::from(part.length);
        let Some(file) = self.files.get_mut(&part.file) else { return Ok(Fetched::Part) };
        file.unanswered -= 1;
        match content {
            None => file.gone = true,
            Some(content) => {
                // A part of another length cannot be of content with this hash.
                demand(content.len() as u64 == u64::from(part.length), req::SYN_030)?;
                file.take(part.offset, content)?;
            }
        }
        if file.unanswered > 0 || (file.asked < file.size && !file.gone) {
            return Ok(Fetched::Part);
        }
        match self.files.remove(&part.file) {
            Some(file) if file.gone => Ok(Fetched::Gone(file.want)),
            Some(file) => file.complete(),
            None => Ok(Fetched::Part),
        }
    }
}

impl Receiving {
    fn take(&mut self, offset: u64, content: Vec<u8>) -> Result<()> {
        if offset != self.file.written() {
            self.early.insert(offset, content);
            return Ok(());
        }
        self.file.write(&content)?;
        while let Some(next) = self.early.remove(&self.file.written()) {
            self.file.write(&next)?;
        }
        Ok(())
    }

    fn complete(mut self) -> Result<Fetched> {
        for (_, rest) in std::mem::take(&mut self.early) {
            self.file.write(&rest)?;
        }
        demand(self.file.hash() == self.hash, req::SYN_030)?;
        let ready = self.file.finish(self.want.theirs.mode, self.want.theirs.mtime)?;
        Ok(Fetched::Complete(self.want, ready))
    }
}

/// A rename or a copy needs no transfer: another file of the folder may have the content.
fn copy_local(folder: &Folder, want: &Want, size: u64, hash: &MediaHash) -> Result<Option<Ready>> {
    for source in folder.index().find(folder.id(), hash)? {
        let Some(seen) = source.seen else { continue };
        let Some(file) = disk::open_seen(folder.root(), &source.entry.path, &seen)? else { continue };
        let mut copy = folder.temp_file()?;
        let mut reader = file.take(size);
        let mut buffer = vec![0; usize::try_from(size.min(256 * 1024)).unwrap_or_default()];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            copy.write(&buffer[..count])?;
        }
        if copy.hash() == *hash {
            return copy.finish(want.theirs.mode, want.theirs.mtime).map(Some);
        }
    }
    Ok(None)
}
