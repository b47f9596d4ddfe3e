//! Bytes on their way in: what they take of a quota, and the pieces of uploads that can be resumed.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::time::UnixTime;

use super::folders::Storage;
use super::media::{Terms, fit};
use super::members::Actor;
use super::{Row, Sql, Store, StoreError, values};
use crate::storage::blobs::Object;

/// Bytes on their way in.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) id: Id,
    pub(crate) folder: Id,
    /// The folder's creator, against whose quota they count.
    pub(crate) user: Id,
    /// What they are said to be.
    pub(crate) hash: MediaHash,
    pub(crate) length: u64,
    /// How many count, which for an upload that can be resumed is how many are kept.
    pub(crate) received: u64,
    pub(crate) expires: UnixTime,
}

/// Consecutive bytes of an upload.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) size: u64,
    pub(crate) object: Object,
}

const COLUMNS: &str = "SELECT id, folder_id, user_id, hash, length, received, expires FROM uploads
    WHERE folder_id = $1 AND resumable = 1 AND expires > $2";

impl Store {
    /// Counts a PUT under way with `upload.received` bytes, or with as many from now on (STO-002).
    pub(crate) async fn reserve(&self, upload: Upload, terms: Terms) -> Result<Vec<Object>, StoreError> {
        self.write(move |sql| {
            let before =
                sql.first("SELECT received FROM uploads WHERE id = $1", values![upload.id], |row| {
                    row.number(0)
                })?;
            // One that has expired counts for nothing, and comes back with all its bytes.
            let alive = "SELECT 1 FROM uploads WHERE id = $1 AND expires > $2";
            let counted = sql.exists(alive, values![upload.id, terms.now])?;
            let more = upload.received.saturating_sub(before.filter(|_| counted).unwrap_or(0));
            let garbage = fit(sql, upload.user, more, terms, |fits| Ok(demand(fits, req::STO_002)?))?;
            let update = "UPDATE uploads SET received = $1, expires = $2 WHERE id = $3";
            if sql.execute(update, values![upload.received, upload.expires, upload.id])? == 0 {
                insert(sql, &upload, false)?;
            }
            Ok(garbage)
        })
        .await
    }

    /// Whether as many bytes are left for the user now, without counting them (STO-002): an announcement alone takes
    /// nothing from others.
    pub(crate) async fn announce(
        &self,
        user: Id,
        bytes: u64,
        terms: Terms,
    ) -> Result<Vec<Object>, StoreError> {
        self.write(move |sql| fit(sql, user, bytes, terms, |fits| Ok(demand(fits, req::STO_002)?))).await
    }

    /// Adds an upload that can be resumed; not more than `most` a folder (STO-021, STO-022, STO-028).
    pub(crate) async fn add_upload(
        &self,
        upload: Upload,
        most: u64,
        terms: Terms,
        by: Actor,
    ) -> Result<Vec<Object>, StoreError> {
        self.write(move |sql| {
            by.check(sql, upload.folder)?;
            let select = "SELECT storage FROM folders WHERE id = $1";
            let storage = sql.first(select, values![upload.folder], |row| row.parsed(0, Storage::parse))?;
            let storage = demand_some(storage, req::GPH_019, || Storage::Cloud)?;
            demand(storage == Storage::Cloud, req::STO_028)?;
            let count = "SELECT count(*) FROM uploads
                WHERE folder_id = $1 AND resumable = 1 AND expires > $2";
            let open = sql.first(count, values![upload.folder, terms.now], |row| row.number(0))?;
            demand(open.is_some_and(|open| open < most), req::STO_022)?;
            let garbage =
                fit(sql, upload.user, upload.length, terms, |fits| Ok(demand(fits, req::STO_021)?))?;
            insert(sql, &upload, true)?;
            Ok(garbage)
        })
        .await
    }

    /// The uploads of a folder that can be resumed.
    pub(crate) async fn uploads(&self, folder: Id, now: UnixTime) -> Result<Vec<Upload>, StoreError> {
        let select = format!("{COLUMNS} ORDER BY id");
        self.read(move |sql| sql.all(&select, values![folder, now], upload)).await
    }

    /// One of them.
    pub(crate) async fn upload(
        &self,
        folder: Id,
        id: Id,
        now: UnixTime,
    ) -> Result<Option<Upload>, StoreError> {
        let select = format!("{COLUMNS} AND id = $3");
        self.read(move |sql| sql.first(&select, values![folder, now, id], upload)).await
    }

    /// The pieces of an upload, in order.
    pub(crate) async fn pieces(&self, id: Id) -> Result<Vec<Piece>, StoreError> {
        let select = "SELECT start, size, object FROM pieces WHERE upload_id = $1 ORDER BY start";
        self.read(move |sql| {
            sql.all(select, values![id], |row| {
                Ok(Piece {
                    start: row.number(0)?,
                    size: row.number(1)?,
                    object: row.parsed(2, Object::parse)?,
                })
            })
        })
        .await
    }

    /// Adds a piece to an upload of which `from` bytes are kept, in place of a piece that starts where it starts. Counts
    /// its new bytes (STO-020). `None` if meanwhile others are kept (STO-015).
    pub(crate) async fn append(
        &self,
        id: Id,
        from: u64,
        piece: Piece,
        expires: UnixTime,
        terms: Terms,
        by: Actor,
    ) -> Result<Option<Vec<Object>>, StoreError> {
        self.write(move |sql| {
            let select =
                "SELECT folder_id, user_id FROM uploads WHERE id = $1 AND received = $2 AND expires > $3";
            let found =
                sql.first(select, values![id, from, terms.now], |row| Ok((row.id(0)?, row.id(1)?)))?;
            let Some((folder, user)) = found else { return Ok(None) };
            by.check(sql, folder)?;
            let to = piece.start.saturating_add(piece.size);
            let more = to.saturating_sub(from);
            let mut garbage = fit(sql, user, more, terms, |fits| Ok(demand(fits, req::STO_020)?))?;
            let update = "UPDATE uploads SET received = $1, expires = $2 WHERE id = $3";
            sql.execute(update, values![to, expires, id])?;
            let replace = "DELETE FROM pieces WHERE upload_id = $1 AND start = $2 RETURNING object";
            garbage.extend(sql.all(replace, values![id, piece.start], |row| row.parsed(0, Object::parse))?);
            let insert = "INSERT INTO pieces (upload_id, start, size, object) VALUES ($1, $2, $3, $4)";
            sql.execute(insert, values![id, piece.start, piece.size, piece.object.as_str()])?;
            Ok(Some(garbage))
        })
        .await
    }

    /// Forgets bytes on their way in.
    pub(crate) async fn remove_upload(&self, id: Id) -> Result<Vec<Object>, StoreError> {
        self.write(move |sql| remove(sql, id)).await
    }

    /// What a user's bytes on their way in count.
    pub(crate) async fn received(&self, user: Id, now: UnixTime) -> Result<u64, StoreError> {
        self.read(move |sql| received(sql, user, now)).await
    }
}

/// What a user's bytes on their way in count.
pub(super) fn received(sql: &Sql<'_>, user: Id, now: UnixTime) -> Result<u64, StoreError> {
    let sum =
        "SELECT CAST(coalesce(sum(received), 0) AS bigint) FROM uploads WHERE user_id = $1 AND expires > $2";
    Ok(sql.first(sum, values![user, now], |row| row.number(0))?.unwrap_or(0))
}

/// Removes an upload. Returns its pieces.
pub(super) fn remove(sql: &Sql<'_>, id: Id) -> Result<Vec<Object>, StoreError> {
    sql.execute("DELETE FROM uploads WHERE id = $1", values![id])?;
    let delete = "DELETE FROM pieces WHERE upload_id = $1 RETURNING object";
    sql.all(delete, values![id], |row| row.parsed(0, Object::parse))
}

/// Removes all uploads into a folder.
pub(super) fn remove_all(sql: &Sql<'_>, folder: Id) -> Result<Vec<Object>, StoreError> {
    let select = "SELECT id FROM uploads WHERE folder_id = $1";
    let all = sql.all(select, values![folder], |row| row.id(0))?;
    all.into_iter().try_fold(Vec::new(), |garbage, id| Ok([garbage, remove(sql, id)?].concat()))
}

/// Removes those that nobody went on with.
pub(super) fn expire(sql: &Sql<'_>, now: UnixTime) -> Result<Vec<Object>, StoreError> {
    let expired = sql.all("SELECT id FROM uploads WHERE expires <= $1", values![now], |row| row.id(0))?;
    expired.into_iter().try_fold(Vec::new(), |garbage, id| Ok([garbage, remove(sql, id)?].concat()))
}

fn insert(sql: &Sql<'_>, upload: &Upload, resumable: bool) -> Result<(), StoreError> {
    let insert = "INSERT INTO uploads (id, folder_id, user_id, hash, length, received, resumable, expires)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let Upload { id, folder, user, hash, length, received, expires } = upload;
    let values = values![*id, *folder, *user, *hash, *length, *received, resumable, *expires];
    sql.execute(insert, values).map(drop)
}

fn upload(row: &Row<'_>) -> Result<Upload, StoreError> {
    Ok(Upload {
        id: row.id(0)?,
        folder: row.id(1)?,
        user: row.id(2)?,
        hash: row.parsed(3, MediaHash::parse)?,
        length: row.number(4)?,
        received: row.number(5)?,
        expires: row.time(6)?,
    })
}
