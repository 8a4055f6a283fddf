//! The table of operation by status: the answer, and that nothing else changes.

use alloc::format;

use super::{
    change::Change,
    fixture::{self, Keys},
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    grant::Grant,
    record::{PreviousChange, RecordParts, Status},
    store::Conflict,
    time::UnixTime,
};

/// A row of the table; absent and revoked keys have one answer for almost all of it.
struct Row {
    change: fn(&mut Keys, &RecordParts) -> Outcome<Change>,
    active: Result<(), Conflict>,
    disabled: Result<(), Conflict>,
}

const TABLE: &[Row] = &[
    Row { change: |keys, _| Ok(Change::Rename(keys.name()?)), active: Ok(()), disabled: Ok(()) },
    Row { change: |_, _| Ok(Change::Disable), active: Ok(()), disabled: Ok(()) },
    Row { change: |_, _| Ok(Change::Enable), active: Err(Conflict::NotDisabled), disabled: Ok(()) },
    Row { change: |_, _| Ok(Change::Revoke(AT)), active: Ok(()), disabled: Ok(()) },
    Row { change: |keys, key| Ok(keys.rotation(key)), active: Ok(()), disabled: Err(Conflict::Disabled) },
    Row {
        change: |keys, key| Ok(keys.rotation_with(key, PreviousChange::Clear)),
        active: Ok(()),
        disabled: Err(Conflict::Disabled),
    },
    Row {
        change: |keys, key| {
            let stale = RecordParts { current: keys.digest(), ..key.clone() };
            Ok(keys.rotation_with(&stale, PreviousChange::Keep))
        },
        active: Err(Conflict::Changed),
        disabled: Err(Conflict::Disabled),
    },
    Row { change: |_, _| Ok(Change::EndOverlap), active: Ok(()), disabled: Ok(()) },
    Row { change: |_, _| Ok(Change::Touch { used_at: AT, now: AT }), active: Ok(()), disabled: Ok(()) },
];

pub(super) async fn check_absent(trial: &mut Trial<'_>) -> Outcome {
    let bystander = trial.stored_key(fixture::team("core")?).await?;
    for row in TABLE {
        let absent = trial.keys.key(fixture::team("core")?)?;
        let change = (row.change)(&mut trial.keys, &absent)?;
        let expected = if let Change::Touch { .. } = change { Ok(None) } else { Err(Conflict::Absent) };
        let when = format!("{} of an absent key", change.name());
        let answer = change.ask(&trial.store, absent.id).await?;
        trial.require_answer(Rule::ChangeAbsent, &when, &answer, &expected);
        let is_absent = trial.store.find(absent.id).await?.is_none();
        trial.require(is_absent, Rule::ChangeAbsent, || format!("{when}: found afterwards"));
    }
    trial.require_stored(Rule::ChangeAbsent, "after changes of absent keys", &bystander).await
}

pub(super) async fn check_present(trial: &mut Trial<'_>) -> Outcome {
    for grant in [fixture::personal("core")?, fixture::team("core")?] {
        for row in TABLE {
            for status in [Status::Active, Status::Disabled, Status::Revoked { at: FIRST_AT }] {
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

async fn require_row(trial: &mut Trial<'_>, row: &Row, mut key: RecordParts) -> Outcome {
    let change = (row.change)(&mut trial.keys, &key)?;
    let when = format!("{} of a key that is {:?}", change.name(), key.status);
    let (answer_rule, record_rule, expected) = match (key.status, &change) {
        (Status::Active, _) => (Rule::AnswerByStatus, Rule::NothingElseChanges, row.active),
        (Status::Disabled, _) => (Rule::AnswerByStatus, Rule::NothingElseChanges, row.disabled),
        // Has a rule and a check of its own.
        (Status::Revoked { .. }, Change::Revoke(_)) => return Ok(()),
        (Status::Revoked { .. }, Change::Touch { .. }) => (Rule::RevokedIsFinal, Rule::RevokedIsFinal, Ok(())),
        (Status::Revoked { .. }, _) => (Rule::RevokedIsFinal, Rule::RevokedIsFinal, Err(Conflict::Revoked)),
    };
    if expected.is_ok() && !matches!(key.status, Status::Revoked { .. }) {
        change.apply(&mut key);
    }
    let expected = expected.and(change.done());
    let answer = change.ask(&trial.store, key.id).await?;
    trial.require_answer(answer_rule, &when, &answer, &expected);
    trial.require_stored(record_rule, &when, &key).await
}

pub(super) async fn check_first_revocation(trial: &mut Trial<'_>) -> Outcome {
    for status in [Status::Active, Status::Disabled] {
        let mut key = used_key(trial, fixture::team("core")?, status).await?;
        trial.change(&mut key, Change::Revoke(FIRST_AT)).await?;
        for again in [FIRST_AT, AT, fixture::CREATED_AT, UnixTime::MIN, UnixTime::MAX] {
            let when = "revoke of a revoked key";
            let answer = trial.store.revoke(key.id, again).await?;
            trial.require_answer(Rule::FirstRevocationKept, when, &answer, &Ok(FIRST_AT));
            trial.require_stored(Rule::FirstRevocationKept, when, &key).await?;
        }
    }
    Ok(())
}

/// A key with something in every column, so that what changes by mistake shows.
async fn used_key(trial: &mut Trial<'_>, grant: Grant, status: Status) -> Outcome<RecordParts> {
    let mut key = trial.stored_key(grant).await?;
    let rotation = trial.keys.rotation(&key);
    trial.change(&mut key, rotation).await?;
    trial.change(&mut key, Change::Touch { used_at: fixture::later(1), now: fixture::later(2) }).await?;
    match status {
        Status::Active => {}
        Status::Disabled => trial.change(&mut key, Change::Disable).await?,
        Status::Revoked { at } => trial.change(&mut key, Change::Revoke(at)).await?,
    }
    Ok(key)
}

/// When a key was revoked that is revoked again.
const FIRST_AT: UnixTime = fixture::later(50);
/// When the change under test takes place.
const AT: UnixTime = fixture::later(60);
