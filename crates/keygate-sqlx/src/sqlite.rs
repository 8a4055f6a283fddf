//! SQLite.

use core::{fmt, num::NonZeroU32, time::Duration};
use std::{
    fs, io,
    path::{self, Path},
    sync::Arc,
};

use sqlx::{
    AssertSqlSafe, Connection, Executor, SqliteExecutor, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    database::{Database, Transaction},
    error::{OpenError, Place, StoreError},
    query::{Query, Row},
    schema::Part,
    settings::{Settings, TablePrefix},
    sql::{self, Dialect},
};

/// An SQLite file: one connection that writes, since SQLite has one writer at a time, and some that read meanwhile.
/// Stores and directories share them; clones are the same connections.
///
/// Writers of one process queue for the connection, in turn; those of other processes wait with the busy handler.
#[derive(Clone)]
pub struct Sqlite {
    readers: SqlitePool,
    writer: SqlitePool,
    /// Whether the pools are the service's own, so that [`Sqlite::close`] does not close them.
    is_shared: bool,
    place: Place,
    settings: Arc<Settings>,
}

impl Sqlite {
    /// Opens an existing file.
    ///
    /// It gets a write-ahead log. A file with tables of which none is ours stays as it is, until it is opened after a
    /// migration.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NoFile`] if it does not exist.
    /// - [`OpenError::Store`] if it cannot be opened, or others keep it locked.
    pub async fn open(path: impl AsRef<Path>, settings: Settings) -> Result<Self, OpenError> {
        let path = path.as_ref();
        match fs::metadata(path) {
            Ok(_) => Self::connect(path, settings, false).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::NoFile(path.into())),
            Err(source) => Err(OpenError::File { path: path.into(), source }),
        }
    }

    /// Opens a file, and creates it without tables if it does not exist. A path is a path: `:memory:` is a file of that
    /// name.
    ///
    /// The file gets a write-ahead log. Only its user can read a file that this creates, on systems with such a mode;
    /// SQLite gives the files next to it the same mode.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NoFolder`] if the folder that it would be in does not exist.
    /// - [`OpenError::File`] if it cannot be made, or is a folder.
    /// - [`OpenError::Store`] if it cannot be opened, or others keep it locked.
    pub async fn create(path: impl AsRef<Path>, settings: Settings) -> Result<Self, OpenError> {
        let path = path.as_ref();
        make(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::NoFolder(path.into()),
            _ => OpenError::File { path: path.into(), source },
        })?;
        Self::connect(path, settings, true).await
    }

    async fn connect(path: &Path, settings: Settings, is_ours: bool) -> Result<Self, OpenError> {
        if path.is_dir() {
            return Err(OpenError::File { path: path.into(), source: io::ErrorKind::IsADirectory.into() });
        }
        let place = Place::new(format!("SQLite file `{}`", path.display()));
        // SQLite takes a name that begins with `file:` for an address, and another one for memory; none begins with a
        // slash.
        let path = path::absolute(path).map_err(|source| OpenError::File { path: path.into(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(settings.answer_limit)
            .foreign_keys(true)
            // NORMAL would leave a commit to the next checkpoint: a power cut could take back a revoke. Without a
            // write-ahead log, FULL would leave the last one to the next sync of the folder.
            .synchronous(SqliteSynchronous::Extra);
        let failed = |error| place.failed(error);
        let writer = connect_writer(&options, &settings, is_ours).await.map_err(failed)?;
        let readers = pool(settings.max_connections.map_or(READERS, NonZeroU32::get), &settings);
        let readers = readers.connect_with(options.pragma("query_only", "ON")).await.map_err(failed)?;
        Ok(Self { readers, writer, is_shared: false, place, settings: settings.into() })
    }

    /// Uses a pool of the service's own. It stays the service's: [`Sqlite::close`] does not close it.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NotDurable`] if its connections do not have `synchronous = FULL` or `EXTRA`, or no journal in a
    ///   file, as a database in memory. For tests there is `keygate::MemoryStore`, or a file in a temporary folder.
    /// - [`OpenError::Store`] if the database failed.
    pub async fn from_pool(pool: SqlitePool, settings: Settings) -> Result<Self, OpenError> {
        let place = Place::new(format!("SQLite file `{}`", pool.connect_options().get_filename().display()));
        let failed = |error| place.failed(error);
        let level: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&pool).await.map_err(failed)?;
        // Of a database in memory, this is `memory`.
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&pool).await.map_err(failed)?;
        if level < FULL || ["memory", "off"].contains(&&*journal) {
            return Err(OpenError::NotDurable(place));
        }
        Ok(Self { readers: pool.clone(), writer: pool, is_shared: true, place, settings: settings.into() })
    }

    /// Returns a reference to the pool whose connection writes, for tables of the service's own in the same file.
    ///
    /// All changes of keys wait for the same connection, so transactions there should be short.
    #[must_use]
    pub const fn pool(&self) -> &SqlitePool {
        &self.writer
    }

    /// Closes the connections, and leaves one file that is a whole copy, unless another process has it open. What is
    /// closed stays as it is.
    ///
    /// # Errors
    ///
    /// If the log next to the file cannot be written into it: [`StoreError::TimedOut`] if somebody else reads or writes
    /// the file meanwhile. Nothing is lost then: the next connection to the file reads the log.
    pub async fn close(&self) -> Result<(), StoreError> {
        if self.is_shared || self.writer.is_closed() {
            return Ok(());
        }
        let limit = self.settings.answer_limit;
        // Those who read first: the last one to close takes the log away, and must be able to write.
        drop(timeout(limit, self.readers.close()).await);
        // The first column is 1 where others kept it from the end.
        let checkpoint = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.writer);
        let answer = timeout(limit, checkpoint).await;
        drop(timeout(limit, self.writer.close()).await);
        match answer {
            Ok(Ok(false)) => Ok(()),
            Ok(Err(error)) => Err(self.explain(error)),
            Ok(Ok(true)) | Err(_) => Err(StoreError::TimedOut(self.place.clone())),
        }
    }
}

impl Sqlite {
    /// Ends a statement that takes too long, which would keep a thread and a connection from others, even if nobody
    /// waits for it any more.
    async fn read_in_time(&self, query: Query) -> Result<Vec<Row>, sqlx::Error> {
        let mut connection = self.readers.acquire().await?;
        let (started, limit) = (Instant::now(), self.settings.answer_limit);
        // It stays where nobody waits for the end, so this is no way for connections of the service.
        connection.lock_handle().await?.set_progress_handler(STEPS, move || started.elapsed() < limit);
        let answer = rows(&mut *connection, query, self.prefix()).await;
        connection.lock_handle().await?.remove_progress_handler();
        answer
    }

    /// Names the file, and says that the time is over where a lock was waited for, or a search ended.
    fn explain(&self, error: sqlx::Error) -> StoreError {
        match (&error, code(&error)) {
            // The connections of this process wait for each other here, and for others in SQLite.
            (sqlx::Error::PoolTimedOut, _) | (_, Some(BUSY | INTERRUPTED)) => StoreError::TimedOut(self.place.clone()),
            _ => self.place.failed(error),
        }
    }
}

/// Makes an empty file, which is a database without tables; a file that is there stays as it is.
fn make(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A connection to a file does not age, so none is asked whether it lives.
///
/// Where the disk is full or fails, SQLite undoes the transaction by itself, and sqlx counts it still: it would begin
/// no other one on that connection. So that is given up, and another one is opened.
fn pool(connections: u32, settings: &Settings) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(settings.connect_limit.max(settings.answer_limit))
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .before_acquire(|connection, _| Box::pin(core::future::ready(Ok(!connection.is_in_transaction()))))
}

/// Opens the connection that writes, and switches the file to a write-ahead log, which it then keeps. Two that do so at
/// once get in each other's way, and SQLite does not wait there, so that is done here.
async fn connect_writer(
    options: &SqliteConnectOptions,
    settings: &Settings,
    is_ours: bool,
) -> Result<SqlitePool, sqlx::Error> {
    let started = Instant::now();
    loop {
        let connect = async {
            let writer = pool(1, settings).connect_with(options.clone()).await?;
            if is_ours || has_no_others_tables(&writer, &settings.prefix).await? {
                writer.execute("PRAGMA journal_mode = WAL").await?;
            }
            Ok(writer)
        };
        match connect.await {
            Err(error) if code(&error) == Some(BUSY) && started.elapsed() < settings.answer_limit => sleep(RETRY).await,
            answer => return answer,
        }
    }
}

/// Returns `true` if a file is empty, or has tables of ours.
async fn has_no_others_tables(at: &SqlitePool, prefix: &TablePrefix) -> Result<bool, sqlx::Error> {
    let sql = "SELECT count(*) = 0 OR count(*) FILTER (WHERE name = $1) > 0 FROM sqlite_schema";
    sqlx::query_scalar(sql).bind(format!("{prefix}schema")).fetch_one(at).await
}

impl Database for Sqlite {
    const SQL: Dialect = sql::SQLITE;
    const KEYS: Part = Part::new("keys", &[include_str!("../migrations/sqlite/keys/0001.sql")]);
    #[cfg(feature = "directory")]
    const DIRECTORY: Part = Part::new("directory", &[include_str!("../migrations/sqlite/directory/0001.sql")]);

    type Transaction = Open;

    fn place(&self) -> &Place {
        &self.place
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn read(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        let is_interrupted = |error: &sqlx::Error| code(error) == Some(INTERRUPTED);
        // A key is found in no time, and is asked for with each request. The bound of a search that nobody waited for
        // may still be there, and end it.
        let is_find = query.is(sql::SQLITE.reads.find);
        let answer = if self.is_shared || is_find {
            let answer = if is_find {
                one_row(&self.readers, query.clone(), self.prefix()).await
            } else {
                rows(&self.readers, query.clone(), self.prefix()).await
            };
            match answer {
                Err(error) if !self.is_shared && is_interrupted(&error) => self.read_in_time(query).await,
                answer => answer,
            }
        } else {
            self.read_in_time(query).await
        };
        answer.map_err(|error| self.explain(error))
    }

    async fn begin(&self, _limit: Option<Duration>) -> Result<Open, StoreError> {
        // Not a plain BEGIN: what was read would be of before the lock, and the first change would be refused.
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.explain(error))?;
        Ok(Open { transaction, place: self.place.clone(), prefix: self.settings.prefix.clone() })
    }
}

/// A transaction that has the file's one lock for writing. sqlx undoes it if it is dropped, and the connection goes
/// back after that.
pub(crate) struct Open {
    transaction: sqlx::Transaction<'static, sqlx::Sqlite>,
    place: Place,
    prefix: TablePrefix,
}

impl Transaction for Open {
    async fn run(&mut self, query: Query) -> Result<Vec<Row>, StoreError> {
        rows(&mut *self.transaction, query, &self.prefix).await.map_err(|error| self.place.failed(error))
    }

    async fn run_file(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let statements = sqlx::raw_sql(AssertSqlSafe(self.prefix.apply(sql)));
        self.transaction.execute(statements).await.map(drop).map_err(|error| self.place.failed(error))
    }

    async fn commit(self) -> Result<(), StoreError> {
        let Self { transaction, place, .. } = self;
        transaction.commit().await.map_err(|error| place.failed(error))
    }
}

/// Fetches all rows, also where one is enough: SQLite commits a statement when it is asked for the row after the last,
/// and a commit that fails must be heard of.
async fn rows<'c>(at: impl SqliteExecutor<'c>, query: Query, prefix: &TablePrefix) -> Result<Vec<Row>, sqlx::Error> {
    let rows: Vec<SqliteRow> = query.bound(prefix).fetch_all(at).await?;
    Ok(rows.iter().map(Row::new).collect())
}

/// Fetches the only row that there can be, of a statement that has nothing to commit: the thread that has the
/// connection need not be waited for a second time.
async fn one_row<'c>(at: impl SqliteExecutor<'c>, query: Query, prefix: &TablePrefix) -> Result<Vec<Row>, sqlx::Error> {
    let row: Option<SqliteRow> = query.bound(prefix).fetch_optional(at).await?;
    Ok(row.iter().map(Row::new).collect())
}

/// Returns what SQLite answered, without what an extended form adds to it.
fn code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.map(|code| code & 0xff)
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("place", &self.place).finish_non_exhaustive()
    }
}

const RETRY: Duration = Duration::from_millis(20);
/// Each is a thread; reading is mostly from memory.
const READERS: u32 = 4;
/// Some hundred microseconds.
const STEPS: i32 = 10_000;
const BUSY: u32 = 5;
const INTERRUPTED: u32 = 9;
/// How SQLite writes `synchronous = FULL`.
const FULL: i64 = 2;
