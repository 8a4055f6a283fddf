//! Tables: names, versions, rights, and pools of the service's own.

#![expect(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Log, NOW, Place, Server, changed, disable, found, logged, on, personal, revoke, stored};
use core::num::NonZeroU32;
use keygate::{
    RevocationCause, System,
    store::{ChangeFeed, KeyManagementStore, KeyStore, KeysOf, ListQuery, SecretSlot, Touch},
};
use keygate_sqlx::{OpenError, Postgres, PostgresDirectory, PostgresStore, Settings, Sqlite, SqliteStore, TablePrefix};
use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

both!(
    has_tables_of_a_name_of_their_own,
    makes_no_tables_by_opening,
    migrates_by_text,
    starts_on_later_tables_that_it_understands,
    starts_on_no_others,
);

fn named(prefix: &str) -> Settings {
    Settings::new().with_table_prefix(prefix.parse().unwrap())
}

/// Every operation, on the tables that are there.
async fn works<S>(store: &S)
where
    S: KeyManagementStore<Error = keygate_sqlx::StoreError, Receipt = keygate::store::Logged>
        + ChangeFeed
        + Log
        + Clone
        + Sync,
{
    let before = logged(store).await.len();
    let key = stored(store, personal("ada"), "laptop").await;
    changed(store, disable(&key)).await;
    store.touch(vec![Touch::new(key.id(), SecretSlot::Current, NOW)], NOW).await.unwrap();
    assert_eq!(found(store, key.id()).await.last_used_at(), Some(NOW));
    for keys_of in [KeysOf::All, KeysOf::Owner(key.grant().owner()), KeysOf::Creator(key.created_by().clone())] {
        assert!(!store.list(keys_of, ListQuery::new()).await.unwrap().records.is_empty());
    }
    changed(store, revoke(&key, RevocationCause::Requested)).await;
    stored(store, personal("ada"), "phone").await;
    let manager = common::manager(store.clone());
    let owner = personal("ada").owner();
    let ended = manager.revoke_all(&System::new("test").unwrap(), owner, RevocationCause::Unused).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(logged(store).await.len(), before + 5);
    store.begin_new_life().await;
    assert!(store.changes_since(None).await.is_ok());
}

async fn has_tables_of_a_name_of_their_own<P: Place>(place: &P) {
    let store = place.open_with(named("billing_"), true).await.unwrap();
    works(&store).await;
    // Two stores of one database know nothing of each other.
    let usual = place.open().await;
    assert!(logged(&usual).await.is_empty());
    works(&usual).await;
    assert_eq!(logged(&store).await.len(), 5);
    place.execute("SELECT 1 FROM billing_keys, billing_events, billing_revision, billing_schema").await.unwrap();
}

#[test]
fn takes_no_other_prefixes() {
    for legal in ["k", "keygate_", "a1_b2", &"a".repeat(30)] {
        assert_eq!(legal.parse::<TablePrefix>().unwrap().to_string(), legal);
    }
    assert!("a".repeat(31).parse::<TablePrefix>().is_err());
    for illegal in
        ["", "1a", "_a", "Keys", "a-b", "a b", "a;b", "a\"", "schema.keys", "é", "pg_x", "sqlite_x", "current_"]
    {
        assert!(illegal.parse::<TablePrefix>().is_err(), "{illegal}");
    }
}

async fn makes_no_tables_by_opening<P: Place>(place: &P) {
    let error = place.open_with(Settings::new(), false).await.unwrap_err();
    assert!(matches!(error, OpenError::NoTables { part: "keys", .. }), "{error:?}");
    let searched = if P::NAME == "SQLite" { "" } else { r#" in the schemas `"$user", public`"# };
    let text = format!("has no tables `keygate_…` of the keys{searched}: run the migrations");
    assert!(error.to_string().ends_with(&text), "{error}");
    // Those of another name are none.
    place.open_with(named("billing_"), true).await.unwrap();
    let error = place.open_with(Settings::new(), false).await.unwrap_err();
    assert!(matches!(error, OpenError::NoTables { .. }), "{error:?}");
    place.open_with(named("billing_"), false).await.unwrap();
}

async fn migrates_by_text<P: Place>(place: &P) {
    let settings = named("billing_");
    assert!(place.open_with(settings.clone(), false).await.is_err());
    let migrations = P::migrations(&"billing_".parse().unwrap());
    assert!(migrations.iter().map(|migration| migration.version).eq(1..=migrations.len() as u64));
    for migration in &migrations {
        assert!(!migration.sql.contains("keygate_"));
        place.execute(&format!("BEGIN; {} COMMIT", migration.sql)).await.unwrap();
    }
    works(&place.open_with(settings.clone(), false).await.unwrap()).await;
    // Migrating finds nothing to do then.
    place.open_with(settings, true).await.unwrap();
}

/// As in a rolling deploy, or after going back to an older release.
async fn starts_on_later_tables_that_it_understands<P: Place>(place: &P) {
    place.open().await;
    let later = "ALTER TABLE keygate_keys ADD COLUMN colour TEXT; \
         UPDATE keygate_schema SET version = 7, oldest = 1 WHERE part = 'keys'";
    place.execute(later).await.unwrap();
    works(&place.open_with(Settings::new(), false).await.unwrap()).await;
    // Migrating leaves them as they are.
    works(&place.open_with(Settings::new(), true).await.unwrap()).await;
    place.execute("UPDATE keygate_keys SET colour = 'red'").await.unwrap();
}

async fn starts_on_no_others<P: Place>(place: &P) {
    place.open().await;
    place.execute("UPDATE keygate_schema SET version = 7, oldest = 7 WHERE part = 'keys'").await.unwrap();
    for migrates in [false, true] {
        let error = place.open_with(Settings::new(), migrates).await.unwrap_err();
        assert!(matches!(error, OpenError::TablesTooNew { needed: 7, known: 1, .. }), "{error:?}");
    }
    place.execute("UPDATE keygate_schema SET version = 0, oldest = 0 WHERE part = 'keys'").await.unwrap();
    let error = place.open_with(Settings::new(), false).await.unwrap_err();
    assert!(matches!(error, OpenError::TablesTooOld { found: 0, needed: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("have version 0, which is before 1: run the migrations"), "{error}");
}

/// A role that may neither make tables nor change an event.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_without_rights_to_change_tables() {
    on(async |server: &Server| {
        let owner = server.open().await;
        server.open_directory().await;
        let role = format!("service_{}", server.options.get_database().unwrap());
        let grants = "GRANT SELECT, INSERT, UPDATE ON keygate_keys TO service; \
             GRANT SELECT, UPDATE ON keygate_revision TO service; \
             GRANT SELECT, INSERT ON keygate_events TO service; \
             GRANT SELECT ON keygate_schema TO service";
        let documented: String =
            include_str!("../src/lib.rs").lines().map(|line| line.trim_start_matches("//! ")).collect();
        for grant in grants.split("; ") {
            assert!(documented.contains(grant.trim()), "{grant}");
        }
        server.execute(&format!("CREATE ROLE {role} LOGIN; {}", grants.replace("service", &role))).await.unwrap();
        let options = server.options.clone().username(&role);
        let database = Postgres::connect_with(options.clone(), Settings::new()).await.unwrap();
        // There is nothing to do, so that is no error either.
        PostgresStore::migrate(&database).await.unwrap();
        works(&PostgresStore::open(&database).await.unwrap()).await;
        server.execute("UPDATE keygate_schema SET version = 7, oldest = 7 WHERE part = 'keys'").await.unwrap();
        assert!(matches!(PostgresStore::migrate(&database).await, Err(OpenError::TablesTooNew { .. })));
        let billing = Postgres::connect_with(options.clone(), named("billing_")).await.unwrap();
        assert!(matches!(PostgresStore::migrate(&billing).await, Err(OpenError::Store(_))));
        let pool = PgPool::connect_with(options).await.unwrap();
        for forbidden in ["UPDATE keygate_events SET at = 0", "DELETE FROM keygate_events", "DELETE FROM keygate_keys"]
        {
            assert!(sqlx::query(forbidden).execute(&pool).await.is_err(), "{forbidden}");
        }
        assert_eq!(logged(&owner).await.len(), 5);
        pool.close().await;
        database.close().await;
        server.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    })
    .await;
}

/// The tables are those of the first schema of the path, and no others that can be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn has_no_tables_of_a_later_schema_of_the_path() {
    on(async |server: &Server| {
        let public = server.open().await;
        let key = stored(&public, personal("ada"), "laptop").await;
        server.execute("CREATE SCHEMA billing").await.unwrap();
        let url = format!("{}&options[search_path]=billing,public", server.url());
        let database = Postgres::connect(&url, Settings::new()).await.unwrap();
        let error = PostgresStore::open(&database).await.unwrap_err();
        assert!(matches!(error, OpenError::NoTables { .. }), "{error:?}");
        // Each part is made there, in sessions that have seen the others.
        PostgresDirectory::migrate(&database).await.unwrap();
        PostgresStore::migrate(&database).await.unwrap();
        let billing = PostgresStore::open(&database).await.unwrap();
        assert!(billing.find(key.id()).await.unwrap().is_none());
        works(&billing).await;
        assert_eq!(found(&public, key.id()).await, key);
    })
    .await;
}

/// Whatever the sessions of the service's pool are set to.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shares_a_pool_of_the_service() {
    on(async |server: &Server| {
        let options = server.options.clone().options([
            ("default_transaction_isolation", "serializable"),
            ("default_transaction_read_only", "on"),
            ("synchronous_commit", "off"),
        ]);
        server.open().await;
        let pool = PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
        let database = Postgres::from_pool(pool.clone(), Settings::new()).await.unwrap();
        PostgresStore::migrate(&database).await.unwrap();
        let store = PostgresStore::open(&database).await.unwrap();
        works(&store).await;
        database.close().await;
        assert!(!pool.is_closed());
        works(&store).await;
        pool.close().await;
    })
    .await;

    let directory = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(directory.path().join("keys.db")).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.clone()).await.unwrap();
    let database = Sqlite::from_pool(pool.clone(), Settings::new()).await.unwrap();
    SqliteStore::migrate(&database).await.unwrap();
    let store = SqliteStore::open(&database).await.unwrap();
    works(&store).await;
    database.close().await.unwrap();
    assert!(!pool.is_closed());
    works(&store).await;

    // One that may lose what was acknowledged is none.
    for lossy in [
        options.clone().synchronous(SqliteSynchronous::Normal),
        options.clone().journal_mode(SqliteJournalMode::Memory),
        options.journal_mode(SqliteJournalMode::Off),
        "sqlite::memory:".parse().unwrap(),
    ] {
        let pool = SqlitePool::connect_with(lossy.clone()).await.unwrap();
        let opened = Sqlite::from_pool(pool.clone(), Settings::new()).await;
        assert!(matches!(opened, Err(OpenError::NotDurable(_))), "{lossy:?}: {opened:?}");
        pool.close().await;
    }
}

/// One connection is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn makes_do_with_one_connection() {
    async fn one<P: Place>(place: &P) {
        let settings = Settings::new().with_max_connections(NonZeroU32::MIN);
        let store = place.open_with(settings, true).await.unwrap();
        let key = stored(&store, personal("bob"), "laptop").await;
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (store, id) = (store.clone(), key.id());
                tokio::spawn(async move { store.find(id).await.unwrap().unwrap() })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        works(&store).await;
    }
    on(async |file: &common::File| one(file).await).await;
    on(async |server: &Server| one(server).await).await;
}
