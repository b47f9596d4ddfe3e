//! What the cloud does not hold and entries name: which of it the cloud wants, and which stays on devices (STO-030 to
//! STO-036).
//!
//! ```text
//!                 entry, no bytes                     room                  bytes
//!   (not named) -----------------> missing: p2p-only <----> missing: wanted ----> stored
//!        ^                            |    no room             |                   |
//!        \----------------------------+------------------------+-------------------/
//!                                 last entry gone
//! ```
//!
//! Whether there is room is not written down but looked up: what is missing is admitted in one order, the smallest
//! first, as far as the quota goes.

use std::collections::HashSet;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::time::UnixTime;

use super::folders::{Folder, Storage};
use super::media::{release, used};
use super::{Sql, Store, StoreError, values};
use crate::storage::blobs::Object;

/// What the cloud makes of the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// It holds it.
    Stored,
    /// It has room for it.
    Wanted,
    /// It has no room for it, or shall not have it.
    P2pOnly,
}

impl Content {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stored if deviates(req::STO_030) => "wanted",
            Self::Stored => "stored",
            Self::Wanted if deviates(req::STO_031) => "p2p-only",
            Self::Wanted => "wanted",
            Self::P2pOnly if deviates(req::STO_032) => "wanted",
            Self::P2pOnly => "p2p-only",
        }
    }
}

/// What a folder does not hold.
pub(crate) struct Missing {
    /// The folder holds nothing.
    p2p: bool,
    /// Hash and size, in the order of admission.
    pub(crate) wanted: Vec<(String, u64)>,
    wanted_hashes: HashSet<String>,
    /// Hashes of content that finds no room.
    left_out: HashSet<String>,
}

impl Missing {
    /// What the cloud makes of the content that an entry of the folder names.
    pub(crate) fn content(&self, hash: &str) -> Content {
        if self.p2p || self.left_out.contains(hash) {
            Content::P2pOnly
        } else if self.wanted_hashes.contains(hash) {
            Content::Wanted
        } else {
            Content::Stored
        }
    }
}

impl Store {
    /// What the folder does not hold.
    pub(crate) async fn missing(
        &self,
        folder: &Folder,
        quota: u64,
        now: UnixTime,
    ) -> Result<Missing, StoreError> {
        let (id, creator, p2p) = (folder.id, folder.creator, folder.storage == Storage::P2p);
        self.read(move |sql| {
            let room = room(sql, creator, quota, now)?;
            let select = "SELECT folder_id, hash, size FROM missing WHERE user_id = $1
                ORDER BY size, hash, folder_id";
            let all =
                sql.all(select, values![creator], |row| Ok((row.id(0)?, row.text(1)?, row.number(2)?)))?;
            let (mut wanted, mut left_out, mut sum) = (Vec::new(), HashSet::new(), 0_u64);
            for (folder, hash, size) in all {
                sum = sum.saturating_add(size);
                if folder != id {
                    continue;
                }
                if sum <= room {
                    wanted.push((hash, size));
                } else {
                    left_out.insert(hash);
                }
            }
            if deviates(req::STO_033) {
                wanted.reverse();
            }
            let wanted_hashes = wanted.iter().map(|(hash, _)| hash.clone()).collect();
            Ok(Missing { p2p, wanted, wanted_hashes, left_out })
        })
        .await
    }

    /// What the cloud makes of one content that an entry of the folder names.
    pub(crate) async fn content(
        &self,
        folder: &Folder,
        hash: String,
        quota: u64,
        now: UnixTime,
    ) -> Result<Content, StoreError> {
        if folder.storage == Storage::P2p {
            return Ok(Content::P2pOnly);
        }
        let (folder, creator) = (folder.id, folder.creator);
        self.read(move |sql| {
            let select = "SELECT size FROM missing WHERE folder_id = $1 AND hash = $2";
            let Some(size) = sql.first(select, values![folder, &hash], |row| row.number(0))? else {
                return Ok(Content::Stored);
            };
            let room = room(sql, creator, quota, now)?;
            if size > room {
                return Ok(Content::P2pOnly);
            }
            // In two halves, for with a large quota a sum of sizes is no bigint.
            let before = "SELECT CAST(coalesce(sum(size / 4294967296), 0) AS bigint),
                CAST(coalesce(sum(size % 4294967296), 0) AS bigint) FROM missing WHERE user_id = $1
                AND (size < $2 OR (size = $2 AND (hash < $3 OR (hash = $3 AND folder_id <= $4))))";
            let sum = sql.first(before, values![creator, size, &hash, folder], |row| {
                Ok((u128::from(row.number(0)?) << 32) + u128::from(row.number(1)?))
            })?;
            let fits = sum.is_some_and(|sum| sum <= u128::from(room));
            Ok(if fits { Content::Wanted } else { Content::P2pOnly })
        })
        .await
    }
}

/// Brings what is held and what is missing in line with the entries that name a content, in the transaction that changed
/// one of them. What no live entry names is let go, unless it waits for its entry.
pub(super) fn settle(
    sql: &Sql<'_>,
    folder: Id,
    hash: &str,
    now: UnixTime,
) -> Result<Vec<Object>, StoreError> {
    let select = "SELECT size, until FROM media WHERE folder_id = $1 AND hash = $2";
    let held = sql.first(select, values![folder, hash], |row| Ok((row.number(0)?, row.time(1)?)))?;
    let named = named(sql, folder, hash)?;
    match (named, held) {
        (Some(size), None) => {
            let insert = "INSERT INTO missing (folder_id, hash, user_id, size)
                SELECT f.id, CAST($1 AS text), f.creator, CAST($2 AS bigint) FROM folders f
                WHERE f.id = $3 AND f.storage = 'cloud'
                ON CONFLICT (folder_id, hash) DO UPDATE SET size = excluded.size";
            sql.execute(insert, values![hash, size, folder])?;
            Ok(Vec::new())
        }
        (named, held) => {
            sql.execute("DELETE FROM missing WHERE folder_id = $1 AND hash = $2", values![folder, hash])?;
            match held {
                Some((size, until)) if named.is_none() && until <= now && !deviates(req::STO_035) => {
                    release(sql, folder, hash, size)
                }
                Some((size, _)) if named.is_some() && deviates(req::STO_036) => {
                    release(sql, folder, hash, size)
                }
                _ => Ok(Vec::new()),
            }
        }
    }
}

/// What entries name and the folder does not hold, for a folder that became `cloud`.
pub(super) fn miss_all(sql: &Sql<'_>, folder: Id) -> Result<(), StoreError> {
    let insert = "INSERT INTO missing (folder_id, hash, user_id, size)
        SELECT e.folder_id, e.hash, f.creator, max(e.size) FROM entries e JOIN folders f ON f.id = e.folder_id
        WHERE e.folder_id = $1 AND e.deleted = 0 AND e.hash IS NOT NULL AND NOT EXISTS
            (SELECT 1 FROM media m WHERE m.folder_id = e.folder_id AND m.hash = e.hash)
        GROUP BY e.folder_id, e.hash, f.creator
        ON CONFLICT (folder_id, hash) DO NOTHING";
    sql.execute(insert, values![folder]).map(drop)
}

/// The largest size that live entries of the folder give the content. `None` if none names it.
pub(super) fn named(sql: &Sql<'_>, folder: Id, hash: &str) -> Result<Option<u64>, StoreError> {
    let select = "SELECT size FROM entries WHERE folder_id = $1 AND hash = $2 AND deleted = 0
        ORDER BY size DESC LIMIT 1";
    sql.first(select, values![folder, hash], |row| row.number(0))
}

/// How many bytes of missing content a user's quota has room for. What is on its way and missing is not taken off: it
/// has its place among the missing.
fn room(sql: &Sql<'_>, user: Id, quota: u64, now: UnixTime) -> Result<u64, StoreError> {
    let others = "SELECT CAST(coalesce(sum(u.received), 0) AS bigint) FROM uploads u
        WHERE u.user_id = $1 AND u.expires > $2 AND NOT EXISTS
        (SELECT 1 FROM missing m WHERE m.folder_id = u.folder_id AND m.hash = u.hash)";
    let others = sql.first(others, values![user, now], |row| row.number(0))?.unwrap_or(0);
    Ok(quota.saturating_sub(used(sql, user)?).saturating_sub(others))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::new_id;
    use crate::store::changes::Who;

    #[tokio::test]
    async fn more_is_missing_than_a_number_holds() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(&data.path().join("meshd.sqlite")).unwrap();
        let (id, creator, now) = (new_id(), new_id(), UnixTime(1));
        let folder = Folder {
            id,
            name: "x".into(),
            storage: Storage::Cloud,
            creator,
            etag: String::new(),
            generation: 0,
        };
        let who = Who { user: creator, device: None, at: now };
        store.add_user(creator, "ann".into(), String::new()).await.unwrap();
        store.add_folder(folder.clone(), String::new(), 1, who).await.unwrap();
        let insert = "INSERT INTO missing (folder_id, hash, user_id, size) VALUES ($1, $2, $3, $4)";
        let fill = move |sql: &Sql<'_>| {
            for hash in ["a", "b", "c"] {
                sql.execute(insert, values![id, hash, creator, 1_u64 << 62])?;
            }
            Ok(())
        };
        store.write(fill).await.unwrap();
        let quota = i64::MAX as u64;
        let content = async |hash: &str| store.content(&folder, hash.into(), quota, now).await.unwrap();
        assert_eq!(content("a").await, Content::Wanted);
        assert_eq!(content("b").await, Content::P2pOnly);
        assert_eq!(content("c").await, Content::P2pOnly);
    }
}
