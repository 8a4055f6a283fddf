//! SQLite.

use core::{fmt, time::Duration};
use std::path::Path;

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::time::{Instant, sleep};

use crate::{
    database::Database,
    error::StoreError,
    migrations::migrations,
    query::{Query, Row},
    store::SqliteStore,
};

/// A file with keys: one connection that writes, since SQLite has one writer at a time, and some that read meanwhile.
///
/// Writers of one process queue for the connection, in turn; those of other processes wait with the busy handler.
#[derive(Clone)]
pub struct Sqlite {
    readers: SqlitePool,
    writer: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, makes it if it is not there, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// - [`StoreError::Database`] if the file cannot be opened, or others keep it locked.
    /// - [`StoreError::Migrate`] if its tables are not those of this or an earlier version.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(PATIENCE)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL would leave a commit to the next checkpoint: a power cut could take back a revoke.
            .synchronous(SqliteSynchronous::Full);
        let writer = connect(options.clone()).await?;
        migrate(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(PATIENCE)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(StoreError::Database)?;
        Ok(Self::new(Sqlite { readers, writer }))
    }
}

/// Opens the connection that writes. Two that switch a new file to a write-ahead log at once get in each other's way,
/// and SQLite does not wait there, so that is done here.
async fn connect(options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let started = Instant::now();
    loop {
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        match pool.connect_with(options.clone()).await {
            Err(error) if is_busy(&error) && started.elapsed() < PATIENCE => sleep(RETRY).await,
            answer => return answer.map_err(StoreError::Database),
        }
    }
}

/// SQLite's migrator of sqlx takes no lock. In one transaction that writes from the start, the second process to come
/// waits for the first and then finds nothing to do.
async fn migrate(writer: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::Database)?;
    // Hidden in the documentation of sqlx: with `run`, which only calls it, this future would not be `Send`.
    migrations!("sqlite").run_direct(None, &mut *transaction, false).await.map_err(StoreError::Migrate)?;
    transaction.commit().await.map_err(StoreError::Database)
}

impl Database for Sqlite {
    // There is one writer at a time, so no order in which rows are locked.
    const REVOKE_ALL: &'static str = "UPDATE keygate_keys SET status = 'revoked', revoked_at = $3 \
         WHERE owner_kind = $1 AND owner_id = $2 AND status <> 'revoked' RETURNING id";

    async fn read(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        rows(&self.readers, query).await
    }

    async fn write(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        rows(&self.writer, query).await
    }

    async fn write_all(&self, queries: Vec<Query>) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::Database)?;
        for query in queries {
            query.bound().execute(&mut *transaction).await.map_err(StoreError::Database)?;
        }
        transaction.commit().await.map_err(StoreError::Database)
    }
}

/// Fetches all rows, also where one is enough: SQLite commits a statement when it is asked for the row after the last,
/// and a commit that fails must be heard of.
async fn rows(pool: &SqlitePool, query: Query) -> Result<Vec<Row>, StoreError> {
    let rows: Vec<SqliteRow> = query.bound().fetch_all(pool).await.map_err(StoreError::Database)?;
    Ok(rows.iter().map(Row::new).collect())
}

fn is_busy(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY and its extended forms have 5 in the lowest byte.
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

/// How long to wait for a lock that another holds, or for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);
/// Each is a thread; reading is mostly from memory.
const READERS: u32 = 4;
