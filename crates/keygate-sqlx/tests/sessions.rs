//! Sessions of PostgreSQL that are not as a pool gives them: what is read there is not taken for the state of now.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use core::time::Duration;

use common::{Place, Server, changed, found, on, personal, revoke, stored};
use keygate::{
    CachedStore, RevocationCause, UserId, UserStatus,
    store::{Directory as _, KeyStore as _},
};
use keygate_sqlx::{Postgres, PostgresDirectory, PostgresStore, Settings};
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Row as _, postgres::PgPoolOptions};
use tokio::time::sleep;

/// A pool of one connection, so that it is known which session answers.
async fn pool(server: &Server, isolation: &str) -> PgPool {
    let options = server.options.clone().options([("default_transaction_isolation", isolation)]);
    PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
}

/// Leaves a transaction open in the session of the pool, as a service does that begins one by hand, and as sqlx does
/// where somebody goes away while one begins.
async fn leave_open(pool: &PgPool, begin: &'static str) {
    pool.execute(sqlx::raw_sql(begin)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reads_no_snapshot_of_a_transaction_that_was_left_open() {
    on(async |server: &Server| {
        let direct = server.open().await;
        for (number, (isolation, begin, at_once)) in [
            ("read committed", "BEGIN", true),
            ("read committed", "BEGIN ISOLATION LEVEL REPEATABLE READ", true),
            ("read committed", "BEGIN ISOLATION LEVEL SERIALIZABLE", true),
            ("repeatable read", "BEGIN", false),
        ]
        .into_iter()
        .enumerate()
        {
            let key = stored(&direct, personal("ada"), &format!("key-{number}")).await;
            let pool = pool(server, isolation).await;
            let database = Postgres::from_pool(pool.clone(), Settings::new()).await.unwrap();
            let store = PostgresStore::open(&database).await.unwrap();
            let cache = CachedStore::new(store.clone(), Duration::from_secs(2));
            cache.tick().await.unwrap();
            leave_open(&pool, begin).await;
            assert_eq!(found(&store, key.id()).await, key);
            changed(&direct, revoke(&key, RevocationCause::Leaked)).await;
            if !at_once {
                // Nothing but its age distinguishes the transaction from one of a single statement.
                sleep(Duration::from_secs(1)).await;
            }
            assert!(found(&store, key.id()).await.is_revoked(), "{isolation}, {begin}");
            cache.tick().await.unwrap();
            // Changes are not written into it either.
            let other = stored(&store, personal("ada"), &format!("other-{number}")).await;
            assert_eq!(found(&direct, other.id()).await, other);
            pool.close().await;
        }
    })
    .await;
}

/// A transaction that failed is left open as well: it answers nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn asks_no_transaction_that_failed() {
    on(async |server: &Server| {
        let direct = server.open().await;
        let key = stored(&direct, personal("ada"), "laptop").await;
        let pool = pool(server, "read committed").await;
        let database = Postgres::from_pool(pool.clone(), Settings::new()).await.unwrap();
        let store = PostgresStore::open(&database).await.unwrap();
        leave_open(&pool, "BEGIN").await;
        assert!(pool.execute(sqlx::raw_sql("SELECT 1 / 0")).await.is_err());
        assert_eq!(found(&store, key.id()).await, key);
        pool.close().await;
    })
    .await;
}

/// Two statements with the same kinds of values, each under the name of the other: as by a pooler that changes sessions
/// between the statements of two clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn takes_no_statement_for_another() {
    on(async |server: &Server| {
        let direct = server.open().await;
        let key = stored(&direct, personal("ada"), "laptop").await;
        let ada: UserId = "ada".parse().unwrap();
        server.open_directory().await.provision(&ada).await.unwrap();
        let pool = pool(server, "read committed").await;
        let database = Postgres::from_pool(pool.clone(), Settings::new()).await.unwrap();
        let store = PostgresStore::open(&database).await.unwrap();
        let directory = PostgresDirectory::open(&database).await.unwrap();
        let asks = async || {
            assert!(store.find(key.id()).await.unwrap().is_some());
            assert!(matches!(directory.user(&ada).await.unwrap(), UserStatus::Active { .. }));
        };
        asks().await;
        let prepared = "SELECT name, statement FROM pg_prepared_statements WHERE statement LIKE '%keygate_find%' \
             OR statement LIKE '%keygate_user%' ORDER BY name";
        let rows = pool.fetch_all(sqlx::raw_sql(prepared)).await.unwrap();
        let [one, other] = rows.as_slice() else { panic!("{} statements", rows.len()) };
        let exchange = |named: &sqlx::postgres::PgRow, with: &sqlx::postgres::PgRow| {
            let (name, statement): (String, String) = (named.get(0), with.get(1));
            format!("DEALLOCATE {name}; PREPARE {name} (text, text) AS {statement}; ")
        };
        let exchanged = exchange(one, other) + &exchange(other, one);
        pool.execute(sqlx::raw_sql(AssertSqlSafe(exchanged))).await.unwrap();
        asks().await;
        pool.close().await;
    })
    .await;
}
