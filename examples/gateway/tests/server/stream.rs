//! Streams are decided upon again while they run.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
};

use crate::{client::Server, keys, start};

const TICKS: &str = "/models/abcd1234/environments/production/ticks";

/// The lines of a stream, chunk sizes left out.
fn lines(server: &Server, authorization: &str) -> impl Iterator<Item = String> + use<> {
    let stream: TcpStream = server.open("GET", TICKS, &[("authorization", authorization)], "");
    BufReader::new(stream).lines().map(Result::unwrap).filter(|line| line.contains(": "))
}

fn next_tick(lines: &mut impl Iterator<Item = String>) -> String {
    lines.find(|line| line.starts_with("data: ")).unwrap()
}

#[test]
fn a_revoke_ends_a_stream() {
    let server = start(&["--dev-login"]);
    let created = keys::create(&server, "bob", "streamer");
    let bearer = format!("Bearer {}", created["token"].as_str().unwrap());
    let mut lines = lines(&server, &bearer);
    assert_eq!(next_tick(&mut lines), "data: 0");
    assert_eq!(next_tick(&mut lines), "data: 1");
    // A rotation with overlap does not end it, nor does a change of the name.
    let key = format!("/api_keys/{}", created["key"]["id"].as_str().unwrap());
    let rotation = r#"{"rotation": "start", "overlap_seconds": 60}"#;
    keys::by(&server, "bob", "POST", &format!("{key}/rotate"), rotation).expect(200);
    keys::by(&server, "bob", "PATCH", &key, r#"{"name": "renamed"}"#).expect(204);
    for _ in 0..6 {
        next_tick(&mut lines).strip_prefix("data: ").unwrap().parse::<u64>().unwrap();
    }

    keys::by(&server, "bob", "DELETE", &key, "").expect(204);
    let rest: Vec<_> = lines.collect();
    let [.., event, data] = rest.as_slice() else { panic!("the stream just ended: {rest:?}") };
    assert_eq!(event, "event: error");
    assert!(data.contains(r#""code":"revoked""#), "{data}");
    // Not at the next tick perhaps, but soon.
    assert!(rest.len() < 10, "{rest:?}");
    assert!(server.terminate().1.contains(r#":"revoked""#));
}

#[test]
fn the_end_of_an_overlap_ends_a_stream() {
    let server = start(&["--dev-login"]);
    let created = keys::create(&server, "bob", "streamer");
    let bearer = format!("Bearer {}", created["token"].as_str().unwrap());
    let mut lines = lines(&server, &bearer);
    assert_eq!(next_tick(&mut lines), "data: 0");
    let key = format!("/api_keys/{}", created["key"]["id"].as_str().unwrap());
    keys::by(&server, "bob", "POST", &format!("{key}/rotate"), r#"{"rotation": "cut_over"}"#).expect(200);
    assert!(lines.last().unwrap().contains(r#""code":"invalid_key""#));
}

#[test]
fn sigterm_ends_streams_first() {
    let server = start(&[]);
    let mut lines = lines(&server, &server.bearer("inference"));
    assert_eq!(next_tick(&mut lines), "data: 0");
    let (status, _) = server.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(lines.last().unwrap().contains(r#""code":"server_ends""#));
}
