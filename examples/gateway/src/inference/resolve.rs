//! Maps a request at a matched route to the request to decide, with resolved ids.
//!
//! The route and its parameters are what axum's router matched: the path is never read a second time. What they stand
//! for is looked up now, since a deployment can have changed its environment a moment ago.

use std::sync::Arc;

use axum::{RequestPartsExt as _, extract::RawPathParams, http::request::Parts};
use keygate::{
    Action, EnvironmentName, ModelId, Request, TeamId,
    tower::{Resolve, Unresolved},
};

use crate::{app::App, database::sql, platform::Snapshot};

/// How the route names what serves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    Deployment,
    Development,
    Environment,
    Production,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    AsyncRequest,
    Call(Named),
    Deploy,
}

/// The target of the decision, beyond what an action names. It stays in the request's extensions, so that a handler
/// serves what was resolved and does not resolve again.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// This deployment serves.
    Deployment(String),
    /// This model gets a deployment.
    Model(ModelId),
    /// The stored output of an asynchronous request.
    Output(String),
}

/// The rule of a route.
pub(super) struct Rule {
    pub(super) app: Arc<App>,
    pub(super) resource: Resource,
}

impl Resolve for Rule {
    async fn resolve(&self, parts: &mut Parts) -> Result<Request, Unresolved> {
        // Parameters that are not UTF-8 name nothing.
        let params: RawPathParams = parts.extract().await.map_err(|_| Unresolved::NotFound)?;
        let params = Params(&params);
        let snapshot = self.app.platform.now().map_err(|error| Unresolved::Failed(error.into()))?;
        let (model, team) = params.model(&snapshot)?;
        let (target, action) = match self.resource {
            Resource::Call(named) => {
                let (deployment, environment) = params.serving(named, &model, &snapshot)?;
                (Target::Deployment(deployment), Action::call(model, environment))
            }
            // Checked against the deployment that it was for, in the environment that this is in now.
            Resource::AsyncRequest => {
                let (deployment, output) = self.async_request(params.text("request")?).await?;
                let environment = snapshot.environment_of(&model, &deployment).ok_or(Unresolved::NotFound)?;
                (Target::Output(output), Action::call(model, environment.cloned()))
            }
            Resource::Deploy => (Target::Model(model), Action::Deploy),
        };
        parts.extensions.insert(target);
        Ok(Request::new(team, action))
    }
}

impl Rule {
    async fn async_request(&self, id: &str) -> Result<(String, String), Unresolved> {
        let find = "SELECT deployment_id, output FROM gateway_async_requests WHERE id = $1";
        // In a box, since it is large, and in the future of each route.
        let found = Box::pin(async {
            sql!(&self.app.database, connection => sqlx::query_as(find).bind(id).fetch_optional(connection))
        });
        found.await.map_err(|error| Unresolved::Failed(error.into()))?.ok_or(Unresolved::NotFound)
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

    fn model(&self, snapshot: &Snapshot) -> Result<(ModelId, TeamId), Unresolved> {
        let id: ModelId = self.parsed("model")?;
        let team = snapshot.model(&id).ok_or(Unresolved::NotFound)?.team.clone();
        Ok((id, team))
    }

    /// Returns the deployment that serves, and the environment that it is in.
    fn serving(
        &self,
        named: Named,
        model: &ModelId,
        snapshot: &Snapshot,
    ) -> Result<(String, Option<EnvironmentName>), Unresolved> {
        let environment: EnvironmentName = match named {
            Named::Environment => self.parsed("environment")?,
            Named::Production => "production".parse().map_err(|_| Unresolved::NotFound)?,
            Named::Development => "development".parse().map_err(|_| Unresolved::NotFound)?,
            Named::Deployment => {
                let deployment = self.text("deployment")?;
                let environment = snapshot.environment_of(model, deployment).ok_or(Unresolved::NotFound)?;
                return Ok((deployment.into(), environment.cloned()));
            }
        };
        let deployment = snapshot.serving(model, &environment).ok_or(Unresolved::NotFound)?;
        Ok((deployment.into(), Some(environment)))
    }
}
