//! The action that a request asks for, in resolved ids.

use alloc::sync::Arc;
use core::fmt;

use crate::{
    id::{ModelId, ResourceId, TeamId},
    name::EnvironmentName,
    own_action::{CALL, DEPLOY, EXPORT_METRICS, MANAGE, OwnAction},
};

/// A team and an action, as the service resolved them: never pieces of a raw URL.
///
/// ```
/// use keygate::{Action, Request};
///
/// let request = Request::new("core".parse()?, Action::call("m1aaaaaa".parse()?, Some("production".parse()?)));
/// assert_eq!(request.team.as_str(), "core");
/// assert_eq!(request.action.environment().map(|name| name.as_str()), Some("production"));
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The team that the resource belongs to.
    pub team: TeamId,
    /// The action.
    pub action: Action,
}

impl Request {
    /// Makes a request.
    #[must_use]
    pub const fn new(team: TeamId, action: Action) -> Self {
        Self { team, action }
    }
}

/// The action of a request.
///
/// New built-in actions may come: each permission level lists its actions, so a new one is covered by nothing until
/// it is listed.
///
/// ```
/// use keygate::{Action, ActionKind};
/// assert_eq!(Action::export_metrics(None).kind(), ActionKind::ExportMetrics);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Run inference: synchronous or asynchronous calls, job status and cancellation, wake-up, websockets.
    #[non_exhaustive]
    Call {
        /// The model or chain that is called.
        model: ModelId,
        /// The environment that the serving deployment is in now, if it is in one.
        environment: Option<EnvironmentName>,
    },
    /// An action of the service's own.
    #[non_exhaustive]
    Custom {
        /// The action, out of the service's declaration. Shared, so that requests of other actions carry no room for
        /// it.
        action: Arc<OwnAction>,
        /// The environment that it takes place in, if it takes place in one.
        environment: Option<EnvironmentName>,
        /// The resource of the action, if it has exactly one.
        resource: Option<ResourceId>,
    },
    /// Push, promote or change deployments.
    Deploy,
    /// Export metrics.
    #[non_exhaustive]
    ExportMetrics {
        /// The model whose series are exported; `None` for all, or for series that belong to no model.
        model: Option<ModelId>,
    },
    /// Manage the team's other resources; never members, billing, teams, organization settings or keys.
    Manage,
}

impl Action {
    /// Runs inference on a model whose serving deployment is in `environment` now, if it is in one.
    #[must_use]
    pub const fn call(model: ModelId, environment: Option<EnvironmentName>) -> Self {
        Self::Call { model, environment }
    }

    /// Does something of the service's own, out of its [declaration](crate::OwnActions).
    ///
    /// ```
    /// use keygate::{Action, Coverage, OwnAction, OwnActions};
    ///
    /// const ACTIONS: OwnActions = OwnActions::new(&[("projects:read", Coverage::Ordinary)]);
    /// const READ: OwnAction = ACTIONS.named("projects:read");
    /// let action = Action::custom(READ, None, Some("project-7".parse()?));
    /// assert_eq!(action.name(), "projects:read");
    /// # Ok::<(), keygate::InvalidText>(())
    /// ```
    #[must_use]
    pub fn custom(action: OwnAction, environment: Option<EnvironmentName>, resource: Option<ResourceId>) -> Self {
        Self::Custom { action: Arc::new(action), environment, resource }
    }

    /// Exports the metrics of a model; of everything, or of series that belong to no model, for `None`.
    #[must_use]
    pub const fn export_metrics(model: Option<ModelId>) -> Self {
        Self::ExportMetrics { model }
    }

    /// Returns the kind of the action, without its target.
    #[must_use]
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::Call { .. } => ActionKind::Call,
            Self::Custom { .. } => ActionKind::Custom,
            Self::Deploy => ActionKind::Deploy,
            Self::ExportMetrics { .. } => ActionKind::ExportMetrics,
            Self::Manage => ActionKind::Manage,
        }
    }

    /// Returns the name that a custom key lists the action by.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Call { .. } => CALL,
            Self::Custom { action, .. } => action.name(),
            Self::Deploy => DEPLOY,
            Self::ExportMetrics { .. } => EXPORT_METRICS,
            Self::Manage => MANAGE,
        }
    }

    /// Returns the model, if the action names one.
    #[must_use]
    pub const fn model(&self) -> Option<&ModelId> {
        match self {
            Self::Call { model, .. } => Some(model),
            Self::ExportMetrics { model } => model.as_ref(),
            Self::Custom { .. } | Self::Deploy | Self::Manage => None,
        }
    }

    /// Returns the environment, if the action names one.
    #[must_use]
    pub const fn environment(&self) -> Option<&EnvironmentName> {
        match self {
            Self::Call { environment, .. } | Self::Custom { environment, .. } => environment.as_ref(),
            Self::Deploy | Self::ExportMetrics { .. } | Self::Manage => None,
        }
    }

    /// Returns the resource of an own action, if it names one.
    #[must_use]
    pub const fn resource(&self) -> Option<&ResourceId> {
        match self {
            Self::Custom { resource, .. } => resource.as_ref(),
            Self::Call { .. } | Self::Deploy | Self::ExportMetrics { .. } | Self::Manage => None,
        }
    }
}

/// An action without its target.
///
/// ```
/// use keygate::ActionKind;
/// assert_eq!(ActionKind::ExportMetrics.as_str(), "export_metrics");
/// assert_eq!(ActionKind::ALL.len(), 5);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ActionKind {
    /// See [`Action::Call`].
    Call,
    /// See [`Action::Custom`].
    Custom,
    /// See [`Action::Deploy`].
    Deploy,
    /// See [`Action::ExportMetrics`].
    ExportMetrics,
    /// See [`Action::Manage`].
    Manage,
}

impl ActionKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Call, Self::Custom, Self::Deploy, Self::ExportMetrics, Self::Manage];

    /// Returns the name used in logs and answers; `custom` for all own actions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => CALL,
            Self::Custom => "custom",
            Self::Deploy => DEPLOY,
            Self::ExportMetrics => EXPORT_METRICS,
            Self::Manage => MANAGE,
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
