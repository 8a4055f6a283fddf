//! What is others' is answered as what does not exist.

use serde_json::{Value, json};

use crate::{World, invoke};

/// A key of another team, or of another user, is byte for byte one that does not exist.
#[test]
fn keys_of_others() {
    for world in World::each() {
        let made = world.create(invoke("core-key"));
        let bobs = world.server.get(&world.bob, "/v1/whoami").expect(200).json()["prefix"].as_str().unwrap().to_owned();
        let absent = format!("{}0000000000000000", made.prefix.split_at(7).0);
        let rotation = json!({"rotation": "cut_over"});
        let check = json!({"action": "deploy"});
        let requests: [(&str, &str, Option<Value>); 8] = [
            ("GET", "", None),
            ("DELETE", "", None),
            ("PATCH", "", Some(json!({"name": "mine"}))),
            ("POST", "/rotate", Some(rotation)),
            ("POST", "/end_overlap", None),
            ("POST", "/disable", None),
            ("POST", "/enable", None),
            ("POST", "/check", Some(check)),
        ];
        for (method, what, body) in requests {
            let ask = |prefix: &str| {
                let path = format!("/v1/api_keys/{prefix}{what}");
                world.server.ask(&world.carol, method, &path, body.clone()).expect_problem(404, None).seen()
            };
            let nothing = ask(&absent);
            for prefix in [&made.prefix, &made.id, &bobs, "x", "%00", "%FF", "acmet1_", "%2e%2e", &"a".repeat(3000)] {
                assert_eq!(ask(prefix), nothing, "{method} {what} {prefix}");
            }
        }
        let log = |key: &str| world.server.get(&world.carol, &format!("/v1/audit_logs?api_key={key}"));
        assert_eq!(log(&made.prefix).expect(404).seen(), log(&absent).expect(404).seen());
        assert_eq!(world.status(&made.token), 200);
        assert_eq!(world.status(&world.bob), 200);
    }
}

/// One who is not in a team learns nothing of it: not that it exists, nor which models it has.
#[test]
fn teams_of_others() {
    for world in World::each() {
        for key in [&world.alice, &world.bob] {
            let list = |team: &str| world.server.get(key, &format!("/v1/teams/{team}/api_keys"));
            let nothing = list("absent").expect_problem(404, None).seen();
            for team in ["labs", "%FF", "a%20b", "..%2flabs"] {
                assert_eq!(list(team).seen(), nothing, "{team}");
            }
            let log = |team: &str| world.server.get(key, &format!("/v1/audit_logs?team_id={team}"));
            assert_eq!(log("labs").seen(), log("absent").expect_problem(404, None).seen());
            for body in [
                json!({"type": "WORKSPACE_INVOKE"}),
                json!({"type": "WORKSPACE_INVOKE", "model_ids": ["labs0001"]}),
                json!({"type": "WORKSPACE_INVOKE", "model_ids": ["absent01"]}),
                json!({"type": "WORKSPACE_MANAGE_ALL", "model_ids": ["absent01"]}),
            ] {
                let in_path = |team: &str| world.server.post(key, &format!("/v1/teams/{team}/api_keys"), body.clone());
                assert_eq!(in_path("labs").seen(), in_path("absent").expect_problem(404, None).seen(), "{body}");
                let in_body = |team: &str| {
                    let mut body = body.clone();
                    body["team_id"] = json!(team);
                    world.server.post(key, "/v1/api_keys", body)
                };
                assert_eq!(in_body("labs").seen(), in_body("absent").expect_problem(404, None).seen(), "{body}");
            }
        }
        // Neither by a dry run, of their own key or of their team's.
        let made = world.create(invoke("core-key"));
        let own = world.server.get(&world.alice, "/v1/whoami").expect(200).json()["id"].as_str().unwrap().to_owned();
        for id in [&made.id, &own] {
            let check = |body| world.server.post(&world.alice, &format!("/v1/api_keys/{id}/check"), body);
            let model = |model: &str| check(json!({"action": "call", "model_id": model}));
            assert_eq!(model("labs0001").seen(), model("absent01").expect_problem(404, None).seen());
            let team = |team: &str| check(json!({"action": "deploy", "team_id": team}));
            assert_eq!(team("labs").seen(), team("absent").expect_problem(404, None).seen());
        }
        // One who is in both teams is told.
        let check = json!({"action": "call", "model_id": "labs0001"});
        let told = world.server.post(&world.administrator, &made.below("check"), check).expect(200).json();
        assert_eq!(told["reason"], "other_team");
        // Models of another team than the key's are unknown to it, as those that do not exist.
        for model in ["labs0001", "absent01"] {
            world.refuse(json!({"type": "WORKSPACE_INVOKE", "model_ids": [model]}), 400, "unknown_model");
        }
    }
}

/// Only an admin of a team manages its keys, and no key of the team does.
#[test]
fn members_and_team_keys_manage_nothing() {
    for world in World::each() {
        let made = world.create(json!({"type": "WORKSPACE_MANAGE_ALL", "name": "full"}));
        let other = world.create(invoke("other"));
        let new = || invoke("new");
        for key in [&world.bob, &made.token] {
            let ask = |method: &str, path: &str, body: Option<Value>| {
                world.server.ask(key, method, path, body).expect_problem(403, "level_insufficient");
            };
            ask("POST", "/v1/teams/core/api_keys", Some(new()));
            ask("GET", "/v1/teams/core/api_keys", None);
            ask("GET", &other.path(), None);
            ask("DELETE", &other.path(), None);
            ask("PATCH", &other.path(), Some(json!({"name": "x"})));
            ask("POST", &other.below("rotate"), Some(json!({"rotation": "cut_over"})));
            ask("POST", &other.below("disable"), None);
        }
        world.server.get(&made.token, "/v1/api_keys").expect_problem(403, "level_insufficient");
        // But any key may end itself.
        world.server.ask(&other.token, "DELETE", &other.path(), None).expect(200);
        assert_eq!(world.status(&other.token), 401);
    }
}

/// A key cannot get its user another key of their own.
#[test]
fn personal_keys_are_not_made_by_keys() {
    for world in World::each() {
        let new = json!({"type": "PERSONAL", "name": "mine"});
        for (key, path) in [
            (&world.administrator, "/v1/api_keys"),
            (&world.alice, "/v1/api_keys"),
            (&world.bob, "/v1/api_keys"),
            (&world.alice, "/v1/teams/core/api_keys"),
        ] {
            world.server.post(key, path, new.clone()).expect_problem(403, "session_required");
        }
        let own = world.server.get(&world.alice, "/v1/whoami").expect(200).json()["id"].as_str().unwrap().to_owned();
        let rotate = format!("/v1/api_keys/{own}/rotate");
        world
            .server
            .post(&world.alice, &rotate, json!({"rotation": "cut_over"}))
            .expect_problem(403, "session_required");
        let team_key = world.create(json!({"type": "WORKSPACE_MANAGE_ALL"}));
        assert_eq!(world.server.post(&team_key.token, "/v1/api_keys", new).status, 403);
    }
}

/// A prefix of the other kind is that of no key.
#[test]
fn prefixes_name_the_kind() {
    let world = World::on_file();
    let made = world.create(invoke("team-key"));
    let wrong = made.prefix.replace("acmet1_", "acmep1_");
    for (method, what) in [("GET", ""), ("DELETE", ""), ("POST", "/disable")] {
        let path = format!("/v1/api_keys/{wrong}{what}");
        world.server.ask(&world.alice, method, &path, None).expect_problem(404, None);
    }
    world.server.get(&world.alice, &format!("/v1/audit_logs?api_key={wrong}")).expect_problem(404, None);
    // An encoded one is the same.
    let encoded = made.path().replace("acmet1_", "acmet1%5F");
    world.server.get(&world.alice, &encoded).expect(200);
    assert_eq!(world.status(&made.token), 200);
}

#[test]
fn nothing_without_a_key() {
    let world = World::on_file();
    for (method, path) in [
        ("GET", "/v1/api_keys"),
        ("POST", "/v1/api_keys"),
        ("GET", "/v1/teams/core/api_keys"),
        ("GET", "/v1/audit_logs"),
        ("GET", "/v1/whoami"),
        ("POST", "/v1/introspect"),
        ("POST", "/v1/users/bob/deprovision"),
        ("GET", "/nothing"),
        ("PUT", "/v1/api_keys"),
    ] {
        assert_eq!(world.server.send(method, path, &[], "").status, 401, "{method} {path}");
    }
    let put = world.server.ask(&world.alice, "PUT", "/v1/api_keys", json!({})).expect(405);
    assert!(put.field("allow").is_some_and(|allow| allow.contains("POST")), "{put:?}");
    put.expect_problem(405, "method");
    world.server.send("GET", "/v1/leaks", &[], "").expect_problem(405, "method");
    world.server.send("DELETE", "/openapi.json", &[], "").expect_problem(405, "method");
    world.server.send("GET", "/openapi.json", &[], "").expect(200);
}
