//! Opening, which services do in tasks, in several processes at once.

use keygate::TeamRole;
use keygate_sqlx::{PostgresStore, SqliteStore};

/// Two that switch a new file to a write-ahead log at once are in each other's way only now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opens_a_new_file_all_at_once() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let path = directory.path().join(number.to_string());
        let open = |_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteStore::open(&path).await })
        };
        let opening: Vec<_> = (0..8).map(open).collect();
        for store in opening {
            store.await.unwrap().unwrap();
        }
    }
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
    let store = SqliteStore::open(&path).await.unwrap();
    store.provision(&"ada".parse().unwrap()).await.unwrap();
    assert!(modes().len() > 1); // the write-ahead log, too
    assert!(modes().iter().all(|mode| *mode == 0o600), "{:?}", modes());

    // What somebody set is not taken back.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    SqliteStore::open(&path).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn says_that_a_file_cannot_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("keys.db");
    assert_eq!(SqliteStore::open(&path).await.unwrap_err().to_string(), "the database failed");
}

#[test]
fn can_be_awaited_in_tasks() {
    fn is_send<T: Send>(_: T) {}
    is_send(SqliteStore::open("keys.db".as_ref()));
    is_send(PostgresStore::connect("postgres://localhost"));
    let _ = |store: &SqliteStore, user, team| {
        is_send(store.provision(&user));
        is_send(store.set_member(&user, &team, TeamRole::Admin));
        is_send(store.deprovision(&user));
        is_send(store.events(None, 1));
        is_send(store.begin_new_life());
    };
}
