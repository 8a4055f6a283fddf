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

/// The numbers of the log begin at those of the backup again: what came since then is exported all the same, once.
#[test]
fn what_happens_after_a_backup_was_restored_is_exported() {
    let place = Place::folder();
    let (file, export) = (place.path().join("keygate.sqlite"), place.path().join("log.jsonl"));
    let server = Server::start(&place);
    let admin = server.key().to_owned();
    server.terminate();
    let backup = fs::read(&file).unwrap();
    let make = |names: &[&str]| {
        let server = Server::start(&place);
        for name in names {
            server
                .post(&admin, "/v1/teams/core/api_keys", json!({"type": "WORKSPACE_INVOKE", "name": name}))
                .expect(200);
        }
        server.terminate();
    };
    make(&["lost-1", "lost-2", "lost-3"]);
    assert_eq!(printed(&run(&place, "--export-log", &export)), "4 events were added");

    fs::write(&file, &backup).unwrap();
    printed(&run(&place, "--restored", &export));
    make(&["kept-1"]);
    assert_eq!(printed(&run(&place, "--export-log", &export)), "1 events were added");
    assert_eq!(printed(&run(&place, "--export-log", &export)), "0 events were added");
    make(&["kept-2", "kept-3", "kept-4"]);
    assert_eq!(printed(&run(&place, "--export-log", &export)), "3 events were added");
    let exported = fs::read_to_string(&export).unwrap();
    for name in ["lost-1", "lost-2", "lost-3", "kept-1", "kept-2", "kept-3", "kept-4"] {
        assert_eq!(exported.matches(name).count(), 1, "{name}: {exported}");
    }
}

#[test]
fn an_export_is_of_one_database() {
    let (one, two) = (Place::folder(), Place::folder());
    for place in [&one, &two] {
        Server::start(place).terminate();
    }
    let export = one.path().join("log.jsonl");
    printed(&run(&one, "--export-log", &export));
    let before = fs::read(&export).unwrap();
    let refused = run(&two, "--export-log", &export);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("of another database"), "{told}");
    assert_eq!(fs::read(&export).unwrap(), before);
}

/// A wrong folder or issuer must not look like a log without events, or a backup without revocations.
#[test]
fn where_no_server_ever_started_there_is_nothing_to_export_or_to_restore() {
    let place = Place::folder();
    let export = std::env::temp_dir().join(format!("keygate-no-export-{}", std::process::id()));
    for option in ["--export-log", "--restored"] {
        let refused = run(&place, option, &export);
        assert_eq!(refused.status.code(), Some(2), "{option}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("no server ever started"), "{told}");
        assert!(!export.exists() && !place.path().exists(), "nothing is made");
    }
    Server::start(&place).terminate();
    for option in ["--export-log", "--restored", "--sign-in"] {
        let refused = place.command().args(["--issuer", "other", option]).arg("admin").output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{option}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("made with the issuer `acme`"), "{told}");
    }
}

/// Of those who signed out or left after the backup, nothing that is in it lets them in.
#[test]
fn a_restored_backup_brings_no_session_back() {
    let place = Place::folder();
    let server = Server::start(&place);
    let link = server.printed.split_once("link=").unwrap().1.lines().next().unwrap().to_owned();
    server.terminate();
    let export = place.path().join("log.jsonl");
    printed(&run(&place, "--export-log", &export));
    printed(&run(&place, "--restored", &export));
    let server = Server::start(&place);
    let fields = [("sec-fetch-site", "same-origin"), ("content-type", "application/x-www-form-urlencoded")];
    server.send("POST", &format!("/console/sign-in?link={link}"), &fields, "").expect(403);
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
