//! Calls of models that echo, and deployments of them.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use keygate::{Attribution, Authorization, EnvironmentName, http::Refusal};
use serde::Deserialize;
use serde_json::{Value, json};

use super::resolve::Target;
use crate::{
    api::problem::{Body, Failure},
    app::App,
    database::execute,
    random,
};

type Answer = Result<Response, Failure>;

/// Serves what was allowed: the model in the authorization, by the deployment that was resolved with it.
pub(super) async fn predict(
    State(app): State<Arc<App>>,
    authorization: Authorization,
    Extension(target): Extension<Target>,
    Body(input): Body<Value>,
) -> Answer {
    // The body may have taken its time.
    let authorization = app.still_allowed(authorization).await?;
    Ok(Json(output(&authorization, &target, input)).into_response())
}

/// Takes the request, and answers with an id to ask for the output with.
pub(super) async fn async_predict(
    State(app): State<Arc<App>>,
    authorization: Authorization,
    Extension(target): Extension<Target>,
    Body(input): Body<Value>,
) -> Answer {
    let authorization = app.still_allowed(authorization).await?;
    let Target::Deployment(deployment) = &target else { return Err(Refusal::NotFound.into()) };
    let id = random::hex::<16>().map_err(|_| Refusal::Unavailable)?;
    let output = output(&authorization, &target, input).to_string();
    let insert = "INSERT INTO gateway_async_requests (id, deployment_id, output, created_at) VALUES ($1, $2, $3, $4)";
    let now = app.gate.now().as_secs();
    execute!(&app.database, insert, &id, deployment, &output, now)?;
    Ok((StatusCode::CREATED, Json(json!({ "request_id": id }))).into_response())
}

pub(super) async fn async_request(_: Authorization, Extension(target): Extension<Target>) -> Answer {
    match target {
        Target::Output(output) => Ok(([(CONTENT_TYPE, "application/json")], output).into_response()),
        _ => Err(Refusal::NotFound.into()),
    }
}

/// A model that echoes is always awake.
pub(super) async fn wake(_: Authorization) -> StatusCode {
    StatusCode::ACCEPTED
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDeployment {
    environment: EnvironmentName,
}

/// Makes a deployment, and puts it into an environment: `Deploy` names a team and no model, so the model is the one
/// that was resolved for the decision.
pub(super) async fn deploy(
    State(app): State<Arc<App>>,
    authorization: Authorization,
    Extension(target): Extension<Target>,
    Body(new): Body<NewDeployment>,
) -> Answer {
    let authorization = app.still_allowed(authorization).await?;
    let Target::Model(model) = target else { return Err(Refusal::NotFound.into()) };
    let id = format!("d{}", random::hex::<16>().map_err(|_| Refusal::Unavailable)?);
    let insert = "INSERT INTO gateway_deployments (id, model_id) VALUES ($1, $2)";
    execute!(&app.database, insert, &id, model.as_str())?;
    let promote = "INSERT INTO gateway_environments (model_id, name, deployment_id) VALUES ($1, $2, $3) \
                   ON CONFLICT (model_id, name) DO UPDATE SET deployment_id = excluded.deployment_id";
    execute!(&app.database, promote, model.as_str(), new.environment.as_str(), &id)?;
    app.platform.refresh(&app.database).await?;
    let body = json!({ "deployment": id, "model": model, "attributed_to": attribution(&authorization) });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn output(authorization: &Authorization, target: &Target, input: Value) -> Value {
    let action = &authorization.request().action;
    let deployment = match target {
        Target::Deployment(deployment) => Some(deployment),
        Target::Model(_) | Target::Output(_) => None,
    };
    json!({
        "model": action.model(),
        "environment": action.environment(),
        "deployment": deployment,
        "attributed_to": attribution(authorization),
        "output": input,
    })
}

fn attribution(authorization: &Authorization) -> Value {
    match authorization.attribution() {
        Attribution::Key(key, team) => json!({ "key": key, "team": team }),
        Attribution::User(user) => json!({ "user": user }),
        _ => Value::Null,
    }
}
