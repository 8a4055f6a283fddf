//! Permissions of keys: of the caller's own, and a dry run for another one.

use std::sync::Arc;

use axum::{Json, extract::State};
use keygate::{
    Action, Actor, AuthenticatedKey, EnvironmentName, Grant, ModelId, Request, ResourceId, TeamId, TeamRole,
    audit::Principal, http::Refusal, store::Directory as _,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    key::{self, KeyInfo},
    problem::{Body, Failure, Problem, Segment},
};
use crate::app::{ACTIONS, App};

/// The use to decide.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WouldDo {
    /// `call`, `deploy`, `export_metrics`, `manage`, or an action of this service.
    pub(crate) action: String,
    /// The team of the resource, where the action names no model.
    #[serde(default)]
    pub(crate) team_id: Option<String>,
    #[serde(default)]
    pub(crate) model_id: Option<String>,
    #[serde(default)]
    pub(crate) environment: Option<String>,
    #[serde(default)]
    pub(crate) resource: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Explanation {
    pub(crate) allowed: bool,
    /// The rule that refuses.
    pub(crate) reason: Option<String>,
    /// A description of what would suffice.
    pub(crate) missing: Option<String>,
}

/// Explains what a key would be allowed, and what is missing
///
/// Nothing is done, and nobody presents the key's secret: it is the decision that the key would get now.
#[utoipa::path(
    post, path = "/v1/api_keys/{prefix}/check", tag = "keys", operation_id = "check_api_key",
    params(("prefix" = String, Path)), request_body = WouldDo,
    responses(
        (status = 200, body = Explanation),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn check(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Segment(prefix): Segment,
    Body(would_do): Body<WouldDo>,
) -> Result<Json<Explanation>, Failure> {
    let id = key::key_id(&app, &prefix).await?;
    Ok(Json(explain_for(&app, &Actor::from(&caller), id, &would_do).await?))
}

/// Explains what a key that the actor may see would be answered.
pub(crate) async fn explain_for(
    app: &App,
    actor: &Actor,
    id: keygate::KeyId,
    would_do: &WouldDo,
) -> Result<Explanation, Failure> {
    let record = app.keys.find(actor, id).await?;
    let wanted = Wanted::read(would_do)?;
    let team = wanted.team(app, would_do, record.grant())?;
    // A team that the one who asks is not in does not exist for them, nor does a model of it.
    let is_seen = match (actor.principal(), record.grant()) {
        (Principal::Key { user: Some(user), .. } | Principal::User { id: user, .. }, _) => {
            app.database.membership(&user, &team).await?.role() != TeamRole::Outsider
        }
        (_, Grant::Team { team: own, .. }) => team == *own,
        _ => false,
    };
    if !is_seen {
        return Err(Refusal::NotFound.into());
    }
    let request = Request::new(team, wanted.action(would_do)?);
    let dry_run = app.keys.dry_run(actor, id, request).await?;
    Ok(Explanation {
        allowed: dry_run.denial().is_none(),
        reason: dry_run.denial().map(|denial| denial.reason().to_string()),
        missing: dry_run.requirement().map(|missing| missing.to_string()),
    })
}

/// The resources that the request names, beside its team.
struct Wanted {
    model: Option<ModelId>,
    environment: Option<EnvironmentName>,
    resource: Option<ResourceId>,
}

impl Wanted {
    fn read(would_do: &WouldDo) -> Result<Self, Failure> {
        fn parsed<T: core::str::FromStr<Err: core::fmt::Display>>(
            field: &'static str,
            text: Option<&String>,
        ) -> Result<Option<T>, Failure> {
            let parsed = text.map(|text| text.parse()).transpose();
            parsed.map_err(|error| Failure::invalid(field, format_args!("`{field}`: {error}")))
        }
        Ok(Self {
            model: parsed("model_id", would_do.model_id.as_ref())?,
            environment: parsed("environment", would_do.environment.as_ref())?,
            resource: parsed("resource", would_do.resource.as_ref())?,
        })
    }

    /// The team is that of the model, or the one that is named, or that of the key.
    fn team(&self, app: &App, would_do: &WouldDo, grant: &Grant) -> Result<TeamId, Failure> {
        match (&self.model, &would_do.team_id, grant) {
            (Some(model), ..) => Ok(app.platform.now()?.model(model).ok_or(Refusal::NotFound)?.team.clone()),
            (None, Some(team), _) => Ok(team.parse().map_err(|_| Refusal::NotFound)?),
            (None, None, Grant::Team { team, .. }) => Ok(team.clone()),
            (None, None, _) => Err(Failure::invalid("team_required", "say of which team the resource is: `team_id`")),
        }
    }

    fn action(self, would_do: &WouldDo) -> Result<Action, Failure> {
        Ok(match (would_do.action.as_str(), self.model) {
            ("call", Some(model)) => Action::call(model, self.environment),
            ("call", None) => return Err(Failure::invalid("model_required", "`call` names a model: `model_id`")),
            ("deploy", _) => Action::Deploy,
            ("export_metrics", model) => Action::export_metrics(model),
            ("manage", _) => Action::Manage,
            (name, _) => {
                let name = name.parse().ok();
                let action = name.and_then(|name| ACTIONS.find(&name));
                let action = action.ok_or(Failure::invalid("unknown_action", "this service has no such action"))?;
                Action::custom(action, self.environment, self.resource)
            }
        })
    }
}

/// Shows the key that asks
#[utoipa::path(
    get, path = "/v1/whoami", tag = "keys", operation_id = "who_am_i",
    responses(
        (status = 200, body = KeyInfo),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn who_am_i(State(app): State<Arc<App>>, caller: AuthenticatedKey) -> Result<Json<KeyInfo>, Failure> {
    let snapshot = app.platform.now()?;
    let info = KeyInfo::of(caller.matched().record(), &snapshot, app.gate.now());
    Ok(Json(if caller.user().is_some() { info } else { info.without_people() }))
}
