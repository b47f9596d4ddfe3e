//! Entries of folders.

use std::collections::BTreeMap;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::changes::{self, Verb};
use super::members::Actor;
use super::wanted::settle;
use super::{Row, Span, Sql, Store, StoreError, values};
use crate::graph::paths;
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
    /// Of tombstones empty.
    pub(crate) attributes: Attributes,
    pub(crate) deleted: bool,
    pub(crate) etag: String,
}

/// What the writer of an entry says beside its content; it decides nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    /// When the content last changed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modified: Option<u64>,
    /// Texts that only clients understand.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) properties: BTreeMap<String, String>,
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

const COLUMNS: &str =
    "SELECT id, path, kind, size, hash, version, deleted, etag, attributes, seq FROM entries";

/// What entries may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In one folder, with tombstones (GPH-132).
    pub(crate) entries: u64,
    /// Bytes of all entries of a creator's folders (GPH-133).
    pub(crate) metadata: u64,
}

/// What an entry takes beside its path, version and attributes: identifiers, tags, its place in indexes.
const ENTRY_BYTES: u64 = 256;

/// Entries in the order of their last change.
#[derive(Debug)]
pub(crate) struct Delta {
    pub(crate) entries: Vec<Entry>,
    /// From which number to go on.
    pub(crate) seq: u64,
    /// Whether there are more.
    pub(crate) more: bool,
}

impl Store {
    /// All entries of a folder, tombstones too (GPH-052).
    pub(crate) async fn entries(
        &self,
        folder: Id,
        Span { after, most }: Span,
    ) -> Result<Vec<Entry>, StoreError> {
        let select = format!("{COLUMNS} WHERE folder_id = $1 AND id > $2 ORDER BY id LIMIT $3");
        self.read(move |sql| sql.all(&select, values![folder, &after, most], entry)).await
    }

    /// One entry, which may be a tombstone.
    pub(crate) async fn entry(&self, folder: Id, id: Id) -> Result<Option<Entry>, StoreError> {
        let select = format!("{COLUMNS} WHERE folder_id = $1 AND id = $2");
        self.read(move |sql| sql.first(&select, values![folder, id], entry)).await
    }

    /// The entries of a folder that changed after the number `since` (GPH-060), `limit` at most. `None` if the feed has
    /// not come that far.
    pub(crate) async fn entries_since(
        &self,
        folder: Id,
        since: u64,
        limit: usize,
    ) -> Result<Option<Delta>, StoreError> {
        self.read(move |sql| {
            // Before the entries: all up to this number can be seen, and what comes between has a larger one.
            let last = changes::last(sql, folder)?;
            if (since > last && !deviates(req::GPH_061)) || !is_known(sql, folder, since)? {
                return Ok(None);
            }
            let select = format!("{COLUMNS} WHERE folder_id = $1 AND seq > $2 ORDER BY seq LIMIT $3");
            let values = values![folder, since, limit as u64 + 1];
            let mut rows = sql.all(&select, values, |row| Ok((entry(row)?, row.number(9)?)))?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let reached = rows.last().map_or(since, |(_, seq)| *seq);
            let seq = if more && !deviates(req::GPH_062) { reached } else { reached.max(last) };
            let mut entries: Vec<Entry> = rows.into_iter().map(|(entry, _)| entry).collect();
            entries.retain(|entry| !(entry.deleted && deviates(req::GPH_060)));
            Ok(Some(Delta { entries, seq, more }))
        })
        .await
    }

    /// Adds an entry, or replaces the one whose tag is still `from` (GPH-013). What no entry names any more is let go
    /// (STO-035); returns the objects that had it.
    pub(crate) async fn put_entry(
        &self,
        folder: Id,
        entry: Entry,
        from: Option<String>,
        bounds: Bounds,
        by: Actor,
    ) -> Result<Vec<Object>, StoreError> {
        self.change(by.who, move |sql, log| {
            by.check(sql, folder)?;
            let select = "SELECT 1 FROM folders WHERE id = $1 AND generation > 0";
            let encrypted = sql.exists(select, values![folder])?;
            demand(!encrypted || entry.deleted || is_sealed(&entry), req::GPH_203)?;
            let select = "SELECT hash, CAST(octet_length(path) + octet_length(version) + octet_length(attributes) AS bigint)
                FROM entries WHERE folder_id = $1 AND id = $2";
            let old = sql
                .first(select, values![folder, entry.id], |row| Ok((row.maybe_text(0)?, row.number(1)?)))?;
            let (before, taken) = old.map_or((None, None), |(hash, bytes)| (hash, Some(bytes + ENTRY_BYTES)));
            let verb = if entry.deleted { Verb::EntryDeleted } else { Verb::EntryPut };
            let detail = json!({ "path": entry.path });
            let seq = log.record(folder, verb, &paths::entry(folder, entry.id), &detail)?;
            let insert = "INSERT INTO entries (folder_id, id, path, kind, size, hash, version, deleted, etag,
                attributes, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                ON CONFLICT (folder_id, id) DO UPDATE SET path = excluded.path, kind = excluded.kind, size = excluded.size, hash = excluded.hash,
                version = excluded.version, deleted = excluded.deleted, etag = excluded.etag,
                attributes = excluded.attributes, seq = excluded.seq WHERE entries.etag = $12";
            let version = serde_json::to_string(&entry.version).unwrap_or_default();
            let attributes = serde_json::to_string(&entry.attributes).unwrap_or_default();
            let takes = (entry.path.len() + version.len() + attributes.len()) as u64 + ENTRY_BYTES;
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
                attributes,
                seq,
                from.as_deref().unwrap_or_default(),
            ];
            demand(sql.execute(insert, values)? == 1, req::GPH_013)?;
            let (entries, metadata) = count(sql, folder, taken, takes)?;
            // What makes nothing more is always taken, and every deletion.
            let more = !entry.deleted && taken.is_none_or(|taken| takes > taken);
            demand(!more || taken.is_some() || entries <= bounds.entries, req::GPH_132)?;
            demand(!more || metadata <= bounds.metadata, req::GPH_133)?;
            let (mut garbage, now) = (Vec::new(), by.who.at);
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

/// Whether a number of a folder's feed is still known: none from before it was encrypted is (GPH-204).
pub(super) fn is_known(sql: &Sql<'_>, folder: Id, since: u64) -> Result<bool, StoreError> {
    let select = "SELECT encrypted_at FROM folders WHERE id = $1";
    let floor = sql.first(select, values![folder], |row| row.number(0))?.unwrap_or(0);
    Ok(since == 0 || since >= floor)
}

/// Whether an entry says nothing that the cloud could read (GPH-203).
fn is_sealed(entry: &Entry) -> bool {
    let Attributes { modified, properties } = &entry.attributes;
    let sealed = properties.len() == 1 && properties.contains_key("sealed");
    entry.path == entry.id.to_string() && modified.is_none() && sealed
}

/// Counts an entry that took so many bytes, if it was there, and takes so many now. Returns the entries of the folder,
/// and the bytes of all metadata of its creator.
fn count(sql: &Sql<'_>, folder: Id, taken: Option<u64>, takes: u64) -> Result<(u64, u64), StoreError> {
    let update = "UPDATE folders SET entries = entries + $1 WHERE id = $2 RETURNING entries";
    let entries = sql.first(update, values![u64::from(taken.is_none()), folder], |row| row.number(0))?;
    Ok((entries.unwrap_or(0), charge(sql, folder, taken.unwrap_or(0), takes)?)) // 0: the folder has gone
}

/// Counts metadata of a folder that took so many bytes and takes so many now. Returns the bytes of all of its creator.
pub(super) fn charge(sql: &Sql<'_>, folder: Id, taken: u64, takes: u64) -> Result<u64, StoreError> {
    let update = "UPDATE folders SET metadata = metadata + $1 - $2 WHERE id = $3 RETURNING creator";
    let Some(creator) = sql.first(update, values![takes, taken, folder], |row| row.id(0))? else {
        return Ok(0);
    };
    let update = "UPDATE users SET metadata = metadata + $1 - $2 WHERE id = $3 RETURNING metadata";
    Ok(sql.first(update, values![takes, taken, creator], |row| row.number(0))?.unwrap_or(0))
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
        attributes: row.parsed(8, |text| serde_json::from_str(text).ok())?,
    })
}
