//! A backup that was restored: what was revoked after it is revoked again, out of the exported log.

use std::{fs, path::Path, process::Output};

use serde_json::json;

use crate::common::{Place, Server};

#[test]
fn what_was_revoked_after_a_backup_is_revoked_again() {
    let place = Place::folder();
    let (file, export) = (place.path().join("keygate.sqlite"), place.path().join("log.jsonl"));
    let server = Server::start(&place);
    let admin = server.key().to_owned();
    let new = json!({"type": "WORKSPACE_INVOKE", "name": "partner", "team_id": "core"});
    let partner = server.post(&admin, "/v1/api_keys", new).expect(200).json();
    let (token, prefix) = (text(&partner["api_key"]), text(&partner["key"]["prefix"]));
    assert_eq!(printed(&run(&place, "--export-log", &export)), "2 events were added");
    server.terminate();
    let backup = fs::read(&file).unwrap();

    let server = Server::start(&place);
    server.ask(&admin, "DELETE", &format!("/v1/api_keys/{prefix}"), json!({})).expect(200);
    server.get(&token, "/v1/models").expect(401);
    assert_eq!(printed(&run(&place, "--export-log", &export)), "1 events were added");
    // The last line was cut off: it is written again.
    let whole = fs::read(&export).unwrap();
    fs::write(&export, &whole[..whole.len() - 5]).unwrap();
    assert_eq!(printed(&run(&place, "--export-log", &export)), "1 events were added");
    assert_eq!(fs::read(&export).unwrap(), whole);
    // A server that runs would go on with what it knows.
    let refused = run(&place, "--restored", &export);
    assert_eq!(refused.status.code(), Some(2));
    server.terminate();

    fs::write(&file, &backup).unwrap();
    let server = Server::start(&place);
    server.get(&token, "/v1/models").expect(200);
    server.terminate();
    let told = printed(&run(&place, "--restored", &export));
    assert!(told.ends_with("1 keys were revoked again; every cache forgets what it has"), "{told}");
    let told = printed(&run(&place, "--restored", &export));
    assert_eq!(told, "0 keys were revoked again; every cache forgets what it has");
    let server = Server::start(&place);
    server.get(&token, "/v1/models").expect(401);
    server.get(&admin, "/v1/models").expect(200);
}

#[test]
fn a_file_that_is_no_export_is_told_without_its_text() {
    let place = Place::folder();
    let server = Server::start(&place);
    server.terminate();
    let export = place.path().join("log.jsonl");
    fs::write(&export, "{\"secret\": 1}\n").unwrap();
    for option in ["--export-log", "--restored"] {
        let refused = run(&place, option, &export);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(told.contains("no event, at byte 0") && !told.contains("secret"), "{told}");
    }
    assert_eq!(fs::read(&export).unwrap(), b"{\"secret\": 1}\n");
}

fn run(place: &Place, option: &str, file: &Path) -> Output {
    place.command().arg(option).arg(file).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap().to_owned()
}
