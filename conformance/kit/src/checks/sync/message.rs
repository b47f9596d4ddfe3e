//! The messages of sync.md section 3: written with every field free, and read strictly.

use crate::target::fixture::PeerFixture;

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
    /// Asks for the chunks of a content.
    pub const MANIFEST_REQUEST: u8 = 7;
    /// Gives the chunks.
    pub const MANIFEST: u8 = 8;
}

/// `entry` of section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path, as bytes, for not every path sent is UTF-8.
    pub path: Vec<u8>,
    /// 0 tombstone, 1 file, 2 directory.
    pub kind: u8,
    /// Permission bits.
    pub mode: u16,
    /// Nanoseconds since 1970.
    pub mtime: u64,
    /// Bytes of a file.
    pub size: u64,
    /// BLAKE3 of a file.
    pub hash: [u8; 32],
    /// The Lamport counter of the last change.
    pub lamport: u64,
    /// The device of the last change.
    pub writer: [u8; 16],
    /// Devices and their counters.
    pub version: Vec<([u8; 16], u64)>,
}

impl Entry {
    /// A directory that the kit's device made.
    pub fn directory(path: &str) -> Self {
        Entry {
            path: path.as_bytes().to_vec(),
            kind: 2,
            mode: 0o755,
            mtime: 1_700_000_000_000_000_000,
            size: 0,
            hash: [0; 32],
            lamport: 1,
            writer: PeerFixture::DEVICE_X,
            version: vec![(PeerFixture::DEVICE_X, 1)],
        }
    }

    /// A file that the kit's device made.
    pub fn file(path: &str, content: &[u8]) -> Self {
        Entry {
            kind: 1,
            mode: 0o644,
            size: content.len() as u64,
            hash: *blake3::hash(content).as_bytes(),
            ..Entry::directory(path)
        }
    }

    /// The deletion of what was at a path.
    pub fn tombstone(path: &str) -> Self {
        Entry { kind: 0, mode: 0, ..Entry::directory(path) }
    }

    /// The same by another writer, with another version.
    #[must_use]
    pub fn by(self, writer: [u8; 16], lamport: u64, version: &[([u8; 16], u64)]) -> Self {
        Entry { writer, lamport, version: version.to_vec(), ..self }
    }

    /// The path, for people and comparison.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(length16(self.path.len()));
        out.extend(&self.path);
        out.push(self.kind);
        out.extend(self.mode.to_be_bytes());
        out.extend(self.mtime.to_be_bytes());
        out.extend(self.size.to_be_bytes());
        out.extend(self.hash);
        out.extend(self.lamport.to_be_bytes());
        out.extend(self.writer);
        out.extend(length16(self.version.len()));
        for (device, counter) in &self.version {
            out.extend(device);
            out.extend(counter.to_be_bytes());
        }
    }
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
    /// Number, folder, hash.
    ManifestRequest(u32, [u8; 16], [u8; 32]),
    /// Number, status, chunks.
    Manifest(u32, u8, Vec<Chunk>),
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

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn message(&mut self, kind: u8) -> Option<Message> {
        Some(match kind {
            kind::HELLO => {
                let count = self.u16()?;
                Message::Hello((0..count).map(|_| self.array()).collect::<Option<_>>()?)
            }
            kind::INDEX => {
                let (folder, last, count) = (self.array()?, self.array::<1>()?[0] == 1, self.u32()?);
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
                let (number, status) = (self.u32()?, self.array::<1>()?[0]);
                Message::Block(number, status, std::mem::take(&mut self.0).to_vec())
            }
            kind::DONE => Message::Done(self.array()?),
            kind::BYE => Message::Bye,
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

    fn entry(&mut self) -> Option<Entry> {
        let length = self.u16()?;
        let (path, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(Entry {
            path: path.to_vec(),
            kind: self.array::<1>()?[0],
            mode: self.u16()?,
            mtime: self.u64()?,
            size: self.u64()?,
            hash: self.array()?,
            lamport: self.u64()?,
            writer: self.array()?,
            version: {
                let count = self.u16()?;
                (0..count).map(|_| Some((self.array()?, self.u64()?))).collect::<Option<_>>()?
            },
        })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
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
        let entries = vec![Entry::directory("a"), Entry::file("a/b", b"content"), Entry::tombstone("c")];
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
