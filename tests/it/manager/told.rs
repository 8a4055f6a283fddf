//! What is told: every refusal once, with who, what, on what and why; every failure as one; and what no log keeps.

use std::collections::BTreeSet;

use keygate::{
    KeyKind,
    audit::{Attempt, OperationKind, RefusalReason},
    legacy::{LegacyFormat, Symbols},
    manage::{Import, MintRules},
};

use super::{
    common::world::Told,
    stores::{Down, Hook, Unlogged, Wrapped},
    *,
};

/// What a refusal must say.
struct Expected<'a> {
    by: Principal,
    operation: OperationKind,
    key: Option<KeyId>,
    owner: Option<Owner>,
    reason: &'a str,
}

#[track_caller]
fn assert_told(world: &World, refusal: Option<RefusalReason>, expected: &Expected<'_>) {
    let told = world.told.take();
    let is_of_no_use = matches!(expected.by, Principal::Key { .. }) && expected.reason == "invalid_key";
    let event = match &told[..] {
        [Told::Event(event)] if !is_of_no_use => event,
        [Told::Stranger(event)] if is_of_no_use => event,
        _ => panic!("{}: {told:?}", expected.reason),
    };
    let EventKind::Refused { attempt, reason, .. } = &event.kind else { panic!("{event:?}") };
    assert_eq!(reason.as_str(), expected.reason);
    assert_eq!(refusal, Some(*reason), "the error says the same");
    assert_eq!(*attempt, Some(Attempt::Operation(expected.operation)));
    assert_eq!((&event.by, event.key, &event.owner), (&expected.by, expected.key, &expected.owner));
    assert_eq!((event.at, event.id), (world.clock.now(), None), "it belongs to no change");
}

fn refusal<T>(answer: Result<T, Failed>) -> Option<RefusalReason> {
    answer.err().and_then(|error| error.refusal())
}

/// Asks for each operation of an actor on a key of a team, which is refused each time.
#[track_caller]
fn assert_each_told(world: &World, actor: &Actor, target: KeyId, by: &Principal, reason: &str) {
    let (keys, owner) = (&world.keys, || Owner::Team(text("core")));
    let check = |operation, key, refusal: Option<RefusalReason>| {
        assert_told(world, refusal, &Expected { by: by.clone(), operation, key, owner: Some(owner()), reason });
    };
    let spec = NewKeySpec::new(team("core", full("all")), text("made"), Validity::NEVER_EXPIRES);
    check(OperationKind::Create, None, refusal(block_on(keys.create(actor, spec))));
    check(OperationKind::List, None, refusal(block_on(keys.list(actor, owner(), ListQuery::new()))));
    let key = Some(target);
    check(OperationKind::Rename, key, refusal(block_on(keys.rename(actor, target, text("renamed")))));
    check(OperationKind::SetLabels, key, refusal(block_on(keys.set_labels(actor, target, Labels::NONE))));
    check(OperationKind::Rotate, key, refusal(block_on(keys.rotate(actor, target, START))));
    check(OperationKind::EndOverlap, key, refusal(block_on(keys.end_overlap(actor, target))));
    check(OperationKind::Disable, key, refusal(block_on(keys.disable(actor, target))));
    check(OperationKind::Enable, key, refusal(block_on(keys.enable(actor, target))));
    check(OperationKind::Revoke, key, refusal(block_on(keys.revoke(actor, target, REQUESTED))));
}

#[test]
fn every_refusal_of_every_operation_is_told_once() {
    let world = world();
    world.set_member("eve", "core", TeamRole::Outsider);
    let target = key(&world, "target", team("core", full("all")));
    let by_user = |name: &str| user(name).principal();
    assert_each_told(&world, &user("eve"), target, &by_user("eve"), "other_team");
    assert_each_told(&world, &user("bob"), target, &by_user("bob"), "level_insufficient");
    assert_each_told(&world, &user("nobody"), target, &by_user("nobody"), "owner_deprovisioned");

    // Of a personal key, its user is told; a team key has none.
    let authenticate = |token: &Token| Actor::from(&block_on(world.gate.authenticate(token.expose_secret())).unwrap());
    let mine = create(&world, "bob-s", personal("bob")).unwrap().token;
    let actor = authenticate(&mine);
    let by = actor.principal();
    assert!(matches!(&by, Principal::Key { id, user: Some(user), .. } if *id == mine.id() && user.as_str() == "bob"));
    assert_each_told(&world, &actor, target, &by, "level_insufficient");
    let ours = create(&world, "ours", team("core", full("all"))).unwrap().token;
    let actor = authenticate(&ours);
    assert!(matches!(actor.principal(), Principal::Key { user: None, .. }));
    assert_each_told(&world, &actor, target, &actor.principal(), "level_insufficient");
    // Once its secret opens nothing any more, it is still said who it was.
    rotate(&world, ours.id(), Rotation::CutOver);
    assert_each_told(&world, &actor, target, &actor.principal(), "invalid_key");
    assert_eq!(find(&world, target).status(), Status::Active);
}

/// The holder of a key of no use learns nothing else, and pushes out nothing that is told of valid keys.
#[test]
fn a_key_of_no_use_is_refused_before_anything_else() {
    let world = world();
    let absent: KeyId = text("wk59pfKL0jFi2YYv");
    let core = || team("core", full("all"));
    let grants = [core(), personal("ada"), core(), personal("bob"), personal("ada")];
    let ends: [(&str, &dyn Fn(KeyId)); 5] = [
        ("revoked", &|id| drop(block_on(world.keys.revoke(&system(), id, REQUESTED)).unwrap())),
        ("disabled", &|id| drop(block_on(world.keys.disable(&system(), id)).unwrap())),
        ("invalid_key", &|id| drop(rotate(&world, id, Rotation::CutOver))),
        ("owner_deprovisioned", &|_| world.directory.deprovision(&text("bob"))),
        ("expired", &|_| world.clock.set(500)),
    ];
    for ((reason, end), grant) in ends.into_iter().zip(grants) {
        let key = world.create(&reason.replace('_', "-"), grant, Validity::until(at(500))).token;
        let actor = Actor::from(&block_on(world.gate.authenticate(key.expose_secret())).unwrap());
        let ask = |reason: &str, queue: fn(&Told) -> bool| {
            let late = NewKeySpec::new(team("core", full("all")), text("made"), Validity::until(at(1)));
            let answers = [
                (OperationKind::Create, refusal(block_on(world.keys.create(&actor, late)))),
                (OperationKind::Rename, refusal(block_on(world.keys.rename(&actor, absent, text("renamed"))))),
                (OperationKind::Rotate, refusal(block_on(world.keys.rotate(&actor, absent, START)))),
                (OperationKind::List, refusal(block_on(world.keys.find(&actor, absent)))),
            ];
            let told = world.told.take();
            assert!(told.len() == answers.len() && told.iter().all(queue), "{told:?}");
            for (operation, answer) in answers {
                let expected = if reason.is_empty() && operation == OperationKind::Create {
                    "expires_in_past"
                } else if reason.is_empty() {
                    "absent"
                } else {
                    reason
                };
                assert_eq!(answer.unwrap().as_str(), expected, "{operation:?}");
            }
        };
        ask("", |told| matches!(told, Told::Event(_)));
        end(key.id());
        world.told.take();
        ask(reason, |told| matches!(told, Told::Stranger(_)));
    }
}

const OLD: LegacyFormat = LegacyFormat::opaque("old_", Symbols::Hex, 32, 32);

/// Each reason for which an operation can be refused, and one example of it.
#[test]
fn every_reason_is_told() {
    let mut seen = BTreeSet::new();
    let mut see = |world: &World, actor: &Actor, place: (OperationKind, Option<KeyId>, Owner), answer, reason: &str| {
        let (operation, key, owner) = place;
        let by = actor.principal();
        assert_told(world, answer, &Expected { by, operation, key, owner: Some(owner), reason });
        seen.insert(reason.to_owned());
    };
    let (core, ada_s) = (|| Owner::Team(text("core")), || Owner::Personal(text("ada")));
    let actor = system();
    let spec = |grant: Grant, validity| NewKeySpec::new(grant, text("laptop"), validity);
    let never = Validity::NEVER_EXPIRES;

    // Creating.
    let world = world();
    let laptop = key(&world, "laptop", personal("ada"));
    let mut refuse = |world: &World, grant: Grant, validity, reason: &str| {
        let (owner, answer) = (grant.owner(), block_on(world.keys.create(&actor, spec(grant, validity))));
        see(world, &actor, (OperationKind::Create, None, owner), refusal(answer), reason);
    };
    refuse(&world, personal("ada"), never, "name_taken");
    refuse(&world, personal("nobody"), never, "owner_deprovisioned");
    refuse(&world, personal("ada"), Validity::until(at(150)), "expires_in_past");
    refuse(&world, personal("ada"), Validity::until(at(i64::MAX)), "time_too_late");
    let many = common::models(&(0..1_001).map(|place| format!("m{place}")).collect::<Vec<_>>().join(" "));
    refuse(&world, team("core", keygate::Permission::metrics_only(many)), never, "scope_too_large");
    refuse(&world, team("core", common::custom("deploy", "prod", "all")), never, "action_never_allowed");
    let with = |world: World, rules: MintRules| World { keys: world.keys.clone().with_rules(rules), ..world };
    let world = with(world, MintRules::new());
    refuse(&world, team("core", common::custom("projects:read", "all", "all")), never, "action_not_declared");
    let world = with(world, MintRules::new().without(KeyKind::Personal));
    refuse(&world, personal("ada"), never, "kind_not_minted");
    let world = with(world, MintRules::new().with_max_lifetime(KeyKind::Personal, Duration::from_secs(10)));
    refuse(&world, personal("ada"), never, "expiry_required");
    refuse(&world, personal("ada"), Validity::until(at(161)), "lifetime_too_long");
    let world = with(world, RULES);

    // Changing.
    let keys = &world.keys;
    let place = |operation| (operation, Some(laptop), ada_s());
    let absent: KeyId = text("wk59pfKL0jFi2YYv");
    let answer = refusal(block_on(keys.rename(&actor, absent, text("new"))));
    let by = actor.principal();
    let expected = Expected { by, operation: OperationKind::Rename, key: Some(absent), owner: None, reason: "absent" };
    assert_told(&world, answer, &expected);
    let answer = refusal(block_on(keys.enable(&actor, laptop)));
    see(&world, &actor, place(OperationKind::Enable), answer, "not_disabled");
    rotate(&world, laptop, START);
    let answer = refusal(block_on(keys.rotate(&actor, laptop, START)));
    see(&world, &actor, place(OperationKind::Rotate), answer, "rotation_in_progress");
    let too_long = Rotation::Retry { overlap: Duration::MAX };
    let answer = refusal(block_on(keys.rotate(&actor, laptop, too_long)));
    see(&world, &actor, place(OperationKind::Rotate), answer, "overlap_too_long");
    let second = key(&world, "second", personal("ada"));
    let answer = refusal(block_on(keys.rename(&actor, second, text("laptop"))));
    see(&world, &actor, (OperationKind::Rename, Some(second), ada_s()), answer, "name_taken");
    block_on(keys.disable(&actor, laptop)).unwrap();
    let answer = refusal(block_on(keys.rotate(&actor, laptop, RETRY)));
    see(&world, &actor, place(OperationKind::Rotate), answer, "disabled");
    block_on(keys.revoke(&actor, laptop, REQUESTED)).unwrap();
    let answer = refusal(block_on(keys.enable(&actor, laptop)));
    see(&world, &actor, place(OperationKind::Enable), answer, "revoked");
    let short = world.create("short", personal("ada"), Validity::until(at(151))).record.id();
    world.clock.set(151);
    let answer = refusal(block_on(keys.rotate(&actor, short, START)));
    see(&world, &actor, (OperationKind::Rotate, Some(short), ada_s()), answer, "expired");

    // Somebody was faster, between the look and the change.
    let inner = (world.keys.clone(), key(&world, "raced", team("core", full("all"))));
    let hook = Hook(move |operation: &'static str| {
        if operation == "change" {
            let _ = block_on(inner.0.rotate(&system(), inner.1, Rotation::CutOver));
        }
        Ok(())
    });
    let raced = block_on(world.store.list(KeysOf::Owner(core()), ListQuery::new())).unwrap().records[0].id();
    let slow = KeyManager::with_parts(KG, Wrapped(world.store.clone(), hook), world.clock.reader(), rng(5))
        .with_sink(world.told.clone());
    let answer = block_on(slow.rotate(&actor, raced, START)).map(drop).unwrap_err().refusal();
    see(&world, &actor, (OperationKind::Rotate, Some(raced), core()), answer, "changed");

    // By a key.
    let admin_s = world.create("admin-s", personal("ada"), Validity::until(at(1_000))).token;
    let by_key = Actor::from(&block_on(world.gate.authenticate(admin_s.expose_secret())).unwrap());
    let answer = refusal(block_on(keys.rotate(&by_key, second, START)));
    see(&world, &by_key, (OperationKind::Rotate, Some(second), ada_s()), answer, "session_required");
    let answer = refusal(block_on(keys.rotate(&by_key, raced, START)));
    see(&world, &by_key, (OperationKind::Rotate, Some(raced), core()), answer, "outlives_actor");
    let bob_s = key(&world, "bob-s", personal("bob"));
    let answer = refusal(block_on(keys.rename(&by_key, bob_s, text("new"))));
    see(&world, &by_key, (OperationKind::Rename, Some(bob_s), Owner::Personal(text("bob"))), answer, "other_user");

    // Importing.
    let stored = OLD.stored(None, text(&"5c".repeat(32))).unwrap();
    let import = |name: &str, created_at, validity: Validity| {
        Import::new(stored, team("core", full("all")), text(name), validity, at(created_at))
    };
    block_on(keys.import(&root(), import("old", 1, never))).unwrap();
    let place = || (OperationKind::Import, Some(stored.id()), core());
    let cases = [
        (import("old", 1, never), "id_taken"),
        (import("old", 1_000, never), "created_in_future"),
        (import("old", 1, Validity::until(at(0))), "expires_in_past"),
        (import("old", 1, Validity::until(at(i64::MAX))), "time_too_late"),
    ];
    for (import, reason) in cases {
        see(&world, &actor, place(), refusal(block_on(keys.import(&root(), import))), reason);
    }
    let answer = refusal(block_on(keys.deprovision(&root(), &text("ada"))));
    see(&world, &actor, (OperationKind::Revoke, None, ada_s()), answer, "user_not_deprovisioned");

    // What stores and rules about keys refuse is all of it, but what only a permit of the pure core meets.
    let listed = [
        "absent",
        "changed",
        "id_taken",
        "name_taken",
        "not_disabled",
        "action_never_allowed",
        "action_not_declared",
        "created_in_future",
        "expires_in_past",
        "expiry_required",
        "kind_not_minted",
        "lifetime_too_long",
        "overlap_too_long",
        "rotation_in_progress",
        "scope_too_large",
        "time_too_late",
        "user_not_deprovisioned",
        "disabled",
        "revoked",
        "expired",
        "session_required",
        "outlives_actor",
        "other_user",
        "owner_deprovisioned",
    ];
    seen.insert("absent".to_owned());
    assert_eq!(seen, listed.iter().map(|reason| (*reason).to_owned()).collect());
    assert!(listed.iter().all(|reason| reason.parse::<RefusalReason>().is_ok()));
}

/// A failure is no refusal: it is told as one, once, and nothing is known of the change.
#[test]
fn every_failure_is_told_as_one() {
    for down in ["find", "insert", "change", "list", "revoke_all", "user", "membership"] {
        let world = world();
        let target = create(&world, "target", team("core", full("all"))).unwrap().token;
        let mine = key(&world, "mine", personal("ada"));
        let (id, told) = (target.id(), &world.told);
        let hook = || Hook(move |operation: &'static str| if operation == down { Err(Down) } else { Ok(()) });
        let keys = KeyManager::with_parts(KG, Wrapped(world.store.clone(), hook()), world.clock.reader(), rng(5))
            .with_directory(Wrapped(world.directory.clone(), hook()))
            .with_sink(told.clone());
        let is_down = |used: &[&str], answer: Result<(), ManageError<Down, Down>>| {
            let told = told.take();
            if !used.contains(&down) {
                assert!(told.is_empty(), "{down}: {told:?}");
                return assert!(answer.is_ok(), "{down}: {answer:?}");
            }
            let directory = ["user", "membership"].contains(&down);
            let expected = if directory { ManageError::Directory(Down) } else { ManageError::Store(Down) };
            assert!(matches!(&told[..], [Told::Failed(_)]), "{down}: {told:?}");
            assert_eq!((answer.as_ref().unwrap_err().refusal(), &answer), (None, &Err(expected)));
        };
        let (ada, spec) = (user("ada"), |grant, name| NewKeySpec::new(grant, text(name), Validity::NEVER_EXPIRES));
        is_down(&["membership", "insert"], block_on(keys.create(&ada, spec(team("core", full("all")), "a"))).map(drop));
        is_down(&["user", "insert"], block_on(keys.create(&system(), spec(personal("ada"), "b"))).map(drop));
        let change: &[&str] = &["find", "membership", "change"];
        is_down(change, block_on(keys.rename(&ada, id, text("renamed"))).map(drop));
        is_down(change, block_on(keys.set_labels(&ada, id, Labels::new([(text("a"), text("b"))]).unwrap())).map(drop));
        is_down(change, block_on(keys.rotate(&ada, id, Rotation::CutOver)).map(drop));
        is_down(change, block_on(keys.end_overlap(&ada, id)).map(drop));
        is_down(change, block_on(keys.disable(&ada, id)).map(drop));
        if down != "find" && down != "membership" && down != "change" {
            is_down(change, block_on(keys.enable(&ada, id)).map(drop));
        }
        is_down(
            &["membership", "list"],
            block_on(keys.list(&ada, Owner::Team(text("core")), ListQuery::new())).map(drop),
        );
        let dry_run = keys.dry_run(&ada, mine, keygate::Request::new(text("other"), Action::Deploy));
        is_down(&["find", "user", "membership"], block_on(dry_run).map(drop));
        is_down(&["list"], block_on(keys.list_all(&root(), KeysOf::All, ListQuery::new())).map(drop));
        is_down(&["revoke_all"], block_on(keys.revoke_all(&root(), Owner::Team(text("core")), REQUESTED)).map(drop));
        world.directory.deprovision(&text("bob"));
        is_down(&["user", "revoke_all"], block_on(keys.deprovision(&root(), &text("bob"))).map(drop));
    }
}

/// Nor is it an answer: what is wrong with a call is for those who may make it.
#[test]
fn a_failure_to_look_at_the_acting_key_goes_first() {
    for down in ["find", "user"] {
        let world = world();
        let token = create(&world, "mine", personal("ada")).unwrap().token;
        let actor = Actor::from(&block_on(world.gate.authenticate(token.expose_secret())).unwrap());
        let hook = || Hook(move |operation: &'static str| if operation == down { Err(Down) } else { Ok(()) });
        let keys = KeyManager::with_parts(KG, Wrapped(world.store.clone(), hook()), world.clock.reader(), rng(5))
            .with_directory(Wrapped(world.directory.clone(), hook()))
            .with_sink(world.told.clone());
        let late = NewKeySpec::new(team("core", full("all")), text("made"), Validity::until(at(1)));
        let expected = if down == "user" { ManageError::Directory(Down) } else { ManageError::Store(Down) };
        assert_eq!(block_on(keys.create(&actor, late)).map(drop), Err(expected));
        let told = world.told.take();
        assert!(matches!(&told[..], [Told::Failed(_)]), "{told:?}");
    }
}

/// What has no log of its own is told; what has one is not told a second time.
#[test]
fn events_of_a_store_without_a_log_go_to_the_sink() {
    let world = world();
    let keys = KeyManager::with_parts(KG, Unlogged(MemoryStore::new()), world.clock.reader(), rng(5))
        .with_directory(world.directory.clone())
        .with_sink(world.told.clone())
        .with_legacy(&[OLD]);
    let told = |expected: &[&str]| {
        let told = world.told.take_events();
        let kinds: Vec<_> = told.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, expected);
        assert!(told.iter().all(|event| event.id.is_some() && event.key.is_some()));
    };
    let actor = system();
    let spec = |name: &str| NewKeySpec::new(team("core", full("all")), text(name), Validity::NEVER_EXPIRES);
    let issued = block_on(keys.create(&actor, spec("one"))).unwrap();
    told(&["created"]);
    block_on(keys.rename(&actor, issued.record.id(), text("two"))).unwrap();
    told(&["renamed"]);
    block_on(keys.rename(&actor, issued.record.id(), text("two"))).unwrap();
    told(&[]);
    let rotated = block_on(keys.rotate(&actor, issued.record.id(), START)).unwrap();
    told(&["rotated"]);
    assert_eq!(block_on(keys.revoke_leaked([rotated.token.expose_secret()])), [Ok(issued.record.id())]);
    told(&["revoked"]);
    block_on(keys.revoke(&actor, issued.record.id(), REQUESTED)).unwrap();
    told(&[]);
    let stored = OLD.stored(None, text(&"5c".repeat(32))).unwrap();
    block_on(
        keys.import(
            &root(),
            Import::new(stored, team("core", full("all")), text("old"), Validity::NEVER_EXPIRES, at(1)),
        ),
    )
    .unwrap();
    told(&["imported"]);
    for name in ["a", "b"] {
        block_on(keys.create(&actor, spec(name))).map(drop).unwrap();
    }
    told(&["created", "created"]);
    assert_eq!(block_on(keys.revoke_all(&root(), Owner::Team(text("core")), REQUESTED)).unwrap().len(), 3);
    told(&["revoked", "revoked", "revoked"]);

    // The same on a store with a log: nothing is told, and everything is in it.
    let events = world.store.events().len();
    let id = key(&world, "one", team("core", full("all")));
    block_on(world.keys.revoke(&actor, id, REQUESTED)).unwrap();
    assert!(world.told.take().is_empty());
    assert_eq!(world.store.events().len(), events + 2);
}
