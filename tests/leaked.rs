//! A token that was found somewhere ends its key, and nothing less than a token does.
#![cfg(all(feature = "cache", feature = "memory"))]
#![expect(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used, reason = "these are tests")]

mod common;

use core::{convert::Infallible, time::Duration};
use std::{sync::Arc, time::Instant};

use common::{KG, at, full, personal, rng, system, team, text};
use keygate::{
    CachedStore, Changed, Create, Disable, Event, EventKind, Gate, Grant, KeyId, KeyKind, KeyManagementStore,
    KeyManager, KeyName, KeyRecord, KeyStore, ListBy, ManageError, MemoryStore, NewKey, Owner, Page, PageRequest,
    Principal, Rotate, Rotation, Run, SecretChange, SecretSlot, Status, Token, UnixTime, Validity, authorize_operation,
};
use pollster::block_on;

const NOW: UnixTime = UnixTime::from_secs(150);
const HOUR: Duration = Duration::from_secs(3600);

fn create(manager: &KeyManager<MemoryStore>, grant: Grant, validity: Validity, seed: u8) -> Token {
    let permit = authorize_operation(&system(), Create(grant), None, at(0)).unwrap();
    let name = text(&format!("key-{seed}"));
    block_on(manager.create(permit, name, validity, &mut rng(seed), at(0))).unwrap().token
}

fn rotate(manager: &KeyManager<MemoryStore>, id: KeyId, seed: u8) -> Token {
    let record = block_on(manager.store().find(id)).unwrap().unwrap();
    let permit = authorize_operation(&system(), Rotate(record), None, at(100)).unwrap();
    let start = Rotation::Start { overlap: Duration::from_secs(100) };
    block_on(manager.rotate(permit, start, &mut rng(seed), at(100))).unwrap().token
}

fn report<S: KeyManagementStore>(manager: &KeyManager<S>, texts: &[&str], now: UnixTime) -> Vec<Event> {
    block_on(manager.revoke_leaked(Gate::new(KG), texts.iter().copied(), now)).into_iter().map(Result::unwrap).collect()
}

fn status<S: KeyManagementStore>(manager: &KeyManager<S>, id: KeyId) -> Status {
    block_on(manager.store().find(id)).unwrap().unwrap().status()
}

#[test]
fn either_live_secret_ends_the_key_whatever_its_state() {
    let manager = KeyManager::new(KG, MemoryStore::new());
    let user_key = create(&manager, personal("ada"), Validity::NEVER_EXPIRES, 1);
    let expired = create(&manager, team("core", full("all")), Validity::until(at(10)), 2);
    let disabled = create(&manager, team("core", full("all")), Validity::NEVER_EXPIRES, 3);
    let record = block_on(manager.store().find(disabled.id())).unwrap().unwrap();
    let permit = authorize_operation(&system(), Disable(record), None, at(1)).unwrap();
    block_on(manager.disable(permit, at(1))).unwrap();
    let previous = create(&manager, personal("bob"), Validity::NEVER_EXPIRES, 4);
    rotate(&manager, previous.id(), 5);

    let cases = [
        (&user_key, SecretSlot::Current),
        (&expired, SecretSlot::Current),
        (&disabled, SecretSlot::Current),
        (&previous, SecretSlot::Previous),
    ];
    for (token, slot) in cases {
        let events = report(&manager, &[token.expose_secret(); 3], NOW);
        let [event] = events.try_into().unwrap();
        assert_eq!(event.by, Principal::Key { id: token.id(), slot });
        assert_eq!((event.key, event.kind), (Some(token.id()), EventKind::Revoked { first_at: NOW }));
        assert_eq!(status(&manager, token.id()), Status::Revoked { at: NOW });

        // Found again somewhere else: nothing changes, and there is nothing to tell.
        assert_eq!(report(&manager, &[token.expose_secret()], at(160)), []);
        assert_eq!(status(&manager, token.id()), Status::Revoked { at: NOW });
    }
}

#[test]
fn nothing_less_than_a_live_secret_ends_a_key() {
    let manager = KeyManager::new(KG, MemoryStore::new());
    let first = create(&manager, personal("ada"), Validity::NEVER_EXPIRES, 1);
    let id = first.id();
    rotate(&manager, id, 2);
    let own = first.expose_secret();
    let guessed = Token::generate_secret(KG, KeyKind::Personal, id, &mut rng(9)).unwrap();
    let other_kind = Token::generate_secret(KG, KeyKind::Team, id, &mut rng(9)).unwrap();
    let unknown = Token::generate(KG, KeyKind::Personal, &mut rng(9)).unwrap();
    let (public, spaced) = (first.public().to_string(), format!("{own} "));
    let texts = [guessed.expose_secret(), other_kind.expose_secret(), unknown.expose_secret(), id.as_str(), &public];
    for text in texts.into_iter().chain([&own[..own.len() - 1], &spaced, "", "Bearer"]) {
        assert_eq!(report(&manager, &[text], NOW), []);
    }
    // A previous secret whose end has come is a wrong one.
    assert_eq!(report(&manager, &[own], at(200)), []);
    assert_eq!(status(&manager, id), Status::Active);
    // Among others of the same id, the right one counts.
    assert_eq!(report(&manager, &[guessed.expose_secret(), &public, own], at(199)).len(), 1);
}

/// What another process changed counts, whatever a cache remembers: the new secret ends the key, and the one that was cut
/// over does not.
#[test]
fn no_cache_is_believed() {
    let shared = Arc::new(MemoryStore::new());
    let here = KeyManager::new(KG, CachedStore::new(Arc::clone(&shared), HOUR, 10, 10, Instant::now));
    let elsewhere = KeyManager::new(KG, Arc::clone(&shared));
    let permit = authorize_operation(&system(), Create(personal("ada")), None, at(0)).unwrap();
    let old =
        block_on(elsewhere.create(permit, text("laptop"), Validity::NEVER_EXPIRES, &mut rng(1), at(0))).unwrap().token;
    let record = block_on(here.store().find(old.id())).unwrap().unwrap();
    let permit = authorize_operation(&system(), Rotate(record), None, at(100)).unwrap();
    let new = block_on(elsewhere.rotate(permit, Rotation::CutOver, &mut rng(2), at(100))).unwrap().token;

    assert_eq!(block_on(here.store().find(old.id())).unwrap().unwrap().current(), old.digest(), "the cache is behind");
    // Neither the cache nor what stands before it.
    let exposed = |text| {
        let (arc, lent) = (Arc::new(here.store()), &here.store());
        [
            block_on(Gate::new(KG).authorize_leak_revocation(here.store(), text, NOW)).unwrap().is_some(),
            block_on(Gate::new(KG).authorize_leak_revocation(&arc, text, NOW)).unwrap().is_some(),
            block_on(Gate::new(KG).authorize_leak_revocation(lent, text, NOW)).unwrap().is_some(),
        ]
    };
    assert_eq!(exposed(old.expose_secret()), [false; 3]);
    assert_eq!(exposed(new.expose_secret()), [true; 3]);
    assert_eq!(block_on(here.store().find(old.id())).unwrap().unwrap().current(), old.digest(), "it is behind still");
    assert_eq!(report(&here, &[old.expose_secret()], NOW), []);
    assert_eq!(block_on(shared.find(old.id())).unwrap().unwrap().status(), Status::Active);
    block_on(here.store().find(old.id())).unwrap();
    assert_eq!(report(&here, &[new.expose_secret()], NOW).len(), 1);
    assert!(matches!(block_on(shared.find(old.id())).unwrap().unwrap().status(), Status::Revoked { .. }));
    assert!(
        block_on(Gate::new(KG).authorize_leak_revocation(here.store(), old.expose_secret(), NOW)).unwrap().is_none()
    );
}

/// What failed is told for each key, and ends nothing else.
#[test]
fn a_failed_look_up_is_told_and_the_others_go_on() {
    let manager = KeyManager::new(KG, Flaky(MemoryStore::new()));
    let create = |seed: u8| {
        let permit = authorize_operation(&system(), Create(personal("ada")), None, at(0)).unwrap();
        let name = text(&format!("key-{seed}"));
        block_on(manager.create(permit, name, Validity::NEVER_EXPIRES, &mut rng(seed), at(0))).unwrap().token
    };
    let tokens: Vec<_> = (1..=20).map(create).collect();
    let texts = tokens.iter().map(Token::expose_secret);
    let results = block_on(manager.revoke_leaked(Gate::new(KG), texts.collect::<Vec<_>>(), NOW));
    assert_eq!(results.len(), tokens.len());
    for token in &tokens {
        let is_down = Flaky::is_down(token.id());
        assert_eq!(status(&manager, token.id()) == Status::Active, is_down);
        let is_told = |result: &Result<Event, _>| result.as_ref().is_ok_and(|event| event.key == Some(token.id()));
        assert_eq!(results.iter().any(is_told), !is_down);
    }
    let failed = results.iter().filter(|result| matches!(result, Err(ManageError::Store(Down)))).count();
    assert!((1..tokens.len()).contains(&failed), "{failed}");
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
        Ok(sure(self.0.find(id).await))
    }

    async fn find_current(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Down> {
        if Self::is_down(id) { Err(Down) } else { self.find(id).await }
    }
}

macro_rules! delegate {
    ($($operation:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl KeyManagementStore for Flaky {
            $(async fn $operation(&self, $($argument: $type),*) -> Result<$answer, Down> {
                Ok(sure(self.0.$operation($($argument),*).await))
            })*
        }
    };
}

delegate! {
    insert(new: NewKey) -> Changed;
    rename(id: KeyId, name: KeyName) -> Changed;
    disable(id: KeyId) -> Changed;
    enable(id: KeyId) -> Changed;
    revoke(id: KeyId, now: UnixTime) -> Changed<UnixTime>;
    rotate(change: SecretChange) -> Changed;
    end_overlap(id: KeyId) -> Changed;
    touch(id: KeyId, used_at: UnixTime, now: UnixTime) -> ();
    list(by: ListBy, page: PageRequest) -> Page;
    revoke_all(owner: Owner, now: UnixTime, run: Run) -> Vec<KeyId>;
}

fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
