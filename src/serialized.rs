//! Strictness that serde's derived implementations lack.

use alloc::string::ToString as _;

use serde::{Deserialize, Deserializer, de::Error};

/// Reads a field that may be null and may not be missing: a lost `expires_at` must not become "never".
pub(crate) fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Deserialize::deserialize(deserializer)
}

/// Makes a type whose serde implementations are derived with `remote = "Self"` read named fields only: what is derived
/// also takes a list of the values, which is a second spelling.
macro_rules! named_fields {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                // The inherent function, which is derived.
                Self::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct NamedFields;

                impl<'de> serde::de::Visitor<'de> for NamedFields {
                    type Value = $type;

                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str("named fields")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        // The inherent function, which is derived.
                        $type::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                            .map_err(crate::serialized::without_input)
                    }
                }

                deserializer.deserialize_map(NamedFields)
            }
        }
    };
}

pub(crate) use named_fields;

/// Replaces an error of serde's own that quotes the input; ours name the rule broken, and nothing else.
///
/// [`serde::de::Error`] has no way to ask of which kind an error is. Its constructors begin with fixed words.
pub(crate) fn without_input<E: Error>(error: E) -> E {
    let text = error.to_string();
    if text.starts_with("unknown ") {
        E::custom("a field, or the word for a level or a kind, is not known")
    } else if text.starts_with("invalid ") {
        E::custom("a field is not of its type")
    } else {
        error
    }
}
