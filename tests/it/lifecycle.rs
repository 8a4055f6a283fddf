//! The order of things: random sequences of operations, clock moves and presented tokens, on each store that ships.
//!
//! `LIFECYCLE_SEQUENCES` is how many for each store; the stores on databases run the same in `crates/keygate-sqlx`.

mod model;
mod sequence;
mod through_cache;

use core::time::Duration;
use std::env;

use keygate::{MemoryStore, audit::Event, store::KeyManagementStore};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::store_conformance::{Fault, PlainStore};

pub(crate) use through_cache::ThroughCache;

const STEPS: usize = 150;

/// The choices of one of the random sequences; equal seeds give equal sequences.
fn choices(seed: u64) -> impl Iterator<Item = u8> {
    let mut dice = ChaCha20Rng::seed_from_u64(seed);
    core::iter::repeat_with(move || dice.next_u32().to_le_bytes()[0])
}

fn sequences() -> u64 {
    env::var("LIFECYCLE_SEQUENCES").map_or(60, |count| count.parse().unwrap())
}

#[track_caller]
fn assert_follows_the_model<S: KeyManagementStore>(
    name: &str,
    fresh: impl Fn() -> S,
    log: impl AsyncFn(&S) -> Vec<Event>,
) {
    let mut refused = 0;
    for seed in 0..sequences() {
        let run = pollster::block_on(sequence::run(&fresh(), &log, choices(seed), STEPS));
        refused += run.unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
    }
    let steps = STEPS * usize::try_from(sequences()).unwrap();
    println!("lifecycle: {name}: {} sequences of {STEPS}, {refused} of {steps} steps refused", sequences());
    assert!(refused > steps / 10 && refused < steps / 2);
}

#[test]
fn a_store_in_memory_follows_the_model() {
    assert_follows_the_model("MemoryStore", MemoryStore::new, async |store| store.events());
}

/// All changes go through it, so its answers are never stale.
#[test]
fn a_cached_store_follows_the_model() {
    let fresh = || ThroughCache::new(MemoryStore::new(), Duration::from_secs(3600));
    assert_follows_the_model("CachedStore", fresh, async |store| store.inner().events());
}

fn log(store: &PlainStore) -> Vec<Event> {
    store.state.lock().unwrap().log.clone()
}

#[test]
fn a_plain_store_follows_the_model() {
    assert_follows_the_model("PlainStore", || PlainStore::new(None), async |store| log(store));
}

/// The control: what can go wrong one step after the other, and no sequence may miss.
#[test]
fn faults_are_found() {
    const FAULTS: [Fault; 28] = [
        Fault::AnswersDisabledAsDone,
        Fault::AnswersUnchangedAsDone,
        Fault::CachesFinds,
        Fault::ClearsPreviousOnRename,
        Fault::ForgetsCauses,
        Fault::ForgetsIncarnations,
        Fault::ForgetsNameConflicts,
        Fault::ForgetsPreviousUses,
        Fault::IgnoresFilters,
        Fault::KeepsNamesOfRevoked,
        Fault::ListsByIdAlone,
        Fault::LogsBatchesUnderOneId,
        Fault::LogsNothing,
        Fault::LogsRefused,
        Fault::LogsTwice,
        Fault::LogsUnchanged,
        Fault::MergesLabels,
        Fault::OmitsRevoked,
        Fault::RepeatsAtPageBorders,
        Fault::RevivesRevoked,
        Fault::RevokesOverFirst,
        Fault::RotatesWithoutComparing,
        Fault::SetsPreviousToNothing,
        Fault::SkipsAtPageBorders,
        Fault::TouchesBackwards,
        Fault::TouchesNoPrevious,
        Fault::TouchesPastNow,
        Fault::TouchesPreviousAlways,
    ];
    let finds = |fault| {
        (0..60).any(|seed| {
            let store = PlainStore::new(Some(fault));
            pollster::block_on(sequence::run(&store, async |store| log(store), choices(seed), STEPS)).is_err()
        })
    };
    let missed: Vec<_> = FAULTS.into_iter().filter(|fault| !finds(*fault)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
