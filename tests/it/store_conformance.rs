//! The conformance suite passes what keeps the contract, and catches what does not by the name of the broken rule.

mod fault;
mod plain;
mod row;
mod unlogged;

use std::{
    sync::{Arc, Mutex},
    thread,
};

use keygate::{
    MemoryStore,
    audit::Event,
    store::conformance::{InProcess, Passed, Race, Rule, Subject, Task, Threads, Violations, check, check_feed},
    store::{BoxedKeyManagementStore, ChangeFeed, KeyManagementStore},
};

use fault::{FAULTS, FEED_FAULTS, UNLOGGED_FAULTS};
use unlogged::Unlogged;

pub(crate) use fault::Fault;
pub(crate) use plain::PlainStore;

fn run<S: KeyManagementStore + 'static>(
    fresh: impl Fn() -> S + Send + Sync,
    logged: impl Fn(&S) -> Vec<Event> + Send + Sync,
) -> Result<Passed, Violations> {
    pollster::block_on(check(&InProcess::new(fresh, logged), &Threads))
}

fn run_feed<S: KeyManagementStore + ChangeFeed + 'static>(
    fresh: impl Fn() -> S + Send + Sync,
    length: usize,
) -> Result<Passed, Violations> {
    let subject = InProcess::new(fresh, |_: &S| Vec::new()).with_feed_length(length);
    pollster::block_on(check_feed(&subject, &Threads))
}

#[track_caller]
fn assert_passes(report: Result<Passed, Violations>) {
    let report = report.map_err(|violations| violations.to_string());
    assert!(report.is_ok(), "{}", report.unwrap_err());
}

#[track_caller]
fn assert_conforms<S: KeyManagementStore + 'static>(
    fresh: impl Fn() -> S + Send + Sync,
    logged: impl Fn(&S) -> Vec<Event> + Send + Sync,
) {
    assert_passes(run(fresh, logged));
}

#[test]
fn a_store_in_memory_conforms() {
    assert_conforms(MemoryStore::new, MemoryStore::events);
    assert_passes(run_feed(MemoryStore::new, MemoryStore::LOG_LENGTH));
}

#[test]
fn a_plain_store_without_fault_conforms() {
    assert_conforms(|| PlainStore::new(None), PlainStore::events);
    assert_passes(run_feed(|| PlainStore::new(None), 300));
}

#[test]
fn a_store_without_a_log_conforms() {
    assert_conforms(|| Unlogged::new(None), Unlogged::events);
}

#[test]
fn pointers_to_a_store_conform() {
    assert_conforms(|| Arc::new(MemoryStore::new()), |store| store.events());
    assert_conforms(|| Box::new(MemoryStore::new()), |store| store.events());
    // Lives as long as the process: `'static`, as tasks need it. It stays in reach, or a sanitizer would report it.
    static KEPT: Mutex<Vec<&MemoryStore>> = Mutex::new(Vec::new());
    let kept = || {
        let store: &MemoryStore = Box::leak(Box::default());
        KEPT.lock().unwrap().push(store);
        store
    };
    assert_conforms(kept, |store| store.events());
    assert_passes(run_feed(|| Arc::new(MemoryStore::new()), 300));
    assert_passes(run_feed(|| Box::new(MemoryStore::new()), 300));
    assert_passes(run_feed(kept, 300));
}

/// A boxed store says by its receipts whether the store in it keeps a log; what it keeps is read behind the box.
struct Boxed<S>(fn() -> S, fn(&S) -> Vec<Event>, Mutex<Option<Arc<S>>>);

impl<S: KeyManagementStore + 'static> Subject for Boxed<S> {
    type Store = BoxedKeyManagementStore;

    async fn fresh(&self) -> BoxedKeyManagementStore {
        let store = Arc::new((self.0)());
        *self.2.lock().unwrap() = Some(Arc::clone(&store));
        BoxedKeyManagementStore::new(store)
    }

    async fn logged(&self, _: &BoxedKeyManagementStore) -> Vec<Event> {
        let store = self.2.lock().unwrap().clone();
        store.map_or_else(Vec::new, |store| (self.1)(&store))
    }
}

#[test]
fn a_store_without_its_type_conforms() {
    let logged = Boxed(MemoryStore::new, MemoryStore::events, Mutex::default());
    assert_passes(pollster::block_on(check(&logged, &Threads)));
    let unlogged = Boxed(|| Unlogged::new(None), Unlogged::events, Mutex::default());
    assert_passes(pollster::block_on(check(&unlogged, &Threads)));
}

#[cfg(feature = "cache")]
#[test]
fn the_store_behind_a_cache_conforms() {
    use keygate::CachedStore;

    let fresh = || CachedStore::new(MemoryStore::new(), core::time::Duration::from_secs(3600)).write_through();
    assert_conforms(fresh, |store| store.store().events());
    assert_passes(run_feed(fresh, 300));
}

type Run = fn(Fault) -> Result<Passed, Violations>;

/// Each table of faults, with the store that makes them and the suite that finds them.
const TABLES: &[(&[(Fault, Rule)], Run)] = &[
    (FAULTS, |fault| run(|| PlainStore::new(Some(fault)), PlainStore::events)),
    (UNLOGGED_FAULTS, |fault| run(|| Unlogged::new(Some(fault)), Unlogged::events)),
    (FEED_FAULTS, |fault| run_feed(|| PlainStore::new(Some(fault)), 300)),
];

#[test]
fn each_fault_is_caught_by_the_name_of_its_rule() {
    let faults = TABLES.iter().flat_map(|(faults, run)| faults.iter().map(move |(fault, rule)| (*fault, *rule, run)));
    let (faults, missed) = (Mutex::new(faults), Mutex::new(Vec::new()));
    let look_for_faults = || {
        loop {
            let next = faults.lock().unwrap().next();
            let Some((fault, rule, run)) = next else { return };
            let miss = match run(fault) {
                Ok(_) => format!("{fault:?} passes"),
                Err(violations) if violations.breaks(rule) => continue,
                Err(violations) => format!("{fault:?} does not break {rule}, but {violations}"),
            };
            missed.lock().unwrap().push(miss);
        }
    };
    // Races wait more than they compute. The threads have names, by which they are told from those of a race.
    thread::scope(|scope| {
        for number in 0..4 {
            thread::Builder::new().name(format!("lane {number}")).spawn_scoped(scope, look_for_faults).unwrap();
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{missed:#?}");
}

/// A rule that nothing breaks would be a rule that nobody checks.
#[test]
fn each_rule_is_broken_by_some_fault() {
    let faults = || TABLES.iter().flat_map(|(faults, _)| faults.iter());
    let unbroken: Vec<_> = Rule::ALL.iter().filter(|rule| faults().all(|(_, broken)| broken != *rule)).collect();
    assert!(unbroken.is_empty(), "{unbroken:?}");
}

/// A mistake in the feed is none in the rest of the contract, and the other way round.
#[test]
fn the_suite_for_feeds_looks_at_feeds_only() {
    for (fault, _) in FEED_FAULTS {
        assert_conforms(|| PlainStore::new(Some(*fault)), PlainStore::events);
    }
    for fault in [Fault::LogsNothing, Fault::LogsTwice, Fault::ListsOthers, Fault::TouchesBackwards] {
        assert_passes(run_feed(|| PlainStore::new(Some(fault)), 300));
    }
}

#[test]
fn a_race_that_runs_one_task_after_the_other_is_served() {
    struct Queue;

    impl Race for Queue {
        async fn race(&self, tasks: Vec<Task>) {
            for task in tasks {
                task.await;
            }
        }
    }

    let subject = InProcess::new(MemoryStore::new, MemoryStore::events);
    assert_passes(pollster::block_on(check(&subject, &Queue)));
    assert_passes(pollster::block_on(check_feed(&subject, &Queue)));
}

#[test]
fn a_failure_names_the_operation_and_its_cause_and_ends_nothing_else() {
    let violations = run(|| PlainStore::new(Some(Fault::FailsToRename)), PlainStore::events).unwrap_err();
    assert!(violations.iter().all(|violation| violation.rule() == Rule::NoFailure));
    assert!(
        violations.iter().all(|violation| violation.detail() == "rename: the store or directory failed: out of order")
    );
}

#[test]
fn a_panic_in_a_race_is_reported() {
    let violations = run(|| PlainStore::new(Some(Fault::PanicsInRaces)), PlainStore::events).unwrap_err();
    assert!(violations.breaks(Rule::NoFailure));
    assert!(violations.to_string().contains("a task panicked"), "{violations}");
}

/// The future can be sent to another thread, as a runtime with several demands.
#[test]
fn the_suite_can_be_spawned() {
    fn spawn(future: impl Future<Output = Result<Passed, Violations>> + Send + 'static) -> Result<Passed, Violations> {
        thread::spawn(|| pollster::block_on(future)).join().unwrap()
    }

    fn subject() -> impl Subject<Store = MemoryStore> {
        InProcess::new(MemoryStore::new, MemoryStore::events)
    }

    assert_passes(spawn(async { check(&subject(), &Threads).await }));
    assert_passes(spawn(async { check_feed(&subject(), &Threads).await }));
}

#[test]
fn rules_have_names_and_sentences_of_their_own() {
    for (number, rule) in Rule::ALL.iter().enumerate() {
        let name = rule.to_string();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(format!("{rule:?}").to_lowercase(), name.replace('_', ""));
        for other in &Rule::ALL[number + 1..] {
            assert_ne!(rule.as_str(), other.as_str());
            assert_ne!(rule.contract(), other.contract());
        }
    }
}
