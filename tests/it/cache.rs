//! The cache: how old an answer may be, who loads, what forgetting means, and how it follows a feed.

use core::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
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

use keygate::{
    Action, Actor, CacheError, CacheSettings, CachedStore, EnvironmentScope, Gate, Grant, Issued, Issuer, KeyId,
    KeyManager, KeyRecord, MemoryStore, NewKeySpec, Permission, Request, RevocationCause, Rotation, Status, System,
    Unavailable, UnixTime, Validity, Verdict,
    store::{
        Answer, Batch, ChangeFeed, Changes, Conflict, KeyChange, KeyLookup, KeyManagementStore, KeyStore, KeysOf,
        ListQuery, Logged, NewKey, Page, Remembered, Revision, RevokeAll, SecondLook, SecretSlot, Touch,
    },
};
use pollster::block_on;

const KG: Issuer = Issuer::from_static("kg");
const BOUND: Duration = Duration::from_secs(10);
const NANO: Duration = Duration::from_nanos(1);
/// A test that waits for what does not come fails, and does not hang.
const PATIENCE: Duration = Duration::from_secs(10);

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

#[derive(Debug, PartialEq)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store is down")
    }
}

impl core::error::Error for Down {}

/// What an operation does after it was carried out, and before it answers.
type Pause = Arc<dyn Fn() -> Result<(), Down> + Send + Sync>;

/// A store that counts, and can be slow or down. Clones are one store.
#[derive(Clone)]
struct SlowStore {
    inner: MemoryStore,
    finds: Arc<AtomicUsize>,
    pause: Arc<Mutex<Pause>>,
    feed: Arc<Mutex<Feed>>,
}

/// What the feed answers in the place of the store's own answer.
type Feed = Arc<dyn Fn(Changes) -> Result<Changes, Down> + Send + Sync>;

impl SlowStore {
    fn new() -> Self {
        Self {
            inner: MemoryStore::new(),
            finds: Arc::default(),
            pause: Arc::new(Mutex::new(Arc::new(|| Ok(())))),
            feed: Arc::new(Mutex::new(Arc::new(Ok))),
        }
    }

    fn finds(&self) -> usize {
        self.finds.load(Ordering::SeqCst)
    }

    fn on_answer(&self, pause: impl Fn() -> Result<(), Down> + Send + Sync + 'static) {
        *self.pause.lock().unwrap() = Arc::new(pause);
    }

    fn on_feed(&self, feed: impl Fn(Changes) -> Result<Changes, Down> + Send + Sync + 'static) {
        *self.feed.lock().unwrap() = Arc::new(feed);
    }

    /// Makes finds wait; returns where each says that it has read, and where each is let go.
    fn hold(&self) -> (Receiver<()>, Sender<()>) {
        let (has_read, reads) = channel();
        let (release, gate) = channel();
        let (has_read, gate) = (Mutex::new(has_read), Mutex::new(gate));
        self.on_answer(move || {
            has_read.lock().unwrap().send(()).unwrap();
            gate.lock().unwrap().recv_timeout(PATIENCE).map_err(|_| Down)
        });
        (reads, release)
    }

    fn flow(&self) {
        self.on_answer(|| Ok(()));
    }

    fn pause(&self) -> Result<(), Down> {
        let pause = Arc::clone(&self.pause.lock().unwrap());
        pause()
    }

    /// Manages keys beside the cache, as another node does.
    fn elsewhere(&self) -> KeyManager<MemoryStore> {
        KeyManager::new(KG, self.inner.clone())
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
        self.pause()?;
        Ok(found)
    }
}

impl KeyManagementStore for SlowStore {
    type Receipt = Logged;

    async fn insert(&self, new: NewKey) -> Result<Result<Logged, Conflict>, Down> {
        sure(self.inner.insert(new).await)
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<Logged>, Down> {
        let answer = sure(self.inner.change(change).await)?;
        self.pause()?;
        Ok(answer)
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), Down> {
        sure(self.inner.touch(touches, now).await)
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, Down> {
        sure(self.inner.list(keys_of, query).await)
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<Logged>, Down> {
        let batch = sure(self.inner.revoke_all(revoke).await)?;
        self.pause()?;
        Ok(batch)
    }
}

impl ChangeFeed for SlowStore {
    async fn changes_since(&self, since: Option<Revision>) -> Result<Changes, Down> {
        let changes = sure(self.inner.changes_since(since).await)?;
        let feed = Arc::clone(&self.feed.lock().unwrap());
        feed(changes)
    }
}

type Cached = CachedStore<SlowStore>;

struct World {
    cached: Cached,
    store: SlowStore,
    clock: Clock,
    issued: Issued,
}

/// A cache over a store with one key, which another service made.
fn setup() -> World {
    let (clock, store) = (Clock::new(), SlowStore::new());
    let issued = create(&store.elsewhere(), "first");
    let reader = clock.clone();
    let settings =
        CacheSettings::new(BOUND).with_max_records(100).with_max_absent(10).with_clock(move || reader.read());
    World { cached: CachedStore::new(store.clone(), settings), store, clock, issued }
}

fn create<S: KeyManagementStore>(keys: &KeyManager<S>, name: &str) -> Issued {
    let grant = Grant::team("core".parse().unwrap(), Permission::full(EnvironmentScope::All));
    let spec = NewKeySpec::new(grant, name.parse().unwrap(), Validity::NEVER_EXPIRES);
    block_on(keys.create(&system(), spec)).unwrap()
}

fn system() -> Actor {
    Actor::system("a test").unwrap()
}

fn status(cached: &Cached, id: KeyId) -> Option<Status> {
    block_on(cached.look_up(id)).unwrap().map(|record| record.status())
}

fn is_active(cached: &Cached, id: KeyId) -> bool {
    status(cached, id) == Some(Status::Active)
}

fn is_revoked(cached: &Cached, id: KeyId) -> bool {
    matches!(status(cached, id), Some(Status::Revoked { .. }))
}

fn revoke_elsewhere(store: &SlowStore, id: KeyId) {
    block_on(store.elsewhere().revoke(&system(), id, RevocationCause::Requested)).unwrap();
}

fn tick(cached: &Cached) {
    block_on(cached.tick()).unwrap();
}

fn spawn_status(cached: &Cached, id: KeyId) -> thread::JoinHandle<Option<Status>> {
    let cached = cached.clone();
    thread::spawn(move || status(&cached, id))
}

/// Polls once, and drops what is not ready.
fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[test]
fn a_record_is_served_until_it_reaches_the_bound_and_no_longer() {
    let World { cached, store, clock, issued } = setup();
    assert!(is_active(&cached, issued.record.id()));
    revoke_elsewhere(&store, issued.record.id());
    clock.advance(BOUND.checked_sub(NANO).unwrap());
    assert!(is_active(&cached, issued.record.id()));
    assert_eq!(store.finds(), 1);
    clock.advance(NANO);
    assert!(is_revoked(&cached, issued.record.id()));
    assert_eq!(store.finds(), 2);
}

#[test]
fn the_age_counts_from_the_beginning_of_the_look_up() {
    let World { cached, store, clock, issued } = setup();
    let slow = clock.clone();
    store.on_answer(move || {
        slow.advance(BOUND.checked_sub(NANO).unwrap());
        Ok(())
    });
    assert!(is_active(&cached, issued.record.id()));
    store.flow();
    revoke_elsewhere(&store, issued.record.id());
    clock.advance(NANO);
    assert!(is_revoked(&cached, issued.record.id()), "it was nearly as old as the bound when it arrived");
}

#[test]
fn an_answer_that_took_as_long_as_the_bound_is_served_to_nobody() {
    let World { cached, store, clock, issued } = setup();
    store.on_answer(move || {
        clock.advance(BOUND);
        Ok(())
    });
    assert_eq!(block_on(cached.look_up(issued.record.id())), Err(CacheError::Late));
    store.flow();
    assert!(is_active(&cached, issued.record.id()));
}

#[test]
fn with_a_bound_of_zero_nothing_is_served() {
    let store = SlowStore::new();
    let id = create(&store.elsewhere(), "first").record.id();
    let cached = CachedStore::new(store, Duration::ZERO);
    assert_eq!(block_on(cached.look_up(id)), Err(CacheError::Late));
}

#[test]
fn nothing_stale_is_served_while_it_reloads() {
    let World { cached, store, clock, issued } = setup();
    assert!(is_active(&cached, issued.record.id()));
    clock.advance(BOUND);
    revoke_elsewhere(&store, issued.record.id());
    let (reads, release) = store.hold();
    let finds: Vec<_> = (0..4).map(|_| spawn_status(&cached, issued.record.id())).collect();
    reads.recv_timeout(PATIENCE).unwrap();
    assert!(finds.iter().all(|find| !find.is_finished()), "an answer before the look-up ended is a stale one");
    release.send(()).unwrap();
    for find in finds {
        assert!(matches!(find.join().unwrap(), Some(Status::Revoked { .. })));
    }
}

#[test]
fn many_requests_wait_for_one_look_up() {
    let World { cached, store, issued, .. } = setup();
    let (reads, release) = store.hold();
    let finds: Vec<_> = (0..8).map(|_| spawn_status(&cached, issued.record.id())).collect();
    reads.recv_timeout(PATIENCE).unwrap();
    release.send(()).unwrap();
    for find in finds {
        assert_eq!(find.join().unwrap(), Some(Status::Active));
    }
    assert_eq!(store.finds(), 1);
}

#[test]
fn absent_ids_are_remembered_and_push_out_no_record() {
    let World { cached, store, clock, issued } = setup();
    assert!(is_active(&cached, issued.record.id()));
    let absent: Vec<KeyId> = (0..1000).map(|number| format!("{number:016}").parse().unwrap()).collect();
    for id in &absent {
        assert_eq!(status(&cached, *id), None);
    }
    assert_eq!(store.finds(), 1001);
    assert!(is_active(&cached, issued.record.id()));
    assert_eq!(status(&cached, *absent.last().unwrap()), None);
    assert_eq!(store.finds(), 1001, "the record and the last absent id are still known");
    for id in &absent {
        assert_eq!(status(&cached, *id), None);
    }
    assert!(store.finds() > 1900, "no more than the bound of absent ids is remembered");
    clock.advance(BOUND);
    let before = store.finds();
    for _ in 0..3 {
        assert_eq!(status(&cached, *absent.last().unwrap()), None);
        assert_eq!(store.finds(), before.saturating_add(1), "absence has the same bound, and is looked up again");
    }
}

#[test]
fn a_forgotten_id_is_asked_for_again() {
    let World { cached, store, issued, .. } = setup();
    assert!(is_active(&cached, issued.record.id()));
    revoke_elsewhere(&store, issued.record.id());
    cached.forget(issued.record.id());
    assert!(is_revoked(&cached, issued.record.id()));

    let stranger: KeyId = "0000000000000000".parse().unwrap();
    assert_eq!(status(&cached, stranger), None);
    let before = store.finds();
    assert_eq!(status(&cached, stranger), None, "absence is remembered");
    assert_eq!(store.finds(), before);
    cached.forget_everything();
    assert_eq!(status(&cached, stranger), None);
    assert!(is_revoked(&cached, issued.record.id()));
    assert_eq!(store.finds(), before.saturating_add(2));
}

/// What is voided neither fills the cache nor answers: its caller looks up again.
#[test]
fn a_look_up_under_way_answers_nothing_that_was_forgotten_meanwhile() {
    for forget in [(|cached, id| CachedStore::forget(cached, id)) as fn(&Cached, KeyId), |cached, _| {
        cached.forget_everything();
    }] {
        let World { cached, store, issued, .. } = setup();
        let (reads, release) = store.hold();
        let find = spawn_status(&cached, issued.record.id());
        reads.recv_timeout(PATIENCE).unwrap();
        revoke_elsewhere(&store, issued.record.id());
        forget(&cached, issued.record.id());
        store.flow();
        release.send(()).unwrap();
        assert!(matches!(find.join().unwrap(), Some(Status::Revoked { .. })), "it was told to forget that");
        assert!(is_revoked(&cached, issued.record.id()));
        assert_eq!(store.finds(), 2);
    }
}

#[test]
fn a_look_up_after_forgetting_does_not_wait_for_the_one_before_it() {
    let World { cached, store, issued, .. } = setup();
    let (reads, release) = store.hold();
    let old = spawn_status(&cached, issued.record.id());
    reads.recv_timeout(PATIENCE).unwrap();
    revoke_elsewhere(&store, issued.record.id());
    cached.forget(issued.record.id());
    store.flow();
    assert!(is_revoked(&cached, issued.record.id()));
    release.send(()).unwrap();
    assert!(matches!(old.join().unwrap(), Some(Status::Revoked { .. })));
    assert!(is_revoked(&cached, issued.record.id()), "the old look-up ended last and changed nothing");
}

/// Otherwise a key that changes all the time would keep a request for ever.
#[test]
fn a_look_up_that_is_voided_each_time_ends_with_an_error() {
    let World { cached, store, issued, .. } = setup();
    let id = issued.record.id();
    let forgetful = cached.clone();
    store.on_answer(move || {
        forgetful.forget(id);
        Ok(())
    });
    assert_eq!(block_on(cached.look_up(id)), Err(CacheError::Contended));
    assert!(store.finds() <= 8, "{} finds", store.finds());
    // The store held the cache, which holds the store.
    store.flow();
}

#[test]
fn a_failure_is_told_and_not_remembered() {
    let World { cached, store, clock, issued } = setup();
    store.on_answer(|| Err(Down));
    assert_eq!(block_on(cached.look_up(issued.record.id())), Err(CacheError::Store(Down)));
    store.flow();
    assert!(is_active(&cached, issued.record.id()));
    clock.advance(BOUND);
    store.on_answer(|| Err(Down));
    assert!(
        block_on(cached.look_up(issued.record.id())).is_err(),
        "a stale record is no answer when the store is down"
    );
}

#[test]
fn those_who_waited_for_a_failure_ask_all_at_once() {
    const WAITERS: usize = 6;
    let World { cached, store, issued, .. } = setup();
    let id = issued.record.id();
    let (entered, entries) = channel();
    let (release, gate) = channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(gate));
    let is_first = AtomicBool::new(true);
    store.on_answer(move || {
        let is_first = is_first.swap(false, Ordering::SeqCst);
        entered.lock().unwrap().send(()).unwrap();
        gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        if is_first { Err(Down) } else { Ok(()) }
    });
    let other = cached.clone();
    let first = thread::spawn(move || block_on(other.look_up(id)).is_err());
    entries.recv_timeout(PATIENCE).unwrap();
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
    let World { cached, store, clock, issued } = setup();
    let id = issued.record.id();
    let (reads, release) = store.hold();
    let other = cached.clone();
    let first = thread::spawn(move || block_on(other.look_up(id)));
    reads.recv_timeout(PATIENCE).unwrap();
    let waiter = spawn_status(&cached, id);
    thread::sleep(Duration::from_millis(20));
    revoke_elsewhere(&store, id);
    clock.advance(BOUND);
    store.flow();
    release.send(()).unwrap();
    assert_eq!(first.join().unwrap(), Err(CacheError::Late));
    assert!(matches!(waiter.join().unwrap(), Some(Status::Revoked { .. })));
}

#[test]
fn changes_through_the_cache_take_effect_at_once() {
    let World { cached, issued, .. } = setup();
    let (id, keys, actor) = (issued.record.id(), KeyManager::new(KG, cached.write_through()), system());
    assert!(is_active(&cached, id));
    block_on(keys.disable(&actor, id)).unwrap();
    assert_eq!(status(&cached, id), Some(Status::Disabled));
    block_on(keys.enable(&actor, id)).unwrap();
    assert!(is_active(&cached, id));
    block_on(keys.rename(&actor, id, "other".parse().unwrap())).unwrap();
    assert_eq!(block_on(cached.look_up(id)).unwrap().unwrap().name().as_str(), "other");
    let used_at = UnixTime::from_secs(3);
    let touches = vec![Touch::new(id, SecretSlot::Current, used_at)];
    block_on(keys.store().touch(touches, UnixTime::from_secs(4))).unwrap();
    assert_eq!(block_on(cached.look_up(id)).unwrap().unwrap().last_used_at(), Some(used_at));
    let (system, owner) = (System::new("a test").unwrap(), issued_owner());
    assert_eq!(block_on(keys.revoke_all(&system, owner, RevocationCause::Unused)).unwrap(), [id]);
    assert!(is_revoked(&cached, id));

    let other = create(&keys, "second");
    assert!(is_active(&cached, other.record.id()));
}

fn issued_owner() -> keygate::Owner {
    keygate::Owner::Team("core".parse().unwrap())
}

/// It may have taken place: where the answer failed, and where nobody waited for it.
#[test]
fn a_change_without_an_answer_is_forgotten() {
    let World { cached, store, issued, .. } = setup();
    let (id, keys, actor) = (issued.record.id(), KeyManager::new(KG, cached.write_through()), system());
    assert!(is_active(&cached, id));
    store.on_answer(|| Err(Down));
    // The look-up of the target fails first: nothing changed, and what is known stays.
    assert!(block_on(keys.disable(&actor, id)).is_err());
    store.flow();
    let finds = store.finds();
    assert!(is_active(&cached, id));
    assert_eq!(store.finds(), finds);

    let is_second = AtomicBool::new(false);
    store.on_answer(move || if is_second.swap(true, Ordering::SeqCst) { Err(Down) } else { Ok(()) });
    assert!(block_on(keys.disable(&actor, id)).is_err());
    store.flow();
    assert_eq!(status(&cached, id), Some(Status::Disabled));
}

/// Which keys were revoked is in the answer. Where none came, each of those that are known may be one.
#[test]
fn a_batch_without_an_answer_leaves_nothing_known() {
    let World { cached, store, issued, .. } = setup();
    let keys = KeyManager::new(KG, cached.write_through());
    assert!(is_active(&cached, issued.record.id()));
    store.on_answer(|| Err(Down));
    let system = System::new("a test").unwrap();
    assert!(block_on(keys.revoke_all(&system, issued_owner(), RevocationCause::Unused)).is_err());
    store.flow();
    assert!(is_revoked(&cached, issued.record.id()));
}

#[test]
fn a_tick_forgets_what_changed_and_nothing_else() {
    let World { cached, store, issued, .. } = setup();
    let other = create(&store.elsewhere(), "second");
    tick(&cached);
    assert!(is_active(&cached, issued.record.id()) && is_active(&cached, other.record.id()));
    assert_eq!(store.finds(), 2);
    revoke_elsewhere(&store, issued.record.id());
    assert!(is_active(&cached, issued.record.id()), "nothing was said yet");
    tick(&cached);
    assert!(is_revoked(&cached, issued.record.id()));
    assert!(is_active(&cached, other.record.id()));
    assert_eq!(store.finds(), 3, "the other one is still known");
}

#[test]
fn ticks_extend_the_lease_and_without_them_it_ends() {
    let World { cached, store, clock, issued } = setup();
    tick(&cached);
    assert!(is_active(&cached, issued.record.id()));
    for _ in 0..10 {
        clock.advance(BOUND.checked_sub(NANO).unwrap());
        assert!(is_active(&cached, issued.record.id()));
        tick(&cached);
    }
    assert_eq!(store.finds(), 1, "confirmed each time");
    store.on_feed(|_| Err(Down));
    clock.advance(BOUND.checked_sub(NANO).unwrap());
    assert_eq!(block_on(cached.tick()), Err(Down));
    assert!(is_active(&cached, issued.record.id()));
    clock.advance(NANO);
    revoke_elsewhere(&store, issued.record.id());
    assert!(is_revoked(&cached, issued.record.id()), "a tick that failed confirms nothing");
}

#[test]
fn a_tick_confirms_as_of_before_its_question() {
    let World { cached, store, clock, issued } = setup();
    tick(&cached);
    assert!(is_active(&cached, issued.record.id()));
    clock.advance(BOUND.checked_sub(NANO).unwrap());
    let slow = clock.clone();
    store.on_feed(move |changes| {
        slow.advance(BOUND.checked_sub(NANO).unwrap());
        Ok(changes)
    });
    tick(&cached);
    assert_eq!(cached.age(), Some(BOUND.checked_sub(NANO).unwrap()));
    revoke_elsewhere(&store, issued.record.id());
    clock.advance(NANO);
    assert!(is_revoked(&cached, issued.record.id()), "the answer was nearly as old as the bound when it arrived");
}

#[test]
fn revision_and_age_can_be_shown() {
    let World { cached, store, clock, issued } = setup();
    assert_eq!((cached.revision(), cached.age()), (None, None));
    tick(&cached);
    let first = cached.revision().unwrap();
    clock.advance(Duration::from_secs(3));
    assert_eq!(cached.age(), Some(Duration::from_secs(3)));
    revoke_elsewhere(&store, issued.record.id());
    tick(&cached);
    assert_eq!(cached.age(), Some(Duration::ZERO));
    assert_eq!(cached.revision(), Some(Revision::new(first.life(), first.number().saturating_add(1))));
}

/// A restored store has another life; one that went back has lost changes; one that is too old does not know them all.
#[test]
fn a_revision_that_does_not_follow_empties_the_cache() {
    type Tamper = fn(Revision) -> Changes;
    let keys = |revision| Changes::Keys { ids: vec![], revision };
    let tampers: [(&str, Tamper); 3] = [
        ("another life", |revision| Changes::Keys { ids: vec![], revision: Revision::new([7; 16], revision.number()) }),
        ("went back", |revision| Changes::Keys { ids: vec![], revision: Revision::new(revision.life(), 0) }),
        ("too old", |revision| Changes::Everything { revision }),
    ];
    for (what, tamper) in tampers {
        let World { cached, store, issued, .. } = setup();
        tick(&cached);
        assert!(is_active(&cached, issued.record.id()));
        revoke_elsewhere(&store, issued.record.id());
        // Silence about the change: what shows is only that the revision does not follow.
        store.on_feed(move |changes| Ok(keys(changes.revision())));
        tick(&cached);
        assert!(is_active(&cached, issued.record.id()), "{what}: the feed is believed");
        store.on_feed(move |changes| Ok(tamper(changes.revision())));
        tick(&cached);
        assert!(is_revoked(&cached, issued.record.id()), "{what}");
    }
}

#[test]
fn a_look_up_under_way_does_not_answer_what_a_tick_said_is_changed() {
    let World { cached, store, issued, .. } = setup();
    tick(&cached);
    let (reads, release) = store.hold();
    let find = spawn_status(&cached, issued.record.id());
    reads.recv_timeout(PATIENCE).unwrap();
    revoke_elsewhere(&store, issued.record.id());
    tick(&cached);
    store.flow();
    release.send(()).unwrap();
    assert!(matches!(find.join().unwrap(), Some(Status::Revoked { .. })));
}

#[test]
fn one_tick_runs_at_a_time_and_a_dropped_one_lets_the_next_run() {
    let World { cached, store, .. } = setup();
    let (entered, entries) = channel();
    let (release, gate) = channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(gate));
    store.on_feed(move |changes| {
        entered.lock().unwrap().send(()).unwrap();
        gate.lock().unwrap().recv_timeout(PATIENCE).map_err(|_| Down)?;
        Ok(changes)
    });
    let other = cached.clone();
    let first = thread::spawn(move || block_on(other.tick()));
    entries.recv_timeout(PATIENCE).unwrap();
    tick(&cached);
    assert_eq!(cached.revision(), None, "the second one left it to the first");
    release.send(()).unwrap();
    first.join().unwrap().unwrap();
    assert!(cached.revision().is_some());

    let never = CachedStore::new(NeverAnswers, BOUND);
    assert_eq!(poll_once(never.tick()), None);
    assert_eq!(poll_once(never.tick()), None, "the dropped one is not under way any more");
}

struct NeverAnswers;

impl KeyStore for NeverAnswers {
    type Error = Infallible;

    async fn find(&self, _: KeyId) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        core::future::pending().await
    }
}

impl ChangeFeed for NeverAnswers {
    async fn changes_since(&self, _: Option<Revision>) -> Result<Changes, Infallible> {
        core::future::pending().await
    }
}

#[test]
fn a_dropped_look_up_keeps_no_place() {
    let never = CachedStore::new(NeverAnswers, BOUND);
    let id = "0000000000000000".parse().unwrap();
    assert_eq!(poll_once(never.look_up(id)), None);
    never.forget(id);
    assert_eq!(poll_once(never.look_up(id)), None);
}

fn request() -> Request {
    Request::new("core".parse().unwrap(), Action::Deploy)
}

fn opens<M, S: KeyLookup<M>>(gate: &Gate<S, keygate::store::NoDirectory, M>, token: &str) -> bool {
    matches!(block_on(gate.check(token, &request())).unwrap(), Verdict::Allowed(_))
}

#[test]
fn a_new_secret_works_within_a_second_and_the_look_is_shared() {
    let World { cached, store, clock, issued } = setup();
    let gate = Gate::new(KG, cached.clone());
    assert!(opens(&gate, issued.token.expose_secret()));
    let overlap = Duration::from_secs(3600);
    let rotated =
        block_on(store.elsewhere().rotate(&system(), issued.record.id(), Rotation::Start { overlap })).unwrap();
    let (old, new) = (issued.token.expose_secret(), rotated.token.expose_secret());
    assert!(!opens(&gate, new), "the record was read less than a second ago");
    assert_eq!(store.finds(), 1);
    clock.advance(Duration::from_secs(1));
    assert!(opens(&gate, new));
    assert_eq!(store.finds(), 2, "one look");
    assert!(opens(&gate, new) && opens(&gate, old), "both live during the overlap");
    assert_eq!(store.finds(), 2, "the look refreshed what is known");
}

/// Anyone who knows a public id can make the store be asked, once a second.
#[test]
fn wrong_secrets_cost_one_look_a_second_and_push_nothing_out() {
    let World { cached, store, clock, issued } = setup();
    let gate = Gate::new(KG, cached.clone());
    let wrong =
        keygate::Token::generate_secret(KG, issued.token.kind(), issued.record.id(), &keygate::SystemRandomness)
            .unwrap();
    assert!(opens(&gate, issued.token.expose_secret()));
    clock.advance(Duration::from_secs(5));
    for second in 1..4 {
        for _ in 0..50 {
            assert!(!opens(&gate, wrong.expose_secret()));
        }
        assert_eq!(store.finds(), 1 + second);
        clock.advance(Duration::from_secs(1));
    }
    assert!(opens(&gate, issued.token.expose_secret()));
    assert_eq!(store.finds(), 4);
}

#[test]
fn looks_at_the_same_time_are_one() {
    let World { cached, store, clock, issued } = setup();
    let seen = block_on(cached.look_up(issued.record.id())).unwrap().unwrap();
    clock.advance(Duration::from_secs(2));
    let (reads, release) = store.hold();
    let looks: Vec<_> = (0..6)
        .map(|_| {
            let (cached, seen) = (cached.clone(), Arc::clone(&seen));
            thread::spawn(move || block_on(cached.look_again(&seen)).unwrap())
        })
        .collect();
    reads.recv_timeout(PATIENCE).unwrap();
    // Those that match what is known do not wait for it.
    assert!(is_active(&cached, issued.record.id()));
    thread::sleep(Duration::from_millis(20));
    release.send(()).unwrap();
    for look in looks {
        assert!(matches!(look.join().unwrap(), SecondLook::Found(Some(_)) | SecondLook::NothingNewer));
    }
    assert_eq!(store.finds(), 2);
}

/// The settings are those that were set.
#[test]
fn at_most_so_many_records_are_remembered() {
    let settings = || CacheSettings::new(BOUND).with_max_absent(3);
    for (settings, finds) in [(settings(), 1), (settings().with_max_records(0), 2)] {
        let store = SlowStore::new();
        let id = create(&store.elsewhere(), "first").record.id();
        let cached = CachedStore::new(store.clone(), settings);
        assert!(is_active(&cached, id) && is_active(&cached, id));
        assert_eq!(store.finds(), finds);
    }
    let shown = "CacheSettings { max_staleness: 10s, max_records: 7, max_absent: 3, .. }";
    assert_eq!(format!("{:?}", settings().with_max_records(7)), shown);
}

/// A revision is shown as the life of its store and its number.
#[test]
fn a_revision_has_a_text() {
    assert_eq!(Revision::new([0xa5; 16], 7).to_string(), format!("{}:7", "a5".repeat(16)));
}

/// However slow the store is: a request waits for the look that is under way, or for the one after it.
#[test]
fn looks_at_a_slow_store_are_one_a_second() {
    let World { cached, store, clock, issued } = setup();
    let seen = block_on(cached.look_up(issued.record.id())).unwrap().unwrap();
    let look = || {
        let (cached, seen) = (cached.clone(), Arc::clone(&seen));
        let look = thread::spawn(move || block_on(cached.look_again(&seen)).unwrap());
        thread::sleep(Duration::from_millis(20));
        look
    };
    clock.advance(Duration::from_secs(2));
    let (reads, release) = store.hold();
    let mut looks: Vec<_> = (0..4).map(|_| look()).collect();
    reads.recv_timeout(PATIENCE).unwrap();
    clock.advance(Duration::from_millis(1_500));
    // These are too late for the first look, and share the second one.
    looks.extend((0..4).map(|_| look()));
    release.send(()).unwrap();
    reads.recv_timeout(PATIENCE).unwrap();
    clock.advance(Duration::from_millis(400));
    store.flow();
    release.send(()).unwrap();
    for look in looks {
        assert!(matches!(look.join().unwrap(), SecondLook::Found(Some(_)) | SecondLook::NothingNewer));
    }
    assert_eq!(store.finds(), 3);
}

#[test]
fn a_second_look_under_way_answers_nothing_that_was_forgotten_meanwhile() {
    let World { cached, store, clock, issued } = setup();
    let seen = block_on(cached.look_up(issued.record.id())).unwrap().unwrap();
    clock.advance(Duration::from_secs(2));
    let (reads, release) = store.hold();
    let (other, old) = (cached.clone(), Arc::clone(&seen));
    let look = thread::spawn(move || block_on(other.look_again(&old)).unwrap());
    reads.recv_timeout(PATIENCE).unwrap();
    revoke_elsewhere(&store, issued.record.id());
    cached.forget(issued.record.id());
    store.flow();
    release.send(()).unwrap();
    let SecondLook::Found(Some(found)) = look.join().unwrap() else { panic!("there is something newer") };
    assert!(found.is_revoked());
    assert!(is_revoked(&cached, issued.record.id()), "nor did it fill the cache");
}

/// So the next requests of a new secret need no look.
#[test]
fn a_second_look_is_remembered() {
    let World { cached, store, clock, issued } = setup();
    let id = issued.record.id();
    let seen = block_on(cached.look_up(id)).unwrap().unwrap();
    clock.advance(Duration::from_secs(2));
    revoke_elsewhere(&store, id);
    assert!(is_active(&cached, id));
    assert!(matches!(block_on(cached.look_again(&seen)).unwrap(), SecondLook::Found(Some(_))));
    clock.advance(Duration::from_secs(2));
    assert!(is_revoked(&cached, id));
    assert_eq!(store.finds(), 2);
}

/// A look that was slow remembers nothing in the place of what was read after it began.
#[test]
fn a_second_look_does_not_replace_what_is_younger() {
    let World { cached, store, clock, issued } = setup();
    let id = issued.record.id();
    let seen = block_on(cached.look_up(id)).unwrap().unwrap();
    clock.advance(BOUND - Duration::from_millis(500));
    let (reads, release) = store.hold();
    let other = cached.clone();
    let look = thread::spawn(move || block_on(other.look_again(&seen)).unwrap());
    reads.recv_timeout(PATIENCE).unwrap();
    store.flow();
    revoke_elsewhere(&store, id);
    clock.advance(Duration::from_millis(500));
    assert!(is_revoked(&cached, id), "the lease has ended, so the record is loaded again");
    release.send(()).unwrap();
    let SecondLook::Found(Some(found)) = look.join().unwrap() else { panic!("it was found") };
    assert!(!found.is_revoked(), "it was read before");
    assert!(is_revoked(&cached, id));
    assert_eq!(store.finds(), 3);
}

#[test]
fn a_second_look_that_fails_is_neither_an_allow_nor_a_wrong_key() {
    let World { cached, store, clock, issued } = setup();
    let gate = Gate::new(KG, cached.clone());
    let wrong =
        keygate::Token::generate_secret(KG, issued.token.kind(), issued.record.id(), &keygate::SystemRandomness)
            .unwrap();
    assert!(opens(&gate, issued.token.expose_secret()));
    clock.advance(Duration::from_secs(2));
    store.on_answer(|| Err(Down));
    let verdict = block_on(gate.check(wrong.expose_secret(), &request()));
    assert!(matches!(verdict, Err(Unavailable::Store(CacheError::Store(Down)))), "{verdict:?}");
    assert!(opens(&gate, issued.token.expose_secret()), "what is known is still served");
}

#[test]
fn past_the_cache_is_past_the_cache() {
    let World { cached, store, issued, .. } = setup();
    assert!(is_active(&cached, issued.record.id()));
    revoke_elsewhere(&store, issued.record.id());
    let current = block_on(cached.look_up_current(issued.record.id())).unwrap().unwrap();
    assert!(current.is_revoked());
    assert!(
        is_active(&cached, issued.record.id()),
        "what is known stays: anybody who knows an id could empty the cache"
    );
    assert!(block_on(cached.write_through().find(issued.record.id())).unwrap().unwrap().is_revoked());
}

#[test]
fn pointers_to_a_cache_are_caches() {
    fn look_up<L: KeyLookup<Remembered>>(lookup: &L, id: KeyId) -> bool {
        block_on(lookup.look_up(id)).unwrap().is_some()
    }

    let World { cached, issued, store, .. } = setup();
    assert!(look_up(&cached, issued.record.id()) && look_up(&&cached, issued.record.id()));
    assert!(look_up(&Arc::new(cached.clone()), issued.record.id()) && look_up(&Box::new(cached), issued.record.id()));
    assert_eq!(store.finds(), 1, "clones share what they remember");
}

#[test]
fn a_cache_shows_its_bound_and_no_record() {
    let World { cached, issued, .. } = setup();
    assert!(is_active(&cached, issued.record.id()));
    assert_eq!(format!("{cached:?}"), "CachedStore { max_staleness: 10s, .. }");
    assert_eq!(format!("{:?}", cached.write_through()), "WriteThrough { .. }");
    assert_eq!(cached.max_staleness(), BOUND);
}
