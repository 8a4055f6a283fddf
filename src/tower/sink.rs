//! Where the layers tell of what happened, off the request's path.

use core::{
    error::Error,
    sync::atomic::{AtomicU64, Ordering},
};
use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use crate::{event::Event, id::KeyId, time::UnixTime};

/// Takes what is to be done or told after a request; called on the request's path, so it must never block.
pub trait AuditSink: Clone + Send + Sync + 'static {
    /// The stored last use of a key is due to be moved to `used_at`.
    fn touch(&self, key: KeyId, used_at: UnixTime);

    /// A request was refused.
    fn refused(&self, event: Event);

    /// A look-up failed, and the request was answered with 503.
    fn failed(&self, error: &(dyn Error + 'static));
}

/// What waits in an [`ChannelSink`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// A look-up failed; the text is the error's, its sources included.
    Failed(std::string::String),
    /// A request was refused.
    Refused(Event),
    /// A key's stored last use is due.
    Touch {
        /// The key.
        key: KeyId,
        /// When it was used.
        used_at: UnixTime,
    },
}

/// A bounded [`AuditSink`]: what does not fit is counted, never waited for.
///
/// ```
/// use keygate::{UnixTime, tower::{Message, AuditSink, channel_sink}};
///
/// let (outbox, notes) = channel_sink(1);
/// let key = "wk59pfKL0jFi2YYv".parse()?;
/// outbox.touch(key, UnixTime::from_secs(1));
/// outbox.touch(key, UnixTime::from_secs(2));
/// assert_eq!(notes.recv()?, Message::Touch { key, used_at: UnixTime::from_secs(1) });
/// assert_eq!(outbox.dropped_touches(), 1);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChannelSink {
    notes: SyncSender<Message>,
    dropped: Arc<Dropped>,
}

#[derive(Debug, Default)]
struct Dropped {
    failures: AtomicU64,
    refusals: AtomicU64,
    touches: AtomicU64,
}

/// Makes an [`ChannelSink`] for at most `capacity` notes, and the end where a thread of the service takes them out.
#[must_use]
pub fn channel_sink(capacity: usize) -> (ChannelSink, Receiver<Message>) {
    let (notes, receiver) = sync_channel(capacity);
    (ChannelSink { notes, dropped: Arc::default() }, receiver)
}

impl ChannelSink {
    /// Returns how many failures did not fit.
    #[must_use]
    pub fn dropped_failures(&self) -> u64 {
        self.dropped.failures.load(Ordering::Relaxed)
    }

    /// Returns how many refusals did not fit: watch it, since these are missing in the audit log.
    #[must_use]
    pub fn dropped_refusals(&self) -> u64 {
        self.dropped.refusals.load(Ordering::Relaxed)
    }

    /// Returns how many touches did not fit; the next use of the key asks again.
    #[must_use]
    pub fn dropped_touches(&self) -> u64 {
        self.dropped.touches.load(Ordering::Relaxed)
    }

    fn send(&self, note: Message, dropped: &AtomicU64) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.notes.try_send(note) {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl AuditSink for ChannelSink {
    fn touch(&self, key: KeyId, used_at: UnixTime) {
        self.send(Message::Touch { key, used_at }, &self.dropped.touches);
    }

    fn refused(&self, event: Event) {
        self.send(Message::Refused(event), &self.dropped.refusals);
    }

    fn failed(&self, error: &(dyn Error + 'static)) {
        let mut text = std::string::ToString::to_string(error);
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&std::string::ToString::to_string(error));
            source = error.source();
        }
        self.send(Message::Failed(text), &self.dropped.failures);
    }
}
