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
mod keys;
mod leaks;
mod serving;
mod stream;

use client::Server;

/// Starts the server with one key of every sort.
fn start(arguments: &[&str]) -> Server {
    let arguments: Vec<_> = ["--bootstrap"].iter().chain(arguments).copied().collect();
    Server::start(env!("CARGO_BIN_EXE_keygate-example-axum"), &arguments, 12)
}

#[test]
fn answers_as_every_server_does() {
    common::check(&start(&[]));
    common::check(&start(&["--cache-seconds", "60"]));
}

#[test]
fn ends_on_sigterm_and_logs_no_secret() {
    let server = start(&["--dev-login"]);
    let mut tokens: Vec<_> = server.keys.values().cloned().collect();
    server.ask("full", "POST", common::PREDICT, "{}").expect(200);
    server.ask("revoked", "POST", common::PREDICT, "{}").expect(401);
    let created = keys::create(&server, "bob", "ci");
    tokens.push(created["token"].as_str().unwrap().into());
    let (status, log) = server.terminate();
    assert_eq!(status.code(), Some(0));
    for told in [
        r#""event":"refused","asked":null,"#,
        r#":"revoked""#,
        r#""event":"used","count":1,"#,
        r#""event":"created","name":"ci""#,
        r#""by":{"kind":"system","reason":"bootstrap"}"#,
        r#""by":{"kind":"user","id":"bob"}"#,
    ] {
        assert!(log.contains(told), "{told} is not in {log}");
    }
    for token in tokens {
        assert!(!log.contains(token.rsplit('_').nth(1).unwrap()), "{log}");
    }
}
