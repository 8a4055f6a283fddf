//! The operations of the contract, once for both databases.

use std::sync::Arc;

use keygate::{
    Changed, Conflict, Cursor, KeyId, KeyManagementStore, KeyName, KeyRecord, KeyStore, ListBy, NewKey, Owner, Page,
    PageRequest, PreviousChange, Run, SecretChange, SecretDigest, Status, UnixTime,
};

use crate::{
    database::Database,
    error::{CorruptRow, StoreError},
    postgres::Postgres,
    query::{Query, Row, each, first},
    row::{self, creator_columns, owner_columns, parse, read_status},
    sql,
    sqlite::Sqlite,
};

/// Keys in a PostgreSQL database.
pub type PostgresStore = SqlStore<Postgres>;

/// Keys in an SQLite file.
pub type SqliteStore = SqlStore<Sqlite>;

/// Keys and directory in a database; clones share its connections.
#[derive(Clone, Debug)]
pub struct SqlStore<D> {
    pub(crate) database: D,
}

#[expect(private_bounds, reason = "sealed: the statements are written for the databases that are here")]
impl<D: Database> SqlStore<D> {
    pub(crate) const fn new(database: D) -> Self {
        Self { database }
    }

    /// Runs a change that returns a row exactly if it took place; if it did not, `why` says what is in its way.
    ///
    /// Nothing in the way means that the row changed between the two statements, so the change is tried again.
    async fn change(
        &self,
        id: KeyId,
        change: Query,
        why: impl Fn(&State) -> Option<Conflict> + Send + Sync,
    ) -> Result<Changed, StoreError> {
        for _ in 0..MAX_TRIES {
            if !self.database.write(change.clone()).await?.is_empty() {
                return Ok(Ok(()));
            }
            let rows = self.database.read(Query::new(sql::LOOK).with(id)).await?;
            let conflict = match first(rows, State::read)? {
                None => Some(Conflict::Absent),
                Some(State { status: Status::Revoked { .. }, .. }) => Some(Conflict::Revoked),
                Some(state) => why(&state),
            };
            if let Some(conflict) = conflict {
                return Ok(Err(conflict));
            }
        }
        Err(StoreError::Contended)
    }
}

/// What decides whether a change takes place.
struct State {
    status: Status,
    current: SecretDigest,
}

impl State {
    fn read(row: &mut Row) -> Result<Self, CorruptRow> {
        Ok(Self { status: read_status(row)?, current: row.digest("current_digest")? })
    }
}

impl<D: Database> KeyStore for SqlStore<D> {
    type Error = StoreError;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let rows = self.database.read(Query::new(sql::FIND).with(id)).await?;
        Ok(first(rows, row::read)?.map(Arc::new))
    }
}

impl<D: Database> KeyManagementStore for SqlStore<D> {
    async fn insert(&self, new: NewKey) -> Result<Changed, StoreError> {
        let record = new.record();
        let insert = row::write(Query::new(sql::INSERT), record.clone());
        if !self.database.write(insert).await?.is_empty() {
            return Ok(Ok(()));
        }
        // Records are never deleted: if the id is not there now, it was not there then, and it was the name.
        let rows = self.database.read(Query::new(sql::LOOK).with(record.id())).await?;
        Ok(Err(if rows.is_empty() { Conflict::NameTaken } else { Conflict::IdTaken }))
    }

    async fn rename(&self, id: KeyId, name: KeyName) -> Result<Changed, StoreError> {
        let rename = Query::new(sql::RENAME).with(id).with(name.as_str());
        match self.change(id, rename, |_| None).await {
            // The statement changes the name alone, so no other index can object.
            Err(error) if error.is_unique_violation() => Ok(Err(Conflict::NameTaken)),
            answer => answer,
        }
    }

    async fn disable(&self, id: KeyId) -> Result<Changed, StoreError> {
        self.change(id, Query::new(sql::DISABLE).with(id), |_| None).await
    }

    async fn enable(&self, id: KeyId) -> Result<Changed, StoreError> {
        let why = |state: &State| (state.status == Status::Active).then_some(Conflict::NotDisabled);
        self.change(id, Query::new(sql::ENABLE).with(id), why).await
    }

    async fn revoke(&self, id: KeyId, at: UnixTime) -> Result<Changed<UnixTime>, StoreError> {
        let rows = self.database.write(Query::new(sql::REVOKE).with(id).with(at)).await?;
        Ok(first(rows, |row| row.time("revoked_at"))?.ok_or(Conflict::Absent))
    }

    async fn rotate(&self, change: SecretChange) -> Result<Changed, StoreError> {
        let query = |sql| Query::new(sql).with(change.id()).with(change.expected()).with(change.current());
        let (digest, ends_at) = match change.previous() {
            PreviousChange::Set(previous) => (Some(previous.digest), Some(previous.ends_at)),
            PreviousChange::Clear | PreviousChange::Keep => (None, None),
        };
        let rotate = match change.previous() {
            PreviousChange::Keep => query(sql::ROTATE_KEEP),
            PreviousChange::Clear | PreviousChange::Set(_) => query(sql::ROTATE_SET).with(digest).with(ends_at),
        };
        let why = |state: &State| match state.status {
            Status::Disabled => Some(Conflict::Disabled),
            _ => (state.current != change.expected()).then_some(Conflict::Changed),
        };
        self.change(change.id(), rotate, why).await
    }

    async fn end_overlap(&self, id: KeyId) -> Result<Changed, StoreError> {
        self.change(id, Query::new(sql::END_OVERLAP).with(id), |_| None).await
    }

    async fn touch(&self, id: KeyId, used_at: UnixTime, now: UnixTime) -> Result<(), StoreError> {
        self.database.write(Query::new(sql::TOUCH).with(id).with(used_at.min(now))).await.map(drop)
    }

    async fn list(&self, by: ListBy, page: PageRequest) -> Result<Page, StoreError> {
        let (sql, (kind, id)) = match &by {
            ListBy::Creator(creator) => (sql::LIST_BY_CREATOR, creator_columns(creator)),
            ListBy::Owner(owner) => (sql::LIST_BY_OWNER, owner_columns(owner)),
        };
        // The first page is behind the earliest time and the empty id, which is before every id.
        let (created_at, after) =
            page.after.map_or((UnixTime::MIN, String::new()), |after| (after.created_at, after.id.to_string()));
        let limit = usize::from(page.limit.get());
        let query = Query::new(sql).with(kind).with(id).with(created_at).with(after.as_str());
        // One more than asked for tells whether there is a next page.
        let rows = self.database.read(query.with(i64::from(page.limit.get()).saturating_add(1))).await?;
        let mut records = each(rows, |row| row::read(row).map(Arc::new))?;
        let is_last = records.len() <= limit;
        records.truncate(limit);
        let next = if is_last { None } else { records.last().map(|record| Cursor::after(record)) };
        Ok(Page { records, next })
    }

    async fn revoke_all(&self, owner: Owner, at: UnixTime, run: Run) -> Result<Vec<KeyId>, StoreError> {
        let (kind, id) = owner_columns(&owner);
        let of_owner = |sql| Query::new(sql).with(kind).with(id);
        let rows = match run {
            Run::Dry => self.database.read(of_owner(sql::OF_OWNER)).await?,
            Run::Real => self.database.write(of_owner(D::REVOKE_ALL).with(at)).await?,
        };
        let mut ids: Vec<KeyId> = each(rows, |row| parse(&row.text("id")?, "id"))?;
        // RETURNING promises no order.
        ids.sort_unstable();
        Ok(ids)
    }
}

/// A change is tried again only if another one came in between, which does not happen this often by chance.
const MAX_TRIES: usize = 16;
