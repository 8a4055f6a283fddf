//! The real binary, over real sockets.

#[path = "../../gateway/tests/server/client.rs"]
mod client;
#[path = "../../gateway/tests/server/common.rs"]
mod common;

use client::Server;

fn start() -> Server {
    Server::start(env!("CARGO_BIN_EXE_keygate-example-sync-server"), &[], 4)
}

#[test]
fn answers_as_every_server_does() {
    common::check(&start());
}

#[test]
fn ends_on_sigterm_and_logs_no_secret() {
    let server = start();
    let tokens: Vec<_> = server.keys.values().cloned().collect();
    server.ask("full", "POST", common::PREDICT, "{}").expect(200);
    server.ask("revoked", "POST", common::PREDICT, "{}").expect(401);
    server.ask("inference-one-model", "POST", "/models/abcd1234/deployments", "{}").expect(403);
    server.send("POST", common::PREDICT, &[], "{}").expect(401);
    let in_target = format!("{}?key={}", common::PREDICT, server.keys["full"]);
    server.ask("full", "POST", &in_target, "{}").expect(400);
    let (status, log) = server.terminate();
    assert_eq!(status.code(), Some(0));
    for told in [
        r#""event":"refused","reason":"revoked""#,
        r#""event":"refused","team":"core","action":"deploy","reason":"level_insufficient""#,
        r#""actor":"unverified","event":"refused","reason":"missing""#,
        r#""event":"refused","reason":"misplaced""#,
    ] {
        assert!(log.contains(told), "{told} is not in {log}");
    }
    for token in tokens {
        assert!(!log.contains(token.rsplit('_').nth(1).unwrap()), "{log}");
    }
}

#[test]
fn a_stuck_log_holds_up_nobody() {
    let binary = env!("CARGO_BIN_EXE_keygate-example-sync-server");
    common::check_with_stuck_log(Server::start_with_stuck_log(binary, &[], 4));
}
