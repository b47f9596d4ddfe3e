//! Writers that said two things under one number, and what shows it (`spec/sync.md`, section 3.6): restored from a backup, copied,
//! or out to part others from each other.

use meshproof_proto::codec::{Id, Reader};
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::sync::{Context, Fork, Message};
use rusqlite::params;

use super::index::damaged;
use super::past::Past;
use super::take::begin_anew;
use super::writers::{blame, keys};
use super::{Folder, Index};
use crate::error::Result;

/// In the file of the index.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS forks (
        folder BLOB NOT NULL, device BLOB NOT NULL, evidence BLOB NOT NULL, PRIMARY KEY (folder, device)
    ) WITHOUT ROWID;
";
/// How many go into one message: each has 13 KiB at most.
const AT_ONCE: usize = 64;

impl Index {
    /// What shows that writers forked, one piece for each.
    pub fn forks(&self, folder: Id) -> Result<Vec<Fork>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT evidence FROM forks WHERE folder = ?1 ORDER BY device")?;
        let rows = statement.query_map([folder.0], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|row| Fork::read(&mut Reader::new(&row?)).map_err(|_| damaged("a fork"))).collect()
    }

    /// Whether it is known that a writer forked.
    pub(super) fn has_forked(&self, folder: Id, device: Id) -> Result<bool> {
        let sql = "SELECT 1 FROM forks WHERE folder = ?1 AND device = ?2";
        Ok(self.lock().prepare_cached(sql)?.exists(params![folder.0, device.0])?)
    }

    /// Remembers that a writer forked.
    pub(super) fn add_fork(&self, folder: Id, fork: &Fork) -> Result<()> {
        let (device, counter) = fork.dot();
        tracing::warn!(writer = %device, counter, requirement = "SYN-111", "it said two things under one number");
        let mut evidence = Vec::new();
        fork.write(&mut evidence);
        let sql = "INSERT OR IGNORE INTO forks VALUES (?1, ?2, ?3)";
        self.lock().execute(sql, params![folder.0, device.0, evidence])?;
        Ok(())
    }

    /// SYN-111: what is left of a context.
    pub(super) fn without_forked(&self, folder: Id, mut context: Context) -> Result<Context> {
        if !deviates(req::SYN_111) {
            let connection = self.lock();
            let mut statement = connection.prepare_cached("SELECT device FROM forks WHERE folder = ?1")?;
            let mut rows = statement.query([folder.0])?;
            while let Some(row) = rows.next()? {
                context.0.remove(&Id(row.get(0)?));
            }
        }
        Ok(context)
    }
}

/// SYN-112: appends what this device knows of forks.
pub(super) fn write_forks(folder: &Folder, out: &mut Vec<u8>) -> Result<()> {
    if deviates(req::SYN_112) {
        return Ok(());
    }
    for forks in folder.index().forks(folder.id())?.chunks(AT_ONCE) {
        Message::Forks { folder: folder.id(), forks: forks.to_vec() }.write(out);
    }
    Ok(())
}

/// Takes over what a peer knows of forks. A device that is told of its own lost its past, or has a copy.
pub(super) fn learn_forks(folder: &Folder, forks: &[Fork]) -> Result<()> {
    let _lock = folder.lock();
    let (index, id) = (folder.index(), folder.id());
    let keys = keys(folder)?;
    for fork in forks {
        let (writer, _) = fork.dot();
        let Some(key) = keys.get(&writer) else {
            blame(fork.is_one(), req::SYN_113, writer)?;
            continue;
        };
        if index.has_forked(id, writer)? {
            continue;
        }
        blame(fork.verify(folder.signer().provider(), id, key), req::SYN_113, writer)?;
        note_fork(folder, fork)?;
    }
    Ok(())
}

/// Remembers that a writer forked. A device that sees it of itself begins anew, unless it has since.
pub(super) fn note_fork(folder: &Folder, fork: &Fork) -> Result<()> {
    let (index, id) = (folder.index(), folder.id());
    let (writer, counter) = fork.dot();
    if writer == folder.device() && (index.past(id)? == Past::Known || counter > index.clock(id)?.counter) {
        return Err(begin_anew(folder, counter)?);
    }
    index.add_fork(id, fork)
}
