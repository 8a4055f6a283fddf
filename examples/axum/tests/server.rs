//! The real binary, over real sockets.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
#![expect(dead_code, reason = "the client is shared with other tests, which use more of it")]

#[path = "../../gateway/tests/server/client.rs"]
mod client;

use core::time::Duration;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use client::Server;
use serde_json::{Value, json};

fn start() -> Server {
    Server::start(env!("CARGO_BIN_EXE_keygate-example-axum"), &[], 1)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn create(server: &Server, name: &str, permission: Value) -> (String, String) {
    let body = json!({ "name": name, "permission": permission, "days": 30 }).to_string();
    let made = server.ask("ada", "POST", "/v1/keys", &body).expect(201);
    assert_eq!(made.field("cache-control"), ["no-store"]);
    let made = made.json();
    (made["token"].as_str().unwrap().into(), made["key"]["id"].as_str().unwrap().into())
}

fn models(server: &Server, authorization: &str) -> Vec<Value> {
    let list = server.send("GET", "/v1/models", &[("authorization", authorization)], "").expect(200).json();
    list["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect()
}

#[test]
fn keys_are_made_used_listed_and_revoked() {
    let server = start();
    assert_eq!(models(&server, &server.bearer("ada")), ["llama", "mistral"]);
    assert_eq!(
        server.ask("ada", "POST", "/v1/models/llama/predict", "hello").expect(200).json()["completion"],
        "HELLO"
    );
    server.ask("ada", "GET", "/v1/projects", "").expect(200);

    // For one model: a list shows what a call is allowed, and what is hidden is as what is not there.
    let one = json!({ "level": "inference_only", "environments": "all", "models": ["llama"] });
    let (token, id) = create(&server, "partner", one);
    let send = |method: &str, path: &str| {
        let body = if path.ends_with("predict") { "hello" } else { "" };
        server.send(method, path, &[("authorization", &bearer(&token))], body)
    };
    assert_eq!(models(&server, &bearer(&token)), ["llama"]);
    send("POST", "/v1/models/llama/predict").expect(200);
    let hidden = send("POST", "/v1/models/mistral/predict").expect(404);
    assert_eq!(hidden.seen(), send("POST", "/v1/models/none/predict").expect(404).seen());
    send("POST", "/v1/projects").expect(405);
    assert_eq!(send("GET", "/v1/projects").expect(403).json()["error"]["code"], "level_insufficient");
    send("GET", "/v1/keys").expect(403);

    // What contradicts itself, is not declared, or is already there is not made.
    for (permission, status) in [
        (json!({ "level": "full", "environments": [] }), 422),
        (json!({ "level": "custom", "actions": ["projects:write"], "environments": "all", "resources": "all" }), 400),
        (json!({ "level": "full", "environments": "all" }), 409),
    ] {
        let body = json!({ "name": "partner", "permission": permission, "days": 30 }).to_string();
        server.ask("ada", "POST", "/v1/keys", &body).expect(status);
    }

    let list = server.ask("ada", "GET", "/v1/keys", "").expect(200);
    assert!(!list.body.contains(&token), "a list opens nothing");
    assert_eq!(list.json()["keys"][0]["id"], id.as_str());
    server.ask("ada", "DELETE", &format!("/v1/keys/{id}"), "").expect(204);
    assert_eq!(send("POST", "/v1/models/llama/predict").expect(401).json()["reason"], "revoked");
}

#[test]
fn a_gateway_that_may_asks_what_a_token_is() {
    let server = start();
    let introspects =
        json!({ "level": "custom", "actions": ["tokens:introspect"], "environments": "all", "resources": "all" });
    let (gateway, _) = create(&server, "gateway", introspects);
    let ask = |by: &str, token: &str| {
        let body = format!("token={token}");
        let fields = [
            ("authorization", bearer(by)),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("content-length", body.len().to_string()),
        ];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut stream = server.open("POST", "/v1/introspect", &fields, "");
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let ada = server.bearer("ada").replace("Bearer ", "");
    let known = ask(&gateway, &ada);
    assert!(known.contains(r#""active":true"#) && known.contains(r#""username":"ada""#), "{known}");
    assert!(ask(&gateway, "unknown").ends_with(r#"{"active":false}"#));
    // Full access of a user does not come with what is declared explicit.
    assert!(ask(&ada, &gateway).starts_with("HTTP/1.1 403"));
    assert!(ask("unknown", &ada).starts_with("HTTP/1.1 401"));
}

#[test]
fn a_preflight_has_no_key_and_other_methods_are_named() {
    let server = start();
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let reply = server.send("OPTIONS", "/v1/keys", &preflight, "").expect(200);
    assert_eq!(reply.field("access-control-allow-origin"), ["https://app.example"]);
    // A refusal has it too, or a page could not read why.
    let reply = server.send("GET", "/v1/keys", &[("origin", "https://app.example")], "").expect(401);
    assert_eq!(reply.field("access-control-allow-origin"), ["https://app.example"]);
    let reply = server.ask("ada", "GET", "/v1/models/llama/predict", "").expect(405);
    assert_eq!(reply.field("allow"), ["POST"]);
}

/// A client that sends half a head, or half a body, does not hold its connection.
#[test]
fn half_a_request_is_not_waited_for() {
    let server = start();
    let authorization = server.bearer("ada");
    let body = format!(
        "POST /v1/models/llama/predict HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-length: 9\r\n\r\nhalf"
    );
    let start = Instant::now();
    let streams: Vec<_> =
        ["", "P", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /v1/models HTTP/1.1\r\nhost: x\r\n", &body]
            .into_iter()
            .map(|half| {
                let mut stream = TcpStream::connect(&server.address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                stream.write_all(half.as_bytes()).unwrap();
                stream
            })
            .collect();
    for mut stream in streams {
        let mut answer = Vec::new();
        // Ended by the server, with an answer or without.
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    let waited = start.elapsed();
    assert!((5..25).contains(&waited.as_secs()), "{waited:?}");
}

/// README shows parts of the file, and they are the file's.
#[test]
fn the_readme_shows_this_file() {
    let (readme, file) = (include_str!("../../../README.md"), include_str!("../../axum.rs"));
    let (_, shown) = readme.split_once("```rust,ignore\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    assert!(shown.contains("fn router(") && shown.contains("async fn predict("));
    for part in shown.trim_end().split("\n\n") {
        assert!(file.contains(part), "{part}");
    }
}
