//! Content cut into chunks (`spec/sync.md`, section 4.7).

use alloc::vec::Vec;

use super::wire::malformed;
use crate::codec::{Id, Reader, Write};
use crate::error::Error;
use crate::requirement::{self as req, demand};
use crate::storage::MediaHash;

/// The shortest chunk but for the last of a content, in bytes (SYN-070).
pub const MIN_CHUNK: u32 = 16_384;
/// The longest chunk, in bytes (SYN-070).
pub const MAX_CHUNK: u32 = 4_194_304;
/// The most chunks that one MANIFEST can have.
pub const MAX_CHUNKS: usize = (super::message::MAX_BODY - 5) / CHUNK;
/// Content up to this size has no use for chunks, in bytes (SYN-075).
pub const WHOLE: u64 = 1_048_576;
/// What a chunk takes in a message.
const CHUNK: usize = 36;

/// A part of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Of its bytes.
    pub hash: MediaHash,
    /// In bytes.
    pub length: u32,
}

/// Asks for the chunks of the content with this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestRequest {
    /// The sender's number for it.
    pub request: u32,
    /// The folder that has the content.
    pub folder: Id,
    /// The content.
    pub hash: MediaHash,
}

impl ManifestRequest {
    pub(super) fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            request: malformed(fields.u32())?,
            folder: malformed(fields.array().map(Id))?,
            hash: malformed(fields.array().map(MediaHash))?,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_u32(self.request);
        out.extend_from_slice(&self.folder.0);
        out.extend_from_slice(&self.hash.0);
    }
}

/// Appends the body of a MANIFEST.
pub(super) fn write(request: u32, chunks: Option<&[Chunk]>, out: &mut Vec<u8>) {
    out.put_u32(request);
    out.put_u8(u8::from(chunks.is_none()));
    for chunk in chunks.unwrap_or_default() {
        out.extend_from_slice(&chunk.hash.0);
        out.put_u32(chunk.length);
    }
}

/// Reads the body of a MANIFEST: which request it answers, and the chunks or `None` if the content is not here.
pub(super) fn read(fields: &mut Reader<'_>) -> Result<(u32, Option<Vec<Chunk>>), Error> {
    let request = malformed(fields.u32())?;
    let gone = malformed(fields.u8().filter(|status| *status <= 1))? == 1;
    let mut chunks = Vec::new();
    while !fields.is_empty() {
        let hash = malformed(fields.array().map(MediaHash))?;
        chunks.push(Chunk { hash, length: malformed(fields.u32())? });
    }
    demand(gone == chunks.is_empty(), req::SYN_003)?;
    if let Some((last, others)) = chunks.split_last() {
        let good = |chunk: &Chunk, least| (least..=MAX_CHUNK).contains(&chunk.length);
        demand(good(last, 1) && others.iter().all(|chunk| good(chunk, MIN_CHUNK)), req::SYN_070)?;
    }
    Ok((request, (!gone).then_some(chunks)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hex;
    use crate::sync::{Decoder, Message};

    fn decode(bytes: &[u8]) -> Result<Option<Message>, Error> {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        decoder.next()
    }

    fn manifest(lengths: &[u32]) -> Message {
        let chunks = lengths.iter().map(|length| Chunk { hash: MediaHash([0xC4; 32]), length: *length });
        Message::Manifest { request: 9, chunks: Some(chunks.collect()) }
    }

    fn bytes(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        bytes
    }

    #[test]
    fn bytes_of_both_messages() {
        let asked = ManifestRequest { request: 9, folder: Id([0xF0; 16]), hash: MediaHash([0x4A; 32]) };
        let asked = Message::ManifestRequest(asked);
        let fields = ["07", "00000034", "00000009", &"f0".repeat(16), &"4a".repeat(32)]; // type, len, request, folder, hash
        assert_eq!(hex(&bytes(&asked)), fields.concat());
        assert_eq!(decode(&bytes(&asked)), Ok(Some(asked)));

        let answer = manifest(&[16_384, 1]);
        let chunk = "c4".repeat(32);
        let fields = ["08", "0000004d", "00000009", "00", &chunk, "00004000", &chunk, "00000001"]; // type, len, request, status, chunks
        assert_eq!(hex(&bytes(&answer)), fields.concat());
        assert_eq!(decode(&bytes(&answer)), Ok(Some(answer)));

        let gone = Message::Manifest { request: 9, chunks: None };
        assert_eq!(hex(&bytes(&gone)), "08000000050000000901"); // type, len, request, status
        assert_eq!(decode(&bytes(&gone)), Ok(Some(gone)));
    }

    #[test]
    fn a_manifest_has_chunks_exactly_if_the_content_is_here() {
        assert_eq!(decode(&[8, 0, 0, 0, 5, 0, 0, 0, 9, 0]), Err(req::SYN_003.into()));
        let mut gone = bytes(&manifest(&[1]));
        gone[9] = 1;
        assert_eq!(decode(&gone), Err(req::SYN_003.into()));
        gone[9] = 2;
        assert_eq!(decode(&gone), Err(req::SYN_003.into()));
    }

    #[test]
    fn chunks_are_neither_short_nor_long() {
        for good in [&[1][..], &[MIN_CHUNK, MAX_CHUNK, MAX_CHUNK], &[MAX_CHUNK, 1]] {
            assert!(decode(&bytes(&manifest(good))).is_ok());
        }
        for bad in [&[0][..], &[MIN_CHUNK - 1, MIN_CHUNK], &[MIN_CHUNK, 0], &[MAX_CHUNK + 1], &[u32::MAX, 1]]
        {
            assert_eq!(decode(&bytes(&manifest(bad))), Err(req::SYN_070.into()));
        }
    }

    #[test]
    fn the_largest_manifest_is_a_message() {
        let largest = manifest(&alloc::vec![MIN_CHUNK; MAX_CHUNKS]);
        assert_eq!(decode(&bytes(&largest)), Ok(Some(largest)));
        let larger = manifest(&alloc::vec![MIN_CHUNK; MAX_CHUNKS + 1]);
        assert_eq!(decode(&bytes(&larger)), Err(req::SYN_002.into()));
    }
}
