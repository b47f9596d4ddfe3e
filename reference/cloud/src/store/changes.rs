//! The log of changes: every change of a folder or mesh takes the next number of its feed, inside its own transaction.
//!
//! Numbers become visible in their order, for a transaction that took one holds the feed's row until it ends: who has
//! seen a number has seen all below it.

use std::cell::RefCell;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::time::UnixTime;
use serde_json::Value;

use super::{Row, Sql, Store, StoreError, values};
use crate::state::new_etag;

/// How many changes of a feed are kept at least (GPH-063).
const KEPT: u64 = 10_000;
/// How often the older ones are removed, in changes.
const SWEEP: u64 = 256;

/// Who acts, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) user: Id,
    /// If a device acts.
    pub(crate) device: Option<Id>,
    pub(crate) at: UnixTime,
}

/// What was done (`spec/graph.md`, section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    EntryPut,
    EntryDeleted,
    MediaStored,
    MemberJoined,
    MemberRole,
    MemberLeft,
    MappingAdded,
    MappingRemoved,
    FolderRenamed,
    FolderStorage,
    /// Its key record was written: it is encrypted.
    FolderKey,
    /// In a mesh: the user is a member now.
    FolderAppeared,
    /// In a mesh: the user is no member any more, or the folder was removed.
    FolderGone,
    /// In a mesh: the user is invited to a folder.
    InvitationReceived,
    /// In a mesh: the invitation was withdrawn or declined.
    InvitationGone,
    DeviceClaimed,
    DeviceRenamed,
    DeviceRevoked,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::EntryPut => "entry.put",
            Self::EntryDeleted => "entry.deleted",
            Self::MediaStored => "media.stored",
            Self::MemberJoined => "member.joined",
            Self::MemberRole => "member.role",
            Self::MemberLeft => "member.left",
            Self::MappingAdded => "mapping.added",
            Self::MappingRemoved => "mapping.removed",
            Self::FolderRenamed => "folder.renamed",
            Self::FolderStorage => "folder.storage",
            Self::FolderKey => "folder.key",
            Self::FolderAppeared => "folder.appeared",
            Self::FolderGone => "folder.gone",
            Self::InvitationReceived => "invitation.received",
            Self::InvitationGone => "invitation.gone",
            Self::DeviceClaimed => "device.claimed",
            Self::DeviceRenamed => "device.renamed",
            Self::DeviceRevoked => "device.revoked",
        }
    }
}

/// A change as a person reads it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: Place,
    pub(crate) user: Id,
    /// The name of the user.
    pub(crate) name: String,
    pub(crate) device: Option<Id>,
    pub(crate) verb: String,
    pub(crate) node: String,
    pub(crate) detail: Value,
}

/// Where a change is in the news of several feeds: newest first, of one time by feed, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) time: UnixTime,
    pub(crate) feed: Id,
    pub(crate) seq: u64,
}

/// The log inside a transaction. Every writing function that changes what others see writes to it.
pub(crate) struct Log<'a> {
    sql: &'a Sql<'a>,
    who: Who,
    touched: RefCell<Vec<Id>>,
}

impl Log<'_> {
    /// Records a change in the feed of a folder or mesh. Returns its number.
    pub(crate) fn record(&self, feed: Id, verb: Verb, node: &str, detail: &Value) -> Result<u64, StoreError> {
        let seq = self.raise(feed)?;
        if deviates(req::GPH_063) {
            return Ok(seq);
        }
        let insert = "INSERT INTO changes (feed, seq, time, user_id, device_id, verb, node, detail)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let Who { user, device, at } = self.who;
        self.sql
            .execute(insert, values![feed, seq, at, user, device, verb.name(), node, detail.to_string()])?;
        if seq.is_multiple_of(SWEEP) {
            let old = "DELETE FROM changes WHERE feed = $1 AND seq <= $2";
            self.sql.execute(old, values![feed, seq.saturating_sub(KEPT)])?;
        }
        Ok(seq)
    }

    /// Takes the next number of a feed, without a word in the news.
    pub(crate) fn raise(&self, feed: Id) -> Result<u64, StoreError> {
        let next = "INSERT INTO feeds (id, seq) VALUES ($1, 1)
            ON CONFLICT (id) DO UPDATE SET seq = feeds.seq + 1 RETURNING seq";
        let seq = self.sql.first(next, values![feed], |row| row.number(0))?;
        self.touch(feed);
        seq.ok_or(StoreError::Column(0))
    }

    /// Wakes who listens to a feed or queue, once the transaction is done.
    pub(crate) fn touch(&self, id: Id) {
        self.touched.borrow_mut().push(id);
    }
}

impl Store {
    /// Writes what others may want to know of, as [`Store::write`] does, and wakes them. That is done where the work is
    /// done, for the caller may go away meanwhile.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        who: Who,
        work: impl Fn(&Sql<'_>, &Log<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let (value, touched) = store.write_here(|sql| {
                let log = Log { sql, who, touched: RefCell::default() };
                let value = work(sql, &log)?;
                Ok((value, log.touched.into_inner()))
            })?;
            store.bus().wake(&touched);
            Ok(value)
        });
        done.await?
    }

    /// The newest changes of some feeds that come after `from` in the order of [`Place`].
    pub(crate) async fn news(
        &self,
        feeds: Vec<Id>,
        from: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let select = "SELECT c.time, c.feed, c.seq, c.user_id, coalesce(u.name, ''), c.device_id, c.verb, c.node, c.detail
            FROM changes c LEFT JOIN users u ON u.id = c.user_id
            WHERE c.feed = $1 AND (c.time < $2 OR (c.time = $2 AND c.seq < $3))
            ORDER BY c.time DESC, c.seq DESC LIMIT $4";
        self.read(move |sql| {
            let mut found = Vec::new();
            for feed in feeds {
                let (time, seq) = match from {
                    None => (UnixTime(u64::MAX), u64::MAX),
                    Some(from) if feed > from.feed => (from.time, u64::MAX),
                    Some(from) if feed == from.feed => (from.time, from.seq),
                    Some(from) => (from.time, 0),
                };
                found.extend(sql.all(select, values![feed, time, seq, limit as u64], change)?);
            }
            found.sort_by(|a: &Change, b: &Change| {
                let order =
                    |place: Place| (std::cmp::Reverse(place.time), place.feed, std::cmp::Reverse(place.seq));
                order(a.at).cmp(&order(b.at))
            });
            found.truncate(limit);
            Ok(found)
        })
        .await
    }
}

/// The epoch of the database, made at the first start.
pub(super) fn epoch(sql: &Sql<'_>) -> Result<String, StoreError> {
    let insert = "INSERT INTO epochs (id, value) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
    sql.execute(insert, values![new_etag()])?;
    let value = sql.first("SELECT value FROM epochs WHERE id = 1", values![], |row| row.text(0))?;
    value.ok_or(StoreError::Column(0))
}

/// The number of the last change of a feed, 0 before the first.
pub(super) fn last(sql: &Sql<'_>, feed: Id) -> Result<u64, StoreError> {
    let select = "SELECT seq FROM feeds WHERE id = $1";
    Ok(sql.first(select, values![feed], |row| row.number(0))?.unwrap_or(0))
}

fn change(row: &Row<'_>) -> Result<Change, StoreError> {
    let device = row.maybe_text(5)?.map(|text| Id::parse(&text).ok_or(StoreError::Column(5)));
    Ok(Change {
        at: Place { time: row.time(0)?, feed: row.id(1)?, seq: row.number(2)? },
        user: row.id(3)?,
        name: row.text(4)?,
        device: device.transpose()?,
        verb: row.text(6)?,
        node: row.text(7)?,
        detail: row.parsed(8, |text| serde_json::from_str(text).ok())?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::MIGRATIONS;
    use super::*;
    use crate::state::new_id;

    /// Entries that were written before there was a log are in the delta, page by page.
    #[tokio::test]
    async fn an_older_database() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("meshd.sqlite");
        let folders = [new_id(), new_id()];
        {
            let old = rusqlite::Connection::open(&path).unwrap();
            old.execute_batch(MIGRATIONS[0]).unwrap();
            old.pragma_update(None, "user_version", 1).unwrap();
            for n in 0..10 {
                let insert = "INSERT INTO entries (folder_id, id, path, kind, size, version, deleted, etag)
                    VALUES (?1, ?2, 'a', 'directory', 0, '{}', 0, 'a')";
                old.execute(insert, [folders[n % 2].to_string(), new_id().to_string()]).unwrap();
            }
        }
        let store = Store::open(&path).unwrap();
        for folder in folders {
            let first = store.entries_since(folder, 0, 3).await.unwrap().unwrap();
            assert_eq!((first.entries.len(), first.more, first.seq), (3, true, 3));
            let rest = store.entries_since(folder, first.seq, 3).await.unwrap().unwrap();
            assert_eq!((rest.entries.len(), rest.more, rest.seq), (2, false, 5));
        }
    }

    /// The news have a bound.
    #[tokio::test]
    async fn old_changes_go() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(&data.path().join("meshd.sqlite")).unwrap();
        let feed = new_id();
        let who = Who { user: feed, device: None, at: UnixTime(1) };
        let all = KEPT + 2 * SWEEP;
        store
            .change(who, move |_, log| {
                (0..all).try_for_each(|_| log.record(feed, Verb::EntryPut, "", &Value::Null).map(drop))
            })
            .await
            .unwrap();
        let kept = store.news(vec![feed], None, usize::MAX).await.unwrap();
        assert!(kept.iter().map(|change| change.at.seq).rev().eq(all - kept.len() as u64 + 1..=all));
        assert!((KEPT..KEPT + SWEEP).contains(&(kept.len() as u64)), "{}", kept.len());
    }
}
