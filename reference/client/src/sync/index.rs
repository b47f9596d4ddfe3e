//! What this device knows of its folders, in SQLite: the entries, which are the truth that all devices come to, and what of
//! their view is on this disk.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use meshproof_proto::codec::{Id, Reader};
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::digest::{self, Digests};
use meshproof_proto::sync::{Card, Context, Entry, Head, Item};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::disk::{Identity, Seen};
use super::folder::Size;
use super::past::{Past, unused};
use super::row::{COLUMNS, read_record, write_record};
use super::temp::open_private;
use super::{keyed, shown};
use crate::error::{Error, Result};

/// The number of this schema. An index of another one is made anew: the next scan fills it, files stay.
const VERSION: i64 = 3;
/// SYN-152: what is written is on disk when the writing returns. What a device said and then forgot in a power cut, it would say again
/// otherwise, and so part itself from the others (section 3.6).
/// The cache of 16 MiB holds the index of some ten thousand files: what does not fit is written in the middle of a transaction, again and
/// again, and read again for each request of a peer.
const LASTING: &str = "PRAGMA cache_size = -16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entries (
        folder BLOB NOT NULL, id BLOB NOT NULL, gone INTEGER NOT NULL, state BLOB NOT NULL,
        PRIMARY KEY (folder, id)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS entries_gone ON entries (folder, id) WHERE gone = 1;
    CREATE TABLE IF NOT EXISTS disk (
        folder BLOB NOT NULL, path TEXT NOT NULL, id BLOB NOT NULL, kind INTEGER NOT NULL, size INTEGER NOT NULL,
        hash BLOB, mode INTEGER NOT NULL, mtime INTEGER NOT NULL, stamps BLOB NOT NULL, copy INTEGER NOT NULL,
        renamed INTEGER NOT NULL, seen_size INTEGER, seen_mtime INTEGER, seen_inode INTEGER, seen_certain INTEGER,
        seen_changed INTEGER, seen_born INTEGER,
        PRIMARY KEY (folder, path)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS disk_by_hash ON disk (folder, hash) WHERE kind = 1;
    CREATE TABLE IF NOT EXISTS folders (
        folder BLOB PRIMARY KEY, lamport INTEGER NOT NULL, counter INTEGER NOT NULL, settled INTEGER NOT NULL,
        chain BLOB NOT NULL, past INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE IF NOT EXISTS contexts (
        folder BLOB NOT NULL, device BLOB NOT NULL, context BLOB NOT NULL, PRIMARY KEY (folder, device)
    );
    CREATE TABLE IF NOT EXISTS heads (
        folder BLOB NOT NULL, device BLOB NOT NULL, head BLOB NOT NULL, PRIMARY KEY (folder, device)
    );
    CREATE TABLE IF NOT EXISTS own_heads (
        folder BLOB NOT NULL, counter INTEGER NOT NULL, chain BLOB NOT NULL, PRIMARY KEY (folder, counter)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS met (folder BLOB NOT NULL, device BLOB NOT NULL, PRIMARY KEY (folder, device));
    CREATE TABLE IF NOT EXISTS writers (
        folder BLOB NOT NULL, device BLOB NOT NULL, key BLOB NOT NULL, signature BLOB NOT NULL,
        PRIMARY KEY (folder, device)
    );
    CREATE TABLE IF NOT EXISTS digests (
        folder BLOB NOT NULL, bucket INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (folder, bucket)
    );
    CREATE TABLE IF NOT EXISTS roots (folder BLOB PRIMARY KEY, inode INTEGER NOT NULL, disk INTEGER);
    CREATE TABLE IF NOT EXISTS syncs (
        folder BLOB NOT NULL, peer BLOB NOT NULL, time INTEGER NOT NULL, PRIMARY KEY (folder, peer)
    );
";
pub(super) const TABLES: [&str; 14] = [
    "entries",
    "disk",
    "folders",
    "contexts",
    "heads",
    "own_heads",
    "met",
    "writers",
    "digests",
    "roots",
    "syncs",
    "chunks",
    "forks",
    "kept_links",
];

/// Columns that an index of this version may lack: what they say is found out again.
const ADDED: [(&str, &str); 3] = [("disk", "seen_changed"), ("disk", "seen_born"), ("roots", "disk")];

const BUCKET: &str = "SELECT state FROM entries WHERE folder = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id";
const ALL_HEADS: &str = "SELECT head FROM heads WHERE folder = ?1 ORDER BY device";
/// SYN-111.
const HEADS: &str = "SELECT head FROM heads WHERE folder = ?1
    AND device NOT IN (SELECT device FROM forks WHERE folder = ?1) ORDER BY device";

/// One path on this disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What of the view is there.
    pub entry: Item,
    /// How it looked when it was put there or read. `None` for what cannot be looked at so.
    pub seen: Option<Seen>,
}

/// Where this device's counting stands in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The largest Lamport counter that was seen.
    pub lamport: u64,
    /// How far this device's changes are counted.
    pub counter: u64,
    /// The hash chain over them.
    pub chain: [u8; 32],
}

/// Changes that are written together or not at all.
#[derive(Default)]
pub struct Batch {
    /// Entries that are new or changed.
    pub entries: Vec<Entry>,
    /// Entries that are forgotten.
    pub forgotten: Vec<Id>,
    /// Paths where something else is now.
    pub records: BTreeMap<String, Record>,
    /// Paths where nothing is any more, unless they are in `records` too.
    pub vacant: Vec<String>,
    /// Where the counting stands, if it went on.
    pub clock: Option<Clock>,
    /// What devices have seen.
    pub contexts: Vec<(Id, Context)>,
    /// How far writers have come.
    pub heads: Vec<Head>,
    /// Whether what is on disk is the view.
    pub settled: Option<bool>,
    /// Whether it is not, if it was, because of what is in `entries`, and of nothing else.
    pub unsettles: bool,
    /// What became of what this device did before its index was made anew.
    pub past: Option<Past>,
    /// A device all of whose entries were taken over.
    pub met: Option<Id>,
}

/// The index of one device. All folders share one file.
pub struct Index {
    connection: Mutex<Connection>,
    /// How many entries and paths were read.
    read: AtomicU64,
}

impl Index {
    /// Opens the index, or makes one. It has the names of all files, so its user alone can read it.
    pub fn open(path: &Path) -> Result<Self> {
        // SQLite gives the files beside it the same mode. If this fails, opening says why.
        drop(open_private(OpenOptions::new().write(true).create_new(true), path));
        let mut connection = Connection::open(path)?;
        connection.set_prepared_statement_cache_capacity(64);
        // A statement that is kept stays as it was prepared, whatever is bound to it: SQLite would prepare a range anew each time.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(LASTING)?;
        make(&mut connection)?;
        keyed::fill(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection), read: AtomicU64::new(0) })
    }

    /// What is on disk at one path.
    pub fn get(&self, folder: Id, path: &str) -> Result<Option<Record>> {
        let connection = self.lock();
        let sql = format!("SELECT {COLUMNS} FROM disk WHERE folder = ?1 AND path = ?2");
        let row =
            connection.prepare_cached(&sql)?.query_row(params![folder.0, path], read_record).optional()?;
        row.transpose()
    }

    /// All that is on disk, by path.
    pub fn records(&self, folder: Id) -> Result<BTreeMap<String, Record>> {
        let connection = self.lock();
        let sql = format!("SELECT {COLUMNS} FROM disk WHERE folder = ?1 ORDER BY path");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map([folder.0], read_record)?;
        rows.map(|row| self.count(row?.map(|record| (record.entry.path.as_str().to_owned(), record))))
            .collect()
    }

    /// Files on disk with this content.
    pub fn find(&self, folder: Id, hash: &MediaHash) -> Result<Vec<Record>> {
        let connection = self.lock();
        let sql = format!(
            "SELECT {COLUMNS} FROM disk INDEXED BY disk_by_hash
             WHERE folder = ?1 AND hash = ?2 AND kind = 1 LIMIT 8"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![folder.0, hash.0], read_record)?;
        rows.map(|row| self.count(row?)).collect()
    }

    /// All entries, ascending by identifier.
    pub fn entries(&self, folder: Id) -> Result<Vec<Entry>> {
        self.query_entries("SELECT state FROM entries WHERE folder = ?1 ORDER BY id", params![folder.0])
    }

    /// The entries of one bucket, ascending by identifier.
    pub fn bucket(&self, folder: Id, bucket: u8) -> Result<Vec<Entry>> {
        let (mut first, mut last) = ([0; 16], [0xFF; 16]);
        (first[0], last[0]) = (bucket, bucket);
        self.query_entries(BUCKET, params![folder.0, first, last])
    }

    /// The entries that are deleted.
    pub fn gone(&self, folder: Id) -> Result<Vec<Entry>> {
        let sql = "SELECT state FROM entries INDEXED BY entries_gone WHERE folder = ?1 AND gone = 1";
        self.query_entries(sql, params![folder.0])
    }

    /// One entry.
    pub fn entry(&self, folder: Id, id: Id) -> Result<Option<Entry>> {
        let sql = "SELECT state FROM entries WHERE folder = ?1 AND id = ?2";
        Ok(self.query_entries(sql, params![folder.0, id.0])?.pop())
    }

    fn query_entries(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Entry>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(values, |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|row| self.count(Entry::from_bytes(&row?).map_err(|_| damaged("an entry")))).collect()
    }

    /// The digests of the folder's entries. Only buckets that changed since the last time are read.
    pub fn digests(&self, folder: Id) -> Result<Digests> {
        let mut digests = Digests::default();
        let mut known = [false; digest::BUCKETS];
        {
            let connection = self.lock();
            let mut statement =
                connection.prepare_cached("SELECT bucket, digest FROM digests WHERE folder = ?1")?;
            let mut rows = statement.query([folder.0])?;
            while let Some(row) = rows.next()? {
                let bucket = usize::from(row.get::<_, u8>(0)?);
                (digests.0[bucket], known[bucket]) = (row.get(1)?, true);
            }
        }
        let mut found = Vec::new();
        for (number, digest) in (0..=u8::MAX).zip(&mut digests.0) {
            if !known[usize::from(number)] {
                *digest = digest::digest(&self.bucket(folder, number)?);
                found.push((number, *digest));
            }
        }
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for (number, digest) in found {
            let sql = "INSERT OR REPLACE INTO digests VALUES (?1, ?2, ?3)";
            transaction.prepare_cached(sql)?.execute(params![folder.0, number, digest])?;
        }
        transaction.commit()?;
        Ok(digests)
    }

    /// Where the counting stands. A new index begins beyond what an earlier one of the same device can have used: no two
    /// changes may have one counter.
    pub fn clock(&self, folder: Id) -> Result<Clock> {
        let sql = "SELECT lamport, counter, chain FROM folders WHERE folder = ?1";
        let read = |row: &Row<'_>| {
            let (lamport, counter): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (lamport, counter) = (lamport.cast_unsigned(), counter.cast_unsigned());
            Ok(Clock { lamport, counter, chain: row.get(2)? })
        };
        let stored = self.lock().query_row(sql, [folder.0], read).optional()?;
        Ok(stored.unwrap_or_else(|| Clock { lamport: 0, counter: unused(), chain: [0; 32] }))
    }

    /// Whether what is on disk is the view of the entries.
    pub fn settled(&self, folder: Id) -> Result<bool> {
        let sql = "SELECT settled = 1 FROM folders WHERE folder = ?1";
        Ok(self.lock().query_row(sql, [folder.0], |row| row.get(0)).optional()?.unwrap_or(false))
    }

    /// Which changes `device` has seen, this one or another.
    pub fn context(&self, folder: Id, device: Id) -> Result<Context> {
        let sql = "SELECT context FROM contexts WHERE folder = ?1 AND device = ?2";
        let bytes: Option<Vec<u8>> =
            self.lock().query_row(sql, params![folder.0, device.0], |row| row.get(0)).optional()?;
        let Some(bytes) = bytes else { return Ok(Context::default()) };
        self.without_forked(folder, Context::from_bytes(&bytes).map_err(|_| damaged("a context"))?)
    }

    /// How far each writer has come of whose changes this device has seen all, by the writer's own word.
    pub fn heads(&self, folder: Id) -> Result<Vec<Head>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached(if deviates(req::SYN_111) { ALL_HEADS } else { HEADS })?;
        let rows = statement.query_map([folder.0], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|row| Head::read(&mut Reader::new(&row?)).map_err(|_| damaged("a head"))).collect()
    }

    /// Whether all entries of a device were taken over, since this index was made.
    pub fn has_met(&self, folder: Id, device: Id) -> Result<bool> {
        let sql = "SELECT 1 FROM met WHERE folder = ?1 AND device = ?2";
        Ok(self.lock().prepare_cached(sql)?.exists(params![folder.0, device.0])?)
    }

    /// The cards of the writers that this device knows.
    pub fn writers(&self, folder: Id) -> Result<Vec<Card>> {
        let connection = self.lock();
        let sql = "SELECT device, key, signature FROM writers WHERE folder = ?1 ORDER BY device";
        let mut statement = connection.prepare_cached(sql)?;
        let card =
            |row: &Row<'_>| Ok(Card { device: Id(row.get(0)?), key: row.get(1)?, signature: row.get(2)? });
        let rows = statement.query_map([folder.0], card)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Remembers the cards of writers.
    pub fn add_writers(&self, folder: Id, cards: &[Card]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for Card { device, key, signature } in cards {
            let sql = "INSERT OR REPLACE INTO writers VALUES (?1, ?2, ?3, ?4)";
            transaction.prepare_cached(sql)?.execute(params![folder.0, device.0, key, signature])?;
        }
        Ok(transaction.commit()?)
    }

    /// How many entries there are, and how many bytes they take.
    pub(super) fn size(&self, folder: Id) -> Result<Size> {
        let sql = "SELECT count(*), coalesce(sum(length(state)), 0) FROM entries WHERE folder = ?1";
        let read = |row: &Row<'_>| {
            let (entries, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(Size { entries: entries.unsigned_abs(), bytes: bytes.unsigned_abs() })
        };
        Ok(self.lock().query_row(sql, [folder.0], read)?)
    }

    /// How many files and directories, and how many bytes, of the folder are on this disk.
    pub fn totals(&self, folder: Id) -> Result<(u64, u64)> {
        let sql = "SELECT count(*), coalesce(sum(size), 0) FROM disk WHERE folder = ?1";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let (count, bytes) = self.lock().query_row(sql, [folder.0], read)?;
        Ok((count.unsigned_abs(), bytes.unsigned_abs()))
    }

    /// How many directories of the folder are on this disk.
    pub fn directories(&self, folder: Id) -> Result<u64> {
        let sql = "SELECT count(*) FROM disk WHERE folder = ?1 AND kind = 2";
        let count: i64 = self.lock().query_row(sql, [folder.0], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// The names under which losing content is kept (SYN-021), or an entry whose name is taken (SYN-041).
    pub fn conflicts(&self, folder: Id) -> Result<Vec<String>> {
        let connection = self.lock();
        let sql = "SELECT path FROM disk WHERE folder = ?1 AND renamed = 1
                   OR folder = ?1 AND kind = 1 AND path LIKE '% (conflict ________ %)%' ORDER BY path";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([folder.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes all or nothing.
    pub fn write(&self, folder: Id, batch: &Batch) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        write_entries(&transaction, folder, batch)?;
        {
            let mut remove =
                transaction.prepare_cached("DELETE FROM disk WHERE folder = ?1 AND path = ?2")?;
            for path in batch.vacant.iter().filter(|path| !batch.records.contains_key(*path)) {
                remove.execute(params![folder.0, path])?;
            }
            for record in batch.records.values() {
                write_record(&transaction, folder, record)?;
            }
            for (device, context) in &batch.contexts {
                let sql = "INSERT OR REPLACE INTO contexts VALUES (?1, ?2, ?3)";
                transaction.prepare_cached(sql)?.execute(params![folder.0, device.0, context.to_bytes()])?;
            }
            for head in &batch.heads {
                let mut bytes = Vec::new();
                head.write(&mut bytes);
                let sql = "INSERT OR REPLACE INTO heads VALUES (?1, ?2, ?3)";
                transaction.prepare_cached(sql)?.execute(params![folder.0, head.device.0, bytes])?;
            }
            if let Some(Clock { lamport, counter, chain }) = batch.clock {
                let sql = "INSERT OR IGNORE INTO own_heads VALUES (?1, ?2, ?3)";
                transaction.prepare_cached(sql)?.execute(params![folder.0, counter.cast_signed(), chain])?;
                let sql = "INSERT INTO folders (folder, lamport, counter, settled, chain) VALUES (?1, ?2, ?3, 0, ?4)
                           ON CONFLICT (folder) DO UPDATE SET lamport = ?2, counter = ?3, chain = ?4";
                let values = params![folder.0, lamport.cast_signed(), counter.cast_signed(), chain];
                transaction.prepare_cached(sql)?.execute(values)?;
            }
            if let Some(device) = batch.met {
                let sql = "INSERT OR IGNORE INTO met VALUES (?1, ?2)";
                transaction.prepare_cached(sql)?.execute(params![folder.0, device.0])?;
            }
            if let Some(past) = batch.past {
                let sql = "UPDATE folders SET past = ?2 WHERE folder = ?1";
                transaction.prepare_cached(sql)?.execute(params![folder.0, past as u8])?;
            }
            if let Some(settled) = batch.settled {
                keyed::settle(&transaction, folder, settled)?;
            }
            if batch.unsettles && batch.settled.is_none() {
                keyed::unsettle(&transaction, folder, &batch.entries)?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Which directory the folder's root was at the last scan.
    pub(super) fn root(&self, folder: Id) -> Result<Option<Identity>> {
        let sql = "SELECT inode, disk FROM roots WHERE folder = ?1";
        let read = |row: &Row<'_>| {
            let (inode, disk): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            Ok(Identity { disk: disk.unwrap_or_default().cast_unsigned(), inode: inode.cast_unsigned() })
        };
        Ok(self.lock().query_row(sql, [folder.0], read).optional()?)
    }

    /// Remembers which directory the folder's root is.
    pub(super) fn set_root(&self, folder: Id, Identity { disk, inode }: Identity) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO roots (folder, inode, disk) VALUES (?1, ?2, ?3)";
        self.lock().execute(sql, params![folder.0, inode.cast_signed(), disk.cast_signed()])?;
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

    /// How many entries and paths were read from it: what a change costs, however fast the machine is.
    pub fn rows_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn count<T>(&self, row: T) -> T {
        self.read.fetch_add(1, Ordering::Relaxed);
        row
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere rolled its transaction back; the connection is as good as before.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// What was at a path is not there any more.
    pub(super) fn vacate(&mut self, path: &str) {
        self.records.remove(path);
        self.vacant.push(path.into());
    }

    /// This is at its path now.
    pub(super) fn put(&mut self, record: Record) {
        self.records.insert(record.entry.path.as_str().into(), record);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.forgotten.is_empty()
            && self.records.is_empty()
            && self.vacant.is_empty()
            && self.clock.is_none()
            && self.contexts.is_empty()
            && self.heads.is_empty()
            && self.past.is_none()
            && self.met.is_none()
            && self.settled.is_none()
            && !self.unsettles
    }
}

/// Entries, and with them the digests of their buckets, which have to be found out again.
fn write_entries(transaction: &Transaction<'_>, folder: Id, batch: &Batch) -> Result<()> {
    let mut changed = [false; digest::BUCKETS];
    {
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4)")?;
        // Before the cloud's states are read for the first time, all are unsent anyway.
        let tells_cloud = transaction
            .prepare_cached("SELECT 1 FROM cloud_marks WHERE folder = ?1")?
            .exists(params![folder.0])?;
        let mut unsent = transaction.prepare_cached("INSERT OR IGNORE INTO cloud_unsent VALUES (?1, ?2)")?;
        for entry in &batch.entries {
            changed[usize::from(digest::bucket(entry.id))] = true;
            put.execute(params![folder.0, entry.id.0, entry.is_gone(), entry.to_bytes()])?;
            if tells_cloud {
                unsent.execute(params![folder.0, entry.id.0])?;
            }
            keyed::put_place(transaction, folder, entry)?;
        }
        let mut remove = transaction.prepare_cached("DELETE FROM entries WHERE folder = ?1 AND id = ?2")?;
        for id in &batch.forgotten {
            changed[usize::from(digest::bucket(*id))] = true;
            remove.execute(params![folder.0, id.0])?;
            keyed::remove_place(transaction, folder, *id)?;
        }
    }
    let mut forget = transaction.prepare_cached("DELETE FROM digests WHERE folder = ?1 AND bucket = ?2")?;
    for (number, _) in (0..=u8::MAX).zip(changed).filter(|(_, changed)| *changed) {
        forget.execute(params![folder.0, number])?;
    }
    Ok(())
}

pub(super) fn damaged(what: &str) -> Error {
    Error::usage(format!("the index of this device is damaged at {what}: remove index.db and sync again"))
}

/// Makes what is not there, in one transaction: one flush, and none if all is there.
fn make(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != VERSION {
        for table in TABLES.iter().chain(&shown::TABLES).chain(&keyed::TABLES) {
            transaction.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
        }
        transaction.execute_batch(&format!("PRAGMA user_version = {VERSION}"))?;
    }
    let schemas = [
        SCHEMA,
        super::known::SCHEMA,
        super::forks::SCHEMA,
        super::link::SCHEMA,
        shown::SCHEMA,
        keyed::SCHEMA,
        super::journal::SCHEMA,
    ];
    for schema in schemas {
        transaction.execute_batch(schema)?;
    }
    for (table, column) in ADDED {
        let sql = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
        if !transaction.prepare(sql)?.exists([table, column])? {
            transaction.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} INTEGER"))?;
        }
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn what_is_written_survives_a_power_cut() {
        let home = tempfile::tempdir().unwrap();
        let index = Index::open(&home.path().join("index.db")).unwrap();
        let pragma = |name: &str| -> String {
            let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            index.lock().query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        // With a log that is flushed at each commit: 2 is FULL.
        assert_eq!((pragma("journal_mode"), pragma("synchronous")), ("wal".into(), "2".into()));
    }

    #[test]
    fn an_index_that_is_there_is_opened_without_writing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("index.db");
        drop(Index::open(&path).unwrap());
        let beside = Connection::open(&path).unwrap();
        let written = || -> i64 { beside.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap() };
        let before = written();
        let _index = Index::open(&path).unwrap();
        assert_eq!(written(), before);
    }

    #[test]
    fn a_statement_is_prepared_once_whatever_is_bound_to_it() {
        let home = tempfile::tempdir().unwrap();
        let index = Index::open(&home.path().join("index.db")).unwrap();
        for bucket in 0..=u8::MAX {
            index.bucket(Id([1; 16]), bucket).unwrap();
        }
        let connection = index.lock();
        let statement = connection.prepare_cached(BUCKET).unwrap();
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        assert!(statement.get_status(StatementStatus::Run) >= 256, "this is the statement that was used");
    }
}
