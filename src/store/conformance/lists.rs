//! Lists: who is on them, in which order, and that a walk over the pages misses none.

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
    record::{Creator, KeyRecord},
    store::{Cursor, KeyFilter, KeysOf, ListQuery, Page},
    time::UnixTime,
};

pub(super) async fn check_pages(trial: &mut Trial<'_>) -> Outcome {
    let keys = stored_crowd(trial).await?;
    let ada = || "ada".parse();
    let lists = [
        ("everybody", KeysOf::All),
        ("a team", KeysOf::Owner(fixture::team("core")?.owner())),
        ("a user", KeysOf::Owner(fixture::personal("core")?.owner())),
        ("a creator", KeysOf::Creator(Creator::User(ada()?))),
        ("the system", KeysOf::Creator(Creator::System)),
        ("an owner without keys", KeysOf::Owner(fixture::personal("nobody")?.owner())),
        ("a creator without keys", KeysOf::Creator(Creator::User("nobody".parse()?))),
    ];
    for (whose, keys_of) in lists {
        let list = List { whose, keys_of, filter: KeyFilter::ALL, members: Rule::ListMembers };
        let expected = list.expected(&keys);
        list.require_members(trial, &expected).await?;
        let one_more = u16::try_from(expected.len()).unwrap_or(u16::MAX).saturating_add(1);
        for limit in (1..=one_more).filter_map(NonZeroU16::new) {
            list.require_walk(trial, limit, &expected).await?;
        }
        list.require_any_place(trial, &expected).await?;
    }
    Ok(())
}

/// A list to ask for, and the rule that is broken if it has not exactly its members.
pub(super) struct List<'a> {
    pub(super) whose: &'a str,
    pub(super) keys_of: KeysOf,
    pub(super) filter: KeyFilter,
    pub(super) members: Rule,
}

impl List<'_> {
    /// Returns the places of the keys that are to be on the list, in order.
    pub(super) fn expected(&self, keys: &[KeyRecord]) -> Vec<Cursor> {
        let is_member = |key: &&KeyRecord| match &self.keys_of {
            KeysOf::All => true,
            KeysOf::Creator(creator) => key.created_by == *creator,
            KeysOf::Owner(owner) => key.grant.owner() == *owner,
        };
        let members = keys.iter().filter(is_member).filter(|key| self.filter.includes(key));
        let mut places: Vec<_> = members.map(Cursor::after).collect();
        places.sort_unstable();
        places
    }

    async fn page(&self, trial: &Trial<'_>, after: Option<Cursor>, limit: NonZeroU16) -> Outcome<Page> {
        trial.store.list(self.keys_of.clone(), ListQuery { filter: self.filter, after, limit }).await
    }

    /// One page with room for all has exactly the members.
    pub(super) async fn require_members(&self, trial: &mut Trial<'_>, expected: &[Cursor]) -> Outcome {
        let page = self.page(trial, None, NonZeroU16::MAX).await?;
        let mut found = cursors(&page);
        found.sort_unstable();
        let whose = self.whose;
        trial.require(found == expected, self.members, || format!("list of {whose}: not exactly their keys"));
        Ok(())
    }

    /// A whole walk with one limit: order, limit, the place of each page, and each key once.
    pub(super) async fn require_walk(&self, trial: &mut Trial<'_>, limit: NonZeroU16, expected: &[Cursor]) -> Outcome {
        let at_limit = |what: &str| -> String { format!("list of {} by {limit}: {what}", self.whose) };
        let (mut seen, mut after) = (Vec::new(), None);
        // No page of a right walk is empty but the first, so it has no more pages than members.
        for _ in 0..=expected.len() {
            let page = self.page(trial, after, limit).await?;
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

    /// A page can start after any place, whether or not there is a key.
    async fn require_any_place(&self, trial: &mut Trial<'_>, expected: &[Cursor]) -> Outcome {
        let second = Duration::from_secs(1);
        let near = |place: &Cursor| {
            let Cursor { created_at, id } = *place;
            [created_at.saturating_sub(second), created_at.saturating_add(second)]
                .map(|created_at| Cursor { created_at, id })
        };
        for after in expected.iter().flat_map(near) {
            let found = cursors(&self.page(trial, Some(after), NonZeroU16::MAX).await?);
            let is_right = found.iter().eq(expected.iter().filter(|place| **place > after));
            let detail = || format!("list of {}: not what is after a place where there is no key", self.whose);
            trial.require(is_right, Rule::ListOnce, detail);
        }
        Ok(())
    }
}

/// Between two pages keys are created before and after the place, revoked and renamed.
pub(super) async fn check_changing(trial: &mut Trial<'_>) -> Outcome {
    for limit in (1..=5).filter_map(NonZeroU16::new) {
        let grant = fixture::team(&format!("core-{limit}"))?;
        let mut keys = Vec::new();
        for number in 0..12 {
            let key = KeyRecord { created_at: later(number / 4), ..trial.keys.key(grant.clone())? };
            trial.insert(&key).await?;
            keys.push(key);
        }
        let keys_of = KeysOf::Owner(grant.owner());
        let list = List { whose: "a team", keys_of, filter: KeyFilter::ALL, members: Rule::ListMembers };
        let (mut seen, mut after) = (Vec::new(), None);
        let mut steps = keys.clone().into_iter();
        for _ in 0..100 {
            let page = list.page(trial, after, limit).await?;
            seen.extend(cursors(&page));
            after = page.next;
            let (Some(mut key), Some(_)) = (steps.next(), after) else { break };
            for created_at in [CREATED_AT, later(1), later(100)] {
                let new = KeyRecord { created_at, ..trial.keys.key(grant.clone())? };
                trial.insert(&new).await?;
            }
            let rename = Change::rename(trial.keys.name()?);
            trial.change(&mut key, rename).await?;
            trial.change(&mut key, Change::revoke(later(200))).await?;
        }
        // New keys came faster than pages; the rest of the walk is undisturbed.
        while let Some(place) = after {
            let page = list.page(trial, Some(place), limit).await?;
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
async fn stored_crowd(trial: &mut Trial<'_>) -> Outcome<Vec<KeyRecord>> {
    let times = [later(5), UnixTime::from_secs(-7), later(5), UnixTime::MAX, UnixTime::MIN, later(5), later(6)];
    let owners = [fixture::team("core")?, fixture::personal("core")?, fixture::team("other")?];
    let creators = [Creator::System, Creator::User("ada".parse()?), Creator::User("system".parse()?)];
    let mut crowd = Vec::new();
    for (round, created_at) in times.iter().cycle().take(28).enumerate() {
        let grant = owners.iter().cycle().nth(round / 2).cloned();
        let created_by = creators.iter().cycle().nth(round / 3).cloned();
        let (Some(grant), Some(created_by)) = (grant, created_by) else { continue };
        let mut key = KeyRecord { created_at: *created_at, created_by, ..trial.keys.key(grant)? };
        trial.insert(&key).await?;
        match round % 5 {
            0 => trial.change(&mut key, Change::revoke(later(9))).await?,
            1 => trial.change(&mut key, Change::DISABLE).await?,
            _ => {}
        }
        crowd.push(key);
    }
    for id in NEIGHBOURS {
        let key = trial.keys.key(fixture::team("core")?)?;
        let key = KeyRecord { id: id.parse()?, created_at: later(5), ..key };
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

fn cursors(page: &Page) -> Vec<Cursor> {
    page.records.iter().map(|record| Cursor::after(record)).collect()
}
