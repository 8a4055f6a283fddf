//! The document of the API, against the server that serves it.

use std::fs;

use keygate::TeamRole;
use serde_json::{Value, json};

use crate::{
    common::{Place, Server},
    has, python,
};

/// What a run is about: names that exist, or whatever comes to mind.
fn schemathesis(server: &Server, key: &str, parameters: &str, arguments: &[&str], operations: usize) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("schemathesis.toml");
    fs::write(&config, parameters).unwrap();
    let output = python()
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(&config)
        .args(["run", &format!("http://{}/openapi.json", server.address), "--header"])
        .arg(format!("Authorization: Bearer {key}"))
        // The same examples each time, so that a failure is of the change that made it.
        .args(["--max-examples", "20", "--seed", "1", "--no-color", "--checks", "all"])
        // Which fields go together is told in words, not in the schema.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace(key, "KEY");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(&format!("Tested: {operations}")) && !text.contains("Unresolvable"), "{text}");
}

#[test]
fn the_document_tells_the_truth() {
    if !has("schemathesis") {
        return;
    }
    let place = Place::folder();
    let server = Server::start(&place);
    let key = server.key().to_owned();
    let user = place.add_user("alice", &[("core", TeamRole::Admin)]);
    place.add_user("bob", &[("core", TeamRole::Member)]);
    let new = json!({"type": "WORKSPACE_INVOKE"});
    let target = server.post(&key, "/v1/teams/core/api_keys", new).expect(200).json();
    let id = target["key"]["prefix"].as_str().unwrap();
    // Names that exist, but for what makes the key of others end.
    let names =
        format!("[parameters]\n\"path.prefix\" = \"{id}\"\n\"path.team_id\" = \"core\"\n\"path.user_id\" = \"bob\"\n");
    schemathesis(&server, &key, &names, &[], 17);
    let introspector = json!({"type": "CUSTOM", "actions": ["tokens:introspect"]});
    let introspector = server.post(&key, "/v1/teams/core/api_keys", introspector).expect(200).json();
    let introspector = introspector["api_key"].as_str().unwrap();
    schemathesis(&server, introspector, "", &["--include-operation-id", "introspect"], 1);
    // Any names, by one whose own key may end by it.
    schemathesis(&server, &user, "", &[], 17);
    // The server is as it was.
    server.get(&key, "/v1/whoami").expect(200);
}

/// Every route is in the document, and every operation has a name of its own.
#[test]
fn the_document_is_whole() {
    let place = Place::folder();
    let server = Server::start(&place);
    let reply = server.send("GET", "/openapi.json", &[], "").expect(200);
    let document: Value = reply.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, methods) in [
        ("/v1/api_keys", &["get", "post"][..]),
        ("/v1/teams/{team_id}/api_keys", &["get", "post"]),
        ("/v1/api_keys/{prefix}", &["delete", "get", "patch"]),
        ("/v1/api_keys/{prefix}/rotate", &["post"]),
        ("/v1/api_keys/{prefix}/end_overlap", &["post"]),
        ("/v1/api_keys/{prefix}/disable", &["post"]),
        ("/v1/api_keys/{prefix}/enable", &["post"]),
        ("/v1/api_keys/{prefix}/check", &["post"]),
        ("/v1/whoami", &["get"]),
        ("/v1/audit_logs", &["get"]),
        ("/v1/introspect", &["post"]),
        ("/v1/users/{user_id}/deprovision", &["post"]),
        ("/v1/leaks", &["post"]),
    ] {
        let mut found: Vec<_> = document["paths"][path].as_object().unwrap().keys().collect();
        found.sort();
        assert_eq!(found, methods, "{path}");
    }
    // What is named is there.
    let text = reply.body.as_str();
    for (_, name) in text.match_indices("#/components/schemas/").map(|(at, found)| text.split_at(at + found.len())) {
        let name = name.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}
