//! Users who leave.

use std::sync::Arc;

use axum::{Json, extract::State};
use keygate::{
    AuthenticatedKey, Owner, System, UserId, UserStatus,
    http::Refusal,
    store::{Directory as _, KeysOf, ListQuery, StatusFilter},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller,
    problem::{Failure, Parameters, Problem, Segment},
};
use crate::app::App;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DryRun {
    /// Ends nothing, and says what would end.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Deprovisioned {
    pub(crate) user_id: String,
    /// The keys that ended, or would end.
    pub(crate) key_ids: Vec<String>,
    pub(crate) dry_run: bool,
}

/// Deprovisions a user, and ends their personal keys
///
/// For administrators. It can be repeated: what is left ends then.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/deprovision", tag = "users", operation_id = "deprovision_user",
    params(("user_id" = String, Path), DryRun),
    responses(
        (status = 200, body = Deprovisioned),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn deprovision(
    State(app): State<Arc<App>>,
    key: AuthenticatedKey,
    Segment(user): Segment,
    Parameters(DryRun { dry_run }): Parameters<DryRun>,
) -> Result<Json<Deprovisioned>, Failure> {
    let by = caller::user(&key)?;
    let user: UserId = user.parse().map_err(|_| Refusal::NotFound)?;
    Ok(Json(deprovision_by(&app, by, &user, dry_run).await?))
}

/// Deprovisions a user as an administrator.
pub(crate) async fn deprovision_by(
    app: &App,
    by: &UserId,
    user: &UserId,
    dry_run: bool,
) -> Result<Deprovisioned, Failure> {
    let snapshot = app.platform.now()?;
    let is_active = app.database.user(by).await? != UserStatus::Deprovisioned;
    if !is_active || !snapshot.user(by).is_some_and(|profile| profile.is_administrator) {
        return Err(Refusal::Closed.into());
    }
    if snapshot.user(user).is_none() {
        return Err(Refusal::NotFound.into());
    }
    if by == user {
        return Err(Failure::invalid("yourself", "an administrator does not deprovision themselves"));
    }
    let system = System::new(&format!("deprovisioned by {by}")).map_err(|_| Refusal::Unavailable)?;
    let keys = if dry_run {
        let mut query = ListQuery::new();
        query.filter.status = Some(StatusFilter::NotRevoked);
        let mut ids = Vec::new();
        loop {
            let page = app.keys.list_all(&system, KeysOf::Owner(Owner::Personal(user.clone())), query).await?;
            ids.extend(page.records.iter().map(|record| record.id()));
            let Some(next) = page.next else { break ids };
            query.after = Some(next);
        }
    } else {
        // First the user, from whom on no key of theirs opens anything.
        app.users.deprovision(user).await?;
        app.keys.deprovision(&system, user).await?
    };
    Ok(Deprovisioned { user_id: user.to_string(), key_ids: keys.iter().map(ToString::to_string).collect(), dry_run })
}
