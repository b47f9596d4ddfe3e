//! What this device knows of the paths of its folders, in SQLite: one row a path, tombstones included.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::message::Entry;
use meshproof_proto::sync::{Kind, PortablePath, Version};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::disk::Seen;
use crate::error::{Error, Result};

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS entries (
        folder BLOB NOT NULL, path TEXT NOT NULL, kind INTEGER NOT NULL, mode INTEGER NOT NULL, mtime INTEGER NOT NULL,
        size INTEGER NOT NULL, hash BLOB, lamport INTEGER NOT NULL, writer BLOB NOT NULL, version BLOB NOT NULL,
        seen_size INTEGER, seen_mtime INTEGER, seen_inode INTEGER, seen_certain INTEGER,
        PRIMARY KEY (folder, path)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS entries_by_hash ON entries (folder, hash) WHERE kind = 1;
    CREATE TABLE IF NOT EXISTS roots (folder BLOB PRIMARY KEY, inode INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS syncs (
        folder BLOB NOT NULL, peer BLOB NOT NULL, time INTEGER NOT NULL, PRIMARY KEY (folder, peer)
    );
";
const COLUMNS: &str = "path, kind, mode, mtime, size, hash, lamport, writer, version,
    seen_size, seen_mtime, seen_inode, seen_certain";

/// One path: what the protocol says of it, and how the file looked when that was true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The entry as peers get it.
    pub entry: Entry,
    /// The file on disk that has the entry's content. `None` for all but files.
    pub seen: Option<Seen>,
}

/// The index of one device. All folders share one file.
pub struct Index {
    connection: Mutex<Connection>,
}

impl Index {
    /// Opens the index, or makes one.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.execute_batch(SCHEMA)?;
        connection.execute_batch(super::known::SCHEMA)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// What is known of one path.
    pub fn get(&self, folder: Id, path: &str) -> Result<Option<Record>> {
        let connection = self.lock();
        let sql = format!("SELECT {COLUMNS} FROM entries WHERE folder = ?1 AND path = ?2");
        let row = connection.prepare_cached(&sql)?.query_row(params![folder.0, path], read_row).optional()?;
        row.transpose()
    }

    /// Up to `limit` records, in the order of the protocol, after the path `after` (`""` to start).
    pub fn page(&self, folder: Id, after: &str, limit: usize) -> Result<Vec<Record>> {
        let connection = self.lock();
        let sql =
            format!("SELECT {COLUMNS} FROM entries WHERE folder = ?1 AND path > ?2 ORDER BY path LIMIT ?3");
        let mut statement = connection.prepare_cached(&sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![folder.0, after, limit], read_row)?;
        rows.map(|row| row?).collect()
    }

    /// Files of the folder with this content.
    pub fn find(&self, folder: Id, hash: &MediaHash) -> Result<Vec<Record>> {
        let connection = self.lock();
        let sql = format!(
            "SELECT {COLUMNS} FROM entries INDEXED BY entries_by_hash
             WHERE folder = ?1 AND hash = ?2 AND kind = 1 LIMIT 8"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![folder.0, hash.0], read_row)?;
        rows.map(|row| row?).collect()
    }

    /// The largest Lamport counter of the folder.
    pub fn lamport(&self, folder: Id) -> Result<u64> {
        // Counters are compared as unsigned numbers, and SQLite's are signed: hence the offset in `bits`.
        let sql = "SELECT max(lamport) FROM entries WHERE folder = ?1";
        let largest: Option<i64> = self.lock().query_row(sql, [folder.0], |row| row.get(0))?;
        Ok(largest.map_or(0, unsigned))
    }

    /// How many files and directories, tombstones apart, and how many bytes the folder has.
    pub fn totals(&self, folder: Id) -> Result<(u64, u64)> {
        let sql = "SELECT count(*), coalesce(sum(seen_size), 0) FROM entries WHERE folder = ?1 AND kind > 0";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let (count, bytes) = self.lock().query_row(sql, [folder.0], read)?;
        Ok((count.unsigned_abs(), bytes.unsigned_abs()))
    }

    /// The names under which losing content is kept (SYN-021).
    pub fn conflicts(&self, folder: Id) -> Result<Vec<String>> {
        let connection = self.lock();
        let sql =
            "SELECT path FROM entries WHERE folder = ?1 AND kind = 1 AND path LIKE '% (conflict ________ %)%'
            ORDER BY path";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([folder.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes all records or none.
    pub fn put<'a>(&self, folder: Id, records: impl IntoIterator<Item = &'a Record>) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        {
            let sql = format!(
                "INSERT OR REPLACE INTO entries (folder, {COLUMNS})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
            );
            let mut statement = transaction.prepare_cached(&sql)?;
            for record in records {
                let (entry, seen) = (&record.entry, record.seen);
                let (kind, size, hash) = match entry.kind {
                    Kind::Tombstone => (0, 0, None),
                    Kind::File { size, hash } => (1, size, Some(hash.0)),
                    Kind::Directory => (2, 0, None),
                };
                statement.execute(params![
                    folder.0,
                    entry.path.as_str(),
                    kind,
                    entry.mode,
                    entry.mtime.cast_signed(),
                    size.cast_signed(),
                    hash,
                    signed(entry.lamport),
                    entry.writer.0,
                    write_version(&entry.version),
                    seen.map(|seen| seen.size.cast_signed()),
                    seen.map(|seen| seen.mtime.cast_signed()),
                    seen.map(|seen| seen.inode.cast_signed()),
                    seen.map(|seen| seen.certain),
                ])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// The inode that the folder's root had at the last scan.
    pub fn root(&self, folder: Id) -> Result<Option<u64>> {
        let sql = "SELECT inode FROM roots WHERE folder = ?1";
        let inode: Option<i64> = self.lock().query_row(sql, [folder.0], |row| row.get(0)).optional()?;
        Ok(inode.map(i64::cast_unsigned))
    }

    /// Remembers the inode of the folder's root.
    pub fn set_root(&self, folder: Id, inode: u64) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO roots VALUES (?1, ?2)";
        self.lock().execute(sql, params![folder.0, inode.cast_signed()])?;
        Ok(())
    }

    /// Remembers that the folder was in sync with `peer` at `time`, in seconds since 1970.
    pub fn set_synced(&self, folder: Id, peer: Id, time: u64) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO syncs VALUES (?1, ?2, ?3)";
        self.lock().execute(sql, params![folder.0, peer.0, time.cast_signed()])?;
        Ok(())
    }

    /// When the folder was last in sync, with whom, newest first.
    pub fn synced(&self, folder: Id) -> Result<Vec<(Id, u64)>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT peer, time FROM syncs WHERE folder = ?1 ORDER BY time DESC")?;
        let rows = statement
            .query_map([folder.0], |row| Ok((Id(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned())))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets the folder. Its files stay.
    pub fn forget(&self, folder: Id) -> Result<()> {
        let connection = self.lock();
        for table in ["entries", "roots", "syncs", "chunks"] {
            connection.execute(&format!("DELETE FROM {table} WHERE folder = ?1"), [folder.0])?;
        }
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere rolled its transaction back; the connection is as good as before.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number in SQLite whose order is that of the unsigned number.
fn signed(n: u64) -> i64 {
    (n ^ (1 << 63)).cast_signed()
}

fn unsigned(n: i64) -> u64 {
    n.cast_unsigned() ^ (1 << 63)
}

fn write_version(version: &Version) -> Vec<u8> {
    version.counters().iter().flat_map(|(device, n)| [&device.0[..], &n.to_be_bytes()].concat()).collect()
}

fn read_version(bytes: &[u8]) -> Option<Version> {
    let counter = |pair: &[u8]| {
        let (device, n) = pair.split_at_checked(16)?;
        Some((Id(device.try_into().ok()?), u64::from_be_bytes(n.try_into().ok()?)))
    };
    Version::new(bytes.chunks(24).map(counter).collect::<Option<_>>()?).ok()
}

/// The outer result is SQLite's, the inner one says whether the row makes sense.
fn read_row(row: &Row<'_>) -> rusqlite::Result<Result<Record>> {
    let path: String = row.get(0)?;
    let size = row.get::<_, i64>(4)?.cast_unsigned();
    let kind = match (row.get::<_, i64>(1)?, row.get::<_, Option<[u8; 32]>>(5)?) {
        (1, Some(hash)) => Kind::File { size, hash: MediaHash(hash) },
        (2, _) => Kind::Directory,
        _ => Kind::Tombstone,
    };
    let seen = match row.get::<_, Option<i64>>(9)? {
        None => None,
        Some(size) => Some(Seen {
            size: size.cast_unsigned(),
            mtime: row.get::<_, i64>(10)?.cast_unsigned(),
            inode: row.get::<_, i64>(11)?.cast_unsigned(),
            certain: row.get(12)?,
        }),
    };
    let version: Vec<u8> = row.get(8)?;
    let (Ok(path), Some(version)) = (PortablePath::parse(&path), read_version(&version)) else {
        return Ok(Err(Error::usage(format!(
            "the index of this device is damaged at {path}: remove index.db and sync again"
        ))));
    };
    let entry = Entry {
        path,
        kind,
        mode: row.get(2)?,
        mtime: row.get::<_, i64>(3)?.cast_unsigned(),
        lamport: unsigned(row.get(6)?),
        writer: Id(row.get(7)?),
        version,
    };
    Ok(Ok(Record { entry, seen }))
}
