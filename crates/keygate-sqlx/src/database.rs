//! What a database does for the store.

use core::future::Future;

use crate::{
    error::StoreError,
    query::{Query, Row},
    sql::Dialect,
};

/// A database that runs statements; sealed, since the statements are written for the two that are here.
pub(crate) trait Database: Clone + Send + Sync + 'static {
    /// The statements that the databases spell in ways of their own.
    const SQL: Dialect;

    /// A transaction that may change something.
    type Transaction: Transaction;

    /// Runs a statement that changes nothing.
    fn read(&self, query: Query) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs a statement that may change something; it is committed when this returns.
    fn write(&self, query: Query) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Begins a transaction.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send;
}

/// A transaction; what it did is undone if it is dropped, also in the midst of a statement.
pub(crate) trait Transaction: Send {
    /// Runs a statement.
    fn run(&mut self, query: Query) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Makes all of it last. If this is dropped, it is unknown whether it does, but it is all or nothing.
    fn commit(self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
