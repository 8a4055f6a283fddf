//! The events, in the order of their changes, and what changed since a revision.

use keygate::{
    KeyId,
    audit::{Event, Principal},
    store::{ChangeFeed, Changes, Revision},
};
use serde_json::{Value as Json, json};

use crate::{
    database::{Database, Transaction},
    error::{CorruptRow, StoreError},
    query::{Query, each},
    row::{parse, read_json, write_json},
    sql,
    store::SqlStore,
};

/// An event of the log, and its place there.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LoggedEvent {
    /// The number of its change: it grows by one with each, in the order of their commits.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
}

#[expect(private_bounds, reason = "sealed: the statements are written for the databases that are here")]
impl<D: Database> SqlStore<D> {
    /// Returns the events of changes behind a place in the log, oldest first, at most `limit` of them; from the beginning
    /// if no place is given.
    ///
    /// The place is the [`sequence`](LoggedEvent::sequence) of an event. One who goes on behind the last event that they
    /// have misses none: no event is ever added in front of one that can be read.
    ///
    /// # Errors
    ///
    /// If the store failed, or holds something that is no event.
    pub async fn events(&self, after: Option<u64>, limit: u16) -> Result<Vec<LoggedEvent>, StoreError> {
        let after = after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX));
        let rows = self.database.read(Query::new(sql::EVENTS).with(after).with(i64::from(limit))).await?;
        each(&rows, |row| {
            Ok(LoggedEvent { sequence: row.count("sequence")?, event: read_json(row.text("event")?, "event")? })
        })
    }

    /// Says that the history of the store is another one from now on: call it when a backup was restored, or when a
    /// server took over that may not have the last changes.
    ///
    /// The numbers of changes go on from what was restored, so a cache on some node may know other changes under the same
    /// numbers. After this, each cache that follows the feed forgets everything once.
    ///
    /// # Errors
    ///
    /// If the store failed.
    pub async fn begin_new_life(&self) -> Result<(), StoreError> {
        self.database.write(Query::new(D::SQL.draw_life)).await.map(drop)
    }
}

/// Keeps the events of a transaction's changes, and counts up the revision. This is the last thing before the commit:
/// the revision is locked from here on, and every change waits for it.
pub(crate) async fn append<D: Database>(transaction: &mut D::Transaction, events: &[Event]) -> Result<(), StoreError> {
    let entries = events.iter().map(entry).collect::<Result<Vec<_>, _>>().map_err(StoreError::Corrupt)?;
    let entries = Json::from(entries).to_string();
    let mut kept = 0_usize;
    for statement in D::SQL.log {
        kept = kept.saturating_add(transaction.run(Query::new(statement).with(entries.as_str())).await?.len());
    }
    // Without its one row, the table of the revision gives no number, and nothing is kept.
    if kept == events.len() { Ok(()) } else { Err(StoreError::Corrupt(CorruptRow::new("number"))) }
}

/// Makes the columns of an event.
fn entry(event: &Event) -> Result<Json, CorruptRow> {
    let owner = event.owner.as_ref().map(ToString::to_string);
    let (owner_kind, owner_id) = owner.as_deref().and_then(|owner| owner.split_once(':')).unzip();
    let actor_key = match &event.by {
        Principal::Key { id, .. } => Some(id.as_str()),
        _ => None,
    };
    Ok(json!({
        "id": event.id.map(|id| id.to_string()),
        "at": event.at.as_secs(),
        "kind": event.kind.as_str(),
        "key_id": event.key.as_ref().map(KeyId::as_str),
        "owner_kind": owner_kind,
        "owner_id": owner_id,
        "actor_key": actor_key,
        "actor_user": event.by.user().map(|user| user.as_str()),
        "event": write_json(event, "event")?,
    }))
}

/// The numbers that are read back are those of the events, so the list of changes is as long as the log, and a part of
/// it that was taken away is found out by its length.
impl<D: Database> ChangeFeed for SqlStore<D> {
    async fn changes_since(&self, since: Option<Revision>) -> Result<Changes, StoreError> {
        let known = since.and_then(|since| i64::try_from(since.number()).ok()).unwrap_or(i64::MAX);
        let range = Query::new(sql::CHANGES).with(known).with(known.saturating_add(MAX_CHANGES));
        let rows = self.database.read(range).await?;
        let changes = each(&rows, |row| {
            let revision = Revision::new(row.bytes("life")?, row.count("number")?);
            Ok((revision, row.optional_text("key_id")?.map(|id| parse(id, "key_id")).transpose()?))
        })?;
        let Some((revision, _)) = changes.first().copied() else {
            return Err(StoreError::Corrupt(CorruptRow::new("number")));
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
