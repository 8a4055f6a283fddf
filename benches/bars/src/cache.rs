//! A look-up that a cache remembers: with a lease that ticks extend, and without.

use core::time::Duration;
use std::hint::black_box;

use keygate::{CachedStore, KeyId, MemoryStore, store::KeyLookup as _};
use keygate_bench_instructions::{
    Work,
    scenario::{self, ready},
};

/// Longer than a measurement.
const LEASE: Duration = Duration::from_secs(3_600);

fn cached() -> (CachedStore<MemoryStore>, KeyId) {
    let store = MemoryStore::new();
    let id = scenario::stored(&store, 0).id();
    let cache = CachedStore::new(store, LEASE);
    assert!(ready(cache.look_up(id)).unwrap().is_some());
    (cache, id)
}

fn look_up((cache, id): (CachedStore<MemoryStore>, KeyId)) -> Work {
    Box::new(move || assert!(ready(cache.look_up(black_box(id))).unwrap().is_some()))
}

pub fn without() -> Work {
    look_up(cached())
}

pub fn with_ticks() -> Work {
    let (cache, id) = cached();
    ready(cache.tick()).unwrap();
    assert!(ready(cache.look_up(id)).unwrap().is_some());
    ready(cache.tick()).unwrap();
    look_up((cache, id))
}
