//! What happens off the requests' path: JSON lines on standard error, last uses, and what other nodes changed.
//!
//! Events of changes are not among the lines: the database has them, each written in the transaction of its change.

use core::{convert::Infallible, time::Duration};
use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
};

use keygate::{
    CachedStore, UnixTime,
    sink::{AuditSink, ChannelSink, Lost, Message, SinkReceivers, Touches, UsageCounter},
    store::{BoxedKeyManagementStore, KeyManagementStore},
};
use serde::Serialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::database::Database;

pub(crate) type Uses = Arc<Mutex<UsageCounter>>;

/// The threads that write: one for each queue, so that none holds up another, nor a request.
#[derive(Debug)]
pub(crate) struct Log {
    running: Receiver<Infallible>,
    /// Goes when uses are to be told for the last time.
    goes_on: Sender<Infallible>,
}

impl Log {
    /// Starts the threads, and returns the touches, which are for the store.
    pub(crate) fn start(receivers: SinkReceivers, sink: ChannelSink, uses: Uses) -> (Self, Touches) {
        let SinkReceivers { events, strangers, failures, touches, .. } = receivers;
        let ((running, ended), (goes_on, over)) = (channel(), channel());
        write_all(events, running.clone());
        write_all(strangers, running.clone());
        write_all(failures.into_iter().map(|failed| json!({ "failed": failed })), running.clone());
        thread::spawn(move || {
            let mut told = Lost::default();
            while over.recv_timeout(COUNT) == Err(RecvTimeoutError::Timeout) {
                summarize(&uses, &sink, &mut told);
            }
            summarize(&uses, &sink, &mut told);
            drop(running);
        });
        (Self { running: ended, goes_on }, touches)
    }

    /// Waits until all is written, but not for long: there may be nobody who reads.
    pub(crate) fn finish(self) {
        drop(self.goes_on);
        let _ = self.running.recv_timeout(GRACE);
    }
}

/// Writes lines in a thread, until all of those who tell are gone.
fn write_all<L>(lines: L, running: Sender<Infallible>)
where
    L: IntoIterator<Item: Serialize> + Send + 'static,
{
    thread::spawn(move || {
        lines.into_iter().for_each(|line| write(&line));
        drop(running);
    });
}

/// Tells the uses, and how many messages were lost, when there are more than were told.
fn summarize(uses: &Mutex<UsageCounter>, sink: &ChannelSink, told: &mut Lost) {
    // Not in the loop's head, where the lock would be held while a line is written.
    let events = uses.lock().unwrap_or_else(PoisonError::into_inner).drain();
    events.for_each(|event| write(&event));
    let lost = sink.lost();
    if lost != *told {
        let Lost { events, failures, strangers, touches, .. } = lost;
        let lost = json!({ "events": events, "failures": failures, "strangers": strangers, "touches": touches });
        write(&json!({ "lost": lost }));
    }
    *told = lost;
}

fn write(line: &impl Serialize) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        // One write, so that lines of several threads do not mix. Where nobody reads, there is nobody to tell.
        let _ = io::stderr().write_all(&text);
    }
}

/// Writes the last uses of keys, now and then, in one batch.
pub(crate) async fn write_touches(store: BoxedKeyManagementStore, touches: Arc<Touches>, sink: ChannelSink) {
    let mut timer = interval(TOUCH);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        touch(&store, &touches, &sink).await;
    }
}

/// Writes what is left, if that does not take long.
pub(crate) async fn write_last_touches(store: &BoxedKeyManagementStore, touches: &Touches, sink: &ChannelSink) {
    if let Err(error) = timeout(GRACE, touch(store, touches, sink)).await {
        sink.tell(Message::Failed(&error));
    }
}

async fn touch(store: &BoxedKeyManagementStore, touches: &Touches, sink: &ChannelSink) {
    let due = touches.take();
    if due.is_empty() {
        return;
    }
    // Nobody waits for it, and the next use asks again.
    if let Err(error) = store.touch(due, UnixTime::now()).await {
        sink.tell(Message::Failed(&error));
    }
}

/// Lets the cache follow what other nodes change.
pub(crate) async fn follow(cache: CachedStore<Database>, sink: ChannelSink) {
    let often = cache.max_staleness().checked_div(4).unwrap_or_default();
    // An interval of zero would be a panic.
    let mut timer = interval(often.clamp(Duration::from_millis(1), FEED));
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        if let Err(error) = cache.tick().await {
            sink.tell(Message::Failed(&error));
        }
    }
}

/// How often uses are told.
const COUNT: Duration = Duration::from_secs(5);
/// How long it takes at most until another node's change is seen here.
const FEED: Duration = Duration::from_secs(1);
/// How long the end waits for what is not written yet.
const GRACE: Duration = Duration::from_secs(2);
/// How often last uses are written.
const TOUCH: Duration = Duration::from_millis(500);
