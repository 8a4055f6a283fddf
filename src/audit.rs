//! Audit events: one for each change and each refusal, with who, what, on what and why, and never a secret.
//!
//! A change and its event are one: an operation of a [store](crate::store) carries an [`EventDraft`], the library
//! completes it from what only the transaction knows, and the store keeps both or neither. Events that belong to no
//! change, which are refusals and uses, go to a [sink](crate::sink).
//!
//! # Format
//!
//! With feature `serde` an event is a flat map, in any self-describing format. It begins with its `version`. A reader
//! keeps unknown parts, so an event of a later version can be read and written again without loss: a kind or an
//! actor that it cannot name is [`EventKind::Unknown`] or [`Principal::Unknown`], and an id, a key or an owner that it
//! cannot read is `None`. In an event of version 1 those are errors, so adding a kind, an actor or a reason makes
//! another version.
//!
//! Names are texts, each occurs once, and none begins with `$`. Values are texts, numbers of at most 64 bits, booleans,
//! nothing, lists and maps. Any other type, such as bytes or a date, is an error, since another format would change it.
//!
//! | field | content |
//! |---|---|
//! | `version`, `id`, `at` | 1; of a change, 32 hexadecimal digits, then `-` and a number for all but the first key that one call ends; Unix seconds |
//! | `actor` | `key`, `system`, `unverified` or `user`; `unknown` for one that was set without a name |
//! | `actor_key`, `actor_slot`, `actor_user`, `actor_reason` | the actor's names: for a personal key also the user |
//! | `key`, `owner` | the target |
//! | `event` | the name of the kind |
//! | the rest | the fields of the [kind](EventKind) |

use alloc::string::String;
use core::{fmt, str::FromStr};

use crate::{
    action::Request,
    encoding::{read_hex, write_hex},
    grant::Owner,
    id::{KeyId, ModelId, ResourceId, TeamId, UserId},
    labels::Labels,
    level::PermissionLevel,
    name::{EnvironmentName, KeyName},
    randomness::{Randomness, RandomnessError},
    record::{KeyRecord, RevocationCause, SecretSlot},
    text::{Grammar, SymbolTest, text_serde, text_type},
    time::UnixTime,
};

mod refusal;
#[cfg(feature = "serde")]
mod serialized;

pub use refusal::{RefusalReason, UnknownRefusal};

/// An event for the audit log: a change of a key, its use, or a refusal.
///
/// ```
/// use keygate::{
///     Actor, EnvironmentScope, Grant, Issuer, KeyManager, MemoryStore, NewKeySpec, Owner, Permission, Validity,
///     audit::{EventKind, Principal},
/// };
///
/// # pollster::block_on(async {
/// let store = MemoryStore::new();
/// let keys = KeyManager::new(Issuer::from_static("acme"), store.clone());
/// let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
/// keys.create(&Actor::system("first key")?, NewKeySpec::new(grant, "batch".parse()?, Validity::NEVER_EXPIRES)).await?;
///
/// let events = store.events();
/// assert!(matches!(events[0].kind, EventKind::Created { .. }));
/// assert!(matches!(events[0].by, Principal::System { .. }));
/// assert_eq!(events[0].owner, Some(Owner::Team("core".parse()?)));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The unique id of an event that belongs to a change.
    pub id: Option<EventId>,
    /// When.
    pub at: UnixTime,
    /// Who.
    pub by: Principal,
    /// The key that it is about, if there is one.
    pub key: Option<KeyId>,
    /// The owner of that key, or of the keys that were asked for.
    pub owner: Option<Owner>,
    /// What.
    pub kind: EventKind,
    #[cfg(feature = "serde")]
    unknown: serialized::Unknown,
}

impl Event {
    /// Makes the event for a refusal; `target` is the key that it is about, and that key's owner.
    ///
    /// A gate and a manager make their own. Use this one for rules of the service, such as a rate limit.
    ///
    /// ```
    /// use keygate::{AuthenticatedKey, UnixTime, audit::{Event, RefusalReason}};
    ///
    /// fn too_many(key: &AuthenticatedKey, now: UnixTime) -> Event {
    ///     let target = Some((key.id(), key.owner()));
    ///     Event::refused(now, key.principal(), target, None, RefusalReason::SERVICE_RULE)
    /// }
    /// # let _ = too_many;
    /// ```
    #[must_use]
    pub fn refused(
        at: UnixTime,
        by: Principal,
        target: Option<(KeyId, Owner)>,
        attempt: Option<Attempt>,
        reason: RefusalReason,
    ) -> Self {
        let (key, owner) = target.unzip();
        Self::new(None, at, by, key, owner, EventKind::Refused { attempt, reason })
    }

    /// The event for an operation that was refused; a target that does not exist has no owner.
    pub(crate) fn refused_operation(
        at: UnixTime,
        by: Principal,
        (key, owner): (Option<KeyId>, Option<Owner>),
        attempt: Option<Attempt>,
        reason: RefusalReason,
    ) -> Self {
        Self::new(None, at, by, key, owner, EventKind::Refused { attempt, reason })
    }

    pub(crate) fn new(
        id: Option<EventId>,
        at: UnixTime,
        by: Principal,
        key: Option<KeyId>,
        owner: Option<Owner>,
        kind: EventKind,
    ) -> Self {
        Self {
            id,
            at,
            by,
            key,
            owner,
            kind,
            #[cfg(feature = "serde")]
            unknown: serialized::Unknown::default(),
        }
    }
}

/// The id of an event: 16 random bytes of its draft, and a number if one draft ends many keys.
///
/// ```
/// use keygate::audit::EventId;
///
/// let id: EventId = "00112233445566778899aabbccddeeff-17".parse()?;
/// assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff-17");
/// assert!("00112233445566778899aabbccddeeff-0".parse::<EventId>().is_err()); // one spelling
/// # Ok::<(), keygate::audit::InvalidEventId>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EventId {
    draft: [u8; 16],
    part: u16,
}

impl EventId {
    /// Draws a new id.
    ///
    /// # Errors
    ///
    /// [`RandomnessError`] if the generator gave no random bytes.
    pub fn generate(randomness: &dyn Randomness) -> Result<Self, RandomnessError> {
        let mut draft = [0; 16];
        randomness.fill(&mut draft)?;
        Ok(Self { draft, part: 0 })
    }

    const fn part(self, part: u16) -> Self {
        Self { draft: self.draft, part }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.draft, f)?;
        if self.part == 0 { Ok(()) } else { write!(f, "-{}", self.part) }
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let (draft, part) = match text.split_once('-') {
            None => (text, 0),
            Some((draft, part)) if !part.starts_with(['0', '+']) => (draft, part.parse().map_err(|_| InvalidEventId)?),
            Some(_) => return Err(InvalidEventId),
        };
        let draft = read_hex(draft.as_bytes()).ok_or(InvalidEventId)?;
        Ok(Self { draft, part })
    }
}

text_serde!(EventId);

/// A text that is not the id of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an event id has 32 lower-case hexadecimal digits, and for all but the first part `-` and a number")]
#[non_exhaustive]
pub struct InvalidEventId;

/// An event before its change: it has an id, an actor and a time. The store's transaction completes it.
///
/// A manager makes it, and a store only passes it on: see [`KeyChange::apply`](crate::store::KeyChange::apply).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventDraft {
    id: EventId,
    at: UnixTime,
    by: Principal,
}

impl EventDraft {
    pub(crate) const fn new(id: EventId, at: UnixTime, by: Principal) -> Self {
        Self { id, at, by }
    }

    /// Returns the id.
    #[must_use]
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// Returns the time of the request for the change.
    #[must_use]
    pub const fn at(&self) -> UnixTime {
        self.at
    }

    /// Returns the actor.
    #[must_use]
    pub const fn by(&self) -> &Principal {
        &self.by
    }

    /// Completes the draft for one key; `part` counts the keys that one draft ends.
    pub(crate) fn complete(&self, part: u16, record: &KeyRecord, kind: EventKind) -> Event {
        let Self { id, at, by } = self;
        Event::new(Some(id.part(part)), *at, by.clone(), Some(record.id()), Some(record.grant().owner()), kind)
    }
}

/// The actor of an event: who did something, or tried to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Principal {
    /// A key whose secret matched.
    #[non_exhaustive]
    Key {
        /// Its id.
        id: KeyId,
        /// The secret that was presented.
        slot: SecretSlot,
        /// The user of a personal key.
        user: Option<UserId>,
    },
    /// The service itself.
    #[non_exhaustive]
    System {
        /// Why.
        reason: SystemReason,
    },
    /// An actor that this version of the crate does not know.
    Unknown,
    /// A caller without a valid credential.
    #[non_exhaustive]
    Unverified {
        /// The id that the credential claimed, which need not exist.
        claimed: Option<KeyId>,
    },
    /// A signed-in user.
    #[non_exhaustive]
    User {
        /// Their id.
        id: UserId,
    },
}

impl Principal {
    /// A caller without a valid credential, for the event of a server that refuses credentials itself.
    ///
    /// ```
    /// use keygate::{UnixTime, Unauthenticated, audit::{Event, Principal}, sink::Message};
    ///
    /// fn refused(unauthenticated: &Unauthenticated, now: UnixTime) -> Message<'static> {
    ///     let stranger = Principal::unverified(unauthenticated.claimed());
    ///     Message::Stranger(Event::refused(now, stranger, None, None, unauthenticated.refusal()))
    /// }
    /// # let _ = refused;
    /// ```
    #[must_use]
    pub const fn unverified(claimed: Option<KeyId>) -> Self {
        Self::Unverified { claimed }
    }

    /// Returns the user who acted: signed in, or the user of a personal key.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::Key { user, .. } => user.as_ref(),
            Self::User { id } => Some(id),
            Self::System { .. } | Self::Unknown | Self::Unverified { .. } => None,
        }
    }
}

/// The kind of an event, with its details.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A key was created.
    #[non_exhaustive]
    Created {
        /// Its name.
        name: KeyName,
        /// The level of a team key.
        level: Option<PermissionLevel>,
        /// When it expires, if it does.
        expires_at: Option<UnixTime>,
        /// Its labels.
        labels: Labels,
    },
    /// A key was disabled.
    Disabled,
    /// A disabled key was enabled.
    Enabled,
    /// A legacy key was imported.
    #[non_exhaustive]
    Imported {
        /// Its name.
        name: KeyName,
        /// The level of a team key.
        level: Option<PermissionLevel>,
        /// When the old system made it.
        created_at: UnixTime,
        /// When it expires, if it does.
        expires_at: Option<UnixTime>,
        /// Its labels.
        labels: Labels,
    },
    /// A key got other labels.
    #[non_exhaustive]
    LabelsSet {
        /// The labels that it has now.
        labels: Labels,
    },
    /// The previous secret was ended before its time.
    OverlapEnded,
    /// A request or an operation was refused.
    #[non_exhaustive]
    Refused {
        /// The attempted request or operation; `None` if none was known yet, as when a caller is authenticated, or if a
        /// route has no rule.
        attempt: Option<Attempt>,
        /// Why.
        reason: RefusalReason,
    },
    /// A key was renamed.
    #[non_exhaustive]
    Renamed {
        /// The name that it has now.
        name: KeyName,
        /// The name that it had before.
        previous_name: KeyName,
    },
    /// A key was revoked, for the first and only time.
    #[non_exhaustive]
    Revoked {
        /// Why.
        cause: RevocationCause,
    },
    /// A key got a new secret.
    #[non_exhaustive]
    Rotated {
        /// When the previous secret ends, if there is one.
        previous_ends_at: Option<UnixTime>,
    },
    /// A kind that this version of the crate does not know.
    Unknown,
    /// The digest of a legacy secret was replaced by one of its text; the secret stayed.
    Upgraded,
    /// A key was used.
    #[non_exhaustive]
    Used {
        /// How many times, since the last event of this kind.
        count: u64,
        /// The first of these uses.
        first_at: UnixTime,
        /// The last of these uses.
        last_at: UnixTime,
    },
}

impl EventKind {
    /// The names of every kind, as they are written.
    pub const NAMES: &'static [&'static str] = &[
        "created",
        "disabled",
        "enabled",
        "imported",
        "labels_set",
        "overlap_ended",
        "refused",
        "renamed",
        "revoked",
        "rotated",
        "unknown",
        "upgraded",
        "used",
    ];

    /// Returns the name used in logs, which is stable; one of [`EventKind::NAMES`].
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Imported { .. } => "imported",
            Self::LabelsSet { .. } => "labels_set",
            Self::OverlapEnded => "overlap_ended",
            Self::Refused { .. } => "refused",
            Self::Renamed { .. } => "renamed",
            Self::Revoked { .. } => "revoked",
            Self::Rotated { .. } => "rotated",
            Self::Unknown => "unknown",
            Self::Upgraded => "upgraded",
            Self::Used { .. } => "used",
        }
    }
}

/// A request or an operation that was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Attempt {
    /// An operation on keys; the target is the key and the owner of the event.
    Operation(OperationKind),
    /// A request.
    #[non_exhaustive]
    Request {
        /// The team of the request.
        team: TeamId,
        /// The name of the action.
        action: String,
        /// The model, if the action names one.
        model: Option<ModelId>,
        /// The environment, if the action names one.
        environment: Option<EnvironmentName>,
        /// The resource, if the action names one.
        resource: Option<ResourceId>,
    },
}

impl Attempt {
    /// Takes the action and the target of a request.
    #[must_use]
    pub fn request(request: &Request) -> Self {
        let Request { team, action } = request;
        Self::Request {
            team: team.clone(),
            action: action.name().into(),
            model: action.model().cloned(),
            environment: action.environment().cloned(),
            resource: action.resource().cloned(),
        }
    }
}

macro_rules! operation_kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal;)*) => {
        /// An operation on keys, without its target.
        ///
        /// ```
        /// use keygate::audit::OperationKind;
        /// assert_eq!("end_overlap".parse(), Ok(OperationKind::EndOverlap));
        /// ```
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum OperationKind {
            $($(#[doc = $doc])* $name,)*
        }

        impl OperationKind {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the name used in logs and answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

operation_kinds! {
    /// Create a key.
    Create = "create";
    /// Disable a key.
    Disable = "disable";
    /// Enable a disabled key.
    Enable = "enable";
    /// End a key's previous secret.
    EndOverlap = "end_overlap";
    /// Import a legacy key.
    Import = "import";
    /// List an owner's keys.
    List = "list";
    /// Rename a key.
    Rename = "rename";
    /// Revoke a key.
    Revoke = "revoke";
    /// Give a key another secret.
    Rotate = "rotate";
    /// Set a key's labels.
    SetLabels = "set_labels";
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for OperationKind {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(UnknownOperation)
    }
}

/// A text that names no operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the name of an operation on keys")]
#[non_exhaustive]
pub struct UnknownOperation;

text_type! {
    /// Why the service itself acts: 1 to 200 printable ASCII symbols, for the audit log.
    "keygate::audit::", SystemReason, "first key", Grammar {
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
