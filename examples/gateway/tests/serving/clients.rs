//! Real clients. A tool that is not there is skipped by name; where `CI` is set, that is a failure.

use std::{
    env,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use serde_json::{Value, json};

use crate::running::{Gateway, PREDICT, alone, skipped};

const CHAT: &str = "/models/abcd1234/environments/production/sync/v1";

/// Returns `true` if `command` runs; says what is skipped otherwise.
fn is_there(tool: &str, command: &mut Command, how: &str) -> bool {
    let is_there = command.output().is_ok_and(|output| output.status.success());
    if !is_there {
        skipped(tool, how);
    }
    is_there
}

/// Runs a client, which prints one JSON object.
fn run(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn expect_streaming(answer: &Value) {
    let parts: Vec<_> = answer["parts"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
    assert!(parts.len() > 1, "it streams: {answer}");
    assert_eq!(parts.concat(), answer["whole"].as_str().unwrap());
}

/// The tokens of a key that may call, of one that may not, and of one that was revoked.
fn tokens(gateway: &Gateway) -> [String; 3] {
    let invoke = gateway.make("invoke", "WORKSPACE_INVOKE", json!({ "model_ids": ["abcd1234"] }));
    let metrics = gateway.make("metrics", "WORKSPACE_EXPORT_METRICS", json!({}));
    let revoked = gateway.make("revoked", "WORKSPACE_INVOKE", json!({}));
    gateway.revoke(&revoked);
    [invoke.token, metrics.token, revoked.token]
}

/// The Python that has the package; `KEYGATE_TEST_PYTHON` names another one than `python3`.
fn python() -> Command {
    Command::new(env::var_os("KEYGATE_TEST_PYTHON").unwrap_or_else(|| "python3".into()))
}

#[test]
fn the_openai_client_whole_and_streaming() {
    let how = "pip install openai, and set KEYGATE_TEST_PYTHON to the Python that has it";
    if !is_there("openai", python().args(["-c", "import openai"]), how) {
        return;
    }
    let (_folder, gateway) = alone(&[]);
    let [invoke, metrics, revoked] = tokens(&gateway);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/openai_client.py");
    let ask =
        |base: &str, token: &str| run(python().args([script, &format!("http://{}{base}", gateway.address), token]));
    for token in [&invoke, &gateway.admin] {
        // The model in the path, and in the body.
        expect_streaming(&ask(CHAT, token));
        expect_streaming(&ask("/v1", token));
    }
    let refused = |base: &str, token: &str| {
        let answer = ask(base, token);
        (answer["error"].as_str().unwrap().to_owned(), answer["status"].as_u64().unwrap())
    };
    for base in [CHAT, "/v1"] {
        assert_eq!(refused(base, &revoked), ("AuthenticationError".into(), 401));
        assert_eq!(refused(base, &metrics), ("PermissionDeniedError".into(), 403));
    }
    assert_eq!(refused(&CHAT.replace("abcd1234", "labs0001"), &invoke), ("NotFoundError".into(), 404));
}

/// The last three majors of OpenAI's client for Node; `KEYGATE_TEST_NODE_MODULES` names the folder that has them.
#[test]
fn the_openai_client_for_node_whole_and_streaming() {
    let folder = env::var("KEYGATE_TEST_NODE_MODULES").unwrap_or_else(|_| "node_modules".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/openai_client.js");
    let how = "npm install openai4@npm:openai@4 openai5@npm:openai@5 openai6@npm:openai@6, and set \
               KEYGATE_TEST_NODE_MODULES to the node_modules";
    let (_folder, gateway) = alone(&[]);
    let [invoke, metrics, revoked] = tokens(&gateway);
    for major in ["openai4", "openai5", "openai6"] {
        let module = format!("{folder}/{major}");
        if !is_there(major, Command::new("node").args(["-e", "require(process.argv[1])", &module]), how) {
            continue;
        }
        let ask = |model: &str, token: &str| {
            let base = format!("http://{}{}", gateway.address, CHAT.replace("abcd1234", model));
            run(Command::new("node").args([script, &module, &base, token]))
        };
        expect_streaming(&ask("abcd1234", &invoke));
        // What a client shows to its user says why.
        for (model, token, status, code) in [
            ("abcd1234", &revoked, 401, "revoked"),
            ("abcd1234", &metrics, 403, "level_insufficient"),
            ("labs0001", &invoke, 404, "not_found"),
        ] {
            let answer = ask(model, token);
            assert_eq!((&answer["status"], &answer["code"]), (&json!(status), &json!(code)), "{major}: {answer}");
            let message = answer["message"].as_str().unwrap();
            assert!(message.len() > "401 status code (no body)".len() && !message.contains("no body"), "{message}");
        }
    }
}

/// Anthropic's client sends the key in `X-Api-Key`, as a bearer, or in both. It has no route here.
#[test]
fn the_anthropic_client_in_each_of_its_fields() {
    let how = "pip install anthropic, and set KEYGATE_TEST_PYTHON to the Python that has it";
    if !is_there("anthropic", python().args(["-c", "import anthropic"]), how) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/anthropic_client.py");
    let (_folder, with) = alone(&["--x-api-key"]);
    let (_folder, without) = alone(&[]);
    let ask = |gateway: &Gateway, carrier: &str, token: &str| {
        let base = format!("http://{}", gateway.address);
        run(python().args([script, &base, carrier, token]))["status"].as_u64().unwrap()
    };
    let [_, _, revoked] = tokens(&with);
    for (carrier, if_switched_on, if_not) in [("auth_token", 404, 404), ("api_key", 404, 400), ("both", 404, 404)] {
        assert_eq!(ask(&with, carrier, &with.admin), if_switched_on, "{carrier}");
        assert_eq!(ask(&without, carrier, &without.admin), if_not, "{carrier}, where the field does not count");
        assert_eq!(ask(&with, carrier, &revoked), 401, "{carrier}");
    }
}

#[test]
fn curl_with_either_scheme_and_http_2() {
    if !is_there("curl", Command::new("curl").arg("--version"), "install curl") {
        return;
    }
    let (_folder, gateway) = alone(&[]);
    let [invoke, metrics, revoked] = tokens(&gateway);
    let url = format!("http://{}{PREDICT}", gateway.address);
    let curl = |more: &[&str]| {
        let arguments = ["-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", &url];
        let output = Command::new("curl").args(arguments).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let body = ["-H", "content-type: application/json", "-d", "{}", "-H"];
    for (header, status) in [
        (format!("Authorization: Bearer {invoke}"), 200),
        (format!("Authorization: Api-Key {invoke}"), 200),
        (format!("authorization: api-key {invoke}"), 200),
        (format!("X-Api-Key: {invoke}"), 400),
        (format!("Authorization: {invoke}"), 400),
        (format!("Authorization: Bearer {revoked}"), 401),
        (format!("Authorization: Bearer {metrics}"), 403),
        ("Accept: */*".into(), 401),
    ] {
        assert_eq!(curl(&[&body[..], &[&header]].concat()), format!("1.1 {status}"));
        // Without a body where it is refused: this curl takes an answer that comes before its body for a broken stream.
        let body = if status == 200 { &body[..] } else { &["-H"] };
        let status = if status == 403 { 405 } else { status };
        if status != 405 {
            let more = [&["--http2-prior-knowledge"][..], body, &[&header]].concat();
            assert_eq!(curl(&more), format!("2 {status}"));
        }
    }
}

/// Sends bytes as they are, and returns the status of the answer and its body.
fn raw(gateway: &Gateway, fields: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(&gateway.address).unwrap();
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
    let (_folder, gateway) = alone(&[]);
    let token = &gateway.admin;
    let long = "x".repeat(48 * 1024);
    let cases: Vec<(String, u16, &str)> = vec![
        (format!("authorization: bearer {token}\r\n"), 200, ""),
        (format!("authorization: Bearer  {token}\r\n"), 200, ""),
        (format!("authorization: \t Bearer {token} \t\r\n"), 200, ""),
        (format!("authorization: Bearer {token}\r\nauthorization: Bearer {token}\r\n"), 400, "multiple"),
        (format!("authorization: Bearer {token}, Bearer {token}\r\n"), 400, "malformed"),
        (format!("authorization: Bearer {long}\r\n"), 400, "malformed"),
        ("authorization: Bearer\r\n".into(), 400, "malformed"),
        (format!("authorization: {token}\r\n"), 400, "misplaced"),
        (format!("authorization: Bearer {token}\r\ncontent-type: a/b; k={token}\r\n"), 400, "misplaced"),
        ("authorization: Basic eDp5\r\n".into(), 401, "missing_credential"),
        // These never reach us: the server refuses them as HTTP.
        (format!("authorization: Bearer\r\n {token}\r\n"), 400, ""),
        (format!("authorization: Bearer {token}\0\r\n"), 400, ""),
        (format!("authorization : Bearer {token}\r\n"), 400, ""),
    ];
    for (fields, expected, kind) in cases {
        let (status, body) = raw(&gateway, fields.as_bytes());
        let shown = fields.replace(token.as_str(), "TOKEN").replace(&long, "LONG");
        assert_eq!(status, expected, "{shown:?}: {body}");
        assert!(body.contains(kind), "{shown:?}: {body}");
        assert!(!body.contains(&token[30..50]), "nothing of the request is in the answer");
    }
}
