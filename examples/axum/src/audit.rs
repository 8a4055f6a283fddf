//! What happens off the requests' path: touches are written, and events become JSON lines on standard error.

use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use keygate::{
    KeyManagementStore, UnixTime, UsageCounter,
    tower::{ChannelSink, Message},
};
use serde::Serialize;
use serde_json::json;
use tokio::runtime::Handle;

use crate::app::Store;

/// The thread that empties the outbox.
#[derive(Debug)]
pub(crate) struct Drain {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Drain {
    /// Starts it; `runtime` carries the store's writes.
    pub(crate) fn start(
        (outbox, notes): (ChannelSink, Receiver<Message>),
        store: Store,
        uses: Arc<Mutex<UsageCounter>>,
        runtime: Handle,
    ) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut counted_at = Instant::now();
            let mut dropped = [0; 3];
            loop {
                match notes.recv_timeout(NAP) {
                    Ok(note) => take(note, &store, &runtime),
                    Err(RecvTimeoutError::Timeout) if !ended.load(Ordering::Acquire) => {}
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
                if counted_at.elapsed() >= COUNT {
                    tell_uses(&uses);
                    tell_dropped(&outbox, &mut dropped);
                    counted_at = Instant::now();
                }
            }
            tell_uses(&uses);
            tell_dropped(&outbox, &mut dropped);
        });
        Self { is_over, thread }
    }

    /// Takes out what is left, and ends. The runtime must still be running.
    pub(crate) fn finish(self) {
        self.is_over.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            tell(&json!({ "failed": "the thread that writes events panicked" }));
        }
    }
}

fn take(note: Message, store: &Store, runtime: &Handle) {
    match note {
        Message::Touch { key, used_at } => {
            // Nobody waits for it, and the next use asks again.
            if let Err(error) = runtime.block_on(store.touch(key, used_at, UnixTime::now())) {
                tell(&json!({ "failed": error.to_string() }));
            }
        }
        Message::Refused(event) => tell(&event),
        Message::Failed(text) => tell(&json!({ "failed": text })),
        _ => {}
    }
}

fn tell_uses(uses: &Mutex<UsageCounter>) {
    let events = uses.lock().unwrap_or_else(PoisonError::into_inner).drain();
    events.for_each(|event| tell(&event));
}

/// Says how many notes did not fit, when there are more than were told: refusals among them are missing in the log.
fn tell_dropped(outbox: &ChannelSink, told: &mut [u64; 3]) {
    let dropped = [outbox.dropped_refusals(), outbox.dropped_failures(), outbox.dropped_touches()];
    if dropped != *told {
        let [refusals, failures, touches] = dropped;
        tell(&json!({ "dropped": { "refusals": refusals, "failures": failures, "touches": touches } }));
        *told = dropped;
    }
}

/// Writes a line for the audit log.
///
/// Changes come here directly and not through the outbox, which drops what does not fit: a change is rare, and its
/// event must not get lost.
pub(crate) fn tell(line: &impl Serialize) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        // One write, so that lines of several threads do not mix. Where nobody reads, there is nobody to tell.
        let _ = io::stderr().lock().write_all(&text);
    }
}

/// How often uses are told.
const COUNT: Duration = Duration::from_secs(5);
/// How long it takes to notice the end.
const NAP: Duration = Duration::from_millis(100);
