//! Records, read and written.

use keygate::{KeyRecord, store::RecordParts};
use serde_json::Value;

/// Reads JSON as a record, and writes what was read.
///
/// # Panics
///
/// If a record that is read is not written as it was read, or has parts that must not be together, or if the error
/// about an object repeats the word `canary`, which is nowhere but in the input.
pub fn record(input: &[u8]) -> &'static str {
    let record: KeyRecord = match serde_json::from_slice(input) {
        Ok(record) => record,
        Err(error) => {
            assert!(!error.to_string().contains("canary"), "{error}");
            return "refused";
        }
    };

    // Written and read again, it is the same record and the same text.
    let text = serde_json::to_string(&record).expect("a record can be written");
    let again: KeyRecord = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(again, record);
    assert_eq!(serde_json::to_string(&again).expect("a record can be written"), text);
    let parts = RecordParts::from(record.clone());
    assert_eq!(KeyRecord::try_from(parts), Ok(record));

    // One spelling: what was read is what is written, but for the order and the repeats in a scope.
    let read: Value = serde_json::from_slice(input).expect("it was read as JSON before");
    let written: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut read = one_order(read);
    if read["version"] != 1 {
        // A later version may hold more, which is left out; but never of what the key may do.
        for pointer in ["", "/previous"] {
            let known = written.pointer(pointer).and_then(Value::as_object);
            if let (Some(read), Some(known)) = (read.pointer_mut(pointer).and_then(Value::as_object_mut), known) {
                read.retain(|name, _| known.contains_key(name));
            }
        }
        read["version"] = 1.into();
    }
    assert_eq!(read, written, "{text}");
    check(&written);
    "ok"
}

fn one_order(mut record: Value) -> Value {
    if let Some(permission) = record.pointer_mut("/grant/permission").and_then(Value::as_object_mut) {
        for scope in permission.values_mut().filter_map(Value::as_array_mut) {
            scope.sort_by_key(Value::to_string);
            scope.dedup();
        }
    }
    record
}

/// What must be so of every record, said of its text.
fn check(record: &Value) {
    let seconds = |pointer| record.pointer(pointer).and_then(Value::as_i64);
    let expires_at = seconds("/expires_at").unwrap_or(i64::MAX);
    assert!(seconds("/not_before").is_none_or(|start| start < expires_at) || record["expires_at"] == "none");
    assert!(seconds("/previous/ends_at").is_none_or(|end| end <= expires_at));

    let fields: Vec<&str> = record.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields.len(), 15);
    let grant = &record["grant"];
    assert!(record["incarnation"] == "none" || grant["kind"] == "personal", "only a user has incarnations");
    match grant["kind"].as_str() {
        Some("personal") => assert_eq!(grant.as_object().map(serde_json::Map::len), Some(2), "a user and no more"),
        Some("team") => {
            let taken: &[&str] = match grant["permission"]["level"].as_str() {
                Some("custom") => &["actions", "environments", "resources"],
                Some("full") => &["environments"],
                Some("inference_only") => &["environments", "models"],
                Some("metrics_only") => &["models"],
                other => panic!("there is no level {other:?}"),
            };
            assert!(grant["permission"].get("actions").is_none_or(Value::is_array), "actions are a closed list");
            for scope in ["actions", "environments", "models", "resources"] {
                let is_taken = taken.contains(&scope);
                let scope = grant["permission"].get(scope);
                assert_eq!(scope.is_some(), is_taken);
                let is_spelled_out =
                    |scope: &Value| scope == "all" || scope.as_array().is_some_and(|all| !all.is_empty());
                assert!(scope.is_none_or(is_spelled_out), "nothing is everything unless it says so");
            }
        }
        other => panic!("there is no kind {other:?}"),
    }
}
