//! The operations that the store needs of a database.

use core::{future::Future, time::Duration};

use crate::{
    error::{Place, StoreError},
    query::{Query, Row},
    schema::Part,
    settings::{Settings, TablePrefix},
    sql::Dialect,
};

/// A database that runs statements; sealed, since the statements are written for the two that are here.
pub(crate) trait Database: Clone + Send + Sync + 'static {
    /// The statements that the databases spell in ways of their own.
    const SQL: Dialect;

    /// A transaction that may change something.
    type Transaction: Transaction;

    /// The tables of keys.
    const KEYS: Part;

    /// The tables of the directory.
    #[cfg(feature = "directory")]
    const DIRECTORY: Part;

    /// The database's name in errors.
    fn place(&self) -> &Place;

    /// The settings of the service.
    fn settings(&self) -> &Settings;

    /// The prefix of its tables' names.
    fn prefix(&self) -> &TablePrefix {
        &self.settings().prefix
    }

    /// Runs a statement that changes nothing.
    fn read(&self, query: Query) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Begins a transaction, which has to end in the usual time, or in the time that is given.
    fn begin(&self, limit: Option<Duration>) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send;

    /// Runs a statement that may change something; it is committed when this returns.
    fn write(&self, query: Query) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send {
        async move {
            let mut transaction = self.begin(None).await?;
            let rows = transaction.run(query).await?;
            transaction.commit().await?;
            Ok(rows)
        }
    }
}

/// A transaction, which rolls back if it is dropped, even in the middle of a statement.
pub(crate) trait Transaction: Send {
    /// Runs a statement.
    fn run(&mut self, query: Query) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs a file of a migration.
    fn run_file(&mut self, sql: &'static str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes all of it last. If this is dropped, it is unknown whether it does, but it is all or nothing.
    fn commit(self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
