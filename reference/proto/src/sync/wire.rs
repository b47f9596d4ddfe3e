//! Entries as bytes (`spec/sync.md`, section 3).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::entry::{
    Content, Context, Entry, Kind, MAX_CONTENTS, MAX_COUNTER, MAX_LINK, Place, ROOT, Stamp, Version,
};
use super::path::Name;
use super::proof;
use crate::codec::{Id, Reader, Write};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some};
use crate::storage::MediaHash;

/// The most devices in a context (SYN-028).
pub const MAX_CONTEXT: usize = 4_096;

impl Entry {
    /// Appends the entry to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.place.parent.0);
        out.put_field16(self.place.name.as_str().as_bytes());
        self.place.stamp.write(out);
        out.put_u8(u8::from(self.place.gone));
        out.put_u8(u8::try_from(self.contents.len()).unwrap_or(u8::MAX));
        self.contents.iter().for_each(|content| content.write(out));
        put_counters(out, self.version.counters().iter().copied());
        proof::write(&self.proofs, out);
    }

    /// The next entry, if it breaks no rule.
    pub fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let id = malformed(fields.array().map(Id))?;
        let parent = malformed(fields.array().map(Id))?;
        demand(id != ROOT && id != parent, req::SYN_024)?;
        let name = malformed(fields.field16())?;
        let name = demand_some(core::str::from_utf8(name).ok(), req::SYN_013, || "x")?;
        let name = Name::parse(name)?;
        let (stamp, gone) = (Stamp::read(fields)?, read_flag(fields)?);
        let place = Place { stamp, parent, name, gone };
        let count = usize::from(malformed(fields.u8())?);
        demand((1..=MAX_CONTENTS).contains(&count), req::SYN_026)?;
        let mut contents: Vec<Content> = Vec::with_capacity(count);
        for _ in 0..count {
            let content = Content::read(fields)?;
            demand(contents.last().is_none_or(|before| before.stamp < content.stamp), req::SYN_026)?;
            contents.push(content);
        }
        let version = Version::new(read_counters(fields, usize::from(u16::MAX))?)?;
        let counted = |stamp: &Stamp| stamp.counter > 0 && version.has(stamp.dot());
        let stamps = contents.iter().map(|content| &content.stamp).chain([&place.stamp]);
        demand(stamps.into_iter().all(counted), req::SYN_025)?;
        let entry = Self { id, place, contents, version, proofs: proof::read(fields)? };
        entry.check_proofs()?;
        Ok(entry)
    }

    /// The bytes alone.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// Exactly one entry.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(bytes);
        let entry = Self::read(&mut fields)?;
        demand(fields.is_empty(), req::SYN_003)?;
        Ok(entry)
    }
}

impl Stamp {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_u64(self.lamport);
        out.extend_from_slice(&self.writer.0);
        out.put_u64(self.counter);
    }

    pub(super) fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let lamport = malformed(fields.u64())?;
        demand(lamport <= MAX_COUNTER, req::SYN_007)?;
        let writer = malformed(fields.array().map(Id))?;
        Ok(Self { lamport, writer, counter: malformed(fields.u64())? })
    }
}

impl Content {
    fn write(&self, out: &mut Vec<u8>) {
        self.stamp.write(out);
        out.put_u8(u8::from(self.gone));
        self.write_what(out);
    }

    /// All but the stamp and whether it is gone: what its writer signs.
    pub(super) fn write_what(&self, out: &mut Vec<u8>) {
        let (number, size, hash) = match self.kind {
            Kind::File { size, hash } => (1, size, hash),
            Kind::Directory => (2, 0, MediaHash::default()),
            Kind::Link { size, hash } => (3, size, hash),
        };
        out.put_u8(number);
        out.put_u16(self.mode);
        out.put_u64(self.mtime);
        out.put_u64(size);
        out.extend_from_slice(&hash.0);
    }

    fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let (stamp, gone) = (Stamp::read(fields)?, read_flag(fields)?);
        let number = malformed(fields.u8())?;
        let mode = malformed(fields.u16())?;
        let mtime = malformed(fields.u64())?;
        let size = malformed(fields.u64())?;
        let hash = malformed(fields.array().map(MediaHash))?;
        let kind = match number {
            1 if size > 0 || hash == MediaHash::of(&[]) => Some(Kind::File { size, hash }),
            2 if size == 0 && hash == MediaHash::default() => Some(Kind::Directory),
            3 if (1..=MAX_LINK).contains(&size) => Some(Kind::Link { size, hash }),
            _ => None,
        };
        let kind = demand_some(kind, req::SYN_007, || Kind::Directory)?;
        Ok(Self { stamp, kind, mode, mtime, gone })
    }
}

impl Context {
    /// The bytes alone.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// Exactly one context.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(bytes);
        let context = Self::read(&mut fields)?;
        demand(fields.is_empty(), req::SYN_003)?;
        Ok(context)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_counters(out, self.0.iter().map(|(device, counter)| (*device, *counter)));
    }

    pub(super) fn read(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let counters = read_counters(fields, MAX_CONTEXT)?;
        let ascending = counters.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let counted = counters.iter().all(|(_, counter)| (1..=MAX_COUNTER).contains(counter));
        demand(ascending && counted, req::SYN_028)?;
        Ok(Self(counters.into_iter().collect::<BTreeMap<_, _>>()))
    }
}

fn put_counters(out: &mut Vec<u8>, counters: impl ExactSizeIterator<Item = (Id, u64)>) {
    out.put_u16(u16::try_from(counters.len()).unwrap_or(u16::MAX));
    for (device, counter) in counters {
        out.extend_from_slice(&device.0);
        out.put_u64(counter);
    }
}

fn read_counters(fields: &mut Reader<'_>, most: usize) -> Result<Vec<(Id, u64)>, Error> {
    let count = usize::from(malformed(fields.u16())?);
    demand(count <= most, req::SYN_028)?;
    let mut counters = Vec::new();
    for _ in 0..count {
        counters.push((malformed(fields.array().map(Id))?, malformed(fields.u64())?));
    }
    Ok(counters)
}

/// A byte that is 0 or 1.
pub(super) fn read_flag(fields: &mut Reader<'_>) -> Result<bool, Error> {
    Ok(malformed(fields.u8().filter(|flag| *flag <= 1))? == 1)
}

pub(super) fn malformed<T>(field: Option<T>) -> Result<T, Error> {
    field.ok_or_else(|| req::SYN_003.into())
}
