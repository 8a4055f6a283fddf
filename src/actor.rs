//! The actor of an operation on keys.

use crate::{
    audit::{Principal, SystemReason},
    decision::{AuthenticatedKey, Authorization},
    id::{KeyId, UserId},
    text::InvalidText,
    verify::MatchedKey,
};

/// The actor of an operation on keys: the service itself, a signed-in user, or a key.
///
/// ```
/// use keygate::Actor;
///
/// let system = Actor::system("first key")?;
/// let ada = Actor::User("ada".parse()?); // signed in by the service's own means
/// # let _ = (system, ada);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Actor {
    /// A key. It is looked up and matched again before it may do anything.
    Key(ActingKey),
    /// The service itself.
    System(System),
    /// A user who signed in by the service's own means.
    User(UserId),
}

impl Actor {
    /// The service itself, for a reason that goes into the event.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if the reason is empty, has more than 200 symbols, or has one that is not printable ASCII.
    pub fn system(reason: &str) -> Result<Self, InvalidText> {
        System::new(reason).map(Self::System)
    }

    /// Returns the actor of an audit event; for a key, as it was when it was presented.
    #[must_use]
    pub fn principal(&self) -> Principal {
        match self {
            Self::Key(ActingKey(key)) => key.principal(),
            Self::System(system) => system.principal(),
            Self::User(id) => Principal::User { id: id.clone() },
        }
    }
}

impl From<&AuthenticatedKey> for Actor {
    fn from(key: &AuthenticatedKey) -> Self {
        Self::Key(ActingKey(key.matched().clone()))
    }
}

impl From<&Authorization> for Actor {
    fn from(authorization: &Authorization) -> Self {
        authorization.key().into()
    }
}

impl From<System> for Actor {
    fn from(system: System) -> Self {
        Self::System(system)
    }
}

/// A key that was authenticated and now wants to manage keys: enough to look it up and match it again, and no
/// authority.
#[derive(Clone, Debug)]
pub struct ActingKey(MatchedKey);

impl ActingKey {
    /// Returns the public id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.0.id()
    }

    pub(crate) const fn as_presented(&self) -> &MatchedKey {
        &self.0
    }
}

/// The root authority: the service itself, for the first key and for deprovisioning.
///
/// Any code that can name this type has full rights, so look for it in code review.
///
/// ```
/// use keygate::System;
/// assert_eq!(System::new("first key")?.reason().as_str(), "first key");
/// assert!(System::new("").is_err());
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct System {
    reason: SystemReason,
}

impl System {
    /// Acts as the service, for a reason that goes into the event.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if the reason is empty, has more than 200 symbols, or has one that is not printable ASCII.
    pub fn new(reason: &str) -> Result<Self, InvalidText> {
        Ok(Self { reason: reason.parse()? })
    }

    /// Returns the reason.
    #[must_use]
    pub const fn reason(&self) -> &SystemReason {
        &self.reason
    }

    pub(crate) fn principal(&self) -> Principal {
        Principal::System { reason: self.reason.clone() }
    }
}
