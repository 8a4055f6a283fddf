//! Managing keys: who may do what to whose keys as a golden file, each rule by hand, and what the operations do.
#![cfg(feature = "memory")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;
#[path = "common/table.rs"]
mod table;

use core::{num::NonZeroU16, time::Duration};
use std::sync::Arc;

use common::{KG, at, changed, environments, full, issue, key, metrics, open, personal, rng, system, team, text};
use keygate::{
    Actor, Asked, Conflict, Create, Creator, DenialClass, Disable, Enable, EventKind, Grant, InvalidKey, Issued, KeyId,
    KeyManagementStore, KeyManager, KeyRecord, KeyStore, List, ManageDenial, ManageError, MatchedKey, Membership,
    MemoryStore, OperationKind, Owner, PageRequest, Permit, PreviousChange, PreviousSecret, Principal, Reason,
    RecordParts, Rename, Revoke, Rotate, RotateError, Rotation, SecretSlot, Status, System, UnixTime, UnverifiedToken,
    Validity, authorize_operation, verify,
};
use pollster::block_on;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{TryCryptoRng, TryRng},
};
use table::Table;

const NOW: UnixTime = at(150);
const REVOKED: Status = Status::Revoked { at: at(50) };
const STANDINGS: [(&str, Option<Membership>); 5] = [
    ("none", None),
    ("admin", Some(Membership::Admin)),
    ("member", Some(Membership::Member)),
    ("outsider", Some(Membership::Outsider)),
    ("deprovisioned", Some(Membership::Deprovisioned)),
];

fn labels<T>(values: &[(&str, T)]) -> Vec<String> {
    values.iter().map(|(label, _)| (*label).to_owned()).collect()
}

fn between(start: i64, end: i64) -> Validity {
    Validity::between(at(start), at(end)).unwrap()
}

fn record(grant: Grant, seed: u8) -> Arc<KeyRecord> {
    Arc::new(issue(grant, Validity::NEVER_EXPIRES, seed).key.record().clone())
}

fn user(name: &str) -> Actor<'static> {
    Actor::User(text(name))
}

/// Asks for any operation; where it creates or lists, the target is the owner of `target`.
fn ask(
    actor: &Actor<'_>,
    operation: OperationKind,
    target: &Arc<KeyRecord>,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<(), ManageDenial> {
    let target = target.clone();
    match operation {
        OperationKind::Create => authorize_operation(actor, Create(target.grant().clone()), membership, now).map(drop),
        OperationKind::Disable => authorize_operation(actor, Disable(target), membership, now).map(drop),
        OperationKind::Enable => authorize_operation(actor, Enable(target), membership, now).map(drop),
        OperationKind::List => authorize_operation(actor, List(target.grant().owner()), membership, now).map(drop),
        OperationKind::Rename => authorize_operation(actor, Rename(target), membership, now).map(drop),
        OperationKind::Revoke => authorize_operation(actor, Revoke(target), membership, now).map(drop),
        OperationKind::Rotate => authorize_operation(actor, Rotate(target), membership, now).map(drop),
        other => panic!("`{other}` is not in the table"),
    }
}

fn outcome(answer: Result<(), ManageDenial>) -> String {
    let Err(denial) = answer else { return "allow".to_owned() };
    let class = match denial.class() {
        DenialClass::NotAllowed => "not allowed",
        DenialClass::NotAuthenticated => "not authenticated",
        DenialClass::Undecided => "undecided",
        _ => panic!("a class that the table does not know"),
    };
    let conceals = if denial.reveals_existence() { ", conceals" } else { "" };
    format!("{}: {class}{conceals}", denial.reason())
}

#[test]
fn the_whole_table_is_the_golden_one() {
    let others = [
        ("ada's", record(personal("ada"), 1)),
        ("bob's", record(personal("bob"), 2)),
        ("core's", record(team("core", full("all")), 3)),
        ("other's", record(team("other", full("all")), 4)),
    ];
    let operations: Vec<_> = OperationKind::ALL.iter().map(ToString::to_string).collect();
    let mut table =
        Table::new(&["actor", "its key is", "its time", "target", "user's membership", "operation", "outcome"]);

    for (label, actor) in [("system", system()), ("user ada", user("ada"))] {
        let columns = [
            vec![label.to_owned()],
            vec!["-".to_owned()],
            vec!["-".to_owned()],
            labels(&others),
            labels(&STANDINGS),
            operations.clone(),
        ];
        table.add(&columns, |place| {
            let [_, _, _, target, membership, operation] = place else { panic!("there are six columns") };
            let target = &others[*target].1;
            outcome(ask(&actor, OperationKind::ALL[*operation], target, STANDINGS[*membership].1, NOW))
        });
    }

    let statuses = [("revoked", REVOKED), ("disabled", Status::Disabled), ("active", Status::Active)];
    let times = [("early", at(99)), ("valid", NOW), ("over", at(200))];
    // To itself, a key does only what has a record for its target.
    let record_operations: Vec<_> = OperationKind::ALL
        .iter()
        .copied()
        .filter(|operation| !matches!(operation, OperationKind::Create | OperationKind::List))
        .collect();
    for (label, grant) in [("key of ada", personal("ada")), ("key of core", team("core", full("all")))] {
        let keys = statuses.map(|(_, status)| key(grant.clone(), between(100, 200), status, 5));
        let own = Arc::new(issue(grant.clone(), between(100, 200), 5).key.record().clone());
        let itself = [("itself", own)];
        for (targets, operations) in [(&itself[..], &*record_operations), (&others[..], OperationKind::ALL)] {
            let columns = [
                vec![label.to_owned()],
                labels(&statuses),
                labels(&times),
                labels(targets),
                labels(&STANDINGS),
                operations.iter().map(ToString::to_string).collect(),
            ];
            table.add(&columns, |place| {
                let [_, status, time, target, membership, operation] = place else { panic!("there are six columns") };
                let (actor, target) = (Actor::Key(&keys[*status]), &targets[*target].1);
                outcome(ask(&actor, operations[*operation], target, STANDINGS[*membership].1, times[*time].1))
            });
        }
    }
    table.assert_golden("manage.txt", PREAMBLE);
}

const PREAMBLE: &str = "\
# What `authorize_operation` answers to every combination of these columns; `*` is each value of its column.
# Written by `UPDATE_GOLDEN=1 cargo test --all-features --test manage`: read the difference before you commit it.
# Targets are other keys than the actor's own, except `itself`; to create and to list, the target is their owner.
";

/// A row of a rule: the first refusal in `authorize_operation`, or none.
#[track_caller]
fn rule(
    actor: &Actor<'_>,
    operation: OperationKind,
    target: &Arc<KeyRecord>,
    membership: Option<Membership>,
    expected: Result<(), Reason>,
) {
    let answer = ask(actor, operation, target, membership, NOW);
    assert_eq!(answer.map_err(|denial| denial.reason()), expected, "{actor:?} {operation} {membership:?}");
}

/// A key that was just verified, and its record.
fn own(grant: Grant, validity: Validity, status: Status) -> (MatchedKey, Arc<KeyRecord>) {
    let issued = issue(grant, validity, 9);
    let record = changed(issued.key.record(), |parts| parts.status = status);
    (open(&issued.token, &record, NOW), record)
}

#[test]
fn m1_an_operator_may_do_everything() {
    for target in [personal("ada"), team("core", metrics("all"))] {
        for status in [Status::Active, Status::Disabled, REVOKED] {
            let target = changed(&record(target.clone(), 1), |parts| parts.status = status);
            for operation in OperationKind::ALL {
                // A membership is nobody's here.
                for (_, membership) in STANDINGS {
                    rule(&system(), *operation, &target, membership, Ok(()));
                }
            }
        }
    }
    for (reason, is_legal) in [("first key", true), ("", false), ("a\nb", false)] {
        assert_eq!(System::new(reason).is_ok(), is_legal, "{reason:?}");
    }
}

#[test]
fn m2_an_unusable_key_does_nothing() {
    let cases = [
        (REVOKED, Validity::NEVER_EXPIRES, Reason::Revoked),
        (REVOKED, between(0, 100), Reason::Revoked),
        (Status::Disabled, Validity::NEVER_EXPIRES, Reason::Disabled),
        (Status::Disabled, between(0, 100), Reason::Disabled),
        (Status::Active, Validity::starting_at(at(151)), Reason::NotYetValid),
        (Status::Active, Validity::until(at(150)), Reason::Expired),
    ];
    for grant in [personal("ada"), team("core", full("all"))] {
        for (status, validity, reason) in cases {
            let (key, record) = own(grant.clone(), validity, status);
            // Not even to end itself (M4); and before M3: nobody's membership is needed.
            for membership in [None, Some(Membership::Admin), Some(Membership::Deprovisioned)] {
                rule(&Actor::Key(&key), OperationKind::Revoke, &record, membership, Err(reason));
                rule(&Actor::Key(&key), OperationKind::Rename, &record, membership, Err(reason));
            }
        }
        for validity in [Validity::NEVER_EXPIRES, Validity::starting_at(at(150)), Validity::until(at(151))] {
            let (key, record) = own(grant.clone(), validity, Status::Active);
            rule(&Actor::Key(&key), OperationKind::Revoke, &record, Some(Membership::Member), Ok(()));
        }
    }
}

#[test]
fn m3_standing_is_needed_and_a_deprovisioned_user_does_nothing() {
    let (of_ada, of_core) = (record(personal("ada"), 1), record(team("core", full("all")), 2));
    let (key, itself) = own(personal("ada"), Validity::NEVER_EXPIRES, Status::Active);
    for operation in OperationKind::ALL {
        for target in [&of_ada, &of_core, &itself] {
            for actor in [user("ada"), user("bob"), Actor::Key(&key)] {
                // Before M4, M6 and M7.
                rule(&actor, *operation, target, None, Err(Reason::MembershipRequired));
                let deprovisioned = Some(Membership::Deprovisioned);
                rule(&actor, *operation, target, deprovisioned, Err(Reason::OwnerDeprovisioned));
            }
        }
    }
}

#[test]
fn m4_and_m5_a_team_key_may_only_end_itself() {
    let (key, itself) = own(team("core", full("all")), Validity::NEVER_EXPIRES, Status::Active);
    let actor = Actor::Key(&key);
    let others = [
        record(team("core", metrics("all")), 1),
        record(team("other", full("all")), 2),
        record(personal("ada"), 3),
        // A team and a user of the same name.
        record(personal("core"), 4),
    ];
    // Membership is no matter of theirs, whatever it is.
    for (_, membership) in STANDINGS {
        for operation in OperationKind::ALL {
            let is_end = *operation == OperationKind::Revoke;
            let expected = if is_end { Ok(()) } else { Err(Reason::LevelInsufficient) };
            rule(&actor, *operation, &itself, membership, expected);
            for other in &others {
                rule(&actor, *operation, other, membership, Err(Reason::LevelInsufficient));
            }
        }
    }
    // A weak key may end itself too, and a personal key whoever its user is in any team.
    let (key, itself) = own(team("core", metrics("m1")), Validity::NEVER_EXPIRES, Status::Active);
    rule(&Actor::Key(&key), OperationKind::Revoke, &itself, None, Ok(()));
    let (key, itself) = own(personal("ada"), Validity::NEVER_EXPIRES, Status::Active);
    rule(&Actor::Key(&key), OperationKind::Revoke, &itself, Some(Membership::Outsider), Ok(()));
}

#[test]
fn m6_a_user_s_keys_are_managed_by_that_user() {
    let (of_ada, of_bob) = (record(personal("ada"), 1), record(personal("bob"), 2));
    let (key, itself) = own(personal("ada"), Validity::NEVER_EXPIRES, Status::Active);
    for operation in OperationKind::ALL {
        for membership in [Membership::Admin, Membership::Member, Membership::Outsider].map(Some) {
            rule(&user("ada"), *operation, &of_ada, membership, Ok(()));
            // Not by an admin of any team.
            rule(&user("ada"), *operation, &of_bob, membership, Err(Reason::OtherUser));
            rule(&user("Ada"), *operation, &of_ada, membership, Err(Reason::OtherUser));

            let is_creation = *operation == OperationKind::Create;
            let expected = if is_creation { Err(Reason::SessionRequired) } else { Ok(()) };
            rule(&Actor::Key(&key), *operation, &of_ada, membership, expected);
            rule(&Actor::Key(&key), *operation, &itself, membership, expected);
            // Whose it is comes first.
            rule(&Actor::Key(&key), *operation, &of_bob, membership, Err(Reason::OtherUser));
        }
    }
}

#[test]
fn m7_a_team_s_keys_are_managed_by_its_admins() {
    let (key, _) = own(personal("ada"), Validity::NEVER_EXPIRES, Status::Active);
    // A user of the team's name is no more than any.
    for target in [record(team("core", full("all")), 1), record(team("ada", metrics("all")), 2)] {
        for operation in OperationKind::ALL {
            for actor in [user("ada"), Actor::Key(&key)] {
                rule(&actor, *operation, &target, Some(Membership::Admin), Ok(()));
                rule(&actor, *operation, &target, Some(Membership::Member), Err(Reason::LevelInsufficient));
                rule(&actor, *operation, &target, Some(Membership::Outsider), Err(Reason::OtherTeam));
            }
        }
    }
}

#[test]
fn a_denial_tells_operation_reason_and_key() {
    let target = record(team("core", full("all")), 1);
    let ada = user("ada");
    let denial = authorize_operation(&ada, Rename(target.clone()), Some(Membership::Outsider), NOW).unwrap_err();
    assert_eq!(denial.to_string(), "rename denied: other_team");
    assert_eq!(
        (denial.reason(), denial.operation(), denial.class(), denial.reveals_existence()),
        (Reason::OtherTeam, OperationKind::Rename, DenialClass::NotAllowed, true)
    );
    let event = ada.to_event(denial, NOW);
    assert_eq!((event.at, event.by, event.key), (NOW, Principal::User { id: text("ada") }, Some(target.id())));
    let asked = Some(Asked::Operation(OperationKind::Rename));
    assert_eq!(event.kind, EventKind::Refused { asked, why: Reason::OtherTeam.as_str() });

    // Who creates or lists names no key.
    let denial = authorize_operation(&ada, Create(target.grant().clone()), Some(Membership::Member), NOW).unwrap_err();
    assert_eq!(ada.to_event(denial, NOW).key, None);
    let (key, _) = own(team("core", full("all")), Validity::NEVER_EXPIRES, Status::Active);
    let actor = Actor::Key(&key);
    let denial = authorize_operation(&actor, List(target.grant().owner()), None, NOW).unwrap_err();
    assert_eq!(actor.to_event(denial, NOW).by, Principal::Key { id: key.id(), slot: SecretSlot::Current });
}

#[test]
fn owner_permission_and_creator_come_from_the_permit() {
    let cases = [
        (system(), personal("bob"), None, Creator::System),
        (system(), team("core", metrics("m1")), None, Creator::System),
        (user("ada"), personal("ada"), Some(Membership::Outsider), Creator::User(text("ada"))),
        (user("ada"), team("core", full("prod")), Some(Membership::Admin), Creator::User(text("ada"))),
    ];
    for (actor, grant, membership, creator) in cases {
        let permit = authorize_operation(&actor, Create(grant.clone()), membership, NOW).unwrap();
        assert_eq!(&permit.operation().0, &grant);
        let Issued { token, key, event, .. } =
            permit.issue(KG, text("laptop"), between(200, 300), &mut rng(1), NOW).unwrap();
        let expected = RecordParts {
            id: token.id(),
            name: text("laptop"),
            grant: grant.clone(),
            created_at: NOW,
            created_by: creator,
            not_before: Some(at(200)),
            expires_at: Some(at(300)),
            last_used_at: None,
            status: Status::Active,
            current: token.digest(),
            previous: None,
        };
        assert_eq!(RecordParts::from(key.record().clone()), expected);
        assert_eq!((token.kind(), key.record().kind()), (grant.kind(), grant.kind()));
        assert_eq!((event.at, event.key), (NOW, Some(token.id())));
        assert_eq!(event.kind, EventKind::Created { name: text("laptop"), owner: grant.owner() });
        let by = match &actor {
            Actor::System(system) => Principal::System { reason: system.reason().clone() },
            _ => Principal::User { id: text("ada") },
        };
        assert_eq!(event.by, by);
    }
}

/// M7 lets the personal key of an admin create team keys. The event names the key; the creator is its user, who is
/// looked up when somebody leaves, and never the system.
#[test]
fn what_a_personal_key_creates_is_its_user_s_creation() {
    let (key, _) = own(personal("ada"), Validity::NEVER_EXPIRES, Status::Active);
    let create = Create(team("core", full("all")));
    let permit = authorize_operation(&Actor::Key(&key), create, Some(Membership::Admin), NOW).unwrap();
    let issued = permit.issue(KG, text("nightly"), Validity::NEVER_EXPIRES, &mut rng(1), NOW).unwrap();
    assert_eq!(issued.key.record().created_by(), &Creator::User(text("ada")));
    assert_eq!(issued.event.by, Principal::Key { id: key.id(), slot: SecretSlot::Current });
}

fn permit_to_rotate(record: Arc<KeyRecord>) -> Permit<Rotate> {
    authorize_operation(&system(), Rotate(record), None, NOW).unwrap()
}

const START: Rotation = Rotation::Start { overlap: Duration::from_secs(10) };
const RETRY: Rotation = Rotation::Retry { overlap: Duration::from_secs(10) };

#[test]
fn only_an_active_and_unexpired_key_is_rotated() {
    let issued = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let cases = [
        (Status::Active, None, None, Ok(())),
        // A key whose time has not come may be rotated.
        (Status::Active, Some(at(200)), None, Ok(())),
        (Status::Active, None, Some(at(151)), Ok(())),
        (Status::Active, None, Some(at(150)), Err(RotateError::Expired)),
        (Status::Disabled, None, None, Err(RotateError::Disabled)),
        (Status::Disabled, None, Some(at(150)), Err(RotateError::Disabled)),
        (REVOKED, None, None, Err(RotateError::Revoked)),
        (REVOKED, None, Some(at(150)), Err(RotateError::Revoked)),
    ];
    for (status, not_before, expires_at, expected) in cases {
        let record = changed(issued.key.record(), |parts| {
            (parts.status, parts.not_before, parts.expires_at) = (status, not_before, expires_at);
        });
        for rotation in [START, RETRY, Rotation::CutOver] {
            let answer = permit_to_rotate(record.clone()).rotate(KG, rotation, &mut rng(2), NOW);
            assert_eq!(answer.map(drop), expected, "{status:?} {expires_at:?} {rotation:?}");
        }
    }
}

#[test]
fn what_becomes_of_the_previous_secret() {
    let first = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let older =
        PreviousSecret { digest: issue(personal("ada"), Validity::NEVER_EXPIRES, 2).token.digest(), ends_at: at(170) };
    let current = first.token.digest();
    let overlap = |seconds| Rotation::Start { overlap: Duration::from_secs(seconds) };
    let until = |seconds| PreviousChange::Set(PreviousSecret { digest: current, ends_at: at(seconds) });
    let ended = PreviousSecret { ends_at: NOW, ..older };
    let cases = [
        // No previous secret.
        (None, None, START, Ok((until(160), Some(160)))),
        (None, None, RETRY, Ok((until(160), Some(160)))),
        (None, None, Rotation::CutOver, Ok((PreviousChange::Clear, None))),
        // An overlap of nothing: the current one ends now.
        (None, None, overlap(0), Ok((until(150), Some(150)))),
        // An overlap is never longer than the key, nor than time.
        (None, Some(155), START, Ok((until(155), Some(155)))),
        (None, Some(160), START, Ok((until(160), Some(160)))),
        (None, Some(155), RETRY, Ok((until(155), Some(155)))),
        (None, None, overlap(u64::MAX), Ok((until(i64::MAX), Some(i64::MAX)))),
        // A live one.
        (Some(older), None, START, Err(RotateError::InProgress)),
        (Some(older), None, overlap(0), Err(RotateError::InProgress)),
        (Some(older), None, RETRY, Ok((PreviousChange::Keep, Some(170)))),
        (Some(older), None, Rotation::CutOver, Ok((PreviousChange::Clear, None))),
        // One that ended, now.
        (Some(ended), None, START, Ok((until(160), Some(160)))),
        (Some(ended), None, RETRY, Ok((until(160), Some(160)))),
        (Some(ended), None, Rotation::CutOver, Ok((PreviousChange::Clear, None))),
    ];
    for (previous, expires_at, rotation, expected) in cases {
        let record = changed(first.key.record(), |parts| {
            (parts.previous, parts.expires_at) = (previous, expires_at.map(at));
        });
        let answer = permit_to_rotate(record.clone()).rotate(KG, rotation, &mut rng(3), NOW);
        let change = match answer {
            Err(error) => Err(error),
            Ok(rotated) => {
                let EventKind::Rotated { previous_ends_at } = rotated.event.kind else { panic!("{:?}", rotated.event) };
                let change = rotated.change;
                assert_eq!((change.id(), change.expected()), (record.id(), current));
                assert_eq!(change.current(), rotated.token.digest());
                assert_eq!((rotated.token.id(), rotated.token.kind()), (record.id(), record.kind()));
                assert_ne!(change.current(), current);
                assert_eq!(rotated.event.key, Some(record.id()));
                Ok((change.previous(), previous_ends_at.map(UnixTime::as_secs)))
            }
        };
        assert_eq!(change, expected, "{previous:?} {expires_at:?} {rotation:?}");
    }
}

/// A manager, and the shorthands of a service.
struct Service {
    manager: KeyManager<MemoryStore>,
    system: System,
}

impl Service {
    fn new() -> Self {
        Self { manager: KeyManager::new(KG, MemoryStore::new()), system: System::new("a test").unwrap() }
    }

    fn actor(&self) -> Actor<'static> {
        Actor::System(self.system.clone())
    }

    fn by(&self) -> Principal {
        Principal::System { reason: self.system.reason().clone() }
    }

    fn create(&self, grant: Grant, name: &str, seed: u8, now: i64) -> Result<Issued, Failed> {
        self.create_with(grant, name, &mut rng(seed), now)
    }

    /// As `create`, where the token is not needed.
    #[track_caller]
    fn key(&self, grant: Grant, name: &str, seed: u8, now: i64) -> KeyId {
        self.create(grant, name, seed, now).unwrap().token.id()
    }

    fn create_with<R: TryCryptoRng + Send>(
        &self,
        grant: Grant,
        name: &str,
        rng: &mut R,
        now: i64,
    ) -> Result<Issued, Failed> {
        let permit = authorize_operation(&self.actor(), Create(grant), None, at(now)).unwrap();
        block_on(self.manager.create(permit, text(name), Validity::NEVER_EXPIRES, rng, at(now)))
    }

    fn find(&self, id: KeyId) -> Arc<KeyRecord> {
        block_on(self.manager.store().find(id)).unwrap().unwrap()
    }

    fn permit<O: keygate::Operation>(&self, operation: fn(Arc<KeyRecord>) -> O, id: KeyId) -> Permit<O> {
        authorize_operation(&self.actor(), operation(self.find(id)), None, NOW).unwrap()
    }
}

type Failed = ManageError<core::convert::Infallible>;

#[test]
fn each_operation_changes_the_store_and_returns_its_event() {
    let service = Service::new();
    let manager = &service.manager;
    let issued = service.create(personal("ada"), "laptop", 1, 100).unwrap();
    let id = issued.token.id();
    assert_eq!(*service.find(id), *issued.key.record());

    let event = block_on(manager.rename(service.permit(Rename, id), text("desktop"), NOW)).unwrap();
    assert_eq!(event.kind, EventKind::Renamed { name: text("desktop") });
    assert_eq!((event.at, event.by, event.key), (NOW, service.by(), Some(id)));
    assert_eq!(service.find(id).name().as_str(), "desktop");

    let event = block_on(manager.disable(service.permit(Disable, id), NOW)).unwrap();
    assert_eq!((event.kind, event.key), (EventKind::Disabled, Some(id)));
    assert_eq!(service.find(id).status(), Status::Disabled);

    let event = block_on(manager.enable(service.permit(Enable, id), NOW)).unwrap();
    assert_eq!((event.kind, event.key), (EventKind::Enabled, Some(id)));
    assert_eq!(service.find(id).status(), Status::Active);

    let rotated = block_on(manager.rotate(service.permit(Rotate, id), START, &mut rng(2), NOW)).unwrap();
    assert_eq!(rotated.event.kind, EventKind::Rotated { previous_ends_at: Some(at(160)) });
    assert_eq!((rotated.event.by, rotated.event.key), (service.by(), Some(id)));
    assert_eq!(service.find(id).current(), rotated.token.digest());
    let previous = PreviousSecret { digest: issued.token.digest(), ends_at: at(160) };
    assert_eq!(service.find(id).previous(), Some(previous));

    let event = block_on(manager.end_overlap(service.permit(Rotate, id), NOW)).unwrap();
    assert_eq!((event.kind, event.key), (EventKind::OverlapEnded, Some(id)));
    assert_eq!(service.find(id).previous(), None);

    let event = block_on(manager.revoke(service.permit(Revoke, id), NOW)).unwrap();
    assert_eq!((event.kind, event.key), (EventKind::Revoked { first_at: NOW }, Some(id)));
    assert_eq!(service.find(id).status(), Status::Revoked { at: NOW });

    // Once more: done, and the first time stays.
    let event = block_on(manager.revoke(service.permit(Revoke, id), at(999))).unwrap();
    assert_eq!((event.at, event.kind), (at(999), EventKind::Revoked { first_at: NOW }));
    assert_eq!(service.find(id).status(), Status::Revoked { at: NOW });
}

#[test]
fn a_revoked_key_never_comes_back() {
    let service = Service::new();
    let manager = &service.manager;
    let id = service.key(personal("ada"), "laptop", 1, 100);
    // Permits of a time when the key lived.
    let (rename, disable) = (service.permit(Rename, id), service.permit(Disable, id));
    let (enable, rotate, end) = (service.permit(Enable, id), service.permit(Rotate, id), service.permit(Rotate, id));
    block_on(manager.revoke(service.permit(Revoke, id), NOW)).unwrap();
    let revoked = service.find(id);

    let error = ManageError::<core::convert::Infallible>::Conflict(Conflict::Revoked);
    let event = error.to_event(&system(), OperationKind::Rename, Some(id), NOW).unwrap();
    let asked = Some(Asked::Operation(OperationKind::Rename));
    assert_eq!((event.key, event.kind), (Some(id), EventKind::Refused { asked, why: "revoked" }));
    let failed = ManageError::<core::convert::Infallible>::Generate(keygate::GenerateError::Stuck);
    assert_eq!(failed.to_event(&system(), OperationKind::Create, None, NOW), None, "nobody refused");

    let refused = Err(ManageError::Conflict(Conflict::Revoked));
    assert_eq!(block_on(manager.rename(rename, text("desktop"), NOW)).map(drop), refused);
    assert_eq!(block_on(manager.disable(disable, NOW)).map(drop), refused);
    assert_eq!(block_on(manager.enable(enable, NOW)).map(drop), refused);
    assert_eq!(block_on(manager.rotate(rotate, START, &mut rng(2), NOW)).map(drop), refused);
    assert_eq!(block_on(manager.end_overlap(end, NOW)).map(drop), refused);
    block_on(manager.store().touch(id, NOW, NOW)).unwrap();
    assert_eq!(service.find(id), revoked);

    // A permit that knows of it gets no further than the rotation's own rules.
    let answer = block_on(manager.rotate(service.permit(Rotate, id), START, &mut rng(2), NOW));
    assert_eq!(answer.map(drop), Err(ManageError::Rotate(RotateError::Revoked)));
}

#[test]
fn a_rotation_of_what_changed_in_the_meantime_is_refused() {
    let service = Service::new();
    let manager = &service.manager;
    let id = service.key(personal("ada"), "laptop", 1, 100);
    let late = service.permit(Rotate, id);
    let winner = block_on(manager.rotate(service.permit(Rotate, id), START, &mut rng(2), NOW)).unwrap();
    let answer = block_on(manager.rotate(late, START, &mut rng(3), NOW));
    assert_eq!(answer.map(drop), Err(ManageError::Conflict(Conflict::Changed)));
    assert_eq!(service.find(id).current(), winner.token.digest());

    let late = service.permit(Rotate, id);
    block_on(manager.disable(service.permit(Disable, id), NOW)).unwrap();
    let answer = block_on(manager.rotate(late, Rotation::CutOver, &mut rng(3), NOW));
    assert_eq!(answer.map(drop), Err(ManageError::Conflict(Conflict::Disabled)));

    // Enabling is for disabled keys.
    block_on(manager.enable(service.permit(Enable, id), NOW)).unwrap();
    let answer = block_on(manager.enable(service.permit(Enable, id), NOW));
    assert_eq!(answer.map(drop), Err(ManageError::Conflict(Conflict::NotDisabled)));
}

/// Which secret opens the key, if it does.
fn slot(service: &Service, text: &str, now: i64) -> Option<SecretSlot> {
    let presented = UnverifiedToken::parse(KG, text).unwrap();
    let record = service.find(presented.id());
    verify(&presented, Some(record), at(now)).ok().map(|key| key.slot())
}

#[test]
fn two_secrets_live_during_a_rotation_and_a_lost_answer_kills_neither() {
    let service = Service::new();
    let manager = &service.manager;
    let first = service.create(personal("ada"), "laptop", 1, 100).unwrap().token;
    let id = first.id();
    let lost = block_on(manager.rotate(service.permit(Rotate, id), START, &mut rng(2), NOW)).unwrap().token;
    assert_eq!(slot(&service, first.expose_secret(), 159), Some(SecretSlot::Previous));
    assert_eq!(slot(&service, lost.expose_secret(), 159), Some(SecretSlot::Current));

    // Starting again would kill the one that is deployed.
    let answer = block_on(manager.rotate(service.permit(Rotate, id), START, &mut rng(3), at(152)));
    assert_eq!(answer.map(drop), Err(ManageError::Rotate(RotateError::InProgress)));
    // Retrying replaces the lost one, and the deployed one keeps its end.
    let second = block_on(manager.rotate(service.permit(Rotate, id), RETRY, &mut rng(3), at(155))).unwrap().token;
    assert_eq!(slot(&service, first.expose_secret(), 159), Some(SecretSlot::Previous));
    assert_eq!(slot(&service, lost.expose_secret(), 159), None);
    assert_eq!(slot(&service, second.expose_secret(), 159), Some(SecretSlot::Current));
    // From its end on, a previous secret is a wrong secret.
    assert_eq!(slot(&service, first.expose_secret(), 160), None);
    assert_eq!(slot(&service, first.expose_secret(), i64::MAX), None);
    assert_eq!(slot(&service, second.expose_secret(), 160), Some(SecretSlot::Current));

    // After it, one may start again; cutting over leaves one.
    let third = block_on(manager.rotate(service.permit(Rotate, id), START, &mut rng(4), at(160))).unwrap().token;
    assert_eq!(slot(&service, second.expose_secret(), 169), Some(SecretSlot::Previous));
    let last = block_on(manager.rotate(service.permit(Rotate, id), Rotation::CutOver, &mut rng(5), at(161))).unwrap();
    assert_eq!(last.event.kind, EventKind::Rotated { previous_ends_at: None });
    for dead in [&first, &lost, &second, &third] {
        assert_eq!(slot(&service, dead.expose_secret(), 161), None);
    }
    assert_eq!(slot(&service, last.token.expose_secret(), 161), Some(SecretSlot::Current));
}

/// What outlives a request is verified again, without its secret: what was presented must still be live.
#[test]
fn a_verified_key_is_held_against_the_record_as_it_is_now() {
    let service = Service::new();
    let manager = &service.manager;
    let first = service.create(personal("ada"), "laptop", 1, 100).unwrap().token;
    let (id, key) = (first.id(), open(&first, &service.find(first.id()), NOW));
    let again = |key: &MatchedKey, now| key.verify_again(Some(service.find(id)), at(now)).map(|key| key.slot());
    assert_eq!(again(&key, 150), Ok(SecretSlot::Current));

    block_on(manager.rotate(service.permit(Rotate, id), START, &mut rng(2), NOW)).map(drop).unwrap();
    assert_eq!(again(&key, 159), Ok(SecretSlot::Previous));
    assert_eq!(again(&key, 160), Err(InvalidKey));
    let by_previous = key.verify_again(Some(service.find(id)), NOW).unwrap();
    // A lost answer is retried: what was presented before both is the previous one still.
    block_on(manager.rotate(service.permit(Rotate, id), RETRY, &mut rng(3), NOW)).map(drop).unwrap();
    assert_eq!(again(&by_previous, 159), Ok(SecretSlot::Previous));
    block_on(manager.end_overlap(service.permit(Rotate, id), NOW)).unwrap();
    assert_eq!(again(&by_previous, 150), Err(InvalidKey));
    assert_eq!(again(&key, 150), Err(InvalidKey));
    assert_eq!(key.verify_again(None, NOW).err(), Some(InvalidKey));
    // Another key's record is none of this key's.
    let other = service.key(personal("ada"), "other", 4, 100);
    assert_eq!(key.verify_again(Some(service.find(other)), NOW).err(), Some(InvalidKey));
    // Status is the policy's matter: a revoked key verifies, and its new status is seen.
    let second = block_on(manager.rotate(service.permit(Rotate, id), Rotation::CutOver, &mut rng(5), NOW)).unwrap();
    let key = open(&second.token, &service.find(id), NOW);
    block_on(manager.revoke(service.permit(Revoke, id), NOW)).unwrap();
    assert_eq!(key.status(), Status::Active);
    assert_eq!(key.verify_again(Some(service.find(id)), NOW).unwrap().status(), Status::Revoked { at: NOW });
}

#[test]
fn an_overlap_is_ended_early_or_never_begins() {
    let service = Service::new();
    let manager = &service.manager;
    let first = service.create(personal("ada"), "laptop", 1, 100).unwrap().token;
    let id = first.id();
    block_on(manager.rotate(service.permit(Rotate, id), START, &mut rng(2), NOW)).map(drop).unwrap();
    assert_eq!(slot(&service, first.expose_secret(), 151), Some(SecretSlot::Previous));
    block_on(manager.end_overlap(service.permit(Rotate, id), at(151))).unwrap();
    assert_eq!(slot(&service, first.expose_secret(), 151), None);

    let nothing = Rotation::Start { overlap: Duration::ZERO };
    let second = block_on(manager.rotate(service.permit(Rotate, id), RETRY, &mut rng(3), at(160))).unwrap().token;
    assert_eq!(slot(&service, second.expose_secret(), 169), Some(SecretSlot::Current));
    block_on(manager.end_overlap(service.permit(Rotate, id), at(161))).unwrap();
    block_on(manager.rotate(service.permit(Rotate, id), nothing, &mut rng(4), at(165))).map(drop).unwrap();
    assert_eq!(slot(&service, second.expose_secret(), 165), None);
}

/// Starts over with the next of its seeds after a number of fills.
struct Repeating {
    rng: ChaCha20Rng,
    filled: usize,
    fills: usize,
    next_seeds: Vec<u8>,
}

impl TryRng for Repeating {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        panic!("texts are drawn from bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        panic!("texts are drawn from bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let next = if self.filled == self.fills { self.next_seeds.pop() } else { None };
        if let Some(seed) = next {
            (self.rng, self.filled) = (rng(seed), 0);
        }
        self.filled = self.filled.saturating_add(1);
        self.rng.try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for Repeating {}

#[test]
fn an_id_that_is_taken_is_drawn_again_a_few_times() {
    let service = Service::new();
    let mut counting = Repeating { rng: rng(1), filled: 0, fills: usize::MAX, next_seeds: vec![] };
    let first = service.create_with(personal("ada"), "first", &mut counting, 100).unwrap();
    let fills = counting.filled;
    assert!(fills >= 2, "an id and a secret");

    let mut once = Repeating { rng: rng(1), filled: 0, fills, next_seeds: vec![2] };
    let second = service.create_with(personal("bob"), "second", &mut once, 100).unwrap();
    assert_ne!(second.token.id(), first.token.id());
    assert_eq!(*service.find(second.token.id()), *second.key.record());
    assert_eq!(second.event.key, Some(second.token.id()));
    assert_eq!(*service.find(first.token.id()), *first.key.record());

    let mut forever = Repeating { rng: rng(1), filled: 0, fills, next_seeds: vec![1; 100] };
    let answer = service.create_with(personal("bob"), "third", &mut forever, 100);
    assert_eq!(answer.map(drop), Err(ManageError::Conflict(Conflict::IdTaken)));
    assert_eq!(*service.find(first.token.id()), *first.key.record());
}

#[test]
fn names_are_unique_among_the_living_keys_of_an_owner() {
    let service = Service::new();
    let manager = &service.manager;
    let taken = Err(ManageError::Conflict(Conflict::NameTaken));
    let laptop = service.key(personal("ada"), "laptop", 1, 100);
    assert_eq!(service.create(personal("ada"), "laptop", 2, 100).map(drop), taken);
    // Another owner, also one of the same text, has names of their own.
    service.key(personal("bob"), "laptop", 3, 100);
    service.key(team("ada", full("all")), "laptop", 4, 100);
    // A team's keys share one set of names, whatever their permission.
    assert_eq!(service.create(team("ada", metrics("all")), "laptop", 5, 100).map(drop), taken);

    let desktop = service.key(personal("ada"), "desktop", 6, 100);
    assert_eq!(block_on(manager.rename(service.permit(Rename, desktop), text("laptop"), NOW)).map(drop), taken);
    // Its own name is not taken; a disabled key's name is.
    block_on(manager.rename(service.permit(Rename, desktop), text("desktop"), NOW)).unwrap();
    block_on(manager.disable(service.permit(Disable, laptop), NOW)).unwrap();
    assert_eq!(service.create(personal("ada"), "laptop", 7, 100).map(drop), taken);
    // A revoked key's name is free.
    block_on(manager.revoke(service.permit(Revoke, laptop), NOW)).unwrap();
    service.key(personal("ada"), "laptop", 7, 100);
}

#[test]
fn a_generator_that_fails_makes_no_key() {
    struct Failing;

    impl TryRng for Failing {
        type Error = core::fmt::Error;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Err(core::fmt::Error)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Err(core::fmt::Error)
        }

        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
            Err(core::fmt::Error)
        }
    }

    impl TryCryptoRng for Failing {}

    let service = Service::new();
    let failed = keygate::GenerateError::Generator;
    let answer = service.create_with(personal("ada"), "laptop", &mut Failing, 100);
    assert_eq!(answer.map(drop), Err(ManageError::Generate(failed)));
    let issued = service.create(personal("ada"), "laptop", 1, 100).unwrap();
    let permit = service.permit(Rotate, issued.token.id());
    let answer = block_on(service.manager.rotate(permit, START, &mut Failing, NOW));
    assert_eq!(answer.map(drop), Err(ManageError::Rotate(RotateError::Generate(failed))));
    assert_eq!(*service.find(issued.token.id()), *issued.key.record());
}

fn pages(limit: u16, mut page: impl FnMut(PageRequest) -> keygate::Page) -> Vec<Vec<KeyId>> {
    let mut request = PageRequest { after: None, limit: NonZeroU16::new(limit).unwrap() };
    let mut pages = Vec::new();
    loop {
        let page = page(request);
        pages.push(page.records.iter().map(|record| record.id()).collect());
        match page.next {
            Some(after) => request.after = Some(after),
            None => return pages,
        }
    }
}

#[test]
fn lists_come_in_pages_by_creation() {
    let service = Service::new();
    let manager = &service.manager;
    let mut ids: Vec<_> = [(300, 1), (100, 2), (200, 3), (200, 4), (200, 5)]
        .into_iter()
        .map(|(created, seed)| {
            let name = format!("key-{seed}");
            (created, service.key(personal("ada"), &name, seed, created))
        })
        .collect();
    ids.sort_unstable();
    let ids: Vec<_> = ids.into_iter().map(|(_, id)| id).collect();
    service.key(personal("bob"), "key", 6, 150);
    service.key(team("ada", full("all")), "key", 7, 150);
    // Revoked keys are listed.
    block_on(manager.revoke(service.permit(Revoke, ids[1]), NOW)).unwrap();

    let of_ada = |request| {
        let permit =
            authorize_operation(&user("ada"), List(Owner::Personal(text("ada"))), Some(Membership::Member), NOW)
                .unwrap();
        block_on(manager.list(permit, request)).unwrap()
    };
    assert_eq!(pages(2, of_ada), [&ids[..2], &ids[2..4], &ids[4..]]);
    assert_eq!(pages(5, of_ada), [&ids[..]]);
    assert_eq!(pages(u16::MAX, of_ada), [&ids[..]]);
    assert_eq!(pages(1, of_ada).len(), 5);

    let of_carol = |request| {
        let permit = authorize_operation(&system(), List(Owner::Personal(text("carol"))), None, NOW).unwrap();
        block_on(manager.list(permit, request)).unwrap()
    };
    assert_eq!(pages(2, of_carol), [Vec::<KeyId>::new()]);

    // By creator: the system created all of them but one.
    let permit = authorize_operation(&user("ada"), Create(personal("ada")), Some(Membership::Member), NOW).unwrap();
    let mut source = rng(8);
    let create = manager.create(permit, text("own"), Validity::NEVER_EXPIRES, &mut source, NOW);
    let own = block_on(create).unwrap().token.id();
    let by = |creator: Creator| {
        let list = |request| block_on(manager.list_created_by(&service.system, creator.clone(), request)).unwrap();
        pages(3, list).concat()
    };
    assert_eq!(by(Creator::User(text("ada"))), [own]);
    assert_eq!(by(Creator::User(text("bob"))), []);
    assert_eq!(by(Creator::System).len(), 7);
}

#[test]
fn all_keys_of_an_owner_end_at_once() {
    let service = Service::new();
    let manager = &service.manager;
    let owner = || Owner::Personal(text("ada"));
    let mut due: Vec<_> = (1..=3).map(|seed| service.key(personal("ada"), &format!("key-{seed}"), seed, 100)).collect();
    due.sort_unstable();
    let gone = service.key(personal("ada"), "gone", 4, 100);
    block_on(manager.revoke(service.permit(Revoke, gone), at(101))).unwrap();
    block_on(manager.disable(service.permit(Disable, due[0]), at(101))).unwrap();
    let others = [service.key(personal("bob"), "key", 5, 100), service.key(team("ada", full("all")), "key", 6, 100)];

    // Dry: said, not done.
    let dry = || block_on(manager.revoke_all_dry_run(&service.system, owner(), NOW)).unwrap();
    assert_eq!(dry(), due);
    assert_eq!(dry(), due);
    assert_eq!(service.find(due[0]).status(), Status::Disabled);
    assert_eq!(service.find(due[1]).status(), Status::Active);

    let events = block_on(manager.revoke_all(&service.system, owner(), NOW)).unwrap();
    assert_eq!(events.iter().map(|event| event.key.unwrap()).collect::<Vec<_>>(), due);
    for event in &events {
        assert_eq!((event.at, &event.by), (NOW, &service.by()));
        assert_eq!(event.kind, EventKind::Revoked { first_at: NOW });
    }
    for id in &due {
        assert_eq!(service.find(*id).status(), Status::Revoked { at: NOW });
    }
    // The first time stays, and others' keys live.
    assert_eq!(service.find(gone).status(), Status::Revoked { at: at(101) });
    for id in others {
        assert_eq!(service.find(id).status(), Status::Active);
    }
    assert_eq!(dry(), []);
    assert_eq!(block_on(manager.revoke_all(&service.system, owner(), at(151))).unwrap(), []);

    let team = Owner::Team(text("ada"));
    let events = block_on(manager.revoke_all(&service.system, team, NOW)).unwrap();
    assert_eq!(events.iter().map(|event| event.key).collect::<Vec<_>>(), [Some(others[1])]);
}

#[test]
fn the_last_use_moves_forward_only_and_never_past_now() {
    let service = Service::new();
    let store = service.manager.store();
    let token = service.create(personal("ada"), "laptop", 1, 100).unwrap().token;
    let touched = |used_at, now| {
        block_on(store.touch(token.id(), at(used_at), at(now))).unwrap();
        service.find(token.id()).last_used_at().map(UnixTime::as_secs)
    };
    assert_eq!(service.find(token.id()).last_used_at(), None);
    assert_eq!(touched(150, 150), Some(150));
    assert_eq!(touched(149, 160), Some(150));
    assert_eq!(touched(155, 160), Some(155));
    // A clock that is ahead of this one's.
    assert_eq!(touched(170, 160), Some(160));
    assert_eq!(touched(i64::MAX, 161), Some(161));
    // A key that is not there is no failure.
    block_on(store.touch(text("wk59pfKL0jFi2YYv"), NOW, NOW)).unwrap();
}

#[test]
fn a_touch_is_due_an_interval_after_the_last() {
    let issued = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let due = |last_used_at: Option<i64>, now, interval| {
        let record = changed(issued.key.record(), |parts| parts.last_used_at = last_used_at.map(at));
        open(&issued.token, &record, at(now)).touch_due(at(now), Duration::from_secs(interval))
    };
    let minute = keygate::DEFAULT_TOUCH_INTERVAL.as_secs();
    assert_eq!(minute, 60);
    assert!(due(None, i64::MIN, u64::MAX));
    assert!(!due(Some(100), 159, minute));
    assert!(due(Some(100), 160, minute));
    assert!(due(Some(100), 100, 0));
    // A last use in the future is not due, and nothing overflows.
    assert!(!due(Some(200), 100, minute));
    assert!(!due(Some(100), i64::MIN, minute));
    assert!(!due(Some(100), 200, u64::MAX));
    assert!(due(Some(i64::MAX), i64::MAX, u64::MAX));
}

/// Grants that a level does not take cannot be written down; these are the ones that could be refused only when made.
#[test]
fn what_cannot_be_granted() {
    use keygate::{EnvironmentScope, InvalidScope, InvalidValidity, ModelScope};
    assert_eq!(EnvironmentScope::only([]), Err(InvalidScope::Empty));
    assert_eq!(ModelScope::only([]), Err(InvalidScope::Empty));
    assert_eq!(EnvironmentScope::only([text("prod"), text("development")]), Err(InvalidScope::Development));
    // Repeats collapse, and the order does not matter.
    assert_eq!(environments("prod test prod"), environments("test prod"));
    assert_ne!(environments("prod"), environments("all"));
    // The end is after the start; a past end alone is legal.
    for (start, end, is_legal) in [
        (Some(100), Some(101), true),
        (Some(100), Some(100), false),
        (Some(100), Some(99), false),
        (Some(i64::MIN), Some(i64::MAX), true),
        (Some(i64::MAX), Some(i64::MIN), false),
        (None, Some(i64::MIN), true),
        (Some(i64::MAX), None, true),
        (None, None, true),
    ] {
        let validity = Validity::new(start.map(at), end.map(at));
        assert_eq!(validity.is_ok(), is_legal, "{start:?} {end:?}");
        if let Err(InvalidValidity { .. }) = validity {
            assert!(!is_legal);
        }
    }
}
