//! Baseten's Python client, as its users have it.

use serde_json::{Value, json};

use crate::{
    common::{Place, Server},
    has, python,
};

#[test]
fn the_client_of_baseten_lists_creates_uses_and_deletes() {
    if !has("baseten") {
        return;
    }
    for place in Place::each() {
        let server = Server::start(&place);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/baseten_client.py");
        let base = format!("http://{}", server.address);
        let output = python().args([script, &base, server.key()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["listed"], json!([["first-key", "PERSONAL", null, null]]));
        let key = told["created"].as_str().unwrap();
        assert!(key.starts_with("acmet1_"), "a key is as its token begins");
        let names: Vec<_> = told["after"].as_array().unwrap().iter().map(|key| key[0].as_str().unwrap()).collect();
        assert_eq!(names, ["first-key", "partner"]);
        assert_eq!(told["after"][1], json!(["partner", "WORKSPACE_INVOKE", ["abcd1234"], "Core"]));
        assert_eq!(told["filtered"], json!(["partner"]));
        assert_eq!((&told["used"], &told["deleted"]), (&json!(200), &json!(401)));
        assert_eq!(told["tombstone"], json!(key.split_at(key.find('_').unwrap() + 17).0));
        // The oldest first, a page each.
        let events = ["API_KEY_CREATED", "API_KEY_CREATED", "API_KEY_CREATED", "API_KEY_DELETED"];
        assert_eq!(told["events"], json!(events));
        assert_eq!(told["newest"], "API_KEY_DELETED");
        for (refused, status, reason) in [
            ("personal", 403, "session_required"),
            ("unknown_type", 400, "unknown_value"),
            ("unknown_model", 400, "unknown_model"),
            ("taken", 409, "name_taken"),
            ("unknown_team", 404, "not_found"),
            ("unknown_key", 404, "not_found"),
        ] {
            assert_eq!(told["refused"][refused], json!([status, reason]), "{refused}");
        }
        assert_eq!(told["in_body"], "acmet1_", "the team may be named in the body");
    }
}
