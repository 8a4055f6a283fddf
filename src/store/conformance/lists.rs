//! Lists: who is on them, in which order, and that a walk over the pages misses nobody.

use alloc::{format, string::String, vec::Vec};
use core::{num::NonZeroU16, time::Duration};

use super::{
    change::Change,
    fixture::{self, CREATED_AT, later},
    report::Outcome,
    rule::Rule,
    trial::Trial,
};
use crate::{
    id::KeyId,
    record::{Creator, RecordParts},
    store::{Cursor, ListBy, Page, PageRequest},
    time::UnixTime,
};

pub(super) async fn check_pages(trial: &mut Trial<'_>) -> Outcome {
    let keys = stored_crowd(trial).await?;
    let ada = || "ada".parse();
    let lists = [
        ("a team", ListBy::Owner(fixture::team("core")?.owner())),
        ("a user", ListBy::Owner(fixture::personal("core")?.owner())),
        ("a creator", ListBy::Creator(Creator::User(ada()?))),
        ("the system", ListBy::Creator(Creator::System)),
        ("an owner without keys", ListBy::Owner(fixture::personal("nobody")?.owner())),
        ("a creator without keys", ListBy::Creator(Creator::User("nobody".parse()?))),
    ];
    for (whose, by) in lists {
        let expected = places(&keys, |key| match &by {
            ListBy::Creator(creator) => key.created_by == *creator,
            ListBy::Owner(owner) => key.grant.belongs_to(owner),
        });
        require_members(trial, whose, &by, &expected).await?;
        let one_more = u16::try_from(expected.len()).unwrap_or(u16::MAX).saturating_add(1);
        for limit in (1..=one_more).filter_map(NonZeroU16::new) {
            require_walk(trial, whose, &by, limit, &expected).await?;
        }
        require_any_place(trial, whose, &by, &expected).await?;
    }
    Ok(())
}

/// One page with room for all has exactly the members.
async fn require_members(trial: &mut Trial<'_>, whose: &str, by: &ListBy, expected: &[Cursor]) -> Outcome {
    let page = trial.store.list(by.clone(), PageRequest { after: None, limit: NonZeroU16::MAX }).await?;
    let mut found = cursors(&page);
    found.sort_unstable();
    trial.require(found == expected, Rule::ListMembers, || format!("list of {whose}: not exactly their keys"));
    Ok(())
}

/// A whole walk with one limit: order, limit, the place of each page, and everybody once.
async fn require_walk(
    trial: &mut Trial<'_>,
    whose: &str,
    by: &ListBy,
    limit: NonZeroU16,
    expected: &[Cursor],
) -> Outcome {
    let at_limit = |what: &str| -> String { format!("list of {whose} by {limit}: {what}") };
    let (mut seen, mut after) = (Vec::new(), None);
    // No page of a right walk is empty but the first, so it has no more pages than members.
    for _ in 0..=expected.len() {
        let page = trial.store.list(by.clone(), PageRequest { after, limit }).await?;
        let found = cursors(&page);
        let is_within = found.len() <= usize::from(limit.get());
        trial.require(is_within, Rule::PageLimit, || at_limit("a page with more records than asked for"));
        seen.extend_from_slice(&found);
        let is_last = !expected.iter().any(|place| Some(place) > found.last());
        let next = if is_last { None } else { found.last().copied() };
        trial.require(page.next == next, Rule::PageNext, || at_limit("not the right place for the next page"));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    trial.require(seen.is_sorted(), Rule::ListOrder, || at_limit("not by creation time and id"));
    trial.require(after.is_none(), Rule::ListOnce, || at_limit("the walk does not end"));
    seen.sort_unstable();
    trial.require(seen == expected, Rule::ListOnce, || at_limit("a key seen twice or missed"));
    Ok(())
}

/// A page can start behind any place, whether or not there is a key.
async fn require_any_place(trial: &mut Trial<'_>, whose: &str, by: &ListBy, expected: &[Cursor]) -> Outcome {
    let second = Duration::from_secs(1);
    let near = |place: &Cursor| {
        let Cursor { created_at, id } = *place;
        [created_at.saturating_sub(second), created_at.saturating_add(second)]
            .map(|created_at| Cursor { created_at, id })
    };
    for after in expected.iter().flat_map(near) {
        let request = PageRequest { after: Some(after), limit: NonZeroU16::MAX };
        let found = cursors(&trial.store.list(by.clone(), request).await?);
        let is_right = found.iter().eq(expected.iter().filter(|place| **place > after));
        let detail = || format!("list of {whose}: not what is behind a place where there is no key");
        trial.require(is_right, Rule::ListOnce, detail);
    }
    Ok(())
}

/// Between two pages keys are created before and behind the place, revoked and renamed.
pub(super) async fn check_changing(trial: &mut Trial<'_>) -> Outcome {
    for limit in (1..=5).filter_map(NonZeroU16::new) {
        let grant = fixture::team(&format!("core-{limit}"))?;
        let mut keys = Vec::new();
        for number in 0..12 {
            let key = RecordParts { created_at: later(number / 4), ..trial.keys.key(grant.clone())? };
            trial.insert(&key).await?;
            keys.push(key);
        }
        let by = ListBy::Owner(grant.owner());
        let (mut seen, mut after) = (Vec::new(), None);
        let mut steps = keys.clone().into_iter();
        for _ in 0..100 {
            let page = trial.store.list(by.clone(), PageRequest { after, limit }).await?;
            seen.extend(cursors(&page));
            after = page.next;
            let (Some(mut key), Some(_)) = (steps.next(), after) else { break };
            for created_at in [CREATED_AT, later(1), later(100)] {
                let new = RecordParts { created_at, ..trial.keys.key(grant.clone())? };
                trial.insert(&new).await?;
            }
            let rename = Change::Rename(trial.keys.name()?);
            trial.change(&mut key, rename).await?;
            trial.change(&mut key, Change::Revoke(later(200))).await?;
        }
        // New keys came faster than pages; the rest of the walk is undisturbed.
        while let Some(place) = after {
            let page = trial.store.list(by.clone(), PageRequest { after: Some(place), limit }).await?;
            seen.extend(cursors(&page));
            after = page.next.filter(|next| *next > place);
        }
        let times = |id: KeyId| seen.iter().filter(|place| place.id == id).count();
        let is_seen_once = keys.iter().all(|key| times(key.id) == 1) && seen.iter().all(|place| times(place.id) == 1);
        trial.require(is_seen_once, Rule::ListOnce, || {
            format!("list by {limit} while keys are created, renamed and revoked: a key seen twice or missed")
        });
    }
    Ok(())
}

/// Keys of several owners and creators, many created in the same second, in no order, some disabled or revoked.
async fn stored_crowd(trial: &mut Trial<'_>) -> Outcome<Vec<RecordParts>> {
    let times = [later(5), UnixTime::from_secs(-7), later(5), UnixTime::MAX, UnixTime::MIN, later(5), later(6)];
    let owners = [fixture::team("core")?, fixture::personal("core")?, fixture::team("other")?];
    let creators = [Creator::System, Creator::User("ada".parse()?), Creator::User("system".parse()?)];
    let mut crowd = Vec::new();
    for (round, created_at) in times.iter().cycle().take(28).enumerate() {
        let grant = owners.iter().cycle().nth(round / 2).cloned();
        let created_by = creators.iter().cycle().nth(round / 3).cloned();
        let (Some(grant), Some(created_by)) = (grant, created_by) else { continue };
        let mut key = RecordParts { created_at: *created_at, created_by, ..trial.keys.key(grant)? };
        trial.insert(&key).await?;
        match round % 5 {
            0 => trial.change(&mut key, Change::Revoke(later(9))).await?,
            1 => trial.change(&mut key, Change::Disable).await?,
            _ => {}
        }
        crowd.push(key);
    }
    for id in NEIGHBOURS {
        let key = trial.keys.key(fixture::team("core")?)?;
        let key = RecordParts { id: id.parse()?, created_at: later(5), ..key };
        trial.insert(&key).await?;
        crowd.push(key);
    }
    Ok(crowd)
}

/// Ids that a collation for people orders otherwise than bytes do.
const NEIGHBOURS: &[&str] = &[
    "aaaaaaaaaaaaaaaa",
    "Baaaaaaaaaaaaaaa",
    "AAAAAAAAAAAAAAAb",
    "aAAAAAAAAAAAAAAa",
    "Zaaaaaaaaaaaaaa9",
    "0AaaaaaaaaaaaaaA",
];

fn places(keys: &[RecordParts], is_member: impl Fn(&RecordParts) -> bool) -> Vec<Cursor> {
    let place = |key: &RecordParts| Cursor { created_at: key.created_at, id: key.id };
    let mut places: Vec<_> = keys.iter().filter(|key| is_member(key)).map(place).collect();
    places.sort_unstable();
    places
}

fn cursors(page: &Page) -> Vec<Cursor> {
    page.records.iter().map(|record| Cursor::after(record)).collect()
}
