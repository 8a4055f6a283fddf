//! Tokens that leaked, and tokens that a gateway asks about.

use keygate::{KeyKind, SystemRandomness, Token, verify::UnverifiedToken};
use serde_json::{Value, json};

use crate::{Made, Reply, World, common::ACME, invoke};

impl World {
    fn report(&self, tokens: &Value) -> Reply {
        let body = json!({"tokens": tokens}).to_string();
        self.server.send("POST", "/v1/leaks", &[("content-type", "application/json")], body)
    }

    fn introspect(&self, key: &str, form: &str) -> Reply {
        let bearer = format!("Bearer {key}");
        let fields = [("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        self.server.send("POST", "/v1/introspect", &fields, form)
    }
}

/// A token of the same key with another secret.
fn with_another_secret(made: &Made) -> String {
    let id = UnverifiedToken::parse(ACME, &made.token).unwrap().id();
    Token::generate_secret(ACME, KeyKind::Team, id, &SystemRandomness).unwrap().expose_secret().to_owned()
}

#[test]
fn a_leaked_token_ends_its_key_and_tells_nothing() {
    for world in World::each() {
        let (made, other) = (world.create(invoke("leaked")), world.create(invoke("other")));
        let unknown = Token::generate(ACME, KeyKind::Team, &SystemRandomness).unwrap();
        let answers = [
            world.report(&json!([made.token, "nonsense", ""])),
            world.report(&json!([unknown.expose_secret()])),
            world.report(&json!([with_another_secret(&other)])),
            world.report(&json!([made.token])),
            world.report(&json!([other.prefix])),
        ];
        for answer in answers {
            assert_eq!(answer.status, 204, "{answer:?}");
            assert_eq!(answer.body, "");
        }
        assert_eq!(
            (world.status(&made.token), world.status(&other.token)),
            (401, 200),
            "only who has the secret ends it"
        );
        let shown = world.server.get(&world.alice, &made.path()).expect(200).json();
        assert_eq!((&shown["status"], &shown["revocation_cause"]), (&json!("revoked"), &json!("leaked")));
        // The secret before the last rotation ends the key as well, while it is valid.
        let rotation = json!({"rotation": "start", "overlap_seconds": 60});
        let second = world.server.post(&world.alice, &other.below("rotate"), rotation).expect(200).json();
        world.report(&json!([other.token])).expect(204);
        assert_eq!(world.status(second["api_key"].as_str().unwrap()), 401);
    }
}

#[test]
fn reports_that_do_not_fit() {
    let world = World::on_file();
    let many = vec!["x"; 1001];
    world.report(&json!([])).expect_problem(400, "tokens");
    world.report(&json!(many)).expect_problem(400, "tokens");
    world.report(&json!("x")).expect_problem(400, "wrong_value");
    world.report(&json!([1])).expect_problem(400, "wrong_value");
    assert_eq!(world.report(&json!(vec!["x"; 1000])).status, 204);
    let form = world.server.send("POST", "/v1/leaks", &[("content-type", "text/plain")], "{\"tokens\":[\"x\"]}");
    form.expect_problem(415, "content_type");
}

#[test]
fn introspection_has_one_answer_for_what_opens_nothing() {
    for world in World::each() {
        let introspector = world.create(json!({"type": "CUSTOM", "actions": ["tokens:introspect"]})).token;
        let ask = |token: &str| {
            let reply = world.introspect(&introspector, &format!("token={token}")).expect(200);
            assert_eq!(reply.field("cache-control"), Some("no-store"));
            reply
        };
        let made =
            world.create(json!({"type": "WORKSPACE_INVOKE", "name": "asked", "expires_at": "2199-01-01T00:00:00Z"}));
        let active = ask(&made.token).json();
        assert_eq!((&active["active"], active["exp"].as_i64()), (&json!(true), Some(7_226_582_400)), "{active}");
        assert_eq!(ask(&world.bob).json()["active"], true);

        let [disabled, revoked, rotated] = ["disabled", "revoked", "rotated"].map(|name| world.create(invoke(name)));
        world.server.post(&world.alice, &disabled.below("disable"), None).expect(200);
        world.server.ask(&world.alice, "DELETE", &revoked.path(), None).expect(200);
        world.server.post(&world.alice, &rotated.below("rotate"), json!({"rotation": "cut_over"})).expect(200);
        world.server.post(&world.administrator, "/v1/users/bob/deprovision", None).expect(200);
        let unknown = Token::generate(ACME, KeyKind::Team, &SystemRandomness).unwrap();
        let nothing = ask("nonsense");
        assert_eq!(nothing.body, r#"{"active":false}"#);
        for token in [
            &disabled.token,
            &revoked.token,
            &rotated.token,
            &world.bob,
            unknown.expose_secret(),
            &with_another_secret(&made),
            &made.prefix,
            "",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        ] {
            assert_eq!(ask(token).seen(), nothing.seen());
        }
    }
}

#[test]
fn introspection_is_for_keys_that_list_it() {
    let world = World::on_file();
    let full = world.create(json!({"type": "WORKSPACE_MANAGE_ALL"}));
    for key in [&world.administrator, &world.alice, &full.token, &world.create(invoke("ci")).token] {
        assert_eq!(world.introspect(key, "token=x").status, 403);
    }
    let introspector = world.create(json!({"type": "CUSTOM", "actions": ["tokens:introspect"]})).token;
    for form in ["", "tokn=x", "token=x&token=y"] {
        world.introspect(&introspector, form).expect_problem(400, "form");
    }
    world.introspect(&introspector, "token=x&token_type_hint=access_token").expect(200);
    world.server.post(&introspector, "/v1/introspect", json!({"token": "x"})).expect_problem(415, "content_type");
    let huge = format!("token={}", "x".repeat(300_000));
    world.introspect(&introspector, &huge).expect_problem(413, "too_large");
}
