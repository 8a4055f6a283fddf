//! A store that others come between, and what is seen of its keys.

use std::{cmp, collections::HashMap, convert::Infallible, error::Error, fmt, sync::Mutex as Plain};

use keygate::{
    Changed, KeyId, KeyManagementStore, KeyName, KeyRecord, KeyStore, ListBy, MemoryStore, NewKey, Owner, Page,
    PageRequest, Run, SecretChange, Status, UnixTime,
};
use shuttle::{
    future::{block_on, yield_now},
    rand::{Rng, thread_rng},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

pub(crate) type Record = std::sync::Arc<KeyRecord>;

/// How far a key got.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) exists: bool,
    pub(crate) revoked: bool,
    pub(crate) used: i64,
}

impl Seen {
    pub(crate) fn of(found: Option<&KeyRecord>) -> Self {
        found.map_or(Self::default(), |record| Self {
            exists: true,
            revoked: matches!(record.status(), Status::Revoked { .. }),
            used: record.last_used_at().map_or(0, UnixTime::as_secs),
        })
    }

    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            exists: self.exists || other.exists,
            revoked: self.revoked || other.revoked,
            used: cmp::max(self.used, other.used),
        }
    }

    /// Is at least as far as `other`. An absent key is not known to be revoked, but it opens as little.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.join(other) == self || !self.exists && !other.exists
    }
}

#[derive(Debug)]
pub(crate) struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store is down")
    }
}

impl Error for Down {}

/// A store that lets others come between at each step, and that can fail before or after it did what it was asked for.
pub(crate) struct Slow {
    pub(crate) inner: MemoryStore,
    pub(crate) ids: [KeyId; 2],
    pub(crate) finds: AtomicUsize,
    pub(crate) fails: bool,
    // No lock of shuttle's: what the test keeps for itself is no step.
    pub(crate) done: Plain<HashMap<thread::ThreadId, [Seen; 2]>>,
}

impl Slow {
    pub(crate) fn seen(&self) -> [Seen; 2] {
        self.ids.map(|id| Seen::of(sure(block_on(self.inner.find(id))).as_deref()))
    }

    async fn step<T>(&self, work: impl Future<Output = Result<T, Infallible>>) -> Result<T, Down> {
        yield_now().await;
        if self.fails && thread_rng().gen_bool(0.1) {
            return Err(Down);
        }
        let answer = sure(work.await);
        self.done.lock().unwrap().insert(thread::current().id(), self.seen());
        yield_now().await;
        if self.fails && thread_rng().gen_bool(0.1) {
            return Err(Down);
        }
        Ok(answer)
    }
}

pub(crate) fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

impl KeyStore for Slow {
    type Error = Down;

    async fn find(&self, id: KeyId) -> Result<Option<Record>, Down> {
        self.finds.fetch_add(1, SeqCst);
        self.step(self.inner.find(id)).await
    }
}

impl KeyManagementStore for Slow {
    async fn insert(&self, new: NewKey) -> Result<Changed, Down> {
        self.step(self.inner.insert(new)).await
    }

    async fn rename(&self, id: KeyId, name: KeyName) -> Result<Changed, Down> {
        self.step(self.inner.rename(id, name)).await
    }

    async fn disable(&self, id: KeyId) -> Result<Changed, Down> {
        self.step(self.inner.disable(id)).await
    }

    async fn enable(&self, id: KeyId) -> Result<Changed, Down> {
        self.step(self.inner.enable(id)).await
    }

    async fn revoke(&self, id: KeyId, at: UnixTime) -> Result<Changed<UnixTime>, Down> {
        self.step(self.inner.revoke(id, at)).await
    }

    async fn rotate(&self, change: SecretChange) -> Result<Changed, Down> {
        self.step(self.inner.rotate(change)).await
    }

    async fn end_overlap(&self, id: KeyId) -> Result<Changed, Down> {
        self.step(self.inner.end_overlap(id)).await
    }

    async fn touch(&self, id: KeyId, used_at: UnixTime, now: UnixTime) -> Result<(), Down> {
        self.step(self.inner.touch(id, used_at, now)).await
    }

    async fn list(&self, by: ListBy, page: PageRequest) -> Result<Page, Down> {
        self.step(self.inner.list(by, page)).await
    }

    async fn revoke_all(&self, owner: Owner, at: UnixTime, run: Run) -> Result<Vec<KeyId>, Down> {
        self.step(self.inner.revoke_all(owner, at, run)).await
    }
}
