//! PostgreSQL, and what speaks like it, for several processes.
//!
//! Nothing here needs more than the SQL that its relatives (CockroachDB, YugabyteDB) have too: no advisory locks, no
//! LISTEN. Work is synchronous, on blocking threads, and waits there for what the runtime's threads send and receive.

use std::cell::OnceCell;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use meshproof_proto::crypto::draw;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, private::BytesMut, to_sql_checked};
use tokio_postgres::{Config, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::sql::{Sql, Value};
use super::{MIGRATIONS, StoreError};
use crate::config;
use crate::state::OsEntropy;

/// How many connections a process holds at most.
const CONNECTIONS: usize = 16;

/// How long work may take to get a connection, and how long a transaction is tried again. As long as SQLite waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest pause before a transaction is tried again.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Each connection begins with this. All lookups of this crate have an index; where a table is small, PostgreSQL would
/// read all of it instead, and then SERIALIZABLE takes every writer of the table for one who changed what was read.
const PREPARE_CONNECTION: &str = "SET enable_seqscan = off";

const WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
/// One snapshot for all statements. It never fails for what others write.
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// A database server.
pub(super) struct Postgres(Arc<Shared>);

/// What transactions need.
struct Shared {
    pool: Pool,
    runtime: Handle,
    turns: Turns,
}

impl Postgres {
    /// Connects to `postgres://user@host/database` and brings the database up to date. Blocks, on a thread
    /// where that is allowed, inside a runtime.
    pub(super) fn open(server: &config::Database) -> Result<Self, StoreError> {
        let mut config: Config = server.url.parse()?;
        if let Some(password) = server.password.as_ref().filter(|_| config.get_password().is_none()) {
            config.password(password);
        }
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if encrypted(&config) {
            config.ssl_mode(SslMode::Require);
            Manager::from_config(config, MakeRustlsConnect::new(tls()?), recycling)
        } else {
            Manager::from_config(config, NoTls, recycling)
        };
        let prepare = Hook::async_fn(|client, _| {
            Box::pin(
                async move { client.batch_execute(PREPARE_CONNECTION).await.map_err(HookError::Backend) },
            )
        });
        let timeouts = Timeouts { wait: Some(PATIENCE), create: Some(PATIENCE), recycle: Some(PATIENCE) };
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .post_create(prepare)
            .build()
            .map_err(|e| StoreError::Postgres(e.to_string()))?;
        let runtime = Handle::try_current().map_err(|e| StoreError::Postgres(e.to_string()))?;
        let turns = Turns(std::array::from_fn(|_| Arc::new(Semaphore::new(1))));
        let postgres = Self(Arc::new(Shared { pool, runtime, turns }));
        postgres.check_order()?;
        postgres.migrate()?;
        Ok(postgres)
    }

    /// Reads on this thread. All statements see the same state.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let session = Session::new(&self.0, READ);
        let result = work(&Sql::Postgres(&session));
        session.end_without_waiting(result.is_ok());
        result
    }

    /// Writes on this thread, in one transaction, as often as it takes.
    pub(super) fn write<T>(&self, work: impl Fn(&Sql<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let (started, mut pause) = (Instant::now(), Duration::from_millis(1));
        loop {
            let result = self.write_once(&work);
            let again = result.as_ref().is_err_and(StoreError::is_worth_another_try);
            if !again {
                return result;
            }
            if started.elapsed() >= PATIENCE {
                return Err(StoreError::Busy);
            }
            std::thread::sleep(pause.mul_f64(jitter()));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn write_once<T>(&self, work: impl Fn(&Sql<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let session = Session::new(&self.0, WRITE);
        match work(&Sql::Postgres(&session)) {
            Ok(done) => session.commit().map(|()| done),
            Err(error) => {
                session.end_without_waiting(false);
                Err(error)
            }
        }
    }

    /// Lists are in the order of bytes, as in SQLite: a database that sorts by the rules of a language has another.
    fn check_order(&self) -> Result<(), StoreError> {
        let bytewise = self.read(|sql| {
            let select =
                "SELECT 1 FROM (SELECT 'B' AS a, 'a' AS b) AS two WHERE a < b AND '-a' < '-b' AND '-b' < 'a'";
            sql.exists(select, &[])
        })?;
        if bytewise { Ok(()) } else { Err(StoreError::Order) }
    }

    /// Applies what is missing, one transaction each. Of two processes that start at once one waits for, or is refused
    /// by, the row that the other writes first, and looks again.
    fn migrate(&self) -> Result<(), StoreError> {
        let make = "CREATE TABLE IF NOT EXISTS migrations (version bigint NOT NULL PRIMARY KEY)";
        loop {
            match self.script(make) {
                Err(error) if error.is_race_to_create() => {}
                made => break made?,
            }
        }
        loop {
            let select = "SELECT coalesce(max(version), 0) FROM migrations";
            let applied = self.read(|sql| sql.first(select, &[], |row| row.number(0)))?.unwrap_or(0);
            let index = usize::try_from(applied).unwrap_or(usize::MAX);
            if index > MIGRATIONS.len() {
                return Err(StoreError::TooNew(i64::try_from(applied).unwrap_or(i64::MAX)));
            }
            let Some(migration) = MIGRATIONS.get(index) else { return Ok(()) };
            let next = applied + 1;
            let script =
                format!("{WRITE}; INSERT INTO migrations (version) VALUES ({next});\n{migration};\nCOMMIT");
            match self.script(&script) {
                Err(error) if error.is_race_to_create() || error.is_worth_another_try() => {}
                applied => applied?,
            }
        }
    }

    fn script(&self, text: &str) -> Result<(), StoreError> {
        self.0.runtime.block_on(async {
            let connection = self.0.pool.get().await.map_err(no_connection)?;
            let done = connection.batch_execute(text).await;
            if done.is_err() {
                drop(Object::take(connection)); // it may be inside a transaction
            }
            Ok(done?)
        })
    }
}

/// Writers of the same thing take turns inside this process. Together they would undo each other's transactions: of all
/// that are under way only one could be committed.
struct Turns([Arc<Semaphore>; 64]);

impl Turns {
    /// Waits for the turn of a transaction that begins with these values. What it is about is the first text: the folder
    /// or device or user that it looks up. A guess that is wrong costs time, nothing else.
    async fn take(&self, values: &[Value<'_>]) -> Option<OwnedSemaphorePermit> {
        let about = values.iter().find_map(|value| match value {
            Value::Text(text) => Some(text.as_ref()),
            _ => None,
        })?;
        let mut hasher = DefaultHasher::new();
        about.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % 64).unwrap_or(0);
        Arc::clone(&self.0[at]).acquire_owned().await.ok()
    }
}

/// One transaction. It begins with the first statement: both go out together, for a way to the server and back costs
/// more than most statements.
pub(super) struct Session {
    postgres: Arc<Shared>,
    begin: &'static str,
    /// `None` before the first statement.
    begun: OnceCell<Begun>,
}

struct Begun {
    connection: Object,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Session {
    fn new(postgres: &Arc<Shared>, begin: &'static str) -> Self {
        Self { postgres: Arc::clone(postgres), begin, begun: OnceCell::new() }
    }

    /// All rows of a query.
    pub(super) fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.run(sql, values, &async |connection, statement, values| {
            connection.query(statement, values).await
        })
    }

    /// Executes a statement; returns how many rows it changed.
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.run(sql, values, &async |connection, statement, values| {
            connection.execute(statement, values).await
        })
    }

    fn run<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        work: &impl AsyncFn(&Object, &Statement, &[&(dyn ToSql + Sync)]) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let parameters: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.postgres.runtime.block_on(async {
            if let Some(Begun { connection, .. }) = self.begun.get() {
                let statement = connection.prepare_cached(sql).await?;
                return Ok(work(connection, &statement, &parameters).await?);
            }
            // The turn first: who waits for it holds no connection.
            let turn = if self.begin == WRITE { self.postgres.turns.take(values).await } else { None };
            let connection = self.postgres.pool.get().await.map_err(no_connection)?;
            let statement = connection.prepare_cached(sql).await?;
            let Begun { connection, .. } = self.begun.get_or_init(|| Begun { connection, _turn: turn });
            // Requests go out in the order in which they are first polled.
            let (begun, done) = tokio::join!(
                biased;
                connection.batch_execute(self.begin),
                work(connection, &statement, &parameters)
            );
            begun?;
            Ok(done?)
        })
    }

    fn commit(mut self) -> Result<(), StoreError> {
        let Some(Begun { connection, .. }) = self.begun.take() else { return Ok(()) };
        match self.postgres.runtime.block_on(connection.batch_execute("COMMIT")) {
            Ok(()) => Ok(()),
            Err(error) => {
                drop(Object::take(connection));
                // Without an answer from the server nobody knows whether it is done: it must not be done again.
                Err(if error.code().is_some() {
                    error.into()
                } else {
                    StoreError::Unknown(error.to_string())
                })
            }
        }
    }

    /// Sends the end of a transaction whose outcome is known; whoever uses the connection next comes after it.
    fn end_without_waiting(mut self, well: bool) {
        let Some(Begun { connection, .. }) = self.begun.take() else { return };
        let end = if well { "COMMIT" } else { "ROLLBACK" };
        let mut ending = Box::pin(async move { connection.batch_execute(end).await });
        // The first poll sends it; an answer that nobody waits for is dropped.
        self.postgres.runtime.block_on(std::future::poll_fn(|context| {
            let _sent = ending.as_mut().poll(context);
            Poll::Ready(())
        }));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The work panicked: nobody else must come into its transaction.
        if let Some(Begun { connection, .. }) = self.begun.take() {
            drop(Object::take(connection));
        }
    }
}

impl StoreError {
    /// Whether the transaction was undone for what others did at the same time.
    fn is_worth_another_try(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        match error.code() {
            Some(code) => [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::ADMIN_SHUTDOWN,
            ]
            .contains(code),
            None => error.is_closed(), // before COMMIT was sent: after it, the error is `Unknown`
        }
    }

    /// Whether another process made the same thing first. `CREATE .. IF NOT EXISTS` has this race in PostgreSQL.
    fn is_race_to_create(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        error.code().is_some_and(|code| {
            [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT].contains(code)
        })
    }
}

/// Numbers and text, as the columns of this crate are.
impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(value) if *kind == Type::INT4 => i32::try_from(*value)?.to_sql(kind, out),
            Self::Integer(value) => value.to_sql_checked(kind, out),
            Self::Text(text) => text.as_ref().to_sql_checked(kind, out),
        }
    }

    accepts!(INT4, INT8, TEXT, VARCHAR);
    to_sql_checked!();
}

fn no_connection(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => error.into(),
        error => StoreError::Postgres(error.to_string()),
    }
}

/// What happened: the error itself only says where.
pub(super) fn text_of(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Whether to encrypt: always, except to this machine or where the URL says `sslmode=disable`.
fn encrypted(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    match config.get_ssl_mode() {
        SslMode::Disable => false,
        SslMode::Prefer => !config.get_hosts().iter().all(local),
        _ => true,
    }
}

/// Trusts whom the system trusts; `SSL_CERT_FILE` names others.
fn tls() -> Result<rustls::ClientConfig, StoreError> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let failed = |e: rustls::Error| StoreError::Postgres(e.to_string());
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    Ok(builder.with_platform_verifier().map_err(failed)?.with_no_client_auth())
}

/// From 0.5 to 1.5, so that those who failed together do not try again together.
fn jitter() -> f64 {
    let [byte] = draw::<1>(&mut OsEntropy);
    0.5 + f64::from(byte) / 255.0
}
