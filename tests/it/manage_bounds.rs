//! What nobody gets by managing: more than they have, or longer.

use core::time::Duration;
use std::sync::Arc;

use keygate::{
    Grant, Incarnation, KeyRecord, Labels, Membership, RevocationCause, Rotation, Status, TeamRole, UnixTime, Validity,
    audit::OperationKind,
    legacy::{LegacyFormat, Symbols},
    manage::{
        Acting, Create, Disable, Enable, EndOverlap, Import, List, Operation, Rename, Revoke, Rotate, SetLabels,
        authorize_operation,
    },
    store::{Creator, PreviousChange, PreviousSecret, RecordUpdate, Step},
    verify::MatchedKey,
};
use proptest::{option, prelude::*, sample::select};

use crate::common::{
    KG, RULES, at, changed, custom, full, inference, issue, metrics, open, personal, rng, root, team, text,
};

fn grants() -> impl Strategy<Value = Grant> {
    prop_oneof![select(&["ada", "bob"][..]).prop_map(personal), team_grants()]
}

fn team_grants() -> impl Strategy<Value = Grant> {
    let permissions = prop_oneof![
        select(&["all", "prod"][..]).prop_map(full),
        (select(&["all", "prod"][..]), select(&["all", "m1"][..]))
            .prop_map(|(where_to, what)| inference(where_to, what)),
        select(&["all", "m1"][..]).prop_map(metrics),
        select(&["call", "projects:read manage"][..]).prop_map(|actions| custom(actions, "all", "all")),
    ];
    (select(&["core", "labs"][..]), permissions).prop_map(|(name, permission)| team(name, permission))
}

fn times() -> impl Strategy<Value = UnixTime> {
    prop_oneof![8 => -3..4_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)].prop_map(at)
}

fn validities() -> impl Strategy<Value = Validity> {
    (option::of(times()), option::of(times()))
        .prop_filter_map("the end is after the start", |(start, end)| Validity::new(start, end).ok())
}

fn statuses() -> impl Strategy<Value = Status> {
    let revoked = Status::Revoked { at: at(0), cause: RevocationCause::Leaked };
    select(vec![Status::Active, Status::Active, Status::Disabled, revoked])
}

fn incarnations() -> impl Strategy<Value = Option<Incarnation>> {
    option::of((0..2_i64).prop_map(Incarnation::new))
}

fn directory() -> impl Strategy<Value = Option<Membership>> {
    let roles = select(&[TeamRole::Admin, TeamRole::Member, TeamRole::Outsider, TeamRole::Deprovisioned][..]);
    let memberships = (roles, incarnations()).prop_map(|(role, incarnation)| {
        let membership = Membership::from(role);
        incarnation.map_or(membership, |incarnation| membership.with_incarnation(incarnation))
    });
    option::weighted(0.9, memberships)
}

/// Whether an actor may carry out an operation on the keys of a grant's owner, or on one of them.
fn may(
    acting: Acting<'_>,
    operation: OperationKind,
    target: &Arc<KeyRecord>,
    membership: Option<Membership>,
    now: UnixTime,
) -> bool {
    const OLD: LegacyFormat = LegacyFormat::opaque("old_", Symbols::Hex, 32, 32);
    fn ask<O: Operation>(acting: Acting<'_>, operation: O, membership: Option<Membership>, now: UnixTime) -> bool {
        authorize_operation(KG, acting, operation, membership, now).is_ok()
    }
    let (grant, validity, record) = (target.grant().clone(), target.validity(), Arc::clone(target));
    match operation {
        OperationKind::Create => ask(acting, Create { grant, validity }, membership, now),
        OperationKind::Disable => ask(acting, Disable(record), membership, now),
        OperationKind::Enable => ask(acting, Enable(record), membership, now),
        OperationKind::EndOverlap => ask(acting, EndOverlap(record), membership, now),
        OperationKind::Import => {
            let key = OLD.stored(None, text(&"5c".repeat(32))).unwrap_or_else(|error| panic!("{error}"));
            let import = Import::new(key, grant, text("laptop"), validity, at(0));
            ask(acting, import, membership, now)
        }
        OperationKind::List => ask(acting, List(grant.owner()), membership, now),
        OperationKind::Rename => ask(acting, Rename(record), membership, now),
        OperationKind::Revoke => ask(acting, Revoke(record), membership, now),
        OperationKind::Rotate => ask(acting, Rotate(record), membership, now),
        OperationKind::SetLabels => ask(acting, SetLabels(record), membership, now),
        other => panic!("`{other}` is not asked for"),
    }
}

fn record(grant: Grant, validity: Validity, seed: u8) -> Arc<KeyRecord> {
    let minted = issue(grant, Validity::NEVER_EXPIRES, seed);
    changed(minted.key.record(), |parts| {
        (parts.not_before, parts.expires_at) = (validity.not_before(), validity.expires_at());
    })
}

/// A matched key in any state, and its record.
fn key(grant: Grant, validity: Validity, status: Status) -> (MatchedKey, Arc<KeyRecord>) {
    key_of(grant, validity, status, None)
}

fn key_of(
    grant: Grant,
    validity: Validity,
    status: Status,
    incarnation: Option<Incarnation>,
) -> (MatchedKey, Arc<KeyRecord>) {
    let minted = issue(grant, Validity::NEVER_EXPIRES, 1);
    let record = changed(minted.key.record(), |parts| {
        (parts.not_before, parts.expires_at) = (validity.not_before(), validity.expires_at());
        (parts.status, parts.incarnation) = (status, incarnation);
    });
    (open(&minted.token, &record, at(0)), record)
}

proptest! {
    /// A personal key is its user at most: what it may, the user may as well, signed in and at the same time.
    #[test]
    fn a_key_exceeds_its_user_in_nothing(
        target in grants(),
        validity in validities(),
        status in statuses(),
        incarnation in incarnations(),
        operation in select(OperationKind::ALL),
        membership in directory(),
        now in times(),
    ) {
        let (key, itself) = key_of(personal("ada"), validity, status, incarnation);
        let ada = text("ada");
        for target in [record(target, validity, 2), itself] {
            let by_key = may(Acting::Key(&key), operation, &target, membership, now);
            prop_assert!(!by_key || may(Acting::User(&ada), operation, &target, membership, now));
            // And it is no other incarnation of its user.
            let present = membership.and_then(Membership::incarnation);
            prop_assert!(!by_key || incarnation.is_none() || incarnation == present);
        }
    }

    /// A key that lives on when its user leaves is a team's, and only an admin of that team makes it: no key makes a
    /// personal one, and nobody makes one for another user.
    #[test]
    fn what_outlives_a_user_is_a_teams_and_by_its_admin(
        target in grants(),
        by_key: bool,
        membership in directory(),
    ) {
        let (key, _) = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active);
        let ada = text("ada");
        let acting = if by_key { Acting::Key(&key) } else { Acting::User(&ada) };
        let create = Create { grant: target.clone(), validity: Validity::NEVER_EXPIRES };
        if let Ok(permit) = authorize_operation(KG, acting, create, membership, at(0)) {
            match &target {
                Grant::Personal { user, .. } => prop_assert!(!by_key && *user == text("ada")),
                _ => prop_assert_eq!(membership.map(Membership::role), Some(TeamRole::Admin)),
            }
            // What is made is what was permitted, and says who made it, and as whom.
            let minted = permit.issue(KG, (text("new"), Labels::NONE), &RULES, &rng(3), at(0)).unwrap();
            let record = minted.key.record();
            prop_assert_eq!(record.grant(), &target);
            prop_assert_eq!(record.created_by(), &Creator::User(text("ada")));
            let incarnation = membership.and_then(Membership::incarnation).filter(|_| target.permission().is_none());
            prop_assert_eq!(record.incarnation(), incarnation);
        }
    }

    /// Less membership is never more: what an outsider may, a member may, and what a member may, an admin may.
    #[test]
    fn roles_only_ever_add(target in grants(), by_key: bool, operation in select(OperationKind::ALL)) {
        let (key, _) = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active);
        let ada = text("ada");
        let acting = if by_key { Acting::Key(&key) } else { Acting::User(&ada) };
        let target = record(target, Validity::NEVER_EXPIRES, 2);
        let may = |role: Option<TeamRole>| may(acting, operation, &target, role.map(Membership::from), at(0));
        let ladder = [
            None,
            Some(TeamRole::Deprovisioned),
            Some(TeamRole::Outsider),
            Some(TeamRole::Member),
            Some(TeamRole::Admin),
        ];
        let allowed = ladder.map(may);
        prop_assert!(!allowed[0] && !allowed[1], "nobody, or one who is gone");
        prop_assert!(allowed.is_sorted(), "{:?}", allowed);
    }

    /// A rotation gives no time: the previous secret ends with the key at the latest, and the key as it did.
    #[test]
    fn a_rotation_outlives_nothing(
        grant in grants(),
        validity in validities(),
        previous in option::of(times()),
        overlap in prop_oneof![0..5_u64, Just(30 * 86_400), Just(u64::MAX)],
        is_retry: bool,
        now in times(),
    ) {
        let end = validity.expires_at().unwrap_or(UnixTime::MAX);
        let minted = issue(grant, Validity::NEVER_EXPIRES, 1);
        let before = changed(minted.key.record(), |parts| {
            (parts.not_before, parts.expires_at) = (validity.not_before(), validity.expires_at());
            parts.previous = previous.map(|ends_at: UnixTime| PreviousSecret {
                digest: parts.current,
                ends_at: ends_at.min(end),
                last_used_at: None,
            });
        });
        let overlap = Duration::from_secs(overlap);
        let rotation = if is_retry { Rotation::Retry { overlap } } else { Rotation::Start { overlap } };
        let system = root();
        let permit = authorize_operation(KG, Acting::System(&system), Rotate(Arc::clone(&before)), None, now).unwrap();
        if let Ok(minted) = permit.rotate(KG, rotation, &RULES, &rng(2), now) {
            prop_assert!(!validity.is_expired(now));
            prop_assert!(overlap <= RULES.max_overlap());
            prop_assert_eq!(minted.change.id(), before.id());
            prop_assert!(minted.previous_ends_at.is_none_or(|ends_at| ends_at <= end));
            let Step::Change { update, .. } = minted.change.apply(Some(&before)) else { panic!("it is active") };
            let after = update.applied_to(&before);
            prop_assert_eq!((after.validity(), after.grant()), (before.validity(), before.grant()));
            prop_assert_eq!(after.previous().map(|previous| previous.ends_at), minted.previous_ends_at);
            let RecordUpdate::Secrets(secrets) = update else { panic!("secrets change") };
            if let PreviousChange::Set(previous) = secrets.previous {
                prop_assert_eq!(previous.digest, before.current());
            }
        }
    }
}
