//! Deciding: a table and a look-up in each scope, whose cost must not grow with the number of members.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is not run")]

use core::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use keygate::{
    Action, EnvironmentScope, Grant, Membership, ModelId, ModelScope, Permission, Reason, Request, ResourceScope,
    TeamRole,
    policy::decide,
    verify::{MatchedKey, UnverifiedToken, verify},
};

#[path = "support/mod.rs"]
mod support;

use support::{KG, NOW, mint};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    unrestricted(&mut criterion);
    restricted(&mut criterion);
    custom(&mut criterion);
    from_text(&mut criterion);
    criterion.final_summary();
}

fn key(grant: Grant) -> MatchedKey {
    let issued = mint(grant);
    let presented = UnverifiedToken::parse(KG, issued.token.expose_secret()).unwrap();
    verify(&presented, Some(Arc::new(issued.key.record().clone())), NOW).unwrap()
}

fn model(number: u32) -> ModelId {
    format!("model-{number:06}").parse().unwrap()
}

/// A key that may call `size` models in production and staging.
fn caller_of(size: u32) -> Grant {
    let environments = ["production", "staging"].map(|name| name.parse().unwrap());
    Grant::team(
        "core".parse().unwrap(),
        Permission::inference_only(
            EnvironmentScope::only(environments).unwrap(),
            ModelScope::only((0..size).map(model)).unwrap(),
        ),
    )
}

fn call(number: u32) -> Request {
    let action = Action::call(model(number), Some("production".parse().unwrap()));
    Request::new("core".parse().unwrap(), action)
}

fn unrestricted(criterion: &mut Criterion) {
    let everything = Permission::full(EnvironmentScope::All);
    let cases = [
        ("personal", Grant::personal("ada".parse().unwrap()), Some(Membership::from(TeamRole::Member))),
        ("full", Grant::team("core".parse().unwrap(), everything), None),
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
        let (inside, outside) = (call(u32::midpoint(size, 0)), call(size));
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

/// A list of actions instead of a level, with the same restrictions.
fn custom(criterion: &mut Criterion) {
    for size in [1, 10, 1_000] {
        let resources = (0..size).map(|number| format!("model-{number:06}").parse().unwrap());
        let permission = Permission::custom(
            ["call".parse().unwrap()],
            EnvironmentScope::only(["production", "staging"].map(|name| name.parse().unwrap())).unwrap(),
            ResourceScope::only(resources).unwrap(),
        );
        let key = key(Grant::team("core".parse().unwrap(), permission.unwrap()));
        let request = call(u32::midpoint(size, 0));
        criterion.bench_function(&format!("keygate/decide/custom/{size}"), |bencher| {
            bencher.iter(|| assert!(decide(black_box(&key), None, black_box(&request), NOW).is_allowed()));
        });
    }
}

/// The whole way of a request, without the look-up in a store.
fn from_text(criterion: &mut Criterion) {
    for size in [1, 100_000] {
        let issued = mint(caller_of(size));
        let record = Arc::new(issued.key.record().clone());
        let request = call(u32::midpoint(size, 0));
        criterion.bench_function(&format!("keygate/decide/from_text/{size}"), |bencher| {
            bencher.iter(|| {
                let presented = UnverifiedToken::parse(KG, black_box(issued.token.expose_secret())).unwrap();
                let key = verify(&presented, Some(record.clone()), NOW).unwrap();
                assert!(decide(&key, None, black_box(&request), NOW).is_allowed());
            });
        });
    }
}
