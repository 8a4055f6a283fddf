//! The operations of the contract, once for both databases.

use core::{future::Future, time::Duration};
use std::{collections::BTreeMap, sync::Arc};

use keygate::{
    KeyId, KeyRecord, Status, UnixTime,
    store::{
        Answer, Batch, Conflict, DigestAlgorithm, KeyChange, KeyManagementStore, KeyStore, KeysOf, ListQuery, Logged,
        NewKey, Page, PreviousChange, RecordUpdate, RevokeAll, SecretSlot, StatusFilter, Step, Touch,
    },
};
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use crate::{
    database::{Database, Transaction},
    error::{CorruptRow, OpenError, StoreError},
    log,
    query::{Query, Value, each, first},
    row::{self, Stored, write_creator, write_json, write_owner, write_previous, write_status},
    schema::Migration,
    settings::TablePrefix,
    sql::{self, Read},
};

/// Keys in a PostgreSQL database.
#[cfg(feature = "postgres")]
pub type PostgresStore = SqlStore<crate::Postgres>;

/// Keys in an SQLite file.
#[cfg(feature = "sqlite")]
pub type SqliteStore = SqlStore<crate::Sqlite>;

/// Keys, and the log of their changes, in a database; clones share its connections.
#[derive(Clone, Debug)]
pub struct SqlStore<D> {
    pub(crate) database: D,
}

#[expect(private_bounds, reason = "sealed: the statements are written for the databases that are here")]
impl<D: Database> SqlStore<D> {
    /// Creates the tables, or brings them up to date. Only this call needs a role that may create tables.
    ///
    /// Several processes may do this at once. A release leaves the tables of a later one alone.
    ///
    /// # Errors
    ///
    /// - [`OpenError::TablesTooNew`] if this release cannot work with the tables.
    /// - [`OpenError::Store`] if the database failed, which undid all of it.
    pub async fn migrate(database: &D) -> Result<(), OpenError> {
        D::KEYS.migrate(database).await
    }

    /// Returns the statements that [`SqlStore::migrate`] runs.
    #[must_use]
    pub fn migrations(prefix: &TablePrefix) -> Vec<Migration> {
        D::KEYS.migrations(prefix)
    }

    /// Makes a store on existing tables; it creates none, and needs no right to.
    ///
    /// # Errors
    ///
    /// - [`OpenError::NoTables`], [`OpenError::TablesTooOld`] and [`OpenError::TablesTooNew`] if the tables are not
    ///   those that this release can work with. A later release's are, if they say so.
    /// - [`OpenError::Store`] if the database failed.
    pub async fn open(database: &D) -> Result<Self, OpenError> {
        D::KEYS.check(database).await?;
        Ok(Self { database: database.clone() })
    }

    /// Returns a reference to the connections, for example to close them.
    #[must_use]
    pub const fn database(&self) -> &D {
        &self.database
    }

    fn corrupt(&self, fault: CorruptRow) -> StoreError {
        self.database.place().corrupt(fault)
    }

    /// Refuses a change that was left out.
    fn check_count(&self, written: usize, expected: usize) -> Result<(), StoreError> {
        if written == expected { Ok(()) } else { Err(StoreError::NotWritten(self.database.place().clone())) }
    }

    async fn try_insert(&self, new: &NewKey) -> Result<Result<Logged, Conflict>, StoreError> {
        let insert = row::write(Query::new(sql::INSERT), new.record().clone()).map_err(|fault| self.corrupt(fault))?;
        let mut transaction = self.database.begin(None).await?;
        if transaction.run(insert).await?.is_empty() {
            // Records are never deleted: if the id is not there now, it was not there then, and it was the name.
            let found = transaction.run(Query::new(sql::EXISTS).with(new.record().id())).await?;
            return Ok(Err(if found.is_empty() { Conflict::NameTaken } else { Conflict::IdTaken }));
        }
        log::append(&self.database, &mut transaction, &[new.event().clone()]).await?;
        transaction.commit().await?;
        Ok(Ok(Logged))
    }

    async fn try_change(&self, change: &KeyChange) -> Result<Answer<Logged>, StoreError> {
        let mut transaction = self.database.begin(None).await?;
        let rows = transaction.run(Query::new(D::SQL.lock).with(change.id())).await?;
        let stored = rows.first().map(Stored::read).transpose().map_err(|fault| self.corrupt(fault))?;
        let (before, fault) = stored.map(|stored| (stored.record, stored.fault)).unzip();
        let (update, event) = match (change.apply(before.as_ref()), fault.flatten()) {
            (Step::Change { update, event }, None) => (update, event),
            // Regardless of the rest of the row: an unreadable key can still be ended.
            (Step::Change { update: update @ RecordUpdate::Status(Status::Revoked { .. }), event }, Some(_)) => {
                (update, event)
            }
            (_, Some(fault)) => return Err(self.corrupt(fault)),
            (Step::Refused(conflict), None) => return Ok(Answer::Refused(conflict)),
            (Step::Unchanged(record), None) => return Ok(Answer::Unchanged(record)),
        };
        let query = update_query(change.id(), &update).map_err(|fault| self.corrupt(fault))?;
        let written = match transaction.run(query).await {
            // The statement changes the name alone, so no other index can object.
            Err(error) if error.is_unique_violation() && change.new_name().is_some() => {
                return Ok(Answer::Refused(Conflict::NameTaken));
            }
            answer => answer?,
        };
        self.check_count(written.len(), 1)?;
        if is_end(&update) {
            wake::<D>(&mut transaction).await?;
        }
        log::append(&self.database, &mut transaction, &[event]).await?;
        transaction.commit().await?;
        Ok(Answer::Changed(Logged))
    }

    async fn try_revoke_all(&self, revoke: &RevokeAll) -> Result<Batch<Logged>, StoreError> {
        let mut transaction = self.database.begin(None).await?;
        let of_owner = |sql| write_owner(Query::new(sql), revoke.owner());
        let rows = transaction.run(of_owner(D::SQL.lock_due).with(i64::from(revoke.limit()))).await?;
        let stored = rows.iter().map(Stored::read).collect::<Result<Vec<_>, _>>();
        let stored = stored.map_err(|fault| self.corrupt(fault))?;
        let records: Vec<_> = stored.into_iter().map(|stored| stored.record).collect();
        let ids: Vec<_> = records.iter().map(KeyRecord::id).collect();
        if !ids.is_empty() {
            let list: Json = ids.iter().map(KeyId::as_str).collect();
            let query = write_status(Query::new(D::SQL.revoke).with(list.to_string()), revoke.status());
            self.check_count(transaction.run(query).await?.len(), ids.len())?;
            wake::<D>(&mut transaction).await?;
            let events: Vec<_> = (0..).zip(&records).map(|(part, record)| revoke.event(part, record)).collect();
            log::append(&self.database, &mut transaction, &events).await?;
        }
        // Not from what was seen at first: while this waited for locks, others may have made keys. No change is
        // committed between this and the commit, since the revision is locked.
        let has_more = !transaction.run(of_owner(sql::LEFT)).await?.is_empty();
        match (ids.is_empty(), has_more) {
            (true, true) => return Err(StoreError::Contended),
            (true, false) => {}
            (false, _) => transaction.commit().await?,
        }
        Ok(Batch::new(ids, has_more, Logged))
    }
}

impl<D: Database> KeyStore for SqlStore<D> {
    type Error = StoreError;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let rows = self.database.read(Query::read(D::SQL.reads.find).with(id)).await?;
        Ok(first(self.database.place(), &rows, row::read)?.map(Arc::new))
    }
}

impl<D: Database> KeyManagementStore for SqlStore<D> {
    type Receipt = Logged;

    async fn insert(&self, new: NewKey) -> Result<Result<Logged, Conflict>, StoreError> {
        settle(|| self.try_insert(&new)).await
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<Logged>, StoreError> {
        settle(|| self.try_change(&change)).await
    }

    /// Touches of up to 1,000 keys at once are one statement; of more keys, several.
    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), StoreError> {
        for touches in gather(touches, now, self.database.settings().touch_interval).chunks(MAX_TOUCHES) {
            let touches = Json::from(touches).to_string();
            self.database.write(Query::new(D::SQL.touch).with(touches)).await?;
        }
        Ok(())
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, StoreError> {
        let with_filter = |list| list_query(list, &query);
        let list = match &keys_of {
            KeysOf::Creator(creator) => write_creator(with_filter(D::SQL.reads.list_by_creator), creator),
            KeysOf::Owner(owner) => write_owner(with_filter(D::SQL.reads.list_by_owner), owner),
            _ => with_filter(D::SQL.reads.list_all),
        };
        let rows = self.database.read(list).await?;
        let mut page = Page::new(each(self.database.place(), &rows, |row| row::read(row).map(Arc::new))?, query.limit);
        // A condition that a later version of the library has, and the statements do not: pages are shorter then, but
        // never have a key that was not asked for.
        page.records.retain(|record| keys_of.includes(record) && query.includes(record));
        Ok(page)
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<Logged>, StoreError> {
        settle(|| self.try_revoke_all(&revoke)).await
    }
}

/// Tries again what came between others and was undone for it, or met a session that it could not use. Two renames that
/// exchange names wait for each other in PostgreSQL, which ends one of them; the next time, it finds the name taken.
async fn settle<T, F>(attempt: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for tries in 1..MAX_TRIES {
        match attempt().await {
            Err(error) if error.can_be_tried_again() => {}
            answer => return answer,
        }
        // The other one ends first, or both would wait for each other again.
        sleep(PAUSE.saturating_mul(tries)).await;
    }
    match attempt().await {
        Err(error) if error.is_deadlock() => Err(StoreError::Contended),
        answer => answer,
    }
}

/// Returns `true` if an update ends or replaces a secret: what a cache must not keep for long.
const fn is_end(update: &RecordUpdate) -> bool {
    match update {
        RecordUpdate::Labels(_) | RecordUpdate::Name(_) | RecordUpdate::Status(Status::Active) => false,
        RecordUpdate::EndPrevious | RecordUpdate::Secrets(_) | RecordUpdate::Status(_) => true,
    }
}

/// Notifies those who listen, when the transaction is committed.
async fn wake<D: Database>(transaction: &mut D::Transaction) -> Result<(), StoreError> {
    match D::SQL.wake {
        Some(statement) => transaction.run(Query::new(statement)).await.map(drop),
        None => Ok(()),
    }
}

/// Makes the statement that writes the columns of an update, and no others.
fn update_query(id: KeyId, update: &RecordUpdate) -> Result<Query, CorruptRow> {
    let query = |sql| Query::new(sql).with(id);
    Ok(match update {
        RecordUpdate::EndPrevious => query(sql::END_PREVIOUS),
        RecordUpdate::Labels(labels) => query(sql::SET_LABELS).with(write_json(labels, "labels")?),
        RecordUpdate::Name(name) => query(sql::SET_NAME).with(name.as_str()),
        RecordUpdate::Secrets(secrets) => match secrets.previous {
            PreviousChange::Keep => query(sql::SET_CURRENT).with(secrets.current),
            PreviousChange::Clear => write_previous(query(sql::SET_SECRETS).with(secrets.current), None),
            PreviousChange::Set(previous) => {
                write_previous(query(sql::SET_SECRETS).with(secrets.current), Some(previous))
            }
        },
        RecordUpdate::Status(status) => write_status(query(sql::SET_STATUS), *status),
    })
}

/// Binds what all lists have in common.
fn list_query(list: Read, query: &ListQuery) -> Query {
    // The first page is behind the earliest time and the empty id, which is before every id.
    let (created_at, after) =
        query.after.map_or((UnixTime::MIN, String::new()), |after| (after.created_at, after.id.to_string()));
    let filter = query.filter;
    let status = match filter.status {
        Some(StatusFilter::Active) => Some("active"),
        Some(StatusFilter::Disabled) => Some("disabled"),
        Some(StatusFilter::NotRevoked) => Some("not_revoked"),
        Some(StatusFilter::Revoked) => Some("revoked"),
        _ => None,
    };
    Query::read(list)
        .with(created_at)
        .with(after)
        // One more than asked for, to see whether there is a next page.
        .with(i64::from(query.limit.get()).saturating_add(1))
        .with(status.map(str::to_owned))
        .with(filter.never_used)
        .with(filter.not_used_since)
        .with(filter.ends_before)
        .with(filter.never_ends)
        .with(filter.has_legacy_digest)
        .with(Value::Bytes(Some(vec![DigestAlgorithm::Native as u8])))
}

/// Makes one entry of all touches of a key, in the order of their ids.
fn gather(touches: Vec<Touch>, now: UnixTime, interval: Duration) -> Vec<Json> {
    let mut gathered = BTreeMap::<KeyId, (UnixTime, Option<UnixTime>)>::new();
    for Touch { id, slot, used_at, .. } in touches {
        let used_at = used_at.min(now);
        let (last, last_of_previous) = gathered.entry(id).or_insert((used_at, None));
        *last = used_at.max(*last);
        if slot == SecretSlot::Previous {
            *last_of_previous = Some(used_at).max(*last_of_previous);
        }
    }
    // A use that was written at this time or later is fresh enough.
    let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
    let due = |used_at: i64| used_at.saturating_sub(interval.saturating_sub(1).max(0));
    let entry = |(id, (last, last_of_previous)): (KeyId, (UnixTime, Option<UnixTime>))| {
        let (last, previous) = (last.as_secs(), last_of_previous.map(UnixTime::as_secs));
        json!({
            "id": id.as_str(),
            "used_at": last,
            "due": due(last),
            "previous_used_at": previous,
            "previous_due": previous.map(due),
        })
    };
    gathered.into_iter().map(entry).collect()
}

/// An operation is tried again only if another one came in between, which does not happen this often by chance.
const MAX_TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(10);
const MAX_TOUCHES: usize = 1_000;
