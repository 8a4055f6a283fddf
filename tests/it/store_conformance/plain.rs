//! A store of its own, as plain as can be: a map of columns behind a lock, and one fault if asked for.
//!
//! It is no wrapper, since `MemoryStore` cannot be made to break its contract from outside; so the suite also passes a
//! second implementation that shares nothing with the first.

mod commit;
mod decide;
mod listed;

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use keygate::{
    KeyId, KeyRecord, UnixTime,
    audit::Event,
    store::{
        Answer, Batch, ChangeFeed, Changes, Conflict, KeyChange, KeyManagementStore, KeyStore, KeysOf, ListQuery,
        Logged, NewKey, Page, RecordParts, Revision, RevokeAll, SecretDigest, Touch,
    },
};

use super::{fault::Fault, row::record};

#[derive(Debug, Default)]
pub(crate) struct PlainStore {
    fault: Option<Fault>,
    pub(crate) state: Mutex<State>,
    /// Wakes those that wait for another task of a race.
    looked: Condvar,
    /// What finds have seen: a store has no business to know.
    seen: Mutex<BTreeMap<KeyId, RecordParts>>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// How often anybody looked or wrote.
    looks: u64,
    rows: BTreeMap<String, RecordParts>,
    pub(crate) log: Vec<Event>,
    /// The events are the caller's: nothing is logged.
    pub(crate) keeps_no_log: bool,
    /// The keys that changed, by the number of the change.
    changes: Vec<(u64, KeyId)>,
    next_number: u64,
    /// Every digest that was current once, and every record as it was inserted: a store has no business to know.
    digests: Vec<SecretDigest>,
    inserted: BTreeMap<KeyId, RecordParts>,
}

#[derive(Debug, thiserror::Error)]
#[error("out of order")]
pub(crate) struct OutOfOrder;

impl PlainStore {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { fault, ..Self::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn locked<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looks = state.looks.saturating_add(1);
        self.looked.notify_all();
        work(&mut state)
    }

    /// Where a record is kept.
    fn place(&self, id: KeyId) -> String {
        if self.has(Fault::BlursIds) { id.as_str().to_lowercase() } else { id.as_str().to_owned() }
    }
}

impl KeyStore for PlainStore {
    type Error = OutOfOrder;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, OutOfOrder> {
        let mut found = self.locked(|state| state.rows.get(&self.place(id)).cloned());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has(Fault::CachesFinds) {
            found = seen.get(&id).cloned().or(found);
        }
        if self.has(Fault::FindsAnything) && found.is_none() {
            found = self.locked(|state| state.rows.values().next().cloned());
        }
        if let Some(found) = &found {
            seen.insert(id, found.clone());
        }
        Ok(found.map(record))
    }
}

impl KeyManagementStore for PlainStore {
    type Receipt = Logged;

    async fn insert(&self, new: NewKey) -> Result<Result<Logged, Conflict>, OutOfOrder> {
        Ok(self.inserted(&new).await.map(|_| Logged))
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<Logged>, OutOfOrder> {
        Ok(match self.changed(&change).await? {
            Answer::Changed(_) => Answer::Changed(Logged),
            Answer::Refused(conflict) => Answer::Refused(conflict),
            Answer::Unchanged(record) => Answer::Unchanged(record),
        })
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), OutOfOrder> {
        self.touched(&touches, now);
        Ok(())
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, OutOfOrder> {
        Ok(self.listed(&keys_of, &query))
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<Logged>, OutOfOrder> {
        let (ids, has_more, _) = self.swept(&revoke).await;
        Ok(Batch::new(ids, has_more, Logged))
    }
}

impl ChangeFeed for PlainStore {
    async fn changes_since(&self, since: Option<Revision>) -> Result<Changes, OutOfOrder> {
        Ok(self.locked(|state| self.fed(state, since)))
    }
}
