//! What is told of each change and each refusal, for an audit log: who did what to which key, and never a secret.

use alloc::collections::BTreeMap;

use crate::{
    action::ActionKind,
    grant::Owner,
    id::{KeyId, UserId},
    name::KeyName,
    text::{Grammar, SymbolTest, text_type},
    time::UnixTime,
    verify::{MatchedKey, SecretSlot},
};

/// Something that happened to a key, or was refused to one.
///
/// With feature `serde` it serializes; nothing reads events back, so it does not deserialize.
///
/// ```
/// use keygate::{Actor, Principal, Create, EventKind, Grant, Issuer, System, UnixTime, Validity, authorize_operation};
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// let system = Actor::system("first key")?;
/// let now = UnixTime::from_secs(100);
/// let permit = authorize_operation(&system, Create(Grant::Personal { user: "ada".parse()? }), None, now)?;
/// let mut rng = ChaCha20Rng::from_seed([1; 32]);
/// let issued = permit.issue(Issuer::from_static("acme"), "laptop".parse()?, Validity::NEVER_EXPIRES, &mut rng, now)?;
/// assert!(matches!(issued.event.kind, EventKind::Created { .. }));
/// assert!(matches!(issued.event.by, Principal::System { .. }));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: UnixTime,
    /// Who.
    pub by: Principal,
    /// The key, where there is one.
    pub key: Option<KeyId>,
    /// What.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub kind: EventKind,
}

impl Event {
    pub(crate) const fn new(at: UnixTime, by: Principal, key: Option<KeyId>, kind: EventKind) -> Self {
        Self { at, by, key, kind }
    }

    /// Tells of a refusal before or beside a decision: no credential, a route of which nothing is said, a limit of the
    /// service's own. `why` is its stable name.
    ///
    /// A denial and a credential that opened nothing make their own: [`Denial::to_event`](crate::Denial::to_event),
    /// [`Unauthenticated::to_event`](crate::Unauthenticated::to_event), [`Verdict::to_event`](crate::Verdict::to_event).
    ///
    /// ```
    /// use keygate::{Principal, Event, UnixTime};
    ///
    /// let event = Event::refused(UnixTime::from_secs(1), Principal::Unverified { claimed: None }, "missing");
    /// assert_eq!(event.key, None);
    /// ```
    #[must_use]
    pub const fn refused(at: UnixTime, by: Principal, why: &'static str) -> Self {
        let key = match &by {
            Principal::Key { id, .. } => Some(*id),
            Principal::System { .. } | Principal::Unverified { .. } | Principal::User { .. } => None,
        };
        Self::new(at, by, key, EventKind::Refused { asked: None, why })
    }
}

/// Who did something, or tried to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Principal {
    /// A verified key.
    Key {
        /// Its id.
        id: KeyId,
        /// The secret that was presented.
        slot: SecretSlot,
    },
    /// The service itself.
    System {
        /// Why.
        reason: SystemReason,
    },
    /// Somebody whose credential opened nothing.
    Unverified {
        /// The id that the credential claimed, which need not exist.
        claimed: Option<KeyId>,
    },
    /// A signed-in user.
    User {
        /// Their id.
        id: UserId,
    },
}

impl Principal {
    /// Names a verified key.
    #[must_use]
    pub fn key(key: &MatchedKey) -> Self {
        Self::Key { id: key.id(), slot: key.slot() }
    }
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum EventKind {
    /// A key was created.
    Created {
        /// Its name.
        name: KeyName,
        /// Its owner.
        owner: Owner,
    },
    /// A key was set aside.
    Disabled,
    /// A key was taken into use again.
    Enabled,
    /// A legacy key was imported.
    Imported {
        /// Its name.
        name: KeyName,
        /// Its owner.
        owner: Owner,
        /// When the old system made it.
        created_at: UnixTime,
    },
    /// The previous secret was ended before its time.
    OverlapEnded,
    /// A key was given another name.
    Renamed {
        /// The new name.
        name: KeyName,
    },
    /// A request or an operation was refused.
    Refused {
        /// What was asked for; nothing where the credential itself was refused.
        asked: Option<Asked>,
        /// Why, by a stable name: of a [`Reason`](crate::Reason), of what is wrong with the credential, or of the
        /// rule of the edge that refused (`plaintext`, `closed`, `not_found`).
        why: &'static str,
    },
    /// A key was ended for good.
    Revoked {
        /// When it was first ended.
        first_at: UnixTime,
    },
    /// A key got a new secret.
    Rotated {
        /// When the previous secret ends, if this rotation left it one.
        previous_ends_at: Option<UnixTime>,
    },
    /// The digest of an imported secret was replaced by one of its text; the secret stayed.
    Upgraded,
    /// A key was used.
    Used {
        /// How many times, since the last event of this kind.
        count: u64,
        /// The first of these uses.
        first_at: UnixTime,
        /// The last of these uses.
        last_at: UnixTime,
    },
}

/// What was asked for where it was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Asked {
    /// A request, decided by the policy.
    Action(ActionKind),
    /// An operation on keys.
    Operation(OperationKind),
}

/// An operation on keys, without its target.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OperationKind {
    /// Create a key.
    Create,
    /// Set a key aside.
    Disable,
    /// Take a disabled key into use again.
    Enable,
    /// List an owner's keys.
    List,
    /// Give a key another name.
    Rename,
    /// End a key for good.
    Revoke,
    /// Give a key another secret, or end its previous one.
    Rotate,
}

impl OperationKind {
    /// Every operation.
    pub const ALL: &'static [Self] =
        &[Self::Create, Self::Disable, Self::Enable, Self::List, Self::Rename, Self::Revoke, Self::Rotate];

    /// Returns the name used in logs and responses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::List => "list",
            Self::Rename => "rename",
            Self::Revoke => "revoke",
            Self::Rotate => "rotate",
        }
    }
}

impl core::fmt::Display for OperationKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

text_type! {
    /// Why the service itself acts: 1 to 200 printable ASCII symbols, for the audit log.
    SystemReason, "first key", Grammar {
        what: "the system's reason",
        min: 1,
        max: 200,
        symbols: "printable ASCII symbols",
        is_symbol: SymbolTest::Printable,
        edges: "has only printable ASCII symbols",
        is_first: SymbolTest::Printable,
        is_last: SymbolTest::Printable,
    }
}

/// Counts uses, so that the audit log gets one event for many.
///
/// It grows with the number of different keys that were used since it was last emptied, and only verified keys count.
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
/// let mut uses = UsageCounter::new();
/// uses.record(&key, now);
/// uses.record(&key, now.saturating_add(core::time::Duration::from_secs(5)));
///
/// let events: Vec<_> = uses.drain().collect();
/// assert_eq!(events.len(), 1);
/// assert!(matches!(events[0].kind, EventKind::Used { count: 2, .. }));
/// assert_eq!(uses.drain().count(), 0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct UsageCounter {
    tallies: BTreeMap<(KeyId, SecretSlot), Tally>,
}

#[derive(Debug)]
struct Tally {
    count: u64,
    first_at: UnixTime,
    last_at: UnixTime,
}

impl UsageCounter {
    /// Starts counting.
    #[must_use]
    pub const fn new() -> Self {
        Self { tallies: BTreeMap::new() }
    }

    /// Counts a use of `key` at `now`.
    pub fn record(&mut self, key: &MatchedKey, now: UnixTime) {
        let tally =
            self.tallies.entry((key.id(), key.slot())).or_insert(Tally { count: 0, first_at: now, last_at: now });
        tally.count = tally.count.saturating_add(1);
        tally.first_at = tally.first_at.min(now);
        tally.last_at = tally.last_at.max(now);
    }

    /// Returns an event for each key and slot that was used, and starts over.
    pub fn drain(&mut self) -> impl Iterator<Item = Event> + use<> {
        core::mem::take(&mut self.tallies).into_iter().map(|((id, slot), Tally { count, first_at, last_at })| {
            let used = EventKind::Used { count, first_at, last_at };
            Event::new(last_at, Principal::Key { id, slot }, Some(id), used)
        })
    }
}
