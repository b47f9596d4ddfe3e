//! The messages (`spec/sync.md`, section 3).

use alloc::string::String;
use alloc::vec::Vec;

use super::PortablePath;
use super::manifest::{self, Chunk, ManifestRequest};
use crate::codec::{Id, Reader, Write};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some};
use crate::storage::MediaHash;

/// The longest body of a message, in bytes (SYN-002).
pub const MAX_BODY: usize = 1_048_576;
/// The most bytes that one REQUEST may ask for (SYN-009).
pub const MAX_REQUEST: u32 = 262_144;
const HEADER: usize = 5;
const MAX_VERSION: usize = 64;
/// The largest counter of a version and the largest Lamport counter (SYN-007, SYN-008).
pub const MAX_COUNTER: u64 = (1 << 48) - 1;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The folders that this device wants to sync, ascending.
    Hello(Vec<Id>),
    /// Entries of one folder, ascending by path over all messages for it.
    Index {
        /// The folder.
        folder: Id,
        /// Whether no more follow for this folder.
        last: bool,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Asks for content.
    Request(Request),
    /// Answers a request.
    Block {
        /// The number of the request.
        request: u32,
        /// The bytes, or `None` if they are not here any more.
        content: Option<Vec<u8>>,
    },
    /// This device has all it wants of this folder.
    Done(Id),
    /// This device asks for nothing more.
    Bye,
    /// Asks for the chunks of a content.
    ManifestRequest(ManifestRequest),
    /// Answers that.
    Manifest {
        /// The number of the request.
        request: u32,
        /// The chunks in their order, or `None` if the content is not here any more.
        chunks: Option<Vec<Chunk>>,
    },
}

/// Asks for `length` bytes at `offset` of the content with this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The sender's number for it.
    pub request: u32,
    /// The folder that has the content.
    pub folder: Id,
    /// The content.
    pub hash: MediaHash,
    /// Where to start, in bytes.
    pub offset: u64,
    /// How much, at most [`MAX_REQUEST`].
    pub length: u32,
}

/// The state of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: PortablePath,
    /// What.
    pub kind: Kind,
    /// POSIX permission bits.
    pub mode: u16,
    /// When the content was modified, in nanoseconds since 1970. Decides nothing.
    pub mtime: u64,
    /// The Lamport counter of the last change.
    pub lamport: u64,
    /// The device of the last change.
    pub writer: Id,
    /// All changes.
    pub version: Version,
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was deleted.
    Tombstone,
    /// A file.
    File {
        /// In bytes.
        size: u64,
        /// Of its bytes.
        hash: MediaHash,
    },
    /// A directory.
    Directory,
}

/// A version vector: ascending devices, each with the number of its changes; 1 to 64 of them (SYN-008).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version(Vec<(Id, u64)>);

impl Version {
    /// Checks the rule.
    pub fn new(counters: Vec<(Id, u64)>) -> Result<Self, Error> {
        let ascending = counters.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let counted = counters.iter().all(|(_, counter)| (1..=MAX_COUNTER).contains(counter));
        demand((1..=MAX_VERSION).contains(&counters.len()) && ascending && counted, req::SYN_008)?;
        Ok(Self(counters))
    }

    /// The counters.
    pub fn counters(&self) -> &[(Id, u64)] {
        &self.0
    }

    /// This version and one more change by `device`. `None` if no version can say so: it is full, or the counter is.
    #[must_use]
    pub fn bump(&self, device: Id) -> Option<Self> {
        let mut counters = self.0.clone();
        match counters.binary_search_by_key(&device, |(id, _)| *id) {
            Ok(at) => counters[at].1 += 1,
            Err(at) => counters.insert(at, (device, 1)),
        }
        Self::new(counters).ok()
    }

    /// Whether every change of `other` is in this version.
    pub fn dominates(&self, other: &Self) -> bool {
        other.0.iter().all(|(device, counter)| self.counter(*device) >= *counter)
    }

    /// The least version that dominates both. `None` if it would be of more than 64 devices.
    #[must_use]
    pub fn join(&self, other: &Self) -> Option<Self> {
        let mut joined = self.0.clone();
        for (device, counter) in &other.0 {
            match joined.binary_search_by_key(device, |(id, _)| *id) {
                Ok(at) => joined[at].1 = joined[at].1.max(*counter),
                Err(at) => joined.insert(at, (*device, *counter)),
            }
        }
        Self::new(joined).ok()
    }

    fn counter(&self, device: Id) -> u64 {
        self.0.binary_search_by_key(&device, |(id, _)| *id).map_or(0, |at| self.0[at].1)
    }
}

impl Message {
    /// Appends the message to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u8(self.number());
        out.put_u32(0);
        match self {
            Self::Hello(folders) => {
                put_count16(out, folders.len());
                folders.iter().for_each(|folder| out.extend_from_slice(&folder.0));
            }
            Self::Index { folder, last, entries } => {
                out.extend_from_slice(&folder.0);
                out.put_u8(u8::from(*last));
                out.put_u32(u32::try_from(entries.len()).unwrap_or(u32::MAX));
                entries.iter().for_each(|entry| entry.write(out));
            }
            Self::Request(r) => {
                out.put_u32(r.request);
                out.extend_from_slice(&r.folder.0);
                out.extend_from_slice(&r.hash.0);
                out.put_u64(r.offset);
                out.put_u32(r.length);
            }
            Self::Block { request, content } => {
                out.put_u32(*request);
                out.put_u8(u8::from(content.is_none()));
                out.extend_from_slice(content.as_deref().unwrap_or_default());
            }
            Self::Done(folder) => out.extend_from_slice(&folder.0),
            Self::Bye => {}
            Self::ManifestRequest(request) => request.write(out),
            Self::Manifest { request, chunks } => manifest::write(*request, chunks.as_deref(), out),
        }
        let length = u32::try_from(out.len() - start - HEADER).unwrap_or(u32::MAX);
        out[start + 1..start + HEADER].copy_from_slice(&length.to_be_bytes());
    }

    fn number(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Index { .. } => 2,
            Self::Request(_) => 3,
            Self::Block { .. } => 4,
            Self::Done(_) => 5,
            Self::Bye => 6,
            Self::ManifestRequest(_) => 7,
            Self::Manifest { .. } => 8,
        }
    }

    fn read(number: u8, body: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(body);
        let message = match number {
            1 => Self::read_hello(&mut fields)?,
            2 => Self::read_index(&mut fields)?,
            3 => Self::Request(read_request(&mut fields)?),
            4 => Self::read_block(&mut fields)?,
            5 => Self::Done(malformed(fields.array().map(Id))?),
            6 => Self::Bye,
            7 => Self::ManifestRequest(ManifestRequest::read(&mut fields)?),
            8 => {
                let (request, chunks) = manifest::read(&mut fields)?;
                Self::Manifest { request, chunks }
            }
            // What the mutant takes it for is a message without effect.
            _ => demand(false, req::SYN_001).map(|()| Self::Done(Id::default()))?,
        };
        demand(fields.is_empty(), req::SYN_003)?;
        Ok(message)
    }

    fn read_hello(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let count = malformed(fields.u16())?;
        let bytes = malformed(fields.take(usize::from(count) * 16))?;
        let folders: Vec<Id> =
            bytes.chunks_exact(16).map(|id| Id(id.try_into().unwrap_or_default())).collect();
        demand(folders.windows(2).all(|pair| pair[0] < pair[1]), req::SYN_003)?;
        Ok(Self::Hello(folders))
    }

    fn read_index(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let folder = malformed(fields.array().map(Id))?;
        let last = malformed(fields.u8().filter(|last| *last <= 1))? == 1;
        let count = malformed(fields.u32())?;
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..count {
            let entry = Entry::read(fields)?;
            demand(entries.last().is_none_or(|before| before.path < entry.path), req::SYN_006)?;
            entries.push(entry);
        }
        Ok(Self::Index { folder, last, entries })
    }

    fn read_block(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let request = malformed(fields.u32())?;
        let gone = malformed(fields.u8().filter(|status| *status <= 1))? == 1;
        let content = fields.rest();
        demand(!gone || content.is_empty(), req::SYN_003)?;
        Ok(Self::Block { request, content: (!gone).then(|| content.to_vec()) })
    }
}

fn read_request(fields: &mut Reader<'_>) -> Result<Request, Error> {
    let request = Request {
        request: malformed(fields.u32())?,
        folder: malformed(fields.array().map(Id))?,
        hash: malformed(fields.array().map(MediaHash))?,
        offset: malformed(fields.u64())?,
        length: malformed(fields.u32())?,
    };
    demand(request.length <= MAX_REQUEST, req::SYN_009)?;
    Ok(request)
}

impl Entry {
    /// Whether two entries are the same thing, whoever wrote them.
    pub fn same_content(&self, other: &Self) -> bool {
        self.kind == other.kind
    }

    /// Whether the path does not exist any more.
    pub fn is_deleted(&self) -> bool {
        self.kind == Kind::Tombstone
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_field16(self.path.as_str().as_bytes());
        let (number, size, hash) = match self.kind {
            Kind::Tombstone => (0, 0, MediaHash::default()),
            Kind::File { size, hash } => (1, size, hash),
            Kind::Directory => (2, 0, MediaHash::default()),
        };
        out.put_u8(number);
        out.put_u16(self.mode);
        out.put_u64(self.mtime);
        out.put_u64(size);
        out.extend_from_slice(&hash.0);
        out.put_u64(self.lamport);
        out.extend_from_slice(&self.writer.0);
        put_count16(out, self.version.0.len());
        for (device, counter) in &self.version.0 {
            out.extend_from_slice(&device.0);
            out.put_u64(*counter);
        }
    }

    fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let path: String =
            malformed(fields.field16().and_then(|path| core::str::from_utf8(path).ok()))?.into();
        let path = PortablePath::parse(&path)?;
        let number = malformed(fields.u8())?;
        let mode = malformed(fields.u16())?;
        let mtime = malformed(fields.u64())?;
        let size = malformed(fields.u64())?;
        let hash = malformed(fields.array().map(MediaHash))?;
        let bare = size == 0 && hash == MediaHash::default();
        let kind = match number {
            0 if bare => Some(Kind::Tombstone),
            1 => Some(Kind::File { size, hash }),
            2 if bare => Some(Kind::Directory),
            _ => None,
        };
        let kind = demand_some(kind, req::SYN_007, || Kind::Directory)?;
        let lamport = malformed(fields.u64())?;
        demand(lamport <= MAX_COUNTER, req::SYN_007)?;
        let writer = malformed(fields.array().map(Id))?;
        let count = malformed(fields.u16())?;
        let mut counters = Vec::new();
        for _ in 0..count {
            counters.push((malformed(fields.array().map(Id))?, malformed(fields.u64())?));
        }
        Ok(Self { path, kind, mode, mtime, lamport, writer, version: Version::new(counters)? })
    }
}

pub(super) fn malformed<T>(field: Option<T>) -> Result<T, Error> {
    field.ok_or_else(|| req::SYN_003.into())
}

fn put_count16(out: &mut Vec<u8>, count: usize) {
    out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
}

/// Messages out of a byte stream.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    at: usize,
    /// The last path of the unfinished INDEX, for SYN-006.
    index: Option<(Id, PortablePath)>,
}

impl Decoder {
    /// Takes bytes as they come from the channel.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, or `None` when more bytes are needed.
    #[allow(clippy::should_implement_trait)] // fallible
    pub fn next(&mut self) -> Result<Option<Message>, Error> {
        let mut rest = Reader::new(&self.buffer[self.at..]);
        let Some(number) = rest.u8() else { return Ok(None) };
        demand((1..=8).contains(&number), req::SYN_001)?;
        let Some(length) = rest.u32().and_then(|length| usize::try_from(length).ok()) else {
            return Ok(None);
        };
        demand(length <= MAX_BODY, req::SYN_002)?;
        let Some(body) = rest.take(length) else { return Ok(None) };
        let message = Message::read(number, body)?;
        self.at += HEADER + length;
        self.check_order(&message)?;
        Ok(Some(message))
    }

    /// SYN-006 over the messages of one folder.
    fn check_order(&mut self, message: &Message) -> Result<(), Error> {
        let Message::Index { folder, last, entries } = message else { return Ok(()) };
        if let (Some((before_in, before)), Some(first)) = (&self.index, entries.first()) {
            demand(before_in != folder || *before < first.path, req::SYN_006)?;
        }
        if *last {
            self.index = None;
        } else if let Some(entry) = entries.last() {
            self.index = Some((*folder, entry.path.clone()));
        }
        Ok(())
    }
}
