//! The key records of encrypted folders (`spec/graph.md`, section 4.16).

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde_json::json;

use super::changes::Verb;
use super::members::Actor;
use super::{Sql, Store, StoreError, media, values};
use crate::graph::paths;
use crate::state::new_etag;
use crate::storage::blobs::Object;

/// What is kept of a key record.
#[derive(Clone, Debug)]
pub(crate) struct KeyRow {
    /// In base64.
    pub(crate) record: String,
    pub(crate) etag: String,
}

/// A key record that is to be kept.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub(crate) row: KeyRow,
    pub(crate) generation: u64,
    /// In hexadecimal.
    pub(crate) check: String,
}

impl Store {
    /// The key record of a folder.
    pub(crate) async fn key(&self, folder: Id) -> Result<Option<KeyRow>, StoreError> {
        let select = "SELECT record, etag FROM folder_keys WHERE folder_id = $1";
        self.read(move |sql| {
            sql.first(select, values![folder], |row| Ok(KeyRow { record: row.text(0)?, etag: row.text(1)? }))
        })
        .await
    }

    /// Keeps a key record in place of the one whose tag is still `from` (GPH-013), if it is the next, or the same key for
    /// others (GPH-202). With the first the folder forgets what was readable; returns the objects that had it.
    pub(crate) async fn put_key(
        &self,
        folder: Id,
        new: NewKey,
        from: Option<String>,
        by: Actor,
    ) -> Result<Vec<Object>, StoreError> {
        self.change(by.who, move |sql, log| {
            by.check(sql, folder)?;
            let NewKey { row, generation, check } = &new;
            let select = "SELECT f.generation, coalesce(k.key_check, ''), coalesce(k.etag, '') FROM folders f
                LEFT JOIN folder_keys k ON k.folder_id = f.id WHERE f.id = $1";
            let now = sql.first(select, values![folder], |row| Ok((row.number(0)?, row.text(1)?, row.text(2)?)))?;
            let (before, known, etag) = now.unwrap_or_default();
            demand(from.as_deref().unwrap_or_default() == etag, req::GPH_013)?;
            let same = *generation == before && *check == known;
            demand(same || *generation == before + 1, req::GPH_202)?;
            let mut garbage = Vec::new();
            if before == 0 {
                garbage = forget(sql, folder)?;
            }
            let insert = "INSERT INTO folder_keys (folder_id, record, key_check, etag) VALUES ($1, $2, $3, $4)
                ON CONFLICT (folder_id) DO UPDATE SET record = excluded.record, key_check = excluded.key_check,
                etag = excluded.etag";
            sql.execute(insert, values![folder, &row.record, check, &row.etag])?;
            let detail = json!({ "generation": generation });
            let seq = log.record(folder, Verb::FolderKey, &paths::key(folder), &detail)?;
            let update = "UPDATE folders SET generation = $1 WHERE id = $2";
            sql.execute(update, values![*generation, folder])?;
            if before == 0 {
                let floor = if deviates(req::GPH_204) { 0 } else { seq };
                let update = "UPDATE folders SET encrypted_at = $1, etag = $2 WHERE id = $3";
                sql.execute(update, values![floor, new_etag(), folder])?;
            }
            Ok(garbage)
        })
        .await
    }
}

/// Forgets what a folder that becomes encrypted had readable: bytes (STO-081), entries and news (GPH-204).
fn forget(sql: &Sql<'_>, folder: Id) -> Result<Vec<Object>, StoreError> {
    if !deviates(req::GPH_204) {
        let credit = "UPDATE users SET metadata = metadata - (SELECT metadata FROM folders WHERE id = $1)
            WHERE id = (SELECT creator FROM folders WHERE id = $1)";
        sql.execute(credit, values![folder])?;
        sql.execute("UPDATE folders SET entries = 0, metadata = 0 WHERE id = $1", values![folder])?;
        for table in ["entries", "states", "heads", "missing"] {
            sql.execute(&format!("DELETE FROM {table} WHERE folder_id = $1"), values![folder])?;
        }
        sql.execute("DELETE FROM changes WHERE feed = $1", values![folder])?;
    }
    if deviates(req::STO_081) { Ok(Vec::new()) } else { media::release_all(sql, folder) }
}
