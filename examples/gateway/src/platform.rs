//! What the platform serves: which team owns a model, and which deployment is in which environment now.
//!
//! The methods are asynchronous because a real directory is a database or another service.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use keygate::{EnvironmentName, InvalidText, ModelId, TeamId};

/// The directory of models and deployments.
#[derive(Debug)]
pub(crate) struct Platform {
    models: BTreeMap<ModelId, TeamId>,
    deployments: RwLock<BTreeMap<String, Deployment>>,
}

#[derive(Debug)]
struct Deployment {
    model: ModelId,
    environment: Option<EnvironmentName>,
}

impl Platform {
    /// Two models of the team `core`, one of the team `labs`.
    pub(crate) fn new() -> Result<Self, InvalidText> {
        let mut models = BTreeMap::new();
        for (model, team) in [("abcd1234", "core"), ("wxyz5678", "core"), ("labs0001", "labs")] {
            models.insert(model.parse()?, team.parse()?);
        }
        let mut deployments = BTreeMap::new();
        for (name, model, environment) in [
            ("d1prod", "abcd1234", Some("production")),
            ("d2stag", "abcd1234", Some("staging")),
            ("d3free", "abcd1234", None),
            ("d4prod", "wxyz5678", Some("production")),
            ("d5prod", "labs0001", Some("production")),
        ] {
            let environment = environment.map(str::parse).transpose()?;
            deployments.insert(name.into(), Deployment { model: model.parse()?, environment });
        }
        Ok(Self { models, deployments: RwLock::new(deployments) })
    }

    /// Returns the team that owns a model.
    pub(crate) async fn team_of(&self, model: &ModelId) -> Option<TeamId> {
        self.models.get(model).cloned()
    }

    /// Returns the deployment of a model that is in an environment now.
    pub(crate) async fn serving(&self, model: &ModelId, environment: &EnvironmentName) -> Option<String> {
        self.read(|deployments| {
            let mut all = deployments.iter();
            all.find(|(_, one)| one.model == *model && one.environment.as_ref() == Some(environment))
                .map(|(name, _)| name.clone())
        })
    }

    /// Returns in which environment a deployment of this very model is now.
    pub(crate) async fn environment_of(&self, model: &ModelId, deployment: &str) -> Option<Option<EnvironmentName>> {
        self.read(|deployments| {
            deployments.get(deployment).filter(|one| one.model == *model).map(|one| one.environment.clone())
        })
    }

    /// Adds a deployment; it takes the place of the one that was in the environment.
    pub(crate) async fn deploy(&self, model: &ModelId, environment: Option<EnvironmentName>) -> String {
        let mut deployments = self.deployments.write().unwrap_or_else(PoisonError::into_inner);
        let is_replaced =
            |one: &Deployment| one.model == *model && environment.is_some() && one.environment == environment;
        for replaced in deployments.values_mut().filter(|one| is_replaced(one)) {
            replaced.environment = None;
        }
        let name = format!("d{}new", deployments.len().saturating_add(1));
        deployments.insert(name.clone(), Deployment { model: model.clone(), environment });
        name
    }

    /// Returns the models of a team.
    pub(crate) async fn models_of(&self, team: &TeamId) -> Vec<ModelId> {
        self.models.iter().filter(|(_, owner)| *owner == team).map(|(model, _)| model.clone()).collect()
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Deployment>) -> T) -> T {
        look(&self.deployments.read().unwrap_or_else(PoisonError::into_inner))
    }
}
