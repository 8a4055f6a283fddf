//! Why a store failed, or could not be opened.

use core::error::Error;
use std::{fmt, path::PathBuf, sync::Arc};

/// A failure of the store, after which it is unknown whether a change took place.
///
/// # Security
///
/// Texts and sources name the host, the port and the database, or the file. They never hold a password that was given
/// as one. In a URL that a service reads by itself, for `Postgres::connect_with` or a pool, an unencoded `/`, `?` or
/// `#` makes parts of a password the host, the port and the database; `Postgres::connect` refuses such a URL. `Debug`
/// shows the same texts; that of the `sqlx::Error` itself shows what PostgreSQL tells of a row that it refused, which
/// may be a digest.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Others changed the same keys so often during an operation that it could not complete.
    #[error("the key kept changing")]
    Contended,
    /// A stored row is not a valid record.
    #[error("{database} has a row that is no record")]
    #[non_exhaustive]
    Corrupt {
        /// The database.
        database: Place,
        /// Which row, and what in it.
        source: CorruptRow,
    },
    /// The database refused, or could not be reached.
    // What sqlx's error and its source say is in the text once. Those of a server end in a line of the server's own
    // source.
    #[error("{database} {}", what(error))]
    #[non_exhaustive]
    Database {
        /// The database.
        database: Place,
        /// Why.
        error: sqlx::Error,
    },
    /// A trigger or a rule in the database left a change out. Nothing of it was kept.
    #[error("{0} left out a change, as a trigger or a rule can: nothing of it was kept")]
    NotWritten(Place),
    /// The session is not as a pool gives it: somebody left a transaction open in it, or a pooler takes the statements
    /// of one client for those of another.
    #[error(
        "{0} answered in a session with a transaction that was left open, or behind a pooler that takes one statement for \
         another"
    )]
    SharedSession(Place),
    /// The server is a standby, which lags behind.
    #[error("{0} is a standby, which may not know of the last changes: connect to the primary")]
    Standby(Place),
    /// The database did not answer in time.
    #[error("{0} did not answer in time")]
    TimedOut(Place),
    /// The log was asked for events of a kind that there is not; see
    /// [`EventKind::NAMES`](keygate::audit::EventKind::NAMES).
    #[error("there are no events of kind `{0}`")]
    UnknownKind(&'static str),
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("StoreError");
        tuple.field(&format_args!("{self}"));
        if let Self::Corrupt { source, .. } = self {
            tuple.field(source);
        }
        tuple.finish()
    }
}

/// Describes the failure of a database.
fn what(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => format!("refused: {}", error.message()),
        sqlx::Error::Io(error) => format!("could not be reached: {error}"),
        sqlx::Error::Tls(error) => format!("could not be reached: {error}"),
        sqlx::Error::PoolClosed => "is closed".into(),
        sqlx::Error::PoolTimedOut => "gave no connection in time: it cannot be reached, or all are in use".into(),
        _ => format!("failed: {error}"),
    }
}

impl StoreError {
    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database { error: sqlx::Error::Database(error), .. } if error.is_unique_violation())
    }

    /// Returns `true` if nothing of a transaction was kept because of what others did, which they may not do again.
    pub(crate) fn can_be_tried_again(&self) -> bool {
        self.is_deadlock() || matches!(self, Self::Contended | Self::SharedSession(_))
    }

    /// Returns `true` if PostgreSQL ended the transaction because it and another one waited for each other.
    pub(crate) fn is_deadlock(&self) -> bool {
        self.code().as_deref() == Some("40P01")
    }

    /// Returns `true` if the server ended the session, or is gone with it, or the session cannot be used.
    #[cfg(feature = "postgres")]
    pub(crate) fn is_broken_connection(&self) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

        match self {
            Self::SharedSession(_) => true,
            Self::Database { error: sqlx::Error::Io(error), .. } => {
                matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
            }
            _ => matches!(self.code().as_deref(), Some("57P01" | "57P02")),
        }
    }

    /// Returns `true` if there is no such table.
    pub(crate) fn is_missing_table(&self) -> bool {
        match self {
            Self::Database { error: sqlx::Error::Database(error), .. } => {
                error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
            }
            _ => false,
        }
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Database { error: sqlx::Error::Database(error), .. } => error.code(),
            _ => None,
        }
    }
}

/// Why a database could not be opened, or its tables not created.
///
/// # Security
///
/// Like those of [`StoreError`], the texts never hold a password that was given as one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The pool's connections to SQLite may lose acknowledged changes.
    #[error(
        "{0} is in memory, or opened without `synchronous = FULL` or a journal, so an acknowledged change can be lost"
    )]
    NotDurable(Place),
    /// There is no folder to make the file in.
    #[error("there is no folder for the file `{}`", .0.display())]
    NoFolder(PathBuf),
    /// There is no file, and the call does not create one.
    #[error("there is no file `{}`", .0.display())]
    NoFile(PathBuf),
    /// The file cannot be read or made.
    #[error("the file `{}` cannot be opened", path.display())]
    #[non_exhaustive]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There are no tables.
    #[error(
        "{database} has no tables `{prefix}…` of the {part}{}: run the migrations",
        Optional(" in the schemas", search_path.as_deref())
    )]
    #[non_exhaustive]
    NoTables {
        /// The database.
        database: Place,
        /// How their names would begin.
        prefix: crate::TablePrefix,
        /// The purpose of the tables.
        part: &'static str,
        /// The schemas that were searched, as PostgreSQL names them.
        search_path: Option<String>,
    },
    /// The tables are older than this release.
    #[error(
        "the tables of the {part} in {database} have version {found}, which is before {needed}: run the migrations"
    )]
    #[non_exhaustive]
    TablesTooOld {
        /// The database.
        database: Place,
        /// The purpose of the tables.
        part: &'static str,
        /// Their version.
        found: u64,
        /// The version that this release needs.
        needed: u64,
    },
    /// The tables are of a later release, which this one does not understand.
    #[error(
        "the tables of the {part} in {database} need a release that knows version {needed}, and this one knows {known}"
    )]
    #[non_exhaustive]
    TablesTooNew {
        /// The database.
        database: Place,
        /// The purpose of the tables.
        part: &'static str,
        /// The version that a release must know.
        needed: u64,
        /// The version that this release knows.
        known: u64,
    },
    /// A pooler gives the sessions of the server to one client after the other.
    #[error(
        "{0} is behind a pooler that changes sessions between transactions: use its session mode, or connect to the server"
    )]
    Pooler(Place),
    /// The database failed.
    #[error("the database could not be opened, checked or migrated")]
    Store(#[from] StoreError),
    /// The URL cannot be read.
    #[error("the URL of the database cannot be read")]
    Url(#[source] sqlx::Error),
    /// The URL has a `#`, or an `@` that is not before the host: most often that of a password, which has characters of
    /// its own there.
    #[error(
        "the URL of the database is ambiguous: write the user, the password and everything else percent-encoded, `/` \
         as `%2F`, or use `Postgres::connect_with`"
    )]
    UrlAmbiguous,
    /// The URL is of another kind of database.
    #[error("the URL begins with neither `postgres://` nor `postgresql://`")]
    UrlScheme,
}

/// A name with words before it, or nothing.
struct Optional<'a>(&'static str, Option<&'a str>);

impl fmt::Display for Optional<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.map_or(Ok(()), |name| write!(f, "{} `{name}`", self.0))
    }
}

/// A database, as errors name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place(Arc<str>);

impl Place {
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// Makes the error of this database.
    pub(crate) fn failed(&self, error: sqlx::Error) -> StoreError {
        StoreError::Database { database: self.clone(), error }
    }

    /// Makes the error of a row of this database.
    pub(crate) fn corrupt(&self, source: CorruptRow) -> StoreError {
        StoreError::Corrupt { database: self.clone(), source }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first column of a row that holds an invalid value; the value is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("column `{column}`{} does not hold what it must", Optional(" of row", row.as_deref()))]
#[non_exhaustive]
pub struct CorruptRow {
    /// The column, or the columns that contradict each other.
    pub column: &'static str,
    /// The id of the key or the number of the event, if it can be read.
    pub row: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CorruptRow {
    pub(crate) const fn new(column: &'static str) -> Self {
        Self { column, row: None, source: None }
    }

    /// Keeps why the value could not be read.
    pub(crate) fn because<E: Error + Send + Sync + 'static>(column: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self { column, row: None, source: Some(Box::new(source)) }
    }
}
