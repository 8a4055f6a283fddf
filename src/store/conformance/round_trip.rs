//! An inserted key is found and listed again, with any content.

use alloc::{format, string::String, vec::Vec};
use core::num::NonZeroU16;

use super::{
    change::Change,
    fixture::{self, differences, rule_of_difference, validity},
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    grant::Grant,
    labels::Labels,
    membership::Incarnation,
    record::{Creator, KeyRecord, PreviousSecret, RevocationCause, SecretSlot},
    store::{KeysOf, ListQuery, PreviousChange},
    time::UnixTime,
};

pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    for (number, mut key) in unusual_keys(trial)?.into_iter().enumerate() {
        trial.insert(&key).await?;
        require_kept(trial, "after insert", &key).await?;
        let cause = RevocationCause::ALL.iter().cycle().nth(number).copied().unwrap_or(RevocationCause::Requested);
        for change in unusual_changes(trial, &key, cause) {
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
            Change::rename(trial.keys.name()?),
            Change::set_labels(trial.keys.labels()?),
            Change::touch(fixture::later(1)),
            trial.keys.rotation(&key),
            Change::end_rotation(&key),
            Change::DISABLE,
            Change::ENABLE,
            Change::revoke(fixture::later(2)),
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

async fn require_scope(trial: &mut Trial<'_>, change: &str, key: &KeyRecord) -> Outcome {
    let found = trial.store.find(key.id).await?;
    let is_kept = found.is_some_and(|found| found.grant == key.grant);
    trial.require(is_kept, Rule::ScopesKept, || format!("find after {change}: not the scope that was granted"));
    Ok(())
}

/// Labels of every shape, inserted and set: what is set replaces all that was there.
pub(super) async fn check_labels(trial: &mut Trial<'_>) -> Outcome {
    let all = unusual_labels()?;
    let mut walker = trial.stored_key(fixture::personal("ada")?).await?;
    for labels in all.iter().chain(all.iter().rev()) {
        let inserted = KeyRecord { labels: labels.clone(), ..trial.keys.key(fixture::team("core")?)? };
        trial.insert(&inserted).await?;
        require_kept(trial, "after insert", &inserted).await?;
        trial.change(&mut walker, Change::set_labels(labels.clone())).await?;
        require_kept(trial, "after set_labels", &walker).await?;
    }
    Ok(())
}

fn unusual_labels() -> Outcome<Vec<Labels>> {
    let longest_name = "n".repeat(32);
    let longest_value: String = (' '..='~').cycle().take(128).collect();
    let sixteen = (0..16).map(|number| (format!("name-{number}"), format!("value {number}")));
    let sixteen: Vec<_> = sixteen.collect();
    Ok(Vec::from([
        Labels::NONE,
        fixture::labels([("empty", "")])?,
        fixture::labels([("a", " "), ("a-", "A"), ("a_", "a"), ("a0", "null")])?,
        fixture::labels([("quoted", "'\"\\,:;={}[]%_$1--")])?,
        fixture::labels([("a", "other")])?,
        fixture::labels([(&*longest_name, &*longest_value)])?,
        fixture::labels(sixteen.iter().map(|(name, value)| (&**name, &**value)))?,
    ]))
}

/// Compares the record with what is found, and with what is listed.
async fn require_kept(trial: &mut Trial<'_>, when: &str, key: &KeyRecord) -> Outcome {
    let query = ListQuery { limit: NonZeroU16::MAX, ..ListQuery::new() };
    let page = trial.store.list(KeysOf::Owner(key.grant.owner()), query).await?;
    let listed = page.records.iter().find(|record| record.id() == key.id);
    let listed = listed.map(|record| KeyRecord::clone(record));
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
fn unusual_keys(trial: &mut Trial<'_>) -> Outcome<Vec<KeyRecord>> {
    let mut keys = Vec::new();
    for grant in fixture::grants("core")? {
        keys.push(trial.keys.key(grant)?);
    }
    for (created_at, not_before, expires_at) in EDGES_OF_TIME {
        let key = trial.keys.key(fixture::team("core")?)?;
        let validity = validity(*not_before, *expires_at)?;
        keys.push(KeyRecord { created_at: *created_at, validity, ..key });
    }
    for name in ["a", "-", "0", "-a-", "null", &"-".repeat(64), &"z9".repeat(32)] {
        let key = trial.keys.key(fixture::team("core")?)?;
        keys.push(KeyRecord { name: name.parse()?, ..key });
    }
    for issuer in ["ab", "z9", "kg", "a123456789"] {
        let key = trial.keys.key(fixture::team("core")?)?;
        keys.push(KeyRecord { issuer: issuer.parse()?, ..key });
    }
    for incarnation in [None, Some(0), Some(-1), Some(i64::MIN), Some(i64::MAX)] {
        let key = trial.keys.key(fixture::personal("ada")?)?;
        keys.push(KeyRecord { incarnation: incarnation.map(Incarnation::new), ..key });
    }
    for id in unusual_ids() {
        for grant in [fixture::personal(&id)?, fixture::team(&id)?] {
            let key = trial.keys.key(grant)?;
            keys.push(KeyRecord { created_by: Creator::User(id.parse()?), ..key });
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
fn unusual_changes(trial: &mut Trial<'_>, key: &KeyRecord, cause: RevocationCause) -> Vec<Change> {
    let ends_at = [UnixTime::MIN, key.validity.expires_at().unwrap_or(UnixTime::MAX)];
    let mut changes = Vec::new();
    let mut rotated = key.clone();
    for (ends_at, last_used_at) in ends_at.into_iter().zip([Some(UnixTime::MAX), None]) {
        let previous = PreviousSecret { digest: rotated.current, ends_at, last_used_at };
        let change = trial.keys.rotation_with(&rotated, PreviousChange::Set(previous));
        change.apply(&mut rotated);
        changes.push(change);
    }
    let touched = [UnixTime::MIN, UnixTime::from_secs(-1), UnixTime::from_secs(0), UnixTime::MAX];
    for slot in [SecretSlot::Previous, SecretSlot::Current] {
        changes.extend(touched.map(|used_at| Change::Touch { slot, used_at, now: UnixTime::MAX }));
    }
    let is_early = matches!(key.grant, Grant::Personal { .. });
    changes.push(Change::revoke_for(cause, if is_early { UnixTime::MIN } else { UnixTime::MAX }));
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
