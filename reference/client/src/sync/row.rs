//! Rows of the index that say what is on disk.

use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::{Item, Kind, PortablePath, Stamp};
use rusqlite::{Connection, Row, params};

use super::disk::Seen;
use super::index::{Record, damaged};
use crate::error::Result;

pub(super) const COLUMNS: &str = "path, id, kind, size, hash, mode, mtime, stamps, copy, renamed,
    seen_size, seen_mtime, seen_inode, seen_certain, seen_changed, seen_born";

pub(super) fn write_record(connection: &Connection, folder: Id, record: &Record) -> Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO disk (folder, {COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
    );
    let (item, seen) = (&record.entry, record.seen);
    let (kind, size, hash) = match item.kind {
        Kind::File { size, hash } => (1, size, Some(hash.0)),
        Kind::Directory => (2, 0, None),
        Kind::Link { size, hash } => (3, size, Some(hash.0)),
    };
    connection.prepare_cached(&sql)?.execute(params![
        folder.0,
        item.path.as_str(),
        item.id.0,
        kind,
        size.cast_signed(),
        hash,
        item.mode,
        item.mtime.cast_signed(),
        [stamp_bytes(item.stamp), stamp_bytes(item.place)].concat(),
        item.copy,
        item.renamed,
        seen.map(|seen| seen.size.cast_signed()),
        seen.map(|seen| seen.mtime.cast_signed()),
        seen.map(|seen| seen.inode.cast_signed()),
        seen.map(|seen| seen.certain),
        seen.map(|seen| seen.changed.cast_signed()),
        seen.map(|seen| seen.born.cast_signed()),
    ])?;
    Ok(())
}

/// The outer result is SQLite's, the inner one says whether the row makes sense.
pub(super) fn read_record(row: &Row<'_>) -> rusqlite::Result<Result<Record>> {
    let path: String = row.get(0)?;
    let size = row.get::<_, i64>(3)?.cast_unsigned();
    let hash = MediaHash(row.get::<_, Option<[u8; 32]>>(4)?.unwrap_or_default());
    let kind = match row.get::<_, i64>(2)? {
        1 => Kind::File { size, hash },
        3 => Kind::Link { size, hash },
        _ => Kind::Directory,
    };
    let seen = match row.get::<_, Option<i64>>(10)? {
        None => None,
        Some(size) => Some(Seen {
            size: size.cast_unsigned(),
            mtime: row.get::<_, i64>(11)?.cast_unsigned(),
            inode: row.get::<_, i64>(12)?.cast_unsigned(),
            certain: row.get(13)?,
            // An index of an earlier version does not say: the file is read once more.
            changed: row.get::<_, Option<i64>>(14)?.unwrap_or_default().cast_unsigned(),
            born: row.get::<_, Option<i64>>(15)?.unwrap_or_default().cast_unsigned(),
        }),
    };
    let stamps: Vec<u8> = row.get(7)?;
    let parsed = stamps.split_at_checked(32).and_then(|(a, b)| Some((read_stamp(a)?, read_stamp(b)?)));
    let (Ok(portable), Some((stamp, place))) = (PortablePath::parse(&path), parsed) else {
        return Ok(Err(damaged(&path)));
    };
    let entry = Item {
        path: portable,
        id: Id(row.get(1)?),
        kind,
        mode: row.get(5)?,
        mtime: row.get::<_, i64>(6)?.cast_unsigned(),
        stamp,
        place,
        copy: row.get(8)?,
        renamed: row.get(9)?,
    };
    Ok(Ok(Record { entry, seen }))
}

fn stamp_bytes(stamp: Stamp) -> Vec<u8> {
    [&stamp.lamport.to_be_bytes()[..], &stamp.writer.0, &stamp.counter.to_be_bytes()].concat()
}

fn read_stamp(bytes: &[u8]) -> Option<Stamp> {
    let (lamport, rest) = bytes.split_first_chunk::<8>()?;
    let (writer, counter) = rest.split_first_chunk::<16>()?;
    Some(Stamp {
        lamport: u64::from_be_bytes(*lamport),
        writer: Id(*writer),
        counter: u64::from_be_bytes(counter.try_into().ok()?),
    })
}
