//! What becomes of a change: the library's own answer, but for the fault.

use std::sync::{Arc, PoisonError};

use keygate::{
    KeyId, KeyName, KeyRecord, Labels, Owner, RevocationCause, Status, UnixTime,
    audit::{Event, EventKind},
    store::{
        Conflict, DigestAlgorithm, KeyChange, NewKey, PreviousChange, RecordParts, RecordUpdate, RevokeAll,
        SecretDigest, SecretSlot, Step, Touch,
    },
};

use super::{PlainStore, State};
use crate::store_conformance::{
    fault::Fault,
    row::{as_native_digest, forget_models, forget_resources, is_revoked, owner_text, record, without_empty_values},
};

/// What is written in one transaction.
#[derive(Debug, Default)]
pub(super) struct Write {
    pub(super) rows: Vec<RecordParts>,
    pub(super) events: Vec<Event>,
}

/// Why nothing is written.
#[derive(Debug)]
pub(super) enum Nothing {
    Refused(Conflict),
    Unchanged(Arc<KeyRecord>),
}

impl PlainStore {
    pub(super) fn is_owner(&self, row: &RecordParts, owner: &Owner) -> bool {
        let own = row.grant.owner();
        match self.fault {
            Some(Fault::BlursOwnerIds) => {
                own.kind() == owner.kind() && owner_text(&own).eq_ignore_ascii_case(&owner_text(owner))
            }
            Some(Fault::BlursOwnerKinds) => owner_text(&own) == owner_text(owner),
            _ => own == *owner,
        }
    }

    fn is_name_taken(&self, state: &State, owner: &Owner, name: &KeyName, but: KeyId) -> bool {
        let is_holder = |row: &RecordParts| {
            let is_live = self.has(Fault::KeepsNamesOfRevoked) || !is_revoked(row);
            is_live && row.name == *name && row.id != but && self.is_owner(row, owner)
        };
        !self.has(Fault::ForgetsNameConflicts) && state.rows.values().any(is_holder)
    }

    pub(super) fn decide_insert(&self, state: &State, new: &NewKey) -> Result<Write, Conflict> {
        let row = self.stored(RecordParts::from(new.record().clone()));
        if state.rows.contains_key(&self.place(row.id)) && !self.has(Fault::InsertReplaces) {
            return Err(Conflict::IdTaken);
        }
        if self.is_name_taken(state, &row.grant.owner(), &row.name, row.id) {
            return Err(Conflict::NameTaken);
        }
        Ok(Write { rows: [row].into(), events: [new.event().clone()].into() })
    }

    pub(super) fn decide_change(&self, state: &State, change: &KeyChange) -> Result<Write, Nothing> {
        let row = state.rows.get(&self.place(change.id())).cloned();
        let before = row.clone().map(record);
        let (update, event) = match (self.step(state, change, before.as_deref()), row) {
            (Step::Change { update, event }, Some(row)) => ((update, row), event),
            (Step::Unchanged(_), Some(row)) => return self.unchanged(state, change, row),
            (Step::Refused(Conflict::Absent), _) if self.has(Fault::AnswersAbsentAsDone) => return Ok(Write::default()),
            (Step::Refused(conflict), _) => return Err(Nothing::Refused(conflict)),
            (Step::Change { .. } | Step::Unchanged(_), None) => return Err(Nothing::Refused(Conflict::Absent)),
        };
        let (update, row) = update;
        let owner = row.grant.owner();
        if change.new_name().is_some_and(|name| self.is_name_taken(state, &owner, name, change.id())) {
            return Err(Nothing::Refused(Conflict::NameTaken));
        }
        let after = self.updated(row, &update);
        Ok(Write { rows: [self.stored(after)].into(), events: [event].into() })
    }

    /// Asks the library, and once more of another record where the fault overlooks what the first answer was about.
    fn step(&self, state: &State, change: &KeyChange, before: Option<&KeyRecord>) -> Step {
        let step = change.apply(before);
        let Some(before) = before else { return step };
        let as_if = |alter: &dyn Fn(&mut RecordParts)| {
            let mut row = RecordParts::from(before.clone());
            alter(&mut row);
            change.apply(Some(&*record(row)))
        };
        let as_if_active = || as_if(&|row| row.status = Status::Active);
        let as_if_current = |digests: &mut dyn Iterator<Item = SecretDigest>| {
            let mut steps = digests.map(|digest| as_if(&|row| row.current = digest));
            steps.find(|step| matches!(step, Step::Change { .. }))
        };
        let overlooked = match (&step, self.fault) {
            (Step::Refused(Conflict::Disabled), Some(Fault::AnswersDisabledAsDone)) => Some(as_if_active()),
            (Step::Refused(Conflict::Revoked), Some(Fault::RevivesRevoked)) => Some(as_if_active()),
            (Step::Unchanged(_), Some(Fault::RevokesOverFirst)) if before.is_revoked() => Some(as_if_active()),
            (Step::Refused(Conflict::Changed), Some(Fault::RotatesWithoutAlgorithms)) => {
                as_if_current(&mut DigestAlgorithm::ALL.iter().filter_map(|algorithm| {
                    let native = as_native_digest(before.current()).to_string();
                    native.replace("v1$", &format!("{algorithm}$")).parse().ok()
                }))
            }
            (Step::Refused(Conflict::Changed), Some(Fault::RotatesWithoutComparing)) => {
                as_if_current(&mut state.digests.iter().copied())
            }
            _ => None,
        };
        overlooked.unwrap_or(step)
    }

    fn unchanged(&self, state: &State, change: &KeyChange, mut row: RecordParts) -> Result<Write, Nothing> {
        match (self.fault, row.status) {
            (Some(Fault::AnswersUnchangedAsDone), _) => return Ok(Write::default()),
            (Some(Fault::AnswersAskedRevocations), Status::Revoked { cause, .. }) => {
                row.status = Status::Revoked { at: change.draft().at(), cause };
            }
            (Some(Fault::AnswersWhatWasInserted), _) => row = state.inserted.get(&row.id).cloned().unwrap_or(row),
            _ => {}
        }
        Err(Nothing::Unchanged(record(row)))
    }

    fn updated(&self, row: RecordParts, update: &RecordUpdate) -> RecordParts {
        let (id, previous, labels) = (row.id, row.previous, row.labels.clone());
        // A key that is revived is no longer revoked.
        let status = if self.has(Fault::RevivesRevoked) && is_revoked(&row) { Status::Active } else { row.status };
        let before = record(RecordParts { status, ..row });
        let mut row = RecordParts::from(update.applied_to(&before));
        match (update, self.fault) {
            (RecordUpdate::Name(_), Some(Fault::ClearsPreviousOnRename)) => row.previous = None,
            (RecordUpdate::Labels(_), Some(Fault::MergesLabels)) => {
                let kept = labels.iter().filter(|(name, _)| row.labels.get(name.as_str()).is_none());
                let merged = kept.chain(row.labels.iter()).map(|(name, value)| (name.clone(), value.clone()));
                row.labels = Labels::new(merged.take(Labels::MAX)).unwrap_or(Labels::NONE);
            }
            (RecordUpdate::Secrets(secrets), fault) => match (secrets.previous, fault) {
                (PreviousChange::Keep, Some(Fault::KeepsPreviousOfLastFind)) => {
                    let seen =
                        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(|seen| seen.previous);
                    row.previous = seen.unwrap_or(previous);
                }
                (PreviousChange::Set(_), Some(Fault::SetsPreviousToNothing)) => row.previous = None,
                _ => {}
            },
            _ => {}
        }
        row
    }

    /// A row as the columns of this store give it back.
    fn stored(&self, mut row: RecordParts) -> RecordParts {
        match self.fault {
            Some(Fault::DropsModelsItDoesNotKnow) => forget_models(&mut row.grant),
            Some(Fault::ForgetsAlgorithms) => row.current = as_native_digest(row.current),
            Some(Fault::ForgetsCauses) => {
                if let Status::Revoked { cause, .. } = &mut row.status {
                    *cause = RevocationCause::Requested;
                }
            }
            Some(Fault::ForgetsEmptyLabels) => row.labels = without_empty_values(&row.labels),
            Some(Fault::ForgetsIncarnations) => row.incarnation = None,
            Some(Fault::ForgetsIssuers) => row.issuer = keygate::Issuer::from_static("acme"),
            Some(Fault::ForgetsPreviousUses) => {
                row.previous.iter_mut().for_each(|previous| previous.last_used_at = None);
            }
            Some(Fault::ForgetsResources) => forget_resources(&mut row.grant),
            Some(Fault::TruncatesTimes) => {
                row.created_at = UnixTime::from_secs(row.created_at.as_secs().clamp(0, 1 << 40));
            }
            _ => {}
        }
        row
    }

    pub(super) fn decide_sweep(&self, state: &State, revoke: &RevokeAll) -> (Write, bool) {
        let is_due = |row: &&RecordParts| !is_revoked(row) && self.is_owner(row, revoke.owner());
        let mut due: Vec<_> = state.rows.values().filter(is_due).cloned().collect();
        due.sort_by_key(|row| row.id);
        let limit = if self.has(Fault::SweepsPastLimit) { usize::MAX } else { usize::from(revoke.limit()) };
        let has_more = match self.fault {
            Some(Fault::SweepsWithMore) => true,
            Some(Fault::SweepsWithoutMore) => false,
            _ => due.len() > limit,
        };
        due.truncate(limit);
        let mut write = Write::default();
        for (part, row) in (0..).zip(due) {
            let part = if self.has(Fault::LogsBatchesUnderOneId) { 0 } else { part };
            write.events.push(revoke.event(part, &record(row.clone())));
            write.rows.push(self.stored(RecordParts { status: revoke.status(), ..row }));
        }
        (write, has_more)
    }

    /// The row after a touch, if that changes it.
    pub(super) fn decide_touch(&self, row: &RecordParts, mut touch: Touch, now: UnixTime) -> Option<RecordParts> {
        let mut before = row.clone();
        let now = if self.has(Fault::TouchesPastNow) { UnixTime::MAX } else { now };
        match self.fault {
            Some(Fault::RevivesRevoked) => before.status = Status::Active,
            Some(Fault::TouchesBackwards) => {
                before.last_used_at = None;
                before.previous.iter_mut().for_each(|previous| previous.last_used_at = None);
            }
            Some(Fault::TouchesNoPrevious) => touch.slot = SecretSlot::Current,
            Some(Fault::TouchesPreviousAlways) => touch.slot = SecretSlot::Previous,
            _ => {}
        }
        let touched = touch.applied_to(&record(before), now)?;
        Some(self.stored(RecordParts { status: row.status, ..touched.into() }))
    }
}

/// Returns `true` if a single change of this kind is done in two steps by the fault.
pub(super) const fn is_in_two_steps(fault: Option<Fault>, kind: &EventKind) -> bool {
    match (fault, kind) {
        (Some(Fault::InsertsInTwoSteps), EventKind::Created { .. } | EventKind::Imported { .. })
        | (
            Some(Fault::NamesInTwoSteps),
            EventKind::Created { .. } | EventKind::Imported { .. } | EventKind::Renamed { .. },
        )
        | (Some(Fault::RevokesInTwoSteps), EventKind::Revoked { .. })
        | (Some(Fault::RotatesInTwoSteps), EventKind::Rotated { .. } | EventKind::Upgraded) => true,
        (Some(Fault::SavesWholeRecords), kind) => {
            !matches!(kind, EventKind::Created { .. } | EventKind::Imported { .. })
        }
        _ => false,
    }
}
