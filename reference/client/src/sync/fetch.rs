//! Getting content: from a file of the folder that has it already, or from the peer by requests of which many are
//! under way at once.
//!
//! ```text
//!  nothing of it is here:           REQUEST all, from the beginning
//!  large, and some of it is here:   MANIFEST-REQUEST --> what is here into its place --> REQUEST the chunks that lack
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::ops::Range;

use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::manifest::{ManifestRequest, WHOLE};
use meshproof_proto::sync::message::{MAX_REQUEST, Request};
use meshproof_proto::sync::{Chunk, Item, Kind, Message};

use super::plan::{Plan, has_old_version};
use super::temp::{Ready, TempFile};
use super::{Folder, disk, part};
use crate::error::Result;

/// How many bytes are asked for, or here and waiting for some before them. This bounds what a session keeps in memory.
const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// How many requests are unanswered.
const WINDOW_REQUESTS: usize = 2_048;
/// How many files are under way: each is open.
const WINDOW_FILES: usize = 128;
/// How many bytes stay free on a disk for other things.
const RESERVE: u64 = 64 * 1024 * 1024;
/// How many MANIFEST-REQUESTs are unanswered.
const WINDOW_MANIFESTS: usize = 4;

/// Content that is needed for an item of the folder with this number in the session.
pub(super) struct Want {
    pub(super) folder: usize,
    pub(super) theirs: Item,
}

/// What came out of a block or a local copy.
pub(super) enum Fetched {
    /// More is to come.
    Part,
    /// The content is complete and verified.
    Complete(Want, Ready),
    /// The peer does not have it any more.
    Gone(Want),
    /// So many bytes would be needed, and so many are free.
    NoRoom(Want, u64, u64),
}

/// All content that is on its way.
#[derive(Default)]
pub(super) struct Fetch {
    queue: VecDeque<Want>,
    /// The files whose requests are being written, one after the other.
    asking: VecDeque<u64>,
    files: HashMap<u64, Receiving>,
    parts: HashMap<u32, Part>,
    /// Which file waits for the answer to which MANIFEST-REQUEST.
    manifests: HashMap<u32, u64>,
    outstanding: u64,
    next_file: u64,
    next_request: u32,
}

struct Receiving {
    want: Want,
    size: u64,
    hash: MediaHash,
    file: TempFile,
    /// Whether others may have given what is in it.
    is_shared: bool,
    /// What has to be asked for.
    todo: VecDeque<Range<u64>>,
    unanswered: usize,
    gathering: Gathering,
    gone: bool,
}

/// How what comes is put together.
enum Gathering {
    /// Waiting for the chunks. There were so many bytes of the content, and these files of what was to be here before.
    Asked { had: u64, superseded: Vec<File> },
    /// In order. These parts came before those in front of them.
    Whole(BTreeMap<u64, Vec<u8>>),
    /// Chunk by chunk.
    Chunks(Plan),
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
        self.parts.is_empty() && self.manifests.is_empty()
    }

    /// Whether the peer has only to read what it is to answer with: who cuts a content into chunks may take long.
    pub(super) fn is_owed(&self) -> bool {
        self.manifests.is_empty() && !self.parts.is_empty()
    }

    /// Writes as many requests as may be under way to `out`. Returns content that was here already.
    pub(super) fn ask(&mut self, folders: &[&Folder], out: &mut Vec<u8>) -> Result<Option<Fetched>> {
        let held: u64 = self.files.values().map(Receiving::held).sum();
        while self.outstanding + held < WINDOW_BYTES && self.parts.len() < WINDOW_REQUESTS {
            if let Some(number) = self.asking.front().copied() {
                if !self.ask_for_part(number, folders, out) {
                    self.asking.pop_front();
                }
                continue;
            }
            if self.manifests.len() >= WINDOW_MANIFESTS || self.files.len() >= WINDOW_FILES {
                return Ok(None);
            }
            let Some(want) = self.queue.pop_front() else { return Ok(None) };
            let folder = folders[want.folder];
            let Kind::File { size, hash } = want.theirs.kind else { continue };
            if size > 0
                && let Some(ready) = copy_local(folder, &want.theirs, size, &hash)?
            {
                return Ok(Some(Fetched::Complete(want, ready)));
            }
            if size > WHOLE
                && let Some((needed, free)) = self.lacks_room(folder, &want, size, &hash)
            {
                return Ok(Some(Fetched::NoRoom(want, needed, free)));
            }
            let receiving = Receiving::new(folder, want, size, hash)?;
            if size == 0 {
                return receiving.complete(folder).map(Some);
            }
            let number = self.next_file;
            self.next_file += 1;
            if matches!(receiving.gathering, Gathering::Asked { .. }) {
                let request = self.next_request;
                self.next_request = self.next_request.wrapping_add(1);
                Message::ManifestRequest(ManifestRequest { request, folder: folder.id(), hash }).write(out);
                self.manifests.insert(request, number);
            } else {
                self.asking.push_back(number);
            }
            self.files.insert(number, receiving);
        }
        Ok(None)
    }

    /// How many bytes a large file needs beside those that are on their way, and how many are free, if those are fewer: better said before
    /// than after hours. Parts of other files give their room.
    fn lacks_room(&self, folder: &Folder, want: &Want, size: u64, hash: &MediaHash) -> Option<(u64, u64)> {
        let (root, place) = (folder.root(), want.theirs.path.as_str());
        let under_way: u64 = self.files.values().map(Receiving::to_come).sum();
        let needed = size.saturating_sub(part::taken(root, place, hash)).saturating_add(RESERVE);
        let short = || disk::free(root).filter(|free| *free < needed.saturating_add(under_way));
        let missing = needed.saturating_add(under_way) - short()?;
        part::give_up_others(root, place, hash, missing);
        short().map(|free| (needed, free.saturating_sub(under_way)))
    }

    /// Asks for the next part of the file. `false`: all of it was asked for.
    fn ask_for_part(&mut self, number: u64, folders: &[&Folder], out: &mut Vec<u8>) -> bool {
        let Some(file) = self.files.get_mut(&number) else { return false };
        let Some(range) = file.todo.front_mut() else { return false };
        let length = u32::try_from(range.end - range.start).unwrap_or(u32::MAX).min(MAX_REQUEST);
        let (request, offset) = (self.next_request, range.start);
        range.start += u64::from(length);
        if range.is_empty() {
            file.todo.pop_front();
        }
        let folder = folders[file.want.folder].id();
        Message::Request(Request { request, folder, hash: file.hash, offset, length }).write(out);
        file.unanswered += 1;
        self.parts.insert(request, Part { file: number, offset, length });
        self.outstanding += u64::from(length);
        self.next_request = self.next_request.wrapping_add(1);
        true
    }

    /// A MANIFEST came.
    pub(super) fn manifest(
        &mut self,
        request: u32,
        chunks: Option<Vec<Chunk>>,
        folders: &[&Folder],
    ) -> Result<Fetched> {
        let number = self.manifests.remove(&request);
        demand(number.is_some(), req::SYN_015)?;
        let Some((number, file)) = number.and_then(|number| Some((number, self.files.get_mut(&number)?)))
        else {
            return Ok(Fetched::Part);
        };
        file.plan(chunks, folders[file.want.folder])?;
        self.asking.push_back(number);
        self.complete(number, folders)
    }

    /// A BLOCK came.
    pub(super) fn block(
        &mut self,
        request: u32,
        content: Option<Vec<u8>>,
        folders: &[&Folder],
    ) -> Result<Fetched> {
        let part = self.parts.remove(&request);
        demand(part.is_some(), req::SYN_015)?;
        let Some(part) = part else { return Ok(Fetched::Part) };
        self.outstanding -= u64::from(part.length);
        let Some(file) = self.files.get_mut(&part.file) else { return Ok(Fetched::Part) };
        file.unanswered -= 1;
        match content {
            None => {
                file.gone = true;
                file.todo.clear();
            }
            Some(content) => {
                // A part of another length cannot be of content with this hash.
                demand(content.len() as u64 == u64::from(part.length), req::SYN_030)?;
                if deviates(req::SYN_031) {
                    // The mutant shows what has come of a file.
                    let root = folders[file.want.folder].root();
                    let _ = std::fs::write(root.join(file.want.theirs.path.as_str()), &content);
                }
                file.take(part.offset, content)?;
            }
        }
        self.complete(part.file, folders)
    }

    /// What became of a file, if nothing of it is asked for or to be asked for.
    fn complete(&mut self, number: u64, folders: &[&Folder]) -> Result<Fetched> {
        let is_over = |file: &Receiving| file.unanswered == 0 && file.todo.is_empty();
        if !self.files.get(&number).is_some_and(is_over) {
            return Ok(Fetched::Part);
        }
        match self.files.remove(&number) {
            Some(file) if file.gone => Ok(Fetched::Gone(file.want)),
            Some(file) => {
                let folder = folders[file.want.folder];
                file.complete(folder)
            }
            None => Ok(Fetched::Part),
        }
    }
}

impl Receiving {
    fn new(folder: &Folder, want: Want, size: u64, hash: MediaHash) -> Result<Self> {
        let part =
            (size > WHOLE).then(|| part::open(folder.root(), want.theirs.path.as_str(), &hash)).flatten();
        let whole = || (VecDeque::from([0..size; 1]), Gathering::Whole(BTreeMap::new()));
        let (file, (todo, gathering)) = match part {
            Some(part) if part.had > 0 || !part.superseded.is_empty() || has_old_version(folder, &want)? => {
                let asked = Gathering::Asked { had: part.had, superseded: part.superseded };
                (part.file, (VecDeque::new(), asked))
            }
            Some(part) => (part.file, whole()),
            None => (folder.temp_file()?, whole()),
        };
        let todo = if size > 0 { todo } else { VecDeque::new() };
        let is_shared = matches!(gathering, Gathering::Asked { had: 1.., .. });
        Ok(Self { want, size, hash, file, is_shared, todo, unanswered: 0, gathering, gone: false })
    }

    /// The chunks are known, or the peer does not tell them.
    fn plan(&mut self, chunks: Option<Vec<Chunk>>, folder: &Folder) -> Result<()> {
        let asked = std::mem::replace(&mut self.gathering, Gathering::Whole(BTreeMap::new()));
        let Gathering::Asked { had, superseded: mut sources } = asked else { return Ok(()) };
        let Some(chunks) = chunks else {
            // What was here stays for a peer that tells the chunks.
            (self.file, self.is_shared) = (folder.temp_file()?, false);
            self.todo = VecDeque::from([0..self.size; 1]);
            return Ok(());
        };
        let mut plan = Plan::new(chunks, self.size)?;
        if !plan.fits(&mut self.file, had) {
            // What others gave stays as it is, and is read.
            let place = self.want.theirs.path.as_str();
            let beside = part::open_beside(folder.root(), place, &self.hash, &plan.sum());
            let (file, had) = match beside {
                Some(beside) => {
                    sources.extend(beside.superseded);
                    (beside.file, beside.had)
                }
                None => (folder.temp_file()?, 0),
            };
            sources.extend(std::mem::replace(&mut self.file, file).into_source());
            self.is_shared = false;
            plan.fits(&mut self.file, had);
        }
        let filled = plan.fill(&mut self.file, folder, &self.want, sources);
        if filled.is_err() && !self.is_shared {
            // No room, most likely: what was put together gives its own back.
            let _ = self.file.clear();
        }
        self.todo = filled?;
        self.gathering = Gathering::Chunks(plan);
        Ok(())
    }

    /// How many bytes are to be asked for.
    fn to_come(&self) -> u64 {
        match self.gathering {
            Gathering::Asked { .. } => self.size,
            _ => self.todo.iter().map(|range| range.end - range.start).sum(),
        }
    }

    /// How many bytes came and wait for others.
    fn held(&self) -> u64 {
        match &self.gathering {
            Gathering::Asked { .. } => 0,
            Gathering::Whole(early) => early.values().map(|content| content.len() as u64).sum(),
            Gathering::Chunks(plan) => plan.held(),
        }
    }

    fn take(&mut self, offset: u64, content: Vec<u8>) -> Result<()> {
        match &mut self.gathering {
            Gathering::Asked { .. } => Ok(()),
            Gathering::Chunks(plan) => plan.take(offset, &content, &mut self.file),
            Gathering::Whole(early) => {
                if offset != self.file.written() {
                    early.insert(offset, content);
                    return Ok(());
                }
                self.file.write(&content)?;
                while let Some(next) = early.remove(&self.file.written()) {
                    self.file.write(&next)?;
                }
                Ok(())
            }
        }
    }

    fn complete(mut self, folder: &Folder) -> Result<Fetched> {
        let hash = match &mut self.gathering {
            Gathering::Asked { .. } => return Ok(Fetched::Part),
            Gathering::Whole(early) => {
                for (_, rest) in std::mem::take(early) {
                    self.file.write(&rest)?;
                }
                self.file.hash()
            }
            Gathering::Chunks(_) => self.file.hash_all(self.size)?,
        };
        if let Err(error) = demand(hash == self.hash, req::SYN_030) {
            if !self.is_shared {
                self.file.discard();
            }
            return Err(error.into());
        }
        if let Gathering::Chunks(plan) = &self.gathering {
            folder.index().remember(folder.id(), &self.hash, plan.chunks())?;
        }
        let ready = self.file.finish(self.want.theirs.mode, self.want.theirs.mtime)?;
        Ok(Fetched::Complete(self.want, ready))
    }
}

/// A rename or a copy needs no transfer: another file of the folder may have the content.
pub(super) fn copy_local(folder: &Folder, item: &Item, size: u64, hash: &MediaHash) -> Result<Option<Ready>> {
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
            return copy.finish(item.mode, item.mtime).map(Some);
        }
    }
    Ok(None)
}
