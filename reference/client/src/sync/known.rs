//! The chunks of contents as far as they are known: those that were cut here, and those that a peer named and that proved
//! right. Only a memory: what it says is verified when it is used, and what it forgot is cut again.

use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Chunk;
use rusqlite::params;

use super::Index;
use crate::error::Result;

/// In the file of the index.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS chunks (
        folder BLOB NOT NULL, file BLOB NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL, chunk BLOB NOT NULL,
        PRIMARY KEY (folder, file, start)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS chunks_by_hash ON chunks (folder, chunk);
";
/// How many places of one chunk are tried.
const PLACES: usize = 4;

impl Index {
    /// The chunks of a content, in their order. Empty if they are not known.
    pub(super) fn chunks(&self, folder: Id, file: &MediaHash) -> Result<Vec<Chunk>> {
        let connection = self.lock();
        let sql = "SELECT chunk, length FROM chunks WHERE folder = ?1 AND file = ?2 ORDER BY start";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![folder.0, file.0], |row| {
            Ok(Chunk { hash: MediaHash(row.get(0)?), length: row.get(1)? })
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// Contents that have a chunk, each with the offset where.
    pub(super) fn places(&self, folder: Id, chunk: &MediaHash) -> Result<Vec<(MediaHash, u64)>> {
        let connection = self.lock();
        let sql = format!("SELECT file, start FROM chunks WHERE folder = ?1 AND chunk = ?2 LIMIT {PLACES}");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![folder.0, chunk.0], |row| {
            Ok((MediaHash(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned()))
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// Remembers the chunks of a content, and forgets those of contents that the folder has no more.
    pub(super) fn remember(&self, folder: Id, file: &MediaHash, chunks: &[Chunk]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute(
            "DELETE FROM chunks WHERE folder = ?1 AND file IN (
                SELECT DISTINCT file FROM chunks AS known WHERE folder = ?1 AND NOT EXISTS (
                    SELECT 1 FROM disk WHERE folder = ?1 AND kind = 1 AND hash = known.file))",
            [folder.0],
        )?;
        // Of one content one cutting: of two together the sum would be wrong.
        transaction
            .execute("DELETE FROM chunks WHERE folder = ?1 AND file = ?2", params![folder.0, file.0])?;
        {
            let sql = "INSERT OR REPLACE INTO chunks (folder, file, start, length, chunk) VALUES (?1, ?2, ?3, ?4, ?5)";
            let mut statement = transaction.prepare_cached(sql)?;
            let mut start = 0_u64;
            for chunk in chunks {
                statement.execute(params![
                    folder.0,
                    file.0,
                    start.cast_signed(),
                    chunk.length,
                    chunk.hash.0
                ])?;
                start += u64::from(chunk.length);
            }
        }
        Ok(transaction.commit()?)
    }
}
