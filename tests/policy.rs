//! The policy: the whole table of a small world as a golden file, and each rule by hand, both ways and in its order.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;
#[path = "common/table.rs"]
mod table;

use common::{at, call, export, full, inference, key, metrics, personal, request, team, text};
use keygate::{
    Action, ActionKind, Attribution, Decision, DenialClass, Grant, MatchedKey, Membership, PermissionLevel, Reason,
    Request, Requirement, Status, UnixTime, Validity, decide,
};
use table::Table;

const REVOKED: Status = Status::Revoked { at: at(50) };
const VALIDITIES: [(&str, i64); 3] = [("early", 99), ("valid", 150), ("over", 200)];
const STANDINGS: [(&str, Option<Membership>); 5] = [
    ("none", None),
    ("admin", Some(Membership::Admin)),
    ("member", Some(Membership::Member)),
    ("outsider", Some(Membership::Outsider)),
    ("deprovisioned", Some(Membership::Deprovisioned)),
];

fn between(start: i64, end: i64) -> Validity {
    Validity::between(at(start), at(end)).unwrap()
}

fn labels<T>(values: &[(&str, T)]) -> Vec<String> {
    values.iter().map(|(label, _)| (*label).to_owned()).collect()
}

#[test]
fn the_whole_table_is_the_golden_one() {
    let grants = [
        ("personal ada", personal("ada")),
        ("full", team("core", full("all"))),
        ("full in prod", team("core", full("prod"))),
        ("inference", team("core", inference("all", "all"))),
        ("inference in prod", team("core", inference("prod", "all"))),
        ("inference of m1", team("core", inference("all", "m1"))),
        ("inference in prod of m1", team("core", inference("prod", "m1"))),
        ("metrics", team("core", metrics("all"))),
        ("metrics of m1", team("core", metrics("m1"))),
    ];
    let statuses = [("revoked", REVOKED), ("disabled", Status::Disabled), ("active", Status::Active)];
    let actions = [
        ("call m1", call("m1", None)),
        ("call m1 in prod", call("m1", Some("prod"))),
        ("call m1 in test", call("m1", Some("test"))),
        ("call m2", call("m2", None)),
        ("call m2 in prod", call("m2", Some("prod"))),
        ("call m2 in test", call("m2", Some("test"))),
        ("deploy", Action::Deploy),
        ("manage", Action::Manage),
        ("export", export(None)),
        ("export m1", export(Some("m1"))),
        ("export m2", export(Some("m2"))),
    ];
    for kind in ActionKind::ALL {
        assert!(actions.iter().any(|(_, action)| action.kind() == *kind), "`{kind}` is not in the table");
    }
    for level in PermissionLevel::ALL {
        let has_level = |grant: &Grant| grant.permission().is_some_and(|permission| permission.level() == *level);
        assert!(grants.iter().any(|(_, grant)| has_level(grant)), "`{level}` is not in the table");
    }
    let requests = ["core", "other"].map(|team| actions.clone().map(|(_, action)| request(team, action)));

    let mut table =
        Table::new(&["key of core, or of ada", "status", "time", "membership", "team", "request", "outcome"]);
    let columns = [
        labels(&statuses),
        labels(&VALIDITIES),
        labels(&STANDINGS),
        vec!["core".to_owned(), "other".to_owned()],
        labels(&actions),
    ];
    for (label, grant) in grants {
        let keys = statuses.map(|(_, status)| key(grant.clone(), between(100, 200), status, 1));
        let columns = [&[vec![label.to_owned()]], columns.as_slice()].concat();
        table.add(&columns, |place| {
            let [_, status, time, membership, team, action] = place else { panic!("there are six columns") };
            let request = &requests[*team][*action];
            outcome(decide(&keys[*status], STANDINGS[*membership].1, request, at(VALIDITIES[*time].1)))
        });
    }
    table.assert_golden("policy.txt", PREAMBLE);
}

const PREAMBLE: &str = "\
# What `decide` answers to every combination of these columns; `*` is each value of its column.
# Written by `UPDATE_GOLDEN=1 cargo test --all-features --test policy`: read the difference before you commit it.
# A denial shows reason, class, and whether it conceals.
";

fn outcome(decision: Decision<'_>) -> String {
    match decision {
        Decision::Allow(allow) => match allow.attribution() {
            Attribution::User(user) => format!("allow as user {user}"),
            Attribution::Key(_, team) => format!("allow as key of {team}"),
        },
        Decision::Deny(denial) => {
            let class = match denial.class() {
                DenialClass::NotAllowed => "not allowed",
                DenialClass::NotAuthenticated => "not authenticated",
                DenialClass::Undecided => "undecided",
                _ => panic!("a class that the table does not know"),
            };
            let conceals = if denial.reveals_existence() { ", conceals" } else { "" };
            format!("{}: {class}{conceals}", denial.reason())
        }
    }
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

/// A personal key of a user with a membership in the request's team.
fn as_user(membership: Membership, action: Action) -> Row {
    Row { membership: Some(membership), ..row(personal("ada"), action) }
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
    full().with(Status::Revoked { at: UnixTime::MAX }).denies(Reason::Revoked);
    full().with(Status::Revoked { at: UnixTime::MIN }).denies(Reason::Revoked);
    // Before rule 2.
    full().with(REVOKED).during(between(0, 100), 100).denies(Reason::Revoked);
    full().with(REVOKED).during(between(200, 300), 150).denies(Reason::Revoked);
    full().with(Status::Disabled).during(between(200, 300), 150).denies(Reason::Disabled);
    full().with(Status::Disabled).during(between(0, 100), 100).denies(Reason::Disabled);
    // Before rule 3.
    full().with(REVOKED).in_team("other").denies(Reason::Revoked);
    as_user(Membership::Deprovisioned, Action::Deploy).with(Status::Disabled).denies(Reason::Disabled);
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
    as_user(Membership::Deprovisioned, Action::Deploy).during(end(), 200).denies(Reason::Expired);
    row(personal("ada"), Action::Deploy).during(start(), 99).denies(Reason::NotYetValid);
    row(personal("ada"), Action::Deploy).during(start(), 100).denies(Reason::MembershipRequired);
}

#[test]
fn rule_3_and_4_personal_keys_act_as_their_user() {
    for action in [call("m1", None), call("m1", Some("development")), Action::Deploy, Action::Manage, export(None)] {
        as_user(Membership::Admin, action.clone()).allows();
        as_user(Membership::Member, action.clone()).allows();
        as_user(Membership::Outsider, action.clone()).denies(Reason::OtherTeam);
        as_user(Membership::Deprovisioned, action.clone()).denies(Reason::OwnerDeprovisioned);
        row(personal("ada"), action).denies(Reason::MembershipRequired);
    }
}

#[test]
fn rule_3_team_keys_are_confined_to_their_team() {
    for permission in [full("all"), inference("all", "all"), full("prod")] {
        let grant = team("core", permission);
        row(grant.clone(), call("m1", Some("prod"))).allows();
        // Ids are compared byte by byte.
        for other in ["other", "Core", "cor", "core2"] {
            row(grant.clone(), call("m1", Some("prod"))).in_team(other).denies(Reason::OtherTeam);
        }
    }
    // Membership is no matter of theirs.
    for (_, membership) in STANDINGS {
        Row { membership, ..row(team("core", full("all")), Action::Manage) }.allows();
        Row { membership, ..row(team("core", full("all")), Action::Manage) }.in_team("other").denies(Reason::OtherTeam);
    }
    // A team and a user of the same name are not the same.
    row(team("ada", full("all")), Action::Deploy).denies(Reason::OtherTeam);
    // Before rules 4, 5, 6 and 7.
    row(team("core", metrics("all")), Action::Deploy).in_team("other").denies(Reason::OtherTeam);
    row(team("core", full("prod")), Action::Deploy).in_team("other").denies(Reason::OtherTeam);
    row(team("core", full("prod")), call("m1", None)).in_team("other").denies(Reason::OtherTeam);
    row(team("core", inference("all", "m1")), call("m2", None)).in_team("other").denies(Reason::OtherTeam);
}

#[test]
fn rule_4_levels() {
    let covered = |permission: fn() -> keygate::Permission, actions: [(Action, bool); 4]| {
        for (action, is_covered) in actions {
            row(team("core", permission()), action).decides((!is_covered).then_some(Reason::LevelInsufficient));
        }
    };
    let actions = |call_is, deploy_is, manage_is, export_is| {
        [
            (call("m1", None), call_is),
            (Action::Deploy, deploy_is),
            (Action::Manage, manage_is),
            (export(None), export_is),
        ]
    };
    covered(|| full("all"), actions(true, true, true, true));
    covered(|| inference("all", "all"), actions(true, false, false, false));
    covered(|| metrics("all"), actions(false, false, false, true));
    // Before rule 5: what the level does not cover is no matter of environments ...
    row(team("core", inference("prod", "all")), Action::Deploy).denies(Reason::LevelInsufficient);
    row(team("core", inference("prod", "all")), export(None)).denies(Reason::LevelInsufficient);
    // ... and before rule 7 none of models.
    row(team("core", metrics("m1")), call("m2", None)).denies(Reason::LevelInsufficient);
    row(team("core", inference("all", "m1")), export(Some("m2"))).denies(Reason::LevelInsufficient);
}

#[test]
fn rule_5_environments_are_for_calls() {
    for action in [Action::Deploy, Action::Manage, export(None), export(Some("m1"))] {
        row(team("core", full("all")), action.clone()).allows();
        row(team("core", full("prod")), action.clone()).denies(Reason::EnvironmentScoped);
        // However many the environments are.
        row(team("core", full("prod test")), action).denies(Reason::EnvironmentScoped);
    }
}

#[test]
fn rule_6_environments() {
    for permission in [full("prod test"), inference("prod test", "all")] {
        let grant = team("core", permission);
        row(grant.clone(), call("m1", Some("prod"))).allows();
        row(grant.clone(), call("m1", Some("test"))).allows();
        row(grant.clone(), call("m1", None)).denies(Reason::EnvironmentRequired);
        for other in ["pro", "prod2", "development"] {
            row(grant.clone(), call("m1", Some(other))).denies(Reason::EnvironmentNotInScope);
        }
    }
    // Not restricted: none, and any, the development slot too.
    row(team("core", full("all")), call("m1", None)).allows();
    row(team("core", full("all")), call("m1", Some("development"))).allows();
    // Before rule 7.
    row(team("core", inference("prod", "m1")), call("m2", None)).denies(Reason::EnvironmentRequired);
    row(team("core", inference("prod", "m1")), call("m2", Some("test"))).denies(Reason::EnvironmentNotInScope);
}

#[test]
fn rule_7_models() {
    let callers = || team("core", inference("all", "m1 m2"));
    row(callers(), call("m1", None)).allows();
    row(callers(), call("m2", Some("prod"))).allows();
    for other in ["m3", "M1", "m", "m11"] {
        row(callers(), call(other, None)).denies(Reason::ModelNotInScope);
    }
    let exporters = || team("core", metrics("m1 m2"));
    row(exporters(), export(Some("m2"))).allows();
    row(exporters(), export(Some("m3"))).denies(Reason::ModelNotInScope);
    // Everything, or what is tied to no model, is more than two models.
    row(exporters(), export(None)).denies(Reason::ModelRequired);
    row(team("core", metrics("all")), export(None)).allows();
    // Environments and models are both to be satisfied.
    let both = || team("core", inference("prod", "m1"));
    row(both(), call("m1", Some("prod"))).allows();
    row(both(), call("m2", Some("prod"))).denies(Reason::ModelNotInScope);
    row(both(), call("m1", Some("test"))).denies(Reason::EnvironmentNotInScope);
}

#[test]
fn rule_8_an_allow_carries_what_was_decided() {
    let now = at(150);
    let (ada, core) = (text("ada"), text("core"));
    let asked = request("core", call("m1", None));

    let key_of_ada = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active, 1);
    let allow = decide(&key_of_ada, Some(Membership::Member), &asked, now).into_result().unwrap();
    assert_eq!(allow.attribution(), Attribution::User(&ada));
    assert_eq!((allow.key().id(), allow.request()), (key_of_ada.id(), &asked));

    let key_of_core = key(team("core", full("all")), Validity::NEVER_EXPIRES, Status::Active, 2);
    let decision = decide(&key_of_core, None, &asked, now);
    assert!(decision.is_allowed());
    let authorization = decision.into_result().unwrap().to_authorization();
    assert_eq!(authorization.attribution(), Attribution::Key(key_of_core.id(), &core));
    assert_eq!((authorization.key().id(), authorization.request()), (key_of_core.id(), &asked));
}

/// Rules 1, 2 and `OwnerDeprovisioned` are 401, the rest 403; two reasons conceal.
#[test]
fn every_reason_has_its_name_class_and_discretion() {
    use DenialClass::{NotAllowed, NotAuthenticated, Undecided};
    let table = [
        (Reason::Disabled, "disabled", NotAuthenticated, false),
        (Reason::EnvironmentNotInScope, "environment_not_in_scope", NotAllowed, false),
        (Reason::EnvironmentRequired, "environment_required", NotAllowed, false),
        (Reason::EnvironmentScoped, "environment_scoped", NotAllowed, false),
        (Reason::Expired, "expired", NotAuthenticated, false),
        (Reason::LevelInsufficient, "level_insufficient", NotAllowed, false),
        (Reason::ModelNotInScope, "model_not_in_scope", NotAllowed, true),
        (Reason::ModelRequired, "model_required", NotAllowed, false),
        (Reason::NotYetValid, "not_yet_valid", NotAuthenticated, false),
        (Reason::OtherTeam, "other_team", NotAllowed, true),
        (Reason::OtherUser, "other_user", NotAllowed, false),
        (Reason::OwnerDeprovisioned, "owner_deprovisioned", NotAuthenticated, false),
        (Reason::Revoked, "revoked", NotAuthenticated, false),
        (Reason::SessionRequired, "session_required", NotAllowed, false),
        (Reason::MembershipRequired, "membership_required", Undecided, false),
    ];
    assert_eq!(table.map(|(reason, ..)| reason), Reason::ALL);
    for (reason, name, class, conceals) in table {
        assert_eq!((reason.as_str(), reason.class(), reason.reveals_existence()), (name, class, conceals));
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
        (full("test prod"), call("m1", None), "a deployment in `prod` or `test`"),
        (full("prod"), call("m1", Some("test")), "a key with environment `test`"),
        (metrics("m2 m1"), export(None), "a request for model `m1` or `m2`"),
        (metrics("m1"), export(Some("m3")), "a key with model `m3`"),
    ];
    for (permission, action, expected) in table {
        assert_eq!(sufficient(&active(permission), None, &request("core", action)).as_deref(), Some(expected));
    }
    // Nothing that a key could be granted helps against these.
    let personal = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active, 1);
    for (_, membership) in STANDINGS {
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

/// What is lent comes from the key and the request: the same sets, not copies of their text.
#[test]
fn what_suffices_is_lent() {
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
