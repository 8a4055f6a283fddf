//! What many tests need: a small world, its values made through the public API only.

use core::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicI64, Ordering},
};
use std::sync::{Arc, Mutex};

use keygate::{
    Action, Actor, EnvironmentScope, Grant, Issuer, KeyKind, KeyRecord, Labels, ModelScope, OwnActions, Permission,
    Randomness, RandomnessError, Request, ResourceScope, Status, System, Token, UnixTime, Validity,
    manage::{Acting, Create, MintRules, Minted, authorize_operation},
    store::RecordParts,
    verify::{MatchedKey, UnverifiedToken, verify},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

#[cfg(feature = "memory")]
pub(crate) mod world;

pub(crate) const KG: Issuer = Issuer::from_static("kg");

pub(crate) const fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

pub(crate) fn text<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// A clock that a test sets; clones show the same time.
#[derive(Clone, Debug)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn new(seconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(seconds)))
    }

    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> UnixTime {
        at(self.0.load(Ordering::SeqCst))
    }

    /// The clock as a gate and a manager take it.
    pub(crate) fn reader(&self) -> impl Fn() -> UnixTime + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }
}

/// A generator that repeats itself.
#[derive(Debug)]
pub(crate) struct Seeded(Mutex<ChaCha20Rng>);

impl Seeded {
    pub(crate) fn from_seed(seed: [u8; 32]) -> Self {
        Self(Mutex::new(ChaCha20Rng::from_seed(seed)))
    }
}

impl Randomness for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        self.0.lock().unwrap().fill_bytes(bytes);
        Ok(())
    }
}

/// A generator that repeats itself: each seed has its own keys.
pub(crate) fn rng(seed: u8) -> Seeded {
    Seeded::from_seed([seed; 32])
}

/// The service itself, as an actor.
pub(crate) fn system() -> Actor {
    root().into()
}

/// The service itself, as the pure core and the operations of the system alone take it.
pub(crate) fn root() -> System {
    System::new("a test").unwrap()
}

/// What may be minted in tests: everything that has a name.
pub(crate) const RULES: MintRules = MintRules::new().with_own_actions(OwnActions::EVERY_ORDINARY);

pub(crate) fn personal(user: &str) -> Grant {
    Grant::personal(text(user))
}

pub(crate) fn team(team: &str, permission: Permission) -> Grant {
    Grant::team(text(team), permission)
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

/// `all`, or ids with spaces between them.
pub(crate) fn resources(list: &str) -> ResourceScope {
    match list {
        "all" => ResourceScope::All,
        list => ResourceScope::only(list.split(' ').map(text)).unwrap(),
    }
}

/// A custom permission; the actions have spaces between them.
pub(crate) fn custom(actions: &str, in_environments: &str, on_resources: &str) -> Permission {
    let actions = actions.split(' ').map(text).collect::<Vec<_>>();
    Permission::custom(actions, environments(in_environments), resources(on_resources)).unwrap()
}

pub(crate) fn full(in_environments: &str) -> Permission {
    Permission::full(environments(in_environments))
}

pub(crate) fn inference(in_environments: &str, of_models: &str) -> Permission {
    Permission::inference_only(environments(in_environments), models(of_models))
}

pub(crate) fn metrics(of_models: &str) -> Permission {
    Permission::metrics_only(models(of_models))
}

pub(crate) fn call(model: &str, environment: Option<&str>) -> Action {
    Action::call(text(model), environment.map(text))
}

pub(crate) fn export(model: Option<&str>) -> Action {
    Action::export_metrics(model.map(text))
}

pub(crate) fn request(team: &str, action: Action) -> Request {
    Request::new(text(team), action)
}

/// An own action, ordinary.
pub(crate) fn own(name: &str, environment: Option<&str>, resource: Option<&str>) -> Action {
    let action = OwnActions::EVERY_ORDINARY.find(&text(name)).unwrap();
    Action::custom(action, environment.map(text), resource.map(text))
}

/// A new key, created at 0 by the system; equal seeds give equal keys.
pub(crate) fn issue(grant: Grant, validity: Validity, seed: u8) -> Minted {
    let permit = authorize_operation(KG, Acting::System(&root()), Create { grant, validity }, None, at(0)).unwrap();
    permit.issue(KG, (text("a-key"), Labels::NONE), &RULES, &rng(seed), at(0)).unwrap()
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

/// A matched key in any state, whether it could be minted or not.
pub(crate) fn key(grant: Grant, validity: Validity, status: Status, seed: u8) -> MatchedKey {
    let mintable = match grant.kind() {
        KeyKind::Personal => grant.clone(),
        KeyKind::Team => team("core", full("all")),
    };
    let minted = issue(mintable, Validity::NEVER_EXPIRES, seed);
    let record = changed(minted.key.record(), |parts| {
        parts.grant = grant;
        (parts.not_before, parts.expires_at) = (validity.not_before(), validity.expires_at());
        parts.status = status;
    });
    open(&minted.token, &record, at(0))
}

/// The helpers are tested where they are used: here too, so that none of them is dead in a test that needs few.
#[test]
fn the_small_world_is_what_it_says() {
    let grants = [
        personal("ada"),
        team("core", full("production")),
        team("core", inference("all", "m1 m2")),
        team("core", metrics("all")),
        team("core", custom("call projects:read", "all", "r1 r2")),
    ];
    for (seed, grant) in (1..).zip(grants) {
        let key = key(grant.clone(), Validity::NEVER_EXPIRES, Status::Disabled, seed);
        assert_eq!((key.grant(), key.status()), (&grant, Status::Disabled));
    }
    assert_eq!(request("core", call("m1", Some("production"))).action.model(), Some(&text("m1")));
    assert_eq!(export(None).model(), None);
    assert_eq!(own("projects:read", None, Some("r1")).resource(), Some(&text("r1")));
    assert_eq!(system().principal(), Actor::from(root()).principal());

    let clock = TestClock::new(1);
    let read = clock.reader();
    clock.set(5);
    clock.advance(2);
    assert_eq!((clock.now(), read()), (at(7), at(7)));
}
