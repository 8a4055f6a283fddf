//! Opening, which services do in tasks, in several processes at once.

use keygate::Membership;
use keygate_sql_store::{PostgresStore, SqliteStore};

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

#[test]
fn can_be_awaited_in_tasks() {
    fn is_send<T: Send>(_: T) {}
    is_send(SqliteStore::open("keys.db".as_ref()));
    is_send(PostgresStore::connect("postgres://localhost"));
    let _ = |store: &SqliteStore, user, team| {
        is_send(store.set_member(&user, &team, Membership::Admin));
        is_send(store.deprovision(&user));
    };
}
