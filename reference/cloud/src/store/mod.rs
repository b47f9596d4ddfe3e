//! The metadata store. All SQL of the crate is in this folder, one file a part; `sql.rs` is what those files see of a
//! database, `sqlite.rs` the database.
//!
//! Callers see async functions; the work runs on blocking threads. Rules that must hold for the very rows that are
//! written (entity tags, the last owner, the quota) are demanded inside the write's transaction.

pub(crate) mod contacts;
pub(crate) mod devices;
pub(crate) mod entries;
pub(crate) mod folders;
pub(crate) mod invitations;
pub(crate) mod mappings;
pub(crate) mod media;
pub(crate) mod members;
#[cfg(test)]
mod races;
mod sql;
mod sqlite;
pub(crate) mod users;

use std::path::Path;

use meshproof_proto::error::Error as RuleError;

use self::sql::{Row, Sql, values};
use self::sqlite::Sqlite;

/// In order. A database remembers how many of them it has.
const MIGRATIONS: &[&str] =
    &[include_str!("migrations/0001_first.sql"), include_str!("migrations/0004_social.sql")];

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A row has what this program never wrote. Columns count from 0.
    #[error("column {0} of a row is not what this program wrote")]
    Column(usize),
    /// A rule of the spec forbids what was asked for.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The database is newer than this program.
    #[error("the database has version {0}, this program knows {known}", known = MIGRATIONS.len())]
    TooNew(i64),
    /// The work did not come to its end.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

/// A handle to the database. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Store(Sqlite);

impl Store {
    /// Opens the database file, makes it if needed, and brings it up to date. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self(Sqlite::open(path)?))
    }

    /// Reads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read_here(work)).await?
    }

    /// Reads on this thread, which may block.
    fn read_here<T>(&self, work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.0.read(work)
    }

    /// Writes, in one transaction: all of it, or nothing if it fails. The transactions of a database are as if one came
    /// after the other; the work may be done more than once to make it so, and only the last time counts.
    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Sql<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.0.write(work)).await?
    }
}
