//! The flat map that an event is written as.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use super::{Attempt, Event, EventKind, Principal};
use crate::{
    labels::{LabelName, LabelValue, Labels},
    serialized::Name,
    time::UnixTime,
};

/// The unknown fields that a reader found: kept, and written again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unknown {
    version: i64,
    fields: Fields,
}

impl Default for Unknown {
    fn default() -> Self {
        Self { version: VERSION, fields: Fields::new() }
    }
}

type Fields = BTreeMap<String, Value>;

/// A value of any self-describing format that is written again as it was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Value {
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Map(Fields),
    Null,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;

            // Formats write these each in their own way, so they would not be kept as they are.
            crate::serialized::refuse!("a value that every version can keep": i128 u128 bytes);

            fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Boolean(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Integer(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
                Ok(i64::try_from(value).map_or(Value::Unsigned(value), Value::Integer))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
                // Beyond it, JSON gives a whole number of more than 64 bits as the nearest fraction.
                if value.abs() < 9e18 { Ok(Value::Float(value)) } else { Err(E::custom("a number is too large")) }
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
                Ok(Value::Text(value.into()))
            }

            fn visit_unit<E: Error>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E: Error>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Value::List(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
                read_fields(map).map(Value::Map)
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Reads fields with names of their own.
fn read_fields<'de, A: MapAccess<'de>>(mut map: A) -> Result<Fields, A::Error> {
    let mut fields = Fields::new();
    while let Some((Name(name), value)) = map.next_entry()? {
        // By such a name a format marks a value that it alone has, such as a date of TOML.
        if name.starts_with('$') {
            return Err(A::Error::custom("the name of a field begins with `$`"));
        }
        if fields.insert(name, value).is_some() {
            return Err(A::Error::custom("a field is there twice"));
        }
    }
    Ok(fields)
}

impl Value {
    fn text(value: impl fmt::Display) -> Self {
        Self::Text(value.to_string())
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Vec::new();
        let Self { id, at, by, key, owner, kind, unknown } = self;
        fields.push(("version", Value::Integer(unknown.version)));
        push(&mut fields, "id", id.as_ref());
        fields.push(("at", time(*at)));
        if *by != Principal::Unknown || !unknown.fields.contains_key("actor") {
            write_principal(by, &mut fields);
        }
        push(&mut fields, "key", key.as_ref());
        push(&mut fields, "owner", owner.as_ref());
        if *kind != EventKind::Unknown || !unknown.fields.contains_key("event") {
            write_kind(kind, &mut fields);
        }
        // Code that reads an event and changes a part of it means that part, and not the part that it did not know.
        let was_unknown = |part: &str| unknown.fields.contains_key(part);
        let is_other_actor = was_unknown("actor") && *by != Principal::Unknown;
        let is_other_kind = was_unknown("event") && *kind != EventKind::Unknown;
        let is_replaced = |name: &str| {
            fields.iter().any(|(written, _)| *written == name)
                || is_other_actor && ACTOR_FIELDS.contains(&name)
                || is_other_kind && KIND_FIELDS.contains(&name)
        };
        let unknown = unknown.fields.iter().filter(|(name, _)| !is_replaced(name));
        let unknown = unknown.map(|(name, value)| (name.as_str(), value));
        serializer.collect_map(fields.iter().map(|(name, value)| (*name, value)).chain(unknown))
    }
}

type Written = Vec<(&'static str, Value)>;

fn push(fields: &mut Written, name: &'static str, value: Option<impl fmt::Display>) {
    fields.extend(value.map(|value| (name, Value::text(value))));
}

fn time(time: UnixTime) -> Value {
    Value::Integer(time.as_secs())
}

fn push_time(fields: &mut Written, name: &'static str, value: Option<UnixTime>) {
    fields.extend(value.map(|value| (name, time(value))));
}

fn labels_of(labels: &Labels) -> Value {
    Value::Map(labels.iter().map(|(name, value)| (name.as_str().into(), Value::text(value))).collect())
}

fn write_principal(by: &Principal, fields: &mut Written) {
    let actor = match by {
        Principal::Key { .. } => "key",
        Principal::System { .. } => "system",
        Principal::Unverified { .. } => "unverified",
        Principal::User { .. } => "user",
        Principal::Unknown => UNKNOWN,
    };
    fields.push(("actor", Value::text(actor)));
    match by {
        Principal::Key { id, slot, user } => {
            fields.push(("actor_key", Value::text(id)));
            fields.push(("actor_slot", Value::text(slot)));
            push(fields, "actor_user", user.as_ref());
        }
        Principal::System { reason } => fields.push(("actor_reason", Value::text(reason))),
        Principal::Unverified { claimed } => push(fields, "actor_key", claimed.as_ref()),
        Principal::User { id } => fields.push(("actor_user", Value::text(id))),
        Principal::Unknown => {}
    }
}

fn write_kind(kind: &EventKind, fields: &mut Written) {
    fields.push(("event", Value::text(kind.as_str())));
    match kind {
        EventKind::Created { name, level, expires_at, labels } => {
            fields.push(("name", Value::text(name)));
            push(fields, "level", level.as_ref());
            push_time(fields, "expires_at", *expires_at);
            fields.push(("labels", labels_of(labels)));
        }
        EventKind::Imported { name, level, created_at, expires_at, labels } => {
            fields.push(("name", Value::text(name)));
            push(fields, "level", level.as_ref());
            fields.push(("created_at", time(*created_at)));
            push_time(fields, "expires_at", *expires_at);
            fields.push(("labels", labels_of(labels)));
        }
        EventKind::LabelsSet { labels } => fields.push(("labels", labels_of(labels))),
        EventKind::Refused { attempt, reason } => {
            match attempt {
                Some(Attempt::Operation(operation)) => fields.push(("operation", Value::text(operation))),
                Some(Attempt::Request { team, action, model, environment, resource }) => {
                    fields.push(("team", Value::text(team)));
                    fields.push(("action", Value::text(action)));
                    push(fields, "model", model.as_ref());
                    push(fields, "environment", environment.as_ref());
                    push(fields, "resource", resource.as_ref());
                }
                None => {}
            }
            fields.push(("reason", Value::text(reason)));
        }
        EventKind::Renamed { name, previous_name } => {
            fields.push(("name", Value::text(name)));
            fields.push(("previous_name", Value::text(previous_name)));
        }
        EventKind::Revoked { cause } => fields.push(("cause", Value::text(cause))),
        EventKind::Rotated { previous_ends_at } => push_time(fields, "previous_ends_at", *previous_ends_at),
        EventKind::Used { count, first_at, last_at } => {
            fields.push(("count", Value::Unsigned(*count)));
            fields.push(("first_at", time(*first_at)));
            fields.push(("last_at", time(*last_at)));
        }
        EventKind::Disabled
        | EventKind::Enabled
        | EventKind::OverlapEnded
        | EventKind::Unknown
        | EventKind::Upgraded => {}
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let NamedFields(fields) = NamedFields::deserialize(deserializer)?;
        read(fields).map_err(D::Error::custom)
    }
}

struct NamedFields(Fields);

impl<'de> Deserialize<'de> for NamedFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = NamedFields;

            crate::serialized::refuse!("named fields": bool i128 u128 i64 u64 f64 str bytes unit seq);

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NamedFields, A::Error> {
                read_fields(map).map(NamedFields)
            }
        }

        deserializer.deserialize_any(FieldsVisitor)
    }
}

/// The error of a malformed event, which holds no part of it.
type Wrong = &'static str;

fn read(mut fields: Fields) -> Result<Event, Wrong> {
    let version = match fields.remove("version") {
        Some(Value::Integer(version)) if version >= VERSION => version,
        _ => return Err("an event begins with a version, which is 1 or more"),
    };
    let id = known(version, &mut fields, |fields| optional(fields, "id"), None)?;
    let at = required_time(&mut fields, "at")?;
    let key = known(version, &mut fields, |fields| optional(fields, "key"), None)?;
    let owner = known(version, &mut fields, |fields| optional(fields, "owner"), None)?;
    let by = known(version, &mut fields, read_principal, Principal::Unknown)?;
    let kind = known(version, &mut fields, read_kind, EventKind::Unknown)?;
    Ok(Event { id, at, by, key, owner, kind, unknown: Unknown { version, fields } })
}

/// Reads a part; the unknown parts of a later version stay among the fields.
fn known<T>(
    version: i64,
    fields: &mut Fields,
    part: fn(&mut Fields) -> Result<T, Wrong>,
    unknown: T,
) -> Result<T, Wrong> {
    let mut rest = fields.clone();
    match part(&mut rest) {
        Ok(value) => {
            *fields = rest;
            Ok(value)
        }
        Err(_) if version > VERSION => Ok(unknown),
        Err(wrong) => Err(wrong),
    }
}

fn read_principal(fields: &mut Fields) -> Result<Principal, Wrong> {
    match &*required::<String>(fields, "actor")? {
        "key" => Ok(Principal::Key {
            id: required(fields, "actor_key")?,
            slot: required(fields, "actor_slot")?,
            user: optional(fields, "actor_user")?,
        }),
        "system" => Ok(Principal::System { reason: required(fields, "actor_reason")? }),
        "unverified" => Ok(Principal::Unverified { claimed: optional(fields, "actor_key")? }),
        "user" => Ok(Principal::User { id: required(fields, "actor_user")? }),
        UNKNOWN => Ok(Principal::Unknown),
        _ => Err("the actor of an event is `key`, `system`, `unverified`, `user` or `unknown`"),
    }
}

fn read_kind(fields: &mut Fields) -> Result<EventKind, Wrong> {
    match &*required::<String>(fields, "event")? {
        "created" => Ok(EventKind::Created {
            name: required(fields, "name")?,
            level: optional(fields, "level")?,
            expires_at: optional_time(fields, "expires_at")?,
            labels: read_labels(fields)?,
        }),
        "disabled" => Ok(EventKind::Disabled),
        "enabled" => Ok(EventKind::Enabled),
        "imported" => Ok(EventKind::Imported {
            name: required(fields, "name")?,
            level: optional(fields, "level")?,
            created_at: required_time(fields, "created_at")?,
            expires_at: optional_time(fields, "expires_at")?,
            labels: read_labels(fields)?,
        }),
        "labels_set" => Ok(EventKind::LabelsSet { labels: read_labels(fields)? }),
        "overlap_ended" => Ok(EventKind::OverlapEnded),
        "refused" => Ok(EventKind::Refused { attempt: read_attempt(fields)?, reason: required(fields, "reason")? }),
        "renamed" => Ok(EventKind::Renamed {
            name: required(fields, "name")?,
            previous_name: required(fields, "previous_name")?,
        }),
        "revoked" => Ok(EventKind::Revoked { cause: required(fields, "cause")? }),
        "rotated" => Ok(EventKind::Rotated { previous_ends_at: optional_time(fields, "previous_ends_at")? }),
        UNKNOWN => Ok(EventKind::Unknown),
        "upgraded" => Ok(EventKind::Upgraded),
        "used" => Ok(EventKind::Used {
            count: match fields.remove("count") {
                Some(Value::Integer(count)) => count.try_into().map_err(|_| "a count is not negative")?,
                Some(Value::Unsigned(count)) => count,
                _ => return Err("uses have a count"),
            },
            first_at: required_time(fields, "first_at")?,
            last_at: required_time(fields, "last_at")?,
        }),
        _ => Err("the kind of the event is not known"),
    }
}

fn read_attempt(fields: &mut Fields) -> Result<Option<Attempt>, Wrong> {
    if let Some(operation) = optional(fields, "operation")? {
        return Ok(Some(Attempt::Operation(operation)));
    }
    let Some(action) = optional(fields, "action")? else { return Ok(None) };
    Ok(Some(Attempt::Request {
        team: required(fields, "team")?,
        action,
        model: optional(fields, "model")?,
        environment: optional(fields, "environment")?,
        resource: optional(fields, "resource")?,
    }))
}

fn read_labels(fields: &mut Fields) -> Result<Labels, Wrong> {
    const WRONG: Wrong = "labels are texts by name";
    let Some(Value::Map(labels)) = fields.remove("labels") else { return Err(WRONG) };
    let read = |(name, value): (String, Value)| -> Option<(LabelName, LabelValue)> {
        let Value::Text(value) = value else { return None };
        Some((name.parse().ok()?, value.parse().ok()?))
    };
    let labels: Option<Vec<_>> = labels.into_iter().map(read).collect();
    Labels::new(labels.ok_or(WRONG)?).map_err(|_| WRONG)
}

fn optional<T: FromStr>(fields: &mut Fields, name: &str) -> Result<Option<T>, Wrong> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::Text(text)) => {
            text.parse().map(Some).map_err(|_| "a field of the event has a text that is not its own")
        }
        Some(_) => Err("a field of the event is not a text"),
    }
}

fn required<T: FromStr>(fields: &mut Fields, name: &str) -> Result<T, Wrong> {
    optional(fields, name)?.ok_or("a field of the event is missing")
}

fn optional_time(fields: &mut Fields, name: &str) -> Result<Option<UnixTime>, Wrong> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::Integer(seconds)) => Ok(Some(UnixTime::from_secs(seconds))),
        Some(_) => Err("a time of the event is not a whole number of seconds"),
    }
}

fn required_time(fields: &mut Fields, name: &str) -> Result<UnixTime, Wrong> {
    optional_time(fields, name)?.ok_or("a time of the event is missing")
}

const VERSION: i64 = 1;

const ACTOR_FIELDS: &[&str] = &["actor_key", "actor_reason", "actor_slot", "actor_user"];
const KIND_FIELDS: &[&str] = &[
    "action",
    "cause",
    "count",
    "created_at",
    "environment",
    "expires_at",
    "first_at",
    "labels",
    "last_at",
    "level",
    "model",
    "name",
    "operation",
    "previous_ends_at",
    "previous_name",
    "reason",
    "resource",
    "team",
];

/// As what is not known is written where nothing else is.
const UNKNOWN: &str = "unknown";
