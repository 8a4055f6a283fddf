//! Where keys, events and users are kept.

use core::{error::Error, time::Duration};
use std::{path::Path, sync::Arc};

use keygate::{
    CacheError, CachedStore, KeyId, KeyRecord, Membership, TeamId, TeamRole, UnixTime, UserId, UserStatus,
    store::{
        Answer, Batch, BoxedKeyManagementStore, ChangeFeed, Changes, Conflict, Directory, KeyChange, KeyLookup,
        KeyManagementStore, KeyStore, KeysOf, ListQuery, Logged, NewKey, Page, Remembered, Revision, RevokeAll,
        SecondLook, Touch,
    },
};
use keygate_sqlx::{
    Postgres, PostgresDirectory, PostgresStore, Settings, Sqlite, SqliteDirectory, SqliteStore, StoreError,
};
use tempfile::TempDir;

/// One database or the other: which, is chosen when the server starts.
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

impl Database {
    /// Opens `sqlite:PATH` or `postgres://...`; nothing is a database that ends with the server, in a directory that is
    /// removed when it is dropped.
    pub(crate) async fn open(url: Option<&str>) -> Result<(Self, Option<TempDir>), Box<dyn Error>> {
        let Some(url) = url else {
            let directory = TempDir::new()?;
            let database = Self::open_file(&directory.path().join("keys.sqlite")).await?;
            return Ok((database, Some(directory)));
        };
        let database = match url.strip_prefix("sqlite:") {
            Some(path) => Self::open_file(Path::new(path)).await?,
            None => {
                let database = Postgres::connect(url, Settings::new()).await?;
                database.migrate().await?;
                database.migrate_directory().await?;
                Self::Postgres(PostgresStore::open(&database).await?, PostgresDirectory::open(&database).await?)
            }
        };
        Ok((database, None))
    }

    async fn open_file(path: &Path) -> Result<Self, Box<dyn Error>> {
        let database = Sqlite::create(path, Settings::new()).await?;
        database.migrate().await?;
        database.migrate_directory().await?;
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

    /// Adds users for tests and for trying out: `ada`, a member of `core`, `bob`, its admin, and `carl`, admin of
    /// `labs`.
    pub(crate) async fn add_examples(&self) -> Result<(), Box<dyn Error>> {
        for (user, team, role) in
            [("ada", "core", TeamRole::Member), ("bob", "core", TeamRole::Admin), ("carl", "labs", TeamRole::Admin)]
        {
            let (user, team) = (user.parse()?, team.parse()?);
            users!(self, directory => directory.set_member(&user, &team, role))?;
        }
        Ok(())
    }
}

impl KeyStore for Database {
    type Error = StoreError;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        keys!(self, store => store.find(id))
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

/// Users are in the same database, and never cached.
impl Directory for Database {
    type Error = StoreError;

    async fn user(&self, user: &UserId) -> Result<UserStatus, StoreError> {
        users!(self, directory => directory.user(user))
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, StoreError> {
        users!(self, directory => directory.membership(user, team))
    }
}

/// What the gate looks keys up in: the database, or a cache in front of it.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    Cached(CachedStore<Database>),
    Plain(Database),
}

impl Lookup {
    /// Puts a cache in front, if a bound on staleness is given.
    pub(crate) fn new(database: Database, max_staleness: Option<Duration>) -> Self {
        match max_staleness {
            Some(max_staleness) => Self::Cached(CachedStore::new(database, max_staleness)),
            None => Self::Plain(database),
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
