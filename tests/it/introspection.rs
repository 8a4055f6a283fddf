//! What a gateway learns that asks what a token is (RFC 7662).

use keygate::{Coverage, Grant, OwnActions, RevocationCause, TeamRole, Validity, http::Introspection};
use pollster::block_on;
use serde_json::{Value, json};

use crate::common::{at, custom, full, inference, metrics, personal, system, team, text, world::World};

fn introspect(world: &World, token: &str) -> Value {
    let answer = match block_on(world.gate.authenticate(token)) {
        Ok(key) => Introspection::active(&key),
        Err(_) => Introspection::INACTIVE,
    };
    serde_json::to_value(answer).unwrap()
}

#[test]
fn an_active_key_is_told_with_its_permission() {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Member);
    let of = |name: &str, grant: Grant| {
        let issued = world.create(name, grant, Validity::until(at(900)));
        let mut value = introspect(&world, issued.token.expose_secret());
        let fields = value.as_object_mut().unwrap();
        assert_eq!(fields.remove("client_id").unwrap(), issued.record.id().as_str());
        let same = [("active", json!(true)), ("iss", json!("kg")), ("iat", json!(100)), ("exp", json!(900))];
        for (name, expected) in same.into_iter().chain([("token_type", json!("Bearer"))]) {
            assert_eq!(fields.remove(name), Some(expected), "{name}");
        }
        value
    };
    assert_eq!(of("ada", personal("ada")), json!({"sub": "personal:ada", "username": "ada"}));
    let of_team = |name: &str, permission| of(name, team("core", permission));
    // A scope is there only where nothing else restricts.
    for (name, permission, scope) in [
        ("full", full("all"), Some("call deploy export_metrics manage")),
        ("full-prod", full("prod"), None),
        ("inference", inference("all", "all"), Some("call")),
        ("inference-prod", inference("prod", "all"), None),
        ("inference-m1", inference("all", "m1"), None),
        ("metrics", metrics("all"), Some("export_metrics")),
        ("metrics-m1", metrics("m1"), None),
        ("custom", custom("projects:read call", "all", "all"), Some("call projects:read")),
        ("custom-prod", custom("projects:read", "prod", "all"), None),
        ("custom-r1", custom("projects:read", "all", "r1"), None),
    ] {
        let mut expected = json!({"sub": "team:core", "permission": permission});
        if let Some(scope) = scope {
            expected["scope"] = scope.into();
        }
        assert_eq!(of_team(name, permission), expected, "{name}");
    }
}

/// A scope that leaves an action out denies it, so a service with own actions names them.
#[test]
fn full_access_is_told_with_the_ordinary_own_actions() {
    const OWN: OwnActions =
        OwnActions::new(&[("projects:read", Coverage::Ordinary), ("projects:delete", Coverage::Explicit)]);
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Member);
    for (name, grant, scope) in [
        ("full", team("core", full("all")), Some("call deploy export_metrics manage projects:read")),
        ("full-prod", team("core", full("prod")), None),
        ("inference", team("core", inference("all", "all")), Some("call")),
        ("custom", team("core", custom("projects:delete", "all", "all")), Some("projects:delete")),
        ("ada", personal("ada"), None),
    ] {
        let issued = world.create(name, grant, Validity::NEVER_EXPIRES);
        let key = block_on(world.gate.authenticate(issued.token.expose_secret())).unwrap();
        let value = serde_json::to_value(Introspection::active(&key).with_own_actions(OWN)).unwrap();
        assert_eq!(value.get("scope").and_then(Value::as_str), scope, "{name}");
    }
    let inactive = Introspection::INACTIVE.with_own_actions(OWN);
    assert_eq!(serde_json::to_string(&inactive).unwrap(), r#"{"active":false}"#);
}

#[test]
fn every_other_cause_is_told_alike() {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Member);
    let create = |name: &str, grant: Grant, validity| world.create(name, grant, validity);
    let of_core = || team("core", full("all"));
    let [revoked, disabled] = ["revoked", "disabled"].map(|name| create(name, of_core(), Validity::NEVER_EXPIRES));
    let expired = create("expired", of_core(), Validity::until(at(150)));
    let of_ada = create("ada", personal("ada"), Validity::NEVER_EXPIRES);
    let later = create("later", of_core(), Validity::new(Some(at(300)), None).unwrap());
    block_on(world.keys.revoke(&system(), revoked.record.id(), RevocationCause::Leaked)).unwrap();
    block_on(world.keys.disable(&system(), disabled.record.id())).unwrap();
    world.directory.deprovision(&text("ada"));
    world.clock.set(200);
    let mut mistyped = of_ada.token.expose_secret().to_owned();
    mistyped.push('0');
    let tokens = [&revoked, &disabled, &expired, &of_ada, &later].map(|issued| issued.token.expose_secret());
    for token in tokens.into_iter().chain(["", "made up", mistyped.as_str()]) {
        assert_eq!(introspect(&world, token).to_string(), r#"{"active":false}"#);
    }
}
