//! PostgreSQL.

use core::{fmt, future::Future, str::FromStr, time::Duration};

use sqlx::{
    Connection, Executor, PgConnection, PgPool,
    pool::{PoolConnection, PoolConnectionMetadata},
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    database::{Database, Transaction},
    error::StoreError,
    migrations::migrations,
    query::{Query, Row},
    sql::{self, Dialect},
    store::PostgresStore,
};

/// A PostgreSQL server with keys.
#[derive(Clone)]
pub struct Postgres {
    pool: PgPool,
}

impl PostgresStore {
    /// Connects to the primary server, and brings the tables up to date.
    ///
    /// The tables are made in the first schema of the search path, which the URL may set:
    /// `?options[search_path]=keys`.
    ///
    /// # Errors
    ///
    /// - [`StoreError::Database`] if the URL is none, or nobody answers there.
    /// - [`StoreError::Migrate`] if its tables are not those of this or an earlier version.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(StoreError::Database)?;
        migrate(options.clone()).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            // sqlx would ask a connection whether it lives each time; one that lived a moment ago is not asked.
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| Box::pin(is_alive(connection, metadata)))
            .after_connect(|connection, _| Box::pin(prepare(connection)))
            .connect_with(options.options(SETTINGS))
            .await
            .map_err(StoreError::Database)?;
        Ok(Self::new(Postgres { pool }))
    }
}

/// Runs the migrations on a connection of their own: they hold an advisory lock, for which others may have to wait
/// longer than a statement otherwise may, and closing the connection frees it whatever happens.
async fn migrate(options: PgConnectOptions) -> Result<(), StoreError> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT);
    let pool = pool.connect_with(options).await.map_err(StoreError::Database)?;
    let done = timeout(MIGRATE, migrations!("postgres").run(&pool)).await;
    // A lock that is still waited for ends with the connection; nobody has to wait for that.
    drop(timeout(CONNECT, pool.close()).await);
    done.map_err(|_| StoreError::TimedOut)?.map_err(StoreError::Migrate)
}

/// A server may be set up to acknowledge before it has written; keys are not lost that way. What waits for more than
/// the local disk stays as it is.
async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') = 'off'";
    connection.execute(sql).await.map(drop)
}

/// Lets the pool replace a connection that broke while nobody used it.
async fn is_alive(connection: &mut PgConnection, metadata: PoolConnectionMetadata) -> Result<bool, sqlx::Error> {
    if metadata.idle_for >= FRESH {
        // Late is an error too: the pool then drops the connection, and does not say goodbye to nobody.
        timeout(FRESH, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    }
    Ok(true)
}

impl Postgres {
    /// Takes a connection out of the pool, in a task of its own: a caller who goes away in the midst of this would leave
    /// a session that is opened, or asked whether it lives, to be opened again for the next one.
    async fn lease(&self) -> Result<Lease, StoreError> {
        let pool = self.pool.clone();
        let lease = tokio::spawn(async move { pool.acquire().await.map(Lease::new) }).await;
        // A task that does not end is one of a runtime that does.
        lease.unwrap_or(Err(sqlx::Error::PoolClosed)).map_err(StoreError::Database)
    }

    async fn run(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.lease().await?.run(query, deadline()).await
    }
}

fn deadline() -> Instant {
    let now = Instant::now();
    now.checked_add(ANSWER).unwrap_or(now)
}

/// A connection that goes back to the pool when the call ends, and also where its caller goes away.
///
/// The pool takes a connection back when the server has answered on it, and waits for that without bound. While the
/// server is out of reach, each call that ended, timed out or was given up would leave the pool with one less.
struct Lease {
    /// There until this is dropped.
    connection: Option<PoolConnection<sqlx::Postgres>>,
    is_in_transaction: bool,
}

impl Lease {
    const fn new(connection: PoolConnection<sqlx::Postgres>) -> Self {
        Self { connection: Some(connection), is_in_transaction: false }
    }

    fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        let connection = self.connection.as_deref_mut();
        connection.ok_or(StoreError::Database(sqlx::Error::PoolClosed))
    }

    async fn run(&mut self, query: Query, deadline: Instant) -> Result<Vec<Row>, StoreError> {
        let rows: Vec<PgRow> = bounded(deadline, query.bound().fetch_all(self.connection()?)).await?;
        Ok(rows.iter().map(Row::new).collect())
    }

    async fn say(&mut self, statement: &'static str, deadline: Instant) -> Result<(), StoreError> {
        bounded(deadline, self.connection()?.execute(statement)).await.map(drop)
    }
}

async fn bounded<T>(deadline: Instant, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    // The server ends statements by itself. This is for when it is out of reach.
    timeout_at(deadline, answer).await.map_err(|_| StoreError::TimedOut)?.map_err(StoreError::Database)
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(give_back(connection, self.is_in_transaction))),
            Err(_) => drop(connection.detach()),
        }
    }
}

/// Undoes what was not committed, and gives the connection back; one on which the server does not answer is dropped.
async fn give_back(mut connection: PoolConnection<sqlx::Postgres>, is_in_transaction: bool) {
    // sqlx first reads the answers that somebody who went away did not wait for.
    if is_in_transaction && !matches!(timeout(FRESH, connection.execute("ROLLBACK")).await, Ok(Ok(_))) {
        drop(connection.detach());
        return;
    }
    // Hidden in the documentation of sqlx; its own drop spawns this, without a bound. The connection is in the future
    // now: where that ends early, the pool has room for another one.
    drop(timeout(FRESH, connection.return_to_pool()).await);
}

/// A transaction, with one bound for all of it.
pub(crate) struct Open {
    lease: Lease,
    deadline: Instant,
}

impl Transaction for Open {
    async fn run(&mut self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.lease.run(query, self.deadline).await
    }

    async fn commit(mut self) -> Result<(), StoreError> {
        self.lease.say("COMMIT", self.deadline).await?;
        self.lease.is_in_transaction = false;
        Ok(())
    }
}

impl Database for Postgres {
    const SQL: Dialect = sql::POSTGRES;

    type Transaction = Open;

    async fn read(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.run(query).await
    }

    async fn write(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.run(query).await
    }

    async fn begin(&self) -> Result<Open, StoreError> {
        let mut open = Open { lease: self.lease().await?, deadline: deadline() };
        // Before it is said: one who goes away meanwhile leaves a transaction that is begun. That of sqlx does not undo it
        // then, and the next one to get the connection would be in it.
        open.lease.is_in_transaction = true;
        open.lease.say("BEGIN", open.deadline).await?;
        Ok(open)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}

/// The server's side of the bounds, and the isolation that the statements are written for.
const SETTINGS: [(&str, &str); 4] = [
    ("default_transaction_isolation", "read committed"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("lock_timeout", "2s"),
    ("statement_timeout", "3s"),
];
/// How long to wait for a connection, new or from the pool.
const CONNECT: Duration = Duration::from_secs(2);
/// How long to wait for an answer: a little longer than the server works on it.
const ANSWER: Duration = Duration::from_secs(4);
const MIGRATE: Duration = Duration::from_secs(60);
/// For how long an idle connection is taken to live, and how long it may take to give one back.
const FRESH: Duration = Duration::from_secs(1);
const CONNECTIONS: u32 = 10;
