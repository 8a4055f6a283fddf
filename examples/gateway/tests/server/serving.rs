//! What is served, and to whom.

use serde_json::json;

use crate::{client::Server, common::PREDICT, start};

const CHAT: &str = "/models/abcd1234/environments/production/sync/v1/chat/completions";

fn predict(server: &Server, key: &str, deployment: &str) -> u16 {
    server.ask(key, "POST", &format!("/models/abcd1234/deployments/{deployment}/predict"), "{}").status
}

#[test]
fn a_deployment_counts_in_the_environment_where_it_is_now() {
    let server = start(&[]);
    assert_eq!(predict(&server, "inference-one-model", "d1prod"), 200);
    assert_eq!(predict(&server, "inference-one-model", "d2stag"), 403);
    assert_eq!(predict(&server, "inference-prod-staging", "d2stag"), 200);
    assert_eq!(predict(&server, "inference-prod-staging", "d3free"), 403);
    assert_eq!(predict(&server, "inference", "d3free"), 200);
    // A deployment of another model.
    assert_eq!(predict(&server, "full", "d4prod"), 404);

    let deploy =
        |key: &str| server.ask(key, "POST", "/models/abcd1234/deployments", r#"{"environment": "production"}"#);
    deploy("full-production").expect_challenge(403, Some("insufficient_scope"), Some("environment_scoped"));
    deploy("metrics").expect_challenge(403, Some("insufficient_scope"), Some("level_insufficient"));
    let new = deploy("full").expect(201).json();
    let new = new["deployment"].as_str().unwrap();
    assert_eq!(predict(&server, "inference-one-model", new), 200);
    assert_eq!(predict(&server, "inference-one-model", "d1prod"), 403);
    assert_eq!(server.ask("full", "POST", PREDICT, "{}").json()["deployment"], new);
}

#[test]
fn allows_are_attributed() {
    let server = start(&[]);
    let personal = server.ask("personal", "POST", PREDICT, r#"{"x": 1}"#).expect(200).json();
    assert_eq!(personal["attributed_to"], json!({ "user": "ada" }));
    assert_eq!(personal["output"], json!({ "x": 1 }));
    let id = server.keys["full"].split('_').nth(1).unwrap();
    let team = server.ask("full", "POST", PREDICT, "{}").expect(200).json();
    assert_eq!(team["attributed_to"], json!({ "key": id, "team": "core" }));
}

#[test]
fn metrics_are_exported_per_model_where_a_key_is_restricted() {
    let server = start(&[]);
    let all = server.ask("metrics", "GET", "/teams/core/metrics", "").expect(200);
    assert!(all.body.contains("abcd1234") && all.body.contains("wxyz5678") && !all.body.contains("labs0001"));
    server.ask("metrics-one-model", "GET", "/teams/core/metrics", "").expect_challenge(
        403,
        Some("insufficient_scope"),
        Some("model_required"),
    );
    let one = server.ask("metrics-one-model", "GET", "/models/abcd1234/metrics", "").expect(200);
    assert!(one.body.contains("abcd1234") && !one.body.contains("wxyz5678"));
    let other = server.ask("metrics-one-model", "GET", "/models/wxyz5678/metrics", "").expect(404);
    let absent = server.ask("metrics-one-model", "GET", "/models/absent01/metrics", "").expect(404);
    assert_eq!(other.seen(), absent.seen());
    server.ask("metrics", "POST", PREDICT, "{}").expect(403);
    server.ask("metrics", "GET", "/teams/core/secrets", "").expect(403);
}

#[test]
fn keys_out_of_use_get_401_with_the_reason() {
    let server = start(&[]);
    for key in ["expired", "disabled", "revoked"] {
        for path in [PREDICT, "/models/absent01/environments/production/predict", "/nothing"] {
            server.ask(key, "POST", path, "{}").expect_challenge(401, Some("invalid_token"), Some(key));
        }
    }
    server.ask("other-team", "POST", PREDICT, "{}").expect(404);
}

#[test]
fn x_api_key_counts_only_where_switched_on() {
    let server = start(&["--x-api-key"]);
    let token = server.keys["full"].as_str();
    server.send("POST", PREDICT, &[("x-api-key", token)], "{}").expect(200);
    let both = [("x-api-key", token), ("authorization", &server.bearer("full"))];
    server.send("POST", PREDICT, &both, "{}").expect(200);
    let different = [("x-api-key", server.keys["inference"].as_str()), both[1]];
    server.send("POST", PREDICT, &different, "{}").expect_challenge(400, Some("invalid_request"), Some("multiple"));
}

#[test]
fn a_key_is_asked_for_before_the_body() {
    let server = start(&[]);
    server.ask("full", "POST", PREDICT, "no JSON").expect(400);
    server.send("POST", PREDICT, &[], "no JSON").expect_challenge(401, None, None);
    server.ask("full", "POST", PREDICT, &format!("\"{}\"", "x".repeat(300_000))).expect(413);
}

#[test]
fn answers_a_chat_in_the_schema_of_openai() {
    let server = start(&[]);
    let ask = |body: &str| server.ask("inference", "POST", CHAT, body);
    // The model in the body does not matter: what is served is what was allowed.
    let body = r#"{"model": "labs0001", "messages": [{"role": "user", "content": "two words"}]}"#;
    let whole = ask(body).expect(200).json();
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["model"], "abcd1234");
    assert_eq!(whole["choices"][0]["message"]["content"], "You said: two words");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert_eq!(whole["usage"], json!({ "prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6 }));
    ask(r#"{"messages": []}"#).expect(400);

    let body = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "two words"}]}],
                   "stream": true, "stream_options": {"include_usage": true}}"#;
    let streamed = ask(body).expect(200);
    assert_eq!(streamed.field("content-type"), ["text/event-stream"]);
    let mut data: Vec<_> =
        streamed.body.split("\n\n").filter(|event| !event.is_empty()).map(|event| &event["data: ".len()..]).collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    let chunks: Vec<serde_json::Value> = data.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["model"] == "abcd1234"));
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "You said: two words");
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[chunks.len() - 1]["usage"]["total_tokens"], 6);
}

#[test]
fn another_method_is_405_with_a_key_and_401_without() {
    let server = start(&[]);
    for key in ["full", "metrics"] {
        let reply = server.ask(key, "GET", PREDICT, "").expect(405);
        assert_eq!(reply.field("allow"), ["POST"]);
    }
    server.send("GET", PREDICT, &[], "").expect_challenge(401, None, None);
    server.ask("revoked", "GET", PREDICT, "").expect_challenge(401, Some("invalid_token"), Some("revoked"));
}

/// Nothing is done long after the key was looked at: a body that does not come in time is not waited for.
#[test]
fn a_body_has_a_time_limit() {
    use std::io::Read;

    let server = start(&[]);
    let bearer = server.bearer("full");
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("content-length", "2")];
    let mut socket = server.open("POST", PREDICT, &fields, "");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}
