//! Deciding: a table and a look-up in each scope, whose cost must not grow with the number of members.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is not run")]

use core::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use keygate::{
    Action, Actor, Create, EnvironmentScope, Grant, Issued, Issuer, MatchedKey, Membership, ModelId, ModelScope,
    Permission, Reason, Request, UnixTime, UnverifiedToken, Validity, authorize_operation, decide, verify,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const KG: Issuer = Issuer::from_static("kg");
const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    unrestricted(&mut criterion);
    restricted(&mut criterion);
    from_text(&mut criterion);
    criterion.final_summary();
}

fn issue(grant: Grant) -> Issued {
    let system = Actor::system("a benchmark").unwrap();
    let permit = authorize_operation(&system, Create(grant), None, NOW).unwrap();
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    permit.issue(KG, "a-key".parse().unwrap(), Validity::NEVER_EXPIRES, &mut rng, NOW).unwrap()
}

fn key(grant: Grant) -> MatchedKey {
    let issued = issue(grant);
    let presented = UnverifiedToken::parse(KG, issued.token.expose_secret()).unwrap();
    verify(&presented, Some(Arc::new(issued.key.record().clone())), NOW).unwrap()
}

fn model(number: u32) -> ModelId {
    format!("model-{number:06}").parse().unwrap()
}

/// A key that may call `size` models in production and staging.
fn caller_of(size: u32) -> Grant {
    let environments = ["production", "staging"].map(|name| name.parse().unwrap());
    Grant::Team {
        team: "core".parse().unwrap(),
        permission: Permission::InferenceOnly {
            environments: EnvironmentScope::only(environments).unwrap(),
            models: ModelScope::only((0..size).map(model)).unwrap(),
        },
    }
}

fn call(number: u32) -> Request {
    let action = Action::Call { model: model(number), environment: Some("production".parse().unwrap()) };
    Request::new("core".parse().unwrap(), action)
}

fn unrestricted(criterion: &mut Criterion) {
    let everything = Permission::Full { environments: EnvironmentScope::All };
    let cases = [
        ("personal", Grant::Personal { user: "ada".parse().unwrap() }, Some(Membership::Member)),
        ("full", Grant::Team { team: "core".parse().unwrap(), permission: everything }, None),
    ];
    for (name, grant, membership) in cases {
        let (key, request) = (key(grant), call(0));
        criterion.bench_function(&format!("keygate/decide/{name}"), |bencher| {
            bencher.iter(|| assert!(decide(black_box(&key), membership, black_box(&request), NOW).is_allowed()));
        });
    }
}

fn restricted(criterion: &mut Criterion) {
    for size in [1, 10, 1_000, 100_000] {
        let key = key(caller_of(size));
        // One from the middle, and one that is not there.
        let (inside, outside) = (call(size.midpoint(0)), call(size));
        criterion.bench_function(&format!("keygate/decide/models/{size}/inside"), |bencher| {
            bencher.iter(|| assert!(decide(black_box(&key), None, black_box(&inside), NOW).is_allowed()));
        });
        criterion.bench_function(&format!("keygate/decide/models/{size}/outside"), |bencher| {
            bencher.iter(|| {
                let denial = decide(black_box(&key), None, black_box(&outside), NOW).into_result().unwrap_err();
                assert_eq!(denial.reason(), Reason::ModelNotInScope);
            });
        });
    }
}

/// The whole way of a request, without the look-up in a store.
fn from_text(criterion: &mut Criterion) {
    for size in [1, 100_000] {
        let issued = issue(caller_of(size));
        let record = Arc::new(issued.key.record().clone());
        let request = call(size.midpoint(0));
        criterion.bench_function(&format!("keygate/decide/from_text/{size}"), |bencher| {
            bencher.iter(|| {
                let presented = UnverifiedToken::parse(KG, black_box(issued.token.expose_secret())).unwrap();
                let key = verify(&presented, Some(record.clone()), NOW).unwrap();
                assert!(decide(&key, None, black_box(&request), NOW).is_allowed());
            });
        });
    }
}
