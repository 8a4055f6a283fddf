//! The cache over a store that is slow, that fails, and that others change: what it answers is what it promises.
//!
//! All changes to a key go in one direction here: it is created, used later and later, and revoked. So an answer is right
//! if it is between what had to be seen when it was asked for and what was so when it was given.

#[path = "cache/slow.rs"]
mod slow;

use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use std::{sync::Mutex as Plain, time::Instant};

use keygate::{
    Actor, CachedStore, Create, Grant, Issuer, KeyId, KeyManagementStore, KeyStore, MemoryStore, NewKey, Owner, Run,
    UnixTime, UserId, Validity, authorize_operation,
};
use keygate_model::sample;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};
use slow::{Down, Record, Seen, Slow, sure};

const BOUND: u64 = 2;

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

/// A cache in front of a store, and what its readers have to see.
struct World {
    cached: CachedStore<Slow>,
    clock: Arc<AtomicU64>,
    keys: [NewKey; 2],
    /// What whoever asks from now on has to see.
    acknowledged: Plain<[Seen; 2]>,
    /// What was so by which time, after a change that the cache was not told of.
    elsewhere: Plain<Vec<(u64, [Seen; 2])>>,
    uses: AtomicI64,
}

impl World {
    /// The first `stored` of the keys exist, and the cache has `places` for records and as many for absent ids.
    fn new(stored: usize, places: usize, fails: bool) -> Arc<Self> {
        let keys = [1, 2].map(|seed| {
            let system = Actor::system("a model").unwrap();
            let permit = authorize_operation(&system, Create(Grant::Personal { user: ada() }), None, at(0)).unwrap();
            let (name, mut rng) = (format!("key-{seed}").parse().unwrap(), ChaCha20Rng::from_seed([seed; 32]));
            permit.issue(Issuer::from_static("kg"), name, Validity::NEVER_EXPIRES, &mut rng, at(0)).unwrap().key
        });
        let inner = MemoryStore::new();
        for key in keys.iter().take(stored) {
            sure(block_on(inner.insert(key.clone()))).unwrap();
        }
        let ids = [0, 1].map(|key: usize| keys[key].record().id());
        let store = Slow { inner, ids, finds: AtomicUsize::new(0), fails, done: Plain::default() };
        let acknowledged = Plain::new(store.seen());
        let clock = Arc::new(AtomicU64::new(0));
        let (reader, start) = (clock.clone(), Instant::now());
        let now = move || start + Duration::from_secs(reader.load(SeqCst));
        let cached = CachedStore::new(store, Duration::from_secs(BOUND), places, places, now);
        Arc::new(Self { cached, clock, keys, acknowledged, elsewhere: Plain::default(), uses: AtomicI64::new(1) })
    }

    fn stored(&self) -> [Seen; 2] {
        self.cached.store().seen()
    }

    fn tick(&self) {
        self.clock.fetch_add(1, SeqCst);
    }

    fn acknowledge(&self, key: usize, seen: [Seen; 2]) {
        let mut acknowledged = self.acknowledged.lock().unwrap();
        acknowledged[key] = acknowledged[key].join(seen[key]);
    }

    /// What a find that starts now has to see.
    fn least(&self, key: usize) -> Seen {
        let now = self.clock.load(SeqCst);
        let elsewhere = self.elsewhere.lock().unwrap();
        let late = elsewhere.iter().filter(|(by, _)| now.saturating_sub(*by) >= BOUND);
        late.fold(self.acknowledged.lock().unwrap()[key], |least, (_, seen)| least.join(seen[key]))
    }

    fn check(&self, key: usize, least: Seen, found: Option<Record>) {
        let found = Seen::of(found.as_deref());
        assert!(found.covers(least), "an old answer: {found:?}, and {least:?} was known before it was asked");
        assert!(self.stored()[key].covers(found), "nobody ever wrote {found:?}");
    }

    fn find(&self, key: usize) {
        let least = self.least(key);
        if let Ok(found) = block_on(self.cached.find(self.cached.store().ids[key])) {
            self.check(key, least, found);
        }
    }

    /// Does something at random.
    fn act(&self) {
        let key = usize::from(thread_rng().gen_bool(0.25));
        let id = self.cached.store().ids[key];
        let least = self.least(key);
        match thread_rng().gen_range(0..13) {
            0..=2 => self.find(key),
            3 => {
                if let Some(Ok(found)) = block_on(give_up(self.cached.find(id))) {
                    self.check(key, least, found);
                }
            }
            4 => {
                if let Some(found) = self.cached.find_now(id) {
                    self.check(key, least, found);
                }
            }
            5 => {
                let least = self.stored()[key];
                if let Ok(found) = block_on(self.cached.find_current(id)) {
                    self.check(key, least, found);
                }
            }
            6 => self.change(only(key), self.cached.insert(self.keys[key].clone())),
            7 => self.change(only(key), self.cached.revoke(id, at(1))),
            8 => {
                let ended = |ids: Option<&Vec<KeyId>>, key| match ids {
                    Some(ids) if ids.contains(&self.cached.store().ids[key]) => Forgotten::All,
                    Some(_) => Forgotten::Nothing,
                    None => Forgotten::Record,
                };
                self.change(ended, self.cached.revoke_all(Owner::Personal(ada()), at(1), Run::Real));
            }
            9 => {
                let used = at(self.uses.fetch_add(1, SeqCst));
                self.change(only(key), self.cached.touch(id, used, used));
            }
            10 => self.change_elsewhere(id),
            11 => {
                self.change_elsewhere(id);
                let stored = self.stored();
                self.cached.evict(id);
                self.acknowledge(key, stored);
            }
            _ => self.tick(),
        }
    }

    /// A change through the cache: when it is over, however it ended, what was so when it was made is seen, of those keys
    /// that it was about.
    fn change<T>(
        &self,
        forgotten: impl Fn(Option<&T>, usize) -> Forgotten,
        change: impl Future<Output = Result<T, Down>>,
    ) {
        let done = &self.cached.store().done;
        let me = thread::current().id();
        done.lock().unwrap().remove(&me);
        let answer = block_on(give_up(change));
        let Some(seen) = done.lock().unwrap().remove(&me) else { return };
        let answer = answer.and_then(Result::ok);
        for key in [0, 1] {
            match forgotten(answer.as_ref(), key) {
                Forgotten::All => self.acknowledge(key, seen),
                // That a key is absent may still be remembered, until who created it is told that it is there.
                Forgotten::Record => self.acknowledge(key, seen.map(|seen| Seen { exists: false, ..seen })),
                Forgotten::Nothing => {}
            }
        }
    }

    fn change_elsewhere(&self, id: KeyId) {
        let store = &self.cached.store().inner;
        if thread_rng().gen_bool(0.5) {
            let _ = sure(block_on(store.revoke(id, at(1))));
        } else {
            let used = at(self.uses.fetch_add(1, SeqCst));
            sure(block_on(store.touch(id, used, used)));
        }
        let stored = self.stored();
        let by = self.clock.load(SeqCst);
        self.elsewhere.lock().unwrap().push((by, stored));
    }
}

/// What a change makes the cache forget of a key.
enum Forgotten {
    All,
    Record,
    Nothing,
}

fn only<T>(changed: usize) -> impl Fn(Option<&T>, usize) -> Forgotten {
    move |_, key| if key == changed { Forgotten::All } else { Forgotten::Nothing }
}

fn ada() -> UserId {
    "ada".parse().unwrap()
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

fn together(world: &Arc<World>, threads: usize, work: fn(&World)) {
    let start = |_| {
        let world = world.clone();
        thread::spawn(move || work(&world))
    };
    for running in (0..threads).map(start).collect::<Vec<_>>() {
        running.join().unwrap();
    }
}

#[test]
fn no_answer_is_older_than_what_was_promised() {
    sample("cache", || {
        let mut rng = thread_rng();
        let world = World::new(rng.gen_range(0..=2), if rng.gen_bool(0.5) { 1 } else { 100 }, rng.gen_bool(0.5));
        together(&world, 3, |world| {
            for _ in 0..4 {
                world.act();
            }
        });
        // What came of it is found at once, or after the bound where others made it.
        for _ in 0..=BOUND {
            world.find(0);
            world.find(1);
            world.tick();
        }
    });
}

#[test]
fn what_others_changed_is_seen_after_the_bound() {
    sample("cache, changed behind its back", || {
        let world = World::new(1, 100, false);
        let other = world.clone();
        let others = thread::spawn(move || {
            other.change_elsewhere(other.cached.store().ids[0]);
            (0..BOUND).for_each(|_| other.tick());
        });
        together(&world, 2, |world| (0..3).for_each(|_| world.find(0)));
        others.join().unwrap();
        world.find(0);
    });
}

#[test]
fn who_comes_during_a_look_up_waits_for_it() {
    for stored in [0, 1] {
        sample(&format!("cache, one look-up of {stored} keys"), move || {
            let world = World::new(stored, 100, false);
            together(&world, 3, |world| {
                let id = world.cached.store().ids[0];
                let found = block_on(world.cached.find(id)).unwrap();
                world.check(0, world.least(0), found);
            });
            assert_eq!(world.cached.store().finds.load(SeqCst), 1, "more than one look-up");
        });
    }
}
