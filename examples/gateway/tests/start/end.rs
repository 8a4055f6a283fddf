//! The log, and the end.

use core::time::Duration;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
    time::Instant,
};

use serde_json::{Value, json};

use crate::common::{Place, Server, refused_by};

/// No token is in the log, wherever it stood; and what was refused is told with the id that the client was given.
#[test]
fn the_log_has_ids_of_requests_and_no_secret() {
    let place = Place::folder();
    let server = Server::start(&place);
    let key = server.key().to_owned();
    let new = json!({"type": "WORKSPACE_INVOKE", "name": "ci"});
    let created = server.post(&key, "/v1/teams/core/api_keys", new.clone()).expect(200).json();
    let token = created["api_key"].as_str().unwrap().to_owned();
    let prefix = created["key"]["prefix"].as_str().unwrap().to_owned();
    let rotation = json!({"rotation": "start", "overlap_seconds": 60});
    let rotated = server.post(&key, &format!("/v1/api_keys/{prefix}/rotate"), rotation).expect(200).json();
    let taken = server.post(&key, "/v1/teams/core/api_keys", new).expect(409);
    let in_path = server.get(&key, &format!("/v1/api_keys/{token}"));
    assert!(in_path.status >= 400);
    server.get(&key, &format!("/v1/audit_logs?cursor={token}"));
    server.post(&token, "/v1/leaks", json!({"tokens": [token.clone()]})).expect(204);
    let revoked = server.get(&token, "/v1/whoami").expect(401);
    let (status, log) = server.terminate();
    assert_eq!(status.code(), Some(0));
    for secret in [&key, &token, rotated["api_key"].as_str().unwrap()] {
        let (_, secret) = secret.split_at(30);
        assert!(!log.contains(secret), "{log}");
    }
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    }
    for (reply, status) in [(&taken, 409), (&in_path, in_path.status), (&revoked, 401)] {
        let id = reply.field("x-request-id").unwrap();
        let line = log.lines().find(|line| line.contains(id)).unwrap_or_else(|| panic!("{id}: {log}"));
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["status"].as_u64(), Some(status.into()), "{line}");
        assert!(line["method"].is_string() && line["path"].is_string(), "{line}");
    }
}

/// One who has a link is its user from then on, also for the events of keys.
#[test]
fn the_log_has_who_made_a_link_and_who_signed_in() {
    let place = Place::folder();
    let server = Server::start(&place);
    let link = server.printed.split_once("link=").unwrap().1.lines().next().unwrap().to_owned();
    let fields = [("sec-fetch-site", "same-origin"), ("content-type", "application/x-www-form-urlencoded")];
    let signed_in = server.send("POST", &format!("/console/sign-in?link={link}"), &fields, "").expect(303);
    let cookie = signed_in.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let fields = [fields[0], fields[1], ("cookie", cookie.as_str())];
    server.send("POST", "/console/users", &fields, "user=ada&name=Ada&team=core&role=member").expect(200);
    let (_, log) = server.terminate();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |message: &str| lines.iter().find(|line| line["message"] == message).unwrap();
    assert_eq!(find("signed in")["user"], "admin", "{log}");
    let made = find("a link to sign in was made");
    assert_eq!((&made["by"], &made["user"]), (&json!("admin"), &json!("ada")), "{log}");
    assert!(!log.contains(&link) && !log.contains(&cookie), "{log}");
}

#[test]
fn the_id_of_a_request_is_not_the_clients() {
    let place = Place::folder();
    let server = Server::start(&place);
    let bearer = format!("Bearer {}", server.key());
    let ask = |id: &str| {
        let fields = [("authorization", bearer.as_str()), ("x-request-id", id)];
        server.send("GET", "/v1/whoami", &fields, "").expect(200).field("x-request-id").unwrap().to_owned()
    };
    let (one, two) = (ask("mine"), ask("mine"));
    assert!(one != "mine" && one != two);
}

/// A request that hangs is not waited for without end.
#[test]
fn ends_in_bounded_time_with_a_request_open() {
    for signal in ["TERM", "INT"] {
        let place = Place::folder();
        let server = Server::start(&place);
        let mut half = TcpStream::connect(&server.address).unwrap();
        let head = format!(
            "POST /v1/teams/core/api_keys HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
            server.key()
        );
        half.write_all(head.as_bytes()).unwrap();
        let _idle = TcpStream::connect(&server.address).unwrap();
        server.get(server.key(), "/v1/whoami").expect(200);
        let start = Instant::now();
        server.signal(signal);
        let (status, _) = server.ended();
        assert_eq!(status.code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    }
}

/// What is in flight when the end begins is answered.
#[test]
fn answers_what_is_in_flight() {
    let place = Place::folder();
    let server = Server::start(&place);
    let mut slow = TcpStream::connect(&server.address).unwrap();
    let body = json!({"type": "WORKSPACE_INVOKE", "name": "late"}).to_string();
    let head = format!(
        "POST /v1/teams/core/api_keys HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        server.key(),
        body.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    server.get(server.key(), "/v1/whoami").expect(200);
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(500));
    slow.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.ended().0.code(), Some(0));
}

/// Nobody has the secret of a key that was made and not printed, so the next start prints another one, at once.
#[test]
fn a_first_start_that_was_killed_is_made_up_for() {
    for place in Place::each() {
        // The server stops in its first start, when it prints: nobody reads, and the pipe is closed behind it.
        let mut child = place.command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // Where the kill came too late, this start was whole; so it is made one that was not.
        place.execute("DELETE FROM gateway_setup");
        let server = Server::start(&place);
        let key = server.key().to_owned();
        server.get(&key, "/v1/whoami").expect(200);
        let keys = server.get(&key, "/v1/api_keys").expect(200).json();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "one key: {keys}");
        server.terminate();
        assert_eq!(Server::start(&place).first_key(), None);
    }
}

/// A first start whose key nobody can have read does not count.
#[test]
fn a_first_key_that_cannot_be_printed_is_made_up_for() {
    for place in Place::each() {
        let mut child = place.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let error = refused_by(child);
        assert!(error.contains("the first key cannot be printed"), "{error}");
        let server = Server::start(&place);
        server.get(server.key(), "/v1/whoami").expect(200);
    }
}

/// Later, nobody has to read.
#[test]
fn a_closed_output_does_not_matter_later() {
    let place = Place::folder();
    let first = Server::start(&place);
    let key = first.key().to_owned();
    first.terminate();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = place.command();
    command.args(["--operations", &address.to_string()]).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    Server::start(&place).get(&key, "/v1/whoami").expect(200);
}

/// Keys that travel in the clear are told of.
#[test]
fn warns_of_listening_to_others_without_tls() {
    for (address, is_warned) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let place = Place::folder();
        let mut command = crate::common::command();
        command.args(["--listen", address, "--data"]).arg(place.path());
        let (_, log) = Server::spawn(command).terminate();
        assert_eq!(log.contains("without TLS"), is_warned, "{log}");
    }
}

/// Even where everything is told, by every library.
#[test]
fn the_whole_log_has_no_secret() {
    let place = Place::folder();
    let mut command = place.command();
    command.env("RUST_LOG", "trace");
    let server = Server::spawn(command);
    let key = server.key().to_owned();
    let new = json!({"type": "WORKSPACE_INVOKE", "name": "ci"});
    let token = server.post(&key, "/v1/teams/core/api_keys", new).expect(200).json()["api_key"].clone();
    let token = token.as_str().unwrap().to_owned();
    server.post(&token, "/v1/leaks", json!({"tokens": [token.clone()]})).expect(204);
    let (_, log) = server.terminate();
    assert!(log.contains("DEBUG"));
    for secret in [&key, &token] {
        let (_, secret) = secret.split_at(30);
        assert!(!log.contains(secret.split_at(20).0), "a secret is in the log");
    }
}

/// One of them prints a key, and it works on each.
#[test]
fn nodes_that_start_at_once_make_one_key() {
    let Some(place) = Place::postgres() else { return };
    let servers: Vec<Server> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| Server::start(&place))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let keys: Vec<_> = servers.iter().filter_map(Server::first_key).collect();
    assert_eq!(keys.len(), 1, "one key is printed");
    for server in &servers {
        server.get(keys[0], "/v1/whoami").expect(200);
        // What the first start made is there wherever it was made.
        server.get(keys[0], "/v1/models").expect(200);
        let new = json!({"type": "WORKSPACE_INVOKE", "model_ids": ["abcd1234"]});
        server.post(keys[0], "/v1/teams/core/api_keys", new).expect(200);
    }
}
