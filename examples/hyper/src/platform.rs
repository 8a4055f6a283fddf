//! The router of a platform that serves models: it resolves a method and a path once. The decision and
//! the handler both go by it, so they cannot disagree.

use std::collections::BTreeMap;

use http::{HeaderValue, Response, header::CONTENT_TYPE};
use keygate::{Action, Authorization, EnvironmentName, InvalidText, ModelId, Request, TeamId};
use serde_json::json;

use crate::guard::not_found;

/// The resolved target of a request.
#[derive(Debug)]
pub(crate) enum Route {
    /// It does not exist. A caller with a key gets the answer for hidden resources, and a caller without one the usual
    /// 401: nothing tells absent and hidden apart.
    Absent,
    /// To be decided.
    Ask(Request),
    /// It exists, and nobody has said who may use it.
    Closed,
    /// Open to everybody.
    Health,
}

/// The models that exist.
#[derive(Debug)]
pub(crate) struct Platform {
    /// The team that owns each model, and the environments that the model is deployed in.
    models: BTreeMap<ModelId, (TeamId, Vec<EnvironmentName>)>,
}

impl Platform {
    pub(crate) fn new() -> Result<Self, InvalidText> {
        let mut models = BTreeMap::new();
        for (model, team) in [("abcd1234", "core"), ("wxyz5678", "core"), ("labs0001", "labs")] {
            let environments = vec!["production".parse()?, "staging".parse()?];
            models.insert(model.parse()?, (team.parse()?, environments));
        }
        Ok(Self { models })
    }

    /// Routes a request.
    pub(crate) fn route(&self, method: &str, path: &str) -> Route {
        match (method, path) {
            ("GET", "/health") => Route::Health,
            _ => self.resolve(method, path).unwrap_or(Route::Absent),
        }
    }

    fn resolve(&self, method: &str, path: &str) -> Option<Route> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match (method, parts.as_slice()) {
            ("POST", ["models", model, "environments", environment, "predict"]) => {
                let (model, (team, environments)) = self.models.get_key_value(&model.parse().ok()?)?;
                let environment = environments.iter().find(|known| known.as_str() == *environment)?.clone();
                let call = Action::call(model.clone(), Some(environment));
                Some(Route::Ask(Request::new(team.clone(), call)))
            }
            ("POST", ["models", model, "deployments"]) => {
                let (team, _) = self.models.get(&model.parse().ok()?)?;
                Some(Route::Ask(Request::new(team.clone(), Action::Deploy)))
            }
            ("GET", ["teams", team, "secrets"]) => Some(Route::Ask(Request::new(team.parse().ok()?, Action::Manage))),
            ("GET", ["models", _, "logs"]) => Some(Route::Closed),
            _ => None,
        }
    }
}

/// Serves the allowed request: it takes the proof, and looks at nothing else of the request but its body.
pub(crate) fn serve(authorization: &Authorization, body: &[u8]) -> Response<String> {
    let request = authorization.request();
    let served = match &request.action {
        Action::Call { model, environment, .. } => json!({
            "model": model.as_str(),
            "environment": environment.as_ref().map(EnvironmentName::as_str),
            "bytes": body.len(),
        }),
        Action::Deploy => json!({ "team": request.team.as_str(), "deployed": true }),
        Action::Manage => json!({ "team": request.team.as_str(), "secrets": ["huggingface"] }),
        _ => return not_found(),
    };
    let mut response = Response::new(served.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
