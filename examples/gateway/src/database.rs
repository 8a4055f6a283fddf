//! Keys, events, users and the gateway's own tables, in one database: SQLite or PostgreSQL, chosen at the start.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use keygate::{
    CacheError, CachedStore, KeyId, KeyRecord, Membership, TeamId, TeamRole, UnixTime, UserId, UserStatus,
    store::{
        Answer, Batch, BoxedKeyManagementStore, ChangeFeed, Changes, Conflict, Directory, KeyChange, KeyLookup,
        KeyManagementStore, KeyStore, KeysOf, ListQuery, Logged, NewKey, Page, Remembered, Revision, RevokeAll,
        SecondLook, Touch,
    },
};
use keygate_sqlx::{
    LogQuery, LoggedEvent, OpenError, Postgres, PostgresDirectory, PostgresStore, Settings, Sqlite, SqliteDirectory,
    SqliteStore, StoreError,
};
use sqlx::{AssertSqlSafe, Connection as _, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::config::Storage;

/// One database or the other.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Postgres(PostgresStore, PostgresDirectory),
    Sqlite(SqliteStore, SqliteDirectory),
}

/// Calls the same of either store.
macro_rules! keys {
    ($database:expr, $store:ident => $call:expr) => {
        match $database {
            Database::Postgres($store, _) => $call.await,
            Database::Sqlite($store, _) => $call.await,
        }
    };
}

/// Calls the same of either directory.
macro_rules! users {
    ($database:expr, $directory:ident => $call:expr) => {
        match $database {
            Database::Postgres(_, $directory) => $call.await,
            Database::Sqlite(_, $directory) => $call.await,
        }
    };
}

/// Runs the same statement in either database, on a connection of its pool, in bounded time.
macro_rules! sql {
    ($database:expr, $connection:ident => $call:expr) => {
        match $database {
            $crate::database::Database::Postgres(store, _) => {
                $crate::database::bounded!(store.database().pool(), $connection => $call)
            }
            $crate::database::Database::Sqlite(store, _) => {
                $crate::database::bounded!(store.database().pool(), $connection => $call)
            }
        }
    };
}

/// A connection that does not answer is dropped, and does not go back to its pool: it would be waited for there.
macro_rules! bounded {
    ($pool:expr, $connection:ident => $call:expr) => {
        match $pool.acquire().await {
            Ok(mut held) => {
                let answer = {
                    let $connection = &mut *held;
                    tokio::time::timeout($crate::database::ANSWER, $call).await
                };
                answer.unwrap_or_else(|_| {
                    drop(held.detach());
                    Err(sqlx::Error::PoolTimedOut)
                })
            }
            Err(error) => Err(error),
        }
    };
}

/// Runs a statement that changes something, with what is bound to it, and returns how many rows it changed.
macro_rules! execute {
    ($database:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::database::sql!($database, connection => async {
            sqlx::query($sql)$(.bind($bind))*.execute(connection).await.map(|done| done.rows_affected())
        })
    };
}

pub(crate) use {bounded, execute, sql};

/// Why there is no database to start with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("the folder `{0}` cannot be made or read")]
    Folder(PathBuf, #[source] io::Error),
    #[error("`{0}` is a database of another program")]
    Foreign(PathBuf),
    #[error("another server uses the folder `{0}`")]
    InUse(PathBuf),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the tables of the gateway cannot be made")]
    Tables(#[from] sqlx::Error),
}

impl Database {
    /// Opens the database, and makes what is missing of its tables.
    pub(crate) async fn open(storage: &Storage) -> Result<Self, DatabaseError> {
        match storage {
            Storage::Folder(folder) => Self::open_file(folder).await,
            Storage::Postgres(url) => {
                let database = Postgres::connect(url, Settings::new()).await?;
                PostgresStore::migrate(&database).await?;
                PostgresDirectory::migrate(&database).await?;
                let mut transaction = database.pool().begin().await?;
                // Several nodes may start at once.
                transaction.execute("SELECT pg_advisory_xact_lock(8142607)").await?;
                transaction.execute(sqlx::raw_sql(TABLES)).await?;
                transaction.commit().await?;
                let (keys, users) = (PostgresStore::open(&database).await?, PostgresDirectory::open(&database).await?);
                Ok(Self::Postgres(keys, users))
            }
        }
    }

    async fn open_file(folder: &Path) -> Result<Self, DatabaseError> {
        make_folder(folder).map_err(|error| DatabaseError::Folder(folder.into(), error))?;
        let file = folder.join(FILE);
        // What cannot be read is told by the one who opens it.
        if file.exists() && is_foreign(&file).await.unwrap_or(false) {
            return Err(DatabaseError::Foreign(file));
        }
        let database = Sqlite::create(&file, Settings::new()).await?;
        SqliteStore::migrate(&database).await?;
        SqliteDirectory::migrate(&database).await?;
        database.pool().execute(sqlx::raw_sql(TABLES)).await?;
        Ok(Self::Sqlite(SqliteStore::open(&database).await?, SqliteDirectory::open(&database).await?))
    }

    /// Closes the connections, in bounded time. A file that is closed is whole without the log beside it.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store, _) => store.database().close().await,
            Self::Sqlite(store, _) => store.database().close().await?,
        }
        Ok(())
    }

    /// Reads a page of the log.
    pub(crate) async fn events(&self, query: &LogQuery) -> Result<Vec<LoggedEvent>, StoreError> {
        keys!(self, store => store.events(query))
    }

    /// Says that the history is another one from now on.
    pub(crate) async fn begin_new_life(&self) -> Result<(), StoreError> {
        keys!(self, store => store.begin_new_life())
    }

    /// Ends every session and link.
    pub(crate) async fn end_sessions(&self) -> Result<(), sqlx::Error> {
        for statement in ["DELETE FROM gateway_sessions", "DELETE FROM gateway_sign_in_links"] {
            execute!(self, statement)?;
        }
        Ok(())
    }

    /// Says what a user is in a team.
    pub(crate) async fn set_member(&self, user: &UserId, team: &TeamId, role: TeamRole) -> Result<(), StoreError> {
        users!(self, directory => directory.set_member(user, team, role))
    }

    /// Removes a user, whose keys open nothing from now on.
    pub(crate) async fn deprovision(&self, user: &UserId) -> Result<(), StoreError> {
        users!(self, directory => directory.deprovision(user))?;
        // No session of theirs, and no link for them or by them, opens anything from here on: each is of an incarnation
        // that is gone. So this only clears up, and a failure is no failure of the act.
        for statement in [
            "DELETE FROM gateway_sessions WHERE user_id = $1",
            "DELETE FROM gateway_sign_in_links WHERE user_id = $1 OR made_by = $1",
        ] {
            let cleared = execute!(self, statement, user.as_str());
            if let Err(error) = cleared {
                tracing::warn!(%error, "sessions of a user who left were not deleted");
            }
        }
        Ok(())
    }
}

/// Returns `false` if there is no file yet. Whether a server has its database is told by the one who connects.
pub(crate) fn is_there(storage: &Storage) -> bool {
    match storage {
        Storage::Folder(folder) => folder.join(FILE).exists(),
        Storage::Postgres(_) => true,
    }
}

/// Keeps other servers away from a folder, for as long as what is returned is open.
pub(crate) fn lock(storage: &Storage) -> Result<Option<File>, DatabaseError> {
    match storage {
        Storage::Folder(folder) => {
            make_folder(folder).map_err(|error| DatabaseError::Folder(folder.into(), error))?;
            lock_folder(folder).map(Some)
        }
        Storage::Postgres(_) => Ok(None),
    }
}

/// Makes the folder for this user alone. One that is there stays as it is.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Locks the folder for this process, until it ends in whatever way: each server takes the file for its own.
fn lock_folder(folder: &Path) -> Result<File, DatabaseError> {
    let failed = |error| DatabaseError::Folder(folder.into(), error);
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(folder.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DatabaseError::InUse(folder.into())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Returns `true` if the file has tables, and none of ours. It is only read.
async fn is_foreign(file: &Path) -> Result<bool, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let count =
        "SELECT count(*), count(*) FILTER (WHERE name = 'keygate_schema') FROM sqlite_schema WHERE type = 'table'";
    let (tables, ours): (i64, i64) = sqlx::query_as(count).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(tables > 0 && ours == 0)
}

const FILE: &str = "keygate.sqlite";
/// The text is in SQL that both databases read.
const TABLES: AssertSqlSafe<&str> = AssertSqlSafe(include_str!("tables.sql"));

impl KeyStore for Database {
    type Error = StoreError;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        STORE_LOOK_UPS.fetch_add(1, Ordering::Relaxed);
        // In a box, since it is large, and in the future of each request, also where the cache answers.
        Box::pin(async { keys!(self, store => store.find(id)) }).await
    }
}

impl KeyManagementStore for Database {
    type Receipt = Logged;

    async fn insert(&self, new: NewKey) -> Result<Result<Logged, Conflict>, StoreError> {
        keys!(self, store => store.insert(new))
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<Logged>, StoreError> {
        keys!(self, store => store.change(change))
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), StoreError> {
        keys!(self, store => store.touch(touches, now))
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, StoreError> {
        keys!(self, store => store.list(keys_of, query))
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<Logged>, StoreError> {
        keys!(self, store => store.revoke_all(revoke))
    }
}

impl ChangeFeed for Database {
    async fn changes_since(&self, since: Option<Revision>) -> Result<Changes, StoreError> {
        keys!(self, store => store.changes_since(since))
    }
}

/// Users are in the same database, and not cached here.
impl Directory for Database {
    type Error = StoreError;

    async fn user(&self, user: &UserId) -> Result<UserStatus, StoreError> {
        Box::pin(async { users!(self, directory => directory.user(user)) }).await
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, StoreError> {
        Box::pin(async { users!(self, directory => directory.membership(user, team)) }).await
    }
}

/// The store of the gate: the database, or a cache in front of it.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    Cached(CachedStore<Database>),
    Plain(Database),
}

impl Lookup {
    /// Puts a cache in front, unless nothing may be served from it.
    pub(crate) fn new(database: Database, cache_seconds: u8) -> Self {
        match cache_seconds {
            0 => Self::Plain(database),
            seconds => Self::Cached(CachedStore::new(database, Duration::from_secs(seconds.into()))),
        }
    }

    /// Returns the store for the manager: what is changed through it, the cache forgets.
    pub(crate) fn store(&self) -> BoxedKeyManagementStore {
        match self {
            Self::Cached(cache) => BoxedKeyManagementStore::new(cache.write_through()),
            Self::Plain(database) => BoxedKeyManagementStore::new(database.clone()),
        }
    }
}

impl KeyLookup<Remembered> for Lookup {
    type Error = CacheError<StoreError>;

    async fn look_up(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Self::Error> {
        LOOK_UPS.fetch_add(1, Ordering::Relaxed);
        match self {
            Self::Cached(cache) => cache.look_up(id).await,
            Self::Plain(database) => database.find(id).await.map_err(CacheError::Store),
        }
    }

    async fn look_up_current(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Self::Error> {
        match self {
            Self::Cached(cache) => cache.look_up_current(id).await,
            Self::Plain(database) => database.find(id).await.map_err(CacheError::Store),
        }
    }

    async fn look_again(&self, seen: &Arc<KeyRecord>) -> Result<SecondLook, Self::Error> {
        match self {
            Self::Cached(cache) => cache.look_again(seen).await,
            Self::Plain(_) => Ok(SecondLook::NothingNewer),
        }
    }
}

/// How long a statement of the gateway's own may take, as those of the stores.
pub(crate) const ANSWER: Duration = Duration::from_secs(4);

/// How many keys were looked up, from memory or not, since the process began.
pub(crate) static LOOK_UPS: AtomicU64 = AtomicU64::new(0);
/// How many of them were looked up in the database.
pub(crate) static STORE_LOOK_UPS: AtomicU64 = AtomicU64::new(0);
