//! Changes as values, so that tables and races can be made of them, and their outcomes.
//!
//! The answers are written down here once more and not taken from [`KeyChange::apply`](crate::store::KeyChange::apply):
//! a store that does not call it is held to the same table.

use alloc::sync::Arc;

use super::fixture::later;
use crate::{
    audit::EventKind,
    digest::SecretDigest,
    labels::Labels,
    name::KeyName,
    record::{KeyRecord, RevocationCause, SecretSlot, Status},
    store::{Answer, Conflict, Operation, PreviousChange, SecretChange},
    time::UnixTime,
};

/// A change of one key.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// An operation, and when it is asked for.
    Make(Operation, UnixTime),
    Touch {
        slot: SecretSlot,
        used_at: UnixTime,
        now: UnixTime,
    },
}

/// A store's answer, without its receipt for the events.
pub(super) type Told = Answer<()>;

impl Change {
    pub(super) const DISABLE: Self = Self::Make(Operation::Disable, AT);
    pub(super) const ENABLE: Self = Self::Make(Operation::Enable, AT);

    pub(super) const fn rename(name: KeyName) -> Self {
        Self::Make(Operation::Rename(name), AT)
    }

    pub(super) const fn revoke(at: UnixTime) -> Self {
        Self::Make(Operation::Revoke(RevocationCause::Requested), at)
    }

    pub(super) const fn revoke_for(cause: RevocationCause, at: UnixTime) -> Self {
        Self::Make(Operation::Revoke(cause), at)
    }

    /// Of the previous secret that `key` has.
    pub(super) fn end_overlap(key: &KeyRecord) -> Self {
        Self::Make(Operation::EndOverlap(key.previous.map(|previous| previous.digest)), AT)
    }

    /// After a rotation of `key`.
    pub(super) const fn end_rotation(key: &KeyRecord) -> Self {
        Self::Make(Operation::EndOverlap(Some(key.current)), AT)
    }

    pub(super) const fn revoke_leaked(secret: SecretDigest) -> Self {
        Self::Make(Operation::RevokeLeaked(secret), AT)
    }

    pub(super) const fn set_labels(labels: Labels) -> Self {
        Self::Make(Operation::SetLabels(labels), AT)
    }

    /// By the current secret, at a time that is not past now.
    pub(super) const fn touch(used_at: UnixTime) -> Self {
        Self::Touch { slot: SecretSlot::Current, used_at, now: used_at }
    }

    pub(super) const fn name(&self) -> &'static str {
        let Self::Make(operation, _) = self else { return "touch" };
        match operation {
            Operation::Disable => "disable",
            Operation::Enable => "enable",
            Operation::EndOverlap(_) => "end_overlap",
            Operation::Rename(_) => "rename",
            Operation::Revoke(_) => "revoke",
            Operation::RevokeLeaked(_) => "revoke_leaked",
            Operation::Rotate(_) => "rotate",
            Operation::SetLabels(_) => "set_labels",
            Operation::Upgrade(_) => "upgrade",
        }
    }

    /// Does to the expected record what the change does to a key of any status but revoked, if it is not refused.
    pub(super) fn apply(&self, expected: &mut KeyRecord) {
        match self {
            Self::Touch { slot, used_at, now } => {
                let used_at = Some(*used_at.min(now));
                expected.last_used_at = expected.last_used_at.max(used_at);
                if let (SecretSlot::Previous, Some(previous)) = (slot, &mut expected.previous) {
                    previous.last_used_at = previous.last_used_at.max(used_at);
                }
            }
            Self::Make(operation, at) => match operation {
                Operation::Disable => expected.status = Status::Disabled,
                Operation::Enable => expected.status = Status::Active,
                Operation::EndOverlap(_) => expected.previous = None,
                Operation::Rename(name) => expected.name = name.clone(),
                Operation::Revoke(cause) => expected.status = Status::Revoked { at: *at, cause: *cause },
                Operation::RevokeLeaked(_) => {
                    expected.status = Status::Revoked { at: *at, cause: RevocationCause::Leaked };
                }
                Operation::SetLabels(labels) => expected.labels = labels.clone(),
                Operation::Rotate(secrets) | Operation::Upgrade(secrets) => {
                    expected.current = secrets.current;
                    expected.previous = match secrets.previous {
                        PreviousChange::Clear => None,
                        PreviousChange::Keep => expected.previous,
                        PreviousChange::Set(previous) => Some(previous),
                    };
                }
            },
        }
    }

    /// Returns the record after the change, and the answer. A touch has none, which is noted as changed.
    pub(super) fn outcome(&self, before: &KeyRecord) -> (KeyRecord, Told) {
        let unchanged = || (before.clone(), Told::Unchanged(Arc::new(before.clone())));
        let refused = |conflict| (before.clone(), Told::Refused(conflict));
        let mut after = before.clone();
        match (self, before.status) {
            (Self::Touch { .. }, Status::Revoked { .. }) => return (after, Told::Changed(())),
            (Self::Make(Operation::Revoke(_) | Operation::RevokeLeaked(_), _), Status::Revoked { .. }) => {
                return unchanged();
            }
            (_, Status::Revoked { .. }) => return refused(Conflict::Revoked),
            (Self::Make(Operation::Enable, _), Status::Active) => return refused(Conflict::NotDisabled),
            (Self::Make(Operation::EndOverlap(expected), _), _)
                if before.previous.is_some_and(|previous| Some(previous.digest) != *expected) =>
            {
                return refused(Conflict::Changed);
            }
            (Self::Make(Operation::RevokeLeaked(secret), _), _) if !has_secret(before, secret) => {
                return refused(Conflict::Changed);
            }
            (Self::Make(operation @ (Operation::Rotate(secrets) | Operation::Upgrade(secrets)), _), status) => {
                if status == Status::Disabled {
                    return refused(Conflict::Disabled);
                }
                let keeps_none = secrets.previous == PreviousChange::Keep && before.previous.is_none();
                if secrets.expected != before.current || keeps_none && matches!(operation, Operation::Rotate(_)) {
                    return refused(Conflict::Changed);
                }
            }
            _ => {}
        }
        self.apply(&mut after);
        let is_touch = matches!(self, Self::Touch { .. });
        if after == *before && !is_touch { unchanged() } else { (after, Told::Changed(())) }
    }

    /// Returns what the event says, `None` of a touch. What only the record before the change tells is taken from it,
    /// and is left open if it is not known.
    pub(super) fn event_kind(&self, before: Option<&KeyRecord>) -> Option<EventKind> {
        let Self::Make(operation, _) = self else { return None };
        Some(match operation {
            Operation::Disable => EventKind::Disabled,
            Operation::Enable => EventKind::Enabled,
            Operation::EndOverlap(_) => EventKind::OverlapEnded,
            Operation::Rename(name) => {
                let previous_name = before.map_or(name, |before| &before.name).clone();
                EventKind::Renamed { name: name.clone(), previous_name }
            }
            Operation::Revoke(cause) => EventKind::Revoked { cause: *cause },
            Operation::RevokeLeaked(_) => EventKind::Revoked { cause: RevocationCause::Leaked },
            Operation::Rotate(SecretChange { previous, .. }) => {
                let previous_ends_at = match previous {
                    PreviousChange::Clear => None,
                    PreviousChange::Keep => before.and_then(|before| before.previous).map(|previous| previous.ends_at),
                    PreviousChange::Set(previous) => Some(previous.ends_at),
                };
                EventKind::Rotated { previous_ends_at }
            }
            Operation::SetLabels(labels) => EventKind::LabelsSet { labels: labels.clone() },
            Operation::Upgrade(_) => EventKind::Upgraded,
        })
    }
}

fn has_secret(record: &KeyRecord, secret: &SecretDigest) -> bool {
    record.current == *secret || record.previous.is_some_and(|previous| previous.digest == *secret)
}

/// When a change is asked for, unless a check says otherwise.
pub(super) const AT: UnixTime = later(60);
