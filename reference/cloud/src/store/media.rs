//! Which folder holds which media, which object has the bytes, and what is charged for them. The bytes are in
//! `storage/blobs/`.
//!
//! A media is held because a live entry names it, or for some time because it was PUT and its entry is to follow
//! (`media.until`). Functions that take something away return the objects that no row names any more: the caller removes
//! them after the transaction.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::time::UnixTime;
use serde_json::json;

use super::changes::Verb;
use super::folders::Storage;
use super::members::Actor;
use super::wanted::{self, settle};
use super::{Sql, Store, StoreError, uploads, values};
use crate::graph::paths;
use crate::storage::blobs::Object;

/// A media that a folder holds.
#[derive(Clone, Debug)]
pub(crate) struct Media {
    pub(crate) size: u64,
    pub(crate) object: Object,
}

/// A media that a folder is to hold, all bytes of which are there.
#[derive(Clone)]
pub(crate) struct NewMedia {
    pub(crate) folder: Id,
    pub(crate) hash: MediaHash,
    pub(crate) size: u64,
    pub(crate) object: Object,
    /// The upload in which the bytes came, if they were counted already.
    pub(crate) upload: Option<Id>,
    /// Whether the bytes begin as a sealed object (STO-080).
    pub(crate) sealed: bool,
}

/// The rules that hold for what is charged to a user.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// In bytes (STO-002).
    pub(crate) quota: u64,
    pub(crate) now: UnixTime,
    /// How long a media waits for its entry, in seconds (STO-037).
    pub(crate) grace: u64,
}

impl Store {
    /// A media that the folder holds.
    pub(crate) async fn media(&self, folder: Id, hash: MediaHash) -> Result<Option<Media>, StoreError> {
        let select = "SELECT m.size, b.object FROM media m JOIN blobs b ON b.hash = m.hash
            WHERE m.folder_id = $1 AND m.hash = $2";
        self.read(move |sql| {
            sql.first(select, values![folder, hash], |row| {
                Ok(Media { size: row.number(0)?, object: row.parsed(1, Object::parse)? })
            })
        })
        .await
    }

    /// A media of any folder. Only for the mutant of STO-005.
    pub(crate) async fn media_anywhere(&self, hash: MediaHash) -> Result<Option<Media>, StoreError> {
        self.read(move |sql| {
            sql.first("SELECT size, object FROM blobs WHERE hash = $1", values![hash], |row| {
                Ok(Media { size: row.number(0)?, object: row.parsed(1, Object::parse)? })
            })
        })
        .await
    }

    /// Whether a row names the object.
    pub(crate) async fn object_is_named(&self, object: Object) -> Result<bool, StoreError> {
        let select = "SELECT 1 FROM blobs WHERE object = $1
            UNION ALL SELECT 1 FROM pieces WHERE object = $1 LIMIT 1";
        self.read(move |sql| sql.exists(select, values![object.as_str()])).await
    }

    /// Lets the folder hold the media, and charges the folder's creator, in one transaction (STO-002). `false` if the
    /// folder held it already, which costs nothing. With it the objects that are not needed, such as the new one when
    /// another folder has the same bytes.
    pub(crate) async fn add_media(
        &self,
        new: NewMedia,
        terms: Terms,
        by: Actor,
    ) -> Result<(bool, Vec<Object>), StoreError> {
        self.change(by.who, move |sql, log| {
            let NewMedia { folder, hash, size, object, upload, sealed } = &new;
            let (folder, hash, size) = (*folder, *hash, *size);
            by.check(sql, folder)?;
            // The folder may have gone, become P2P-only or encrypted, while the bytes came in.
            let select = "SELECT creator, storage, generation FROM folders WHERE id = $1";
            let found = sql.first(select, values![folder], |row| {
                Ok((row.id(0)?, row.parsed(1, Storage::parse)?, row.number(2)?))
            })?;
            let (creator, storage, generation) =
                demand_some(found, req::GPH_019, || (Id::default(), Storage::Cloud, 0))?;
            demand(storage == Storage::Cloud, req::STO_003)?;
            demand(generation == 0 || *sealed, req::STO_080)?;
            let mut garbage = match upload {
                Some(upload) => uploads::remove(sql, *upload)?,
                None => Vec::new(),
            };
            if hold(sql, folder, hash, terms)? {
                garbage.push(object.clone());
                return Ok((false, garbage));
            }
            garbage.extend(fit(sql, creator, size, terms, |fits| Ok(demand(fits, req::STO_002)?))?);
            let insert = "INSERT INTO blobs (hash, size, object) VALUES ($1, $2, $3)
                ON CONFLICT (hash) DO NOTHING";
            if sql.execute(insert, values![hash, size, object.as_str()])? == 0 {
                garbage.push(object.clone());
            }
            let charge = "UPDATE users SET used = used + $1 WHERE id = $2";
            sql.execute(charge, values![size, creator])?;
            let insert = "INSERT INTO media (folder_id, hash, size, until) VALUES ($1, $2, $3, 0)";
            sql.execute(insert, values![folder, hash, size])?;
            hold(sql, folder, hash, terms)?;
            settle(sql, folder, &hash.to_string(), terms.now)?;
            log.record(folder, Verb::MediaStored, &paths::media(folder, hash), &json!({ "size": size }))?;
            Ok((true, garbage))
        })
        .await
    }

    /// Notes that somebody PUT the media again: if the folder holds it, it waits for another entry. `false` if not.
    pub(crate) async fn hold_media(
        &self,
        folder: Id,
        hash: MediaHash,
        terms: Terms,
        by: Actor,
    ) -> Result<bool, StoreError> {
        self.write(move |sql| {
            by.check(sql, folder)?;
            hold(sql, folder, hash, terms)
        })
        .await
    }

    /// Removes a media that no live entry of the folder names (STO-038). `None` if the folder does not hold it.
    pub(crate) async fn remove_media(
        &self,
        folder: Id,
        hash: MediaHash,
        by: Actor,
    ) -> Result<Option<Vec<Object>>, StoreError> {
        self.write(move |sql| {
            by.check(sql, folder)?;
            let select = "SELECT size FROM media WHERE folder_id = $1 AND hash = $2";
            let Some(size) = sql.first(select, values![folder, hash], |row| row.number(0))? else {
                return Ok(None);
            };
            let hash = hash.to_string();
            demand(wanted::named(sql, folder, &hash)?.is_none(), req::STO_038)?;
            release(sql, folder, &hash, size).map(Some)
        })
        .await
    }

    /// Removes what has waited for its entry in vain, and uploads that nobody went on with (STO-025, STO-037).
    pub(crate) async fn expire(&self, now: UnixTime) -> Result<Vec<Object>, StoreError> {
        let due = "SELECT 1 FROM uploads WHERE expires <= $1
            UNION ALL SELECT 1 FROM media WHERE until > 0 AND until <= $1 LIMIT 1";
        if !self.read(move |sql| sql.exists(due, values![now])).await? {
            return Ok(Vec::new());
        }
        self.write(move |sql| {
            let mut garbage = uploads::expire(sql, now)?;
            let lapsed = "SELECT folder_id, hash FROM media WHERE until > 0 AND until <= $1";
            for (folder, hash) in sql.all(lapsed, values![now], |row| Ok((row.id(0)?, row.text(1)?)))? {
                garbage.extend(lapse(sql, folder, &hash, now)?);
            }
            Ok(garbage)
        })
        .await
    }
}

/// The bytes charged to a user.
pub(super) fn used(sql: &Sql<'_>, user: Id) -> Result<u64, StoreError> {
    let select = "SELECT used FROM users WHERE id = $1";
    Ok(sql.first(select, values![user], |row| row.number(0))?.unwrap_or(0))
}

/// Calls `demand` with whether so many bytes more fit into the user's quota, beside what is charged and what is on its
/// way (STO-002, STO-020). What waited for its entry in vain makes room first.
pub(super) fn fit(
    sql: &Sql<'_>,
    user: Id,
    bytes: u64,
    terms: Terms,
    demand: impl Fn(bool) -> Result<(), StoreError>,
) -> Result<Vec<Object>, StoreError> {
    let fits = || {
        let way = if deviates(req::STO_020) { 0 } else { uploads::received(sql, user, terms.now)? };
        let sum = used(sql, user)?.saturating_add(way).saturating_add(bytes);
        Ok::<_, StoreError>(sum <= terms.quota)
    };
    if fits()? {
        return Ok(Vec::new());
    }
    let lapsed = "SELECT m.folder_id, m.hash FROM media m JOIN folders f ON f.id = m.folder_id
        WHERE f.creator = $1 AND m.until > 0 AND m.until <= $2";
    let mut garbage = Vec::new();
    for (folder, hash) in sql.all(lapsed, values![user, terms.now], |row| Ok((row.id(0)?, row.text(1)?)))? {
        garbage.extend(lapse(sql, folder, &hash, terms.now)?);
    }
    demand(fits()?)?;
    Ok(garbage)
}

/// Lets a folder hold a media no more, and credits its creator. Returns the object, if no other folder has it.
pub(super) fn release(sql: &Sql<'_>, folder: Id, hash: &str, size: u64) -> Result<Vec<Object>, StoreError> {
    sql.execute("DELETE FROM media WHERE folder_id = $1 AND hash = $2", values![folder, hash])?;
    let credit = "UPDATE users SET used = used - $1 WHERE id = (SELECT creator FROM folders WHERE id = $2)";
    sql.execute(credit, values![size, folder])?;
    let delete = "DELETE FROM blobs WHERE hash = $1 AND NOT EXISTS (SELECT 1 FROM media WHERE hash = $1)
        RETURNING object";
    sql.all(delete, values![hash], |row| row.parsed(0, Object::parse))
}

/// Lets a folder hold nothing any more.
pub(super) fn release_all(sql: &Sql<'_>, folder: Id) -> Result<Vec<Object>, StoreError> {
    let select = "SELECT hash, size FROM media WHERE folder_id = $1";
    let mut garbage = uploads::remove_all(sql, folder)?;
    for (hash, size) in sql.all(select, values![folder], |row| Ok((row.text(0)?, row.number(1)?)))? {
        garbage.extend(release(sql, folder, &hash, size)?);
    }
    Ok(garbage)
}

/// The time for an entry is over: whether the media stays depends on entries alone.
fn lapse(sql: &Sql<'_>, folder: Id, hash: &str, now: UnixTime) -> Result<Vec<Object>, StoreError> {
    sql.execute("UPDATE media SET until = 0 WHERE folder_id = $1 AND hash = $2", values![folder, hash])?;
    settle(sql, folder, hash, now)
}

/// Lets a media that the folder holds wait for its entry, unless one names it already. `false` if the folder does not
/// hold it.
fn hold(sql: &Sql<'_>, folder: Id, hash: MediaHash, terms: Terms) -> Result<bool, StoreError> {
    let named = wanted::named(sql, folder, &hash.to_string())?.is_some();
    let until = if named { UnixTime(0) } else { terms.now.plus(terms.grace) };
    let update = "UPDATE media SET until = $1 WHERE folder_id = $2 AND hash = $3";
    Ok(sql.execute(update, values![until, folder, hash])? == 1)
}
