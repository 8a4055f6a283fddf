//! The caller of a request, and the team that it names.

use keygate::{AuthenticatedKey, Grant, Owner, TeamId, TeamRole, UserId, http::Refusal, store::Directory as _};

use super::problem::Failure;
use crate::{app::App, platform::Snapshot};

/// Returns the user of the key, where it is a personal one.
pub(super) fn user(key: &AuthenticatedKey) -> Result<&UserId, Failure> {
    key.user().ok_or(Failure::Refusal(Refusal::Closed))
}

/// Returns the team that is meant where the request names none: that of a team key, or the only one of a user.
///
/// # Errors
///
/// 400 where it is not clear.
pub(super) async fn default_team(app: &App, key: &AuthenticatedKey, snapshot: &Snapshot) -> Result<TeamId, Failure> {
    if let Grant::Team { team, .. } = key.grant() {
        return Ok(team.clone());
    }
    let teams = teams_of(app, user(key)?, snapshot, |role| role != TeamRole::Outsider).await?;
    match <[TeamId; 1]>::try_from(teams) {
        Ok([team]) => Ok(team),
        Err(_) => Err(Failure::invalid("team_required", "say for which team: `team_id`, or in the path")),
    }
}

/// Returns the owners whose keys the caller may list.
pub(super) async fn owners(app: &App, key: &AuthenticatedKey, snapshot: &Snapshot) -> Result<Vec<Owner>, Failure> {
    if let Grant::Team { team, .. } = key.grant() {
        // The manager refuses, by the rule that it has for team keys.
        return Ok(vec![Owner::Team(team.clone())]);
    }
    owners_of(app, user(key)?, snapshot).await
}

/// Returns the owners whose keys a user may list: the user, and the teams that they administer.
pub(crate) async fn owners_of(app: &App, user: &UserId, snapshot: &Snapshot) -> Result<Vec<Owner>, Failure> {
    let teams = teams_of(app, user, snapshot, |role| role == TeamRole::Admin).await?;
    Ok([Owner::Personal(user.clone())].into_iter().chain(teams.into_iter().map(Owner::Team)).collect())
}

/// Returns the teams in which a user has such a role.
pub(crate) async fn teams_of(
    app: &App,
    user: &UserId,
    snapshot: &Snapshot,
    is_wanted: impl Fn(TeamRole) -> bool,
) -> Result<Vec<TeamId>, Failure> {
    let mut teams = Vec::new();
    for (team, _) in snapshot.teams() {
        if is_wanted(app.database.membership(user, team).await?.role()) {
            teams.push(team.clone());
        }
    }
    Ok(teams)
}

/// Reads the part of a path, or of a body, that names a team. One that the caller is not in does not exist for them.
pub(super) async fn team_id(
    app: &App,
    key: &AuthenticatedKey,
    text: &str,
    snapshot: &Snapshot,
) -> Result<TeamId, Failure> {
    let team: TeamId = text.parse().map_err(|_| Refusal::NotFound)?;
    let is_seen = snapshot.team_name(&team).is_some()
        && match (key.grant(), key.user()) {
            (Grant::Team { team: own, .. }, _) => team == *own,
            (_, Some(user)) => app.database.membership(user, &team).await?.role() != TeamRole::Outsider,
            _ => false,
        };
    if is_seen { Ok(team) } else { Err(Refusal::NotFound.into()) }
}
