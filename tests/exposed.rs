//! A token that was found somewhere ends its key, and nothing less than a token does.
#![cfg(feature = "memory")]
#![expect(clippy::string_slice, clippy::unwrap_used, reason = "these are tests")]

mod common;

use core::time::Duration;

use common::{KG, at, full, operator, personal, rng, team, text};
use keygate::{
    By, Create, Disable, Event, EventKind, Gate, Grant, KeyId, KeyKind, KeyManager, KeyStore, MemoryStore, Rotate,
    Rotation, Slot, Status, Token, UnixTime, Validity, may_manage,
};
use pollster::block_on;

const NOW: UnixTime = UnixTime::from_secs(150);

fn create(manager: &KeyManager<MemoryStore>, grant: Grant, validity: Validity, seed: u8) -> Token {
    let permit = may_manage(&operator(), Create(grant), None, at(0)).unwrap();
    let name = text(&format!("key-{seed}"));
    block_on(manager.create(permit, name, validity, &mut rng(seed), at(0))).unwrap().token
}

fn rotate(manager: &KeyManager<MemoryStore>, id: KeyId, seed: u8) -> Token {
    let record = block_on(manager.store().find(id)).unwrap().unwrap();
    let permit = may_manage(&operator(), Rotate(record), None, at(100)).unwrap();
    let start = Rotation::Start { overlap: Duration::from_secs(100) };
    block_on(manager.rotate(permit, start, &mut rng(seed), at(100))).unwrap().token
}

fn report(manager: &KeyManager<MemoryStore>, text: &str, now: UnixTime) -> Option<Event> {
    block_on(manager.revoke_exposed(Gate::new(KG), text, now)).unwrap()
}

fn status(manager: &KeyManager<MemoryStore>, id: KeyId) -> Status {
    block_on(manager.store().find(id)).unwrap().unwrap().status()
}

#[test]
fn either_live_secret_ends_the_key_whatever_its_state() {
    let manager = KeyManager::new(KG, MemoryStore::new());
    let user_key = create(&manager, personal("ada"), Validity::UNLIMITED, 1);
    let expired = create(&manager, team("core", full("all")), Validity::until(at(10)), 2);
    let disabled = create(&manager, team("core", full("all")), Validity::UNLIMITED, 3);
    let record = block_on(manager.store().find(disabled.id())).unwrap().unwrap();
    let permit = may_manage(&operator(), Disable(record), None, at(1)).unwrap();
    block_on(manager.disable(permit, at(1))).unwrap();
    let previous = create(&manager, personal("bob"), Validity::UNLIMITED, 4);
    rotate(&manager, previous.id(), 5);

    let cases = [
        (&user_key, Slot::Current),
        (&expired, Slot::Current),
        (&disabled, Slot::Current),
        (&previous, Slot::Previous),
    ];
    for (token, slot) in cases {
        let event = report(&manager, token.expose_secret(), NOW).unwrap();
        assert_eq!(event.by, By::Key { id: token.id(), slot });
        assert_eq!((event.key, event.kind), (Some(token.id()), EventKind::Revoked { first_at: NOW }));
        assert_eq!(status(&manager, token.id()), Status::Revoked { at: NOW });

        // Found again somewhere else: nothing changes, and it is told.
        let again = report(&manager, token.expose_secret(), at(160)).unwrap();
        assert_eq!((again.at, again.kind), (at(160), EventKind::Revoked { first_at: NOW }));
        assert_eq!(status(&manager, token.id()), Status::Revoked { at: NOW });
    }
}

#[test]
fn nothing_less_than_a_live_secret_ends_a_key() {
    let manager = KeyManager::new(KG, MemoryStore::new());
    let first = create(&manager, personal("ada"), Validity::UNLIMITED, 1);
    let id = first.id();
    rotate(&manager, id, 2);
    let own = first.expose_secret();
    let guessed = Token::generate_secret(KG, KeyKind::Personal, id, &mut rng(9)).unwrap();
    let other_kind = Token::generate_secret(KG, KeyKind::Team, id, &mut rng(9)).unwrap();
    let unknown = Token::generate(KG, KeyKind::Personal, &mut rng(9)).unwrap();
    let (public, spaced) = (first.public().to_string(), format!("{own} "));
    let texts = [guessed.expose_secret(), other_kind.expose_secret(), unknown.expose_secret(), id.as_str(), &public];
    for text in texts.into_iter().chain([&own[..own.len() - 1], &spaced, "", "Bearer"]) {
        assert_eq!(report(&manager, text, NOW), None);
    }
    // A previous secret whose end has come is a wrong one.
    assert_eq!(report(&manager, own, at(200)), None);
    assert_eq!(status(&manager, id), Status::Active);
    assert!(report(&manager, own, at(199)).is_some());
}
