//! A cache in front of a store, and what its readers have to see.

use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use std::{
    collections::HashMap,
    sync::{
        Mutex as Plain,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Instant,
};

use keygate::{
    EnvironmentScope, Grant, Issuer, KeyId, KeyManager, Labels, MemoryStore, Owner, Permission, RevocationCause,
    System, UnixTime, Validity,
    manage::{Acting, Create, MintRules, Revoke, authorize_operation},
    store::{KeyChange, KeyLookup, KeyManagementStore, NewKey, SecondLook, SecretSlot, Touch},
};
use keygate_model::cache::{CacheSettings, CachedStore, WriteThrough};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
};

use crate::slow::{Down, Fails, Notes, Record, Seen, Slow, sure};

/// How many ticks of the clock a record is served.
pub(crate) const BOUND: u64 = 2;

const KG: Issuer = Issuer::from_static("kg");
const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

fn randomness(seed: u8) -> Plain<ChaCha20Rng> {
    Plain::new(ChaCha20Rng::from_seed([seed; 32]))
}

/// A clock that only a test moves, and that knows what each thread read last: by that it decided.
struct Clock {
    now: AtomicU64,
    unit: Duration,
    start: Instant,
    read: Plain<HashMap<ThreadId, u64>>,
}

impl Clock {
    fn read(&self) -> Instant {
        let now = self.now.load(Ordering::SeqCst);
        self.read.lock().unwrap().insert(thread::current().id(), now);
        self.start + self.unit * u32::try_from(now).unwrap()
    }
}

pub(crate) struct World {
    pub(crate) cached: CachedStore<Arc<Slow>>,
    pub(crate) store: Arc<Slow>,
    write_through: WriteThrough<Arc<Slow>>,
    keys: KeyManager<WriteThrough<Arc<Slow>>>,
    clock: Arc<Clock>,
    made: [NewKey; 2],
    revocations: [KeyChange; 2],
    uses: AtomicI64,
    /// What was found of the first key before anything else happened.
    pub(crate) found_before: Option<Record>,
    /// Whether there are ticks, which confirm what they do not tell: uses.
    is_ticked: bool,
}

/// How a test begins.
pub(crate) struct Setup {
    /// How many of the two keys exist.
    pub(crate) stored: usize,
    /// How many records the cache may remember, and how many absent ids.
    pub(crate) places: usize,
    pub(crate) fails: Fails,
    /// The time of one tick of the clock.
    pub(crate) unit: Duration,
    pub(crate) is_ticked: bool,
}

impl Setup {
    pub(crate) const ONE_KEY: Self =
        Self { stored: 1, places: 100, fails: Fails::Never, unit: SECOND, is_ticked: true };

    /// Nothing is known yet.
    pub(crate) fn build(self) -> World {
        let Self { stored, places, fails, unit, is_ticked } = self;
        let made = [1, 2].map(made);
        let revocations = [0, 1].map(|key: usize| revocation(&made[key]));
        let inner = MemoryStore::new();
        for key in made.iter().take(stored) {
            sure(block_on(inner.insert(key.clone()))).unwrap();
        }
        let ids = [0, 1].map(|key: usize| made[key].record().id());
        let store = Arc::new(Slow::new(inner, ids, fails));
        let clock = Arc::new(Clock { now: AtomicU64::new(0), unit, start: Instant::now(), read: Plain::default() });
        let reader = clock.clone();
        let settings = CacheSettings::new(unit * u32::try_from(BOUND).unwrap())
            .with_max_records(places)
            .with_max_absent(places)
            .with_clock(move || reader.read());
        let cached = CachedStore::new(store.clone(), settings);
        let keys = KeyManager::with_parts(KG, cached.write_through(), || at(1), randomness(9));
        World {
            write_through: cached.write_through(),
            keys,
            cached,
            store,
            clock,
            made,
            revocations,
            uses: AtomicI64::new(1),
            found_before: None,
            is_ticked,
        }
    }

    /// What the cache knows was read a second ago, and is confirmed.
    pub(crate) fn known(self) -> World {
        let mut world = self.build();
        // The first one empties the cache.
        world.tick();
        world.found_before = block_on(world.cached.look_up(world.store.ids[0])).ok().flatten();
        world.advance_by(SECOND);
        world.tick();
        world
    }
}

fn made(seed: u8) -> NewKey {
    let system = System::new("a model").unwrap();
    let grant = Grant::team("core".parse().unwrap(), Permission::full(EnvironmentScope::All));
    let create = Create { grant, validity: Validity::NEVER_EXPIRES };
    let permit = authorize_operation(KG, Acting::System(&system), create, None, at(0)).unwrap();
    let name = format!("key-{seed}").parse().unwrap();
    permit.issue(KG, (name, Labels::NONE), &MintRules::new(), &randomness(seed), at(0)).unwrap().key
}

fn revocation(key: &NewKey) -> KeyChange {
    let system = System::new("a model").unwrap();
    let revoke = Revoke(Arc::new(key.record().clone()));
    let permit = authorize_operation(KG, Acting::System(&system), revoke, None, at(1)).unwrap();
    permit.revoke(KG, RevocationCause::Requested, &randomness(3), at(1)).unwrap()
}

impl World {
    fn notes<T>(&self, note: impl FnOnce(&mut Notes) -> T) -> T {
        note(&mut self.store.notes.lock().unwrap())
    }

    fn id(&self, key: usize) -> KeyId {
        self.store.ids[key]
    }

    fn now(&self) -> u64 {
        self.clock.now.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self) {
        self.clock.now.fetch_add(1, Ordering::SeqCst);
        self.notes(|notes| notes.now += 1);
    }

    fn a_second(&self) -> u64 {
        u64::try_from(SECOND.as_nanos().div_ceil(self.clock.unit.as_nanos())).unwrap()
    }

    pub(crate) fn advance_by(&self, time: Duration) {
        assert_eq!(time, SECOND, "nothing else is asked for");
        (0..self.a_second()).for_each(|_| self.advance());
    }

    /// What was changed elsewhere so long before `now`.
    fn elsewhere(&self, key: usize, now: u64, ago: u64) -> Seen {
        self.notes(|notes| {
            let old = notes.elsewhere.iter().filter(|(by, _)| now.saturating_sub(*by) >= ago);
            old.fold(Seen::default(), |seen, (_, then)| seen.join(then[key]))
        })
    }

    /// What was changed elsewhere so long ago that the lease has run out on what was so before.
    fn beyond_lease(&self, key: usize, now: u64) -> Seen {
        let seen = self.elsewhere(key, now, BOUND);
        if self.is_ticked { seen.as_told() } else { seen }
    }

    /// Asks the cache for a key, and checks that the answer is between what it has to be and what was ever so.
    fn ask<E>(&self, key: usize, least: Seen, question: impl Future<Output = Option<Result<Option<Record>, E>>>) {
        let me = thread::current().id();
        self.notes(|notes| notes.answered.remove(&me));
        self.clock.read.lock().unwrap().remove(&me);
        let mut least = least.join(self.notes(|notes| notes.acknowledged[key]));
        let Some(Ok(found)) = block_on(question) else { return };
        // What was acknowledged when the store answered, and what was beyond the lease: a void or late answer is not
        // given.
        if let Some((acknowledged, now)) = self.notes(|notes| notes.answered.remove(&me)) {
            least = least.join(acknowledged[key]).join(self.beyond_lease(key, now));
        }
        // The time of which it was decided.
        if let Some(decided) = self.clock.read.lock().unwrap().remove(&me) {
            least = least.join(self.beyond_lease(key, decided));
        }
        self.check(key, least, found);
    }

    fn check(&self, key: usize, least: Seen, found: Option<Record>) {
        let found = Seen::of(found.as_deref());
        assert!(found.covers(least), "an old answer: {found:?}, and {least:?} was known before");
        assert!(self.store.seen()[key].covers(found), "nobody ever wrote {found:?}");
    }

    pub(crate) fn find(&self, key: usize) {
        let least = self.beyond_lease(key, self.now());
        self.ask(key, least, async { Some(self.cached.look_up(self.id(key)).await) });
    }

    fn find_and_give_up(&self, key: usize) {
        let least = self.beyond_lease(key, self.now());
        self.ask(key, least, give_up(self.cached.look_up(self.id(key))));
    }

    /// Looks again at a record: what comes of it is no older than a second.
    pub(crate) fn look_again(&self, seen: &Record, gives_up: bool) {
        let least = self.elsewhere(0, self.now(), self.a_second());
        let look = async {
            match self.cached.look_again(seen).await {
                Ok(SecondLook::Found(found)) => Ok(found),
                Ok(SecondLook::NothingNewer) => Ok(Some(seen.clone())),
                Err(error) => Err(error),
            }
        };
        self.ask(0, least, async { if gives_up { give_up(look).await } else { Some(look.await) } });
    }

    fn find_current(&self, key: usize) {
        let least = self.store.seen()[key];
        if let Ok(found) = block_on(self.cached.look_up_current(self.id(key))) {
            self.check(key, least, found);
        }
    }

    /// What was so when its question was answered is known to all who ask afterwards. One that another tick kept from
    /// asking promises nothing.
    pub(crate) fn tick(&self) {
        self.tick_with(async { Some(self.cached.tick().await) });
    }

    pub(crate) fn tick_and_give_up(&self) {
        self.tick_with(give_up(self.cached.tick()));
    }

    fn tick_with(&self, tick: impl Future<Output = Option<Result<(), Down>>>) {
        let me = thread::current().id();
        self.notes(|notes| notes.done.remove(&me));
        let Some(Ok(())) = block_on(tick) else { return };
        self.notes(|notes| {
            if let Some(seen) = notes.done.remove(&me) {
                for (acknowledged, seen) in notes.acknowledged.iter_mut().zip(seen) {
                    *acknowledged = acknowledged.join(seen.as_told());
                }
            }
        });
    }

    fn acknowledge(&self, key: usize, seen: [Seen; 2]) {
        self.notes(|notes| notes.acknowledged[key] = notes.acknowledged[key].join(seen[key]));
    }

    /// A change through the cache, of the keys that it was about. When it is over, however it ended, what was so when
    /// it was made is seen.
    fn change<T>(
        &self,
        is_about: impl Fn(Option<&T>, usize) -> bool,
        change: impl Future<Output = Result<T, impl Sized>>,
    ) {
        let me = thread::current().id();
        self.notes(|notes| notes.done.remove(&me));
        let answer = block_on(give_up(change)).and_then(Result::ok);
        let Some(seen) = self.notes(|notes| notes.done.remove(&me)) else { return };
        for key in [0, 1] {
            if is_about(answer.as_ref(), key) {
                self.acknowledge(key, seen);
            }
        }
    }

    pub(crate) fn revoke(&self, key: usize) {
        self.change(only(key), self.write_through.change(self.revocations[key].clone()));
    }

    /// Does something at random.
    pub(crate) fn act(&self) {
        let key = usize::from(thread_rng().gen_bool(0.25));
        let id = self.id(key);
        match thread_rng().gen_range(0..if self.is_ticked { 18 } else { 14 }) {
            0..=2 => self.find(key),
            3 => self.find_and_give_up(key),
            4 | 5 => {
                if let Some(seen) = &self.found_before {
                    self.look_again(seen, thread_rng().gen_bool(0.3));
                }
            }
            6 => self.find_current(key),
            7 => self.change(only(key), self.write_through.insert(self.made[key].clone())),
            8 => self.revoke(key),
            9 => {
                let system = System::new("a model").unwrap();
                let is_about = |ids: Option<&Vec<KeyId>>, key: usize| ids.is_none_or(|ids| ids.contains(&self.id(key)));
                let owner = Owner::Team("core".parse().unwrap());
                self.change(is_about, self.keys.revoke_all(&system, owner, RevocationCause::Unused));
            }
            10 => {
                let used = at(self.uses.fetch_add(1, SeqCst));
                let touches = vec![Touch::new(id, SecretSlot::Current, used)];
                self.change(only(key), self.write_through.touch(touches, used));
            }
            11 => self.change_elsewhere(key),
            12 => self.change_elsewhere_and_announce(key),
            13 => self.advance(),
            14 | 15 => self.tick(),
            16 => self.tick_and_give_up(),
            _ => {
                self.revoke_elsewhere(key);
                self.store.restore(thread_rng().gen_bool(0.5), thread_rng().gen_bool(0.5));
            }
        }
    }

    fn change_elsewhere_and_announce(&self, key: usize) {
        self.change_elsewhere(key);
        if thread_rng().gen_bool(0.5) {
            let stored = self.store.seen();
            self.cached.forget(self.id(key));
            self.acknowledge(key, stored);
        } else {
            self.forget_everything();
        }
    }

    pub(crate) fn forget_everything(&self) {
        let stored = self.store.seen();
        self.cached.forget_everything();
        (0..2).for_each(|key| self.acknowledge(key, stored));
    }

    fn change_elsewhere(&self, key: usize) {
        if thread_rng().gen_bool(0.5) {
            self.revoke_elsewhere(key);
        } else {
            let used = at(self.uses.fetch_add(1, SeqCst));
            let touches = vec![Touch::new(self.id(key), SecretSlot::Current, used)];
            sure(block_on(self.store.inner.touch(touches, used)));
            self.note_elsewhere();
        }
    }

    pub(crate) fn revoke_elsewhere(&self, key: usize) {
        let _ = sure(block_on(self.store.inner.change(self.revocations[key].clone())));
        self.note_elsewhere();
    }

    fn note_elsewhere(&self) {
        let (stored, by) = (self.store.seen(), self.now());
        self.notes(|notes| notes.elsewhere.push((by, stored)));
    }
}

fn only<T>(changed: usize) -> impl Fn(Option<&T>, usize) -> bool {
    move |_, key| key == changed
}

/// Waits for a future, or gives up when it was asked some times.
async fn give_up<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut patience = thread_rng().gen_range(0..12);
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if patience == 0 => Poll::Ready(None),
        Poll::Pending => {
            patience -= 1;
            Poll::Pending
        }
    })
    .await
}
