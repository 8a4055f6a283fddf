//! Stores for [`keygate`] on PostgreSQL and SQLite, in which a change and its audit event are one transaction.
//!
//! [`SqlStore`] implements [`KeyStore`](keygate::store::KeyStore),
//! [`KeyManagementStore`](keygate::store::KeyManagementStore) and [`ChangeFeed`](keygate::store::ChangeFeed), keeps the events
//! of all changes, and passes the conformance suite of `keygate` on both databases. A service that keeps its users nowhere
//! else has a [`Directory`](keygate::store::Directory) in `SqlDirectory`.
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
//! // Where the service is set up, by somebody who may make tables:
//! let database = Sqlite::create(&path, Settings::new()).await?;
//! SqliteStore::migrate(&database).await?;
//!
//! // Where it runs. In PostgreSQL: `Postgres::connect(url, Settings::new())`, or `from_pool`.
//! let database = Sqlite::open(&path, Settings::new()).await?;
//! let store = SqliteStore::open(&database).await?;
//! let keys = KeyManager::new(ACME, store.clone());
//! assert!(store.events(&LogQuery::new()).await?.is_empty());
//!
//! // Where it ends: one file is left, and a copy of it is a whole copy.
//! database.close().await?;
//! # drop(keys);
//! # Ok(())
//! # }
//! ```
//!
//! # Tables
//!
//! Opening makes no table, and needs no right to. Making them is a step of its own, [`SqlStore::migrate`], for which several
//! processes may come at once; or run the texts of [`SqlStore::migrations`] with your own tool.
//!
//! The tables say which version they have, and which is the oldest that a release must know to work with them. So an older
//! release starts on the tables of a newer one, in a rolling deploy or after going back, as long as it understands them;
//! where it does not, it does not start, and says so.
//!
//! All names begin with `keygate_`, or with the [`TablePrefix`] that you set. In PostgreSQL they can be in a schema of their
//! own as well: set the search path, in the URL with `?options[search_path]=keys`.
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
//! A directory needs `SELECT, INSERT, UPDATE, DELETE` on `keygate_users` and `keygate_members` as well.
//!
//! # What the guarantees rest on
//!
//! - **Atomic.** Each change is one transaction: the row is locked and read, the library says what becomes of it, and the
//!   columns of that change are written, with the event and the revision. SQLite has one writer at a time (`BEGIN
//!   IMMEDIATE`); PostgreSQL locks the row (`FOR UPDATE`), and many rows in the order of their ids. Touches write only rows
//!   which move.
//! - **A change and its event are one.** Wherever the caller goes away, the process is killed or the answer is lost, both
//!   are there or neither is. A dropped call undoes what it began, and its connection goes back to the pool: one who hangs
//!   up again and again makes no sessions.
//! - **Nothing is passed by.** The number of an event is that of the revision, a row that each change locks until it
//!   commits, as the last thing that it does. So the numbers have no gap and are in the order of the commits: one who reads
//!   the log, or follows the feed, never finds an event in front of one that they have. All changes of a database wait
//!   there for each other, which is the price; verifying and touching do not. Notifications of PostgreSQL
//!   (`Postgres::wakes`) make a cache ask sooner; what it is told, it is told by the feed.
//! - **Final.** No statement that sets a status does so to a revoked key, and none writes a whole row.
//! - **Seen at once.** SQLite: each statement reads the last commit of the file. PostgreSQL: READ COMMITTED, and each
//!   statement that reads fails on a standby ([`StoreError::Standby`]), which lags behind.
//! - **Durable.** SQLite: a write-ahead log with `synchronous = FULL`, which is synced at every commit, on a file
//!   system whose syncs are honest; a pool of your own must have it too. PostgreSQL: `synchronous_commit` is switched on for
//!   our transactions where it is off; the server must not run with `fsync = off`. With one disk, what it loses is lost: name
//!   synchronous replicas if that must not be. After a backup was restored, or a replica took over that may not have had the
//!   last commits, call [`SqlStore::begin_new_life`]: no database knows that by itself.
//! - **One statement is not taken for another.** A pooler that gives a session to one client after the other would mix up
//!   statements that have equal names. Opening refuses one that does (the transaction mode of `PgBouncer`); session mode works.
//!   Statements that change something have no names, so they cannot be mixed up whatever is in between.
//! - **Byte by byte.** Collation BINARY in SQLite, `"C"` in PostgreSQL.
//! - **A row is a record or an error.** [`StoreError::Corrupt`] is neither absence nor a default. Constraints keep out
//!   what is no record; what gets past them is refused when read. A corrupt key can still be revoked.
//! - **A gone database is an error soon.** PostgreSQL: a connection is waited for two seconds, and an answer, or all those
//!   of a transaction, four ([`Settings`]), whether the server refuses, has ended or has fallen silent. Connections that
//!   broke are replaced, so nothing has to be restarted when the server comes back. Closing is bounded too. SQLite: a lock
//!   is waited for as long as for an answer, and a search that takes longer is ended, unless the pool is the service's own.
//!
//! The log grows for ever. Events can be taken away at its beginning, by the service's own statement: the feed then answers
//! "everything" to a revision from before what is left.
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
pub use restore::revoke_again;
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
