//! The cache: how old an answer may be, who loads, and what eviction means.
#![cfg(all(feature = "cache", feature = "memory"))]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use core::{
    convert::Infallible,
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Instant,
};

use common::{at, personal, rng, system};
use keygate::{
    CachedStore, Changed, Create, Issued, KeyId, KeyManagementStore, KeyName, KeyRecord, KeyStore, ListBy, MemoryStore,
    NewKey, Owner, Page, PageRequest, Run, SecretChange, Status, UnixTime, Validity, authorize_operation,
};
use pollster::block_on;

const BOUND: Duration = Duration::from_secs(10);

/// A clock that only a test moves.
#[derive(Clone)]
struct Clock(Arc<Mutex<Instant>>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn advance(&self, span: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(span).unwrap();
    }

    fn read(&self) -> Instant {
        *self.0.lock().unwrap()
    }
}

#[derive(Debug)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store is down")
    }
}

impl core::error::Error for Down {}

/// What a find or a sweep does after it was carried out, and before it responses.
type Pause = Box<dyn Fn() -> Result<(), Down> + Send + Sync>;

/// A store that counts, and can be slow or down.
struct SlowStore {
    inner: MemoryStore,
    finds: AtomicUsize,
    pause: Mutex<Arc<Pause>>,
}

impl SlowStore {
    fn finds(&self) -> usize {
        self.finds.load(Ordering::SeqCst)
    }

    fn on_find(&self, pause: impl Fn() -> Result<(), Down> + Send + Sync + 'static) {
        *self.pause.lock().unwrap() = Arc::new(Box::new(pause));
    }

    /// Makes finds wait; returns where each says that it has read, and where each is let go.
    fn hold(&self) -> (Receiver<()>, Sender<()>) {
        let (has_read, reads) = channel();
        let (release, gate) = channel();
        let (has_read, gate) = (Mutex::new(has_read), Mutex::new(gate));
        self.on_find(move || {
            has_read.lock().unwrap().send(()).unwrap();
            gate.lock().unwrap().recv().map_err(|_| Down)
        });
        (reads, release)
    }

    fn flow(&self) {
        self.on_find(|| Ok(()));
    }
}

fn sure<T>(result: Result<T, Infallible>) -> Result<T, Down> {
    match result {
        Ok(value) => Ok(value),
        Err(never) => match never {},
    }
}

impl KeyStore for SlowStore {
    type Error = Down;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Down> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        let found = sure(self.inner.find(id).await)?;
        let pause = Arc::clone(&self.pause.lock().unwrap());
        pause()?;
        Ok(found)
    }
}

impl KeyManagementStore for SlowStore {
    async fn insert(&self, new: NewKey) -> Result<Changed, Down> {
        sure(self.inner.insert(new).await)
    }

    async fn rename(&self, id: KeyId, name: KeyName) -> Result<Changed, Down> {
        sure(self.inner.rename(id, name).await)
    }

    async fn disable(&self, id: KeyId) -> Result<Changed, Down> {
        sure(self.inner.disable(id).await)
    }

    async fn enable(&self, id: KeyId) -> Result<Changed, Down> {
        sure(self.inner.enable(id).await)
    }

    async fn revoke(&self, id: KeyId, now: UnixTime) -> Result<Changed<UnixTime>, Down> {
        sure(self.inner.revoke(id, now).await)
    }

    async fn rotate(&self, change: SecretChange) -> Result<Changed, Down> {
        sure(self.inner.rotate(change).await)
    }

    async fn end_overlap(&self, id: KeyId) -> Result<Changed, Down> {
        sure(self.inner.end_overlap(id).await)
    }

    async fn touch(&self, id: KeyId, used_at: UnixTime, now: UnixTime) -> Result<(), Down> {
        sure(self.inner.touch(id, used_at, now).await)
    }

    async fn list(&self, by: ListBy, page: PageRequest) -> Result<Page, Down> {
        sure(self.inner.list(by, page).await)
    }

    async fn revoke_all(&self, owner: Owner, now: UnixTime, run: Run) -> Result<Vec<KeyId>, Down> {
        let ended = sure(self.inner.revoke_all(owner, now, run).await)?;
        let pause = Arc::clone(&self.pause.lock().unwrap());
        pause()?;
        Ok(ended)
    }
}

fn key(seed: u8) -> Issued {
    let permit = authorize_operation(&system(), Create(personal("ada")), None, at(0)).unwrap();
    permit
        .issue(common::KG, format!("key-{seed}").parse().unwrap(), Validity::NEVER_EXPIRES, &mut rng(seed), at(0))
        .unwrap()
}

type Cached = Arc<CachedStore<SlowStore>>;

/// A cache over a store with one key.
fn setup() -> (Cached, Clock, KeyId) {
    let clock = Clock::new();
    let inner = MemoryStore::new();
    let issued = key(1);
    block_on(inner.insert(issued.key)).unwrap().unwrap();
    let store = SlowStore { inner, finds: AtomicUsize::new(0), pause: Mutex::new(Arc::new(Box::new(|| Ok(())))) };
    let reader = clock.clone();
    let cached = CachedStore::new(store, BOUND, 100, 10, move || reader.read());
    (Arc::new(cached), clock, issued.token.id())
}

fn status(cached: &Cached, id: KeyId) -> Option<Status> {
    block_on(cached.find(id)).unwrap().map(|record| record.status())
}

fn revoke_behind_its_back(cached: &Cached, id: KeyId) {
    block_on(cached.store().inner.revoke(id, at(5))).unwrap().unwrap();
}

const REVOKED: Status = Status::Revoked { at: UnixTime::from_secs(5) };

#[test]
fn a_record_is_served_until_it_reaches_the_bound_and_no_longer() {
    let (cached, clock, id) = setup();
    assert_eq!(status(&cached, id), Some(Status::Active));
    revoke_behind_its_back(&cached, id);
    clock.advance(BOUND.checked_sub(Duration::from_nanos(1)).unwrap());
    assert_eq!(status(&cached, id), Some(Status::Active));
    assert_eq!(cached.store().finds(), 1);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(status(&cached, id), Some(REVOKED));
    assert_eq!(cached.store().finds(), 2);
}

#[test]
fn the_age_counts_from_the_beginning_of_the_look_up() {
    let (cached, clock, id) = setup();
    let slow = clock.clone();
    cached.store().on_find(move || {
        slow.advance(BOUND);
        Ok(())
    });
    assert_eq!(status(&cached, id), Some(Status::Active));
    cached.store().flow();
    revoke_behind_its_back(&cached, id);
    assert_eq!(status(&cached, id), Some(REVOKED), "it was as old as the bound when it arrived");
}

#[test]
fn nothing_stale_is_served_while_it_reloads() {
    let (cached, clock, id) = setup();
    assert_eq!(status(&cached, id), Some(Status::Active));
    clock.advance(BOUND);
    revoke_behind_its_back(&cached, id);
    let (reads, release) = cached.store().hold();
    let finds: Vec<_> = (0..4).map(|_| spawn_status(&cached, id)).collect();
    reads.recv().unwrap();
    assert!(finds.iter().all(|find| !find.is_finished()), "an answer before the look-up ended is a stale one");
    release.send(()).unwrap();
    for find in finds {
        assert_eq!(find.join().unwrap(), Some(REVOKED));
    }
}

fn spawn_status(cached: &Cached, id: KeyId) -> thread::JoinHandle<Option<Status>> {
    let cached = Arc::clone(cached);
    thread::spawn(move || status(&cached, id))
}

#[test]
fn many_requests_wait_for_one_look_up() {
    let (cached, _, id) = setup();
    let (reads, release) = cached.store().hold();
    let finds: Vec<_> = (0..8).map(|_| spawn_status(&cached, id)).collect();
    reads.recv().unwrap();
    release.send(()).unwrap();
    for find in finds {
        assert_eq!(find.join().unwrap(), Some(Status::Active));
    }
    assert_eq!(cached.store().finds(), 1);
}

#[test]
fn absent_ids_are_remembered_and_push_out_no_record() {
    let (cached, clock, id) = setup();
    assert_eq!(status(&cached, id), Some(Status::Active));
    let absent: Vec<KeyId> = (0..1000).map(|number| format!("{number:016}").parse().unwrap()).collect();
    for id in &absent {
        assert_eq!(status(&cached, *id), None);
    }
    assert_eq!(cached.store().finds(), 1001);
    assert_eq!(status(&cached, id), Some(Status::Active));
    assert_eq!(status(&cached, *absent.last().unwrap()), None);
    assert_eq!(cached.store().finds(), 1001, "the record and the last absent id are still known");
    for id in &absent {
        assert_eq!(status(&cached, *id), None);
    }
    assert!(cached.store().finds() > 1900, "no more than the bound of absent ids is remembered");
    clock.advance(BOUND);
    let before = cached.store().finds();
    for _ in 0..3 {
        assert_eq!(status(&cached, *absent.last().unwrap()), None);
        assert_eq!(cached.store().finds(), before.saturating_add(1), "absence has the same bound, and is found anew");
    }
}

#[test]
fn an_evicted_id_is_asked_for_again() {
    let (cached, _, id) = setup();
    assert_eq!(status(&cached, id), Some(Status::Active));
    revoke_behind_its_back(&cached, id);
    cached.evict(id);
    assert_eq!(status(&cached, id), Some(REVOKED));

    let issued = key(2);
    let id = issued.token.id();
    assert_eq!(status(&cached, id), None);
    block_on(cached.store().inner.insert(issued.key)).unwrap().unwrap();
    assert_eq!(status(&cached, id), None, "absence is remembered");
    cached.evict(id);
    assert_eq!(status(&cached, id), Some(Status::Active));
}

#[test]
fn a_look_up_under_way_does_not_bring_back_what_was_evicted() {
    let (cached, _, id) = setup();
    let (reads, release) = cached.store().hold();
    let find = spawn_status(&cached, id);
    reads.recv().unwrap();
    revoke_behind_its_back(&cached, id);
    cached.evict(id);
    release.send(()).unwrap();
    assert_eq!(find.join().unwrap(), Some(Status::Active), "it began before the revocation");
    cached.store().flow();
    assert_eq!(status(&cached, id), Some(REVOKED));

    // The same for absence.
    let issued = key(2);
    let id = issued.token.id();
    let (reads, release) = cached.store().hold();
    let find = spawn_status(&cached, id);
    reads.recv().unwrap();
    block_on(cached.insert(issued.key)).unwrap().unwrap();
    release.send(()).unwrap();
    assert_eq!(find.join().unwrap(), None, "it began before the key was stored");
    cached.store().flow();
    assert_eq!(status(&cached, id), Some(Status::Active));
}

#[test]
fn a_find_after_an_eviction_does_not_wait_for_the_look_up_before_it() {
    let (cached, _, id) = setup();
    let (reads, release) = cached.store().hold();
    let old = spawn_status(&cached, id);
    reads.recv().unwrap();
    revoke_behind_its_back(&cached, id);
    cached.evict(id);
    cached.store().flow();
    assert_eq!(status(&cached, id), Some(REVOKED));
    release.send(()).unwrap();
    assert_eq!(old.join().unwrap(), Some(Status::Active));
    assert_eq!(status(&cached, id), Some(REVOKED), "the old look-up ended last and changed nothing");
}

#[test]
fn a_failure_is_told_and_not_remembered() {
    let (cached, clock, id) = setup();
    cached.store().on_find(|| Err(Down));
    assert!(block_on(cached.find(id)).is_err());
    cached.store().flow();
    assert_eq!(status(&cached, id), Some(Status::Active));
    clock.advance(BOUND);
    cached.store().on_find(|| Err(Down));
    assert!(block_on(cached.find(id)).is_err(), "a stale record is no answer when the store is down");
}

#[test]
fn those_who_waited_for_a_failure_ask_all_at_once() {
    const WAITERS: usize = 6;
    let (cached, _, id) = setup();
    let (entered, entries) = channel();
    let (release, gate) = channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(gate));
    let is_first = AtomicBool::new(true);
    cached.store().on_find(move || {
        let is_first = is_first.swap(false, Ordering::SeqCst);
        entered.lock().unwrap().send(()).unwrap();
        gate.lock().unwrap().recv().unwrap();
        if is_first { Err(Down) } else { Ok(()) }
    });
    let other = Arc::clone(&cached);
    let first = thread::spawn(move || block_on(other.find(id)).is_err());
    entries.recv().unwrap();
    let waiters: Vec<_> = (0..WAITERS).map(|_| spawn_status(&cached, id)).collect();
    thread::sleep(Duration::from_millis(50));
    release.send(()).unwrap();
    assert!(first.join().unwrap(), "the first was told of the failure");
    for _ in 0..WAITERS {
        // None of them was let go yet.
        entries.recv_timeout(Duration::from_secs(20)).expect("one waits behind another");
    }
    for _ in 0..WAITERS {
        release.send(()).unwrap();
    }
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap(), Some(Status::Active));
    }
}

#[test]
fn a_waiter_does_not_take_a_record_that_became_stale_while_it_loaded() {
    let (cached, clock, id) = setup();
    let (reads, release) = cached.store().hold();
    let first = spawn_status(&cached, id);
    reads.recv().unwrap();
    let waiter = spawn_status(&cached, id);
    thread::sleep(Duration::from_millis(20));
    revoke_behind_its_back(&cached, id);
    clock.advance(BOUND);
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!(first.join().unwrap(), Some(Status::Active));
    assert_eq!(waiter.join().unwrap(), Some(REVOKED));
}

#[test]
fn changes_through_the_cache_take_effect_at_once() {
    let (cached, _, id) = setup();
    assert_eq!(status(&cached, id), Some(Status::Active));
    block_on(cached.disable(id)).unwrap().unwrap();
    assert_eq!(status(&cached, id), Some(Status::Disabled));
    block_on(cached.enable(id)).unwrap().unwrap();
    assert_eq!(status(&cached, id), Some(Status::Active));
    let name: KeyName = "other".parse().unwrap();
    block_on(cached.rename(id, name.clone())).unwrap().unwrap();
    assert_eq!(*block_on(cached.find(id)).unwrap().unwrap().name(), name);
    block_on(cached.touch(id, at(3), at(4))).unwrap();
    assert_eq!(block_on(cached.find(id)).unwrap().unwrap().last_used_at(), Some(at(3)));
    let owner = Owner::Personal("ada".parse().unwrap());
    assert_eq!(block_on(cached.revoke_all(owner.clone(), at(5), Run::Dry)).unwrap(), [id]);
    assert_eq!(status(&cached, id), Some(Status::Active));
    assert_eq!(block_on(cached.revoke_all(owner, at(5), Run::Real)).unwrap(), [id]);
    assert_eq!(status(&cached, id), Some(REVOKED));
}

/// Which keys ended is in the answer. Where none came, each of those that are known may be one.
#[test]
fn a_sweep_without_an_answer_leaves_nothing_known() {
    let (cached, _, id) = setup();
    let sweep = |run| block_on(cached.revoke_all(Owner::Personal("ada".parse().unwrap()), at(5), run));
    assert_eq!(status(&cached, id), Some(Status::Active));
    cached.store().on_find(|| Err(Down));
    assert!(sweep(Run::Dry).is_err());
    assert_eq!(status(&cached, id), Some(Status::Active), "nothing was to end");
    assert!(sweep(Run::Real).is_err());
    cached.store().flow();
    assert_eq!(status(&cached, id), Some(REVOKED));
}

#[test]
fn a_cache_shows_its_bound_and_no_record() {
    let (cached, _, id) = setup();
    assert_eq!(status(&cached, id), Some(Status::Active));
    assert_eq!(format!("{cached:?}"), "CachedStore { max_staleness: 10s, .. }");
}
