//! The manager: what each operation does to a store and its log, and what is told where one is refused.

mod actor;
mod between;
mod dropped;
#[cfg(feature = "getrandom")]
mod lazy;
mod mint;
mod stores;
mod told;

use core::{convert::Infallible, num::NonZeroU16, time::Duration};
use std::sync::{Arc, Mutex};

use keygate::{
    Action, Actor, Done, Grant, Issued, KeyId, KeyManager, KeyRecord, Labels, ManageError, MemoryStore, NewKeySpec,
    Owner, Randomness, RandomnessError, Reason, RevocationCause, Rotation, Status, TeamRole, Token, UnixTime, Validity,
    Verdict,
    audit::{Event, EventKind, Principal},
    manage::{Acting, Operation, Permit, PermitError, Rotate, RotateError, authorize_operation},
    store::{
        Answer, ChangeFeed as _, Changes, Conflict, Creator, KeyManagementStore, KeyStore, KeysOf, ListQuery, Page,
        PreviousSecret, SecretSlot, StatusFilter, Touch,
    },
    verify::{InvalidKey, MatchedKey, UnverifiedToken, verify},
};
use pollster::block_on;

use crate::common::{
    self, KG, RULES, Seeded, at, call, changed, full, metrics, open, personal, request, rng, root, system, team, text,
    world::World,
};

type Failed = ManageError<Infallible, Infallible>;

const START: Rotation = Rotation::Start { overlap: Duration::from_secs(10) };
const RETRY: Rotation = Rotation::Retry { overlap: Duration::from_secs(10) };
const REQUESTED: RevocationCause = RevocationCause::Requested;

/// A service in which ada is an admin of the team `core`, and bob a member; it is 150.
fn world() -> World {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Admin);
    world.set_member("bob", "core", TeamRole::Member);
    world.clock.set(150);
    world
}

fn user(name: &str) -> Actor {
    Actor::User(text(name))
}

fn create(world: &World, name: &str, grant: Grant) -> Result<Issued, Failed> {
    block_on(world.keys.create(&system(), NewKeySpec::new(grant, text(name), Validity::NEVER_EXPIRES)))
}

/// The log in memory forgets the oldest, and counts it; so does its feed.
#[test]
fn a_log_in_memory_has_a_limit() {
    let world = World::new();
    let (store, keys) = (&world.store, &world.keys);
    let since = block_on(store.changes_since(None)).unwrap().revision();
    let id = key(&world, "n0", team("core", full("all")));
    let rename = |number: usize| drop(block_on(keys.rename(&system(), id, text(&format!("n{number}")))).unwrap());
    (1..MemoryStore::LOG_LENGTH).for_each(rename);
    assert_eq!((store.events().len(), store.dropped_events()), (MemoryStore::LOG_LENGTH, 0));
    assert!(matches!(block_on(store.changes_since(Some(since))).unwrap(), Changes::Keys { ids, .. } if ids == [id]));
    (MemoryStore::LOG_LENGTH..).take(2).for_each(rename);
    assert_eq!((store.events().len(), store.dropped_events()), (MemoryStore::LOG_LENGTH, 2));
    assert!(matches!(store.events()[0].kind, EventKind::Renamed { .. }), "the oldest went");
    assert!(matches!(block_on(store.changes_since(Some(since))).unwrap(), Changes::Everything { .. }));
}

/// Creates a key whose token is not needed.
#[track_caller]
fn key(world: &World, name: &str, grant: Grant) -> KeyId {
    create(world, name, grant).unwrap().record.id()
}

#[track_caller]
fn find(world: &World, id: KeyId) -> Arc<KeyRecord> {
    block_on(world.store.find(id)).unwrap().unwrap()
}

#[track_caller]
fn rotate(world: &World, id: KeyId, rotation: Rotation) -> Token {
    block_on(world.keys.rotate(&system(), id, rotation)).unwrap().token
}

/// Carries out an operation, and returns the one event that it leaves in the log, if it leaves one.
#[track_caller]
fn logged<T>(world: &World, operation: impl Future<Output = Result<T, Failed>>) -> (T, Option<Event>) {
    let before = world.store.events().len();
    let answer = block_on(operation).unwrap();
    let mut new = world.store.events().split_off(before);
    assert!(new.len() <= 1, "{new:?}");
    assert!(world.told.take_events().is_empty(), "what is in the log is not told as well");
    (answer, new.pop())
}

#[test]
fn each_change_is_stored_with_its_event_once() {
    let world = world();
    let (issued, event) = logged(&world, async { create(&world, "laptop", personal("ada")) });
    assert_eq!(issued.record, *find(&world, issued.token.id()), "what is told is what is stored");
    let id = issued.record.id();
    assert!(matches!(event.unwrap().kind, EventKind::Created { .. }));
    let labels = || Labels::new([(text("device"), text("x1"))]).unwrap();
    let (actor, keys) = (system(), &world.keys);

    let check = |answer: (Done, Option<Event>), expected: &str| {
        let (done, event) = answer;
        let event = event.unwrap();
        assert_eq!((done, event.kind.as_str()), (Done::Changed, expected));
        assert_eq!((event.at, event.key, event.owner), (at(150), Some(id), Some(Owner::Personal(text("ada")))));
        assert_eq!(event.by, system().principal());
        assert!(event.id.is_some());
        event.kind
    };
    // What changes nothing has no event, and answers with what is stored.
    let unchanged = |answer: (Done, Option<Event>)| {
        assert_eq!(answer, (Done::Unchanged(find(&world, id)), None));
    };

    let kind = check(logged(&world, keys.rename(&actor, id, text("desktop"))), "renamed");
    let EventKind::Renamed { name, previous_name, .. } = kind else { panic!("{kind:?}") };
    assert_eq!((name.as_str(), previous_name.as_str()), ("desktop", "laptop"));
    assert_eq!(find(&world, id).name().as_str(), "desktop");
    unchanged(logged(&world, keys.rename(&actor, id, text("desktop"))));

    let kind = check(logged(&world, keys.set_labels(&actor, id, labels())), "labels_set");
    assert!(matches!(kind, EventKind::LabelsSet { labels: set, .. } if set == labels()));
    assert_eq!(find(&world, id).labels(), &labels());
    unchanged(logged(&world, keys.set_labels(&actor, id, labels())));

    check(logged(&world, keys.disable(&actor, id)), "disabled");
    assert_eq!(find(&world, id).status(), Status::Disabled);
    unchanged(logged(&world, keys.disable(&actor, id)));

    check(logged(&world, keys.enable(&actor, id)), "enabled");
    assert_eq!(find(&world, id).status(), Status::Active);
    assert_eq!(block_on(keys.enable(&actor, id)), Err(ManageError::Conflict(Conflict::NotDisabled)));
    world.told.take();

    unchanged(logged(&world, keys.end_overlap(&actor, id)));
    let (rotated, event) = logged(&world, keys.rotate(&actor, id, START));
    let event = event.unwrap();
    let EventKind::Rotated { previous_ends_at, .. } = event.kind else { panic!("{event:?}") };
    assert_eq!((previous_ends_at, rotated.previous_ends_at), (Some(at(160)), Some(at(160))));
    assert_eq!(find(&world, id).current(), rotated.token.digest());
    let previous = PreviousSecret { digest: issued.token.digest(), ends_at: at(160), last_used_at: None };
    assert_eq!(find(&world, id).previous(), Some(previous));
    check(logged(&world, keys.end_overlap(&actor, id)), "overlap_ended");
    assert_eq!(find(&world, id).previous(), None);

    let kind = check(logged(&world, keys.revoke(&actor, id, RevocationCause::Replaced)), "revoked");
    assert!(matches!(kind, EventKind::Revoked { cause: RevocationCause::Replaced, .. }));
    let revoked = Status::Revoked { at: at(150), cause: RevocationCause::Replaced };
    assert_eq!(find(&world, id).status(), revoked);

    // Once more: there is nothing to do, the answer has the first time and cause, and there is no second event.
    world.clock.set(999);
    let (done, event) = logged(&world, keys.revoke(&actor, id, RevocationCause::Leaked));
    let Done::Unchanged(record) = done else { panic!("{done:?}") };
    assert_eq!((record.status(), event), (revoked, None));
    assert_eq!(find(&world, id).status(), revoked);

    let mut ids: Vec<_> = world.store.events().iter().map(|event| event.id.unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), world.store.events().len(), "each event has an id of its own");
}

#[test]
fn a_revoked_key_never_comes_back() {
    let world = world();
    let id = key(&world, "laptop", personal("ada"));
    let (actor, keys) = (system(), &world.keys);
    // Changes that were permitted while the key lived, and come late.
    let late = late_changes(&find(&world, id));
    block_on(keys.revoke(&actor, id, REQUESTED)).unwrap();
    let (revoked, events) = (find(&world, id), world.store.events());

    let refused = Err(ManageError::Conflict(Conflict::Revoked));
    assert_eq!(block_on(keys.rename(&actor, id, text("desktop"))), refused);
    assert_eq!(block_on(keys.set_labels(&actor, id, Labels::NONE)), refused);
    assert_eq!(block_on(keys.disable(&actor, id)), refused);
    assert_eq!(block_on(keys.enable(&actor, id)), refused);
    assert_eq!(block_on(keys.end_overlap(&actor, id)), refused);
    for rotation in [START, RETRY, Rotation::CutOver] {
        let answer = block_on(keys.rotate(&actor, id, rotation)).map(drop);
        assert_eq!(answer, Err(ManageError::Rotate(RotateError::Revoked)));
    }
    for change in late {
        assert_eq!(block_on(world.store.change(change)).unwrap(), Answer::Refused(Conflict::Revoked));
    }
    block_on(world.store.touch(vec![Touch::new(id, SecretSlot::Current, at(150))], at(150))).unwrap();
    assert_eq!((find(&world, id), world.store.events()), (revoked, events));
}

/// Changes of each kind but revoking, permitted now and not carried out yet.
fn late_changes(record: &Arc<KeyRecord>) -> Vec<keygate::store::KeyChange> {
    use keygate::manage::{Disable, Enable, EndOverlap, Rename, SetLabels};
    let (target, dice, now) = (|| Arc::clone(record), rng(7), at(150));
    vec![
        permit(Rename(target())).rename(KG, text("desktop"), &dice, now).unwrap(),
        permit(SetLabels(target())).set_labels(KG, Labels::NONE, &dice, now).unwrap(),
        permit(Disable(target())).disable(KG, &dice, now).unwrap(),
        permit(Enable(target())).enable(KG, &dice, now).unwrap(),
        permit(EndOverlap(target())).end_overlap(KG, &dice, now).unwrap(),
        permit(Rotate(target())).rotate(KG, START, &RULES, &dice, now).unwrap().change,
    ]
}

/// A permit of the system, given at 150.
fn permit<O: Operation>(operation: O) -> Permit<O> {
    authorize_operation(KG, Acting::System(&root()), operation, None, at(150)).unwrap()
}

#[test]
fn a_rotation_of_what_changed_in_the_meantime_is_refused() {
    let world = world();
    let id = key(&world, "laptop", personal("ada"));
    let late = |rotation, seed| {
        permit(Rotate(find(&world, id))).rotate(KG, rotation, &RULES, &rng(seed), at(150)).unwrap().change
    };
    let answer = |change| block_on(world.store.change(change)).unwrap();
    let planned = late(START, 2);
    let winner = rotate(&world, id, START);
    assert_eq!(answer(planned), Answer::Refused(Conflict::Changed));
    assert_eq!(find(&world, id).current(), winner.digest());

    let planned = late(Rotation::CutOver, 3);
    block_on(world.keys.disable(&system(), id)).unwrap();
    assert_eq!(answer(planned), Answer::Refused(Conflict::Disabled));
    let answer = block_on(world.keys.rotate(&system(), id, START)).map(drop);
    assert_eq!(answer, Err(ManageError::Rotate(RotateError::Disabled)));
}

/// Which secret opens the key, if it does.
fn slot(world: &World, token: &Token, now: i64) -> Option<SecretSlot> {
    let presented = UnverifiedToken::parse(KG, token.expose_secret()).unwrap();
    let record = find(world, presented.id());
    verify(&presented, Some(record), at(now)).ok().map(|key| key.slot())
}

#[test]
fn two_secrets_live_during_a_rotation_and_a_lost_answer_kills_neither() {
    let world = world();
    let first = create(&world, "laptop", personal("ada")).unwrap().token;
    let id = first.id();
    let lost = rotate(&world, id, START);
    assert_eq!(slot(&world, &first, 159), Some(SecretSlot::Previous));
    assert_eq!(slot(&world, &lost, 159), Some(SecretSlot::Current));

    // Starting again would kill the one that is deployed.
    world.clock.set(152);
    let answer = block_on(world.keys.rotate(&system(), id, START)).map(drop);
    assert_eq!(answer, Err(ManageError::Rotate(RotateError::InProgress)));
    // Retrying replaces the lost one, and the deployed one keeps its end, which is told.
    world.clock.set(155);
    let retried = block_on(world.keys.rotate(&system(), id, RETRY)).unwrap();
    assert_eq!(retried.previous_ends_at, Some(at(160)));
    let second = retried.token;
    assert_eq!(slot(&world, &first, 159), Some(SecretSlot::Previous));
    assert_eq!(slot(&world, &lost, 159), None);
    assert_eq!(slot(&world, &second, 159), Some(SecretSlot::Current));
    // From its end on, a previous secret is a wrong secret.
    assert_eq!(slot(&world, &first, 160), None);
    assert_eq!(slot(&world, &first, i64::MAX), None);
    assert_eq!(slot(&world, &second, 160), Some(SecretSlot::Current));

    // After it, one may start again; cutting over leaves one.
    world.clock.set(160);
    let third = rotate(&world, id, START);
    assert_eq!(slot(&world, &second, 169), Some(SecretSlot::Previous));
    world.clock.set(161);
    let last = block_on(world.keys.rotate(&system(), id, Rotation::CutOver)).unwrap();
    assert_eq!(last.previous_ends_at, None);
    let events = world.store.events();
    assert!(matches!(events.last().unwrap().kind, EventKind::Rotated { previous_ends_at: None, .. }));
    for dead in [&first, &lost, &second, &third] {
        assert_eq!(slot(&world, dead, 161), None);
    }
    assert_eq!(slot(&world, &last.token, 161), Some(SecretSlot::Current));
}

#[test]
fn an_overlap_ends_with_the_key_and_the_answer_says_so() {
    let world = world();
    let day = Duration::from_secs(86_400);
    for (end, overlap, expected) in [
        (Some(155), 10, Some(155)),
        (Some(160), 10, Some(160)),
        (Some(161), 10, Some(160)),
        (None, 10, Some(160)),
        (Some(155), 0, None),
        (None, 0, None),
        (None, 30 * 86_400, Some(150 + 30 * 86_400)),
    ] {
        let validity = end.map_or(Validity::NEVER_EXPIRES, |end| Validity::until(at(end)));
        let name = format!("key-{}", world.store.events().len());
        let issued = world.create(&name, team("core", full("all")), validity);
        let rotation = Rotation::Start { overlap: Duration::from_secs(overlap) };
        let rotated = block_on(world.keys.rotate(&system(), issued.record.id(), rotation)).unwrap();
        assert_eq!(rotated.previous_ends_at.map(UnixTime::as_secs), expected, "{end:?} {overlap}");
        let record = find(&world, issued.record.id());
        assert_eq!(record.previous().map(|previous| previous.ends_at.as_secs()), expected);
        assert_eq!(record.validity(), validity, "and the key ends as it did");
        assert_eq!(slot(&world, &issued.token, 150), expected.map(|_| SecretSlot::Previous));
    }
    let id = key(&world, "last", team("core", full("all")));
    let too_long = Rotation::Start { overlap: 30 * day + Duration::from_millis(1) };
    let answer = block_on(world.keys.rotate(&system(), id, too_long)).map(drop);
    assert_eq!(answer, Err(ManageError::Rotate(RotateError::OverlapTooLong)), "refused, and not shortened");
}

/// What outlives a request is matched again, without its secret: what was presented must still be live.
#[test]
fn a_matched_key_is_held_against_the_record_as_it_is_now() {
    let world = world();
    let first = create(&world, "laptop", personal("ada")).unwrap().token;
    let (id, key) = (first.id(), open(&first, &find(&world, first.id()), at(150)));
    let again = |key: &MatchedKey, now| key.match_again(Some(find(&world, id)), at(now)).map(|key| key.slot());
    assert_eq!(again(&key, 150), Ok(SecretSlot::Current));

    rotate(&world, id, START);
    assert_eq!(again(&key, 159), Ok(SecretSlot::Previous));
    assert_eq!(again(&key, 160), Err(InvalidKey));
    let by_previous = key.match_again(Some(find(&world, id)), at(150)).unwrap();
    // A lost answer is retried: what was presented before both is the previous one still.
    rotate(&world, id, RETRY);
    assert_eq!(again(&by_previous, 159), Ok(SecretSlot::Previous));
    block_on(world.keys.end_overlap(&system(), id)).unwrap();
    assert_eq!(again(&by_previous, 150), Err(InvalidKey));
    assert_eq!(again(&key, 150), Err(InvalidKey));
    assert_eq!(key.match_again(None, at(150)).err(), Some(InvalidKey));
    // Another key's record is none of this key's, nor is one of another issuer or kind.
    let other = self::key(&world, "other", personal("ada"));
    assert_eq!(key.match_again(Some(find(&world, other)), at(150)).err(), Some(InvalidKey));
    let second = rotate(&world, id, Rotation::CutOver);
    let key = open(&second, &find(&world, id), at(150));
    let foreign = changed(&find(&world, id), |parts| parts.issuer = text("acme"));
    assert_eq!(key.match_again(Some(foreign), at(150)).err(), Some(InvalidKey));
    let of_team = changed(&find(&world, id), |parts| parts.incarnation = None);
    let of_team = changed(&of_team, |parts| parts.grant = team("core", full("all")));
    assert_eq!(key.match_again(Some(of_team), at(150)).err(), Some(InvalidKey));
    // Status is the policy's matter: a revoked key matches, and its new status is seen.
    block_on(world.keys.revoke(&system(), id, REQUESTED)).unwrap();
    assert_eq!(key.status(), Status::Active);
    let status = key.match_again(Some(find(&world, id)), at(150)).unwrap().status();
    assert_eq!(status, Status::Revoked { at: at(150), cause: REQUESTED });
}

#[test]
fn an_overlap_is_ended_early_or_never_begins() {
    let world = world();
    let first = create(&world, "laptop", personal("ada")).unwrap().token;
    let id = first.id();
    rotate(&world, id, START);
    assert_eq!(slot(&world, &first, 151), Some(SecretSlot::Previous));
    block_on(world.keys.end_overlap(&system(), id)).unwrap();
    assert_eq!(slot(&world, &first, 151), None);

    let second = rotate(&world, id, RETRY);
    assert_eq!(slot(&world, &second, 159), Some(SecretSlot::Current));
    block_on(world.keys.end_overlap(&system(), id)).unwrap();
    rotate(&world, id, Rotation::Start { overlap: Duration::ZERO });
    assert_eq!(slot(&world, &second, 150), None);
}

/// Starts over with the next of its seeds after a number of fills; clones share it.
#[derive(Clone)]
struct Repeating(Arc<Mutex<Fills>>);

struct Fills {
    dice: Seeded,
    filled: usize,
    each: usize,
    next_seeds: Vec<u8>,
}

impl Repeating {
    fn new(each: usize, next_seeds: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Fills { dice: rng(1), filled: 0, each, next_seeds })))
    }

    fn filled(&self) -> usize {
        self.0.lock().unwrap().filled
    }
}

impl Randomness for Repeating {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        let mut fills = self.0.lock().unwrap();
        let next = if fills.filled == fills.each { fills.next_seeds.pop() } else { None };
        if let Some(seed) = next {
            (fills.dice, fills.filled) = (rng(seed), 0);
        }
        fills.filled += 1;
        fills.dice.fill(bytes)
    }
}

#[test]
fn an_id_that_is_taken_is_drawn_again_a_few_times() {
    let store = MemoryStore::new();
    let create = |randomness: Repeating, name: &str| {
        let keys = KeyManager::with_parts(KG, store.clone(), || at(150), randomness);
        let spec = NewKeySpec::new(team("core", full("all")), text(name), Validity::NEVER_EXPIRES);
        block_on(keys.create(&system(), spec))
    };
    let counting = Repeating::new(usize::MAX, vec![]);
    let first = create(counting.clone(), "first").unwrap();
    let (fills, record) = (counting.filled(), block_on(store.find(first.record.id())).unwrap());
    assert!(fills >= 3, "an id, a secret, and the id of the event");

    let second = create(Repeating::new(fills, vec![2]), "second").unwrap();
    assert_ne!(second.record.id(), first.record.id());
    assert_eq!(block_on(store.find(second.record.id())).unwrap().unwrap().current(), second.token.digest());
    assert_eq!(block_on(store.find(first.record.id())).unwrap(), record);
    assert_eq!(
        store.events().iter().map(|event| event.key).collect::<Vec<_>>(),
        [Some(first.record.id()), Some(second.record.id())]
    );

    let answer = create(Repeating::new(fills, vec![1; 100]), "third");
    assert_eq!(answer.map(drop), Err(ManageError::Conflict(Conflict::IdTaken)));
    assert_eq!((block_on(store.find(first.record.id())).unwrap(), store.events().len()), (record, 2));
}

#[test]
fn names_are_unique_among_the_living_keys_of_an_owner() {
    let world = world();
    world.set_member("core", "core", TeamRole::Outsider);
    let taken = Err(ManageError::Conflict(Conflict::NameTaken));
    let laptop = key(&world, "laptop", personal("ada"));
    assert_eq!(create(&world, "laptop", personal("ada")).map(drop), taken);
    // Another owner, also one of the same text, has names of their own.
    key(&world, "laptop", personal("bob"));
    key(&world, "laptop", personal("core"));
    key(&world, "laptop", team("core", full("all")));
    // A team's keys share one set of names, whatever their permission.
    assert_eq!(create(&world, "laptop", team("core", metrics("all"))).map(drop), taken);

    let desktop = key(&world, "desktop", personal("ada"));
    let (actor, keys) = (system(), &world.keys);
    assert_eq!(block_on(keys.rename(&actor, desktop, text("laptop"))).map(drop), taken.clone());
    // Its own name is not taken; a disabled key's name is.
    block_on(keys.rename(&actor, desktop, text("desktop"))).unwrap();
    block_on(keys.disable(&actor, laptop)).unwrap();
    assert_eq!(create(&world, "laptop", personal("ada")).map(drop), taken);
    // So is an expired key's; a revoked key's name is free.
    let _ = world.create("short", personal("ada"), Validity::until(at(151)));
    world.clock.set(200);
    assert_eq!(create(&world, "short", personal("ada")).map(drop), taken);
    block_on(keys.revoke(&actor, laptop, REQUESTED)).unwrap();
    key(&world, "laptop", personal("ada"));
}

#[test]
fn a_generator_that_fails_makes_no_key() {
    struct Failing;

    impl Randomness for Failing {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomnessError> {
            Err(RandomnessError::new())
        }
    }

    let world = world();
    let issued = create(&world, "laptop", personal("ada")).unwrap();
    let before = (find(&world, issued.record.id()), world.store.events());
    let failing = KeyManager::with_parts(KG, world.store.clone(), || at(150), Failing)
        .with_directory(world.directory.clone())
        .with_sink(world.told.clone());
    let (actor, spec) = (system(), NewKeySpec::new(personal("ada"), text("desktop"), Validity::NEVER_EXPIRES));
    let failed = || ManageError::Permit(PermitError::Randomness(RandomnessError::new()));
    assert!(block_on(failing.create(&actor, spec)).unwrap_err().refusal().is_none());
    assert!(block_on(failing.rotate(&actor, issued.record.id(), START)).unwrap_err().refusal().is_none());
    // Nor is anything changed whose event would have no id.
    assert_eq!(block_on(failing.rename(&actor, issued.record.id(), text("desktop"))).unwrap_err(), failed());
    assert_eq!(block_on(failing.revoke(&actor, issued.record.id(), REQUESTED)).unwrap_err(), failed());
    let owner = Owner::Personal(text("ada"));
    assert_eq!(block_on(failing.revoke_all(&root(), owner, REQUESTED)).unwrap_err(), failed());
    assert_eq!((find(&world, issued.record.id()), world.store.events()), before);
    assert!(world.told.take_events().is_empty(), "nobody refused");
}

fn pages(limit: u16, mut page: impl FnMut(ListQuery) -> Page) -> Vec<Vec<KeyId>> {
    let mut query = ListQuery::new();
    query.limit = NonZeroU16::new(limit).unwrap();
    let mut pages = Vec::new();
    loop {
        let page = page(query);
        pages.push(page.records.iter().map(|record| record.id()).collect());
        match page.next {
            Some(after) => query.after = Some(after),
            None => return pages,
        }
    }
}

#[test]
fn lists_come_in_pages_by_creation() {
    let world = world();
    let mut ids: Vec<_> = [300, 150, 200, 200, 200]
        .into_iter()
        .enumerate()
        .map(|(place, created)| {
            world.clock.set(created);
            (created, key(&world, &format!("key-{place}"), personal("ada")))
        })
        .collect();
    ids.sort_unstable();
    let ids: Vec<_> = ids.into_iter().map(|(_, id)| id).collect();
    key(&world, "key", personal("bob"));
    key(&world, "key", team("ada", full("all")));
    // Revoked keys are listed.
    block_on(world.keys.revoke(&system(), ids[1], REQUESTED)).unwrap();

    let of_ada = |query| block_on(world.keys.list(&user("ada"), Owner::Personal(text("ada")), query)).unwrap();
    assert_eq!(pages(2, of_ada), [&ids[..2], &ids[2..4], &ids[4..]]);
    assert_eq!(pages(5, of_ada), [&ids[..]]);
    assert_eq!(pages(u16::MAX, of_ada), [&ids[..]]);
    assert_eq!(pages(1, of_ada).len(), 5);
    let revoked = |mut query: ListQuery| {
        query.filter.status = Some(StatusFilter::Revoked);
        of_ada(query)
    };
    assert_eq!(pages(2, revoked), [[ids[1]]]);

    let of_carol = |query| block_on(world.keys.list(&system(), Owner::Personal(text("carol")), query)).unwrap();
    assert_eq!(pages(2, of_carol), [Vec::<KeyId>::new()]);

    // By creator, and all: the system created all of them but one.
    let spec = NewKeySpec::new(personal("ada"), text("own"), Validity::NEVER_EXPIRES);
    let own = block_on(world.keys.create(&user("ada"), spec)).unwrap().record.id();
    let of = |keys_of: KeysOf| {
        let list = |query| block_on(world.keys.list_all(&root(), keys_of.clone(), query)).unwrap();
        pages(3, list).concat()
    };
    assert_eq!(of(KeysOf::Creator(Creator::User(text("ada")))), [own]);
    assert_eq!(of(KeysOf::Creator(Creator::User(text("bob")))), []);
    assert_eq!(of(KeysOf::Creator(Creator::System)).len(), 7);
    assert_eq!(of(KeysOf::All).len(), 8);
}

#[test]
fn who_may_list_the_keys_of_an_owner_finds_each_of_them() {
    let world = world();
    let (of_ada, of_core) = (key(&world, "key", personal("ada")), key(&world, "key", team("core", full("all"))));
    let seen = |actor: &Actor, id| {
        block_on(world.keys.find(actor, id)).map(|record| record.id()).map_err(|error| error.refusal().unwrap())
    };
    assert_eq!(seen(&user("ada"), of_ada), Ok(of_ada));
    assert_eq!(seen(&user("ada"), of_core), Ok(of_core));
    assert_eq!(seen(&system(), of_ada), Ok(of_ada));
    assert_eq!(seen(&user("bob"), of_ada), Err(Reason::OtherUser.into()));
    assert_eq!(seen(&user("bob"), of_core), Err(Reason::LevelInsufficient.into()));
    assert_eq!(seen(&user("eve"), of_core), Err(Reason::OwnerDeprovisioned.into()));
    let absent = "0000000000000000".parse().unwrap();
    assert_eq!(seen(&user("ada"), absent).unwrap_err().to_string(), "absent");
}

/// Nobody presents a secret, and the answer is that of the gate to one who does.
#[test]
fn a_dry_run_is_what_would_be_decided() {
    let world = world();
    let grants = [personal("bob"), team("core", full("all")), team("core", metrics("m1"))];
    let issued = grants.map(|grant| create(&world, &format!("key-{}", world.store.events().len()), grant));
    for step in ["active", "disabled", "user gone"] {
        for key in issued.iter().flatten() {
            let id = key.record.id();
            if step == "disabled" {
                block_on(world.keys.disable(&system(), id)).unwrap();
            }
            for asked in
                [request("core", Action::Deploy), request("labs", Action::Deploy), request("core", call("m1", None))]
            {
                let decided = match block_on(world.gate.check(key.token.expose_secret(), &asked)).unwrap() {
                    Verdict::Allowed(_) => None,
                    Verdict::Denied { denial, .. } => Some(denial),
                    other => panic!("{other:?}"),
                };
                let dry_run = block_on(world.keys.dry_run(&system(), id, asked.clone())).unwrap();
                assert_eq!(dry_run.denial(), decided, "{step}: {asked:?}");
            }
            if step == "disabled" {
                block_on(world.keys.enable(&system(), id)).unwrap();
            }
        }
        if step == "disabled" {
            world.directory.deprovision(&text("bob"));
        }
    }
    let core = issued[1].as_ref().unwrap().record.id();
    let dry_run = |actor: &Actor, action| block_on(world.keys.dry_run(actor, core, request("core", action)));
    let allowed = dry_run(&user("ada"), Action::Deploy).unwrap();
    assert!(allowed.denial().is_none() && allowed.requirement().is_none());
    let of_metrics = issued[2].as_ref().unwrap().record.id();
    let denied = block_on(world.keys.dry_run(&system(), of_metrics, request("core", Action::Deploy))).unwrap();
    assert_eq!(denied.requirement().unwrap().to_string(), "a key with level `full`");
    assert_eq!(
        dry_run(&user("eve"), Action::Deploy).unwrap_err().refusal().unwrap(),
        Reason::OwnerDeprovisioned.into()
    );
}

#[test]
fn all_keys_of_an_owner_end_at_once() {
    let world = world();
    world.set_member("core", "core", TeamRole::Outsider);
    let (actor, keys) = (system(), &world.keys);
    let mut due: Vec<_> = (1..=3).map(|place| key(&world, &format!("key-{place}"), personal("core"))).collect();
    due.sort_unstable();
    let gone = key(&world, "gone", personal("core"));
    block_on(keys.revoke(&actor, gone, REQUESTED)).unwrap();
    block_on(keys.disable(&actor, due[0])).unwrap();
    let others = [key(&world, "key", personal("bob")), key(&world, "key", team("core", full("all")))];

    // What it would end is a list.
    let owner = || Owner::Personal(text("core"));
    let listed = || {
        let mut query = ListQuery::new();
        query.filter.status = Some(StatusFilter::NotRevoked);
        let page = block_on(keys.list(&actor, owner(), query)).unwrap();
        let mut ids: Vec<_> = page.records.iter().map(|record| record.id()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(listed(), due);

    world.clock.set(160);
    let before = world.store.events().len();
    let cause = RevocationCause::Unused;
    assert_eq!(block_on(keys.revoke_all(&root(), owner(), cause)), Ok(due.clone()));
    let events = world.store.events().split_off(before);
    assert_eq!(events.iter().map(|event| event.key.unwrap()).collect::<Vec<_>>(), due);
    for event in &events {
        assert_eq!((event.at, &event.by, &event.owner), (at(160), &actor.principal(), &Some(owner())));
        assert!(matches!(event.kind, EventKind::Revoked { cause: RevocationCause::Unused, .. }));
    }
    for id in &due {
        assert_eq!(find(&world, *id).status(), Status::Revoked { at: at(160), cause });
    }
    // The first time and cause stay, and others' keys live.
    assert_eq!(find(&world, gone).status(), Status::Revoked { at: at(150), cause: REQUESTED });
    for id in others {
        assert_eq!(find(&world, id).status(), Status::Active);
    }
    assert_eq!(listed(), []);
    assert_eq!(block_on(keys.revoke_all(&root(), owner(), cause)), Ok(vec![]));
    assert_eq!(world.store.events().len(), before + due.len());

    let of_team = block_on(keys.revoke_all(&root(), Owner::Team(text("core")), cause));
    assert_eq!(of_team, Ok(vec![others[1]]));
}

#[test]
fn the_last_use_moves_forward_only_and_never_past_now() {
    let world = world();
    let id = key(&world, "laptop", personal("ada"));
    let touched = |used_at, now| {
        block_on(world.store.touch(vec![Touch::new(id, SecretSlot::Current, at(used_at))], at(now))).unwrap();
        find(&world, id).last_used_at().map(UnixTime::as_secs)
    };
    assert_eq!(find(&world, id).last_used_at(), None);
    assert_eq!(touched(150, 150), Some(150));
    assert_eq!(touched(149, 160), Some(150));
    assert_eq!(touched(155, 160), Some(155));
    // A clock that is ahead of this one's.
    assert_eq!(touched(170, 160), Some(160));
    assert_eq!(touched(i64::MAX, 161), Some(161));
    // A key that is not there is no failure.
    let absent = Touch::new(text("wk59pfKL0jFi2YYv"), SecretSlot::Current, at(150));
    block_on(world.store.touch(vec![absent], at(150))).unwrap();
}

/// Of a rotated key it can be seen whether anybody still uses the previous secret.
#[test]
fn the_last_use_of_a_previous_secret_is_kept_apart() {
    let world = world();
    let id = key(&world, "laptop", personal("ada"));
    rotate(&world, id, START);
    let touch = |slot, used_at| {
        block_on(world.store.touch(vec![Touch::new(id, slot, at(used_at))], at(200))).unwrap();
        let record = find(&world, id);
        let previous = record.previous().and_then(|previous| previous.last_used_at);
        (record.last_used_at().map(UnixTime::as_secs), previous.map(UnixTime::as_secs))
    };
    assert_eq!(touch(SecretSlot::Current, 155), (Some(155), None));
    assert_eq!(touch(SecretSlot::Previous, 153), (Some(155), Some(153)));
    assert_eq!(touch(SecretSlot::Previous, 157), (Some(157), Some(157)));
    block_on(world.keys.end_overlap(&system(), id)).unwrap();
    assert_eq!(touch(SecretSlot::Previous, 158), (Some(158), None));
}

/// A manager of one prefix manages no key of another one in the same store.
#[test]
fn keys_of_another_issuer_are_not_there() {
    let world = world();
    let other = KeyManager::with_parts(text("acme"), world.store.clone(), || at(150), rng(9))
        .with_directory(world.directory.clone());
    let id = key(&world, "laptop", personal("ada"));
    let absent = || Err(ManageError::Conflict(Conflict::Absent));
    assert_eq!(block_on(other.rename(&system(), id, text("desktop"))), absent());
    assert_eq!(block_on(other.revoke(&user("ada"), id, REQUESTED)), absent());
    assert_eq!(block_on(other.rotate(&system(), id, START)).map(drop), absent().map(|_: Done| ()));
    assert!(block_on(world.keys.revoke(&user("ada"), id, REQUESTED)).is_ok());
}
