//! A request that is sent again mints nothing.

use std::thread;

use serde_json::{Value, json};

use crate::{Made, Reply, World, invoke};

impl World {
    fn with_key(&self, who: &str, path: &str, key: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {who}");
        let fields =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
        self.server.send("POST", path, &fields, body.to_string())
    }

    fn names(&self) -> Vec<String> {
        let list = self.server.get(&self.alice, "/v1/teams/core/api_keys").expect(200).json();
        list["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
    }
}

const CREATE: &str = "/v1/teams/core/api_keys";

#[test]
fn a_replayed_create_says_which_key_was_made() {
    for world in World::each() {
        let create = |who: &str, key: &str, name: &str| world.with_key(who, CREATE, key, &invoke(name));
        let made = Made::of(&create(&world.alice, "one", "ci").expect(200));
        for name in ["ci", "another"] {
            let replay = create(&world.alice, "one", name).expect_problem(409, "idempotency_key_used");
            assert_eq!(replay.json()["id"], made.id.as_str());
            assert!(!replay.body.contains("api_key\""), "{replay:?}");
        }
        assert_eq!(world.names(), ["ci"]);
        // What was made can be ended by that id, or rotated.
        world
            .server
            .post(&world.alice, &format!("/v1/api_keys/{}/rotate", made.id), json!({"rotation": "cut_over"}))
            .expect(200);
        // Keys of idempotency are each user's own.
        create(&world.administrator, "one", "theirs").expect(200);
        create(&world.alice, "two", "second").expect(200);
    }
}

#[test]
fn a_replayed_rotation_says_which_key_was_rotated() {
    for world in World::each() {
        let made = world.create(invoke("ci"));
        let rotate = || world.with_key(&world.alice, &made.below("rotate"), "r1", &json!({"rotation": "cut_over"}));
        let token = rotate().expect(200).json()["api_key"].as_str().unwrap().to_owned();
        assert_eq!(rotate().expect_problem(409, "idempotency_key_used").json()["id"], made.id.as_str());
        assert_eq!((world.status(&token), world.status(&made.token)), (200, 401));
    }
}

#[test]
fn of_many_at_once_one_mints() {
    for world in World::each() {
        // One name is taken only once as well, so each thread asks for another one.
        let replies: Vec<Reply> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let world = &world;
                    scope.spawn(move || world.with_key(&world.alice, CREATE, "once", &invoke(&format!("ci-{number}"))))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (made, others): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!(made.len(), 1);
        let id = made[0].json()["key"]["id"].clone();
        for other in others {
            let told = other.expect_problem(409, "idempotency_key_used").json()["id"].clone();
            // The first may not have made it yet.
            assert!(told.is_null() || told == id, "{told}");
        }
        assert_eq!(world.names().len(), 1);
        assert_eq!(world.with_key(&world.alice, CREATE, "once", &invoke("x")).expect(409).json()["id"], id);
    }
}

#[test]
fn a_refused_request_can_be_corrected() {
    for world in World::each() {
        world.create(invoke("taken"));
        let create = |body| world.with_key(&world.alice, CREATE, "fix", &body);
        create(json!({"type": "WORKSPACE_INVOKE", "model_ids": []})).expect_problem(400, "empty_scope");
        create(invoke("taken")).expect_problem(409, "name_taken");
        create(invoke("free")).expect(200);
        create(invoke("free")).expect_problem(409, "idempotency_key_used");
        // One who may not, claims nothing for those who may.
        let by_bob = |key| world.with_key(&world.bob, CREATE, key, &invoke("bobs"));
        by_bob("b").expect_problem(403, "level_insufficient");
        by_bob("b").expect_problem(403, "level_insufficient");
    }
}

/// The server ended between making the key and noting it.
#[test]
fn a_key_that_was_made_and_not_noted_is_found_by_its_name() {
    for world in World::each() {
        let made = Made::of(&world.with_key(&world.alice, CREATE, "lost", &invoke("ci")).expect(200));
        world.place.execute("UPDATE gateway_idempotency SET key_id = NULL");
        let replay = world.with_key(&world.alice, CREATE, "lost", &invoke("ci")).expect(409);
        assert_eq!(replay.json()["id"], made.id.as_str());
    }
}

/// The server ended before it made the key, whose name another one has: that one was not made by this request, and must
/// not be taken for an orphan.
#[test]
fn a_key_that_was_there_before_is_not_taken_for_it() {
    for world in World::each() {
        world.create(invoke("ci"));
        world.with_key(&world.alice, CREATE, "lost", &invoke("other")).expect(200);
        world.place.execute("UPDATE gateway_idempotency SET key_id = NULL, name = 'ci', created_at = created_at + 5");
        let replay =
            world.with_key(&world.alice, CREATE, "lost", &invoke("ci")).expect_problem(409, "idempotency_key_used");
        assert!(replay.json()["id"].is_null(), "{replay:?}");
    }
}

#[test]
fn keys_that_are_none() {
    let world = World::on_file();
    let long = "x".repeat(129);
    for key in ["", "a b", "ü", long.as_str()] {
        world.with_key(&world.alice, CREATE, key, &invoke("ci")).expect_problem(400, "idempotency_key");
    }
    let bearer = format!("Bearer {}", world.alice);
    let mut fields = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
    fields.extend([("idempotency-key", "a"), ("idempotency-key", "a")]);
    world.server.send("POST", CREATE, &fields, invoke("ci").to_string()).expect_problem(400, "idempotency_key");
    assert_eq!(world.names(), [""; 0]);
    world.with_key(&world.alice, CREATE, &"x".repeat(128), &invoke("ci")).expect(200);
}
