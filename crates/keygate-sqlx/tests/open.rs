//! Opening, which services do in tasks, in several processes at once, and closing.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "common/child.rs"]
mod child;
mod common;

use common::{ISSUER, NOW, Place, changed, disable, open_sqlite, personal, stored};
use core::{error::Error, time::Duration};
use keygate::{
    Actor, EnvironmentScope, Grant, KeyManager, NewKeySpec, Permission, TeamRole, Validity,
    store::{KeyManagementStore, KeyStore},
};
use keygate_sqlx::{
    LogQuery, OpenError, Postgres, PostgresDirectory, PostgresStore, Settings, Sqlite, SqliteDirectory, SqliteStore,
    StoreError,
};
use sqlx::{Connection, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

both!(takes_limits_of_any_length);

/// As somebody writes them who wants none.
async fn takes_limits_of_any_length<P: Place>(place: &P) {
    for limit in [Duration::from_secs(86_400 * 26), Duration::from_secs(86_400 * 40), Duration::MAX] {
        let settings = Settings::new().with_connect_limit(limit).with_answer_limit(limit);
        let store = place.open_with(settings, true).await.unwrap();
        let key = stored(&store, personal("ada"), &format!("key-{}", limit.as_secs())).await;
        changed(&store, disable(&key)).await;
    }
}

/// Two that switch a new file to a write-ahead log at once are in each other's way only now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opens_a_new_file_all_at_once() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let path = directory.path().join(number.to_string());
        let open = |_| {
            let path = path.clone();
            tokio::spawn(async move { open_sqlite(&path).await })
        };
        let opening: Vec<_> = (0..8).map(open).collect();
        for store in opening {
            store.await.unwrap().unwrap();
        }
    }
}

/// Another process has the lock for writing.
#[tokio::test]
async fn a_lock_that_another_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let store = open_sqlite(&path).await.unwrap();
    let key = stored(&store, personal("ada"), "laptop").await;
    let settings = Settings::new().with_answer_limit(Duration::from_millis(50));
    let hurried = SqliteStore::open(&Sqlite::open(&path, settings).await.unwrap()).await.unwrap();
    let transaction = store.database().pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let answer = hurried.change(disable(&key)).await;
    assert!(matches!(answer, Err(StoreError::TimedOut(_))), "{answer:?}");
    transaction.rollback().await.unwrap();
    assert!(hurried.change(disable(&key)).await.is_ok());
}

/// This process has the lock for writing, for a transaction of the service's own.
#[tokio::test]
async fn a_lock_that_the_service_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let store = open_sqlite(&path).await.unwrap();
    let key = stored(&store, personal("ada"), "laptop").await;
    let limit = Duration::from_millis(50);
    let settings = Settings::new().with_answer_limit(limit).with_connect_limit(limit);
    let hurried = SqliteStore::open(&Sqlite::open(&path, settings).await.unwrap()).await.unwrap();
    let transaction = hurried.database().pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let answer = hurried.change(disable(&key)).await;
    assert!(matches!(answer, Err(StoreError::TimedOut(_))), "{answer:?}");
    transaction.rollback().await.unwrap();
    assert!(hurried.change(disable(&key)).await.is_ok());
}

/// SQLite undoes a transaction by itself where the disk is full or fails; here, a trigger has it do so.
#[tokio::test]
async fn what_the_database_undid_stops_no_later_change() {
    let directory = tempfile::tempdir().unwrap();
    let database = Sqlite::create(directory.path().join("keys.db"), Settings::new()).await.unwrap();
    SqliteStore::migrate(&database).await.unwrap();
    let store = SqliteStore::open(&database).await.unwrap();
    let keys = KeyManager::new(ISSUER, store.clone());
    let create = async || {
        let grant = Grant::team("core".parse().unwrap(), Permission::full(EnvironmentScope::All));
        let spec = NewKeySpec::new(grant, "key".parse().unwrap(), Validity::NEVER_EXPIRES);
        keys.create(&Actor::system("test").unwrap(), spec).await
    };
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON keygate_events BEGIN SELECT RAISE(ROLLBACK, 'no room'); END";
    database.pool().execute(trigger).await.unwrap();
    for _ in 0..3 {
        assert!(create().await.is_err());
    }
    database.pool().execute("DROP TRIGGER full").await.unwrap();
    let _ = create().await.unwrap();
    assert_eq!(store.events(&LogQuery::new()).await.unwrap().len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn makes_files_for_its_user_alone() {
    use std::{fs, os::unix::fs::PermissionsExt};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let modes = || -> Vec<u32> {
        let files = fs::read_dir(directory.path()).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777).collect()
    };
    let store = open_sqlite(&path).await.unwrap();
    stored(&store, personal("ada"), "laptop").await;
    assert!(modes().len() > 1); // the write-ahead log, too
    assert!(modes().iter().all(|mode| *mode == 0o600), "{:?}", modes());

    // What somebody set is not taken back.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    open_sqlite(&path).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

/// What SQLite would read as the name of something else than a file, for which keys are gone when the process ends.
#[cfg(unix)]
const STRANGE_NAMES: [&str; 2] = [":memory:", "file:keys.db?mode=memory&cache=shared"];

#[cfg(unix)]
#[tokio::test]
async fn takes_a_path_for_a_path() {
    let directory = tempfile::tempdir().unwrap();
    // Where names are relative, in a process of its own.
    let status = child::test("stores_under_strange_names").current_dir(directory.path()).status().unwrap();
    assert!(status.success());
    for name in STRANGE_NAMES {
        let database = Sqlite::open(directory.path().join(name), Settings::new()).await.unwrap();
        let store = SqliteStore::open(&database).await.unwrap();
        assert_eq!(store.events(&LogQuery::new()).await.unwrap().len(), 1, "{name}");
    }
}

#[cfg(unix)]
#[tokio::test]
#[ignore = "a process of the other test"]
async fn stores_under_strange_names() {
    if std::env::current_dir().unwrap().join("Cargo.toml").exists() {
        return;
    }
    for name in STRANGE_NAMES {
        let store = open_sqlite(name.as_ref()).await.unwrap();
        stored(&store, personal("ada"), "laptop").await;
        store.database().close().await.unwrap();
    }
}

/// A path that is wrong by one letter would otherwise be a store in which no key is.
#[tokio::test]
async fn makes_no_file_unless_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let error = Sqlite::open(&path, Settings::new()).await.unwrap_err();
    assert!(matches!(error, OpenError::NoFile(_)));
    assert_eq!(error.to_string(), format!("there is no file `{}`", path.display()));
    assert!(!path.exists());

    // Nor are tables made by opening what has none.
    let database = Sqlite::create(&path, Settings::new()).await.unwrap();
    let error = SqliteStore::open(&database).await.unwrap_err();
    let text = format!("SQLite file `{}` has no tables `keygate_…` of the keys: run the migrations", path.display());
    assert_eq!(error.to_string(), text);
    SqliteStore::migrate(&database).await.unwrap();
    SqliteStore::open(&database).await.unwrap();
    assert!(matches!(SqliteDirectory::open(&database).await, Err(OpenError::NoTables { part: "directory", .. })));
    Sqlite::open(&path, Settings::new()).await.unwrap();
}

#[tokio::test]
async fn says_what_cannot_be_opened_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("keys.db");
    let error = Sqlite::create(&path, Settings::new()).await.unwrap_err();
    assert!(matches!(error, OpenError::NoFolder(_)), "{error:?}");
    assert_eq!(error.to_string(), format!("there is no folder for the file `{}`", path.display()));

    // A folder.
    for error in [
        Sqlite::create(directory.path(), Settings::new()).await.unwrap_err(),
        Sqlite::open(directory.path(), Settings::new()).await.unwrap_err(),
    ] {
        let text = format!("the file `{}` cannot be opened: is a directory", directory.path().display());
        assert_eq!(chain(&error), text);
    }

    // A file that is no database.
    let path = directory.path().join("text");
    std::fs::write(&path, "no database, but a text that is longer than the head of one; ".repeat(20)).unwrap();
    let error = Sqlite::open(&path, Settings::new()).await.unwrap_err();
    let chain = chain(&error);
    assert!(chain.contains(&format!("SQLite file `{}` refused", path.display())), "{chain}");
    assert!(chain.contains("file is not a database"), "{chain}");

    // Nobody is there: which server, and never the password.
    let url = "postgres://ada:c4nary@127.0.0.1:1/keys";
    let error = Postgres::connect(url, Settings::new()).await.unwrap_err();
    let chain = self::chain(&error);
    assert!(chain.contains("PostgreSQL database `keys` at `127.0.0.1:1` could not be reached: "), "{chain}");
    assert!(!chain.contains("c4nary") && !format!("{error:?}").contains("c4nary"), "{error:?}");

    for url in ["mysql://ada:c4nary@localhost/keys", "sqlite:keys.db", "keys.db", ""] {
        let error = Postgres::connect(url, Settings::new()).await.unwrap_err();
        assert!(matches!(error, OpenError::UrlScheme), "{error:?}");
    }
    for url in ["postgres://ada:c4nary@:x/keys", "postgres://ada:c4nary@localhost:99999/keys"] {
        let error = Postgres::connect(url, Settings::new()).await.unwrap_err();
        assert!(matches!(error, OpenError::Url(_)), "{error:?}");
        assert!(!self::chain(&error).contains("c4nary") && !format!("{error:?}").contains("c4nary"), "{error:?}");
    }
}

/// A password with characters of its own in it is neither the host nor the database, and printed nowhere.
#[tokio::test]
async fn takes_no_part_of_a_password_for_another() {
    for password in ["12/c4nary", "c4nary@12/c4nary", "12?c4nary", "12?host=c4nary", "12#c4nary", "c4n@ry/c4nary", "/"]
    {
        for url in [
            format!("postgres://ada:{password}@127.0.0.1:1/keys"),
            format!("postgresql://ada:{password}@127.0.0.1:1/keys?sslmode=disable"),
            format!("postgres://127.0.0.1:1/keys?user=ada&password={password}@127.0.0.1"),
        ] {
            let error = Postgres::connect(&url, Settings::new()).await.unwrap_err();
            assert!(matches!(error, OpenError::UrlAmbiguous), "{url}: {error:?}");
            let chain = chain(&error);
            assert!(chain.contains("percent-encoded") && chain.contains("connect_with"), "{chain}");
            assert!(!chain.contains("c4n") && !format!("{error:?}").contains("c4n"), "{error:?}");
        }
    }
    // Encoded, it is a password; an `@` in it is not taken for another part.
    for password in ["12%2Fc4nary%3F%23%40", "c4n@ry"] {
        for url in [
            format!("postgres://ada:{password}@127.0.0.1:1/keys"),
            format!("postgres://127.0.0.1:1/keys?password={}", password.replace('@', "%40")),
        ] {
            let error = Postgres::connect(&url, Settings::new()).await.unwrap_err();
            let chain = chain(&error);
            assert!(chain.contains("127.0.0.1:1`") && chain.contains("`keys`"), "{chain}");
            assert!(!chain.contains("c4n") && !format!("{error:?}").contains("c4n"), "{error:?}");
        }
    }
}

/// What an error says, and all its sources.
fn chain(error: &dyn Error) -> String {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        source = error.source();
    }
    chain
}

/// A copy of the one file is a whole copy.
#[tokio::test]
async fn leaves_one_whole_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let database = Sqlite::create(&path, Settings::new()).await.unwrap();
    SqliteStore::migrate(&database).await.unwrap();
    let store = SqliteStore::open(&database).await.unwrap();
    let key = stored(&store, personal("ada"), "laptop").await;
    database.close().await.unwrap();
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["keys.db"]);
    assert!(matches!(store.find(key.id()).await, Err(StoreError::Database { .. })));

    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let database = Sqlite::open(&copy, Settings::new()).await.unwrap();
    let store = SqliteStore::open(&database).await.unwrap();
    assert_eq!(store.find(key.id()).await.unwrap().as_deref(), Some(&key));
    assert_eq!(store.events(&LogQuery::new()).await.unwrap().len(), 1);
    assert_eq!(key.created_at(), NOW);
}

/// Somebody who reads keeps the last changes out of the one file. Closing then says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn closes_with_an_error_beside_one_who_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let settings = Settings::new().with_answer_limit(Duration::from_millis(500));
    let database = Sqlite::create(&path, settings).await.unwrap();
    SqliteStore::migrate(&database).await.unwrap();
    let store = SqliteStore::open(&database).await.unwrap();
    let mut other = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
    other.execute("BEGIN; SELECT count(*) FROM keygate_keys").await.unwrap();
    let key = stored(&store, personal("ada"), "laptop").await;
    let answer = database.close().await;
    assert!(matches!(answer, Err(StoreError::TimedOut(_))), "{answer:?}");
    other.close().await.unwrap();
    // Nothing is lost.
    let store = open_sqlite(&path).await.unwrap();
    assert_eq!(store.find(key.id()).await.unwrap().as_deref(), Some(&key));
    store.database().close().await.unwrap();
    // It is closed, so there is nothing to do.
    store.database().close().await.unwrap();
}

/// A path may lead to a file of something else. To ask it for its tables leaves it as it is.
#[tokio::test]
async fn opening_another_programs_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cookies.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    other.execute("CREATE TABLE cookies (a)").await.unwrap();
    other.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let database = Sqlite::open(&path, Settings::new()).await.unwrap();
    let error = SqliteStore::open(&database).await.unwrap_err();
    assert!(matches!(error, OpenError::NoTables { .. }), "{error:?}");
    database.close().await.unwrap();
    assert!(std::fs::read(&path).unwrap() == before, "the file is another one");
}

/// A backup that `VACUUM INTO` made has no write-ahead log until it is opened.
#[tokio::test]
async fn a_backup_gets_a_write_ahead_log() {
    let directory = tempfile::tempdir().unwrap();
    let (path, backup) = (directory.path().join("keys.db"), directory.path().join("backup.db"));
    let journal = async |database: &Sqlite| -> String {
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(database.pool()).await.unwrap()
    };
    let store = open_sqlite(&path).await.unwrap();
    let key = stored(&store, personal("ada"), "laptop").await;
    sqlx::query("VACUUM INTO $1").bind(backup.to_str()).execute(store.database().pool()).await.unwrap();
    let database = Sqlite::open(&backup, Settings::new()).await.unwrap();
    assert_eq!(journal(&database).await, "wal");
    let restored = SqliteStore::open(&database).await.unwrap();
    assert_eq!(restored.find(key.id()).await.unwrap().as_deref(), Some(&key));
}

#[test]
fn can_be_awaited_in_tasks() {
    fn is_send<T: Send>(_: T) {}
    is_send(Sqlite::open("keys.db", Settings::new()));
    is_send(Sqlite::create("keys.db", Settings::new()));
    is_send(Postgres::connect("postgres://localhost", Settings::new()));
    let _ = |database: &Sqlite, server: &Postgres| {
        is_send((SqliteStore::migrate(database), SqliteDirectory::migrate(database), database.close()));
        is_send((PostgresStore::migrate(server), PostgresDirectory::migrate(server), server.close()));
        is_send((SqliteStore::open(database), PostgresStore::open(server)));
    };
    let _ = |store: &SqliteStore, directory: &SqliteDirectory, user, team| {
        is_send(directory.provision(&user));
        is_send(directory.set_member(&user, &team, TeamRole::Admin));
        is_send(directory.deprovision(&user));
        is_send(store.events(&LogQuery::new()));
        is_send(store.begin_new_life());
    };
}
