//! The plain store with and without a log.

use std::sync::{Arc, PoisonError};

use keygate::{
    KeyId, KeyRecord, UnixTime,
    audit::Event,
    store::{
        Answer, Batch, Conflict, KeyChange, KeyManagementStore, KeyStore, KeysOf, ListQuery, NewKey, NotLogged, Page,
        RevokeAll, Touch,
    },
};

use super::{
    fault::Fault,
    plain::{OutOfOrder, PlainStore},
};

impl PlainStore {
    /// The log.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).log.clone()
    }
}

/// A store that keeps no log, and hands the events back.
#[derive(Debug)]
pub(crate) struct Unlogged(PlainStore);

impl Unlogged {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        let store = PlainStore::new(fault);
        store.state.lock().unwrap_or_else(PoisonError::into_inner).keeps_no_log = true;
        Self(store)
    }

    /// What it logs by mistake.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.events()
    }
}

impl KeyStore for Unlogged {
    type Error = OutOfOrder;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, OutOfOrder> {
        self.0.find(id).await
    }
}

impl KeyManagementStore for Unlogged {
    type Receipt = NotLogged;

    async fn insert(&self, new: NewKey) -> Result<Result<NotLogged, Conflict>, OutOfOrder> {
        Ok(self.0.inserted(&new).await.map(NotLogged))
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<NotLogged>, OutOfOrder> {
        Ok(match self.0.changed(&change).await? {
            Answer::Changed(events) => Answer::Changed(NotLogged(events)),
            Answer::Refused(conflict) => Answer::Refused(conflict),
            Answer::Unchanged(record) => Answer::Unchanged(record),
        })
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), OutOfOrder> {
        self.0.touch(touches, now).await
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, OutOfOrder> {
        self.0.list(keys_of, query).await
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<NotLogged>, OutOfOrder> {
        let (ids, has_more, events) = self.0.swept(&revoke).await;
        Ok(Batch::new(ids, has_more, NotLogged(events)))
    }
}
