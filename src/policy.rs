//! The policy: may this verified key do that, now?
//!
//! [`decide`] is pure and total: no I/O, no clock, no allocation. It takes only a [`MatchedKey`], so no status leaks to
//! someone who knows just an id. The first rule that applies decides:
//!
//! | # | rule | reason |
//! |---|---|---|
//! | 1 | revoked; disabled | `Revoked`, `Disabled` |
//! | 2 | valid iff `not_before <= now < expires_at` | `NotYetValid`, `Expired` |
//! | 3 | personal: the membership is known; user deprovisioned; user not in the team | `MembershipRequired`, `OwnerDeprovisioned`, `OtherTeam` |
//! | 3 | team: the request is for another team | `OtherTeam` |
//! | 4 | personal, admin or member: `Call Deploy Manage ExportMetrics` | - |
//! | 4 | full: `Call Deploy Manage ExportMetrics`; inference only: `Call`; metrics only: `ExportMetrics` | `LevelInsufficient` |
//! | 5 | a key restricted to environments can only call, whatever its level | `EnvironmentScoped` |
//! | 6 | restricted to environments: the request names one, and it is in the set | `EnvironmentRequired`, `EnvironmentNotInScope` |
//! | 7 | restricted to models: the request names one, and it is in the set | `ModelRequired`, `ModelNotInScope` |
//! | 8 | allow, attributed to the user or to the key and its team | |

use core::fmt;

use crate::{
    action::{Action, ActionKind, Request},
    grant::{Grant, Permission},
    id::{KeyId, ModelId, TeamId, UserId},
    level::PermissionLevel,
    membership::Membership,
    name::EnvironmentName,
    reason::{DenialClass, Reason},
    record::Status,
    scope::{EnvironmentScope, ModelScope, NonEmptySet, Scope},
    time::UnixTime,
    verify::MatchedKey,
};

/// Decides one request.
///
/// `membership` is the user's in the request's team, read now and not when the key was minted. It is asked of personal
/// keys only: without it they get [`Reason::MembershipRequired`], after rules 1 and 2 passed; look it up then and decide
/// again. For team keys it is ignored.
///
/// ```
/// use keygate::{Action, Decision, Reason, Request, Membership, UnixTime, MatchedKey, decide};
///
/// fn handle(key: &MatchedKey, membership: Option<Membership>, request: &Request, now: UnixTime) -> u16 {
///     match decide(key, membership, request, now) {
///         Decision::Allow(_) => 200,
///         Decision::Deny(denial) if denial.reveals_existence() => 404,
///         Decision::Deny(_) => 403,
///     }
/// }
/// # let _ = handle;
/// ```
#[inline]
pub fn decide<'a>(
    key: &'a MatchedKey,
    membership: Option<Membership>,
    request: &'a Request,
    now: UnixTime,
) -> Decision<'a> {
    match check(key, membership, request, now) {
        Ok(()) => Decision::Allow(Allow { key, request }),
        Err(reason) => Decision::Deny(Denial { reason, action: request.action.kind() }),
    }
}

fn check(key: &MatchedKey, membership: Option<Membership>, request: &Request, now: UnixTime) -> Result<(), Reason> {
    check_usable(key, now)?;
    match key.grant() {
        // Rule 3: a personal key acts as its user, so what the user is in the request's team decides.
        Grant::Personal { .. } => match membership.ok_or(Reason::MembershipRequired)? {
            Membership::Deprovisioned => Err(Reason::OwnerDeprovisioned),
            Membership::Outsider => Err(Reason::OtherTeam),
            // Rule 4: who is in the team does the team's work; only managing keys tells admins from members.
            Membership::Admin | Membership::Member => match &request.action {
                Action::Call { .. } | Action::Deploy | Action::ExportMetrics { .. } | Action::Manage => Ok(()),
            },
        },
        // Rule 3: a team key is confined to its team.
        Grant::Team { team, .. } if *team != request.team => Err(Reason::OtherTeam),
        Grant::Team { permission, .. } => check_permission(permission, &request.action),
    }
}

/// Checks rules 1 and 2: may the key be used at all, whatever for?
///
/// [`decide`] does so first. Alone it is for what comes before there is a request to decide upon: a route of which
/// nothing is said, or that needs no more than a key.
///
/// # Errors
///
/// [`Reason::Revoked`], [`Reason::Disabled`], [`Reason::NotYetValid`] or [`Reason::Expired`]: "not authenticated", 401.
///
/// ```
/// # use keygate::*;
/// # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// # let (now, mut rng) = (UnixTime::from_secs(100), ChaCha20Rng::from_seed([1; 32]));
/// # let system = Actor::system("example")?;
/// # let permit = authorize_operation(&system, Create(Grant::Personal { user: "ada".parse()? }), None, now)?;
/// # let issuer = Issuer::from_static("acme");
/// # let issued = permit.issue(issuer, "batch".parse()?, Validity::until(UnixTime::from_secs(200)), &mut rng, now)?;
/// # let presented = UnverifiedToken::parse(issuer, issued.token.expose_secret())?;
/// # let key = verify(&presented, Some(issued.key.record().clone().into()), now)?;
/// // `key` expires at 200.
/// assert_eq!(check_usable(&key, UnixTime::from_secs(199)), Ok(()));
/// assert_eq!(check_usable(&key, UnixTime::from_secs(200)), Err(Reason::Expired));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn check_usable(key: &MatchedKey, now: UnixTime) -> Result<(), Reason> {
    match key.status() {
        Status::Revoked { .. } => Err(Reason::Revoked),
        Status::Disabled => Err(Reason::Disabled),
        Status::Active if key.validity().is_before_start(now) => Err(Reason::NotYetValid),
        Status::Active if key.validity().is_expired(now) => Err(Reason::Expired),
        Status::Active => Ok(()),
    }
}

/// Rules 4 to 7: what each level covers, within the restrictions that it takes. No arm has a wildcard: a new action is
/// covered by nothing until it is written here.
fn check_permission(permission: &Permission, action: &Action) -> Result<(), Reason> {
    match (permission, action) {
        // Full access: call, deploy, manage and export.
        (Permission::Full { environments }, Action::Call { environment, .. }) => {
            check_environment(environments, environment.as_ref())
        }
        (Permission::Full { environments }, Action::Deploy | Action::ExportMetrics { .. } | Action::Manage) => {
            // Rule 5: whatever is not a call reaches beyond an environment.
            flag(*environments == Scope::All, Reason::EnvironmentScoped)
        }
        // Inference only: call.
        (Permission::InferenceOnly { environments, models }, Action::Call { environment, model }) => {
            check_environment(environments, environment.as_ref())?;
            check_model(models, Some(model))
        }
        (Permission::InferenceOnly { .. }, Action::Deploy | Action::ExportMetrics { .. } | Action::Manage) => {
            Err(Reason::LevelInsufficient)
        }
        // Metrics only: export.
        (Permission::MetricsOnly { models }, Action::ExportMetrics { model }) => check_model(models, model.as_ref()),
        (Permission::MetricsOnly { .. }, Action::Call { .. } | Action::Deploy | Action::Manage) => {
            Err(Reason::LevelInsufficient)
        }
    }
}

/// Rule 6: the deployment that serves the call is in one of the environments.
fn check_environment(granted: &EnvironmentScope, environment: Option<&EnvironmentName>) -> Result<(), Reason> {
    match (granted, environment) {
        (Scope::All, _) => Ok(()),
        (Scope::Only(granted), Some(environment)) => flag(granted.contains(environment), Reason::EnvironmentNotInScope),
        (Scope::Only(_), None) => Err(Reason::EnvironmentRequired),
    }
}

/// Rule 7: the model is one of those that the key names.
fn check_model(granted: &ModelScope, model: Option<&ModelId>) -> Result<(), Reason> {
    match (granted, model) {
        (Scope::All, _) => Ok(()),
        (Scope::Only(granted), Some(model)) => flag(granted.contains(model), Reason::ModelNotInScope),
        // Everything, or what is tied to no model, is more than the models that the key names.
        (Scope::Only(_), None) => Err(Reason::ModelRequired),
    }
}

fn flag(holds: bool, otherwise: Reason) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// What was decided.
///
/// ```
/// # use keygate::*;
/// # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// # let (now, mut rng) = (UnixTime::from_secs(100), ChaCha20Rng::from_seed([1; 32]));
/// # let system = Actor::system("example")?;
/// # let permission = Permission::InferenceOnly {
/// #     environments: EnvironmentScope::only(["production".parse()?])?,
/// #     models: ModelScope::All,
/// # };
/// # let grant = Grant::Team { team: "core".parse()?, permission };
/// # let permit = authorize_operation(&system, Create(grant), None, now)?;
/// # let issuer = Issuer::from_static("acme");
/// # let issued = permit.issue(issuer, "batch".parse()?, Validity::NEVER_EXPIRES, &mut rng, now)?;
/// # let presented = UnverifiedToken::parse(issuer, issued.token.expose_secret())?;
/// # let key = verify(&presented, Some(issued.key.record().clone().into()), now)?;
/// // `key` may call models in production.
/// let request = Request::new("core".parse()?, Action::Call {
///     model: "m1aaaaaa".parse()?,
///     environment: Some("production".parse()?),
/// });
/// let allow = decide(&key, None, &request, now).into_result()?;
/// assert_eq!(allow.attribution(), Attribution::Key(key.id(), &"core".parse()?));
///
/// let request = Request::new("core".parse()?, Action::Deploy);
/// assert!(!decide(&key, None, &request, now).is_allowed());
/// # Ok::<(), Box<dyn core::error::Error>>(())
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

/// Proof that one request of one key was allowed; only [`decide`] makes one.
///
/// ```compile_fail
/// use keygate::{Allow, Request, MatchedKey};
/// fn forge<'a>(key: &'a MatchedKey, request: &'a Request) -> Allow<'a> {
///     Allow { key, request }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "hand the proof to whoever carries out the request"]
pub struct Allow<'a> {
    key: &'a MatchedKey,
    request: &'a Request,
}

impl<'a> Allow<'a> {
    /// Returns a reference to the key.
    pub const fn key(&self) -> &'a MatchedKey {
        self.key
    }

    /// Returns a reference to the request that was allowed: carry out this one and no other.
    #[must_use]
    pub const fn request(&self) -> &'a Request {
        self.request
    }

    /// Returns to whom the request is attributed.
    #[must_use]
    pub fn attribution(&self) -> Attribution<'a> {
        attribution(self.key)
    }

    /// Makes a proof that outlives key and request, for a handler to demand.
    pub fn to_authorization(&self) -> Authorization {
        Authorization { key: self.key.clone(), request: self.request.clone() }
    }
}

/// Proof that one request of one key was allowed, owned; only [`Allow::to_authorization`] makes one.
///
/// A handler that takes an `Authorization` cannot be reached without a decision, and serves what was decided upon.
///
/// ```
/// use keygate::Authorization;
/// fn predict(authorization: &Authorization) -> String {
///     format!("{:?}", authorization.request().action.model())
/// }
/// # let _ = predict;
/// ```
#[derive(Clone, Debug)]
#[must_use = "hand the proof to whoever carries out the request"]
pub struct Authorization {
    key: MatchedKey,
    request: Request,
}

impl Authorization {
    /// Returns a reference to the key.
    pub const fn key(&self) -> &MatchedKey {
        &self.key
    }

    /// Returns a reference to the request that was allowed: carry out this one and no other.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// Returns to whom the request is attributed.
    #[must_use]
    pub fn attribution(&self) -> Attribution<'_> {
        attribution(&self.key)
    }
}

fn attribution(key: &MatchedKey) -> Attribution<'_> {
    match key.grant() {
        Grant::Personal { user } => Attribution::User(user),
        Grant::Team { team, .. } => Attribution::Key(key.id(), team),
    }
}

/// To whom an allowed request is attributed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one variant for each kind of key")]
pub enum Attribution<'a> {
    /// A team key, and its team.
    Key(KeyId, &'a TeamId),
    /// The user of a personal key.
    User(&'a UserId),
}

/// Why a request was denied: small, and nothing of the request in it.
///
/// ```
/// # use keygate::*;
/// # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// # let (now, mut rng) = (UnixTime::from_secs(100), ChaCha20Rng::from_seed([1; 32]));
/// # let system = Actor::system("example")?;
/// # let permission = Permission::InferenceOnly {
/// #     environments: EnvironmentScope::only(["production".parse()?])?,
/// #     models: ModelScope::All,
/// # };
/// # let grant = Grant::Team { team: "core".parse()?, permission };
/// # let permit = authorize_operation(&system, Create(grant), None, now)?;
/// # let issuer = Issuer::from_static("acme");
/// # let issued = permit.issue(issuer, "batch".parse()?, Validity::NEVER_EXPIRES, &mut rng, now)?;
/// # let presented = UnverifiedToken::parse(issuer, issued.token.expose_secret())?;
/// # let key = verify(&presented, Some(issued.key.record().clone().into()), now)?;
/// // `key` may call models in production.
/// let request = Request::new("core".parse()?, Action::Call {
///     model: "m1aaaaaa".parse()?,
///     environment: Some("staging".parse()?),
/// });
/// let denial = decide(&key, None, &request, now).into_result().unwrap_err();
/// assert_eq!(denial.to_string(), "call denied: environment_not_in_scope");
/// assert_eq!((denial.reason(), denial.class()), (Reason::EnvironmentNotInScope, DenialClass::NotAllowed));
///
/// let sufficient = denial.requirement(&key, &request).ok_or("nothing is")?;
/// assert_eq!(sufficient.to_string(), "a key with environment `staging`");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("{action} denied: {reason}")]
#[must_use = "a denial that nobody looks at protects nothing"]
pub struct Denial {
    reason: Reason,
    action: ActionKind,
}

impl Denial {
    /// Returns the rule that refused.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns what was asked for.
    #[must_use]
    pub const fn action(&self) -> ActionKind {
        self.action
    }

    /// Returns what the denial says of the one who asks.
    #[must_use]
    pub const fn class(&self) -> DenialClass {
        self.reason.class()
    }

    /// Returns `true` if the answer would show that something exists ([`Reason::reveals_existence`]).
    #[must_use]
    pub const fn reveals_existence(&self) -> bool {
        self.reason.reveals_existence()
    }

    /// Returns what would have sufficed, lent from the key and the request that were decided upon.
    #[must_use]
    pub fn requirement<'a>(&self, key: &'a MatchedKey, request: &'a Request) -> Option<Requirement<'a>> {
        let permission = key.grant().permission();
        match self.reason {
            Reason::LevelInsufficient => Some(Requirement::Level(sufficient_levels(self.action))),
            Reason::EnvironmentScoped => Some(Requirement::AllEnvironments),
            Reason::EnvironmentRequired => permission?.environments().members().map(Requirement::EnvironmentAmong),
            Reason::EnvironmentNotInScope => request.action.environment().map(Requirement::Environment),
            Reason::ModelRequired => permission?.models().members().map(Requirement::ModelAmong),
            Reason::ModelNotInScope => request.action.model().map(Requirement::Model),
            _ => None,
        }
    }
}

/// Returns the levels that cover `action`.
pub(crate) const fn sufficient_levels(action: ActionKind) -> &'static [PermissionLevel] {
    match action {
        ActionKind::Call => &[PermissionLevel::Full, PermissionLevel::InferenceOnly],
        ActionKind::ExportMetrics => &[PermissionLevel::Full, PermissionLevel::MetricsOnly],
        ActionKind::Deploy | ActionKind::Manage => &[PermissionLevel::Full],
    }
}

/// What would have sufficed where a request was denied; for the owner's eyes, since it names what the key holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Requirement<'a> {
    /// A key that is not restricted to environments.
    AllEnvironments,
    /// A key that is granted this environment.
    Environment(&'a EnvironmentName),
    /// A deployment that is in one of the key's environments.
    EnvironmentAmong(&'a NonEmptySet<EnvironmentName>),
    /// A key of one of these levels.
    Level(&'static [PermissionLevel]),
    /// A key that is granted this model.
    Model(&'a ModelId),
    /// A request that names one of the key's models.
    ModelAmong(&'a NonEmptySet<ModelId>),
}

impl fmt::Display for Requirement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllEnvironments => f.write_str("a key without environment restriction"),
            Self::Environment(name) => write!(f, "a key with environment `{name}`"),
            Self::EnvironmentAmong(set) => write_list(f, "a deployment in", *set),
            Self::Level(levels) => write_list(f, "a key with level", *levels),
            Self::Model(model) => write!(f, "a key with model `{model}`"),
            Self::ModelAmong(set) => write_list(f, "a request for model", *set),
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
