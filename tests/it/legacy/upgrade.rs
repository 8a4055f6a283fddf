//! Upgrades: what is due, what is saved, and what happens meanwhile.

use super::*;
use keygate::{
    manage::{Rotate, Upgrade},
    store::{Answer, BoxedKeyManagementStore, KeyManagementStore, PreviousChange, RecordUpdate, Step},
};

fn upgrade(world: &World, key: &MatchedKey) -> Result<bool, Failed> {
    block_on(world.at(at(300)).keys.upgrade(key))
}

#[test]
fn an_upgrade_saves_the_digest_of_the_text_and_nothing_else() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let before = world.find(id);
    let key = world.open(&old, at(200)).unwrap();
    assert_eq!(world.find(id), before, "verification writes nothing");

    assert_eq!(upgrade(&world, &key), Ok(true));
    let event = world.store.events().pop().unwrap();
    assert_eq!((event.kind, event.key, event.at), (EventKind::Upgraded, Some(id), at(300)));
    assert!(matches!(event.by, Principal::Key { id: by, slot: SecretSlot::Current, .. } if by == id));
    let of_text = PREFIX_512.parse(&old).unwrap().legacy_key().digest();
    assert_eq!(world.find(id), changed(&before, |parts| parts.current = of_text));

    let again = world.open(&old, at(300)).unwrap();
    assert_eq!((again.slot(), again.algorithm()), (SecretSlot::Current, DigestAlgorithm::LegacyText));
    assert_eq!(world.call(&old, at(300)), Ok(()));
    assert_eq!(world.call(&format!("{}{}", &old[..9], &prefix_secret(2)[9..]), at(300)), Err(None));
    // Once, also for those who verified before.
    assert_eq!(upgrade(&world, &again), Ok(false));
    assert_eq!(upgrade(&world, &key), Ok(false));
    // Rotation goes on from there.
    let token = world.rotate(id, Rotation::Start { overlap: Duration::from_secs(100) }, at(400));
    assert_eq!(
        (world.slot(&old, at(499)), world.slot(&token, at(499))),
        (Some(SecretSlot::Previous), Some(SecretSlot::Current))
    );
    assert_eq!(world.slot(&old, at(500)), None);
}

#[test]
fn formats_without_handle_are_upgraded_too() {
    let world = World::new();
    let old = "old_live_4dUQ1mRkTz0bYcN8sWvLx2Hf";
    let hash = sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), old));
    let stored = formats::OPAQUE.stored(None, text(&hex(&hash))).unwrap();
    world.try_import(Import::new(stored, batch(), text("old"), Validity::NEVER_EXPIRES, at(0))).unwrap();
    let key = world.open(old, at(200)).unwrap();
    assert_eq!(key.algorithm(), DigestAlgorithm::LegacySha256);
    assert!(upgrade(&world, &key).unwrap());
    assert_eq!(world.open(old, at(200)).unwrap().algorithm(), DigestAlgorithm::LegacyText);
}

/// Rotation leaves no imported secret behind a previous one; where a record has both, the upgrade is of the current
/// alone.
#[test]
fn a_previous_secret_is_kept_as_it_is_in_the_store() {
    let world = World::new();
    let old = prefix_secret(1);
    let record = world.find(world.import(&old, "old", batch()));
    let previous =
        PreviousSecret { digest: text(&format!("v1${}", "5c".repeat(28))), ends_at: at(1000), last_used_at: None };
    let record = changed(&record, |parts| parts.previous = Some(previous));
    let key = verify_legacy(&PREFIX_512.parse(&old).unwrap(), KG, Some(Arc::clone(&record)), at(200)).unwrap();
    let change = Upgrade::due(&key, &rng(1), at(200)).unwrap().unwrap();
    assert_eq!(change.id(), key.id());
    let Step::Change { update, .. } = change.apply(Some(&record)) else { panic!("it is active") };
    let RecordUpdate::Secrets(secrets) = update else { panic!("{update:?}") };
    assert_eq!(secrets.previous, PreviousChange::Keep);
}

#[test]
fn where_no_upgrade_is_due() {
    let world = World::new();
    let due = |text: &str, now| Upgrade::due(&world.open(text, now).unwrap(), &rng(1), now).unwrap().is_some();
    // A token.
    assert!(!due(&world.issue("token", batch()), at(200)));
    // Imported by its text.
    let by_text = prefix_secret(1);
    let of_text = PREFIX_512.parse(&by_text).unwrap().legacy_key();
    world.try_import(Import::new(of_text, batch(), text("text"), Validity::NEVER_EXPIRES, at(50))).unwrap();
    assert!(!due(&by_text, at(200)));
    // Rotated: it is about to end anyway.
    let rotated = prefix_secret(2);
    let id = world.import(&rotated, "rotated", batch());
    assert!(due(&rotated, at(200)));
    world.rotate(id, Rotation::Start { overlap: Duration::from_secs(100) }, at(200));
    assert!(!due(&rotated, at(250)));
    // Not usable: disabled, revoked, out of its time.
    let unusable = prefix_secret(3);
    let id = world.import_valid(&unusable, "unusable", batch(), Validity::between(at(150), at(250)).unwrap());
    assert!(due(&unusable, at(249)) && !due(&unusable, at(149)) && !due(&unusable, at(250)));
    world.revoke(id, at(200));
    assert!(!due(&unusable, at(200)));
}

/// The first change stays: between verification and upgrade, something else happened.
#[test]
fn nothing_that_happened_meanwhile_is_lost() {
    let verified = |number: u8| {
        let world = World::new();
        let old = prefix_secret(number);
        let id = world.import(&old, "old", batch());
        let key = world.open(&old, at(200)).unwrap();
        (world, old, id, key)
    };

    // A rotation: the upgrade would have brought the old secret back as the current one.
    for rotation in [Rotation::Start { overlap: Duration::from_secs(100) }, Rotation::CutOver] {
        let (world, old, id, key) = verified(1);
        let token = world.rotate(id, rotation, at(210));
        let rotated = world.find(id);
        assert_eq!(upgrade(&world, &key), Ok(false));
        assert_eq!(world.find(id), rotated);
        assert_eq!(world.slot(&token, at(220)), Some(SecretSlot::Current));
        let expected = if rotation == Rotation::CutOver { None } else { Some(SecretSlot::Previous) };
        assert_eq!(world.slot(&old, at(220)), expected);
    }
    // A revocation.
    let (world, old, id, key) = verified(2);
    world.revoke(id, at(210));
    let revoked = world.find(id);
    assert_eq!(upgrade(&world, &key), Err(ManageError::Conflict(Conflict::Revoked)));
    assert_eq!(world.find(id), revoked);
    assert_eq!(world.call(&old, at(220)), Err(Some(Reason::Revoked)));
    // It was disabled.
    let (world, _, id, key) = verified(3);
    block_on(world.at(at(210)).keys.disable(&system(), id)).unwrap();
    assert_eq!(upgrade(&world, &key), Err(ManageError::Conflict(Conflict::Disabled)));
    // The other way round: a rotation that was planned before the upgrade is told to look again.
    let (world, old, id, key) = verified(4);
    let actor = root();
    let permit = authorize_operation(KG, Acting::System(&actor), Rotate(world.find(id)), None, at(210)).unwrap();
    let planned = permit.rotate(KG, Rotation::CutOver, &RULES, &rng(9), at(220)).unwrap().change;
    assert!(upgrade(&world, &key).unwrap());
    assert_eq!(block_on(world.store.change(planned)), Ok(Answer::Refused(Conflict::Changed)));
    assert_eq!(world.slot(&old, at(220)), Some(SecretSlot::Current));
}

/// What outlives a request does not break off because somebody upgraded its key.
#[test]
fn a_stream_goes_on_after_an_upgrade() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let verdict = world.check(&old, call("m1", None), at(200));
    let Verdict::Allowed(authorization) = verdict else { panic!("{verdict:?}") };
    let again = |now| {
        let verdict = block_on(world.at(now).gate.check_again(&authorization)).unwrap();
        matches!(verdict, Verdict::Allowed(_))
    };
    assert!(again(at(201)));
    assert!(upgrade(&world, authorization.key().matched()).unwrap());
    assert!(again(at(202)));
    world.rotate(id, Rotation::Start { overlap: Duration::from_secs(100) }, at(300));
    assert!(again(at(399)) && !again(at(400)));
}

/// Many at once, on a store without its type: one saves, nobody fails, and the key opens throughout.
#[test]
fn many_upgrade_at_once() {
    let inner = MemoryStore::new();
    let store = BoxedKeyManagementStore::new(inner.clone());
    let manager = KeyManager::with_parts(KG, store.clone(), || at(200), rng(1));
    let gate = Gate::with_clock(KG, store.clone(), || at(200)).with_legacy(&ALL);
    let old = prefix_secret(1);
    let id = block_on(manager.import(&root(), row(&old, "old", batch()))).unwrap();
    let saved: usize = std::thread::scope(|scope| {
        let upgrade = || {
            let key = block_on(gate.authenticate(&old)).unwrap();
            usize::from(block_on(manager.upgrade(key.matched())).unwrap())
        };
        let running: Vec<_> = (0..8).map(|_| scope.spawn(upgrade)).collect();
        running.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(saved, 1);
    assert_eq!(inner.events().len(), 2, "the import, and one upgrade");
    assert_eq!(block_on(store.find(id)).unwrap().unwrap().current().algorithm(), DigestAlgorithm::LegacyText);
    block_on(manager.revoke(&system(), id, RevocationCause::Replaced)).unwrap();
}
