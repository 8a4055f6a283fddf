//! The table of operation by status: the answer, and that nothing else changes.

use alloc::{format, sync::Arc};

use super::{
    change::{AT, Change, Told},
    fixture::{self, Keys},
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    grant::Grant,
    record::{KeyRecord, RevocationCause, Status},
    store::{Conflict, Operation, PreviousChange},
    time::UnixTime,
};

/// A row of the table; absent and revoked keys have one answer for almost all of it.
struct Row {
    change: fn(&mut Keys, &KeyRecord) -> Outcome<Change>,
    active: Cell,
    disabled: Cell,
}

#[derive(Clone, Copy)]
enum Cell {
    Changed,
    Refused(Conflict),
    Unchanged,
}

use Cell::{Changed, Refused, Unchanged};

const TABLE: &[Row] = &[
    Row { change: |keys, _| Ok(Change::rename(keys.name()?)), active: Changed, disabled: Changed },
    Row { change: |_, key| Ok(Change::rename(key.name.clone())), active: Unchanged, disabled: Unchanged },
    Row { change: |keys, _| Ok(Change::set_labels(keys.labels()?)), active: Changed, disabled: Changed },
    Row { change: |_, key| Ok(Change::set_labels(key.labels.clone())), active: Unchanged, disabled: Unchanged },
    Row { change: |_, _| Ok(Change::DISABLE), active: Changed, disabled: Unchanged },
    Row { change: |_, _| Ok(Change::ENABLE), active: Refused(Conflict::NotDisabled), disabled: Changed },
    Row { change: |_, _| Ok(Change::revoke(AT)), active: Changed, disabled: Changed },
    Row { change: |_, key| Ok(Change::revoke_leaked(key.current)), active: Changed, disabled: Changed },
    Row {
        change: |keys, _| Ok(Change::revoke_leaked(keys.digest())),
        active: Refused(Conflict::Changed),
        disabled: Refused(Conflict::Changed),
    },
    Row { change: |keys, key| Ok(keys.rotation(key)), active: Changed, disabled: Refused(Conflict::Disabled) },
    Row {
        change: |keys, key| Ok(keys.rotation_with(key, PreviousChange::Clear)),
        active: Changed,
        disabled: Refused(Conflict::Disabled),
    },
    Row {
        change: |keys, key| {
            let stale = KeyRecord { current: keys.digest(), ..key.clone() };
            Ok(keys.rotation_with(&stale, PreviousChange::Keep))
        },
        active: Refused(Conflict::Changed),
        disabled: Refused(Conflict::Disabled),
    },
    Row { change: |keys, key| Ok(keys.upgrade(key)), active: Changed, disabled: Refused(Conflict::Disabled) },
    Row {
        change: |keys, key| {
            let stale = KeyRecord { current: keys.digest(), ..key.clone() };
            Ok(keys.upgrade(&stale))
        },
        active: Refused(Conflict::Changed),
        disabled: Refused(Conflict::Disabled),
    },
    Row { change: |_, key| Ok(Change::end_overlap(key)), active: Changed, disabled: Changed },
    Row {
        // Of a rotation that is not the one that is under way.
        change: |keys, _| Ok(Change::Make(Operation::EndOverlap(Some(keys.digest())), AT)),
        active: Refused(Conflict::Changed),
        disabled: Refused(Conflict::Changed),
    },
    Row { change: |_, _| Ok(Change::touch(AT)), active: Changed, disabled: Changed },
];

pub(super) async fn check_absent(trial: &mut Trial<'_>) -> Outcome {
    let bystander = trial.stored_key(fixture::team("core")?).await?;
    for row in TABLE {
        let absent = trial.keys.key(fixture::team("core")?)?;
        let change = (row.change)(&mut trial.keys, &absent)?;
        let is_touch = matches!(change, Change::Touch { .. });
        let expected = if is_touch { Told::Changed(()) } else { Told::Refused(Conflict::Absent) };
        let when = format!("{} of an absent key", change.name());
        let told = trial.store.ask(absent.id, &change, None).await?;
        trial.require_told(Rule::ChangeAbsent, &when, &told, &expected);
        let is_absent = trial.store.find(absent.id).await?.is_none();
        trial.require(is_absent, Rule::ChangeAbsent, || format!("{when}: found afterwards"));
    }
    trial.require_stored(Rule::ChangeAbsent, "after changes of absent keys", &bystander).await
}

pub(super) async fn check_present(trial: &mut Trial<'_>) -> Outcome {
    for grant in [fixture::personal("core")?, fixture::team("core")?] {
        for row in TABLE {
            for status in [Status::Active, Status::Disabled, REVOKED] {
                // The bystander is as like the key as can be: only the id keeps them apart.
                let bystander = used_key(trial, grant.clone(), status).await?;
                let key = used_key(trial, grant.clone(), status).await?;
                require_row(trial, row, key).await?;
                let when = "another key, after a change";
                trial.require_stored(Rule::NothingElseChanges, when, &bystander).await?;
            }
        }
    }
    Ok(())
}

async fn require_row(trial: &mut Trial<'_>, row: &Row, before: KeyRecord) -> Outcome {
    let change = (row.change)(&mut trial.keys, &before)?;
    let when = format!("{} of a key that is {}", change.name(), before.status);
    let (answer_rule, record_rule, cell) = match (before.status, &change) {
        (Status::Active, _) => (Rule::AnswerByStatus, Rule::NothingElseChanges, row.active),
        (Status::Disabled, _) => (Rule::AnswerByStatus, Rule::NothingElseChanges, row.disabled),
        (Status::Revoked { .. }, Change::Touch { .. }) => (Rule::RevokedIsFinal, Rule::RevokedIsFinal, Unchanged),
        // Has a check of its own as well.
        (Status::Revoked { .. }, change) if matches!(change.name(), "revoke" | "revoke_leaked") => {
            (Rule::FirstRevocationKept, Rule::FirstRevocationKept, Unchanged)
        }
        (Status::Revoked { .. }, _) => (Rule::RevokedIsFinal, Rule::RevokedIsFinal, Refused(Conflict::Revoked)),
    };
    let mut after = before.clone();
    if matches!(cell, Changed) {
        change.apply(&mut after);
    }
    let expected = match cell {
        Changed => Told::Changed(()),
        Refused(conflict) => Told::Refused(conflict),
        // A touch is not answered.
        Unchanged if matches!(change, Change::Touch { .. }) => Told::Changed(()),
        Unchanged => Told::Unchanged(Arc::new(before.clone())),
    };
    let told = trial.store.ask(before.id, &change, Some(&before)).await?;
    trial.require_told(answer_rule, &when, &told, &expected);
    trial.require_stored(record_rule, &when, &after).await
}

/// An operation that changes nothing answers with the record as it is now, not with an earlier one.
pub(super) async fn check_unchanged(trial: &mut Trial<'_>) -> Outcome {
    for status in [Status::Active, Status::Disabled, REVOKED] {
        for grant in [fixture::personal("core")?, fixture::team("core")?] {
            let mut key = used_key(trial, grant, Status::Active).await?;
            for change in [
                Change::end_overlap(&key),
                Change::rename(trial.keys.name()?),
                Change::set_labels(trial.keys.labels()?),
            ] {
                trial.change(&mut key, change).await?;
            }
            trial.change(&mut key, Change::touch(fixture::later(3))).await?;
            let mut changes = match status {
                Status::Active => [].into(),
                Status::Disabled => alloc::vec![Change::DISABLE],
                Status::Revoked { at, cause } => alloc::vec![Change::revoke_for(cause, at)],
            };
            if let Some(change) = changes.first().cloned() {
                trial.change(&mut key, change).await?;
            }
            if !key.is_revoked() {
                let (name, labels) = (key.name.clone(), key.labels.clone());
                changes.extend([Change::end_overlap(&key), Change::rename(name), Change::set_labels(labels)]);
            }
            for change in changes {
                let when = format!("{} of a key that is {}, which changes nothing", change.name(), key.status);
                let told = trial.store.ask(key.id, &change, Some(&key)).await?;
                let expected = Told::Unchanged(Arc::new(key.clone()));
                trial.require_told(Rule::AnswerByStatus, &when, &told, &expected);
                trial.require_stored(Rule::NothingElseChanges, &when, &key).await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn check_first_revocation(trial: &mut Trial<'_>) -> Outcome {
    for status in [Status::Active, Status::Disabled] {
        for first_cause in RevocationCause::ALL {
            let mut key = used_key(trial, fixture::team("core")?, status).await?;
            trial.change(&mut key, Change::revoke_for(*first_cause, FIRST_AT)).await?;
            let again = [FIRST_AT, AT, fixture::CREATED_AT, UnixTime::MIN, UnixTime::MAX];
            for (at, cause) in again.into_iter().zip(RevocationCause::ALL) {
                let when = "revoke of a revoked key";
                let told = trial.store.ask(key.id, &Change::revoke_for(*cause, at), Some(&key)).await?;
                let expected = Told::Unchanged(Arc::new(key.clone()));
                trial.require_told(Rule::FirstRevocationKept, when, &told, &expected);
                trial.require_stored(Rule::FirstRevocationKept, when, &key).await?;
            }
        }
    }
    Ok(())
}

/// A key with something in every column, so that what changes by mistake shows.
async fn used_key(trial: &mut Trial<'_>, grant: Grant, status: Status) -> Outcome<KeyRecord> {
    let mut key = trial.stored_key(grant).await?;
    let rotation = trial.keys.rotation(&key);
    trial.change(&mut key, rotation).await?;
    let (slot, used_at) = (crate::record::SecretSlot::Previous, fixture::later(1));
    trial.change(&mut key, Change::Touch { slot, used_at, now: fixture::later(2) }).await?;
    trial.change(&mut key, Change::touch(fixture::later(2))).await?;
    match status {
        Status::Active => {}
        Status::Disabled => trial.change(&mut key, Change::DISABLE).await?,
        Status::Revoked { at, cause } => trial.change(&mut key, Change::revoke_for(cause, at)).await?,
    }
    Ok(key)
}

/// When a key was revoked that is revoked again.
const FIRST_AT: UnixTime = fixture::later(50);
const REVOKED: Status = Status::Revoked { at: FIRST_AT, cause: RevocationCause::Leaked };
