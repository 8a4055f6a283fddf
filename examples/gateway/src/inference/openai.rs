//! Models in the shape of OpenAI's API: the request names the model in its body, so the handler asks for the decision.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use keygate::{Action, AuthenticatedKey, EnvironmentName, ModelId, Request, http::Refusal};
use serde_json::{Value, json};

use super::chat::{self, ChatRequest};
use crate::{
    api::problem::{Body, Failure},
    app::App,
};

/// A list shows what a call would be allowed, by the same decision: each model by its id where its production may be
/// called, and as `id/environment` for the others.
pub(super) async fn models(State(app): State<Arc<App>>, key: AuthenticatedKey) -> Result<Json<Value>, Failure> {
    let snapshot = app.platform.now()?;
    let mut data = Vec::new();
    for (team, _) in snapshot.teams() {
        let calls = snapshot.models_of(team).flat_map(|(model, _)| {
            let environments = snapshot.environments_of_model(model);
            environments.map(|environment| Action::call(model.clone(), Some(environment.clone())))
        });
        let calls: Vec<_> = calls.collect();
        for call in app.gate.allowed(&key, team, calls).await? {
            if let (Some(model), Some(environment)) = (call.model(), call.environment()) {
                let id = match environment.as_str() {
                    PRODUCTION => model.to_string(),
                    other => format!("{model}/{other}"),
                };
                data.push(json!({ "id": id, "object": "model", "created": 0, "owned_by": team }));
            }
        }
    }
    Ok(Json(json!({ "object": "list", "data": data })))
}

/// Serves the model that the body names: `model`, or `model/environment`.
pub(super) async fn completions(
    State(app): State<Arc<App>>,
    key: AuthenticatedKey,
    Body(request): Body<ChatRequest>,
) -> Result<Response, Failure> {
    let snapshot = app.platform.now()?;
    let (model, environment) = request.model().ok_or(Failure::invalid("model", "the body names no model"))?;
    let model: ModelId = model.parse().map_err(|_| Refusal::NotFound)?;
    let environment: EnvironmentName = environment.unwrap_or(PRODUCTION).parse().map_err(|_| Refusal::NotFound)?;
    let team = snapshot.model(&model).ok_or(Refusal::NotFound)?.team.clone();
    if snapshot.serving(&model, &environment).is_none() {
        return Err(Refusal::NotFound.into());
    }
    let decided = Request::new(team, Action::call(model, Some(environment)));
    let authorization = Refusal::unless_allowed(app.gate.authorize(&key, &decided).await?)?;
    // The key was looked up before its body came, and a decision alone does not look it up again.
    let authorization = app.allowed_since(authorization, key.judged_at()).await?;
    chat::answer(&app, authorization, request)
}

const PRODUCTION: &str = "production";
