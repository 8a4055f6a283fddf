//! The log: JSON lines on standard error, without secrets, written off the requests' path.
//!
//! Events of changes are in the database, each written in the transaction of its change. Here are requests, refusals
//! and failures. Where nobody reads the lines, they are lost and counted, and nobody waits.

use std::{
    io::{self, Write as _},
    sync::Arc,
    thread,
};

use jiff::Timestamp;
use keygate::{
    Issuer,
    audit::Event,
    scan::Scanner,
    sink::{SinkReceivers, Touches},
};
use serde_json::json;
use tracing::warn;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::console::refusals::Refusals;

/// The destination of lines.
#[derive(Clone, Debug)]
pub(crate) struct Log(NonBlocking);

impl Log {
    /// Starts the log. The guard writes what is left when it is dropped.
    pub(crate) fn start(issuer: Issuer) -> (Self, WorkerGuard) {
        // Lines that find no room are lost: one who does not read standard error must not stop the server.
        let (writer, guard) =
            NonBlockingBuilder::default().buffered_lines_limit(LINES).lossy(true).finish(io::stderr());
        let log = writer.clone();
        // For the life of the process, as the subscriber itself.
        let scanner: &'static Scanner = Box::leak(Box::new(Scanner::new(issuer)));
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn")))
            .with_writer(move || scanner.writer(writer.clone()))
            .init();
        (Self(log), guard)
    }

    /// Returns the count of lines that were lost.
    pub(crate) fn lost(&self) -> ErrorCounter {
        self.0.error_counter()
    }

    /// Writes what the sink is told, each queue by a thread of its own, so that none holds up another. They end with
    /// the sink.
    pub(crate) fn follow(&self, receivers: SinkReceivers, refusals: Arc<Refusals>) -> io::Result<Touches> {
        let SinkReceivers { events, strangers, failures, touches, .. } = receivers;
        let thread = |name: &str| thread::Builder::new().name(name.into());
        let (mut to_events, mut to_strangers) = (self.clone(), self.clone());
        thread("log events").spawn(move || {
            events.iter().for_each(|event| {
                refusals.note(&event);
                to_events.write(&event);
            });
        })?;
        thread("log strangers").spawn(move || strangers.iter().for_each(|event| to_strangers.write(&event)))?;
        thread("log failures").spawn(move || failures.iter().for_each(|failed| warn!(target: "keygate", failed)))?;
        Ok(touches)
    }

    /// Writes an event in the format that keygate documents, in one write. It holds no secret.
    fn write(&mut self, event: &Event) {
        let Ok(mut line) = serde_json::to_value(event) else { return };
        if let Some(fields) = line.as_object_mut() {
            fields.insert("timestamp".into(), json!(Timestamp::now().to_string()));
            fields.insert("target".into(), json!("keygate.audit"));
        }
        // Where nobody reads, there is nobody to tell.
        drop(self.0.write_all(format!("{line}\n").as_bytes()));
    }
}

/// How many lines wait to be written.
const LINES: usize = 8_192;
