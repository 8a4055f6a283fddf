//! `revoke_all` while others insert, rename, enable and revoke, and while others look.

use alloc::{boxed::Box, format, vec::Vec};

use super::{
    change::Change,
    fixture::{self, later},
    races::ROUNDS,
    report::{Outcome, Violation},
    rule::Rule,
    tested::Sweep,
    trial::{Racer, Trial},
};
use crate::{
    id::KeyId,
    record::{KeyRecord, RevocationCause, Status},
    time::UnixTime,
};

/// Two sweeps at different times, so that each key tells which of them revoked it.
const SWEEPS: [UnixTime; 2] = [later(100), later(101)];

pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    let rule = Rule::RevokeAllOneStep;
    for round in 0..ROUNDS {
        let grant = fixture::team(&format!("core-{round}"))?;
        let mut old = Vec::new();
        for _ in 0..5 {
            old.push(trial.stored_key(grant.clone()).await?);
        }
        let mut new = Vec::new();
        for _ in 0..3 {
            new.push(trial.keys.key(grant.clone())?);
        }
        // Of every other round the steps are smaller than there are keys.
        let limit = if round % 2 == 0 { 1_000 } else { 2 };
        let sweeps = SWEEPS.map(|at| Sweep::of(grant.owner(), at).with_limit(limit));
        let mut racers: Vec<Racer<Vec<KeyId>>> = sweeps.iter().map(|sweep| sweeper(trial, sweep)).collect();
        racers.push(inserter(trial, &new));
        racers.push(changer(trial, &old)?);
        let ended = trial.race(racers).await?;

        for (key, is_old) in old.iter().map(|key| (key, true)).chain(new.iter().map(|key| (key, false))) {
            let Some(found) = trial.store.find(key.id).await? else {
                trial.broken(rule, "revoke_all and insert at once: an inserted key is not found");
                continue;
            };
            let is_left = !found.is_revoked() && is_old;
            trial.require(!is_left, rule, || "revoke_all: a key that existed before is left over".into());
            for (sweep, ids) in sweeps.iter().zip(&ended) {
                let status = Status::Revoked { at: sweep.at, cause: sweep.cause };
                let times = ids.iter().filter(|id| **id == key.id).count();
                let is_told = times == usize::from(found.status == status);
                trial.require(is_told, rule, || "revoke_all: the ids answered are not those that it revoked".into());
            }
        }
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

/// Takes steps until no key is left; the keys that others insert meanwhile are few.
fn sweeper(trial: &Trial<'_>, sweep: &Sweep) -> Racer<Vec<KeyId>> {
    let (store, sweep) = (trial.store.clone(), sweep.clone());
    Box::pin(async move {
        let mut ids = Vec::new();
        for _ in 0..20 {
            let batch = store.revoke_all(&sweep).await?;
            ids.extend(batch.ids);
            if !batch.has_more {
                return Ok(ids);
            }
        }
        Err(Violation::new(Rule::RevokeAllMore, "revoke_all: keys are left after more steps than there were keys"))
    })
}

fn inserter(trial: &Trial<'_>, keys: &[KeyRecord]) -> Racer<Vec<KeyId>> {
    let (store, keys) = (trial.store.clone(), keys.to_vec());
    Box::pin(async move {
        for key in keys {
            // Nothing speaks against it, and if it is refused, the key is missed afterwards.
            let _ = store.insert(&key).await?;
        }
        Ok(Vec::new())
    })
}

/// Disables, enables and renames every key, and revokes the last one at a time of its own.
fn changer(trial: &mut Trial<'_>, keys: &[KeyRecord]) -> Outcome<Racer<Vec<KeyId>>> {
    let store = trial.store.clone();
    let mut changes = Vec::new();
    for key in keys.iter().rev() {
        for change in [Change::DISABLE, Change::ENABLE, Change::rename(trial.keys.name()?)] {
            changes.push((key.id, change));
        }
    }
    changes.extend(keys.last().map(|key| (key.id, Change::revoke(later(102)))));
    Ok(Box::pin(async move {
        for (id, change) in changes {
            // Whether a change is done depends on the order; what counts is what is stored in the end.
            let _ = store.ask(id, &change, None).await?;
        }
        Ok(Vec::new())
    }))
}

/// As soon as one key of a step is found revoked, all others of that step are.
pub(super) async fn check_one_step(trial: &mut Trial<'_>) -> Outcome {
    for round in 0..ROUNDS {
        let grant = fixture::team(&format!("core-{round}"))?;
        let mut ids = Vec::new();
        for _ in 0..8 {
            ids.push(trial.stored_key(grant.clone()).await?.id);
        }
        ids.sort_unstable();
        let sweep = Sweep { cause: RevocationCause::Unused, ..Sweep::of(grant.owner(), later(100)) };
        let (store, backwards) = (trial.store.clone(), ids.iter().rev().copied().collect());
        let sweeper: Racer<()> = Box::pin(async move { store.revoke_all(&sweep).await.map(drop) });
        trial.race([looker(trial, ids), sweeper, looker(trial, backwards)].into()).await?;
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

/// Finds each key in turn, again and again, until it has seen them revoked.
fn looker(trial: &Trial<'_>, ids: Vec<KeyId>) -> Racer<()> {
    let store = trial.store.clone();
    Box::pin(async move {
        for _ in 0..20 {
            let mut is_swept = false;
            for id in &ids {
                let is_revoked = store.find(*id).await?.is_some_and(|found| found.is_revoked());
                if is_swept && !is_revoked {
                    let detail = "revoke_all: one key was found revoked, and then another one of the step was not";
                    return Err(Violation::new(Rule::RevokeAllOneStep, detail));
                }
                is_swept = is_revoked;
            }
            if is_swept {
                break;
            }
        }
        Ok(())
    })
}
