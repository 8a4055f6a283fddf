//! Lists of keys, in pages.

use alloc::{sync::Arc, vec::Vec};
use core::{fmt, num::NonZeroU16, str::FromStr};

use crate::{
    digest::DigestAlgorithm,
    grant::Owner,
    id::KeyId,
    record::{Creator, KeyRecord, Status},
    text::text_serde,
    time::UnixTime,
};

/// The keys to list, and the part of the list to return.
///
/// ```
/// use keygate::{MemoryStore, Owner, store::{KeyManagementStore, KeysOf, ListQuery}};
///
/// # pollster::block_on(async {
/// let store = MemoryStore::new();
/// let keys_of = KeysOf::Owner(Owner::Team("core".parse()?));
/// let mut query = ListQuery::new();
/// let mut seen = 0;
/// loop {
///     let page = store.list(keys_of.clone(), query).await?;
///     seen += page.records.len();
///     let Some(next) = page.next else { break };
///     query.after = Some(next);
/// }
/// assert_eq!(seen, 0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ListQuery {
    /// Which keys.
    pub filter: KeyFilter,
    /// Where the last page ended; `None` for the first.
    pub after: Option<Cursor>,
    /// The largest number of records to return.
    pub limit: NonZeroU16,
}

impl ListQuery {
    /// Asks for the first page of all keys, 100 to a page.
    #[must_use]
    pub const fn new() -> Self {
        // The smallest number stands in for a 0 that is not there.
        let limit = match NonZeroU16::new(100) {
            Some(limit) => limit,
            None => NonZeroU16::MIN,
        };
        Self { filter: KeyFilter::ALL, after: None, limit }
    }

    /// Returns `true` if the record is one of those to list, and after the place where the last page ended.
    #[must_use]
    pub fn includes(&self, record: &KeyRecord) -> bool {
        self.filter.includes(record) && self.after.is_none_or(|after| after < Cursor::after(record))
    }
}

impl Default for ListQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// The owner or creator of the keys to list.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeysOf {
    /// All keys.
    All,
    /// The keys of one creator.
    Creator(Creator),
    /// The keys of one owner.
    Owner(Owner),
}

impl KeysOf {
    /// Returns `true` if `record` is one of these keys.
    #[must_use]
    pub fn includes(&self, record: &KeyRecord) -> bool {
        match self {
            Self::All => true,
            Self::Creator(creator) => record.created_by() == creator,
            Self::Owner(owner) => record.grant().belongs_to(owner),
        }
    }
}

/// Which keys to list: those that meet every condition that is set.
///
/// ```
/// use keygate::{UnixTime, store::{KeyFilter, StatusFilter}};
///
/// let mut unused = KeyFilter::ALL;
/// unused.status = Some(StatusFilter::Active);
/// unused.not_used_since = Some(UnixTime::from_secs(1_750_000_000));
/// assert_ne!(unused, KeyFilter::ALL);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyFilter {
    /// The status.
    pub status: Option<StatusFilter>,
    /// No use was ever written.
    pub never_used: bool,
    /// No use was written at this time or later; includes keys that were never used.
    pub not_used_since: Option<UnixTime>,
    /// The key expires before this time; keys that never expire do not.
    pub ends_before: Option<UnixTime>,
    /// The key never expires.
    pub never_ends: bool,
    /// The current or the previous secret is that of a legacy key.
    pub has_legacy_digest: bool,
}

impl KeyFilter {
    /// Every key.
    pub const ALL: Self = Self {
        status: None,
        never_used: false,
        not_used_since: None,
        ends_before: None,
        never_ends: false,
        has_legacy_digest: false,
    };

    /// Returns `true` if the record meets every condition.
    #[must_use]
    pub fn includes(&self, record: &KeyRecord) -> bool {
        let Self { status, never_used, not_used_since, ends_before, never_ends, has_legacy_digest } = *self;
        let (last_used_at, expires_at) = (record.last_used_at, record.validity.expires_at());
        let has_legacy = record.current.algorithm() != DigestAlgorithm::Native
            || record.previous.is_some_and(|previous| previous.digest.algorithm() != DigestAlgorithm::Native);
        status.is_none_or(|status| status.includes(record.status))
            && (!never_used || last_used_at.is_none())
            && not_used_since.is_none_or(|since| last_used_at.is_none_or(|used| used < since))
            && ends_before.is_none_or(|before| expires_at.is_some_and(|end| end < before))
            && (!never_ends || expires_at.is_none())
            && (!has_legacy_digest || has_legacy)
    }
}

/// A status to list.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StatusFilter {
    /// Active keys, including expired ones.
    Active,
    /// Disabled keys.
    Disabled,
    /// Active and disabled keys.
    NotRevoked,
    /// Revoked keys.
    Revoked,
}

impl StatusFilter {
    /// Returns `true` if a key of this status is listed.
    #[must_use]
    pub const fn includes(self, status: Status) -> bool {
        match self {
            Self::Active => matches!(status, Status::Active),
            Self::Disabled => matches!(status, Status::Disabled),
            Self::NotRevoked => !matches!(status, Status::Revoked { .. }),
            Self::Revoked => matches!(status, Status::Revoked { .. }),
        }
    }
}

/// A place in a list, after a key; as text, `created_at:id`, for the URL of the next page.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "the order of lists is part of the contract")]
pub struct Cursor {
    /// When the key was created.
    pub created_at: UnixTime,
    /// Its id.
    pub id: KeyId,
}

impl Cursor {
    /// Returns the place after `record`.
    #[must_use]
    pub const fn after(record: &KeyRecord) -> Self {
        Self { created_at: record.created_at(), id: record.id() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.created_at, self.id)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (created_at, id) = text.split_once(':').ok_or(InvalidCursor)?;
        let created_at = created_at.parse().map_err(|_| InvalidCursor)?;
        Ok(Self { created_at, id: id.parse().map_err(|_| InvalidCursor)? })
    }
}

text_serde!(Cursor);

/// A text that names no place in a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a cursor is a time, `:` and a key id")]
#[non_exhaustive]
pub struct InvalidCursor;

/// One page of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The records.
    pub records: Vec<Arc<KeyRecord>>,
    /// Where the next page begins; `None` if this was the last.
    pub next: Option<Cursor>,
}

impl Page {
    /// Makes a page of `records`: a store reads one more than the limit, which shows whether more follow.
    #[must_use]
    pub fn new(mut records: Vec<Arc<KeyRecord>>, limit: NonZeroU16) -> Self {
        let limit = usize::from(limit.get());
        let is_last = records.len() <= limit;
        records.truncate(limit);
        let next = if is_last { None } else { records.last().map(|record| Cursor::after(record)) };
        Self { records, next }
    }
}
