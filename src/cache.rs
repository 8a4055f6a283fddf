//! A cache in front of a store: records, never verdicts, and never older than it says.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{fmt, future::Future, mem, time::Duration};
use std::time::Instant;

use quick_cache::sync::{Cache, GuardResult};

use crate::{
    grant::Owner,
    id::KeyId,
    name::KeyName,
    record::{KeyRecord, NewKey, SecretChange},
    store::{Changed, KeyManagementStore, KeyStore, ListBy, Page, PageRequest, Run},
    time::UnixTime,
};

/// A store that remembers what it found, for a limited time.
///
/// # Contract
///
/// - A record is served while it is younger than the maximum staleness, counted from before its look-up began; then it
///   is looked up again, and nothing is served until the answer is there. So a key that was revoked elsewhere keeps
///   opening for at most that long: this is the bound to state to your users.
/// - What this store changes it forgets, so a change by this process takes effect at once. Changes by others can be
///   announced with [`CachedStore::evict`]. A look-up that was under way does not bring back what was evicted.
/// - Ids that do not exist are remembered as well, in a bound of their own, so that guesses push out no record.
/// - Many requests for one id wait for one look-up. One that fails is not remembered: those who waited for it then ask
///   the store themselves, all at once, as they would without the cache.
///
/// Before you use it, measure: a look-up by primary key is cheap, and no staleness is the best bound.
///
/// ```
/// use core::time::Duration;
/// use std::time::Instant;
/// use keygate::{CachedStore, KeyStore, MemoryStore};
///
/// let store = CachedStore::new(MemoryStore::new(), Duration::from_secs(5), 10_000, 1_000, Instant::now);
/// assert_eq!(pollster::block_on(store.find("wk59pfKL0jFi2YYv".parse()?))?, None);
/// store.evict("wk59pfKL0jFi2YYv".parse()?);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct CachedStore<S> {
    store: S,
    // INVARIANT: who loads an id holds its place in `records` first and in `absent` second, and fills one of the two.
    records: Cache<KeyId, Dated<Arc<KeyRecord>>>,
    absent: Cache<KeyId, Dated<()>>,
    max_staleness: Duration,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// Something that was so when its look-up began.
#[derive(Clone)]
struct Dated<T> {
    value: T,
    since: Instant,
}

impl<S> CachedStore<S> {
    /// Remembers at most `records` records and `absent` absent ids, each for less than `max_staleness`.
    ///
    /// `clock` is usually [`Instant::now`]: not the time of day, which can be set back.
    pub fn new(
        store: S,
        max_staleness: Duration,
        records: usize,
        absent: usize,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Self {
        Self { store, records: Cache::new(records), absent: Cache::new(absent), max_staleness, clock: Box::new(clock) }
    }

    /// Forgets what is known of `id`, as when somebody else announces a change.
    ///
    /// A find that starts afterwards asks the store.
    pub fn evict(&self, id: KeyId) {
        self.records.remove(&id);
        self.absent.remove(&id);
    }

    /// Returns the largest time by which an answer lags behind the store.
    #[must_use]
    pub const fn max_staleness(&self) -> Duration {
        self.max_staleness
    }

    /// Returns a reference to the store behind the cache.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    fn is_fresh<T>(&self, dated: &Dated<T>) -> bool {
        (self.clock)().saturating_duration_since(dated.since) < self.max_staleness
    }

    /// Returns what is known and fresh, and forgets what is known and stale.
    fn recall(&self, id: KeyId) -> Option<Option<Arc<KeyRecord>>> {
        if let Some(known) = self.records.get(&id) {
            if self.is_fresh(&known) {
                return Some(Some(known.value));
            }
            self.records.remove_if(&id, |known| !self.is_fresh(known));
        }
        let known = self.absent.get(&id)?;
        if self.is_fresh(&known) {
            return Some(None);
        }
        self.absent.remove_if(&id, |known| !self.is_fresh(known));
        None
    }
}

impl<S: KeyStore> KeyStore for CachedStore<S> {
    type Error = S::Error;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, S::Error> {
        if let Some(known) = self.find_now(id) {
            return Ok(known);
        }
        let GuardResult::Guard(place) = self.records.get_value_or_guard(&id, Some(Duration::ZERO)) else {
            return self.wait_for_other(id).await;
        };
        let Err(absent_place) = self.absent.get_value_or_guard_async(&id).await else {
            drop(place);
            return self.wait_for_other(id).await;
        };
        let since = (self.clock)();
        let found = self.store.find(id).await?;
        // A place that was evicted in the meantime takes nothing, which is what eviction asks for.
        match &found {
            Some(record) => drop(place.insert(Dated { value: Arc::clone(record), since })),
            None => drop(absent_place.insert(Dated { value: (), since })),
        }
        Ok(found)
    }

    fn find_now(&self, id: KeyId) -> Option<Option<Arc<KeyRecord>>> {
        self.recall(id)
    }

    async fn find_current(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, S::Error> {
        // What is remembered stays: whoever knows an id could empty the cache by asking for it, as by reports of leaks.
        self.store.find_current(id).await
    }
}

impl<S: KeyStore> CachedStore<S> {
    /// Takes what a look-up gives that somebody else began, and waits for it.
    ///
    /// Where that one gave nothing to remember, or something that is stale by now, this request asks for itself, and
    /// holds no place: the others that waited do the same at the same time. One behind the other, each would wait for the
    /// failures of all before it.
    async fn wait_for_other(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, S::Error> {
        if let Ok(known) = self.records.get_value_or_guard_async(&id).await {
            if self.is_fresh(&known) {
                return Ok(Some(known.value));
            }
        }
        if let Some(known) = self.recall(id) {
            return Ok(known);
        }
        self.store.find(id).await
    }
}

impl<S: KeyManagementStore> KeyManagementStore for CachedStore<S> {
    async fn insert(&self, new: NewKey) -> Result<Changed, S::Error> {
        let id = new.record().id();
        self.evicting(id, self.store.insert(new)).await
    }

    async fn rename(&self, id: KeyId, name: KeyName) -> Result<Changed, S::Error> {
        self.evicting(id, self.store.rename(id, name)).await
    }

    async fn disable(&self, id: KeyId) -> Result<Changed, S::Error> {
        self.evicting(id, self.store.disable(id)).await
    }

    async fn enable(&self, id: KeyId) -> Result<Changed, S::Error> {
        self.evicting(id, self.store.enable(id)).await
    }

    async fn revoke(&self, id: KeyId, at: UnixTime) -> Result<Changed<UnixTime>, S::Error> {
        self.evicting(id, self.store.revoke(id, at)).await
    }

    async fn rotate(&self, change: SecretChange) -> Result<Changed, S::Error> {
        self.evicting(change.id(), self.store.rotate(change)).await
    }

    async fn end_overlap(&self, id: KeyId) -> Result<Changed, S::Error> {
        self.evicting(id, self.store.end_overlap(id)).await
    }

    async fn touch(&self, id: KeyId, used_at: UnixTime, now: UnixTime) -> Result<(), S::Error> {
        self.evicting(id, self.store.touch(id, used_at, now)).await
    }

    async fn list(&self, by: ListBy, page: PageRequest) -> Result<Page, S::Error> {
        self.store.list(by, page).await
    }

    async fn revoke_all(&self, owner: Owner, at: UnixTime, run: Run) -> Result<Vec<KeyId>, S::Error> {
        if run == Run::Dry {
            return self.store.revoke_all(owner, at, run).await;
        }
        let forget_all = ForgetAll(self);
        let ids = self.store.revoke_all(owner, at, run).await?;
        mem::forget(forget_all);
        ids.iter().for_each(|id| self.evict(*id));
        Ok(ids)
    }
}

impl<S> CachedStore<S> {
    /// Evicts `id` after a change, whatever became of it: also when it failed, since it may have taken place, and when
    /// the caller stopped waiting for it.
    async fn evicting<T>(&self, id: KeyId, change: impl Future<Output = T>) -> T {
        let _evict = EvictOnDrop(self, id);
        change.await
    }
}

struct EvictOnDrop<'a, S>(&'a CachedStore<S>, KeyId);

impl<S> Drop for EvictOnDrop<'_, S> {
    fn drop(&mut self) {
        self.0.evict(self.1);
    }
}

/// Where the answer never came, which keys were ended is not known.
struct ForgetAll<'a, S>(&'a CachedStore<S>);

impl<S> Drop for ForgetAll<'_, S> {
    fn drop(&mut self) {
        self.0.records.clear();
    }
}

impl<S> fmt::Debug for CachedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStore").field("max_staleness", &self.max_staleness).finish_non_exhaustive()
    }
}
