//! Connections of a PostgreSQL pool that go back to it whatever happens, and transactions on them.

use core::time::Duration;

use sqlx::{
    AssertSqlSafe, Executor, PgConnection, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query as SqlxQuery,
};
use tokio::{
    runtime::Handle,
    time::{Instant, error::Elapsed, timeout, timeout_at},
};

use crate::{
    database::Transaction,
    error::{Place, StoreError},
    query::{Query, Row},
    settings::TablePrefix,
};

/// A connection that goes back to the pool when the call ends, and also if its caller goes away.
///
/// The pool takes a connection back when the server has answered on it, and waits for that without bound. While the
/// server is out of reach, each call that ended, timed out or was given up would leave the pool with one less.
pub(crate) struct Lease {
    /// There until this is dropped.
    connection: Option<PoolConnection<Postgres>>,
    is_in_transaction: bool,
    /// Whether nobody can use the session any more.
    is_spoilt: bool,
    place: Place,
}

impl Lease {
    pub(crate) const fn new(connection: PoolConnection<Postgres>, place: Place) -> Self {
        Self { connection: Some(connection), is_in_transaction: false, is_spoilt: false, place }
    }

    /// Runs a statement, for so long at most.
    pub(crate) async fn run(mut self, query: PgQuery, limit: Duration) -> Result<Vec<Row>, StoreError> {
        self.run_until(query, after(limit)).await
    }

    async fn run_until(&mut self, query: PgQuery, deadline: Instant) -> Result<Vec<Row>, StoreError> {
        let answer = timeout_at(deadline, query.fetch_all(self.connection()?)).await;
        let rows: Vec<PgRow> = self.explain(answer, &["22012", "25006"])?;
        Ok(rows.iter().map(Row::new).collect())
    }

    async fn say(&mut self, statements: String, deadline: Instant) -> Result<(), StoreError> {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        let answer = timeout_at(deadline, self.connection()?.execute(statements)).await;
        self.explain(answer, &["0A000", "25006"]).map(drop)
    }

    fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.connection.as_deref_mut().ok_or_else(|| self.place.failed(sqlx::Error::PoolClosed))
    }

    /// Names the database that failed, and the failure. A standby refuses with one of the codes: it divides by zero
    /// when asked to read, and begins no transaction that may write.
    fn explain<T>(
        &mut self,
        answer: Result<Result<T, sqlx::Error>, Elapsed>,
        of_a_standby: &[&str],
    ) -> Result<T, StoreError> {
        // The server ends statements by itself. This is for when it is out of reach.
        let Ok(answer) = answer else { return Err(StoreError::TimedOut(self.place.clone())) };
        answer.map_err(|error| match error.as_database_error().and_then(|error| error.code()) {
            Some(code) if of_a_standby.contains(&&*code) => StoreError::Standby(self.place.clone()),
            // The guard of a statement that reads, or a transaction that somebody left open.
            Some(code) if ["2201F", "25001", "25P02"].contains(&&*code) => {
                self.is_spoilt = true;
                StoreError::SharedSession(self.place.clone())
            }
            // The server waited as long as it may for a lock, or worked as long as it may on a statement.
            Some(code) if ["55P03", "57014"].contains(&&*code) => StoreError::TimedOut(self.place.clone()),
            _ => self.place.failed(error),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match Handle::try_current() {
            _ if self.is_spoilt => drop(connection.detach()),
            Ok(runtime) => drop(runtime.spawn(give_back(connection, self.is_in_transaction))),
            Err(_) => drop(connection.detach()),
        }
    }
}

/// Rolls back, and gives the connection back; a connection without an answer from the server is dropped.
async fn give_back(mut connection: PoolConnection<Postgres>, is_in_transaction: bool) {
    // sqlx first reads the answers that somebody who went away did not wait for.
    if is_in_transaction && !matches!(timeout(FRESH, connection.execute("ROLLBACK")).await, Ok(Ok(_))) {
        drop(connection.detach());
        return;
    }
    // Hidden in the documentation of sqlx, so the manifest pins the version; its own drop spawns this, without a bound.
    // The connection is in the future now: where that ends early, the pool has room for another one.
    drop(timeout(FRESH, connection.return_to_pool()).await);
}

/// A transaction, with one bound for all of it.
pub(crate) struct Open {
    lease: Lease,
    deadline: Instant,
    prefix: TablePrefix,
}

impl Open {
    pub(crate) async fn begin(
        mut lease: Lease,
        begin: String,
        limit: Duration,
        prefix: TablePrefix,
    ) -> Result<Self, StoreError> {
        // Before it is said: one who goes away meanwhile leaves a transaction that is begun. That of sqlx does not undo
        // it then, and the next one to get the connection would be in it.
        lease.is_in_transaction = true;
        let mut open = Self { lease, deadline: after(limit), prefix };
        open.lease.say(begin, open.deadline).await?;
        Ok(open)
    }
}

impl Transaction for Open {
    async fn run(&mut self, query: Query) -> Result<Vec<Row>, StoreError> {
        // Without a name: whatever a pooler does between transactions, no other client's statement can have it. Within
        // one, the session stays.
        self.lease.run_until(query.bound(&self.prefix).persistent(false), self.deadline).await
    }

    async fn run_file(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.lease.say(self.prefix.apply(sql).into_owned(), self.deadline).await
    }

    async fn commit(mut self) -> Result<(), StoreError> {
        self.lease.say("COMMIT".to_owned(), self.deadline).await?;
        self.lease.is_in_transaction = false;
        Ok(())
    }
}

fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    // INVARIANT: a limit is a day at the most, see `Settings`, and a clock can count for longer than that.
    now.checked_add(limit).unwrap_or(now)
}

/// A statement with its values.
type PgQuery = SqlxQuery<'static, Postgres, PgArguments>;

/// For how long an idle connection is taken to live, and how long it may take to give one back.
pub(crate) const FRESH: Duration = Duration::from_secs(1);
