//! The answers of a directory about a user.

/// A user's membership in a team, as the service knows it now.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TeamRole {
    /// A member who also manages the team's keys.
    Admin,
    /// No longer a user: all their personal keys end.
    Deprovisioned,
    /// A member.
    Member,
    /// A user who is not in the team.
    Outsider,
}

/// An opaque number that changes when a user is provisioned again.
///
/// It is written into a personal key when the key is minted. A user who comes back has another one, so no old key of
/// theirs opens, whatever raced with deprovisioning. Count it up, or derive it from the row of the user.
///
/// ```
/// use keygate::Incarnation;
/// assert_eq!(Incarnation::new(7).get(), 7);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Incarnation(i64);

impl Incarnation {
    /// Takes the service's own number.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Incarnation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Incarnation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The strictness of a time, which is a whole number of the same range.
        <crate::time::UnixTime as serde::Deserialize>::deserialize(deserializer).map(|number| Self(number.as_secs()))
    }
}

/// A directory's answer about a user and a team: the role, and the user's present incarnation if there is one.
///
/// ```
/// use keygate::{Incarnation, Membership, TeamRole};
///
/// let membership = Membership::from(TeamRole::Member).with_incarnation(Incarnation::new(7));
/// assert_eq!(membership.role(), TeamRole::Member);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Membership {
    role: TeamRole,
    incarnation: Option<Incarnation>,
}

impl Membership {
    /// Sets the user's present incarnation.
    #[must_use]
    pub const fn with_incarnation(self, incarnation: Incarnation) -> Self {
        Self { role: self.role, incarnation: Some(incarnation) }
    }

    /// Returns the user's role in the team.
    #[must_use]
    pub const fn role(self) -> TeamRole {
        self.role
    }

    /// Returns the user's present incarnation, if the directory counts them.
    #[must_use]
    pub const fn incarnation(self) -> Option<Incarnation> {
        self.incarnation
    }

    /// Returns the role that the user of a key with this incarnation has: a key of an earlier one has no user any more.
    pub(crate) fn role_of(self, minted_for: Option<Incarnation>) -> TeamRole {
        match minted_for {
            Some(_) if minted_for != self.incarnation => TeamRole::Deprovisioned,
            _ => self.role,
        }
    }
}

impl From<TeamRole> for Membership {
    fn from(role: TeamRole) -> Self {
        Self { role, incarnation: None }
    }
}

/// A directory's answer about a user alone.
///
/// ```
/// use keygate::{Incarnation, UserStatus};
/// assert_ne!(UserStatus::active(), UserStatus::Deprovisioned);
/// assert_ne!(UserStatus::active(), UserStatus::active_as(Incarnation::new(7)));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum UserStatus {
    /// A user.
    #[non_exhaustive]
    Active {
        /// The user's present incarnation, if the directory counts them.
        incarnation: Option<Incarnation>,
    },
    /// No longer, or never, a user.
    Deprovisioned,
}

impl UserStatus {
    /// A user, in a directory that counts no incarnations.
    #[must_use]
    pub const fn active() -> Self {
        Self::Active { incarnation: None }
    }

    /// A user in their present incarnation.
    #[must_use]
    pub const fn active_as(incarnation: Incarnation) -> Self {
        Self::Active { incarnation: Some(incarnation) }
    }
}

/// A user is, for a team that is not looked up, an outsider.
impl From<UserStatus> for Membership {
    fn from(status: UserStatus) -> Self {
        match status {
            UserStatus::Active { incarnation } => Self { role: TeamRole::Outsider, incarnation },
            UserStatus::Deprovisioned => Self { role: TeamRole::Deprovisioned, incarnation: None },
        }
    }
}

impl From<Membership> for UserStatus {
    fn from(membership: Membership) -> Self {
        match membership.role {
            TeamRole::Deprovisioned => Self::Deprovisioned,
            TeamRole::Admin | TeamRole::Member | TeamRole::Outsider => {
                Self::Active { incarnation: membership.incarnation }
            }
        }
    }
}
