//! Managing keys: who may create, list, change and end which key, and the operations that a permit allows.
//!
//! [`authorize_operation`] is pure. The first rule that applies decides:
//!
//! | # | rule | reason |
//! |---|---|---|
//! | M1 | the system may do everything; the reason goes into the event | |
//! | M2 | a key: rules 1 and 2 of the [policy](crate::policy) | as there |
//! | M3 | a user, or the user of a personal key: their membership is known; they are deprovisioned | `MembershipRequired`, `OwnerDeprovisioned` |
//! | M4 | any key may revoke itself | |
//! | M5 | a team key may do nothing else | `LevelInsufficient` |
//! | M6 | target owned by a user: only that user; and a personal key cannot create keys, only a signed-in user can | `OtherUser`, `SessionRequired` |
//! | M7 | target owned by a team: only an admin of that team; an outsider, then a member, is refused | `OtherTeam`, `LevelInsufficient` |
//!
//! What may be done is a [`Permit`] for one operation on one target. It carries the target, so there is no way to use
//! it on another one, and its methods make what a store is asked to do. [`KeyManager`](crate::KeyManager) joins both.

use alloc::sync::Arc;
use core::time::Duration;

use rand_core::TryCryptoRng;

use crate::{
    event::{Asked, Event, EventKind, OperationKind, Principal, SystemReason},
    grant::{Grant, Owner, Validity},
    id::{KeyId, UserId},
    issue,
    membership::Membership,
    name::{Issuer, KeyName},
    policy::check_usable,
    reason::{DenialClass, Reason},
    record::{Creator, KeyRecord, NewKey, PreviousChange, PreviousSecret, SecretChange, Status},
    text::InvalidText,
    time::UnixTime,
    token::{GenerateError, Token},
    verify::MatchedKey,
};

mod import;

pub use import::{Import, ImportError, Imported, Upgrade};

/// Decides whether `actor` may carry out `operation`.
///
/// `membership` is the acting user's in the target's team (for a target owned by a user: `Deprovisioned`, or anything
/// else), read now. Operators and team keys need none.
///
/// # Errors
///
/// [`ManageDenial`] with the first rule that refuses.
///
/// # Security
///
/// The record in an operation has to come from the store, by the id that was asked for: a permit is for the key of that
/// id, and the rules look at the owner that the record names. Never build one from what a request says.
///
/// ```
/// use keygate::{Actor, Create, EnvironmentScope, Grant, Permission, Reason, Membership, UnixTime, authorize_operation};
///
/// let ada = Actor::User("ada".parse()?);
/// let grant = Grant::Team {
///     team: "core".parse()?,
///     permission: Permission::Full { environments: EnvironmentScope::All },
/// };
/// let now = UnixTime::from_secs(100);
/// assert!(authorize_operation(&ada, Create(grant.clone()), Some(Membership::Admin), now).is_ok());
/// let denial = authorize_operation(&ada, Create(grant), Some(Membership::Member), now).unwrap_err();
/// assert_eq!(denial.reason(), Reason::LevelInsufficient);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
pub fn authorize_operation<O: Operation>(
    actor: &Actor<'_>,
    operation: O,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<Permit<O>, ManageDenial> {
    match check(actor, &operation, membership, now) {
        Ok(()) => Ok(Permit { operation, by: actor.by(), user: actor.user().cloned() }),
        Err(reason) => Err(ManageDenial { reason, operation: O::KIND, key: operation.key_id() }),
    }
}

fn check<O: Operation>(
    actor: &Actor<'_>,
    operation: &O,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<(), Reason> {
    // M1 and M2.
    let key = match actor {
        Actor::System(_) => return Ok(()),
        Actor::User(_) => None,
        Actor::Key(key) => {
            check_usable(key, now)?;
            Some(*key)
        }
    };
    // M3.
    let user = actor.user();
    let membership = match user {
        Some(_) => Some(membership.ok_or(Reason::MembershipRequired)?),
        None => None,
    };
    if membership == Some(Membership::Deprovisioned) {
        return Err(Reason::OwnerDeprovisioned);
    }
    // M4.
    if O::KIND == OperationKind::Revoke && key.is_some_and(|key| operation.key_id() == Some(key.id())) {
        return Ok(());
    }
    match (user, membership, operation.owner()) {
        // M5: who is neither system nor user is a team key.
        (None, _, _) | (_, None, _) => Err(Reason::LevelInsufficient),
        // M6.
        (Some(user), Some(_), Owner::Personal(owner)) if *user != owner => Err(Reason::OtherUser),
        (Some(_), Some(_), Owner::Personal(_)) if key.is_some() && O::KIND == OperationKind::Create => {
            Err(Reason::SessionRequired)
        }
        (Some(_), Some(_), Owner::Personal(_)) => Ok(()),
        // M7.
        (Some(_), Some(Membership::Outsider | Membership::Deprovisioned), Owner::Team(_)) => Err(Reason::OtherTeam),
        (Some(_), Some(Membership::Member), Owner::Team(_)) => Err(Reason::LevelInsufficient),
        (Some(_), Some(Membership::Admin), Owner::Team(_)) => Ok(()),
    }
}

/// Who wants to manage keys.
///
/// ```
/// use keygate::{Actor, System};
/// assert_eq!(Actor::User("ada".parse()?).user().map(|user| user.as_str()), Some("ada"));
/// assert_eq!(Actor::system("first key")?.user(), None);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "an actor that the rules do not know cannot be decided")]
pub enum Actor<'a> {
    /// A verified key.
    Key(&'a MatchedKey),
    /// The service itself.
    System(System),
    /// A user who signed in by the service's own means.
    User(UserId),
}

impl Actor<'_> {
    /// The service itself, for a reason that goes into the event.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if the reason is empty, has more than 200 symbols, or has one that is not printable ASCII.
    pub fn system(reason: &str) -> Result<Self, InvalidText> {
        System::new(reason).map(Self::System)
    }

    /// Returns a reference to the user who acts: signed in, or behind a personal key.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::System(_) => None,
            Self::User(user) => Some(user),
            Self::Key(key) => match key.grant() {
                Grant::Personal { user } => Some(user),
                Grant::Team { .. } => None,
            },
        }
    }

    pub(crate) fn by(&self) -> Principal {
        match self {
            Self::Key(key) => Principal::key(key),
            Self::System(system) => system.by(),
            Self::User(user) => Principal::User { id: user.clone() },
        }
    }

    /// Returns the event that tells of a denial to this actor.
    #[must_use]
    pub fn to_event(&self, denial: ManageDenial, now: UnixTime) -> Event {
        let ManageDenial { reason, operation, key } = denial;
        let refused = EventKind::Refused { asked: Some(Asked::Operation(operation)), why: reason.as_str() };
        Event::new(now, self.by(), key, refused)
    }
}

/// The root authority: the service itself, for the first key and for deprovisioning.
///
/// Whoever can name this type can do everything: look for it in reviews.
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

    /// Returns a reference to the reason.
    #[must_use]
    pub const fn reason(&self) -> &SystemReason {
        &self.reason
    }

    pub(crate) fn by(&self) -> Principal {
        Principal::System { reason: self.reason.clone() }
    }
}

/// An operation together with its target; the types below are all there are.
pub trait Operation: sealed::Operation {}

mod sealed {
    use crate::{event::OperationKind, grant::Owner, id::KeyId};

    #[expect(unnameable_types, reason = "sealed: nobody else adds operations")]
    pub trait Operation {
        const KIND: OperationKind;
        fn owner(&self) -> Owner;
        fn key_id(&self) -> Option<KeyId>;
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($target:ty): |$this:ident| $owner:expr, $id:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug)]
            #[expect(clippy::exhaustive_structs, reason = "an operation is its target and nothing else")]
            pub struct $name(pub $target);

            impl Operation for $name {}

            impl sealed::Operation for $name {
                const KIND: OperationKind = OperationKind::$name;

                fn owner(&self) -> Owner {
                    let $this = &self.0;
                    $owner
                }

                fn key_id(&self) -> Option<KeyId> {
                    let $this = &self.0;
                    $id
                }
            }
        )*
    };
}

operations! {
    /// Create a key with this grant: the permit fixes owner and permission.
    Create(Grant): |grant| grant.owner(), { let _ = grant; None };
    /// List the keys of this owner.
    List(Owner): |owner| owner.clone(), { let _ = owner; None };
    /// Rename this key.
    Rename(Arc<KeyRecord>): |record| record.grant().owner(), Some(record.id());
    /// Give this key another secret, or end its previous one.
    Rotate(Arc<KeyRecord>): |record| record.grant().owner(), Some(record.id());
    /// Set this key aside.
    Disable(Arc<KeyRecord>): |record| record.grant().owner(), Some(record.id());
    /// Take this disabled key into use again.
    Enable(Arc<KeyRecord>): |record| record.grant().owner(), Some(record.id());
    /// End this key for good.
    Revoke(Arc<KeyRecord>): |record| record.grant().owner(), Some(record.id());
}

/// Leave to carry out one operation on one target; only [`authorize_operation`] gives it.
///
/// Use it at once: what was permitted to an admin yesterday says nothing about today.
///
/// ```compile_fail
/// use keygate::{Create, Grant, Permit};
/// fn forge(grant: Grant) -> Permit<Create> {
///     Permit { operation: Create(grant), by: todo!() }
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permit does nothing until it is used"]
pub struct Permit<O> {
    operation: O,
    by: Principal,
    user: Option<UserId>,
}

impl<O: Operation> Permit<O> {
    /// Returns a reference to the operation with its target.
    #[must_use]
    pub const fn operation(&self) -> &O {
        &self.operation
    }

    pub(crate) fn event(&self, kind: EventKind, now: UnixTime) -> Event {
        Event::new(now, self.by.clone(), self.operation.key_id(), kind)
    }
}

impl Permit<Revoke> {
    /// Whoever holds a secret may end its key, in whatever state the key is: it has leaked.
    pub(crate) fn leaked(key: &MatchedKey) -> Self {
        Self { operation: Revoke(Arc::clone(key.record())), by: Principal::key(key), user: None }
    }
}

impl Permit<Create> {
    /// Makes the key: a token to show once, and a record to [insert](crate::KeyManagementStore::insert).
    ///
    /// Owner, permission and creator come from the permit. The event is due when the store has acknowledged.
    ///
    /// # Errors
    ///
    /// [`GenerateError`] if the random generator does not work.
    pub fn issue<R: TryCryptoRng + ?Sized>(
        &self,
        issuer: Issuer,
        name: KeyName,
        validity: Validity,
        rng: &mut R,
        now: UnixTime,
    ) -> Result<Issued, GenerateError> {
        let grant = self.operation.0.clone();
        let created_by = self.creator();
        let created = EventKind::Created { name: name.clone(), owner: grant.owner() };
        let (token, key) = issue::mint(issuer, (name, grant, validity), created_by, now, rng)?;
        let event = Event::new(now, self.by.clone(), Some(token.id()), created);
        Ok(Issued { token, key, event })
    }

    /// A team key creates no keys (M5), so where no user acts, signed in or by a personal key, it is the system.
    fn creator(&self) -> Creator {
        self.user.clone().map_or(Creator::System, Creator::User)
    }
}

/// A key that was just made.
///
/// # Security
///
/// The token is shown once, to the one who gets the key; what is stored cannot give it back.
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
/// assert_eq!(issued.token.id(), issued.key.record().id());
/// assert_eq!(issued.token.digest(), issued.key.record().current());
/// assert_eq!(issued.event.key, Some(issued.token.id()));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the token cannot be shown later"]
#[non_exhaustive]
pub struct Issued {
    /// What the holder of the key presents.
    pub token: Token,
    /// What a store holds.
    pub key: NewKey,
    /// What the audit log is told.
    pub event: Event,
}

impl Permit<Rotate> {
    /// Makes the key's next secret: a token to show once, and a change for a store to [make](crate::KeyManagementStore::rotate).
    ///
    /// Grant and expiry stay.
    ///
    /// # Errors
    ///
    /// - [`RotateError::Revoked`], [`RotateError::Disabled`] or [`RotateError::Expired`]: only an active key is rotated.
    /// - [`RotateError::InProgress`] if a previous secret is live and [`Rotation::Start`] was asked for.
    /// - [`RotateError::Generate`] if the random generator does not work.
    pub fn rotate<R: TryCryptoRng + ?Sized>(
        &self,
        issuer: Issuer,
        rotation: Rotation,
        rng: &mut R,
        now: UnixTime,
    ) -> Result<RotatedKey, RotateError> {
        let record = &*self.operation.0;
        match record.status() {
            Status::Revoked { .. } => return Err(RotateError::Revoked),
            Status::Disabled => return Err(RotateError::Disabled),
            Status::Active if record.validity().is_expired(now) => return Err(RotateError::Expired),
            Status::Active => {}
        }
        let previous = previous_after(record, rotation, now)?;
        let previous_ends_at = match previous {
            PreviousChange::Clear => None,
            PreviousChange::Keep => record.previous().map(|previous| previous.ends_at),
            PreviousChange::Set(previous) => Some(previous.ends_at),
        };
        let (token, change) = issue::rotate(issuer, record, previous, rng)?;
        let event = self.event(EventKind::Rotated { previous_ends_at }, now);
        Ok(RotatedKey { token, change, event })
    }
}

fn previous_after(record: &KeyRecord, rotation: Rotation, now: UnixTime) -> Result<PreviousChange, RotateError> {
    match (rotation, record.live_previous(now)) {
        (Rotation::CutOver, _) => Ok(PreviousChange::Clear),
        (Rotation::Start { .. }, Some(_)) => Err(RotateError::InProgress),
        (Rotation::Retry { .. }, Some(_)) => Ok(PreviousChange::Keep),
        (Rotation::Start { overlap } | Rotation::Retry { overlap }, None) => {
            let end = now.saturating_add(overlap);
            let ends_at = record.validity().expires_at().map_or(end, |expires_at| expires_at.min(end));
            Ok(PreviousChange::Set(PreviousSecret { digest: record.current(), ends_at }))
        }
    }
}

/// How to change a key's secret without an outage.
///
/// ```
/// use core::time::Duration;
/// use keygate::Rotation;
/// let daily = Rotation::Start { overlap: Duration::from_secs(86_400) };
/// assert_ne!(daily, Rotation::CutOver);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rotation {
    /// Only the new secret lives, at once: for a secret that leaked.
    CutOver,
    /// As `Start`; but where a previous secret is live, it stays, with its end, and the current one is replaced.
    ///
    /// For when the answer to a `Start` was lost: the secret that was to be shown is replaced, and the one that is
    /// deployed lives on.
    Retry {
        /// As in `Start`.
        overlap: Duration,
    },
    /// The current secret lives on beside the new one; refused while a previous one is live.
    Start {
        /// For how long, in whole seconds; never beyond the key's expiry.
        overlap: Duration,
    },
}

/// A secret that was just made for a key that exists.
///
/// # Security
///
/// As for [`Issued`]: the token is shown once.
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
/// let record = std::sync::Arc::new(issued.key.record().clone());
/// let permit = authorize_operation(&system, Rotate(record), None, now)?;
/// let rotated = permit.rotate(issuer, Rotation::CutOver, &mut rng, now)?;
/// assert_eq!(rotated.token.id(), issued.token.id());
/// assert_eq!(rotated.change.expected(), issued.token.digest());
/// assert_eq!(rotated.change.current(), rotated.token.digest());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the token cannot be shown later"]
#[non_exhaustive]
pub struct RotatedKey {
    /// What the holder of the key presents from now on.
    pub token: Token,
    /// What a store is asked to change.
    pub change: SecretChange,
    /// What the audit log is told.
    pub event: Event,
}

/// Why a key cannot be rotated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The key is set aside.
    #[error("the key is disabled")]
    Disabled,
    /// The key's time is over.
    #[error("the key is expired")]
    Expired,
    /// The random generator does not work.
    #[error("no secret could be made")]
    Generate(#[from] GenerateError),
    /// A previous secret is live.
    #[error("a rotation is in progress: its previous secret is still live")]
    InProgress,
    /// The key is ended for good.
    #[error("the key is revoked")]
    Revoked,
}

impl RotateError {
    /// Returns the name used in logs, which is stable.
    ///
    /// ```
    /// assert_eq!(keygate::RotateError::InProgress.as_str(), "rotation_in_progress");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Generate(_) => "generator_failed",
            Self::InProgress => "rotation_in_progress",
            Self::Revoked => "revoked",
        }
    }
}

/// Why an operation is refused: small, and nothing of the target but its public id in it.
///
/// ```
/// use keygate::{Actor, List, OperationKind, Owner, Reason, Membership, UnixTime, authorize_operation};
///
/// let ada = Actor::User("ada".parse()?);
/// let denial = authorize_operation(&ada, List(Owner::Personal("bob".parse()?)), Some(Membership::Member), UnixTime::MIN);
/// let denial = denial.unwrap_err();
/// assert_eq!((denial.operation(), denial.reason()), (OperationKind::List, Reason::OtherUser));
/// assert_eq!(denial.to_string(), "list denied: other_user");
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{operation} denied: {reason}")]
#[must_use = "a denial that nobody looks at protects nothing"]
pub struct ManageDenial {
    reason: Reason,
    operation: OperationKind,
    key: Option<KeyId>,
}

impl ManageDenial {
    /// Returns the rule that refused.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns what was asked for.
    #[must_use]
    pub const fn operation(&self) -> OperationKind {
        self.operation
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
}
