//! `revoke_all` while others insert, rename, enable and revoke.

use alloc::{boxed::Box, format, vec::Vec};

use super::{
    change::Change,
    fixture::{self, later, new_key},
    races::ROUNDS,
    report::Outcome,
    rule::Rule,
    trial::{Racer, Trial},
};
use crate::{
    id::KeyId,
    record::{RecordParts, Status},
    store::Run,
    time::UnixTime,
};

/// Two sweeps at different times, so that each key tells which of them ended it.
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
        let mut racers: Vec<Racer<Vec<KeyId>>> = SWEEPS.iter().map(|at| sweeper(trial, &old, *at)).collect();
        racers.push(inserter(trial, &new)?);
        racers.push(changer(trial, &old)?);
        let ended = trial.race(racers).await?;

        for (key, is_old) in old.iter().map(|key| (key, true)).chain(new.iter().map(|key| (key, false))) {
            let Some(found) = trial.store.find(key.id).await? else {
                trial.broken(Rule::RevokeAllOneStep, "revoke_all and insert at once: an inserted key is not found");
                continue;
            };
            let is_revoked = matches!(found.status, Status::Revoked { .. });
            trial.require(is_revoked || !is_old, rule, || "revoke_all: a key that existed before is left over".into());
            for (at, ids) in SWEEPS.iter().zip(&ended) {
                let is_ended_here = found.status == Status::Revoked { at: *at };
                let is_told = ids.contains(&key.id) == is_ended_here;
                trial.require(is_told, rule, || "revoke_all: the ids answered are not those that it ended".into());
            }
        }
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

fn sweeper(trial: &Trial<'_>, keys: &[RecordParts], at: UnixTime) -> Racer<Vec<KeyId>> {
    let (store, owner) = (trial.store.clone(), keys.first().map(|key| key.grant.owner()));
    Box::pin(async move {
        match owner {
            Some(owner) => store.revoke_all(owner, at, Run::Real).await,
            None => Ok(Vec::new()),
        }
    })
}

fn inserter(trial: &Trial<'_>, keys: &[RecordParts]) -> Outcome<Racer<Vec<KeyId>>> {
    let store = trial.store.clone();
    let keys = keys.iter().map(new_key).collect::<Outcome<Vec<_>>>()?;
    Ok(Box::pin(async move {
        for key in keys {
            // Nothing speaks against it, and if it is refused, the key is missed afterwards.
            let _ = store.insert(key).await?;
        }
        Ok(Vec::new())
    }))
}

/// Disables, enables and renames every key, and revokes the last one at a time of its own.
fn changer(trial: &mut Trial<'_>, keys: &[RecordParts]) -> Outcome<Racer<Vec<KeyId>>> {
    let store = trial.store.clone();
    let mut changes = Vec::new();
    for key in keys.iter().rev() {
        for change in [Change::Disable, Change::Enable, Change::Rename(trial.keys.name()?)] {
            changes.push((key.id, change));
        }
    }
    changes.extend(keys.last().map(|key| (key.id, Change::Revoke(later(102)))));
    Ok(Box::pin(async move {
        for (id, change) in changes {
            // Whether a change is done depends on who comes first; what counts is what is stored in the end.
            let _ = change.ask(&store, id).await?;
        }
        Ok(Vec::new())
    }))
}
