//! Lists and the feed, but for the fault.

use std::sync::Arc;

use keygate::{
    KeyRecord, Status, UnixTime,
    store::{
        Changes, Creator, Cursor, DigestAlgorithm, KeysOf, ListQuery, Page, RecordParts, Revision, SecretDigest,
        StatusFilter,
    },
};

use super::{PlainStore, State};
use crate::store_conformance::{
    fault::Fault,
    row::{is_revoked, record},
};

impl PlainStore {
    pub(super) fn listed(&self, keys_of: &KeysOf, query: &ListQuery) -> Page {
        let includes = |row: &RecordParts| {
            let is_asked_for = match keys_of {
                KeysOf::Owner(owner) => self.is_owner(row, owner),
                // As where a creator is one column, without its kind.
                KeysOf::Creator(creator) if self.has(Fault::BlursCreators) => {
                    let id = |creator: &Creator| creator.to_string().trim_start_matches("user:").to_owned();
                    id(&row.created_by) == id(creator)
                }
                keys_of => keys_of.includes(&record(row.clone())),
            };
            let is_unfiltered = self.has(Fault::IgnoresFiltersOfCreators) && matches!(keys_of, KeysOf::Creator(_));
            (is_asked_for || self.has(Fault::ListsOthers))
                && !(self.has(Fault::OmitsRevoked) && is_revoked(row))
                && (is_unfiltered || self.is_filtered_in(row, query))
        };
        let mut records: Vec<_> =
            self.locked(|state| state.rows.values().filter(|row| includes(row)).cloned().map(record).collect());
        if !self.has(Fault::ListsByIdAlone) {
            records.sort_by_key(|record| Cursor::after(record));
        }
        let is_behind = |record: &Arc<KeyRecord>| match query.after {
            None => true,
            Some(after) if self.has(Fault::ListsByIdAlone) => after.id < record.id(),
            // As in `WHERE created_at > ...`, with and without the `=`.
            Some(after) if self.has(Fault::SkipsAtPageBorders) => after.created_at < record.created_at(),
            Some(after) if self.has(Fault::RepeatsAtPageBorders) => after <= Cursor::after(record),
            Some(after) => after < Cursor::after(record),
        };
        records.retain(is_behind);
        let too_many = usize::from(self.has(Fault::GivesTooMany));
        let limit = usize::from(query.limit.get()).saturating_add(too_many);
        let is_last = records.len() <= limit && !self.has(Fault::NeverEndsAPage);
        records.truncate(limit);
        let mut page = Page::new(records, core::num::NonZeroU16::MAX);
        page.next = if is_last { None } else { page.records.last().map(|record| Cursor::after(record)) };
        page
    }

    fn is_filtered_in(&self, row: &RecordParts, query: &ListQuery) -> bool {
        let filter = query.filter;
        let is_before = |time: UnixTime, bound: UnixTime| {
            // `<=` where the contract says `<`.
            if self.has(Fault::TakesEqualForBefore) { time <= bound } else { time < bound }
        };
        let previous = row.previous.filter(|_| !self.has(Fault::IgnoresPreviousDigests));
        let digests = [Some(row.current), previous.map(|previous| previous.digest)];
        let is_legacy = |digest: &SecretDigest| digest.algorithm() != DigestAlgorithm::Native;
        let ends_at = row.expires_at;
        let is_left_out = [
            match filter.status {
                None => false,
                Some(StatusFilter::Active) => row.status != Status::Active,
                Some(StatusFilter::Disabled) => row.status != Status::Disabled,
                Some(StatusFilter::NotRevoked) => is_revoked(row),
                Some(StatusFilter::Revoked) => !is_revoked(row),
                Some(other) => panic!("{other:?} is new"),
            },
            filter.never_used && row.last_used_at.is_some(),
            filter.not_used_since.is_some_and(|bound| row.last_used_at.is_some_and(|used| !is_before(used, bound))),
            filter.ends_before.is_some_and(|bound| !ends_at.is_some_and(|end| is_before(end, bound))),
            filter.never_ends && ends_at.is_some(),
            filter.has_legacy_digest && !digests.iter().flatten().any(is_legacy),
        ];
        self.has(Fault::IgnoresFilters) || !is_left_out.contains(&true)
    }

    pub(super) fn fed(&self, state: &State, since: Option<Revision>) -> Changes {
        const LIFE: [u8; 16] = [7; 16];
        const KEPT: usize = 50;
        let last = state.changes.iter().map(|(number, _)| *number).max().unwrap_or(0);
        let revision = Revision::new(LIFE, last);
        let Some(since) = since else { return Changes::Everything { revision } };
        let is_of_life = since.life() == LIFE || self.has(Fault::FeedForgetsLives);
        let is_past = since.number() <= last || self.has(Fault::FeedListsNoFuture);
        if !is_of_life || !is_past {
            return Changes::Everything { revision };
        }
        let is_listed = |number: u64| self.has(Fault::FeedListsEverything) || number > since.number();
        let kept = if self.has(Fault::FeedForgetsOldChanges) { KEPT } else { usize::MAX };
        let changes = state.changes.iter().rev().take(kept).filter(|(number, _)| is_listed(*number));
        let mut ids: Vec<_> = changes.map(|(_, id)| *id).collect();
        ids.sort();
        ids.dedup();
        Changes::Keys { ids, revision }
    }
}
