//! Managing keys: who may create, list, change and end which key, and the operations that a permit allows.
//!
//! [`may_manage`] is pure. The first rule that applies decides:
//!
//! | # | rule | reason |
//! |---|---|---|
//! | M1 | an operator may do everything; the reason goes into the event | |
//! | M2 | a key: rules 1 and 2 of the [policy](crate::policy) | as there |
//! | M3 | a user, or the user of a personal key: their standing is known; they are deprovisioned | `StandingRequired`, `OwnerDeprovisioned` |
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
    event::{Asked, By, Event, EventKind, OperationKind, OperatorReason},
    grant::{Grant, Owner, Validity},
    id::{KeyId, UserId},
    issue,
    name::{Issuer, KeyName},
    policy::usable,
    reason::{Class, Reason},
    record::{Creator, KeyRecord, NewKey, PreviousChange, PreviousSecret, SecretChange, Status},
    standing::Standing,
    text::InvalidText,
    time::UnixTime,
    token::{GenerateError, Token},
    verify::VerifiedKey,
};

mod import;

pub use import::{Import, ImportError, Imported, Upgrade};

/// Decides whether `actor` may carry out `operation`.
///
/// `standing` is the acting user's in the target's team (for a target owned by a user: `Deprovisioned`, or anything
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
/// use keygate::{Actor, Create, EnvironmentScope, Grant, Permission, Reason, Standing, UnixTime, may_manage};
///
/// let ada = Actor::User("ada".parse()?);
/// let grant = Grant::Team {
///     team: "core".parse()?,
///     permission: Permission::Full { environments: EnvironmentScope::All },
/// };
/// let now = UnixTime::from_secs(100);
/// assert!(may_manage(&ada, Create(grant.clone()), Some(Standing::Admin), now).is_ok());
/// let denial = may_manage(&ada, Create(grant), Some(Standing::Member), now).unwrap_err();
/// assert_eq!(denial.reason(), Reason::LevelInsufficient);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
pub fn may_manage<O: Operation>(
    actor: &Actor<'_>,
    operation: O,
    standing: Option<Standing>,
    now: UnixTime,
) -> Result<Permit<O>, ManageDenial> {
    match check(actor, &operation, standing, now) {
        Ok(()) => Ok(Permit { operation, by: actor.by(), user: actor.user().cloned() }),
        Err(reason) => Err(ManageDenial { reason, operation: O::KIND, key: operation.key_id() }),
    }
}

fn check<O: Operation>(
    actor: &Actor<'_>,
    operation: &O,
    standing: Option<Standing>,
    now: UnixTime,
) -> Result<(), Reason> {
    // M1 and M2.
    let key = match actor {
        Actor::Operator(_) => return Ok(()),
        Actor::User(_) => None,
        Actor::Key(key) => {
            usable(key, now)?;
            Some(*key)
        }
    };
    // M3.
    let user = actor.user();
    let standing = match user {
        Some(_) => Some(standing.ok_or(Reason::StandingRequired)?),
        None => None,
    };
    if standing == Some(Standing::Deprovisioned) {
        return Err(Reason::OwnerDeprovisioned);
    }
    // M4.
    if O::KIND == OperationKind::Revoke && key.is_some_and(|key| operation.key_id() == Some(key.id())) {
        return Ok(());
    }
    match (user, standing, operation.owner()) {
        // M5: who is neither operator nor user is a team key.
        (None, _, _) | (_, None, _) => Err(Reason::LevelInsufficient),
        // M6.
        (Some(user), Some(_), Owner::Personal(owner)) if *user != owner => Err(Reason::OtherUser),
        (Some(_), Some(_), Owner::Personal(_)) if key.is_some() && O::KIND == OperationKind::Create => {
            Err(Reason::SessionRequired)
        }
        (Some(_), Some(_), Owner::Personal(_)) => Ok(()),
        // M7.
        (Some(_), Some(Standing::Outsider | Standing::Deprovisioned), Owner::Team(_)) => Err(Reason::OtherTeam),
        (Some(_), Some(Standing::Member), Owner::Team(_)) => Err(Reason::LevelInsufficient),
        (Some(_), Some(Standing::Admin), Owner::Team(_)) => Ok(()),
    }
}

/// Who wants to manage keys.
///
/// ```
/// use keygate::{Actor, Operator};
/// assert_eq!(Actor::User("ada".parse()?).user().map(|user| user.as_str()), Some("ada"));
/// assert_eq!(Actor::Operator(Operator::because("first key")?).user(), None);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "an actor that the rules do not know cannot be decided")]
pub enum Actor<'a> {
    /// A verified key.
    Key(&'a VerifiedKey),
    /// The service itself.
    Operator(Operator),
    /// A user who signed in by the service's own means.
    User(UserId),
}

impl Actor<'_> {
    /// Lends the user who acts: signed in, or behind a personal key.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Operator(_) => None,
            Self::User(user) => Some(user),
            Self::Key(key) => match key.grant() {
                Grant::Personal { user } => Some(user),
                Grant::Team { .. } => None,
            },
        }
    }

    pub(crate) fn by(&self) -> By {
        match self {
            Self::Key(key) => By::key(key),
            Self::Operator(operator) => operator.by(),
            Self::User(user) => By::User { id: user.clone() },
        }
    }

    /// Returns the event that tells of a denial to this actor.
    #[must_use]
    pub fn refused(&self, denial: ManageDenial, now: UnixTime) -> Event {
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
/// use keygate::Operator;
/// assert_eq!(Operator::because("first key")?.reason().as_str(), "first key");
/// assert!(Operator::because("").is_err());
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Operator {
    reason: OperatorReason,
}

impl Operator {
    /// Acts as the service, for a reason that goes into the event.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if the reason is empty, has more than 200 symbols, or has one that is not printable ASCII.
    pub fn because(reason: &str) -> Result<Self, InvalidText> {
        Ok(Self { reason: reason.parse()? })
    }

    /// Lends the reason.
    #[must_use]
    pub const fn reason(&self) -> &OperatorReason {
        &self.reason
    }

    pub(crate) fn by(&self) -> By {
        By::Operator { reason: self.reason.clone() }
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

/// Leave to carry out one operation on one target; only [`may_manage`] gives it.
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
    by: By,
    user: Option<UserId>,
}

impl<O: Operation> Permit<O> {
    /// Lends the operation with its target.
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
    pub(crate) fn exposed(key: &VerifiedKey) -> Self {
        Self { operation: Revoke(Arc::clone(key.record())), by: By::key(key), user: None }
    }
}

impl Permit<Create> {
    /// Makes the key: a token to show once, and a record to [insert](crate::ManagedKeyStore::insert).
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

    /// A team key creates no keys (M5), so where no user acts, signed in or by a personal key, it is an operator.
    fn creator(&self) -> Creator {
        self.user.clone().map_or(Creator::Operator, Creator::User)
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
/// # let operator = Actor::Operator(Operator::because("example")?);
/// # let permission = Permission::InferenceOnly {
/// #     environments: EnvironmentScope::only(["production".parse()?])?,
/// #     models: ModelScope::All,
/// # };
/// # let grant = Grant::Team { team: "core".parse()?, permission };
/// # let permit = may_manage(&operator, Create(grant), None, now)?;
/// # let issuer = Issuer::from_static("acme");
/// # let issued = permit.issue(issuer, "batch".parse()?, Validity::UNLIMITED, &mut rng, now)?;
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
    /// Makes the key's next secret: a token to show once, and a change for a store to [make](crate::ManagedKeyStore::rotate).
    ///
    /// Grant and expiry stay.
    ///
    /// # Errors
    ///
    /// - [`RotateError::Revoked`], [`RotateError::Disabled`] or [`RotateError::Expired`]: only an active key is rotated.
    /// - [`RotateError::InProgress`] if a previous secret is live and [`Rotation::Start`] was asked for.
    /// - [`RotateError::Generate`] if the random generator does not work.
    pub fn remint<R: TryCryptoRng + ?Sized>(
        &self,
        issuer: Issuer,
        rotation: Rotation,
        rng: &mut R,
        now: UnixTime,
    ) -> Result<Reminted, RotateError> {
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
        let (token, change) = issue::remint(issuer, record, previous, rng)?;
        let event = self.event(EventKind::Rotated { previous_ends_at }, now);
        Ok(Reminted { token, change, event })
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
/// # let operator = Actor::Operator(Operator::because("example")?);
/// # let permission = Permission::InferenceOnly {
/// #     environments: EnvironmentScope::only(["production".parse()?])?,
/// #     models: ModelScope::All,
/// # };
/// # let grant = Grant::Team { team: "core".parse()?, permission };
/// # let permit = may_manage(&operator, Create(grant), None, now)?;
/// # let issuer = Issuer::from_static("acme");
/// # let issued = permit.issue(issuer, "batch".parse()?, Validity::UNLIMITED, &mut rng, now)?;
/// # let presented = UnverifiedToken::parse(issuer, issued.token.expose_secret())?;
/// # let key = verify(&presented, Some(issued.key.record().clone().into()), now)?;
/// let record = std::sync::Arc::new(issued.key.record().clone());
/// let permit = may_manage(&operator, Rotate(record), None, now)?;
/// let reminted = permit.remint(issuer, Rotation::CutOver, &mut rng, now)?;
/// assert_eq!(reminted.token.id(), issued.token.id());
/// assert_eq!(reminted.change.expected(), issued.token.digest());
/// assert_eq!(reminted.change.current(), reminted.token.digest());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the token cannot be shown later"]
#[non_exhaustive]
pub struct Reminted {
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
/// use keygate::{Actor, List, OperationKind, Owner, Reason, Standing, UnixTime, may_manage};
///
/// let ada = Actor::User("ada".parse()?);
/// let denial = may_manage(&ada, List(Owner::Personal("bob".parse()?)), Some(Standing::Member), UnixTime::MIN);
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
    pub const fn class(&self) -> Class {
        self.reason.class()
    }

    /// Tells whether the answer would show that something exists ([`Reason::conceals`]).
    #[must_use]
    pub const fn conceals(&self) -> bool {
        self.reason.conceals()
    }
}
