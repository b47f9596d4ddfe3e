//! Whether this device knows what it did itself in a folder (`spec/sync.md`, section 4.6).

use meshproof_proto::codec::Id;
use meshproof_proto::sync::entry::MAX_COUNTER;
use rusqlite::{OptionalExtension, Row, params};

use super::index::{Clock, Index, TABLES};
use super::{keyed, shown};
use crate::error::Result;

/// Whether this device knows what it did itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// All of it, as far as anybody has said.
    Known = 0,
    /// Not what was before its index was made anew: it has not yet met all who may know.
    Lost = 1,
    /// It lost it, and has what the others had of it.
    Regained = 2,
    /// As [`Lost`](Self::Lost), and it has taken over nothing of others since (SYN-140).
    Anew = 3,
}

/// What stays when a folder is begun anew: it has the issuer's signature.
const STAYS: &str = "writers";

impl Index {
    /// Whether this device knows what it did itself.
    pub fn past(&self, folder: Id) -> Result<Past> {
        let sql = "SELECT past FROM folders WHERE folder = ?1";
        let past: Option<u8> = self.lock().query_row(sql, [folder.0], |row| row.get(0)).optional()?;
        Ok(match past {
            Some(1) => Past::Lost,
            Some(2) => Past::Regained,
            Some(3) => Past::Anew,
            _ => Past::Known,
        })
    }

    /// Whether something is known of the folder, be it that nothing is.
    pub fn knows(&self, folder: Id) -> Result<bool> {
        Ok(self.lock().prepare_cached("SELECT 1 FROM folders WHERE folder = ?1")?.exists([folder.0])?)
    }

    /// Whether a head that this device signed shows that it did what it does not know of: it never stood there, as far as
    /// this index goes back.
    pub fn is_strange(&self, folder: Id, counter: u64, chain: &[u8; 32]) -> Result<bool> {
        let past = self.past(folder)?;
        let sql = "SELECT coalesce(min(counter), 0),
            coalesce(max(CASE WHEN counter = ?2 AND chain = ?3 THEN 1 ELSE 0 END), 0)
            FROM own_heads WHERE folder = ?1";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?));
        let values = params![folder.0, counter.cast_signed(), chain];
        let (first, stood) = self.lock().query_row(sql, values, read)?;
        let before = counter <= first.cast_unsigned();
        Ok(!stood && (past == Past::Known || !before))
    }

    /// Forgets all of the folder but who writes in it, and begins with this `past`: all at once or not at all, for an index that forgot
    /// its entries and not its counter, or the other way round, says what is not so. It counts on from beyond `used`, and from beyond all
    /// that it can have used.
    pub fn begin(&self, folder: Id, past: Past, used: u64) -> Result<()> {
        let clock = self.clock(folder)?;
        let counter = used.max(clock.counter).max(unused());
        let Clock { lamport, chain, .. } = clock;
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for table in TABLES.iter().chain(&shown::TABLES).chain(&keyed::TABLES) {
            if *table != STAYS {
                transaction.execute(&format!("DELETE FROM {table} WHERE folder = ?1"), [folder.0])?;
            }
        }
        let sql = "INSERT INTO own_heads VALUES (?1, ?2, ?3)";
        transaction.execute(sql, params![folder.0, counter.cast_signed(), chain])?;
        let sql = "INSERT INTO folders (folder, lamport, counter, settled, chain, past) VALUES (?1, ?2, ?3, 0, ?4, ?5)";
        let values = params![folder.0, lamport.cast_signed(), counter.cast_signed(), chain, past as u8];
        transaction.execute(sql, values)?;
        Ok(transaction.commit()?)
    }
}

/// A counter beyond all that this device can have used, unless its clock was set back.
pub(super) fn unused() -> u64 {
    (crate::now().0 << 16).min(MAX_COUNTER / 2)
}

#[cfg(test)]
mod tests {
    use meshproof_proto::crypto::{DEFAULT, Secret};
    use meshproof_proto::sync::entry::new_id;
    use meshproof_proto::sync::{Content, Entry, Kind, Name, ROOT, Stamp};

    use super::*;
    use crate::sync::Batch;

    const FOLDER: Id = Id([7; 16]);

    #[test]
    fn who_begins_anew_forgets_all_or_nothing() {
        let home = tempfile::tempdir().unwrap();
        let index = Index::open(&home.path().join("index.db")).unwrap();
        let name = Name::parse("Monday").unwrap();
        let stamp = Stamp { lamport: 1, writer: Id([1; 16]), counter: 1 };
        let content = Content { stamp, kind: Kind::Directory, mode: 0o755, mtime: 0, gone: false };
        let mut entry = Entry::new(new_id(ROOT, &name, 0), (ROOT, name), content).unwrap();
        entry.sign(FOLDER, &*DEFAULT.signing_key(&Secret::new([1; 32])));
        let clock = Clock { lamport: 3, counter: 1 << 60, chain: [4; 32] };
        let batch = Batch { entries: vec![entry], clock: Some(clock), ..Batch::default() };
        index.write(FOLDER, &batch).unwrap();
        let known = || (index.entries(FOLDER).unwrap().len(), index.past(FOLDER).unwrap());
        // The disk is full when the last is written.
        let full = "CREATE TRIGGER full BEFORE INSERT ON folders BEGIN SELECT RAISE(ABORT, 'full'); END";
        index.lock().execute_batch(full).unwrap();
        assert!(index.begin(FOLDER, Past::Anew, 0).is_err());
        assert_eq!((known(), index.clock(FOLDER).unwrap()), ((1, Past::Known), clock));
        index.lock().execute_batch("DROP TRIGGER full").unwrap();
        index.begin(FOLDER, Past::Anew, clock.counter + 5).unwrap();
        let after = Clock { counter: clock.counter + 5, ..clock };
        assert_eq!((known(), index.clock(FOLDER).unwrap()), ((0, Past::Anew), after));
        assert!(index.knows(FOLDER).unwrap() && !index.knows(Id([8; 16])).unwrap());
    }
}
