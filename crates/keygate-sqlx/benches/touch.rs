//! What 10,000 keys that are used in a minute cost PostgreSQL: by a statement for each use, as the store writes them,
//! and in a narrow table of last uses beside the keys. In the first minute after a checkpoint, and in the next.
//!
//! ```sh
//! SQL_KEYS=1000000 bash crates/keygate-sqlx/with_postgres.sh cargo bench -p keygate-sqlx --all-features --bench touch
//! ```
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that measures"
)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/many.rs"]
mod many;

use core::time::Duration;

use common::{NOW, Place, Server, on, personal, stored};
use keygate::{
    KeyId, UnixTime,
    store::{KeyManagementStore, SecretSlot, Touch},
};
use keygate_sqlx::{PostgresStore, Settings};
use many::{count, fill, id};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};

const ACTIVE: usize = 10_000;
/// Each process tells of the uses that it saw.
const PROCESSES: i64 = 3;
const MINUTES: i64 = 2;

fn main() {
    // `cargo test --all-targets` runs this once as well.
    let active = if std::env::args().any(|argument| argument == "--bench") { ACTIVE } else { 100 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(on(async |server: &Server| measure(server, active.min(count())).await));
}

async fn measure(server: &Server, active: usize) {
    // What is counted must take place.
    for sql in ["ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()"] {
        server.execute(sql).await.unwrap();
    }
    let store = server.open().await;
    let template = stored(&store, personal("many"), "template").await;
    fill(server, template.id()).await;
    let narrow = "CREATE TABLE narrow (id text COLLATE \"C\" PRIMARY KEY, last_used_at bigint NOT NULL) WITH (fillfactor = 50); \
         CREATE TABLE full_pages (LIKE keygate_keys INCLUDING ALL) WITH (fillfactor = 100); \
         INSERT INTO full_pages SELECT * FROM keygate_keys";
    server.execute(narrow).await.unwrap();
    let narrow = format!("INSERT INTO narrow SELECT id, {} FROM keygate_keys ORDER BY id", NOW);
    server.execute(&narrow).await.unwrap();
    server.execute("VACUUM ANALYZE").await.unwrap();
    let mut connection = server.options.connect().await.unwrap();
    println!("touch: {} keys, {active} used in a minute, {PROCESSES} processes", count());

    each(server, &mut connection, "a statement for each use, full pages", async |connection, minute| {
        for process in 0..PROCESSES {
            for id in in_use(active) {
                let (id, at) = (id.to_string(), NOW.as_secs() + minute * 60 + process);
                let sql = "UPDATE full_pages SET last_used_at = $2 WHERE id = $1 AND last_used_at IS DISTINCT FROM $2";
                connection.execute(sqlx::query(sql).bind(id).bind(at)).await.unwrap();
            }
        }
        PROCESSES * active as i64
    })
    .await;

    each(server, &mut connection, "as the store writes", async |_, minute| {
        let mut statements = 0;
        for process in 0..PROCESSES {
            let store = server.open_with(Settings::new(), false).await.unwrap();
            statements += touch(&store, active, minute * 60 + process).await;
            // A session that ends says what it wrote.
            store.database().close().await;
        }
        statements
    })
    .await;

    each(server, &mut connection, "a narrow table", async |connection, minute| {
        let mut statements = 0;
        for process in 0..PROCESSES {
            let at = NOW.as_secs() + minute * 60 + process;
            for ids in in_use(active).collect::<Vec<_>>().chunks(1000) {
                let ids: Vec<_> = ids.iter().map(KeyId::to_string).collect();
                let sql = "UPDATE narrow SET last_used_at = $2 FROM unnest($1) AS touched (id) \
                     WHERE narrow.id = touched.id AND last_used_at < $2 - 59";
                connection.execute(sqlx::query(sql).bind(ids).bind(at)).await.unwrap();
                statements += 1;
            }
        }
        statements
    })
    .await;
    connection.close().await.unwrap();
}

/// Keys from all parts of the table.
fn in_use(active: usize) -> impl Iterator<Item = KeyId> {
    (1..=active).map(move |number| id(number * (count() / active)))
}

async fn touch(store: &PostgresStore, active: usize, seconds: i64) -> i64 {
    let used_at = UnixTime::from_secs(NOW.as_secs() + seconds);
    let touches = in_use(active).map(|id| Touch::new(id, SecretSlot::Current, used_at)).collect();
    store.touch(touches, UnixTime::MAX).await.unwrap();
    // Up to 1,000 keys in each.
    active.div_ceil(1000) as i64
}

async fn each(
    server: &Server,
    connection: &mut PgConnection,
    what: &str,
    mut run: impl AsyncFnMut(&mut PgConnection, i64) -> i64,
) {
    server.execute("CHECKPOINT").await.unwrap();
    for minute in 1..=MINUTES {
        let before = written(connection).await;
        let statements = run(connection, minute).await;
        let after = written(connection).await;
        println!(
            "touch: {what}, minute {minute}: {:.1} MB of WAL, {statements} statements, {} fsyncs",
            (after.0 - before.0) as f64 / 1e6,
            after.1 - before.1
        );
    }
}

/// Bytes of the log, and how often it was synced.
async fn written(connection: &mut PgConnection) -> (i64, i64) {
    connection.execute(sqlx::raw_sql("SELECT pg_stat_force_next_flush()")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, wal_sync FROM pg_stat_wal";
    let row = connection.fetch_one(sqlx::raw_sql(sql)).await.unwrap();
    (row.get(0), row.get(1))
}
