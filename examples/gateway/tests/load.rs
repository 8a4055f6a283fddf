//! A bounded load on loopback: no wrong status, and a revocation that takes effect on the next request.
//!
//! With `KEYGATE_TEST_POSTGRES`, also on two processes that share one database.
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "these are tests, and what is skipped is told"
)]
#![expect(dead_code, reason = "the client is shared with other tests, which use more of it")]

#[path = "server/client.rs"]
mod client;

use core::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};
use std::{env, process::Command, thread};

use client::Server;

const PREDICT: &str = "/models/abcd1234/environments/production/predict";
const THREADS: usize = 4;
const REQUESTS: usize = 300;

fn start(arguments: &[&str]) -> Server {
    let binary = env!("CARGO_BIN_EXE_keygate-gateway");
    Server::start(binary, &[&["--bootstrap", "--dev-login"], arguments].concat(), 12)
}

/// A second process on the same database, which prints no keys.
fn join(arguments: &[&str]) -> Server {
    Server::start(env!("CARGO_BIN_EXE_keygate-gateway"), &[&["--dev-login"], arguments].concat(), 0)
}

fn status(server: &Server, token: &str) -> u16 {
    server.send("POST", PREDICT, &[("authorization", &format!("Bearer {token}"))], "{}").status
}

/// Creates a key as `bob`, who administers the team; returns its id and its token.
fn create(server: &Server, name: &str) -> (String, String) {
    let body = format!(
        r#"{{"name":"{name}","level":"inference_only","environments":["production"],"models":"all","expires_at":null}}"#
    );
    let reply = server.send("POST", "/teams/core/api_keys", &[("x-dev-user", "bob")], &body).expect(201).json();
    let token = reply["token"].as_str().unwrap();
    (token.split('_').nth(1).unwrap().into(), token.into())
}

fn revoke(server: &Server, id: &str) {
    let fields = [("x-dev-user", "bob"), ("content-type", "application/json")];
    let reply = server.send("DELETE", &format!("/api_keys/{id}"), &fields, "");
    assert!(reply.status < 300, "{reply:?}");
}

#[test]
fn no_wrong_status_under_load() {
    let server = start(&[]);
    let (good, revoked) = (server.keys["full"].clone(), server.keys["revoked"].clone());
    let flipped = if good.ends_with('0') { "1" } else { "0" };
    let mistyped = format!("{}{flipped}", good.get(..good.len() - 1).unwrap());
    let kinds = [(good, 200), (revoked, 401), (mistyped, 401), (server.keys["metrics"].clone(), 403)];
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (server, kinds) = (&server, &kinds);
            scope.spawn(move || {
                for round in 0..REQUESTS {
                    let (token, expected) = &kinds[(number + round) % kinds.len()];
                    assert_eq!(status(server, token), *expected);
                }
            });
        }
    });
}

/// Revokes keys while others ask with them: one who starts to ask after the revocation was acknowledged is refused.
fn revocations_take_effect(writer: &Server, reader: &Server, staleness: Duration, run: &str) {
    for round in 0..5 {
        let (id, token) = create(writer, &format!("{run}-{round}"));
        let is_revoked = AtomicBool::new(false);
        let asked = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    loop {
                        let must_be_refused = is_revoked.load(Ordering::SeqCst);
                        let status = status(reader, &token);
                        asked.fetch_add(1, Ordering::SeqCst);
                        assert!(status == 200 || status == 401, "{status}");
                        if must_be_refused {
                            assert_eq!(status, 401, "a revoked key opened");
                            break;
                        }
                    }
                });
            }
            while asked.load(Ordering::SeqCst) < 20 {
                thread::sleep(Duration::from_millis(1));
            }
            revoke(writer, &id);
            thread::sleep(staleness);
            is_revoked.store(true, Ordering::SeqCst);
        });
    }
}

#[test]
fn a_revocation_takes_effect_on_the_next_request() {
    let server = start(&[]);
    revocations_take_effect(&server, &server, Duration::ZERO, "alone");
    // What this process revokes its own cache forgets.
    let cached = start(&["--cache-seconds", "60"]);
    revocations_take_effect(&cached, &cached, Duration::ZERO, "cached");
}

#[test]
fn a_revocation_is_seen_by_another_process() {
    let file = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", file.path().join("keys").display());
    let postgres = env::var("KEYGATE_TEST_POSTGRES");
    if postgres.is_err() {
        assert!(env::var_os("CI").is_none(), "set KEYGATE_TEST_POSTGRES to a postgres:// URL");
        println!("skipped: postgres: set KEYGATE_TEST_POSTGRES to a postgres:// URL");
    }
    for database in [Ok(sqlite), postgres].into_iter().flatten() {
        let arguments = ["--database", database.as_str()];
        let writer = start(&arguments);
        let run = format!("run-{}", std::process::id());
        revocations_take_effect(&writer, &join(&arguments), Duration::ZERO, &run);
        let cached = join(&[&arguments[..], &["--cache-seconds", "1"]].concat());
        revocations_take_effect(&writer, &cached, Duration::from_secs(1), &format!("{run}-cached"));
    }
}

/// A cache with a bound of a minute follows what another process changes within seconds, and nothing that is remembered
/// manages keys.
#[test]
fn a_cache_follows_another_process() {
    let file = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", file.path().join("keys").display());
    let writer = start(&["--database", &url]);
    let cached = join(&["--database", &url, "--cache-seconds", "60"]);
    let (id, old) = create(&writer, "followed");
    assert_eq!(status(&cached, &old), 200);

    // A new secret opens at once: what does not match the remembered record is compared with the record itself, where
    // the last such look was a second ago.
    let rotate = r#"{"rotation":"start","overlap_seconds":3600}"#;
    let fields = [("x-dev-user", "bob")];
    let reply = writer.send("POST", &format!("/api_keys/{id}/rotate"), &fields, rotate).expect(200);
    let new = reply.json()["token"].as_str().unwrap().to_owned();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(status(&cached, &new), 200);
    assert_eq!(status(&cached, &old), 200);

    revoke(&writer, &id);
    let start = std::time::Instant::now();
    while status(&cached, &new) != 401 {
        assert!(start.elapsed() < Duration::from_secs(10), "a revocation is not seen");
        thread::sleep(Duration::from_millis(20));
    }

    // The key of `bob` is remembered there; it is revoked here, and used there at once.
    let (target, _) = create(&writer, "target");
    let mine = writer.send("POST", "/users/me/api_keys", &fields, r#"{"name":"own","expires_at":null}"#).expect(201);
    let own = format!("Bearer {}", mine.json()["token"].as_str().unwrap());
    let disable = |operation: &str| {
        let path = format!("/api_keys/{target}/{operation}");
        cached.send("POST", &path, &[("authorization", &own), ("content-type", "application/json")], "")
    };
    disable("disable").expect(204);
    revoke(&writer, own.split('_').nth(1).unwrap());
    assert_eq!(disable("enable").expect(401).json()["reason"], "revoked");
}

/// Rotation without an outage: while the secret changes, no request with a live one is refused.
#[test]
fn rotation_refuses_nobody() {
    let server = start(&[]);
    let (id, old) = create(&server, "rotated");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    assert_eq!(status(&server, &old), 200);
                }
            });
        }
        let path = format!("/api_keys/{id}/rotate");
        let reply = server
            .send("POST", &path, &[("x-dev-user", "bob")], r#"{"rotation":"start","overlap_seconds":3600}"#)
            .expect(200);
        let new = reply.json()["token"].as_str().unwrap().to_owned();
        for _ in 0..50 {
            assert_eq!(status(&server, &new), 200);
        }
        is_done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn wrk_sees_no_wrong_status() {
    if !Command::new("wrk").arg("--version").output().is_ok_and(|output| !output.stdout.is_empty()) {
        assert!(env::var_os("CI").is_none(), "wrk is missing: install wrk");
        println!("skipped: wrk: install wrk");
        return;
    }
    let server = start(&[]);
    let url = format!("http://{}/teams/core/secrets", server.address);
    for (key, is_allowed) in [("full", true), ("revoked", false), ("metrics", false)] {
        let header = format!("Authorization: {}", server.bearer(key));
        let output = Command::new("wrk").args(["-t2", "-c8", "-d2s", "-H", &header, &url]).output().unwrap();
        let report = String::from_utf8(output.stdout).unwrap();
        let count = |line: &str| -> u64 {
            let number = report.lines().find_map(|text| text.trim().strip_prefix(line)).unwrap_or("0");
            number.trim().parse().unwrap()
        };
        let total: u64 =
            report.lines().find_map(|line| line.trim().split_once(" requests in ")).unwrap().0.parse().unwrap();
        let refused = count("Non-2xx or 3xx responses:");
        assert!(total > 100, "{report}");
        assert_eq!(refused, if is_allowed { 0 } else { total }, "{report}");
        assert!(!report.contains("Socket errors"), "{report}");
        println!("wrk with {key}: {total} requests, {refused} refused");
    }
}
