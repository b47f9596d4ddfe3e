//! The messages of sync.md section 3: written with every field free, and read strictly.

use crate::oracle::sync::Fields;
pub use crate::oracle::sync::{Card, Content, Entry, Fork, Head, Stamp};

/// The message types.
pub mod kind {
    /// The folders a device wants to sync.
    pub const HELLO: u8 = 1;
    /// Entries of a folder.
    pub const INDEX: u8 = 2;
    /// Asks for bytes.
    pub const REQUEST: u8 = 3;
    /// Gives bytes.
    pub const BLOCK: u8 = 4;
    /// A device has all it wants of a folder.
    pub const DONE: u8 = 5;
    /// A device asks for nothing more.
    pub const BYE: u8 = 6;
    /// What a device has of a folder.
    pub const STATE: u8 = 16;
    /// Who writes in a folder.
    pub const WRITERS: u8 = 17;
    /// Which writers said two things under one number.
    pub const FORKS: u8 = 18;
    /// Asks for the chunks of a content.
    pub const MANIFEST_REQUEST: u8 = 7;
    /// Gives the chunks.
    pub const MANIFEST: u8 = 8;
}

/// `type u8 | len u32 | body`.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("the kit writes small messages");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// HELLO.
pub fn hello(folders: &[[u8; 16]]) -> Vec<u8> {
    message(kind::HELLO, &[&length16(folders.len())[..], &folders.concat()].concat())
}

/// STATE.
pub fn state(state: &State) -> Vec<u8> {
    let mut body = state.folder.to_vec();
    body.push(state.complete);
    body.extend(length16(state.heads.len()));
    state.heads.iter().for_each(|head| head.write(&mut body));
    body.extend(state.digests.concat());
    message(kind::STATE, &body)
}

/// WRITERS.
pub fn writers(folder: [u8; 16], cards: &[Card]) -> Vec<u8> {
    let mut body = [&folder[..], &length16(cards.len())].concat();
    for card in cards {
        body.extend(card.device);
        body.extend(card.key);
        body.extend(length16(card.signature.len()));
        body.extend(&card.signature);
    }
    message(kind::WRITERS, &body)
}

/// FORKS.
pub fn forks(folder: [u8; 16], forks: &[Fork]) -> Vec<u8> {
    let mut body = [&folder[..], &length16(forks.len())].concat();
    forks.iter().for_each(|fork| fork.write(&mut body));
    message(kind::FORKS, &body)
}

/// INDEX.
pub fn index(folder: [u8; 16], last: bool, entries: &[Entry]) -> Vec<u8> {
    let mut body = folder.to_vec();
    body.push(u8::from(last));
    body.extend(u32::try_from(entries.len()).expect("the kit sends few entries").to_be_bytes());
    for entry in entries {
        entry.write(&mut body);
    }
    message(kind::INDEX, &body)
}

/// REQUEST.
pub fn request(request: u32, folder: [u8; 16], hash: [u8; 32], offset: u64, length: u32) -> Vec<u8> {
    let numbers = [&offset.to_be_bytes()[..], &length.to_be_bytes()].concat();
    message(kind::REQUEST, &[&request.to_be_bytes()[..], &folder, &hash, &numbers].concat())
}

/// BLOCK.
pub fn block(request: u32, status: u8, bytes: &[u8]) -> Vec<u8> {
    message(kind::BLOCK, &[&request.to_be_bytes()[..], &[status], bytes].concat())
}

/// DONE.
pub fn done(folder: [u8; 16]) -> Vec<u8> {
    message(kind::DONE, &folder)
}

/// BYE.
pub fn bye() -> Vec<u8> {
    message(kind::BYE, &[])
}

/// MANIFEST-REQUEST.
pub fn manifest_request(request: u32, folder: [u8; 16], hash: [u8; 32]) -> Vec<u8> {
    message(kind::MANIFEST_REQUEST, &[&request.to_be_bytes()[..], &folder, &hash].concat())
}

/// MANIFEST.
pub fn manifest(request: u32, status: u8, chunks: &[Chunk]) -> Vec<u8> {
    let mut body = request.to_be_bytes().to_vec();
    body.push(status);
    for chunk in chunks {
        body.extend(chunk.hash);
        body.extend(chunk.length.to_be_bytes());
    }
    message(kind::MANIFEST, &body)
}

/// `chunk` of section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
    /// How many bytes it has.
    pub length: u32,
}

/// A content cut into chunks of these lengths, the last of which is what is left.
pub fn cut(content: &[u8], lengths: &[usize]) -> Vec<Chunk> {
    let mut rest = content;
    let mut chunks = Vec::new();
    for length in lengths.iter().copied().chain([usize::MAX]) {
        let (chunk, more) = rest.split_at(length.min(rest.len()));
        let length = u32::try_from(chunk.len()).expect("the kit sends small contents");
        chunks.push(Chunk { hash: *blake3::hash(chunk).as_bytes(), length });
        rest = more;
    }
    chunks
}

/// A message that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The folders.
    Hello(Vec<[u8; 16]>),
    /// Folder, whether it is the last, entries.
    Index([u8; 16], bool, Vec<Entry>),
    /// What is asked for.
    Request(Request),
    /// Number, status, bytes.
    Block(u32, u8, Vec<u8>),
    /// The folder.
    Done([u8; 16]),
    /// Nothing more.
    Bye,
    /// What the device has.
    State(State),
    /// Folder and cards.
    Writers([u8; 16], Vec<Card>),
    /// Folder and what shows each fork.
    Forks([u8; 16], Vec<Fork>),
    /// Number, folder, hash.
    ManifestRequest(u32, [u8; 16], [u8; 32]),
    /// Number, status, chunks.
    Manifest(u32, u8, Vec<Chunk>),
}

/// What a STATE says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The folder.
    pub folder: [u8; 16],
    /// Whether all of it will be in the INDEX: 0 or 1.
    pub complete: u8,
    /// What was seen.
    pub heads: Vec<Head>,
    /// Of each bucket.
    pub digests: Vec<[u8; 16]>,
}

impl State {
    /// Of a device that saw nothing and has something else in every bucket.
    pub fn different(folder: [u8; 16]) -> Self {
        State { folder, complete: 1, heads: Vec::new(), digests: vec![[0xFF; 16]; 256] }
    }
}

/// What a REQUEST asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number, which the BLOCK repeats.
    pub number: u32,
    /// The folder.
    pub folder: [u8; 16],
    /// The content.
    pub hash: [u8; 32],
    /// From where.
    pub offset: u64,
    /// How much.
    pub length: u32,
}

impl Message {
    /// Reads the body of a message, or says what is wrong with it.
    pub fn read(kind: u8, body: &[u8]) -> Result<Message, String> {
        let mut fields = Fields(body);
        let message =
            fields.message(kind).ok_or_else(|| format!("a message of type {kind} cannot be read"))?;
        if fields.0.is_empty() {
            Ok(message)
        } else {
            Err(format!("a message of type {kind} has bytes at its end"))
        }
    }
}

impl Fields<'_> {
    fn message(&mut self, kind: u8) -> Option<Message> {
        Some(match kind {
            kind::HELLO => {
                let count = self.u16()?;
                Message::Hello((0..count).map(|_| self.array()).collect::<Option<_>>()?)
            }
            kind::INDEX => {
                let (folder, last, count) = (self.array()?, self.u8()? == 1, self.u32()?);
                Message::Index(folder, last, (0..count).map(|_| self.entry()).collect::<Option<_>>()?)
            }
            kind::REQUEST => Message::Request(Request {
                number: self.u32()?,
                folder: self.array()?,
                hash: self.array()?,
                offset: self.u64()?,
                length: self.u32()?,
            }),
            kind::BLOCK => {
                let (number, status) = (self.u32()?, self.u8()?);
                Message::Block(number, status, std::mem::take(&mut self.0).to_vec())
            }
            kind::DONE => Message::Done(self.array()?),
            kind::BYE => Message::Bye,
            kind::STATE => Message::State(State {
                folder: self.array()?,
                complete: self.u8()?,
                heads: {
                    let count = self.u16()?;
                    (0..count).map(|_| self.head()).collect::<Option<_>>()?
                },
                digests: (0..256).map(|_| self.array()).collect::<Option<_>>()?,
            }),
            kind::WRITERS => {
                let (folder, count) = (self.array()?, self.u16()?);
                Message::Writers(folder, (0..count).map(|_| self.card()).collect::<Option<_>>()?)
            }
            kind::FORKS => {
                let (folder, count) = (self.array()?, self.u16()?);
                Message::Forks(folder, (0..count).map(|_| self.fork()).collect::<Option<_>>()?)
            }
            kind::MANIFEST_REQUEST => Message::ManifestRequest(self.u32()?, self.array()?, self.array()?),
            kind::MANIFEST => {
                let (number, status) = (self.u32()?, self.array::<1>()?[0]);
                let mut chunks = Vec::new();
                while !self.0.is_empty() {
                    chunks.push(Chunk { hash: self.array()?, length: self.u32()? });
                }
                Message::Manifest(number, status, chunks)
            }
            _ => return None,
        })
    }
}

fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("the kit writes short strings and lists").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let entries = [
            Entry::directory("a"),
            Entry::file("a/b", b"content"),
            Entry::directory("c").deleted(&[([1; 16], 1)]),
        ];
        let entries: Vec<Entry> = entries.iter().map(|entry| entry.clone().knowing(entry)).collect();
        let bytes = index([7; 16], true, &entries);
        assert_eq!(Message::read(bytes[0], &bytes[5..]), Ok(Message::Index([7; 16], true, entries)));
        let bytes = hello(&[[1; 16], [2; 16]]);
        assert_eq!(Message::read(bytes[0], &bytes[5..]), Ok(Message::Hello(vec![[1; 16], [2; 16]])));
        let chunks = cut(b"a content", &[2, 3]);
        assert_eq!(chunks.iter().map(|chunk| chunk.length).collect::<Vec<_>>(), [2, 3, 4]);
        let bytes = manifest(7, 0, &chunks);
        assert_eq!(Message::read(bytes[0], &bytes[5..]), Ok(Message::Manifest(7, 0, chunks)));
        let bytes = manifest_request(7, [1; 16], [2; 32]);
        assert_eq!(Message::read(bytes[0], &bytes[5..]), Ok(Message::ManifestRequest(7, [1; 16], [2; 32])));
        assert!(Message::read(kind::BYE, &[0]).is_err());
        assert!(Message::read(kind::DONE, &[0; 15]).is_err());
    }
}
