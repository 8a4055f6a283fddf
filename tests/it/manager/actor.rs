//! Who acts is looked up at the moment of the change: nothing stale acts, and no cache is believed.

use core::sync::atomic::{AtomicBool, Ordering};

use keygate::{CachedStore, Gate, Issuer, MemoryDirectory, Verdict};

use super::{
    common::{call, request, world::Told},
    stores::{Down, Hook, Wrapped},
    *,
};

/// An acting key of ada, who is an admin of `core`, and a key of that team.
fn acting(world: &World) -> (Token, Actor, KeyId) {
    let token = create(world, "ada-s", personal("ada")).unwrap().token;
    let actor = authenticated(world, &token);
    let target = key(world, "target", team("core", full("all")));
    (token, actor, target)
}

fn authenticated(world: &World, token: &Token) -> Actor {
    Actor::from(&block_on(world.gate.authenticate(token.expose_secret())).unwrap())
}

/// Every operation of an actor on a key of the team, each as what a refusal of it is called.
fn attempts(world: &World, actor: &Actor, target: KeyId) -> Vec<Option<String>> {
    let keys = &world.keys;
    let name = |answer: Result<(), Failed>| answer.err().map(|error| error.refusal().unwrap().to_string());
    let spec = NewKeySpec::new(team("core", full("all")), text("made"), Validity::NEVER_EXPIRES);
    vec![
        name(block_on(keys.create(actor, spec)).map(drop)),
        name(block_on(keys.rename(actor, target, text("renamed"))).map(drop)),
        name(block_on(keys.set_labels(actor, target, Labels::new([(text("a"), text("b"))]).unwrap())).map(drop)),
        name(block_on(keys.rotate(actor, target, START)).map(drop)),
        name(block_on(keys.end_overlap(actor, target)).map(drop)),
        name(block_on(keys.list(actor, Owner::Team(text("core")), ListQuery::new())).map(drop)),
        name(block_on(keys.find(actor, target)).map(drop)),
        name(block_on(keys.disable(actor, target)).map(drop)),
        name(block_on(keys.enable(actor, target)).map(drop)),
        name(block_on(keys.revoke(actor, target, REQUESTED)).map(drop)),
    ]
}

#[track_caller]
fn assert_all(world: &World, actor: &Actor, target: KeyId, expected: Option<&str>) {
    let before = world.store.events().len();
    let attempts = attempts(world, actor, target);
    assert!(attempts.iter().all(|attempt| attempt.as_deref() == expected), "{attempts:?} and not {expected:?}");
    assert_eq!(world.store.events().len() == before, expected.is_some(), "what is refused changes nothing");
}

#[test]
fn a_key_that_is_as_it_was_manages() {
    let world = world();
    let (_, actor, target) = acting(&world);
    assert_all(&world, &actor, target, None);
}

/// Authenticated, and then something happened before it asked for an operation.
#[test]
fn what_ended_since_it_was_authenticated_does_nothing() {
    type Happens = fn(&World, KeyId);
    let cases: [(Happens, &str); 9] = [
        (|world, id| drop(block_on(world.keys.revoke(&system(), id, REQUESTED)).unwrap()), "revoked"),
        (|world, id| drop(block_on(world.keys.disable(&system(), id)).unwrap()), "disabled"),
        (|world, _| world.clock.set(1_000), "expired"),
        (|world, _| world.clock.set(99), "not_yet_valid"),
        (|world, id| drop(rotate(world, id, Rotation::CutOver)), "invalid_key"),
        (|world, _| world.directory.deprovision(&text("ada")), "owner_deprovisioned"),
        (
            |world, _| {
                world.directory.deprovision(&text("ada"));
                world.set_member("ada", "core", TeamRole::Admin);
            },
            "owner_deprovisioned",
        ),
        (|world, _| world.set_member("ada", "core", TeamRole::Member), "level_insufficient"),
        (|world, _| world.set_member("ada", "core", TeamRole::Outsider), "other_team"),
    ];
    for (happens, expected) in cases {
        let world = world();
        let validity = Validity::between(at(100), at(1_000)).unwrap();
        let token = world.create("ada-s", personal("ada"), validity).token;
        let actor = authenticated(&world, &token);
        // It ends no later than the acting key does (M8).
        let target = world.create("target", team("core", full("all")), Validity::until(at(1_000))).record.id();
        happens(&world, token.id());
        assert_all(&world, &actor, target, Some(expected));
    }
}

#[test]
fn a_previous_secret_manages_until_it_ends() {
    let world = world();
    let (token, actor, target) = acting(&world);
    rotate(&world, token.id(), START);
    // It was authenticated as the current secret, and is the previous one now.
    world.clock.set(159);
    block_on(world.keys.rename(&actor, target, text("renamed"))).unwrap();
    let by = world.store.events().pop().unwrap().by;
    assert!(matches!(by, Principal::Key { slot: SecretSlot::Previous, .. }), "{by:?}");
    world.clock.set(160);
    assert_all(&world, &actor, target, Some("invalid_key"));
}

/// The acting key is looked up last: what happens while the directory is asked counts.
#[test]
fn what_ends_while_the_directory_is_asked_does_nothing() {
    for is_revoked in [false, true] {
        let world = world();
        let (token, actor, target) = acting(&world);
        let (keys, id) = (world.keys.clone(), token.id());
        let hook = Hook(move |operation: &'static str| {
            if is_revoked && operation == "membership" {
                let _ = block_on(keys.revoke(&system(), id, RevocationCause::Leaked));
            }
            Ok(())
        });
        let slow = KeyManager::with_parts(KG, world.store.clone(), world.clock.reader(), rng(5))
            .with_directory(Wrapped(world.directory.clone(), hook));
        let answer = block_on(slow.rename(&actor, target, text("renamed")));
        let refusal = answer.err().map(|error| error.refusal().unwrap().to_string());
        assert_eq!(refusal.as_deref(), is_revoked.then_some("revoked"));
    }
}

#[test]
fn a_key_of_another_issuer_does_nothing() {
    const PREV: Issuer = Issuer::from_static("prev");
    let world = world();
    let spec = NewKeySpec::new(personal("ada"), text("prev"), Validity::NEVER_EXPIRES);
    let prev = KeyManager::with_parts(PREV, world.store.clone(), world.clock.reader(), rng(5))
        .with_directory(world.directory.clone());
    let token = block_on(prev.create(&system(), spec)).unwrap().token;
    let gate =
        Gate::with_clock(PREV, world.store.clone(), world.clock.reader()).with_directory(world.directory.clone());
    let actor = Actor::from(&block_on(gate.authenticate(token.expose_secret())).unwrap());
    let target = key(&world, "target", team("core", full("all")));
    assert_all(&world, &actor, target, Some("invalid_key"));
}

/// A cache may go on serving what ended; what manages through it does not.
#[test]
fn a_manager_behind_a_cache_finds_actor_and_target_past_it() {
    let elsewhere = world();
    let (token, _, target) = acting(&elsewhere);
    let cache = CachedStore::new(elsewhere.store.clone(), Duration::from_secs(3_600));
    let gate =
        Gate::with_clock(KG, cache.clone(), elsewhere.clock.reader()).with_directory(elsewhere.directory.clone());
    let here = KeyManager::with_parts(KG, cache.write_through(), elsewhere.clock.reader(), rng(5))
        .with_directory(elsewhere.directory.clone());
    let target_token = rotate(&elsewhere, target, Rotation::CutOver);
    for token in [&token, &target_token] {
        assert!(block_on(gate.authenticate(token.expose_secret())).is_ok(), "the cache has both now");
    }

    // The target changed elsewhere: it is found as it is, and the rotation is of the present secret.
    let newer = rotate(&elsewhere, target, Rotation::CutOver);
    let acting = Actor::from(&block_on(gate.authenticate(token.expose_secret())).unwrap());
    let rotated = block_on(here.rotate(&acting, target, START)).unwrap();
    assert_eq!(find(&elsewhere, target).previous().unwrap().digest, newer.digest());
    // What is changed through the cache is forgotten by it.
    assert!(block_on(gate.authenticate(rotated.token.expose_secret())).is_ok());
    assert!(block_on(gate.authenticate(target_token.expose_secret())).is_err());

    // The actor was revoked elsewhere: the gate here does not know yet, and the manager does.
    block_on(elsewhere.keys.revoke(&system(), token.id(), RevocationCause::Leaked)).unwrap();
    let stale = Actor::from(&block_on(gate.authenticate(token.expose_secret())).unwrap());
    let answer = block_on(here.rotate(&stale, target, Rotation::CutOver)).map(drop);
    assert_eq!(answer.unwrap_err().refusal().unwrap(), Reason::Revoked.into());
    let answer =
        block_on(here.create(&stale, NewKeySpec::new(team("core", full("all")), text("new"), Validity::NEVER_EXPIRES)));
    assert_eq!(answer.map(drop).unwrap_err().refusal().unwrap(), Reason::Revoked.into());
}

#[test]
fn a_user_who_comes_back_gets_no_old_key_back() {
    let world = world();
    let asked = request("core", call("m1", None));
    let old = create(&world, "old", personal("bob")).unwrap().token;
    let is_allowed = |token: &Token| matches!(world.check(token, &asked), Verdict::Allowed(_));
    assert!(is_allowed(&old));
    world.directory.deprovision(&text("bob"));
    assert!(!is_allowed(&old));
    // Nobody revoked it, and bob is back.
    world.set_member("bob", "core", TeamRole::Member);
    let verdict = world.check(&old, &asked);
    assert!(matches!(verdict, Verdict::Denied { denial, .. } if denial.reason() == Reason::OwnerDeprovisioned));
    assert!(block_on(world.gate.authenticate(old.expose_secret())).is_err());
    let new = create(&world, "new", personal("bob")).unwrap().token;
    assert!(is_allowed(&new));
    // Rotated, the old key is as old as before.
    let rotated = rotate(&world, old.id(), Rotation::CutOver);
    assert!(!is_allowed(&rotated));
}

/// A key that is being created while its user is deprovisioned, all keys are ended, and the user comes back.
#[test]
fn a_key_that_was_created_in_between_opens_for_nobody() {
    for by_system in [false, true] {
        let world = world();
        let (directory, keys) = (world.directory.clone(), world.keys.clone());
        let hook = Hook(move |operation: &'static str| {
            if operation == "insert" {
                directory.deprovision(&text("bob"));
                assert_eq!(block_on(keys.deprovision(&root(), &text("bob"))), Ok(vec![]), "there is none yet");
                directory.set_member(text("bob"), text("core"), TeamRole::Member);
            }
            Ok(())
        });
        let slow = KeyManager::with_parts(KG, Wrapped(world.store.clone(), hook), world.clock.reader(), rng(5))
            .with_directory(world.directory.clone());
        let actor = if by_system { system() } else { user("bob") };
        let spec = NewKeySpec::new(personal("bob"), text("late"), Validity::NEVER_EXPIRES);
        let late = block_on(slow.create(&actor, spec)).unwrap().token;
        let verdict = world.check(&late, &request("core", call("m1", None)));
        assert!(matches!(verdict, Verdict::Denied { denial, .. } if denial.reason() == Reason::OwnerDeprovisioned));
    }
}

#[test]
fn the_user_of_a_key_is_deprovisioned_first() {
    let world = world();
    let ids = [key(&world, "one", personal("bob")), key(&world, "two", personal("bob"))];
    let others = key(&world, "one", personal("ada"));
    world.told.take();
    let refused = block_on(world.keys.deprovision(&root(), &text("bob")));
    assert_eq!(refused, Err(ManageError::UserNotDeprovisioned));
    assert!(ids.iter().all(|id| find(&world, *id).status() == Status::Active));
    world.directory.deprovision(&text("bob"));
    let mut expected = ids.to_vec();
    expected.sort_unstable();
    assert_eq!(block_on(world.keys.deprovision(&root(), &text("bob"))), Ok(expected));
    let revoked = Status::Revoked { at: at(150), cause: RevocationCause::OwnerDeprovisioned };
    assert!(ids.iter().all(|id| find(&world, *id).status() == revoked));
    assert_eq!(find(&world, others).status(), Status::Active);
    // Again: nothing is left to do.
    assert_eq!(block_on(world.keys.deprovision(&root(), &text("bob"))), Ok(vec![]));
    // Nobody makes a key for them meanwhile.
    let answer = create(&world, "new", personal("bob")).map(drop).unwrap_err();
    assert_eq!(answer.refusal().unwrap(), Reason::OwnerDeprovisioned.into());
    let answer = block_on(world.keys.list(&user("bob"), Owner::Personal(text("bob")), ListQuery::new()));
    assert_eq!(answer.unwrap_err().refusal().unwrap(), Reason::OwnerDeprovisioned.into());
}

/// Batches of 1,000, each for itself: a call that broke off is repeated, and ends what is left.
#[test]
fn many_keys_end_in_batches() {
    const KEYS: usize = 2_500;
    let world = world();
    for place in 0..KEYS {
        let name = format!("key-{place}");
        create(&world, &name, team("core", full("all"))).map(drop).unwrap();
    }
    let before = world.store.events().len();
    // The second batch fails the first time.
    let (calls, has_failed) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(false)));
    let count = Arc::clone(&calls);
    let hook = Hook(move |operation: &'static str| {
        if operation == "revoke_all" {
            let mut calls = count.lock().unwrap();
            *calls += 1;
            if *calls == 2 && !has_failed.swap(true, Ordering::SeqCst) {
                return Err(Down);
            }
        }
        Ok(())
    });
    let keys = KeyManager::with_parts(KG, Wrapped(world.store.clone(), hook), world.clock.reader(), rng(5))
        .with_sink(world.told.clone());
    let owner = || Owner::Team(text("core"));
    let broken = block_on(keys.revoke_all(&root(), owner(), RevocationCause::Replaced));
    assert_eq!(broken, Err(ManageError::Store(Down)));
    assert!(matches!(&world.told.take()[..], [Told::Failed(_)]));
    assert_eq!(world.store.events().len(), before + 1_000, "the first batch, with its events");
    let rest = block_on(keys.revoke_all(&root(), owner(), RevocationCause::Replaced)).unwrap();
    assert_eq!(rest.len(), KEYS - 1_000);
    assert!(rest.is_sorted());
    assert_eq!(*calls.lock().unwrap(), 4, "one, one that failed, and two");
    let events = world.store.events().split_off(before);
    let mut ended: Vec<_> = events.iter().map(|event| event.key.unwrap()).collect();
    let mut ids: Vec<_> = events.iter().map(|event| event.id.unwrap()).collect();
    for list in [&mut ids as &mut dyn Distinct, &mut ended] {
        assert_eq!(list.distinct(), KEYS);
    }
}

trait Distinct {
    fn distinct(&mut self) -> usize;
}

impl<T: Ord> Distinct for Vec<T> {
    fn distinct(&mut self) -> usize {
        self.sort_unstable();
        self.dedup();
        self.len()
    }
}

/// Managing is use: a key that does nothing else is not an unused one.
#[test]
fn a_key_that_manages_is_touched() {
    let world = world();
    let (token, actor, target) = acting(&world);
    world.told.take();
    let touches = |world: &World| {
        let told = world.told.take().into_iter();
        told.filter_map(|told| if let Told::Touch(touch) = told { Some(touch) } else { None }).collect::<Vec<_>>()
    };
    block_on(world.keys.rename(&actor, target, text("renamed"))).unwrap();
    assert_eq!(touches(&world), [Touch::new(token.id(), SecretSlot::Current, at(150))]);
    // Once it is written, not again within a minute.
    block_on(world.store.touch(vec![Touch::new(token.id(), SecretSlot::Current, at(150))], at(150))).unwrap();
    world.clock.set(209);
    block_on(world.keys.list(&actor, Owner::Team(text("core")), ListQuery::new())).unwrap();
    assert_eq!(touches(&world), []);
    world.clock.set(210);
    block_on(world.keys.list(&actor, Owner::Team(text("core")), ListQuery::new())).unwrap();
    assert_eq!(touches(&world), [Touch::new(token.id(), SecretSlot::Current, at(210))]);
    // What is refused is no use, and neither system nor users have a key to touch.
    world.clock.set(300);
    world.set_member("ada", "core", TeamRole::Member);
    assert!(block_on(world.keys.rename(&actor, target, text("again"))).is_err());
    block_on(world.keys.rename(&system(), target, text("again"))).unwrap();
    assert_eq!(touches(&world), []);
}

/// Without a directory there are no users: neither personal keys nor users as actors.
#[test]
fn without_a_directory_there_are_team_keys_only() {
    let keys = KeyManager::with_parts(KG, MemoryStore::new(), || at(150), rng(5));
    let spec = |grant| NewKeySpec::new(grant, text("key"), Validity::NEVER_EXPIRES);
    let refusal = |answer: Result<Issued, Failed>| answer.map(drop).unwrap_err().refusal().unwrap().to_string();
    assert_eq!(refusal(block_on(keys.create(&system(), spec(personal("ada"))))), "owner_deprovisioned");
    assert_eq!(refusal(block_on(keys.create(&user("ada"), spec(team("core", full("all")))))), "owner_deprovisioned");
    assert!(block_on(keys.create(&system(), spec(team("core", full("all"))))).is_ok());
    let _: &KeyManager<MemoryStore> = &keys;
    let _ = keys.with_directory(MemoryDirectory::new());
}
