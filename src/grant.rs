//! The grant of a key: its owner, its permission, and when it is valid. Immutable once minted.

use core::{fmt, str::FromStr};

#[cfg(feature = "serde")]
use crate::serialized::{named_fields, present};
use crate::{
    id::{KeyKind, TeamId, UserId},
    level::PermissionLevel,
    own_action::{ActionName, DEPLOY, EXPORT_METRICS, MANAGE},
    scope::{EnvironmentScope, InvalidScope, ModelScope, NonEmptySet, ResourceScope, Scope},
    text::text_serde,
    time::UnixTime,
};

/// The permission of a team key: a level, with the restrictions that the level takes and no others.
///
/// ```
/// use keygate::{EnvironmentScope, ModelScope, Permission, PermissionLevel};
///
/// let partner = Permission::inference_only(
///     EnvironmentScope::only(["production".parse()?])?,
///     ModelScope::only(["m1aaaaaa".parse()?])?,
/// );
/// assert_eq!(partner.level(), PermissionLevel::InferenceOnly);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "PermissionParts", into = "PermissionParts"))]
#[non_exhaustive]
pub enum Permission {
    /// The actions that it lists.
    #[non_exhaustive]
    Custom {
        /// The actions.
        actions: NonEmptySet<ActionName>,
        /// The environments that it may act in.
        environments: EnvironmentScope,
        /// The resources that it may act on.
        resources: ResourceScope,
    },
    /// Every action but the explicit ones; restricted to environments, it can only call.
    #[non_exhaustive]
    Full {
        /// The environments it may call.
        environments: EnvironmentScope,
    },
    /// Call models.
    #[non_exhaustive]
    InferenceOnly {
        /// The environments it may call.
        environments: EnvironmentScope,
        /// The models it may call, within those environments.
        models: ModelScope,
    },
    /// Export metrics.
    #[non_exhaustive]
    MetricsOnly {
        /// The models whose metrics it may export.
        models: ModelScope,
    },
}

impl Permission {
    /// Every action that full access covers, in these environments.
    #[must_use]
    pub const fn full(environments: EnvironmentScope) -> Self {
        Self::Full { environments }
    }

    /// Calls of these models, in these environments.
    #[must_use]
    pub const fn inference_only(environments: EnvironmentScope, models: ModelScope) -> Self {
        Self::InferenceOnly { environments, models }
    }

    /// Metrics of these models.
    #[must_use]
    pub const fn metrics_only(models: ModelScope) -> Self {
        Self::MetricsOnly { models }
    }

    /// These actions, built-in ones or the service's own, in these environments and on these resources.
    ///
    /// ```
    /// use keygate::{EnvironmentScope, Permission, ResourceScope};
    ///
    /// let actions = ["projects:read".parse()?, "call".parse()?];
    /// let permission = Permission::custom(actions, EnvironmentScope::All, ResourceScope::All)?;
    /// assert_eq!(permission.actions().map(|actions| actions.len()), Some(2));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidScope::Empty`] if no action is listed.
    pub fn custom(
        actions: impl IntoIterator<Item = ActionName>,
        environments: EnvironmentScope,
        resources: ResourceScope,
    ) -> Result<Self, InvalidScope> {
        Ok(Self::Custom { actions: NonEmptySet::new(actions)?, environments, resources })
    }

    /// Returns the level.
    #[must_use]
    pub const fn level(&self) -> PermissionLevel {
        match self {
            Self::Custom { .. } => PermissionLevel::Custom,
            Self::Full { .. } => PermissionLevel::Full,
            Self::InferenceOnly { .. } => PermissionLevel::InferenceOnly,
            Self::MetricsOnly { .. } => PermissionLevel::MetricsOnly,
        }
    }

    /// Returns the actions of a custom permission.
    #[must_use]
    pub const fn actions(&self) -> Option<&NonEmptySet<ActionName>> {
        match self {
            Self::Custom { actions, .. } => Some(actions),
            Self::Full { .. } | Self::InferenceOnly { .. } | Self::MetricsOnly { .. } => None,
        }
    }

    /// Returns the environments; a level that takes no such restriction is not restricted.
    #[must_use]
    pub const fn environments(&self) -> &EnvironmentScope {
        match self {
            Self::Custom { environments, .. }
            | Self::Full { environments }
            | Self::InferenceOnly { environments, .. } => environments,
            Self::MetricsOnly { .. } => &EnvironmentScope::All,
        }
    }

    /// Returns the models; a level that takes no such restriction is not restricted.
    #[must_use]
    pub const fn models(&self) -> &ModelScope {
        match self {
            Self::InferenceOnly { models, .. } | Self::MetricsOnly { models } => models,
            Self::Custom { .. } | Self::Full { .. } => &ModelScope::All,
        }
    }

    /// Returns the resources; a level that takes no such restriction is not restricted.
    #[must_use]
    pub const fn resources(&self) -> &ResourceScope {
        match self {
            Self::Custom { resources, .. } => resources,
            Self::Full { .. } | Self::InferenceOnly { .. } | Self::MetricsOnly { .. } => &ResourceScope::All,
        }
    }

    /// Returns `true` if no listed action could be allowed to a key with these restrictions, whatever it asks for.
    ///
    /// `deploy` and `manage` name neither an environment nor a resource, and `export_metrics` names no environment.
    pub(crate) fn lists_action_never_allowed(&self) -> bool {
        let Self::Custom { actions, environments, resources } = self else { return false };
        let is_in_environments = *environments != Scope::All;
        let is_restricted = is_in_environments || *resources != Scope::All;
        is_restricted && (actions.contains_text(DEPLOY) || actions.contains_text(MANAGE))
            || is_in_environments && actions.contains_text(EXPORT_METRICS)
    }
}

/// A permission as plain data, for stores: it has the restrictions that its level takes, and nothing else.
///
/// It becomes a [`Permission`] by `TryFrom`, which checks this.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(remote = "Self", deny_unknown_fields))]
#[expect(clippy::exhaustive_structs, reason = "a restriction that a store does not hold would be lost")]
pub struct PermissionParts {
    /// The level.
    pub level: PermissionLevel,
    /// The listed actions: of custom permissions.
    #[cfg_attr(
        feature = "serde",
        serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")
    )]
    pub actions: Option<NonEmptySet<ActionName>>,
    /// The environments: of all levels but metrics only.
    #[cfg_attr(
        feature = "serde",
        serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")
    )]
    pub environments: Option<EnvironmentScope>,
    /// The models: of inference only and metrics only.
    #[cfg_attr(
        feature = "serde",
        serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")
    )]
    pub models: Option<ModelScope>,
    /// The resources: of custom permissions.
    #[cfg_attr(
        feature = "serde",
        serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")
    )]
    pub resources: Option<ResourceScope>,
}

#[cfg(feature = "serde")]
named_fields!(PermissionParts);

impl From<Permission> for PermissionParts {
    fn from(permission: Permission) -> Self {
        let level = permission.level();
        let none = Self { level, actions: None, environments: None, models: None, resources: None };
        match permission {
            Permission::Custom { actions, environments, resources } => {
                Self { actions: Some(actions), environments: Some(environments), resources: Some(resources), ..none }
            }
            Permission::Full { environments } => Self { environments: Some(environments), ..none },
            Permission::InferenceOnly { environments, models } => {
                Self { environments: Some(environments), models: Some(models), ..none }
            }
            Permission::MetricsOnly { models } => Self { models: Some(models), ..none },
        }
    }
}

impl TryFrom<PermissionParts> for Permission {
    type Error = InvalidPermission;

    fn try_from(parts: PermissionParts) -> Result<Self, InvalidPermission> {
        let PermissionParts { level, actions, environments, models, resources } = parts;
        match (level, actions, environments, models, resources) {
            (PermissionLevel::Custom, Some(actions), Some(environments), None, Some(resources)) => {
                Ok(Self::Custom { actions, environments, resources })
            }
            (PermissionLevel::Full, None, Some(environments), None, None) => Ok(Self::Full { environments }),
            (PermissionLevel::InferenceOnly, None, Some(environments), Some(models), None) => {
                Ok(Self::InferenceOnly { environments, models })
            }
            (PermissionLevel::MetricsOnly, None, None, Some(models), None) => Ok(Self::MetricsOnly { models }),
            _ => Err(InvalidPermission),
        }
    }
}

/// A level without a restriction that it takes, or with one that it does not take.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a level has the restrictions that it takes, spelled out, and no others")]
#[non_exhaustive]
pub struct InvalidPermission;

/// The owner of a key; as text, `personal:` and a user id, or `team:` and a team id.
///
/// ```
/// use keygate::{KeyKind, Owner};
/// assert_eq!("team:core".parse(), Ok(Owner::Team("core".parse()?)));
/// assert_eq!(Owner::Personal("ada".parse()?).kind(), KeyKind::Personal);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Owner {
    /// A user: the key's actions are attributed to them, and it ends with them.
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

/// A key's owner and permission: a personal key acts as its user and takes neither level nor scope.
///
/// ```
/// use keygate::{EnvironmentScope, Grant, KeyKind, Permission};
///
/// let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
/// assert_eq!(grant.kind(), KeyKind::Team);
/// assert_eq!(Grant::personal("ada".parse()?).permission(), None);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "fields::GrantFields", into = "fields::GrantFields"))]
#[non_exhaustive]
pub enum Grant {
    /// All that the user may do.
    #[non_exhaustive]
    Personal {
        /// The user that the key acts as.
        user: UserId,
    },
    /// A permission in one team.
    #[non_exhaustive]
    Team {
        /// The team that the key is confined to.
        team: TeamId,
        /// The key's permission there.
        permission: Permission,
    },
}

impl Grant {
    /// All that `user` may do.
    #[must_use]
    pub const fn personal(user: UserId) -> Self {
        Self::Personal { user }
    }

    /// A permission in `team`.
    #[must_use]
    pub const fn team(team: TeamId, permission: Permission) -> Self {
        Self::Team { team, permission }
    }

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

    /// Returns the user of a personal key.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::Personal { user } => Some(user),
            Self::Team { .. } => None,
        }
    }

    /// Returns the permission of a team key.
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
/// There is no `Default`: "never expires" is spelled out.
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

    /// Takes the bounds in a record.
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
    //! The serialized form of a grant: `kind` is a text, and decides which other fields are there.
    //!
    //! The derived code for an enum with a tag also takes a variant's number for its name, and 0 would be `Full`.

    use super::{Grant, Permission};
    use crate::{
        id::{KeyKind, TeamId, UserId},
        serialized::{named_fields, present},
    };

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
