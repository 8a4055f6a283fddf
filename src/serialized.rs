//! Strictness that serde's derived implementations lack: one spelling, and errors that quote nothing.
//!
//! Everything is read with `deserialize_any`: asked for a certain type, a format refuses another one by itself, and
//! quotes it. So formats have to be self-describing.

use alloc::string::{String, ToString as _};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error, IntoDeserializer as _, MapAccess},
};

/// The version of a serialized form: 1, or one that came later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Version(i64);

impl Version {
    pub(crate) const CURRENT: Self = Self(1);

    pub(crate) const fn new(number: i64) -> Option<Self> {
        if number < Self::CURRENT.0 { None } else { Some(Self(number)) }
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl serde::de::Visitor<'_> for Number {
            type Value = Version;

            crate::serialized::refuse!("a version": bool i128 u128 f64 str bytes unit);

            fn visit_i64<E: Error>(self, number: i64) -> Result<Version, E> {
                Version::new(number).ok_or_else(|| E::custom("a version is 1 or more"))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Version, E> {
                i64::try_from(number)
                    .map_err(|_| E::custom("a version is below 2^63"))
                    .and_then(|number| self.visit_i64(number))
            }
        }

        deserializer.deserialize_any(Number)
    }
}

/// A field that is a value or the text `none`, and that may not be missing: a lost `expires_at` must not become
/// "never".
pub(crate) mod or_none {
    use core::marker::PhantomData;

    use serde::{
        Deserialize, Deserializer, Serialize, Serializer,
        de::{Error, IntoDeserializer as _, MapAccess, Visitor, value::MapAccessDeserializer},
    };

    const NONE: &str = "none";

    pub(crate) fn serialize<S: Serializer, T: Serialize>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(NONE),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(OrNone(PhantomData))
    }

    struct OrNone<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for OrNone<T> {
        type Value = Option<T>;

        crate::serialized::refuse!("a value or `none`": bool i128 u128 f64 bytes unit seq);

        fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
            if text == NONE { Ok(None) } else { Err(E::custom("expected a value or `none`")) }
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
            T::deserialize(number.into_deserializer()).map(Some)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
            T::deserialize(number.into_deserializer()).map(Some)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
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

                    crate::serialized::refuse!("named fields": bool i128 u128 i64 u64 f64 str bytes unit seq);

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        // The inherent function, which is derived.
                        let map = crate::serialized::TextNames(map);
                        $type::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                            .map_err(crate::serialized::without_name)
                    }
                }

                deserializer.deserialize_any(NamedFields)
            }
        }
    };
}

/// Makes a visitor refuse unexpected input in words of ours: serde's own would quote it.
macro_rules! refuse {
    ($expected:literal: $($form:ident)*) => {
        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str($expected)
        }

        $(crate::serialized::refuse!(@$form $expected);)*
    };
    (@bool $expected:literal) => { crate::serialized::refuse!(@visit visit_bool, bool, $expected); };
    (@i128 $expected:literal) => { crate::serialized::refuse!(@visit visit_i128, i128, $expected); };
    (@u128 $expected:literal) => { crate::serialized::refuse!(@visit visit_u128, u128, $expected); };
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

/// A map whose names are texts. A derived map also takes the number of a field, and its name as bytes: second
/// spellings, which some formats can write.
pub(crate) struct TextNames<A>(pub(crate) A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for TextNames<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(Name(name)) = self.0.next_key()? else { return Ok(None) };
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// The name of a field, which is a text.
pub(crate) struct Name(pub(crate) String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> serde::de::Visitor<'de> for NameVisitor {
            type Value = Name;

            crate::serialized::refuse!("the name of a field": bool i128 u128 i64 u64 f64 bytes unit seq map);

            fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
                Ok(Name(text.into()))
            }
        }

        deserializer.deserialize_any(NameVisitor)
    }
}
