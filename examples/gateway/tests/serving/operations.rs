//! What the server says about itself.

use core::time::Duration;
use std::{thread, time::Instant};

use serde_json::{Value, json};

use crate::running::{Gateway, PREDICT, Start, alone};

fn outcome(outcome: &str, reason: &str) -> String {
    format!("keygate_decisions_total{{outcome=\"{outcome}\",reason=\"{reason}\"}}")
}

#[test]
fn every_number_is_there_from_the_start() {
    let (_folder, gateway) = alone(&["--cache-seconds", "5"]);
    let text = gateway.numbers();
    assert!(text.ends_with("# EOF\n"));
    let mut decisions = 0;
    for line in text.lines().filter(|line| line.starts_with("keygate_decisions_total")) {
        assert!(line.ends_with(" 0"), "{line}");
        decisions += 1;
    }
    for (kind, reasons) in [
        ("allowed", &[""][..]),
        ("unauthenticated", &["revoked", "disabled", "expired", "not_yet_valid", "owner_deprovisioned"]),
        ("refused", &["other_team", "level_insufficient", "environment_not_in_scope", "model_not_in_scope"]),
        ("unauthenticated", &["missing", "malformed", "misplaced", "multiple"]),
    ] {
        for reason in reasons {
            assert!(text.contains(&format!("{} 0\n", outcome(kind, reason))), "{kind} {reason}: {text}");
        }
    }
    assert!(decisions > 25, "{text}");
    for queue in ["events", "failures", "lines", "strangers", "touches"] {
        assert!(text.contains(&format!("keygate_lost_total{{queue=\"{queue}\"}} 0\n")), "{text}");
    }
    for counter in [
        "look_ups",
        "store_look_ups",
        "user_look_ups",
        "store_user_look_ups",
        "requests",
        "overloaded",
        "touches",
        "failed_touches",
        "failed_ticks",
    ] {
        assert!(text.contains(&format!("# TYPE keygate_{counter} counter\n")), "{counter}: {text}");
    }
    for gauge in ["in_flight", "revision", "revision_age_seconds"] {
        assert!(text.contains(&format!("# TYPE keygate_{gauge} gauge\n")), "{gauge}: {text}");
    }
}

#[test]
fn numbers_move_with_what_happens() {
    let (_folder, gateway) = alone(&[]);
    let key = gateway.make("invoke", "WORKSPACE_INVOKE", json!({ "model_ids": ["abcd1234"] }));
    let before = gateway.number(&outcome("allowed", ""));
    let looked_up = gateway.number("keygate_look_ups_total");
    gateway.ask(&key.token, "POST", PREDICT, "{}").expect(200);
    assert_eq!(gateway.number(&outcome("allowed", "")), before + 1.0);
    assert!(gateway.number("keygate_look_ups_total") > looked_up);
    gateway.ask(&key.token, "POST", "/models/abcd1234/deployments", "{}").expect(403);
    gateway.ask(&key.token, "POST", "/models/wxyz5678/production/predict", "{}").expect(404);
    gateway.send("POST", PREDICT, &[], "{}").expect(401);
    gateway.ask("nonsense", "POST", PREDICT, "{}").expect(401);
    gateway.revoke(&key);
    gateway.ask(&key.token, "POST", PREDICT, "{}").expect(401);
    for (kind, reason) in [
        ("refused", "level_insufficient"),
        ("refused", "model_not_in_scope"),
        ("unauthenticated", "revoked"),
        ("unauthenticated", "missing"),
    ] {
        assert_eq!(gateway.number(&outcome(kind, reason)), 1.0, "{kind} {reason}");
    }
    let start = Instant::now();
    while gateway.number("keygate_touches_total") == 0.0 {
        assert!(start.elapsed() < Duration::from_secs(15), "last uses are not written");
        thread::sleep(Duration::from_millis(100));
    }
}

fn ready(gateway: &Gateway, status: u16) -> Value {
    gateway.operation("/readyz").expect(status).json()
}

#[test]
fn readiness_has_the_revision_and_its_age() {
    let (_folder, gateway) = alone(&["--cache-seconds", "5"]);
    assert_eq!(gateway.operation("/healthz").expect(200).body, "ok");
    let start = Instant::now();
    let first = loop {
        let body = ready(&gateway, 200);
        assert_eq!(body["store"], true);
        if let Some(revision) = body["revision"].as_i64() {
            assert!(body["revision_age_ms"].as_u64().unwrap() < 2000, "{body}");
            break revision;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{body}");
    };
    gateway.make("one", "WORKSPACE_INVOKE", json!({}));
    let start = Instant::now();
    while ready(&gateway, 200)["revision"].as_i64() == Some(first) {
        assert!(start.elapsed() < Duration::from_secs(5), "the revision stands still");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(gateway.number("keygate_revision") > first as f64);
    assert!(gateway.number("keygate_revision_age_seconds") < 5.0);
    // Without a cache there is nothing that could be old.
    let (_folder, plain) = alone(&[]);
    assert_eq!(ready(&plain, 200)["revision"], Value::Null);
    // The same two answer where clients are; the server's own numbers are not for them.
    plain.send("GET", "/healthz", &[], "").expect(200);
    plain.send("GET", "/readyz", &[], "").expect(200);
    plain.send("GET", "/metrics", &[], "").expect(401);
}

/// An answer that is no success has a line in the log with the id that the client was told, and no line has a secret.
#[test]
fn the_log_has_the_id_of_a_refused_request_and_no_secret() {
    let (_folder, gateway) = alone(&[]);
    let key = gateway.make("invoke", "WORKSPACE_INVOKE", json!({}));
    gateway.ask(&key.token, "POST", PREDICT, "{}").expect(200);
    let mut ids = Vec::new();
    for path in ["/models/abcd1234/deployments", "/models/labs0001/production/predict", "/nothing"] {
        let forged = [("authorization", format!("Bearer {}", key.token)), ("x-request-id", "forged".into())];
        let forged: Vec<_> = forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = gateway.send("POST", &format!("{path}?q=of-nobody"), &forged, "{}");
        let id = reply.field("x-request-id").concat();
        assert!(id.len() >= 32 && !ids.contains(&id), "{id}");
        ids.push(id);
    }
    gateway.send("GET", &format!("/{}", key.token), &[], "").expect(400);
    // Lines wait in memory for one who reads them, so none is as long as somebody likes.
    gateway.send("GET", &format!("/{}", "long/".repeat(6000)), &[], "").expect(401);
    let admin = gateway.admin.clone();
    let (_, log) = gateway.terminate();
    for id in ids {
        let line = log.lines().find(|line| line.contains(&id)).unwrap_or_else(|| panic!("{id} is not in {log}"));
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["status"].as_u64().unwrap() >= 403, "{line}");
    }
    assert!(!log.contains("forged") && !log.contains("of-nobody"), "{log}");
    for token in [&key.token, &admin] {
        assert!(!log.contains(token.rsplit('_').nth(1).unwrap()), "{log}");
    }
    for line in log.lines() {
        assert!(line.len() < 1500, "{line}");
        drop(serde_json::from_str::<Value>(line).unwrap());
    }
}

/// What has no log of its own in the database is in this one.
#[test]
fn the_log_tells_of_uses_and_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new().folder(folder.path()).run();
    let key = gateway.make("invoke", "WORKSPACE_INVOKE", json!({}));
    gateway.revoke(&key);
    gateway.ask(&key.token, "POST", PREDICT, "{}").expect(401);
    gateway.send("POST", PREDICT, &[], "{}").expect(401);
    let (status, log) = gateway.terminate();
    assert_eq!(status.code(), Some(0));
    for told in [r#""event":"refused""#, r#""reason":"revoked""#, r#""actor":"unverified""#, r#""reason":"missing""#] {
        assert!(log.contains(told), "{told} is not in {log}");
    }
}
