//! The router of a platform that serves models: what a method and a path stand for, found out once. The decision and
//! the handler both go by it, so they cannot disagree.

use std::collections::BTreeMap;

use keygate::{Action, EnvironmentName, InvalidText, ModelId, Request, TeamId};

/// What a request is about.
#[derive(Debug)]
pub(crate) enum Route {
    /// To be decided.
    Ask(Request),
    /// It exists, and nobody has said who may use it.
    Closed,
    /// Open to everybody.
    Health,
}

/// What exists.
#[derive(Debug)]
pub(crate) struct Platform {
    /// Which team owns a model, and in which environments the model is deployed.
    models: BTreeMap<ModelId, (TeamId, Vec<EnvironmentName>)>,
    nobody: TeamId,
}

impl Platform {
    pub(crate) fn new() -> Result<Self, InvalidText> {
        let mut models = BTreeMap::new();
        for (model, team) in [("abcd1234", "core"), ("wxyz5678", "core"), ("labs0001", "labs")] {
            let environments = vec!["production".parse()?, "staging".parse()?];
            models.insert(model.parse()?, (team.parse()?, environments));
        }
        Ok(Self { models, nobody: "-".parse()? })
    }

    /// Routes a request.
    ///
    /// What does not exist belongs to a team in which nobody is. So it is decided as well, its key is refused as
    /// another team's, and the answer is the one for what is concealed: there is nothing to tell the two apart by.
    pub(crate) fn route(&self, method: &str, path: &str) -> Route {
        match (method, path) {
            ("GET", "/health") => Route::Health,
            _ => self
                .resolve(method, path)
                .unwrap_or_else(|| Route::Ask(Request::new(self.nobody.clone(), Action::Manage))),
        }
    }

    fn resolve(&self, method: &str, path: &str) -> Option<Route> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match (method, parts.as_slice()) {
            ("POST", ["models", model, "environments", environment, "predict"]) => {
                let (model, (team, environments)) = self.models.get_key_value(&model.parse().ok()?)?;
                let environment = environments.iter().find(|known| known.as_str() == *environment)?.clone();
                let call = Action::Call { model: model.clone(), environment: Some(environment) };
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
