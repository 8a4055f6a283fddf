//! The policy, beside the tables of its rules (`tables.rs`): the order of reasons, bounds of time, incarnations, and
//! what a decision carries.

use keygate::{
    Action, Attribution, Coverage, DenialClass, Grant, Incarnation, Membership, OwnAction, OwnActions, Reason, Request,
    RevocationCause, Status, TeamRole, UnixTime, UserStatus, Validity,
    policy::{Requirement, allowed, authenticate, decide},
    verify::MatchedKey,
};

use crate::common::{
    at, call, changed, custom, export, full, inference, issue, key, metrics, open, own, personal, request, team, text,
};

const REVOKED: Status = Status::Revoked { at: at(50), cause: RevocationCause::Requested };
/// An own action that only a list of it covers.
const PURGE: OwnAction = OwnActions::new(&[("projects:purge", Coverage::Explicit)]).named("projects:purge");
const ROLES: [(&str, Option<TeamRole>); 5] = [
    ("none", None),
    ("admin", Some(TeamRole::Admin)),
    ("member", Some(TeamRole::Member)),
    ("outsider", Some(TeamRole::Outsider)),
    ("deprovisioned", Some(TeamRole::Deprovisioned)),
];

fn between(start: i64, end: i64) -> Validity {
    Validity::between(at(start), at(end)).unwrap()
}

/// The explicit own action, with an environment and a resource.
fn purge(environment: Option<&str>, resource: Option<&str>) -> Action {
    Action::custom(PURGE, environment.map(text), resource.map(text))
}

/// A key and a request that are allowed; the rows change what their rule is about.
struct Row {
    grant: Grant,
    status: Status,
    validity: Validity,
    membership: Option<Membership>,
    request: Request,
    now: i64,
}

fn row(grant: Grant, action: Action) -> Row {
    let request = request("core", action);
    Row { grant, status: Status::Active, validity: Validity::NEVER_EXPIRES, membership: None, request, now: 150 }
}

/// A personal key of a user with a role in the request's team.
fn as_user(role: TeamRole, action: Action) -> Row {
    Row { membership: Some(role.into()), ..row(personal("ada"), action) }
}

impl Row {
    fn with(self, status: Status) -> Self {
        Self { status, ..self }
    }

    fn during(self, validity: Validity, now: i64) -> Self {
        Self { validity, now, ..self }
    }

    fn in_team(self, team: &str) -> Self {
        Self { request: request(team, self.request.action), ..self }
    }

    #[track_caller]
    fn decides(self, expected: Option<Reason>) {
        let Self { grant, status, validity, membership, request, now } = self;
        let key = key(grant, validity, status, 1);
        let decision = decide(&key, membership, &request, at(now));
        let reason = decision.into_result().map_err(|denial| denial.reason()).err();
        assert_eq!(reason, expected, "{key:?} {membership:?} {request:?} at {now}");
    }

    #[track_caller]
    fn allows(self) {
        self.decides(None);
    }

    #[track_caller]
    fn denies(self, reason: Reason) {
        self.decides(Some(reason));
    }
}

#[test]
fn rule_1_status() {
    let full = || row(team("core", full("all")), Action::Deploy);
    full().allows();
    full().with(Status::Disabled).denies(Reason::Disabled);
    full().with(REVOKED).denies(Reason::Revoked);
    // The time of the revocation is for the log: revoked is revoked, even before.
    for at in [UnixTime::MIN, UnixTime::MAX] {
        // And so is the cause.
        for cause in RevocationCause::ALL {
            full().with(Status::Revoked { at, cause: *cause }).denies(Reason::Revoked);
        }
    }
    // Before rule 2.
    full().with(REVOKED).during(between(0, 100), 100).denies(Reason::Revoked);
    full().with(REVOKED).during(between(200, 300), 150).denies(Reason::Revoked);
    full().with(Status::Disabled).during(between(200, 300), 150).denies(Reason::Disabled);
    full().with(Status::Disabled).during(between(0, 100), 100).denies(Reason::Disabled);
    // Before rule 3.
    full().with(REVOKED).in_team("other").denies(Reason::Revoked);
    as_user(TeamRole::Deprovisioned, Action::Deploy).with(Status::Disabled).denies(Reason::Disabled);
    row(personal("ada"), Action::Deploy).with(REVOKED).denies(Reason::Revoked);
}

#[test]
fn rule_2_time() {
    let full = || row(team("core", full("all")), Action::Deploy);
    // Valid iff not_before <= now < expires_at.
    let start = || Validity::starting_at(at(100));
    full().during(start(), 99).denies(Reason::NotYetValid);
    full().during(start(), 100).allows();
    full().during(start(), i64::MAX).allows();
    full().during(start(), i64::MIN).denies(Reason::NotYetValid);
    let end = || Validity::until(at(200));
    full().during(end(), i64::MIN).allows();
    full().during(end(), 199).allows();
    full().during(end(), 200).denies(Reason::Expired);
    full().during(end(), i64::MAX).denies(Reason::Expired);
    // The shortest validity is one second.
    full().during(between(100, 101), 99).denies(Reason::NotYetValid);
    full().during(between(100, 101), 100).allows();
    full().during(between(100, 101), 101).denies(Reason::Expired);
    // Every i64 is a legal time.
    full().during(Validity::NEVER_EXPIRES, i64::MIN).allows();
    full().during(Validity::NEVER_EXPIRES, i64::MAX).allows();
    full().during(Validity::starting_at(UnixTime::MIN), i64::MIN).allows();
    full().during(Validity::starting_at(UnixTime::MAX), i64::MAX).allows();
    full().during(Validity::starting_at(UnixTime::MAX), i64::MAX - 1).denies(Reason::NotYetValid);
    full().during(Validity::until(UnixTime::MAX), i64::MAX - 1).allows();
    full().during(Validity::until(UnixTime::MAX), i64::MAX).denies(Reason::Expired);
    full().during(Validity::until(UnixTime::MIN), i64::MIN).denies(Reason::Expired);
    full().during(between(i64::MIN, i64::MAX), i64::MIN).allows();
    // Before rule 3, whose membership need not be known then.
    full().in_team("other").during(end(), 200).denies(Reason::Expired);
    as_user(TeamRole::Deprovisioned, Action::Deploy).during(end(), 200).denies(Reason::Expired);
    row(personal("ada"), Action::Deploy).during(start(), 99).denies(Reason::NotYetValid);
    row(personal("ada"), Action::Deploy).during(start(), 100).denies(Reason::MembershipRequired);
}

/// Rule 3: a record that names an incarnation needs the user's present one; a record that names none is not compared.
#[test]
fn rule_3_a_user_who_comes_back_gets_no_old_key_back() {
    let minted = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let key = |incarnation: Option<i64>| {
        let record = changed(minted.key.record(), |parts| parts.incarnation = incarnation.map(Incarnation::new));
        open(&minted.token, &record, at(0))
    };
    let asked = request("core", Action::Deploy);
    let now_as = |role: TeamRole, incarnation: Option<i64>| match incarnation {
        Some(number) => Membership::from(role).with_incarnation(Incarnation::new(number)),
        None => role.into(),
    };
    let reason = |minted_for, membership| {
        let key = key(minted_for);
        decide(&key, Some(membership), &asked, at(0)).into_result().err().map(|denial| denial.reason())
    };
    for role in [TeamRole::Admin, TeamRole::Member] {
        for (minted_for, present, expected) in [
            (Some(7), Some(7), None),
            (Some(7), Some(8), Some(Reason::OwnerDeprovisioned)),
            (Some(7), Some(6), Some(Reason::OwnerDeprovisioned)),
            // A directory that counted once and does not any more vouches for nobody.
            (Some(7), None, Some(Reason::OwnerDeprovisioned)),
            (Some(0), None, Some(Reason::OwnerDeprovisioned)),
            (None, Some(7), None),
            (None, None, None),
        ] {
            assert_eq!(reason(minted_for, now_as(role, present)), expected, "{minted_for:?} {present:?}");
        }
    }
    // Before what the user is in the team, and after rules 1 and 2.
    assert_eq!(reason(Some(7), now_as(TeamRole::Outsider, Some(8))), Some(Reason::OwnerDeprovisioned));
    assert_eq!(reason(Some(7), now_as(TeamRole::Outsider, Some(7))), Some(Reason::OtherTeam));
    assert_eq!(reason(Some(7), now_as(TeamRole::Deprovisioned, Some(7))), Some(Reason::OwnerDeprovisioned));
    let record = changed(minted.key.record(), |parts| {
        (parts.incarnation, parts.status) = (Some(Incarnation::new(7)), Status::Disabled);
    });
    let disabled = open(&minted.token, &record, at(0));
    let denial = decide(&disabled, Some(now_as(TeamRole::Member, Some(8))), &asked, at(0)).into_result().unwrap_err();
    assert_eq!(denial.reason(), Reason::Disabled);

    // The same where there is no request yet.
    let usable = |minted_for, user| authenticate(key(minted_for), Some(user), at(0)).map(|key| key.judged_at());
    let active_as = |number| UserStatus::active_as(Incarnation::new(number));
    assert_eq!(usable(Some(7), active_as(7)), Ok(at(0)));
    assert_eq!(usable(Some(7), active_as(8)), Err(Reason::OwnerDeprovisioned));
    assert_eq!(usable(Some(7), UserStatus::active()), Err(Reason::OwnerDeprovisioned));
    assert_eq!(usable(None, active_as(7)), Ok(at(0)));
    assert_eq!(usable(None, UserStatus::active()), Ok(at(0)));
    assert_eq!(usable(None, UserStatus::Deprovisioned), Err(Reason::OwnerDeprovisioned));
    assert_eq!(authenticate(key(None), None, at(0)).map(|key| key.id()), Err(Reason::MembershipRequired));
    let status = |status| authenticate(self::key(personal("ada"), between(100, 200), status, 1), None, at(200));
    assert_eq!(status(REVOKED).map(|key| key.id()), Err(Reason::Revoked));
    assert_eq!(status(Status::Disabled).map(|key| key.id()), Err(Reason::Disabled));
    assert_eq!(status(Status::Active).map(|key| key.id()), Err(Reason::Expired));
    let of_team = self::key(team("core", full("all")), Validity::NEVER_EXPIRES, Status::Active, 1);
    assert_eq!(authenticate(of_team, None, at(0)).map(|key| key.judged_at()), Ok(at(0)));
}

/// Rule 4: a custom key does what it lists, by name, and built-in actions are names too.
#[test]
fn rule_4_custom_keys_do_what_they_list() {
    let actions = [
        ("call", call("m1", None)),
        ("deploy", Action::Deploy),
        ("manage", Action::Manage),
        ("export_metrics", export(None)),
        ("projects:read", own("projects:read", None, None)),
        ("projects:purge", purge(None, None)),
        ("projects:read:all", own("projects:read:all", None, None)),
    ];
    let names = actions.clone().map(|(name, _)| name);
    for (listed, action) in actions {
        row(team("core", custom(listed, "all", "all")), action.clone()).allows();
        row(team("core", custom(&names.join(" "), "all", "all")), action.clone()).allows();
        let others: Vec<_> = names.into_iter().filter(|name| *name != listed).collect();
        row(team("core", custom(&others.join(" "), "all", "all")), action.clone()).denies(Reason::ActionNotInScope);
        // Before rules 6 and 7.
        row(team("core", custom(&others.join(" "), "prod", "r1")), action).denies(Reason::ActionNotInScope);
    }
}

/// The reason is the first rule that is broken: each row mends what the row before was refused for.
#[test]
fn the_reason_is_the_first_rule_that_is_broken() {
    let callers = |action| row(team("core", inference("prod", "m1")), action);
    let of_other = || callers(export(Some("m2"))).in_team("other");
    of_other().with(REVOKED).during(between(0, 100), 100).denies(Reason::Revoked);
    of_other().with(Status::Disabled).during(between(0, 100), 100).denies(Reason::Disabled);
    of_other().during(between(0, 100), 100).denies(Reason::Expired);
    of_other().denies(Reason::OtherTeam);
    callers(export(Some("m2"))).denies(Reason::LevelInsufficient);
    callers(call("m2", None)).denies(Reason::EnvironmentRequired);
    callers(call("m2", Some("test"))).denies(Reason::EnvironmentNotInScope);
    callers(call("m2", Some("prod"))).denies(Reason::ModelNotInScope);
    callers(call("m1", Some("prod"))).allows();

    let everybody = |action| row(team("core", full("prod")), action);
    everybody(purge(None, None)).denies(Reason::ActionNotInScope);
    everybody(Action::Deploy).denies(Reason::EnvironmentScoped);
    everybody(call("m1", None)).denies(Reason::EnvironmentRequired);
    everybody(call("m1", Some("prod"))).allows();

    let exporters = |action| row(team("core", metrics("m1")), action);
    exporters(call("m2", None)).denies(Reason::LevelInsufficient);
    exporters(export(None)).denies(Reason::ModelRequired);
    exporters(export(Some("m2"))).denies(Reason::ModelNotInScope);
    exporters(export(Some("m1"))).allows();

    let readers = |action| row(team("core", custom("projects:read", "prod", "r1")), action);
    let read = |environment, resource| own("projects:read", environment, resource);
    readers(purge(None, None)).denies(Reason::ActionNotInScope);
    readers(read(None, None)).denies(Reason::EnvironmentRequired);
    readers(read(Some("test"), None)).denies(Reason::EnvironmentNotInScope);
    readers(read(Some("prod"), None)).denies(Reason::ResourceRequired);
    readers(read(Some("prod"), Some("r2"))).denies(Reason::ResourceNotInScope);
    readers(read(Some("prod"), Some("r1"))).allows();

    row(personal("ada"), purge(None, None)).with(Status::Disabled).denies(Reason::Disabled);
    row(personal("ada"), purge(None, None)).denies(Reason::MembershipRequired);
    as_user(TeamRole::Deprovisioned, purge(None, None)).denies(Reason::OwnerDeprovisioned);
    as_user(TeamRole::Outsider, purge(None, None)).denies(Reason::OtherTeam);
    as_user(TeamRole::Member, purge(None, None)).denies(Reason::ActionNotInScope);
    as_user(TeamRole::Member, Action::Deploy).allows();
}

/// What a 403 would show of what the key must not see, whatever rule refused first.
#[test]
fn a_denial_says_whether_it_would_reveal() {
    #[track_caller]
    fn denied(row: Row) -> (Reason, bool) {
        let Row { grant, status, validity, membership, request, now } = row;
        let key = key(grant, validity, status, 1);
        let denial = decide(&key, membership, &request, at(now)).into_result().unwrap_err();
        (denial.reason(), denial.reveals_existence())
    }
    let callers = || team("core", inference("prod", "m1"));
    let exporters = || team("core", metrics("m1"));
    let readers = || team("core", custom("call export_metrics projects:read", "prod", "m1 r1"));
    let read = |environment, resource| own("projects:read", environment, resource);
    use Reason::{
        ActionNotInScope, EnvironmentNotInScope, EnvironmentRequired, EnvironmentScoped, LevelInsufficient,
        ModelNotInScope, ModelRequired, OtherTeam, OwnerDeprovisioned, ResourceNotInScope, ResourceRequired,
    };
    let table = [
        // A model that the restriction leaves out: by the level, by the environment, by the model.
        (row(callers(), export(Some("m2"))), LevelInsufficient, true),
        (row(callers(), call("m2", None)), EnvironmentRequired, true),
        (row(callers(), call("m2", Some("test"))), EnvironmentNotInScope, true),
        (row(callers(), call("m2", Some("prod"))), ModelNotInScope, true),
        (row(exporters(), call("m2", Some("prod"))), LevelInsufficient, true),
        (row(exporters(), export(Some("m2"))), ModelNotInScope, true),
        // One that it has, and none at all.
        (row(callers(), export(Some("m1"))), LevelInsufficient, false),
        (row(callers(), call("m1", None)), EnvironmentRequired, false),
        (row(callers(), call("m1", Some("test"))), EnvironmentNotInScope, false),
        (row(callers(), Action::Deploy), LevelInsufficient, false),
        (row(exporters(), export(None)), ModelRequired, false),
        // An own action's resource is no model: for these levels nothing is left out of it.
        (row(callers(), read(None, Some("m2"))), LevelInsufficient, false),
        (row(exporters(), read(None, Some("m2"))), LevelInsufficient, false),
        // A custom key is restricted to resources, and models are among them.
        (row(readers(), purge(Some("prod"), Some("r2"))), ActionNotInScope, true),
        (row(readers(), read(None, Some("r2"))), EnvironmentRequired, true),
        (row(readers(), read(Some("test"), Some("r2"))), EnvironmentNotInScope, true),
        (row(readers(), read(Some("prod"), Some("r2"))), ResourceNotInScope, true),
        (row(readers(), call("m2", None)), EnvironmentRequired, true),
        (row(readers(), call("m2", Some("prod"))), ResourceNotInScope, true),
        (row(readers(), export(Some("m2"))), EnvironmentRequired, true),
        (row(readers(), purge(None, Some("r1"))), ActionNotInScope, false),
        (row(readers(), purge(None, None)), ActionNotInScope, false),
        (row(readers(), read(Some("test"), Some("r1"))), EnvironmentNotInScope, false),
        (row(readers(), call("m1", None)), EnvironmentRequired, false),
        (row(readers(), read(Some("prod"), None)), ResourceRequired, false),
        (row(readers(), Action::Manage), ActionNotInScope, false),
        // A key without such a restriction sees every model and resource of its team.
        (row(team("core", full("prod")), call("m2", Some("test"))), EnvironmentNotInScope, false),
        (row(team("core", full("prod")), Action::Deploy), EnvironmentScoped, false),
        (row(team("core", full("all")), purge(None, Some("r2"))), ActionNotInScope, false),
        (row(team("core", metrics("all")), call("m2", None)), LevelInsufficient, false),
        (row(team("core", custom("call", "all", "all")), read(None, Some("r2"))), ActionNotInScope, false),
        (as_user(TeamRole::Member, purge(None, Some("r2"))), ActionNotInScope, false),
        // Another team's, whatever is asked for.
        (row(team("core", full("all")), Action::Deploy).in_team("other"), OtherTeam, true),
        (row(callers(), call("m1", Some("prod"))).in_team("other"), OtherTeam, true),
        (row(readers(), read(Some("prod"), Some("r1"))).in_team("other"), OtherTeam, true),
        (as_user(TeamRole::Outsider, Action::Deploy), OtherTeam, true),
        // Who is not authenticated is told nothing about anything.
        (row(callers(), call("m2", None)).with(REVOKED), Reason::Revoked, false),
        (row(callers(), call("m2", None)).with(Status::Disabled), Reason::Disabled, false),
        (row(callers(), call("m2", None)).during(Validity::until(at(5)), 5), Reason::Expired, false),
        (row(callers(), call("m2", None)).during(Validity::starting_at(at(5)), 4), Reason::NotYetValid, false),
        (row(readers(), call("m2", None)).in_team("other").with(REVOKED), Reason::Revoked, false),
        (as_user(TeamRole::Deprovisioned, call("m2", None)), OwnerDeprovisioned, false),
        (row(personal("ada"), call("m2", None)), Reason::MembershipRequired, false),
    ];
    for (place, (row, reason, reveals)) in table.into_iter().enumerate() {
        assert_eq!(denied(row), (reason, reveals), "row {place}");
    }
}

/// A list shows what a call would allow, and nothing that it would refuse.
#[test]
fn a_list_shows_what_is_allowed_now() {
    let models = ["m1", "m2", "m3"];
    let shown = |key: &MatchedKey, membership, now| {
        let requests = models.into_iter().map(|model| request("core", call(model, Some("prod"))));
        let shown = allowed(key, membership, requests, at(now));
        shown.map(|request| request.action.model().unwrap().to_string()).collect::<Vec<_>>()
    };
    let of = |permission| key(team("core", permission), between(100, 200), Status::Active, 1);
    assert_eq!(shown(&of(inference("prod", "m3 m1")), None, 150), ["m1", "m3"]);
    assert_eq!(shown(&of(custom("call", "all", "m2 r1")), None, 150), ["m2"]);
    assert_eq!(shown(&of(full("prod")), None, 150), models);
    for nothing in [inference("test", "all"), metrics("all"), custom("deploy", "all", "all"), full("test")] {
        assert_eq!(shown(&of(nothing), None, 150), [""; 0]);
    }
    assert_eq!(shown(&of(full("all")), None, 200), [""; 0], "expired");
    let of_ada = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active, 1);
    assert_eq!(shown(&of_ada, Some(TeamRole::Member.into()), 150), models);
    assert_eq!(shown(&of_ada, Some(TeamRole::Outsider.into()), 150), [""; 0]);
    assert_eq!(shown(&of_ada, None, 150), [""; 0]);

    // Environments, own actions and teams, in the order in which they were asked.
    let key = of(custom("projects:read projects:purge", "prod test", "r1"));
    let environments =
        ["stage", "test", "prod"].map(|name| request("core", own("projects:read", Some(name), Some("r1"))));
    let shown: Vec<_> = allowed(&key, None, environments.clone(), at(150)).collect();
    assert_eq!(shown, environments[1..]);
    let actions = [
        request("core", purge(Some("prod"), Some("r1"))),
        request("core", own("projects:write", Some("prod"), Some("r1"))),
        request("other", own("projects:read", Some("prod"), Some("r1"))),
        request("core", own("projects:read", Some("prod"), Some("r1"))),
    ];
    let shown: Vec<_> = allowed(&key, None, actions.clone(), at(150)).collect();
    assert_eq!(shown, [actions[0].clone(), actions[3].clone()]);
}

#[test]
fn rule_8_an_allow_carries_what_was_decided() {
    let now = at(150);
    let (ada, core) = (text("ada"), text("core"));
    let asked = request("core", call("m1", None));

    let key_of_ada = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active, 1);
    let allow = decide(&key_of_ada, Some(TeamRole::Member.into()), &asked, now).into_result().unwrap();
    assert_eq!(allow.attribution(), Attribution::User(&ada));
    assert_eq!((allow.key().id(), allow.request()), (key_of_ada.id(), &asked));

    let key_of_core = key(team("core", full("all")), Validity::NEVER_EXPIRES, Status::Active, 2);
    let decision = decide(&key_of_core, None, &asked, now);
    assert!(decision.is_allowed());
    let authorization = decision.into_result().unwrap().to_authorization();
    assert_eq!(authorization.attribution(), Attribution::Key(key_of_core.id(), &core));
    assert_eq!((authorization.key().id(), authorization.request()), (key_of_core.id(), &asked));
    assert_eq!((authorization.decided_at(), authorization.key().judged_at()), (now, now));
}

/// Rules 1, 2 and `OwnerDeprovisioned` are 401, and so is what is of another issuer; the rest is 403.
#[test]
fn every_reason_has_its_name_and_class() {
    use DenialClass::{NotAllowed, NotAuthenticated, Undecided};
    let table = [
        (Reason::ActionNotInScope, "action_not_in_scope", NotAllowed),
        (Reason::Disabled, "disabled", NotAuthenticated),
        (Reason::EnvironmentNotInScope, "environment_not_in_scope", NotAllowed),
        (Reason::EnvironmentRequired, "environment_required", NotAllowed),
        (Reason::EnvironmentScoped, "environment_scoped", NotAllowed),
        (Reason::Expired, "expired", NotAuthenticated),
        (Reason::LevelInsufficient, "level_insufficient", NotAllowed),
        (Reason::MembershipRequired, "membership_required", Undecided),
        (Reason::ModelNotInScope, "model_not_in_scope", NotAllowed),
        (Reason::ModelRequired, "model_required", NotAllowed),
        (Reason::NotYetValid, "not_yet_valid", NotAuthenticated),
        (Reason::OtherIssuer, "other_issuer", NotAuthenticated),
        (Reason::OtherTeam, "other_team", NotAllowed),
        (Reason::OtherUser, "other_user", NotAllowed),
        (Reason::OutlivesActor, "outlives_actor", NotAllowed),
        (Reason::OwnerDeprovisioned, "owner_deprovisioned", NotAuthenticated),
        (Reason::ResourceNotInScope, "resource_not_in_scope", NotAllowed),
        (Reason::ResourceRequired, "resource_required", NotAllowed),
        (Reason::Revoked, "revoked", NotAuthenticated),
        (Reason::SessionRequired, "session_required", NotAllowed),
    ];
    assert_eq!(table.map(|(reason, ..)| reason), Reason::ALL);
    for (reason, name, class) in table {
        assert_eq!((reason.as_str(), reason.class()), (name, class));
        assert_eq!(reason.to_string(), name);
    }
}

#[test]
fn a_denial_tells_what_would_have_sufficed() {
    let sufficient = |key: &MatchedKey, membership, request: &Request| {
        let denial = decide(key, membership, request, at(150)).into_result().unwrap_err();
        assert_eq!(denial.action(), request.action.kind());
        assert_eq!(denial.to_string(), format!("{} denied: {}", denial.action(), denial.reason()));
        denial.requirement(key, request).map(|sufficient| sufficient.to_string())
    };
    let active = |permission| key(team("core", permission), Validity::NEVER_EXPIRES, Status::Active, 1);
    let table = [
        (metrics("all"), call("m1", None), "a key with level `full` or `inference_only`"),
        (inference("all", "all"), export(None), "a key with level `full` or `metrics_only`"),
        (metrics("all"), Action::Deploy, "a key with level `full`"),
        (metrics("all"), Action::Manage, "a key with level `full`"),
        (full("prod"), Action::Deploy, "a key without environment restriction"),
        (full("test prod"), call("m1", None), "a request in environment `prod` or `test`"),
        (full("prod"), call("m1", Some("test")), "a key with environment `test`"),
        (metrics("m2 m1"), export(None), "a request for model `m1` or `m2`"),
        (metrics("m1"), export(Some("m3")), "a key with model `m3`"),
        (inference("all", "all"), own("projects:read", None, None), "a key with level `full`"),
        (full("all"), purge(None, None), "a custom key with action `projects:purge`"),
        (custom("call", "all", "all"), Action::Deploy, "a custom key with action `deploy`"),
        (custom("call", "test prod", "all"), call("m1", None), "a request in environment `prod` or `test`"),
        (custom("call", "prod", "all"), call("m1", Some("test")), "a key with environment `test`"),
        (
            custom("projects:read", "all", "r2 r1"),
            own("projects:read", None, None),
            "a request for resource `r1` or `r2`",
        ),
        (custom("projects:read", "all", "r1"), own("projects:read", None, Some("r3")), "a key with resource `r3`"),
        (custom("call", "all", "r1"), call("m3", None), "a key with resource `m3`"),
    ];
    for (permission, action, expected) in table {
        assert_eq!(sufficient(&active(permission), None, &request("core", action)).as_deref(), Some(expected));
    }
    // Nothing that a key could be granted helps against these.
    let personal = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active, 1);
    for (_, role) in ROLES {
        let membership = role.map(Membership::from);
        let asked = request("core", Action::Deploy);
        if !decide(&personal, membership, &asked, at(150)).is_allowed() {
            assert_eq!(sufficient(&personal, membership, &asked), None);
        }
    }
    for (status, now) in [(REVOKED, 150), (Status::Disabled, 150), (Status::Active, 99), (Status::Active, 200)] {
        let key = key(team("core", full("all")), between(100, 200), status, 1);
        let asked = request("core", Action::Deploy);
        let denial = decide(&key, None, &asked, at(now)).into_result().unwrap_err();
        assert_eq!(denial.requirement(&key, &asked), None);
    }
    assert_eq!(sufficient(&active(full("all")), None, &request("other", Action::Deploy)), None);
}

/// What is borrowed comes from the key and the request: the same sets, not copies of their text.
#[test]
fn what_suffices_is_borrowed() {
    let key = key(team("core", inference("prod", "m1")), Validity::NEVER_EXPIRES, Status::Active, 1);
    let permission = key.grant().permission().unwrap();
    let asked = request("core", call("m1", None));
    let denial = decide(&key, None, &asked, at(150)).into_result().unwrap_err();
    let Some(Requirement::EnvironmentAmong(set)) = denial.requirement(&key, &asked) else { panic!("{denial}") };
    assert_eq!(Some(set), permission.environments().members());

    let asked = request("core", call("m2", Some("prod")));
    let denial = decide(&key, None, &asked, at(150)).into_result().unwrap_err();
    assert_eq!(denial.requirement(&key, &asked), Some(Requirement::Model(&text("m2"))));
}
