//! What a request asks for, in resolved ids.

use core::fmt;

use crate::{
    id::{ModelId, TeamId},
    name::EnvironmentName,
};

/// One request: something to do in one team.
///
/// Authorize what you route: fill it from the resource that will serve the request, as your own router resolved it,
/// never from pieces of a raw URL. A guard that reads the path in its own way disagrees with the router some day.
///
/// ```
/// use keygate::{Action, ActionKind, Request};
///
/// let request = Request::new("core".parse()?, Action::Call {
///     model: "m1aaaaaa".parse()?,
///     environment: Some("production".parse()?),
/// });
/// assert_eq!(request.action.kind(), ActionKind::Call);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a new part of a request must break those who fill it")]
pub struct Request {
    /// The team that owns what is asked for.
    pub team: TeamId,
    /// What is asked for.
    pub action: Action,
}

impl Request {
    /// Takes resolved ids.
    #[must_use]
    pub const fn new(team: TeamId, action: Action) -> Self {
        Self { team, action }
    }
}

/// What a request wants to do.
///
/// ```
/// use keygate::{Action, ActionKind};
/// let export = Action::ExportMetrics { model: Some("m1aaaaaa".parse()?) };
/// assert_eq!(export.kind(), ActionKind::ExportMetrics);
/// assert_eq!(export.model().map(|model| model.as_str()), Some("m1aaaaaa"));
/// assert_eq!(export.environment(), None);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Predict; submit, watch or cancel an asynchronous job of the deployment; its queue; wake it; websockets.
    Call {
        /// The model, or the entry point of the chain.
        model: ModelId,
        /// The *current* environment of the deployment that will serve the call, if it is in one.
        environment: Option<EnvironmentName>,
    },
    /// Create or change a deployment.
    Deploy,
    /// Export metrics: of one model, or of everything and of what is tied to no model.
    ExportMetrics {
        /// The model whose series are asked for.
        model: Option<ModelId>,
    },
    /// The team's other resources; never members, billing, teams or organization settings, never keys.
    Manage,
}

impl Action {
    /// Returns the action without its objects.
    #[must_use]
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::Call { .. } => ActionKind::Call,
            Self::Deploy => ActionKind::Deploy,
            Self::ExportMetrics { .. } => ActionKind::ExportMetrics,
            Self::Manage => ActionKind::Manage,
        }
    }

    /// Returns a reference to the model, if the action names one.
    #[must_use]
    pub const fn model(&self) -> Option<&ModelId> {
        match self {
            Self::Call { model, .. } => Some(model),
            Self::ExportMetrics { model } => model.as_ref(),
            Self::Deploy | Self::Manage => None,
        }
    }

    /// Returns a reference to the environment, if the action names one.
    #[must_use]
    pub const fn environment(&self) -> Option<&EnvironmentName> {
        match self {
            Self::Call { environment, .. } => environment.as_ref(),
            Self::Deploy | Self::ExportMetrics { .. } | Self::Manage => None,
        }
    }
}

/// An action without its objects.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ActionKind {
    /// [`Action::Call`].
    Call,
    /// [`Action::Deploy`].
    Deploy,
    /// [`Action::ExportMetrics`].
    ExportMetrics,
    /// [`Action::Manage`].
    Manage,
}

impl ActionKind {
    /// Every action.
    pub const ALL: &'static [Self] = &[Self::Call, Self::Deploy, Self::ExportMetrics, Self::Manage];

    /// Returns the name used in logs and responses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Deploy => "deploy",
            Self::ExportMetrics => "export_metrics",
            Self::Manage => "manage",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
