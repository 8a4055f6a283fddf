//! Places to put stores, and keys to put there.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test uses some of it")]

use core::{
    fmt,
    future::Future,
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use keygate::{
    Grant, Issuer, KeyId, KeyManager, KeyName, KeyRecord, Labels, MemoryDirectory, RevocationCause, Rotation, System,
    SystemRandomness, TeamId, TeamRole, UnixTime, UserId, Validity,
    audit::EventKind,
    manage::{
        Acting, Create, Disable, Enable, MintRules, MintedSecret, Operation, Permit, Rename, Revoke, Rotate,
        authorize_operation,
    },
    store::{Answer, ChangeFeed, Directory, KeyChange, KeyManagementStore, Logged, NewKey},
};
use keygate_sqlx::{
    EventsOf, LogQuery, LoggedEvent, Migration, OpenError, Postgres, PostgresDirectory, PostgresStore, Settings,
    Sqlite, SqliteDirectory, SqliteStore, StoreError, TablePrefix,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, SqliteConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;

pub const ISSUER: Issuer = Issuer::from_static("acme");
pub const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);

/// A database of a test's own.
pub trait Place: Sized + Send + Sync {
    /// Names its kind.
    const NAME: &'static str;

    type Store: KeyManagementStore<Error = StoreError, Receipt = Logged>
        + ChangeFeed<Error = StoreError>
        + Log
        + Clone
        + fmt::Debug
        + 'static;
    type Directory: Directory<Error = StoreError> + Users + Clone + fmt::Debug + 'static;

    /// Makes it, or says that it cannot be tested here.
    fn make() -> impl Future<Output = Option<Self>> + Send;
    /// Opens a store on what is there.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;
    /// Opens a store with settings of its own, after migrating if that is asked for.
    fn open_with(
        &self,
        settings: Settings,
        migrates: bool,
    ) -> impl Future<Output = Result<Self::Store, OpenError>> + Send;
    /// Returns the migrations as text.
    fn migrations(prefix: &TablePrefix) -> Vec<Migration>;
    /// Opens the directory that is there.
    fn open_directory(&self) -> impl Future<Output = Self::Directory> + Send;
    /// Opens an empty store beside it.
    fn open_empty(&self) -> impl Future<Output = Self::Store> + Send;
    /// Runs SQL with the constraints switched off.
    fn corrupt(&self, sql: &str) -> impl Future<Output = ()> + Send;
    /// Runs SQL.
    fn execute(&self, sql: &str) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Returns a text that is another one after a row of the table of keys was written.
    fn written(&self) -> impl Future<Output = String> + Send;
    /// Names it, for another process.
    fn url(&self) -> String;
    /// Ends it.
    fn remove(self) -> impl Future<Output = ()> + Send;
}

/// What no trait of `keygate` has.
pub trait Log {
    fn events(&self, query: &LogQuery) -> impl Future<Output = Result<Vec<LoggedEvent>, StoreError>> + Send;
    fn begin_new_life(&self) -> impl Future<Output = ()> + Send;
}

pub trait Users {
    fn provision(&self, user: &UserId) -> impl Future<Output = ()> + Send;
    fn set_member(&self, user: &UserId, team: &TeamId, role: TeamRole) -> impl Future<Output = ()> + Send;
    fn deprovision(&self, user: &UserId) -> impl Future<Output = ()> + Send;
}

macro_rules! inherent {
    ($($store:ident, $directory:ident);*) => {
        $(impl Log for $store {
            async fn events(&self, query: &LogQuery) -> Result<Vec<LoggedEvent>, StoreError> {
                $store::events(self, query).await
            }

            async fn begin_new_life(&self) {
                $store::begin_new_life(self).await.unwrap();
            }
        }

        impl Users for $directory {
            async fn provision(&self, user: &UserId) {
                $directory::provision(self, user).await.unwrap();
            }

            async fn set_member(&self, user: &UserId, team: &TeamId, role: TeamRole) {
                $directory::set_member(self, user, team, role).await.unwrap();
            }

            async fn deprovision(&self, user: &UserId) {
                $directory::deprovision(self, user).await.unwrap();
            }
        })*
    };
}

inherent!(PostgresStore, PostgresDirectory; SqliteStore, SqliteDirectory);

/// Asks for the events behind a place, from the beginning if none is given.
pub fn page(after: Option<u64>, limit: u16) -> LogQuery {
    let mut query = LogQuery::new();
    (query.after, query.limit) = (after, limit.try_into().unwrap());
    query
}

/// One question of each kind to the log.
pub fn questions(id: KeyId) -> Vec<LogQuery> {
    let about = [
        EventsOf::All,
        EventsOf::ActingKey(id),
        EventsOf::ActingUser("ada".parse().unwrap()),
        EventsOf::Key(id),
        EventsOf::Owner(personal("ada").owner()),
    ];
    about
        .into_iter()
        .map(|events_of| {
            let mut query = LogQuery::new();
            query.events_of = events_of;
            query
        })
        .collect()
}

/// Reads the whole log.
pub async fn logged(store: &(impl Log + Sync)) -> Vec<LoggedEvent> {
    read_all(store, LogQuery::new()).await
}

/// Reads all pages.
pub async fn read_all(store: &(impl Log + Sync), mut query: LogQuery) -> Vec<LoggedEvent> {
    let mut logged: Vec<LoggedEvent> = Vec::new();
    loop {
        query.after = logged.last().map(|event| event.sequence);
        let page = store.events(&query).await.unwrap();
        if page.is_empty() {
            return logged;
        }
        logged.extend(page);
    }
}

/// The kinds of the events of a key.
pub async fn kinds(store: &(impl Log + Sync), id: KeyId) -> Vec<EventKind> {
    let mut query = LogQuery::new();
    query.events_of = EventsOf::Key(id);
    read_all(store, query).await.into_iter().map(|logged| logged.event.kind).collect()
}

/// Settings with which each last use is written.
pub fn exact() -> Settings {
    Settings::new().with_touch_interval(Duration::ZERO)
}

/// Makes the tables, and opens the store on them.
pub async fn open_postgres(url: &str) -> Result<PostgresStore, OpenError> {
    let database = Postgres::connect(url, exact()).await?;
    PostgresStore::migrate(&database).await?;
    PostgresStore::open(&database).await
}

/// Makes the file and its tables, and opens the store on them.
pub async fn open_sqlite(path: &Path) -> Result<SqliteStore, OpenError> {
    let database = Sqlite::create(path, exact()).await?;
    SqliteStore::migrate(&database).await?;
    SqliteStore::open(&database).await
}

/// Tests both databases: `both!(name, ...)` makes a test of `async fn name<P: Place>(place: &P)` for each.
#[macro_export]
macro_rules! both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                $crate::common::on::<$crate::common::File>(async |place| super::$test(place).await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                $crate::common::on::<$crate::common::Server>(async |place| super::$test(place).await).await;
            })*
        }
    };
}

pub async fn on<P: Place>(test: impl AsyncFnOnce(&P)) {
    if let Some(place) = P::make().await {
        test(&place).await;
        place.remove().await;
    }
}

pub struct File {
    directory: TempDir,
    others: AtomicU32,
}

impl File {
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("keys.db")
    }
}

impl Place for File {
    const NAME: &'static str = "SQLite";

    type Store = SqliteStore;
    type Directory = SqliteDirectory;

    async fn make() -> Option<Self> {
        Some(Self { directory: tempfile::tempdir().unwrap(), others: AtomicU32::new(0) })
    }

    async fn open(&self) -> SqliteStore {
        open_sqlite(&self.path()).await.unwrap()
    }

    async fn open_with(&self, settings: Settings, migrates: bool) -> Result<SqliteStore, OpenError> {
        let database = Sqlite::create(self.path(), settings).await?;
        if migrates {
            SqliteStore::migrate(&database).await?;
        }
        SqliteStore::open(&database).await
    }

    fn migrations(prefix: &TablePrefix) -> Vec<Migration> {
        SqliteStore::migrations(prefix)
    }

    async fn open_directory(&self) -> SqliteDirectory {
        let database = Sqlite::create(self.path(), Settings::new()).await.unwrap();
        SqliteDirectory::migrate(&database).await.unwrap();
        SqliteDirectory::open(&database).await.unwrap()
    }

    async fn open_empty(&self) -> SqliteStore {
        let name = format!("{}.db", self.others.fetch_add(1, Ordering::Relaxed));
        open_sqlite(&self.directory.path().join(name)).await.unwrap()
    }

    async fn corrupt(&self, sql: &str) {
        self.execute(&format!("PRAGMA ignore_check_constraints = ON; {sql}")).await.unwrap();
    }

    async fn execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(self.path()).foreign_keys(false);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        connection.close().await
    }

    async fn written(&self) -> String {
        // The log grows with each transaction that wrote anything.
        let log = self.directory.path().join("keys.db-wal");
        std::fs::metadata(log).unwrap().len().to_string()
    }

    fn url(&self) -> String {
        self.path().to_str().unwrap().into()
    }

    async fn remove(self) {
        self.directory.close().unwrap();
    }
}

/// A database on the server that the environment names.
pub struct Server {
    pub options: PgConnectOptions,
    server: PgConnectOptions,
    others: AtomicU32,
}

impl Place for Server {
    const NAME: &'static str = "PostgreSQL";

    type Store = PostgresStore;
    type Directory = PostgresDirectory;

    async fn make() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let url = variable("KEYGATE_TEST_POSTGRES")?;
        let server = PgConnectOptions::from_str(&url).unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("keygate_test_{}_{}_{number}", process::id(), UnixTime::now());
        run(&server, &format!("CREATE DATABASE {name}")).await.unwrap();
        Some(Self { options: server.clone().database(&name), server, others: AtomicU32::new(0) })
    }

    async fn open(&self) -> PostgresStore {
        open_postgres(&self.url()).await.unwrap()
    }

    async fn open_with(&self, settings: Settings, migrates: bool) -> Result<PostgresStore, OpenError> {
        let database = Postgres::connect(&self.url(), settings).await?;
        if migrates {
            PostgresStore::migrate(&database).await?;
        }
        PostgresStore::open(&database).await
    }

    fn migrations(prefix: &TablePrefix) -> Vec<Migration> {
        PostgresStore::migrations(prefix)
    }

    async fn open_directory(&self) -> PostgresDirectory {
        let database = Postgres::connect(&self.url(), Settings::new()).await.unwrap();
        PostgresDirectory::migrate(&database).await.unwrap();
        PostgresDirectory::open(&database).await.unwrap()
    }

    async fn open_empty(&self) -> PostgresStore {
        let schema = format!("s{}", self.others.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
        open_postgres(&format!("{}&options[search_path]={schema}", self.url())).await.unwrap()
    }

    async fn corrupt(&self, sql: &str) {
        let drop_checks = "DO $$ DECLARE named record; BEGIN FOR named IN \
             SELECT conname, conrelid::regclass AS holder FROM pg_constraint WHERE contype = 'c' \
             AND conrelid IN ('keygate_keys'::regclass, 'keygate_events'::regclass) \
             LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', named.holder, named.conname); END LOOP; END $$";
        self.execute(&format!("{drop_checks}; {sql}")).await.unwrap();
    }

    async fn execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        run(&self.options, sql).await
    }

    async fn written(&self) -> String {
        // The transactions that wrote the rows as they are, or locked them.
        let mut connection = PgConnection::connect_with(&self.options).await.unwrap();
        let sql = "SELECT string_agg(concat(ctid, xmin, xmax), ' ' ORDER BY id) FROM keygate_keys";
        let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        row.get(0)
    }

    fn url(&self) -> String {
        self.options.to_url_lossy().into()
    }

    async fn remove(self) {
        let name = self.options.get_database().unwrap();
        run(&self.server, &format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    }
}

/// The URL in a variable of `with_postgres.sh`, or nothing, which is seen.
pub fn variable(name: &str) -> Option<String> {
    let found = env::var(name).ok();
    if found.is_none() {
        let skipped = format!("skipped: postgres: {name} is not set, see with_postgres.sh");
        assert!(env::var("CI").as_deref() != Ok("true"), "{skipped}");
        // Not by a macro: the output of a test that passes would not be seen.
        io::stderr().write_all(format!("{skipped}\n").as_bytes()).unwrap();
    }
    found
}

async fn run(options: &PgConnectOptions, sql: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

/// Permits as the system, at the time of [`NOW`].
pub fn permit<O: Operation>(operation: O) -> Permit<O> {
    permit_at(operation, NOW)
}

pub fn permit_at<O: Operation>(operation: O, now: UnixTime) -> Permit<O> {
    let system = System::new("test").unwrap();
    authorize_operation(ISSUER, Acting::System(&system), operation, None, now).unwrap()
}

/// Makes a key.
pub fn mint(grant: Grant, name: &str, validity: Validity, created_at: UnixTime) -> NewKey {
    let rules =
        MintRules::new().with_max_scope_members(usize::MAX).with_own_actions(keygate::OwnActions::EVERY_ORDINARY);
    let permit = permit_at(Create { grant, validity }, created_at);
    permit.issue(ISSUER, (name.parse().unwrap(), Labels::NONE), &rules, &SystemRandomness, created_at).unwrap().key
}

pub fn rename(key: &KeyRecord, name: &str) -> KeyChange {
    let name: KeyName = name.parse().unwrap();
    permit(Rename(Arc::new(key.clone()))).rename(ISSUER, name, &SystemRandomness, NOW).unwrap()
}

pub fn disable(key: &KeyRecord) -> KeyChange {
    permit(Disable(Arc::new(key.clone()))).disable(ISSUER, &SystemRandomness, NOW).unwrap()
}

pub fn enable(key: &KeyRecord) -> KeyChange {
    permit(Enable(Arc::new(key.clone()))).enable(ISSUER, &SystemRandomness, NOW).unwrap()
}

pub fn revoke(key: &KeyRecord, cause: RevocationCause) -> KeyChange {
    permit(Revoke(Arc::new(key.clone()))).revoke(ISSUER, cause, &SystemRandomness, NOW).unwrap()
}

pub fn rotate(key: &KeyRecord, rotation: Rotation) -> MintedSecret {
    let rules = MintRules::new().with_max_overlap(Duration::MAX);
    permit(Rotate(Arc::new(key.clone()))).rotate(ISSUER, rotation, &rules, &SystemRandomness, NOW).unwrap()
}

/// Makes a change that is not refused, and finds the key.
pub async fn changed(
    store: &impl KeyManagementStore<Error = StoreError, Receipt = Logged>,
    change: KeyChange,
) -> KeyRecord {
    let id = change.id();
    assert_eq!(store.change(change).await.unwrap(), Answer::Changed(Logged));
    found(store, id).await
}

/// Manages keys without a clock, for users of whom nothing is known.
pub fn manager<S: KeyManagementStore>(store: S) -> KeyManager<S, MemoryDirectory> {
    KeyManager::with_parts(ISSUER, store, || NOW, SystemRandomness).with_directory(MemoryDirectory::new())
}

pub fn personal(user: &str) -> Grant {
    Grant::personal(user.parse().unwrap())
}

/// Stores a new key, and finds it.
pub async fn stored(
    store: &impl KeyManagementStore<Error = StoreError, Receipt = Logged>,
    grant: Grant,
    name: &str,
) -> KeyRecord {
    let key = mint(grant, name, Validity::NEVER_EXPIRES, NOW);
    assert_eq!(store.insert(key.clone()).await.unwrap(), Ok(Logged));
    found(store, key.record().id()).await
}

pub async fn found(store: &impl KeyManagementStore<Error = StoreError>, id: KeyId) -> KeyRecord {
    KeyRecord::clone(&*store.find(id).await.unwrap().unwrap())
}
