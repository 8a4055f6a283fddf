//! What is inserted is found and listed again, whatever is in it.

use alloc::{format, string::String, vec::Vec};
use core::num::NonZeroU16;

use super::{
    change::Change,
    fixture::{self, differences, rule_of_difference},
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    grant::Grant,
    record::{Creator, KeyRecord, PreviousChange, PreviousSecret, RecordParts},
    store::{ListBy, PageRequest},
    time::UnixTime,
};

pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    for mut key in unusual_keys(trial)? {
        trial.insert(&key).await?;
        require_kept(trial, "after insert", &key).await?;
        for change in unusual_changes(trial, &key) {
            let when = format!("after {}", change.name());
            trial.change(&mut key, change).await?;
            require_kept(trial, &when, &key).await?;
        }
    }
    Ok(())
}

/// The models and environments of the scopes exist nowhere, so a store that drops what does not exist is found out.
pub(super) async fn check_scopes(trial: &mut Trial<'_>) -> Outcome {
    for grant in fixture::grants("core")? {
        let mut key = trial.stored_key(grant).await?;
        let changes = [
            Change::Rename(trial.keys.name()?),
            Change::Touch { used_at: fixture::later(1), now: fixture::later(1) },
            trial.keys.rotation(&key),
            Change::EndOverlap,
            Change::Disable,
            Change::Enable,
            Change::Revoke(fixture::later(2)),
        ];
        require_scope(trial, "insert", &key).await?;
        for change in changes {
            let name = change.name();
            trial.change(&mut key, change).await?;
            require_scope(trial, name, &key).await?;
        }
    }
    Ok(())
}

async fn require_scope(trial: &mut Trial<'_>, change: &str, key: &RecordParts) -> Outcome {
    let found = trial.store.find(key.id).await?;
    let is_kept = found.is_some_and(|found| found.grant == key.grant);
    trial.require(is_kept, Rule::ScopesKept, || format!("find after {change}: not the scope that was granted"));
    Ok(())
}

/// Compares the record with what is found, and with what is listed.
async fn require_kept(trial: &mut Trial<'_>, when: &str, key: &RecordParts) -> Outcome {
    let request = PageRequest { after: None, limit: NonZeroU16::MAX };
    let page = trial.store.list(ListBy::Owner(key.grant.owner()), request).await?;
    let listed = page.records.iter().find(|record| record.id() == key.id);
    let listed = listed.map(|record| RecordParts::from(KeyRecord::clone(record)));
    for (operation, found) in [("find", trial.store.find(key.id).await?), ("list", listed)] {
        match found {
            None => trial.broken(Rule::RoundTrip, format!("{operation} {when}: the key is not there")),
            Some(found) if found != *key => {
                let columns = differences(key, &found).join(", ");
                trial.broken(rule_of_difference(key, &found), format!("{operation} {when}: another {columns}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Every grant, and every edge of every other column.
fn unusual_keys(trial: &mut Trial<'_>) -> Outcome<Vec<RecordParts>> {
    let mut keys = Vec::new();
    for grant in fixture::grants("core")? {
        keys.push(trial.keys.key(grant)?);
    }
    for (created_at, not_before, expires_at) in EDGES_OF_TIME {
        let key = trial.keys.key(fixture::team("core")?)?;
        keys.push(RecordParts { created_at: *created_at, not_before: *not_before, expires_at: *expires_at, ..key });
    }
    for name in ["a", "-", "0", "-a-", "null", &"-".repeat(64), &"z9".repeat(32)] {
        let key = trial.keys.key(fixture::team("core")?)?;
        keys.push(RecordParts { name: name.parse()?, ..key });
    }
    for id in unusual_ids() {
        for grant in [fixture::personal(&id)?, fixture::team(&id)?] {
            let key = trial.keys.key(grant)?;
            keys.push(RecordParts { created_by: Creator::User(id.parse()?), ..key });
        }
    }
    Ok(keys)
}

/// All visible symbols, quotes, backslash, percent and underscore among them, and texts that mean something elsewhere.
fn unusual_ids() -> Vec<String> {
    let visible = || ('!'..='~').cycle();
    let mut ids: Vec<String> =
        ["system", "null", "0", "1e5", "'", "\"", "\\", "%", "_", "--", "{}", "a,b", "$1"].map(String::from).into();
    ids.extend([visible().take(128).collect(), visible().skip(64).take(128).collect(), "\\'".repeat(64)]);
    ids
}

/// Changes that leave unusual values in the columns that an insert leaves empty.
fn unusual_changes(trial: &mut Trial<'_>, key: &RecordParts) -> Vec<Change> {
    let ends_at = [UnixTime::MIN, key.expires_at.unwrap_or(UnixTime::MAX)];
    let mut changes = Vec::new();
    let mut rotated = key.clone();
    for ends_at in ends_at {
        let previous = PreviousChange::Set(PreviousSecret { digest: rotated.current, ends_at });
        let change = trial.keys.rotation_with(&rotated, previous);
        change.apply(&mut rotated);
        changes.push(change);
    }
    let touched = [UnixTime::MIN, UnixTime::from_secs(-1), UnixTime::from_secs(0), UnixTime::MAX];
    changes.extend(touched.map(|used_at| Change::Touch { used_at, now: UnixTime::MAX }));
    let is_early = matches!(key.grant, Grant::Personal { .. });
    changes.push(Change::Revoke(if is_early { UnixTime::MIN } else { UnixTime::MAX }));
    changes
}

/// Creation, start and expiry.
const EDGES_OF_TIME: &[(UnixTime, Option<UnixTime>, Option<UnixTime>)] = &[
    (UnixTime::MIN, None, None),
    (UnixTime::MAX, None, None),
    (UnixTime::from_secs(-1), Some(UnixTime::MIN), Some(UnixTime::MAX)),
    (UnixTime::from_secs(0), Some(UnixTime::MAX), None),
    (UnixTime::from_secs(0), None, Some(UnixTime::MIN)),
    (UnixTime::from_secs(0), Some(UnixTime::from_secs(0)), Some(UnixTime::from_secs(1))),
    // Beyond 32 bits of seconds, and beyond the years that calendars of databases reach.
    (UnixTime::from_secs(1 << 32), None, Some(UnixTime::from_secs(1 << 53))),
];
