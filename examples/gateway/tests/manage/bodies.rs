//! Bodies that do not fit: the rule is named, and nothing of the input.

use core::time::Duration;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use serde_json::json;

use crate::World;

#[test]
fn scopes_that_contradict_each_other() {
    let world = World::on_file();
    for (body, reason) in [
        (json!({"type": "WORKSPACE_INVOKE", "model_ids": []}), "empty_scope"),
        (json!({"type": "WORKSPACE_INVOKE", "environments": []}), "empty_scope"),
        (json!({"type": "WORKSPACE_EXPORT_METRICS", "model_ids": []}), "empty_scope"),
        (json!({"type": "WORKSPACE_MANAGE_ALL", "environments": []}), "empty_scope"),
        (json!({"type": "CUSTOM", "actions": []}), "empty_scope"),
        (json!({"type": "CUSTOM", "actions": ["projects:read"], "resources": []}), "empty_scope"),
        (json!({"type": "CUSTOM"}), "actions_required"),
        (json!({"type": "CUSTOM", "actions": ["projects:read"], "model_ids": ["abcd1234"]}), "restriction_not_taken"),
        (json!({"type": "WORKSPACE_MANAGE_ALL", "model_ids": ["abcd1234"]}), "restriction_not_taken"),
        (json!({"type": "WORKSPACE_EXPORT_METRICS", "environments": ["staging"]}), "restriction_not_taken"),
        (json!({"type": "WORKSPACE_INVOKE", "actions": ["projects:read"]}), "restriction_not_taken"),
        (json!({"type": "WORKSPACE_INVOKE", "resources": ["p1"]}), "restriction_not_taken"),
        (json!({"type": "PERSONAL", "model_ids": ["abcd1234"]}), "restriction_not_taken"),
        (json!({"type": "PERSONAL", "team_id": "core"}), "restriction_not_taken"),
        (json!({"type": "WORKSPACE_INVOKE", "model_ids": ["absent01"]}), "unknown_model"),
        (json!({"type": "WORKSPACE_INVOKE", "model_ids": ["a b"]}), "model_ids"),
        (json!({"type": "WORKSPACE_INVOKE", "environments": ["a b"]}), "environments"),
        (json!({"type": "WORKSPACE_INVOKE", "model_ids": null, "nmae": "x"}), "unknown_field"),
        (json!({"type": "WORKSPACE_INVOKE", "model_ids": "abcd1234"}), "wrong_value"),
        (json!({"type": "WORKSPACE_INVOKE", "name": 1}), "wrong_value"),
        (json!({"type": "ROUTES"}), "unknown_value"),
        (json!({"type": null}), "wrong_value"),
        (json!({"name": "x"}), "missing_field"),
    ] {
        world.refuse(body, 400, reason);
    }
    // Actions that this service does not have.
    let unknown = world.server.post(
        &world.alice,
        "/v1/teams/core/api_keys",
        json!({"type": "CUSTOM", "actions": ["hunter2:all"]}),
    );
    assert_eq!(unknown.status, 400, "{unknown:?}");
    assert!(!unknown.body.contains("hunter2"));
    world.create(json!({"type": "WORKSPACE_INVOKE", "name": "taken"}));
    world.refuse(json!({"type": "WORKSPACE_INVOKE", "name": "taken"}), 409, "name_taken");
}

#[test]
fn what_is_no_json_object() {
    let world = World::on_file();
    let bearer = format!("Bearer {}", world.alice);
    let send = |kind: &str, body: &[u8]| {
        let fields = [("authorization", bearer.as_str()), ("content-type", kind)];
        world.server.send("POST", "/v1/teams/core/api_keys", &fields, body)
    };
    for (body, status, reason) in [
        (&b"[]"[..], 400, "not_an_object"),
        (b"[\"name\", \"WORKSPACE_INVOKE\"]", 400, "not_an_object"),
        (b"", 400, "not_an_object"),
        (b"null", 400, "not_an_object"),
        (b"{", 400, "not_json"),
        (b"{\"type\": \"WORKSPACE_INVOKE\"} {}", 400, "not_json"),
        (b"{\"type\": \"WORKSPACE_INVOKE\",}", 400, "not_json"),
        (b"{\"type\": \"hunter2\"}", 400, "unknown_value"),
        (b"{\"hunter2\": 1, \"type\": \"WORKSPACE_INVOKE\"}", 400, "unknown_field"),
        (b"{\"type\": \"WORKSPACE_INVOKE\", \"type\": \"WORKSPACE_INVOKE\"}", 400, "duplicate_field"),
        (b"{\"type\": \"WORKSPACE_INVOKE\", \"name\": \"a\", \"name\": \"b\"}", 400, "duplicate_field"),
        (b"{\"type\": \"WORKSPACE_INVOKE\", \"labels\": {\"a\": \"1\", \"a\": \"2\"}}", 400, "duplicate_field"),
        (b"{\"type\": \"WORKSPACE_INVOKE\", \"name\": \"\xff\"}", 400, "not_json"),
        (&[b'['; 100_000], 400, "not_an_object"),
        (&[b' '; 300_000], 413, "too_large"),
    ] {
        let reply = send("application/json", body).expect_problem(status, reason);
        assert!(!reply.body.contains("hunter2"), "{reply:?}");
    }
    let deep = format!("{{\"type\": {}", "[".repeat(10_000));
    send("application/json", deep.as_bytes()).expect_problem(400, "not_json");
    let body = br#"{"type": "WORKSPACE_INVOKE"}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "", "multipart/form-data; a=b"]
    {
        send(kind, body).expect_problem(415, "content_type");
    }
    send("application/json; charset=utf-8", body).expect(200);
    send("Application/JSON", body).expect(200);
}

/// Reports need no key. Those that hang take no place from others.
#[test]
fn slow_reports_of_leaks_hold_up_nobody() {
    let place = crate::common::Place::folder();
    let mut command = place.command();
    command.args(["--max-requests", "100"]);
    let server = crate::Server::spawn(command);
    let head = "POST /v1/leaks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{";
    let slow: Vec<TcpStream> = (0..150)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    server.get(server.key(), "/v1/whoami").expect(200);
    let start = Instant::now();
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert!([&b"HTTP/1.1 408"[..], b"HTTP/1.1 503"].contains(&&answer[..]), "{answer:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(15));
}

/// A body that does not come is not waited for.
#[test]
fn slow_bodies_of_each_kind() {
    let world = World::on_file();
    let introspector = world.create(json!({"type": "CUSTOM", "actions": ["tokens:introspect"]}));
    let bodies = [
        (&world.alice, "/v1/teams/core/api_keys", "application/json"),
        (&introspector.token, "/v1/introspect", "application/x-www-form-urlencoded"),
    ];
    let streams = bodies.map(|(key, path, kind)| {
        let mut stream = TcpStream::connect(&world.server.address).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: {kind}\r\n\
             content-length: 90\r\n\r\nt"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    });
    for mut stream in streams {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
    }
}

/// A text of many words is many times as long in the chunks of a stream: they are not made before they are sent.
#[test]
#[cfg(target_os = "linux")]
fn long_answers_in_many_streams_do_not_fill_the_memory() {
    let world = World::on_file();
    let key = world.create(json!({"type": "WORKSPACE_INVOKE"})).token;
    let words = "a ".repeat(120_000);
    let body = json!({"model": "abcd1234", "stream": true, "messages": [{"content": words}]}).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let streams: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(&world.server.address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body.as_bytes()).unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
            stream
        })
        .collect();
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.server.pid())).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = memory.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 300_000, "{kilobytes} kB for {} streams", streams.len());
}

/// One key must not take all places of requests that send no body.
#[test]
fn slow_bodies_of_one_key_leave_places_for_others() {
    let place = crate::common::Place::folder();
    let mut command = place.command();
    command.args(["--max-requests", "100"]);
    let server = crate::Server::spawn(command);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 20\r\n\r\n{{",
        server.key()
    );
    let slow: Vec<TcpStream> = (0..150)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    server.get(server.key(), "/v1/whoami").expect(200);
    drop(slow);
}
