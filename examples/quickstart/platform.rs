//! A platform that serves models: its resources, and the resolution of a request.
//!
//! Routing is here and not in the library on purpose. Only the platform knows which deployment will serve a request and
//! in which environment that deployment is *now*. A library that read URLs by itself would disagree with the router
//! some day, and then the one allows what the other serves: authorize what you route.

use std::collections::BTreeMap;

use http::{Method, Uri};
use keygate::{Action, EnvironmentName, InvalidText, ModelId, Request, TeamId};

/// The existing resources, by the names that URLs use.
pub(crate) struct Platform {
    /// The team that owns each model.
    models: BTreeMap<&'static str, &'static str>,
    /// The model of each deployment, and its present environment.
    deployments: BTreeMap<&'static str, (&'static str, Option<&'static str>)>,
    /// The deployment that serves each asynchronous request.
    jobs: BTreeMap<&'static str, &'static str>,
}

/// The host of everything that is not a call.
pub(crate) const API: &str = "api.models.test";

impl Platform {
    pub(crate) fn new() -> Self {
        Self {
            models: BTreeMap::from([("abcd1234", "core"), ("wxyz5678", "core"), ("labs0001", "labs")]),
            deployments: BTreeMap::from([
                ("d1prod", ("abcd1234", Some("production"))),
                ("d2stag", ("abcd1234", Some("staging"))),
                ("d3free", ("abcd1234", None)),
            ]),
            jobs: BTreeMap::from([("job77", "d2stag")]),
        }
    }

    /// Resolves a request to ids; returns `None` if the platform has no such route.
    pub(crate) fn route(&self, method: &Method, uri: &Uri) -> Option<Request> {
        let host = uri.host()?;
        let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        match host.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".models.test")) {
            Some(label) => self.route_call(label, &path),
            None if host == API => self.route_api(method, &path),
            None => None,
        }
    }

    fn route_call(&self, label: &str, path: &[&str]) -> Option<Request> {
        // A regional host names the environment: `model-<id>-<environment>`.
        let (model, regional) = match label.split_once('-') {
            Some((model, environment)) => (model, Some(environment)),
            None => (label, None),
        };
        let environment = match (regional, path) {
            (Some(environment), ["predict"]) => Some(environment),
            (None, ["environments", environment, "predict" | "async_predict" | "wake"])
            | (None, [environment @ ("production" | "development"), "predict" | "async_predict" | "wake"])
            | (None, [environment @ "production", "sync", ..]) => Some(*environment),
            // The URL names a deployment; which environment it serves can have changed a moment ago.
            (None, ["deployment", deployment, "predict" | "async_predict" | "wake"]) => {
                self.environment_of(deployment, model)?
            }
            // A job belongs to the deployment that serves it, no matter who submitted it.
            (None, ["async_request", job]) => self.environment_of(self.jobs.get(job)?, model)?,
            _ => return None,
        };
        let environment = environment.map(str::parse::<EnvironmentName>).transpose().ok()?;
        let team = self.models.get(model)?;
        request(team, Action::call(model.parse().ok()?, environment)).ok()
    }

    /// Returns the environment of a deployment of this very model.
    fn environment_of(&self, deployment: &str, model: &str) -> Option<Option<&'static str>> {
        let (owner, environment) = self.deployments.get(deployment)?;
        (*owner == model).then_some(*environment)
    }

    fn route_api(&self, method: &Method, path: &[&str]) -> Option<Request> {
        match (method.as_str(), path) {
            ("POST", ["v1", "models", model, "deployments"]) => request(self.models.get(model)?, Action::Deploy).ok(),
            ("GET", ["v1", "teams", team, "secrets"]) => request(team, Action::Manage).ok(),
            ("GET", ["v1", "teams", team, "metrics"]) => request(team, Action::export_metrics(None)).ok(),
            ("GET", ["v1", "models", model, "metrics"]) => {
                let id: ModelId = model.parse().ok()?;
                request(self.models.get(model)?, Action::export_metrics(Some(id))).ok()
            }
            _ => None,
        }
    }
}

fn request(team: &str, action: Action) -> Result<Request, InvalidText> {
    Ok(Request::new(team.parse::<TeamId>()?, action))
}
