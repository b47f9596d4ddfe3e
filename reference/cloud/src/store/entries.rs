//! Entries of folders.

use std::collections::BTreeMap;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::time::UnixTime;

use super::members::Actor;
use super::wanted::settle;
use super::{Row, Store, StoreError, values};
use crate::storage::blobs::Object;

/// A file or directory of a folder, or the tombstone of one.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    /// Of files only.
    pub(crate) hash: Option<String>,
    pub(crate) version: Version,
    pub(crate) deleted: bool,
    pub(crate) etag: String,
}

/// A version vector: from device to counter.
pub(crate) type Version = BTreeMap<String, u64>;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::File, Self::Directory].into_iter().find(|kind| kind.name() == name)
    }
}

const COLUMNS: &str = "SELECT id, path, kind, size, hash, version, deleted, etag FROM entries";

impl Store {
    /// All entries of a folder, tombstones too (GPH-052).
    pub(crate) async fn entries(&self, folder: Id) -> Result<Vec<Entry>, StoreError> {
        let select = format!("{COLUMNS} WHERE folder_id = $1 ORDER BY id");
        self.read(move |sql| sql.all(&select, values![folder], entry)).await
    }

    /// One entry, which may be a tombstone.
    pub(crate) async fn entry(&self, folder: Id, id: Id) -> Result<Option<Entry>, StoreError> {
        let select = format!("{COLUMNS} WHERE folder_id = $1 AND id = $2");
        self.read(move |sql| sql.first(&select, values![folder, id], entry)).await
    }

    /// Adds an entry, or replaces the one whose tag is still `from` (GPH-013). What no entry names any more is let go
    /// (STO-035); returns the objects that had it.
    pub(crate) async fn put_entry(
        &self,
        folder: Id,
        entry: Entry,
        from: Option<String>,
        by: Actor,
        now: UnixTime,
    ) -> Result<Vec<Object>, StoreError> {
        self.write(move |sql| {
            by.check(sql, folder)?;
            let select = "SELECT hash FROM entries WHERE folder_id = $1 AND id = $2";
            let before = sql.first(select, values![folder, entry.id], |row| row.maybe_text(0))?.flatten();
            let insert = "INSERT INTO entries (folder_id, id, path, kind, size, hash, version, deleted, etag)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (folder_id, id) DO UPDATE SET
                path = excluded.path, kind = excluded.kind, size = excluded.size, hash = excluded.hash,
                version = excluded.version, deleted = excluded.deleted, etag = excluded.etag
                WHERE entries.etag = $10";
            let version = serde_json::to_string(&entry.version).unwrap_or_default();
            let values = values![
                folder,
                entry.id,
                &entry.path,
                entry.kind.name(),
                entry.size,
                entry.hash.as_ref(),
                version,
                entry.deleted,
                &entry.etag,
                from.as_deref().unwrap_or_default(),
            ];
            demand(sql.execute(insert, values)? == 1, req::GPH_013)?;
            let mut garbage = Vec::new();
            if let Some(hash) = &entry.hash {
                // The entry that its bytes waited for has come.
                let update = "UPDATE media SET until = 0 WHERE folder_id = $1 AND hash = $2";
                sql.execute(update, values![folder, hash])?;
                garbage.extend(settle(sql, folder, hash, now)?);
            }
            if let Some(hash) = before.filter(|before| entry.hash.as_ref() != Some(before)) {
                garbage.extend(settle(sql, folder, &hash, now)?);
            }
            Ok(garbage)
        })
        .await
    }
}

fn entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    Ok(Entry {
        id: row.id(0)?,
        path: row.text(1)?,
        kind: row.parsed(2, Kind::parse)?,
        size: row.number(3)?,
        hash: row.maybe_text(4)?,
        version: row.parsed(5, |text| serde_json::from_str(text).ok())?,
        deleted: row.number(6)? != 0,
        etag: row.text(7)?,
    })
}
