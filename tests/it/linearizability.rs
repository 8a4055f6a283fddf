//! What many threads do at once could have been done one after the other: revoke against verify, rotate against rotate,
//! create against create, touch against revoke, on each store that ships.
//!
//! `LINEARIZABILITY_ROUNDS` is how often each race is run; the stores on databases run the same in
//! `crates/keygate-sqlx`.

mod history;

use core::time::Duration;
use std::{env, sync::Arc};

use keygate::{MemoryStore, audit::Event, store::KeyManagementStore, store::conformance::Threads};

use crate::{
    lifecycle::ThroughCache,
    store_conformance::{Fault, PlainStore},
};

fn rounds() -> u64 {
    env::var("LINEARIZABILITY_ROUNDS").map_or(50, |count| count.parse().unwrap())
}

#[track_caller]
fn assert_linearizable<S: KeyManagementStore + 'static>(
    name: &str,
    fresh: impl Fn() -> S,
    log: impl Fn(&S) -> Vec<Event>,
) {
    let log = async |store: &Arc<S>| log(store);
    let checked = pollster::block_on(history::check(async || Arc::new(fresh()), log, &Threads, rounds()));
    let count = checked.unwrap_or_else(|fault| panic!("{fault}"));
    println!("linearizability: {name}: {count} operations");
}

#[test]
fn a_store_in_memory_is_linearizable() {
    assert_linearizable("MemoryStore", MemoryStore::new, MemoryStore::events);
}

/// All changes go through it. One that others change behind it is late by its bound, which it says.
#[test]
fn a_cached_store_is_linearizable() {
    let fresh = || ThroughCache::new(MemoryStore::new(), Duration::from_secs(3600));
    assert_linearizable("CachedStore", fresh, |store| store.inner().events());
}

fn log(store: &PlainStore) -> Vec<Event> {
    store.state.lock().unwrap().log.clone()
}

#[test]
fn a_plain_store_is_linearizable() {
    assert_linearizable("PlainStore", || PlainStore::new(None), log);
}

/// The control: what goes wrong only when two come together.
#[test]
fn faults_are_found() {
    const FAULTS: [Fault; 9] = [
        Fault::CachesFinds,
        Fault::LogsNothing,
        Fault::LogsTwice,
        Fault::LogsUnchanged,
        Fault::NamesInTwoSteps,
        Fault::RevokesInTwoSteps,
        Fault::RotatesInTwoSteps,
        Fault::SavesWholeRecords,
        Fault::SweepsInTwoSteps,
    ];
    let finds = |fault| {
        let fresh = async || Arc::new(PlainStore::new(Some(fault)));
        let log = async |store: &Arc<PlainStore>| log(store);
        pollster::block_on(history::check(fresh, log, &Threads, 100)).is_err()
    };
    let missed: Vec<_> = FAULTS.into_iter().filter(|fault| !finds(*fault)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
