//! What nobody gets by managing: more than they have, or longer.
#![expect(clippy::panic, reason = "a test that panics has failed")]

mod common;

use core::time::Duration;
use std::sync::Arc;

use common::{KG, at, changed, full, inference, issue, metrics, open, personal, rng, system, team, text};
use keygate::{
    Actor, Create, Creator, Disable, Enable, Grant, KeyRecord, List, ManageDenial, MatchedKey, Membership, Operation,
    Permit, PreviousSecret, Rename, Revoke, Rotate, Rotation, Status, UnixTime, Validity, authorize_operation,
};
use proptest::{option, prelude::*, sample::select};

fn grants() -> impl Strategy<Value = Grant> {
    prop_oneof![select(&["ada", "bob"][..]).prop_map(personal), team_grants()]
}

fn team_grants() -> impl Strategy<Value = Grant> {
    let permissions = prop_oneof![
        select(&["all", "prod"][..]).prop_map(full),
        (select(&["all", "prod"][..]), select(&["all", "m1"][..]))
            .prop_map(|(where_to, what)| inference(where_to, what)),
        select(&["all", "m1"][..]).prop_map(metrics),
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
    select(vec![Status::Active, Status::Active, Status::Disabled, Status::Revoked { at: at(0) }])
}

fn directory() -> impl Strategy<Value = Option<Membership>> {
    option::weighted(
        0.9,
        select(&[Membership::Admin, Membership::Member, Membership::Outsider, Membership::Deprovisioned][..]),
    )
}

const OPERATIONS: [&str; 7] = ["create", "list", "rename", "rotate", "disable", "enable", "revoke"];

/// Whether an actor may carry out an operation on the keys of a grant's owner, or on one of them.
fn may(
    actor: &Actor<'_>,
    operation: &str,
    target: &Arc<KeyRecord>,
    membership: Option<Membership>,
    now: UnixTime,
) -> bool {
    fn ask<O: Operation>(result: Result<Permit<O>, ManageDenial>) -> bool {
        result.is_ok()
    }
    let (grant, record) = (target.grant().clone(), || Arc::clone(target));
    match operation {
        "create" => ask(authorize_operation(actor, Create(grant), membership, now)),
        "list" => ask(authorize_operation(actor, List(grant.owner()), membership, now)),
        "rename" => ask(authorize_operation(actor, Rename(record()), membership, now)),
        "rotate" => ask(authorize_operation(actor, Rotate(record()), membership, now)),
        "disable" => ask(authorize_operation(actor, Disable(record()), membership, now)),
        "enable" => ask(authorize_operation(actor, Enable(record()), membership, now)),
        "revoke" => ask(authorize_operation(actor, Revoke(record()), membership, now)),
        other => panic!("{other}"),
    }
}

fn record(grant: Grant, seed: u8) -> Arc<KeyRecord> {
    Arc::new(issue(grant, Validity::NEVER_EXPIRES, seed).key.record().clone())
}

fn key(grant: Grant, validity: Validity, status: Status) -> (MatchedKey, Arc<KeyRecord>) {
    let issued = issue(grant, validity, 1);
    let record = changed(issued.key.record(), |parts| parts.status = status);
    (open(&issued.token, &record, at(0)), record)
}

proptest! {
    /// A personal key is its user at most: what it may, the user may as well, signed in and at the same time.
    #[test]
    fn a_key_exceeds_its_user_in_nothing(
        target in grants(),
        validity in validities(),
        status in statuses(),
        operation in select(&OPERATIONS[..]),
        membership in directory(),
        now in times(),
    ) {
        let (key, itself) = key(personal("ada"), validity, status);
        let user = Actor::User(text("ada"));
        for target in [record(target, 2), itself] {
            let by_key = may(&Actor::Key(&key), operation, &target, membership, now);
            prop_assert!(!by_key || may(&user, operation, &target, membership, now));
        }
    }

    /// Whatever a key is permitted is while it is usable: nothing that it makes begins after it ended.
    #[test]
    fn a_key_manages_nothing_outside_its_time(
        own in grants(),
        target in grants(),
        validity in validities(),
        status in statuses(),
        operation in select(&OPERATIONS[..]),
        membership in directory(),
        now in times(),
    ) {
        let (key, itself) = key(own, validity, status);
        let is_usable = status == Status::Active && validity.contains(now);
        for target in [record(target, 2), itself] {
            prop_assert!(is_usable || !may(&Actor::Key(&key), operation, &target, membership, now));
        }
    }

    /// A team key makes no key, changes no key and sees none: nothing outlives it or exceeds it.
    #[test]
    fn a_team_key_can_only_end_itself(
        own in team_grants(),
        target in grants(),
        operation in select(&OPERATIONS[..]),
        membership in directory(),
    ) {
        let (key, itself) = key(own, Validity::NEVER_EXPIRES, Status::Active);
        let actor = Actor::Key(&key);
        prop_assert!(!may(&actor, operation, &record(target, 2), membership, at(0)));
        let is_key = !["create", "list"].contains(&operation);
        prop_assert_eq!(is_key && may(&actor, operation, &itself, membership, at(0)), operation == "revoke");
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
        let actor = if by_key { Actor::Key(&key) } else { Actor::User(text("ada")) };
        if let Ok(permit) = authorize_operation(&actor, Create(target.clone()), membership, at(0)) {
            match &target {
                Grant::Personal { user } => prop_assert!(!by_key && *user == text("ada")),
                Grant::Team { .. } => prop_assert_eq!(membership, Some(Membership::Admin)),
            }
            // What is made is what was permitted, and says who made it.
            let issued = permit.issue(KG, text("new"), Validity::NEVER_EXPIRES, &mut rng(3), at(0)).unwrap();
            prop_assert_eq!(issued.key.record().grant(), &target);
            prop_assert_eq!(issued.key.record().created_by(), &Creator::User(text("ada")));
        }
    }

    /// Less membership is never more: what an outsider may, a member may, and what a member may, an admin may.
    #[test]
    fn standing_only_ever_adds(target in grants(), by_key: bool, operation in select(&OPERATIONS[..])) {
        let (key, _) = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active);
        let actor = if by_key { Actor::Key(&key) } else { Actor::User(text("ada")) };
        let target = record(target, 2);
        let may = |membership| may(&actor, operation, &target, membership, at(0));
        let ladder = [None, Some(Membership::Deprovisioned), Some(Membership::Outsider), Some(Membership::Member), Some(Membership::Admin)];
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
        overlap in prop_oneof![0..5_u64, Just(u64::MAX)],
        is_retry: bool,
        now in times(),
    ) {
        let end = validity.expires_at().unwrap_or(UnixTime::MAX);
        let issued = issue(grant.clone(), validity, 1);
        let before = changed(issued.key.record(), |parts| {
            let previous = previous.map(|ends_at| PreviousSecret { digest: parts.current, ends_at: ends_at.min(end) });
            parts.previous = previous;
        });
        let overlap = Duration::from_secs(overlap);
        let rotation = if is_retry { Rotation::Retry { overlap } } else { Rotation::Start { overlap } };
        let permit = authorize_operation(&system(), Rotate(Arc::clone(&before)), None, now).unwrap();
        if let Ok(rotated) = permit.rotate(KG, rotation, &mut rng(2), now) {
            prop_assert!(!validity.is_expired(now));
            prop_assert_eq!(rotated.change.id(), before.id());
            if let keygate::PreviousChange::Set(previous) = rotated.change.previous() {
                prop_assert!(previous.ends_at <= end);
                prop_assert_eq!(previous.digest, before.current());
            }
        }
    }
}
