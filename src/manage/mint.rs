//! Making keys under a permit, within rules that the service sets once.

use core::time::Duration;

use super::{Create, Minted, Permit, PermitError, Use};
use crate::{
    audit::{EventDraft, EventId, EventKind},
    digest::SecretDigest,
    grant::{Grant, Permission, Validity},
    id::{KeyId, KeyKind},
    labels::Labels,
    membership::Incarnation,
    name::{Issuer, KeyName},
    own_action::OwnActions,
    randomness::{Randomness, RandomnessError},
    record::{Creator, KeyRecord, Status},
    scope::Scope,
    store::NewKey,
    time::UnixTime,
    token::{GenerateError, Token},
};

/// The rules of a service for new keys, set once. They hold for every actor, the system too.
///
/// A value that exceeds a bound is refused, never shortened.
///
/// ```
/// use core::time::Duration;
/// use keygate::{KeyKind, manage::MintRules};
///
/// let rules = MintRules::new()
///     .with_max_lifetime(KeyKind::Personal, Duration::from_secs(90 * 86_400))
///     .with_expiry_required(KeyKind::Team)
///     .with_max_overlap(Duration::from_secs(7 * 86_400));
/// # let _ = rules;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MintRules {
    actions: OwnActions,
    personal: KindRules,
    team: KindRules,
    max_overlap: Duration,
    max_scope_members: usize,
}

#[derive(Clone, Copy, Debug)]
struct KindRules {
    is_minted: bool,
    is_expiry_required: bool,
    max_lifetime: Option<Duration>,
}

impl MintRules {
    /// Keys of both kinds, with or without expiry, without own actions; overlaps of up to 30 days, and up to 1,000
    /// members in a scope.
    #[must_use]
    pub const fn new() -> Self {
        const ANY: KindRules = KindRules { is_minted: true, is_expiry_required: false, max_lifetime: None };
        Self {
            actions: OwnActions::NONE,
            personal: ANY,
            team: ANY,
            max_overlap: Duration::from_secs(30 * 86_400),
            max_scope_members: 1_000,
        }
    }

    /// Declares the service's own actions.
    #[must_use]
    pub const fn with_own_actions(self, actions: OwnActions) -> Self {
        Self { actions, ..self }
    }

    /// Mints no keys of this kind.
    #[must_use]
    pub const fn without(self, kind: KeyKind) -> Self {
        let rules = KindRules { is_minted: false, ..*self.of(kind) };
        self.with(kind, rules)
    }

    /// Requires an expiry of keys of this kind.
    #[must_use]
    pub const fn with_expiry_required(self, kind: KeyKind) -> Self {
        let rules = KindRules { is_expiry_required: true, ..*self.of(kind) };
        self.with(kind, rules)
    }

    /// Requires keys of this kind to expire, at most `max` after they are made.
    #[must_use]
    pub const fn with_max_lifetime(self, kind: KeyKind, max: Duration) -> Self {
        let rules = KindRules { is_expiry_required: true, max_lifetime: Some(max), ..*self.of(kind) };
        self.with(kind, rules)
    }

    /// Sets how long a previous secret may live on at most.
    #[must_use]
    pub const fn with_max_overlap(self, max: Duration) -> Self {
        Self { max_overlap: max, ..self }
    }

    /// Sets how many environments, models, resources or actions a key may name at most.
    #[must_use]
    pub const fn with_max_scope_members(self, max: usize) -> Self {
        Self { max_scope_members: max, ..self }
    }

    /// Returns the longest time that a previous secret lives on.
    #[must_use]
    pub const fn max_overlap(&self) -> Duration {
        self.max_overlap
    }

    const fn of(&self, kind: KeyKind) -> &KindRules {
        match kind {
            KeyKind::Personal => &self.personal,
            KeyKind::Team => &self.team,
        }
    }

    const fn with(self, kind: KeyKind, rules: KindRules) -> Self {
        match kind {
            KeyKind::Personal => Self { personal: rules, ..self },
            KeyKind::Team => Self { team: rules, ..self },
        }
    }

    /// Checks a key that is to be made now.
    ///
    /// # Errors
    ///
    /// [`MintError`] with the rule that it breaks.
    pub fn check(&self, grant: &Grant, validity: Validity, now: UnixTime) -> Result<(), MintError> {
        if !self.of(grant.kind()).is_minted {
            return Err(MintError::KindNotMinted);
        }
        if let Some(permission) = grant.permission() {
            self.check_permission(permission)?;
        }
        self.check_dates(grant.kind(), validity, now)
    }

    fn check_permission(&self, permission: &Permission) -> Result<(), MintError> {
        fn count<T>(scope: &Scope<T>) -> usize {
            match scope {
                Scope::All => 0,
                Scope::Only(set) => set.len(),
            }
        }
        let counts = [
            count(permission.environments()),
            count(permission.models()),
            count(permission.resources()),
            permission.actions().map_or(0, |actions| actions.len()),
        ];
        if counts.into_iter().any(|count| count > self.max_scope_members) {
            return Err(MintError::ScopeTooLarge);
        }
        let mut actions = permission.actions().into_iter().flatten();
        if !actions.all(|name| name.is_built_in() || self.actions.find(name).is_some()) {
            return Err(MintError::ActionNotDeclared);
        }
        if permission.lists_action_never_allowed() {
            return Err(MintError::ActionNeverAllowed);
        }
        Ok(())
    }

    /// Checks the dates alone: only these rules apply to an import.
    pub(super) fn check_dates(&self, kind: KeyKind, validity: Validity, now: UnixTime) -> Result<(), MintError> {
        let KindRules { is_expiry_required, max_lifetime, .. } = self.of(kind);
        let (start, end) = (validity.not_before(), validity.expires_at());
        if [start, end].into_iter().flatten().any(|time| time > END_OF_9999) {
            return Err(MintError::TimeTooLate);
        }
        match (end, max_lifetime) {
            (None, _) if *is_expiry_required => Err(MintError::ExpiryRequired),
            (Some(end), _) if end <= now => Err(MintError::ExpiresInPast),
            (Some(end), Some(max)) if end > now.saturating_add(*max) => Err(MintError::LifetimeTooLong),
            _ => Ok(()),
        }
    }
}

impl Default for MintRules {
    fn default() -> Self {
        Self::new()
    }
}

/// 9999-12-31T23:59:59Z. A later time was meant in milliseconds.
const END_OF_9999: UnixTime = UnixTime::from_secs(253_402_300_799);

impl Permit<Create> {
    /// Makes the key: a token to show once, and a record to [insert](crate::store::KeyManagementStore::insert).
    ///
    /// Owner, permission, validity and creator come from the permit.
    ///
    /// # Errors
    ///
    /// [`MintError`] with the broken rule, or the failure.
    pub fn issue(
        self,
        issuer: Issuer,
        (name, labels): (KeyName, Labels),
        rules: &MintRules,
        randomness: &dyn Randomness,
        now: UnixTime,
    ) -> Result<Minted, MintError> {
        self.minting(issuer, (name, labels), rules, now)?.mint(randomness)
    }

    /// Uses the permit up, and makes the key again each time that its random id is taken.
    pub(crate) fn minting(
        self,
        issuer: Issuer,
        (name, labels): (KeyName, Labels),
        rules: &MintRules,
        now: UnixTime,
    ) -> Result<Minting, MintError> {
        let Create { grant, validity } = self.operation();
        rules.check(grant, *validity, now)?;
        let (creator, incarnation) = (self.creator.clone(), self.incarnation);
        let (Create { grant, validity }, used) = self.use_up(issuer, now)?;
        Ok(Minting { issuer, name, labels, grant, validity, creator, incarnation, used })
    }
}

/// A key that was permitted and has no id and no secret yet.
pub(crate) struct Minting {
    pub(super) issuer: Issuer,
    pub(super) name: KeyName,
    pub(super) labels: Labels,
    pub(super) grant: Grant,
    pub(super) validity: Validity,
    pub(super) creator: Creator,
    pub(super) incarnation: Option<Incarnation>,
    pub(super) used: Use,
}

impl Minting {
    pub(crate) fn mint(&self, randomness: &dyn Randomness) -> Result<Minted, MintError> {
        let token = Token::generate(self.issuer, self.grant.kind(), randomness)?;
        let draft = EventDraft::new(EventId::generate(randomness)?, self.used.at, self.used.by.clone());
        let record = self.record(token.id(), token.digest(), self.used.at);
        let kind = EventKind::Created {
            name: self.name.clone(),
            level: self.grant.permission().map(Permission::level),
            expires_at: self.validity.expires_at(),
            labels: self.labels.clone(),
        };
        Ok(Minted { token, key: NewKey::new(record, &draft, kind) })
    }

    fn record(&self, id: KeyId, current: SecretDigest, created_at: UnixTime) -> KeyRecord {
        KeyRecord {
            issuer: self.issuer,
            id,
            name: self.name.clone(),
            labels: self.labels.clone(),
            incarnation: self.incarnation.filter(|_| self.grant.kind() == KeyKind::Personal),
            grant: self.grant.clone(),
            created_at,
            created_by: self.creator.clone(),
            validity: self.validity,
            last_used_at: None,
            status: Status::Active,
            current,
            previous: None,
        }
    }

    /// Makes the record of a legacy key, which has an id and a secret.
    pub(super) fn adopt(
        self,
        (id, current): (KeyId, SecretDigest),
        created_at: UnixTime,
        randomness: &dyn Randomness,
    ) -> Result<NewKey, PermitError> {
        let record = self.record(id, current, created_at);
        let kind = EventKind::Imported {
            name: record.name.clone(),
            level: record.grant.permission().map(Permission::level),
            created_at,
            expires_at: record.validity.expires_at(),
            labels: record.labels.clone(),
        };
        Ok(NewKey::new(record, &self.used.draft(randomness)?, kind))
    }
}

/// Why a key is not made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// A listed action could never be allowed with the key's restrictions.
    #[error("the restrictions of the key would never allow one of its actions")]
    ActionNeverAllowed,
    /// A listed action is neither built in nor declared by the service.
    #[error("an action of the key is not declared by the service")]
    ActionNotDeclared,
    /// The key would expire at once, or has expired already.
    #[error("`expires_at` must be after now")]
    ExpiresInPast,
    /// The service requires an expiry of keys of this kind.
    #[error("keys of this kind must expire")]
    ExpiryRequired,
    /// The random generator does not work.
    #[error("no token could be made")]
    Generate(#[from] GenerateError),
    /// The service mints no keys of this kind.
    #[error("keys of this kind are not minted")]
    KindNotMinted,
    /// The key would live longer than the service allows.
    #[error("the key would live longer than the service allows")]
    LifetimeTooLong,
    /// The permit cannot be used.
    #[error("the permit cannot be used")]
    Permit(#[from] PermitError),
    /// A scope names more members than the service allows.
    #[error("a scope of the key has more members than the service allows")]
    ScopeTooLarge,
    /// A time is after the year 9999.
    #[error("a time is after the year 9999: times are in seconds, not in milliseconds")]
    TimeTooLate,
}

impl From<RandomnessError> for MintError {
    fn from(error: RandomnessError) -> Self {
        Self::Permit(error.into())
    }
}

impl MintError {
    /// Returns the name used in logs, which is stable; `None` for a failure that refused nothing.
    ///
    /// ```
    /// assert_eq!(keygate::manage::MintError::ExpiresInPast.as_str(), Some("expires_in_past"));
    /// ```
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::ActionNeverAllowed => Some("action_never_allowed"),
            Self::ActionNotDeclared => Some("action_not_declared"),
            Self::ExpiresInPast => Some("expires_in_past"),
            Self::ExpiryRequired => Some("expiry_required"),
            Self::Generate(_) => None,
            Self::KindNotMinted => Some("kind_not_minted"),
            Self::LifetimeTooLong => Some("lifetime_too_long"),
            Self::Permit(error) => error.as_str(),
            Self::ScopeTooLarge => Some("scope_too_large"),
            Self::TimeTooLate => Some("time_too_late"),
        }
    }
}
