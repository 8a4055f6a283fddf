//! Whom a route does not concern learns nothing of what there is.

use serde_json::json;

use crate::running::{PREDICT, alone};

/// Another team's model is answered byte for byte as one that does not exist, and as no route.
#[test]
fn what_others_own_is_not_found() {
    let (_folder, gateway) = alone(&[]);
    let full = gateway.make("full", "WORKSPACE_MANAGE_ALL", json!({}));
    let one = gateway.make("one", "WORKSPACE_INVOKE", json!({ "model_ids": ["abcd1234"] }));
    for key in [&full, &one] {
        let ask = |method: &str, path: &str| gateway.ask(&key.token, method, path, "{}").expect(404).seen();
        let absent = ask("POST", &PREDICT.replace("abcd1234", "absent01"));
        assert_eq!(ask("POST", &PREDICT.replace("abcd1234", "labs0001")), absent);
        assert_eq!(ask("POST", "/models/labs0001/deployment/d6prod/predict"), absent);
        assert_eq!(ask("POST", "/models/labs0001/production/async_predict"), absent);
        assert_eq!(ask("POST", "/models/labs0001/production/wake"), absent);
        assert_eq!(ask("POST", "/models/labs0001/production/sync/v1/chat/completions"), absent);
        assert_eq!(ask("POST", &PREDICT.replace("production", "absent")), absent);
        assert_eq!(ask("GET", "/nothing"), absent);
        let chat = r#"{"model": "labs0001", "messages": [{"role": "user", "content": "x"}]}"#;
        assert_eq!(gateway.ask(&key.token, "POST", "/v1/chat/completions", chat).expect(404).seen(), absent);
    }
    let left_out = gateway.ask(&one.token, "POST", &PREDICT.replace("abcd1234", "wxyz5678"), "{}").expect(404);
    let absent = gateway.ask(&one.token, "POST", &PREDICT.replace("abcd1234", "absent01"), "{}").expect(404);
    assert_eq!(left_out.seen(), absent.seen());
    // And nobody without a key learns anything of either.
    let without = |path: &str| gateway.send("POST", path, &[], "{}").expect(401).seen();
    assert_eq!(without(PREDICT), without(&PREDICT.replace("abcd1234", "absent01")));
    assert_eq!(without(PREDICT), without("/nothing"));
}

#[test]
fn a_key_is_asked_for_before_the_body_and_the_method() {
    let (_folder, gateway) = alone(&[]);
    let invoke = gateway.make("invoke", "WORKSPACE_INVOKE", json!({}));
    let ask = |method: &str, body: &str| gateway.ask(&invoke.token, method, PREDICT, body);
    gateway.send("POST", PREDICT, &[], "no JSON").expect(401);
    gateway.send("GET", PREDICT, &[], "").expect(401);
    ask("POST", "no JSON").expect(400);
    ask("POST", &format!("{{\"x\":\"{}\"}}", "x".repeat(300_000))).expect(413);
    assert_eq!(ask("GET", "").expect(405).field("allow"), ["POST"]);
    gateway.revoke(&invoke);
    ask("GET", "").refused(401, "revoked");
    ask("POST", "{}").refused(401, "revoked");
    // The query is never read for a credential, and a token in it is told of.
    let query = format!("{PREDICT}?api_key={}", invoke.token);
    gateway.send("POST", &query, &[], "{}").refused(400, "misplaced");
}

#[test]
fn x_api_key_counts_only_where_it_is_switched_on() {
    let (_folder, gateway) = alone(&["--x-api-key"]);
    let other = gateway.make("other", "WORKSPACE_INVOKE", json!({}));
    let token = gateway.admin.as_str();
    let send = |fields: &[(&str, &str)]| gateway.send("POST", PREDICT, fields, "{}");
    let bearer = format!("Bearer {token}");
    send(&[("x-api-key", token)]).expect(200);
    send(&[("x-api-key", token), ("authorization", &bearer)]).expect(200);
    send(&[("x-api-key", &other.token), ("authorization", &bearer)]).refused(400, "multiple");
    let (_folder, without) = alone(&[]);
    without.send("POST", PREDICT, &[("x-api-key", &without.admin)], "{}").refused(400, "misplaced");
}
