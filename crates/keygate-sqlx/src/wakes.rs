//! Notifications of PostgreSQL, which make a cache ask for changes sooner.

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::{task::JoinHandle, time::timeout};

use crate::{Postgres, database::Database, error::StoreError};

/// Waits until some process has ended or replaced a secret: revoked or disabled keys, rotated one, or ended an overlap.
///
/// It holds no changes. It is for the timer of a cache's `tick`, which then runs a little sooner; that tick reads the
/// feed and does the work. If notifications are late, lost or switched off, the timer alone bounds what a cache may
/// keep.
///
/// While many keys are ended, the loop below ticks again and again. Sleep for some milliseconds after each tick to
/// bound that; what comes meanwhile is one notification.
///
/// ```no_run
/// # async fn follow(
/// #     database: keygate_sqlx::Postgres,
/// #     tick: impl AsyncFn(),
/// # ) -> Result<(), keygate_sqlx::StoreError> {
/// use core::time::Duration;
///
/// // First listen, then read: so no change in between is missed.
/// let mut wakes = database.wakes().await?;
/// const PERIOD: Duration = Duration::from_millis(100);
/// // It ends when the database is closed.
/// while !database.pool().is_closed() {
///     tick().await;
///     if let Ok(Err(_)) = tokio::time::timeout(PERIOD, wakes.next()).await {
///         tokio::time::sleep(PERIOD).await;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Wakes {
    database: Postgres,
    /// None while the connection is lost.
    listener: Option<PgListener>,
    /// Connects again, also while nobody waits for that.
    listening: Option<JoinHandle<Result<PgListener, StoreError>>>,
}

impl Postgres {
    /// Listens for notifications, on a connection in addition to those of the pool.
    ///
    /// # Errors
    ///
    /// If the database failed, or its pool is closed.
    pub async fn wakes(&self) -> Result<Wakes, StoreError> {
        if self.pool().is_closed() {
            return Err(self.place().failed(sqlx::Error::PoolClosed));
        }
        Ok(Wakes { database: self.clone(), listener: Some(listen(self).await?), listening: None })
    }
}

impl Wakes {
    /// Waits for the next one. Those that came since the last call are one.
    ///
    /// It also returns after a lost connection is back, since notifications may have been missed. Dropping the
    /// future loses nothing, and connecting again goes on meanwhile.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached any more, or was closed. Wait a moment before you call it again.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        let mut close = self.database.pool().close_event();
        let answer = close.do_until(self.wait()).await;
        answer.unwrap_or_else(|closed| Err(self.database.place().failed(closed)))
    }

    async fn wait(&mut self) -> Result<(), StoreError> {
        if let Some(listener) = &mut self.listener {
            if let Ok(Some(_)) = listener.try_recv().await {
                while listener.next_buffered().is_some() {}
                return Ok(());
            }
            // However the connection was lost. Nothing is waited for in between, so the next call knows of it.
            self.listener = None;
        }
        let listening = self.listening.get_or_insert_with(|| {
            let database = self.database.clone();
            tokio::spawn(async move { listen(&database).await })
        });
        let answer = listening.await;
        self.listening = None;
        // A task that does not end is one of a runtime that does.
        let listener = answer.unwrap_or_else(|_| Err(self.database.place().failed(sqlx::Error::PoolClosed)))?;
        self.listener = Some(listener);
        Ok(())
    }
}

async fn listen(database: &Postgres) -> Result<PgListener, StoreError> {
    let channel = format!("{}wake", database.prefix());
    let options = database.pool().connect_options().as_ref().clone().extra_float_digits(None);
    // A pool of its own: sqlx takes the connection to listen again from there, which in another one could be broken,
    // too.
    let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
    let listen = async {
        let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options)).await?;
        // It would connect again before it says that the connection was lost, and not say so to the next who asks.
        listener.eager_reconnect(false);
        listener.listen(&channel).await?;
        Ok(listener)
    };
    let answer = timeout(database.settings().answer_limit, listen).await;
    answer.map_err(|_| StoreError::TimedOut(database.place().clone()))?.map_err(|error| database.place().failed(error))
}
