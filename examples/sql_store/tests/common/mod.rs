//! Places to put stores, and keys to put there.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test uses some of it")]

use core::{
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
};
use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process,
};

use keygate::{
    Actor, Create, Directory, Grant, Issuer, KeyId, KeyManagementStore, KeyRecord, Membership, NewKey, Operation,
    Permit, SysRng, TeamId, UnixTime, UserId, Validity, authorize_operation,
};
use keygate_sql_store::{PostgresStore, SqliteStore, StoreError};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;

pub const ISSUER: Issuer = Issuer::from_static("acme");
pub const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);

/// A database of a test's own.
pub trait Place: Sized {
    type Store: KeyManagementStore<Error = StoreError> + Directory<Error = StoreError> + Members + Clone + 'static;

    /// Makes it, or says that it cannot be tested here.
    async fn make() -> Option<Self>;
    /// Opens a store on what is there.
    async fn open(&self) -> Self::Store;
    /// Opens an empty store beside it.
    async fn open_empty(&self) -> Self::Store;
    /// Runs SQL with the constraints switched off.
    async fn corrupt(&self, sql: &str);
    /// Runs SQL.
    async fn execute(&self, sql: &str) -> Result<(), sqlx::Error>;
    /// Names it, for another process.
    fn url(&self) -> String;
    /// Ends it.
    async fn remove(self);
}

/// What no trait of `keygate` has.
pub trait Members {
    async fn set_member(&self, user: &UserId, team: &TeamId, membership: Membership);
    async fn deprovision(&self, user: &UserId);
}

macro_rules! members {
    ($($store:ident),*) => {
        $(impl Members for $store {
            async fn set_member(&self, user: &UserId, team: &TeamId, membership: Membership) {
                $store::set_member(self, user, team, membership).await.unwrap();
            }

            async fn deprovision(&self, user: &UserId) {
                $store::deprovision(self, user).await.unwrap();
            }
        })*
    };
}

members!(PostgresStore, SqliteStore);

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
    type Store = SqliteStore;

    async fn make() -> Option<Self> {
        Some(Self { directory: tempfile::tempdir().unwrap(), others: AtomicU32::new(0) })
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path()).await.unwrap()
    }

    async fn open_empty(&self) -> SqliteStore {
        let name = format!("{}.db", self.others.fetch_add(1, Ordering::Relaxed));
        SqliteStore::open(&self.directory.path().join(name)).await.unwrap()
    }

    async fn corrupt(&self, sql: &str) {
        self.execute(&format!("PRAGMA ignore_check_constraints = ON; {sql}")).await.unwrap();
    }

    async fn execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(self.path());
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        connection.close().await
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
    type Store = PostgresStore;

    async fn make() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Ok(url) = env::var("KEYGATE_TEST_POSTGRES") else {
            assert!(env::var("CI").as_deref() != Ok("true"), "{SKIPPED}");
            // Not by a macro: the output of a test that passes would not be seen.
            io::stderr().write_all(format!("{SKIPPED}\n").as_bytes()).unwrap();
            return None;
        };
        let server = PgConnectOptions::from_str(&url).unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("keygate_test_{}_{}_{number}", process::id(), UnixTime::now());
        run(&server, &format!("CREATE DATABASE {name}")).await.unwrap();
        Some(Self { options: server.clone().database(&name), server, others: AtomicU32::new(0) })
    }

    async fn open(&self) -> PostgresStore {
        PostgresStore::connect(&self.url()).await.unwrap()
    }

    async fn open_empty(&self) -> PostgresStore {
        let schema = format!("s{}", self.others.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
        PostgresStore::connect(&format!("{}&options[search_path]={schema}", self.url())).await.unwrap()
    }

    async fn corrupt(&self, sql: &str) {
        let drop_checks = "DO $$ DECLARE name text; BEGIN FOR name IN \
             SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = 'keygate_keys'::regclass \
             LOOP EXECUTE format('ALTER TABLE keygate_keys DROP CONSTRAINT %I', name); END LOOP; END $$";
        self.execute(&format!("{drop_checks}; {sql}")).await.unwrap();
    }

    async fn execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        run(&self.options, sql).await
    }

    fn url(&self) -> String {
        self.options.to_url_lossy().into()
    }

    async fn remove(self) {
        let name = self.options.get_database().unwrap();
        run(&self.server, &format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    }
}

async fn run(options: &PgConnectOptions, sql: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

/// Permits as the system.
pub fn permit<O: Operation>(operation: O) -> Permit<O> {
    authorize_operation(&Actor::system("test").unwrap(), operation, None, NOW).unwrap()
}

/// Makes a key.
pub fn mint(grant: Grant, name: &str, validity: Validity, created_at: UnixTime) -> NewKey {
    permit(Create(grant)).issue(ISSUER, name.parse().unwrap(), validity, &mut SysRng, created_at).unwrap().key
}

pub fn personal(user: &str) -> Grant {
    Grant::Personal { user: user.parse().unwrap() }
}

/// Stores a new key, and finds it.
pub async fn stored(store: &impl KeyManagementStore<Error = StoreError>, grant: Grant, name: &str) -> KeyRecord {
    let key = mint(grant, name, Validity::NEVER_EXPIRES, NOW);
    store.insert(key.clone()).await.unwrap().unwrap();
    found(store, key.record().id()).await
}

pub async fn found(store: &impl KeyManagementStore<Error = StoreError>, id: KeyId) -> KeyRecord {
    KeyRecord::clone(&*store.find(id).await.unwrap().unwrap())
}

const SKIPPED: &str =
    "skipped: postgres: set KEYGATE_TEST_POSTGRES to a postgres:// URL of a server where databases may be created";
