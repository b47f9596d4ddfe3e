//! The messages (`spec/sync.md`, section 3).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::digest::{BUCKETS, Digests};
use super::entry::{Context, Entry};
use super::fork::{self, Fork};
use super::manifest::{self, Chunk, ManifestRequest};
use super::wire::{malformed, read_flag};
use super::writer::{self, Card, Head};
use crate::codec::{Id, Reader, Write};
use crate::error::Error;
use crate::requirement::{self as req, demand};
use crate::storage::MediaHash;

/// The longest body of a message, in bytes (SYN-002).
pub const MAX_BODY: usize = 1_048_576;
/// The most bytes that one REQUEST may ask for (SYN-009).
pub const MAX_REQUEST: u32 = 262_144;
const HEADER: usize = 5;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The folders that this device wants to sync, ascending.
    Hello(Vec<Id>),
    /// What this device has of one folder, in short.
    State(Box<State>),
    /// Entries of one folder, ascending by identifier over all messages for it.
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
    /// Who writes in a folder.
    Writers {
        /// The folder.
        folder: Id,
        /// What the issuer says of some of them.
        cards: Vec<Card>,
    },
    /// Which writers of a folder said two things under one number.
    Forks {
        /// The folder.
        folder: Id,
        /// What shows it.
        forks: Vec<Fork>,
    },
}

/// What a device has of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The folder.
    pub folder: Id,
    /// Whether the INDEX will have all that this device has in the buckets that differ.
    pub complete: bool,
    /// The changes that it has seen: of each writer all up to this.
    pub heads: Vec<Head>,
    /// The digests of its entries.
    pub digests: Digests,
}

/// A REQUEST of no bytes at this offset asks whether the sender keeps the content (SYN-151). Who does not know the question has
/// nothing there.
pub const WHO_KEEPS: u64 = u64::MAX;

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
            Self::State(state) => state.write(out),
            Self::ManifestRequest(request) => request.write(out),
            Self::Manifest { request, chunks } => manifest::write(*request, chunks.as_deref(), out),
            Self::Writers { folder, cards } => {
                out.extend_from_slice(&folder.0);
                writer::write_cards(cards, out);
            }
            Self::Forks { folder, forks } => {
                out.extend_from_slice(&folder.0);
                fork::write_all(forks, out);
            }
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
            Self::State(_) => 16,
            Self::Writers { .. } => 17,
            Self::Forks { .. } => 18,
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
            16 => Self::State(Box::new(State::read(&mut fields)?)),
            17 => Self::Writers {
                folder: malformed(fields.array().map(Id))?,
                cards: writer::read_cards(&mut fields)?,
            },
            18 => Self::Forks {
                folder: malformed(fields.array().map(Id))?,
                forks: fork::read_all(&mut fields)?,
            },
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
        let last = read_flag(fields)?;
        let count = malformed(fields.u32())?;
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..count {
            let entry = Entry::read(fields)?;
            demand(entries.last().is_none_or(|before| before.id < entry.id), req::SYN_006)?;
            entries.push(entry);
        }
        Ok(Self::Index { folder, last, entries })
    }

    fn read_block(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let request = malformed(fields.u32())?;
        let gone = read_flag(fields)?;
        let content = fields.rest();
        demand(!gone || content.is_empty(), req::SYN_003)?;
        Ok(Self::Block { request, content: (!gone).then(|| content.to_vec()) })
    }
}

impl State {
    /// The changes that it has seen, if the heads are what they say.
    pub fn context(&self) -> Context {
        writer::context(&self.heads)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.folder.0);
        out.put_u8(u8::from(self.complete));
        writer::write_heads(&self.heads, out);
        self.digests.0.iter().for_each(|digest| out.extend_from_slice(digest));
    }

    fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let folder = malformed(fields.array().map(Id))?;
        let complete = read_flag(fields)?;
        let heads = writer::read_heads(fields)?;
        let mut digests = [[0; 16]; BUCKETS];
        for digest in &mut digests {
            *digest = malformed(fields.array())?;
        }
        Ok(Self { folder, complete, heads, digests: Digests(digests) })
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

fn put_count16(out: &mut Vec<u8>, count: usize) {
    out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
}

/// Messages out of a byte stream.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    at: usize,
    /// The last identifier of the unfinished INDEX, for SYN-006.
    index: Option<(Id, Id)>,
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
        demand(matches!(number, 1..=8 | 16..=18), req::SYN_001)?;
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
            demand(before_in != folder || *before < first.id, req::SYN_006)?;
        }
        if *last {
            self.index = None;
        } else if let Some(entry) = entries.last() {
            self.index = Some((*folder, entry.id));
        }
        Ok(())
    }
}
