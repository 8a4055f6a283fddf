//! The serialized form, which begins with its version.
//!
//! A reader of version 1 refuses a field that it does not know. In a record of a later version it leaves out such a
//! field, so that a release that adds one can run beside the one before; but never within `grant`, where every
//! restriction is: those it refuses. An absent value is the text `none`, since not every format can write a null.

use alloc::{collections::BTreeMap, string::String};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, de::IgnoredAny};

use super::{
    Creator, Grant, Incarnation, Issuer, KeyId, KeyName, KeyRecord, Labels, PreviousSecret, RecordParts, SecretDigest,
    Status, UnixTime,
};
use crate::serialized::{Version, named_fields, or_none};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Self")]
struct RecordFields {
    version: Version,
    issuer: Issuer,
    id: KeyId,
    name: KeyName,
    labels: Labels,
    grant: Grant,
    #[serde(with = "or_none")]
    incarnation: Option<Incarnation>,
    created_at: UnixTime,
    created_by: Creator,
    #[serde(with = "or_none")]
    not_before: Option<UnixTime>,
    #[serde(with = "or_none")]
    expires_at: Option<UnixTime>,
    #[serde(with = "or_none")]
    last_used_at: Option<UnixTime>,
    status: Status,
    current: SecretDigest,
    #[serde(with = "or_none")]
    previous: Option<PreviousFields>,
    #[serde(flatten, skip_serializing)]
    unknown: BTreeMap<String, IgnoredAny>,
}

named_fields!(RecordFields);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Self")]
struct PreviousFields {
    digest: SecretDigest,
    ends_at: UnixTime,
    #[serde(with = "or_none")]
    last_used_at: Option<UnixTime>,
    #[serde(flatten, skip_serializing)]
    unknown: BTreeMap<String, IgnoredAny>,
}

named_fields!(PreviousFields);

impl Serialize for RecordParts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            issuer,
            id,
            name,
            labels,
            grant,
            incarnation,
            created_at,
            created_by,
            not_before,
            expires_at,
            last_used_at,
            status,
            current,
            previous,
        } = self.clone();
        let previous = previous.map(|PreviousSecret { digest, ends_at, last_used_at }| PreviousFields {
            digest,
            ends_at,
            last_used_at,
            unknown: BTreeMap::new(),
        });
        let fields = RecordFields {
            version: Version::CURRENT,
            issuer,
            id,
            name,
            labels,
            grant,
            incarnation,
            created_at,
            created_by,
            not_before,
            expires_at,
            last_used_at,
            status,
            current,
            previous,
            unknown: BTreeMap::new(),
        };
        Serialize::serialize(&fields, serializer)
    }
}

impl<'de> Deserialize<'de> for RecordParts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = <RecordFields as Deserialize>::deserialize(deserializer)?;
        let is_known =
            fields.unknown.is_empty() && fields.previous.as_ref().is_none_or(|previous| previous.unknown.is_empty());
        if fields.version == Version::CURRENT && !is_known {
            return Err(D::Error::custom("a field is not known"));
        }
        let RecordFields {
            version: _,
            issuer,
            id,
            name,
            labels,
            grant,
            incarnation,
            created_at,
            created_by,
            not_before,
            expires_at,
            last_used_at,
            status,
            current,
            previous,
            unknown: _,
        } = fields;
        let previous = previous.map(|PreviousFields { digest, ends_at, last_used_at, unknown: _ }| PreviousSecret {
            digest,
            ends_at,
            last_used_at,
        });
        Ok(Self {
            issuer,
            id,
            name,
            labels,
            grant,
            incarnation,
            created_at,
            created_by,
            not_before,
            expires_at,
            last_used_at,
            status,
            current,
            previous,
        })
    }
}

impl Serialize for KeyRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RecordParts::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RecordParts::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}
