//! The changes that a store is asked for, and the one table of outcomes.

use alloc::{sync::Arc, vec::Vec};

use crate::{
    audit::{Event, EventDraft, EventKind},
    digest::SecretDigest,
    grant::Owner,
    id::KeyId,
    labels::Labels,
    name::KeyName,
    record::{KeyRecord, PreviousSecret, RevocationCause, SecretSlot, Status},
    time::UnixTime,
};

/// A key that was just made under a permit, with its audit event: the only thing that
/// [`KeyManagementStore::insert`](super::KeyManagementStore::insert) takes.
#[derive(Clone, Debug, PartialEq)]
pub struct NewKey {
    record: KeyRecord,
    event: Event,
}

impl NewKey {
    pub(crate) fn new(record: KeyRecord, draft: &EventDraft, kind: EventKind) -> Self {
        let event = draft.complete(0, &record, kind);
        Self { record, event }
    }

    /// Returns the record to store.
    #[must_use]
    pub const fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// Returns the event to store in the same transaction.
    #[must_use]
    pub const fn event(&self) -> &Event {
        &self.event
    }
}

/// A change of one key that exists: an operation, and the draft of its audit event.
///
/// Only the library makes one: from a permit, or from a key whose leaked or legacy secret matched.
///
/// A store looks the record up, calls [`KeyChange::apply`], and carries out what that answers, all in one atomic step:
///
/// ```
/// use keygate::store::{Answer, Conflict, KeyChange, Logged, RecordUpdate, Step};
/// # use keygate::{KeyId, KeyRecord, audit::Event};
/// # struct Transaction;
/// # impl Transaction {
/// #     fn lock(&mut self, _: KeyId) -> Option<KeyRecord> { None }
/// #     fn update(&mut self, _: KeyId, _: &RecordUpdate) {}
/// #     fn log(&mut self, _: &Event) {}
/// #     fn commit(self) {}
/// # }
/// fn change(mut transaction: Transaction, change: &KeyChange) -> Answer<Logged> {
///     let before = transaction.lock(change.id()); // SELECT … FOR UPDATE
///     match change.apply(before.as_ref()) {
///         Step::Change { update, event } => {
///             transaction.update(change.id(), &update); // only the columns that the update names
///             transaction.log(&event);
///             transaction.commit();
///             Answer::Changed(Logged)
///         }
///         Step::Unchanged(record) => Answer::Unchanged(record),
///         Step::Refused(conflict) => Answer::Refused(conflict),
///     }
/// }
/// # assert_eq!(core::mem::size_of_val(&change), 0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KeyChange {
    id: KeyId,
    operation: Operation,
    draft: EventDraft,
}

/// The operation of a change; each arm of [`KeyChange::apply`] is a row of the contract's table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    Disable,
    Enable,
    /// The digest of the previous secret at the time of the request.
    EndOverlap(Option<SecretDigest>),
    Rename(KeyName),
    Revoke(RevocationCause),
    /// Only if this is still the digest of one of the key's secrets.
    RevokeLeaked(SecretDigest),
    Rotate(SecretChange),
    SetLabels(Labels),
    Upgrade(SecretChange),
}

impl KeyChange {
    pub(crate) const fn new(id: KeyId, operation: Operation, draft: EventDraft) -> Self {
        Self { id, operation, draft }
    }

    /// Returns the key to change.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the draft of the event.
    #[must_use]
    pub const fn draft(&self) -> &EventDraft {
        &self.draft
    }

    /// Returns the new name, if this is a rename: the only change that another key can prevent.
    #[must_use]
    pub const fn new_name(&self) -> Option<&KeyName> {
        match &self.operation {
            Operation::Rename(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the effect of the change on the record that the store holds now, `None` if it holds none.
    ///
    /// The store itself finds out by its unique index whether a new name is taken, and answers
    /// [`Conflict::NameTaken`].
    pub fn apply(&self, before: Option<&KeyRecord>) -> Step {
        // A record of another key counts as absent.
        let Some(before) = before.filter(|before| before.id == self.id) else {
            return Step::Refused(Conflict::Absent);
        };
        let change = |update, kind| Step::Change { update, event: self.draft.complete(0, before, kind) };
        let unchanged = || Step::Unchanged(Arc::new(before.clone()));
        let revoke = |cause| {
            let status = Status::Revoked { at: self.draft.at(), cause };
            change(RecordUpdate::Status(status), EventKind::Revoked { cause })
        };
        match (&self.operation, before.status) {
            (Operation::Revoke(_) | Operation::RevokeLeaked(_), Status::Revoked { .. }) => unchanged(),
            (_, Status::Revoked { .. }) => Step::Refused(Conflict::Revoked),
            (Operation::Revoke(cause), _) => revoke(*cause),
            (Operation::RevokeLeaked(secret), _) if !before.has_secret(*secret) => Step::Refused(Conflict::Changed),
            (Operation::RevokeLeaked(_), _) => revoke(RevocationCause::Leaked),
            (Operation::Disable, Status::Disabled) => unchanged(),
            (Operation::Disable, Status::Active) => change(RecordUpdate::Status(Status::Disabled), EventKind::Disabled),
            (Operation::Enable, Status::Active) => Step::Refused(Conflict::NotDisabled),
            (Operation::Enable, Status::Disabled) => change(RecordUpdate::Status(Status::Active), EventKind::Enabled),
            (Operation::Rename(name), _) if *name == before.name => unchanged(),
            (Operation::Rename(name), _) => {
                let kind = EventKind::Renamed { name: name.clone(), previous_name: before.name.clone() };
                change(RecordUpdate::Name(name.clone()), kind)
            }
            (Operation::SetLabels(labels), _) if *labels == before.labels => unchanged(),
            (Operation::SetLabels(labels), _) => {
                change(RecordUpdate::Labels(labels.clone()), EventKind::LabelsSet { labels: labels.clone() })
            }
            (Operation::EndOverlap(expected), _) => match before.previous {
                None => unchanged(),
                Some(previous) if Some(previous.digest) == *expected => {
                    change(RecordUpdate::EndPrevious, EventKind::OverlapEnded)
                }
                // Another rotation began meanwhile, and its previous secret is the one that is deployed.
                Some(_) => Step::Refused(Conflict::Changed),
            },
            (Operation::Rotate(_) | Operation::Upgrade(_), Status::Disabled) => Step::Refused(Conflict::Disabled),
            (Operation::Rotate(secrets) | Operation::Upgrade(secrets), Status::Active)
                if secrets.expected != before.current =>
            {
                Step::Refused(Conflict::Changed)
            }
            (Operation::Rotate(secrets), Status::Active) => {
                let previous_ends_at = match (secrets.previous, before.previous) {
                    (PreviousChange::Clear, _) => None,
                    (PreviousChange::Set(previous), _) | (PreviousChange::Keep, Some(previous)) => {
                        Some(previous.ends_at)
                    }
                    // It was meant to stay, but somebody ended it.
                    (PreviousChange::Keep, None) => return Step::Refused(Conflict::Changed),
                };
                change(RecordUpdate::Secrets(*secrets), EventKind::Rotated { previous_ends_at })
            }
            (Operation::Upgrade(secrets), Status::Active) => {
                change(RecordUpdate::Secrets(*secrets), EventKind::Upgraded)
            }
        }
    }
}

/// The step by which a store carries out a [`KeyChange`].
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must carry out each")]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made")]
#[must_use = "nothing is changed until the store has done it"]
pub enum Step {
    /// It writes the update and the event in one transaction.
    Change {
        /// The columns to write, and no others.
        update: RecordUpdate,
        /// The event to write with them.
        event: Event,
    },
    /// It changes nothing, logs nothing, and answers with the conflict.
    Refused(Conflict),
    /// It changes nothing, logs nothing, and answers with the stored record.
    Unchanged(Arc<KeyRecord>),
}

/// The columns that a change writes: never a whole record.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must carry out each")]
pub enum RecordUpdate {
    /// There is no previous secret any more.
    EndPrevious,
    /// The labels.
    Labels(Labels),
    /// The name.
    Name(KeyName),
    /// The secrets.
    Secrets(SecretChange),
    /// The status, with its time and cause.
    Status(Status),
}

impl RecordUpdate {
    /// Returns the record with the update in it, for stores that hold records and not columns.
    #[must_use]
    pub fn applied_to(&self, record: &KeyRecord) -> KeyRecord {
        let mut record = record.clone();
        match self {
            Self::EndPrevious => record.previous = None,
            Self::Labels(labels) => record.labels = labels.clone(),
            Self::Name(name) => record.name = name.clone(),
            Self::Status(status) => record.status = *status,
            Self::Secrets(SecretChange { expected: _, current, previous }) => {
                record.current = *current;
                match previous {
                    PreviousChange::Clear => record.previous = None,
                    PreviousChange::Keep => {}
                    PreviousChange::Set(previous) => record.previous = Some(*previous),
                }
            }
        }
        record
    }
}

/// The change of secrets that a rotation makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SecretChange {
    /// The digest that must still be the current one: [`KeyChange::apply`] checks it.
    pub expected: SecretDigest,
    /// The digest that becomes the current one.
    pub current: SecretDigest,
    /// The change of the previous secret.
    pub previous: PreviousChange,
}

impl SecretChange {
    pub(crate) const fn new(expected: SecretDigest, current: SecretDigest, previous: PreviousChange) -> Self {
        Self { expected, current, previous }
    }
}

/// The effect of a rotation on the stored previous secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must carry out each")]
pub enum PreviousChange {
    /// The record has none any more.
    Clear,
    /// It stays as it is in the store, with its end. Not as a caller read it: if it was ended since, the rotation is
    /// refused with [`Conflict::Changed`].
    Keep,
    /// It becomes this.
    Set(PreviousSecret),
}

/// Revokes the keys of an owner that are not revoked yet, at most [`RevokeAll::MAX`] in one atomic step.
#[derive(Clone, Debug, PartialEq)]
pub struct RevokeAll {
    owner: Owner,
    cause: RevocationCause,
    limit: u16,
    draft: EventDraft,
}

impl RevokeAll {
    /// The largest number of keys that one step revokes, which a transaction of any store can hold.
    pub const MAX: u16 = 1_000;

    pub(crate) const fn new(owner: Owner, cause: RevocationCause, draft: EventDraft) -> Self {
        Self { owner, cause, limit: Self::MAX, draft }
    }

    /// Asks for steps of fewer than [`RevokeAll::MAX`] keys; never for larger steps, nor for empty ones.
    #[must_use]
    pub fn with_limit(self, limit: u16) -> Self {
        Self { limit: limit.clamp(1, Self::MAX), ..self }
    }

    /// Returns the largest number of keys to revoke in this step.
    #[must_use]
    pub const fn limit(&self) -> u16 {
        self.limit
    }

    /// Returns the owner whose keys are revoked.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Returns the status that each of the keys gets.
    #[must_use]
    pub const fn status(&self) -> Status {
        Status::Revoked { at: self.draft.at(), cause: self.cause }
    }

    /// Returns the event for a key that this step revokes; `part` counts these keys, from 0.
    #[must_use]
    pub fn event(&self, part: u16, record: &KeyRecord) -> Event {
        self.draft.complete(part, record, EventKind::Revoked { cause: self.cause })
    }

    /// Returns `true` if the key is one that this revokes.
    #[must_use]
    pub fn includes(&self, record: &KeyRecord) -> bool {
        record.grant.belongs_to(&self.owner) && !record.is_revoked()
    }
}

/// The result of one step of a [`RevokeAll`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[must_use = "there may be more keys to revoke"]
pub struct Batch<R> {
    /// The keys that it revoked, in the order of their ids.
    pub ids: Vec<KeyId>,
    /// Whether keys of the owner were left.
    pub has_more: bool,
    /// The store's receipt for their events.
    pub receipt: R,
}

impl<R> Batch<R> {
    /// Makes the answer.
    pub const fn new(ids: Vec<KeyId>, has_more: bool, receipt: R) -> Self {
        Self { ids, has_more, receipt }
    }
}

/// A use of a key that is due to be written.
///
/// It names the secret by its slot. If it is written after the next rotation, it moves the last use of the secret that
/// is the previous one then: so an unused previous secret may look used, but never the other way round.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Touch {
    /// The key.
    pub id: KeyId,
    /// The secret that was presented.
    pub slot: SecretSlot,
    /// When.
    pub used_at: UnixTime,
}

impl Touch {
    /// Makes a touch.
    #[must_use]
    pub const fn new(id: KeyId, slot: SecretSlot, used_at: UnixTime) -> Self {
        Self { id, slot, used_at }
    }

    /// Returns the record with the touch in it, or `None` if it changes nothing: for stores that hold records.
    ///
    /// The last use of the key moves forward to `used_at`, or to `now` if that is earlier, and so does that of the
    /// previous secret if it was presented and is still stored. Nothing of a revoked key moves.
    #[must_use]
    pub fn applied_to(&self, record: &KeyRecord, now: UnixTime) -> Option<KeyRecord> {
        if record.is_revoked() {
            return None;
        }
        let used_at = Some(self.used_at.min(now));
        let mut touched = record.clone();
        touched.last_used_at = touched.last_used_at.max(used_at);
        if let (SecretSlot::Previous, Some(previous)) = (self.slot, &mut touched.previous) {
            previous.last_used_at = previous.last_used_at.max(used_at);
        }
        (touched != *record).then_some(touched)
    }
}

/// A store's answer to a [`KeyChange`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle each")]
#[must_use = "the change may have been refused"]
pub enum Answer<R> {
    /// The change and its event are stored.
    Changed(R),
    /// Nothing changed, and there is no event.
    Refused(Conflict),
    /// There was nothing to change, and there is no event: the stored record. A revoked key has its first time and
    /// cause.
    Unchanged(Arc<KeyRecord>),
}

/// A store's receipt for the events of a change that it committed: [`Logged`] or [`NotLogged`].
pub trait Receipt: sealed::Sealed + Send + Sync + 'static {
    /// Returns the events that the store did not keep, so that another log can.
    fn into_unlogged(self) -> Vec<Event>;
}

mod sealed {
    #[expect(unnameable_types, reason = "sealed: what a receipt can say is said here")]
    pub trait Sealed {}
}

/// The store keeps the events, in the transaction of the change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it says that there is nothing more to do")]
pub struct Logged;

impl sealed::Sealed for Logged {}

impl Receipt for Logged {
    fn into_unlogged(self) -> Vec<Event> {
        Vec::new()
    }
}

/// The store keeps no log: here are the events, which are lost if the process ends before somebody else has them.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it is the events")]
pub struct NotLogged(pub Vec<Event>);

impl sealed::Sealed for NotLogged {}

impl Receipt for NotLogged {
    fn into_unlogged(self) -> Vec<Event> {
        self.0
    }
}

/// The receipt of a boxed store, which may or may not keep a log.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxedReceipt(Vec<Event>);

impl BoxedReceipt {
    pub(super) fn of(receipt: impl Receipt) -> Self {
        Self(receipt.into_unlogged())
    }
}

impl sealed::Sealed for BoxedReceipt {}

impl Receipt for BoxedReceipt {
    fn into_unlogged(self) -> Vec<Event> {
        self.0
    }
}

/// Why a store refused a change.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// There is no such key.
    #[error("there is no such key")]
    Absent,
    /// The secrets are no longer those that the change was made for.
    #[error("the secrets of the key changed in the meantime")]
    Changed,
    /// The key is disabled.
    #[error("the key is disabled")]
    Disabled,
    /// The id exists.
    #[error("the id is taken")]
    IdTaken,
    /// Another key of the owner has the name.
    #[error("another key of this owner has the name")]
    NameTaken,
    /// Only a disabled key can be enabled.
    #[error("the key is not disabled")]
    NotDisabled,
    /// The key is revoked.
    #[error("the key is revoked")]
    Revoked,
}

impl Conflict {
    /// Every conflict.
    pub const ALL: &'static [Self] = &[
        Self::Absent,
        Self::Changed,
        Self::Disabled,
        Self::IdTaken,
        Self::NameTaken,
        Self::NotDisabled,
        Self::Revoked,
    ];

    /// Returns the name used in logs, which is stable.
    ///
    /// ```
    /// assert_eq!(keygate::store::Conflict::NameTaken.as_str(), "name_taken");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Changed => "changed",
            Self::Disabled => "disabled",
            Self::IdTaken => "id_taken",
            Self::NameTaken => "name_taken",
            Self::NotDisabled => "not_disabled",
            Self::Revoked => "revoked",
        }
    }
}
