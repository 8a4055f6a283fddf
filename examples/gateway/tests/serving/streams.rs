//! What takes its time is decided upon again before it goes on.

use core::time::Duration;
use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Instant,
};

use serde_json::json;

use crate::running::{Gateway, Key, PREDICT, alone, open};

const TICKS: &str = "/models/abcd1234/production/ticks";

/// The lines of a stream, chunk sizes left out.
fn lines(gateway: &Gateway, token: &str) -> impl Iterator<Item = String> + use<> {
    let stream = gateway.open(token, "GET", TICKS, "");
    BufReader::new(stream).lines().map(Result::unwrap).filter(|line| line.contains(": "))
}

fn next_tick(lines: &mut impl Iterator<Item = String>) -> String {
    lines.find(|line| line.starts_with("data: ")).unwrap()
}

fn streamer(gateway: &Gateway) -> Key {
    gateway.make("streamer", "WORKSPACE_INVOKE", json!({}))
}

#[test]
fn what_ends_a_key_ends_its_streams() {
    for cache in [&["--cache-seconds", "0"], &["--cache-seconds", "2"]] {
        let (_folder, gateway) = alone(cache);
        for (what, code) in [("revoke", "revoked"), ("disable", "disabled"), ("rotate", "invalid_key")] {
            let key = gateway.make(what, "WORKSPACE_INVOKE", json!({}));
            let mut lines = lines(&gateway, &key.token);
            assert_eq!(next_tick(&mut lines), "data: 0");
            // A rotation with overlap does not end it.
            if what == "revoke" {
                gateway.change(&key, "rotate", r#"{"rotation": "start", "overlap_seconds": 60}"#).expect(200);
                (0..6).for_each(|_| assert!(next_tick(&mut lines).starts_with("data: ")));
            }
            match what {
                "revoke" => gateway.revoke(&key),
                "rotate" => drop(gateway.change(&key, "rotate", r#"{"rotation": "cut_over"}"#).expect(200)),
                _ => drop(gateway.change(&key, what, "").expect(200)),
            }
            let rest: Vec<_> = lines.collect();
            let [.., event, data] = rest.as_slice() else { panic!("the stream just ended: {rest:?}") };
            assert_eq!(event, "event: error");
            assert!(data.contains(&format!(r#""code":"{code}""#)), "{what}: {data}");
            // Not at the next tick perhaps, but soon: this node knows at once what it changed itself.
            assert!(rest.len() < 12, "{what}: {rest:?}");
        }
    }
}

#[test]
fn a_slow_body_is_decided_upon_again() {
    let (_folder, gateway) = alone(&[]);
    for path in [
        PREDICT,
        "/models/abcd1234/production/async_predict",
        "/models/abcd1234/production/sync/v1/chat/completions",
        "/v1/chat/completions",
    ] {
        let key = streamer(&gateway);
        let body = r#"{"model":"abcd1234","messages":[{"role":"user","content":"x"}]}"#;
        let length = body.len().to_string();
        let bearer = format!("Bearer {}", key.token);
        let fields = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("content-length", length.as_str()),
        ];
        let mut socket = open(&gateway.address, "POST", path, &fields, "").unwrap();
        socket.write_all(&body.as_bytes()[..10]).unwrap();
        // Times are whole seconds: what is decided in the same one counts as now.
        thread::sleep(Duration::from_millis(300));
        gateway.revoke(&key);
        thread::sleep(Duration::from_millis(900));
        socket.write_all(&body.as_bytes()[10..]).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains(r#""reason":"revoked""#), "{path}: {answer}");
    }
}

/// A stream is a request in flight for as long as it runs.
#[test]
fn streams_count_among_the_requests_in_flight() {
    let (_folder, gateway) = alone(&["--max-requests", "4"]);
    let key = streamer(&gateway);
    let mut streams: Vec<_> = (0..4).map(|_| lines(&gateway, &key.token)).collect();
    streams.iter_mut().for_each(|lines| assert_eq!(next_tick(lines), "data: 0"));
    assert_eq!(gateway.number("keygate_in_flight"), 4.0);
    let full = gateway.send("GET", "/healthz", &[], "").expect(503);
    assert_eq!(full.field("retry-after"), ["1"]);
    assert_eq!(gateway.number("keygate_overloaded_total"), 1.0);
    // Operations are told apart: they must work when nothing else does.
    gateway.operation("/readyz").expect(200);
    drop(streams);
    let start = Instant::now();
    while gateway.send("GET", "/healthz", &[], "").status != 200 {
        assert!(start.elapsed() < Duration::from_secs(5), "a stream that ended keeps its place");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(gateway.number("keygate_in_flight") <= 1.0);
}

#[test]
fn the_end_of_the_server_is_told_to_streams() {
    let (_folder, gateway) = alone(&[]);
    let mut lines = lines(&gateway, &gateway.admin);
    assert_eq!(next_tick(&mut lines), "data: 0");
    let start = Instant::now();
    let (status, _) = gateway.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(lines.last().unwrap().contains(r#""code":"server_ends""#));
}

/// A client that leaves ends its stream: nothing goes on without it.
#[test]
fn a_client_that_leaves_ends_its_stream() {
    let (_folder, gateway) = alone(&[]);
    let socket: TcpStream = gateway.open(&gateway.admin, "GET", TICKS, "");
    let start = Instant::now();
    while gateway.number("keygate_in_flight") < 1.0 {
        assert!(start.elapsed() < Duration::from_secs(5));
        thread::sleep(Duration::from_millis(10));
    }
    drop(socket);
    let start = Instant::now();
    while gateway.number("keygate_in_flight") > 0.0 {
        assert!(start.elapsed() < Duration::from_secs(5), "a stream without a client goes on");
        thread::sleep(Duration::from_millis(20));
    }
}
