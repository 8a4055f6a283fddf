//! How long a look-up takes, beside a bare `SELECT` of the same row by its primary key with sqlx, in turns; and how
//! many bytes a key takes, with its part of the indices.
//!
//! ```sh
//! SQL_KEYS=1000000 bash crates/keygate-sqlx/with_postgres.sh cargo bench -p keygate-sqlx --all-features --bench find
//! ```
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that measures"
)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/many.rs"]
mod many;

use core::time::Duration;

use common::{File, Place, Server, on, personal, stored};
use keygate::store::KeyStore;
use many::{count, fill, id};
use sqlx::{
    PgPool, Row,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tokio::time::Instant;

const SAMPLES: usize = 5_000;
const FILE_SIZE: &str = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
const TABLE_SIZE: &str = "SELECT pg_total_relation_size('keygate_keys')";
const BARE: &str = "SELECT * FROM keygate_keys WHERE id = $1";

fn main() {
    // `cargo test --all-targets` runs this once as well.
    let samples = if std::env::args().any(|argument| argument == "--bench") { SAMPLES } else { 10 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        on(async |file: &File| {
            // As the store's own: without a question before each use whether the connection lives.
            let pool = SqlitePoolOptions::new().test_before_acquire(false);
            let pool = pool.connect_lazy_with(SqliteConnectOptions::new().filename(file.path()));
            let bytes = async || sqlx::query_scalar(FILE_SIZE).fetch_one(&pool).await.unwrap();
            measure(file, samples, bytes, async |id| {
                let row = sqlx::query(BARE).bind(id).fetch_one(&pool).await.unwrap();
                row.get::<Vec<u8>, _>("current_digest");
            })
            .await;
        })
        .await;
        on(async |server: &Server| {
            let pool = PgPool::connect(&server.url()).await.unwrap();
            let bytes = async || sqlx::query_scalar(TABLE_SIZE).fetch_one(&pool).await.unwrap();
            measure(server, samples, bytes, async |id| {
                let row = sqlx::query(BARE).bind(id).fetch_one(&pool).await.unwrap();
                row.get::<Vec<u8>, _>("current_digest");
            })
            .await;
            pool.close().await;
        })
        .await;
    });
}

async fn measure<P: Place>(place: &P, samples: usize, bytes: impl AsyncFn() -> i64, bare: impl AsyncFn(String)) {
    let store = place.open().await;
    let template = stored(&store, personal("many"), "template").await;
    fill(place, template.id()).await;
    let (mut finds, mut selects) = (Vec::new(), Vec::new());
    for sample in 0..samples {
        let id = id(sample * 31 % count() + 1);
        // The first to ask for a row finds it in no cache of the system: each of them is that every second time.
        for is_bare in [sample % 2 == 0, sample % 2 == 1] {
            let started = Instant::now();
            if is_bare {
                bare(id.to_string()).await;
                selects.push(started.elapsed());
            } else {
                assert!(store.find(id).await.unwrap().is_some());
                finds.push(started.elapsed());
            }
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    let (find, select) = (median(finds), median(selects));
    println!(
        "find: {}: {} keys of {} bytes: p50 {find:.0} µs, a bare SELECT {select:.0} µs: {:.2} times",
        P::NAME,
        count(),
        bytes().await / i64::try_from(count()).unwrap(),
        find / select
    );
}
