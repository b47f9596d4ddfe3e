//! Which folder holds which media, and what is charged for it. The bytes are in `storage/blobs.rs`.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some};
use meshproof_proto::storage::MediaHash;
use serde_json::json;

use super::changes::Verb;
use super::members::Actor;
use super::{Sql, Store, StoreError, values};
use crate::graph::paths;

impl Store {
    /// The size of a media that the folder holds.
    pub(crate) async fn media_size(&self, folder: Id, hash: MediaHash) -> Result<Option<u64>, StoreError> {
        self.read(move |sql| size(sql, folder, hash)).await
    }

    /// Whether any folder holds the media.
    pub(crate) async fn media_is_held(&self, hash: MediaHash) -> Result<bool, StoreError> {
        self.read(move |sql| is_held(sql, hash)).await
    }

    /// The same on this thread, which may block.
    pub(crate) fn media_is_held_here(&self, hash: MediaHash) -> Result<bool, StoreError> {
        self.read_here(move |sql| is_held(sql, hash))
    }

    /// Lets the folder hold the media, and charges the folder's creator, in one transaction (STO-002). `false` if the
    /// folder held it already, which costs nothing.
    pub(crate) async fn add_media(
        &self,
        folder: Id,
        hash: MediaHash,
        bytes: u64,
        quota: u64,
        by: Actor,
    ) -> Result<bool, StoreError> {
        self.change(by.who, move |sql, log| {
            by.check(sql, folder)?;
            if size(sql, folder, hash)?.is_some() {
                return Ok(false);
            }
            // The folder may have gone while the bytes came in.
            let creator = "SELECT creator FROM folders WHERE id = $1";
            let creator = sql.first(creator, values![folder], |row| row.id(0))?;
            let creator = demand_some(creator, req::GPH_019, Id::default)?;
            let charge = "UPDATE users SET used = used + $1 WHERE id = $2";
            sql.execute(charge, values![bytes, creator])?;
            let used =
                sql.first("SELECT used FROM users WHERE id = $1", values![creator], |row| row.number(0))?;
            demand(used.is_some_and(|used| used <= quota), req::STO_002)?;
            let insert = "INSERT INTO media (folder_id, hash, size) VALUES ($1, $2, $3)";
            sql.execute(insert, values![folder, hash, bytes])?;
            log.record(folder, Verb::MediaStored, &paths::media(folder, hash), &json!({ "size": bytes }))?;
            Ok(true)
        })
        .await
    }
}

fn is_held(sql: &Sql<'_>, hash: MediaHash) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM media WHERE hash = $1 LIMIT 1";
    sql.exists(select, values![hash])
}

fn size(sql: &Sql<'_>, folder: Id, hash: MediaHash) -> Result<Option<u64>, StoreError> {
    let select = "SELECT size FROM media WHERE folder_id = $1 AND hash = $2";
    sql.first(select, values![folder, hash], |row| row.number(0))
}
