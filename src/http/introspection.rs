//! Token introspection (RFC 7662), for gateways in front of a service.

use alloc::{string::String, vec::Vec};

use serde::Serialize;

use crate::{
    decision::AuthenticatedKey,
    grant::{Grant, Permission},
    id::{KeyId, UserId},
    name::Issuer,
    own_action::{CALL, Coverage, DEPLOY, EXPORT_METRICS, MANAGE, OwnActions},
    scope::Scope,
    time::UnixTime,
};

/// The answer to a question about a token (RFC 7662, section 2.2); serialize it as JSON.
///
/// `scope` names actions, and is there only if the key has no other restriction: a reader must not take a restricted
/// key for an unrestricted one; a service with own actions adds them
/// ([`with_own_actions`](Introspection::with_own_actions)). `permission` has every restriction. A personal key has
/// neither: it may do what its user may do in the team.
///
/// # Security
///
/// The endpoint lets its callers try tokens, and names a good one's owner: authenticate the caller (RFC 7662, section
/// 2.1), and answer [`INACTIVE`](Introspection::INACTIVE) for every cause but a failed look-up, which is a 503.
///
/// ```
/// use keygate::{AuthenticateError, Gate, MemoryStore, http::Introspection};
///
/// async fn introspect(gate: &Gate<MemoryStore>, token: &str) -> (u16, Introspection) {
///     match gate.authenticate(token).await {
///         Ok(key) => (200, Introspection::active(&key)),
///         Err(AuthenticateError::Unavailable(_)) => (503, Introspection::INACTIVE),
///         Err(_) => (200, Introspection::INACTIVE),
///     }
/// }
///
/// let gate = Gate::new("acme".parse()?, MemoryStore::new());
/// let (status, answer) = pollster::block_on(introspect(&gate, "made up"));
/// assert_eq!((status, serde_json::to_string(&answer)?.as_str()), (200, r#"{"active":false}"#));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Introspection {
    active: bool,
    #[serde(flatten)]
    key: Option<Key>,
}

#[derive(Clone, Debug, Serialize)]
struct Key {
    /// The id of the key, which is public.
    client_id: KeyId,
    iss: Issuer,
    /// The owner.
    sub: String,
    iat: UnixTime,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<UnixTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<UnixTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<Permission>,
}

impl Introspection {
    /// There is no such key, or it is not usable: the answer says nothing else.
    pub const INACTIVE: Self = Self { active: false, key: None };

    /// Describes an authenticated key.
    #[must_use]
    pub fn active(key: &AuthenticatedKey) -> Self {
        let record = key.matched().record();
        let permission = match record.grant() {
            Grant::Personal { .. } => None,
            Grant::Team { permission, .. } => Some(permission.clone()),
        };
        let key = Key {
            client_id: record.id(),
            iss: record.issuer(),
            sub: alloc::format!("{}", record.grant().owner()),
            iat: record.created_at(),
            token_type: "Bearer",
            username: record.grant().user().cloned(),
            nbf: record.validity().not_before(),
            exp: record.validity().expires_at(),
            scope: permission.as_ref().and_then(scope),
            permission,
        };
        Self { active: true, key: Some(key) }
    }

    /// Also lists a service's own ordinary actions in the scope of a key with full access.
    ///
    /// Without it such a scope has the built-in actions only. [`OwnActions::EVERY_ORDINARY`] names none, so it adds
    /// none.
    #[must_use]
    pub fn with_own_actions(mut self, actions: OwnActions) -> Self {
        if let Some(Key { scope: Some(scope), permission: Some(Permission::Full { .. }), .. }) = &mut self.key {
            for action in actions.iter().filter(|action| action.coverage() == Coverage::Ordinary) {
                scope.push(' ');
                scope.push_str(action.name());
            }
        }
        self
    }
}

/// The actions of a permission that restricts nothing else.
fn scope(permission: &Permission) -> Option<String> {
    let actions: Vec<&str> = match permission {
        Permission::Full { environments: Scope::All } => [CALL, DEPLOY, EXPORT_METRICS, MANAGE].into(),
        Permission::InferenceOnly { environments: Scope::All, models: Scope::All } => [CALL].into(),
        Permission::MetricsOnly { models: Scope::All } => [EXPORT_METRICS].into(),
        Permission::Custom { actions, environments: Scope::All, resources: Scope::All } => {
            actions.iter().map(|action| action.as_str()).collect()
        }
        Permission::Full { .. }
        | Permission::InferenceOnly { .. }
        | Permission::MetricsOnly { .. }
        | Permission::Custom { .. } => return None,
    };
    Some(actions.join(" "))
}
