//! Many keys: what is asked for is found by an index, all keys of an owner can be ended, and touches stay cheap.
//!
//! `SQL_KEYS` is how many, of which 30 % belong to one owner. The figures are printed.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests"
)]

mod common;
#[path = "common/many.rs"]
mod many;

use common::{File, NOW, Place, Server, found, manager, mint, on, page, personal, questions, stored};
use core::{
    num::{NonZeroU16, NonZeroU32},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::sync::Arc;

use keygate::{
    Owner, RevocationCause, System, UnixTime, Validity,
    store::{ChangeFeed, KeyManagementStore, KeyStore, KeysOf, ListQuery, Logged, SecretSlot, StatusFilter, Touch},
};
use keygate_sqlx::{LogQuery, Settings, Sqlite, SqliteStore, StoreError};
use many::{count, fill, id};
use sqlx::{
    ConnectOptions, Connection, Row,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tokio::time::Instant;

/// What the server has read by going through the tables of keys and events, and written to its log.
async fn read_and_written(server: &Server) -> (i64, i64) {
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let mut connection = server.options.connect().await.unwrap();
    let sql = "SELECT coalesce(sum(seq_tup_read), 0)::bigint, (pg_current_wal_insert_lsn() - '0/0')::bigint \
         FROM pg_stat_user_tables WHERE relname IN ('keygate_keys', 'keygate_events')";
    let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    (row.get(0), row.get(1))
}

/// How many entries of indices of the events the server has read.
async fn indexed(server: &Server) -> i64 {
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let mut connection = server.options.connect().await.unwrap();
    let sql = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'keygate_events'";
    let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.get(0)
}

async fn asks<S>(store: &S, many: KeysOf)
where
    S: KeyManagementStore<Error = StoreError> + ChangeFeed + common::Log,
{
    let mut query = ListQuery::new();
    for keys_of in [KeysOf::All, many, KeysOf::Owner(personal("user-7").owner())] {
        let mut pages = 0;
        query.after = None;
        loop {
            let page = store.list(keys_of.clone(), query).await.unwrap();
            query.after = page.next;
            pages += 1;
            if query.after.is_none() || pages == 5 {
                break;
            }
        }
    }
    query.after = None;
    let mut filters = [query.filter; 4];
    filters[0].status = Some(StatusFilter::NotRevoked);
    filters[1].never_used = true;
    filters[2].not_used_since = Some(UnixTime::MAX);
    filters[3].never_ends = true;
    for filter in filters {
        query.filter = filter;
        assert!(!store.list(KeysOf::All, query).await.unwrap().records.is_empty());
    }
    let revision = store.changes_since(None).await.unwrap().revision();
    let _ = store.changes_since(Some(revision)).await.unwrap();
    for query in questions(id(1)) {
        let _ = store.events(&query).await.unwrap();
    }
}

async fn end_all<S>(store: &S, owner: Owner) -> usize
where
    S: KeyManagementStore<Error = StoreError, Receipt = Logged> + Clone,
{
    let system = System::new("test").unwrap();
    manager(store.clone()).revoke_all(&system, owner, RevocationCause::Leaked).await.unwrap().len()
}

/// Adds a late event, and asks for those of its time and later, and for those of a time before all of them.
async fn early_and_late<S>(store: &S) -> [LogQuery; 2]
where
    S: KeyManagementStore<Error = StoreError, Receipt = Logged>,
{
    let [early, late] = [-100, 100].map(|seconds| UnixTime::from_secs(NOW.as_secs() + seconds));
    let key = mint(personal("late"), "key", Validity::NEVER_EXPIRES, late);
    assert_eq!(store.insert(key).await.unwrap(), Ok(Logged));
    let (mut before, mut since) = (LogQuery::new(), LogQuery::new());
    (before.until, since.from) = (Some(early), Some(late));
    [before, since]
}

/// What has to go through all keys ends in time, also where nobody waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_long_search_in_a_file_ends_in_time() {
    on(async |file: &File| {
        let template = stored(&file.open().await, personal("many"), "template").await;
        fill(file, template.id()).await;
        let limit = Duration::from_millis(10);
        let settings = Settings::new().with_answer_limit(limit).with_max_connections(NonZeroU32::MIN);
        let store = file.open_with(settings, false).await.unwrap();
        let mut query = ListQuery::new();
        query.filter.ends_before = Some(UnixTime::MIN);
        let answer = store.list(KeysOf::All, query).await;
        assert!(matches!(answer, Err(StoreError::TimedOut(_))), "{answer:?}");
        // One that nobody waits for, on the only connection.
        let _ = tokio::time::timeout(limit / 2, store.list(KeysOf::All, query)).await;
        // Looking for a key is not ended by the bound of that.
        for number in 1..1_000 {
            assert!(store.find(id(number)).await.unwrap().is_some());
        }
    })
    .await;
}

/// Each question takes a bounded number of steps of SQLite's machine, however many keys there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn finds_by_index_in_a_file() {
    on(async |file: &File| {
        let template = stored(&file.open().await, personal("many"), "template").await;
        fill(file, template.id()).await;
        let steps = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&steps);
        let pool = SqlitePoolOptions::new().max_connections(1).after_connect(move |connection, _| {
            let counter = Arc::clone(&counter);
            Box::pin(async move {
                connection.lock_handle().await?.set_progress_handler(STEPS, move || {
                    counter.fetch_add(STEPS.unsigned_abs().into(), Ordering::Relaxed);
                    true
                });
                Ok(())
            })
        });
        let pool = pool.connect_with(SqliteConnectOptions::new().filename(file.path())).await.unwrap();
        let store = SqliteStore::open(&Sqlite::from_pool(pool, Settings::new()).await.unwrap()).await.unwrap();
        let (many, few) = (personal("many").owner(), personal("user-7").owner());
        for number in 1..200 {
            assert!(store.find(id(number)).await.unwrap().is_some());
        }
        asks(&store, KeysOf::Owner(many.clone())).await;
        let taken = steps.swap(0, Ordering::Relaxed);
        assert!(taken < 500_000, "{taken} steps");
        for owner in [few, many] {
            let ended = end_all(&store, owner.clone()).await;
            let taken = steps.swap(0, Ordering::Relaxed);
            println!("size: SQLite: {} steps for each of {ended} keys to be ended", taken / ended as u64);
            assert_eq!(end_all(&store, owner).await, 0);
            let taken = steps.swap(0, Ordering::Relaxed);
            assert!(taken < 1_000, "{taken} steps to find out that {ended} keys are ended");
        }
        let revision = store.changes_since(None).await.unwrap().revision();
        let _ = store.changes_since(Some(revision)).await.unwrap();
        let taken = steps.swap(0, Ordering::Relaxed);
        assert!(taken < 1_000, "{taken} steps for the feed");
        assert!(common::Log::events(&store, &page(Some(revision.number() - 1), 100)).await.unwrap().len() == 1);
        let taken = steps.swap(0, Ordering::Relaxed);
        assert!(taken < 1_000, "{taken} steps for the last page of the log");
        let queries = early_and_late(&store).await;
        let taken = steps.swap(0, Ordering::Relaxed);
        assert!(taken < 1_000, "{taken} steps for a key");
        for (expected, query) in queries.into_iter().enumerate() {
            let found = common::Log::events(&store, &query).await.unwrap();
            assert_eq!(found.len(), expected);
            let taken = steps.swap(0, Ordering::Relaxed);
            assert!(taken < 1_000, "{taken} steps for {query:?}");
        }
        asks(&store, KeysOf::Owner(personal("many").owner())).await;
        let taken = steps.swap(0, Ordering::Relaxed);
        assert!(taken < 500_000, "{taken} steps");
        let touches = vec![Touch::new(id(1), SecretSlot::Current, NOW), Touch::new(id(6), SecretSlot::Current, NOW)];
        store.touch(touches, UnixTime::MAX).await.unwrap();
        let taken = steps.swap(0, Ordering::Relaxed);
        assert!(taken < 1_000, "{taken} steps for touches");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn finds_by_index_and_touches_in_place() {
    on(async |server: &Server| {
        let store = server.open().await;
        let template = stored(&store, personal("many"), "template").await;
        fill(server, template.id()).await;
        server.execute("VACUUM keygate_keys").await.unwrap();
        let (read, _) = read_and_written(server).await;
        for number in 1..200 {
            assert!(store.find(id(number)).await.unwrap().is_some());
        }
        asks(&store, KeysOf::Owner(personal("many").owner())).await;
        let (read_after, before) = read_and_written(server).await;
        // The log is one page, and the server may well go through that.
        assert!(read_after - read < 1000, "{} rows were gone through", read_after - read);

        // Each of several processes tells of the same use, a little later: it is written once.
        let frugal = server.open_with(Settings::new(), false).await.unwrap();
        let touched = count().min(10_000);
        let touch = |seconds| {
            let used_at = UnixTime::from_secs(NOW.as_secs() + seconds);
            (1..=touched).map(move |number| Touch::new(id(number), SecretSlot::Current, used_at)).collect::<Vec<_>>()
        };
        frugal.touch(touch(0), UnixTime::MAX).await.unwrap();
        let (_, first) = read_and_written(server).await;
        let rows = server.written().await;
        for process in 1..=5 {
            frugal.touch(touch(process), UnixTime::MAX).await.unwrap();
        }
        assert!(server.written().await == rows, "a row was written again");
        let (_, again) = read_and_written(server).await;
        assert_eq!(found(&store, id(1)).await.last_used_at(), Some(NOW));
        frugal.touch(touch(60), UnixTime::MAX).await.unwrap();
        assert_eq!(found(&store, id(1)).await.last_used_at(), Some(UnixTime::from_secs(NOW.as_secs() + 60)));
        let megabytes = |bytes: i64| bytes as f64 / 1e6;
        println!(
            "size: PostgreSQL: {touched} keys touched in {} statements: {:.1} MB of log; five times more within the \
             interval: {:.1} MB",
            touched.div_ceil(1000),
            megabytes(first - before),
            megabytes(again - first)
        );
        let mut connection = server.options.connect().await.unwrap();
        let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'keygate_keys'";
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await.unwrap();
        let (updated, hot): (i64, i64) = (row.get(0), row.get(1));
        println!("size: PostgreSQL: {hot} of {updated} rows stayed in their page");
        // Where all rows of a page are written at once, there is room for some, and for more once old versions are
        // cleaned up.
        assert!(hot * 2 > updated, "{hot} of {updated}");
        connection.close().await.unwrap();

        let (read, _) = read_and_written(server).await;
        for owner in ["user-7", "many"] {
            assert!(end_all(&store, personal(owner).owner()).await > 0);
        }
        let (read_after, _) = read_and_written(server).await;
        assert!(read_after - read < 1000, "{} rows were gone through to end keys", read_after - read);
        server.execute("VACUUM ANALYZE keygate_events").await.unwrap();
        for (expected, query) in early_and_late(&store).await.into_iter().enumerate() {
            let before = indexed(server).await;
            assert_eq!(store.events(&query).await.unwrap().len(), expected);
            let read = indexed(server).await - before;
            assert!(read < 1000, "{read} entries were gone through for {query:?}");
        }
    })
    .await;
}

async fn ends_all_keys_of_one_owner<P: Place>(place: &P) {
    let store = place.open().await;
    let template = stored(&store, personal("many"), "template").await;
    fill(place, template.id()).await;
    let started = Instant::now();
    let owner = personal("many").owner();
    let ended = end_all(&store, owner.clone()).await;
    println!("size: {}: {ended} of {} keys ended in {:?}", P::NAME, count(), started.elapsed());
    assert_eq!(ended, count() / 10 * 3 + 1);
    let mut left = ListQuery::new();
    left.filter.status = Some(StatusFilter::NotRevoked);
    left.limit = NonZeroU16::MIN;
    assert!(store.list(KeysOf::Owner(owner), left).await.unwrap().records.is_empty());
    // Each with its event.
    assert_eq!(store.changes_since(None).await.unwrap().revision().number(), ended as u64 + 1);
    let last = common::Log::events(&store, &page(Some(ended as u64), 5)).await.unwrap();
    assert_eq!(last.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ends_all_keys_of_one_owner_in_both() {
    on(async |file: &File| ends_all_keys_of_one_owner(file).await).await;
    on(async |server: &Server| ends_all_keys_of_one_owner(server).await).await;
}

/// How many steps pass before they are counted.
const STEPS: i32 = 10;
