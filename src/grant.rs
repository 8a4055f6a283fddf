//! What a key is granted: its owner, its permission, and when it is valid. Immutable once minted.

use core::{fmt, str::FromStr};

use crate::{
    id::{KeyKind, TeamId, UserId},
    level::PermissionLevel,
    scope::{EnvironmentScope, ModelScope},
    text::text_serde,
    time::UnixTime,
};

/// What a team key may do: a level, with the restrictions that the level takes and no others.
///
/// ```
/// use keygate::{EnvironmentScope, ModelScope, Permission, PermissionLevel};
///
/// let partner = Permission::InferenceOnly {
///     environments: EnvironmentScope::only(["production".parse()?])?,
///     models: ModelScope::only(["m1aaaaaa".parse()?])?,
/// };
/// assert_eq!(partner.level(), PermissionLevel::InferenceOnly);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "fields::PermissionFields", into = "fields::PermissionFields"))]
#[non_exhaustive]
pub enum Permission {
    /// Deploy, call and manage; restricted to environments, it can only call.
    Full {
        /// The environments it may call.
        environments: EnvironmentScope,
    },
    /// Call models.
    InferenceOnly {
        /// The environments it may call.
        environments: EnvironmentScope,
        /// The models it may call, within those environments.
        models: ModelScope,
    },
    /// Export metrics.
    MetricsOnly {
        /// The models whose metrics it may export.
        models: ModelScope,
    },
}

impl Permission {
    /// Returns the level.
    #[must_use]
    pub const fn level(&self) -> PermissionLevel {
        match self {
            Self::Full { .. } => PermissionLevel::Full,
            Self::InferenceOnly { .. } => PermissionLevel::InferenceOnly,
            Self::MetricsOnly { .. } => PermissionLevel::MetricsOnly,
        }
    }

    /// Returns a reference to the environments; a level that takes no such restriction is not restricted.
    #[must_use]
    pub const fn environments(&self) -> &EnvironmentScope {
        match self {
            Self::Full { environments } | Self::InferenceOnly { environments, .. } => environments,
            Self::MetricsOnly { .. } => &EnvironmentScope::All,
        }
    }

    /// Returns a reference to the models; a level that takes no such restriction is not restricted.
    #[must_use]
    pub const fn models(&self) -> &ModelScope {
        match self {
            Self::InferenceOnly { models, .. } | Self::MetricsOnly { models } => models,
            Self::Full { .. } => &ModelScope::All,
        }
    }
}

/// Whose a key is; as text, `personal:` and a user id, or `team:` and a team id.
///
/// ```
/// use keygate::{KeyKind, Owner};
/// assert_eq!("team:core".parse(), Ok(Owner::Team("core".parse()?)));
/// assert_eq!(Owner::Personal("ada".parse()?).kind(), KeyKind::Personal);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "one variant for each kind of key")]
pub enum Owner {
    /// A user: what the key does is attributed to them, and it ends with them.
    Personal(UserId),
    /// A team and no user.
    Team(TeamId),
}

impl Owner {
    /// Returns the kind of the keys that this owner has.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        match self {
            Self::Personal(_) => KeyKind::Personal,
            Self::Team(_) => KeyKind::Team,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Personal(user) => write!(f, "personal:{user}"),
            Self::Team(team) => write!(f, "team:{team}"),
        }
    }
}

impl FromStr for Owner {
    type Err = InvalidOwner;

    fn from_str(text: &str) -> Result<Self, InvalidOwner> {
        let (kind, id) = text.split_once(':').ok_or(InvalidOwner)?;
        match kind.parse().map_err(|_| InvalidOwner)? {
            KeyKind::Personal => id.parse().map(Self::Personal),
            KeyKind::Team => id.parse().map(Self::Team),
        }
        .map_err(|_| InvalidOwner)
    }
}

text_serde!(Owner);

/// A text that names no owner.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an owner is `personal:` and a user id, or `team:` and a team id")]
#[non_exhaustive]
pub struct InvalidOwner;

/// A key's owner, and what the key may do for them: a personal key acts as its user and takes neither level nor scope.
///
/// ```
/// use keygate::{EnvironmentScope, Grant, KeyKind, Permission};
///
/// let grant = Grant::Team {
///     team: "core".parse()?,
///     permission: Permission::Full { environments: EnvironmentScope::All },
/// };
/// assert_eq!(grant.kind(), KeyKind::Team);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "fields::GrantFields", into = "fields::GrantFields"))]
#[expect(clippy::exhaustive_enums, reason = "one variant for each kind of key")]
pub enum Grant {
    /// Whatever the user may do.
    Personal {
        /// The user as whom the key acts.
        user: UserId,
    },
    /// A permission in one team.
    Team {
        /// The team to which the key is confined.
        team: TeamId,
        /// What it may do there.
        permission: Permission,
    },
}

impl Grant {
    /// Returns the kind of a key with this grant.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        match self {
            Self::Personal { .. } => KeyKind::Personal,
            Self::Team { .. } => KeyKind::Team,
        }
    }

    /// Returns the owner, without allocating.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            Self::Personal { user } => Owner::Personal(user.clone()),
            Self::Team { team, .. } => Owner::Team(team.clone()),
        }
    }

    /// Returns `true` if `owner` is the owner.
    #[must_use]
    pub fn belongs_to(&self, owner: &Owner) -> bool {
        match (self, owner) {
            (Self::Personal { user }, Owner::Personal(id)) => user == id,
            (Self::Team { team, .. }, Owner::Team(id)) => team == id,
            (Self::Personal { .. }, Owner::Team(_)) | (Self::Team { .. }, Owner::Personal(_)) => false,
        }
    }

    /// Returns a reference to the permission of a team key.
    #[must_use]
    pub const fn permission(&self) -> Option<&Permission> {
        match self {
            Self::Personal { .. } => None,
            Self::Team { permission, .. } => Some(permission),
        }
    }
}

/// When a key is valid: `not_before <= now < expires_at`.
///
/// There is no `Default`: a key that never expires is asked for by name.
///
/// ```
/// use keygate::{UnixTime, Validity};
///
/// let week = Validity::between(UnixTime::from_secs(100), UnixTime::from_secs(200))?;
/// assert!(week.contains(UnixTime::from_secs(100)));
/// assert!(!week.contains(UnixTime::from_secs(200)));
/// assert!(Validity::between(UnixTime::from_secs(200), UnixTime::from_secs(200)).is_err());
/// # Ok::<(), keygate::InvalidValidity>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    not_before: Option<UnixTime>,
    expires_at: Option<UnixTime>,
}

impl Validity {
    /// From creation until revoked.
    pub const NEVER_EXPIRES: Self = Self { not_before: None, expires_at: None };

    /// Valid until `expires_at`, which is the first second in which the key is refused.
    #[must_use]
    pub const fn until(expires_at: UnixTime) -> Self {
        Self { not_before: None, expires_at: Some(expires_at) }
    }

    /// Valid from `not_before`, without end.
    #[must_use]
    pub const fn starting_at(not_before: UnixTime) -> Self {
        Self { not_before: Some(not_before), expires_at: None }
    }

    /// Valid from `not_before` until `expires_at`.
    ///
    /// # Errors
    ///
    /// [`InvalidValidity`] if `expires_at` is not after `not_before`.
    pub fn between(not_before: UnixTime, expires_at: UnixTime) -> Result<Self, InvalidValidity> {
        Self::new(Some(not_before), Some(expires_at))
    }

    /// Takes what a record says.
    ///
    /// # Errors
    ///
    /// [`InvalidValidity`] if both are given and `expires_at` is not after `not_before`.
    pub fn new(not_before: Option<UnixTime>, expires_at: Option<UnixTime>) -> Result<Self, InvalidValidity> {
        match (not_before, expires_at) {
            (Some(start), Some(end)) if end <= start => Err(InvalidValidity),
            _ => Ok(Self { not_before, expires_at }),
        }
    }

    /// Returns the first second in which the key is valid, if there is a bound.
    #[must_use]
    pub const fn not_before(&self) -> Option<UnixTime> {
        self.not_before
    }

    /// Returns the first second in which the key is no longer valid, if there is a bound.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// Returns `true` if `now` is before the start.
    #[must_use]
    pub fn is_before_start(&self, now: UnixTime) -> bool {
        self.not_before.is_some_and(|start| now < start)
    }

    /// Returns `true` if `now` is at or after the end.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Returns `true` if the key is valid at `now`.
    #[must_use]
    pub fn contains(&self, now: UnixTime) -> bool {
        !self.is_before_start(now) && !self.is_expired(now)
    }
}

/// An end that is not after the start.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`expires_at` must be after `not_before`")]
#[non_exhaustive]
pub struct InvalidValidity;

#[cfg(feature = "serde")]
mod fields {
    //! The serialized forms: `kind` and `level` are texts, and decide which other fields are there.
    //!
    //! What serde derives for an enum with a tag also takes the number of a variant for its name, and 0 would be `Full`.

    use super::{Grant, Permission};
    use crate::{
        id::{KeyKind, TeamId, UserId},
        level::PermissionLevel,
        scope::{EnvironmentScope, ModelScope},
        serialized::{named_fields, present},
    };

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(remote = "Self", deny_unknown_fields)]
    pub(super) struct PermissionFields {
        level: PermissionLevel,
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        environments: Option<EnvironmentScope>,
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        models: Option<ModelScope>,
    }

    named_fields!(PermissionFields);

    impl From<Permission> for PermissionFields {
        fn from(permission: Permission) -> Self {
            let level = permission.level();
            match permission {
                Permission::Full { environments } => Self { level, environments: Some(environments), models: None },
                Permission::InferenceOnly { environments, models } => {
                    Self { level, environments: Some(environments), models: Some(models) }
                }
                Permission::MetricsOnly { models } => Self { level, environments: None, models: Some(models) },
            }
        }
    }

    impl TryFrom<PermissionFields> for Permission {
        type Error = &'static str;

        fn try_from(fields: PermissionFields) -> Result<Self, Self::Error> {
            let PermissionFields { level, environments, models } = fields;
            match (level, environments, models) {
                (PermissionLevel::Full, Some(environments), None) => Ok(Self::Full { environments }),
                (PermissionLevel::InferenceOnly, Some(environments), Some(models)) => {
                    Ok(Self::InferenceOnly { environments, models })
                }
                (PermissionLevel::MetricsOnly, None, Some(models)) => Ok(Self::MetricsOnly { models }),
                _ => Err("a level has the restrictions that it takes, spelled out, and no others"),
            }
        }
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(remote = "Self", deny_unknown_fields)]
    pub(super) struct GrantFields {
        kind: KeyKind,
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        team: Option<TeamId>,
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        permission: Option<Permission>,
    }

    named_fields!(GrantFields);

    impl From<Grant> for GrantFields {
        fn from(grant: Grant) -> Self {
            let kind = grant.kind();
            match grant {
                Grant::Personal { user } => Self { kind, user: Some(user), team: None, permission: None },
                Grant::Team { team, permission } => {
                    Self { kind, user: None, team: Some(team), permission: Some(permission) }
                }
            }
        }
    }

    impl TryFrom<GrantFields> for Grant {
        type Error = &'static str;

        fn try_from(fields: GrantFields) -> Result<Self, Self::Error> {
            let GrantFields { kind, user, team, permission } = fields;
            match (kind, user, team, permission) {
                (KeyKind::Personal, Some(user), None, None) => Ok(Self::Personal { user }),
                (KeyKind::Team, None, Some(team), Some(permission)) => Ok(Self::Team { team, permission }),
                _ => {
                    Err("a personal grant has a user, a team grant a team and a permission, and neither anything else")
                }
            }
        }
    }
}
