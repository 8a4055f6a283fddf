//! A cache whose store is changed through it only, as a store of its own: no answer of it is stale.

use core::time::Duration;
use std::sync::Arc;

use keygate::{
    CacheError, CachedStore, KeyId, KeyRecord, UnixTime, WriteThrough,
    store::{
        Answer, Batch, Conflict, KeyChange, KeyLookup, KeyManagementStore, KeyStore, KeysOf, ListQuery, NewKey, Page,
        Remembered, RevokeAll, Touch,
    },
};

pub(crate) struct ThroughCache<S> {
    cache: CachedStore<S>,
    store: WriteThrough<S>,
    inner: S,
}

impl<S: Clone> ThroughCache<S> {
    /// Puts a cache in front of `inner`, whose clones share its keys.
    pub(crate) fn new(inner: S, max_staleness: Duration) -> Self {
        let cache = CachedStore::new(inner.clone(), max_staleness);
        Self { store: cache.write_through(), cache, inner }
    }

    pub(crate) const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: KeyManagementStore> KeyStore for ThroughCache<S> {
    type Error = CacheError<S::Error>;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Self::Error> {
        KeyLookup::<Remembered>::look_up(&self.cache, id).await
    }
}

impl<S: KeyManagementStore> KeyManagementStore for ThroughCache<S> {
    type Receipt = S::Receipt;

    async fn insert(&self, new: NewKey) -> Result<Result<S::Receipt, Conflict>, Self::Error> {
        self.store.insert(new).await.map_err(CacheError::Store)
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<S::Receipt>, Self::Error> {
        self.store.change(change).await.map_err(CacheError::Store)
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), Self::Error> {
        self.store.touch(touches, now).await.map_err(CacheError::Store)
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, Self::Error> {
        self.store.list(keys_of, query).await.map_err(CacheError::Store)
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<S::Receipt>, Self::Error> {
        self.store.revoke_all(revoke).await.map_err(CacheError::Store)
    }
}
