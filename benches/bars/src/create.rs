//! Creating a key: by the manager, and by the pure steps that it is made of.

use std::hint::black_box;

use keygate::{
    Actor, EnvironmentScope, Grant, KeyManager, Labels, MemoryStore, NewKeySpec, Permission, System, SystemRandomness,
    Validity,
    manage::{Acting, Create, MintRules, authorize_operation},
    store::KeyManagementStore as _,
};
use keygate_bench_instructions::{
    Work,
    scenario::{KG, NOW, ready},
};

/// So many keys are in the store when the next one is made.
const BEFORE: usize = 1_000;

fn grant() -> Grant {
    Grant::team("core".parse().unwrap(), Permission::full(EnvironmentScope::All))
}

/// An empty store now and then, so that neither side makes its own larger.
fn refilled(store: &mut MemoryStore, number: usize) {
    if number % BEFORE == 0 {
        *store = MemoryStore::new();
    }
}

pub fn by_manager() -> Work {
    let (mut store, mut number) = (MemoryStore::new(), 0);
    let mut keys = KeyManager::with_parts(KG, store.clone(), || NOW, SystemRandomness);
    let system = Actor::system("a benchmark").unwrap();
    Box::new(move || {
        number += 1;
        if number % BEFORE == 0 {
            refilled(&mut store, number);
            keys = KeyManager::with_parts(KG, store.clone(), || NOW, SystemRandomness);
        }
        let name = format!("key-{number}").parse().unwrap();
        let spec = NewKeySpec::new(grant(), name, Validity::NEVER_EXPIRES);
        let issued = ready(keys.create(&system, black_box(spec))).unwrap();
        assert_eq!(issued.token.id(), issued.record.id());
    })
}

pub fn by_steps() -> Work {
    let (mut store, mut number, rules) = (MemoryStore::new(), 0, MintRules::new());
    let system = System::new("a benchmark").unwrap();
    Box::new(move || {
        number += 1;
        refilled(&mut store, number);
        let name = format!("key-{number}").parse().unwrap();
        let create = Create { grant: black_box(grant()), validity: Validity::NEVER_EXPIRES };
        let permit = authorize_operation(KG, Acting::System(&system), create, None, NOW).unwrap();
        let minted = permit.issue(KG, (name, Labels::NONE), &rules, &SystemRandomness, NOW).unwrap();
        let (token, id) = (minted.token, minted.key.record().id());
        ready(store.insert(minted.key)).unwrap().unwrap();
        assert_eq!(token.id(), id);
    })
}
