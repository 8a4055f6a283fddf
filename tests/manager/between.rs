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
