//! PostgreSQL.

use core::{fmt, future::Future, str::FromStr, time::Duration};

use sqlx::{
    Connection, Executor, PgConnection, PgPool,
    pool::{PoolConnection, PoolConnectionMetadata},
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    database::Database,
    error::StoreError,
    migrations::migrations,
    query::{Query, Row},
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
    async fn lease(&self) -> Result<Lease, StoreError> {
        let connection = self.pool.acquire().await.map_err(StoreError::Database)?;
        Ok(Lease { connection, is_idle: false })
    }

    async fn run(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        let mut lease = self.lease().await?;
        let answer: Result<Vec<PgRow>, _> = bounded(query.bound().fetch_all(&mut *lease.connection)).await;
        // A conflict, such as that of a name that is taken, is an answer as well.
        lease.is_idle = matches!(&answer, Ok(_) | Err(StoreError::Database(sqlx::Error::Database(_))));
        Ok(answer?.iter().map(Row::new).collect())
    }
}

async fn bounded<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    // The server ends statements by itself. This is for when it is out of reach.
    timeout(ANSWER, answer).await.map_err(|_| StoreError::TimedOut)?.map_err(StoreError::Database)
}

/// A connection that goes back to the pool if it is idle, and is dropped if it is not.
///
/// The pool takes a connection back when the server has answered on it, and waits for that without bound. While the
/// server is out of reach, each call that ended, timed out or was given up would leave the pool with one less.
struct Lease {
    connection: PoolConnection<sqlx::Postgres>,
    is_idle: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Hidden in the documentation of sqlx; its own drop spawns this, without a bound. The connection is in the
        // future now: where that ends early, the pool has room for another one.
        let return_to_pool = self.connection.return_to_pool();
        match Handle::try_current() {
            Ok(runtime) if self.is_idle => drop(runtime.spawn(timeout(FRESH, return_to_pool))),
            _ => drop(return_to_pool),
        }
    }
}

impl Database for Postgres {
    // Rows are locked in the order of their ids, so that two that end the same keys do not wait for each other.
    const REVOKE_ALL: &'static str = "UPDATE keygate_keys SET status = 'revoked', revoked_at = $3 \
         WHERE status <> 'revoked' AND id = ANY (ARRAY(SELECT id FROM keygate_keys \
         WHERE owner_kind = $1 AND owner_id = $2 AND status <> 'revoked' ORDER BY id FOR UPDATE)) RETURNING id";

    async fn read(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.run(query).await
    }

    async fn write(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.run(query).await
    }

    async fn write_all(&self, queries: Vec<Query>) -> Result<(), StoreError> {
        let mut lease = self.lease().await?;
        bounded(async {
            let mut transaction = lease.connection.begin().await?;
            for query in queries {
                query.bound().execute(&mut *transaction).await?;
            }
            transaction.commit().await
        })
        .await?;
        lease.is_idle = true;
        Ok(())
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
/// For how long an idle connection is taken to live.
const FRESH: Duration = Duration::from_secs(1);
const CONNECTIONS: u32 = 10;
