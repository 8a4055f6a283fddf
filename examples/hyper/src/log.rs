//! The audit log: JSON lines on standard error. Each queue has a thread of its own that writes it, so a log that is
//! stuck holds up no request, and what does not fit into the queues is counted.

use core::{convert::Infallible, time::Duration};
use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use keygate::sink::{SinkReceivers, Touches};
use serde::Serialize;
use serde_json::json;

/// The threads that write.
pub(crate) struct Log(Receiver<Infallible>);

impl Log {
    /// Starts the threads, and returns the touches, which are for the store.
    pub(crate) fn start(receivers: SinkReceivers) -> (Self, Touches) {
        let SinkReceivers { events, strangers, failures, touches, .. } = receivers;
        let (running, ended) = channel();
        write_all(events, running.clone());
        write_all(strangers, running.clone());
        write_all(failures.into_iter().map(|failed| json!({ "failed": failed })), running);
        (Self(ended), touches)
    }

    /// Waits until all is written, but not for long: there may be nobody who reads.
    pub(crate) fn finish(self) {
        let _ = self.0.recv_timeout(GRACE);
    }
}

/// Writes lines in a thread, until all senders are gone.
fn write_all<L>(lines: L, running: Sender<Infallible>)
where
    L: IntoIterator<Item: Serialize> + Send + 'static,
{
    thread::spawn(move || {
        for line in lines {
            if let Ok(mut text) = serde_json::to_vec(&line) {
                text.push(b'\n');
                // One write, so that lines of several threads do not mix.
                let _ = io::stderr().write_all(&text);
            }
        }
        drop(running);
    });
}

/// How long the end waits for what is not written yet.
const GRACE: Duration = Duration::from_secs(1);
