//! Managing keys over HTTP.

use serde_json::{Value, json};

use crate::{
    client::{Reply, Server},
    common::PREDICT,
    start,
};

const CORE: &str = "/teams/core/api_keys";
const MINE: &str = "/users/me/api_keys";

/// Sends a request as a signed-in user.
pub(crate) fn by(server: &Server, user: &str, method: &str, path: &str, body: &str) -> Reply {
    let mut fields = vec![("x-dev-user", user)];
    // Where there is a body, it comes with its type.
    if method != "GET" && body.is_empty() {
        fields.push(("content-type", "application/json"));
    }
    server.send(method, path, &fields, body)
}

/// Makes a key of the team `core` that may call everything.
pub(crate) fn create(server: &Server, user: &str, name: &str) -> Value {
    let body =
        json!({ "name": name, "level": "inference_only", "environments": "all", "models": "all", "expires_at": null });
    let reply = by(server, user, "POST", CORE, &body.to_string()).expect(201);
    assert_eq!(reply.field("cache-control"), ["no-store"]);
    reply.json()
}

fn predict(server: &Server, token: &Value) -> Reply {
    server.send("POST", PREDICT, &[("authorization", &format!("Api-Key {}", token.as_str().unwrap()))], "{}")
}

fn named(server: &Server, name: &str) -> Value {
    let list = by(server, "bob", "GET", CORE, "").expect(200).json();
    list["keys"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap().clone()
}

#[test]
fn a_key_lives() {
    let server = start(&["--dev-login"]);
    let created = create(&server, "bob", "ci");
    let (old, key) = (&created["token"], format!("/api_keys/{}", created["key"]["id"].as_str().unwrap()));
    let change = |operation: &str, body: &str| by(&server, "bob", "POST", &format!("{key}/{operation}"), body);
    predict(&server, old).expect(200);

    // The list shows the public part, and never what could open the key.
    let listed = by(&server, "bob", "GET", CORE, "").expect(200);
    assert!(old.as_str().unwrap().starts_with(named(&server, "ci")["display"].as_str().unwrap()));
    assert!(!listed.body.contains(old.as_str().unwrap()) && !listed.body.contains("v1$"));
    assert_eq!(named(&server, "ci")["created_by"], "user:bob");
    assert!(named(&server, "ci")["created_at"].is_i64());
    wait_for_use(&server, "ci");

    by(&server, "bob", "PATCH", &key, r#"{"name": "Bad Name"}"#).expect(400);
    by(&server, "bob", "PATCH", &key, r#"{"name": "full"}"#).expect(409);
    by(&server, "bob", "PATCH", &key, r#"{"name": "ci-2"}"#).expect(204);
    assert_eq!(named(&server, "ci-2")["id"], created["key"]["id"]);

    // With an overlap both secrets open it, and then only the new one does.
    let rotated = change("rotate", r#"{"rotation": "start", "overlap_seconds": 3600}"#).expect(200);
    assert_eq!(rotated.field("cache-control"), ["no-store"]);
    let new = &rotated.json()["token"];
    predict(&server, old).expect(200);
    predict(&server, new).expect(200);
    change("rotate", r#"{"rotation": "start", "overlap_seconds": 3600}"#).expect(409);
    change("end_overlap", "").expect(204);
    predict(&server, old).expect_challenge(401, Some("invalid_token"), None);
    predict(&server, new).expect(200);

    change("disable", "").expect(204);
    predict(&server, new).expect_challenge(401, Some("invalid_token"), Some("disabled"));
    change("enable", "").expect(204);
    change("enable", "").expect(409);
    predict(&server, new).expect(200);

    // The very next request sees a revoke, and nothing brings the key back.
    by(&server, "bob", "DELETE", &key, "").expect(204);
    predict(&server, new).expect_challenge(401, Some("invalid_token"), Some("revoked"));
    by(&server, "bob", "DELETE", &key, "").expect(204);
    change("enable", "").expect(409);
    predict(&server, new).expect(401);
}

/// The last use is written off the request's path.
fn wait_for_use(server: &Server, name: &str) {
    for _ in 0..100 {
        if named(server, name)["last_used_at"].is_i64() {
            return;
        }
        std::thread::sleep(core::time::Duration::from_millis(20));
    }
    panic!("the use is not written");
}

#[test]
fn a_revoke_by_this_process_is_seen_at_once_behind_a_cache() {
    let server = start(&["--dev-login", "--cache-seconds", "3600"]);
    let created = create(&server, "bob", "ci");
    predict(&server, &created["token"]).expect(200);
    let key = format!("/api_keys/{}", created["key"]["id"].as_str().unwrap());
    by(&server, "bob", "DELETE", &key, "").expect(204);
    predict(&server, &created["token"]).expect_challenge(401, Some("invalid_token"), Some("revoked"));
}

#[test]
fn lists_come_in_pages() {
    let server = start(&["--dev-login"]);
    let mut seen = Vec::new();
    let mut query = String::from("?limit=3");
    loop {
        let page = by(&server, "bob", "GET", &format!("{CORE}{query}"), "").expect(200).json();
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.len() <= 3);
        seen.extend(keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=3&after={next}");
    }
    seen.sort();
    let mut expected: Vec<_> = server.keys.keys().cloned().collect();
    expected.retain(|name| name != "personal" && name != "other-team");
    assert_eq!(seen, expected);
    by(&server, "bob", "GET", &format!("{CORE}?after=x"), "").expect(400);
}

#[test]
fn only_admins_manage_team_keys() {
    let server = start(&["--dev-login"]);
    let key = create(&server, "bob", "ci");
    let path = format!("/api_keys/{}", key["key"]["id"].as_str().unwrap());
    let body = r#"{"name": "x", "level": "full", "environments": "all", "expires_at": null}"#;
    // A member knows the team, and may not.
    for (method, path, body) in [("POST", CORE, body), ("GET", CORE, ""), ("DELETE", &path, "")] {
        let reply = by(&server, "ada", method, path, body).expect(403);
        assert_eq!(reply.json()["reason"], "level_insufficient");
    }
    // To an outsider, and to who is gone, the key is as one that does not exist.
    let absent = by(&server, "carl", "DELETE", "/api_keys/0000000000000000", "").expect(404);
    assert_eq!(by(&server, "carl", "DELETE", &path, "").seen(), absent.seen());
    assert_eq!(by(&server, "carl", "GET", CORE, "").seen(), absent.seen());
    assert_eq!(by(&server, "eve", "DELETE", &path, "").seen(), absent.seen());
    for (method, path, body) in [("POST", CORE, body), ("GET", CORE, ""), ("GET", MINE, "")] {
        let gone = by(&server, "eve", method, path, body).expect(403);
        assert_eq!(gone.json()["reason"], "owner_deprovisioned");
    }
    // A team key manages nothing but its own end.
    server.ask("full", "POST", CORE, body).expect(403);
    server.ask("full", "GET", CORE, "").expect(403);
    server.ask("full", "DELETE", &path, "").expect(404);
    predict(&server, &key["token"]).expect(200);
}

#[test]
fn a_leaked_key_revokes_itself() {
    let server = start(&["--dev-login"]);
    server.ask("inference", "DELETE", "/api_keys/self", "").expect(204);
    server.ask("inference", "DELETE", "/api_keys/self", "").expect_challenge(
        401,
        Some("invalid_token"),
        Some("revoked"),
    );
    by(&server, "bob", "DELETE", "/api_keys/self", "").expect(404);
}

#[test]
fn personal_keys_are_their_users_business() {
    let server = start(&["--dev-login"]);
    let body = r#"{"name": "laptop", "expires_at": null}"#;
    let mine = by(&server, "ada", "POST", MINE, body).expect(201).json();
    predict(&server, &mine["token"]).expect(200);
    by(&server, "ada", "POST", MINE, body).expect(409);
    let path = format!("/api_keys/{}", mine["key"]["id"].as_str().unwrap());
    // An admin of a team is no admin of its members.
    let other = by(&server, "bob", "DELETE", &path, "").expect(404);
    assert_eq!(other.seen(), by(&server, "bob", "DELETE", "/api_keys/0000000000000000", "").seen());
    // The key acts as its user, but only a signed-in user creates keys.
    let as_key = |method: &str, path: &str, body: &str| server.ask("personal", method, path, body);
    assert_eq!(as_key("POST", MINE, body).expect(403).json()["reason"], "session_required");
    assert_eq!(as_key("GET", MINE, "").expect(200).json()["keys"].as_array().unwrap().len(), 2);
    as_key("DELETE", &path, "").expect(204);
    predict(&server, &mine["token"]).expect(401);
    // A team key has no user.
    server.ask("full", "GET", MINE, "").expect(404);
}

#[test]
fn a_new_key_says_all_that_it_may_do() {
    let server = start(&["--dev-login"]);
    for body in [
        r#"{"name": "x", "level": "full", "environments": "all"}"#,
        r#"{"name": "x", "level": "full", "expires_at": null}"#,
        r#"{"name": "x", "level": "full", "environments": [], "expires_at": null}"#,
        r#"{"name": "x", "level": "full", "environments": "all", "expires_at": 0}"#,
        r#"{"name": "x", "level": "full", "environments": "all", "expires_at": 1764086400000}"#,
        r#"{"name": "x", "level": "full", "environments": "all", "models": "all", "expires_at": null}"#,
        r#"{"name": "x", "level": "inference_only", "environments": "all", "expires_at": null}"#,
        r#"{"name": "x", "level": "metrics_only", "models": "all", "environments": "all", "expires_at": null}"#,
        r#"{"name": "x", "level": "admin", "environments": "all", "expires_at": null}"#,
        r#"{"name": "x", "level": "full", "environments": "all", "expires_at": null, "owner": "labs"}"#,
        r#"{"name": "X", "level": "full", "environments": "all", "expires_at": null}"#,
    ] {
        by(&server, "bob", "POST", CORE, body).expect(400);
    }
    by(&server, "ada", "POST", MINE, r#"{"name": "x", "expires_at": null, "level": "full"}"#).expect(400);
    // As a form of another site could send it.
    let form = [("x-dev-user", "bob"), ("content-type", "text/plain"), ("content-length", "2")];
    server.send("POST", CORE, &form, "").expect(400);
}

#[test]
fn the_development_login_is_off_unless_asked_for() {
    let server = start(&[]);
    by(&server, "bob", "GET", CORE, "").expect_challenge(401, None, None);
    let fields = [("x-dev-user", "bob"), ("authorization", &server.bearer("full"))];
    assert_eq!(server.send("GET", CORE, &fields, "").expect(403).json()["reason"], "level_insufficient");

    // Two identities at once are one too many.
    let server = start(&["--dev-login"]);
    let fields = [("x-dev-user", "bob"), ("authorization", &server.bearer("full"))];
    server.send("GET", CORE, &fields, "").expect_challenge(400, Some("invalid_request"), Some("multiple"));
    let fields = [("x-dev-user", "bob"), ("x-dev-user", "ada")];
    server.send("GET", CORE, &fields, "").expect_challenge(400, Some("invalid_request"), Some("multiple"));
    by(&server, "not a user", "GET", CORE, "").expect_challenge(400, Some("invalid_request"), Some("malformed"));
    let with_field = start(&["--dev-login", "--x-api-key"]);
    let fields = [("x-dev-user", "bob"), ("x-api-key", with_field.keys["full"].as_str())];
    with_field.send("GET", CORE, &fields, "").expect_challenge(400, Some("invalid_request"), Some("multiple"));
    // It manages keys, and opens nothing else.
    by(&server, "bob", "POST", PREDICT, "{}").expect_challenge(401, None, None);
}

/// Who may do nothing to a key does not learn whether there is one.
#[test]
fn a_key_of_others_looks_like_one_that_does_not_exist() {
    let server = start(&["--dev-login"]);
    let id = |name: &str| server.keys[name].split('_').nth(1).unwrap().to_owned();
    let absent = "/api_keys/AAAAAAAAAAAAAAAA";
    for name in ["full", "personal", "revoked"] {
        let existing = format!("/api_keys/{}", id(name));
        let by_key = |path: &str| server.ask("other-team", "DELETE", path, "").seen();
        assert_eq!(by_key(&existing), by_key(absent), "another team's key");
        for user in ["nobody", "carl"] {
            let by_user = |path: &str| by(&server, user, "DELETE", path, "").seen();
            assert_eq!(by_user(&existing), by_user(absent), "{user} and the key {name}");
        }
    }
    server.ask("full", "POST", PREDICT, "{}").expect(200);
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let server = start(&["--dev-login"]);
    let created = create(&server, "bob", "ci");
    let path = format!("/api_keys/{}/disable", created["key"]["id"].as_str().unwrap());
    // As a form sends it, with a type that needs no leave, or with none.
    for fields in [&[("x-dev-user", "bob")][..], &[("x-dev-user", "bob"), ("content-type", "text/plain")]] {
        server.send("POST", &path, fields, "").expect(400);
    }
    // Under another name that stands for this address.
    let json = ("content-type", "application/json");
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
        server.send("POST", &path, &[("x-dev-user", "bob"), json, ("host", host)], "").expect(403);
    }
    predict(&server, &created["token"]).expect(200);
    server.send("POST", &path, &[("x-dev-user", "bob"), json, ("host", "localhost")], "").expect(204);
    predict(&server, &created["token"]).expect(401);
}

#[test]
fn an_overlap_has_a_bound() {
    let server = start(&["--dev-login"]);
    let created = create(&server, "bob", "ci");
    let path = format!("/api_keys/{}/rotate", created["key"]["id"].as_str().unwrap());
    by(&server, "bob", "POST", &path, r#"{"rotation": "start", "overlap_seconds": 1000000000}"#).expect(409);
    by(&server, "bob", "POST", &path, r#"{"rotation": "start", "overlap_seconds": 60}"#).expect(200);
}
