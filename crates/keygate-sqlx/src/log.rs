//! The events, in the order of their changes.

use core::num::NonZeroU16;

use keygate::{
    KeyId, Owner, UnixTime, UserId,
    audit::{Event, EventKind, Principal},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::{
    database::{Database, Transaction},
    error::{CorruptRow, StoreError},
    query::{Query, each},
    row::{read_json, write_json, write_owner},
    store::SqlStore,
};

/// An event of the log, and its place there. As JSON, it is a line of an [exported log](crate::revoke_again).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LoggedEvent {
    /// The number of its change: it grows by one with each, in the order of their commits, and leaps forward where
    /// [`SqlStore::begin_new_life`] was called.
    pub sequence: u64,
    /// The event.
    pub event: Event,
}

/// Which events to read, and how many.
///
/// ```
/// use keygate::KeyId;
/// use keygate_sqlx::{EventsOf, LogQuery};
///
/// let id: KeyId = "wk59pfKL0jFi2YYv".parse()?;
/// let mut query = LogQuery::new();
/// query.events_of = EventsOf::Key(id);
/// query.kind = Some("revoked");
/// assert_eq!((query.after, query.limit.get()), (None, 100));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LogQuery {
    /// The key, owner or actor of the events.
    pub events_of: EventsOf,
    /// Only those of a kind; one of [`EventKind::NAMES`](keygate::audit::EventKind::NAMES).
    pub kind: Option<&'static str>,
    /// Only those at this time or later.
    pub from: Option<UnixTime>,
    /// Only those before this time.
    pub until: Option<UnixTime>,
    /// Where the last page ended: the [`sequence`](LoggedEvent::sequence) of its last event; `None` for the first.
    pub after: Option<u64>,
    /// The newest event comes first, and each page goes further back. To follow the log, read it oldest first: new
    /// events then come after it.
    pub newest_first: bool,
    /// The largest number of events to return.
    pub limit: NonZeroU16,
}

impl LogQuery {
    /// Asks for the first page of all events, oldest first, 100 to a page.
    #[must_use]
    pub const fn new() -> Self {
        // The smallest number stands in for a 0 that is not there.
        let limit = match NonZeroU16::new(100) {
            Some(limit) => limit,
            None => NonZeroU16::MIN,
        };
        Self { events_of: EventsOf::All, kind: None, from: None, until: None, after: None, newest_first: false, limit }
    }
}

impl Default for LogQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// The key, owner or actor of the events to read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EventsOf {
    /// All events.
    All,
    /// Those of actions by a key, on itself or on others.
    ActingKey(KeyId),
    /// Those of actions by a user, signed in or with a personal key.
    ActingUser(UserId),
    /// Those about a key.
    Key(KeyId),
    /// Those about the keys of an owner.
    Owner(Owner),
}

#[expect(private_bounds, reason = "sealed: the statements are written for the databases that are here")]
impl<D: Database> SqlStore<D> {
    /// Returns a page of the log.
    ///
    /// To follow the log, read it oldest first, and go on after the last event that you have. This misses none, because
    /// no event is ever added before one that can be read, and after a restored backup [`SqlStore::begin_new_life`]
    /// moves the numbers beyond all that were given before. It has to be called before the first change there.
    ///
    /// # Errors
    ///
    /// - [`StoreError::UnknownKind`] if there are no events of that kind.
    /// - [`StoreError::Corrupt`] if one of them is malformed. It names the number: a page of one reads up to it, and
    ///   [`after`](LogQuery::after) that number, the log goes on.
    /// - Others if the store failed.
    pub async fn events(&self, query: &LogQuery) -> Result<Vec<LoggedEvent>, StoreError> {
        if let Some(kind) = query.kind.filter(|kind| !EventKind::NAMES.contains(kind)) {
            return Err(StoreError::UnknownKind(kind));
        }
        let after = query.after.map(|after| i64::try_from(after).unwrap_or(i64::MAX));
        let (statements, start) =
            if query.newest_first { (&D::SQL.reads.newest_first, i64::MAX) } else { (&D::SQL.reads.oldest_first, -1) };
        let page = |statement| {
            let page = Query::read(statement).with(after.unwrap_or(start)).with(i64::from(query.limit.get()));
            page.with(query.kind.map(str::to_owned)).with(query.from).with(query.until)
        };
        let rows = self.database.read(match &query.events_of {
            EventsOf::All if query.from.is_some() || query.until.is_some() => page(statements.in_time),
            EventsOf::All => page(statements.all),
            EventsOf::ActingKey(id) => page(statements.by_key).with(*id),
            EventsOf::ActingUser(user) => page(statements.by_user).with(user.as_str()),
            EventsOf::Key(id) => page(statements.of_key).with(*id),
            EventsOf::Owner(owner) => write_owner(page(statements.of_owner), owner),
        });
        each(self.database.place(), &rows.await?, |row| {
            Ok(LoggedEvent { sequence: row.count("sequence")?, event: read_json(row.text("event")?, "event")? })
        })
    }

    /// Begins another history of the store: call it before the first change when a backup was restored, or when a
    /// server took over that may not have the last changes.
    ///
    /// Without it, the numbers of changes would go on from the restored state: a cache or an export of the log may know
    /// other changes under the same numbers. After this, each cache that follows the feed forgets everything once, and
    /// the next event has a number after each one of the history that was given up: one more than the microseconds
    /// since 1970, by the clock of the database. So an export goes on where it was, misses none, and has the events
    /// that were given up before the leap.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if there is no revision, and others if the store failed.
    pub async fn begin_new_life(&self) -> Result<(), StoreError> {
        let rows = self.database.write(Query::new(D::SQL.draw_life)).await?;
        let fault = || self.database.place().corrupt(CorruptRow::new("life"));
        rows.first().map(drop).ok_or_else(fault)
    }
}

/// Keeps the events of a transaction's changes, and counts up the revision. This is the last thing before the commit:
/// the revision is locked from here on, and every change waits for it.
pub(crate) async fn append<D: Database>(
    database: &D,
    transaction: &mut D::Transaction,
    events: &[Event],
) -> Result<(), StoreError> {
    let corrupt = |fault| database.place().corrupt(fault);
    let entries = events.iter().map(entry).collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
    let entries = Json::from(entries).to_string();
    let mut kept = 0_usize;
    for statement in D::SQL.log {
        kept = kept.saturating_add(transaction.run(Query::new(statement).with(entries.as_str())).await?.len());
    }
    // Without its one row, the table of the revision gives no number, and nothing is kept.
    if kept == events.len() { Ok(()) } else { Err(corrupt(CorruptRow::new("number"))) }
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
