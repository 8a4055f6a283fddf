//! The kind of store under test: how to get an empty one, and how to read its log.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{fmt, future::Future, pin::Pin};

use crate::{audit::Event, store::KeyManagementStore};

/// A kind of store to check.
///
/// See the [module](super) for one on a database. [`InProcess`] is enough for stores that never wait.
pub trait Subject: Send + Sync {
    /// The store.
    type Store: KeyManagementStore + 'static;

    /// Returns an empty store.
    ///
    /// The store that was returned before is dropped by then.
    fn fresh(&self) -> impl Future<Output = Self::Store> + Send;

    /// Reads the whole log of a store, in any order; returns nothing for a store that keeps none.
    ///
    /// An event that was acknowledged before is among them.
    fn logged(&self, store: &Self::Store) -> impl Future<Output = Vec<Event>> + Send;

    /// Returns after how many changes a feed no longer lists the first one; for a feed that lists all, any number.
    ///
    /// Only [`check_feed`](super::check_feed) asks for it, and makes so many changes.
    fn feed_length(&self) -> usize {
        256
    }
}

/// A kind of store that is made, and whose log is read, without waiting.
///
/// ```
/// use keygate::{MemoryStore, store::conformance::{InProcess, Threads, check}};
///
/// let subject = InProcess::new(|| MemoryStore::new(), |store| store.events());
/// assert!(pollster::block_on(check(&subject, &Threads)).is_ok());
/// ```
#[derive(Clone)]
pub struct InProcess<F, L> {
    fresh: F,
    logged: L,
    feed_length: usize,
}

impl<F, L> InProcess<F, L> {
    /// Takes a function that makes an empty store, and one that returns the events that a store keeps.
    ///
    /// For a store that keeps none, the second one returns an empty list.
    #[must_use]
    pub const fn new<S>(fresh: F, logged: L) -> Self
    where
        F: Fn() -> S,
        L: Fn(&S) -> Vec<Event>,
    {
        Self { fresh, logged, feed_length: 256 }
    }

    /// Sets after how many changes the feed no longer lists the first one: [`Subject::feed_length`].
    #[must_use]
    pub fn with_feed_length(self, feed_length: usize) -> Self {
        Self { feed_length, ..self }
    }
}

impl<F, L> fmt::Debug for InProcess<F, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").field("feed_length", &self.feed_length).finish_non_exhaustive()
    }
}

impl<S, F, L> Subject for InProcess<F, L>
where
    S: KeyManagementStore + 'static,
    F: Fn() -> S + Send + Sync,
    L: Fn(&S) -> Vec<Event> + Send + Sync,
{
    type Store = S;

    async fn fresh(&self) -> S {
        (self.fresh)()
    }

    async fn logged(&self, store: &S) -> Vec<Event> {
        (self.logged)(store)
    }

    fn feed_length(&self) -> usize {
        self.feed_length
    }
}

/// A store with the way to read its log.
pub(super) struct Opened<'a, S: Subject> {
    subject: &'a S,
    pub(super) store: Arc<S::Store>,
}

impl<'a, S: Subject> Opened<'a, S> {
    pub(super) async fn new(subject: &'a S) -> Self {
        Self { subject, store: Arc::new(subject.fresh().await) }
    }
}

/// [`Opened`] without its type, so that the checks need no parameter.
pub(super) trait ObjectLog: Send + Sync {
    fn logged_boxed(&self) -> Pin<Box<dyn Future<Output = Vec<Event>> + Send + '_>>;
}

impl<S: Subject> ObjectLog for Opened<'_, S> {
    fn logged_boxed(&self) -> Pin<Box<dyn Future<Output = Vec<Event>> + Send + '_>> {
        Box::pin(self.subject.logged(&self.store))
    }
}
