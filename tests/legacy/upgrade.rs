//! Upgrades: what is due, what is saved, and what happens meanwhile.

use super::*;
use keygate::{BoxedKeyManagementStore, KeyManagementStore, Upgrade};

fn upgrade(world: &World, key: &MatchedKey) -> Result<Option<keygate::Event>, ManageError<core::convert::Infallible>> {
    block_on(world.manager.upgrade(key, at(300)))
}

#[test]
fn an_upgrade_saves_the_digest_of_the_text_and_nothing_else() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let before = world.find(id);
    let key = world.open(&old, at(200)).unwrap();
    assert_eq!(world.find(id), before, "to verify writes nothing");

    let event = upgrade(&world, &key).unwrap().unwrap();
    assert_eq!((event.kind, event.key), (EventKind::Upgraded, Some(id)));
    assert_eq!(event.by, Principal::Key { id, slot: SecretSlot::Current });
    let of_text = PREFIX_512.parse(&old).unwrap().legacy_key().digest();
    assert_eq!(world.find(id), changed(&before, |parts| parts.current = of_text));

    let again = world.open(&old, at(300)).unwrap();
    assert_eq!((again.slot(), again.algorithm()), (SecretSlot::Current, DigestAlgorithm::LegacyText));
    assert_eq!(world.call(&old, at(300)), Ok(()));
    assert_eq!(world.call(&format!("{}{}", &old[..9], &prefix_secret(2)[9..]), at(300)), Err(None));
    // Once, also for those who verified before.
    assert_eq!(upgrade(&world, &again), Ok(None));
    assert_eq!(upgrade(&world, &key), Ok(None));
    // Rotation goes on from there.
    let token = world.rotate(id, Rotation::Start { overlap: Duration::from_secs(100) }, 1, at(400));
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
    let legacy_key = formats::OPAQUE.stored(None, text(&hex(&hash))).unwrap();
    let import = Import { legacy_key, name: text("old"), validity: Validity::NEVER_EXPIRES, created_at: at(0) };
    world.try_import(import, batch()).unwrap();
    let key = world.open(old, at(200)).unwrap();
    assert_eq!(key.algorithm(), DigestAlgorithm::LegacySha256);
    assert!(upgrade(&world, &key).unwrap().is_some());
    assert_eq!(world.open(old, at(200)).unwrap().algorithm(), DigestAlgorithm::LegacyText);
}

/// Rotation leaves no imported secret behind a previous one; where a record has both, the upgrade is of the current alone.
#[test]
fn a_previous_secret_is_kept_as_it_is_in_the_store() {
    let world = World::new();
    let old = prefix_secret(1);
    let record = world.find(world.import(&old, "old", batch()));
    let previous = PreviousSecret { digest: text(&format!("v1${}", "5c".repeat(28))), ends_at: at(1000) };
    let record = changed(&record, |parts| parts.previous = Some(previous));
    let key = verify_legacy(&PREFIX_512.parse(&old).unwrap(), Some(record), at(200)).unwrap();
    let change = Upgrade::of(&key, at(200)).unwrap().change;
    assert_eq!((change.id(), change.previous()), (key.id(), keygate::PreviousChange::Keep));
}

#[test]
fn where_no_upgrade_is_due() {
    let world = World::new();
    let due = |text: &str, now| Upgrade::of(&world.open(text, now).unwrap(), now).is_some();
    // A token.
    assert!(!due(&world.issue("token", batch(), 1), at(200)));
    // Imported by its text.
    let by_text = prefix_secret(1);
    let legacy_key = PREFIX_512.parse(&by_text).unwrap().legacy_key();
    world.try_import(Import { legacy_key, ..row(&by_text, "text", Validity::NEVER_EXPIRES) }, batch()).unwrap();
    assert!(!due(&by_text, at(200)));
    // Rotated: it is about to end anyway.
    let rotated = prefix_secret(2);
    let id = world.import(&rotated, "rotated", batch());
    assert!(due(&rotated, at(200)));
    world.rotate(id, Rotation::Start { overlap: Duration::from_secs(100) }, 2, at(200));
    assert!(!due(&rotated, at(250)));
    // Not usable: disabled, revoked, out of its time.
    let unusable = prefix_secret(3);
    let id = world.import_valid(&unusable, "unusable", batch(), Validity::between(at(150), at(250)).unwrap());
    assert!(due(&unusable, at(249)) && !due(&unusable, at(149)) && !due(&unusable, at(250)));
    world.revoke(id, at(200));
    assert!(!due(&unusable, at(200)));
}

/// Whoever was first stays: between verification and upgrade, something else happened.
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
        let token = world.rotate(id, rotation, 1, at(210));
        let rotated = world.find(id);
        assert_eq!(upgrade(&world, &key), Ok(None));
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
    // Set aside.
    let (world, _, id, key) = verified(3);
    let permit = authorize_operation(&system(), keygate::Disable(world.find(id)), None, at(210)).unwrap();
    block_on(world.manager.disable(permit, at(210))).unwrap();
    assert_eq!(upgrade(&world, &key), Err(ManageError::Conflict(Conflict::Disabled)));
    // The other way round: a rotation that was planned before the upgrade is told to look again.
    let (world, old, id, key) = verified(4);
    let permit = authorize_operation(&system(), Rotate(world.find(id)), None, at(210)).unwrap();
    assert!(upgrade(&world, &key).unwrap().is_some());
    let late = block_on(world.manager.rotate(permit, Rotation::CutOver, &mut rng(1), at(220)));
    assert_eq!(late.unwrap_err(), ManageError::Conflict(Conflict::Changed));
    assert_eq!(world.slot(&old, at(220)), Some(SecretSlot::Current));
}

/// What outlives a request does not break off because somebody upgraded its key.
#[test]
fn a_stream_goes_on_after_an_upgrade() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let request = request("core", call("m1", None));
    let verdict = block_on(GATE.check(world.manager.store(), &world.directory, &old, &request, at(200))).unwrap();
    let Verdict::Allowed(authorization) = verdict else { panic!("{verdict:?}") };
    let again = |now| {
        let check = GATE.check_again(world.manager.store(), &world.directory, &authorization, now);
        matches!(block_on(check).unwrap(), Verdict::Allowed(_))
    };
    assert!(again(at(201)));
    assert!(upgrade(&world, authorization.key()).unwrap().is_some());
    assert!(again(at(202)));
    world.rotate(id, Rotation::Start { overlap: Duration::from_secs(100) }, 1, at(300));
    assert!(again(at(399)) && !again(at(400)));
}

/// Many at once, on a store without its type: one saves, nobody fails, and the key opens throughout.
#[test]
fn many_upgrade_at_once() {
    let store = BoxedKeyManagementStore::new(MemoryStore::new());
    let manager = KeyManager::new(KG, store.clone());
    let old = prefix_secret(1);
    let permit = authorize_operation(&system(), Create(batch()), None, at(100)).unwrap();
    let id = block_on(manager.import(permit, row(&old, "old", Validity::NEVER_EXPIRES), at(100))).unwrap().key.unwrap();
    let saved: usize = std::thread::scope(|scope| {
        let upgrade = || {
            let key = block_on(GATE.authenticate(&store, &old, at(200))).unwrap().unwrap();
            usize::from(block_on(manager.upgrade(&key, at(200))).unwrap().is_some())
        };
        let running: Vec<_> = (0..8).map(|_| scope.spawn(upgrade)).collect();
        running.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(saved, 1);
    assert_eq!(block_on(store.find(id)).unwrap().unwrap().current().algorithm(), DigestAlgorithm::LegacyText);
    block_on(store.revoke(id, at(300))).unwrap().unwrap();
}
