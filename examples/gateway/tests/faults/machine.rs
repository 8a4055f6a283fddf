//! Connections that do nothing, a log that nobody reads, and a clock that goes back.

use core::time::Duration;
use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    thread,
    time::Instant,
};

use serde_json::json;

use crate::running::{Gateway, PREDICT, Start, alone, skipped};

/// Resident memory of a process, in kilobytes.
fn memory(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A connection that says nothing, a head that does not end and a body that does not come: each is ended, and holds up
/// nobody before.
#[test]
fn what_does_not_come_is_not_waited_for() {
    let count: usize = env::var("KEYGATE_TEST_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    let (_folder, gateway) = alone(&["--max-requests", "200"]);
    let before = memory(&gateway);
    let whole = format!("POST {PREDICT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n", gateway.admin);
    let body = format!("{whole}content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"a\":");
    let start = Instant::now();
    let mut sockets: Vec<TcpStream> = Vec::new();
    for number in 0..count {
        let mut socket = TcpStream::connect(&gateway.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        match number % 4 {
            0 | 1 => {}
            2 => socket.write_all(whole.as_bytes()).unwrap(),
            // As many as may be in flight, less some.
            _ if number < 400 => socket.write_all(body.as_bytes()).unwrap(),
            _ => socket.write_all(b"POST ").unwrap(),
        }
        sockets.push(socket);
    }
    let opened = start.elapsed();
    let start = Instant::now();
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(gateway.predict(&gateway.admin), 200);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    let during = memory(&gateway);
    for (number, socket) in sockets.iter_mut().enumerate() {
        let mut answer = Vec::new();
        // Some are ended with a reset, since what they sent was not read.
        if socket.read_to_end(&mut answer).is_err() {
            assert!(start.elapsed() < Duration::from_secs(25), "connection {number} stays open");
        }
        let answer = String::from_utf8_lossy(&answer);
        if number % 4 == 3 && number < 400 {
            assert!(answer.starts_with("HTTP/1.1 408 "), "a body that does not come: {answer:?}");
        }
    }
    println!(
        "{count} connections in {opened:.1?}, all ended {:.1?} later; resident {before} kB before, {during} kB with them",
        start.elapsed()
    );
    assert!(start.elapsed() < Duration::from_secs(25));
    // Far below what a thread each would take.
    assert!((during.saturating_sub(before)) / (count as u64) < 64, "{before} kB before, {during} kB with them");
    assert_eq!(gateway.number("keygate_in_flight"), 0.0);
}

/// A pipe that is full stops nothing: lines are lost and counted.
#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Start::new().folder(folder.path()).stuck_log().run();
    let key = gateway.make("invoke", "WORKSPACE_INVOKE", json!({}));
    gateway.revoke(&key);
    // A pipe takes 64 KiB, the queues in front of it some thousand lines.
    let fields = format!("authorization: Bearer {}\r\n", key.token);
    let request = format!("POST {PREDICT} HTTP/1.1\r\nhost: x\r\n{fields}content-length: 0\r\n\r\n");
    let refused = 10_000;
    let mut socket = TcpStream::connect(&gateway.address).unwrap();
    let mut reader = socket.try_clone().unwrap();
    let read = thread::spawn(move || {
        let (mut buffer, mut bytes) = ([0; 65536], 0);
        loop {
            match reader.read(&mut buffer) {
                Ok(length @ 1..) => bytes += length,
                _ => return bytes,
            }
        }
    });
    let batch = request.repeat(100);
    for _ in 0..refused / 100 {
        socket.write_all(batch.as_bytes()).unwrap();
    }
    let start = Instant::now();
    let reason = r#"keygate_decisions_total{outcome="unauthenticated",reason="revoked"}"#;
    while gateway.number(reason) < f64::from(refused) {
        assert!(start.elapsed() < Duration::from_secs(60), "{} of {refused}", gateway.number(reason));
        thread::sleep(Duration::from_millis(50));
    }
    let lost: f64 = ["lines", "events"]
        .map(|queue| gateway.number(&format!("keygate_lost_total{{queue=\"{queue}\"}}")))
        .iter()
        .sum();
    println!("{refused} refusals without a reader: {lost} lines lost and counted");
    assert!(lost > 0.0);
    assert_eq!(gateway.predict(&gateway.admin), 200);
    drop(socket);
    assert!(read.join().unwrap() > 0);
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

/// The clock of the machine goes back by an hour: what is revoked stays so, and what lives goes on.
#[test]
fn a_clock_that_goes_back_revives_nothing() {
    let library =
        ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"]
            .into_iter()
            .find(|library| Path::new(library).exists());
    let Some(library) = library else { return skipped("libfaketime", "install faketime") };
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0\n").unwrap();
    let gateway = Start::new()
        .folder(&folder.path().join("data"))
        .arguments(&["--cache-seconds", "2"])
        .variable("LD_PRELOAD", library)
        .variable("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap())
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .run();
    let make = |name: &str| gateway.make(name, "WORKSPACE_INVOKE", json!({}));
    let (alive, rotated, revoked, doomed) = (make("alive"), make("rotated"), make("revoked"), make("doomed"));
    let turn = r#"{"rotation": "cut_over"}"#;
    let now = gateway.change(&rotated, "rotate", turn).expect(200).json()["api_key"].as_str().unwrap().to_owned();
    gateway.revoke(&revoked);
    assert_eq!([&alive.token, &now].map(|token| gateway.predict(token)), [200, 200]);

    fs::write(&clock, "-3600\n").unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert_eq!([&alive.token, &now, &gateway.admin].map(|token| gateway.predict(token)), [200, 200, 200]);
        assert_eq!([&revoked.token, &rotated.token].map(|token| gateway.predict(token)), [401, 401]);
        thread::sleep(Duration::from_millis(200));
    }
    // It is the time that answers and events have now.
    let made =
        gateway.ask(&gateway.admin, "POST", "/v1/teams/core/api_keys", r#"{"name":"back","type":"WORKSPACE_INVOKE"}"#);
    let made = made.expect(200).json();
    let list = gateway.ask(&gateway.admin, "GET", &format!("/v1/api_keys/{}", alive.prefix), "").expect(200).json();
    assert!(made["key"]["created_at"].as_str() < list["created_at"].as_str(), "the clock did not go back");
    gateway.revoke(&doomed);
    assert_eq!(gateway.predict(&doomed.token), 401);
    assert_eq!(gateway.operation("/readyz").status, 200);
    fs::write(&clock, "+0\n").unwrap();
    assert_eq!([&doomed.token, &revoked.token].map(|token| gateway.predict(token)), [401, 401]);
    assert_eq!(gateway.predict(&alive.token), 200);
}
