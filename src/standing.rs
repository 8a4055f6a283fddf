//! What users are in teams.

/// What a user is in a team, as the service knows it now.
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
