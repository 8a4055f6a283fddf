//! Why a store failed.

use core::error::Error;

/// A failure of the store, after which it is unknown whether a change took place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Others changed the same keys so often during an operation that it never came to its end.
    #[error("the key kept changing")]
    Contended,
    /// What is stored is no record.
    #[error("a stored row is no record")]
    Corrupt(#[source] CorruptRow),
    /// The database refused, or could not be reached.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("the tables could not be brought up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    TimedOut,
}

impl StoreError {
    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Returns `true` if PostgreSQL ended the transaction because it and another one waited for each other.
    pub(crate) fn is_deadlock(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40P01"))
    }
}

/// The first column of a row that holds what it must not; the value is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("column `{column}` does not hold what it must")]
#[non_exhaustive]
pub struct CorruptRow {
    /// The column, or the columns that contradict each other.
    pub column: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CorruptRow {
    pub(crate) const fn new(column: &'static str) -> Self {
        Self { column, source: None }
    }

    /// Keeps why the value could not be read.
    pub(crate) fn because<E: Error + Send + Sync + 'static>(column: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self { column, source: Some(Box::new(source)) }
    }
}
