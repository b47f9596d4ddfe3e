//! The metadata store: SQLite. All SQL of the crate is in this folder, one file a part.
//!
//! Parameters are `$1`, `$2`, .. and first appear in this order: SQLite numbers them by appearance.
//!
//! One connection writes, a few read beside it (WAL). Callers see async functions; the work runs on blocking threads.
//! Rules that must hold for the very rows that are written (entity tags, the last owner, the quota) are demanded
//! inside the write's transaction.

pub(crate) mod devices;
pub(crate) mod entries;
pub(crate) mod folders;
pub(crate) mod mappings;
pub(crate) mod media;
pub(crate) mod members;
#[cfg(test)]
mod races;
pub(crate) mod users;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::error::Error as RuleError;
use rusqlite::{Connection, OpenFlags, Row, Transaction, TransactionBehavior};

/// In order; the number of those applied is the database's `user_version`.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// How many connections for reading are kept open.
const READERS: usize = 8;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// A rule of the spec forbids what was asked for.
    #[error("{0}")]
    Rule(#[from] RuleError),
    /// The database is newer than this program.
    #[error("the database has version {0}, this program knows {known}", known = MIGRATIONS.len())]
    TooNew(i64),
    /// The work did not come to its end.
    #[error("{0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A handle to the database. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Store {
    /// Opens the database file, makes it if needed, and brings it up to date.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path);
        let mut writer = Connection::open(path)?;
        writer.busy_timeout(BUSY)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        // STO-006: with WAL only FULL makes a commit survive a power cut.
        writer.pragma_update(None, "synchronous", "FULL")?;
        migrate(&mut writer)?;
        let inner = Inner { path: path.into(), writer: Mutex::new(writer), readers: Mutex::default() };
        Ok(Self(Arc::new(inner)))
    }

    /// Reads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read_here(work)).await?
    }

    /// Reads on this thread, which may block.
    fn read_here<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let Inner { path, readers, .. } = &*self.0;
        let idle = lock(readers).pop();
        let connection = idle.map_or_else(|| open_reader(path), Ok)?;
        let result = work(&connection);
        let mut readers = lock(readers);
        if readers.len() < READERS {
            readers.push(connection);
        }
        result
    }

    /// Writes, in one transaction: all of it, or nothing if it fails.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let mut writer = lock(&inner.writer);
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
        .await?
    }
}

/// Makes an empty file that only its owner can read; the files that SQLite puts beside it get the same mode. If that
/// fails, opening the database will say why.
fn create_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

fn migrate(writer: &mut Connection) -> Result<(), StoreError> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let applied = usize::try_from(version).map_err(|_| StoreError::TooNew(version))?;
    let missing = MIGRATIONS.get(applied..).ok_or(StoreError::TooNew(version))?;
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", integer(MIGRATIONS.len() as u64))?;
    Ok(transaction.commit()?)
}

/// A connection is as good after a panic as before: its transaction was rolled back.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number as SQL has it. Callers have bounded it.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number that SQL gave back.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// Text that SQL gave back, parsed.
fn parsed<T>(row: &Row<'_>, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| {
        rusqlite::Error::InvalidColumnType(column, "unexpected text".into(), rusqlite::types::Type::Text)
    })
}

/// An identifier that SQL gave back.
fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Id> {
    parsed(row, column, Id::parse)
}

/// All rows of a query.
fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The first row of a query, if there is one.
fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    use rusqlite::OptionalExtension as _;
    Ok(connection.prepare_cached(sql)?.query_row(params, read).optional()?)
}

/// Executes a statement; returns how many rows it changed.
fn execute(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize, StoreError> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}
