//! The real binary, over real sockets.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "these are tests"
)]

mod client;
mod common;
mod events;
mod keys;
mod leaks;
mod serving;
mod stream;

use client::Server;

/// Starts the server with one key of every sort.
fn start(arguments: &[&str]) -> Server {
    let arguments: Vec<_> = ["--bootstrap"].iter().chain(arguments).copied().collect();
    Server::start(env!("CARGO_BIN_EXE_keygate-gateway"), &arguments, 12)
}

#[test]
fn answers_as_every_server_does() {
    common::check(&start(&[]));
    common::check(&start(&["--cache-seconds", "60"]));
}

#[test]
fn a_stuck_log_holds_up_nobody() {
    let binary = env!("CARGO_BIN_EXE_keygate-gateway");
    common::check_with_stuck_log(Server::start_with_stuck_log(binary, &["--bootstrap"], 12));
}

#[test]
fn ends_on_sigterm_and_logs_no_secret() {
    let server = start(&["--dev-login"]);
    let mut tokens: Vec<_> = server.keys.values().cloned().collect();
    server.ask("full", "POST", common::PREDICT, "{}").expect(200);
    server.ask("revoked", "POST", common::PREDICT, "{}").expect(401);
    let created = keys::create(&server, "bob", "ci");
    tokens.push(created["token"].as_str().unwrap().into());
    let key = format!("/api_keys/{}", created["key"]["id"].as_str().unwrap());
    keys::by(&server, "bob", "PATCH", &key, r#"{"name": "full"}"#).expect(409);
    keys::by(&server, "bob", "POST", &format!("{key}/enable"), "").expect(409);
    let overlap = r#"{"rotation": "start", "overlap_seconds": 3600}"#;
    let rotated = keys::by(&server, "bob", "POST", &format!("{key}/rotate"), overlap).expect(200).json();
    tokens.push(rotated["token"].as_str().unwrap().into());
    keys::by(&server, "bob", "POST", &format!("{key}/rotate"), overlap).expect(409);
    server.ask("metrics", "POST", common::PREDICT, "{}").expect(403);
    server.send("POST", common::PREDICT, &[], "{}").expect(401);
    let (status, log) = server.terminate();
    assert_eq!(status.code(), Some(0));
    for told in [
        r#""event":"refused","reason":"revoked""#,
        r#""event":"refused","operation":"rename","reason":"name_taken""#,
        r#""event":"refused","operation":"enable","reason":"not_disabled""#,
        r#""event":"refused","operation":"rotate","reason":"rotation_in_progress""#,
        r#""event":"refused","team":"core","action":"call","model":"abcd1234","environment":"production","#,
        r#""actor":"user","actor_user":"bob""#,
        r#""actor":"unverified","event":"refused","reason":"missing""#,
        r#""event":"used","count":1,"#,
    ] {
        assert!(log.contains(told), "{told} is not in {log}");
    }
    for token in tokens {
        assert!(!log.contains(token.rsplit('_').nth(1).unwrap()), "{log}");
    }
}
