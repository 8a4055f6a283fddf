//! The first start, and those after it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::json;

use crate::common::{Place, Server, files};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn makes_what_is_for_its_user_alone() {
    let place = Place::folder();
    let _server = Server::start(&place);
    assert_eq!(mode(&place.path()), 0o700);
    let files = files(&place.path());
    assert!(!files.is_empty());
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// The commands work as they are printed.
#[test]
fn prints_the_key_once_and_four_commands_that_work() {
    for place in Place::each() {
        let server = Server::start(&place);
        let key = server.key();
        assert_eq!(server.printed.matches(key).count(), 2, "once to keep, once to try: {}", server.printed);
        let (_, commands) = server.printed.split_once("Try it:\n").unwrap();
        assert_eq!(commands.matches("  curl ").count(), 4);
        let commands = commands.replace("  curl ", "  echo; curl --no-progress-meter --fail ");
        let output = Command::new("sh").args(["-ec", &commands]).output().unwrap();
        let (answers, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{errors}\n{answers}");
        for told in ["\"abcd1234\"", "hello", "\"acmet1_", "\"partner\""] {
            assert!(answers.contains(told), "{told}: {answers}");
        }
    }
}

#[test]
fn a_second_start_touches_nothing() {
    for place in Place::each() {
        let server = Server::start(&place);
        let key = server.key().to_owned();
        server
            .ask(&key, "PATCH", &format!("/v1/api_keys/{}", &id_of(&server, &key)), json!({"name": "mine"}))
            .expect(200);
        place.execute("DELETE FROM gateway_environments WHERE name = 'staging'");
        place.execute("UPDATE gateway_teams SET name = 'Ours' WHERE id = 'core'");
        let (status, _) = server.terminate();
        assert_eq!(status.code(), Some(0));
        let server = Server::start(&place);
        assert_eq!(server.printed, "", "nothing but the address");
        let keys = server.get(&key, "/v1/api_keys").expect(200).json();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
        assert_eq!(keys["keys"][0]["name"], "mine");
        let new = json!({"type": "WORKSPACE_INVOKE", "team_id": "core"});
        assert_eq!(server.post(&key, "/v1/api_keys", new).expect(200).json()["key"]["team_name"], "Ours");
        server.post(&key, "/models/abcd1234/environments/staging/predict", json!({})).expect(404);
    }
}

fn id_of(server: &Server, key: &str) -> String {
    server.get(key, "/v1/whoami").expect(200).json()["id"].as_str().unwrap().to_owned()
}
