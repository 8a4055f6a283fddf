//! Notifications wake the tick of a cache, and the feed passes no change by that commits late.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;
#[path = "common/line.rs"]
mod line;

use common::{Place, Server, changed, disable, enable, on, open_postgres, personal, rename, revoke, rotate, stored};
use core::time::Duration;
use keygate::{
    CachedStore, RevocationCause, Rotation, System,
    store::{Answer, ChangeFeed, Changes, KeyLookup, KeyManagementStore, Logged},
};
use keygate_sqlx::{Postgres, PostgresStore, Settings, StoreError, Wakes};
use line::Line;
use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep, timeout};

async fn open(server: &Server) -> (Postgres, PostgresStore) {
    let store = server.open().await;
    (store.database().clone(), store)
}

async fn is_woken(wakes: &mut Wakes) -> bool {
    timeout(Duration::from_millis(300), wakes.next()).await.is_ok_and(|woken| {
        woken.unwrap();
        true
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wakes_for_what_ends_or_replaces_a_secret() {
    on(async |server: &Server| {
        let (database, store) = open(server).await;
        let mut wakes = database.wakes().await.unwrap();
        let key = stored(&store, personal("ada"), "laptop").await;
        changed(&store, rename(&key, "phone")).await;
        assert!(!is_woken(&mut wakes).await);
        // Before anybody waits for it.
        changed(&store, disable(&key)).await;
        assert!(is_woken(&mut wakes).await);
        changed(&store, enable(&key)).await;
        assert!(!is_woken(&mut wakes).await);
        changed(&store, rotate(&key, Rotation::CutOver).change).await;
        assert!(is_woken(&mut wakes).await);
        changed(&store, revoke(&key, RevocationCause::Leaked)).await;
        assert!(is_woken(&mut wakes).await);
        // What changed nothing wakes nobody.
        let _ = store.change(revoke(&key, RevocationCause::Leaked)).await.unwrap();
        assert!(!is_woken(&mut wakes).await);
        // Many are one.
        for number in 0..20 {
            stored(&store, personal("bob"), &format!("key-{number}")).await;
        }
        let manager = common::manager(store.clone());
        let owner = personal("bob").owner();
        let _ = manager.revoke_all(&System::new("test").unwrap(), owner, RevocationCause::Unused).await.unwrap();
        assert!(is_woken(&mut wakes).await);
        assert!(!is_woken(&mut wakes).await);
        // Those of other tables are not heard.
        let other = Settings::new().with_table_prefix("other_".parse().unwrap());
        let other = server.open_with(other, true).await.unwrap();
        let key = stored(&other, personal("ada"), "laptop").await;
        changed(&other, disable(&key)).await;
        assert!(!is_woken(&mut wakes).await);
    })
    .await;
}

/// A listener that lost its connection is woken when it is connected again, and gets the notifications after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wakes_after_the_connection_was_lost() {
    on(async |server: &Server| {
        let (database, store) = open(server).await;
        let mut wakes = database.wakes().await.unwrap();
        let key = stored(&store, personal("ada"), "laptop").await;
        server
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await
            .unwrap();
        assert!(timeout(Duration::from_secs(5), wakes.next()).await.unwrap().is_ok());
        let other = open_postgres(&server.url()).await.unwrap();
        changed(&other, disable(&key)).await;
        assert!(is_woken(&mut wakes).await);
        // A database that is closed wakes nobody for ever.
        database.close().await;
        assert!(timeout(Duration::from_secs(5), wakes.next()).await.unwrap().is_err());
        let error = database.wakes().await.unwrap_err();
        assert!(error.to_string().ends_with(" is closed"), "{error}");
    })
    .await;
}

/// Who is dropped while the connection is away loses nothing: the next one is woken when it is back, however short each
/// of them waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wakes_that_were_dropped_while_the_server_was_away() {
    on(async |server: &Server| {
        let mut line = Line::new(server).await;
        let url = server.options.clone().host("127.0.0.1").port(line.port).to_url_lossy();
        let store = open_postgres(url.as_str()).await.unwrap();
        let direct = open_postgres(&server.url()).await.unwrap();
        let key = stored(&direct, personal("ada"), "laptop").await;
        let mut wakes = store.database().wakes().await.unwrap();
        line.cut().await;
        // New connections are taken, and answered by nobody for now.
        line.restore().await;
        line.silence();
        assert!(timeout(Duration::from_millis(500), wakes.next()).await.is_err());
        // A notification that nobody gets.
        changed(&direct, revoke(&key, RevocationCause::Leaked)).await;
        line.restore_new();
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < Duration::from_secs(15), "nobody is woken");
            match timeout(Duration::from_millis(1), wakes.next()).await {
                Ok(Ok(())) => break,
                // The attempt that met with silence has ended.
                Ok(Err(error)) => assert!(matches!(error, StoreError::TimedOut(_)), "{error}"),
                Err(_) => {}
            }
        }
    })
    .await;
}

/// The tick alone keeps the bound; woken, a cache in another process is right after some milliseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cache_is_right_soon() {
    on(async |server: &Server| {
        let (database, store) = open(server).await;
        let other = open_postgres(&server.url()).await.unwrap();
        let cache = CachedStore::new(store.clone(), Duration::from_secs(60));
        let mut wakes = database.wakes().await.unwrap();
        cache.tick().await.unwrap();
        let follower = cache.clone();
        let following = tokio::spawn(async move {
            while wakes.next().await.is_ok() {
                follower.tick().await.unwrap();
            }
        });
        for number in 0..10 {
            let key = stored(&other, personal("ada"), &format!("key-{number}")).await;
            assert!(!cache.look_up(key.id()).await.unwrap().unwrap().is_revoked());
            changed(&other, revoke(&key, RevocationCause::Leaked)).await;
            let revoked = Instant::now();
            while !cache.look_up(key.id()).await.unwrap().unwrap().is_revoked() {
                assert!(revoked.elapsed() < Duration::from_secs(5));
                sleep(Duration::from_millis(1)).await;
            }
        }
        following.abort();
    })
    .await;
}

/// One who has counted up the revision and does not commit holds up those behind them; nobody reads past either.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn passes_no_change_by_that_commits_late() {
    on(async |server: &Server| {
        let (_, store) = open(server).await;
        let first = stored(&store, personal("ada"), "first").await;
        let second = stored(&store, personal("ada"), "second").await;
        let known = store.changes_since(None).await.unwrap().revision();
        let mut late = server.options.connect().await.unwrap();
        let change = format!(
            "BEGIN; UPDATE keygate_revision SET number = number + 1; \
             INSERT INTO keygate_events SELECT number, 'late', 0, kind, '{}', owner_kind, owner_id, NULL, NULL, event \
             FROM keygate_revision, keygate_events WHERE sequence = 1",
            first.id()
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&mut late).await.unwrap();
        let behind = {
            let (store, change) = (store.clone(), disable(&second));
            tokio::spawn(async move { store.change(change).await })
        };
        sleep(Duration::from_millis(300)).await;
        let nothing = Changes::Keys { ids: vec![], revision: known };
        assert_eq!(store.changes_since(Some(known)).await.unwrap(), nothing);
        assert!(!behind.is_finished());
        sqlx::raw_sql("COMMIT").execute(&mut late).await.unwrap();
        assert_eq!(behind.await.unwrap().unwrap(), Answer::Changed(Logged));
        let Changes::Keys { ids, revision } = store.changes_since(Some(known)).await.unwrap() else { panic!("all") };
        let mut both = vec![first.id(), second.id()];
        both.sort_unstable();
        assert_eq!((ids, revision.number()), (both, known.number() + 2));
        late.close().await.unwrap();
    })
    .await;
}
