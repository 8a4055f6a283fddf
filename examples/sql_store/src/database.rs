//! What a database does for the store.

use core::future::Future;

use crate::{
    error::StoreError,
    query::{Query, Row},
};

/// A database that runs statements; sealed, since the statements are written for the two that are here.
pub(crate) trait Database: Clone + Send + Sync + 'static {
    /// Ends the keys of an owner; in a form of its own for each database.
    const REVOKE_ALL: &'static str;

    /// Runs a statement that changes nothing.
    fn read(&self, query: Query) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs a statement that may change something; it is committed when this returns.
    fn write(&self, query: Query) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs some statements in one transaction, which is committed when this returns.
    fn write_all(&self, queries: Vec<Query>) -> impl Future<Output = Result<(), StoreError>> + Send;
}
