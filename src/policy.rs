//! The policy: may this key do that, now?
//!
//! [`decide`] is pure and total: no I/O, no clock, no allocation. It takes only a [`MatchedKey`], so no status leaks to
//! someone who knows just an id. The first rule that applies decides:
//!
//! | # | rule | reason |
//! |---|---|---|
//! | 1 | revoked; disabled | `Revoked`, `Disabled` |
//! | 2 | valid iff `not_before <= now < expires_at` | `NotYetValid`, `Expired` |
//! | 3 | personal: the membership is known; user deprovisioned, or another incarnation; user not in the team | `MembershipRequired`, `OwnerDeprovisioned`, `OtherTeam` |
//! | 3 | team: the request is for another team | `OtherTeam` |
//! | 4 | personal, admin or member: every action but explicit ones | `ActionNotInScope` |
//! | 4 | full: every action but explicit ones; inference only: `Call`; metrics only: `ExportMetrics` | `ActionNotInScope`; `LevelInsufficient` |
//! | 4 | custom: the actions that it lists, by name, built-in ones too | `ActionNotInScope` |
//! | 5 | a full key restricted to environments can only call | `EnvironmentScoped` |
//! | 6 | restricted to environments: the request names one, and it is in the set | `EnvironmentRequired`, `EnvironmentNotInScope` |
//! | 7 | inference or metrics only, restricted to models: the request names one, and it is in the set | `ModelRequired`, `ModelNotInScope` |
//! | 7 | custom, restricted to resources: the request names one, and it is in the set; the model of `Call` and `ExportMetrics` is their resource | `ResourceRequired`, `ResourceNotInScope` |
//! | 8 | allow, attributed to the user or to the key and its team | |

use crate::{
    action::{Action, Request},
    decision::requested_resource,
    grant::{Grant, Permission},
    id::ModelId,
    membership::{Membership, TeamRole, UserStatus},
    name::EnvironmentName,
    own_action::Coverage,
    reason::{DenialClass, Reason},
    record::Status,
    scope::{EnvironmentScope, ModelScope, ResourceScope, Scope},
    time::UnixTime,
    verify::MatchedKey,
};

pub use crate::decision::{Allow, Decision, Requirement};
use crate::decision::{AuthenticatedKey, Denial};

/// Decides one request.
///
/// `membership` is that of the key's user in the request's team, read now and not when the key was minted. Only
/// personal keys need it: without it they get [`Reason::MembershipRequired`], after rules 1 and 2 passed; ask the
/// directory then, and decide again. For team keys it is ignored.
///
/// ```
/// use keygate::{Action, DenialClass, Membership, Request, UnixTime, policy::{Decision, decide}, verify::MatchedKey};
///
/// fn handle(key: &MatchedKey, membership: Option<Membership>, request: &Request, now: UnixTime) -> u16 {
///     match decide(key, membership, request, now) {
///         Decision::Allow(_) => 200,
///         Decision::Deny(denial) => match denial.class() {
///             DenialClass::NotAuthenticated => 401,
///             DenialClass::NotAllowed => 403,
///             _ => 503,
///         },
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
        Ok(()) => Decision::Allow(Allow::decided(key, request, now)),
        Err(reason) => Decision::Deny(Denial::new(reason, &request.action, reveals(key, request, reason))),
    }
}

/// Returns the requests that would be allowed, so that a list never shows a resource that a call refuses.
///
/// ```
/// use keygate::{Action, ModelId, Request, TeamId, UnixTime, policy::allowed, verify::MatchedKey};
///
/// fn callable_models(key: &MatchedKey, team: &TeamId, models: Vec<ModelId>, now: UnixTime) -> Vec<ModelId> {
///     let calls = models.into_iter().map(|model| Request::new(team.clone(), Action::call(model, None)));
///     allowed(key, None, calls, now).filter_map(|call| call.action.model().cloned()).collect()
/// }
/// # let _ = callable_models;
/// ```
pub fn allowed<I: IntoIterator<Item = Request>>(
    key: &MatchedKey,
    membership: Option<Membership>,
    requests: I,
    now: UnixTime,
) -> impl Iterator<Item = Request> + use<'_, I> {
    requests.into_iter().filter(move |request| check(key, membership, request, now).is_ok())
}

fn check(key: &MatchedKey, membership: Option<Membership>, request: &Request, now: UnixTime) -> Result<(), Reason> {
    check_usable(key, now)?;
    match key.grant() {
        // Rule 3: a personal key acts as its user, so what the user is in the request's team decides.
        Grant::Personal { .. } => {
            match membership.ok_or(Reason::MembershipRequired)?.role_of(key.incarnation()) {
                TeamRole::Deprovisioned => Err(Reason::OwnerDeprovisioned),
                TeamRole::Outsider => Err(Reason::OtherTeam),
                // Rule 4: the members of a team do its work; only managing keys tells admins from members.
                TeamRole::Admin | TeamRole::Member => match &request.action {
                    Action::Call { .. } | Action::Deploy | Action::ExportMetrics { .. } | Action::Manage => Ok(()),
                    Action::Custom { action, .. } => check_ordinary(action.coverage()),
                },
            }
        }
        // Rule 3: a team key is confined to its team.
        Grant::Team { team, .. } if *team != request.team => Err(Reason::OtherTeam),
        Grant::Team { permission, .. } => check_permission(permission, request),
    }
}

/// Checks rules 1 and 2: may the key be used at all, for anything?
///
/// [`decide`] does so first.
///
/// # Errors
///
/// [`Reason::Revoked`], [`Reason::Disabled`], [`Reason::NotYetValid`] or [`Reason::Expired`]: "not authenticated", 401.
pub fn check_usable(key: &MatchedKey, now: UnixTime) -> Result<(), Reason> {
    match key.status() {
        Status::Revoked { .. } => Err(Reason::Revoked),
        Status::Disabled => Err(Reason::Disabled),
        Status::Active if key.validity().is_before_start(now) => Err(Reason::NotYetValid),
        Status::Active if key.validity().is_expired(now) => Err(Reason::Expired),
        Status::Active => Ok(()),
    }
}

/// Checks that a matched key is usable, when there is no request to decide yet: rules 1, 2 and the user's status.
///
/// `user` is the directory's answer about the user of a personal key; team keys need none.
///
/// # Errors
///
/// The reasons of [`check_usable`], [`Reason::OwnerDeprovisioned`], or [`Reason::MembershipRequired`] if `user` is
/// missing.
pub fn authenticate(key: MatchedKey, user: Option<UserStatus>, now: UnixTime) -> Result<AuthenticatedKey, Reason> {
    try_authenticate(key, user, now).map_err(|(_, reason)| reason)
}

/// Gives the key back if it is refused.
pub(crate) fn try_authenticate(
    key: MatchedKey,
    user: Option<UserStatus>,
    now: UnixTime,
) -> Result<AuthenticatedKey, (MatchedKey, Reason)> {
    match check_user(&key, user, now) {
        Ok(()) => Ok(AuthenticatedKey::judged(key, now)),
        Err(reason) => Err((key, reason)),
    }
}

fn check_user(key: &MatchedKey, user: Option<UserStatus>, now: UnixTime) -> Result<(), Reason> {
    check_usable(key, now)?;
    if key.user().is_none() {
        return Ok(());
    }
    let membership = Membership::from(user.ok_or(Reason::MembershipRequired)?);
    flag(membership.role_of(key.incarnation()) != TeamRole::Deprovisioned, Reason::OwnerDeprovisioned)
}

/// Rules 4 to 7: what each level covers, within the restrictions that it takes. No arm has a wildcard: a new action is
/// covered by nothing until it is written here.
fn check_permission(permission: &Permission, request: &Request) -> Result<(), Reason> {
    let action = &request.action;
    match (permission, action) {
        // Full access: everything but explicit actions.
        (Permission::Full { environments }, Action::Call { environment, .. }) => {
            check_environment(environments, environment.as_ref())
        }
        (Permission::Full { environments }, Action::Deploy | Action::ExportMetrics { .. } | Action::Manage) => {
            check_unscoped(environments)
        }
        (Permission::Full { environments }, Action::Custom { action, .. }) => {
            check_ordinary(action.coverage())?;
            check_unscoped(environments)
        }
        // Inference only: call.
        (Permission::InferenceOnly { environments, models }, Action::Call { environment, model }) => {
            check_environment(environments, environment.as_ref())?;
            check_model(models, Some(model))
        }
        (
            Permission::InferenceOnly { .. },
            Action::Custom { .. } | Action::Deploy | Action::ExportMetrics { .. } | Action::Manage,
        ) => Err(Reason::LevelInsufficient),
        // Metrics only: export.
        (Permission::MetricsOnly { models }, Action::ExportMetrics { model }) => check_model(models, model.as_ref()),
        (
            Permission::MetricsOnly { .. },
            Action::Call { .. } | Action::Custom { .. } | Action::Deploy | Action::Manage,
        ) => Err(Reason::LevelInsufficient),
        // Custom: what it lists, by name.
        (
            Permission::Custom { actions, environments, resources },
            Action::Call { .. }
            | Action::Custom { .. }
            | Action::Deploy
            | Action::ExportMetrics { .. }
            | Action::Manage,
        ) => {
            flag(actions.contains_text(action.name()), Reason::ActionNotInScope)?;
            check_environment(environments, action.environment())?;
            check_resource(resources, requested_resource(request))
        }
    }
}

/// Rule 4: an explicit action is covered by nothing but a list of it.
fn check_ordinary(coverage: Coverage) -> Result<(), Reason> {
    flag(coverage == Coverage::Ordinary, Reason::ActionNotInScope)
}

/// Rule 5: with full access, everything but a call reaches beyond an environment.
fn check_unscoped(granted: &EnvironmentScope) -> Result<(), Reason> {
    flag(*granted == Scope::All, Reason::EnvironmentScoped)
}

/// Rule 6: the request names an environment, and it is one of those that are granted.
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
        // Everything, or what belongs to no model, is more than the models that the key names.
        (Scope::Only(_), None) => Err(Reason::ModelRequired),
    }
}

/// Rule 7: the resource is one of those that the key names.
fn check_resource(granted: &ResourceScope, resource: Option<&str>) -> Result<(), Reason> {
    match (granted, resource) {
        (Scope::All, _) => Ok(()),
        (Scope::Only(granted), Some(resource)) => flag(granted.contains_text(resource), Reason::ResourceNotInScope),
        (Scope::Only(_), None) => Err(Reason::ResourceRequired),
    }
}

fn flag(holds: bool, otherwise: Reason) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Returns `true` if a 403 would show what the key must not see: another team's, or what its restriction to models or
/// resources leaves out, whatever rule refused first.
fn reveals(key: &MatchedKey, request: &Request, reason: Reason) -> bool {
    if reason.class() != DenialClass::NotAllowed {
        return false;
    }
    if reason == Reason::OtherTeam {
        return true;
    }
    match key.grant().permission() {
        Some(Permission::InferenceOnly { models, .. } | Permission::MetricsOnly { models }) => {
            request.action.model().is_some_and(|model| !models.contains(model))
        }
        Some(Permission::Custom { resources, .. }) => {
            requested_resource(request).is_some_and(|resource| check_resource(resources, Some(resource)).is_err())
        }
        Some(Permission::Full { .. }) | None => false,
    }
}
