//! The keys that changed since a revision.

use keygate::{
    KeyId,
    store::{ChangeFeed, Changes, Revision},
};

use crate::{
    database::Database,
    error::{CorruptRow, StoreError},
    query::{Query, each},
    store::SqlStore,
};

/// The numbers that are read back are those of the events, so the list of changes is as long as the log, and a part of
/// it that was taken away is found out by its length.
impl<D: Database> ChangeFeed for SqlStore<D> {
    async fn changes_since(&self, since: Option<Revision>) -> Result<Changes, StoreError> {
        let known = since.and_then(|since| i64::try_from(since.number()).ok()).unwrap_or(i64::MAX);
        let range = Query::read(D::SQL.reads.changes).with(known).with(known.saturating_add(MAX_CHANGES));
        let rows = self.database.read(range).await?;
        let changes = each(self.database.place(), &rows, |row| {
            let revision = Revision::new(row.bytes("life")?, row.count("number")?);
            // An event whose key cannot be read is missing below, as one that is gone.
            Ok((revision, row.optional_text("key_id").ok().flatten().and_then(|id| id.parse().ok())))
        })?;
        let Some((revision, _)) = changes.first().copied() else {
            return Err(self.database.place().corrupt(CorruptRow::new("number")));
        };
        let mut ids: Vec<KeyId> = changes.into_iter().filter_map(|(_, id)| id).collect();
        let is_told = since.is_some_and(|since| {
            let count = revision.number().checked_sub(since.number());
            revision.follows(since) && count == u64::try_from(ids.len()).ok()
        });
        if !is_told {
            return Ok(Changes::Everything { revision });
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Changes::Keys { ids, revision })
    }
}

/// How many changes are listed; to a revision that is further back, the answer is everything.
const MAX_CHANGES: i64 = 10_000;
