//! What commits between a look-up and the change that it was for.

use super::{
    stores::{Down, Hook, Wrapped},
    *,
};

/// A manager whose next change is preceded by `between`, once.
fn preceded<F: Fn() + Clone + Send + Sync + 'static>(
    world: &World,
    between: F,
) -> KeyManager<Wrapped<MemoryStore, impl stores::Around + use<F>>, keygate::MemoryDirectory> {
    let has_come = Arc::new(Mutex::new(false));
    let hook = Hook(move |operation: &'static str| {
        if operation == "change" && !core::mem::replace(&mut *has_come.lock().unwrap(), true) {
            between();
        }
        Ok::<(), Down>(())
    });
    KeyManager::with_parts(KG, Wrapped(world.store.clone(), hook), world.clock.reader(), rng(5))
        .with_directory(world.directory.clone())
}

/// The answer says when the previous secret ends, so it is refused where that is not so any more.
#[test]
fn a_retry_does_not_promise_an_overlap_that_was_ended() {
    let world = world();
    let first = create(&world, "batch", team("core", full("all"))).unwrap().token;
    let id = first.id();
    let deployed = rotate(&world, id, START);
    let keys = world.keys.clone();
    let racing = preceded(&world, move || {
        block_on(keys.end_overlap(&system(), id)).unwrap();
    });
    let before = world.store.events().len();
    let refused = block_on(racing.rotate(&system(), id, RETRY)).map(drop);
    assert_eq!(refused, Err(ManageError::Conflict(Conflict::Changed)));
    assert_eq!(world.store.events().len(), before + 1, "the end of the overlap, and no rotation");
    assert_eq!(slot(&world, &deployed, 151), Some(SecretSlot::Current), "the deployed secret lives");
    // Asked again, there is no previous secret to keep, so the deployed one becomes it.
    let rotated = block_on(racing.rotate(&system(), id, RETRY)).unwrap();
    assert_eq!(rotated.previous_ends_at, Some(at(160)));
    assert_eq!(find(&world, id).previous().map(|previous| previous.ends_at), rotated.previous_ends_at);
    assert_eq!(slot(&world, &deployed, 159), Some(SecretSlot::Previous));
}

/// Who ends an overlap means the secret that was the previous one, and not the one that the next rotation makes of the
/// deployed secret.
#[test]
fn the_end_of_an_overlap_is_for_the_rotation_that_it_was_asked_of() {
    for had_previous in [true, false] {
        let world = world();
        let first = create(&world, "batch", team("core", full("all"))).unwrap().token;
        let id = first.id();
        let deployed = if had_previous { rotate(&world, id, START) } else { first };
        let keys = world.keys.clone();
        let racing = preceded(&world, move || {
            block_on(keys.end_overlap(&system(), id)).unwrap();
            let _ = block_on(keys.rotate(&system(), id, START)).unwrap();
        });
        let refused = block_on(racing.end_overlap(&system(), id));
        assert_eq!(refused, Err(ManageError::Conflict(Conflict::Changed)));
        assert_eq!(slot(&world, &deployed, 159), Some(SecretSlot::Previous), "the deployed secret lives");
        // Asked again, it is meant.
        assert_eq!(block_on(racing.end_overlap(&system(), id)), Ok(Done::Changed));
        assert_eq!(slot(&world, &deployed, 151), None);
    }
}

/// A prefix changes, and the keys of the former one are managed as before; what is new has the new one.
#[test]
fn keys_of_a_former_issuer_are_managed_by_who_accepts_them() {
    const NEW: keygate::Issuer = keygate::Issuer::from_static("newkg");
    const OTHER: keygate::Issuer = keygate::Issuer::from_static("other");
    static FORMER: [keygate::Issuer; 1] = [KG];
    let world = world();
    let of_new = |name| {
        KeyManager::with_parts(name, world.store.clone(), world.clock.reader(), rng(5))
            .with_directory(world.directory.clone())
    };
    let (after, stranger) = (of_new(NEW).with_issuers(&FORMER), of_new(OTHER));
    let gate = keygate::Gate::with_clock(NEW, world.store.clone(), world.clock.reader())
        .with_directory(world.directory.clone())
        .with_issuers(&FORMER);
    let [old, another] = ["old", "another"].map(|name| create(&world, name, team("core", full("all"))).unwrap().token);
    let id = old.id();
    assert_eq!(block_on(stranger.disable(&user("ada"), id)), Err(ManageError::Conflict(Conflict::Absent)));

    // By a user, and by a key of either issuer; its tokens keep their prefix.
    assert_eq!(block_on(after.disable(&user("ada"), id)), Ok(Done::Changed));
    assert_eq!(block_on(after.enable(&user("ada"), id)), Ok(Done::Changed));
    let rotated = block_on(after.rotate(&user("ada"), id, Rotation::CutOver)).unwrap().token;
    assert!(rotated.expose_secret().starts_with("kgt1_"));
    let laptop = |manager: &KeyManager<MemoryStore, keygate::MemoryDirectory>, name: &str| {
        let spec = NewKeySpec::new(personal("ada"), text(name), Validity::NEVER_EXPIRES);
        let token = block_on(manager.create(&user("ada"), spec)).unwrap().token;
        let key = block_on(gate.authenticate(token.expose_secret())).unwrap();
        (token, Actor::from(&key))
    };
    let (of_old, old_actor) = laptop(&world.keys, "old-laptop");
    let (of_new, new_actor) = laptop(&after, "new-laptop");
    assert!(of_old.expose_secret().starts_with("kgp1_") && of_new.expose_secret().starts_with("newkgp1_"));
    for (actor, name) in [(&old_actor, "by-old"), (&new_actor, "by-new")] {
        assert_eq!(block_on(after.rename(actor, id, text(name))), Ok(Done::Changed), "{name}");
    }
    // M4: any key may revoke itself.
    let itself = Actor::from(&block_on(gate.authenticate(another.expose_secret())).unwrap());
    assert_eq!(block_on(after.revoke(&itself, another.id(), REQUESTED)), Ok(Done::Changed));
    // A manager that accepts only its own takes no other key for an actor.
    assert_eq!(block_on(world.keys.rename(&new_actor, id, text("no"))), Err(ManageError::ActorInvalid));
}

/// The leaked secret is the authority, so it ends no key that it does not open any more.
#[test]
fn a_secret_that_was_replaced_while_it_was_reported_ends_nothing() {
    for rotation in [Rotation::CutOver, START] {
        let world = world();
        let leaked = create(&world, "batch", team("core", full("all"))).unwrap().token;
        let (id, keys) = (leaked.id(), world.keys.clone());
        let racing = preceded(&world, move || {
            let _ = block_on(keys.rotate(&system(), id, rotation)).unwrap();
        });
        let results = block_on(racing.revoke_leaked([leaked.expose_secret()]));
        let still_opens = rotation == START;
        assert_eq!(results, if still_opens { vec![Ok(id)] } else { vec![] });
        assert_eq!(find(&world, id).is_revoked(), still_opens);
    }
}

/// A store that gives the change another record than the one that was asked for changes nothing.
#[test]
fn a_change_is_for_its_own_key_only() {
    let world = world();
    let [one, other] = ["one", "other"].map(|name| find(&world, key(&world, name, team("core", full("all")))));
    let permit = authorize_operation(
        KG,
        Acting::System(&root()),
        keygate::manage::Disable(Arc::clone(&one)),
        None,
        world.clock.now(),
    );
    let change = permit.unwrap().disable(KG, &rng(9), world.clock.now()).unwrap();
    assert!(matches!(change.apply(Some(&one)), keygate::store::Step::Change { .. }));
    assert_eq!(change.apply(Some(&other)), keygate::store::Step::Refused(Conflict::Absent));
}

/// Less than a second is not nothing: a short overlap is no cut-over.
#[test]
fn an_overlap_is_rounded_up_to_whole_seconds() {
    let world = world();
    for (milliseconds, ends_at) in [(0, None), (1, Some(151)), (999, Some(151)), (1_000, Some(151)), (1_001, Some(152))]
    {
        let id = key(&world, &format!("key-{milliseconds}"), team("core", full("all")));
        let start = Rotation::Start { overlap: Duration::from_millis(milliseconds) };
        let rotated = block_on(world.keys.rotate(&system(), id, start)).unwrap();
        assert_eq!(rotated.previous_ends_at, ends_at.map(at), "{milliseconds} ms");
        let again = block_on(world.keys.rotate(&system(), id, start)).map(drop);
        let expected = if milliseconds == 0 { Ok(()) } else { Err(ManageError::Rotate(RotateError::InProgress)) };
        assert_eq!(again, expected);
    }
    // Nor does rounding up reach beyond what the service allows.
    let id = key(&world, "bounded", team("core", full("all")));
    let beyond = keygate::manage::MintRules::new().max_overlap() + Duration::from_nanos(1);
    let refused = block_on(world.keys.rotate(&system(), id, Rotation::Start { overlap: beyond })).map(drop);
    assert_eq!(refused, Err(ManageError::Rotate(RotateError::OverlapTooLong)));
}
