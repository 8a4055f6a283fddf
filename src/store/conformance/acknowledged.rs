//! A `find` and the log see nothing before a key is inserted, and each change at once.

use alloc::format;

use super::{
    change::{AT, Change},
    fixture,
    report::Outcome,
    rule::Rule,
    tested::Sweep,
    trial::Trial,
};
use crate::{id::KeyId, record::KeyRecord};

pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    let mut key = trial.keys.key(fixture::team("core")?)?;
    // Asked twice: a store must not remember that there was nothing.
    for _ in 0..2 {
        require_absent(trial, key.id).await?;
    }
    trial.insert(&key).await?;
    require_seen(trial, "insert", None, &key).await?;

    let changes = [
        Change::rename(trial.keys.name()?),
        Change::set_labels(trial.keys.labels()?),
        Change::touch(fixture::later(1)),
        trial.keys.rotation(&key),
        Change::end_rotation(&key),
        Change::DISABLE,
        Change::ENABLE,
        Change::revoke(AT),
    ];
    for change in changes {
        let (name, before) = (change.name(), key.clone());
        trial.change(&mut key, change).await?;
        require_seen(trial, name, Some(&before), &key).await?;
    }

    let mut other = trial.stored_key(fixture::team("core")?).await?;
    let before = other.clone();
    require_seen(trial, "insert", None, &other).await?;
    let upgrade = trial.keys.upgrade(&other);
    trial.change(&mut other, upgrade).await?;
    require_seen(trial, "upgrade", Some(&before), &other).await?;

    let (before, sweep) = (other.clone(), Sweep::of(other.grant.owner(), fixture::later(90)));
    let _ = trial.store.revoke_all(&sweep).await?;
    sweep.change().apply(&mut other);
    require_seen(trial, "revoke_all", Some(&before), &other).await?;

    let absent = trial.keys.id()?;
    require_absent(trial, absent).await
}

async fn require_absent(trial: &mut Trial<'_>, id: KeyId) -> Outcome {
    let found = trial.store.find(id).await?;
    trial.require(found.is_none(), Rule::FindAbsent, || "find: a record for an id that was never inserted".into());
    Ok(())
}

/// A record as it was before is stale; one that is wrong in another way breaks another rule. The event is there too.
async fn require_seen(trial: &mut Trial<'_>, change: &str, before: Option<&KeyRecord>, after: &KeyRecord) -> Outcome {
    let found = trial.store.find(after.id).await?;
    let is_stale = found.as_ref() == before;
    trial.require(!is_stale, Rule::FindSeesAcknowledged, || format!("find after {change}: as it was before"));
    // Read at once: an event that a task of its own writes later is lost where the process ends before.
    trial.require_events().await;
    Ok(())
}
