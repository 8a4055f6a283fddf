//! Receives refusals, touches, failures and uses from a gate, a manager and the layers.
//!
//! Changes are not among them: a store that keeps a log has their events already. [`ChannelSink`] is a bounded sink
//! that never waits.

use alloc::{collections::BTreeMap, sync::Arc};
use core::error::Error;

use crate::{
    audit::{Event, EventKind, Principal},
    decision::Authorization,
    grant::Owner,
    id::{KeyId, UserId},
    record::SecretSlot,
    store::Touch,
    time::UnixTime,
    verify::MatchedKey,
};

#[cfg(feature = "std")]
mod channel;

#[cfg(feature = "std")]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
pub use channel::{ChannelSink, Lost, SinkCapacity, SinkReceivers, Touches};

/// Takes messages; called on the request's path, so it must never block.
///
/// ```
/// use keygate::sink::{AuditSink, Message};
///
/// struct Print;
///
/// impl AuditSink for Print {
///     fn tell(&self, message: Message<'_>) {
///         match message {
///             Message::Event(event) => println!("{event:?}"),
///             Message::Failed(error) => eprintln!("{error}"),
///             _ => {}
///         }
///     }
/// }
/// ```
pub trait AuditSink: Send + Sync {
    /// Takes a message.
    fn tell(&self, message: Message<'_>);
}

/// A message to a sink.
#[derive(Debug)]
#[non_exhaustive]
pub enum Message<'a> {
    /// A request was allowed; there is one for each, so a sink counts them.
    Allowed(&'a Authorization),
    /// A valid key or a user was refused something, or a store that keeps no log committed a change.
    Event(Event),
    /// A look-up, the store or the generator failed, and the request was answered with 503.
    Failed(&'a (dyn Error + 'static)),
    /// A caller without a valid key was refused: the credential is not a valid key, or the key is revoked, disabled,
    /// expired or not yet valid, or its user is deprovisioned. There may be very many of these.
    Stranger(Event),
    /// A touch of a key's stored last use is due.
    Touch(Touch),
}

/// Drops every message.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it keeps nothing")]
pub struct NoSink;

impl AuditSink for NoSink {
    fn tell(&self, _: Message<'_>) {}
}

impl<T: AuditSink + ?Sized> AuditSink for &T {
    fn tell(&self, message: Message<'_>) {
        (**self).tell(message);
    }
}

impl<T: AuditSink + ?Sized> AuditSink for Arc<T> {
    fn tell(&self, message: Message<'_>) {
        (**self).tell(message);
    }
}

/// Counts uses, so that the audit log gets one event for many.
///
/// It grows with the number of different keys that were used since it was last emptied, and only matched keys count.
///
/// ```
/// use keygate::{UnixTime, sink::UsageCounter, verify::MatchedKey};
///
/// fn count(uses: &mut UsageCounter, key: &MatchedKey, now: UnixTime) {
///     uses.record(key, now);
/// }
///
/// let mut uses = UsageCounter::new();
/// assert_eq!(uses.drain().count(), 0);
/// # let _ = count;
/// ```
#[derive(Debug, Default)]
pub struct UsageCounter {
    tallies: BTreeMap<(KeyId, SecretSlot), Tally>,
}

#[derive(Debug)]
struct Tally {
    count: u64,
    first_at: UnixTime,
    last_at: UnixTime,
    user: Option<UserId>,
    owner: Owner,
}

impl UsageCounter {
    /// Starts counting.
    #[must_use]
    pub const fn new() -> Self {
        Self { tallies: BTreeMap::new() }
    }

    /// Counts a use of `key` at `now`.
    pub fn record(&mut self, key: &MatchedKey, now: UnixTime) {
        let tally = self.tallies.entry((key.id(), key.slot())).or_insert_with(|| Tally {
            count: 0,
            first_at: now,
            last_at: now,
            user: key.user().cloned(),
            owner: key.owner(),
        });
        tally.count = tally.count.saturating_add(1);
        tally.first_at = tally.first_at.min(now);
        tally.last_at = tally.last_at.max(now);
    }

    /// Returns an event for each key and slot that was used, and starts over.
    pub fn drain(&mut self) -> impl Iterator<Item = Event> + use<> {
        core::mem::take(&mut self.tallies).into_iter().map(|((id, slot), tally)| {
            let Tally { count, first_at, last_at, user, owner } = tally;
            let used = EventKind::Used { count, first_at, last_at };
            Event::new(None, last_at, Principal::Key { id, slot, user }, Some(id), Some(owner), used)
        })
    }
}
