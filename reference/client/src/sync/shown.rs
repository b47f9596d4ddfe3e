//! What this device knows of the cloud's states of a folder (`spec/sync.md`, section 4.10): what it showed and took, so that a
//! change costs what it is and not what there is, and a cloud that goes back on it is found out.

use std::collections::BTreeMap;

use meshproof_proto::codec::{Id, Reader};
use meshproof_proto::sync::{Context, Entry, Head, Version};
use rusqlite::{OptionalExtension, Row, params};

use super::Index;
use super::index::damaged;
use crate::error::Result;

/// In the file of the index.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS cloud_marks (folder BLOB PRIMARY KEY, watermark TEXT);
    CREATE TABLE IF NOT EXISTS cloud_states (
        folder BLOB NOT NULL, id BLOB NOT NULL, etag TEXT NOT NULL, version BLOB NOT NULL, standing INTEGER NOT NULL,
        listed INTEGER NOT NULL, PRIMARY KEY (folder, id)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS cloud_states_open ON cloud_states (folder, id) WHERE standing <> 0;
    CREATE TABLE IF NOT EXISTS cloud_unsent (
        folder BLOB NOT NULL, id BLOB NOT NULL, PRIMARY KEY (folder, id)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cloud_writers (
        folder BLOB NOT NULL, device BLOB NOT NULL, most INTEGER NOT NULL, head BLOB, PRIMARY KEY (folder, device)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cloud_doubts (
        folder BLOB NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL, time INTEGER NOT NULL,
        PRIMARY KEY (folder, kind, subject)
    );
";
/// The tables.
pub(super) const TABLES: [&str; 5] =
    ["cloud_marks", "cloud_states", "cloud_unsent", "cloud_writers", "cloud_doubts"];
/// How long a doubt is kept after the last time, in seconds.
const KEPT: u64 = 7 * 86_400;
/// How many doubts of a folder are kept: who makes more is known well enough.
const MOST_DOUBTS: i64 = 100;

/// What became of a state that the cloud showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All of it is in the own entry.
    Taken = 0,
    /// It cannot be taken over yet.
    Waits = 1,
    /// It is not believed.
    Refused = 2,
}

/// A state as the cloud showed or took it last.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its `ETag`.
    pub etag: String,
    /// The largest version that it was shown with. `None`: it never was an entry.
    pub version: Option<Version>,
    /// What became of it.
    pub standing: Standing,
}

/// Why the cloud is not believed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Doubt {
    /// `forged`, `forked`, `rolled-back`, `withheld` or `wrong-bytes`.
    pub kind: String,
    /// What it is about, in words.
    pub text: String,
    /// When it was noticed last, in seconds since 1970.
    pub time: u64,
}

impl Index {
    /// How far the states were read. `None`: not at all, or anew from the beginning.
    pub fn cloud_mark(&self, folder: Id) -> Result<Option<String>> {
        let sql = "SELECT watermark FROM cloud_marks WHERE folder = ?1";
        let mark: Option<Option<String>> =
            self.lock().query_row(sql, [folder.0], |row| row.get(0)).optional()?;
        Ok(mark.flatten())
    }

    /// States are read from the beginning: what is not shown again was taken away.
    pub fn begin_reading(&self, folder: Id) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute("UPDATE cloud_states SET listed = 0 WHERE folder = ?1", [folder.0])?;
        let all = "INSERT OR IGNORE INTO cloud_unsent SELECT folder, id FROM entries WHERE folder = ?1";
        transaction.execute(all, [folder.0])?;
        transaction.execute("INSERT OR REPLACE INTO cloud_marks VALUES (?1, NULL)", [folder.0])?;
        Ok(transaction.commit()?)
    }

    /// Puts all entries again that the cloud does not have as they are here.
    pub fn send_all(&self, folder: Id) -> Result<()> {
        let all = "INSERT OR IGNORE INTO cloud_unsent SELECT folder, id FROM entries WHERE folder = ?1";
        self.lock().execute(all, [folder.0])?;
        Ok(())
    }

    /// The folder became encrypted: the cloud forgot what it had, as it was to, and gets all of it anew.
    pub fn forget_cloud(&self, folder: Id) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for table in ["cloud_marks", "cloud_states", "cloud_writers"] {
            transaction.execute(&format!("DELETE FROM {table} WHERE folder = ?1"), [folder.0])?;
        }
        Ok(transaction.commit()?)
    }

    /// States that were there before and were not shown since [`begin_reading`](Self::begin_reading). They are forgotten.
    pub fn not_shown_again(&self, folder: Id) -> Result<Vec<Id>> {
        let connection = self.lock();
        let sql = "DELETE FROM cloud_states WHERE folder = ?1 AND listed = 0 RETURNING id";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([folder.0], |row| row.get(0).map(Id))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What the cloud showed of an entry.
    pub fn shown(&self, folder: Id, entry: Id) -> Result<Option<Shown>> {
        let sql = "SELECT etag, version, standing FROM cloud_states WHERE folder = ?1 AND id = ?2";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let read =
            |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, u8>(2)?));
        let Some((etag, version, standing)) =
            statement.query_row(params![folder.0, entry.0], read).optional()?
        else {
            return Ok(None);
        };
        let version = match version.as_slice() {
            [] => None,
            bytes => {
                let counters = Context::from_bytes(bytes).map_err(|_| damaged("a state"))?.0;
                Some(Version::new(counters.into_iter().collect()).map_err(|_| damaged("a state"))?)
            }
        };
        let standing = match standing {
            0 => Standing::Taken,
            1 => Standing::Waits,
            _ => Standing::Refused,
        };
        Ok(Some(Shown { etag, version, standing }))
    }

    /// Remembers what the cloud showed or took, and how far that was read. A state that is not believed is to be replaced by
    /// the own one.
    pub fn show(&self, folder: Id, states: &[(Id, Shown)], mark: Option<&str>) -> Result<()> {
        let mut most: BTreeMap<Id, u64> = BTreeMap::new();
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        {
            let mut put = transaction
                .prepare_cached("INSERT OR REPLACE INTO cloud_states VALUES (?1, ?2, ?3, ?4, ?5, 1)")?;
            let mut again = transaction.prepare_cached(
                "INSERT OR IGNORE INTO cloud_unsent SELECT folder, id FROM entries WHERE folder = ?1 AND id = ?2",
            )?;
            for (id, Shown { etag, version, standing }) in states {
                let counters: BTreeMap<Id, u64> =
                    version.iter().flat_map(|version| version.counters().iter().copied()).collect();
                let version =
                    if counters.is_empty() { Vec::new() } else { Context(counters.clone()).to_bytes() };
                put.execute(params![folder.0, id.0, etag, version, *standing as u8])?;
                if *standing == Standing::Refused {
                    again.execute(params![folder.0, id.0])?;
                } else {
                    for (device, counter) in counters {
                        let most = most.entry(device).or_default();
                        *most = (*most).max(counter);
                    }
                }
            }
            let mut raise = transaction.prepare_cached(
                "INSERT INTO cloud_writers (folder, device, most) VALUES (?1, ?2, ?3)
                 ON CONFLICT (folder, device) DO UPDATE SET most = max(most, ?3)",
            )?;
            for (device, counter) in most {
                raise.execute(params![folder.0, device.0, counter.cast_signed()])?;
            }
            if let Some(mark) = mark {
                let sql = "INSERT OR REPLACE INTO cloud_marks VALUES (?1, ?2)";
                transaction.prepare_cached(sql)?.execute(params![folder.0, mark])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// States that cannot be taken over yet.
    pub fn waiting_states(&self, folder: Id, most: usize) -> Result<Vec<Id>> {
        let sql = "SELECT id FROM cloud_states INDEXED BY cloud_states_open
            WHERE folder = ?1 AND standing <> 0 AND standing = 1 LIMIT ?2";
        self.ids(sql, folder, most)
    }

    /// Entries that the cloud may not have as they are here, behind `after` in the order of identifiers.
    pub fn unsent(&self, folder: Id, after: Id, most: usize) -> Result<Vec<Id>> {
        let connection = self.lock();
        let sql = "SELECT id FROM cloud_unsent WHERE folder = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let mut statement = connection.prepare_cached(sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![folder.0, after.0, most], |row| row.get(0).map(Id))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The cloud has these entries as they are here, unless they changed meanwhile.
    pub fn sent<'a>(&self, folder: Id, entries: impl IntoIterator<Item = &'a Entry>) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        {
            let mut remove = transaction.prepare_cached(
                "DELETE FROM cloud_unsent WHERE folder = ?1 AND id = ?2 AND NOT EXISTS
                 (SELECT 1 FROM entries e WHERE e.folder = ?1 AND e.id = ?2 AND e.state <> ?3)",
            )?;
            for entry in entries {
                remove.execute(params![folder.0, entry.id.0, entry.to_bytes()])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// An entry that is not here any more has not to be sent.
    pub fn not_to_be_sent(&self, folder: Id, entry: Id) -> Result<()> {
        let sql = "DELETE FROM cloud_unsent WHERE folder = ?1 AND id = ?2";
        self.lock().prepare_cached(sql)?.execute(params![folder.0, entry.0])?;
        Ok(())
    }

    /// The largest counter of a device that any state had.
    pub fn most_shown(&self, folder: Id, device: Id) -> Result<u64> {
        let sql = "SELECT most FROM cloud_writers WHERE folder = ?1 AND device = ?2";
        let most: Option<i64> =
            self.lock().query_row(sql, params![folder.0, device.0], |row| row.get(0)).optional()?;
        Ok(most.unwrap_or(0).cast_unsigned())
    }

    /// The furthest head of each writer that the cloud showed or took.
    pub fn shown_heads(&self, folder: Id) -> Result<Vec<Head>> {
        let connection = self.lock();
        let sql = "SELECT head FROM cloud_writers WHERE folder = ?1 AND head IS NOT NULL ORDER BY device";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([folder.0], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|row| Head::read(&mut Reader::new(&row?)).map_err(|_| damaged("a head"))).collect()
    }

    /// Remembers a head that the cloud showed or took.
    pub fn show_head(&self, folder: Id, head: &Head) -> Result<()> {
        let mut bytes = Vec::new();
        head.write(&mut bytes);
        let sql = "INSERT INTO cloud_writers (folder, device, most, head) VALUES (?1, ?2, 0, ?3)
            ON CONFLICT (folder, device) DO UPDATE SET head = ?3";
        self.lock().prepare_cached(sql)?.execute(params![folder.0, head.device.0, bytes])?;
        Ok(())
    }

    /// Notes why the cloud is not believed.
    pub fn doubt(&self, folder: Id, kind: &str, subject: &str, text: &str) -> Result<()> {
        let connection = self.lock();
        let now = crate::now().0;
        let sql = "INSERT OR REPLACE INTO cloud_doubts SELECT ?1, ?2, ?3, ?4, ?5
            WHERE (SELECT count(*) FROM cloud_doubts WHERE folder = ?1) < ?6";
        connection.execute(sql, params![folder.0, kind, subject, text, now.cast_signed(), MOST_DOUBTS])?;
        let old = "DELETE FROM cloud_doubts WHERE time < ?1";
        connection.execute(old, [now.saturating_sub(KEPT).cast_signed()])?;
        Ok(())
    }

    /// Why the cloud is not believed, the latest first.
    pub fn doubts(&self, folder: Id) -> Result<Vec<Doubt>> {
        let connection = self.lock();
        let sql = "SELECT kind, text, time FROM cloud_doubts WHERE folder = ?1 AND time >= ?2
            ORDER BY time DESC, kind, subject";
        let since = crate::now().0.saturating_sub(KEPT).cast_signed();
        let mut statement = connection.prepare_cached(sql)?;
        let doubt = |row: &Row<'_>| {
            Ok(Doubt { kind: row.get(0)?, text: row.get(1)?, time: row.get::<_, i64>(2)?.cast_unsigned() })
        };
        let rows = statement.query_map(params![folder.0, since], doubt)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn ids(&self, sql: &str, folder: Id, most: usize) -> Result<Vec<Id>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![folder.0, most], |row| row.get(0).map(Id))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
