//! A bounded sink: a message that does not fit is counted, never waited for.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{
    error::Error,
    sync::atomic::{AtomicU64, Ordering},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
};

use super::{AuditSink, Message};
use crate::{
    audit::{Event, EventKind, RefusalReason},
    id::KeyId,
    record::SecretSlot,
    store::Touch,
};

/// A bounded [`AuditSink`]: a queue for each kind of message, so that none pushes out another, and counts of lost
/// messages.
///
/// The readers at the other ends may be slow, stuck or gone: requests go on, and lost messages are counted. Strangers
/// have a queue of their own, and are counted by reason. Touches are kept by key and secret, the latest of each.
///
/// ```
/// use keygate::{UnixTime, sink::{AuditSink, ChannelSink, Message, SinkCapacity}, store::{SecretSlot, Touch}};
///
/// let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
/// let key = "wk59pfKL0jFi2YYv".parse()?;
/// for second in [1, 2] {
///     sink.tell(Message::Touch(Touch::new(key, SecretSlot::Current, UnixTime::from_secs(second))));
/// }
/// // On a timer, for the store:
/// let touches = receivers.touches.take();
/// assert_eq!(touches, [Touch::new(key, SecretSlot::Current, UnixTime::from_secs(2))]);
/// assert_eq!(sink.lost().touches, 0);
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChannelSink {
    events: SyncSender<Event>,
    strangers: SyncSender<Event>,
    failures: SyncSender<String>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    touches: Mutex<HashMap<(KeyId, SecretSlot), Touch>>,
    max_touches: usize,
    allowed: AtomicU64,
    refused: Counts,
    strangers: Counts,
    lost_events: AtomicU64,
    lost_failures: AtomicU64,
    lost_strangers: AtomicU64,
    lost_touches: AtomicU64,
}

/// A counter for each reason, all from 0.
#[derive(Debug)]
struct Counts(Vec<AtomicU64>);

impl Counts {
    fn new() -> Self {
        Self(RefusalReason::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }

    fn count(&self, event: &Event) {
        if let EventKind::Refused { reason, .. } = &event.kind {
            if let Some(counter) = self.0.get(reason.index()) {
                add(counter);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = (RefusalReason, u64)> {
        RefusalReason::ALL.iter().copied().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How many messages of each kind may wait.
///
/// Room for events and failures is reserved at once, some hundred bytes for each, so there is a small bound on them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SinkCapacity {
    /// Events of keys and users.
    pub events: u16,
    /// Events of strangers.
    pub strangers: u16,
    /// Failures.
    pub failures: u16,
    /// Touches, each of another key or secret.
    pub touches: usize,
}

impl Default for SinkCapacity {
    fn default() -> Self {
        Self { events: 4_096, strangers: 256, failures: 256, touches: 65_536 }
    }
}

/// The other ends of a [`ChannelSink`]: give each to a thread of its own, so that a slow log does not hold up touches.
#[derive(Debug)]
#[non_exhaustive]
pub struct SinkReceivers {
    /// Events of keys and users, for the audit log.
    pub events: Receiver<Event>,
    /// Events of strangers: a sample, where they are many.
    pub strangers: Receiver<Event>,
    /// Failures, each with its sources, for the operator.
    pub failures: Receiver<String>,
    /// Touches, for the store.
    pub touches: Touches,
}

/// The touches that wait to be written.
#[derive(Debug)]
pub struct Touches(Arc<Shared>);

impl Touches {
    /// Takes all of them, in no order: give them to
    /// [`KeyManagementStore::touch`](crate::store::KeyManagementStore::touch) in one call.
    #[must_use]
    pub fn take(&self) -> Vec<Touch> {
        let mut touches = self.0.touches.lock().unwrap_or_else(PoisonError::into_inner);
        core::mem::take(&mut *touches).into_values().collect()
    }
}

/// How many messages did not fit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Lost {
    /// Events of keys and users: watch it, since these are missing in the audit log.
    pub events: u64,
    /// Failures.
    pub failures: u64,
    /// Events of strangers; they are counted by reason all the same.
    pub strangers: u64,
    /// Touches: the next use of the key asks again.
    pub touches: u64,
}

impl ChannelSink {
    /// Makes a sink, and the other ends of its queues.
    #[must_use]
    pub fn new(capacity: SinkCapacity) -> (Self, SinkReceivers) {
        let (events, events_receiver) = sync_channel(capacity.events.into());
        let (strangers, strangers_receiver) = sync_channel(capacity.strangers.into());
        let (failures, failures_receiver) = sync_channel(capacity.failures.into());
        let shared = Arc::new(Shared {
            touches: Mutex::new(HashMap::new()),
            max_touches: capacity.touches,
            allowed: AtomicU64::new(0),
            refused: Counts::new(),
            strangers: Counts::new(),
            lost_events: AtomicU64::new(0),
            lost_failures: AtomicU64::new(0),
            lost_strangers: AtomicU64::new(0),
            lost_touches: AtomicU64::new(0),
        });
        let receivers = SinkReceivers {
            events: events_receiver,
            strangers: strangers_receiver,
            failures: failures_receiver,
            touches: Touches(Arc::clone(&shared)),
        };
        (Self { events, strangers, failures, shared }, receivers)
    }

    /// Returns how many requests were allowed.
    #[must_use]
    pub fn allowed(&self) -> u64 {
        self.shared.allowed.load(Ordering::Relaxed)
    }

    /// Returns how often keys and users were refused, for each reason, all from 0.
    pub fn refused(&self) -> impl Iterator<Item = (RefusalReason, u64)> {
        self.shared.refused.iter()
    }

    /// Returns how often strangers were refused, for each reason, all from 0: keys that are revoked, disabled or
    /// outside their time are among them, and those whose user is gone.
    pub fn strangers(&self) -> impl Iterator<Item = (RefusalReason, u64)> {
        self.shared.strangers.iter()
    }

    /// Returns how many messages did not fit.
    #[must_use]
    pub fn lost(&self) -> Lost {
        let Shared { lost_events, lost_failures, lost_strangers, lost_touches, .. } = &*self.shared;
        Lost {
            events: lost_events.load(Ordering::Relaxed),
            failures: lost_failures.load(Ordering::Relaxed),
            strangers: lost_strangers.load(Ordering::Relaxed),
            touches: lost_touches.load(Ordering::Relaxed),
        }
    }

    fn touch(&self, touch: Touch) {
        let Shared { touches, max_touches, lost_touches, .. } = &*self.shared;
        // Held for a moment only, also by the other end, which takes the map as it is.
        let mut touches = touches.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (touch.id, touch.slot);
        if touches.len() >= *max_touches && !touches.contains_key(&place) {
            add(lost_touches);
            return;
        }
        let latest = touches.entry(place).or_insert(touch);
        latest.used_at = latest.used_at.max(touch.used_at);
    }
}

/// Sends a message, or counts it where the queue is full or nobody reads it any more.
fn send<T>(queue: &SyncSender<T>, message: T, lost: &AtomicU64) {
    if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(message) {
        add(lost);
    }
}

impl AuditSink for ChannelSink {
    fn tell(&self, message: Message<'_>) {
        let shared = &*self.shared;
        match message {
            Message::Allowed(_) => add(&shared.allowed),
            Message::Event(event) => {
                shared.refused.count(&event);
                send(&self.events, event, &shared.lost_events);
            }
            Message::Failed(error) => send(&self.failures, with_sources(error), &shared.lost_failures),
            Message::Stranger(event) => {
                shared.strangers.count(&event);
                send(&self.strangers, event, &shared.lost_strangers);
            }
            Message::Touch(touch) => self.touch(touch),
        }
    }
}

fn with_sources(error: &(dyn Error + 'static)) -> String {
    // Bounded, since nothing keeps an error from being its own source.
    let errors = core::iter::successors(Some(error), |error| (**error).source()).take(MAX_SOURCES);
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

const MAX_SOURCES: usize = 16;
