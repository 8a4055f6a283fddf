//! What users are in teams.

/// What a user is in a team, as the service knows it now.
///
/// ```
/// use keygate::{Actor, List, Owner, Reason, Membership, UnixTime, authorize_operation};
///
/// let ada = Actor::User("ada".parse()?);
/// let list = |membership| authorize_operation(&ada, List(Owner::Team("core".parse().unwrap())), membership, UnixTime::MIN);
/// assert!(list(Some(Membership::Admin)).is_ok());
/// assert_eq!(list(Some(Membership::Outsider)).unwrap_err().reason(), Reason::OtherTeam);
/// assert_eq!(list(Some(Membership::Deprovisioned)).unwrap_err().reason(), Reason::OwnerDeprovisioned);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a membership that the policy does not know cannot be decided")]
pub enum Membership {
    /// A member who also manages the team's keys.
    Admin,
    /// No longer with the organization: all personal keys end.
    Deprovisioned,
    /// A member.
    Member,
    /// A user who is not in the team.
    Outsider,
}
