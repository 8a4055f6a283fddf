//! The settings of a cache: how long it serves a record, and how many it remembers.

use alloc::sync::Arc;
use core::{fmt, time::Duration};
use std::time::Instant;

use super::Clock;

/// How long a cache may serve a record, and how many it remembers.
///
/// ```
/// use core::time::Duration;
/// use keygate::{CacheSettings, CachedStore, MemoryStore};
///
/// let settings = CacheSettings::new(Duration::from_millis(250)).with_max_records(50_000).with_max_absent(5_000);
/// let cache = CachedStore::new(MemoryStore::new(), settings);
/// assert_eq!(cache.max_staleness(), Duration::from_millis(250));
/// ```
#[derive(Clone)]
pub struct CacheSettings {
    pub(super) max_staleness: Duration,
    pub(super) max_records: usize,
    pub(super) max_absent: usize,
    pub(super) clock: Clock,
}

impl CacheSettings {
    /// Serves records for less than `max_staleness`, and remembers at most 10,000 of them and 1,000 absent ids.
    ///
    /// With a `max_staleness` of zero nothing is ever young enough to be served: every look-up is
    /// [`CacheError::Late`](crate::CacheError::Late).
    #[must_use]
    pub fn new(max_staleness: Duration) -> Self {
        Self { max_staleness, max_records: 10_000, max_absent: 1_000, clock: Arc::new(Instant::now) }
    }

    /// Remembers at most `max` records.
    #[must_use]
    pub fn with_max_records(self, max: usize) -> Self {
        Self { max_records: max, ..self }
    }

    /// Remembers at most `max` ids that do not exist.
    #[must_use]
    pub fn with_max_absent(self, max: usize) -> Self {
        Self { max_absent: max, ..self }
    }

    /// Sets a monotonic clock in place of [`Instant::now`].
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }
}

impl From<Duration> for CacheSettings {
    fn from(max_staleness: Duration) -> Self {
        Self::new(max_staleness)
    }
}

impl fmt::Debug for CacheSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheSettings")
            .field("max_staleness", &self.max_staleness)
            .field("max_records", &self.max_records)
            .field("max_absent", &self.max_absent)
            .finish_non_exhaustive()
    }
}
