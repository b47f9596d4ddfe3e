//! SQLite, embedded: one connection writes, a few read beside it (WAL).

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::sql::Sql;
use super::{MIGRATIONS, StoreError};

/// How many connections for reading are kept open.
const READERS: usize = 8;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// An open database file.
pub(super) struct Sqlite {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Sqlite {
    /// Opens the file, makes it if needed, and brings it up to date.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path);
        let mut writer = Connection::open(path)?;
        writer.busy_timeout(BUSY)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        // STO-006: with WAL only FULL makes a commit survive a power cut.
        writer.pragma_update(None, "synchronous", "FULL")?;
        migrate(&mut writer)?;
        Ok(Self { path: path.into(), writer: Mutex::new(writer), readers: Mutex::default() })
    }

    /// Reads on this thread. All statements see the same state.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = lock(&self.readers).pop();
        let mut connection = idle.map_or_else(|| open_reader(&self.path), Ok)?;
        let snapshot = connection.transaction()?;
        let result = work(&Sql::Sqlite(&snapshot));
        drop(snapshot);
        let mut readers = lock(&self.readers);
        if readers.len() < READERS {
            readers.push(connection);
        }
        result
    }

    /// Writes on this thread, in one transaction.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&Sql::Sqlite(&transaction))?;
        transaction.commit()?;
        Ok(result)
    }
}

impl Sqlite {
    /// Writes a copy, as of one moment, to a new file that only its owner can read.
    pub(super) fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        create_private(file); // VACUUM INTO takes an empty file
        let path = file.to_str().ok_or(rusqlite::Error::InvalidPath(file.into()))?;
        open_reader(&self.path)?.execute("VACUUM INTO $1", [path])?;
        Ok(())
    }
}

/// Puts what is in the write-ahead log into the file, and removes the log. Nobody else has the database open.
pub(super) fn settle(path: &Path) -> Result<(), StoreError> {
    Ok(Connection::open(path)?.pragma_update(None, "journal_mode", "DELETE")?)
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
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    Ok(transaction.commit()?)
}

/// A connection is as good after a panic as before: its transaction was rolled back.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
