//! SQLite.

use core::{fmt, time::Duration};
use std::{fs, path::Path};

use sqlx::{
    SqliteExecutor, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::time::{Instant, sleep};

use crate::{
    database::{Database, Transaction},
    error::StoreError,
    migrations::migrations,
    query::{Query, Row},
    sql::{self, Dialect},
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
    /// A file that it makes is for its user alone, on systems that have such a mode; SQLite gives the files that it puts
    /// beside it the same mode.
    ///
    /// # Errors
    ///
    /// - [`StoreError::Database`] if the file cannot be opened, or others keep it locked.
    /// - [`StoreError::Migrate`] if its tables are not those of this or an earlier version.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        make(path).map_err(|error| StoreError::Database(sqlx::Error::Io(error)))?;
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
        let readers =
            pool(READERS).connect_with(options.pragma("query_only", "ON")).await.map_err(StoreError::Database)?;
        Ok(Self::new(Sqlite { readers, writer }))
    }
}

/// Makes an empty file, which is a database without tables; a file that is there stays as it is.
fn make(path: &Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A connection to a file neither ages nor breaks, so none is asked whether it lives, and none is opened again.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// Opens the connection that writes. Two that switch a new file to a write-ahead log at once get in each other's way,
/// and SQLite does not wait there, so that is done here.
async fn connect(options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let started = Instant::now();
    loop {
        match pool(1).connect_with(options.clone()).await {
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
    const SQL: Dialect = sql::SQLITE;

    type Transaction = Open;

    async fn read(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        rows(&self.readers, query).await
    }

    async fn write(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        rows(&self.writer, query).await
    }

    async fn begin(&self) -> Result<Open, StoreError> {
        // Not a plain BEGIN: what was read would be of before the lock, and the first change would be refused.
        self.writer.begin_with("BEGIN IMMEDIATE").await.map(Open).map_err(StoreError::Database)
    }
}

/// A transaction that has the file's one lock for writing. sqlx undoes it if it is dropped, and the connection goes back
/// after that.
pub(crate) struct Open(sqlx::Transaction<'static, sqlx::Sqlite>);

impl Transaction for Open {
    async fn run(&mut self, query: Query) -> Result<Vec<Row>, StoreError> {
        rows(&mut *self.0, query).await
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.0.commit().await.map_err(StoreError::Database)
    }
}

/// Fetches all rows, also where one is enough: SQLite commits a statement when it is asked for the row after the last,
/// and a commit that fails must be heard of.
async fn rows<'c>(at: impl SqliteExecutor<'c>, query: Query) -> Result<Vec<Row>, StoreError> {
    let rows: Vec<SqliteRow> = query.bound().fetch_all(at).await.map_err(StoreError::Database)?;
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
