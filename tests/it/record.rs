//! A record as a store writes it: one spelling in every self-describing format, and no refusal that quotes the input.

use core::fmt;

use keygate::{
    Grant, Incarnation, KeyName, KeyRecord, Labels, NonEmptySet, PermissionLevel, RevocationCause, Status, UnixTime,
    Validity,
    store::{PreviousSecret, RecordParts},
};
use serde_json::{Value, json};

use crate::common::{self, at, changed, custom, full, issue, personal, team, text};

/// A personal grant has a user, a team grant a team and a permission, and neither anything else.
#[test]
fn serialized_grants() {
    let metrics = json!({"level": "metrics_only", "models": ["m1"]});
    let personal = Grant::personal(text("ada"));
    let team = team("core", common::metrics("m1"));
    for (grant, expected) in [
        (personal, json!({"kind": "personal", "user": "ada"})),
        (team, json!({"kind": "team", "team": "core", "permission": metrics})),
    ] {
        assert_eq!(serde_json::to_value(&grant).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Grant>(expected).unwrap(), grant);
    }
    for refused in [
        json!({"kind": "personal"}),
        json!({"kind": "personal", "team": "core"}),
        json!({"kind": "personal", "user": "ada", "team": "core"}),
        json!({"kind": "personal", "user": "ada", "permission": metrics}),
        json!({"kind": "team", "team": "core"}),
        json!({"kind": "team", "permission": metrics}),
        json!({"kind": "team", "user": "ada", "permission": metrics}),
        json!({"kind": "team", "user": "ada", "team": "core", "permission": metrics}),
    ] {
        assert!(serde_json::from_value::<Grant>(refused.clone()).is_err(), "{refused}");
    }
}

/// A record as a store writes it; the table below changes one piece of it at a time.
const RECORD: &str = r#"{"version":1,"issuer":"kg","id":"wk59pfKL0jFi2YYv","name":"nightly","labels":{"team":"R&D"},
    "grant":{"kind":"team","team":"core","permission":{"level":"inference_only","environments":["prod"],"models":"all"}},
    "incarnation":"none","created_at":100,"created_by":"user:ada","not_before":"none","expires_at":200,
    "last_used_at":"none","status":"revoked:150:leaked",
    "current":"v1$b018ade7a2fa939801e20bec39cc70ba95764602c5f1d787713d7504",
    "previous":{"digest":"v1$0673ba89234c55e09d35cc5bb388348a27197da0dec61362fd8c824d","ends_at":200,"last_used_at":"none"}}"#;

#[test]
fn serialized_record() {
    let read = |json: &str| serde_json::from_str::<KeyRecord>(json);
    let original = read(RECORD).unwrap();
    let with = |old: &str, new: &str| {
        assert!(RECORD.contains(old), "{old} is not in the record");
        read(&RECORD.replacen(old, new, 1))
    };

    let accept = [
        (r#""revoked:150:leaked""#, r#""active""#),
        (r#""revoked:150:leaked""#, r#""disabled""#),
        (r#""user:ada""#, r#""system""#),
        (r#""prod""#, r#""prod","test""#),
        (r#"["prod"]"#, r#""all""#),
        (r#""models":"all""#, r#""models":["m1"]"#),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"full","environments":"all""#,
        ),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"metrics_only","models":"all""#,
        ),
        (r#""kind":"team","team":"core","permission":"#, r#""team":"core","kind":"team","permission":"#),
        (r#""ends_at":200"#, r#""ends_at":-5"#),
        (r#""expires_at":200"#, r#""expires_at":"none""#),
        (r#""last_used_at":"none","status""#, r#""last_used_at":150,"status""#),
        (r#""ends_at":200,"last_used_at":"none""#, r#""ends_at":200,"last_used_at":150"#),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"custom","actions":["call","projects:read"],"environments":["prod"],"resources":"all""#,
        ),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"custom","actions":["deploy"],"environments":"all","resources":["r1"]"#,
        ),
        // An ordinary name.
        (r#""prod""#, r#""development""#),
        (r#""labels":{"team":"R&D"}"#, r#""labels":{}"#),
        (r#""labels":{"team":"R&D"}"#, r#""labels":{"a":"","team":"R&D"}"#),
        (r#""issuer":"kg""#, r#""issuer":"acme""#),
    ];
    for (old, new) in accept {
        let record = with(old, new).unwrap_or_else(|error| panic!("{new}: {error}"));
        // What is read is written in the same words.
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(&RECORD.replacen(old, new, 1)).unwrap(), "{new}");
    }
    // A set has no order and no repeats.
    assert_eq!(with(r#"["prod"]"#, r#"["prod","prod"]"#).unwrap(), original);

    let reject = [
        // An empty list is not everything, and nothing but `all` is.
        (r#"["prod"]"#, "[]"),
        (r#"["prod"]"#, "null"),
        (r#"["prod"]"#, r#""*""#),
        (r#"["prod"]"#, r#""All""#),
        (r#"["prod"]"#, r#""prod""#),
        (r#"["prod"]"#, "{}"),
        (r#"["prod"]"#, r#"["Prod"]"#),
        (r#"["prod"]"#, "[null]"),
        (r#""models":"all""#, r#""models":[]"#),
        (r#","models":"all""#, ""),
        (r#""environments":["prod"],"#, ""),
        (r#""incarnation":"none""#, r#""incarnation":null"#),
        // Own actions: a list, and only of a custom key.
        (r#""level":"inference_only""#, r#""level":"inference_only","actions":["call"]"#),
        (r#""level":"inference_only""#, r#""level":"inference_only","actions":null"#),
        (r#""level":"inference_only""#, r#""level":"inference_only","resources":"all""#),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"custom","environments":["prod"],"resources":"all""#,
        ),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"custom","actions":[],"environments":["prod"],"resources":"all""#,
        ),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"custom","actions":"all","environments":["prod"],"resources":"all""#,
        ),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"custom","actions":["call","*"],"environments":["prod"],"resources":"all""#,
        ),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"custom","actions":["call"],"environments":["prod"]"#,
        ),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"custom","actions":["call"],"environments":["prod"],"models":"all","resources":"all""#,
        ),
        // Issuers, labels, and an incarnation without a user.
        (r#""issuer":"kg""#, r#""issuer":"sk""#),
        (r#""issuer":"kg","#, ""),
        (r#""labels":{"team":"R&D"}"#, r#""labels":null"#),
        (r#""labels":{"team":"R&D"}"#, r#""labels":"none""#),
        (r#""labels":{"team":"R&D"}"#, r#""labels":{"team":null}"#),
        (r#""labels":{"team":"R&D"}"#, r#""labels":{"team":"R&D","team":"R&D"}"#),
        (r#""labels":{"team":"R&D"},"#, ""),
        (r#""incarnation":"none""#, r#""incarnation":7"#),
        (r#""incarnation":"none","#, ""),
        // Levels with restrictions that they do not take, and levels that do not exist.
        (r#""level":"inference_only""#, r#""level":"full""#),
        (r#""level":"inference_only""#, r#""level":"metrics_only""#),
        (r#""level":"inference_only""#, r#""level":"Full""#),
        (r#""level":"inference_only""#, r#""level":"admin""#),
        (r#""level":"inference_only","#, ""),
        // The number of a variant is not its name.
        (r#""level":"inference_only","environments":["prod"],"models":"all""#, r#""level":0,"environments":"all""#),
        (r#""level":"inference_only""#, r#""level":1"#),
        (r#""kind":"team""#, r#""kind":1"#),
        (r#""environments":["prod"]"#, r#""environments":["prod"],"user":null"#),
        // Kinds, owners and creators.
        (r#""kind":"team""#, r#""kind":"personal""#),
        (r#""kind":"team""#, r#""kind":"system""#),
        (r#""kind":"team","#, ""),
        (r#""team":"core","#, ""),
        (r#""team":"core""#, r#""user":"core""#),
        (r#""user:ada""#, r#""system:ada""#),
        (r#""user:ada""#, r#""user""#),
        (r#""user:ada""#, r#""user:""#),
        (r#""user:ada""#, r#""key:wk59pfKL0jFi2YYv""#),
        // Statuses.
        (r#""revoked:150:leaked""#, r#""revoked""#),
        (r#""revoked:150:leaked""#, r#""revoked:""#),
        (r#""revoked:150:leaked""#, r#""revoked:150""#),
        (r#""revoked:150:leaked""#, r#""revoked:150:""#),
        (r#""revoked:150:leaked""#, r#""revoked:150:stolen""#),
        (r#""revoked:150:leaked""#, r#""revoked:+150:leaked""#),
        (r#""revoked:150:leaked""#, r#""revoked:0150:leaked""#),
        (r#""revoked:150:leaked""#, r#""revoked:-0:leaked""#),
        (r#""revoked:150:leaked""#, r#""revoked:150:leaked ""#),
        (r#""revoked:150:leaked""#, r#"{"revoked":{"at":150}}"#),
        (r#""revoked:150:leaked""#, r#"{"active":null}"#),
        (r#""revoked:150:leaked""#, r#""Active""#),
        (r#""revoked:150:leaked""#, r#""enabled""#),
        (r#""revoked:150:leaked""#, "null"),
        // Versions.
        (r#""version":1"#, r#""version":0"#),
        (r#""version":1"#, r#""version":-1"#),
        (r#""version":1"#, r#""version":"1""#),
        (r#""version":1"#, r#""version":1.0"#),
        (r#""version":1"#, r#""version":null"#),
        (r#""version":1"#, r#""version":18446744073709551615"#),
        (r#""version":1,"#, ""),
        (r#""version":1"#, r#""version":1,"version":1"#),
        // Fields that nobody knows, at each level.
        (r#""id""#, r#""admin":true,"id""#),
        (r#""kind":"team""#, r#""kind":"team","admin":true"#),
        (r#""level":"inference_only""#, r#""level":"inference_only","admin":true"#),
        (r#""ends_at":200"#, r#""ends_at":200,"admin":true"#),
        // The same field twice, at each level.
        (r#""id""#, r#""name":"other","id""#),
        (r#""team":"core""#, r#""team":"core","team":"core""#),
        (r#""kind":"team""#, r#""kind":"team","kind":"team""#),
        (r#""level":"inference_only""#, r#""level":"inference_only","level":"inference_only""#),
        (r#""models":"all""#, r#""models":"all","models":"all""#),
        (r#""ends_at":200"#, r#""ends_at":200,"ends_at":200"#),
        // Times that do not fit together, and what is no time.
        (r#""not_before":"none""#, r#""not_before":200"#),
        (r#""not_before":"none""#, r#""not_before":"100""#),
        (r#""not_before":"none""#, r#""not_before":null"#),
        (r#""not_before":"none""#, r#""not_before":"None""#),
        (r#""not_before":"none""#, r#""not_before":"""#),
        (r#""not_before":"none","#, ""),
        (r#""last_used_at":"none","status""#, r#""status""#),
        (r#""last_used_at":"none","status""#, r#""last_used_at":null,"status""#),
        (r#""ends_at":200,"last_used_at":"none""#, r#""ends_at":200"#),
        (r#""ends_at":200,"last_used_at":"none""#, r#""ends_at":200,"last_used_at":null"#),
        (r#""ends_at":200,"last_used_at":"none""#, r#""last_used_at":"none""#),
        (r#""ends_at":200"#, r#""ends_at":201"#),
        (r#""ends_at":200"#, r#""ends_at":null"#),
        (r#""created_at":100"#, r#""created_at":100.0"#),
        // Nulls and lists where named fields belong.
        (
            r#"{"level":"inference_only","environments":["prod"],"models":"all"}"#,
            r#"["inference_only",["prod"],"all"]"#,
        ),
        (r#"{"level":"inference_only","environments":["prod"],"models":"all"}"#, "null"),
    ];
    for (old, new) in reject {
        assert!(with(old, new).is_err(), "{new} instead of {old} is accepted");
    }
}

/// What is wrong is told by the rule, and what was written instead is not told.
#[test]
fn serialized_record_errors_quote_nothing() {
    for (old, new) in [
        (r#""id""#, r#""canary":true,"id""#),
        (r#""level":"inference_only""#, r#""level":"canary""#),
        (r#""kind":"team""#, r#""kind":"canary""#),
        (r#""kind":"team""#, r#""kind":"team","canary":1"#),
        (r#""expires_at":200"#, r#""expires_at":"canary""#),
        (r#""ends_at":200"#, r#""ends_at":"canary""#),
        (r#""environments":["prod"]"#, r#""environments":["Canary"]"#),
        (r#""environments":["prod"]"#, r#""environments":"canary""#),
        (r#""status":"revoked:150:leaked""#, r#""status":"canary""#),
        (r#""name":"nightly""#, r#""name":"CANARY""#),
        (r#""level":"inference_only""#, r#""level":["canary"]"#),
        (r#""level":"inference_only""#, r#""level":"inference_only","actions":["Canary"]"#),
        (r#""version":1"#, r#""version":"canary""#),
        (r#""version":1"#, r#""version":2,"canary":true,"status":"canary""#),
        (r#""issuer":"kg""#, r#""issuer":"CANARY""#),
        (r#""labels":{"team":"R&D"}"#, r#""labels":{"Canary":"x"}"#),
        (r#""labels":{"team":"R&D"}"#, r#""labels":{"team":"canary\n"}"#),
        (r#""labels":{"team":"R&D"}"#, r#""labels":["canary"]"#),
        (r#""not_before":"none""#, r#""not_before":"canary""#),
        (r#""incarnation":"none""#, r#""incarnation":"canary""#),
        (r#""ends_at":200"#, r#""ends_at":200,"canary":1"#),
        (r#""status":"revoked:150:leaked""#, r#""status":{"canary":"canary"}"#),
        (r#""environments":["prod"]"#, r#""environments":{"canary":1}"#),
        (r#""created_by":"user:ada""#, r#""created_by":"canary:ada""#),
    ] {
        assert!(RECORD.contains(old), "{old} is not in the record");
        let error = serde_json::from_str::<KeyRecord>(&RECORD.replacen(old, new, 1)).unwrap_err();
        assert!(!error.to_string().to_lowercase().contains("canary"), "{error}");
    }
    // The same for values that stand alone, of whatever type.
    for json in
        [r#""Canary!""#, "4242.5", "42424242424242424242", "true", "null", r#"["Canary!"]"#, r#"{"canary":"canary"}"#]
    {
        let errors = [
            serde_json::from_str::<KeyRecord>(json).map(drop),
            serde_json::from_str::<RecordParts>(json).map(drop),
            serde_json::from_str::<Incarnation>(json).map(drop),
            serde_json::from_str::<NonEmptySet<keygate::ActionName>>(json).map(drop),
            serde_json::from_str::<Grant>(json).map(drop),
            serde_json::from_str::<keygate::Permission>(json).map(drop),
            serde_json::from_str::<keygate::EnvironmentScope>(json).map(drop),
            serde_json::from_str::<UnixTime>(json).map(drop),
            serde_json::from_str::<KeyName>(json).map(drop),
            serde_json::from_str::<PermissionLevel>(json).map(drop),
            serde_json::from_str::<Status>(json).map(drop),
        ];
        for error in errors.into_iter().map(Result::unwrap_err) {
            let error = error.to_string().to_lowercase();
            assert!(!["canary", "42", "true", "null"].iter().any(|quoted| error.contains(quoted)), "{json}: {error}");
        }
    }
    let missing = RECORD.replacen(r#""expires_at":200,"#, "", 1);
    let error = serde_json::from_str::<KeyRecord>(&missing).unwrap_err();
    assert!(error.to_string().starts_with("missing field `expires_at`"), "{error}");
}

/// Named fields have one spelling: a list of their values, in the order of the fields, is none.
#[test]
fn serialized_record_takes_no_lists_for_fields() {
    let record: Value = serde_json::from_str(RECORD).unwrap();
    let values = |path: &str, fields: &[&str]| -> Value {
        fields.iter().map(|field| record.pointer(path).unwrap()[field].clone()).collect()
    };
    let whole = [
        "version",
        "issuer",
        "id",
        "name",
        "labels",
        "grant",
        "incarnation",
        "created_at",
        "created_by",
        "not_before",
        "expires_at",
        "last_used_at",
        "status",
        "current",
        "previous",
    ];
    let lists: [(&str, &[&str]); 4] = [
        ("", &whole),
        ("/grant", &["kind", "team", "permission"]),
        ("/grant/permission", &["level", "environments", "models"]),
        ("/previous", &["digest", "ends_at", "last_used_at"]),
    ];
    for (path, fields) in lists {
        let mut other = record.clone();
        *other.pointer_mut(path).unwrap() = values(path, fields);
        let text = other.to_string();
        assert!(serde_json::from_value::<KeyRecord>(other.clone()).is_err(), "a list at `{path}`");
        assert!(serde_json::from_str::<KeyRecord>(&text).is_err(), "a list at `{path}`, as text");
        assert!(serde_json::from_value::<RecordParts>(other).is_err(), "a list at `{path}` of parts");
    }
    // On their own they are no laxer.
    assert!(serde_json::from_value::<Grant>(values("/grant", lists[1].1)).is_err());
    assert!(serde_json::from_value::<keygate::Permission>(values("/grant/permission", lists[2].1)).is_err());
}

/// A record for each thing that may be there or not.
fn records() -> Vec<KeyRecord> {
    let of = |grant: Grant, change: fn(&mut RecordParts)| {
        let minted = issue(grant, Validity::NEVER_EXPIRES, 1);
        KeyRecord::clone(&changed(minted.key.record(), change))
    };
    vec![
        serde_json::from_str(RECORD).unwrap(),
        of(personal("ada"), |_| ()),
        of(personal("ada"), |parts| parts.incarnation = Some(Incarnation::new(-7))),
        of(team("core", full("all")), |parts| {
            (parts.not_before, parts.expires_at) = (Some(UnixTime::MIN), Some(UnixTime::MAX));
        }),
        of(team("core", custom("deploy call a:b", "all", "all")), |parts| parts.last_used_at = Some(at(-1))),
        of(team("core", custom("call a:b", "prod test", "r1 none all")), |parts| {
            parts.labels = Labels::new([(text("none"), text("none")), (text("a"), text("\"quoted\" = #"))]).unwrap();
            let (digest, ends_at) = (parts.current, at(5));
            parts.previous = Some(PreviousSecret { digest, ends_at, last_used_at: Some(at(3)) });
        }),
        of(team("none", full("none")), |parts| {
            parts.name = text("none");
            parts.status = Status::Revoked { at: UnixTime::MAX, cause: RevocationCause::OwnerDeprovisioned };
        }),
    ]
}

fn to_cbor<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// No meaning is in an absent field or a null, which not every format can write.
#[test]
fn every_self_describing_format_round_trips() {
    for record in records() {
        let json = serde_json::to_string(&record).unwrap();
        assert!(json.starts_with(r#"{"version":1,"#), "{json}");
        assert!(!json.contains("null"), "{json}");
        assert_eq!(serde_json::from_str::<KeyRecord>(&json).unwrap(), record);
        // By way of bytes, of a reader, and of a tree whose fields may be in another order.
        assert_eq!(serde_json::from_slice::<KeyRecord>(json.as_bytes()).unwrap(), record);
        assert_eq!(serde_json::from_reader::<_, KeyRecord>(json.as_bytes()).unwrap(), record);
        assert_eq!(serde_json::from_value::<KeyRecord>(serde_json::to_value(&record).unwrap()).unwrap(), record);

        let toml = toml::to_string(&record).unwrap();
        assert!(toml.starts_with("version = 1\n"), "{toml}");
        assert_eq!(toml::from_str::<KeyRecord>(&toml).unwrap(), record, "{toml}");
        let table = toml::Table::try_from(&record).unwrap();
        assert_eq!(table.try_into::<KeyRecord>().unwrap(), record);

        let cbor = to_cbor(&record);
        assert_eq!(ciborium::from_reader::<KeyRecord, _>(&*cbor).unwrap(), record);
        let tree: ciborium::Value = ciborium::from_reader(&*cbor).unwrap();
        let (first, _) = tree.as_map().and_then(|fields| fields.first()).unwrap();
        assert_eq!(first.as_text(), Some("version"));
        assert_eq!(tree.deserialized::<KeyRecord>().unwrap(), record);

        // Parts are written in the same words.
        let parts = RecordParts::from(record.clone());
        assert_eq!((serde_json::to_string(&parts).unwrap(), toml::to_string(&parts).unwrap()), (json, toml));
        assert_eq!(ciborium::from_reader::<RecordParts, _>(&*cbor).unwrap(), parts);
    }
}

/// Changes one field of the record, in JSON, TOML and CBOR, and says which of the three accept it.
#[track_caller]
fn read_with(change: impl Fn(&mut serde_json::Map<String, Value>)) -> Result<KeyRecord, Vec<String>> {
    let mut tree: Value = serde_json::from_str(RECORD).unwrap();
    change(tree.as_object_mut().unwrap());
    fn said<T, E: fmt::Display>(result: Result<T, E>) -> Result<T, String> {
        result.map_err(|error| error.to_string())
    }
    let mut results = vec![
        said(serde_json::from_str::<KeyRecord>(&tree.to_string())),
        said(ciborium::from_reader::<KeyRecord, _>(&*to_cbor(&tree))),
    ];
    // TOML has no null.
    if let Ok(toml) = toml::to_string(&tree) {
        results.push(toml::from_str::<KeyRecord>(&toml).map_err(|error| error.message().to_owned()));
    }
    let (read, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let errors: Vec<_> = refused.into_iter().filter_map(Result::err).collect();
    for error in &errors {
        assert!(!error.to_lowercase().contains("canary"), "{error}");
    }
    match read.into_iter().flatten().next() {
        Some(record) if errors.is_empty() => Ok(record),
        Some(_) => panic!("only some of the formats refuse it: {errors:?}"),
        None => Err(errors),
    }
}

/// A later release that adds a field can run beside this one; what this one does not know of a restriction, it refuses.
#[test]
fn a_later_version_may_have_more_fields_but_no_other_restrictions() {
    let original: KeyRecord = serde_json::from_str(RECORD).unwrap();
    let insert = |tree: &mut serde_json::Map<String, Value>, path: &str, value: Value| {
        let fields = if path.is_empty() {
            tree
        } else {
            path.split('/').fold(tree, |fields, name| fields.get_mut(name).unwrap().as_object_mut().unwrap())
        };
        fields.insert("canary".to_owned(), value);
    };
    let values = [json!("x"), json!(1), json!(1.5), json!(true), json!(["canary"]), json!({"canary": {"a": []}})];
    for version in [2, 3, i64::MAX] {
        assert_eq!(read_with(|tree| tree["version"] = json!(version)).unwrap(), original);
        for value in &values {
            for path in ["", "previous"] {
                let read = read_with(|tree| {
                    tree["version"] = json!(version);
                    insert(tree, path, value.clone());
                });
                assert_eq!(read.unwrap(), original, "{value} in `{path}` of version {version}");
            }
            for path in ["grant", "grant/permission"] {
                let read = read_with(|tree| {
                    tree["version"] = json!(version);
                    insert(tree, path, value.clone());
                });
                assert!(read.is_err(), "{value} in `{path}` of version {version}");
            }
        }
        // What it knows has to be right all the same.
        for (field, value) in
            [("status", json!("paused")), ("created_by", json!("key:ada")), ("expires_at", json!("x"))]
        {
            let read = read_with(|tree| {
                tree["version"] = json!(version);
                tree[field] = value.clone();
            });
            assert!(read.is_err(), "`{field}` is {value} in version {version}");
        }
        let read = read_with(|tree| {
            tree["version"] = json!(version);
            tree.remove("expires_at");
        });
        assert!(read.is_err(), "a lost expiry must not become none");
    }
    for value in &values {
        for path in ["", "grant", "grant/permission", "previous"] {
            assert!(read_with(|tree| insert(tree, path, value.clone())).is_err(), "{value} in `{path}`");
        }
    }
}

/// No field may be missing, and none may be null, in no format.
#[test]
fn what_is_not_there_is_the_word_none() {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(RECORD).unwrap();
    for field in fields.keys() {
        assert!(read_with(|tree| drop(tree.remove(field))).is_err(), "without `{field}`");
        assert!(read_with(|tree| tree[field] = Value::Null).is_err(), "with a null in `{field}`");
    }
    for field in ["not_before", "expires_at", "last_used_at", "previous", "incarnation"] {
        let record = read_with(|tree| tree[field] = json!("none")).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap()[field], "none");
        for other in ["None", "NONE", "", "null", "nil", "none ", "canary"] {
            assert!(read_with(|tree| tree[field] = json!(other)).is_err(), "`{field}` is `{other}`");
        }
    }
    for field in ["id", "labels", "grant", "created_at", "created_by", "status", "current"] {
        assert!(read_with(|tree| tree[field] = json!("none")).is_err(), "`{field}` has no `none`");
    }
}

/// A format of numbers has more than one kind of them, and texts by another name.
#[test]
fn only_a_whole_number_is_a_time() {
    for other in [json!(1.0), json!("1"), json!(true), json!([1]), json!({"canary": 1})] {
        for field in ["created_at", "expires_at", "not_before", "last_used_at"] {
            assert!(read_with(|tree| tree[field] = other.clone()).is_err(), "`{field}` is {other}");
        }
    }
    let mut tree: ciborium::Value = ciborium::from_reader(&*to_cbor(&records()[0])).unwrap();
    for (name, value) in tree.as_map_mut().unwrap() {
        if name.as_text() == Some("name") {
            *value = ciborium::Value::Bytes(b"nightly".to_vec());
        }
    }
    assert!(tree.deserialized::<KeyRecord>().is_err(), "bytes are no text");
}

/// A field has one name, which is a text: not its number, nor its bytes.
#[test]
fn the_name_of_a_field_is_a_text() {
    type Rename<'a> = &'a dyn Fn(usize, &str) -> ciborium::Value;

    fn rename(tree: &mut ciborium::Value, path: &[&str], as_name: Rename<'_>) {
        let fields = tree.as_map_mut().unwrap();
        match path {
            [] => {
                for (place, (name, _)) in fields.iter_mut().enumerate() {
                    *name = as_name(place, name.as_text().unwrap());
                }
            }
            [first, rest @ ..] => {
                let inner = fields.iter_mut().find(|(name, _)| name.as_text() == Some(first));
                rename(&mut inner.unwrap().1, rest, as_name);
            }
        }
    }
    const CANARY: i64 = 71_717_171;
    let record: KeyRecord = serde_json::from_str(RECORD).unwrap();
    let paths: [&[&str]; 5] = [&[], &["labels"], &["grant"], &["grant", "permission"], &["previous"]];
    for path in paths {
        let read = |as_name: Rename<'_>| {
            let mut tree: ciborium::Value = ciborium::from_reader(&*to_cbor(&record)).unwrap();
            rename(&mut tree, path, as_name);
            ciborium::from_reader::<KeyRecord, _>(&*to_cbor(&tree)).map_err(|error| error.to_string())
        };
        assert_eq!(read(&|_, name| name.into()).unwrap(), record);
        let others: [Rename<'_>; 4] = [
            &|place, _| ciborium::Value::Integer(place.into()),
            &|_, name| ciborium::Value::Bytes(name.into()),
            &|_, _| CANARY.into(),
            &|_, _| i128::from(CANARY).pow(3).try_into().map_or(true.into(), ciborium::Value::Integer),
        ];
        for other in others {
            let error = read(other).unwrap_err();
            assert!(!error.contains("71717171") && !error.contains("nightly"), "{path:?}: {error}");
        }
    }
}

/// What contradicts itself is no record, whatever wrote it.
#[test]
fn an_incarnation_is_a_users() {
    let of_a_user = json!({"kind": "personal", "user": "ada"});
    let record = read_with(|tree| {
        tree["grant"] = of_a_user.clone();
        tree["incarnation"] = json!(7);
    });
    assert_eq!(record.unwrap().incarnation(), Some(Incarnation::new(7)));
    assert!(read_with(|tree| tree["incarnation"] = json!(7)).is_err(), "a team key has none");
    for other in [json!(1.5), json!("7"), json!(true)] {
        let read = read_with(|tree| {
            tree["grant"] = of_a_user.clone();
            tree["incarnation"] = other.clone();
        });
        assert!(read.is_err(), "{other}");
    }
}
