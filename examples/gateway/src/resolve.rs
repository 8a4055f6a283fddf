//! What a request at a matched route is about, in resolved ids.
//!
//! The route and its parameters are what axum's router matched: the path is never read a second time. What they stand
//! for is looked up now, since a deployment can have changed its environment a moment ago.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, MatchedPath, RawPathParams},
    http::request::Parts,
};
use keygate::{
    Action, EnvironmentName, ModelId, Request, TeamId,
    tower::{Resolve, Unresolved},
};

use crate::platform::Platform;

pub(crate) const CHAT: &str = "/models/{model}/environments/{environment}/sync/v1/chat/completions";
pub(crate) const DEPLOYMENTS: &str = "/models/{model}/deployments";
pub(crate) const LOGS: &str = "/models/{model}/logs";
pub(crate) const MODEL_METRICS: &str = "/models/{model}/metrics";
pub(crate) const PREDICT: &str = "/models/{model}/environments/{environment}/predict";
pub(crate) const PREDICT_DEPLOYMENT: &str = "/models/{model}/deployments/{deployment}/predict";
pub(crate) const SECRETS: &str = "/teams/{team}/secrets";
pub(crate) const TEAM_METRICS: &str = "/teams/{team}/metrics";
pub(crate) const TICKS: &str = "/models/{model}/environments/{environment}/ticks";

/// Which deployment will serve, or which model gets one: what the decision is about beyond what an action names.
///
/// Left in the request's extensions, so that a handler serves what was resolved and does not resolve again.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Deployment(String),
    Model(ModelId),
}

/// Resolves requests with the platform's directory.
#[derive(Clone, Debug)]
pub(crate) struct Routes(pub(crate) Arc<Platform>);

impl Resolve for Routes {
    async fn resolve(&self, parts: &mut Parts) -> Result<Request, Unresolved> {
        let route = parts.extensions.get::<MatchedPath>().cloned().ok_or(Unresolved::NoRule)?;
        // Parameters that are not UTF-8 name nothing.
        let params = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| Unresolved::NotFound)?;
        let params = Params(&params);
        let platform = &self.0;
        // axum answers HEAD with the handler of GET, and runs this layer where only the path matched: so the method
        // counts, and what is not in the list is closed.
        match (parts.method.as_str(), route.as_str()) {
            ("POST", CHAT | PREDICT) | ("GET" | "HEAD", TICKS) => {
                let (model, team) = params.model(platform).await?;
                let environment: EnvironmentName = params.parsed("environment")?;
                let deployment = platform.serving(&model, &environment).await.ok_or(Unresolved::NotFound)?;
                parts.extensions.insert(Target::Deployment(deployment));
                Ok(Request::new(team, Action::call(model, Some(environment))))
            }
            ("POST", PREDICT_DEPLOYMENT) => {
                let (model, team) = params.model(platform).await?;
                let deployment = params.text("deployment")?;
                let environment = platform.environment_of(&model, deployment).await.ok_or(Unresolved::NotFound)?;
                parts.extensions.insert(Target::Deployment(deployment.into()));
                Ok(Request::new(team, Action::call(model, environment)))
            }
            ("POST", DEPLOYMENTS) => {
                let (model, team) = params.model(platform).await?;
                parts.extensions.insert(Target::Model(model));
                Ok(Request::new(team, Action::Deploy))
            }
            ("GET" | "HEAD", MODEL_METRICS) => {
                let (model, team) = params.model(platform).await?;
                Ok(Request::new(team, Action::export_metrics(Some(model))))
            }
            // A team that does not exist is one to which nobody's key belongs: the same 404 follows.
            ("GET" | "HEAD", TEAM_METRICS) => Ok(Request::new(params.parsed("team")?, Action::export_metrics(None))),
            ("GET" | "HEAD", SECRETS) => Ok(Request::new(params.parsed("team")?, Action::Manage)),
            _ => Err(Unresolved::NoRule),
        }
    }
}

/// Path parameters, as the router captured them.
struct Params<'a>(&'a RawPathParams);

impl Params<'_> {
    fn text(&self, name: &str) -> Result<&str, Unresolved> {
        let mut all = self.0.iter();
        all.find(|(key, _)| *key == name).map(|(_, value)| value).ok_or(Unresolved::NotFound)
    }

    /// A text that cannot be an id is the id of nothing.
    fn parsed<T: core::str::FromStr>(&self, name: &str) -> Result<T, Unresolved> {
        self.text(name)?.parse().map_err(|_| Unresolved::NotFound)
    }

    async fn model(&self, platform: &Platform) -> Result<(ModelId, TeamId), Unresolved> {
        let model: ModelId = self.parsed("model")?;
        let team = platform.team_of(&model).await.ok_or(Unresolved::NotFound)?;
        Ok((model, team))
    }
}
