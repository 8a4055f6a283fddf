//! Lists with filters: each condition alone, at its edges, and several at once.

use alloc::{format, string::String, vec::Vec};
use core::num::NonZeroU16;

use super::{
    change::Change,
    fixture::{self, later, validity},
    lists::List,
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    digest::DigestAlgorithm,
    record::{Creator, KeyRecord, PreviousSecret},
    store::{KeyFilter, KeysOf, Operation, PreviousChange, SecretChange, StatusFilter},
    time::UnixTime,
};

pub(super) async fn check(trial: &mut Trial<'_>) -> Outcome {
    let keys = stored_crowd(trial).await?;
    let conditions = conditions();
    for (number, filter) in conditions.iter().enumerate() {
        require_list(trial, *filter, &keys, &[2, 5]).await?;
        for other in conditions.iter().skip(number).skip(1) {
            require_list(trial, both(filter, other), &keys, &[]).await?;
        }
    }
    require_list(trial, KeyFilter::ALL, &keys, &[1, 2, 5]).await
}

async fn require_list(trial: &mut Trial<'_>, filter: KeyFilter, keys: &[KeyRecord], limits: &[u16]) -> Outcome {
    let creators = [Creator::System, Creator::User("system".parse()?)].map(KeysOf::Creator);
    for keys_of in [KeysOf::All, KeysOf::Owner(fixture::team("core")?.owner())].into_iter().chain(creators) {
        let whose = describe(&filter);
        let list = List { whose: &whose, keys_of, filter, members: Rule::ListFilter };
        let expected = list.expected(keys);
        list.require_members(trial, &expected).await?;
        for limit in limits.iter().copied().filter_map(NonZeroU16::new) {
            list.require_walk(trial, limit, &expected).await?;
        }
    }
    Ok(())
}

/// Each condition alone.
fn conditions() -> Vec<KeyFilter> {
    let all = KeyFilter::ALL;
    let mut single = Vec::from([
        KeyFilter { never_used: true, ..all },
        KeyFilter { never_ends: true, ..all },
        KeyFilter { has_legacy_digest: true, ..all },
    ]);
    for status in [StatusFilter::Active, StatusFilter::Disabled, StatusFilter::NotRevoked, StatusFilter::Revoked] {
        single.push(KeyFilter { status: Some(status), ..all });
    }
    for time in [UnixTime::MIN, later(9), USED_AT, later(11), ENDS_AT, later(21), UnixTime::MAX] {
        single.push(KeyFilter { not_used_since: Some(time), ..all });
        single.push(KeyFilter { ends_before: Some(time), ..all });
    }
    single
}

/// Two conditions at once; of two of the same column, the first.
fn both(one: &KeyFilter, other: &KeyFilter) -> KeyFilter {
    KeyFilter {
        status: one.status.or(other.status),
        never_used: one.never_used || other.never_used,
        not_used_since: one.not_used_since.or(other.not_used_since),
        ends_before: one.ends_before.or(other.ends_before),
        never_ends: one.never_ends || other.never_ends,
        has_legacy_digest: one.has_legacy_digest || other.has_legacy_digest,
    }
}

fn describe(filter: &KeyFilter) -> String {
    let KeyFilter { status, never_used, not_used_since, ends_before, never_ends, has_legacy_digest } = filter;
    let mut conditions = Vec::new();
    conditions.extend(status.map(|status| format!("status {status:?}")));
    conditions.extend(never_used.then(|| "never used".into()));
    conditions.extend(not_used_since.map(|time| format!("not used since {time}")));
    conditions.extend(ends_before.map(|time| format!("ends before {time}")));
    conditions.extend(never_ends.then(|| "never ends".into()));
    conditions.extend(has_legacy_digest.then(|| "has a legacy digest".into()));
    format!("keys with the conditions [{}]", conditions.join(", "))
}

/// Keys of two owners that differ in what filters look at.
async fn stored_crowd(trial: &mut Trial<'_>) -> Outcome<Vec<KeyRecord>> {
    let ends = [None, Some(ENDS_AT), Some(later(21)), Some(UnixTime::MAX)];
    let uses = [None, Some(USED_AT), Some(later(11)), Some(UnixTime::MIN)];
    let digests = [
        (DigestAlgorithm::Native, None),
        (DigestAlgorithm::LegacyCustom, None),
        (DigestAlgorithm::Native, Some(DigestAlgorithm::LegacyText)),
        (DigestAlgorithm::Native, Some(DigestAlgorithm::Native)),
    ];
    let mut crowd = Vec::new();
    for number in 0_usize..64 {
        // Each column has a period of its own, so that any two of them meet in each way.
        let (ends_at, used_at) = (ends.get(number % 4), uses.get(number / 4 % 4));
        let (digest, status) = (digests.get(number / 16 % 4), number.wrapping_mul(7) / 3 % 3);
        let grant = if number % 5 == 0 { fixture::personal("core")? } else { fixture::team("core")? };
        let (Some(ends_at), Some(used_at), Some((current, previous))) = (ends_at, used_at, digest) else { continue };
        let key = trial.keys.key(grant)?;
        let first = previous.unwrap_or(*current);
        let digest = trial.keys.digest_of(first);
        // A user whose id looks like the name of the service itself is a user.
        let created_by = if number % 3 == 0 { Creator::User("system".parse()?) } else { Creator::System };
        let mut key = KeyRecord { validity: validity(None, *ends_at)?, current: digest, created_by, ..key };
        trial.insert(&key).await?;
        if previous.is_some() {
            let previous = PreviousSecret { digest: key.current, ends_at: UnixTime::MIN, last_used_at: None };
            let next = trial.keys.digest_of(*current);
            let secrets = SecretChange::new(key.current, next, PreviousChange::Set(previous));
            trial.change(&mut key, Change::Make(Operation::Rotate(secrets), later(1))).await?;
        }
        if let Some(used_at) = used_at {
            trial.change(&mut key, Change::touch(*used_at)).await?;
        }
        match status {
            1 => trial.change(&mut key, Change::DISABLE).await?,
            2 => trial.change(&mut key, Change::revoke(later(30))).await?,
            _ => {}
        }
        crowd.push(key);
    }
    Ok(crowd)
}

const USED_AT: UnixTime = later(10);
const ENDS_AT: UnixTime = later(20);
