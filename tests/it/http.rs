//! Outcomes in, answers out.

use core::fmt::{self, Write as _};
use std::{env, fs, path::Path};

use http::{HeaderValue, Response};
use keygate::{
    Action, AuthenticateError, Denial, Gate, ManageError, Membership, MemoryStore, Reason, Status, TeamRole,
    Unavailable, Validity, Verdict,
    http::{CredentialError, InvalidResponses, Refusal, Responses},
    manage::{Acting, Create, ManageDenial, MintError, authorize_operation},
    policy::decide,
    store::Conflict,
};
use pollster::block_on;

use CredentialError::{Malformed, Misplaced, Missing, Multiple};

use crate::common::{self, KG, at, call, export, full, inference, key, metrics, personal, request, root, team, text};

fn responses() -> Responses {
    Responses::new("models").expect("a legal realm")
}

/// What is told a user who wants a key of another one.
fn operation_denied(membership: Option<Membership>) -> ManageDenial {
    let create = Create { grant: personal("bob"), validity: Validity::NEVER_EXPIRES };
    authorize_operation(KG, Acting::User(&text("ada")), create, membership, at(100)).map(drop).expect_err("she may not")
}

fn denied(grant: keygate::Grant, action: Action) -> Denial {
    let key = key(grant, Validity::NEVER_EXPIRES, Status::Active, 1);
    decide(&key, None, &request("core", action), at(1)).into_result().expect_err("it may not")
}

type Failure = ManageError<fmt::Error, fmt::Error>;

/// Every answer, as it goes over the wire.
#[test]
fn answers_are_as_in_the_golden_file() {
    let narrow = denied(team("core", inference("all", "m1")), call("m2", None));
    let low = denied(team("core", metrics("all")), Action::Deploy);
    let other_user = operation_denied(Some(TeamRole::Admin.into()));
    let refusals: Vec<(&str, Refusal)> = vec![
        ("no credential", Missing.into()),
        ("a malformed field", Malformed.into()),
        ("more than one credential", Multiple.into()),
        ("a token where it does not count", Misplaced.into()),
        ("a key that is not valid, for whatever cause", Refusal::InvalidKey),
        ("a key that has expired", Refusal::Unusable(Reason::Expired)),
        ("a model that the key's restriction leaves out", narrow.into()),
        ("a level that does not cover the action", low.into()),
        ("a route that is not listed", Refusal::Closed),
        ("a connection that is not encrypted", Refusal::Plaintext),
        ("what does not exist, or is hidden", Refusal::NotFound),
        ("another method than the route has", Refusal::MethodNotAllowed(HeaderValue::from_static("GET, POST"))),
        ("an operation on keys that the actor may not do", other_user.into()),
        ("a key that may not be made", (&Failure::Mint(MintError::ExpiresInPast)).into()),
        ("a change that the stored key does not allow", (&Failure::Conflict(Conflict::NameTaken)).into()),
        ("a look-up that failed", Refusal::Unavailable),
    ];
    let mut text = String::from(PREAMBLE);
    for (name, refusal) in refusals {
        let reply = responses().answer(&refusal);
        assert_eq!(reply.status(), refusal.status());
        writeln!(text, "\n# {name}\n{}", reply.status().as_u16()).unwrap();
        let mut fields: Vec<_> = reply.headers().iter().collect();
        // The order of names says nothing, and that of the lines of one is kept.
        fields.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in fields {
            writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        writeln!(text, "{}", reply.body()).unwrap();
        let body: serde_json::Value = serde_json::from_str(reply.body()).expect("JSON");
        assert_eq!(body["type"], format!("/problems/{}", refusal.kind()));
        assert_eq!(body["status"], reply.status().as_u16());
        assert_eq!(body["error"]["type"], refusal.kind());
        assert_eq!(body["error"]["code"], refusal.reason().unwrap_or(refusal.kind()));
        assert_eq!(body.get("reason").and_then(serde_json::Value::as_str), refusal.reason());
    }
    assert_golden(&text);
}

/// Compares with `tests/golden/answers.txt`; with `UPDATE_GOLDEN=1` in the environment, writes it.
#[track_caller]
fn assert_golden(actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/answers.txt");
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, actual).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    for (number, (golden, actual)) in (1..).zip(golden.lines().zip(actual.lines())) {
        assert_eq!(golden, actual, "line {number} is the first that differs");
    }
    assert_eq!(golden, actual, "one has lines that the other has not");
}

const PREAMBLE: &str = "\
# The answer to each refusal: status, fields, body. It is a format: others read it.
# Written by `UPDATE_GOLDEN=1 cargo test --all-features --test it http::`: read the difference before you commit it.
";

#[test]
fn denials_are_answered_by_their_class() {
    let (system, responses) = (root(), responses());
    let create = Create { grant: personal("bob"), validity: Validity::NEVER_EXPIRES };
    assert!(authorize_operation(KG, Acting::System(&system), create, None, at(100)).is_ok());
    for (role, status, reason) in [
        (Some(TeamRole::Admin), 403, "other_user"),
        (Some(TeamRole::Deprovisioned), 401, "owner_deprovisioned"),
        (None, 503, ""),
    ] {
        let reply = responses.answer(operation_denied(role.map(Membership::from)));
        assert_eq!(reply.status(), status);
        assert!(reply.body().contains(reason), "{}", reply.body());
    }
}

/// An answer comes of every stage's error in one call.
#[test]
fn errors_of_every_stage_are_answered() {
    type Authenticate = AuthenticateError<fmt::Error, fmt::Error>;

    let (responses, gate) = (responses(), Gate::new(KG, MemoryStore::new()));
    let status = |reply: Response<String>| reply.status().as_u16();
    let deploy = request("core", Action::Deploy);
    let unknown = block_on(gate.check("x", &deploy)).unwrap();
    assert_eq!(responses.verdict(&unknown).map(status), Some(401));
    assert!(matches!(Refusal::unless_allowed(unknown), Err(Refusal::InvalidKey)));
    let unavailable = || Unavailable::<fmt::Error, fmt::Error>::Store(fmt::Error);
    assert_eq!(status(responses.answer(unavailable())), 503);
    let unauthenticated = block_on(gate.authenticate("x")).expect_err("it is no token");
    assert_eq!(status(responses.answer(unauthenticated)), 401);
    assert_eq!(status(responses.answer(Authenticate::Unavailable(unavailable()))), 503);
    let revoked = responses.answer(Authenticate::Unusable(Reason::Revoked));
    assert!(revoked.status() == 401 && revoked.body().contains("\"reason\":\"revoked\""));

    let denied = |role: TeamRole| Failure::Denied(operation_denied(Some(role.into())));
    for (error, expected) in [
        (Failure::ActorInvalid, 401),
        (denied(TeamRole::Deprovisioned), 401),
        // A key of another user is answered as one that does not exist.
        (denied(TeamRole::Admin), 404),
        (Failure::Conflict(Conflict::Absent), 404),
        (Failure::Conflict(Conflict::NameTaken), 409),
        (Failure::Mint(MintError::ExpiryRequired), 400),
        (Failure::UserNotDeprovisioned, 409),
        (Failure::Directory(fmt::Error), 503),
        (Failure::Store(fmt::Error), 503),
    ] {
        assert_eq!(status(responses.answer(&error)), expected, "{error}");
    }
}

#[test]
fn a_verdict_is_answered_in_one_call() {
    let world = common::world::World::new();
    let token = world.create("key", team("core", inference("all", "m1")), Validity::NEVER_EXPIRES).token;
    let check = |action| world.check(&token, &request("core", action));
    let (allowed, denied) = (check(call("m1", None)), check(call("m2", None)));
    assert!(responses().verdict(&allowed).is_none());
    assert!(Refusal::unless_allowed(allowed).is_ok());
    let reply = responses().verdict(&denied).expect("it is denied");
    assert!(reply.status() == 403 && reply.body().contains("model_not_in_scope"));
    // What would show that something exists can be hidden.
    let Err(refusal) = Refusal::unless_allowed(denied) else { panic!("it is denied") };
    assert_eq!((refusal.status().as_u16(), refusal.hiding().status().as_u16()), (403, 404));
    let deploy = check(Action::Deploy);
    assert!(matches!(deploy, Verdict::Denied { .. }));
    let Err(refusal) = Refusal::unless_allowed(deploy) else { panic!("it is denied") };
    assert_eq!(refusal.hiding().status(), 403);

    // Of keys: that another one has some is hidden, and not what a member may not do with those of the team.
    let other_user: Refusal = operation_denied(Some(TeamRole::Admin.into())).into();
    assert_eq!((other_user.status().as_u16(), other_user.hiding().status().as_u16()), (403, 404));
    let create = Create { grant: team("core", full("all")), validity: Validity::NEVER_EXPIRES };
    let member = authorize_operation(KG, Acting::User(&text("ada")), create, Some(TeamRole::Member.into()), at(100));
    assert_eq!(Refusal::from(member.expect_err("a member may not")).hiding().status(), 403);
}

/// The crate's name is in no answer, and a service says where its problems are described.
#[test]
fn the_types_of_problems_are_the_services() {
    for base in ["https://acme.example/errors/", "https://acme.example/e?kind=", "urn:acme:problem:", "/p#"] {
        let responses = responses().with_types(base).expect("it begins a URI");
        let reply = responses.answer(Refusal::InvalidKey);
        assert!(reply.body().starts_with(&format!("{{\"type\":\"{base}invalid_token\"")), "{}", reply.body());
        assert!(!reply.body().contains("keygate"));
    }
    assert!(!responses().answer(Refusal::InvalidKey).body().contains("keygate"));
    for base in ["", "a b", "a\"b", "a\\b", "<", "\u{e9}", &"x".repeat(129)] {
        assert_eq!(responses().with_types(base).err(), Some(InvalidResponses::Types), "{base:?}");
    }
}

/// The rule, the levels that would have sufficed where the level did not, and nothing else.
#[test]
fn a_denied_request_is_told_the_rule_and_sufficient_levels() {
    let team = |permission| team("core", permission);
    let low = |levels: &str| format!("level_insufficient\",\"sufficient_levels\":[{levels}],");
    for (grant, action, expected) in [
        (team(metrics("all")), call("m1", None), low("\"full\",\"inference_only\"")),
        (team(metrics("all")), Action::Deploy, low("\"full\"")),
        (team(inference("all", "all")), Action::Manage, low("\"full\"")),
        (team(inference("all", "all")), export(None), low("\"full\",\"metrics_only\"")),
        (team(full("prod")), Action::Deploy, "environment_scoped\",".into()),
        (team(inference("all", "m1")), call("m2", None), "model_not_in_scope\",".into()),
    ] {
        let reply = responses().answer(denied(grant, action));
        let expected = format!("\"title\":\"The key may not do this\",\"status\":403,\"reason\":\"{expected}\"error\"");
        assert!(reply.status() == 403 && reply.body().contains(&expected), "{}", reply.body());
    }
}

#[test]
fn a_realm_cannot_break_out_of_its_quotes() {
    for realm in ["", "a\"b", "a\\b", "a\nb", "\u{e9}", &"x".repeat(129)] {
        assert_eq!(Responses::new(realm).err(), Some(InvalidResponses::Realm), "{realm:?}");
    }
    assert!(Responses::new(&"x".repeat(128)).is_ok());
}
