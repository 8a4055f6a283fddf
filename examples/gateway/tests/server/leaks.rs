//! Reports of leaked tokens: everybody may make them, and the answer tells nothing.

use keygate::{
    Issuer, KeyKind, RevocationCause, SystemRandomness, Token,
    audit::{Event, EventKind, Principal},
    verify::UnverifiedToken,
};
use serde_json::json;

use crate::{
    client::{Reply, Server},
    common::PREDICT,
    events::Database,
    start,
};

const ACME: Issuer = Issuer::from_static("acme");

fn report(server: &Server, tokens: &[&str]) -> Reply {
    server.send("POST", "/leaks", &[], &json!({ "tokens": tokens }).to_string())
}

#[test]
fn a_found_token_ends_its_key_and_the_answer_is_the_same_for_any_other() {
    for arguments in [&[][..], &["--cache-seconds", "60"]] {
        let database = Database::new();
        let server = database.start(arguments);
        let found = server.keys["full"].clone();
        let id = UnverifiedToken::parse(ACME, &found).unwrap().id();
        let wrong_secret = Token::generate_secret(ACME, KeyKind::Team, id, &SystemRandomness).unwrap();
        let unknown = Token::generate(ACME, KeyKind::Team, &SystemRandomness).unwrap();
        let cut = &found[..found.len() - 1];

        let expected = report(&server, &[unknown.expose_secret()]).expect(204).seen();
        for other in [wrong_secret.expose_secret(), id.as_str(), cut, "", &server.keys["revoked"]] {
            assert_eq!(report(&server, &[other]).seen(), expected);
        }
        server.ask("full", "POST", PREDICT, "{}").expect(200);

        assert_eq!(report(&server, &[unknown.expose_secret(), &found]).seen(), expected);
        assert_eq!(server.ask("full", "POST", PREDICT, "{}").expect(401).json()["reason"], "revoked");
        assert_eq!(report(&server, &[&found]).seen(), expected, "and it may be reported again");
        server.ask("inference", "POST", PREDICT, "{}").expect(200);

        // Each key once, however often it is reported.
        assert_eq!(report(&server, &vec![server.keys["inference"].as_str(); 1000]).seen(), expected);
        let (_, log) = server.terminate();
        let is_ended_by_key = |event: &&Event| {
            let is_by_itself = matches!(&event.by, Principal::Key { id, .. } if Some(*id) == event.key);
            is_by_itself && matches!(event.kind, EventKind::Revoked { cause: RevocationCause::Leaked, .. })
        };
        let events = database.events();
        let ended: Vec<_> = events.iter().filter(is_ended_by_key).collect();
        assert_eq!(ended.len(), 2, "{ended:?}");
        assert!(ended.iter().any(|event| event.key == Some(id)), "{ended:?}");
        assert!(!log.contains(found.rsplit('_').nth(1).unwrap()), "{log}");
    }
}

#[test]
fn a_report_has_a_bound() {
    let server = start(&[]);
    let unknown = Token::generate(ACME, KeyKind::Team, &SystemRandomness).unwrap();
    report(&server, &vec![unknown.expose_secret(); 1000]).expect(204);
    report(&server, &vec![unknown.expose_secret(); 1001]).expect(400);
    report(&server, &[]).expect(400);
    server.send("POST", "/leaks", &[], r#"{"tokens": "x"}"#).expect(400);
    server.send("POST", "/leaks", &[], r#"{"tokens": ["x"], "revoke": false}"#).expect(400);
    server.send("POST", "/leaks", &[], r#"[["x"]]"#).expect(400);
    let reply = report(&server, &["x".repeat(300 * 1024).as_str()]).expect(413);
    assert_eq!(reply.json()["type"], "urn:example:problem:too_large");
}
