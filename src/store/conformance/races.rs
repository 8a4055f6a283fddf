//! Changes of one key, or for one name, at the same time.
//!
//! Each race is run many times, and each task makes several changes in a row: the tasks of one race never start quite
//! together, and a store that reads, then writes, is caught only if another task comes in between.

use alloc::{boxed::Box, format, sync::Arc, vec::Vec};
use core::iter::repeat_n;

use super::{
    change::{Change, Told},
    fixture::{self, Keys, later},
    report::{Outcome, Violation},
    rule::Rule,
    trial::{Racer, Trial, name_of},
};
use crate::{
    record::{KeyRecord, RevocationCause, SecretSlot, Status},
    store::{Conflict, PreviousChange},
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
                let is_refused = |told: &Told| *told == Told::Refused(Conflict::Revoked);
                let is_final = answers.iter().skip_while(|told| !is_refused(told)).all(is_refused);
                trial.require(is_final, Rule::RevokeWins, || format!("revoke and {rival}: done after a refusal"));
            }
            let found = trial.store.find(key.id).await?;
            let is_revoked = found.is_some_and(|found| found.status == REVOKED);
            trial.require(is_revoked, Rule::RevokeWins, || format!("revoke and {rival}: not revoked in the end"));
            if trial.has_failed() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Revokes, and looks at once whether that is seen.
fn revoker(trial: &Trial<'_>, key: &KeyRecord) -> Racer<Vec<Told>> {
    let (store, id) = (trial.store.clone(), key.id);
    Box::pin(async move {
        let told = store.ask(id, &Change::revoke(REVOKED_AT), None).await?;
        let found = store.find(id).await?;
        if told != Told::Changed(()) || found.is_none_or(|found| found.status != REVOKED) {
            let detail = "revoke, then find, while others change the key: not found revoked";
            return Err(Violation::new(Rule::RevokeWins, detail));
        }
        Ok(Vec::new())
    })
}

type Changes = fn(&mut Keys, &KeyRecord) -> Outcome<Vec<Change>>;

/// The operations that race against a revocation.
const RIVAL_CHANGES: &[(&str, Changes)] = &[
    ("rename", |keys, _| (0..4).map(|_| Ok(Change::rename(keys.name()?))).collect()),
    ("set_labels", |keys, _| (0..4).map(|_| Ok(Change::set_labels(keys.labels()?))).collect()),
    ("enable", |_, _| Ok([Change::DISABLE, Change::ENABLE, Change::DISABLE, Change::ENABLE].into())),
    ("disable", |_, _| Ok(repeat_n(Change::DISABLE, 4).collect())),
    ("touch", |_, _| {
        let slots = [SecretSlot::Current, SecretSlot::Previous].into_iter().cycle();
        let touch = |(second, slot)| Change::Touch { slot, used_at: later(second), now: later(9) };
        Ok((1..5).zip(slots).map(touch).collect())
    }),
    ("end_overlap", |_, key| Ok(repeat_n(Change::end_overlap(key), 4).collect())),
    ("rotate", |keys, key| {
        let mut key = key.clone();
        let mut changes = Vec::new();
        for number in 0..4 {
            let change = if number == 2 { keys.upgrade(&key) } else { keys.rotation(&key) };
            change.apply(&mut key);
            changes.push(change);
        }
        Ok(changes)
    }),
];

pub(super) async fn check_revocations(trial: &mut Trial<'_>) -> Outcome {
    for _ in 0..ROUNDS {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        let causes = RevocationCause::ALL.iter().cycle();
        let revocations = (100..).map(later).zip(causes).take(RIVALS);
        let revocations: Vec<_> = revocations.map(|(at, cause)| Change::revoke_for(*cause, at)).collect();
        let racers = revocations.iter().map(|change| trial.racer(&key, [change.clone()].into())).collect();
        let answers = trial.race(racers).await?.concat();
        let mut done = revocations.iter().zip(&answers).filter(|(_, told)| **told == Told::Changed(()));
        let (Some((first, _)), None) = (done.next(), done.next()) else {
            trial.broken(Rule::OneRevocation, "revoke, several at once: not exactly one done");
            return Ok(());
        };
        first.apply(&mut key);
        let unchanged = Told::Unchanged(Arc::new(key.clone()));
        let is_one = answers.iter().all(|told| *told == Told::Changed(()) || *told == unchanged);
        trial.require(is_one, Rule::OneRevocation, || {
            "revoke, several at once: another answer than what the first one stored".into()
        });
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
        let mut changes: Vec<_> = (1..RIVALS).map(|_| trial.keys.rotation(&key)).collect();
        changes.push(trial.keys.upgrade(&key));
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
            keys.push(KeyRecord { id, ..trial.keys.key(grant.clone())? });
        }
        let racers = keys.iter().map(|key| inserter(trial, key)).collect();
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
        let (mut keys, mut racers): (Vec<_>, Vec<Racer<Told>>) = (Vec::new(), Vec::new());
        for number in 0..RIVALS {
            let key = trial.keys.key(fixture::team("core")?)?;
            let named = KeyRecord { name: name.clone(), ..key.clone() };
            if number % 2 == 0 {
                racers.push(inserter(trial, &named));
            } else {
                trial.insert(&key).await?;
                let (store, id, rename) = (trial.store.clone(), key.id, Change::rename(name.clone()));
                racers.push(Box::pin(async move { store.ask(id, &rename, None).await }));
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

fn inserter(trial: &Trial<'_>, key: &KeyRecord) -> Racer<Told> {
    let (store, key) = (trial.store.clone(), key.clone());
    Box::pin(async move {
        Ok(match store.insert(&key).await? {
            Ok(()) => Told::Changed(()),
            Err(conflict) => Told::Refused(conflict),
        })
    })
}

/// The number of the task that won; that there is one and the others were told so is required.
fn only_winner(trial: &mut Trial<'_>, rule: Rule, what: &str, answers: &[Told], conflict: Conflict) -> Option<usize> {
    let mut winners = answers.iter().enumerate().filter(|(_, told)| **told == Told::Changed(()));
    let (first, second) = (winners.next(), winners.next());
    let is_one = first.is_some() && second.is_none();
    trial.require(is_one, rule, || format!("{what}, several at once: not exactly one done"));
    let mut others = answers.iter().filter(|told| **told != Told::Changed(()));
    if let Some(told) = others.find(|told| **told != Told::Refused(conflict)).map(name_of) {
        trial.broken(rule, format!("{what}, several at once: answered `{told}`, not `{}`", conflict.as_str()));
    }
    first.filter(|_| is_one).map(|(number, _)| number)
}

pub(super) async fn check_touches(trial: &mut Trial<'_>) -> Outcome {
    for _ in 0..ROUNDS {
        let mut key = trial.stored_key(fixture::team("core")?).await?;
        let rotation = trial.keys.rotation(&key);
        trial.change(&mut key, rotation).await?;
        let mut racers = Vec::new();
        for seconds in [7..10, 4..7, 1..4] {
            let slots = [SecretSlot::Previous, SecretSlot::Current].into_iter().cycle();
            let touch = |(second, slot)| Change::Touch { slot, used_at: later(second), now: later(50) };
            let touches: Vec<_> = seconds.zip(slots).map(touch).collect();
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
        let touch = Change::touch(later(1));
        let (rename, label) = (Change::rename(trial.keys.name()?), Change::set_labels(trial.keys.labels()?));
        // A disabled key is not rotated, so these two never meet.
        let changes = if round % 2 == 0 {
            [touch, rename, label, Change::end_overlap(&key), Change::DISABLE]
        } else {
            let again = Change::touch(later(2));
            [touch, rename, label, again, trial.keys.rotation_with(&key, PreviousChange::Clear)]
        };
        let racers = changes.iter().map(|change| trial.racer(&key, [change.clone()].into())).collect();
        let answers = trial.race(racers).await?.concat();
        let are_done = answers.iter().all(|told| *told == Told::Changed(()));
        trial.require(are_done, Rule::NoLostChange, || "changes of different parts at once: not done".into());
        changes.iter().for_each(|change| change.apply(&mut key));
        trial.require_stored(Rule::NoLostChange, "changes of different parts at once", &key).await?;
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

const REVOKED_AT: UnixTime = later(100);
const REVOKED: Status = Status::Revoked { at: REVOKED_AT, cause: RevocationCause::Requested };
