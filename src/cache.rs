//! A cache in front of a store: records, never verdicts, and never older than its bound.

use alloc::{sync::Arc, vec::Vec};
use core::{
    error::Error,
    fmt,
    future::Future,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use quick_cache::sync::{Cache, GuardResult};

use crate::{
    id::KeyId,
    record::KeyRecord,
    store::{
        Answer, Batch, ChangeFeed, Changes, Conflict, KeyChange, KeyLookup, KeyManagementStore, KeyStore, KeysOf,
        ListQuery, NewKey, Page, Remembered, Revision, RevokeAll, SecondLook, Touch,
    },
    time::UnixTime,
};

// By their paths, so that the model checker, which includes this file, finds them too.
#[path = "cache/generations.rs"]
mod generations;
#[path = "cache/settings.rs"]
mod settings;

use generations::Generations;
pub use settings::CacheSettings;

/// Remembers a store's answers for a limited time. Clones share them.
///
/// # Contract
///
/// - **Lease.** A record is served only while the later of two moments is less than the maximum staleness ago: the
///   start of its look-up, and the start of the last successful [tick](CachedStore::tick). A look-up that takes longer
///   is not served either. So a revoked key and an old secret keep opening for at most that long: this is the bound to
///   state to your users. The clock is monotonic.
/// - **Tick.** [`CachedStore::tick`] asks the store's [feed](ChangeFeed) for the changed keys. These are forgotten, and
///   all other records are confirmed as of the start of the tick. Call it on a timer, such as four times in a lease.
/// - **Forgetting** voids the look-ups under way: their results neither fill the cache nor answer, and their callers
///   look up again. A key that is changed through [`CachedStore::write_through`] is forgotten, also if the caller stops
///   waiting.
/// - **New secrets.** A secret that does not match a remembered record is compared once more with the record itself, at
///   most once a second for an id, and callers at the same time share that look. So a new secret works within a second.
///   A look that fails, or whose caller stops waiting, is not shared.
/// - Ids that do not exist are remembered too, within a bound of their own, so that guesses push out no record.
/// - Many requests for one id wait for one look-up. One that fails is not remembered: the waiting requests then query
///   the store themselves, concurrently.
///
/// Before you use it, measure: a look-up by primary key is cheap, and no staleness is the best bound.
///
/// ```
/// use core::time::Duration;
/// use keygate::{CachedStore, Gate, Issuer, KeyManager, MemoryStore};
///
/// let cache = CachedStore::new(MemoryStore::new(), Duration::from_secs(5));
/// let acme = Issuer::from_static("acme");
/// let gate = Gate::new(acme, cache.clone());
/// let keys = KeyManager::new(acme, cache.write_through());
/// # let _ = (gate, keys);
///
/// // On a timer:
/// pollster::block_on(cache.tick())?;
/// assert!(cache.revision().is_some());
/// # Ok::<(), core::convert::Infallible>(())
/// ```
pub struct CachedStore<S>(Arc<Shared<S>>);

struct Shared<S> {
    store: S,
    // INVARIANT: who loads an id holds its place in `records` first and in `absent` second, and fills one of the two.
    records: Cache<KeyId, Dated<Arc<KeyRecord>>>,
    absent: Cache<KeyId, Dated<()>>,
    /// Second looks under way, and those of the last second.
    looks: Cache<KeyId, Dated<Option<Arc<KeyRecord>>>>,
    generations: Generations,
    max_staleness: Duration,
    clock: Arc<dyn Fn() -> Instant + Send + Sync>,
    /// The moment that `confirmed` counts from.
    epoch: Instant,
    /// Nanoseconds from `epoch` to the start of the last successful tick, and one; 0 before the first.
    confirmed: AtomicU64,
    revision: Mutex<Option<Revision>>,
    is_ticking: AtomicBool,
}

/// Something that was so when its look-up began.
#[derive(Clone)]
struct Dated<T> {
    value: T,
    since: Instant,
}

/// A look-up under way: its start, and the generations at that time.
#[derive(Clone, Copy)]
struct Ticket {
    id: KeyId,
    generation: u64,
    since: Instant,
}

/// How an attempt to look something up ended.
enum Attempt<T> {
    Answered(T),
    /// The record was forgotten before it could be returned.
    Void,
}

type Found = Option<Arc<KeyRecord>>;
type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

impl<S> CachedStore<S> {
    /// Puts a cache in front of `store`; a duration is the maximum staleness, with the other settings as they are.
    pub fn new(store: S, settings: impl Into<CacheSettings>) -> Self {
        let CacheSettings { max_staleness, max_records, max_absent, clock } = settings.into();
        Self(Arc::new(Shared {
            store,
            records: Cache::new(max_records),
            absent: Cache::new(max_absent),
            looks: Cache::new(max_absent),
            generations: Generations::new(),
            max_staleness,
            epoch: clock(),
            clock,
            confirmed: AtomicU64::new(0),
            revision: Mutex::new(None),
            is_ticking: AtomicBool::new(false),
        }))
    }

    /// Returns how far an answer may lag behind the store at most.
    #[must_use]
    pub fn max_staleness(&self) -> Duration {
        self.0.max_staleness
    }

    /// Returns the revision of the store up to which changes are known here, once a tick has succeeded.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        *self.0.known_revision()
    }

    /// Returns how long ago the last successful tick began; `None` before the first one.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.0.confirmed().map(|confirmed| self.0.elapsed(confirmed))
    }

    /// Forgets `id`, as when the database announces a change.
    pub fn forget(&self, id: KeyId) {
        self.0.forget(id);
    }

    /// Forgets everything, as on a node that comes back after it was away.
    pub fn forget_everything(&self) {
        self.0.forget_everything();
    }

    /// Returns the store behind the cache: the cache forgets each key that is changed through it. Give it to a manager.
    #[must_use]
    pub fn write_through(&self) -> WriteThrough<S> {
        WriteThrough(Arc::clone(&self.0))
    }
}

impl<S: ChangeFeed> CachedStore<S> {
    /// Asks the store what changed, forgets that, and confirms all else as of before the question.
    ///
    /// A revision of another life of the store, one that went back, or one that is too old empties the cache. One tick
    /// runs at a time: where another is under way, this returns at once.
    ///
    /// # Errors
    ///
    /// The error of the feed. Nothing is confirmed then, so the lease runs out unless a later tick succeeds.
    pub async fn tick(&self) -> Result<(), S::Error> {
        let shared = &*self.0;
        let Some(_ticking) = Ticking::begin(&shared.is_ticking) else { return Ok(()) };
        let start = shared.now();
        let known = *shared.known_revision();
        let changes = shared.store.changes_since(known).await?;
        let revision = changes.revision();
        match changes {
            Changes::Keys { ids, .. } if known.is_some_and(|known| revision.follows(known)) => {
                ids.into_iter().for_each(|id| shared.forget(id));
            }
            Changes::Everything { .. } | Changes::Keys { .. } => shared.forget_everything(),
        }
        *shared.known_revision() = Some(revision);
        shared.confirm(start);
        Ok(())
    }
}

/// Held while a tick runs, and given back even if its caller stops waiting.
struct Ticking<'a>(&'a AtomicBool);

impl<'a> Ticking<'a> {
    fn begin(is_ticking: &'a AtomicBool) -> Option<Self> {
        // Made only where it is given: another one gives the turn back when it is dropped.
        (!is_ticking.swap(true, Ordering::Acquire)).then(|| Self(is_ticking))
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl<S> Shared<S> {
    fn now(&self) -> Instant {
        (self.clock)()
    }

    fn elapsed(&self, since: Instant) -> Duration {
        self.now().saturating_duration_since(since)
    }

    fn known_revision(&self) -> MutexGuard<'_, Option<Revision>> {
        self.revision.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn confirmed(&self) -> Option<Instant> {
        let nanos = self.confirmed.load(Ordering::Acquire).checked_sub(1)?;
        self.epoch.checked_add(Duration::from_nanos(nanos))
    }

    fn confirm(&self, start: Instant) {
        let nanos = start.saturating_duration_since(self.epoch).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(1);
        self.confirmed.fetch_max(nanos, Ordering::AcqRel);
    }

    /// The lease: the later of the look-up and the last tick is less than the maximum staleness ago. And the look-up
    /// was less than `max_age` ago.
    ///
    /// `confirmed` is by a tick that ended before this was read out of the cache: a later one may have forgotten it.
    fn is_fresh<T>(&self, dated: &Dated<T>, confirmed: Option<Instant>, max_age: Duration) -> bool {
        let now = self.now();
        let since = confirmed.map_or(dated.since, |confirmed| confirmed.max(dated.since));
        now.saturating_duration_since(since) < self.max_staleness
            && now.saturating_duration_since(dated.since) < max_age
    }

    fn forget(&self, id: KeyId) {
        let mut generation = self.generations.of(id);
        *generation = generation.wrapping_add(1);
        self.records.remove(&id);
        self.absent.remove(&id);
        self.looks.remove(&id);
    }

    fn forget_everything(&self) {
        // All parts are held until everything is gone: no look-up that began before settles in between.
        let mut generations = self.generations.all();
        for generation in &mut generations {
            **generation = generation.wrapping_add(1);
        }
        self.records.clear();
        self.absent.clear();
        self.looks.clear();
    }

    /// Returns a fresh entry, and forgets a stale one.
    fn recall(&self, id: KeyId) -> Option<Found> {
        let record = self.recall_from(&self.records, id, Duration::MAX).map(|known| Some(known.value));
        record.or_else(|| self.recall_from(&self.absent, id, Duration::MAX).map(|_| None))
    }

    fn recall_from<T: Clone>(&self, cache: &Cache<KeyId, Dated<T>>, id: KeyId, max_age: Duration) -> Option<Dated<T>> {
        let confirmed = self.confirmed();
        let known = cache.get(&id)?;
        if self.is_fresh(&known, confirmed, max_age) {
            return Some(known);
        }
        cache.remove_if(&id, |known| !self.is_fresh(known, self.confirmed(), Duration::MAX));
        None
    }

    /// Waits for what another request looks up, and returns it, unless it failed, or is stale or forgotten by now.
    async fn wait_for<T: Clone>(&self, cache: &Cache<KeyId, Dated<T>>, id: KeyId) -> Option<Dated<T>> {
        let before = *self.generations.of(id);
        // What was waited for need not be in the cache yet: the requests that wait are woken first.
        let known = cache.get_value_or_guard_async(&id).await.ok()?;
        let generation = self.generations.of(id);
        (*generation == before && self.is_fresh(&known, self.confirmed(), Duration::MAX)).then_some(known)
    }

    /// Begins a look-up: call it before the store is asked.
    fn begin(&self, id: KeyId) -> Ticket {
        let generation = *self.generations.of(id);
        Ticket { id, generation, since: self.now() }
    }

    /// Ends a look-up: remembers what was found by `remember`, and answers it, unless it is void or late.
    fn settle<E: Error + 'static>(
        &self,
        ticket: Ticket,
        found: Found,
        remember: impl FnOnce(&Found, Instant),
    ) -> Result<Attempt<Found>, CacheError<E>> {
        let generation = self.generations.of(ticket.id);
        if *generation != ticket.generation {
            return Ok(Attempt::Void);
        }
        if self.elapsed(ticket.since) >= self.max_staleness {
            return Err(CacheError::Late);
        }
        // Nobody forgets this id as long as its generation is held.
        remember(&found, ticket.since);
        Ok(Attempt::Answered(found))
    }

    /// Remembers a second look, unless something younger is remembered.
    fn replace(&self, id: KeyId, found: &Found, since: Instant) {
        if self.records.peek(&id).is_some_and(|known| known.since > since) {
            return;
        }
        match found {
            Some(record) => self.records.insert(id, Dated { value: Arc::clone(record), since }),
            None => {
                self.records.remove(&id);
                self.absent.insert(id, Dated { value: (), since });
            }
        }
    }
}

impl<S: KeyStore> Shared<S> {
    async fn ask(&self, id: KeyId) -> Result<Found, CacheError<S::Error>> {
        self.store.find(id).await.map_err(CacheError::Store)
    }

    async fn load(&self, id: KeyId) -> Result<Attempt<Found>, CacheError<S::Error>> {
        let GuardResult::Guard(place) = self.records.get_value_or_guard(&id, Some(Duration::ZERO)) else {
            return self.wait_for_other(id).await;
        };
        let Err(absent_place) = self.absent.get_value_or_guard_async(&id).await else {
            drop(place);
            return self.wait_for_other(id).await;
        };
        let ticket = self.begin(id);
        let found = self.ask(id).await?;
        self.settle(ticket, found, |found, since| match found {
            Some(record) => drop(place.insert(Dated { value: Arc::clone(record), since })),
            None => drop(absent_place.insert(Dated { value: (), since })),
        })
    }

    /// Waits for a look-up that another request began.
    ///
    /// If that one gave nothing to remember, or a record that is stale or forgotten by now, this request asks for
    /// itself, and holds no place: the others that waited do the same at the same time. One after the other, each would
    /// wait for the failures of all before it.
    async fn wait_for_other(&self, id: KeyId) -> Result<Attempt<Found>, CacheError<S::Error>> {
        let known = self.wait_for(&self.records, id).await.map(|known| Some(known.value));
        if let Some(known) = known.or_else(|| self.recall(id)) {
            return Ok(Attempt::Answered(known));
        }
        let ticket = self.begin(id);
        let found = self.ask(id).await?;
        self.settle(ticket, found, |_, _| {})
    }

    /// Looks at the record itself; requests at the same time share one look, and so do those of the next second.
    async fn look(&self, id: KeyId) -> Result<Attempt<Found>, CacheError<S::Error>> {
        // However slow the store is, what counts is when this request came.
        let arrived = self.now();
        let is_recent = |look: &Dated<Found>| arrived.saturating_duration_since(look.since) < BETWEEN_LOOKS;
        let place = loop {
            // Makes room for one place, which the next of these requests takes.
            self.looks.remove_if(&id, |look| !is_recent(look) || !self.is_fresh(look, self.confirmed(), Duration::MAX));
            if let GuardResult::Guard(place) = self.looks.get_value_or_guard(&id, Some(Duration::ZERO)) {
                break Some(place);
            }
            match self.wait_for(&self.looks, id).await {
                Some(look) if is_recent(&look) => return Ok(Attempt::Answered(look.value)),
                // It began too long before this request, and the next one begins after it.
                Some(_) => {}
                None => break None,
            }
        };
        let ticket = self.begin(id);
        let found = self.ask(id).await?;
        self.settle(ticket, found, |found, since| {
            self.replace(id, found, since);
            if let Some(place) = place {
                drop(place.insert(Dated { value: found.clone(), since }));
            }
        })
    }
}

impl<S: KeyStore> KeyLookup<Remembered> for CachedStore<S> {
    type Error = CacheError<S::Error>;

    async fn look_up(&self, id: KeyId) -> Result<Found, Self::Error> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(known) = self.0.recall(id) {
                return Ok(known);
            }
            if let Attempt::Answered(found) = self.0.load(id).await? {
                return Ok(found);
            }
        }
        Err(CacheError::Contended)
    }

    async fn look_up_current(&self, id: KeyId) -> Result<Found, Self::Error> {
        // What is remembered stays: anyone who knows an id could empty the cache by asking for it, as by reports of
        // leaks.
        self.0.ask(id).await
    }

    async fn look_again(&self, seen: &Arc<KeyRecord>) -> Result<SecondLook, Self::Error> {
        let id = seen.id();
        for _ in 0..MAX_ATTEMPTS {
            // What was read less than a second ago is as good as a look.
            if let Some(known) = self.0.recall_from(&self.0.records, id, BETWEEN_LOOKS) {
                let is_seen = Arc::ptr_eq(&known.value, seen);
                return Ok(if is_seen { SecondLook::NothingNewer } else { SecondLook::Found(Some(known.value)) });
            }
            if let Attempt::Answered(found) = self.0.look(id).await? {
                return Ok(SecondLook::Found(found));
            }
        }
        Err(CacheError::Contended)
    }
}

impl<S> Clone for CachedStore<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for CachedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStore").field("max_staleness", &self.0.max_staleness).finish_non_exhaustive()
    }
}

/// The store behind a cache, for code that changes keys: its answers are current, and the cache forgets each key that
/// is changed through it when the change ends, also if it fails or its caller stops waiting.
///
/// If the caller stops waiting and the database commits later still, a look-up in between may remember the old record,
/// for at most the maximum staleness.
///
/// See [`CachedStore::write_through`].
pub struct WriteThrough<S>(Arc<Shared<S>>);

impl<S> WriteThrough<S> {
    /// Returns a reference to the store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.0.store
    }

    /// Forgets `id` after a change, whatever its outcome.
    async fn forgetting<T>(&self, ids: Vec<KeyId>, change: impl Future<Output = T>) -> T {
        let _forget = ForgetOnDrop(&self.0, ids);
        change.await
    }
}

struct ForgetOnDrop<'a, S>(&'a Shared<S>, Vec<KeyId>);

impl<S> Drop for ForgetOnDrop<'_, S> {
    fn drop(&mut self) {
        self.1.iter().for_each(|id| self.0.forget(*id));
    }
}

/// Without an answer it is unknown which keys were revoked.
struct ForgetEverythingOnDrop<'a, S>(&'a Shared<S>, bool);

impl<S> Drop for ForgetEverythingOnDrop<'_, S> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.forget_everything();
        }
    }
}

impl<S: KeyStore> KeyStore for WriteThrough<S> {
    type Error = S::Error;

    async fn find(&self, id: KeyId) -> Result<Found, S::Error> {
        self.0.store.find(id).await
    }
}

impl<S: KeyManagementStore> KeyManagementStore for WriteThrough<S> {
    type Receipt = S::Receipt;

    async fn insert(&self, new: NewKey) -> Result<Result<S::Receipt, Conflict>, S::Error> {
        self.forgetting([new.record().id()].into(), self.0.store.insert(new)).await
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<S::Receipt>, S::Error> {
        self.forgetting([change.id()].into(), self.0.store.change(change)).await
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), S::Error> {
        let ids = touches.iter().map(|touch| touch.id).collect();
        self.forgetting(ids, self.0.store.touch(touches, now)).await
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, S::Error> {
        self.0.store.list(keys_of, query).await
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<S::Receipt>, S::Error> {
        let mut forget = ForgetEverythingOnDrop(&self.0, false);
        let batch = self.0.store.revoke_all(revoke).await?;
        forget.1 = true;
        batch.ids.iter().for_each(|id| self.0.forget(*id));
        Ok(batch)
    }
}

impl<S: ChangeFeed> ChangeFeed for WriteThrough<S> {
    async fn changes_since(&self, since: Option<Revision>) -> Result<Changes, S::Error> {
        self.0.store.changes_since(since).await
    }
}

impl<S> Clone for WriteThrough<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for WriteThrough<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteThrough").finish_non_exhaustive()
    }
}

/// Why a cache could not answer: never an allow, and never "no such key".
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError<E: Error + 'static> {
    /// Each look-up was void, since the key, or everything, was forgotten while it was under way.
    #[error("the key changed as often as it was looked up")]
    Contended,
    /// The store answered after the maximum staleness.
    #[error("the store answered later than the cache may serve")]
    Late,
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] E),
}

/// How often a look-up is repeated if its answer was void.
const MAX_ATTEMPTS: usize = 8;
/// A wrong secret asks the store for an id at most once in this time, and a new one works after it.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
