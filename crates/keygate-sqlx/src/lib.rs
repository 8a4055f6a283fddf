//! Stores for [`keygate`] on PostgreSQL and SQLite, in which a change and its audit event are one transaction.
//!
//! [`SqlStore`] implements [`KeyStore`](keygate::store::KeyStore),
//! [`KeyManagementStore`](keygate::store::KeyManagementStore) and [`ChangeFeed`](keygate::store::ChangeFeed), keeps the
//! events of all changes, and passes the conformance suite of `keygate` on both databases. A service that keeps its
//! users nowhere else has a [`Directory`](keygate::store::Directory) in `SqlDirectory`.
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use keygate::{Issuer, KeyManager};
//! use keygate_sqlx::{LogQuery, Settings, Sqlite, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("keys.db");
//! const ACME: Issuer = Issuer::from_static("acme");
//!
//! // At set-up, with the right to create tables:
//! let database = Sqlite::create(&path, Settings::new()).await?;
//! SqliteStore::migrate(&database).await?;
//!
//! // At run time. In PostgreSQL: `Postgres::connect(url, Settings::new())`, or `from_pool`.
//! let database = Sqlite::open(&path, Settings::new()).await?;
//! let store = SqliteStore::open(&database).await?;
//! let keys = KeyManager::new(ACME, store.clone());
//! assert!(store.events(&LogQuery::new()).await?.is_empty());
//!
//! // At the end: one file is left, and a copy of it is a whole copy.
//! database.close().await?;
//! # drop(keys);
//! # Ok(())
//! # }
//! ```
//!
//! # A service on PostgreSQL
//!
//! With its own pool, and in each process a cache, which notifications wake:
//!
#![cfg_attr(feature = "postgres", doc = "```no_run")]
#![cfg_attr(not(feature = "postgres"), doc = "```ignore")]
//! use core::time::Duration;
//! use std::{env, sync::Arc};
//!
//! use keygate::{
//!     CachedStore, Gate, Issuer, KeyManager, UnixTime,
//!     sink::{ChannelSink, SinkCapacity},
//!     store::KeyManagementStore,
//! };
//! use keygate_sqlx::{Postgres, PostgresStore, Settings};
//! use sqlx::{Executor, postgres::PgPoolOptions};
//! use tokio::time::{sleep, timeout};
//!
//! # async fn serve<G, K>(gate: G, keys: K) {}
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! const ACME: Issuer = Issuer::from_static("acme");
//! const TICK: Duration = Duration::from_millis(250);
//!
//! // `PostgresStore::migrate` is a step of each deploy, by a role that may create tables.
//! let pool = PgPoolOptions::new()
//!     .max_connections(20)
//!     // The server must not keep working on a statement that nobody waits for.
//!     .after_connect(|connection, _| {
//!         Box::pin(async move { connection.execute("SET statement_timeout = '3s'").await.map(drop) })
//!     })
//!     .connect(&env::var("DATABASE_URL")?)
//!     .await?;
//! let database = Postgres::from_pool(pool.clone(), Settings::new()).await?;
//! let store = PostgresStore::open(&database).await?;
//!
//! let cache = CachedStore::new(store.clone(), Duration::from_secs(2));
//! // Give the other receivers to your log: refusals are in `events`, failures in `failures`.
//! let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
//! let gate = Gate::new(ACME, cache.clone()).with_sink(sink.clone());
//! let keys = KeyManager::new(ACME, cache.write_through()).with_sink(sink);
//!
//! // First listen, then read. Both tasks end when the pool is closed.
//! let mut wakes = database.wakes().await?;
//! let ticks = tokio::spawn(async move {
//!     while !database.pool().is_closed() {
//!         // A tick that fails confirms nothing, and the gate answers 503 when the two seconds are over.
//!         let _ = cache.tick().await;
//!         if let Ok(Err(_)) = timeout(TICK, wakes.next()).await {
//!             sleep(TICK).await;
//!         }
//!     }
//! });
//! let touches = Arc::new(receivers.touches);
//! let (taken, last_uses) = (Arc::clone(&touches), store.clone());
//! tokio::spawn(async move {
//!     while !last_uses.database().pool().is_closed() {
//!         sleep(Duration::from_secs(10)).await;
//!         let _ = last_uses.touch(taken.take(), UnixTime::now()).await;
//!     }
//! });
//!
//! serve(gate, keys).await; // until the process is told to end
//!
//! store.touch(touches.take(), UnixTime::now()).await?;
//! // A pool of `Postgres::connect` is closed by `Postgres::close`, which is bounded by itself.
//! let _ = timeout(Duration::from_secs(2), pool.close()).await;
//! ticks.await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Tables
//!
//! Opening creates no table, and needs no right to. Creating them is a step of its own, [`SqlStore::migrate`], which
//! several processes may run at once; or run the texts of [`SqlStore::migrations`] with your own tool. PostgreSQL must
//! be of version 13 or later.
//!
//! The tables hold their version, and the oldest version that a release must know to work with them. So an older
//! release starts on the tables of a newer one, in a rolling deploy or after going back, as long as it understands them;
//! otherwise it does not start, and its error says why.
//!
//! All names begin with `keygate_`, or with the [`TablePrefix`] that you set. In PostgreSQL they can also be in a
//! schema of their own: set the search path, in the URL with `?options[search_path]=keys`. A pooler refuses or ignores
//! that: set the path of the role there, with `ALTER ROLE service SET search_path = keys`.
//!
//! On PostgreSQL the role of a running service needs these rights and no others, and with them nobody changes an event:
//!
//! ```sql
//! GRANT SELECT, INSERT, UPDATE ON keygate_keys TO service;
//! GRANT SELECT, UPDATE ON keygate_revision TO service;
//! GRANT SELECT, INSERT ON keygate_events TO service;
//! GRANT SELECT ON keygate_schema TO service;
//! ```
//!
//! A directory also needs `SELECT, INSERT, UPDATE, DELETE` on `keygate_users` and `keygate_members`. With another prefix, its
//! tables have the same names behind that: `billing_keys`, `billing_revision` and so on.
//!
//! # Basis of the guarantees
//!
//! - **Atomic.** Each change is one transaction: the row is locked and read, the library decides the change, and the
//!   columns of that change are written, with the event and the revision. SQLite has one writer at a time (`BEGIN
//!   IMMEDIATE`); PostgreSQL locks the row (`FOR UPDATE`), and many rows in the order of their ids. Touches write only rows
//!   that move.
//! - **A change and its event are one.** Wherever the caller goes away, the process is killed or the answer is lost,
//!   both are there or neither is. A dropped call rolls back, and its connection goes back to the pool. If the server
//!   still works on it after a second, its session is left to the server, and the pool opens another one. So PostgreSQL
//!   can have more sessions than the pool for as long as it works on what was given up: at most its
//!   `statement_timeout`, three quarters of the answer limit with `Postgres::connect`. Set one in a pool of your own,
//!   as above. A `COMMIT` that waits for a synchronous replica that is gone has no limit, and each leaves a session:
//!   give the role a `CONNECTION LIMIT`.
//! - **No change is missed.** The number of an event is that of the revision, a row that each change locks until it
//!   commits, as the last thing that it does. So the numbers are in the order of the commits, and have a gap only where
//!   another life begins: a reader of the log or the feed never finds a new event before one that they have. All changes
//!   of a database wait there for each other, which is the price; verifying and touching do not. Notifications of
//!   PostgreSQL (`Postgres::wakes`) make a cache ask sooner; the changes themselves come from the feed.
//! - **Final.** No statement sets the status of a revoked key, and none writes a whole row.
//! - **Seen at once.** SQLite: each statement reads the last commit of the file. PostgreSQL: READ COMMITTED, and each
//!   statement that reads fails on a standby ([`StoreError::Standby`]), which lags behind. It also fails in a transaction
//!   that somebody left open in a session of the pool and that sees the past. Such a session is not used again.
//! - **Durable.** SQLite: a write-ahead log with `synchronous = EXTRA`, which is synced at every commit, on a file
//!   system whose syncs are honest; a pool of your own must have that or `FULL`. PostgreSQL: `synchronous_commit` is
//!   switched on for our transactions where it is off; the server must not run with `fsync = off`. With one disk, a
//!   change is lost with it: name synchronous replicas to prevent that. After a backup was restored, or a replica took
//!   over that may not have had the last commits, call [`SqlStore::begin_new_life`]: no database knows that by itself.
//! - **Statements are not mixed up.** A pooler that shares a session among clients would mix up statements that have
//!   equal names. Opening refuses such a pooler (the transaction and the statement mode of `PgBouncer`); session mode
//!   works. Should the mode change later: statements that change something have no names, and one that reads gets its
//!   own name as its last value, so that it fails with the values of another ([`StoreError::SharedSession`]).
//! - **Byte by byte.** Collation BINARY in SQLite, `"C"` in PostgreSQL.
//! - **A row is a record or an error.** [`StoreError::Corrupt`] is neither absence nor a default. Constraints keep
//!   malformed rows out, and a row that gets past them is refused when read. A corrupt key is ended by
//!   `KeyManager::revoke_all` of its owner; `KeyManager::revoke` looks at the key first, and so answers the error.
//! - **A gone database is an error soon.** PostgreSQL: a connection is waited for two seconds, and an answer, or all those
//!   of a transaction, four ([`Settings`]), whether the server refuses, has ended or has fallen silent; within that, a
//!   lock is waited for three eighths of the time ([`StoreError::TimedOut`]). Opening takes no longer than an answer, and
//!   closing is bounded too. Connections that broke are replaced, so nothing has to be restarted when the server comes
//!   back. Reading asks again where its connection had broken. A change fails there, since it may have taken place: one for
//!   each connection that was in use less than a second before it broke. SQLite: a lock is waited for as long as for an
//!   answer, and a search that takes longer is ended, unless the pool is the service's own.
//!
//! The log grows for ever. A service can delete events at its beginning with a statement of its own: the feed then
//! answers "everything" to a revision from before the remaining events.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `postgres` | [`Postgres`] and [`PostgresStore`] |
//! | `sqlite` | [`Sqlite`] and [`SqliteStore`], with SQLite itself |
//! | `directory` | `SqlDirectory`, users and teams |
//! | `tls-rustls-ring-native-roots`, `tls-rustls-ring-webpki` | TLS to PostgreSQL, with the roots of the system or of Mozilla |
//!
//! None is on by default. For another TLS, add sqlx 0.9 with its feature to your own manifest.
#![cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    expect(dead_code, unused_macros, reason = "there is no database")
)]

mod error;
mod query;
mod row;
mod settings;

mod database;
#[cfg(feature = "postgres")]
mod lease;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "directory")]
mod directory;
mod feed;
mod log;
mod restore;
mod sql;
mod store;
#[cfg(feature = "postgres")]
mod wakes;

#[cfg(all(feature = "directory", feature = "postgres"))]
pub use directory::PostgresDirectory;
#[cfg(feature = "directory")]
pub use directory::SqlDirectory;
#[cfg(all(feature = "directory", feature = "sqlite"))]
pub use directory::SqliteDirectory;
pub use error::{CorruptRow, OpenError, Place, StoreError};
pub use log::{EventsOf, LogQuery, LoggedEvent};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use restore::{NotAllRevoked, NotRepeated, revoke_again};
pub use schema::Migration;
pub use settings::{InvalidTablePrefix, Settings, TablePrefix};
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
#[cfg(feature = "postgres")]
pub use store::PostgresStore;
pub use store::SqlStore;
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
#[cfg(feature = "postgres")]
pub use wakes::Wakes;
