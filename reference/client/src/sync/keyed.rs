//! What the index can tell by a key, however much there is beside it.

use std::collections::BTreeMap;

use meshproof_proto::codec::Id;
use meshproof_proto::sync::{Entry, Name};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::Index;
use super::index::{Record, damaged};
use super::row::{COLUMNS, read_record};
use crate::error::Result;

/// In the file of the index.
pub(super) const SCHEMA: &str = "
    CREATE INDEX IF NOT EXISTS disk_by_id ON disk (folder, id);
    CREATE INDEX IF NOT EXISTS disk_odd ON disk (folder) WHERE renamed = 1 OR copy = 1;
    CREATE TABLE IF NOT EXISTS places (
        folder BLOB NOT NULL, id BLOB NOT NULL, parent BLOB NOT NULL, folded TEXT NOT NULL, PRIMARY KEY (folder, id)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS places_by_name ON places (folder, parent, folded);
    CREATE TABLE IF NOT EXISTS pending (
        folder BLOB NOT NULL, id BLOB NOT NULL, PRIMARY KEY (folder, id)
    ) WITHOUT ROWID;
";
/// The tables.
pub(super) const TABLES: [&str; 2] = ["places", "pending"];
/// With more than this, the view is found out from all entries.
const MOST: i64 = 1_000;

/// How far what is on disk is the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nobody knows.
    No,
    /// It is.
    Yes,
    /// It is, but for what these entries show.
    But(Vec<Id>),
}

impl Index {
    /// How far what is on disk is the view.
    pub(super) fn how_settled(&self, folder: Id) -> Result<Settled> {
        let connection = self.lock();
        let sql = "SELECT settled FROM folders WHERE folder = ?1";
        let settled: Option<u8> = connection.query_row(sql, [folder.0], |row| row.get(0)).optional()?;
        Ok(match settled {
            Some(1) => Settled::Yes,
            Some(2) => {
                let mut statement =
                    connection.prepare_cached("SELECT id FROM pending WHERE folder = ?1 ORDER BY id")?;
                let rows = statement.query_map([folder.0], |row| row.get(0).map(Id))?;
                Settled::But(rows.collect::<Result<_, _>>()?)
            }
            _ => Settled::No,
        })
    }

    /// What is on disk of an entry.
    pub(super) fn records_of(&self, folder: Id, entry: Id) -> Result<Vec<Record>> {
        let connection = self.lock();
        let sql = format!(
            "SELECT {COLUMNS} FROM disk INDEXED BY disk_by_id WHERE folder = ?1 AND id = ?2 ORDER BY path"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![folder.0, entry.0], read_record)?;
        rows.map(|row| self.count(row?)).collect()
    }

    /// What is on disk below a directory.
    pub(super) fn records_below(&self, folder: Id, directory: &str) -> Result<BTreeMap<String, Record>> {
        let connection = self.lock();
        // `0` comes after `/`.
        let sql = format!("SELECT {COLUMNS} FROM disk WHERE folder = ?1 AND path > ?2 AND path < ?3");
        let mut statement = connection.prepare_cached(&sql)?;
        let values = params![folder.0, format!("{directory}/"), format!("{directory}0")];
        let rows = statement.query_map(values, read_record)?;
        rows.map(|row| self.count(row?.map(|record| (record.entry.path.as_str().to_owned(), record))))
            .collect()
    }

    /// Whether something on disk has another name than its entry's, or is a content beside another.
    pub(super) fn has_odd(&self, folder: Id) -> Result<bool> {
        let sql =
            "SELECT 1 FROM disk INDEXED BY disk_odd WHERE folder = ?1 AND (renamed = 1 OR copy = 1) LIMIT 1";
        Ok(self.lock().prepare_cached(sql)?.exists([folder.0])?)
    }

    /// Whether another entry, deleted or not, has the name of this one, in its directory.
    pub(super) fn is_shared(&self, folder: Id, entry: &Entry) -> Result<bool> {
        self.is_claimed(folder, entry.place.parent, &entry.place.name, entry.id)
    }

    /// Whether an entry that is not `but`, deleted or not, has this name in this directory.
    pub(super) fn is_claimed(&self, folder: Id, parent: Id, name: &Name, but: Id) -> Result<bool> {
        let sql = "SELECT 1 FROM places INDEXED BY places_by_name
            WHERE folder = ?1 AND parent = ?2 AND folded = ?3 AND id <> ?4 LIMIT 1";
        let values = params![folder.0, parent.0, name.folded(), but.0];
        Ok(self.lock().prepare_cached(sql)?.exists(values)?)
    }

    /// Whether an entry, deleted or not, is in this one.
    pub(super) fn has_children(&self, folder: Id, entry: Id) -> Result<bool> {
        let sql = "SELECT 1 FROM places INDEXED BY places_by_name WHERE folder = ?1 AND parent = ?2 LIMIT 1";
        Ok(self.lock().prepare_cached(sql)?.exists(params![folder.0, entry.0])?)
    }
}

/// Where an entry is, for those who ask by the name.
pub(super) fn put_place(transaction: &Transaction<'_>, folder: Id, entry: &Entry) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO places VALUES (?1, ?2, ?3, ?4)";
    let (parent, folded) = (entry.place.parent.0, entry.place.name.folded());
    transaction.prepare_cached(sql)?.execute(params![folder.0, entry.id.0, parent, folded])?;
    Ok(())
}

/// The entry is forgotten.
pub(super) fn remove_place(transaction: &Transaction<'_>, folder: Id, entry: Id) -> Result<()> {
    let sql = "DELETE FROM places WHERE folder = ?1 AND id = ?2";
    transaction.prepare_cached(sql)?.execute(params![folder.0, entry.0])?;
    Ok(())
}

/// What these entries show may not be on disk; whatever else was, still is.
pub(super) fn unsettle(transaction: &Transaction<'_>, folder: Id, entries: &[Entry]) -> Result<()> {
    let sql = "UPDATE folders SET settled = 2 WHERE folder = ?1 AND settled <> 0";
    if transaction.prepare_cached(sql)?.execute([folder.0])? == 0 {
        return Ok(());
    }
    let mut put = transaction.prepare_cached("INSERT OR IGNORE INTO pending VALUES (?1, ?2)")?;
    for entry in entries {
        put.execute(params![folder.0, entry.id.0])?;
    }
    let count: i64 =
        transaction
            .query_row("SELECT count(*) FROM pending WHERE folder = ?1", [folder.0], |row| row.get(0))?;
    if count > MOST { settle(transaction, folder, false) } else { Ok(()) }
}

/// All of it is the view, or nobody knows.
pub(super) fn settle(transaction: &Transaction<'_>, folder: Id, settled: bool) -> Result<()> {
    let sql = "UPDATE folders SET settled = ?2 WHERE folder = ?1";
    transaction.prepare_cached(sql)?.execute(params![folder.0, settled])?;
    transaction.prepare_cached("DELETE FROM pending WHERE folder = ?1")?.execute([folder.0])?;
    Ok(())
}

/// An index from before these tables: places are filled in.
pub(super) fn fill(connection: &mut Connection) -> Result<()> {
    let lacks = "SELECT EXISTS (SELECT 1 FROM entries) AND NOT EXISTS (SELECT 1 FROM places)";
    if !connection.query_row(lacks, [], |row| row.get::<_, bool>(0))? {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare("SELECT folder, state FROM entries")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (folder, state) = (Id(row.get(0)?), row.get::<_, Vec<u8>>(1)?);
            let entry = Entry::from_bytes(&state).map_err(|_| damaged("an entry"))?;
            put_place(&transaction, folder, &entry)?;
        }
    }
    Ok(transaction.commit()?)
}
