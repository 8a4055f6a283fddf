//! Managing keys, beside the table of the rules (`tables.rs`): issuers, incarnations, and what a permit allows.

use core::time::Duration;
use std::sync::Arc;

use keygate::{
    DenialClass, Grant, Incarnation, Issuer, KeyRecord, Labels, Membership, Owner, Reason, RevocationCause, Rotation,
    Status, System, TeamRole, UnixTime, Validity,
    audit::{EventKind, OperationKind, Principal},
    legacy::{LegacyFormat, Symbols},
    manage::{
        Acting, Create, Disable, Enable, EndOverlap, Import, ImportError, List, ManageDenial, MintError, Minted,
        MintedSecret, Operation, Permit, PermitError, Rename, Revoke, Rotate, RotateError, SetLabels,
        authorize_operation,
    },
    store::{Creator, PreviousChange, PreviousSecret, RecordParts, RecordUpdate, SecretSlot, Step},
    verify::MatchedKey,
};

use crate::common::{
    KG, RULES, at, changed, environments, full, issue, metrics, open, personal, rng, root, team, text,
};

const NOW: UnixTime = at(150);
const REVOKED: Status = Status::Revoked { at: at(50), cause: RevocationCause::Requested };
fn between(start: i64, end: i64) -> Validity {
    Validity::between(at(start), at(end)).unwrap()
}

fn record(grant: Grant, validity: Validity, seed: u8) -> Arc<KeyRecord> {
    Arc::new(issue(grant, validity, seed).key.record().clone())
}

fn lasting(grant: Grant, seed: u8) -> Arc<KeyRecord> {
    record(grant, Validity::NEVER_EXPIRES, seed)
}

fn import(grant: Grant, validity: Validity) -> Import {
    const OLD: LegacyFormat = LegacyFormat::opaque("old_", Symbols::Hex, 32, 32);
    let key = OLD.stored(None, text(&"5c".repeat(32))).unwrap();
    Import::new(key, grant, text("laptop"), validity, at(0))
}

/// Asks for any operation; where it makes a key or lists, the target is as `target` is, or its owner.
fn ask(
    acting: Acting<'_>,
    operation: OperationKind,
    target: &Arc<KeyRecord>,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<(), ManageDenial> {
    fn answer<O: Operation>(
        acting: Acting<'_>,
        operation: O,
        membership: Option<Membership>,
        now: UnixTime,
    ) -> Result<(), ManageDenial> {
        authorize_operation(KG, acting, operation, membership, now).map(drop)
    }
    let (target, grant, validity) = (Arc::clone(target), target.grant().clone(), target.validity());
    match operation {
        OperationKind::Create => answer(acting, Create { grant, validity }, membership, now),
        OperationKind::Disable => answer(acting, Disable(target), membership, now),
        OperationKind::Enable => answer(acting, Enable(target), membership, now),
        OperationKind::EndOverlap => answer(acting, EndOverlap(target), membership, now),
        OperationKind::Import => answer(acting, import(grant, validity), membership, now),
        OperationKind::List => answer(acting, List(grant.owner()), membership, now),
        OperationKind::Rename => answer(acting, Rename(target), membership, now),
        OperationKind::Revoke => answer(acting, Revoke(target), membership, now),
        OperationKind::Rotate => answer(acting, Rotate(target), membership, now),
        OperationKind::SetLabels => answer(acting, SetLabels(target), membership, now),
        other => panic!("`{other}` is not in the table"),
    }
}

fn membership(role: Option<TeamRole>) -> Option<Membership> {
    role.map(Membership::from)
}

/// Asks, and compares with the first refusal, or none.
#[track_caller]
fn rule(
    acting: Acting<'_>,
    operation: OperationKind,
    target: &Arc<KeyRecord>,
    membership: Option<Membership>,
    expected: Result<(), Reason>,
) {
    let answer = ask(acting, operation, target, membership, NOW);
    assert_eq!(answer.map_err(|denial| denial.reason()), expected, "{acting:?} {operation} {membership:?}");
}

/// A key that was just matched, and its record.
fn own_with(grant: Grant, change: impl FnOnce(&mut RecordParts)) -> (MatchedKey, Arc<KeyRecord>) {
    let minted = issue(grant, Validity::NEVER_EXPIRES, 9);
    let record = changed(minted.key.record(), change);
    (open(&minted.token, &record, NOW), record)
}

fn live(grant: Grant) -> (MatchedKey, Arc<KeyRecord>) {
    own_with(grant, |_| ())
}

#[test]
fn m1_the_system_says_why() {
    for (reason, is_legal) in [("first key", true), ("", false), ("a\nb", false)] {
        assert_eq!(System::new(reason).is_ok(), is_legal, "{reason:?}");
    }
}

/// What state the target is in is for the store to say, not for the rules.
#[test]
fn the_state_of_a_target_is_no_matter_of_who_may() {
    let (system, ada) = (root(), text("ada"));
    for status in [Status::Active, Status::Disabled, REVOKED] {
        let target = changed(&lasting(personal("ada"), 1), |parts| parts.status = status);
        for operation in OperationKind::ALL {
            for acting in [Acting::System(&system), Acting::User(&ada)] {
                rule(acting, *operation, &target, membership(Some(TeamRole::Member)), Ok(()));
            }
        }
    }
}

/// A prefix may change, and two services may share a store: each manages its own keys only.
#[test]
fn m2_keys_of_another_issuer_neither_act_nor_are_managed() {
    let (system, ada, acme) = (root(), text("ada"), text::<Issuer>("acme"));
    let (key, itself) = live(personal("ada"));
    let admin = Some(TeamRole::Admin);
    let foreign = changed(&lasting(team("core", full("all")), 1), |parts| parts.issuer = acme);
    for operation in OperationKind::ALL {
        let has_record = !matches!(operation, OperationKind::Create | OperationKind::Import | OperationKind::List);
        let expected = if has_record { Err(Reason::OtherIssuer) } else { Ok(()) };
        for acting in [Acting::System(&system), Acting::User(&ada), Acting::Key(&key)] {
            rule(acting, *operation, &foreign, membership(admin), expected);
        }
    }
    // A key of this issuer, where keys of another one are managed: it does not even end itself.
    let own_of_acme = changed(&itself, |parts| parts.issuer = acme);
    let (list, revoke) = (List(itself.grant().owner()), Revoke(own_of_acme));
    let denied = [
        authorize_operation(acme, Acting::Key(&key), list.clone(), membership(admin), NOW).map(drop),
        authorize_operation(acme, Acting::Key(&key), revoke, membership(admin), NOW).map(drop),
    ];
    for denial in denied.map(Result::unwrap_err) {
        assert_eq!((denial.reason(), denial.class()), (Reason::OtherIssuer, DenialClass::NotAuthenticated));
    }
    assert!(authorize_operation(KG, Acting::Key(&key), list, membership(admin), NOW).is_ok());
}

/// A user who comes back is another incarnation: a key that was minted for an earlier one does nothing.
#[test]
fn m3_a_key_of_an_earlier_incarnation_does_nothing() {
    let incarnated =
        |number: Option<i64>| own_with(personal("ada"), |parts| parts.incarnation = number.map(Incarnation::new));
    let member = |number: Option<i64>| {
        let membership = Membership::from(TeamRole::Admin);
        Some(number.map_or(membership, |number| membership.with_incarnation(Incarnation::new(number))))
    };
    let of_core = lasting(team("core", full("all")), 2);
    for (minted_for, now, is_user) in [
        (Some(7), Some(7), true),
        (Some(7), Some(8), false),
        (Some(8), Some(7), false),
        // A directory that stopped counting: nobody can tell, so nothing is granted.
        (Some(7), None, false),
        // A key from before the directory counted is not compared.
        (None, None, true),
        (None, Some(8), true),
    ] {
        let (key, itself) = incarnated(minted_for);
        let expected = if is_user { Ok(()) } else { Err(Reason::OwnerDeprovisioned) };
        rule(Acting::Key(&key), OperationKind::Revoke, &itself, member(now), expected);
        rule(Acting::Key(&key), OperationKind::Rename, &itself, member(now), expected);
        rule(Acting::Key(&key), OperationKind::Rotate, &of_core, member(now), expected);
        // The user is who they are now.
        let ada = text("ada");
        rule(Acting::User(&ada), OperationKind::Rotate, &itself, member(now), Ok(()));
    }
}

#[test]
fn a_denial_says_operation_and_reason() {
    let target = lasting(team("core", full("all")), 1);
    let ada = text("ada");
    let outsider = Some(TeamRole::Outsider.into());
    let denial = authorize_operation(KG, Acting::User(&ada), Rename(target), outsider, NOW).unwrap_err();
    assert_eq!(denial.to_string(), "rename denied: other_team");
    assert_eq!(
        (denial.reason(), denial.operation(), denial.class(), denial.reveals_existence()),
        (Reason::OtherTeam, OperationKind::Rename, DenialClass::NotAllowed, true)
    );
    // What a key is told of its own is no news to it.
    let (key, itself) = live(personal("ada"));
    let denial = authorize_operation(KG, Acting::Key(&key), Rotate(itself), outsider, NOW).unwrap_err();
    assert_eq!((denial.reason(), denial.reveals_existence()), (Reason::SessionRequired, false));
    assert_eq!(denial.class(), DenialClass::NotAllowed);
}

#[test]
fn owner_permission_validity_creator_and_incarnation_come_from_the_permit() {
    let (system, ada) = (root(), text("ada"));
    let (by_system, by_ada) = (Acting::System(&system), Acting::User(&ada));
    let incarnation = Incarnation::new(7);
    let role = |role: TeamRole| Some(Membership::from(role).with_incarnation(incarnation));
    let cases = [
        (by_system, personal("bob"), None, Creator::System, None),
        (by_system, personal("bob"), role(TeamRole::Outsider), Creator::System, Some(incarnation)),
        (by_system, team("core", metrics("m1")), role(TeamRole::Admin), Creator::System, None),
        (by_ada, personal("ada"), role(TeamRole::Outsider), Creator::User(text("ada")), Some(incarnation)),
        (by_ada, team("core", full("prod")), role(TeamRole::Admin), Creator::User(text("ada")), None),
    ];
    for (acting, grant, membership, creator, incarnation) in cases {
        let (validity, labels) = (between(200, 300), Labels::new([(text("device"), text("laptop"))]).unwrap());
        let create = Create { grant: grant.clone(), validity };
        let permit = authorize_operation(KG, acting, create, membership, NOW).unwrap();
        assert_eq!((&permit.operation().grant, permit.operation().validity), (&grant, validity));
        let minted = permit.issue(KG, (text("laptop"), labels.clone()), &RULES, &rng(1), at(160)).unwrap();
        let Minted { token, key, .. } = minted;
        let expected = RecordParts {
            issuer: KG,
            id: token.id(),
            name: text("laptop"),
            labels,
            grant: grant.clone(),
            incarnation,
            created_at: at(160),
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
        let event = key.event();
        assert_eq!((event.at, event.key, &event.owner), (at(160), Some(token.id()), &Some(grant.owner())));
        let EventKind::Created { name, level, expires_at, .. } = &event.kind else { panic!("{event:?}") };
        let expected = grant.permission().map(|permission| permission.level());
        assert_eq!((name.as_str(), *level, *expires_at), ("laptop", expected, Some(at(300))));
        match (acting, &event.by) {
            (Acting::System(system), Principal::System { reason, .. }) => assert_eq!(reason, system.reason()),
            (Acting::User(user), Principal::User { id, .. }) => assert_eq!(id, user),
            (_, by) => panic!("{by:?}"),
        }
    }
}

/// M7 lets the personal key of an admin create team keys. The event names the key and its user; the creator is the
/// user, who is looked up when somebody leaves, and never the system.
#[test]
fn what_a_personal_key_creates_is_its_user_s_creation() {
    let (key, _) = live(personal("ada"));
    let create = Create { grant: team("core", full("all")), validity: Validity::NEVER_EXPIRES };
    let admin = Some(TeamRole::Admin.into());
    let permit = authorize_operation(KG, Acting::Key(&key), create, admin, NOW).unwrap();
    let minted = permit.issue(KG, (text("nightly"), Labels::NONE), &RULES, &rng(1), NOW).unwrap();
    assert_eq!(minted.key.record().created_by(), &Creator::User(text("ada")));
    let by = &minted.key.event().by;
    let Principal::Key { id, slot, user, .. } = by else { panic!("{by:?}") };
    assert_eq!((*id, *slot, user), (key.id(), SecretSlot::Current, &Some(text("ada"))));
    assert_eq!(by.user(), Some(&text("ada")));
}

fn permit<O: Operation>(operation: O) -> Permit<O> {
    authorize_operation(KG, Acting::System(&root()), operation, None, NOW).unwrap()
}

/// Uses a permit that was given to `KG` at `NOW`.
fn use_up(operation: OperationKind, issuer: Issuer, now: UnixTime) -> Result<(), PermitError> {
    let (target, dice) = (lasting(team("core", full("all")), 1), rng(2));
    let (grant, validity) = (target.grant().clone(), Validity::until(at(10_000)));
    match operation {
        OperationKind::Create => {
            let texts = (text("laptop"), Labels::NONE);
            let made = permit(Create { grant, validity }).issue(issuer, texts, &RULES, &dice, now);
            made.map(drop).map_err(|error| match error {
                MintError::Permit(error) => error,
                other => panic!("{other}"),
            })
        }
        OperationKind::Import => {
            let made = permit(import(grant, validity)).import(issuer, &RULES, &dice, now);
            made.map(drop).map_err(|error| match error {
                ImportError::Permit(error) => error,
                other => panic!("{other}"),
            })
        }
        OperationKind::Rotate => {
            let made = permit(Rotate(target)).rotate(issuer, Rotation::CutOver, &RULES, &dice, now);
            made.map(drop).map_err(|error| match error {
                RotateError::Permit(error) => error,
                other => panic!("{other}"),
            })
        }
        OperationKind::Disable => permit(Disable(target)).disable(issuer, &dice, now).map(drop),
        OperationKind::Enable => permit(Enable(target)).enable(issuer, &dice, now).map(drop),
        OperationKind::EndOverlap => permit(EndOverlap(target)).end_overlap(issuer, &dice, now).map(drop),
        OperationKind::Rename => permit(Rename(target)).rename(issuer, text("new"), &dice, now).map(drop),
        OperationKind::Revoke => permit(Revoke(target)).revoke(issuer, RevocationCause::Unused, &dice, now).map(drop),
        OperationKind::SetLabels => permit(SetLabels(target)).set_labels(issuer, Labels::NONE, &dice, now).map(drop),
        other => panic!("no permit to {other} is used up"),
    }
}

/// A permit is of one issuer and of one minute. That it is used once is the compiler's matter: `tests/ui`.
#[test]
fn a_permit_is_bound_to_its_issuer_and_its_minute() {
    for operation in OperationKind::ALL.iter().filter(|kind| **kind != OperationKind::List) {
        let by_time = |seconds| use_up(*operation, KG, at(seconds));
        for seconds in [150, 151, 209] {
            assert_eq!(by_time(seconds), Ok(()), "{operation} {seconds}");
        }
        for seconds in [210, 211, 9_999, 149, i64::MIN] {
            assert_eq!(by_time(seconds), Err(PermitError::TooOld), "{operation} {seconds}");
        }
        assert_eq!(use_up(*operation, text("acme"), NOW), Err(PermitError::OtherIssuer), "{operation}");
    }
    assert_eq!(Permit::<Revoke>::LIFETIME, Duration::from_secs(60));
}

const START: Rotation = Rotation::Start { overlap: Duration::from_secs(10) };
const RETRY: Rotation = Rotation::Retry { overlap: Duration::from_secs(10) };

fn rotate(record: &Arc<KeyRecord>, rotation: Rotation) -> Result<MintedSecret, RotateError> {
    permit(Rotate(Arc::clone(record))).rotate(KG, rotation, &RULES, &rng(3), NOW)
}

#[test]
fn only_an_active_and_unexpired_key_is_rotated() {
    let minted = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
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
        let record = changed(minted.key.record(), |parts| {
            (parts.status, parts.not_before, parts.expires_at) = (status, not_before, expires_at);
        });
        for rotation in [START, RETRY, Rotation::CutOver] {
            let answer = rotate(&record, rotation).map(drop);
            assert_eq!(answer, expected, "{status:?} {expires_at:?} {rotation:?}");
        }
    }
}

#[test]
fn what_is_done_to_the_previous_secret() {
    let first = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let digest = issue(personal("ada"), Validity::NEVER_EXPIRES, 2).token.digest();
    let older = PreviousSecret { digest, ends_at: at(170), last_used_at: Some(at(140)) };
    let current = first.token.digest();
    let overlap = |millis| Rotation::Start { overlap: Duration::from_millis(millis) };
    let days = |days: u64| Rotation::Start { overlap: Duration::from_secs(days * 86_400) };
    let until =
        |seconds| PreviousChange::Set(PreviousSecret { digest: current, ends_at: at(seconds), last_used_at: None });
    let ended = PreviousSecret { ends_at: NOW, ..older };
    let cut_over = || Ok((PreviousChange::Clear, None));
    let cases = [
        // No previous secret.
        (None, None, START, Ok((until(160), Some(160)))),
        (None, None, RETRY, Ok((until(160), Some(160)))),
        (None, None, Rotation::CutOver, cut_over()),
        // No overlap is a cut-over; an overlap is rounded up to whole seconds.
        (None, None, overlap(0), cut_over()),
        (None, None, overlap(999), Ok((until(151), Some(151)))),
        (None, None, overlap(1_000), Ok((until(151), Some(151)))),
        (None, None, Rotation::Retry { overlap: Duration::ZERO }, cut_over()),
        // An overlap is never longer than the key.
        (None, Some(155), START, Ok((until(155), Some(155)))),
        (None, Some(160), START, Ok((until(160), Some(160)))),
        (None, Some(161), START, Ok((until(160), Some(160)))),
        (None, Some(155), RETRY, Ok((until(155), Some(155)))),
        // Nor than 30 days, and then it is refused.
        (None, None, days(30), Ok((until(2_592_150), Some(2_592_150)))),
        (None, None, overlap(2_592_000_001), Err(RotateError::OverlapTooLong)),
        (None, Some(155), days(31), Err(RotateError::OverlapTooLong)),
        (None, None, Rotation::Start { overlap: Duration::MAX }, Err(RotateError::OverlapTooLong)),
        (Some(older), None, Rotation::Retry { overlap: Duration::MAX }, Err(RotateError::OverlapTooLong)),
        // A live one.
        (Some(older), None, START, Err(RotateError::InProgress)),
        (Some(older), None, overlap(0), cut_over()),
        (Some(older), None, RETRY, Ok((PreviousChange::Keep, Some(170)))),
        (Some(older), None, Rotation::Retry { overlap: Duration::ZERO }, Ok((PreviousChange::Keep, Some(170)))),
        (Some(older), None, Rotation::CutOver, cut_over()),
        // One that ended, now.
        (Some(ended), None, START, Ok((until(160), Some(160)))),
        (Some(ended), None, RETRY, Ok((until(160), Some(160)))),
        (Some(ended), None, Rotation::CutOver, cut_over()),
    ];
    for (previous, expires_at, rotation, expected) in cases {
        let record = changed(first.key.record(), |parts| {
            (parts.previous, parts.expires_at) = (previous, expires_at.map(at));
        });
        let change = rotate(&record, rotation).map(|minted| {
            assert_eq!(minted.change.id(), record.id());
            let Step::Change { update: RecordUpdate::Secrets(secrets), event } = minted.change.apply(Some(&record))
            else {
                panic!("{:?}", minted.change)
            };
            assert_eq!((secrets.expected, secrets.current), (current, minted.token.digest()));
            assert_eq!((minted.token.id(), minted.token.kind()), (record.id(), record.kind()));
            assert_ne!(secrets.current, current);
            assert_eq!(event.key, Some(record.id()));
            let EventKind::Rotated { previous_ends_at, .. } = event.kind else { panic!("{event:?}") };
            assert_eq!(previous_ends_at, minted.previous_ends_at, "the answer says what the event says");
            (secrets.previous, previous_ends_at.map(UnixTime::as_secs))
        });
        assert_eq!(change, expected, "{previous:?} {expires_at:?} {rotation:?}");
    }
}

#[test]
fn a_touch_is_due_an_interval_after_the_last() {
    let minted = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let due = |last_used_at: Option<i64>, now, interval| {
        let record = changed(minted.key.record(), |parts| parts.last_used_at = last_used_at.map(at));
        open(&minted.token, &record, at(now)).touch_due(at(now), Duration::from_secs(interval))
    };
    let minute = keygate::verify::DEFAULT_TOUCH_INTERVAL.as_secs();
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
    // An ordinary name.
    assert!(EnvironmentScope::only([text("prod"), text("development")]).is_ok());
    // Repeats collapse, and the order does not matter.
    assert_eq!(environments("prod test prod"), environments("test prod"));
    assert_ne!(environments("prod"), environments("all"));
    // The end is after the start; a past end alone is legal in a record.
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

/// A list names an owner, and nothing else.
#[test]
fn a_permit_carries_its_target() {
    let owner = Owner::Team(text("core"));
    assert_eq!(permit(List(owner.clone())).operation().0, owner);
    let target = lasting(team("core", full("all")), 1);
    assert_eq!(permit(Rename(Arc::clone(&target))).operation().0, target);
}
