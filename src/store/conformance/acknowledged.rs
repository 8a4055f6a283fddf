//! What a `find` sees: nothing before a key is inserted, and each change at once.

use alloc::format;

use super::{change::Change, fixture, report::Outcome, rule::Rule, trial::Trial};
use crate::{id::KeyId, record::RecordParts, store::Run};

pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    let mut key = trial.keys.key(fixture::team("core")?)?;
    // Asked twice: a cache must not remember that there was nothing.
    for _ in 0..2 {
        let found = find(trial, "nothing", key.id).await?;
        trial.require(found.is_none(), Rule::FindAbsent, || "find: a record for an id that was never inserted".into());
    }
    trial.insert(&key).await?;
    require_seen(trial, "insert", None, &key).await?;

    let changes = [
        Change::Rename(trial.keys.name()?),
        Change::Touch { used_at: fixture::later(1), now: fixture::later(1) },
        trial.keys.rotation(&key),
        Change::EndOverlap,
        Change::Disable,
        Change::Enable,
        Change::Revoke(fixture::later(2)),
    ];
    for change in changes {
        let (name, before) = (change.name(), key.clone());
        trial.change(&mut key, change).await?;
        require_seen(trial, name, Some(&before), &key).await?;
    }

    let mut other = trial.stored_key(fixture::team("core")?).await?;
    let before = other.clone();
    require_seen(trial, "insert", None, &other).await?;
    trial.store.revoke_all(other.grant.owner(), fixture::later(3), Run::Real).await?;
    Change::Revoke(fixture::later(3)).apply(&mut other);
    require_seen(trial, "revoke_all", Some(&before), &other).await?;

    let found = trial.store.find(trial.keys.id()?).await?;
    trial.require(found.is_none(), Rule::FindAbsent, || "find: a record for an id that was never inserted".into());
    Ok(())
}

/// A record as it was before is stale; one that is wrong in another way breaks another rule.
async fn require_seen(
    trial: &mut Trial<'_>,
    change: &str,
    before: Option<&RecordParts>,
    after: &RecordParts,
) -> Outcome {
    let found = find(trial, change, after.id).await?;
    let is_stale = found.as_ref() == before;
    trial.require(!is_stale, Rule::FindSeesAcknowledged, || format!("find after {change}: as it was before"));
    Ok(())
}

/// Finds, and holds what is known without waiting against it; that is asked first, so that no look-up refreshes it.
async fn find(trial: &mut Trial<'_>, change: &str, id: KeyId) -> Outcome<Option<RecordParts>> {
    let known = trial.store.find_now(id);
    let current = trial.store.find_current(id).await?;
    let found = trial.store.find(id).await?;
    trial
        .require(current == found, Rule::FindCurrent, || format!("find_current after {change}: not what find answers"));
    let agrees = known.is_none_or(|known| known == found);
    trial.require(agrees, Rule::FindNow, || format!("find_now after {change}: not what find answers"));
    Ok(found)
}
