//! The served models: teams, their models, and the current deployment of each environment.
//!
//! It is read from the database every second, and served from memory for no longer than a lease: a node that cannot
//! read it knows no model, rather than an old environment of one.

use core::time::Duration;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use keygate::{EnvironmentName, ModelId, TeamId, UserId};

use crate::database::{Database, sql};

/// All of it, as of one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    teams: BTreeMap<TeamId, String>,
    users: BTreeMap<UserId, Profile>,
    models: BTreeMap<ModelId, Model>,
    deployments: BTreeMap<String, Deployment>,
    environments: BTreeMap<(ModelId, EnvironmentName), String>,
}

/// How a user is called.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    /// Provisions and deprovisions users.
    pub(crate) is_administrator: bool,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) team: TeamId,
    pub(crate) name: String,
}

#[derive(Debug)]
struct Deployment {
    model: ModelId,
    environment: Option<EnvironmentName>,
}

impl Snapshot {
    pub(crate) fn teams(&self) -> impl Iterator<Item = (&TeamId, &str)> {
        self.teams.iter().map(|(team, name)| (team, name.as_str()))
    }

    pub(crate) fn team_name(&self, team: &TeamId) -> Option<&str> {
        self.teams.get(team).map(String::as_str)
    }

    pub(crate) fn user(&self, user: &UserId) -> Option<&Profile> {
        self.users.get(user)
    }

    /// Returns everyone who is or was a user.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&UserId, &Profile)> {
        self.users.iter()
    }

    pub(crate) fn model(&self, model: &ModelId) -> Option<&Model> {
        self.models.get(model)
    }

    pub(crate) fn models_of(&self, team: &TeamId) -> impl Iterator<Item = (&ModelId, &Model)> {
        self.models.iter().filter(move |(_, model)| model.team == *team)
    }

    /// Returns the environments of a model.
    pub(crate) fn environments_of_model<'a>(
        &'a self,
        model: &'a ModelId,
    ) -> impl Iterator<Item = &'a EnvironmentName> + 'a {
        self.environments.keys().filter(move |(of, _)| of == model).map(|(_, name)| name)
    }

    /// Returns the deployment of a model that is in an environment now.
    pub(crate) fn serving(&self, model: &ModelId, environment: &EnvironmentName) -> Option<&str> {
        self.environments.get(&(model.clone(), environment.clone())).map(String::as_str)
    }

    /// Returns in which environment a deployment of this very model is now.
    pub(crate) fn environment_of(&self, model: &ModelId, deployment: &str) -> Option<Option<&EnvironmentName>> {
        let deployment = self.deployments.get(deployment).filter(|deployment| deployment.model == *model)?;
        Some(deployment.environment.as_ref())
    }
}

/// The newest snapshot.
#[derive(Debug)]
pub(crate) struct Platform {
    newest: RwLock<(Arc<Snapshot>, Instant)>,
}

/// The snapshot is older than the lease: the database cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("what is served could not be read for too long")]
pub(crate) struct TooOld;

impl Platform {
    /// Reads it for the first time.
    pub(crate) async fn load(database: &Database) -> Result<Self, sqlx::Error> {
        let read_at = Instant::now();
        let snapshot = read(database).await?;
        Ok(Self { newest: RwLock::new((Arc::new(snapshot), read_at)) })
    }

    /// Returns the newest snapshot.
    ///
    /// # Errors
    ///
    /// [`TooOld`] where it could not be read for the time of the lease.
    pub(crate) fn now(&self) -> Result<Arc<Snapshot>, TooOld> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        if newest.1.elapsed() < LEASE { Ok(Arc::clone(&newest.0)) } else { Err(TooOld) }
    }

    /// Reads it again. The lease begins before the reading.
    ///
    /// # Errors
    ///
    /// If the database failed; the snapshot stays as it is.
    pub(crate) async fn refresh(&self, database: &Database) -> Result<(), sqlx::Error> {
        let read_at = Instant::now();
        let snapshot = Arc::new(read(database).await?);
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        if newest.1 < read_at {
            *newest = (snapshot, read_at);
        }
        Ok(())
    }
}

async fn read(database: &Database) -> Result<Snapshot, sqlx::Error> {
    let mut snapshot = Snapshot::default();
    let teams: Vec<(String, String)> =
        sql!(database, connection => sqlx::query_as("SELECT id, name FROM gateway_teams").fetch_all(connection))?;
    for (id, name) in teams {
        snapshot.teams.insert(parsed(&id)?, name);
    }
    let users: Vec<(String, String, Option<String>, bool)> = sql!(database, connection =>
        sqlx::query_as("SELECT id, name, email, is_administrator FROM gateway_users").fetch_all(connection))?;
    for (id, name, email, is_administrator) in users {
        snapshot.users.insert(parsed(&id)?, Profile { name, email, is_administrator });
    }
    let models: Vec<(String, String, String)> = sql!(database, connection => sqlx::query_as("SELECT id, team_id, name FROM gateway_models").fetch_all(connection))?;
    for (id, team, name) in models {
        snapshot.models.insert(parsed(&id)?, Model { team: parsed(&team)?, name });
    }
    // In one statement, so that a promotion is seen whole.
    let deployments: Vec<(String, String, Option<String>)> = sql!(database, connection =>
        sqlx::query_as(
            "SELECT deployments.id, deployments.model_id, environments.name FROM gateway_deployments AS deployments \
             LEFT JOIN gateway_environments AS environments ON environments.deployment_id = deployments.id",
        )
        .fetch_all(connection))?;
    for (id, model, environment) in deployments {
        let model: ModelId = parsed(&model)?;
        let environment: Option<EnvironmentName> = environment.as_deref().map(parsed).transpose()?;
        if let Some(environment) = environment.clone() {
            snapshot.environments.insert((model.clone(), environment), id.clone());
        }
        snapshot.deployments.insert(id, Deployment { model, environment });
    }
    Ok(snapshot)
}

fn parsed<T: core::str::FromStr<Err: core::error::Error + Send + Sync + 'static>>(
    text: &str,
) -> Result<T, sqlx::Error> {
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// How often it is read.
pub(crate) const REFRESH: Duration = Duration::from_secs(1);
/// For how long it is served.
const LEASE: Duration = Duration::from_secs(5);
