//! Managing keys: who may create, list, change and end which key, and the operations that a permit allows.
//!
//! [`authorize_operation`] is pure. The first rule that applies decides:
//!
//! | # | rule | reason |
//! |---|---|---|
//! | | the target is of the issuer that is asked | `OtherIssuer` |
//! | M1 | the system may do everything; the reason goes into the event | |
//! | M2 | a key: rules 1 and 2 of the [policy](crate::policy); and it is of the issuer that is asked | as there; `OtherIssuer` |
//! | M3 | a user, or the user of a personal key: the membership is known; they are deprovisioned, or another incarnation | `MembershipRequired`, `OwnerDeprovisioned` |
//! | M4 | any key may revoke itself | |
//! | M5 | a team key may do nothing else | `LevelInsufficient` |
//! | M6 | target owned by a user: only that user; and a personal key may neither create, rotate nor enable one, only a signed-in user can | `OtherUser`, `SessionRequired` |
//! | M7 | target owned by a team: only an admin of that team; an outsider, then a member, is refused | `OtherTeam`, `LevelInsufficient` |
//! | M8 | create, rotate or enable by a key that expires: the target must expire too, and not after the acting key | `OutlivesActor` |
//!
//! The result is a [`Permit`] for one operation on one target. It carries the target, so it cannot be used on another
//! one; using it consumes it, it is bound to its issuer, and it is refused after a minute.
//! [`KeyManager`](crate::KeyManager) does all of this in one call, and refuses the system, too, a new key for a user
//! who is deprovisioned.

use alloc::sync::Arc;
use core::time::Duration;

use crate::{
    actor::System,
    audit::{EventDraft, EventId, OperationKind, Principal},
    grant::{Grant, Owner, Validity},
    id::UserId,
    labels::Labels,
    membership::{Incarnation, Membership, TeamRole},
    name::{Issuer, KeyName},
    policy::check_usable,
    randomness::{Randomness, RandomnessError},
    reason::{DenialClass, Reason},
    record::{Creator, KeyRecord, RevocationCause},
    store::{KeyChange, Operation as StoreOperation},
    time::UnixTime,
    verify::MatchedKey,
};

mod import;
mod mint;
mod rotation;

pub use crate::issue::{Minted, MintedSecret};
pub use import::{Import, ImportError, Upgrade};
pub use mint::{MintError, MintRules};
pub use rotation::RotateError;

/// Decides whether the actor may carry out `operation`.
///
/// `membership` is the acting user's in the target's team (for a target owned by a user: of any team, or none), read
/// now. The system needs it only to create or import a personal key: then it is that of the owner, whose incarnation
/// the key gets. Team keys need none.
///
/// # Errors
///
/// [`ManageDenial`] with the first rule that refuses.
///
/// # Security
///
/// The record in an operation has to come from the store, by the id that was asked for: a permit is for the key of that
/// id, and the rules look at the owner that the record names. Never build one from the content of a request.
///
/// ```
/// use keygate::{
///     EnvironmentScope, Grant, Issuer, Permission, Reason, TeamRole, UnixTime, Validity,
///     manage::{Acting, Create, authorize_operation},
/// };
///
/// let ada = "ada".parse()?;
/// let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
/// let create = Create { grant, validity: Validity::NEVER_EXPIRES };
/// let (acme, now) = (Issuer::from_static("acme"), UnixTime::from_secs(100));
/// let ask = |role: TeamRole| authorize_operation(acme, Acting::User(&ada), create.clone(), Some(role.into()), now);
/// assert!(ask(TeamRole::Admin).is_ok());
/// assert_eq!(ask(TeamRole::Member).unwrap_err().reason(), Reason::LevelInsufficient);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
pub fn authorize_operation<O: Operation>(
    issuer: Issuer,
    acting: Acting<'_>,
    operation: O,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<Permit<O>, ManageDenial> {
    authorize_among(&|accepted| accepted == issuer, issuer, acting, operation, membership, now)
}

/// Like [`authorize_operation`], but the acting key may be of any accepted issuer.
pub(crate) fn authorize_among<O: Operation>(
    accepts: &dyn Fn(Issuer) -> bool,
    issuer: Issuer,
    acting: Acting<'_>,
    operation: O,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<Permit<O>, ManageDenial> {
    match check(accepts, issuer, acting, &operation, membership, now) {
        Ok(()) => Ok(Permit {
            issuer,
            given_at: now,
            by: acting.principal(),
            creator: acting.user().cloned().map_or(Creator::System, Creator::User),
            incarnation: membership.and_then(Membership::incarnation),
            operation,
        }),
        Err(reason) => {
            let reveals = reveals(acting, &operation.owner(), reason);
            Err(ManageDenial { reason, operation: O::KIND, reveals })
        }
    }
}

/// Returns `true` if a 403 would show that another owner's key exists.
fn reveals(acting: Acting<'_>, target: &Owner, reason: Reason) -> bool {
    match (reason, acting) {
        (Reason::OtherIssuer | Reason::OtherTeam | Reason::OtherUser, _) => true,
        // Rule M5 comes before the rules about the target's owner.
        (Reason::LevelInsufficient, Acting::Key(key)) => key.user().is_none() && key.owner() != *target,
        _ => false,
    }
}

fn check<O: Operation>(
    accepts: &dyn Fn(Issuer) -> bool,
    issuer: Issuer,
    acting: Acting<'_>,
    operation: &O,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<(), Reason> {
    if operation.record().is_some_and(|record| record.issuer != issuer) {
        return Err(Reason::OtherIssuer);
    }
    // M1 and M2.
    let key = match acting {
        Acting::System(_) => return Ok(()),
        Acting::User(_) => None,
        Acting::Key(key) => {
            check_usable(key, now)?;
            if !accepts(key.issuer()) {
                return Err(Reason::OtherIssuer);
            }
            Some(key)
        }
    };
    // M3.
    let role = match acting.user() {
        Some(user) => {
            let membership = membership.ok_or(Reason::MembershipRequired)?;
            Some((user, membership.role_of(key.and_then(MatchedKey::incarnation))))
        }
        None => None,
    };
    if let Some((_, TeamRole::Deprovisioned)) = role {
        return Err(Reason::OwnerDeprovisioned);
    }
    // M4.
    let is_itself = key.is_some_and(|key| operation.record().is_some_and(|record| record.id == key.id()));
    if O::KIND == OperationKind::Revoke && is_itself {
        return Ok(());
    }
    // M5: neither the system nor a user is a team key.
    let (user, role) = role.ok_or(Reason::LevelInsufficient)?;
    let yields_secret = matches!(
        O::KIND,
        OperationKind::Create | OperationKind::Enable | OperationKind::Import | OperationKind::Rotate
    );
    match (operation.owner(), role) {
        // M6.
        (Owner::Personal(owner), _) if *user != owner => return Err(Reason::OtherUser),
        (Owner::Personal(_), _) if key.is_some() && yields_secret => return Err(Reason::SessionRequired),
        (Owner::Personal(_), _) => {}
        // M7.
        (Owner::Team(_), TeamRole::Outsider | TeamRole::Deprovisioned) => return Err(Reason::OtherTeam),
        (Owner::Team(_), TeamRole::Member) => return Err(Reason::LevelInsufficient),
        (Owner::Team(_), TeamRole::Admin) => {}
    }
    // M8.
    match key.and_then(|key| key.validity().expires_at()) {
        Some(end) if yields_secret && operation.expires_at().is_none_or(|target| end < target) => {
            Err(Reason::OutlivesActor)
        }
        _ => Ok(()),
    }
}

/// The actor, as the pure core takes it: a key was looked up and matched just now.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Acting<'a> {
    /// A matched key.
    Key(&'a MatchedKey),
    /// The service itself.
    System(&'a System),
    /// A user who signed in by the service's own means.
    User(&'a UserId),
}

impl<'a> Acting<'a> {
    /// Returns the user who acts: signed in, or the user of a personal key.
    #[must_use]
    pub fn user(self) -> Option<&'a UserId> {
        match self {
            Self::System(_) => None,
            Self::User(user) => Some(user),
            Self::Key(key) => key.user(),
        }
    }

    pub(crate) fn principal(self) -> Principal {
        match self {
            Self::Key(key) => key.principal(),
            Self::System(system) => system.principal(),
            Self::User(id) => Principal::User { id: id.clone() },
        }
    }
}

/// An operation together with its target; the types below are all there are.
pub trait Operation: sealed::Operation {}

mod sealed {
    use crate::{audit::OperationKind, grant::Owner, record::KeyRecord, time::UnixTime};

    #[expect(unnameable_types, reason = "sealed: nobody else adds operations")]
    pub trait Operation {
        const KIND: OperationKind;
        fn owner(&self) -> Owner;
        /// The record to change; `None` for a new key, and for an operation on many keys.
        fn record(&self) -> Option<&KeyRecord>;
        /// The expiry of the key that is created or changed.
        fn expires_at(&self) -> Option<UnixTime> {
            self.record().and_then(|record| record.validity.expires_at())
        }
    }
}

/// Create a key with this grant, valid in this time: the permit fixes both.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an operation is its target and nothing else")]
pub struct Create {
    /// Owner and permission.
    pub grant: Grant,
    /// When the key is valid.
    pub validity: Validity,
}

impl Operation for Create {}

impl sealed::Operation for Create {
    const KIND: OperationKind = OperationKind::Create;

    fn owner(&self) -> Owner {
        self.grant.owner()
    }

    fn record(&self) -> Option<&KeyRecord> {
        None
    }

    fn expires_at(&self) -> Option<UnixTime> {
        self.validity.expires_at()
    }
}

/// List the keys of this owner.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an operation is its target and nothing else")]
pub struct List(pub Owner);

impl Operation for List {}

impl sealed::Operation for List {
    const KIND: OperationKind = OperationKind::List;

    fn owner(&self) -> Owner {
        self.0.clone()
    }

    fn record(&self) -> Option<&KeyRecord> {
        None
    }
}

macro_rules! record_operations {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug)]
            #[expect(clippy::exhaustive_structs, reason = "an operation is its target and nothing else")]
            pub struct $name(pub Arc<KeyRecord>);

            impl Operation for $name {}

            impl sealed::Operation for $name {
                const KIND: OperationKind = OperationKind::$name;

                fn owner(&self) -> Owner {
                    self.0.grant.owner()
                }

                fn record(&self) -> Option<&KeyRecord> {
                    Some(&self.0)
                }
            }
        )*
    };
}

record_operations! {
    /// Disable this key.
    Disable;
    /// Enable this disabled key.
    Enable;
    /// End this key's previous secret.
    EndOverlap;
    /// Rename this key.
    Rename;
    /// Revoke this key.
    Revoke;
    /// Give this key another secret.
    Rotate;
    /// Set this key's labels.
    SetLabels;
}

/// Permission to carry out one operation on one target. Only [`authorize_operation`] creates one.
///
/// Use it immediately: it reflects the actor's rights at the moment it was issued, and is refused
/// [a minute](Permit::LIFETIME) later, before that moment, and for another issuer.
///
/// ```compile_fail
/// use keygate::{audit::Principal, manage::{Create, Permit}};
/// fn forge(operation: Create, by: Principal) -> Permit<Create> {
///     Permit { operation, by }
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permit does nothing until it is used"]
pub struct Permit<O> {
    issuer: Issuer,
    given_at: UnixTime,
    operation: O,
    by: Principal,
    creator: Creator,
    incarnation: Option<Incarnation>,
}

/// The use of a permit: by whom, and when.
struct Use {
    by: Principal,
    at: UnixTime,
}

impl Use {
    fn draft(self, randomness: &dyn Randomness) -> Result<EventDraft, PermitError> {
        Ok(EventDraft::new(EventId::generate(randomness)?, self.at, self.by))
    }
}

impl<O> Permit<O> {
    /// How long a permit can be used: one minute.
    pub const LIFETIME: Duration = Duration::from_secs(60);

    /// Returns a reference to the operation with its target.
    #[must_use]
    pub const fn operation(&self) -> &O {
        &self.operation
    }

    fn check(&self, issuer: Issuer, now: UnixTime) -> Result<(), PermitError> {
        if self.issuer != issuer {
            return Err(PermitError::OtherIssuer);
        }
        if now < self.given_at || self.given_at.saturating_add(Self::LIFETIME) <= now {
            return Err(PermitError::TooOld);
        }
        Ok(())
    }

    fn use_up(self, issuer: Issuer, now: UnixTime) -> Result<(O, Use), PermitError> {
        self.check(issuer, now)?;
        Ok((self.operation, Use { by: self.by, at: now }))
    }
}

macro_rules! plain_changes {
    ($($(#[$doc:meta])* $operation:ident::$method:ident($($argument:ident: $type:ty)?) => $change:expr;)*) => {
        $(
            impl Permit<$operation> {
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// [`PermitError`] if the permit is of another issuer or too old, or there are no random bytes for the
                /// id of the event.
                pub fn $method(
                    self,
                    issuer: Issuer,
                    $($argument: $type,)?
                    randomness: &dyn Randomness,
                    now: UnixTime,
                ) -> Result<KeyChange, PermitError> {
                    let ($operation(record), used) = self.use_up(issuer, now)?;
                    Ok(KeyChange::new(record.id, $change, used.draft(randomness)?))
                }
            }
        )*
    };
}

plain_changes! {
    /// Makes the change that disables the key.
    Disable::disable() => StoreOperation::Disable;
    /// Makes the change that enables the key.
    Enable::enable() => StoreOperation::Enable;
    /// Makes the change that renames the key.
    Rename::rename(name: KeyName) => StoreOperation::Rename(name);
    /// Makes the change that revokes the key.
    Revoke::revoke(cause: RevocationCause) => StoreOperation::Revoke(cause);
    /// Makes the change that sets the key's labels.
    SetLabels::set_labels(labels: Labels) => StoreOperation::SetLabels(labels);
}

impl Permit<EndOverlap> {
    /// Makes the change that ends the previous secret that the key had when it was looked up.
    ///
    /// # Errors
    ///
    /// [`PermitError`] if the permit is of another issuer or too old, or there are no random bytes for the id of the
    /// event.
    pub fn end_overlap(
        self,
        issuer: Issuer,
        randomness: &dyn Randomness,
        now: UnixTime,
    ) -> Result<KeyChange, PermitError> {
        let (EndOverlap(record), used) = self.use_up(issuer, now)?;
        let previous = record.previous.map(|previous| previous.digest);
        Ok(KeyChange::new(record.id, StoreOperation::EndOverlap(previous), used.draft(randomness)?))
    }
}

impl Permit<Revoke> {
    /// Revokes a key whose secret has leaked, in any state of the key.
    ///
    /// The secret is the authority: anyone who holds it could have used the key already. A store answers
    /// [`Conflict::Changed`](crate::store::Conflict::Changed) if it is no longer a secret of the key.
    ///
    /// # Errors
    ///
    /// [`RandomnessError`] if there are no random bytes for the id of the event.
    pub fn revoke_leaked(
        key: &MatchedKey,
        randomness: &dyn Randomness,
        now: UnixTime,
    ) -> Result<KeyChange, RandomnessError> {
        let draft = EventDraft::new(EventId::generate(randomness)?, now, key.principal());
        Ok(KeyChange::new(key.id(), StoreOperation::RevokeLeaked(*key.presented()), draft))
    }
}

/// Why a permit cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PermitError {
    /// It was given for another issuer.
    #[error("the permit is for another issuer")]
    OtherIssuer,
    /// The generator gave no random bytes.
    #[error("no id could be made for the audit event")]
    Randomness(#[from] RandomnessError),
    /// It was given a minute ago or more, or is from the future.
    #[error("the permit was given too long ago")]
    TooOld,
}

impl PermitError {
    /// Returns the name used in logs, which is stable; `None` for a failure that refused nothing.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::OtherIssuer => Some("permit_for_other_issuer"),
            Self::TooOld => Some("permit_too_old"),
            Self::Randomness(_) => None,
        }
    }
}

/// Why an operation is refused: small, without any part of the target.
///
/// ```
/// use keygate::{
///     Issuer, Owner, Reason, TeamRole, UnixTime, audit::OperationKind, manage::{Acting, List, authorize_operation},
/// };
///
/// let (acme, ada) = (Issuer::from_static("acme"), "ada".parse()?);
/// let list = List(Owner::Personal("bob".parse()?));
/// let denial = authorize_operation(acme, Acting::User(&ada), list, Some(TeamRole::Member.into()), UnixTime::MIN);
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
    reveals: bool,
}

impl ManageDenial {
    /// A refusal that shows nothing of a target.
    pub(crate) const fn new(reason: Reason, operation: OperationKind) -> Self {
        Self { reason, operation, reveals: false }
    }

    /// Returns the rule that refused.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the operation that was asked for.
    #[must_use]
    pub const fn operation(&self) -> OperationKind {
        self.operation
    }

    /// Returns the class of the denial.
    #[must_use]
    pub const fn class(&self) -> DenialClass {
        self.reason.class()
    }

    /// Returns `true` if an answer of 403 would show that another's key exists, whatever rule refused first.
    #[must_use]
    pub const fn reveals_existence(&self) -> bool {
        self.reveals
    }
}
