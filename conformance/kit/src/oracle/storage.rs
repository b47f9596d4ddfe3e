//! Sealed objects and key records, spec/storage.md section 3.

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use x25519_dalek::{PublicKey, StaticSecret};

use super::crypto::{
    RsaPrivateKey, RsaPublicKey, aes_ctr, etm_open, etm_seal, expand, extract, hex, hmac, oaep_decrypt,
    oaep_encrypt,
};
use super::{Rejection, reject, require, sync};

/// The plaintext of a segment but the last.
pub const SEGMENT: usize = 65_536;
/// What stands before the segments.
pub const HEADER: usize = 24;

/// An identifier.
pub type Id = [u8; 16];

/// `P` of section 3.1.
pub fn padded(length: u64) -> u64 {
    let m = length.max(256);
    let e = m.ilog2();
    let s = e.ilog2() + 1;
    let step = 1 << (e - s);
    m.div_ceil(step) * step
}

/// What a sealed object is made of. Every field can be changed before it is sealed.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The folder.
    pub folder: Id,
    /// The generation that the header names, and the key is for.
    pub generation: u32,
    /// The folder key.
    pub key: [u8; 32],
    /// 1 an entry, 2 the bytes of a file, 3 a state, 4 a head.
    pub kind: u8,
    /// The identifier or hash.
    pub object: Vec<u8>,
    /// The nonce.
    pub nonce: [u8; 16],
    /// The plaintext.
    pub plaintext: Vec<u8>,
}

impl Sealed {
    /// An entry.
    pub fn entry(
        folder: Id,
        (generation, key): (u32, [u8; 32]),
        entry: Id,
        nonce: Id,
        content: &[u8],
    ) -> Self {
        let plaintext = plaintext(content);
        Self { folder, generation, key, kind: 1, object: entry.to_vec(), nonce, plaintext }
    }

    /// The bytes of a file, whose nonce follows from them.
    pub fn content(folder: Id, (generation, key): (u32, [u8; 32]), content: &[u8]) -> Self {
        let object = blake3::hash(content).as_bytes().to_vec();
        let nonce = nonce(folder, (generation, &key), &object);
        Self { folder, generation, key, kind: 2, object, nonce, plaintext: plaintext(content) }
    }

    /// `K48`.
    pub fn k48(&self) -> Vec<u8> {
        let generation = self.generation.to_be_bytes();
        let info: [&[u8]; 6] =
            [b"meshproof seal", &self.folder, &generation, &[self.kind], &self.object, &self.nonce];
        expand(&self.key, &info, 48)
    }

    /// What stands before the segments.
    pub fn header(&self) -> Vec<u8> {
        [&b"MSO1"[..], &self.generation.to_be_bytes(), &self.nonce].concat()
    }

    /// A segment with this plaintext.
    pub fn segment(&self, number: u64, last: bool, plaintext: &[u8]) -> Vec<u8> {
        let k48 = self.k48();
        let ciphertext = aes_ctr(&k48[..16], &block(number), plaintext);
        let tag = hmac(&k48[16..], &[&(2 * number + u64::from(last)).to_be_bytes(), &ciphertext]);
        [&ciphertext[..], &tag].concat()
    }

    /// All segments.
    pub fn segments(&self) -> Vec<Vec<u8>> {
        let pieces: Vec<&[u8]> = self.plaintext.chunks(SEGMENT).collect();
        let last = pieces.len() - 1;
        let number = |n: usize| u64::try_from(n).expect("few");
        pieces.iter().enumerate().map(|(n, piece)| self.segment(number(n), n == last, piece)).collect()
    }

    /// The object.
    pub fn bytes(&self) -> Vec<u8> {
        [self.header(), self.segments().concat()].concat()
    }
}

/// The nonce of the bytes of a file.
pub fn nonce(folder: Id, (generation, key): (u32, &[u8; 32]), object: &[u8]) -> Id {
    let info: [&[u8]; 4] = [b"meshproof seal nonce", &folder, &generation.to_be_bytes(), object];
    expand(key, &info, 32)[..16].try_into().expect("16 bytes")
}

/// The identifier in the graph of an entry.
pub fn id_in_graph(folder: Id, first: &[u8; 32], entry: Id) -> Id {
    hmac(first, &[b"meshproof sealed entry", &folder, &entry])[..16].try_into().expect("16 bytes")
}

/// The plaintext of a content.
pub fn plaintext(content: &[u8]) -> Vec<u8> {
    let length = u64::try_from(content.len()).expect("a length");
    let mut plaintext = [&length.to_be_bytes()[..], content].concat();
    plaintext.resize(usize::try_from(padded(length + 8)).expect("a length"), 0);
    plaintext
}

fn block(number: u64) -> [u8; 16] {
    (u128::from(number) << 64).to_be_bytes()
}

/// Opens an object with the keys of all generations.
pub fn open(
    folder: Id,
    keys: &[[u8; 32]],
    (kind, object): (u8, &[u8]),
    bytes: &[u8],
) -> Result<Vec<u8>, Rejection> {
    let form = bytes.len() > HEADER && bytes.starts_with(b"MSO1");
    require(form, "STO-060", "sealed-malformed")?;
    let generation = u32::from_be_bytes(bytes[4..8].try_into().expect("4 bytes"));
    let key = usize::try_from(generation).ok().and_then(|n| keys.get(n.checked_sub(1)?));
    let Some(key) = key else { return reject("STO-064", "sealed-generation") };
    let nonce = bytes[8..HEADER].try_into().expect("16 bytes");
    let sealed =
        Sealed { folder, generation, key: *key, kind, object: object.to_vec(), nonce, plaintext: Vec::new() };
    let k48 = sealed.k48();
    let segments: Vec<&[u8]> = bytes[HEADER..].chunks(SEGMENT + 32).collect();
    let mut plaintext = Vec::new();
    for (number, segment) in (0_u64..).zip(&segments) {
        let last = usize::try_from(number).is_ok_and(|n| n + 1 == segments.len());
        let cut = segment.len().checked_sub(32).filter(|length| *length > 0);
        let Some(cut) = cut else { return reject("STO-060", "sealed-malformed") };
        let (ciphertext, tag) = segment.split_at(cut);
        let tag_at =
            |last: bool| hmac(&k48[16..], &[&(2 * number + u64::from(last)).to_be_bytes(), ciphertext]);
        require(tag_at(!last) != tag, "STO-062", "sealed-cut")?;
        require(tag_at(last) == tag, "STO-061", "sealed-forged")?;
        plaintext.extend(aes_ctr(&k48[..16], &block(number), ciphertext));
    }
    let (length, rest) = plaintext.split_at_checked(8).unwrap_or((&[0xff; 8], &[]));
    let length = u64::from_be_bytes(length.try_into().expect("8 bytes"));
    let fits = length < 1 << 40 && padded(length + 8) == plaintext.len() as u64;
    require(fits, "STO-063", "sealed-padding")?;
    let (content, zeros) = rest.split_at(usize::try_from(length).expect("below 2^40"));
    require(zeros.iter().all(|zero| *zero == 0), "STO-063", "sealed-padding")?;
    Ok(content.to_vec())
}

/// The content of the sealed object of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryFields {
    /// The path.
    pub path: Vec<u8>,
    /// 1 a file, 2 a directory.
    pub kind: u8,
    /// The size of the file.
    pub size: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl EntryFields {
    /// As it is sealed.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(self.path.len()).expect("a path");
        let size = self.size.to_be_bytes();
        [&length.to_be_bytes()[..], &self.path, &[self.kind], &size, &self.hash].concat()
    }

    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, Rejection> {
        let Some(fields) = Self::fields(bytes) else { return reject("STO-067", "sealed-entry") };
        let portable = fields.path.split(|byte| *byte == b'/').all(|name| sync::name(name).is_ok());
        let nothing = fields.size == 0 && fields.hash == [0; 32];
        let known = fields.kind == 1 || fields.kind == 2 && nothing;
        require(portable && fields.path.len() <= 4_096 && known, "STO-067", "sealed-entry")?;
        Ok(fields)
    }

    fn fields(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_at_checked(2)?;
        let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
        let (path, rest) = rest.split_at_checked(length)?;
        let (kind, rest) = rest.split_first()?;
        let (size, hash) = rest.split_at_checked(8)?;
        let size = u64::from_be_bytes(size.try_into().ok()?);
        Some(Self { path: path.to_vec(), kind: *kind, size, hash: hash.try_into().ok()? })
    }
}

/// What a key record is made of, in the order of section 3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The generation.
    pub generation: u32,
    /// The device that wrote it.
    pub writer: Id,
    /// `check`
    pub check: [u8; 32],
    /// Device and wrapped key.
    pub wraps: Vec<(Id, Vec<u8>)>,
    /// `public`, `ephemeral` and `key`.
    pub recoveries: Vec<([u8; 32], [u8; 32], Vec<u8>)>,
    /// The keys before.
    pub earlier: Vec<u8>,
    /// By the writer.
    pub signature: [u8; 64],
}

impl Record {
    /// A record that is not signed and for nobody yet, of the last of these keys.
    pub fn new(folder: Id, keys: &[[u8; 32]], writer: Id) -> Self {
        let (key, before) = keys.split_last().expect("a key");
        let generation = u32::try_from(keys.len()).expect("few keys");
        let earlier = match before {
            [] => Vec::new(),
            before => etm_seal(&earlier_key(folder, generation, key), &[], &before.concat()),
        };
        let check = check(folder, generation, key);
        let (wraps, recoveries) = (Vec::new(), Vec::new());
        Self { generation, writer, check, wraps, recoveries, earlier, signature: [0; 64] }
    }

    /// Wraps a key for a device.
    pub fn wrap(&mut self, folder: Id, device: Id, public: &RsaPublicKey, key: &[u8; 32], seed: &[u8; 32]) {
        let label = label(folder, self.generation, device);
        self.wraps.push((device, oaep_encrypt(public, &label, key, seed)));
    }

    /// Wraps a key for a recovery key.
    pub fn recovery(&mut self, folder: Id, public: [u8; 32], key: &[u8; 32], ephemeral: [u8; 32]) {
        let secret = StaticSecret::from(ephemeral);
        let ephemeral = PublicKey::from(&secret).to_bytes();
        let shared = secret.diffie_hellman(&PublicKey::from(public)).to_bytes();
        self.recovery_by(folder, public, key, (ephemeral, shared));
    }

    /// The same, by what an ephemeral key is said to give.
    pub fn recovery_by(
        &mut self,
        folder: Id,
        public: [u8; 32],
        key: &[u8; 32],
        (ephemeral, shared): ([u8; 32], [u8; 32]),
    ) {
        let k48 = recovery_key(folder, self.generation, &shared, (&public, &ephemeral));
        self.recoveries.push((public, ephemeral, etm_seal(&k48, &[], key)));
    }

    /// Signs anew.
    #[must_use]
    pub fn signed(mut self, folder: Id, key: &SigningKey) -> Self {
        self.signature = key.sign(&self.statement(folder)).to_bytes();
        self
    }

    /// The record.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.unsigned()[..], &self.signature].concat()
    }

    fn statement(&self, folder: Id) -> Vec<u8> {
        [b"meshproof folder keys", &folder[..], &self.unsigned()].concat()
    }

    fn unsigned(&self) -> Vec<u8> {
        let mut out = [&self.generation.to_be_bytes()[..], &self.writer, &self.check].concat();
        out.extend(u16::try_from(self.wraps.len()).expect("few").to_be_bytes());
        for (device, key) in &self.wraps {
            out.extend(device);
            out.extend(u16::try_from(key.len()).expect("an RSA key").to_be_bytes());
            out.extend(key);
        }
        out.push(u8::try_from(self.recoveries.len()).expect("few"));
        for (public, ephemeral, key) in &self.recoveries {
            out.extend([&public[..], ephemeral, key].concat());
        }
        out.extend(&self.earlier);
        out
    }

    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, Rejection> {
        let Some((record, rest)) = Self::fields(bytes) else {
            return reject("STO-070", "folder-key-malformed");
        };
        let ascending = record.wraps.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && record.recoveries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let few = record.wraps.len() <= 1_024 && record.recoveries.len() <= 8;
        require(rest.is_empty() && ascending && few, "STO-070", "folder-key-malformed")?;
        Ok(record)
    }

    fn fields(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = bytes;
        let mut take = |length: usize| {
            let (now, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(now)
        };
        let generation = u32::from_be_bytes(take(4)?.try_into().ok()?);
        let (writer, check) = (take(16)?.try_into().ok()?, take(32)?.try_into().ok()?);
        let mut wraps = Vec::new();
        for _ in 0..u16::from_be_bytes(take(2)?.try_into().ok()?) {
            let device = take(16)?.try_into().ok()?;
            let length = u16::from_be_bytes(take(2)?.try_into().ok()?);
            wraps.push((device, take(usize::from(length))?.to_vec()));
        }
        let mut recoveries = Vec::new();
        for _ in 0..take(1)?[0] {
            let (public, ephemeral) = (take(32)?.try_into().ok()?, take(32)?.try_into().ok()?);
            recoveries.push((public, ephemeral, take(64)?.to_vec()));
        }
        let earlier = match generation {
            1 => 0,
            2..=1_024 => 32 * usize::try_from(generation).ok()?,
            _ => return None,
        };
        let earlier = take(earlier)?.to_vec();
        let signature = take(64)?.try_into().ok()?;
        Some((Self { generation, writer, check, wraps, recoveries, earlier, signature }, rest))
    }

    /// Opens it: the keys of all generations. `known` are those that the reader has.
    pub fn open(
        &self,
        folder: Id,
        signing_key: &[u8; 32],
        by: &By<'_>,
        known: &[[u8; 32]],
    ) -> Result<Vec<[u8; 32]>, Rejection> {
        let signature = Signature::from_bytes(&self.signature);
        let signed = VerifyingKey::from_bytes(signing_key)
            .is_ok_and(|key| key.verify(&self.statement(folder), &signature).is_ok());
        require(signed, "STO-071", "folder-key-unsigned")?;
        let generation = usize::try_from(self.generation).expect("at most 1,024");
        require(known.len() <= generation, "STO-074", "folder-key-stale")?;
        let key: [u8; 32] = match by {
            By::Device(device, private) => {
                let wrap = self.wraps.iter().find(|(for_whom, _)| for_whom == device);
                let label = label(folder, self.generation, *device);
                let key = wrap.and_then(|(_, key)| oaep_decrypt(private, &label, key)?.try_into().ok());
                let Some(key) = key else { return reject("STO-072", "folder-key-wrap") };
                key
            }
            By::Recovery(secret) => {
                let Some(key) = self.recover(folder, secret) else {
                    return reject("STO-076", "folder-key-recovery");
                };
                key
            }
        };
        require(check(folder, self.generation, &key) == self.check, "STO-073", "folder-key-check")?;
        let mut keys: Vec<[u8; 32]> = Vec::new();
        if self.generation > 1 {
            let before = etm_open(&earlier_key(folder, self.generation, &key), &[], &self.earlier);
            let Some(before) = before else { return reject("STO-075", "folder-key-foreign") };
            keys.extend(before.chunks(32).map(|key| <[u8; 32]>::try_from(key).expect("32 bytes")));
        }
        keys.push(key);
        require(keys.starts_with(known), "STO-075", "folder-key-foreign")?;
        Ok(keys)
    }

    fn recover(&self, folder: Id, secret: &[u8]) -> Option<[u8; 32]> {
        let secret = StaticSecret::from(recovery_secret(secret));
        let public = PublicKey::from(&secret).to_bytes();
        let (_, ephemeral, sealed) = self.recoveries.iter().find(|(known, ..)| *known == public)?;
        let shared = secret.diffie_hellman(&PublicKey::from(*ephemeral)).to_bytes();
        if shared == [0; 32] {
            return None;
        }
        let k48 = recovery_key(folder, self.generation, &shared, (&public, ephemeral));
        etm_open(&k48, &[], sealed)?.try_into().ok()
    }
}

/// With what a record is opened.
pub enum By<'a> {
    /// A device and its RSA key.
    Device(Id, &'a RsaPrivateKey),
    /// The 16 bytes of a recovery key.
    Recovery(&'a [u8]),
}

/// The public half of a recovery key.
pub fn recovery_public(key: &[u8]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(recovery_secret(key))).to_bytes()
}

fn recovery_secret(key: &[u8]) -> [u8; 32] {
    extract(b"meshproof recovery key", key)
}

fn recovery_key(
    folder: Id,
    generation: u32,
    shared: &[u8],
    (public, ephemeral): (&[u8; 32], &[u8; 32]),
) -> Vec<u8> {
    let info: [&[u8]; 5] = [b"meshproof recovery", &folder, &generation.to_be_bytes(), public, ephemeral];
    expand(&extract(b"meshproof recovery", shared), &info, 48)
}

fn earlier_key(folder: Id, generation: u32, key: &[u8; 32]) -> Vec<u8> {
    expand(key, &[b"meshproof earlier keys", &folder, &generation.to_be_bytes()], 48)
}

fn check(folder: Id, generation: u32, key: &[u8; 32]) -> [u8; 32] {
    hmac(key, &[b"meshproof folder key", &folder, &generation.to_be_bytes()])
}

/// The label of a wrap.
pub fn label(folder: Id, generation: u32, device: Id) -> String {
    format!("meshproof folder key {} {generation} {}", hex(&folder), hex(&device))
}
