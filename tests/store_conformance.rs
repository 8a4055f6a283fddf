//! The conformance suite passes what keeps the contract, and catches what does not by the name of the broken rule.
#![cfg(feature = "conformance")]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "store_conformance/fault.rs"]
mod fault;
#[path = "store_conformance/plain.rs"]
mod plain;
#[path = "store_conformance/row.rs"]
mod row;

use core::convert::Infallible;
use std::sync::{Arc, Mutex};

use keygate::{
    BoxedKeyManagementStore, BoxedKeyStore, KeyId, KeyManagementStore, KeyRecord, KeyStore, MemoryStore,
    store::conformance::{Passed, Race, Rule, Task, Threads, Violations, check},
};

use fault::{FAULTS, Fault};
use plain::PlainStore;

fn run<S: KeyManagementStore + 'static>(fresh: impl AsyncFn() -> S) -> Result<Passed, Violations> {
    pollster::block_on(check(fresh, &Threads))
}

#[track_caller]
fn assert_conforms<S: KeyManagementStore + 'static>(fresh: impl AsyncFn() -> S) {
    let report = run(fresh).map_err(|violations| violations.to_string());
    assert!(report.is_ok(), "{}", report.unwrap_err());
}

#[test]
fn a_store_in_memory_conforms() {
    assert_conforms(async || MemoryStore::new());
}

#[test]
fn a_plain_store_without_fault_conforms() {
    assert_conforms(async || PlainStore::new(None));
}

#[test]
fn pointers_to_a_store_conform() {
    assert_conforms(async || Arc::new(MemoryStore::new()));
    assert_conforms(async || Box::new(MemoryStore::new()));
    // Lives as long as the process: `'static`, as tasks need it. It stays in reach, or a sanitizer would report it.
    static KEPT: Mutex<Vec<&MemoryStore>> = Mutex::new(Vec::new());
    assert_conforms(async || {
        let store: &MemoryStore = Box::leak(Box::default());
        KEPT.lock().unwrap().push(store);
        store
    });
}

#[test]
fn a_store_without_its_type_conforms() {
    assert_conforms(async || BoxedKeyManagementStore::new(MemoryStore::new()));
}

/// Otherwise a layer would wait where it need not, and nobody would notice.
#[test]
fn what_is_in_memory_is_known_at_once_whatever_wraps_the_store() {
    let id = "wk59pfKL0jFi2YYv".parse().unwrap();
    let stores: [&dyn Fn() -> Option<Option<Arc<_>>>; 5] = [
        &|| MemoryStore::new().find_now(id),
        &|| Box::new(MemoryStore::new()).find_now(id),
        &|| Arc::new(MemoryStore::new()).find_now(id),
        &|| BoxedKeyStore::new(MemoryStore::new()).find_now(id),
        &|| BoxedKeyManagementStore::new(MemoryStore::new()).find_now(id),
    ];
    assert_eq!(stores.map(|find_now| find_now()), [const { Some(None) }; 5]);

    struct Elsewhere;
    impl KeyStore for Elsewhere {
        type Error = Infallible;

        async fn find(&self, _: KeyId) -> Result<Option<Arc<KeyRecord>>, Infallible> {
            Ok(None)
        }
    }
    assert_eq!(Elsewhere.find_now(id), None, "a store that says nothing of it knows nothing, not even of absence");
}

#[test]
fn each_fault_is_caught_by_the_name_of_its_rule() {
    let mut missed = Vec::new();
    for (fault, rule) in FAULTS {
        match run(async || PlainStore::new(Some(*fault))) {
            Ok(_) => missed.push(format!("{fault:?} passes")),
            Err(violations) if violations.breaks(*rule) => {}
            Err(violations) => missed.push(format!("{fault:?} does not break {rule}, but {violations}")),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// A rule that nothing breaks would be a rule that nobody checks.
#[test]
fn each_rule_is_broken_by_some_fault() {
    let unbroken: Vec<_> = Rule::ALL.iter().filter(|rule| FAULTS.iter().all(|(_, broken)| broken != *rule)).collect();
    assert!(unbroken.is_empty(), "{unbroken:?}");
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

    assert!(pollster::block_on(check(async || MemoryStore::new(), &Queue)).is_ok());
}

#[test]
fn a_failure_names_the_operation_and_its_cause_and_ends_nothing_else() {
    let violations = run(async || PlainStore::new(Some(Fault::FailsToRename))).unwrap_err();
    assert!(violations.iter().all(|violation| violation.rule() == Rule::NoFailure));
    assert!(violations.iter().all(|violation| violation.detail() == "rename: the store failed: out of order"));
}

#[test]
fn a_panic_in_a_race_is_reported() {
    let violations = run(async || PlainStore::new(Some(Fault::PanicsInRaces))).unwrap_err();
    assert!(violations.breaks(Rule::NoFailure));
    assert!(violations.to_string().contains("a task panicked"), "{violations}");
}

/// The future can be sent to another thread, as a runtime with several demands.
#[test]
fn the_suite_can_be_spawned() {
    fn spawn(future: impl Future<Output = Result<Passed, Violations>> + Send + 'static) -> Result<Passed, Violations> {
        std::thread::spawn(|| pollster::block_on(future)).join().unwrap()
    }

    assert!(spawn(async { check(async || MemoryStore::new(), &Threads).await }).is_ok());
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
