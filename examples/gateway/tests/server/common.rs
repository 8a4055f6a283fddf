//! What every example server does, whatever it is made of.
#![expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used, reason = "these are tests")]

use keygate::{Issuer, KeyKind, SystemRandomness, Token, verify::UnverifiedToken};

use crate::client::Server;

pub(crate) const PREDICT: &str = "/models/abcd1234/environments/production/predict";
const ACME: Issuer = Issuer::from_static("acme");
const SECRETS: &str = "/teams/core/secrets";

/// Checks the answers; `server` has the keys `personal`, `full`, `inference-one-model` (which is for production) and
/// `revoked`.
pub(crate) fn check(server: &Server) {
    allows(server);
    wants_one_credential(server);
    has_one_answer_for_what_opens_nothing(server);
    denies(server);
    hides_what_exists(server);
}

fn allows(server: &Server) {
    server.send("GET", "/health", &[], "").expect(200);
    for key in ["personal", "full", "inference-one-model"] {
        let reply = server.ask(key, "POST", PREDICT, "{}").expect(200);
        assert_eq!(reply.json()["model"], "abcd1234");
        assert_eq!(reply.json()["environment"], "production");
    }
    server.ask("full", "GET", SECRETS, "").expect(200);
    let header = server.bearer("full").replace("Bearer", "api-key");
    server.send("POST", PREDICT, &[("AUTHORIZATION", &header)], "{}").expect(200);
}

fn wants_one_credential(server: &Server) {
    let bearer = server.bearer("full");
    let (token, one) = (bearer.trim_start_matches("Bearer "), ("authorization", bearer.as_str()));
    let ask = |path: &str, fields: &[(&str, &str)]| server.send("POST", path, fields, "{}");
    let query = format!("{PREDICT}?api_key={token}");
    ask(PREDICT, &[]).expect_challenge(401, None, None);
    // The query is never read for a credential. The layers tell that a token stands there.
    assert!([400, 401].contains(&ask(&query, &[]).status));
    ask(PREDICT, &[("x-api-key", token)]).expect_challenge(400, Some("invalid_request"), Some("misplaced"));
    ask(PREDICT, &[("authorization", "Basic YWRhOng=")]).expect_challenge(401, None, None);
    let twice = format!("{bearer}, {bearer}");
    for (fields, reason) in [
        (vec![("authorization", "Bearer")], "malformed"),
        (vec![("authorization", twice.as_str())], "malformed"),
        (vec![one, one], "multiple"),
        (vec![("authorization", token)], "misplaced"),
    ] {
        ask(PREDICT, &fields).expect_challenge(400, Some("invalid_request"), Some(reason));
    }
}

fn has_one_answer_for_what_opens_nothing(server: &Server) {
    let bearer = server.bearer("full");
    let ask = |header: &str| {
        let reply = server.send("POST", PREDICT, &[("authorization", header)], "{}");
        reply.expect_challenge(401, Some("invalid_token"), None).seen()
    };
    let presented = UnverifiedToken::parse(ACME, bearer.trim_start_matches("Bearer ")).unwrap();
    let wrong_secret = Token::generate_secret(ACME, KeyKind::Team, presented.id(), &SystemRandomness).unwrap();
    let unknown_id = Token::generate(ACME, KeyKind::Team, &SystemRandomness).unwrap();
    let other_kind = Token::generate_secret(ACME, KeyKind::Personal, presented.id(), &SystemRandomness).unwrap();
    let (start, last) = bearer.split_at(bearer.len() - 1);
    let foreign = ask("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln");
    for other in [
        ask(&format!("Bearer {}", wrong_secret.expose_secret())),
        ask(&format!("Bearer {}", unknown_id.expose_secret())),
        ask(&format!("Bearer {}", other_kind.expose_secret())),
        ask(&format!("{start}{}", if last == "0" { "1" } else { "0" })),
        ask(&bearer.replace("acmet1_", "acmet2_")),
        ask(start),
    ] {
        assert_eq!(other, foreign);
    }
    server.ask("revoked", "POST", PREDICT, "{}").expect_challenge(401, Some("invalid_token"), Some("revoked"));
}

fn denies(server: &Server) {
    let insufficient = Some("insufficient_scope");
    let staging = PREDICT.replace("production", "staging");
    let level = server.ask("inference-one-model", "POST", "/models/abcd1234/deployments", "{}");
    let level = level.expect_challenge(403, insufficient, Some("level_insufficient"));
    assert_eq!(level.json()["sufficient_levels"], serde_json::json!(["full"]));
    server.ask("inference-one-model", "POST", &staging, "{}").expect_challenge(
        403,
        insufficient,
        Some("environment_not_in_scope"),
    );
    // Nobody has said who may read logs.
    server.ask("full", "GET", "/models/abcd1234/logs", "").expect_challenge(403, insufficient, None);
    server.send("GET", "/models/abcd1234/logs", &[], "").expect_challenge(401, None, None);
    let revoked = server.ask("revoked", "GET", "/models/abcd1234/logs", "");
    revoked.expect_challenge(401, Some("invalid_token"), Some("revoked"));
}

/// Another team's model is answered byte for byte as one that does not exist.
fn hides_what_exists(server: &Server) {
    for key in ["personal", "full", "inference-one-model"] {
        let other_team = server.ask(key, "POST", &PREDICT.replace("abcd1234", "labs0001"), "{}").expect(404);
        let absent = server.ask(key, "POST", &PREDICT.replace("abcd1234", "absent01"), "{}").expect(404);
        let no_route = server.ask(key, "GET", "/nothing", "").expect(404);
        assert_eq!(other_team.seen(), absent.seen());
        assert_eq!(other_team.seen(), no_route.seen());
        assert_eq!(other_team.field("www-authenticate"), [""; 0]);
        assert_eq!(other_team.field("content-type"), ["application/problem+json"]);
        let other_secrets = server.ask(key, "GET", "/teams/labs/secrets", "").expect(404);
        assert_eq!(other_secrets.seen(), absent.seen());
        if key == "inference-one-model" {
            let other_model = server.ask(key, "POST", &PREDICT.replace("abcd1234", "wxyz5678"), "{}").expect(404);
            assert_eq!(other_model.seen(), absent.seen());
        }
    }
    // And nobody without a key learns anything of either.
    let absent = server.send("POST", &PREDICT.replace("abcd1234", "absent01"), &[], "{}").expect(401);
    assert_eq!(server.send("POST", PREDICT, &[], "{}").seen(), absent.seen());
}

/// Checks a server whose log nobody reads, after more refusals than a pipe holds: it goes on, and it ends.
pub(crate) fn check_with_stuck_log(server: Server) {
    let wrong = Token::generate(ACME, KeyKind::Team, &SystemRandomness).unwrap();
    let header = format!("Bearer {}", wrong.expose_secret());
    for _ in 0..400 {
        server.ask("revoked", "POST", PREDICT, "{}").expect(401);
        server.send("POST", PREDICT, &[("authorization", &header)], "{}").expect(401);
    }
    server.send("GET", "/health", &[], "").expect(200);
    server.ask("full", "POST", PREDICT, "{}").expect(200);
    let (status, log) = server.terminate();
    assert_eq!(status.code(), Some(0));
    // A pipe holds 64 KiB, and a line that does not fit is left out whole.
    assert!(log.len() > 48 * 1024, "the log was not full: {} bytes", log.len());
}
