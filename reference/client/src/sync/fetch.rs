//! Getting content: from a file of the folder that has it already, or from the peer by requests of which many are
//! under way at once.
//!
//! ```text
//!  small:                            REQUEST all at once; other threads put it on disk
//!  nothing of it is here:            REQUEST all, from the beginning
//!  large, and some of it is here,    MANIFEST-REQUEST --> what is here into its place --> REQUEST the chunks that lack
//!    or others get it as well
//! ```

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{Read, Take};

use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::manifest::{ManifestRequest, WHOLE};
use meshproof_proto::sync::message::{MAX_REQUEST, Request};
use meshproof_proto::sync::{Chunk, Item, Kind, Message};

use super::claims::{Key, Member};
use super::ignore::FILE as IGNORE;
use super::keepers::Questions;
use super::land::Small;
use super::receiving::{Receiving, Step};
use super::temp::Ready;
use super::{Folder, disk, part};
use crate::error::Result;

/// How many bytes are asked for, or here and waiting for some before them. This bounds what a session keeps in memory.
const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// How many requests are unanswered.
const WINDOW_REQUESTS: usize = 2_048;
/// As long as this much of these windows is under way, nothing is asked for: what is asked for one by one, as answers come, wakes both
/// sides for each of them.
const ENOUGH_BYTES: u64 = WINDOW_BYTES / 4 * 3;
const ENOUGH_REQUESTS: usize = WINDOW_REQUESTS / 4 * 3;
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
    /// All of a small file came, and was not looked at.
    Small(Small),
    /// The content is complete and verified.
    Complete(Want, Ready),
    /// Another session got it.
    Elsewhere(Want),
    /// The peer does not have it any more.
    Gone(Want),
    /// So many bytes would be needed, and so many are free.
    NoRoom(Want, u64, u64),
}

/// All content that is on its way.
pub(super) struct Fetch {
    /// This session among those of each folder, by its number.
    members: Vec<Member>,
    queue: VecDeque<Want>,
    /// What others are getting: it is asked for when there is nothing else.
    others: VecDeque<Want>,
    /// The files whose requests are being written, one after the other.
    asking: VecDeque<u64>,
    files: HashMap<u64, Receiving>,
    parts: HashMap<u32, Part>,
    /// What is asked for as a whole.
    small: HashMap<u32, (Want, MediaHash, u32)>,
    /// Which file waits for the answer to which MANIFEST-REQUEST.
    manifests: HashMap<u32, u64>,
    outstanding: u64,
    next_file: u64,
    next_request: u32,
}

struct Part {
    file: u64,
    offset: u64,
    length: u32,
}

impl Fetch {
    pub(super) fn new(members: Vec<Member>) -> Self {
        Self {
            members,
            queue: VecDeque::new(),
            others: VecDeque::new(),
            asking: VecDeque::new(),
            files: HashMap::new(),
            parts: HashMap::new(),
            small: HashMap::new(),
            manifests: HashMap::new(),
            outstanding: 0,
            next_file: 0,
            next_request: 0,
        }
    }

    /// A file is complete, and will be in its place.
    pub(super) fn arrived(&self, want: &Want) {
        if let Kind::File { hash, .. } | Kind::Link { hash, .. } = want.theirs.kind
            && want.theirs.path.as_str() != IGNORE
        {
            self.members[want.folder].arrived(&Key::of(&want.theirs, hash));
        }
    }

    /// Content is needed.
    pub(super) fn want(&mut self, want: Want) {
        self.queue.push_back(want);
    }

    /// The number of a request of the session.
    pub(super) fn number(&mut self) -> u32 {
        let number = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        number
    }

    /// Whether nothing is needed any more.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.others.is_empty() && self.files.is_empty() && self.small.is_empty()
    }

    /// Whether small files are on their way.
    pub(super) fn has_small(&self) -> bool {
        !self.small.is_empty()
    }

    /// Whether all that was asked for has been answered.
    pub(super) fn is_answered(&self) -> bool {
        self.parts.is_empty() && self.small.is_empty() && self.manifests.is_empty()
    }

    /// Whether the peer has only to read what it is to answer with: who cuts a content into chunks may take long.
    pub(super) fn is_owed(&self, questions: &Questions) -> bool {
        let has_asked = !(self.parts.is_empty() && self.small.is_empty() && questions.is_answered());
        has_asked && self.manifests.is_empty()
    }

    /// Writes as many requests as may be under way to `out`, where so many bytes of small files wait. Returns content that was here
    /// already.
    pub(super) fn ask(
        &mut self,
        folders: &[&Folder],
        waiting: u64,
        out: &mut Vec<u8>,
    ) -> Result<Option<Fetched>> {
        // Answers come and small files are put on disk by themselves; what else is held may wait for what is asked for here.
        if self.outstanding + waiting >= ENOUGH_BYTES
            || self.parts.len() + self.small.len() >= ENOUGH_REQUESTS
        {
            return Ok(None);
        }
        let held = waiting + self.files.values().map(Receiving::held).sum::<u64>();
        while self.outstanding + held < WINDOW_BYTES && self.parts.len() + self.small.len() < WINDOW_REQUESTS
        {
            if let Some(number) = self.asking.front().copied() {
                if !self.ask_for_part(number, folders, out) {
                    self.asking.pop_front();
                }
                continue;
            }
            if self.manifests.len() >= WINDOW_MANIFESTS || self.files.len() >= WINDOW_FILES {
                return Ok(None);
            }
            let (want, again) = match self.queue.pop_front() {
                Some(want) => (want, false),
                None => match self.others.pop_front() {
                    Some(want) => (want, true),
                    None => return Ok(None),
                },
            };
            if let Some(fetched) = self.begin(want, again, folders, out)? {
                return Ok(Some(fetched));
            }
        }
        Ok(None)
    }

    /// Begins to get a content; `again` if it is known that others do, too.
    fn begin(
        &mut self,
        want: Want,
        again: bool,
        folders: &[&Folder],
        out: &mut Vec<u8>,
    ) -> Result<Option<Fetched>> {
        let (folder, member) = (folders[want.folder], &self.members[want.folder]);
        let (Kind::File { size, hash } | Kind::Link { size, hash }) = want.theirs.kind else {
            return Ok(None);
        };
        let key = Key::of(&want.theirs, hash);
        if member.is_here(&key) || member.is_joint() && is_in_place(folder, &want)? {
            return Ok(Some(Fetched::Elsewhere(want)));
        }
        // Rules come before all else, whoever gets them too (SYN-083).
        let alone = want.theirs.path.as_str() == IGNORE || member.claim(&key);
        if !alone && !again {
            self.others.push_back(want);
            return Ok(None);
        }
        if size > 0
            && let Some(ready) = copy_local(folder, &want.theirs, size, &hash)?
        {
            return Ok(Some(Fetched::Complete(want, ready)));
        }
        if let length @ 1..=MAX_REQUEST = u32::try_from(size).unwrap_or(u32::MAX) {
            let request = self.number();
            Message::Request(Request { request, folder: folder.id(), hash, offset: 0, length }).write(out);
            self.outstanding += size;
            self.small.insert(request, (want, hash, length));
            return Ok(None);
        }
        if size > WHOLE
            && let Some((needed, free)) = self.lacks_room(folder, &want, size, &hash)
        {
            member.release(&key);
            return Ok(Some(Fetched::NoRoom(want, needed, free)));
        }
        let receiving = Receiving::new(folder, want, (size, hash), alone)?;
        let number = self.next_file;
        self.next_file += 1;
        self.files.insert(number, receiving);
        self.asking.push_back(number);
        if size == 0 { self.step(number, folders).map(Some) } else { Ok(None) }
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

    /// Asks for the next part of the file. `false`: there is nothing to be asked for now.
    fn ask_for_part(&mut self, number: u64, folders: &[&Folder], out: &mut Vec<u8>) -> bool {
        let Some(file) = self.files.get_mut(&number) else { return false };
        let (folder, member) = (folders[file.want.folder].id(), &self.members[file.want.folder]);
        let (hash, request) = (file.hash, self.next_request);
        if !self.manifests.values().any(|waits| *waits == number) && file.asks_for_chunks(member) {
            self.next_request = self.next_request.wrapping_add(1);
            Message::ManifestRequest(ManifestRequest { request, folder, hash }).write(out);
            self.manifests.insert(request, number);
            return true;
        }
        let Some((offset, length)) = file.next(member) else { return false };
        Message::Request(Request { request, folder, hash, offset, length }).write(out);
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
        let Some(number) = number else { return Ok(Fetched::Part) };
        if let Some(file) = self.files.get_mut(&number) {
            let place = file.want.folder;
            file.told(chunks, folders[place], &self.members[place])?;
        }
        self.step(number, folders)
    }

    /// A BLOCK came.
    pub(super) fn block(
        &mut self,
        request: u32,
        content: Option<Vec<u8>>,
        folders: &[&Folder],
    ) -> Result<Fetched> {
        if let Some((want, hash, length)) = self.small.remove(&request) {
            self.outstanding -= u64::from(length);
            let key = Key::of(&want.theirs, hash);
            if self.members[want.folder].is_here(&key) {
                return Ok(Fetched::Elsewhere(want));
            }
            let Some(content) = content else {
                self.members[want.folder].release(&key);
                return Ok(Fetched::Gone(want));
            };
            demand(content.len() as u64 == u64::from(length), req::SYN_030)?;
            show_early(&want, folders, &content);
            return Ok(Fetched::Small(Small { want, hash, content }));
        }
        let part = self.parts.remove(&request);
        demand(part.is_some(), req::SYN_015)?;
        let Some(part) = part else { return Ok(Fetched::Part) };
        self.outstanding -= u64::from(part.length);
        let Some(file) = self.files.get_mut(&part.file) else { return Ok(Fetched::Part) };
        if let Some(content) = &content {
            // A part of another length cannot be of content with this hash.
            demand(content.len() as u64 == u64::from(part.length), req::SYN_030)?;
            show_early(&file.want, folders, content);
        }
        file.take(part.offset, content)?;
        self.step(part.file, folders)
    }

    /// What became of a file; it is looked again whether there is more to ask for.
    fn step(&mut self, number: u64, folders: &[&Folder]) -> Result<Fetched> {
        let Some(file) = self.files.remove(&number) else { return Ok(Fetched::Part) };
        let place = file.want.folder;
        match file.step(folders[place], &self.members[place])? {
            Step::Ended(fetched) => Ok(fetched),
            Step::On(file) => {
                self.files.insert(number, file);
                if !self.asking.contains(&number) {
                    self.asking.push_back(number);
                }
                Ok(Fetched::Part)
            }
        }
    }
}

/// Whether another session has put it into its place.
fn is_in_place(folder: &Folder, want: &Want) -> Result<bool> {
    let record = folder.index().get(folder.id(), want.theirs.path.as_str())?;
    Ok(record.is_some_and(|record| record.entry == want.theirs))
}

/// The mutant shows what has come of a file.
fn show_early(want: &Want, folders: &[&Folder], content: &[u8]) {
    if deviates(req::SYN_031) {
        let root = folders[want.folder].root();
        let _ = std::fs::write(root.join(want.theirs.path.as_str()), content);
    }
}

/// A rename or a copy needs no transfer: another file, or link, of the folder may have the content.
pub(super) fn copy_local(folder: &Folder, item: &Item, size: u64, hash: &MediaHash) -> Result<Option<Ready>> {
    for source in folder.index().find(folder.id(), hash)? {
        let Some(seen) = source.seen else { continue };
        let Some(file) = disk::open_seen(folder.root(), &source.entry.path, &seen)? else { continue };
        if let Some(copy) = copy(folder, item, file.take(size), hash)? {
            return Ok(Some(copy));
        }
    }
    match item.kind {
        Kind::Link { .. } => match folder.open_link(hash)? {
            Some(link) => copy(folder, item, link.take(size), hash),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

fn copy(folder: &Folder, item: &Item, mut from: Take<File>, hash: &MediaHash) -> Result<Option<Ready>> {
    let mut copy = folder.temp_file()?;
    let mut buffer = vec![0; usize::try_from(from.limit().min(256 * 1024)).unwrap_or_default()];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        copy.write(&buffer[..count])?;
    }
    if copy.hash() == *hash { copy.finish(item.mode, item.mtime).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use meshproof_proto::codec::Id;
    use meshproof_proto::crypto::{DEFAULT, Secret};
    use meshproof_proto::sync::Decoder;

    use super::*;
    use crate::sync::{Direction, Index, Signer, sample};

    const FILES: u32 = 10_000;

    fn want(number: u32) -> Want {
        let theirs = sample::file(&format!("file {number}"), &number.to_be_bytes());
        Want { folder: 0, theirs }
    }

    #[test]
    fn small_files_are_not_asked_for_one_by_one() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("folder");
        std::fs::create_dir(&root).unwrap();
        let index = Arc::new(Index::open(&home.path().join("index.db")).unwrap());
        let signer = Arc::new(Signer::new(DEFAULT, Id([1; 16]), &Secret::new([1; 32])));
        let folder = Arc::new(Folder::open(Id([7; 16]), signer, &root, Direction::Both, index).unwrap());
        let mut fetch = Fetch::new(vec![Member::enter(&folder)]);
        (0..FILES).for_each(|number| fetch.want(want(number)));
        // An answer comes, and it is looked at once whether there is more to ask for.
        let (mut asked, mut times) = (0, 0);
        for request in 0..FILES {
            let mut out = Vec::new();
            assert!(fetch.ask(&[&folder], 0, &mut out).unwrap().is_none());
            if !out.is_empty() {
                times += 1;
                let mut decoder = Decoder::default();
                decoder.push(&out);
                while let Some(message) = decoder.next().unwrap() {
                    assert!(matches!(message, Message::Request(_)));
                    asked += 1;
                }
            }
            let fetched = fetch.block(request, Some(request.to_be_bytes().to_vec()), &[&folder]).unwrap();
            assert!(matches!(fetched, Fetched::Small(_)));
        }
        assert_eq!(asked, FILES, "all of them");
        assert!(times < 20, "asked {times} times");
        assert!(fetch.is_idle() && fetch.is_answered());
    }
}
