//! The metadata store. All SQL of the crate is in this folder, one file a part; `sql.rs` is what those files see of a
//! database, `sqlite.rs` and `postgres.rs` the databases.
//!
//! Callers see async functions; the work runs on blocking threads. Rules that must hold for the very rows that are
//! written (entity tags, the creator, the quota) are demanded inside the write's transaction.

pub(crate) mod app_passwords;
mod backup;
pub(crate) mod ceremonies;
pub(crate) mod challenges;
pub(crate) mod changes;
pub(crate) mod contacts;
pub(crate) mod devices;
pub(crate) mod entries;
#[cfg(feature = "oidc")]
pub(crate) mod federated;
pub(crate) mod folders;
pub(crate) mod invitations;
pub(crate) mod issuer_keys;
pub(crate) mod keys;
pub(crate) mod mappings;
pub(crate) mod media;
pub(crate) mod members;
pub(crate) mod passkeys;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(all(test, feature = "postgres"))]
mod postgres_tests;
pub(crate) mod queues;
#[cfg(test)]
mod races;
pub(crate) mod rendezvous;
pub(crate) mod sessions;
mod sql;
mod sqlite;
pub(crate) mod states;
pub(crate) mod throttle;
pub(crate) mod uploads;
pub(crate) mod users;
pub(crate) mod wanted;
pub(crate) mod writers;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::error::Error as RuleError;

use crate::metrics;

use self::sql::{Row, Sql, values};
use self::sqlite::Sqlite;
use crate::bus::Bus;
use crate::config;

/// In order. A database remembers how many of them it has.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_identity.sql"),
    include_str!("migrations/0003_changes.sql"),
    include_str!("migrations/0004_social.sql"),
    include_str!("migrations/0005_storage.sql"),
    include_str!("migrations/0006_account.sql"),
    include_str!("migrations/0007_desktop.sql"),
    include_str!("migrations/0008_queues.sql"),
    include_str!("migrations/0009_passkeys.sql"),
    include_str!("migrations/0010_app_passwords.sql"),
    include_str!("migrations/0011_rendezvous.sql"),
    include_str!("migrations/0012_creators.sql"),
    include_str!("migrations/0013_bounds.sql"),
    include_str!("migrations/0016_writers.sql"),
    include_str!("migrations/0020_states.sql"),
    include_str!("migrations/0021_keys.sql"),
];

/// How long a store that works may take to begin a write.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The database server refused a statement, or could not be asked.
    #[cfg(feature = "postgres")]
    #[error("{}", postgres::text_of(.0))]
    Sql(#[from] tokio_postgres::Error),
    /// The database server could not be reached.
    #[cfg(feature = "postgres")]
    #[error("{0}")]
    Postgres(String),
    /// The connection was lost before the server said whether it has committed.
    #[cfg(feature = "postgres")]
    #[error("it is not known whether the transaction was committed: {0}")]
    Unknown(String),
    /// The database would give lists in another order than SQLite.
    #[cfg(feature = "postgres")]
    #[error("the database does not sort by bytes: create it with LC_COLLATE 'C' (from TEMPLATE template0)")]
    Order,
    /// This build has no such database.
    #[cfg(not(feature = "postgres"))]
    #[error("this meshd was built without the feature `postgres`")]
    NoPostgres,
    /// A row has what this program never wrote. Columns count from 0.
    #[error("column {0} of a row is not what this program wrote")]
    Column(usize),
    /// A rule of the spec forbids what was asked for.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The database is newer than this program.
    #[error("the database has version {0}, this program knows {known}", known = MIGRATIONS.len())]
    TooNew(i64),
    /// Only files are copied.
    #[cfg(feature = "postgres")]
    #[error("the database is on a server: make backups with its own means, and of the data directory")]
    NotAFile,
    /// Others wrote the same rows for as long as a write is tried. Nothing was written.
    #[cfg(feature = "postgres")]
    #[error("too many write the same at once")]
    Busy,
    /// A write could not begin in time.
    #[error("no write can begin within {} s", PATIENCE.as_secs())]
    Silent,
    /// The work did not come to its end.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

impl StoreError {
    /// Whether the work was not done because others did theirs, so that it may go later.
    pub(crate) fn is_busy(&self) -> bool {
        match self {
            #[cfg(feature = "postgres")]
            Self::Busy => true,
            Self::Sqlite(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy),
            _ => false,
        }
    }
}

/// Which rows of a list: those behind a key, in the order of keys.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// Empty before all keys.
    pub(crate) after: String,
    /// How many at most.
    pub(crate) most: u64,
}

impl Span {
    /// The whole list.
    pub(crate) fn all() -> Self {
        Self { after: String::new(), most: u64::MAX }
    }
}

/// A handle to the database. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    epoch: String,
    bus: Bus,
}

enum Database {
    Sqlite(Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens the database file, makes it if needed, and brings it up to date. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::over(Database::Sqlite(Sqlite::open(path)?))
    }

    /// Connects to a database server, and brings the database up to date. Blocks, inside a runtime, on a thread that
    /// may.
    #[cfg(feature = "postgres")]
    pub(crate) fn connect(server: &config::Database) -> Result<Self, StoreError> {
        Self::over(Database::Postgres(postgres::Postgres::open(server)?))
    }

    /// What a build can do that knows no database servers.
    #[cfg(not(feature = "postgres"))]
    pub(crate) fn connect(_: &config::Database) -> Result<Self, StoreError> {
        Err(StoreError::NoPostgres)
    }

    fn over(database: Database) -> Result<Self, StoreError> {
        let epoch = database.write(changes::epoch)?;
        Ok(Self(Arc::new(Inner { database, epoch, bus: Bus::default() })))
    }

    /// Part of every watermark. A database that was restored from a backup has another one.
    pub(crate) fn epoch(&self) -> &str {
        &self.0.epoch
    }

    /// What wakes who waits for changes.
    pub(crate) fn bus(&self) -> &Bus {
        &self.0.bus
    }

    /// Whether a write can begin, within [`PATIENCE`].
    pub(crate) async fn answers(&self) -> Result<(), StoreError> {
        tokio::time::timeout(PATIENCE, self.write(|_| Ok(()))).await.map_err(|_| StoreError::Silent)?
    }

    /// Reads. All statements of the work see one state of the database.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read_here(work)).await?
    }

    /// Reads on this thread, which may block.
    fn read_here<T>(&self, work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        metrics::store("read", || match &self.0.database {
            Database::Sqlite(sqlite) => sqlite.read(work),
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => postgres.read(work),
        })
    }

    /// Writes, in one transaction: all of it, or nothing if it fails. The transactions of a database are as if one came
    /// after the other; the work may be done more than once to make it so, and only the last time counts.
    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Sql<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.write_here(work)).await?
    }

    /// Writes on this thread, which may block.
    fn write_here<T>(&self, work: impl Fn(&Sql<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        metrics::store("write", || self.0.database.write(work))
    }
}

impl Database {
    /// Writes on this thread, which may block.
    fn write<T>(&self, work: impl Fn(&Sql<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(work),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.write(work),
        }
    }
}
