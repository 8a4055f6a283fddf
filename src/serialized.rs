//! Strictness that serde's derived implementations lack: one spelling, and errors that quote nothing.
//!
//! Everything is read with `deserialize_any`: asked for a certain type, a format refuses another one by itself, and quotes
//! it. So formats have to be self-describing.

use alloc::string::ToString as _;

use serde::{Deserialize, Deserializer, de::Error};

/// Reads a field that may be null and may not be missing: a lost `expires_at` must not become "never".
pub(crate) fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Deserialize::deserialize(deserializer)
}

/// Reads a field that may be missing and may not be null; goes together with `default`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
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

                    crate::serialized::refuse!("named fields": bool i64 u64 f64 str bytes unit seq);

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        // The inherent function, which is derived.
                        $type::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                            .map_err(crate::serialized::without_name)
                    }
                }

                deserializer.deserialize_any(NamedFields)
            }
        }
    };
}

/// Makes a visitor refuse what it does not expect in words of ours: serde's own would quote it.
macro_rules! refuse {
    ($expected:literal: $($form:ident)*) => {
        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str($expected)
        }

        $(crate::serialized::refuse!(@$form $expected);)*
    };
    (@bool $expected:literal) => { crate::serialized::refuse!(@visit visit_bool, bool, $expected); };
    (@i64 $expected:literal) => { crate::serialized::refuse!(@visit visit_i64, i64, $expected); };
    (@u64 $expected:literal) => { crate::serialized::refuse!(@visit visit_u64, u64, $expected); };
    (@f64 $expected:literal) => { crate::serialized::refuse!(@visit visit_f64, f64, $expected); };
    (@str $expected:literal) => { crate::serialized::refuse!(@visit visit_str, &str, $expected); };
    (@bytes $expected:literal) => { crate::serialized::refuse!(@visit visit_bytes, &[u8], $expected); };
    (@visit $visit:ident, $type:ty, $expected:literal) => {
        fn $visit<E: serde::de::Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(E::custom(concat!("expected ", $expected)))
        }
    };
    (@unit $expected:literal) => {
        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Err(E::custom(concat!("expected ", $expected)))
        }
    };
    (@seq $expected:literal) => {
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(serde::de::Error::custom(concat!("expected ", $expected)))
        }
    };
    (@map $expected:literal) => {
        fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(serde::de::Error::custom(concat!("expected ", $expected)))
        }
    };
}

pub(crate) use {named_fields, refuse};

/// Replaces the one error of a derived implementation that quotes the input once all values have visitors of ours: the
/// name of a field that nobody knows. [`Error`] has no way to ask of which kind an error is.
pub(crate) fn without_name<E: Error>(error: E) -> E {
    if error.to_string().contains("unknown field") { E::custom("a field is not known") } else { error }
}
