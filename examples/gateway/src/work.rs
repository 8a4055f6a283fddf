//! Background tasks on timers.

use core::{sync::atomic::Ordering, time::Duration};
use std::sync::Arc;

use keygate::{
    UnixTime,
    sink::{AuditSink as _, ChannelSink, Message, Touches},
    store::KeyManagementStore as _,
};
use keygate_sqlx::Wakes;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::warn;

use crate::{
    app::App,
    console::refusals::{self, Refusals},
    database::{Database, Lookup, execute},
    platform::REFRESH,
};

pub(crate) struct Work {
    pub(crate) app: Arc<App>,
    pub(crate) touches: Arc<Touches>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) sink: ChannelSink,
}

/// The tasks that run.
pub(crate) struct Running {
    work: Arc<Work>,
    tasks: JoinSet<()>,
}

/// Starts the timers, which end when the server stops.
pub(crate) fn start(work: Work) -> Running {
    let (work, mut tasks) = (Arc::new(work), JoinSet::new());
    tasks.spawn(every(TOUCH, Arc::clone(&work), |work| async move { work.write_touches().await }));
    tasks.spawn(every(REFRESH, Arc::clone(&work), |work| async move {
        if let Err(error) = work.app.platform.refresh(&work.app.database).await {
            work.sink.tell(Message::Failed(&error));
        }
    }));
    tasks.spawn(every(TOUCH, Arc::clone(&work), |work| async move {
        if let Err(error) = work.refusals.write(&work.app.database).await {
            work.sink.tell(Message::Failed(&error));
        }
    }));
    tasks.spawn(every(FORGET, Arc::clone(&work), |work| async move {
        if let Err(error) = forget_old(&work.app.database).await {
            work.sink.tell(Message::Failed(&error));
        }
    }));
    if matches!(work.app.gate.store(), Lookup::Cached(_)) {
        tasks.spawn(follow(Arc::clone(&work)));
    }
    Running { work, tasks }
}

impl Running {
    /// Waits for the tasks, and writes the last touches, if neither takes long.
    pub(crate) async fn finish(mut self, limit: Duration) {
        let end = async {
            while self.tasks.join_next().await.is_some() {}
            self.work.write_touches().await;
        };
        if timeout(limit, end).await.is_err() {
            warn!("the last uses of keys were not written in time");
        }
    }
}

impl Work {
    /// Writes the last uses of keys, in one batch. Nobody waits for it, and the next use asks again.
    async fn write_touches(&self) {
        let (due, counts) = (self.touches.take(), &self.app.counts);
        if due.is_empty() {
            return;
        }
        let count = u64::try_from(due.len()).unwrap_or(u64::MAX);
        match self.app.keys.store().touch(due, UnixTime::now()).await {
            Ok(()) => counts.touches.fetch_add(count, Ordering::Relaxed),
            Err(error) => {
                self.sink.tell(Message::Failed(&error));
                counts.failed_touches.fetch_add(1, Ordering::Relaxed)
            }
        };
    }

    /// Lets the cache see what other nodes changed.
    async fn tick(&self) {
        let Lookup::Cached(cache) = self.app.gate.store() else { return };
        if let Err(error) = cache.tick().await {
            self.sink.tell(Message::Failed(&error));
            self.app.counts.failed_ticks.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn every<F: Future<Output = ()>>(period: Duration, work: Arc<Work>, act: impl Fn(Arc<Work>) -> F) {
    let mut timer = interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = timer.tick() => act(Arc::clone(&work)).await,
            () = work.app.stopped() => return,
        }
    }
}

/// Ticks on a timer, and at once where PostgreSQL says that a secret ended.
async fn follow(work: Arc<Work>) {
    let mut timer = interval(TICK);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut wakes = listen(&work.app.database).await;
    loop {
        let woken = async {
            match &mut wakes {
                Some(wakes) => wakes.next().await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            _ = timer.tick() => {
                if wakes.is_none() {
                    wakes = listen(&work.app.database).await;
                }
            }
            woken = woken => {
                if woken.is_err() {
                    wakes = None;
                }
            }
            () = work.app.stopped() => return,
        }
        work.tick().await;
    }
}

/// Nothing is lost without it: the timer ticks all the same.
async fn listen(database: &Database) -> Option<Wakes> {
    match database {
        Database::Postgres(store, _) => store.database().wakes().await.ok(),
        Database::Sqlite(..) => None,
    }
}

/// Forgets results of asynchronous requests and claims of idempotency that are a day old.
async fn forget_old(database: &Database) -> Result<(), sqlx::Error> {
    let before = UnixTime::now().saturating_sub(DAY).as_secs();
    for statement in [
        "DELETE FROM gateway_async_requests WHERE created_at < $1",
        "DELETE FROM gateway_idempotency WHERE created_at < $1",
        "DELETE FROM gateway_sessions WHERE expires_at < $1",
        "DELETE FROM gateway_sign_in_links WHERE expires_at < $1",
    ] {
        execute!(database, statement, before)?;
    }
    refusals::forget_old(database, UnixTime::now()).await
}

/// How often the changes of other nodes are read.
const TICK: Duration = Duration::from_millis(250);
/// How often last uses are written.
const TOUCH: Duration = Duration::from_secs(5);
const FORGET: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);
