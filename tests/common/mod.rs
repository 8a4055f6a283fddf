//! What many tests need: a small world, its values made through the public API only.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use core::{fmt, str::FromStr};
use std::sync::Arc;

use keygate::{
    Action, Actor, Create, EnvironmentScope, Grant, Issued, Issuer, KeyRecord, MatchedKey, ModelScope, Permission,
    RecordParts, Request, Status, Token, UnixTime, UnverifiedToken, Validity, authorize_operation, verify,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub(crate) const KG: Issuer = Issuer::from_static("kg");

pub(crate) const fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

pub(crate) fn text<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// A generator that repeats itself: each seed has its own keys.
pub(crate) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

pub(crate) fn system() -> Actor<'static> {
    Actor::system("a test").unwrap()
}

pub(crate) fn personal(user: &str) -> Grant {
    Grant::Personal { user: text(user) }
}

pub(crate) fn team(team: &str, permission: Permission) -> Grant {
    Grant::Team { team: text(team), permission }
}

/// `all`, or names with spaces between them.
pub(crate) fn environments(list: &str) -> EnvironmentScope {
    match list {
        "all" => EnvironmentScope::All,
        list => EnvironmentScope::only(list.split(' ').map(text)).unwrap(),
    }
}

/// `all`, or ids with spaces between them.
pub(crate) fn models(list: &str) -> ModelScope {
    match list {
        "all" => ModelScope::All,
        list => ModelScope::only(list.split(' ').map(text)).unwrap(),
    }
}

pub(crate) fn full(in_environments: &str) -> Permission {
    Permission::Full { environments: environments(in_environments) }
}

pub(crate) fn inference(in_environments: &str, of_models: &str) -> Permission {
    Permission::InferenceOnly { environments: environments(in_environments), models: models(of_models) }
}

pub(crate) fn metrics(of_models: &str) -> Permission {
    Permission::MetricsOnly { models: models(of_models) }
}

pub(crate) fn call(model: &str, environment: Option<&str>) -> Action {
    Action::Call { model: text(model), environment: environment.map(text) }
}

pub(crate) fn export(model: Option<&str>) -> Action {
    Action::ExportMetrics { model: model.map(text) }
}

pub(crate) fn request(team: &str, action: Action) -> Request {
    Request::new(text(team), action)
}

/// A new key, created at 0 by the system; equal seeds give equal keys.
pub(crate) fn issue(grant: Grant, validity: Validity, seed: u8) -> Issued {
    let permit = authorize_operation(&system(), Create(grant), None, at(0)).unwrap();
    permit.issue(KG, text("a-key"), validity, &mut rng(seed), at(0)).unwrap()
}

/// What a store would hold after a change.
pub(crate) fn changed(record: &KeyRecord, change: impl FnOnce(&mut RecordParts)) -> Arc<KeyRecord> {
    let mut parts = RecordParts::from(record.clone());
    change(&mut parts);
    Arc::new(parts.try_into().unwrap())
}

/// Presents a token.
pub(crate) fn open(token: &Token, record: &Arc<KeyRecord>, now: UnixTime) -> MatchedKey {
    let presented = UnverifiedToken::parse(KG, token.expose_secret()).unwrap();
    verify(&presented, Some(record.clone()), now).unwrap()
}

/// A verified key in any state.
pub(crate) fn key(grant: Grant, validity: Validity, status: Status, seed: u8) -> MatchedKey {
    let issued = issue(grant, validity, seed);
    let record = changed(issued.key.record(), |parts| parts.status = status);
    open(&issued.token, &record, at(0))
}

/// The helpers are tested where they are used: here too, so that none of them is dead in a test that needs few.
#[test]
fn the_small_world_is_what_it_says() {
    let grants = [
        personal("ada"),
        team("core", full("production")),
        team("core", inference("all", "m1 m2")),
        team("core", metrics("all")),
    ];
    for (seed, grant) in (1..).zip(grants) {
        let key = key(grant.clone(), Validity::NEVER_EXPIRES, Status::Disabled, seed);
        assert_eq!((key.grant(), key.status()), (&grant, Status::Disabled));
    }
    assert_eq!(request("core", call("m1", Some("production"))).action.model(), Some(&text("m1")));
    assert_eq!(export(None).model(), None);
}
