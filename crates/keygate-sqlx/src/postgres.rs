//! PostgreSQL.

use core::{fmt, str::FromStr, time::Duration};
use std::sync::Arc;

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool,
    pool::PoolConnectionMetadata,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::{
    database::Database,
    error::{OpenError, Place, StoreError},
    lease::{FRESH, Lease, Open},
    query::{Query, Row},
    schema::Part,
    settings::Settings,
    sql::{self, Dialect},
};

/// Connections to a PostgreSQL server, which stores and directories share; clones are the same connections.
#[derive(Clone)]
pub struct Postgres {
    pool: PgPool,
    /// Whether the pool is the service's own, so that [`Postgres::close`] does not close it.
    is_shared: bool,
    place: Place,
    settings: Arc<Settings>,
}

impl Postgres {
    /// Connects to the primary server.
    ///
    /// The tables are those of the first schema of the search path, which the URL may set:
    /// `?options[search_path]=keys`.
    ///
    /// # Errors
    ///
    /// - [`OpenError::Url`] and [`OpenError::UrlScheme`] if the URL is not one of a PostgreSQL database.
    /// - [`OpenError::UrlAmbiguous`] if something in the URL, such as the password, is not percent-encoded.
    /// - [`OpenError::Pooler`] if a pooler in between shares the sessions of the server among clients.
    /// - [`OpenError::Store`] if no server answers, or a standby does.
    ///
    /// # Security
    ///
    /// A connection over a network has TLS only if a feature for it is on, and reliably only if the URL asks for it:
    /// `?sslmode=verify-full`. sqlx ignores parameters that it does not know, and logs a warning with their values: a
    /// slip such as `?pasword=` or `?ssl_mode=` is no error.
    pub async fn connect(url: &str, settings: Settings) -> Result<Self, OpenError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(OpenError::UrlScheme);
        }
        // With an unencoded `/`, `?` or `#` in it, the password ends there: its beginning is the port, the rest the
        // database.
        if url.contains('#') || url.splitn(4, ['/', '?']).nth(3).is_some_and(|behind| behind.contains('@')) {
            return Err(OpenError::UrlAmbiguous);
        }
        Self::connect_with(PgConnectOptions::from_str(url).map_err(OpenError::Url)?, settings).await
    }

    /// Connects with sqlx's options.
    ///
    /// # Errors
    ///
    /// The same as for [`Postgres::connect`].
    pub async fn connect_with(options: PgConnectOptions, settings: Settings) -> Result<Self, OpenError> {
        let place = place(&options);
        // Poolers refuse unknown settings at the start of a session. No column holds a fraction.
        let options = options.extra_float_digits(None);
        let limits: Arc<str> = session_limits(&settings).into();
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections.map_or(CONNECTIONS, core::num::NonZeroU32::get))
            .acquire_timeout(settings.connect_limit)
            // sqlx would ask a connection whether it lives each time; one that lived a moment ago is not asked.
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| Box::pin(is_alive(connection, metadata)))
            .after_connect(move |connection, _| {
                let limits = limits.clone();
                Box::pin(async move { connection.execute(sqlx::raw_sql(AssertSqlSafe(limits))).await.map(drop) })
            })
            // The check connects by itself, and hears why it cannot; the pool would try again for as long as it may.
            .connect_lazy_with(options);
        Self { pool, is_shared: false, place, settings: settings.into() }.checked().await
    }

    /// Uses a pool of the service's own, with its TLS and its number of connections. It stays the service's:
    /// [`Postgres::close`] does not close it.
    ///
    /// If somebody leaves a transaction open in a session of the pool, as sqlx does where a caller goes away while one
    /// begins, the store uses that session no more. One that sees the past because the sessions are set up so
    /// (`default_transaction_isolation`) is found out after a second.
    ///
    /// # Errors
    ///
    /// The same as for [`Postgres::connect`].
    pub async fn from_pool(pool: PgPool, settings: Settings) -> Result<Self, OpenError> {
        let place = place(&pool.connect_options());
        Self { pool, is_shared: true, place, settings: settings.into() }.checked().await
    }

    /// Returns a reference to the pool, for tables of the service's own in the same database.
    ///
    /// The sessions of [`Postgres::connect`] have a `statement_timeout` of three quarters of the answer limit.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes the connections, and waits for that no longer than for a connection, even if the server is silent.
    ///
    /// Operations under way go on to their end, and later ones fail.
    pub async fn close(&self) {
        if !self.is_shared {
            drop(timeout(self.settings.connect_limit, self.pool.close()).await);
        }
    }

    /// Refuses a pooler that gives the sessions of the server to one client after the other. Statements of two clients
    /// would have one name there, and a session would not keep its settings.
    async fn checked(self) -> Result<Self, OpenError> {
        let answer = timeout(self.settings.answer_limit, shares_sessions(&self.pool.connect_options())).await;
        match answer {
            Err(_) => Err(StoreError::TimedOut(self.place).into()),
            // What PgBouncer answers to a transaction where it changes sessions after each statement.
            Ok(Err(sqlx::Error::Database(error))) if error.code().is_some_and(|code| code == "08P01") => {
                Err(OpenError::Pooler(self.place))
            }
            Ok(Err(error)) => Err(self.place.failed(error).into()),
            Ok(Ok(Sessions::Shared)) => Err(OpenError::Pooler(self.place)),
            Ok(Ok(Sessions::OfAStandby)) => Err(StoreError::Standby(self.place).into()),
            Ok(Ok(Sessions::Own)) => Ok(self),
        }
    }

    /// Takes a connection out of the pool, in a task of its own: a caller who goes away in the midst of this would
    /// leave a session that is opened, or asked whether it lives, to be opened again for the next one.
    async fn lease(&self) -> Result<Lease, StoreError> {
        let (pool, place) = (self.pool.clone(), self.place.clone());
        let lease = tokio::spawn(async move { pool.acquire().await.map(|connection| Lease::new(connection, place)) });
        // A pool of the service's own may wait for longer.
        let lease = timeout(self.settings.connect_limit, lease).await;
        let lease = lease.unwrap_or(Ok(Err(sqlx::Error::PoolTimedOut)));
        // A task that does not end is one of a runtime that does.
        lease.unwrap_or(Err(sqlx::Error::PoolClosed)).map_err(|error| self.place.failed(error))
    }
}

/// How a pooler assigns the sessions of the server.
enum Sessions {
    OfAStandby,
    Own,
    Shared,
}

/// Checks whether two connections, one with an open transaction, ever get the same session, and whether one gets
/// another than before.
async fn shares_sessions(options: &PgConnectOptions) -> Result<Sessions, sqlx::Error> {
    let options = options.clone().extra_float_digits(None);
    let (mut one, mut other) =
        (PgConnection::connect_with(&options).await?, PgConnection::connect_with(&options).await?);
    let mut sessions = Sessions::Own;
    // The first round is enough, unless many others use the pooler at the same time.
    for _ in 0..LOOKS {
        let (before, is_standby) = session(&mut one).await?;
        other.execute(sqlx::raw_sql("BEGIN")).await?;
        let (meanwhile, _) = session(&mut other).await?;
        // Not asked again where that would have to wait for the other one.
        let is_shared = before == meanwhile || before != session(&mut one).await?.0;
        other.execute(sqlx::raw_sql("ROLLBACK")).await?;
        if is_standby {
            sessions = Sessions::OfAStandby;
        } else if is_shared {
            sessions = Sessions::Shared;
            break;
        }
    }
    one.close().await?;
    other.close().await?;
    Ok(sessions)
}

/// Returns the process of the server that answers, and whether it is a standby's.
async fn session(connection: &mut PgConnection) -> Result<(i32, bool), sqlx::Error> {
    use sqlx::Row as _;

    let row = connection.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid(), pg_is_in_recovery()")).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Lets the pool replace a connection that broke while nobody used it.
async fn is_alive(connection: &mut PgConnection, metadata: PoolConnectionMetadata) -> Result<bool, sqlx::Error> {
    if metadata.idle_for >= FRESH {
        // Late is an error too: the pool then drops the connection, and does not say goodbye to nobody.
        timeout(FRESH, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    }
    Ok(true)
}

/// The server's side of the bound on reading; those of a transaction are said where it begins.
fn session_limits(settings: &Settings) -> String {
    format!("SET statement_timeout = {}", server_limit(settings.answer_limit).as_millis())
}

/// The server ends a statement a little sooner than we stop waiting.
fn server_limit(limit: Duration) -> Duration {
    limit.saturating_mul(3).checked_div(4).unwrap_or(limit).max(Duration::from_millis(1))
}

/// Begins a transaction that depends on no setting of the session. A server may be set up to acknowledge before it has
/// written; keys are not lost that way. What waits for more than the local disk stays as it is. On a standby this
/// fails.
fn begin(limit: Duration) -> String {
    let server = server_limit(limit);
    let lock = server.checked_div(2).unwrap_or(server).max(Duration::from_millis(1));
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = {}; \
         SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}; \
         SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
        server.as_millis(),
        lock.as_millis(),
        limit.saturating_add(FRESH).as_millis(),
    )
}

fn place(options: &PgConnectOptions) -> Place {
    let at = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let database = options.get_database().unwrap_or(options.get_username());
    Place::new(format!("PostgreSQL database `{database}` at `{at}`"))
}

impl Database for Postgres {
    const SQL: Dialect = sql::POSTGRES;
    const KEYS: Part = Part::new("keys", &[include_str!("../migrations/postgres/keys/0001.sql")]);
    #[cfg(feature = "directory")]
    const DIRECTORY: Part = Part::new("directory", &[include_str!("../migrations/postgres/directory/0001.sql")]);

    type Transaction = Open;

    fn place(&self) -> &Place {
        &self.place
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn read(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        // sqlx keeps the statement with the session under a name. Those of a transaction have none; nor has one that
        // looks for tables, since the server goes on with those that it found at first.
        let is_kept = !query.is(Self::SQL.reads.schema);
        let ask = async || {
            let query = query.clone().signed(self.prefix()).persistent(is_kept);
            self.lease().await?.run(query, self.settings.answer_limit).await
        };
        let mut answer = ask().await;
        // After the server ended them, as many connections are broken as there are, and each is found out by its use.
        // What changes nothing can be asked again.
        for _ in 0..self.pool.options().get_max_connections() {
            if !answer.as_ref().is_err_and(StoreError::is_broken_connection) {
                break;
            }
            answer = ask().await;
        }
        answer
    }

    async fn begin(&self, limit: Option<Duration>) -> Result<Open, StoreError> {
        let limit = limit.unwrap_or(self.settings.answer_limit);
        Open::begin(self.lease().await?, begin(limit), limit, self.prefix().clone()).await
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("place", &self.place).finish_non_exhaustive()
    }
}

const CONNECTIONS: u32 = 10;
const LOOKS: u32 = 12;
