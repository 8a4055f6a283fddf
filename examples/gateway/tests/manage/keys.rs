//! The life of a key.

use core::time::Duration;
use std::{thread, time::Instant};

use serde_json::json;

use crate::{Made, World, invoke};

const PREDICT: &str = "/models/abcd1234/environments/production/predict";

#[test]
fn each_type_with_what_it_takes() {
    for world in World::each() {
        for (new, expected) in [
            (
                json!({"type": "WORKSPACE_MANAGE_ALL"}),
                json!({"model_ids": null, "environments": null, "actions": null}),
            ),
            (
                json!({"type": "WORKSPACE_MANAGE_ALL", "environments": ["staging"]}),
                json!({"model_ids": null, "environments": ["staging"]}),
            ),
            (
                json!({"type": "WORKSPACE_INVOKE", "model_ids": ["wxyz5678", "abcd1234"], "environments": ["e1"]}),
                json!({"model_ids": ["abcd1234", "wxyz5678"], "environments": ["e1"]}),
            ),
            (
                json!({"type": "WORKSPACE_EXPORT_METRICS", "model_ids": ["abcd1234"]}),
                json!({"model_ids": ["abcd1234"], "environments": null}),
            ),
            (
                json!({"type": "CUSTOM", "actions": ["audit_logs:read"], "resources": ["p1"], "environments": ["e1"]}),
                json!({"actions": ["audit_logs:read"], "resources": ["p1"], "environments": ["e1"]}),
            ),
        ] {
            let reply = world.server.post(&world.alice, "/v1/teams/core/api_keys", new.clone()).expect(200);
            let key = &reply.json()["key"];
            assert_eq!(key["type"], new["type"]);
            for (field, value) in expected.as_object().unwrap() {
                assert_eq!(&key[field], value, "{field} of {key}");
            }
            assert_eq!((&key["team_id"], &key["team_name"]), (&json!("core"), &json!("Core")));
            assert_eq!((&key["owner"], &key["created_by"]["user_id"]), (&json!(null), &json!("alice")));
            assert_eq!((&key["last_used_at"], &key["status"]), (&json!(null), &json!("active")));
            // Who lists it sees the same, and no secret.
            let made = Made::of(&reply);
            let listed = world.server.get(&world.alice, &made.path()).expect(200);
            assert_eq!(&listed.json(), key);
            let (_, secret) = made.token.split_at(made.prefix.len());
            assert!(!listed.body.contains(secret));
            assert_eq!(world.status(&made.token), 200);
        }
    }
}

/// The team is that of the path, of the body, or the only one of the user.
#[test]
fn the_team_that_is_meant() {
    let world = World::on_file();
    let post = |key: &str, path: &str, body| world.server.post(key, path, body);
    let team = |reply: crate::Reply| reply.expect(200).json()["key"]["team_id"].as_str().unwrap().to_owned();
    assert_eq!(team(post(&world.alice, "/v1/api_keys", json!({"type": "WORKSPACE_INVOKE"}))), "core");
    assert_eq!(team(post(&world.carol, "/v1/api_keys", json!({"type": "WORKSPACE_INVOKE"}))), "labs");
    let in_labs = json!({"type": "WORKSPACE_INVOKE", "team_id": "labs"});
    assert_eq!(team(post(&world.administrator, "/v1/api_keys", in_labs.clone())), "labs");
    assert_eq!(team(post(&world.administrator, "/v1/teams/labs/api_keys", in_labs.clone())), "labs");
    post(&world.administrator, "/v1/teams/core/api_keys", in_labs).expect_problem(400, "other_team");
    post(&world.administrator, "/v1/api_keys", json!({"type": "WORKSPACE_INVOKE"}))
        .expect_problem(400, "team_required");
}

#[test]
fn lists_by_type_status_and_creator_and_in_pages() {
    for world in World::each() {
        for name in ["one", "two", "three"] {
            world.create(invoke(name));
        }
        let metrics = world.create(json!({"type": "WORKSPACE_EXPORT_METRICS", "name": "four"}));
        let get = |key: &str, path: &str| world.server.get(key, path).expect(200).json();
        let names = |list: serde_json::Value| -> Vec<String> {
            list["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
        };
        let own = json!(["own", "one", "two", "three", "four"]);
        let sorted = |mut names: Vec<String>| {
            names.sort();
            json!(names)
        };
        let all = sorted(serde_json::from_value(own).unwrap());
        assert_eq!(sorted(names(get(&world.alice, "/v1/api_keys"))), all);
        assert_eq!(names(get(&world.alice, "/v1/api_keys?type=WORKSPACE_EXPORT_METRICS")), ["four"]);
        assert_eq!(names(get(&world.alice, "/v1/api_keys?created_by_me=true")).len(), 4);
        assert_eq!(names(get(&world.administrator, "/v1/api_keys?created_by_me=true")), [""; 0]);
        // A member of a team sees only their own.
        assert_eq!(names(get(&world.bob, "/v1/api_keys")), ["own"]);
        world.server.ask(&world.alice, "DELETE", &metrics.path(), None).expect(200);
        assert_eq!(names(get(&world.alice, "/v1/api_keys?status=revoked")), ["four"]);
        assert_eq!(names(get(&world.alice, "/v1/api_keys")).len(), 4);
        assert_eq!(names(get(&world.alice, "/v1/api_keys?status=all")).len(), 5);

        let (mut path, mut found) = ("/v1/teams/core/api_keys?limit=1".to_owned(), Vec::new());
        loop {
            let page = get(&world.alice, &path);
            let cursor =
                page["cursor"].as_str().map(|cursor| format!("/v1/teams/core/api_keys?limit=1&cursor={cursor}"));
            found.extend(names(page));
            let Some(next) = cursor else { break };
            path = next;
        }
        assert_eq!(sorted(found), json!(["one", "three", "two"]));
        for wrong in ["limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=", "status=x", "type=PERSONAL", "x=1"] {
            let reply = world.server.get(&world.alice, &format!("/v1/teams/core/api_keys?{wrong}"));
            assert_eq!(reply.status, 400, "{wrong}: {reply:?}");
        }
        for wrong in ["type=ROUTES", "created_by_me=1", "status=", "limit=1", "type=PERSONAL&type=PERSONAL"] {
            world.server.get(&world.alice, &format!("/v1/api_keys?{wrong}")).expect_problem(400, "query");
        }
    }
}

#[test]
fn last_used() {
    let world = World::on_file();
    let made = world.create(invoke("used"));
    world.server.post(&made.token, PREDICT, json!({})).expect(200);
    let start = Instant::now();
    while world.server.get(&world.alice, &made.path()).expect(200).json()["last_used_at"].is_null() {
        assert!(start.elapsed() < Duration::from_secs(20), "its use is never written");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn renames_and_labels() {
    for world in World::each() {
        let (made, other) = (world.create(invoke("before")), world.create(invoke("taken")));
        let change = |body| world.server.ask(&world.alice, "PATCH", &made.path(), body);
        let renamed = change(json!({"name": "after", "labels": {"env": "ci", "owner": "x"}})).expect(200).json();
        assert_eq!((&renamed["name"], &renamed["labels"]), (&json!("after"), &json!({"env": "ci", "owner": "x"})));
        let labelled = change(json!({"labels": {}})).expect(200).json();
        assert_eq!((&labelled["name"], &labelled["labels"]), (&json!("after"), &json!({})));
        change(json!({"name": "taken"})).expect_problem(409, "name_taken");
        change(json!({})).expect_problem(400, "nothing_to_change");
        change(json!({"name": null})).expect_problem(400, "nothing_to_change");
        for name in ["", "Upper", "with space", "ümlaut", "a\u{202e}b", "a\nb", "a/b", "\u{0}", &"x".repeat(65)] {
            change(json!({"name": name})).expect_problem(400, "name");
            world.refuse(json!({"type": "WORKSPACE_INVOKE", "name": name}), 400, "name");
        }
        for labels in [json!({"": "x"}), json!({"a b": "x"}), json!({"a": "\n"}), json!({"a": "x".repeat(129)})] {
            change(json!({"labels": labels})).expect_problem(400, "labels");
        }
        // Names are free again once their key ended.
        world.server.ask(&world.alice, "DELETE", &other.path(), None).expect(200);
        change(json!({"name": "taken"})).expect(200);
        // A changed key opens what it opened.
        assert_eq!(world.status(&made.token), 200);
    }
}

#[test]
fn rotates_with_and_without_overlap() {
    for world in World::each() {
        let made = world.create(invoke("rotating"));
        let rotate = |body| world.server.post(&world.alice, &made.below("rotate"), body);
        let reply = rotate(json!({"rotation": "start", "overlap_seconds": 3600})).expect(200);
        assert_eq!(reply.field("cache-control"), Some("no-store"));
        let (second, ends) = (reply.json()["api_key"].clone(), reply.json()["previous_ends_at"].clone());
        let second = second.as_str().unwrap();
        assert!(second.starts_with(&made.prefix) && second != made.token && ends.is_string());
        assert_eq!((world.status(&made.token), world.status(second)), (200, 200));
        let shown = world.server.get(&world.alice, &made.path()).expect(200).json();
        assert_eq!(shown["previous"]["ends_at"], ends);
        // Another one would end the one before, which may be in use; a retry says that the second was lost.
        rotate(json!({"rotation": "start", "overlap_seconds": 3600})).expect_problem(409, "rotation_in_progress");
        let third = rotate(json!({"rotation": "retry", "overlap_seconds": 3600})).expect(200).json();
        let third = third["api_key"].as_str().unwrap();
        assert_eq!((world.status(&made.token), world.status(second), world.status(third)), (200, 401, 200));
        let ended = world.server.post(&world.alice, &made.below("end_overlap"), None).expect(200).json();
        assert_eq!(ended["previous"], json!(null));
        assert_eq!((world.status(&made.token), world.status(third)), (401, 200));
        let fourth = rotate(json!({"rotation": "cut_over"})).expect(200).json();
        assert_eq!(fourth["previous_ends_at"], json!(null));
        assert_eq!((world.status(third), world.status(fourth["api_key"].as_str().unwrap())), (401, 200));
    }
}

#[test]
fn rotations_that_do_not_fit() {
    let world = World::on_file();
    let made = world.create(invoke("rotating"));
    for (body, reason) in [
        (json!({}), "missing_field"),
        (json!({"rotation": "later"}), "unknown_value"),
        (json!({"rotation": "start"}), "missing_field"),
        (json!({"rotation": "cut_over", "overlap_seconds": 1}), "unknown_field"),
        (json!({"rotation": "start", "overlap_seconds": -1}), "wrong_value"),
        (json!({"rotation": "start", "overlap_seconds": 1.5}), "wrong_value"),
        (json!({"rotation": "start", "overlap_seconds": 1, "name": "x"}), "unknown_field"),
    ] {
        world.server.post(&world.alice, &made.below("rotate"), body).expect_problem(400, reason);
    }
    let too_long = json!({"rotation": "start", "overlap_seconds": 2_592_001});
    let too_long = world.server.post(&world.alice, &made.below("rotate"), too_long);
    assert!([400, 409].contains(&too_long.status), "{too_long:?}");
    assert_eq!(world.status(&made.token), 200);
}

#[test]
fn disables_and_enables() {
    for world in World::each() {
        let made = world.create(invoke("resting"));
        let post = |what: &str| world.server.post(&world.alice, &made.below(what), None);
        post("enable").expect_problem(409, "not_disabled");
        assert_eq!(post("disable").expect(200).json()["status"], "disabled");
        world.server.get(&made.token, "/v1/whoami").expect(401);
        assert_eq!(post("enable").expect(200).json()["status"], "active");
        assert_eq!(world.status(&made.token), 200);
    }
}

#[test]
fn ends_for_ever() {
    for world in World::each() {
        let made = world.create(invoke("ending"));
        let delete = || world.server.ask(&world.alice, "DELETE", &made.path(), None);
        assert_eq!(delete().expect(200).json(), json!({"prefix": made.prefix}));
        world.server.post(&made.token, PREDICT, json!({})).expect_problem(401, "revoked");
        let shown = world.server.get(&world.alice, &made.path()).expect(200).json();
        assert_eq!((&shown["status"], &shown["revocation_cause"]), (&json!("revoked"), &json!("requested")));
        // A client that lost the answer asks again.
        assert!([200, 409].contains(&delete().status));
        for what in ["enable", "disable", "end_overlap"] {
            let reply = world.server.post(&world.alice, &made.below(what), None);
            assert_eq!(reply.status, 409, "{what}: {reply:?}");
        }
        let rotate = world.server.post(&world.alice, &made.below("rotate"), json!({"rotation": "cut_over"}));
        assert_eq!(rotate.status, 409, "{rotate:?}");
        // By its id as well as by its prefix.
        let other = world.create(invoke("other"));
        world.server.ask(&world.alice, "DELETE", &format!("/v1/api_keys/{}", other.id), None).expect(200);
        assert_eq!(world.status(&other.token), 401);
    }
}

#[test]
fn times_are_those_of_rfc_3339() {
    let world = World::on_file();
    let with = |time: &str| json!({"type": "WORKSPACE_INVOKE", "expires_at": time});
    for (time, expected) in [
        ("2199-01-31T12:00:00Z", "2199-01-31T12:00:00Z"),
        ("2199-01-31T12:00:00.999Z", "2199-01-31T12:00:00Z"),
        ("2199-01-31T12:00:00+02:00", "2199-01-31T10:00:00Z"),
    ] {
        let reply = world.server.post(&world.alice, "/v1/teams/core/api_keys", with(time)).expect(200);
        assert_eq!(reply.json()["key"]["expires_at"], expected);
    }
    for odd in [
        "",
        "tomorrow",
        "2199-01-31",
        "2199-01-31 12:00:00Z",
        "2199-01-31T12:00:00",
        "21990131T120000Z",
        "2199-01-31T12Z",
        "2199-01-31T12:00Z",
        "2199-01-31T12:00:00Z[UTC]",
        "2199-01-31T12:00:00+02:00[Europe/Berlin]",
        "2199-02-30T12:00:00Z",
        "2199-01-31T25:00:00Z",
        "+002199-01-31T12:00:00Z",
        "99999-01-01T00:00:00Z",
        "4102444800",
        "2199-01-31T12:00:00+0200",
        " 2199-01-31T12:00:00Z",
        "2199-01-31T12:00:00,5Z",
        "2199-01-31T12:00:00+02:00:30",
    ] {
        world.refuse(with(odd), 400, "time");
    }
    // A key that is expired when it is made is a mistake.
    for past in ["2001-01-01T00:00:00Z", "1969-12-31T23:59:59Z"] {
        let reply = world.server.post(&world.alice, "/v1/teams/core/api_keys", with(past));
        assert_eq!(reply.status, 400, "{past}: {reply:?}");
    }
    let soon = jiff::Timestamp::now().as_second().checked_add(2).unwrap();
    let soon = jiff::Timestamp::from_second(soon).unwrap().to_string();
    let made = world.create(with(&soon));
    assert_eq!(world.status(&made.token), 200);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(world.status(&made.token), 401);
    assert_eq!(world.server.get(&world.alice, &made.path()).expect(200).json()["status"], "expired");
}

#[test]
fn who_am_i() {
    let world = World::on_file();
    let mine = world.server.get(&world.bob, "/v1/whoami").expect(200).json();
    assert_eq!((&mine["type"], &mine["owner"]["user_id"]), (&json!("PERSONAL"), &json!("bob")));
    assert_eq!(mine["owner"]["email"], "bob@example.com");
    let made = world.create(json!({"type": "WORKSPACE_INVOKE", "name": "ci", "model_ids": ["abcd1234"]}));
    let its = world.server.get(&made.token, "/v1/whoami").expect(200).json();
    assert_eq!((&its["prefix"], &its["team_name"]), (&json!(made.prefix), &json!("Core")));
    assert_eq!(its["model_ids"], json!(["abcd1234"]));
}

/// The dry run says what the request would be answered, and what is missing.
#[test]
fn checks_say_what_is_missing() {
    for world in World::each() {
        let made = world
            .create(json!({"type": "WORKSPACE_INVOKE", "model_ids": ["abcd1234"], "environments": ["production"]}));
        let check = |body| world.server.post(&world.alice, &made.below("check"), body).expect(200).json();
        let call =
            |model: &str, environment: &str| json!({"action": "call", "model_id": model, "environment": environment});
        assert_eq!(check(call("abcd1234", "production")), json!({"allowed": true, "reason": null, "missing": null}));
        for (body, reason) in [
            (call("wxyz5678", "production"), "model_not_in_scope"),
            (call("abcd1234", "staging"), "environment_not_in_scope"),
            (json!({"action": "deploy"}), "level_insufficient"),
            (json!({"action": "manage", "team_id": "core"}), "level_insufficient"),
            (json!({"action": "audit_logs:read"}), "level_insufficient"),
        ] {
            let answer = check(body.clone());
            assert_eq!((&answer["allowed"], &answer["reason"]), (&json!(false), &json!(reason)), "{body}");
            assert!(answer["missing"].as_str().is_some_and(|missing| !missing.is_empty()), "{body}: {answer}");
        }
        // It is what a request gets.
        world.server.post(&made.token, PREDICT, json!({})).expect(200);
        let staging = PREDICT.replace("production", "staging");
        world.server.post(&made.token, &staging, json!({})).expect_problem(403, "environment_not_in_scope");
        world.server.ask(&world.alice, "DELETE", &made.path(), None).expect(200);
        assert_eq!(check(call("abcd1234", "production"))["reason"], "revoked");
        let wrong = |body| world.server.post(&world.alice, &made.below("check"), body);
        wrong(json!({"action": "call"})).expect_problem(400, "model_required");
        wrong(json!({"action": "fly"})).expect_problem(400, "unknown_action");
        wrong(json!({"action": "call", "model_id": "a b"})).expect_problem(400, "model_id");
        wrong(json!({"action": "call", "model_id": "absent01"})).expect_problem(404, None);
    }
}

/// A key of a team is given to others, who have no business with the people of the team.
#[test]
fn a_team_key_is_not_told_who_made_it() {
    for world in World::each() {
        let made = world.create(invoke("partner"));
        let told = world.server.get(&made.token, "/v1/whoami").expect(200);
        assert!(!told.body.contains("alice"), "{}", told.body);
        let told = world.server.get(&world.alice, &made.path()).expect(200).json();
        assert_eq!(told["created_by"]["user_id"], "alice");
    }
}

#[test]
fn deprovisions_a_user_with_their_keys() {
    for world in World::each() {
        let path = "/v1/users/alice/deprovision";
        for not_allowed in [&world.alice, &world.carol, &world.create(invoke("team-key")).token] {
            assert_eq!(world.server.post(not_allowed, path, None).status, 403);
        }
        let by = |path: &str| world.server.post(&world.administrator, path, None);
        by("/v1/users/absent/deprovision").expect_problem(404, None);
        by("/v1/users/admin/deprovision").expect_problem(400, "yourself");
        by("/v1/users/alice/deprovision?dry_run=maybe").expect_problem(400, "query");
        let id = world.server.get(&world.alice, "/v1/whoami").expect(200).json()["id"].clone();
        let expected = |dry_run: bool, ids| json!({"user_id": "alice", "dry_run": dry_run, "key_ids": ids});
        assert_eq!(by(&format!("{path}?dry_run=true")).expect(200).json(), expected(true, json!([id])));
        assert_eq!(world.status(&world.alice), 200);
        assert_eq!(by(path).expect(200).json(), expected(false, json!([id])));
        assert_eq!(world.status(&world.alice), 401);
        assert_eq!(by(path).expect(200).json(), expected(false, json!([])), "what is left, which is nothing");
        assert_eq!(world.status(&world.bob), 200);
    }
}
