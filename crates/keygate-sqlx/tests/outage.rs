//! A PostgreSQL server that cannot be reached is an error soon, and no reason to start the service again.
#![expect(clippy::arithmetic_side_effects, clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

mod common;
#[path = "common/line.rs"]
mod line;

use core::{
    cmp::Reverse,
    future::{self, Future},
    task::Poll,
    time::Duration,
};

use common::{
    NOW, Place, Server, disable, found, logged, manager, mint, on, open_postgres, page, personal, rename, revoke,
    stored,
};
use keygate::{
    KeyRecord, RevocationCause, Status, System, Validity,
    store::{Answer, Conflict, KeyManagementStore, KeyStore, Logged, SecretSlot, Touch},
};
use keygate_sqlx::{OpenError, Postgres, PostgresStore, Settings, StoreError};
use line::Line;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refused_connections() {
    on(async |server: &Server| {
        let (mut line, store, key) = through_a_line(server).await;
        line.cut().await;
        fails_soon(&store, &key).await;
        line.restore().await;
        works(&store, &key).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_falls_silent() {
    on(async |server: &Server| {
        let (line, store, key) = through_a_line(server).await;
        open_connections(server, &store, &key).await;
        line.silence();
        // All connections are in use now, and nothing comes back on any: they must not be waited for without bound.
        let waiting: Vec<_> = (0..15).map(|_| change(&store, &key)).collect();
        let mut timed_out = 0;
        for change in waiting {
            timed_out += u32::from(matches!(change.await.unwrap(), Err(StoreError::TimedOut(_))));
        }
        assert!(timed_out > 0);
        line.restore_new();
        works(&store, &key).await;
    })
    .await;
}

/// The end of a process does not wait for a server that says nothing, whatever is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn closing_while_the_server_is_silent() {
    on(async |server: &Server| {
        let line = Line::new(server).await;
        let url = server.options.clone().host("127.0.0.1").port(line.port).to_url_lossy();
        let database = Postgres::connect(url.as_str(), Settings::new()).await.unwrap();
        PostgresStore::migrate(&database).await.unwrap();
        let store = PostgresStore::open(&database).await.unwrap();
        let key = stored(&store, personal("ada"), "laptop").await;
        open_connections(server, &store, &key).await;
        line.silence();
        let waiting: Vec<_> = (0..5).map(|_| change(&store, &key)).collect();
        sleep(Duration::from_millis(100)).await;
        let started = Instant::now();
        database.close().await;
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert!(store.find(key.id()).await.is_err());
        for change in waiting {
            assert!(change.await.unwrap().is_err());
        }
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_go_away() {
    on(async |server: &Server| {
        let (line, store, key) = through_a_line(server).await;
        open_connections(server, &store, &key).await;
        line.silence();
        for _ in 0..10 {
            timeout(Duration::from_millis(50), store.find(key.id())).await.unwrap_err();
            timeout(Duration::from_millis(50), store.change(disable(&key))).await.unwrap_err();
        }
        line.restore_new();
        works(&store, &key).await;
    })
    .await;
}

/// As long as the server answers, a call that nobody waits for any more leaves its session to the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_go_away_from_a_server_that_answers() {
    on(async |server: &Server| {
        let store = server.open().await;
        let key = stored(&store, personal("ada"), "laptop").await;
        let before = opened(server).await;
        for round in 0..40 {
            // Many at once, and each for a time of its own, so that calls end in all of their steps.
            let calls = (0..10).map(|number: u64| {
                let (store, key, span) =
                    (store.clone(), key.clone(), Duration::from_micros(number * (100 + round * 25)));
                tokio::spawn(async move {
                    match number % 3 {
                        0 => drop(timeout(span, store.find(key.id())).await),
                        1 => drop(timeout(span, store.change(rename(&key, &format!("key-{round}-{number}")))).await),
                        _ => drop(timeout(span, store.events(&page(None, 3))).await),
                    }
                })
            });
            for call in calls.collect::<Vec<_>>() {
                call.await.unwrap();
            }
        }
        let sessions = opened(server).await - before;
        // The pool has ten; two are those that asked.
        println!("outage: {sessions} sessions for 400 calls that were given up");
        assert!(sessions <= 12, "{sessions} sessions for 400 calls");
        assert_eq!(store.change(disable(&key)).await.unwrap(), Answer::Changed(Logged));
        // No transaction was left open, and none was committed by halves.
        let renamed = logged(&store).await.iter().filter(|logged| logged.event.kind.as_str() == "renamed").count();
        assert!(renamed > 0, "no change took place");
        assert_eq!(idle_in_transaction(server).await, 0);
    })
    .await;
}

/// Each step of a change is the last one that somebody waits for: nothing of it stays open on the connection, or the
/// next one to get it would write into a transaction that is never committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_go_away_at_each_step() {
    on(async |server: &Server| {
        let (_line, store, _) = through_a_line(server).await;
        let mut polls = 0;
        loop {
            polls += 1;
            let key = stored(&store, personal("ada"), &format!("key-{polls}")).await;
            let is_answered = poll_times(store.change(disable(&key)), polls).await;
            // Time enough to give the connection back, and to undo what was begun on it.
            sleep(Duration::from_millis(100)).await;
            let started = Instant::now();
            while idle_in_transaction(server).await > 0 {
                assert!(started.elapsed() < Duration::from_secs(1), "a transaction is open after {polls} polls");
            }
            if is_answered {
                break;
            }
        }
        // A connection, BEGIN, the look at the row, the change, the event and COMMIT: each was waited for.
        assert!(polls > 5, "{polls}");
    })
    .await;
}

/// Polls a future so many times, each time when it woke its task, drops it, and returns `true` if it ended.
async fn poll_times(future: impl Future, times: usize) -> bool {
    let (mut future, mut left) = (Box::pin(future), times);
    future::poll_fn(move |context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How many sessions were opened in the database so far. A session is counted when it ends, or now and then.
async fn opened(server: &Server) -> i64 {
    let sql = "SELECT pg_stat_force_next_flush(), sessions FROM pg_stat_database WHERE datname = current_database()";
    sleep(Duration::from_millis(1500)).await;
    ask(server, sql).await
}

async fn idle_in_transaction(server: &Server) -> i64 {
    ask(
        server,
        "SELECT 0, count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in %'",
    )
    .await
}

/// Asks for the second column.
async fn ask(server: &Server, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect_with(&server.options).await.unwrap();
    let count = sqlx::raw_sql(sql).fetch_one(&mut connection).await.unwrap().get(1);
    connection.close().await.unwrap();
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_that_the_server_ends() {
    on(async |server: &Server| {
        let store = server.open().await;
        let key = stored(&store, personal("ada"), "laptop").await;
        for _ in 0..5 {
            let mut all_at_once = Vec::new();
            for _ in 0..10 {
                all_at_once.push(store.database().pool().acquire().await.unwrap());
            }
            drop(all_at_once);
            sleep(Duration::from_millis(100)).await;
            let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
            server.execute(all).await.unwrap();
            // Ten connections that were in use a moment ago, and are not asked whether they live: who reads hears of
            // none.
            for _ in 0..10 {
                assert_eq!(store.find(key.id()).await.unwrap().as_deref(), Some(&key));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn locks_that_others_hold() {
    on(async |server: &Server| {
        let store = server.open().await;
        let key = stored(&store, personal("ada"), "laptop").await;
        let mut other = server.options.connect().await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT id FROM keygate_keys FOR UPDATE").execute(&mut other).await.unwrap();
        let started = Instant::now();
        let revoke = revoke(&key, RevocationCause::Leaked);
        assert!(matches!(store.change(revoke.clone()).await, Err(StoreError::TimedOut(_))));
        assert!(started.elapsed() < SOON);
        // Who only reads does not wait.
        assert_eq!(found(&store, key.id()).await, key);
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        assert_eq!(store.change(revoke).await.unwrap(), Answer::Changed(Logged));
        let revoked = Status::Revoked { at: NOW, cause: RevocationCause::Leaked };
        assert_eq!(found(&store, key.id()).await.status(), revoked);
        assert_eq!(logged(&store).await.len(), 2);
    })
    .await;
}

/// What locks many keys locks them in the order of their ids, whatever the order of the rows: while it waits for one,
/// it has none behind that. So two of them never wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_locks_are_taken_in_order() {
    on(async |server: &Server| {
        // Ways to go through the rows that are not in this order by chance.
        let database = server.options.get_database().unwrap();
        for way in ["bitmapscan", "indexscan", "mergejoin", "nestloop"] {
            server.execute(&format!("ALTER DATABASE {database} SET enable_{way} = off")).await.unwrap();
        }
        let store = server.open().await;
        for user in ["touched", "revoked"] {
            // The last row has the first id.
            let key = |number| mint(personal(user), &format!("key-{number}"), Validity::NEVER_EXPIRES, NOW);
            let mut keys: Vec<_> = (0..4).map(key).collect();
            keys.sort_by_key(|key| Reverse(key.record().id()));
            let ids: Vec<_> = keys.iter().map(|key| key.record().id()).collect();
            for key in keys {
                assert_eq!(store.insert(key).await.unwrap(), Ok(Logged));
            }
            let [first, .., last] = ids.as_slice() else { panic!("{ids:?}") };
            let lock = |id| format!("SELECT id FROM keygate_keys WHERE id = '{id}' FOR UPDATE NOWAIT");
            let mut other = server.options.connect().await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {}", lock(last)))).execute(&mut other).await.unwrap();
            let touches = ids.iter().map(|id| Touch::new(*id, SecretSlot::Current, NOW)).collect();
            let store = store.clone();
            let locking = tokio::spawn(async move {
                if user == "touched" {
                    store.touch(touches, NOW).await.unwrap();
                } else {
                    let (system, owner) = (System::new("test").unwrap(), personal(user).owner());
                    let _ = manager(store).revoke_all(&system, owner, RevocationCause::Unused).await.unwrap();
                }
            });
            sleep(Duration::from_millis(300)).await;
            assert!(!locking.is_finished());
            sqlx::raw_sql(AssertSqlSafe(lock(first))).execute(&mut other).await.unwrap();
            sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
            locking.await.unwrap();
        }
    })
    .await;
}

/// Two keys exchange their names: each waits for the name that the other one gives up, until the server ends one of
/// them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_wait_for_each_other() {
    on(async |server: &Server| {
        let store = server.open().await;
        // Between the change of the row and the look for the name comes an index that is slow, so that they do meet.
        let slow = "CREATE FUNCTION slow (name text) RETURNS text IMMUTABLE LANGUAGE plpgsql \
             AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN name; END $$; \
             CREATE INDEX slow_names ON keygate_keys (slow(name)); DROP INDEX keygate_names; \
             CREATE UNIQUE INDEX keygate_names ON keygate_keys (owner_kind, owner_id, name) WHERE status <> 'revoked'";
        server.execute(slow).await.unwrap();
        let (one, two) = (stored(&store, personal("ada"), "one").await, stored(&store, personal("ada"), "two").await);
        let renames = [rename(&one, "two"), rename(&two, "one")].map(|change| {
            let store = store.clone();
            tokio::spawn(async move { store.change(change).await })
        });
        for rename in renames {
            assert_eq!(rename.await.unwrap().unwrap(), Answer::Refused(Conflict::NameTaken));
        }
        let sql =
            "SELECT pg_stat_force_next_flush(), deadlocks FROM pg_stat_database WHERE datname = current_database()";
        sleep(Duration::from_millis(1500)).await;
        // Who tries again lets the other one end first. On a busy machine that may not have come to its end yet, once.
        let deadlocks = ask(server, sql).await;
        assert!((1..=2).contains(&deadlocks), "{deadlocks}");
    })
    .await;
}

#[tokio::test]
async fn nobody_there() {
    let started = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", listener.local_addr().unwrap());
    // Somebody who takes connections and says nothing, and then nobody at all.
    assert!(matches!(open_postgres(&url).await, Err(OpenError::Store(_))));
    drop(listener);
    assert!(matches!(open_postgres(&url).await, Err(OpenError::Store(_))));
    assert!(started.elapsed() < SOON);
}

/// Disables the key in a task of its own, or finds it disabled.
fn change(store: &PostgresStore, key: &KeyRecord) -> JoinHandle<Result<Answer<Logged>, StoreError>> {
    let (store, change) = (store.clone(), disable(key));
    tokio::spawn(async move { store.change(change).await })
}

/// Makes the pool open all its connections, by changes that wait for a lock.
async fn open_connections(server: &Server, store: &PostgresStore, key: &KeyRecord) {
    let mut other = server.options.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT id FROM keygate_keys FOR UPDATE").execute(&mut other).await.unwrap();
    let waiting: Vec<_> = (0..10).map(|_| change(store, key)).collect();
    sleep(Duration::from_millis(500)).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    let mut changed = 0;
    for change in waiting {
        changed += u32::from(change.await.unwrap().unwrap() == Answer::Changed(Logged));
    }
    assert_eq!(changed, 1);
}

async fn fails_soon(store: &PostgresStore, key: &KeyRecord) {
    let started = Instant::now();
    let error = store.find(key.id()).await.unwrap_err();
    assert!(
        error.to_string().ends_with(" gave no connection in time: it cannot be reached, or all are in use"),
        "{error}"
    );
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(store.change(disable(key)).await.is_err());
}

async fn works(store: &PostgresStore, key: &KeyRecord) {
    let started = Instant::now();
    // Connections that broke in use are replaced as they are found out.
    while store.find(key.id()).await.is_err() {
        assert!(started.elapsed() < SOON);
    }
    assert!(matches!(store.change(disable(key)).await.unwrap(), Answer::Changed(_) | Answer::Unchanged(_)));
    assert_eq!(found(store, key.id()).await.status(), Status::Disabled);
}

/// Opens a store that reaches the server through a line that can be cut.
async fn through_a_line(server: &Server) -> (Line, PostgresStore, KeyRecord) {
    let line = Line::new(server).await;
    let url = server.options.clone().host("127.0.0.1").port(line.port).to_url_lossy();
    let store = open_postgres(url.as_str()).await.unwrap();
    let key = stored(&store, personal("ada"), "laptop").await;
    (line, store, key)
}

/// More than the bounds of the store in all: 2 s for a connection, 4 s for an answer.
const SOON: Duration = Duration::from_secs(7);
