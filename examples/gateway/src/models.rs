//! The platform's resources, without the platform: each handler says what it would do, and for whom.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use keygate::{Action, Attribution, Authorization, EnvironmentName};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::{Allowed, App},
    problem::{Body, Problem},
    resolve::Target,
};

/// Serves what was allowed: the model in the authorization, by the deployment that was resolved with it.
pub(crate) async fn predict(
    Allowed(authorization): Allowed,
    Extension(target): Extension<Target>,
    Body(input): Body<Value>,
) -> Response {
    let (Action::Call { model, environment, .. }, Target::Deployment(deployment)) =
        (&authorization.request().action, target)
    else {
        return Problem::not_found().into_response();
    };
    Json(json!({
        "model": model.as_str(),
        "environment": environment.as_ref().map(EnvironmentName::as_str),
        "deployment": deployment,
        "attributed_to": attribution(&authorization),
        "output": input,
    }))
    .into_response()
}

/// A deployment that is to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDeployment {
    environment: Option<EnvironmentName>,
}

/// `Deploy` names a team and no model, so the model is the one that was resolved for the decision.
pub(crate) async fn deploy(
    State(app): State<Arc<App>>,
    Allowed(authorization): Allowed,
    Extension(target): Extension<Target>,
    Body(new): Body<NewDeployment>,
) -> Response {
    let Target::Model(model) = target else { return Problem::not_found().into_response() };
    let deployment = app.platform.deploy(&model, new.environment).await;
    let body =
        json!({ "deployment": deployment, "model": model.as_str(), "attributed_to": attribution(&authorization) });
    (StatusCode::CREATED, Json(body)).into_response()
}

pub(crate) async fn secrets(Allowed(authorization): Allowed) -> Json<Value> {
    Json(json!({ "team": authorization.request().team.as_str(), "secrets": ["huggingface"] }))
}

/// Exports what was allowed: one model's series, or those of all models of the team.
pub(crate) async fn metrics(State(app): State<Arc<App>>, Allowed(authorization): Allowed) -> Response {
    let request = authorization.request();
    let models = match request.action.model() {
        Some(model) => vec![model.clone()],
        None => app.platform.models_of(&request.team).await,
    };
    let mut text = String::from("# TYPE inference_requests_total counter\n");
    for model in models {
        text.push_str(&format!("inference_requests_total{{model=\"{model}\"}} 1\n"));
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Registered, but `Resolve` says nothing of it: no key gets here.
pub(crate) async fn logs(Allowed(_): Allowed) -> &'static str {
    "somebody forgot to say who may read this"
}

fn attribution(authorization: &Authorization) -> Value {
    match authorization.attribution() {
        Attribution::Key(key, team) => json!({ "key": key.as_str(), "team": team.as_str() }),
        Attribution::User(user) => json!({ "user": user.as_str() }),
        _ => Value::Null,
    }
}
