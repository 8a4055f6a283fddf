//! Why an operation on keys did not take place.

use core::error::Error;

use crate::{
    audit::RefusalReason,
    manage::{ImportError, ManageDenial, MintError, PermitError, RotateError},
    randomness::RandomnessError,
    reason::DenialClass,
    store::Conflict,
};

/// Why an operation on keys did not take place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError<S: Error + 'static, D: Error + 'static> {
    /// The acting key is of another issuer, or the secret that it was authenticated by does not open it any more.
    #[error("the acting key is not valid here, or not any more")]
    ActorInvalid,
    /// The store refused the change.
    #[error("the store refused the change")]
    Conflict(#[source] Conflict),
    /// The actor is not allowed to.
    #[error("the actor may not do this")]
    Denied(#[from] ManageDenial),
    /// The directory failed, and nothing was changed.
    #[error("the directory failed")]
    Directory(#[source] D),
    /// The key cannot be imported.
    #[error("the key cannot be imported")]
    Import(#[from] ImportError),
    /// The key breaks a rule about keys.
    #[error("the key cannot be created")]
    Mint(#[from] MintError),
    /// The permit cannot be used.
    #[error("the permit cannot be used")]
    Permit(#[from] PermitError),
    /// The key cannot be rotated, or not in that way.
    #[error("the key cannot be rotated")]
    Rotate(#[from] RotateError),
    /// The store failed, and it is unknown whether the change took place.
    #[error("the store failed")]
    Store(#[source] S),
    /// The user is active in the directory: set it first, or the user goes on making keys.
    #[error("the user is not deprovisioned in the directory")]
    UserNotDeprovisioned,
}

impl<S: Error + 'static, D: Error + 'static> From<RandomnessError> for ManageError<S, D> {
    fn from(error: RandomnessError) -> Self {
        Self::Permit(error.into())
    }
}

impl<S: Error + 'static, D: Error + 'static> ManageError<S, D> {
    /// Returns `true` if it is the actor that is not valid any more.
    pub(super) const fn is_of_actor(&self) -> bool {
        match self {
            Self::ActorInvalid => true,
            Self::Denied(denial) => matches!(denial.class(), DenialClass::NotAuthenticated),
            _ => false,
        }
    }

    /// Returns the reason of the refusal; `None` for a failure that refused nothing.
    #[must_use]
    pub fn refusal(&self) -> Option<RefusalReason> {
        let name = match self {
            Self::ActorInvalid => "invalid_key",
            Self::Conflict(conflict) => conflict.as_str(),
            Self::Denied(denial) => denial.reason().as_str(),
            Self::Directory(_) | Self::Store(_) => return None,
            Self::Import(error) => error.as_str()?,
            Self::Mint(error) => error.as_str()?,
            Self::Permit(error) => error.as_str()?,
            Self::Rotate(error) => error.as_str()?,
            Self::UserNotDeprovisioned => "user_not_deprovisioned",
        };
        Some(RefusalReason::of(name))
    }
}
