//! A token that was found somewhere ends its key, and nothing less than a token does.

use core::{convert::Infallible, time::Duration};
use std::sync::Arc;

use keygate::{
    AuthenticateError, CachedStore, Done, Gate, Grant, Issuer, KeyId, KeyKind, KeyManager, KeyRecord, ManageError,
    MemoryStore, NewKeySpec, RevocationCause, Rotation, Status, Token, Unauthenticated, Validity,
    audit::{Event, EventKind, Principal},
    store::{
        Answer, Batch, Conflict, KeyChange, KeyManagementStore, KeyStore, KeysOf, ListQuery, Logged, NewKey, Page,
        RevokeAll, SecretSlot, Touch,
    },
};
use pollster::block_on;

use crate::common::{
    KG, at, full, personal, rng, system, team, text,
    world::{Told, World},
};

const HOUR: Duration = Duration::from_secs(3600);

/// A service at 150, with ada and bob as users.
fn world() -> World {
    let world = World::new();
    world.directory.provision(text("ada"));
    world.directory.provision(text("bob"));
    world.clock.set(150);
    world
}

fn create(world: &World, name: &str, grant: Grant) -> Token {
    world.create(name, grant, Validity::NEVER_EXPIRES).token
}

fn rotate(world: &World, id: KeyId) -> Token {
    let start = Rotation::Start { overlap: Duration::from_secs(50) };
    block_on(world.keys.rotate(&system(), id, start)).unwrap().token
}

/// Reports texts, and returns the keys that they ended and the events of that.
fn report(world: &World, texts: &[&str]) -> (Vec<KeyId>, Vec<Event>) {
    let before = world.store.events().len();
    let results = block_on(world.keys.revoke_leaked(texts.iter().copied()));
    let ended = results.into_iter().map(Result::unwrap).collect();
    (ended, world.store.events().split_off(before))
}

fn status(store: &impl KeyStore, id: KeyId) -> Status {
    block_on(store.find(id)).unwrap().unwrap().status()
}

#[test]
fn either_live_secret_ends_the_key_whatever_its_state() {
    let world = world();
    let user_key = create(&world, "key", personal("ada"));
    let expired = world.create("expired", team("core", full("all")), Validity::until(at(151))).token;
    let disabled = create(&world, "disabled", team("core", full("all")));
    block_on(world.keys.disable(&system(), disabled.id())).unwrap();
    let previous = create(&world, "key", personal("bob"));
    rotate(&world, previous.id());
    world.clock.set(160);

    let cases = [
        (&user_key, SecretSlot::Current, Some("ada")),
        (&expired, SecretSlot::Current, None),
        (&disabled, SecretSlot::Current, None),
        (&previous, SecretSlot::Previous, Some("bob")),
    ];
    for (token, expected_slot, expected_user) in cases {
        let revoked = Status::Revoked { at: world.clock.now(), cause: RevocationCause::Leaked };
        let (ended, events) = report(&world, &[token.expose_secret(); 3]);
        assert_eq!(ended, [token.id()]);
        let [event] = <[Event; 1]>::try_from(events).unwrap();
        let Principal::Key { id, slot, user, .. } = &event.by else { panic!("{event:?}") };
        assert_eq!((*id, *slot, user), (token.id(), expected_slot, &expected_user.map(text)));
        assert_eq!(event.key, Some(token.id()));
        assert!(matches!(event.kind, EventKind::Revoked { cause: RevocationCause::Leaked, .. }));
        assert_eq!(status(&world.store, token.id()), revoked);

        // Found again somewhere else: nothing changes, and there is nothing to tell.
        world.clock.advance(1);
        assert_eq!(report(&world, &[token.expose_secret()]), (vec![], vec![]));
        assert_eq!(status(&world.store, token.id()), revoked);
    }
    assert!(world.told.take().is_empty(), "nothing was refused");
}

#[test]
fn nothing_less_than_a_live_secret_ends_a_key() {
    let world = world();
    let first = create(&world, "key", personal("ada"));
    let id = first.id();
    rotate(&world, id);
    let own = first.expose_secret();
    let guessed = Token::generate_secret(KG, KeyKind::Personal, id, &rng(9)).unwrap();
    let other_kind = Token::generate_secret(KG, KeyKind::Team, id, &rng(9)).unwrap();
    let unknown = Token::generate(KG, KeyKind::Personal, &rng(9)).unwrap();
    let (public, spaced) = (first.public().to_string(), format!("{own} "));
    let texts = [guessed.expose_secret(), other_kind.expose_secret(), unknown.expose_secret(), id.as_str(), &public];
    for text in texts.into_iter().chain([&own[..own.len() - 1], &spaced, "", "Bearer"]) {
        assert_eq!(report(&world, &[text]), (vec![], vec![]));
    }
    // A previous secret whose end has come is a wrong one.
    world.clock.set(200);
    assert_eq!(report(&world, &[own]), (vec![], vec![]));
    assert_eq!(status(&world.store, id), Status::Active);
    // Among others of the same id, the right one counts.
    world.clock.set(199);
    assert_eq!(report(&world, &[guessed.expose_secret(), &public, own]).0, [id]);
}

/// A prefix that a service had is still its own.
#[test]
fn tokens_of_former_issuers_end_their_keys_where_they_are_known() {
    static FORMER: [Issuer; 1] = [KG];
    let world = world();
    let token = create(&world, "key", team("core", full("all")));
    let acme = || KeyManager::with_parts(Issuer::from_static("acme"), world.store.clone(), || at(150), rng(9));
    assert_eq!(block_on(acme().revoke_leaked([token.expose_secret()])), []);
    assert_eq!(status(&world.store, token.id()), Status::Active);
    let ended = block_on(acme().with_issuers(&FORMER).revoke_leaked([token.expose_secret()]));
    assert_eq!(ended, [Ok(token.id())]);
    assert!(matches!(status(&world.store, token.id()), Status::Revoked { .. }));
}

/// What another process changed counts, whatever a cache remembers: the new secret ends the key, and the one that was
/// cut over does not.
#[test]
fn no_cache_is_believed() {
    let elsewhere = world();
    let cache = CachedStore::new(elsewhere.store.clone(), HOUR);
    let here = KeyManager::with_parts(KG, cache.write_through(), || at(150), rng(8));
    let gate = Gate::with_clock(KG, cache.clone(), || at(150));
    let old = create(&elsewhere, "key", team("core", full("all")));
    assert!(block_on(gate.authenticate(old.expose_secret())).is_ok(), "the cache has it now");
    let new = block_on(elsewhere.keys.rotate(&system(), old.id(), Rotation::CutOver)).unwrap().token;
    assert!(block_on(gate.authenticate(old.expose_secret())).is_ok(), "the cache is behind");

    let report = |token: &Token| block_on(here.revoke_leaked([token.expose_secret()]));
    assert_eq!(report(&old), []);
    assert_eq!(status(&elsewhere.store, old.id()), Status::Active);
    assert_eq!(report(&new), [Ok(old.id())]);
    assert!(matches!(status(&elsewhere.store, old.id()), Status::Revoked { .. }));
    // And what was ended is forgotten.
    let error = block_on(gate.authenticate(old.expose_secret())).unwrap_err();
    let is_stranger = |error: &_| matches!(error, AuthenticateError::Unauthenticated(Unauthenticated::InvalidKey { claimed, .. }) if *claimed == old.id());
    assert!(is_stranger(&error), "{error:?}");
}

/// What failed is told for each key, and ends nothing else.
#[test]
fn a_failed_look_up_is_told_and_the_others_go_on() {
    let inner = world();
    let manager =
        KeyManager::with_parts(KG, Flaky(inner.store.clone()), || at(150), rng(7)).with_sink(inner.told.clone());
    let tokens: Vec<_> =
        (1..=20).map(|place| create(&inner, &format!("key-{place}"), team("core", full("all")))).collect();
    let results = block_on(manager.revoke_leaked(tokens.iter().map(Token::expose_secret).collect::<Vec<_>>()));
    assert_eq!(results.len(), tokens.len());
    for token in &tokens {
        let is_down = Flaky::is_down(token.id());
        assert_eq!(status(&inner.store, token.id()) == Status::Active, is_down);
        assert_eq!(results.contains(&Ok(token.id())), !is_down);
    }
    let failed = results.iter().filter(|result| **result == Err(ManageError::Store(Down))).count();
    assert!((1..tokens.len()).contains(&failed), "{failed}");
    let told = inner.told.take();
    assert!(told.iter().all(|told| matches!(told, Told::Failed(_))) && told.len() == failed, "{told:?}");
}

/// A store that cannot look up some ids.
struct Flaky(MemoryStore);

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("down")]
struct Down;

impl Flaky {
    fn is_down(id: KeyId) -> bool {
        id.as_str().as_bytes()[0] % 2 == 0
    }
}

impl KeyStore for Flaky {
    type Error = Down;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Down> {
        if Self::is_down(id) { Err(Down) } else { Ok(sure(self.0.find(id).await)) }
    }
}

impl KeyManagementStore for Flaky {
    type Receipt = Logged;

    async fn insert(&self, new: NewKey) -> Result<Result<Logged, Conflict>, Down> {
        Ok(sure(self.0.insert(new).await))
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<Logged>, Down> {
        Ok(sure(self.0.change(change).await))
    }

    async fn touch(&self, touches: Vec<Touch>, now: keygate::UnixTime) -> Result<(), Down> {
        sure(self.0.touch(touches, now).await);
        Ok(())
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, Down> {
        Ok(sure(self.0.list(keys_of, query).await))
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<Logged>, Down> {
        Ok(sure(self.0.revoke_all(revoke).await))
    }
}

fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// What is told of a key that ended meanwhile is what the store says: no second event.
#[test]
fn two_reports_at_once_end_a_key_once() {
    let world = world();
    let token = create(&world, "key", team("core", full("all")));
    let before = world.store.events().len();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| block_on(world.keys.revoke_leaked([token.expose_secret()])));
        }
    });
    assert_eq!(world.store.events().len(), before + 1);
    let again = block_on(world.keys.revoke(&system(), token.id(), RevocationCause::Requested)).unwrap();
    assert!(matches!(again, Done::Unchanged(record) if record.is_revoked()));
    // A name of it is free again.
    let spec = NewKeySpec::new(team("core", full("all")), text("key"), Validity::NEVER_EXPIRES);
    assert!(block_on(world.keys.create(&system(), spec)).is_ok());
}
