//! Real clients, and what no client sends, over real sockets.
//!
//! A tool that is not there is skipped by name; where `CI` is set, that is a failure.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "these are tests, and what is skipped is told"
)]
#![expect(dead_code, reason = "the client is shared with other tests, which use more of it")]

#[path = "../server/client.rs"]
mod client;

use core::time::Duration;
use std::{
    env,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use client::Server;
use serde_json::Value;

const PREDICT: &str = "/models/abcd1234/environments/production/predict";
const CHAT: &str = "/models/abcd1234/environments/production/sync/v1";

fn start() -> Server {
    Server::start(env!("CARGO_BIN_EXE_keygate-gateway"), &["--bootstrap"], 12)
}

/// Returns `true` if `command` runs; says what is skipped otherwise.
fn is_there(tool: &str, command: &mut Command, how: &str) -> bool {
    let is_there = command.output().is_ok_and(|output| output.status.success());
    if !is_there {
        assert!(env::var_os("CI").is_none(), "{tool} is missing: {how}");
        println!("skipped: {tool}: {how}");
    }
    is_there
}

#[test]
fn curl_with_either_scheme() {
    if !is_there("curl", Command::new("curl").arg("--version"), "install curl") {
        return;
    }
    let server = start();
    let url = format!("http://{}{PREDICT}", server.address);
    let token = &server.keys["full"];
    for (header, status) in [
        (format!("Authorization: Bearer {token}"), "200"),
        (format!("Authorization: Api-Key {token}"), "200"),
        (format!("authorization: api-key {token}"), "200"),
        (format!("X-Api-Key: {token}"), "400"),
        (format!("Authorization: Bearer {}", server.keys["revoked"]), "401"),
        (format!("Authorization: Bearer {}", server.keys["metrics"]), "403"),
        (format!("Authorization: Bearer {}", server.keys["other-team"]), "404"),
        (format!("Authorization: Bearer {token} "), "200"),
        ("Authorization: Bearer".into(), "400"),
        ("Accept: */*".into(), "401"),
    ] {
        let arguments = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "content-type: application/json"];
        let output = Command::new("curl").args(arguments).args(["-d", "{}", "-H", &header, &url]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), status, "{}", header.split(' ').next().unwrap());
    }
}

/// The Python that has the `openai` package; `KEYGATE_TEST_PYTHON` names another one than `python3`.
fn python() -> Command {
    Command::new(env::var_os("KEYGATE_TEST_PYTHON").unwrap_or_else(|| "python3".into()))
}

#[test]
fn the_openai_client_whole_and_streaming() {
    let how = "pip install openai, and set KEYGATE_TEST_PYTHON to the Python that has it";
    if !is_there("openai", python().args(["-c", "import openai"]), how) {
        return;
    }
    let server = start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/openai_client.py");
    let ask = |model: &str, key: &str| -> Value {
        let base = format!("http://{}{}", server.address, CHAT.replace("abcd1234", model));
        let output = python().args([script, &base, &server.keys[key]]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    for key in ["inference-one-model", "personal", "full"] {
        let answer = ask("abcd1234", key);
        let parts: Vec<_> = answer["parts"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        assert!(parts.len() > 1, "it streams: {answer}");
        assert_eq!(parts.concat(), answer["whole"].as_str().unwrap());
    }
    let refused = |model, key| {
        let answer = ask(model, key);
        (answer["error"].as_str().unwrap().to_owned(), answer["status"].as_u64().unwrap())
    };
    assert_eq!(refused("abcd1234", "revoked"), ("AuthenticationError".into(), 401));
    assert_eq!(refused("abcd1234", "metrics"), ("PermissionDeniedError".into(), 403));
    assert_eq!(refused("labs0001", "full"), ("NotFoundError".into(), 404));
}

/// The last three majors of OpenAI's client for Node; `KEYGATE_TEST_NODE_MODULES` names the folder that has them.
#[test]
fn the_openai_client_for_node_whole_and_streaming() {
    let folder = env::var("KEYGATE_TEST_NODE_MODULES").unwrap_or_else(|_| "node_modules".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/openai_client.js");
    let how = "npm install openai4@npm:openai@4 openai5@npm:openai@5 openai6@npm:openai@6, and set KEYGATE_TEST_NODE_MODULES to the node_modules";
    for major in ["openai4", "openai5", "openai6"] {
        let module = format!("{folder}/{major}");
        if !is_there(major, Command::new("node").args(["-e", "require(process.argv[1])", &module]), how) {
            continue;
        }
        let server = start();
        let ask = |model: &str, key: &str| -> Value {
            let base = format!("http://{}{}", server.address, CHAT.replace("abcd1234", model));
            let output = Command::new("node").args([script, &module, &base, &server.keys[key]]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let answer = ask("abcd1234", "inference-one-model");
        let parts: Vec<_> = answer["parts"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        assert!(parts.len() > 1, "it streams: {answer}");
        assert_eq!(parts.concat(), answer["whole"].as_str().unwrap());
        // What a client shows to its user says why.
        for (model, key, status, code) in [
            ("abcd1234", "revoked", 401, "revoked"),
            ("abcd1234", "metrics", 403, "level_insufficient"),
            ("labs0001", "full", 404, "not_found"),
        ] {
            let answer = ask(model, key);
            assert_eq!(answer["status"], status, "{major}: {answer}");
            assert_eq!(answer["code"], code, "{major}: {answer}");
            let message = answer["message"].as_str().unwrap();
            assert!(message.len() > "401 status code (no body)".len() && !message.contains("no body"), "{message}");
        }
    }
}

/// Anthropic's client sends the key in `X-Api-Key`, as a bearer, or in both.
#[test]
fn the_anthropic_client_in_each_of_its_fields() {
    let how = "pip install anthropic, and set KEYGATE_TEST_PYTHON to the Python that has it";
    if !is_there("anthropic", python().args(["-c", "import anthropic"]), how) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/anthropic_client.py");
    let binary = env!("CARGO_BIN_EXE_keygate-gateway");
    let [with, without] =
        [&["--bootstrap", "--x-api-key"][..], &["--bootstrap"]].map(|arguments| Server::start(binary, arguments, 12));
    let ask = |server: &Server, carrier: &str, key: &str| {
        let base = format!("http://{}", server.address);
        let output = python().args([script, &base, carrier, &server.keys[key]]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["status"].as_u64().unwrap()
    };
    for (carrier, if_switched_on, if_not) in [("auth_token", 404, 404), ("api_key", 404, 400), ("both", 404, 404)] {
        assert_eq!(ask(&with, carrier, "full"), if_switched_on, "{carrier}");
        assert_eq!(ask(&without, carrier, "full"), if_not, "{carrier}, where the field does not count");
        assert_eq!(ask(&with, carrier, "revoked"), 401, "{carrier}");
    }
}

/// HTTP/2 with prior knowledge: fields are lower-case, and the target is a pseudo-field.
#[test]
fn curl_over_http_2() {
    let mut curl = Command::new("curl");
    if !is_there("curl", curl.arg("--version"), "install curl") {
        return;
    }
    let server = start();
    let url = format!("http://{}{PREDICT}", server.address);
    let ask = |authorization: &str, url: &str, body: &[&str]| {
        let format = "%{http_version} %{http_code}";
        let arguments = ["-sS", "-o", "/dev/null", "-w", format, "--http2-prior-knowledge", "-H", authorization, url];
        let output = Command::new("curl").args(arguments).args(body).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let token = &server.keys["full"];
    let body = ["-H", "content-type: application/json", "-d", "{}"];
    assert_eq!(ask(&format!("Authorization: Bearer {token}"), &url, &body), "2 200");
    // Without a body: this curl takes an answer that comes before its body for a broken stream, now and then.
    assert_eq!(ask(&format!("Authorization: Bearer {}", server.keys["revoked"]), &url, &[]), "2 401");
    assert_eq!(ask(&format!("Authorization: {token}"), &url, &[]), "2 400");
    let target = format!("{url}?key={token}");
    assert_eq!(ask("Accept: */*", &target, &[]), "2 400", "a token in the target is misplaced");
}

/// Sends bytes as they are, and returns the status of the answer and its body.
fn raw(server: &Server, fields: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n");
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(&[head.as_bytes(), b"connection: close\r\n", fields, b"\r\n{}"].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head[9..12].parse().unwrap(), body.into())
}

#[test]
fn what_no_client_sends() {
    let server = start();
    let token = &server.keys["full"];
    let invalid_request = "/problems/invalid_request";
    let missing = "/problems/missing_credential";
    let long = "x".repeat(64 * 1024);
    let cases: Vec<(String, u16, &str)> = vec![
        (format!("authorization: Bearer {token}\r\n"), 200, ""),
        (format!("authorization: bearer {token}\r\n"), 200, ""),
        (format!("authorization: BEARER {token}\r\n"), 200, ""),
        (format!("authorization: Bearer  {token}\r\n"), 200, ""),
        // HTTP itself takes the white space around a value away (RFC 9110, section 5.5).
        (format!("authorization: \t Bearer {token} \t\r\n"), 200, ""),
        (format!("authorization: Bearer {token}\r\nauthorization: Bearer {token}\r\n"), 400, invalid_request),
        (format!("authorization: Bearer {token}\r\nAuthorization: Basic eDp5\r\n"), 400, invalid_request),
        (format!("authorization: Bearer {token}, Bearer {token}\r\n"), 400, invalid_request),
        (format!("authorization: Bearer\t{token}\r\n"), 400, invalid_request),
        (format!("authorization: Bearer {long}\r\n"), 400, invalid_request),
        ("authorization: Bearer\r\n".into(), 400, invalid_request),
        ("authorization:\r\n".into(), 400, invalid_request),
        (format!("authorization: Bearer{token}\r\n"), 400, "misplaced"),
        (format!("authorization: {token}\r\n"), 400, "misplaced"),
        (format!("authorization: Token {token}\r\n"), 400, "misplaced"),
        (format!("authorization: Bearer {token}\r\nx-api-key: {token}\r\n"), 200, ""),
        (format!("authorization: Bearer {token}\r\ncontent-type: a/b; k={token}\r\n"), 400, "misplaced"),
        ("authorization: Basic eDp5\r\n".into(), 401, missing),
        // These never reach us: the server refuses them as HTTP.
        (format!("authorization: Bearer\r\n {token}\r\n"), 400, ""),
        (format!("authorization: Bearer {token}\0\r\n"), 400, ""),
        (format!("authorization : Bearer {token}\r\n"), 400, ""),
    ];
    for (fields, expected, kind) in cases {
        let (status, body) = raw(&server, fields.as_bytes());
        let shown = fields.replace(token.as_str(), "TOKEN").replace(&long, "LONG");
        assert_eq!(status, expected, "{shown:?}: {body}");
        assert!(body.contains(kind), "{shown:?}: {body}");
        assert!(!body.contains(&token[30..50]), "nothing of the request is in the answer");
    }
}
