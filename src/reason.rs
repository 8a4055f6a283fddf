//! Why a request or an operation is refused: one list for [`policy`](crate::policy) and [`manage`](crate::manage).

use core::fmt;

/// The rule that refused.
///
/// ```
/// use keygate::{DenialClass, Reason};
///
/// assert_eq!(Reason::Expired.class(), DenialClass::NotAuthenticated);
/// assert_eq!(Reason::ModelNotInScope.class(), DenialClass::NotAllowed);
/// assert!(Reason::ModelNotInScope.reveals_existence());
/// assert_eq!(Reason::ModelNotInScope.as_str(), "model_not_in_scope");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// The key is set aside.
    Disabled,
    /// The key is restricted to environments, and the call names one that is not among them.
    EnvironmentNotInScope,
    /// The key is restricted to environments, and the call is served by a deployment in none.
    EnvironmentRequired,
    /// The key is restricted to environments, so it can only call.
    EnvironmentScoped,
    /// The key's time is over.
    Expired,
    /// The level, or the user's membership in the team, does not cover it.
    LevelInsufficient,
    /// The key is restricted to models, and the request names one that is not among them.
    ModelNotInScope,
    /// The key is restricted to models, and the request names none.
    ModelRequired,
    /// The key's time has not come.
    NotYetValid,
    /// It belongs to another team, or the user is not in the team.
    OtherTeam,
    /// It belongs to another user.
    OtherUser,
    /// The user is no longer with us; the key is due to be revoked.
    OwnerDeprovisioned,
    /// The key is ended for good.
    Revoked,
    /// Only a signed-in user can do it, not a key.
    SessionRequired,
    /// The user's membership decides, and it was not given: look it up and decide again.
    MembershipRequired,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::Disabled,
        Self::EnvironmentNotInScope,
        Self::EnvironmentRequired,
        Self::EnvironmentScoped,
        Self::Expired,
        Self::LevelInsufficient,
        Self::ModelNotInScope,
        Self::ModelRequired,
        Self::NotYetValid,
        Self::OtherTeam,
        Self::OtherUser,
        Self::OwnerDeprovisioned,
        Self::Revoked,
        Self::SessionRequired,
        Self::MembershipRequired,
    ];

    /// Returns the name used in logs and responses, which is stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::EnvironmentNotInScope => "environment_not_in_scope",
            Self::EnvironmentRequired => "environment_required",
            Self::EnvironmentScoped => "environment_scoped",
            Self::Expired => "expired",
            Self::LevelInsufficient => "level_insufficient",
            Self::ModelNotInScope => "model_not_in_scope",
            Self::ModelRequired => "model_required",
            Self::NotYetValid => "not_yet_valid",
            Self::OtherTeam => "other_team",
            Self::OtherUser => "other_user",
            Self::OwnerDeprovisioned => "owner_deprovisioned",
            Self::Revoked => "revoked",
            Self::SessionRequired => "session_required",
            Self::MembershipRequired => "membership_required",
        }
    }

    /// Returns what the refusal says of the one who asks.
    #[must_use]
    pub const fn class(self) -> DenialClass {
        match self {
            // Rules 1 and 2, and a user who is gone: there is nobody for whom the key speaks.
            Self::Disabled | Self::Expired | Self::NotYetValid | Self::OwnerDeprovisioned | Self::Revoked => {
                DenialClass::NotAuthenticated
            }
            Self::EnvironmentNotInScope
            | Self::EnvironmentRequired
            | Self::EnvironmentScoped
            | Self::LevelInsufficient
            | Self::ModelNotInScope
            | Self::ModelRequired
            | Self::OtherTeam
            | Self::OtherUser
            | Self::SessionRequired => DenialClass::NotAllowed,
            Self::MembershipRequired => DenialClass::Undecided,
        }
    }

    /// Returns `true` if the refusal shows that something exists, so that a service may prefer to answer its own 404.
    #[must_use]
    pub const fn reveals_existence(self) -> bool {
        match self {
            Self::ModelNotInScope | Self::OtherTeam => true,
            Self::Disabled
            | Self::EnvironmentNotInScope
            | Self::EnvironmentRequired
            | Self::EnvironmentScoped
            | Self::Expired
            | Self::LevelInsufficient
            | Self::ModelRequired
            | Self::NotYetValid
            | Self::OtherUser
            | Self::OwnerDeprovisioned
            | Self::Revoked
            | Self::SessionRequired
            | Self::MembershipRequired => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a refusal says of the one who asks.
///
/// ```
/// use keygate::{DenialClass, Reason};
/// assert_eq!(Reason::Revoked.class(), DenialClass::NotAuthenticated);
/// assert_eq!(Reason::LevelInsufficient.class(), DenialClass::NotAllowed);
/// assert_eq!(Reason::MembershipRequired.class(), DenialClass::Undecided);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DenialClass {
    /// Known, and not allowed: 403 in HTTP.
    NotAllowed,
    /// Not, or no longer, a key that opens anything: 401 in HTTP.
    NotAuthenticated,
    /// Neither: something that decides was not given, so nothing is allowed: 503 in HTTP.
    Undecided,
}
