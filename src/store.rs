//! What a store of keys promises.
//!
//! A verifying service needs [`KeyStore`]: find by id. Managing keys needs [`KeyManagementStore`] as well, and personal
//! keys need [`Directory`]. A store never sees a token: nothing here can name one.
//!
//! `MemoryStore` (feature `memory`) ships for tests and small services; `conformance` (feature `conformance`) is the
//! suite that every store must pass.

use alloc::{sync::Arc, vec::Vec};
use core::{error::Error, fmt, future::Future, num::NonZeroU16, str::FromStr};

use crate::{
    grant::Owner,
    id::{KeyId, TeamId, UserId},
    membership::Membership,
    name::KeyName,
    record::{Creator, KeyRecord, NewKey, SecretChange},
    text::text_serde,
    time::UnixTime,
};

mod dynamic;
mod forward;
#[cfg(feature = "memory")]
mod memory;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use dynamic::{BoxError, BoxedDirectory, BoxedKeyManagementStore, BoxedKeyStore};
#[cfg(feature = "memory")]
pub use memory::{MemoryDirectory, MemoryStore};

/// Finds keys: all that a service that verifies needs of a store.
///
/// # Contract
///
/// - Ids are compared byte by byte; a collation that ignores case is a defect.
/// - `Ok(None)` is absence. A failure is an `Err`, never `Ok(None)`: the gate answers them differently.
/// - A find that starts after a change was acknowledged sees the change. A store that caches cannot promise this; it
///   states the largest time by which it lags behind, which is how long a revoked key keeps opening.
///
/// # Wrappers
///
/// `&T`, `Box<T>` and `Arc<T>` forward; [`BoxedKeyStore`] is a form without type parameters.
///
/// # Security
///
/// The look-up is given the public id only. How long it takes may tell whether an id exists, which is no secret.
///
/// ```
/// use std::{collections::HashMap, convert::Infallible, sync::Arc};
/// use keygate::{KeyId, KeyRecord, KeyStore};
///
/// struct ReadOnly(HashMap<KeyId, Arc<KeyRecord>>);
///
/// impl KeyStore for ReadOnly {
///     type Error = Infallible;
///
///     async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Infallible> {
///         Ok(self.0.get(&id).cloned())
///     }
/// }
///
/// let store = ReadOnly(HashMap::new());
/// assert_eq!(pollster::block_on(store.find("wk59pfKL0jFi2YYv".parse()?))?, None);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub trait KeyStore: Send + Sync {
    /// Why a look-up failed.
    type Error: Error + Send + Sync + 'static;

    /// Finds the record of `id`.
    ///
    /// # Errors
    ///
    /// If the store could not be asked, or holds something that is no record.
    fn find(&self, id: KeyId) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, Self::Error>> + Send;

    /// Returns what [`find`](Self::find) would answer, where the store knows it without waiting: what is in memory.
    ///
    /// `None` says nothing of the key: it has to be looked up, which is the default. The whole contract of `find`
    /// holds for this answer, too. A wrapper that filters or counts what is found does it here as well, or keeps the
    /// default.
    fn find_now(&self, id: KeyId) -> Option<Option<Arc<KeyRecord>>> {
        let _ = id;
        None
    }

    /// As [`find`](Self::find), past every cache: what the store holds now.
    ///
    /// A store that remembers what it found overrides this, and so does a wrapper of one. It is asked where a decision
    /// cannot be taken back, such as that a leaked token ends its key.
    ///
    /// # Errors
    ///
    /// As `find`.
    fn find_current(&self, id: KeyId) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, Self::Error>> + Send {
        self.find(id)
    }
}

/// Changes keys, by narrow operations of which each is atomic.
///
/// There is no operation that saves a whole record: it would write back what somebody else changed in the meantime,
/// and that is how revoked keys come back.
///
/// # Contract
///
/// Each operation checks and changes in one atomic step. The outer `Result` is the store's own failure, after which
/// it is unknown whether the change took place; the inner one is the answer:
///
/// | operation | absent | active | disabled | revoked |
/// |---|---|---|---|---|
/// | `rename` | `Absent` | done, or `NameTaken` | done, or `NameTaken` | `Revoked` |
/// | `disable` | `Absent` | done | done, nothing changes | `Revoked` |
/// | `enable` | `Absent` | `NotDisabled` | done | `Revoked` |
/// | `revoke` | `Absent` | done | done | done, keeps the first time |
/// | `rotate` | `Absent` | done, or `Changed` | `Disabled` | `Revoked` |
/// | `end_overlap` | `Absent` | done | done | `Revoked` |
/// | `touch` | nothing changes | done | done | nothing changes |
///
/// An acknowledged change survives a crash of the service.
pub trait KeyManagementStore: KeyStore {
    /// Stores a new key.
    ///
    /// Answers [`Conflict::IdTaken`] if the id exists, and [`Conflict::NameTaken`] if a key of the same owner that is not
    /// revoked has the name; where both are so, the id comes first. It never replaces a record.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn insert(&self, new: NewKey) -> impl Future<Output = Result<Changed, Self::Error>> + Send;

    /// Gives a key another name; its own name is not taken.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn rename(&self, id: KeyId, name: KeyName) -> impl Future<Output = Result<Changed, Self::Error>> + Send;

    /// Sets a key aside.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn disable(&self, id: KeyId) -> impl Future<Output = Result<Changed, Self::Error>> + Send;

    /// Takes a disabled key into use again.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn enable(&self, id: KeyId) -> impl Future<Output = Result<Changed, Self::Error>> + Send;

    /// Ends a key for good, and returns when it was first ended.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn revoke(&self, id: KeyId, at: UnixTime) -> impl Future<Output = Result<Changed<UnixTime>, Self::Error>> + Send;

    /// Changes the secrets of an active key, if the current digest is still the expected one
    /// ([`Conflict::Changed`] otherwise).
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn rotate(&self, change: SecretChange) -> impl Future<Output = Result<Changed, Self::Error>> + Send;

    /// Forgets the previous secret, if there is one.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn end_overlap(&self, id: KeyId) -> impl Future<Output = Result<Changed, Self::Error>> + Send;

    /// Moves the last use forward to `used_at`, or to `now` if that is earlier; never backwards.
    ///
    /// Not an answer to anybody, so an absent or revoked key is no conflict.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn touch(
        &self,
        id: KeyId,
        used_at: UnixTime,
        now: UnixTime,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Lists keys, revoked ones included, by creation time and then by id.
    ///
    /// A key that exists during a whole walk over the pages is seen exactly once.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn list(&self, by: ListBy, page: PageRequest) -> impl Future<Output = Result<Page, Self::Error>> + Send;

    /// Ends all keys of an owner that are not revoked yet, in one step, and returns their ids in order.
    ///
    /// With [`Run::Dry`] nothing changes, and the ids are those that would be ended.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn revoke_all(
        &self,
        owner: Owner,
        at: UnixTime,
        run: Run,
    ) -> impl Future<Output = Result<Vec<KeyId>, Self::Error>> + Send;
}

/// Knows what users are in teams; asked only for personal keys, after the secret matched.
///
/// # Contract
///
/// The answer is what is so now. A cache in front of it bounds how long a removed user keeps access. A user who is not
/// known is [`Membership::Deprovisioned`], not an error, and so in every team, also in one that does not exist. A failure is answered with 503, never with access.
///
/// ```
/// use core::convert::Infallible;
/// use keygate::{Membership, Directory, TeamId, UserId};
///
/// /// A service without teams: who is known is a member.
/// struct Known(Vec<UserId>);
///
/// impl Directory for Known {
///     type Error = Infallible;
///
///     async fn membership(&self, user: UserId, _: TeamId) -> Result<Membership, Infallible> {
///         Ok(if self.0.contains(&user) { Membership::Member } else { Membership::Deprovisioned })
///     }
/// }
///
/// let known = Known(vec!["ada".parse()?]);
/// assert_eq!(pollster::block_on(known.membership("bob".parse()?, "all".parse()?))?, Membership::Deprovisioned);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub trait Directory: Send + Sync {
    /// Why a look-up failed.
    type Error: Error + Send + Sync + 'static;

    /// Returns what `user` is in `team`.
    ///
    /// # Errors
    ///
    /// If it could not be found out.
    fn membership(&self, user: UserId, team: TeamId) -> impl Future<Output = Result<Membership, Self::Error>> + Send;
}

/// What a store answers to a change: done, or why not.
pub type Changed<T = ()> = Result<T, Conflict>;

/// Why a store refused a change.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "a store must be able to answer each, and a caller to handle each")]
pub enum Conflict {
    /// There is no such key.
    #[error("there is no such key")]
    Absent,
    /// The current secret is no longer the one that the change was made for.
    #[error("the key was rotated in the meantime")]
    Changed,
    /// The key is disabled.
    #[error("the key is disabled")]
    Disabled,
    /// The id exists.
    #[error("the id is taken")]
    IdTaken,
    /// Another key of the owner has the name.
    #[error("another key of this owner has the name")]
    NameTaken,
    /// Only a disabled key can be enabled.
    #[error("the key is not disabled")]
    NotDisabled,
    /// The key is ended for good.
    #[error("the key is revoked")]
    Revoked,
}

impl Conflict {
    /// Returns the name used in logs, which is stable.
    ///
    /// ```
    /// assert_eq!(keygate::Conflict::NameTaken.as_str(), "name_taken");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Changed => "changed",
            Self::Disabled => "disabled",
            Self::IdTaken => "id_taken",
            Self::NameTaken => "name_taken",
            Self::NotDisabled => "not_disabled",
            Self::Revoked => "revoked",
        }
    }
}

/// Whose keys to list.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must carry out each")]
pub enum ListBy {
    /// The keys that somebody created.
    Creator(Creator),
    /// The keys that somebody owns.
    Owner(Owner),
}

impl ListBy {
    /// Returns `true` if `record` belongs in the list.
    #[must_use]
    pub fn includes(&self, record: &KeyRecord) -> bool {
        match self {
            Self::Creator(creator) => record.created_by() == creator,
            Self::Owner(owner) => record.grant().belongs_to(owner),
        }
    }
}

/// Which part of a list to return.
///
/// ```
/// use core::num::NonZeroU16;
/// use keygate::{ListBy, KeyManagementStore, MemoryStore, Owner, PageRequest};
///
/// # pollster::block_on(async {
/// let store = MemoryStore::new();
/// let owner = Owner::Team("core".parse()?);
/// let mut page = PageRequest { after: None, limit: NonZeroU16::MAX };
/// let mut seen = 0;
/// loop {
///     let part = store.list(ListBy::Owner(owner.clone()), page).await?;
///     seen += part.records.len();
///     let Some(next) = part.next else { break };
///     page.after = Some(next);
/// }
/// assert_eq!(seen, 0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a store must heed each field")]
pub struct PageRequest {
    /// Where the last page ended; nothing for the first.
    pub after: Option<Cursor>,
    /// The largest number of records to return.
    pub limit: NonZeroU16,
}

/// A place in a list: behind this key; as text, `created_at:id`, for the URL of the next page.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "the order of lists is part of the contract")]
pub struct Cursor {
    /// When the key was created.
    pub created_at: UnixTime,
    /// Its id.
    pub id: KeyId,
}

impl Cursor {
    /// Returns the place behind `record`.
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
#[expect(clippy::exhaustive_structs, reason = "a store must fill each field")]
pub struct Page {
    /// The records.
    pub records: Vec<Arc<KeyRecord>>,
    /// Where the next page begins; nothing if this was the last.
    pub next: Option<Cursor>,
}

/// Whether to change anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must heed each")]
pub enum Run {
    /// Only say what would change.
    Dry,
    /// Change it.
    Real,
}
