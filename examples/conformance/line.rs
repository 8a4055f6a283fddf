//! The questions, as they are written: every field is there, no other is, and each has its type.

use core::marker::PhantomData;

use keygate::{Membership, TeamRole};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// Reads a line, or returns nothing if it is not a question.
pub(crate) fn parse(line: &[u8]) -> Option<Line> {
    serde_json::from_slice::<TextTags>(line).ok()?;
    serde_json::from_slice::<Map<Line>>(line).ok().map(Map::into_inner)
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Line {
    Parse {
        issuer: String,
        token: String,
    },
    Decide {
        key: Map<KeyLine>,
        request: Map<RequestLine>,
        #[serde(deserialize_with = "required")]
        standing: Option<StandingName>,
        now: i64,
    },
    Manage {
        actor: Map<ActorLine>,
        operation: OperationName,
        target: Map<TargetLine>,
        #[serde(deserialize_with = "required")]
        standing: Option<StandingName>,
        now: i64,
    },
    Header {
        issuer: String,
        headers: Vec<(String, String)>,
        x_api_key: bool,
    },
    Name {
        kind: NameKind,
        text: String,
    },
    Scan {
        issuer: String,
        text: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyLine {
    pub(crate) status: StatusName,
    #[serde(deserialize_with = "required")]
    pub(crate) not_before: Option<i64>,
    #[serde(deserialize_with = "required")]
    pub(crate) expires_at: Option<i64>,
    pub(crate) owner: Map<OwnerLine>,
    #[serde(deserialize_with = "required")]
    pub(crate) level: Option<LevelName>,
    #[serde(deserialize_with = "required")]
    pub(crate) environments: Option<Vec<String>>,
    #[serde(deserialize_with = "required")]
    pub(crate) models: Option<Vec<String>>,
    #[serde(deserialize_with = "required")]
    pub(crate) actions: Option<Vec<String>>,
    #[serde(deserialize_with = "required")]
    pub(crate) resources: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestLine {
    pub(crate) team: String,
    pub(crate) action: String,
    #[serde(deserialize_with = "required")]
    pub(crate) model: Option<String>,
    #[serde(deserialize_with = "required")]
    pub(crate) environment: Option<String>,
    #[serde(deserialize_with = "required")]
    pub(crate) resource: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum OwnerLine {
    Personal { user: String },
    Team { team: String },
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum TargetLine {
    Personal {
        user: String,
        #[serde(deserialize_with = "required")]
        expires_at: Option<i64>,
    },
    Team {
        team: String,
        #[serde(deserialize_with = "required")]
        expires_at: Option<i64>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ActorLine {
    Operator {},
    User {
        user: String,
    },
    Key {
        #[serde(rename = "self")]
        is_self: bool,
        key: Map<KeyLine>,
    },
}

/// Declares names that stand for themselves; `Name::Variant` is written `variant`.
macro_rules! names {
    ($($name:ident { $($variant:ident),* })*) => {
        $(
            #[derive(Clone, Copy, Deserialize)]
            #[serde(try_from = "String")]
            pub(crate) enum $name {
                $($variant),*
            }

            impl TryFrom<String> for $name {
                type Error = &'static str;

                fn try_from(text: String) -> Result<Self, Self::Error> {
                    $(if text == snake_case(stringify!($variant)) {
                        return Ok(Self::$variant);
                    })*
                    Err("unknown name")
                }
            }
        )*
    };
}

names! {
    LevelName { Full, InferenceOnly, MetricsOnly, Custom }
    NameKind { Issuer, Key, Environment, Model, Resource, Team, User, Action, Label }
    OperationName { Create, List, Rename, SetLabels, Rotate, EndOverlap, Disable, Enable, Revoke }
    StandingName { Admin, Member, Outsider, Deprovisioned }
    StatusName { Active, Disabled, Revoked }
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for symbol in name.chars() {
        if symbol.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(symbol.to_ascii_lowercase());
    }
    text
}

impl From<StandingName> for Membership {
    fn from(name: StandingName) -> Self {
        let role = match name {
            StandingName::Admin => TeamRole::Admin,
            StandingName::Member => TeamRole::Member,
            StandingName::Outsider => TeamRole::Outsider,
            StandingName::Deprovisioned => TeamRole::Deprovisioned,
        };
        role.into()
    }
}

/// Any JSON in which `op` and `kind` are texts: for the name of a variant, a derived implementation also takes its
/// number.
struct TextTags;

impl<'de> Deserialize<'de> for TextTags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// Takes a value that is neither an object nor a list.
macro_rules! scalars {
    ($($visit:ident($type:ty))*) => {
        $(fn $visit<E: Error>(self, _: $type) -> Result<Self, E> {
            Ok(self)
        })*
    };
}

impl<'de> Visitor<'de> for TextTags {
    type Value = Self;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("JSON")
    }

    scalars! { visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str) }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "op" || name == "kind" {
                map.next_value::<String>()?;
            } else {
                map.next_value::<Self>()?;
            }
        }
        Ok(self)
    }
}

/// A field that may be null is there all the same.
fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// An object: a derived implementation also takes a list of the values.
pub(crate) struct Map<T>(T);

impl<T> Map<T> {
    pub(crate) const fn as_ref(&self) -> &T {
        &self.0
    }

    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

struct MapVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MapVisitor<T> {
    type Value = Map<T>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Map<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Map)
    }
}
