//! An audit event as a log keeps it: read back from every self-describing format, and nothing lost that a later version
//! wrote.

use core::time::Duration;
use std::collections::BTreeSet;

use keygate::{
    Actor, Labels, NewKeySpec, Reason, RevocationCause, Rotation, TeamRole, Token, Validity,
    audit::{Attempt, Event, EventId, EventKind, OperationKind, Principal, RefusalReason},
    legacy::{LegacyFormat, LegacyHash, StoredHash},
    manage::Import,
    sink::UsageCounter,
};
use pollster::block_on;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use crate::common::{
    self, at, call, custom, full, own, personal, request, rng, root, system, team, text,
    world::{Told, World},
};

/// What happens in a service: an event of each kind that there is, and by each actor.
fn events() -> Vec<Event> {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Admin);
    world.set_member("bob", "labs", TeamRole::Admin);
    let ada = Actor::User(text("ada"));
    let spec = |name: &str, grant| NewKeySpec::new(grant, text(name), Validity::until(at(9_000)));
    let laptop = block_on(world.keys.create(&ada, spec("laptop", personal("ada")))).unwrap();
    let labels = Labels::new([(text("env"), text("ci"))]).unwrap();
    let of_core = spec("batch", team("core", full("all"))).with_labels(labels);
    let batch = block_on(world.keys.create(&system(), of_core)).unwrap();
    let of_actions = team("core", custom("call a:b", "all", "all"));
    let (id, endless) = (batch.record.id(), NewKeySpec::new(of_actions, text("endless"), Validity::NEVER_EXPIRES));
    // By a key of a user, which is an actor with a user.
    let key = block_on(world.gate.authenticate(laptop.token.expose_secret())).unwrap();
    let actor = Actor::from(&key);
    let labels = Labels::new([(text("team"), text("R&D")), (text("empty"), text(""))]).unwrap();
    block_on(world.keys.rename(&actor, id, text("nightly"))).unwrap();
    block_on(world.keys.set_labels(&ada, id, labels)).unwrap();
    block_on(world.keys.set_labels(&ada, id, Labels::NONE)).unwrap();
    block_on(world.keys.disable(&ada, id)).unwrap();
    block_on(world.keys.enable(&ada, id)).unwrap();
    let overlap = Duration::from_secs(60);
    let rotated = block_on(world.keys.rotate(&ada, id, Rotation::Start { overlap })).unwrap();
    block_on(world.keys.end_overlap(&ada, id)).unwrap();
    let _ = block_on(world.keys.rotate(&ada, id, Rotation::CutOver)).unwrap();
    let _ = block_on(world.keys.create(&ada, endless)).unwrap();

    // Refusals: of an operation, of a request, of a key before any request, and of strangers.
    block_on(world.keys.enable(&ada, id)).unwrap_err();
    block_on(world.keys.rename(&Actor::User(text("bob")), id, text("x"))).unwrap_err();
    block_on(world.keys.disable(&system(), text("wk59pfKL0jFi2YYv"))).unwrap_err();
    let [elsewhere, model, resource] = [
        request("labs", call("m1", Some("prod"))),
        request("core", call("m2", None)),
        request("core", own("projects:read", Some("prod"), Some("r1"))),
    ];
    let token = laptop.token.expose_secret();
    assert!(block_on(world.gate.check(token, &elsewhere)).is_ok());
    assert!(block_on(world.gate.check(rotated.token.expose_secret(), &model)).is_ok());
    block_on(world.gate.authenticate("no token")).unwrap_err();
    let guess = Token::generate_secret(common::KG, laptop.token.kind(), laptop.record.id(), &rng(9)).unwrap();
    block_on(world.gate.authenticate(guess.expose_secret())).unwrap_err();
    world.directory.deprovision(&text("ada"));
    assert!(block_on(world.gate.check(token, &resource)).is_ok());

    // Uses, a legacy key and its upgrade.
    let mut uses = UsageCounter::new();
    uses.record(key.matched(), at(100));
    uses.record(key.matched(), at(130));
    static FORMATS: [LegacyFormat; 1] = [LegacyFormat::prefix_secret(LegacyHash::Sha512)];
    let old = "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK";
    let hash = StoredHash::from_bytes(&Sha512::digest(old)).unwrap();
    let legacy = FORMATS[0].stored(Some("Xj6zVG9w"), hash).unwrap();
    let import = Import::new(legacy, team("core", full("all")), text("old"), Validity::NEVER_EXPIRES, at(-5));
    block_on(world.keys.import(&root(), import)).unwrap();
    let gate = world.gate.clone().with_legacy(&FORMATS);
    let key = block_on(gate.authenticate(old)).unwrap();
    block_on(world.keys.upgrade(key.matched())).unwrap();
    block_on(world.keys.revoke(&system(), id, RevocationCause::Replaced)).unwrap();
    block_on(world.keys.deprovision(&root(), &text("ada"))).unwrap();

    let told = world.told.take().into_iter().filter_map(|told| match told {
        Told::Event(event) | Told::Stranger(event) => Some(event),
        Told::Allowed(_) | Told::Failed(_) | Told::Touch(_) => None,
    });
    world.store.events().into_iter().chain(told).chain(uses.drain()).collect()
}

fn cbor(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

#[test]
fn every_event_is_read_as_it_was_written_in_every_format() {
    let events = events();
    for event in &events {
        let json = serde_json::to_string(event).unwrap();
        assert!(json.starts_with(r#"{"version":1,"#), "{json}");
        assert!(!json.contains("null"), "{json}");
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), *event, "{json}");
        assert_eq!(serde_json::from_value::<Event>(serde_json::to_value(event).unwrap()).unwrap(), *event);
        let toml = toml::to_string(event).unwrap();
        assert!(toml.starts_with("version = 1\n"), "{toml}");
        assert_eq!(toml::from_str::<Event>(&toml).unwrap(), *event, "{toml}");
        assert_eq!(ciborium::from_reader::<Event, _>(&*cbor(event)).unwrap(), *event);
        // What was read is written in the same words.
        let again: Event = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), json);
    }
    // Each kind, but the one that stands for what is not known, and each actor.
    let kinds: BTreeSet<_> = events.iter().map(|event| event.kind.as_str()).collect();
    let expected = EventKind::NAMES.iter().copied().filter(|name| *name != "unknown");
    assert_eq!(kinds, expected.collect(), "an event of each kind");
    let actors: BTreeSet<_> =
        events.iter().map(|event| serde_json::to_value(event).unwrap()["actor"].to_string()).collect();
    assert_eq!(actors.len(), 4, "{actors:?}");
    let ids: Vec<_> = events.iter().filter_map(|event| event.id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "no id is there twice");
}

/// The fields of an event, as they are written.
#[test]
fn fields_are_as_documented() {
    let written = |kind: &str| -> Vec<Value> {
        let of_kind = |event: &Event| event.kind.as_str() == kind;
        events().iter().filter(|event| of_kind(event)).map(|event| serde_json::to_value(event).unwrap()).collect()
    };
    let without_ids = |mut value: Value| {
        let fields = value.as_object_mut().unwrap();
        for id in ["id", "key", "actor_key"] {
            if let Some(text) = fields.get_mut(id) {
                *text = json!("…");
            }
        }
        value
    };
    let created: Vec<_> = written("created").into_iter().map(without_ids).collect();
    assert_eq!(
        created[0],
        json!({
            "version": 1, "id": "…", "at": 100, "actor": "user", "actor_user": "ada", "key": "…",
            "owner": "personal:ada", "event": "created", "name": "laptop", "expires_at": 9_000, "labels": {},
        })
    );
    assert_eq!(
        created[1],
        json!({
            "version": 1, "id": "…", "at": 100, "actor": "system", "actor_reason": "a test", "key": "…",
            "owner": "team:core", "event": "created", "name": "batch", "level": "full", "expires_at": 9_000,
            "labels": {"env": "ci"},
        })
    );
    // What never ends has no field for it.
    assert_eq!((created[2].get("expires_at"), &created[2]["level"]), (None, &json!("custom")));
    let renamed = without_ids(written("renamed").remove(0));
    assert_eq!(
        renamed,
        json!({
            "version": 1, "id": "…", "at": 100, "actor": "key", "actor_key": "…", "actor_slot": "current",
            "actor_user": "ada", "key": "…", "owner": "team:core", "event": "renamed", "name": "nightly",
            "previous_name": "batch",
        })
    );
    let labels = written("labels_set");
    assert_eq!((&labels[0]["labels"], &labels[1]["labels"]), (&json!({"empty": "", "team": "R&D"}), &json!({})));
    let revoked: Vec<_> = written("revoked").into_iter().map(|event| event["cause"].clone()).collect();
    assert_eq!(revoked, ["replaced", "owner_deprovisioned"]);
    let rotated: Vec<_> = written("rotated").into_iter().map(|event| event.get("previous_ends_at").cloned()).collect();
    assert_eq!(rotated, [Some(json!(160)), None]);
    let used = &written("used")[0];
    assert_eq!((&used["count"], &used["first_at"], &used["last_at"]), (&json!(2), &json!(100), &json!(130)));
    let mut many = used.clone();
    many["count"] = json!(u64::MAX);
    assert_eq!(serde_json::to_value(serde_json::from_value::<Event>(many.clone()).unwrap()).unwrap(), many);

    // A refusal has what was asked, and no id: it belongs to no change.
    let refused = written("refused");
    assert!(refused.iter().all(|event| event.get("id").is_none()));
    let of_operation = refused.iter().find(|event| event["operation"] == "rename").unwrap();
    assert_eq!((&of_operation["reason"], &of_operation["actor_user"]), (&json!("other_team"), &json!("bob")));
    let of_request = refused.iter().find(|event| event["team"] == "labs").unwrap().clone();
    assert_eq!(
        without_ids(of_request),
        json!({
            "version": 1, "at": 100, "actor": "key", "actor_key": "…", "actor_slot": "current", "actor_user": "ada",
            "key": "…", "owner": "personal:ada", "event": "refused", "team": "labs", "action": "call", "model": "m1",
            "environment": "prod", "reason": "other_team",
        })
    );
    let of_own = refused.iter().find(|event| event["action"] == "projects:read").unwrap();
    assert_eq!((&of_own["resource"], &of_own["reason"]), (&json!("r1"), &json!("owner_deprovisioned")));
    let absent = refused.iter().find(|event| event["reason"] == "absent").unwrap();
    assert_eq!((&absent["key"], absent.get("owner")), (&json!("wk59pfKL0jFi2YYv"), None));
    let stranger = refused.iter().find(|event| event["reason"] == "foreign_issuer").unwrap();
    assert_eq!(
        *stranger,
        json!({"version":1,"at":100,"actor":"unverified","event":"refused","reason":"foreign_issuer"})
    );
}

/// One call that ends many keys has one draft: its parts are numbered, and no two events have one id.
#[test]
fn the_keys_that_one_call_ends_are_parts_of_one_draft() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        let _ = world.create(name, team("core", full("all")), Validity::NEVER_EXPIRES);
    }
    let owner = team("core", full("all")).owner();
    assert_eq!(block_on(world.keys.revoke_all(&root(), owner, RevocationCause::Unused)).unwrap().len(), 3);
    let events = world.store.events();
    let ids: Vec<_> =
        events.iter().filter(|event| event.kind.as_str() == "revoked").map(|event| event.id.unwrap()).collect();
    let draft = ids[0].to_string();
    assert_eq!(
        ids.iter().map(EventId::to_string).collect::<Vec<_>>(),
        [draft.clone(), format!("{draft}-1"), format!("{draft}-2")]
    );
}

fn read(value: &Value) -> Result<Event, String> {
    let in_json = serde_json::from_str::<Event>(&value.to_string()).map_err(|error| error.to_string());
    let in_cbor = ciborium::from_reader::<Event, _>(&*cbor(value)).map_err(|error| error.to_string());
    let mut all = vec![in_json, in_cbor];
    if let Ok(toml) = toml::to_string(value) {
        all.push(toml::from_str(&toml).map_err(|error| error.message().to_owned()));
    }
    for error in all.iter().filter_map(|result| result.as_ref().err()) {
        assert!(!error.to_lowercase().contains("canary"), "{error}");
    }
    assert!(all.iter().all(|result| result.is_ok() == all[0].is_ok()), "{value}: {all:?}");
    let first = all.swap_remove(0)?;
    assert!(all.into_iter().flatten().all(|event| event == first), "{value} is the same in every format");
    Ok(first)
}

/// What a reader does not know it keeps, and writes again in every format.
#[track_caller]
fn assert_kept(value: &Value) -> Event {
    let event = read(value).unwrap_or_else(|error| panic!("{value}: {error}"));
    assert_eq!(serde_json::to_value(&event).unwrap(), *value);
    assert_eq!(ciborium::from_reader::<Value, _>(&*cbor(&event)).unwrap(), *value);
    if toml::to_string(value).is_ok() {
        let toml: Value = toml::from_str(&toml::to_string(&event).unwrap()).unwrap();
        assert_eq!(toml, *value);
    }
    event
}

const KEY: &str = "wk59pfKL0jFi2YYv";
const ID: &str = "00112233445566778899aabbccddeeff";

fn disabled(version: i64) -> Value {
    json!({
        "version": version, "id": ID, "at": 5, "actor": "user", "actor_user": "ada", "key": KEY, "owner": "team:core",
        "event": "disabled",
    })
}

fn with(mut event: Value, fields: &[(&str, Value)]) -> Value {
    for (name, value) in fields {
        event[*name] = value.clone();
    }
    event
}

#[test]
fn fields_that_nobody_knows_are_kept_in_every_version() {
    let values = [
        json!("text"),
        json!(""),
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(1.5),
        json!(true),
        json!([1, "a", [true]]),
        json!({"a": {"b": [1.5, {}]}}),
        // Of these two, TOML has none.
        json!(u64::MAX),
        json!(null),
    ];
    for version in [1, 2, 9] {
        for value in &values {
            let event =
                assert_kept(&with(disabled(version), &[("since_version_9", value.clone()), ("other", json!(1))]));
            assert_eq!((event.kind.as_str(), event.at, event.key), ("disabled", at(5), Some(text(KEY))));
        }
        // Fields of other kinds are fields that this kind does not know.
        assert_kept(&with(disabled(version), &[("previous_name", json!("x")), ("count", json!("many"))]));
    }
}

#[test]
fn what_a_later_version_says_is_kept_and_is_an_error_in_this_one() {
    type Check = fn(&Event) -> bool;
    let by_unknown: Check = |event| event.by == Principal::Unknown && event.kind == EventKind::Disabled;
    let kind_unknown: Check = |event| {
        event.kind == EventKind::Unknown && event.kind.as_str() == "unknown" && event.by.user() == Some(&text("ada"))
    };
    let created = |level: &str| [("event", json!("created")), ("name", json!("x")), ("level", json!(level))];
    let table: [(Value, Check); 12] = [
        // An actor, and what names it.
        (with(disabled(2), &[("actor", json!("canary"))]), by_unknown),
        (with(disabled(2), &[("actor", json!("canary")), ("actor_canary", json!("x"))]), by_unknown),
        (
            with(disabled(2), &[("actor", json!("key")), ("actor_key", json!(KEY)), ("actor_slot", json!("canary"))]),
            by_unknown,
        ),
        // A kind, with fields of its own.
        (with(disabled(2), &[("event", json!("canary"))]), kind_unknown),
        (with(disabled(2), &[("event", json!("canary")), ("name", json!("Not a name!"))]), kind_unknown),
        // A reason, an operation, a cause, a level that is not known yet.
        (with(disabled(2), &[("event", json!("refused")), ("reason", json!("canary"))]), kind_unknown),
        (
            with(
                disabled(2),
                &[("event", json!("refused")), ("reason", json!("revoked")), ("operation", json!("canary"))],
            ),
            kind_unknown,
        ),
        (with(disabled(2), &[("event", json!("revoked")), ("cause", json!("canary"))]), kind_unknown),
        (with(disabled(2), &created("canary")), kind_unknown),
        // A field of another form.
        (
            with(
                disabled(2),
                &[
                    ("event", json!("used")),
                    ("count", json!({"canary": 1})),
                    ("first_at", json!(1)),
                    ("last_at", json!(1)),
                ],
            ),
            kind_unknown,
        ),
        (with(disabled(2), &[("event", json!("labels_set")), ("labels", json!({"Canary": "x"}))]), kind_unknown),
        (with(disabled(2), &[("event", json!("created"))]), kind_unknown),
    ];
    for (value, check) in table {
        let event = assert_kept(&value);
        assert!(check(&event), "{event:?}");
        // A copy is the same, and so is one that was read twice.
        assert_eq!(assert_kept(&serde_json::to_value(event.clone()).unwrap()), event);
        let in_version_1 = with(value, &[("version", json!(1))]);
        assert!(read(&in_version_1).is_err(), "{in_version_1}");
    }
    // Both at once.
    let both = with(disabled(3), &[("actor", json!("canary")), ("event", json!("canary"))]);
    let event = assert_kept(&both);
    assert_eq!((event.by, event.kind), (Principal::Unknown, EventKind::Unknown));
    // An id, a key or an owner of another kind.
    for (field, other) in [
        ("id", json!("canary")),
        ("id", json!(5)),
        ("key", json!("canary")),
        ("owner", json!("canary")),
        ("owner", json!({"canary": 1})),
    ] {
        assert!(read(&with(disabled(1), &[(field, other.clone())])).is_err(), "{field} is {other}");
        let event = assert_kept(&with(disabled(2), &[(field, other)]));
        let is_none = [("id", event.id.is_none()), ("key", event.key.is_none()), ("owner", event.owner.is_none())];
        assert!(is_none.iter().all(|(name, is_none)| *is_none == (*name == field)), "{field}: {event:?}");
    }
    // The time is right in every version.
    for version in [1, 2] {
        for wrong in [json!("5"), json!(5.0), json!(null)] {
            assert!(read(&with(disabled(version), &[("at", wrong.clone())])).is_err(), "the time is {wrong}");
        }
        let mut without = disabled(version);
        without.as_object_mut().unwrap().remove("at");
        assert!(read(&without).is_err());
    }
}

#[test]
fn an_event_of_version_1_has_what_its_kind_says() {
    assert!(read(&disabled(1)).is_ok());
    let base = |fields: &[(&str, Value)]| with(disabled(1), fields);
    let cases = [
        ("actor", json!("system"), true, vec!["actor_reason"]),
        ("actor", json!("unverified"), false, vec![]),
        ("event", json!("created"), true, vec!["name", "labels"]),
        ("event", json!("imported"), true, vec!["name", "created_at", "labels"]),
        ("event", json!("labels_set"), true, vec!["labels"]),
        ("event", json!("refused"), true, vec!["reason"]),
        ("event", json!("renamed"), true, vec!["name", "previous_name"]),
        ("event", json!("revoked"), true, vec!["cause"]),
        ("event", json!("rotated"), false, vec![]),
        ("event", json!("used"), true, vec!["count", "first_at", "last_at"]),
        ("event", json!("enabled"), false, vec![]),
        ("event", json!("overlap_ended"), false, vec![]),
        ("event", json!("upgraded"), false, vec![]),
    ];
    let good = json!({
        "actor_reason": "why", "name": "x", "created_at": 1, "labels": {"a": ""}, "reason": "revoked",
        "previous_name": "y", "cause": "leaked", "count": 1, "first_at": 1, "last_at": 2,
    });
    for (field, name, needs_more, needed) in cases {
        assert_eq!(read(&base(&[(field, name.clone())])).is_err(), needs_more, "{name}");
        let fields: Vec<_> = needed.iter().map(|needed| (*needed, good[*needed].clone())).collect();
        let whole = base(&[&[(field, name.clone())], fields.as_slice()].concat());
        assert_kept(&whole);
        for missing in &needed {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(*missing);
            assert!(read(&less).is_err(), "{name} without {missing}");
            for wrong in [json!(null), json!([]), json!(true), json!("\u{e9}\n"), json!(1.5)] {
                assert!(read(&with(whole.clone(), &[(missing, wrong.clone())])).is_err(), "{missing} is {wrong}");
            }
        }
    }
    assert!(read(&with(disabled(1), &[("actor", json!("canary"))])).is_err());
    assert!(read(&with(disabled(1), &[("event", json!("canary"))])).is_err());
    for version in [json!(0), json!(-1), json!("1"), json!(1.0), json!(null)] {
        assert!(read(&with(disabled(1), &[("version", version.clone())])).is_err(), "{version}");
    }
    let mut without = disabled(1);
    without.as_object_mut().unwrap().remove("version");
    assert!(read(&without).is_err());
    // An attempt is an operation or a whole request.
    let refused = |fields: &[(&str, Value)]| {
        read(&with(disabled(1), &[&[("event", json!("refused")), ("reason", json!("revoked"))], fields].concat()))
    };
    let attempt = |event: Event| match event.kind {
        EventKind::Refused { attempt, .. } => attempt,
        kind => panic!("{kind:?}"),
    };
    assert_eq!(attempt(refused(&[]).unwrap()), None);
    let operation = attempt(refused(&[("operation", json!("rotate"))]).unwrap());
    assert_eq!(operation, Some(Attempt::Operation(OperationKind::Rotate)));
    let asked = request("core", own("a:b", Some("prod"), Some("r1")));
    let fields = [("team", "core"), ("action", "a:b"), ("environment", "prod"), ("resource", "r1")]
        .map(|(name, text)| (name, json!(text)));
    assert_eq!(attempt(refused(&fields).unwrap()), Some(Attempt::request(&asked)));
    assert!(refused(&[("action", json!("call"))]).is_err(), "a request has a team");
    assert!(refused(&[("operation", json!("fly"))]).is_err());
    assert!(refused(&[("action", json!("call")), ("team", json!("a b"))]).is_err());
}

/// A field that is there twice may mean either, so the event is refused, in every version.
#[test]
fn a_field_that_is_there_twice_is_refused() {
    for version in [1, 2] {
        let event = disabled(version);
        for (name, value) in event.as_object().unwrap() {
            let twice = event.to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1);
            let error = serde_json::from_str::<Event>(&twice).unwrap_err();
            assert!(error.to_string().starts_with("a field is there twice"), "{error}");
            let fields = event.as_object().unwrap().iter().chain([(name, value)]);
            let fields =
                fields.map(|(name, value)| (name.as_str().into(), ciborium::Value::serialized(value).unwrap()));
            let cbor = cbor(&ciborium::Value::Map(fields.collect()));
            assert!(ciborium::from_reader::<Event, _>(&*cbor).is_err(), "{name}");
        }
        let unknown = event.to_string().replacen('{', r#"{"canary":1,"canary":1,"#, 1);
        let error = serde_json::from_str::<Event>(&unknown).unwrap_err();
        assert!(error.to_string().starts_with("a field is there twice"), "{error}");
    }
    // Nor is anything but named fields an event.
    for other in
        [json!(null), json!(1), json!("canary"), json!([1, 2]), json!([["version", 1]]), json!({}), json!(true)]
    {
        assert!(read(&other).is_err(), "{other}");
    }
}

/// A label, or any other name within an event, that is there twice may mean either.
#[test]
fn a_name_within_an_event_is_not_there_twice() {
    let labelled = |labels: &str, other: &str| {
        let event = with(disabled(2), &[("event", json!("labels_set"))]).to_string();
        let fields = format!("{{\"labels\":{labels},\"other\":{other},");
        serde_json::from_str::<Event>(&event.replacen('{', &fields, 1)).map_err(|error| error.to_string())
    };
    assert!(labelled(r#"{"a":"1","b":"1"}"#, r#"{"a":{"b":1,"c":1}}"#).is_ok());
    for (labels, other) in
        [(r#"{"a":"1","a":"2"}"#, "1"), ("{}", r#"{"a":1,"a":1}"#), ("{}", r#"[{"a":{"b":1,"b":1}}]"#)]
    {
        let error = labelled(labels, other).unwrap_err();
        assert!(error.starts_with("a field is there twice"), "{error}");
    }
}

/// What another format would write in another way cannot be kept as it is, so the event is refused and not altered.
#[test]
fn a_value_that_cannot_be_kept_is_refused() {
    use ciborium::Value::{Bytes, Integer, Map, Tag, Text};

    let read = |name: ciborium::Value, value: ciborium::Value| {
        let event = ciborium::Value::serialized(&disabled(2)).unwrap();
        let mut fields = event.into_map().unwrap();
        fields.push((name, value));
        ciborium::from_reader::<Event, _>(&*cbor(&Map(fields))).map_err(|error| error.to_string())
    };
    let other = || Text("other".to_owned());
    assert!(read(other(), Integer(u64::MAX.into())).is_ok());
    let wide = |number: i128| Integer(number.try_into().unwrap());
    for (name, value) in [
        (other(), Bytes(b"canary".to_vec())),
        (other(), wide(-0x1_0000_0000_0000_0000)),
        (other(), Tag(0, Text("2026-01-01T00:00:00Z".to_owned()).into())),
        (other(), Tag(2, Bytes(vec![0x7f; 12]).into())),
        (other(), Map(vec![(Integer(71_717_171.into()), Integer(1.into()))])),
        (Integer(71_717_171.into()), Integer(1.into())),
        (Bytes(b"canary".to_vec()), Integer(1.into())),
        (Text("$canary".to_owned()), Integer(1.into())),
    ] {
        let error = read(name.clone(), value.clone()).unwrap_err();
        for quoted in ["canary", "71717171", "2026", "18446744073709551616"] {
            assert!(!error.contains(quoted), "{name:?} {value:?}: {error}");
        }
    }
    for number in ["18446744073709551616", "-9223372036854775809", "9e18", "1e300"] {
        let event = disabled(2).to_string().replacen('{', &format!("{{\"other\":{number},"), 1);
        let error = serde_json::from_str::<Event>(&event).unwrap_err().to_string();
        assert!(error.starts_with("a number is too large"), "{error}");
    }
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 9.3e18] {
        assert!(read(other(), ciborium::Value::Float(number)).is_err(), "{number}");
    }
    for number in [1.5, -8.9e18, 8.9e18] {
        assert!(read(other(), ciborium::Value::Float(number)).is_ok(), "{number}");
    }
    let toml = |value: &str| {
        let event = toml::to_string(&disabled(2)).unwrap();
        toml::from_str::<Event>(&format!("other = {value}\n{event}")).map_err(|error| error.message().to_owned())
    };
    assert!(toml("1").is_ok());
    for date in ["2026-01-01", "2026-01-01T00:00:00Z", "[00:00:00]", "{ a = 2026-01-01 }"] {
        let error = toml(date).unwrap_err();
        assert!(!error.contains("2026"), "{error}");
    }
}

/// Who reads an event and changes it means the change: no part is written twice, and all of it can be read.
#[test]
fn an_event_that_was_changed_is_written_once() {
    let mut event = assert_kept(&with(disabled(2), &[("event", json!("canary")), ("actor", json!("canary"))]));
    event.kind = EventKind::Enabled;
    event.by = Actor::User(text("bob")).principal();
    event.key = None;
    let written = serde_json::to_string(&event).unwrap();
    assert!(!written.contains("canary"), "{written}");
    let again: Event = serde_json::from_str(&written).unwrap();
    assert_eq!((&again.kind, &again.by, again.key), (&event.kind, &event.by, None));
    // Nor does a part of what was there before come to the one that takes its place.
    let of_ada = [
        ("actor", json!("canary")),
        ("actor_user", json!("ada")),
        ("event", json!("canary")),
        ("level", json!("full")),
    ];
    let mut event = assert_kept(&with(disabled(2), &of_ada));
    let created =
        events().into_iter().find(|event| matches!(event.kind, EventKind::Created { level: None, .. })).unwrap();
    (event.by, event.kind) = (Principal::unverified(Some(text(KEY))), created.kind);
    let again: Event = serde_json::from_value(serde_json::to_value(&event).unwrap()).unwrap();
    assert_eq!((&again.by, &again.kind), (&event.by, &event.kind));

    // What has no name is written as such.
    let refused = Event::refused(at(1), Principal::Unknown, None, None, RefusalReason::CLOSED);
    let mut nameless = refused.clone();
    nameless.kind = EventKind::Unknown;
    for event in [refused, nameless] {
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!((&value["version"], &value["actor"]), (&json!(1), &json!("unknown")));
        assert_eq!(assert_kept(&value), event);
    }
}

/// Whatever an unknown actor and an unknown kind had for fields, none of them becomes a part of those that take their
/// place.
#[test]
fn no_field_of_what_was_unknown_becomes_a_part_of_what_is_known() {
    let events = events();
    let written: Vec<_> = events.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    // Each field that is ever written, with a value of one that has it.
    let mut unknown = disabled(2);
    for (name, value) in written.iter().flat_map(|event| event.as_object().unwrap()) {
        if unknown.get(name).is_none() {
            unknown[name] = value.clone();
        }
    }
    let unknown = with(unknown, &[("actor", json!("canary")), ("event", json!("canary"))]);
    for event in events {
        let mut changed = read(&unknown).unwrap();
        (changed.by, changed.kind) = (event.by.clone(), event.kind.clone());
        let again: Event = serde_json::from_value(serde_json::to_value(&changed).unwrap()).unwrap();
        assert_eq!((&again.by, &again.kind), (&event.by, &event.kind));
    }
}

/// Each reason that is written can be read again, by its name.
#[test]
fn every_reason_is_read_as_it_was_written() {
    for reason in RefusalReason::ALL {
        let by = Actor::User(text("ada")).principal();
        let event = Event::refused(at(1), by, None, None, *reason);
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(value["reason"], reason.as_str());
        assert_eq!(assert_kept(&value), event);
    }
    assert!(Reason::ALL.iter().all(|reason| RefusalReason::from(*reason).as_str() == reason.as_str()));
}
