//! The stores of [`keygate`] on SQLite and on PostgreSQL: [`SqliteStore`] and [`PostgresStore`].
//!
//! Both implement [`KeyStore`](keygate::store::KeyStore), [`KeyManagementStore`](keygate::store::KeyManagementStore),
//! [`ChangeFeed`](keygate::store::ChangeFeed) and [`Directory`](keygate::store::Directory), keep the events of all changes,
//! are cheap to clone, and pass the conformance suite of `keygate`. This crate is an example to read and to copy; it is
//! not published.
//!
//! ```no_run
//! use keygate::{Issuer, KeyManager};
//! use keygate_sqlx::{PostgresStore, SqliteStore};
//!
//! # async fn start() -> Result<(), keygate_sqlx::StoreError> {
//! const ISSUER: Issuer = Issuer::from_static("acme");
//! let small = SqliteStore::open("keys.db".as_ref()).await?;
//! let large = PostgresStore::connect("postgres://localhost/keys").await?;
//! let keys = KeyManager::new(ISSUER, large.clone()).with_directory(large.clone());
//! for logged in large.events(None, 100).await? {
//!     println!("{}: {:?}", logged.sequence, logged.event);
//! }
//! # let _ = (small, keys);
//! # Ok(())
//! # }
//! ```
//!
//! # What the guarantees rest on
//!
//! - **Atomic.** Each change is one transaction: the row is locked and read, the library says what becomes of it, and the
//!   columns of that change are written, with the event and the revision. SQLite has one writer at a time (`BEGIN
//!   IMMEDIATE`); PostgreSQL locks the row (`FOR UPDATE`), and many rows in the order of their ids. Touches are single
//!   statements that write only rows which move.
//! - **A change and its event are one.** Wherever the caller goes away, the process is killed or the answer is lost, both
//!   are there or neither is. A dropped call undoes what it began, and its connection goes back to the pool: one who hangs
//!   up again and again makes no sessions.
//! - **Nothing is passed by.** The number of an event is that of the revision, a row that each change locks until it
//!   commits, as the last thing that it does. So the numbers have no gap and are in the order of the commits: one who reads
//!   the log, or follows the feed, never finds an event in front of one that they have. All changes of a database wait
//!   there for each other, which is the price; verifying and touching do not.
//! - **Final.** No statement that sets a status does so to a revoked key, and none writes a whole row.
//! - **Seen at once.** SQLite: each statement reads the last commit of the file. PostgreSQL: READ COMMITTED, and every
//!   statement goes to the server of the URL. Name the primary there: a replica lags behind, and a revoked key would
//!   keep opening for as long.
//! - **Durable.** SQLite: a write-ahead log with `synchronous = FULL`, which is synced at every commit, on a file
//!   system whose syncs are honest. PostgreSQL: `synchronous_commit` is switched on for our sessions where the server
//!   has it off; the server must not run with `fsync = off`. After a backup was restored, or a replica took over that may
//!   not have had the last commits, call [`SqlStore::begin_new_life`]: no database knows that by itself.
//! - **Byte by byte.** Collation BINARY in SQLite, `"C"` in PostgreSQL.
//! - **A row is a record or an error.** [`StoreError::Corrupt`] is neither absence nor a default. Constraints keep out
//!   what is no record; what gets past them is refused when read. A corrupt key can still be revoked.
//! - **A gone database is an error soon.** PostgreSQL: a connection is waited for two seconds, and an answer, or all those
//!   of a transaction, four, whether the server refuses, has ended or has fallen silent. Connections that broke are
//!   replaced, so nothing has to be restarted when the server comes back. SQLite: a lock is waited for five seconds.
//!
//! The log grows for ever. Events can be taken away at its beginning, by the service's own statement: the feed then answers
//! "everything" to a revision from before what is left.
//!
//! Starting twice, and several processes that start at once, are safe: each runs the migrations under a lock.
//!
//! # Tests
//!
//! `cargo test -p keygate-sqlx` tests SQLite. PostgreSQL is tested if `KEYGATE_TEST_POSTGRES` is the URL of a
//! server where databases may be created; with `CI=true` it must be. A private server for the time of a command:
//!
//! ```text
//! apt-get install -y postgresql
//! bash crates/keygate-sqlx/with_postgres.sh cargo test -p keygate-sqlx
//! ```

mod error;
mod query;
mod row;

mod database;
mod migrations;
mod postgres;
mod sqlite;

mod directory;
mod log;
mod sql;
mod store;

pub use error::{CorruptRow, StoreError};
pub use log::LoggedEvent;
pub use postgres::Postgres;
pub use sqlite::Sqlite;
pub use store::{PostgresStore, SqlStore, SqliteStore};
