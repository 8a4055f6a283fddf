//! The outcome of a request.

use core::error::Error;

use crate::{
    action::Request,
    audit::{Attempt, Principal, RefusalReason},
    decision::{AuthenticatedKey, Authorization, Decided, Denial},
    grant::Owner,
    id::KeyId,
    reason::DenialClass,
    time::UnixTime,
    token::ParseTokenError,
    verify::MatchedKey,
};

/// The outcome of checking a request.
///
/// ```
/// use keygate::{DenialClass, Verdict};
///
/// fn status(verdict: &Verdict) -> u16 {
///     match verdict {
///         Verdict::Allowed(_) => 200,
///         Verdict::Denied { denial, .. } => match denial.class() {
///             DenialClass::NotAllowed => 403,
///             DenialClass::NotAuthenticated => 401,
///             _ => 503,
///         },
///         _ => 401,
///     }
/// }
/// # let _ = status;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a verdict that nobody looks at protects nothing"]
#[non_exhaustive]
pub enum Verdict {
    /// The key may do what the request asks for.
    Allowed(Authorization),
    /// The secret matched, but the key may not do what the request asks for.
    #[non_exhaustive]
    Denied {
        /// The rule that refused.
        denial: Denial,
        /// The key.
        key: DeniedKey,
    },
    /// The credential is not a valid key.
    Unauthenticated(Unauthenticated),
}

impl Verdict {
    /// Takes the decision about this key and this request.
    pub(crate) fn of(key: MatchedKey, request: &Request, decided: Result<Decided, Denial>, now: UnixTime) -> Self {
        match decided {
            Ok(decided) => Self::Allowed(decided.authorize(key, request)),
            Err(denial) => Self::Denied { denial, key: DeniedKey { key, denial, request: request.clone(), at: now } },
        }
    }
}

/// A key that was denied a request: what a service may show or log of it.
#[derive(Clone, Debug)]
pub struct DeniedKey {
    key: MatchedKey,
    denial: Denial,
    request: Request,
    at: UnixTime,
}

impl DeniedKey {
    /// Returns the public id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.key.id()
    }

    /// Returns the owner.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.key.owner()
    }

    /// Returns the actor, for an audit event.
    #[must_use]
    pub fn principal(&self) -> Principal {
        self.key.principal()
    }

    /// Returns the attempted request, for an audit event.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        Attempt::request(&self.request)
    }

    /// Returns the key as an authenticated one, if it is usable and only this request was not allowed.
    #[must_use]
    pub fn authenticated(&self) -> Option<AuthenticatedKey> {
        (self.denial.class() == DenialClass::NotAllowed).then(|| AuthenticatedKey::judged(self.key.clone(), self.at))
    }

    /// Returns the requirement that was not met, as text for the owner only: it names what the key was granted.
    #[must_use]
    pub fn requirement(&self) -> Option<crate::policy::Requirement<'_>> {
        self.denial.requirement(&self.key, &self.request)
    }
}

/// Why a credential was not accepted.
///
/// # Security
///
/// The variants are for logs. To the client there is one answer for all of them.
///
/// ```
/// use keygate::{Issuer, Unauthenticated, stages::AcceptedKeys, verify::ParseTokenError};
///
/// let error = AcceptedKeys::new(Issuer::from_static("kg")).parse("eyJhbGciOi").unwrap_err();
/// assert_eq!(error, Unauthenticated::NotAToken(ParseTokenError::ForeignIssuer));
/// assert!(error.is_other_issuer());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthenticated {
    /// A well-formed token or legacy key, but no such key exists, or its secret is another.
    #[error("the key is not valid")]
    #[non_exhaustive]
    InvalidKey {
        /// The id that was claimed, which need not exist.
        claimed: KeyId,
    },
    /// Not a token of an accepted issuer, nor a legacy key of an accepted format.
    #[error("the credential is not a token")]
    NotAToken(#[source] ParseTokenError),
}

impl Unauthenticated {
    /// Returns the name used in logs, which is stable.
    ///
    /// ```
    /// use keygate::{Unauthenticated, verify::ParseTokenError};
    /// assert_eq!(Unauthenticated::NotAToken(ParseTokenError::Malformed).as_str(), "malformed");
    /// ```
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidKey { .. } => "invalid_key",
            Self::NotAToken(error) => error.as_str(),
        }
    }

    /// Returns `true` if it may be another system's credential, such as a JWT, that a service may want to pass on.
    #[must_use]
    pub const fn is_other_issuer(&self) -> bool {
        matches!(self, Self::NotAToken(ParseTokenError::ForeignIssuer))
    }

    /// Returns the id that the credential claimed, which need not exist.
    #[must_use]
    pub const fn claimed(&self) -> Option<KeyId> {
        match self {
            Self::InvalidKey { claimed } => Some(*claimed),
            Self::NotAToken(_) => None,
        }
    }

    /// Returns the reason, for an audit event.
    #[must_use]
    pub const fn refusal(&self) -> RefusalReason {
        RefusalReason::of(self.as_str())
    }
}

/// A look-up failed, so nothing is known: neither an allow nor an invalid key.
///
/// ```
/// use core::fmt;
/// use keygate::Unavailable;
///
/// let failed: Unavailable<fmt::Error, fmt::Error> = Unavailable::Store(fmt::Error);
/// assert_eq!(failed.to_string(), "the look-up of a key failed");
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable<S: Error + 'static, D: Error + 'static> {
    /// The user could not be looked up.
    #[error("the look-up of a user failed")]
    Directory(#[source] D),
    /// The key could not be looked up.
    #[error("the look-up of a key failed")]
    Store(#[source] S),
}
