//! Every refusal, as one value.

use core::error::Error;

use ::http::{HeaderValue, StatusCode};

use super::CredentialError;
use crate::{
    audit::RefusalReason,
    decision::{Authorization, Denial},
    gate::AuthenticateError,
    manage::{ManageDenial, RotateError},
    manager::ManageError,
    reason::{DenialClass, Reason},
    store::Conflict,
    verdict::{Unavailable, Verdict},
};

/// Every kind of refusal at the edge, so that a service can answer it in its own way.
///
/// [`Responses::answer`](super::Responses::answer) is the answer of this crate. Errors of earlier stages become a
/// refusal by `?`:
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use keygate::{
///     Action, Authorization, Gate, Issuer, MemoryStore, Request,
///     http::{CredentialSources, Refusal, extract_credential},
/// };
///
/// async fn admit(gate: &Gate<MemoryStore>, headers: &HeaderMap, request: &Request) -> Result<Authorization, Refusal> {
///     let credential = extract_credential(headers, &CredentialSources::authorization(), gate.accepted_keys())?;
///     Refusal::unless_allowed(gate.check(credential, request).await?)
/// }
///
/// # pollster::block_on(async {
/// let gate = Gate::new(Issuer::from_static("acme"), MemoryStore::new());
/// let request = Request::new("core".parse()?, Action::Deploy);
/// let refusal = admit(&gate, &HeaderMap::new(), &request).await.unwrap_err();
/// assert_eq!((refusal.status(), refusal.kind()), (StatusCode::UNAUTHORIZED, "missing_credential"));
/// # Ok::<(), keygate::InvalidText>(())
/// # })?;
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a refusal must be answered"]
#[non_exhaustive]
pub enum Refusal {
    /// There is no rule for the route, so no key may use it: 403.
    Closed,
    /// The stored keys do not allow the change: 409.
    Conflict(RefusalReason),
    /// The request does not hold exactly one credential: 401 without any, or else 400.
    Credential(CredentialError),
    /// The key may not do it: 403.
    Denied(Denial),
    /// The requested key, or overlap, breaks a rule of the service: 400.
    InvalidChange(RefusalReason),
    /// The credential opens no key: 401, the same for every cause.
    InvalidKey,
    /// The route has no such method: 405, with the methods that it has.
    MethodNotAllowed(HeaderValue),
    /// There is no such resource, or it is hidden: 404.
    NotFound,
    /// The actor is not allowed to make this change: 403.
    OperationDenied(ManageDenial),
    /// The connection is not encrypted: 403.
    Plaintext,
    /// A look-up failed: 503, never an allow, and never "the key is not valid".
    Unavailable,
    /// The key is revoked, disabled, expired or not yet valid, or its user is deprovisioned: 401.
    Unusable(Reason),
}

impl Refusal {
    /// Turns a verdict into a `Result`, for `?`.
    ///
    /// # Errors
    ///
    /// The refusal, if the key may not do it.
    pub fn unless_allowed(verdict: Verdict) -> Result<Authorization, Self> {
        match verdict {
            Verdict::Allowed(authorization) => Ok(authorization),
            Verdict::Denied { denial, .. } => Err(denial.into()),
            Verdict::Unauthenticated(_) => Err(Self::InvalidKey),
        }
    }

    /// Hides existing resources: turns a refusal that would reveal one into [`Refusal::NotFound`].
    ///
    /// See [`Denial::reveals_existence`].
    pub fn hiding(self) -> Self {
        match self {
            Self::Denied(denial) if denial.reveals_existence() => Self::NotFound,
            Self::OperationDenied(denial) if denial.reveals_existence() => Self::NotFound,
            other => other,
        }
    }

    /// Returns the status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Closed | Self::Denied(_) | Self::OperationDenied(_) | Self::Plaintext => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Credential(CredentialError::Missing) | Self::InvalidKey | Self::Unusable(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Credential(_) | Self::InvalidChange(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the name of the class, which is stable. Refusals that clients treat alike share one.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Closed | Self::Denied(_) | Self::OperationDenied(_) => "insufficient_scope",
            Self::Conflict(_) => "conflict",
            Self::Credential(CredentialError::Missing) => "missing_credential",
            Self::Credential(_) => "invalid_request",
            Self::InvalidChange(_) => "invalid_change",
            Self::InvalidKey | Self::Unusable(_) => "invalid_token",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::Plaintext => "plaintext",
            Self::Unavailable => "unavailable",
        }
    }

    /// Returns the name of the rule that refused, if the answer may contain it.
    ///
    /// # Security
    ///
    /// Only a caller with the secret of a key gets it, or one whose credential was not looked at.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Conflict(reason) | Self::InvalidChange(reason) => Some(reason.as_str()),
            Self::Credential(CredentialError::Missing) => None,
            Self::Credential(error) => Some(error.as_str()),
            Self::Denied(denial) => Some(denial.reason().as_str()),
            Self::OperationDenied(denial) => Some(denial.reason().as_str()),
            Self::Unusable(reason) => Some(reason.as_str()),
            Self::Closed
            | Self::InvalidKey
            | Self::MethodNotAllowed(_)
            | Self::NotFound
            | Self::Plaintext
            | Self::Unavailable => None,
        }
    }

    /// A denial by its class: nothing was decided, the key is not usable, or it may not.
    fn of_class(reason: Reason, not_allowed: Self) -> Self {
        match reason.class() {
            DenialClass::NotAllowed => not_allowed,
            DenialClass::NotAuthenticated => Self::Unusable(reason),
            DenialClass::Undecided => Self::Unavailable,
        }
    }
}

impl From<&Self> for Refusal {
    fn from(refusal: &Self) -> Self {
        refusal.clone()
    }
}

impl From<CredentialError> for Refusal {
    fn from(error: CredentialError) -> Self {
        Self::Credential(error)
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::of_class(denial.reason(), Self::Denied(denial))
    }
}

impl From<ManageDenial> for Refusal {
    fn from(denial: ManageDenial) -> Self {
        Self::of_class(denial.reason(), Self::OperationDenied(denial))
    }
}

impl<S: Error + 'static, D: Error + 'static> From<Unavailable<S, D>> for Refusal {
    fn from(_: Unavailable<S, D>) -> Self {
        Self::Unavailable
    }
}

impl<S: Error + 'static, D: Error + 'static> From<AuthenticateError<S, D>> for Refusal {
    fn from(error: AuthenticateError<S, D>) -> Self {
        match error {
            AuthenticateError::Unauthenticated(_) => Self::InvalidKey,
            AuthenticateError::Unavailable(_) => Self::Unavailable,
            AuthenticateError::Unusable(reason) => Self::Unusable(reason),
        }
    }
}

/// A key of another owner is answered as one that does not exist.
impl<S: Error + 'static, D: Error + 'static> From<&ManageError<S, D>> for Refusal {
    fn from(error: &ManageError<S, D>) -> Self {
        // Where nothing was refused, something failed: a look-up, the store, or the generator.
        let Some(reason) = error.refusal() else { return Self::Unavailable };
        match error {
            ManageError::ActorInvalid => Self::InvalidKey,
            ManageError::Conflict(Conflict::Absent) => Self::NotFound,
            ManageError::Denied(denial) => Self::from(*denial).hiding(),
            ManageError::Import(_) | ManageError::Mint(_) | ManageError::Rotate(RotateError::OverlapTooLong) => {
                Self::InvalidChange(reason)
            }
            _ => Self::Conflict(reason),
        }
    }
}
