//! Why a request or an operation is refused: one list for [`policy`](crate::policy) and [`manage`](crate::manage).

use core::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal: $class:ident;)*) => {
        /// The rule that refused.
        ///
        /// ```
        /// use keygate::{DenialClass, Reason};
        ///
        /// assert_eq!(Reason::Expired.class(), DenialClass::NotAuthenticated);
        /// assert_eq!(Reason::ModelNotInScope.class(), DenialClass::NotAllowed);
        /// assert_eq!(Reason::ModelNotInScope.as_str(), "model_not_in_scope");
        /// ```
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[doc = $doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the name used in logs and answers, which is stable.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Returns the class of the refusal.
            #[must_use]
            pub const fn class(self) -> DenialClass {
                match self {
                    $(Self::$name => DenialClass::$class,)*
                }
            }
        }
    };
}

reasons! {
    /// No level and no list of the key covers the action.
    ActionNotInScope = "action_not_in_scope": NotAllowed;
    /// The key is disabled.
    Disabled = "disabled": NotAuthenticated;
    /// The key is restricted to environments, and the request names one that is not among them.
    EnvironmentNotInScope = "environment_not_in_scope": NotAllowed;
    /// The key is restricted to environments, and the request names none.
    EnvironmentRequired = "environment_required": NotAllowed;
    /// The key has full access restricted to environments, so it can only call.
    EnvironmentScoped = "environment_scoped": NotAllowed;
    /// The key has expired.
    Expired = "expired": NotAuthenticated;
    /// The level, or the user's role in the team, does not cover the action.
    LevelInsufficient = "level_insufficient": NotAllowed;
    /// The key is personal, and its user's membership was not given: ask the directory and decide again.
    MembershipRequired = "membership_required": Undecided;
    /// The key is restricted to models, and the request names one that is not among them.
    ModelNotInScope = "model_not_in_scope": NotAllowed;
    /// The key is restricted to models, and the request names none.
    ModelRequired = "model_required": NotAllowed;
    /// The key is not valid yet.
    NotYetValid = "not_yet_valid": NotAuthenticated;
    /// The key or the record is of another issuer.
    OtherIssuer = "other_issuer": NotAuthenticated;
    /// The target belongs to another team, or the user is not in the team.
    OtherTeam = "other_team": NotAllowed;
    /// The target belongs to another user.
    OtherUser = "other_user": NotAllowed;
    /// The target would outlive the acting key.
    OutlivesActor = "outlives_actor": NotAllowed;
    /// The user is deprovisioned, or came back as another incarnation; the key is due to be revoked.
    OwnerDeprovisioned = "owner_deprovisioned": NotAuthenticated;
    /// The key is restricted to resources, and the request names one that is not among them.
    ResourceNotInScope = "resource_not_in_scope": NotAllowed;
    /// The key is restricted to resources, and the request names none.
    ResourceRequired = "resource_required": NotAllowed;
    /// The key is revoked.
    Revoked = "revoked": NotAuthenticated;
    /// Only a signed-in user can do this, not a key.
    SessionRequired = "session_required": NotAllowed;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The class of a refusal: what it says about the caller.
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
    /// Not a usable key, or no longer one: 401 in HTTP.
    NotAuthenticated,
    /// Neither: an input of the decision is missing, so nothing is allowed: 503 in HTTP.
    Undecided,
}
