//! The stored record of a key.

use core::{fmt, str::FromStr};

use crate::{
    digest::SecretDigest,
    grant::{Grant, Validity},
    id::{KeyId, KeyKind, UserId},
    labels::Labels,
    membership::Incarnation,
    name::{Issuer, KeyName},
    text::{text_fmt, text_serde},
    time::UnixTime,
};

#[cfg(feature = "serde")]
mod serialized;

/// All that is stored of a key; none of it gives the secret back.
///
/// A record is made from the [`RecordParts`](crate::store::RecordParts) that a store holds, which are checked against
/// each other, or under a permit. There are no setters: a store changes a record only by the narrow operations of
/// [`KeyManagementStore`](crate::store::KeyManagementStore). With feature `serde` it serializes, for stores: the
/// digests are in it, so show a holder only the fields that they need.
///
/// ```
/// use keygate::{Grant, Issuer, KeyRecord, Labels, Status, UnixTime, Validity, store::{Creator, RecordParts}};
///
/// let record = KeyRecord::try_from(RecordParts {
///     issuer: Issuer::from_static("acme"),
///     id: "wk59pfKL0jFi2YYv".parse()?,
///     name: "laptop".parse()?,
///     labels: Labels::NONE,
///     grant: Grant::personal("ada".parse()?),
///     incarnation: None,
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
pub struct KeyRecord {
    // INVARIANT: `previous` does not end after `validity` does, and only a personal key has an incarnation.
    pub(crate) issuer: Issuer,
    pub(crate) id: KeyId,
    pub(crate) name: KeyName,
    pub(crate) labels: Labels,
    pub(crate) grant: Grant,
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) created_at: UnixTime,
    pub(crate) created_by: Creator,
    pub(crate) validity: Validity,
    pub(crate) last_used_at: Option<UnixTime>,
    pub(crate) status: Status,
    pub(crate) current: SecretDigest,
    pub(crate) previous: Option<PreviousSecret>,
}

impl KeyRecord {
    /// Returns the issuer of the key's tokens.
    #[must_use]
    pub const fn issuer(&self) -> Issuer {
        self.issuer
    }

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

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Returns the labels.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Returns the grant: the owner and the permission.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Returns the incarnation of a personal key's user that the key was minted for.
    #[must_use]
    pub const fn incarnation(&self) -> Option<Incarnation> {
        self.incarnation
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

    /// Returns the last written use, which lags behind the real one by up to the touch interval.
    #[must_use]
    pub const fn last_used_at(&self) -> Option<UnixTime> {
        self.last_used_at
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Returns `true` if the key is ended for good.
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        matches!(self.status, Status::Revoked { .. })
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

    pub(crate) fn has_secret(&self, digest: SecretDigest) -> bool {
        self.current == digest || self.previous.is_some_and(|previous| previous.digest == digest)
    }

    /// Returns the previous secret if it still opens the key at `now`.
    #[must_use]
    pub fn live_previous(&self, now: UnixTime) -> Option<&PreviousSecret> {
        self.previous.as_ref().filter(|previous| now < previous.ends_at)
    }
}

impl TryFrom<RecordParts> for KeyRecord {
    type Error = InvalidRecord;

    fn try_from(parts: RecordParts) -> Result<Self, InvalidRecord> {
        let RecordParts {
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
        } = parts;
        let validity = Validity::new(not_before, expires_at).map_err(|_| InvalidRecord::Validity)?;
        if let (Some(PreviousSecret { ends_at, .. }), Some(expires_at)) = (previous, expires_at) {
            if ends_at > expires_at {
                return Err(InvalidRecord::OverlapOutlivesKey);
            }
        }
        if incarnation.is_some() && grant.kind() != KeyKind::Personal {
            return Err(InvalidRecord::IncarnationWithoutUser);
        }
        Ok(Self {
            issuer,
            id,
            name,
            labels,
            grant,
            incarnation,
            created_at,
            created_by,
            validity,
            last_used_at,
            status,
            current,
            previous,
        })
    }
}

impl From<KeyRecord> for RecordParts {
    fn from(record: KeyRecord) -> Self {
        let KeyRecord {
            issuer,
            id,
            name,
            labels,
            grant,
            incarnation,
            created_at,
            created_by,
            validity,
            last_used_at,
            status,
            current,
            previous,
        } = record;
        Self {
            issuer,
            id,
            name,
            labels,
            grant,
            incarnation,
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
#[expect(clippy::exhaustive_structs, reason = "a store must fill each column; a new one must break its build")]
pub struct RecordParts {
    /// The issuer of the key's tokens.
    pub issuer: Issuer,
    /// The public id, the primary key.
    pub id: KeyId,
    /// The name.
    pub name: KeyName,
    /// The labels.
    pub labels: Labels,
    /// Owner, level and restrictions; the kind follows from it.
    pub grant: Grant,
    /// The incarnation of a personal key's user, if the directory counts them.
    pub incarnation: Option<Incarnation>,
    /// When the key was created.
    pub created_at: UnixTime,
    /// The creator.
    pub created_by: Creator,
    /// The first second in which it is valid.
    pub not_before: Option<UnixTime>,
    /// The first second in which it is no longer valid.
    pub expires_at: Option<UnixTime>,
    /// The last written use, by either secret.
    pub last_used_at: Option<UnixTime>,
    /// Active, disabled or revoked.
    pub status: Status,
    /// The digest of the current secret.
    pub current: SecretDigest,
    /// The previous secret, during rotation.
    pub previous: Option<PreviousSecret>,
}

/// The secret that a rotation replaced, and when it stops opening the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a store must fill each column")]
pub struct PreviousSecret {
    /// Its digest.
    pub digest: SecretDigest,
    /// The first second in which it is a wrong secret; never after the key expires.
    pub ends_at: UnixTime,
    /// Its last written use since it was replaced; an absent or old one does not prove that nobody needs it any more.
    pub last_used_at: Option<UnixTime>,
}

/// Which of a key's secrets was presented.
///
/// ```
/// assert_eq!(keygate::store::SecretSlot::Previous.as_str(), "previous");
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "a key has at most two live secrets")]
pub enum SecretSlot {
    /// The current one.
    Current,
    /// The one that a rotation replaced, before its end.
    Previous,
}

impl SecretSlot {
    /// Returns the name used in logs, which is stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }
}

impl FromStr for SecretSlot {
    type Err = UnknownSlot;

    fn from_str(text: &str) -> Result<Self, UnknownSlot> {
        [Self::Current, Self::Previous].into_iter().find(|slot| slot.as_str() == text).ok_or(UnknownSlot)
    }
}

text_fmt!(SecretSlot);

/// A text that names no slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a slot is `current` or `previous`")]
#[non_exhaustive]
pub struct UnknownSlot;

/// Whether a key is in use, disabled, or ended for good; as text, `active`, `disabled`, or `revoked:`, the time, `:`
/// and the cause.
///
/// ```
/// use keygate::{RevocationCause, Status, UnixTime};
///
/// let revoked = Status::Revoked { at: UnixTime::from_secs(1), cause: RevocationCause::Leaked };
/// assert_eq!("revoked:1:leaked".parse(), Ok(revoked));
/// assert_eq!(revoked.as_str(), "revoked");
/// assert_ne!(Status::Disabled, revoked);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must hold each; a new one must break its build")]
pub enum Status {
    /// In use.
    Active,
    /// Disabled; it can be enabled again.
    Disabled,
    /// Ended for good.
    Revoked {
        /// When it was first revoked.
        at: UnixTime,
        /// Why it was first revoked.
        cause: RevocationCause,
    },
}

impl Status {
    /// Returns the name to show, without time and cause: `active`, `disabled` or `revoked`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Revoked { .. } => "revoked",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::Active | Self::Disabled => Ok(()),
            Self::Revoked { at, cause } => write!(f, ":{at}:{cause}"),
        }
    }
}

impl FromStr for Status {
    type Err = InvalidStatus;

    fn from_str(text: &str) -> Result<Self, InvalidStatus> {
        let mut parts = text.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("active"), None, ..) => Ok(Self::Active),
            (Some("disabled"), None, ..) => Ok(Self::Disabled),
            (Some("revoked"), Some(at), Some(cause), None) => {
                let (at, cause) = (at.parse().map_err(|_| InvalidStatus)?, cause.parse().map_err(|_| InvalidStatus)?);
                Ok(Self::Revoked { at, cause })
            }
            _ => Err(InvalidStatus),
        }
    }
}

text_serde!(Status);

/// A text that names no status.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a status is `active`, `disabled`, or `revoked:`, a time, `:` and a cause")]
#[non_exhaustive]
pub struct InvalidStatus;

/// Why a key was revoked: a closed list, so that a log can be searched by it.
///
/// ```
/// use keygate::RevocationCause;
/// assert_eq!("owner_deprovisioned".parse(), Ok(RevocationCause::OwnerDeprovisioned));
/// assert!("".parse::<RevocationCause>().is_err());
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum RevocationCause {
    /// Its secret has leaked.
    Leaked,
    /// The user or team that owned it is gone.
    OwnerDeprovisioned,
    /// Another key took its place.
    Replaced,
    /// An actor who may revoke it asked for it.
    Requested,
    /// Nobody used it.
    Unused,
}

impl RevocationCause {
    /// Every cause.
    pub const ALL: &'static [Self] =
        &[Self::Leaked, Self::OwnerDeprovisioned, Self::Replaced, Self::Requested, Self::Unused];

    /// Returns the name used in text and serialized records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leaked => "leaked",
            Self::OwnerDeprovisioned => "owner_deprovisioned",
            Self::Replaced => "replaced",
            Self::Requested => "requested",
            Self::Unused => "unused",
        }
    }
}

impl FromStr for RevocationCause {
    type Err = UnknownCause;

    fn from_str(text: &str) -> Result<Self, UnknownCause> {
        Self::ALL.iter().copied().find(|cause| cause.as_str() == text).ok_or(UnknownCause)
    }
}

text_fmt!(RevocationCause);

/// A text that names no cause of a revocation.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a cause is `leaked`, `owner_deprovisioned`, `replaced`, `requested` or `unused`")]
#[non_exhaustive]
pub struct UnknownCause;

/// The creator of a key; as text, `system`, or `user:` and a user id.
///
/// ```
/// use keygate::store::Creator;
/// assert_eq!("user:ada".parse(), Ok(Creator::User("ada".parse()?)));
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
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
    /// A team key has an incarnation, which is a user's.
    #[error("only a personal key has an incarnation of its user")]
    IncarnationWithoutUser,
    /// The previous secret would outlive the key.
    #[error("a previous secret must not end after the key expires")]
    OverlapOutlivesKey,
    /// The key would expire before it begins.
    #[error("`expires_at` must be after `not_before`")]
    Validity,
}
