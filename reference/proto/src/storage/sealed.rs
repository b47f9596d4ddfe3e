//! Sealed objects: what a cloud keeps of an encrypted folder (`spec/storage.md`, section 3.1).
//!
//! Both directions take pieces of any length, so that a large file never has to be in memory. Of an object that is being
//! opened nothing counts before [`Opener::finish`] said that all of it was there.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::MediaHash;
use super::keys::FolderKeys;
use crate::codec::{Id, Reader, Write};
use crate::crypto::{CtrKey, MacKey, Provider, Secret, equal, expand};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some, deviates};
use crate::sync::PortablePath;

/// The plaintext of a segment, in bytes; that of the last one is shorter.
pub const SEGMENT: usize = 65_536;
/// What stands before the first segment.
pub const HEADER: usize = MAGIC.len() + 4 + NONCE;

const MAGIC: &[u8; 4] = b"MSO1";
const NONCE: usize = 16;
const TAG: usize = 32;
const LENGTH: u64 = 8;

/// What an object is, for its key: no other can stand in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// An entry, by its identifier in the graph.
    Entry(Id),
    /// The bytes of a file, by their hash.
    Content(MediaHash),
    /// A state, by the identifier of its entry in the graph.
    State(Id),
    /// A head, by its device.
    Head(Id),
}

impl Object {
    fn kind(&self) -> u8 {
        match self {
            Self::Entry(_) => 1,
            Self::Content(_) => 2,
            Self::State(_) => 3,
            Self::Head(_) => 4,
        }
    }

    fn name(&self) -> &[u8] {
        match self {
            Self::Entry(id) | Self::State(id) | Self::Head(id) => &id.0,
            Self::Content(hash) => &hash.0,
        }
    }
}

/// How many bytes a plaintext of `length` is made: `P` of the specification. `None` if there is no such number.
fn padded(length: u64) -> Option<u64> {
    let length = length.max(256);
    let exponent = u64::from(length.ilog2());
    let step = 1_u64 << (exponent - u64::from(exponent.ilog2()) - 1);
    length.checked_next_multiple_of(step)
}

/// The size of the sealed object of a content of `length` bytes. `None` if nothing can be so long.
pub fn sealed_size(length: u64) -> Option<u64> {
    let plaintext = padded(length.checked_add(LENGTH)?)?;
    let tags = plaintext.div_ceil(SEGMENT as u64).checked_mul(TAG as u64)?;
    plaintext.checked_add(tags)?.checked_add(HEADER as u64)
}

/// The generation of what begins so, if it is a sealed object.
pub fn generation_of(begin: &[u8; HEADER]) -> Option<u32> {
    let mut fields = Reader::new(begin);
    (fields.take(MAGIC.len())? == MAGIC).then(|| fields.u32()).flatten().filter(|generation| *generation > 0)
}

/// The nonce of a file's bytes: all devices seal the same bytes alike (STO-065).
pub fn nonce_of_content(provider: &dyn Provider, keys: &FolderKeys, content: &MediaHash) -> [u8; NONCE] {
    if deviates(req::STO_065) {
        return [0; NONCE]; // the mutant's sealed bytes are good, and nobody else makes the same
    }
    let (folder, generation) = (keys.folder(), keys.generation().to_be_bytes());
    let info: [&[u8]; 4] = [b"meshproof seal nonce", &folder.0, &generation, &content.0];
    let nonce = expand::<32>(provider, keys.newest(), &info);
    nonce.first_chunk().copied().unwrap_or_default()
}

/// The identifier in the graph of an entry of an encrypted folder (STO-068): what sync calls it follows from its name.
pub fn id_in_graph(provider: &dyn Provider, keys: &FolderKeys, entry: Id) -> Id {
    if deviates(req::STO_068) {
        return entry;
    }
    let mac = provider.mac_key(&**keys.oldest());
    let mac = mac.mac(&[b"meshproof sealed entry", &keys.folder().0, &entry.0]);
    Id(mac.first_chunk().copied().unwrap_or_default())
}

/// The key of one object.
struct SegmentKey {
    enc: Box<dyn CtrKey>,
    mac: Box<dyn MacKey>,
}

impl SegmentKey {
    fn new(
        provider: &dyn Provider,
        (folder, generation, key): (Id, u32, &Secret),
        object: &Object,
        nonce: &[u8; NONCE],
    ) -> Self {
        let generation = generation.to_be_bytes();
        let kind = [object.kind()];
        let info: [&[u8]; 6] = [b"meshproof seal", &folder.0, &generation, &kind, object.name(), nonce];
        let key = expand::<48>(provider, key, &info);
        let mut enc = Zeroizing::new([0; 16]);
        enc.copy_from_slice(&key[..16]);
        Self { enc: provider.ctr_key(&enc), mac: provider.mac_key(&key[16..]) }
    }

    fn apply(&self, number: u64, data: &mut [u8]) {
        let mut block = [0; 16];
        block[..8].copy_from_slice(&number.to_be_bytes());
        self.enc.apply(&block, data);
    }

    fn tag(&self, number: u64, last: bool, ciphertext: &[u8]) -> [u8; TAG] {
        self.mac.mac(&[&(2 * number + u64::from(last)).to_be_bytes(), ciphertext])
    }
}

/// Seals one object.
pub struct Sealer {
    key: SegmentKey,
    number: u64,
    /// What is not in a segment yet.
    plaintext: Zeroizing<Vec<u8>>,
    /// How many bytes of content have still to come, and how many zeros then.
    left: u64,
    padding: u64,
}

impl Sealer {
    /// Begins an object of `length` bytes under the newest of `keys`, and appends its header to `out`. The nonce is
    /// [`nonce_of_content`], or for an entry random.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if nothing can be so long.
    pub fn new(
        provider: &dyn Provider,
        keys: &FolderKeys,
        object: &Object,
        nonce: &[u8; NONCE],
        length: u64,
        out: &mut Vec<u8>,
    ) -> Result<Self, Error> {
        let too_long = Error::ApiMisuse("nothing can be so long");
        let whole = length.checked_add(LENGTH).and_then(padded).ok_or(too_long)?;
        // STO-066
        let padding = if deviates(req::STO_066) { 0 } else { whole - length - LENGTH };
        let generation = keys.generation();
        out.extend_from_slice(MAGIC);
        out.put_u32(generation);
        out.extend_from_slice(nonce);
        let mut plaintext = Zeroizing::new(Vec::new());
        plaintext.put_u64(length);
        let key = SegmentKey::new(provider, (keys.folder(), generation, keys.newest()), object, nonce);
        Ok(Self { key, number: 0, plaintext, left: length, padding })
    }

    /// Takes the next piece of the content, and appends the segments that are full.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if it is more than was said.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let more = Error::ApiMisuse("more content than was said");
        self.left = self.left.checked_sub(content.len() as u64).ok_or(more)?;
        self.feed(content, out);
        Ok(())
    }

    /// Appends the rest.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if some content is missing.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.left > 0 {
            return Err(Error::ApiMisuse("less content than was said"));
        }
        while self.padding > 0 {
            let zeros = [0; 1_024];
            let piece = usize::try_from(self.padding).unwrap_or(usize::MAX).min(zeros.len());
            self.feed(&zeros[..piece], out);
            self.padding -= piece as u64;
        }
        self.segment(self.plaintext.len(), true, out);
        Ok(())
    }

    /// A segment is written when something comes behind it: only then it is not the last.
    fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.plaintext.len() == SEGMENT {
                self.segment(SEGMENT, false, out);
            }
            let (now, rest) = bytes.split_at(bytes.len().min(SEGMENT - self.plaintext.len()));
            self.plaintext.extend_from_slice(now);
            bytes = rest;
        }
    }

    fn segment(&mut self, length: usize, last: bool, out: &mut Vec<u8>) {
        self.key.apply(self.number, &mut self.plaintext[..length]);
        let tag = self.key.tag(self.number, last, &self.plaintext[..length]);
        out.extend_from_slice(&self.plaintext[..length]);
        out.extend_from_slice(&tag);
        self.plaintext.clear();
        self.number += 1;
    }
}

/// Opens one object.
pub struct Opener<'a> {
    provider: &'static dyn Provider,
    keys: &'a FolderKeys,
    object: Object,
    /// From the header on.
    key: Option<SegmentKey>,
    number: u64,
    /// What came and is not opened yet.
    pending: Vec<u8>,
    /// From the first segment on.
    length: Option<u64>,
    /// How much plaintext there was.
    plaintext: u64,
    /// Whether all behind the content was zero so far.
    zeros: bool,
}

impl<'a> Opener<'a> {
    /// Begins to open `object`.
    pub fn new(provider: &'static dyn Provider, keys: &'a FolderKeys, object: Object) -> Self {
        let pending = Vec::new();
        Self {
            provider,
            keys,
            object,
            key: None,
            number: 0,
            pending,
            length: None,
            plaintext: 0,
            zeros: true,
        }
    }

    /// Takes the next piece of the object, and appends to `out` the content that is verified so far.
    ///
    /// # Errors
    /// STO-060 to STO-064. After an error nothing of `out` is any good.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        while !bytes.is_empty() {
            let most = if self.key.is_some() { SEGMENT + TAG } else { HEADER };
            if self.pending.len() == most {
                self.segment(false, out)?; // something comes behind it
                continue;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(most - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = rest;
            if self.key.is_none() && self.pending.len() == HEADER {
                self.header()?;
            }
        }
        Ok(())
    }

    /// All has come: opens the last segment. Returns how long the content is.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<u64, Error> {
        demand(self.key.is_some() && self.pending.len() > TAG, req::STO_060)?;
        self.segment(true, out)?;
        let fits = |length: u64| length.checked_add(LENGTH).and_then(padded) == Some(self.plaintext);
        let length = self.length.unwrap_or(u64::MAX);
        demand(fits(length) && self.zeros, req::STO_063)?;
        Ok(length)
    }

    fn header(&mut self) -> Result<(), Error> {
        let mut fields = Reader::new(&self.pending);
        let is_sealed = fields.take(MAGIC.len()) == Some(MAGIC);
        let (generation, nonce) = (fields.u32().unwrap_or_default(), fields.array().unwrap_or_default());
        demand(is_sealed, req::STO_060)?;
        let key = demand_some(self.keys.of(generation), req::STO_064, || self.keys.newest())?;
        let folder = self.keys.folder();
        self.key = Some(SegmentKey::new(self.provider, (folder, generation, key), &self.object, &nonce));
        self.pending.clear();
        Ok(())
    }

    fn segment(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(key) = &self.key else { return Ok(()) };
        let mut segment = Zeroizing::new(core::mem::take(&mut self.pending));
        let (ciphertext, tag) = segment.split_at(segment.len().saturating_sub(TAG));
        let right = equal(&key.tag(self.number, last, ciphertext), tag);
        let elsewhere = !right && equal(&key.tag(self.number, !last, ciphertext), tag);
        demand(!elsewhere, req::STO_062)?;
        demand(right || elsewhere, req::STO_061)?;
        let end = ciphertext.len();
        key.apply(self.number, &mut segment[..end]);
        self.number += 1;
        self.content(&segment[..end], out);
        Ok(())
    }

    /// Appends what is content of a plaintext.
    fn content(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        let before = self.plaintext.saturating_sub(LENGTH);
        self.plaintext += bytes.len() as u64;
        if self.length.is_none() {
            let Some((length, rest)) = bytes.split_first_chunk() else { return };
            self.length = Some(u64::from_be_bytes(*length));
            bytes = rest;
        }
        let left = self.length.unwrap_or_default().saturating_sub(before);
        let content = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let (content, behind) = bytes.split_at(content);
        out.extend_from_slice(content);
        self.zeros &= behind.iter().all(|byte| *byte == 0);
    }
}

/// What the sealed object of an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedEntry {
    /// Its path.
    pub path: PortablePath,
    /// Size and hash of a file; `None` for a directory.
    pub content: Option<(u64, MediaHash)>,
}

impl SealedEntry {
    /// The content of the object.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u16(u16::try_from(self.path.as_str().len()).unwrap_or(u16::MAX));
        out.extend_from_slice(self.path.as_str().as_bytes());
        let (size, hash) = self.content.unwrap_or_default();
        out.put_u8(if self.content.is_some() { 1 } else { 2 });
        out.put_u64(size);
        out.extend_from_slice(&hash.0);
        out
    }

    /// Reads one.
    ///
    /// # Errors
    /// STO-067
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(bytes);
        let path = fields.field16().and_then(|path| core::str::from_utf8(path).ok());
        let path = path.and_then(|path| PortablePath::parse(path).ok());
        let rest = fields.u8().zip(fields.u64()).zip(fields.array().map(MediaHash));
        demand(path.is_some() && rest.is_some(), req::STO_067)?;
        let (path, ((kind, size), hash)) =
            path.zip(rest).ok_or(Error::ApiMisuse("only mutants come here"))?;
        let nothing = (size, hash) == (0, MediaHash::default());
        demand((kind == 1 || kind == 2 && nothing) && fields.is_empty(), req::STO_067)?;
        Ok(Self { path, content: (kind == 1).then_some((size, hash)) })
    }
}

/// Seals `content`, all at once.
///
/// # Errors
/// [`Error::ApiMisuse`] if nothing can be so long.
pub fn seal(
    provider: &dyn Provider,
    keys: &FolderKeys,
    object: &Object,
    nonce: &[u8; NONCE],
    content: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut sealer = Sealer::new(provider, keys, object, nonce, content.len() as u64, &mut out)?;
    sealer.push(content, &mut out)?;
    sealer.finish(&mut out)?;
    Ok(out)
}

/// Opens an object, all at once.
///
/// # Errors
/// STO-060 to STO-064
pub fn open(
    provider: &'static dyn Provider,
    keys: &FolderKeys,
    object: Object,
    sealed: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut opener = Opener::new(provider, keys, object);
    opener.push(sealed, &mut out)?;
    opener.finish(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{DEFAULT, RUSTCRYPTO};

    const ENTRY: Object = Object::Entry(Id([7; 16]));

    fn keys() -> FolderKeys {
        let mut keys = FolderKeys::first(Id([1; 16]), Secret::new([2; 32]));
        keys.add(Secret::new([3; 32]));
        keys
    }

    #[test]
    fn padding_adds_little_and_hides_something() {
        assert_eq!(
            [0, 256, 257, 300, 1_000, 65_537].map(padded),
            [256, 256, 272, 304, 1_024, 67_584].map(Some)
        );
        for length in (0..200_000).step_by(37) {
            let whole = padded(length).unwrap();
            assert!(whole >= length && (length < 256 || whole - length <= length / 8), "{length}: {whole}");
        }
        assert_eq!(padded(u64::MAX), None);
        assert_eq!(sealed_size(u64::MAX), None);
    }

    #[test]
    fn every_length_comes_back_in_whatever_pieces() {
        let keys = keys();
        let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        for length in [0, 1, 247, 248, 249, 65_520, 65_528, 65_529, 131_064, 131_065, 200_000] {
            let content = &content[..length];
            let sealed = seal(DEFAULT, &keys, &ENTRY, &[4; NONCE], content).unwrap();
            assert_eq!(sealed.len() as u64, sealed_size(length as u64).unwrap(), "{length}");
            assert_eq!(open(RUSTCRYPTO, &keys, ENTRY, &sealed).unwrap(), content, "{length}");
            let (mut opener, mut out) = (Opener::new(DEFAULT, &keys, ENTRY), Vec::new());
            for piece in sealed.chunks(997) {
                opener.push(piece, &mut out).unwrap();
            }
            assert_eq!(opener.finish(&mut out).unwrap(), length as u64);
            assert_eq!(out, content);
            let mut pieces = Vec::new();
            let mut sealer =
                Sealer::new(RUSTCRYPTO, &keys, &ENTRY, &[4; NONCE], length as u64, &mut pieces).unwrap();
            for piece in content.chunks(1_009) {
                sealer.push(piece, &mut pieces).unwrap();
            }
            sealer.finish(&mut pieces).unwrap();
            assert!(pieces == sealed, "{length}");
        }
    }

    #[test]
    fn no_cut_and_no_bit_goes_unnoticed() {
        let keys = keys();
        let sealed = seal(DEFAULT, &keys, &ENTRY, &[4; NONCE], &alloc::vec![9; 70_000]).unwrap();
        for end in (0..sealed.len()).step_by(61) {
            assert!(open(DEFAULT, &keys, ENTRY, &sealed[..end]).is_err(), "cut at {end}");
        }
        for byte in (0..sealed.len()).step_by(59) {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(open(DEFAULT, &keys, ENTRY, &changed).is_err(), "byte {byte}");
        }
        let cut = &sealed[..HEADER + SEGMENT + TAG];
        assert!(open(DEFAULT, &keys, ENTRY, cut).unwrap_err().is(req::STO_062));
    }

    #[test]
    fn more_or_less_than_was_said_is_the_caller_s_fault() {
        let keys = keys();
        let mut out = Vec::new();
        let mut sealer = Sealer::new(DEFAULT, &keys, &ENTRY, &[4; NONCE], 3, &mut out).unwrap();
        assert!(matches!(sealer.push(b"four", &mut out), Err(Error::ApiMisuse(_))));
        let sealer = Sealer::new(DEFAULT, &keys, &ENTRY, &[4; NONCE], 3, &mut out).unwrap();
        assert!(matches!(sealer.finish(&mut out), Err(Error::ApiMisuse(_))));
    }

    #[test]
    fn an_entry_comes_back() {
        for content in [None, Some((12, MediaHash([5; 32])))] {
            let entry = SealedEntry { path: PortablePath::parse("a/ü.txt").unwrap(), content };
            assert_eq!(SealedEntry::from_bytes(&entry.to_bytes()), Ok(entry));
        }
        assert!(SealedEntry::from_bytes(b"").unwrap_err().is(req::STO_067));
    }
}
