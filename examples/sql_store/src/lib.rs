//! The stores of [`keygate`] on SQLite and on PostgreSQL: [`SqliteStore`] and [`PostgresStore`].
//!
//! Both implement [`KeyStore`](keygate::KeyStore), [`KeyManagementStore`](keygate::KeyManagementStore) and
//! [`Directory`](keygate::Directory), are cheap to clone, and pass the conformance suite of `keygate`. This crate is an
//! example to read and to copy; it is not published.
//!
//! ```no_run
//! use keygate::{Issuer, KeyManager};
//! use keygate_sql_store::{PostgresStore, SqliteStore};
//!
//! # async fn start() -> Result<(), keygate_sql_store::StoreError> {
//! const ISSUER: Issuer = Issuer::from_static("acme");
//! let small = KeyManager::new(ISSUER, SqliteStore::open("keys.db".as_ref()).await?);
//! let large = KeyManager::new(ISSUER, PostgresStore::connect("postgres://localhost/keys").await?);
//! # Ok(())
//! # }
//! ```
//!
//! # What the guarantees rest on
//!
//! - **Atomic.** Every operation is one statement that checks and changes, so no lock is held between a look and a
//!   change. Where nothing changed, a second statement looks why; if what it sees would have let the change through,
//!   the row changed in between, and the operation starts again. So each refusal was true at some moment between the
//!   call and the answer. Only [`SqlStore::set_member`] writes two rows, in one transaction.
//! - **Final.** No statement that sets a status does so to a revoked key, and none writes a whole row.
//! - **Seen at once.** SQLite: each statement reads the last commit of the file. PostgreSQL: READ COMMITTED, and every
//!   statement goes to the server of the URL. Name the primary there: a replica lags behind, and a revoked key would
//!   keep opening for as long.
//! - **Durable.** SQLite: a write-ahead log with `synchronous = FULL`, which is synced at every commit, on a file
//!   system whose syncs are honest. PostgreSQL: `synchronous_commit` is switched on for our sessions where the server
//!   has it off; the server must not run with `fsync = off`.
//! - **Byte by byte.** Collation BINARY in SQLite, `"C"` in PostgreSQL.
//! - **A row is a record or an error.** [`StoreError::Corrupt`] is neither absence nor a default. Constraints keep out
//!   what is no record; what gets past them is refused when read. A corrupt key can still be revoked.
//! - **A gone database is an error soon.** PostgreSQL: a connection is waited for two seconds, and an answer four,
//!   whether the server refuses, has ended or has fallen silent. Connections that broke are replaced, so nothing has
//!   to be restarted when the server comes back. SQLite: a lock is waited for five seconds.
//!
//! Starting twice, and several processes that start at once, are safe: each runs the migrations under a lock.
//!
//! # Tests
//!
//! `cargo test -p keygate-sql-store` tests SQLite. PostgreSQL is tested if `KEYGATE_TEST_POSTGRES` is the URL of a
//! server where databases may be created; with `CI=true` it must be. A private server for the time of a command:
//!
//! ```text
//! apt-get install -y postgresql
//! bash examples/sql_store/with_postgres.sh cargo test -p keygate-sql-store
//! ```

mod error;
mod query;
mod row;

mod database;
mod migrations;
mod postgres;
mod sqlite;

mod directory;
mod sql;
mod store;

pub use error::{CorruptRow, StoreError};
pub use postgres::Postgres;
pub use sqlite::Sqlite;
pub use store::{PostgresStore, SqlStore, SqliteStore};
