//! The gate: who is asked, and what a leaked token is good for. And what nothing but a mutant would show.
#![cfg(feature = "memory")]

mod common;

use core::{convert::Infallible, fmt};
use std::sync::Arc;

use common::{KG, at, call, changed, environments, full, issue, key, models, open, personal, request, rng, team, text};
use keygate::{
    Action, ActionKind, Conflict, Directory, EventKind, Gate, GenerateError, InvalidRecord, KeyId, KeyKind,
    KeyManagementStore, KeyManager, KeyRecord, KeyStore, MatchedKey, Membership, MembershipQuery, MemoryDirectory,
    MemoryStore, ParseTokenError, PreviousSecret, Principal, Reason, RecordParts, RotateError, SecretDigest,
    SecretSlot, Status, Token, Unauthenticated, Unavailable, UnverifiedToken, UsageCounter, Validity, Verdict, decide,
    verify,
};
use pollster::block_on;

const GATE: Gate = Gate::new(KG);

#[test]
fn a_leaked_token_ends_its_key_and_a_public_id_does_not() {
    let manager = KeyManager::new(KG, MemoryStore::new());
    let issued = issue(personal("ada"), Validity::until(at(10)), 1);
    block_on(manager.store().insert(issued.key.clone())).unwrap().unwrap();
    let guess = Token::generate_secret(KG, KeyKind::Personal, issued.token.id(), &mut rng(2)).unwrap();
    for wrong in [guess.expose_secret(), "no token", issued.token.id().as_str()] {
        assert!(block_on(GATE.authorize_leak_revocation(manager.store(), wrong, at(5))).unwrap().is_none());
    }
    // Expired or not: it has leaked.
    let permit = block_on(GATE.authorize_leak_revocation(manager.store(), issued.token.expose_secret(), at(50)))
        .unwrap()
        .unwrap();
    assert_eq!(permit.operation().0.id(), issued.token.id());
    block_on(manager.revoke(permit, at(60))).unwrap();
    let found = block_on(manager.store().find(issued.token.id())).unwrap().unwrap();
    assert_eq!(found.status(), Status::Revoked { at: at(60) });
}

#[test]
fn standings_are_asked_only_where_they_decide() {
    let request = request("core", Action::Deploy);
    let unasked = |_: &_, _: &_| -> Result<Membership, Infallible> { panic!("nobody had to be asked") };
    for (grant, status, validity) in [
        (personal("ada"), Status::Revoked { at: at(1) }, Validity::NEVER_EXPIRES),
        (personal("ada"), Status::Disabled, Validity::NEVER_EXPIRES),
        (personal("ada"), Status::Active, Validity::until(at(5))),
        (personal("ada"), Status::Active, Validity::starting_at(at(50))),
        (team("core", full("all")), Status::Active, Validity::NEVER_EXPIRES),
    ] {
        let key = key(grant, validity, status, 1);
        assert!(MembershipQuery::of(&key, &request, at(10)).is_err());
        let decision = GATE.authorize_blocking(unasked, &key, &request, at(10)).unwrap();
        assert_eq!(decision.is_allowed(), key.kind() == KeyKind::Team);
    }
    let key = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active, 1);
    let asked = |_: &_, _: &_| Ok::<_, Infallible>(Membership::Outsider);
    let denial = GATE.authorize_blocking(asked, &key, &request, at(10)).unwrap().into_result().unwrap_err();
    assert_eq!(denial.reason(), Reason::OtherTeam);
}

/// What outlives a request is decided by what there is now.
#[test]
fn an_allowed_request_is_decided_anew_by_the_record_and_the_standing_of_now() {
    let deploy = request("core", Action::Deploy);
    let issued = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let (record, directory) = (issued.key.record(), MemoryDirectory::new());
    directory.set_member(text("ada"), text("core"), Membership::Member);
    let allowed = open(&issued.token, &Arc::new(record.clone()), at(0));
    let authorization =
        decide(&allowed, Some(Membership::Member), &deploy, at(0)).into_result().unwrap().to_authorization();
    let again = |now_found: Option<Arc<KeyRecord>>| {
        let verdict = block_on(GATE.check_again(&Found(Ok(now_found)), &directory, &authorization, at(50))).unwrap();
        match verdict {
            Verdict::Allowed(authorization) => {
                assert_eq!(authorization.request(), &deploy);
                None
            }
            Verdict::Denied { denial, .. } => Some(denial.reason().as_str()),
            Verdict::Unauthenticated(unauthenticated) => Some(unauthenticated.as_str()),
        }
    };
    let with = |change: fn(&mut RecordParts)| Some(changed(record, change));
    assert_eq!(again(with(|_| ())), None);
    let table = [
        (with(|parts| parts.status = Status::Revoked { at: at(10) }), "revoked"),
        (with(|parts| parts.status = Status::Disabled), "disabled"),
        (with(|parts| parts.expires_at = Some(at(50))), "expired"),
        (with(|parts| parts.current = SecretDigest::from_bytes([1; 29]).unwrap()), "invalid_key"),
        (None, "invalid_key"),
    ];
    for (found, reason) in table {
        assert_eq!(again(found), Some(reason));
    }
    directory.set_member(text("ada"), text("labs"), Membership::Member);
    directory.deprovision(&text("ada"));
    assert_eq!(again(with(|_| ())), Some("owner_deprovisioned"));
    let down = block_on(GATE.check_again(&Found(Err(fmt::Error)), &directory, &authorization, at(50)));
    assert_eq!(down.unwrap_err(), Unavailable::Store(fmt::Error));
}

/// A store in which there is this now, whatever is asked.
struct Found(Result<Option<Arc<KeyRecord>>, fmt::Error>);

impl KeyStore for Found {
    type Error = fmt::Error;

    async fn find(&self, _: KeyId) -> Result<Option<Arc<KeyRecord>>, fmt::Error> {
        self.0.clone()
    }
}

#[test]
fn standings_in_memory_are_what_was_said_last_and_nothing_beyond() {
    let directory = MemoryDirectory::new();
    let of = |user, team| block_on(directory.membership(text(user), text(team))).unwrap();
    let said = |user, team, membership| directory.set_member(text(user), text(team), membership);
    said("ada", "core", Membership::Member);
    said("bob", "core", Membership::Member);
    assert_eq!(of("ada", "core"), Membership::Member);
    said("ada", "core", Membership::Admin);
    assert_eq!(of("ada", "core"), Membership::Admin);
    assert_eq!(of("ada", "other"), Membership::Outsider);
    assert_eq!(of("eve", "core"), Membership::Deprovisioned);
    directory.deprovision(&text("ada"));
    assert_eq!([of("ada", "core"), of("bob", "core")], [Membership::Deprovisioned, Membership::Member]);
    // Who comes back does not come back to what they were.
    said("ada", "other", Membership::Member);
    assert_eq!(of("ada", "core"), Membership::Outsider);
}

#[test]
fn every_refusal_is_an_event_and_no_allow_is() {
    let issued = issue(team("core", full("all")), Validity::NEVER_EXPIRES, 1);
    let record = Arc::new(issued.key.record().clone());
    let member = |_: &_, _: &_| Ok::<_, Infallible>(Membership::Member);
    let check = |text: &str, team: &str| {
        let found = |_| Ok::<_, Infallible>(Some(Arc::clone(&record)));
        let request = request(team, Action::Deploy);
        GATE.check_blocking(found, member, text, &request, at(1)).unwrap()
    };
    let allowed = check(issued.token.expose_secret(), "core");
    assert!(matches!(allowed, Verdict::Allowed(_)) && allowed.to_event(at(1)).is_none());
    let denied = check(issued.token.expose_secret(), "labs");
    assert_eq!(denied.to_event(at(1)).unwrap().key, Some(issued.token.id()));
    let guess = Token::generate_secret(KG, KeyKind::Team, issued.token.id(), &mut rng(2)).unwrap();
    assert!(check(guess.expose_secret(), "core").to_event(at(1)).is_some());
    assert!(check("no token", "core").to_event(at(1)).is_some());
}

/// Differences of several words must not cancel each other out.
#[test]
fn digests_that_differ_in_several_places_differ() {
    let digest = issue(personal("ada"), Validity::NEVER_EXPIRES, 1).token.digest().to_bytes();
    // Behind the algorithm, of which a few are known.
    for first in 1..digest.len() {
        for second in 1..first {
            let mut other = digest;
            for place in [first, second] {
                *other.get_mut(place).unwrap() ^= 0x10;
            }
            assert!(SecretDigest::from_bytes(other) != SecretDigest::from_bytes(digest), "{first} {second}");
        }
    }
}

/// A store may hold one secret in both slots: it opens the key, as the current one.
#[test]
fn a_secret_in_both_slots_is_the_current_one() {
    let issued = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let record = changed(issued.key.record(), |parts| {
        parts.previous = Some(PreviousSecret { digest: parts.current, ends_at: at(100) });
    });
    let presented = UnverifiedToken::parse(KG, issued.token.expose_secret()).unwrap();
    assert_eq!(verify(&presented, Some(record), at(0)).unwrap().slot(), SecretSlot::Current);
}

#[test]
fn scopes_with_other_members_are_not_equal() {
    assert_ne!(environments("prod"), environments("stage"));
    assert_ne!(environments("prod"), environments("prod stage"));
    assert_ne!(models("m1"), models("m2"));
    assert_eq!(models("m1 m2"), models("m2 m1 m2"));
}

/// `Debug` says what may be said: an empty text would be of no use to whoever looks for a mistake.
#[test]
fn what_may_be_shown_is_shown() {
    let issued = issue(team("core", full("prod")), Validity::NEVER_EXPIRES, 1);
    let record = Arc::new(issued.key.record().clone());
    let key = format!("{:?}", open(&issued.token, &record, at(0)));
    for part in [issued.token.id().as_str(), "core", "prod", "Active", "Current"] {
        assert!(key.contains(part), "{part} is not in {key}");
    }
    let public = issued.token.public().to_string();
    assert_eq!(format!("{:?}", issued.token), format!("Token({public}, [redacted])"));
    assert_eq!(format!("{:?}", issued.token.digest()), "SecretDigest([redacted])");
    let members = format!("{:?}", models("m1 m2").members().unwrap());
    assert!(members.contains("m1") && members.contains("m2"), "{members}");
}

#[test]
fn a_key_is_valid_from_its_start_until_before_its_end() {
    let of = |validity: Validity| [99, 100, 199, 200].map(|now| validity.contains(at(now)));
    assert_eq!(of(Validity::NEVER_EXPIRES), [true, true, true, true]);
    assert_eq!(of(Validity::starting_at(at(100))), [false, true, true, true]);
    assert_eq!(of(Validity::until(at(200))), [true, true, true, false]);
    assert_eq!(of(Validity::between(at(100), at(200)).unwrap()), [false, true, true, false]);
}

/// One event for many uses of a key by one secret, whatever the order in which they are told.
#[test]
fn uses_are_counted_for_each_key_and_secret() {
    let [one, other] = [1, 2].map(|seed| key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active, seed));
    let mut uses = UsageCounter::new();
    assert_eq!(uses.drain().count(), 0);
    for (key, now) in [(&one, 20), (&other, 30), (&one, 10), (&one, 40)] {
        uses.record(key, at(now));
    }
    let mut events: Vec<_> = uses.drain().collect();
    events.sort_by_key(|event| event.at);
    let used = |key: &MatchedKey, count, first_at, last_at| {
        let kind = EventKind::Used { count, first_at: at(first_at), last_at: at(last_at) };
        (at(last_at), Principal::key(key), Some(key.id()), kind)
    };
    let events: Vec<_> = events.into_iter().map(|event| (event.at, event.by, event.key, event.kind)).collect();
    assert_eq!(events, [used(&other, 1, 30, 30), used(&one, 3, 10, 40)]);
    assert_eq!(uses.drain().count(), 0, "it starts over");
}

#[test]
fn names_for_logs_are_as_documented() {
    let names: Vec<_> = ActionKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names, ["call", "deploy", "export_metrics", "manage"]);
    assert!(ActionKind::ALL.iter().all(|kind| kind.to_string() == kind.as_str()));
    let key = key(team("core", full("prod")), Validity::NEVER_EXPIRES, Status::Active, 1);
    let request = request("core", call("m1", None));
    let denial = decide(&key, None, &request, at(0)).into_result().unwrap_err();
    assert_eq!(denial.to_string(), "call denied: environment_required");

    let parse = [
        ParseTokenError::ChecksumMismatch,
        ParseTokenError::ForeignIssuer,
        ParseTokenError::Malformed,
        ParseTokenError::UnsupportedVersion,
    ];
    let names = ["checksum_mismatch", "foreign_issuer", "malformed", "unsupported_version"];
    assert_eq!(parse.map(ParseTokenError::as_str), names);
    assert_eq!(parse.map(|error| Unauthenticated::NotAToken(error).as_str()), names);
    assert_eq!(Unauthenticated::InvalidKey { claimed: key.id() }.as_str(), "invalid_key");
    let rotate = [
        RotateError::Disabled,
        RotateError::Expired,
        RotateError::Generate(GenerateError::Stuck),
        RotateError::InProgress,
        RotateError::Revoked,
    ];
    let names = rotate.map(RotateError::as_str);
    assert_eq!(names, ["disabled", "expired", "generator_failed", "rotation_in_progress", "revoked"]);
    let refusals = [
        Conflict::Absent,
        Conflict::Changed,
        Conflict::Disabled,
        Conflict::IdTaken,
        Conflict::NameTaken,
        Conflict::NotDisabled,
        Conflict::Revoked,
    ];
    let names = refusals.map(Conflict::as_str);
    assert_eq!(names, ["absent", "changed", "disabled", "id_taken", "name_taken", "not_disabled", "revoked"]);
}

#[test]
fn no_record_has_a_previous_secret_that_outlives_its_key() {
    let issued = issue(team("core", full("all")), Validity::NEVER_EXPIRES, 1);
    for not_before in [None, Some(at(0))] {
        for (ends, expires, is_record) in [(10, Some(10), true), (11, Some(10), false), (11, None, true)] {
            let mut parts = RecordParts::from(issued.key.record().clone());
            (parts.not_before, parts.expires_at) = (not_before, expires.map(at));
            parts.previous = Some(PreviousSecret { digest: issued.token.digest(), ends_at: at(ends) });
            let refused = (!is_record).then_some(InvalidRecord::OverlapOutlivesKey);
            assert_eq!(KeyRecord::try_from(parts).err(), refused);
        }
    }
}
