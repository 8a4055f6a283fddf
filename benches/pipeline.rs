//! The whole way of a request: header fields, token, look-up among many keys, both comparisons, decision.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is not run")]

use core::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use criterion::Criterion;
use http::{HeaderMap, header::AUTHORIZATION};
use keygate::{
    Action, Actor, EnvironmentScope, Gate, Grant, KeyManager, MemoryStore, ModelScope, NewKeySpec, Permission, Request,
    Token, Validity, Verdict,
    http::{CredentialSources, bearer_header, extract_credential},
};

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "keys are made by the manager here")]
mod support;

use support::{KG, NOW, generator};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let action = Action::call("m1aaaaaa".parse().unwrap(), Some("production".parse().unwrap()));
    let request = Request::new("core".parse().unwrap(), action);
    for size in [1, 1_000, 100_000] {
        let store = MemoryStore::new();
        let keys = KeyManager::with_parts(KG, store.clone(), || NOW, generator(1));
        let tokens: Vec<_> = (0..size).map(|number| stored(&keys, number)).collect();
        let gate = Gate::with_clock(KG, store, || NOW);
        let value = bearer_header(tokens.get(tokens.len() / 2).unwrap()).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let sources = CredentialSources::authorization();
        criterion.bench_function(&format!("keygate/pipeline/{size}"), |bencher| {
            bencher.iter(|| {
                let presented = extract_credential(black_box(&headers), &sources, gate.accepted_keys()).unwrap();
                let verdict = ready(gate.check(presented, black_box(&request))).unwrap();
                assert!(matches!(verdict, Verdict::Allowed(_)));
            });
        });
    }
    criterion.final_summary();
}

fn stored(keys: &KeyManager<MemoryStore>, number: u32) -> Token {
    let permission = Permission::inference_only(
        EnvironmentScope::only(["production".parse().unwrap()]).unwrap(),
        ModelScope::only(["m1aaaaaa".parse().unwrap()]).unwrap(),
    );
    let grant = Grant::team("core".parse().unwrap(), permission);
    let spec = NewKeySpec::new(grant, format!("key-{number}").parse().unwrap(), Validity::NEVER_EXPIRES);
    ready(keys.create(&Actor::system("a benchmark").unwrap(), spec)).unwrap().token
}

/// Runs a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut polled = pin!(future);
    loop {
        if let Poll::Ready(value) = polled.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}
