//! Revoking all keys of an owner, in steps.

use alloc::{format, vec::Vec};

use super::{
    change::Change,
    fixture::{self, later},
    report::Outcome,
    rule::Rule,
    tested::Sweep,
    trial::Trial,
};
use crate::{
    grant::Owner,
    id::KeyId,
    record::{KeyRecord, RevocationCause},
    store::{Batch, RevokeAll},
    time::UnixTime,
};

/// One step has room for all keys of the owner.
pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    let mut keys = stored_keys(trial).await?;
    for grant in [fixture::team("core")?, fixture::personal("core")?, fixture::personal("nobody")?] {
        for (when, at) in
            [("revoke_all", later(100)), ("revoke_all again", later(200)), ("revoke_all, earlier", later(1))]
        {
            let sweep = Sweep::of(grant.owner(), at);
            let expected = due(&keys, &sweep.owner);
            let batch = step(trial, when, &mut keys, &sweep).await?;
            let (ended, due) = (batch.ids.len(), expected.len());
            trial.require(batch.ids == expected, Rule::RevokeAllExact, || {
                format!("{when}: answered {ended} ids, not the {due} in order that it is to revoke")
            });
        }
    }
    Ok(())
}

/// Smaller steps than there are keys, until none is left.
pub(super) async fn check_batches(trial: &mut Trial<'_>) -> Outcome {
    let causes = RevocationCause::ALL.iter().cycle();
    for (limit, cause) in [1, 2, 3, 5, 6, 7, 8].into_iter().zip(causes) {
        let owner = fixture::personal(&format!("user-{limit}"))?;
        let mut keys = stored_keys_of(trial, &owner.owner()).await?;
        let sweep = Sweep { cause: *cause, ..Sweep::of(owner.owner(), later(100)) }.with_limit(limit);
        let when = format!("revoke_all by {limit}");
        // Each step revokes one key at least, so there are no more steps than keys.
        for _ in 0..=keys.len() {
            if !step(trial, &when, &mut keys, &sweep).await?.has_more {
                break;
            }
        }
        let left = due(&keys, &sweep.owner).len();
        trial.require(left == 0, Rule::RevokeAllMore, || format!("{when}: {left} keys left in the end"));
        if trial.has_failed() {
            break;
        }
    }
    Ok(())
}

/// More keys than one step may revoke, whatever it is asked for.
pub(super) async fn check_largest(trial: &mut Trial<'_>) -> Outcome {
    let grant = fixture::team("large")?;
    let mut keys = Vec::new();
    for _ in 0..RevokeAll::MAX.saturating_add(3) {
        keys.push(trial.stored_key(grant.clone()).await?);
    }
    let sweep = Sweep::of(grant.owner(), later(100)).with_limit(u16::MAX);
    for _ in 0..4 {
        let batch = trial.store.revoke_all(&sweep).await?;
        let count = batch.ids.len();
        let is_within = count <= usize::from(RevokeAll::MAX);
        trial.require(is_within, Rule::RevokeAllLimit, || format!("revoke_all: {count} keys in one step"));
        for key in keys.iter_mut().filter(|key| batch.ids.binary_search(&key.id).is_ok()) {
            sweep.change().apply(key);
        }
        if !batch.has_more {
            break;
        }
    }
    let left = due(&keys, &sweep.owner).len();
    trial.require(left == 0, Rule::RevokeAllMore, || format!("revoke_all of many keys: {left} left in the end"));
    Ok(())
}

/// Revokes, and notes in the expected records what the answer says; what is stored must be that.
async fn step(trial: &mut Trial<'_>, when: &str, keys: &mut [KeyRecord], sweep: &Sweep) -> Outcome<Batch<()>> {
    let due_before = due(keys, &sweep.owner);
    let batch = trial.store.revoke_all(sweep).await?;
    let is_exact = batch.ids.is_sorted() && batch.ids.iter().all(|id| due_before.binary_search(id).is_ok());
    trial.require(is_exact, Rule::RevokeAllExact, || format!("{when}: answered ids in no order, or of other keys"));
    let is_within = batch.ids.len() <= usize::from(sweep.limit);
    trial.require(is_within, Rule::RevokeAllLimit, || format!("{when}: {} keys in one step", batch.ids.len()));
    let is_progress = due_before.is_empty() || !batch.ids.is_empty();
    trial.require(is_progress, Rule::RevokeAllMore, || format!("{when}: no key, though some are left"));
    for key in keys.iter_mut().filter(|key| batch.ids.contains(&key.id) && !key.is_revoked()) {
        sweep.change().apply(key);
    }
    let has_more = !due(keys, &sweep.owner).is_empty();
    trial.require_answer(Rule::RevokeAllMore, &format!("{when}: has_more"), &batch.has_more, &has_more);
    for key in keys.iter() {
        // A first revocation that was overwritten is told apart, whatever did it.
        let is_revoked_before = key.is_revoked() && !batch.ids.contains(&key.id);
        let rule = if is_revoked_before { Rule::FirstRevocationKept } else { Rule::RevokeAllExact };
        trial.require_stored(rule, when, key).await?;
    }
    Ok(batch)
}

/// Active, disabled and revoked keys of three owners, two of whom share the text of their id.
async fn stored_keys(trial: &mut Trial<'_>) -> Outcome<Vec<KeyRecord>> {
    let mut keys = Vec::new();
    for grant in [fixture::team("core")?, fixture::personal("core")?, fixture::team("other")?] {
        keys.extend(stored_keys_of(trial, &grant.owner()).await?);
    }
    Ok(keys)
}

/// Nine keys: enough of them that an order by chance is unlikely, and two of them revoked.
async fn stored_keys_of(trial: &mut Trial<'_>, owner: &Owner) -> Outcome<Vec<KeyRecord>> {
    let grant = match owner {
        Owner::Personal(user) => fixture::personal(user.as_str())?,
        Owner::Team(team) => fixture::team(team.as_str())?,
    };
    let mut keys = Vec::new();
    for number in 0..9 {
        // Created later is not behind by id.
        let mut key = KeyRecord { created_at: later(number / 3), ..trial.keys.key(grant.clone())? };
        trial.insert(&key).await?;
        match number % 4 {
            1 => trial.change(&mut key, Change::DISABLE).await?,
            2 => trial.change(&mut key, Change::revoke(FIRST_AT)).await?,
            _ => {}
        }
        keys.push(key);
    }
    Ok(keys)
}

fn due(keys: &[KeyRecord], owner: &Owner) -> Vec<KeyId> {
    let is_due = |key: &&KeyRecord| key.grant.owner() == *owner && !key.is_revoked();
    let mut ids: Vec<_> = keys.iter().filter(is_due).map(|key| key.id).collect();
    ids.sort_unstable();
    ids
}

/// When the keys were revoked that are revoked already.
const FIRST_AT: UnixTime = later(7);
