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
    Action, Actor, Create, EnvironmentScope, Gate, Grant, Issuer, KeyManager, MemoryStore, ModelScope, Permission,
    Request, Token, UnixTime, Validity, authorize_operation, decide,
    http::{CredentialHeaders, bearer_header, extract_credential},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

const KG: Issuer = Issuer::from_static("kg");
const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let action = Action::Call { model: "m1aaaaaa".parse().unwrap(), environment: Some("production".parse().unwrap()) };
    let (gate, request) = (Gate::new(KG), Request::new("core".parse().unwrap(), action));
    for size in [1, 1_000, 100_000] {
        let (store, mut rng) = (MemoryStore::new(), ChaCha20Rng::from_seed([1; 32]));
        let tokens: Vec<_> = (0..size).map(|number| stored(&store, &mut rng, number)).collect();
        let value = bearer_header(tokens.get(tokens.len() / 2).unwrap()).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        criterion.bench_function(&format!("keygate/pipeline/{size}"), |bencher| {
            bencher.iter(|| {
                let presented = extract_credential(black_box(&headers), CredentialHeaders::Authorization).unwrap();
                let key = ready(gate.authenticate(&store, presented, black_box(NOW))).unwrap().unwrap();
                assert!(decide(&key, None, black_box(&request), black_box(NOW)).is_allowed());
            });
        });
    }
    criterion.final_summary();
}

fn stored(store: &MemoryStore, rng: &mut ChaCha20Rng, number: u32) -> Token {
    let permission = Permission::InferenceOnly {
        environments: EnvironmentScope::only(["production".parse().unwrap()]).unwrap(),
        models: ModelScope::only(["m1aaaaaa".parse().unwrap()]).unwrap(),
    };
    let system = Actor::system("a benchmark").unwrap();
    let grant = Grant::Team { team: "core".parse().unwrap(), permission };
    let permit = authorize_operation(&system, Create(grant), None, NOW).unwrap();
    let name = format!("key-{number}").parse().unwrap();
    ready(KeyManager::new(KG, store).create(permit, name, Validity::NEVER_EXPIRES, rng, NOW)).unwrap().token
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
