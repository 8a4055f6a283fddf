//! The results of a decision: proofs that only the policy makes, and denials with their reason.

use core::fmt;

use crate::{
    action::{Action, ActionKind, Request},
    audit::Principal,
    grant::{Grant, Owner},
    id::{KeyId, ModelId, ResourceId, TeamId, UserId},
    labels::Labels,
    level::PermissionLevel,
    name::{EnvironmentName, KeyName},
    own_action::Coverage,
    reason::{DenialClass, Reason},
    record::SecretSlot,
    scope::NonEmptySet,
    time::UnixTime,
    verify::MatchedKey,
};

/// A key that was usable when it was checked: its secret matched, it was neither revoked nor disabled, it was valid at
/// that time, and a personal key's user was not deprovisioned.
///
/// A handler gets this type. It is a proof of that moment ([`AuthenticatedKey::judged_at`]) and not of any later one:
/// a handler that runs long asks again.
///
/// ```compile_fail
/// use keygate::{AuthenticatedKey, UnixTime, verify::MatchedKey};
/// fn forge(key: MatchedKey) -> AuthenticatedKey {
///     AuthenticatedKey { key, judged_at: UnixTime::MIN }
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "an authenticated key is allowed nothing until a request is decided"]
pub struct AuthenticatedKey {
    key: MatchedKey,
    judged_at: UnixTime,
}

impl AuthenticatedKey {
    /// Only the policy calls this, after its rules about the key itself.
    pub(crate) const fn judged(key: MatchedKey, judged_at: UnixTime) -> Self {
        Self { key, judged_at }
    }

    /// Returns the public id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.key.id()
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        self.key.name()
    }

    /// Returns the labels.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        self.key.labels()
    }

    /// Returns the grant: the owner and the permission.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        self.key.grant()
    }

    /// Returns the owner.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.key.owner()
    }

    /// Returns the user of a personal key.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.key.user()
    }

    /// Returns which secret was presented.
    #[must_use]
    pub const fn slot(&self) -> SecretSlot {
        self.key.slot()
    }

    /// Returns when the key was usable.
    #[must_use]
    pub const fn judged_at(&self) -> UnixTime {
        self.judged_at
    }

    /// Returns the actor, for an audit event.
    #[must_use]
    pub fn principal(&self) -> Principal {
        self.key.principal()
    }

    /// Returns the matched key, for the pure core.
    pub const fn matched(&self) -> &MatchedKey {
        &self.key
    }
}

/// The result of a decision.
///
/// ```
/// use keygate::{Action, Request, UnixTime, policy::decide, verify::MatchedKey};
///
/// fn may_deploy(key: &MatchedKey, now: UnixTime) -> Result<bool, keygate::InvalidText> {
///     let request = Request::new("core".parse()?, Action::Deploy);
///     Ok(decide(key, None, &request, now).is_allowed())
/// }
/// # let _ = may_deploy;
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a decision that nobody looks at protects nothing"]
#[expect(clippy::exhaustive_enums, reason = "a request is allowed or it is not")]
pub enum Decision<'a> {
    /// The request is allowed.
    Allow(Allow<'a>),
    /// The request is denied.
    Deny(Denial),
}

impl<'a> Decision<'a> {
    /// Turns the decision into a `Result`, for `?`.
    ///
    /// # Errors
    ///
    /// The [`Denial`], if the request is denied.
    pub const fn into_result(self) -> Result<Allow<'a>, Denial> {
        match self {
            Self::Allow(allow) => Ok(allow),
            Self::Deny(denial) => Err(denial),
        }
    }

    /// Returns `true` if the request is allowed.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Proof that one request of one key was allowed; only [`decide`](crate::policy::decide) makes one.
///
/// ```compile_fail
/// use keygate::{Request, UnixTime, policy::Allow, verify::MatchedKey};
/// fn forge<'a>(key: &'a MatchedKey, request: &'a Request) -> Allow<'a> {
///     Allow { key, request, decided_at: UnixTime::MIN }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "hand the proof to whatever carries out the request"]
pub struct Allow<'a> {
    key: &'a MatchedKey,
    request: &'a Request,
    decided_at: UnixTime,
}

impl<'a> Allow<'a> {
    /// Only the policy calls this, after all its rules.
    pub(crate) const fn decided(key: &'a MatchedKey, request: &'a Request, decided_at: UnixTime) -> Self {
        Self { key, request, decided_at }
    }

    /// Returns a reference to the key.
    pub const fn key(&self) -> &'a MatchedKey {
        self.key
    }

    /// Returns a reference to the request that was allowed: carry out this one and no other.
    #[must_use]
    pub const fn request(&self) -> &'a Request {
        self.request
    }

    /// Returns the user or the team that the request is attributed to.
    #[must_use]
    pub fn attribution(&self) -> Attribution<'a> {
        attribution(self.key)
    }

    /// Makes a proof that outlives key and request, for a handler to demand.
    pub fn to_authorization(&self) -> Authorization {
        self.decided_at().authorize(self.key.clone(), self.request)
    }

    pub(crate) const fn decided_at(&self) -> Decided {
        Decided(self.decided_at)
    }
}

/// The rest of an [`Allow`] when its key is moved: that a request was allowed, and when.
#[derive(Clone, Copy)]
pub(crate) struct Decided(UnixTime);

impl Decided {
    /// For the key and the request that the [`Allow`] was about, and no others.
    pub(crate) fn authorize(self, key: MatchedKey, request: &Request) -> Authorization {
        Authorization { key: AuthenticatedKey::judged(key, self.0), request: request.clone() }
    }
}

/// Proof that one request of one key was allowed.
///
/// A handler that takes an `Authorization` cannot be reached without a decision, and serves the allowed request.
///
/// ```
/// use keygate::Authorization;
/// fn predict(authorization: &Authorization) -> String {
///     format!("{:?}", authorization.request().action.model())
/// }
/// # let _ = predict;
/// ```
///
/// ```compile_fail
/// use keygate::{AuthenticatedKey, Authorization, Request};
/// fn forge(key: AuthenticatedKey, request: Request) -> Authorization {
///     Authorization { key, request }
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "hand the proof to whatever carries out the request"]
pub struct Authorization {
    key: AuthenticatedKey,
    request: Request,
}

impl Authorization {
    /// Returns a reference to the key.
    pub const fn key(&self) -> &AuthenticatedKey {
        &self.key
    }

    /// Returns a reference to the request that was allowed: carry out this one and no other.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// Returns the time of the decision.
    #[must_use]
    pub const fn decided_at(&self) -> UnixTime {
        self.key.judged_at
    }

    /// Returns the user or the team that the request is attributed to.
    #[must_use]
    pub fn attribution(&self) -> Attribution<'_> {
        attribution(self.key.matched())
    }
}

fn attribution(key: &MatchedKey) -> Attribution<'_> {
    match key.grant() {
        Grant::Personal { user } => Attribution::User(user),
        Grant::Team { team, .. } => Attribution::Key(key.id(), team),
    }
}

/// The user or the team that an allowed request is attributed to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Attribution<'a> {
    /// A team key, and its team.
    Key(KeyId, &'a TeamId),
    /// The user of a personal key.
    User(&'a UserId),
}

/// Why a request was denied: small, without any part of the request.
///
/// ```
/// use keygate::{Denial, DenialClass};
///
/// fn status(denial: &Denial) -> u16 {
///     match denial.class() {
///         DenialClass::NotAuthenticated => 401,
///         DenialClass::NotAllowed if denial.reveals_existence() => 404, // what the key must not see, it does not see
///         DenialClass::NotAllowed => 403,
///         _ => 503,
///     }
/// }
/// # let _ = status;
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("{action} denied: {reason}")]
#[must_use = "a denial that nobody looks at protects nothing"]
pub struct Denial {
    reason: Reason,
    action: ActionKind,
    is_explicit: bool,
    reveals: bool,
}

impl Denial {
    pub(crate) fn new(reason: Reason, action: &Action, reveals: bool) -> Self {
        let is_explicit = matches!(action, Action::Custom { action, .. } if action.coverage() != Coverage::Ordinary);
        Self { reason, action: action.kind(), is_explicit, reveals }
    }

    /// Returns the rule that refused.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the action that was asked for.
    #[must_use]
    pub const fn action(&self) -> ActionKind {
        self.action
    }

    /// Returns the class of the denial.
    #[must_use]
    pub const fn class(&self) -> DenialClass {
        self.reason.class()
    }

    /// Returns `true` if an answer of 403 would show something that the key must not see: a resource of another team,
    /// or a model or resource that the key's restriction leaves out, whatever rule refused first.
    ///
    /// A service that hides existing resources then answers its own 404.
    #[must_use]
    pub const fn reveals_existence(&self) -> bool {
        self.reveals
    }

    /// Returns the levels that cover the action without listing it: none if the action is explicit.
    #[must_use]
    pub const fn sufficient_levels(&self) -> &'static [PermissionLevel] {
        match self.action {
            ActionKind::Custom if self.is_explicit => &[],
            ActionKind::Call => &[PermissionLevel::Full, PermissionLevel::InferenceOnly],
            ActionKind::ExportMetrics => &[PermissionLevel::Full, PermissionLevel::MetricsOnly],
            ActionKind::Custom | ActionKind::Deploy | ActionKind::Manage => &[PermissionLevel::Full],
        }
    }

    /// Returns the requirement that was not met, borrowed from the key and the request that were decided.
    #[must_use]
    pub fn requirement<'a>(&self, key: &'a MatchedKey, request: &'a Request) -> Option<Requirement<'a>> {
        let permission = key.grant().permission();
        match self.reason {
            Reason::ActionNotInScope => Some(Requirement::Action(request.action.name())),
            Reason::EnvironmentNotInScope => request.action.environment().map(Requirement::Environment),
            Reason::EnvironmentRequired => permission?.environments().members().map(Requirement::EnvironmentAmong),
            Reason::EnvironmentScoped => Some(Requirement::AllEnvironments),
            Reason::LevelInsufficient => match self.sufficient_levels() {
                [] => Some(Requirement::Action(request.action.name())),
                levels => Some(Requirement::Level(levels)),
            },
            Reason::ModelNotInScope => request.action.model().map(Requirement::Model),
            Reason::ModelRequired => permission?.models().members().map(Requirement::ModelAmong),
            Reason::ResourceNotInScope => requested_resource(request).map(Requirement::Resource),
            Reason::ResourceRequired => permission?.resources().members().map(Requirement::ResourceAmong),
            _ => None,
        }
    }
}

/// The subject of a custom key's restriction to resources: the resource of an own action, the model of a built-in one.
pub(crate) fn requested_resource(request: &Request) -> Option<&str> {
    let action = &request.action;
    action.resource().map(ResourceId::as_str).or(action.model().map(ModelId::as_str))
}

/// The requirement that a denied request did not meet; show it only to the owner, because it names what the key was
/// granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Requirement<'a> {
    /// A custom key that lists this action.
    Action(&'a str),
    /// A key that is not restricted to environments.
    AllEnvironments,
    /// A key that is granted this environment.
    Environment(&'a EnvironmentName),
    /// A request in one of the key's environments.
    EnvironmentAmong(&'a NonEmptySet<EnvironmentName>),
    /// A key of one of these levels.
    Level(&'static [PermissionLevel]),
    /// A key that is granted this model.
    Model(&'a ModelId),
    /// A request that names one of the key's models.
    ModelAmong(&'a NonEmptySet<ModelId>),
    /// A key that is granted this resource.
    Resource(&'a str),
    /// A request that names one of the key's resources.
    ResourceAmong(&'a NonEmptySet<ResourceId>),
}

impl fmt::Display for Requirement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(name) => write!(f, "a custom key with action `{name}`"),
            Self::AllEnvironments => f.write_str("a key without environment restriction"),
            Self::Environment(name) => write!(f, "a key with environment `{name}`"),
            Self::EnvironmentAmong(set) => write_list(f, "a request in environment", *set),
            Self::Level(levels) => write_list(f, "a key with level", *levels),
            Self::Model(model) => write!(f, "a key with model `{model}`"),
            Self::ModelAmong(set) => write_list(f, "a request for model", *set),
            Self::Resource(resource) => write!(f, "a key with resource `{resource}`"),
            Self::ResourceAmong(set) => write_list(f, "a request for resource", *set),
        }
    }
}

fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    lead: &str,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    f.write_str(lead)?;
    items.into_iter().enumerate().try_for_each(|(place, item)| {
        let joint = if place == 0 { "" } else { " or" };
        write!(f, "{joint} `{item}`")
    })
}
