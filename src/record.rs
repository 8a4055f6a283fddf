//! What is stored of a key.

#[cfg(feature = "serde")]
use crate::serialized::{named_fields, required};
use core::{fmt, str::FromStr};

use crate::{
    digest::SecretDigest,
    grant::{Grant, Validity},
    id::{KeyId, KeyKind, UserId},
    name::KeyName,
    text::text_serde,
    time::UnixTime,
};

/// All that is stored of a key; none of it gives the secret back.
///
/// A record is made from the [`RecordParts`] that a store holds, which are checked against each other, or by
/// [`Permit::issue`](crate::Permit::issue). There are no setters: a store changes a record only by the narrow operations
/// of [`KeyManagementStore`](crate::KeyManagementStore). With feature `serde` it serializes as its parts do; unknown fields are refused.
///
/// ```
/// use keygate::{Creator, Grant, KeyRecord, RecordParts, Status, UnixTime, Validity};
///
/// let record = KeyRecord::try_from(RecordParts {
///     id: "wk59pfKL0jFi2YYv".parse()?,
///     name: "laptop".parse()?,
///     grant: Grant::Personal { user: "ada".parse()? },
///     created_at: UnixTime::from_secs(100),
///     created_by: Creator::User("ada".parse()?),
///     not_before: None,
///     expires_at: Some(UnixTime::from_secs(200)),
///     last_used_at: None,
///     status: Status::Active,
///     current: "v1$b018ade7a2fa939801e20bec39cc70ba95764602c5f1d787713d7504".parse()?,
///     previous: None,
/// })?;
/// assert!(record.validity().is_expired(UnixTime::from_secs(200)));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(into = "RecordParts"))]
pub struct KeyRecord {
    // INVARIANT: `previous` does not end after `validity` does.
    pub(crate) id: KeyId,
    pub(crate) name: KeyName,
    pub(crate) grant: Grant,
    pub(crate) created_at: UnixTime,
    pub(crate) created_by: Creator,
    pub(crate) validity: Validity,
    pub(crate) last_used_at: Option<UnixTime>,
    pub(crate) status: Status,
    pub(crate) current: SecretDigest,
    pub(crate) previous: Option<PreviousSecret>,
}

impl KeyRecord {
    /// Returns the public id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the kind, which follows from the grant.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.grant.kind()
    }

    /// Returns a reference to the name.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Returns a reference to the owner and what the key may do.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Returns when the key was created.
    #[must_use]
    pub const fn created_at(&self) -> UnixTime {
        self.created_at
    }

    /// Returns who created the key.
    #[must_use]
    pub const fn created_by(&self) -> &Creator {
        &self.created_by
    }

    /// Returns when the key is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Returns the last use that was written, which lags behind the last use by up to the touch interval.
    #[must_use]
    pub const fn last_used_at(&self) -> Option<UnixTime> {
        self.last_used_at
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Returns the digest of the current secret.
    #[must_use]
    pub const fn current(&self) -> SecretDigest {
        self.current
    }

    /// Returns the previous secret, as long as it is stored.
    #[must_use]
    pub const fn previous(&self) -> Option<PreviousSecret> {
        self.previous
    }

    /// Returns a reference to the previous secret if it still opens the key at `now`.
    #[must_use]
    pub fn live_previous(&self, now: UnixTime) -> Option<&PreviousSecret> {
        self.previous.as_ref().filter(|previous| now < previous.ends_at)
    }

    pub(crate) fn minted(
        id: KeyId,
        current: SecretDigest,
        name: KeyName,
        grant: Grant,
        validity: Validity,
        created_by: Creator,
        created_at: UnixTime,
    ) -> Self {
        Self {
            id,
            name,
            grant,
            created_at,
            created_by,
            validity,
            last_used_at: None,
            status: Status::Active,
            current,
            previous: None,
        }
    }
}

impl TryFrom<RecordParts> for KeyRecord {
    type Error = InvalidRecord;

    fn try_from(parts: RecordParts) -> Result<Self, InvalidRecord> {
        let RecordParts {
            id,
            name,
            grant,
            created_at,
            created_by,
            not_before,
            expires_at,
            last_used_at,
            status,
            current,
            previous,
        } = parts;
        let validity = Validity::new(not_before, expires_at).map_err(|_| InvalidRecord::Validity)?;
        if let (Some(PreviousSecret { ends_at, .. }), Some(expires_at)) = (previous, expires_at) {
            if ends_at > expires_at {
                return Err(InvalidRecord::OverlapOutlivesKey);
            }
        }
        Ok(Self { id, name, grant, created_at, created_by, validity, last_used_at, status, current, previous })
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for KeyRecord {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <RecordParts as serde::Deserialize>::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

impl From<KeyRecord> for RecordParts {
    fn from(record: KeyRecord) -> Self {
        let KeyRecord { id, name, grant, created_at, created_by, validity, last_used_at, status, current, previous } =
            record;
        Self {
            id,
            name,
            grant,
            created_at,
            created_by,
            not_before: validity.not_before(),
            expires_at: validity.expires_at(),
            last_used_at,
            status,
            current,
            previous,
        }
    }
}

/// The columns of a record, for stores: plain data, checked when it becomes a [`KeyRecord`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(remote = "Self", deny_unknown_fields))]
#[expect(clippy::exhaustive_structs, reason = "a store must fill each column; a new one must break its build")]
pub struct RecordParts {
    /// The public id, the primary key.
    pub id: KeyId,
    /// The name.
    pub name: KeyName,
    /// Owner, level and restrictions; the kind follows from it.
    pub grant: Grant,
    /// When the key was created.
    pub created_at: UnixTime,
    /// Who created it.
    pub created_by: Creator,
    /// The first second in which it is valid.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "required"))]
    pub not_before: Option<UnixTime>,
    /// The first second in which it is no longer valid.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "required"))]
    pub expires_at: Option<UnixTime>,
    /// The last use that was written.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "required"))]
    pub last_used_at: Option<UnixTime>,
    /// Active, disabled or revoked.
    pub status: Status,
    /// The digest of the current secret.
    pub current: SecretDigest,
    /// The previous secret, during rotation.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "required"))]
    pub previous: Option<PreviousSecret>,
}

#[cfg(feature = "serde")]
named_fields!(RecordParts);

/// The secret that a rotation replaced, and when it stops to open the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(remote = "Self", deny_unknown_fields))]
#[expect(clippy::exhaustive_structs, reason = "a store must fill each column")]
pub struct PreviousSecret {
    /// Its digest.
    pub digest: SecretDigest,
    /// The first second in which it is a wrong secret; never after the key expires.
    pub ends_at: UnixTime,
}

#[cfg(feature = "serde")]
named_fields!(PreviousSecret);

/// Whether a key is in use, set aside, or gone for good; as text, `active`, `disabled`, or `revoked:` and the time.
///
/// ```
/// use keygate::{Status, UnixTime};
/// assert_eq!("revoked:1".parse(), Ok(Status::Revoked { at: UnixTime::from_secs(1) }));
/// assert_ne!(Status::Disabled, Status::Revoked { at: UnixTime::from_secs(1) });
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must hold each; a new one must break its build")]
pub enum Status {
    /// In use.
    Active,
    /// Set aside; it can be enabled again.
    Disabled,
    /// Ended for good.
    Revoked {
        /// When it was first revoked.
        at: UnixTime,
    },
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("active"),
            Self::Disabled => f.write_str("disabled"),
            Self::Revoked { at } => write!(f, "revoked:{at}"),
        }
    }
}

impl FromStr for Status {
    type Err = InvalidStatus;

    fn from_str(text: &str) -> Result<Self, InvalidStatus> {
        match text.split_once(':') {
            None if text == "active" => Ok(Self::Active),
            None if text == "disabled" => Ok(Self::Disabled),
            Some(("revoked", at)) => at.parse().map(|at| Self::Revoked { at }).map_err(|_| InvalidStatus),
            _ => Err(InvalidStatus),
        }
    }
}

text_serde!(Status);

/// A text that names no status.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a status is `active`, `disabled`, or `revoked:` and a time")]
#[non_exhaustive]
pub struct InvalidStatus;

/// Who created a key; as text, `system`, or `user:` and a user id.
///
/// ```
/// # use keygate::*;
/// # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// # let (now, mut rng) = (UnixTime::from_secs(100), ChaCha20Rng::from_seed([1; 32]));
/// # let system = Actor::system("example")?;
/// # let permission = Permission::InferenceOnly {
/// #     environments: EnvironmentScope::only(["production".parse()?])?,
/// #     models: ModelScope::All,
/// # };
/// # let grant = Grant::Team { team: "core".parse()?, permission };
/// # let permit = authorize_operation(&system, Create(grant), None, now)?;
/// # let issuer = Issuer::from_static("acme");
/// # let issued = permit.issue(issuer, "batch".parse()?, Validity::NEVER_EXPIRES, &mut rng, now)?;
/// # let presented = UnverifiedToken::parse(issuer, issued.token.expose_secret())?;
/// # let key = verify(&presented, Some(issued.key.record().clone().into()), now)?;
/// assert_eq!(issued.key.record().created_by(), &Creator::System);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "a store must hold each")]
pub enum Creator {
    /// The service itself.
    System,
    /// A user, signed in or by a personal key of theirs.
    User(UserId),
}

impl fmt::Display for Creator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::User(user) => write!(f, "user:{user}"),
        }
    }
}

impl FromStr for Creator {
    type Err = InvalidCreator;

    fn from_str(text: &str) -> Result<Self, InvalidCreator> {
        match text.split_once(':') {
            None if text == "system" => Ok(Self::System),
            Some(("user", id)) => id.parse().map(Self::User).map_err(|_| InvalidCreator),
            _ => Err(InvalidCreator),
        }
    }
}

text_serde!(Creator);

/// A text that names no creator.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a creator is `system`, or `user:` and a user id")]
#[non_exhaustive]
pub struct InvalidCreator;

/// Parts that contradict each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// The previous secret would outlive the key.
    #[error("a previous secret must not end after the key expires")]
    OverlapOutlivesKey,
    /// The key would expire before it begins.
    #[error("`expires_at` must be after `not_before`")]
    Validity,
}

/// A record that was just minted under a permit, and that no store holds yet: the only thing that
/// [`KeyManagementStore::insert`](crate::KeyManagementStore::insert) takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewKey(KeyRecord);

impl NewKey {
    pub(crate) const fn new(record: KeyRecord) -> Self {
        Self(record)
    }

    /// Returns a reference to the record to store.
    #[must_use]
    pub const fn record(&self) -> &KeyRecord {
        &self.0
    }
}

/// The change of secrets that a rotation asks of a store, made under a permit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SecretChange {
    pub(crate) id: KeyId,
    pub(crate) expected: SecretDigest,
    pub(crate) current: SecretDigest,
    pub(crate) previous: PreviousChange,
}

impl SecretChange {
    /// Returns the key that is rotated.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the digest that must still be the current one: if another is, somebody rotated in between.
    #[must_use]
    pub const fn expected(&self) -> SecretDigest {
        self.expected
    }

    /// Returns the digest that becomes the current one.
    #[must_use]
    pub const fn current(&self) -> SecretDigest {
        self.current
    }

    /// Returns what becomes of the previous secret.
    #[must_use]
    pub const fn previous(&self) -> PreviousChange {
        self.previous
    }
}

/// What a rotation does to the stored previous secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must carry out each")]
pub enum PreviousChange {
    /// There is none any more.
    Clear,
    /// It stays as it is in the store, with its end. Not as a caller read it: it may have been ended since.
    Keep,
    /// It becomes this.
    Set(PreviousSecret),
}
