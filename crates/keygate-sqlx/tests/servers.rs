//! What can stand between a service and its primary: a standby in the place of it, and poolers.

#![expect(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "tests")]

mod common;

use common::{NOW, Place, Server, changed, found, logged, on, open_postgres, personal, revoke, stored, variable};
use core::{str::FromStr, time::Duration};
use keygate::{
    RevocationCause,
    store::{ChangeFeed, KeyManagementStore, KeyStore, KeysOf, ListQuery, SecretSlot, Touch},
};
use keygate_sqlx::{LogQuery, OpenError, Postgres, PostgresStore, Settings, StoreError};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep},
};

/// The server of a variable, with the database of a test.
fn at(name: &str, server: &Server) -> Option<PgConnectOptions> {
    let options = PgConnectOptions::from_str(&variable(name)?).unwrap();
    // Poolers do not know it.
    Some(options.database(server.options.get_database().unwrap()).extra_float_digits(None))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opens_no_standby() {
    on(async |server: &Server| {
        let Some(standby) = at("KEYGATE_TEST_POSTGRES_STANDBY", server) else { return };
        let store = server.open().await;
        stored(&store, personal("ada"), "laptop").await;
        wait_for_copy(&standby, 1).await;
        let error = Postgres::connect_with(standby, Settings::new()).await.unwrap_err();
        assert!(matches!(error, OpenError::Store(StoreError::Standby(_))), "{error:?}");
    })
    .await;
}

/// A connection that leads to a standby after a while: by a proxy, an address that moved, a pooler. It has the key as
/// it was before it was revoked, and must not say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reads_from_no_standby() {
    on(async |server: &Server| {
        let Some(standby) = at("KEYGATE_TEST_POSTGRES_STANDBY", server) else { return };
        let direct = server.open().await;
        let key = stored(&direct, personal("ada"), "laptop").await;
        wait_for_copy(&standby, 1).await;

        let target = watch::Sender::new(server.options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(pass_on(listener, target.subscribe()));
        let url = server.options.clone().port(port).to_url_lossy();
        let store = open_postgres(url.as_str()).await.unwrap();
        assert_eq!(found(&store, key.id()).await, key);

        target.send(standby.get_port()).unwrap();
        changed(&direct, revoke(&key, RevocationCause::Leaked)).await;
        // The connections to the primary end, those that come lead to the standby.
        let is_standby = |error: StoreError| assert!(matches!(error, StoreError::Standby(_)), "{error:?}");
        settles(async || matches!(store.find(key.id()).await, Err(StoreError::Standby(_)))).await;
        for _ in 0..20 {
            is_standby(store.find(key.id()).await.unwrap_err());
            is_standby(store.find("nosuchkeyatall00".parse().unwrap()).await.unwrap_err());
            is_standby(store.list(KeysOf::All, ListQuery::new()).await.unwrap_err());
            is_standby(store.changes_since(None).await.unwrap_err());
            is_standby(store.events(&LogQuery::new()).await.unwrap_err());
            is_standby(store.change(revoke(&key, RevocationCause::Leaked)).await.unwrap_err());
            let touches = vec![Touch::new(key.id(), SecretSlot::Current, NOW)];
            is_standby(store.touch(touches, NOW).await.unwrap_err());
        }
        // And back again, without opening anything again.
        target.send(server.options.get_port()).unwrap();
        settles(async || store.find(key.id()).await.is_ok()).await;
        assert!(found(&store, key.id()).await.is_revoked());
    })
    .await;
}

/// Waits until it is so as often as there are connections: those that broke are replaced as they are found out.
async fn settles(is_so: impl AsyncFn() -> bool) {
    let (started, mut times) = (Instant::now(), 0);
    while times < 20 {
        assert!(started.elapsed() < Duration::from_secs(5));
        times = if is_so().await { times + 1 } else { 0 };
    }
}

/// Waits until the standby has so many events.
async fn wait_for_copy(standby: &PgConnectOptions, events: i64) {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < Duration::from_secs(20), "the standby does not follow");
        if let Ok(mut connection) = standby.connect().await {
            let count = sqlx::query_scalar("SELECT count(*) FROM keygate_events").fetch_one(&mut connection).await;
            if count.is_ok_and(|count: i64| count == events) {
                return connection.close().await.unwrap();
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Passes on to the port that is the target; connections to another one end.
async fn pass_on(listener: TcpListener, target: watch::Receiver<u16>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut target = target.clone();
        tokio::spawn(async move {
            let port = *target.borrow_and_update();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = target.changed() => {}
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opens_no_pooler_that_changes_sessions() {
    on(async |server: &Server| {
        let Some(pooler) = at("KEYGATE_TEST_PGBOUNCER_STATEMENT", server) else { return };
        let error = Postgres::connect_with(pooler, Settings::new()).await.unwrap_err();
        assert!(matches!(error, OpenError::Pooler(_)), "{error:?}");
        let Some(pooler) = at("KEYGATE_TEST_PGBOUNCER_TRANSACTION", server) else { return };
        // Alone, and while others use it.
        for others in [0, 6] {
            let work: Vec<_> = (0..others).map(|_| tokio::spawn(query_on(pooler.clone()))).collect();
            for _ in 0..10 {
                let error = Postgres::connect_with(pooler.clone(), Settings::new()).await.unwrap_err();
                assert!(matches!(error, OpenError::Pooler(_)), "{others}: {error:?}");
                assert!(error.to_string().contains("use its session mode, or connect to the server"), "{error}");
            }
            for work in work {
                work.abort();
            }
        }
    })
    .await;
}

async fn query_on(options: PgConnectOptions) {
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    loop {
        connection.execute(sqlx::raw_sql("SELECT 1")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn works_behind_a_pooler_in_session_mode() {
    on(async |server: &Server| {
        let Some(pooler) = at("KEYGATE_TEST_PGBOUNCER_SESSION", server) else { return };
        for round in 0..3 {
            let database = Postgres::connect_with(pooler.clone(), Settings::new()).await.unwrap();
            PostgresStore::migrate(&database).await.unwrap();
            let store = PostgresStore::open(&database).await.unwrap();
            let tasks: Vec<_> = (0..8)
                .map(|task| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        for number in 0..10 {
                            let key = stored(&store, personal("ada"), &format!("key-{round}-{task}-{number}")).await;
                            let touches = vec![Touch::new(key.id(), SecretSlot::Current, NOW)];
                            store.touch(touches, NOW).await.unwrap();
                            assert!(!found(&store, key.id()).await.is_revoked());
                            changed(&store, revoke(&key, RevocationCause::Requested)).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(logged(&store).await.len(), (round + 1) * 160);
            database.close().await;
        }
    })
    .await;
}
