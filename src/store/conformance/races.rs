//! Changes of one key, or for one name, at the same time.
//!
//! Each race is run many times, and each task makes several changes in a row: the tasks of one race never start quite
//! together, and a store that reads, then writes, is caught only if another task comes in between.

use alloc::{boxed::Box, format, vec::Vec};
use core::iter::repeat_n;

use super::{
    change::{Answer, Change},
    fixture::{self, Keys, later, new_key},
    report::{Outcome, Violation},
    rule::Rule,
    trial::{Racer, Trial},
};
use crate::{
    record::{PreviousChange, RecordParts, Status},
    store::{Changed, Conflict},
    time::UnixTime,
};

/// How often each race is run.
pub(super) const ROUNDS: usize = 60;
/// How many tasks want what only one can have.
const RIVALS: usize = 6;

pub(super) async fn check_revoke(trial: &mut Trial<'_>) -> Outcome {
    for (rival, changes) in RIVAL_CHANGES {
        for round in 0..ROUNDS {
            let mut key = trial.stored_key(fixture::team("core")?).await?;
            let rotation = trial.keys.rotation(&key);
            trial.change(&mut key, rotation).await?;
            let mut racers = Vec::new();
            for _ in 0..2 {
                let changes = changes(&mut trial.keys, &key)?;
                racers.push(trial.racer(&key, changes));
            }
            racers.insert(round % 3, revoker(trial, &key));
            for answers in trial.race(racers).await? {
                // Time goes one way: what was refused as revoked is not done later.
                let mut after = answers.iter().skip_while(|answer| **answer != Err(Conflict::Revoked));
                let is_final = after.all(|answer| *answer == Err(Conflict::Revoked));
                trial.require(is_final, Rule::RevokeWins, || format!("revoke and {rival}: done after a refusal"));
            }
            let found = trial.store.find(key.id).await?;
            let is_revoked = found.is_some_and(|found| found.status == Status::Revoked { at: REVOKED_AT });
            trial.require(is_revoked, Rule::RevokeWins, || format!("revoke and {rival}: not revoked in the end"));
            if trial.has_failed() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Revokes, and looks at once whether that is seen.
fn revoker(trial: &Trial<'_>, key: &RecordParts) -> Racer<Vec<Answer>> {
    let (store, id) = (trial.store.clone(), key.id);
    Box::pin(async move {
        let first = store.revoke(id, REVOKED_AT).await?;
        let found = store.find(id).await?;
        if first != Ok(REVOKED_AT) || found.is_none_or(|found| found.status != Status::Revoked { at: REVOKED_AT }) {
            let detail = "revoke, then find, while others change the key: not found revoked";
            return Err(Violation::new(Rule::RevokeWins, detail));
        }
        Ok(Vec::new())
    })
}

type Changes = fn(&mut Keys, &RecordParts) -> Outcome<Vec<Change>>;

/// What is tried against a revocation.
const RIVAL_CHANGES: &[(&str, Changes)] = &[
    ("rename", |keys, _| (0..4).map(|_| Ok(Change::Rename(keys.name()?))).collect()),
    ("enable", |_, _| Ok([Change::Disable, Change::Enable, Change::Disable, Change::Enable].into())),
    ("disable", |_, _| Ok(repeat_n(Change::Disable, 4).collect())),
    ("touch", |_, _| Ok((1..5).map(|second| Change::Touch { used_at: later(second), now: later(9) }).collect())),
    ("end_overlap", |_, _| Ok(repeat_n(Change::EndOverlap, 4).collect())),
    ("rotate", |keys, key| {
        let mut key = key.clone();
        let mut changes = Vec::new();
        for _ in 0..4 {
            let change = keys.rotation(&key);
            change.apply(&mut key);
            changes.push(change);
        }
        Ok(changes)
    }),
];

pub(super) async fn check_revocations(trial: &mut Trial<'_>) -> Outcome {
    for _ in 0..ROUNDS {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        let times = (100..).map(later).take(RIVALS);
        let racers = times.map(|at| trial.racer(&key, [Change::Revoke(at)].into())).collect();
        let answers = trial.race(racers).await?.concat();
        let Some(Ok(Some(first))) = answers.first().copied() else {
            trial.broken(Rule::OneRevocation, "revoke, several at once: refused");
            return Ok(());
        };
        let is_one = answers.iter().all(|answer| *answer == Ok(Some(first)));
        trial.require(is_one, Rule::OneRevocation, || "revoke, several at once: answered several times".into());
        Change::Revoke(first).apply(&mut key);
        trial.require_stored(Rule::OneRevocation, "revoke, several at once", &key).await?;
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

pub(super) async fn check_rotations(trial: &mut Trial<'_>) -> Outcome {
    for _ in 0..ROUNDS {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        let changes: Vec<_> = (0..RIVALS).map(|_| trial.keys.rotation(&key)).collect();
        let racers = changes.iter().map(|change| trial.racer(&key, [change.clone()].into())).collect();
        let answers = trial.race(racers).await?.concat();
        if let Some(winner) = only_winner(trial, Rule::OneRotationWins, "rotate", &answers, Conflict::Changed) {
            if let Some(change) = changes.get(winner) {
                change.apply(&mut key);
            }
            trial.require_stored(Rule::OneRotationWins, "rotate, several at once", &key).await?;
        }
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

pub(super) async fn check_inserted_ids(trial: &mut Trial<'_>) -> Outcome {
    for _ in 0..ROUNDS {
        let id = trial.keys.id()?;
        let mut keys = Vec::new();
        for grant in [fixture::team("core")?, fixture::personal("core")?].iter().cycle().take(RIVALS) {
            keys.push(RecordParts { id, ..trial.keys.key(grant.clone())? });
        }
        let racers = keys.iter().map(|key| inserter(trial, key)).collect::<Outcome<_>>()?;
        let answers = trial.race(racers).await?;
        let winner = only_winner(trial, Rule::OneIdWins, "insert of one id", &answers, Conflict::IdTaken);
        if let Some(key) = winner.and_then(|winner| keys.get(winner)) {
            trial.require_stored(Rule::OneIdWins, "insert of one id, several at once", key).await?;
        }
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

/// Half of the tasks insert, half rename: both ways to a name exclude each other.
pub(super) async fn check_names(trial: &mut Trial<'_>) -> Outcome {
    for _ in 0..ROUNDS {
        let name = trial.keys.name()?;
        let (mut keys, mut racers): (Vec<_>, Vec<Racer<Changed>>) = (Vec::new(), Vec::new());
        for number in 0..RIVALS {
            let key = trial.keys.key(fixture::team("core")?)?;
            let named = RecordParts { name: name.clone(), ..key.clone() };
            if number % 2 == 0 {
                racers.push(inserter(trial, &named)?);
            } else {
                trial.insert(&key).await?;
                let (store, id, name) = (trial.store.clone(), key.id, name.clone());
                racers.push(Box::pin(async move { store.rename(id, name).await }));
            }
            keys.push((number % 2 == 0, key, named));
        }
        let answers = trial.race(racers).await?;
        let what = "insert and rename to one name";
        let winner = only_winner(trial, Rule::OneNameWins, what, &answers, Conflict::NameTaken);
        for (number, (is_inserted, key, named)) in keys.iter().enumerate() {
            let found = trial.store.find(key.id).await?;
            let expected = match (winner == Some(number), is_inserted) {
                (true, _) => Some(named),
                (false, true) => None,
                (false, false) => Some(key),
            };
            let is_right = winner.is_none() || found.as_ref() == expected;
            trial.require(is_right, Rule::OneNameWins, || format!("{what}: what is stored is not what was answered"));
        }
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

fn inserter(trial: &Trial<'_>, key: &RecordParts) -> Outcome<Racer<Changed>> {
    let (store, key) = (trial.store.clone(), new_key(key)?);
    Ok(Box::pin(async move { store.insert(key).await }))
}

/// The number of the task that won; that there is one and the others were told so is required.
fn only_winner<T>(
    trial: &mut Trial<'_>,
    rule: Rule,
    what: &str,
    answers: &[Changed<T>],
    conflict: Conflict,
) -> Option<usize> {
    let mut winners = answers.iter().enumerate().filter(|(_, answer)| answer.is_ok()).map(|(number, _)| number);
    let (first, second) = (winners.next(), winners.next());
    let is_one = first.is_some() && second.is_none();
    trial.require(is_one, rule, || format!("{what}, several at once: {} done", answers.iter().flatten().count()));
    let are_told = answers.iter().all(|answer| answer.as_ref().err().is_none_or(|told| *told == conflict));
    trial.require(are_told, rule, || format!("{what}, several at once: refused otherwise than by `{conflict}`"));
    first.filter(|_| is_one)
}

pub(super) async fn check_touches(trial: &mut Trial<'_>) -> Outcome {
    for _ in 0..ROUNDS {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        let mut racers = Vec::new();
        for seconds in [7..10, 4..7, 1..4] {
            let touch = |second| Change::Touch { used_at: later(second), now: later(50) };
            let touches: Vec<_> = seconds.map(touch).collect();
            touches.iter().for_each(|touch| touch.apply(&mut key));
            racers.push(trial.racer(&key, touches));
        }
        trial.race(racers).await?;
        trial.require_stored(Rule::TouchForward, "touch, several at once", &key).await?;
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

/// Changes of different parts do not depend on each other's order, so all of them last.
pub(super) async fn check_parts(trial: &mut Trial<'_>) -> Outcome {
    for round in 0..ROUNDS {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        let rotation = trial.keys.rotation(&key);
        trial.change(&mut key, rotation).await?;
        let touch = Change::Touch { used_at: later(1), now: later(1) };
        let rename = Change::Rename(trial.keys.name()?);
        // A disabled key is not rotated, so these two never meet.
        let changes = if round % 2 == 0 {
            [touch, rename, Change::EndOverlap, Change::Disable]
        } else {
            let again = Change::Touch { used_at: later(2), now: later(2) };
            [touch, rename, again, trial.keys.rotation_with(&key, PreviousChange::Clear)]
        };
        let racers = changes.iter().map(|change| trial.racer(&key, [change.clone()].into())).collect();
        let answers = trial.race(racers).await?.concat();
        let are_done = answers.iter().all(Result::is_ok);
        trial.require(are_done, Rule::NoLostChange, || "changes of different parts at once: refused".into());
        changes.iter().for_each(|change| change.apply(&mut key));
        trial.require_stored(Rule::NoLostChange, "changes of different parts at once", &key).await?;
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

const REVOKED_AT: UnixTime = later(100);
