//! Entries and heads as bytes, and what is wrong with them.

use std::collections::BTreeSet;

use super::unicode::is_composed;
use super::{Content, Entry, Head, Id, ROOT, Stamp, signed};
use crate::oracle::{Rejection, reject};

const MALFORMED: Rejection = Rejection { requirement: "SYN-003", reason: "sync-malformed" };
/// 2^48, which no counter reaches.
const END: u64 = 1 << 48;

/// A cursor over bytes.
pub struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    /// The next entry, whatever rules it breaks beyond its form.
    pub fn entry(&mut self) -> Option<Entry> {
        let (id, parent) = (self.array()?, self.array()?);
        let length = self.u16()?;
        let (name, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        let (place, gone, count) = (self.stamp()?, self.u8()?, self.u8()?);
        let contents = (0..count).map(|_| self.content()).collect::<Option<_>>()?;
        let (version, count) = (self.counters()?, self.u8()?);
        let proofs = Some((0..count).map(|_| self.proof()).collect::<Option<_>>()?);
        Some(Entry { id, parent, name: name.to_vec(), place, gone, contents, version, proofs })
    }

    fn content(&mut self) -> Option<Content> {
        Some(Content {
            stamp: self.stamp()?,
            gone: self.u8()?,
            kind: self.u8()?,
            mode: self.u16()?,
            mtime: self.u64()?,
            size: self.u64()?,
            hash: self.array()?,
        })
    }

    pub(super) fn stamp(&mut self) -> Option<Stamp> {
        Some(Stamp { lamport: self.u64()?, writer: self.array()?, counter: self.u64()? })
    }

    /// `counters` of section 3.
    pub fn counters(&mut self) -> Option<Vec<(Id, u64)>> {
        let count = self.u16()?;
        (0..count).map(|_| Some((self.array()?, self.u64()?))).collect()
    }

    /// So many bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

impl Entry {
    /// Appends the entry.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.id);
        out.extend(self.parent);
        out.extend(length16(self.name.len()));
        out.extend(&self.name);
        self.place.write(out);
        out.push(self.gone);
        out.push(u8::try_from(self.contents.len()).expect("the kit writes few contents"));
        for content in &self.contents {
            content.stamp.write(out);
            out.push(content.gone);
            out.extend(content.what());
        }
        write_counters(&self.version, out);
        let proofs = self.proofs();
        out.push(u8::try_from(proofs.len()).expect("the kit writes few proofs"));
        proofs.iter().for_each(|proof| proof.write(out));
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }
}

impl Stamp {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend(self.lamport.to_be_bytes());
        out.extend(self.writer);
        out.extend(self.counter.to_be_bytes());
    }
}

fn write_counters(counters: &[(Id, u64)], out: &mut Vec<u8>) {
    out.extend(length16(counters.len()));
    for (device, counter) in counters {
        out.extend(device);
        out.extend(counter.to_be_bytes());
    }
}

fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("the kit writes short strings and lists").to_be_bytes()
}

/// The entries of the body of an INDEX.
pub fn index(body: &[u8]) -> Result<Vec<Entry>, Rejection> {
    let mut fields = Fields(body);
    let mut entries: Vec<Entry> = Vec::new();
    let mut count = || {
        let (_folder, last, count) = (fields.array::<16>()?, fields.u8()?, fields.u32()?);
        (last <= 1).then_some(count)
    };
    for _ in 0..count().ok_or(MALFORMED)? {
        let entry = fields.entry().ok_or(MALFORMED)?;
        check(&entry)?;
        if entries.last().is_some_and(|before| before.id >= entry.id) {
            return reject("SYN-006", "sync-order");
        }
        entries.push(entry);
    }
    if fields.0.is_empty() { Ok(entries) } else { Err(MALFORMED) }
}

/// The heads in the body of a STATE.
pub fn state(body: &[u8]) -> Result<Vec<Head>, Rejection> {
    let mut fields = Fields(body);
    let read = |fields: &mut Fields<'_>| {
        let (_folder, complete, count) = (fields.array::<16>()?, fields.u8()?, fields.u16()?);
        let heads = (0..count).map(|_| fields.head()).collect::<Option<Vec<_>>>()?;
        for _ in 0..256 {
            fields.array::<16>()?; // the digest of a bucket
        }
        (complete <= 1 && fields.0.is_empty()).then_some(heads)
    };
    let heads = read(&mut fields).ok_or(MALFORMED)?;
    let ascending = heads.windows(2).all(|pair| pair[0].device < pair[1].device);
    if heads.len() > 4_096 || !ascending || !heads.iter().all(|head| (1..END).contains(&head.counter)) {
        return reject("SYN-028", "sync-context");
    }
    Ok(heads)
}

fn check(entry: &Entry) -> Result<(), Rejection> {
    if entry.id == ROOT || entry.id == entry.parent {
        return reject("SYN-024", "sync-identity");
    }
    name(&entry.name)?;
    let stamps: Vec<Stamp> =
        entry.contents.iter().map(|content| content.stamp).chain([entry.place]).collect();
    if entry.gone > 1 || entry.contents.iter().any(|content| content.gone > 1) {
        return Err(MALFORMED);
    }
    let good_kind = |content: &Content| match content.kind {
        1 => content.size > 0 || content.hash == *blake3::hash(&[]).as_bytes(),
        2 => content.size == 0 && content.hash == [0; 32],
        3 => (1..=4_096).contains(&content.size),
        _ => false,
    };
    if !entry.contents.iter().all(good_kind) || stamps.iter().any(|stamp| stamp.lamport >= END) {
        return reject("SYN-007", "sync-entry");
    }
    let ascending = entry.contents.windows(2).all(|pair| pair[0].stamp < pair[1].stamp);
    if !(1..=16).contains(&entry.contents.len()) || !ascending {
        return reject("SYN-026", "sync-contents");
    }
    let version = &entry.version;
    let ascending = version.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let counted = version.iter().all(|(_, counter)| (1..END).contains(counter));
    if !(1..=64).contains(&version.len()) || !ascending || !counted {
        return reject("SYN-008", "sync-version");
    }
    let known = |stamp: &Stamp| {
        let of_writer = version.iter().find(|(device, _)| *device == stamp.writer);
        stamp.counter > 0 && of_writer.is_some_and(|(_, counter)| stamp.counter <= *counter)
    };
    if !stamps.iter().all(known) {
        return reject("SYN-025", "sync-stamp");
    }
    signed::check(entry)
}

/// The rules for names.
pub fn name(bytes: &[u8]) -> Result<&str, Rejection> {
    let Ok(name) = std::str::from_utf8(bytes) else { return reject("SYN-013", "path-form") };
    if matches!(name, "" | "." | "..") || name.contains('/') {
        return reject("SYN-010", "path-traversal");
    }
    if name.len() > 255 {
        return reject("SYN-011", "path-component");
    }
    if name.chars().any(|c| c.is_control() || "\\:*?\"<>|".contains(c)) {
        return reject("SYN-012", "path-character");
    }
    if !is_composed(name) {
        return reject("SYN-013", "path-form");
    }
    let mut devices: BTreeSet<String> =
        ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].map(str::to_owned).into();
    devices.extend("123456789¹²³".chars().flat_map(|n| [format!("COM{n}"), format!("LPT{n}")]));
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_uppercase();
    if name.ends_with(['.', ' ']) || devices.contains(&stem) {
        return reject("SYN-014", "path-reserved");
    }
    Ok(name)
}
