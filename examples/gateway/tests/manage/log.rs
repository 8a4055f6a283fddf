//! The log of changes.

use serde_json::{Value, json};

use crate::{World, invoke};

impl World {
    #[track_caller]
    fn log(&self, key: &str, query: &str) -> Value {
        self.server.get(key, &format!("/v1/audit_logs?{query}")).expect(200).json()
    }

    #[track_caller]
    fn ids(&self, key: &str, query: &str) -> Vec<u64> {
        let page = self.log(key, query);
        page["items"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().parse().unwrap()).collect()
    }
}

#[test]
fn tells_who_did_what() {
    for world in World::each() {
        let made = world.create(invoke("ci"));
        world.server.ask(&world.alice, "PATCH", &made.path(), json!({"name": "cd"})).expect(200);
        world.server.post(&world.alice, &made.below("disable"), None).expect(200);
        world.server.ask(&world.alice, "DELETE", &made.path(), None).expect(200);
        let log = world.log(&world.alice, &format!("api_key={}&direction=ASC", made.prefix));
        let kinds: Vec<_> =
            log["items"].as_array().unwrap().iter().map(|entry| entry["event_type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["API_KEY_CREATED", "API_KEY_RENAMED", "API_KEY_DISABLED", "API_KEY_DELETED"]);
        for entry in log["items"].as_array().unwrap() {
            assert_eq!(entry["actor"]["type"], "API_KEY");
            assert_eq!(entry["actor"]["user_id"], "alice");
            assert!(entry["actor"]["api_key_prefix"].as_str().unwrap().starts_with("acmep1_"));
            assert_eq!(
                (&entry["event_data"]["api_key_id"], &entry["event_data"]["prefix"]),
                (&json!(made.id), &json!(made.prefix))
            );
            assert_eq!(entry["event_data"]["event_type"], entry["event_type"]);
            entry["created"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        }
        assert!(!log.to_string().contains(made.token.split_at(made.prefix.len()).1));
        // The first start is the service's own.
        let first = world.log(&world.administrator, "direction=ASC&limit=1");
        assert_eq!(
            (&first["items"][0]["actor"]["type"], &first["items"][0]["actor"]["reason"]),
            (&json!("SYSTEM"), &json!("first start"))
        );
    }
}

#[test]
fn in_pages_in_both_directions() {
    for world in World::each() {
        for name in ["a", "b", "c", "d", "e"] {
            world.create(invoke(name));
        }
        let newest = world.ids(&world.alice, "team_id=core");
        assert_eq!(newest.len(), 5);
        assert!(newest.is_sorted_by(|one, next| one > next), "newest first");
        let mut oldest = newest.clone();
        oldest.reverse();
        for (direction, expected) in [("DESC", &newest), ("ASC", &oldest)] {
            for limit in [1, 2, 3, 5, 200] {
                let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
                loop {
                    let query = format!("team_id=core&direction={direction}&limit={limit}{cursor}");
                    let page = world.log(&world.alice, &query);
                    found.extend(world.ids(&world.alice, &query));
                    pages += 1;
                    let next = page["pagination"]["cursor"].as_str();
                    assert_eq!(page["pagination"]["has_more"], next.is_some());
                    let Some(next) = next else { break };
                    cursor = format!("&cursor={next}");
                }
                assert_eq!((&found, pages), (expected, 5_usize.div_ceil(limit)), "{direction} {limit}");
            }
        }
    }
}

#[test]
fn filters() {
    for world in World::each() {
        let made = world.create(invoke("one"));
        world.create(invoke("two"));
        world.server.ask(&world.alice, "DELETE", &made.path(), None).expect(200);
        let count = |query: &str| world.ids(&world.alice, query).len();
        assert_eq!(count(&format!("api_key={}", made.id)), 2);
        assert_eq!(count(&format!("api_key={}&kind=revoked", made.id)), 1);
        assert_eq!(count("team_id=core&kind=created"), 2);
        assert_eq!(count("team_id=core&kind=rotated"), 0);
        // Exactly: an event of a second is before any later part of it.
        let log = world.log(&world.alice, &format!("api_key={}&kind=created", made.id));
        let at: jiff::Timestamp = log["items"][0]["created"].as_str().unwrap().parse().unwrap();
        let millis = |more: i64| at.as_millisecond().checked_add(more).unwrap();
        let of = format!("api_key={}&kind=created", made.id);
        for (field, more, expected) in [
            ("start", 0, 1),
            ("start", -1, 1),
            ("start", 1, 0),
            ("start", 999, 0),
            ("start", 1000, 0),
            ("end", 0, 0),
            ("end", 1, 1),
            ("end", 999, 1),
            ("end", 1000, 1),
            ("end", -1, 0),
        ] {
            assert_eq!(count(&format!("{of}&{field}_epoch_millis={}", millis(more))), expected, "{field} {more}");
        }
        for extreme in [i64::MIN, i64::MAX, 0, -1] {
            count(&format!("start_epoch_millis={extreme}"));
            count(&format!("end_epoch_millis={extreme}"));
        }
        for (query, reason) in [
            ("limit=0", "query"),
            ("limit=201", "limit"),
            ("limit=70000", "query"),
            ("direction=UP", "query"),
            ("direction=asc", "query"),
            ("kind=", "unknown_kind"),
            ("kind=x", "unknown_kind"),
            ("cursor=", "cursor"),
            ("cursor=x", "cursor"),
            ("cursor=-1", "cursor"),
            ("cursor=1:2", "cursor"),
            ("search=x", "query"),
            ("limit=1&limit=2", "query"),
            ("start_epoch_millis=1.5", "query"),
        ] {
            world.server.get(&world.alice, &format!("/v1/audit_logs?{query}")).expect_problem(400, reason);
        }
        // A place behind all, and one of another log, are places all the same.
        for cursor in ["0", "999999999", "9223372036854775807", "18446744073709551615"] {
            let reply = world.server.get(&world.alice, &format!("/v1/audit_logs?cursor={cursor}"));
            assert!([200, 400].contains(&reply.status), "{cursor}: {reply:?}");
        }
    }
}

/// Whose entries one may read.
#[test]
fn of_ones_own() {
    for world in World::each() {
        let made = world.create(invoke("ci"));
        let reader = world.create(json!({"type": "CUSTOM", "actions": ["audit_logs:read"]}));
        let full = world.create(json!({"type": "WORKSPACE_MANAGE_ALL"}));
        let in_labs = world.server.post(&world.carol, "/v1/teams/labs/api_keys", invoke("labs")).expect(200);
        let prefixes = |key: &str, query: &str| {
            let log = world.log(key, query);
            let items = log["items"].as_array().unwrap();
            items.iter().map(|entry| entry["event_data"]["prefix"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let core = prefixes(&world.alice, "team_id=core");
        assert_eq!(core, [&*full.prefix, &reader.prefix, &made.prefix]);
        for key in [&reader.token, &full.token] {
            assert_eq!(prefixes(key, ""), core);
            assert_eq!(prefixes(key, "team_id=core"), core);
            world.server.get(key, "/v1/audit_logs?team_id=labs").expect_problem(404, None);
        }
        world.server.get(&made.token, "/v1/audit_logs").expect_problem(403, "level_insufficient");
        // A user: their own keys, and teams of which they are an admin.
        assert_eq!(prefixes(&world.bob, "").len(), 1);
        world.server.get(&world.bob, "/v1/audit_logs?team_id=core").expect_problem(404, None);
        let all = prefixes(&world.administrator, "");
        assert_eq!(all.len(), 8);
        let in_labs = in_labs.json()["key"]["prefix"].as_str().unwrap().to_owned();
        assert!(all.contains(&in_labs));
        // An administrator may pick from it, in whichever team they are.
        world.place.execute("UPDATE gateway_users SET is_administrator = TRUE WHERE id = 'bob'");
        std::thread::sleep(core::time::Duration::from_secs(3));
        assert_eq!(prefixes(&world.bob, "team_id=labs"), [&*in_labs]);
        assert_eq!(prefixes(&world.bob, &format!("api_key={in_labs}")), [&*in_labs]);
        assert_eq!(prefixes(&world.bob, "team_id=core"), core);
        world.server.get(&world.bob, "/v1/audit_logs?team_id=absent").expect_problem(404, None);
        // But manages nothing by it.
        world.server.get(&world.bob, &format!("/v1/api_keys/{in_labs}")).expect_problem(404, None);
    }
}
