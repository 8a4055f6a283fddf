//! What users are in teams.

/// What a user is in a team, as the service knows it now.
///
/// ```
/// use keygate::{Actor, List, Owner, Reason, Standing, UnixTime, may_manage};
///
/// let ada = Actor::User("ada".parse()?);
/// let list = |standing| may_manage(&ada, List(Owner::Team("core".parse().unwrap())), standing, UnixTime::MIN);
/// assert!(list(Some(Standing::Admin)).is_ok());
/// assert_eq!(list(Some(Standing::Outsider)).unwrap_err().reason(), Reason::OtherTeam);
/// assert_eq!(list(Some(Standing::Deprovisioned)).unwrap_err().reason(), Reason::OwnerDeprovisioned);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a standing that the policy does not know cannot be decided")]
pub enum Standing {
    /// A member who also manages the team's keys.
    Admin,
    /// No longer with the organization: all personal keys end.
    Deprovisioned,
    /// A member.
    Member,
    /// A user who is not in the team.
    Outsider,
}
