//! Header fields in, answers out.
#![cfg(all(feature = "http", feature = "memory"))]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a helper that panics is a test that fails"
)]

mod common;

use common::{KG, at, call, export, full, inference, key, metrics, personal, request, root, team, text};
use http::{HeaderMap, HeaderName, HeaderValue};
use keygate::{
    Action, Membership, Status, TeamRole, Validity,
    http::{CredentialError, CredentialHeaders, Responses, extract_credential},
    manage::{Acting, Create, authorize_operation},
    policy::decide,
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use CredentialError::{Malformed, Missing, Multiple};

fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a legal name");
        headers.append(name, HeaderValue::from_bytes(value).expect("a legal value"));
    }
    headers
}

#[test]
fn one_authorization_line_is_read_by_its_grammar() {
    let long = |length: usize| [b"Bearer ".as_slice(), &vec![b'a'; length - 7]].concat();
    let cases: &[(&[u8], Result<&str, CredentialError>)] = &[
        // The scheme: any case, interchangeable.
        (b"Bearer x", Ok("x")),
        (b"bearer x", Ok("x")),
        (b"BEARER x", Ok("x")),
        (b"Api-Key x", Ok("x")),
        (b"aPI-kEY x", Ok("x")),
        // Another system's.
        (b"Basic eDp5", Err(Missing)),
        (b"Basic", Err(Missing)),
        (b"Bearerx y", Err(Missing)),
        (b"Digest username=\"x\", realm=\"y\"", Err(Missing)),
        (b"Bearer-x", Err(Missing)),
        (b"apikey x", Err(Missing)),
        // No scheme, or something but a space behind it.
        (b"", Err(Malformed)),
        (b" Bearer x", Err(Malformed)),
        (b"Bearer\tx", Err(Malformed)),
        (b"Basic\tx", Err(Malformed)),
        (b"Bearer,x", Err(Malformed)),
        (b"Bearer=x", Err(Malformed)),
        (b"\"Bearer\" x", Err(Malformed)),
        (b"\xc3\xa9 x", Err(Malformed)),
        // One or more spaces and one token68 to the very end.
        (b"Bearer", Err(Malformed)),
        (b"Bearer ", Err(Malformed)),
        (b"Bearer    x", Ok("x")),
        (b"Bearer x ", Err(Malformed)),
        (b"Bearer x\t", Err(Malformed)),
        (b"Bearer \tx", Err(Malformed)),
        (b"Bearer x y", Err(Malformed)),
        (b"Bearer x, Bearer y", Err(Malformed)),
        (b"Bearer aZ09-._~+/==", Ok("aZ09-._~+/==")),
        (b"Bearer =", Err(Malformed)),
        (b"Bearer x=y", Err(Malformed)),
        (b"Bearer \"x\"", Err(Malformed)),
        (b"Bearer x\xc3\xa9", Err(Malformed)),
        (b"Bearer x:y", Err(Malformed)),
    ];
    for (value, expected) in cases {
        let headers = headers(&[("Authorization", value)]);
        let text = String::from_utf8_lossy(value);
        assert_eq!(extract_credential(&headers, CredentialHeaders::Authorization), *expected, "{text:?}");
        assert_eq!(extract_credential(&headers, CredentialHeaders::AuthorizationOrXApiKey), *expected, "{text:?}");
    }
    assert!(extract_credential(&headers(&[("authorization", &long(8192))]), CredentialHeaders::Authorization).is_ok());
    assert_eq!(
        extract_credential(&headers(&[("authorization", &long(8193))]), CredentialHeaders::Authorization),
        Err(Malformed)
    );
}

#[test]
fn lines_are_counted_whatever_they_say() {
    let bearer = ("authorization", b"Bearer x".as_slice());
    let basic = ("authorization", b"Basic x".as_slice());
    let key = ("x-api-key", b"y".as_slice());
    let (off, on) = (CredentialHeaders::Authorization, CredentialHeaders::AuthorizationOrXApiKey);
    type Case<'a> = (&'a [(&'a str, &'a [u8])], CredentialHeaders, Result<&'a str, CredentialError>);
    let cases: &[Case<'_>] = &[
        (&[], off, Err(Missing)),
        (&[], on, Err(Missing)),
        (&[bearer, bearer], off, Err(Multiple)),
        (&[bearer, basic], off, Err(Multiple)),
        (&[basic, basic], off, Err(Multiple)),
        (&[key], off, Err(Missing)),
        (&[key], on, Ok("y")),
        (&[bearer, key], off, Ok("x")),
        (&[bearer, key], on, Err(Multiple)),
        (&[basic, key], on, Err(Multiple)),
        (&[key, key], on, Err(Multiple)),
        (&[("x-api-key", b"")], on, Err(Malformed)),
        (&[("x-api-key", b" y")], on, Err(Malformed)),
        (&[("x-api-key", b"Bearer y")], on, Err(Malformed)),
        (&[("cookie", b"authorization=x")], on, Err(Missing)),
    ];
    for (lines, fields, expected) in cases {
        assert_eq!(extract_credential(&headers(lines), *fields), *expected, "{lines:?} {fields:?}");
    }
}

/// What `credential` should say, written a second time and in another way.
fn naive(value: &[u8]) -> Result<&str, CredentialError> {
    let text: String = value.iter().map(|byte| char::from(*byte)).collect();
    let is_tchar = |symbol: char| symbol.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(symbol);
    let scheme: String = text.chars().take_while(|symbol| is_tchar(*symbol)).collect();
    let rest = &text[scheme.len()..];
    if scheme.is_empty() || !(rest.is_empty() || rest.starts_with(' ')) {
        return Err(Malformed);
    }
    if !["bearer", "api-key"].contains(&scheme.to_lowercase().as_str()) {
        return Err(Missing);
    }
    let token = rest.trim_start_matches(' ');
    let symbols = token.trim_end_matches('=');
    let is_legal = |symbol: char| symbol.is_ascii_alphanumeric() || "-._~+/".contains(symbol);
    if rest.is_empty() || symbols.is_empty() || !symbols.chars().all(is_legal) || value.len() > 8192 {
        return Err(Malformed);
    }
    Ok(core::str::from_utf8(&value[value.len() - token.len()..]).expect("ASCII"))
}

#[test]
fn a_hundred_thousand_odd_values_have_documented_outcomes() {
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let pieces: &[&[u8]] =
        &[b"Bearer", b"Api-Key", b"bearer", b"Basic", b" ", b"  ", b"\t", b"=", b",", b"kgt1_x", b"\xff", b"\"", b"a"];
    let mut seen = [0_u32; 5];
    for _ in 0..100_000 {
        let mut value = if rng.next_u32() % 2 == 0 { b"Bearer ".to_vec() } else { Vec::new() };
        for _ in 0..rng.next_u32() % 6 {
            match rng.next_u32() % 256 {
                0..32 => value.push((rng.next_u32() % 256) as u8),
                32 => value.extend(core::iter::repeat_n(b'a', (rng.next_u32() % 5000) as usize)),
                _ => value.extend(pieces[rng.next_u32() as usize % pieces.len()]),
            }
        }
        let Ok(legal) = HeaderValue::from_bytes(&value) else {
            seen[3] += 1;
            continue;
        };
        let mut headers = HeaderMap::new();
        headers.insert("authorization", legal);
        let outcome = extract_credential(&headers, CredentialHeaders::Authorization);
        assert_eq!(outcome, naive(&value), "{:?}", String::from_utf8_lossy(&value));
        seen[match outcome {
            Ok(_) => 0,
            Err(Malformed) => 1,
            Err(Missing) => 2,
            Err(Multiple) => 4,
        }] += 1;
    }
    let [outcomes @ .., multiple] = seen;
    assert_eq!(multiple, 0, "there is one line");
    assert!(outcomes.iter().all(|count| *count > 1000), "the generator reaches every outcome: {outcomes:?}");
}

#[test]
fn answers_are_challenges_and_problems() {
    let responses = Responses::new("models").expect("a legal realm");
    let bearer = |error: &str| format!("Bearer realm=\"models\"{error}");
    for (reply, status, challenge, kind) in [
        (responses.no_credential(Missing), 401, Some(bearer("")), "missing_credential"),
        (responses.no_credential(Malformed), 400, Some(bearer(", error=\"invalid_request\"")), "invalid_request"),
        (responses.no_credential(Multiple), 400, Some(bearer(", error=\"invalid_request\"")), "invalid_request"),
        (responses.invalid_key(), 401, Some(bearer(", error=\"invalid_token\"")), "invalid_token"),
        (responses.closed(), 403, Some(bearer(", error=\"insufficient_scope\"")), "insufficient_scope"),
        (responses.unavailable(), 503, None, "unavailable"),
        (responses.plaintext(), 403, None, "plaintext"),
    ] {
        assert_eq!(reply.status(), status);
        let challenges: Vec<_> = reply.headers().get_all("www-authenticate").iter().collect();
        match challenge {
            Some(challenge) => assert_eq!(challenges, [challenge.as_str(), "Api-Key realm=\"models\""]),
            None => assert!(challenges.is_empty()),
        }
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        assert_eq!(reply.headers()["cache-control"], "no-store");
        let body: serde_json::Value = serde_json::from_str(reply.body()).expect("JSON");
        assert_eq!(body["type"], format!("urn:keygate:problem:{kind}"));
        assert_eq!(body["status"], status);
    }
}

#[test]
fn denials_are_answered_by_their_class() {
    let responses = Responses::new("models").expect("a legal realm");
    let (system, ada) = (root(), text("ada"));
    let ask = |acting: Acting<'_>, membership: Option<Membership>| {
        let create = Create { grant: personal("bob"), validity: Validity::NEVER_EXPIRES };
        authorize_operation(KG, acting, create, membership, at(100)).map(drop)
    };
    assert!(ask(Acting::System(&system), None).is_ok());
    for (role, status, reason) in [
        (Some(TeamRole::Admin), 403, "other_user"),
        (Some(TeamRole::Deprovisioned), 401, "owner_deprovisioned"),
        (None, 503, ""),
    ] {
        let denial = ask(Acting::User(&ada), role.map(Membership::from)).expect_err("she may not");
        let reply = responses.operation_denied(denial);
        assert_eq!(reply.status(), status);
        assert!(reply.body().contains(reason), "{}", reply.body());
    }
}

/// The rule, the levels that would have sufficed where the level did not, and nothing else.
#[test]
fn a_denied_request_is_told_the_rule_and_sufficient_levels() {
    let responses = Responses::new("models").expect("a legal realm");
    let team = |permission| team("core", permission);
    let no =
        "{\"type\":\"urn:keygate:problem:insufficient_scope\",\"title\":\"The key may not do this\",\"status\":403";
    let levels = |levels: &str| format!("{no},\"reason\":\"level_insufficient\",\"sufficient_levels\":[{levels}]}}");
    for (grant, action, expected) in [
        (team(metrics("all")), call("m1", None), levels("\"full\",\"inference_only\"")),
        (team(metrics("all")), Action::Deploy, levels("\"full\"")),
        (team(inference("all", "all")), Action::Manage, levels("\"full\"")),
        (team(inference("all", "all")), export(None), levels("\"full\",\"metrics_only\"")),
        (team(full("prod")), Action::Deploy, format!("{no},\"reason\":\"environment_scoped\"}}")),
        (team(inference("all", "m1")), call("m2", None), format!("{no},\"reason\":\"model_not_in_scope\"}}")),
    ] {
        let key = key(grant, Validity::NEVER_EXPIRES, Status::Active, 1);
        let request = request("core", action);
        let denial = decide(&key, None, &request, at(1)).into_result().expect_err("it may not");
        let reply = responses.denied(denial);
        assert_eq!((reply.status().as_u16(), reply.body().as_str()), (403, expected.as_str()));
    }
}

#[test]
fn names_for_logs_are_as_documented() {
    assert_eq!([Malformed, Missing, Multiple].map(CredentialError::as_str), ["malformed", "missing", "multiple"]);
}

#[test]
fn a_realm_cannot_break_out_of_its_quotes() {
    for realm in ["", "a\"b", "a\\b", "a\nb", "\u{e9}", &"x".repeat(129)] {
        assert!(Responses::new(realm).is_err(), "{realm:?}");
    }
    assert!(Responses::new(&"x".repeat(128)).is_ok());
}
