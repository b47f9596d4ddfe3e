//! What happened lately, for the person who asks: a bounded table beside the index.

use meshproof_proto::codec::Id;
use rusqlite::params;

use super::Index;
use crate::error::Result;

/// How many events are kept.
const MOST: i64 = 10_000;
/// In the file of the index, and not made anew with it.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS journal (
        number INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, folder BLOB, peer BLOB, path TEXT,
        text TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS journal_by_what ON journal (kind, path, text);
    CREATE TABLE IF NOT EXISTS links (
        peer BLOB PRIMARY KEY, time INTEGER NOT NULL, way TEXT NOT NULL, received INTEGER NOT NULL,
        sent INTEGER NOT NULL, millis INTEGER NOT NULL
    );
";

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// In seconds since 1970.
    pub time: u64,
    /// What it was.
    pub kind: Happened,
    /// In which folder, if in one.
    pub folder: Option<Id>,
    /// With which device, if with one.
    pub peer: Option<Id>,
    /// At which path, if at one.
    pub path: Option<String>,
    /// The rest, in words.
    pub text: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happened {
    /// A file came from another device.
    Received,
    /// What another device deleted was deleted here.
    Deleted,
    /// Two devices changed one file.
    Conflict,
    /// A path is not synchronised.
    LeftOut,
    /// A session that moved something ended well.
    Synced,
    /// A session or a round failed.
    Failed,
}

impl Happened {
    const ALL: [Self; 6] =
        [Self::Received, Self::Deleted, Self::Conflict, Self::LeftOut, Self::Synced, Self::Failed];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Deleted => "deleted",
            Self::Conflict => "conflict",
            Self::LeftOut => "left-out",
            Self::Synced => "synced",
            Self::Failed => "failed",
        }
    }

    /// Whether it is said again each time as long as nobody does anything about it.
    fn repeats(self) -> bool {
        matches!(self, Self::LeftOut | Self::Failed)
    }
}

/// How it went the last time with a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The device.
    pub peer: Id,
    /// When, in seconds since 1970.
    pub time: u64,
    /// `direct` or `relay`.
    pub way: String,
    /// Content from it, in bytes.
    pub received: u64,
    /// Content to it, in bytes.
    pub sent: u64,
    /// How long it took.
    pub millis: u64,
}

impl Index {
    /// Notes events. Of what happens again and again until somebody does something, the last time is kept.
    pub fn note(&self, events: &[Event]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        {
            let mut forget = transaction.prepare_cached(
                "DELETE FROM journal WHERE kind = ?1 AND path IS ?2 AND text = ?3 AND folder IS ?4 AND peer IS ?5",
            )?;
            let sql =
                "INSERT INTO journal (time, kind, folder, peer, path, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let mut insert = transaction.prepare_cached(sql)?;
            for event in events {
                let (folder, peer) = (event.folder.map(|id| id.0), event.peer.map(|id| id.0));
                let kind = event.kind.name();
                if event.kind.repeats() {
                    forget.execute(params![kind, event.path, event.text, folder, peer])?;
                }
                insert.execute(params![
                    event.time.cast_signed(),
                    kind,
                    folder,
                    peer,
                    event.path,
                    event.text
                ])?;
            }
            let sql = "DELETE FROM journal WHERE number <= (SELECT max(number) FROM journal) - ?1";
            transaction.prepare_cached(sql)?.execute([MOST])?;
        }
        Ok(transaction.commit()?)
    }

    /// The last events, the oldest of them first.
    pub fn journal(&self, most: usize) -> Result<Vec<Event>> {
        let connection = self.lock();
        let sql = "SELECT time, kind, folder, peer, path, text FROM journal ORDER BY number DESC LIMIT ?1";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([i64::try_from(most).unwrap_or(MOST)], |row| {
            let kind: String = row.get(1)?;
            let kind = Happened::ALL.into_iter().find(|known| known.name() == kind);
            Ok(Event {
                time: row.get::<_, i64>(0)?.cast_unsigned(),
                kind: kind.unwrap_or(Happened::Failed),
                folder: row.get::<_, Option<[u8; 16]>>(2)?.map(Id),
                peer: row.get::<_, Option<[u8; 16]>>(3)?.map(Id),
                path: row.get(4)?,
                text: row.get(5)?,
            })
        })?;
        let mut events: Vec<Event> = rows.collect::<std::result::Result<_, _>>()?;
        events.reverse();
        Ok(events)
    }

    /// Remembers how it went with a device.
    pub fn set_link(&self, link: &Link) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO links VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.lock().execute(
            sql,
            params![
                link.peer.0,
                link.time.cast_signed(),
                link.way,
                link.received.cast_signed(),
                link.sent.cast_signed(),
                link.millis.cast_signed()
            ],
        )?;
        Ok(())
    }

    /// How it went the last time with each device.
    pub fn links(&self) -> Result<Vec<Link>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT peer, time, way, received, sent, millis FROM links")?;
        let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::cast_unsigned);
        let rows = statement.query_map([], |row| {
            Ok(Link {
                peer: Id(row.get(0)?),
                time: number(row, 1)?,
                way: row.get(2)?,
                received: number(row, 3)?,
                sent: number(row, 4)?,
                millis: number(row, 5)?,
            })
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Happened, path: &str) -> Event {
        let (folder, path) = (Some(Id([1; 16])), Some(path.to_owned()));
        Event { time: 7, kind, folder, peer: None, path, text: "words".into() }
    }

    #[test]
    fn events_are_kept_in_order_and_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::open(&directory.path().join("index.db")).unwrap();
        let all: Vec<Event> = (0..10_100).map(|n| event(Happened::Received, &n.to_string())).collect();
        all.chunks(1_000).for_each(|events| index.note(events).unwrap());
        assert_eq!(index.journal(usize::MAX).unwrap(), all[100..]);
        assert_eq!(index.journal(2).unwrap(), all[10_098..]);
    }

    #[test]
    fn of_what_repeats_the_last_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::open(&directory.path().join("index.db")).unwrap();
        let (left, received) = (event(Happened::LeftOut, "a"), event(Happened::Received, "a"));
        for _ in 0..2 {
            index.note(&[left.clone(), Event { time: 8, ..left.clone() }, received.clone()]).unwrap();
        }
        let last = Event { time: 8, ..left };
        assert_eq!(index.journal(9).unwrap(), [received.clone(), last, received]);
    }
}
