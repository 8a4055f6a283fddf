//! Ending all keys of an owner.

use alloc::{format, vec::Vec};

use super::{
    change::Change,
    fixture::{self, later},
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    grant::Grant,
    id::KeyId,
    record::{RecordParts, Status},
    store::Run,
    time::UnixTime,
};

pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    let rule = Rule::RevokeAllExact;
    let at = later(100);
    let mut keys = stored_keys(trial).await?;
    for grant in [fixture::team("core")?, fixture::personal("core")?, fixture::personal("nobody")?] {
        let owner = grant.owner();
        for (when, at) in [("revoke_all", at), ("revoke_all again", later(200)), ("revoke_all, earlier", later(1))] {
            let expected = due(&keys, &grant);
            let ended = trial.store.revoke_all(owner.clone(), at, Run::Real).await?;
            trial.require(ended == expected, rule, || {
                format!("{when}: answered {} ids, not the {} in order that it is to end", ended.len(), expected.len())
            });
            for key in keys.iter_mut().filter(|key| expected.contains(&key.id)) {
                Change::Revoke(at).apply(key);
            }
            require_all(trial, rule, when, &keys).await?;
        }
    }
    Ok(())
}

pub(super) async fn check_dry(trial: &mut Trial<'_>) -> Outcome {
    let rule = Rule::RevokeAllDryRun;
    let keys = stored_keys(trial).await?;
    for grant in [fixture::team("core")?, fixture::personal("core")?, fixture::personal("nobody")?] {
        for when in ["revoke_all, dry", "revoke_all, dry, again"] {
            let ids = trial.store.revoke_all(grant.owner(), later(100), Run::Dry).await?;
            let is_right = ids == due(&keys, &grant);
            trial.require(is_right, rule, || format!("{when}: not the ids that a real one would end"));
            require_all(trial, rule, when, &keys).await?;
        }
    }
    Ok(())
}

async fn require_all(trial: &mut Trial<'_>, rule: Rule, when: &str, keys: &[RecordParts]) -> Outcome {
    for key in keys {
        // A first revocation that was overwritten is told apart, whoever did it.
        let is_revoked_before = key.status == (Status::Revoked { at: FIRST_AT });
        let rule = if is_revoked_before { Rule::FirstRevocationKept } else { rule };
        trial.require_stored(rule, when, key).await?;
    }
    Ok(())
}

/// Active, disabled and revoked keys of three owners, two of whom share the text of their id.
async fn stored_keys(trial: &mut Trial<'_>) -> Outcome<Vec<RecordParts>> {
    let mut keys = Vec::new();
    for grant in [fixture::team("core")?, fixture::personal("core")?, fixture::team("other")?] {
        // Enough of them that an order by chance is unlikely; created later is not behind by id.
        for number in 0..9 {
            let mut key = RecordParts { created_at: later(number / 3), ..trial.keys.key(grant.clone())? };
            trial.insert(&key).await?;
            match number % 4 {
                1 => trial.change(&mut key, Change::Disable).await?,
                2 => trial.change(&mut key, Change::Revoke(FIRST_AT)).await?,
                _ => {}
            }
            keys.push(key);
        }
    }
    Ok(keys)
}

fn due(keys: &[RecordParts], grant: &Grant) -> Vec<KeyId> {
    let is_due =
        |key: &&RecordParts| key.grant.owner() == grant.owner() && !matches!(key.status, Status::Revoked { .. });
    let mut ids: Vec<_> = keys.iter().filter(is_due).map(|key| key.id).collect();
    ids.sort_unstable();
    ids
}

/// When the keys were revoked that are revoked already.
const FIRST_AT: UnixTime = later(7);
