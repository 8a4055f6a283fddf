//! The contract of a store of keys.
//!
//! A verifying service needs [`KeyStore`]: find by id. Managing keys needs [`KeyManagementStore`] as well, personal
//! keys need a [`Directory`], and caches on several nodes follow a [`ChangeFeed`]. A store never sees a token: nothing
//! here can name one.
//!
//! [`MemoryStore`](crate::MemoryStore) (feature `memory`) is for tests and small services; `conformance` (feature
//! `conformance`) is the suite that every store must pass.

use alloc::{sync::Arc, vec::Vec};
use core::{error::Error, future::Future};

use crate::{
    id::{KeyId, TeamId, UserId},
    membership::{Membership, UserStatus},
    record::KeyRecord,
    time::UnixTime,
};

mod change;
mod dynamic;
mod feed;
mod forward;
mod list;
mod lookup;
#[cfg(feature = "memory")]
pub(crate) mod memory;

#[cfg(feature = "conformance")]
pub mod conformance;

pub(crate) use change::Operation;
pub use change::{
    Answer, Batch, BoxedReceipt, Conflict, KeyChange, Logged, NewKey, NotLogged, PreviousChange, Receipt, RecordUpdate,
    RevokeAll, SecretChange, Step, Touch,
};
pub use dynamic::{BoxedDirectory, BoxedError, BoxedKeyManagementStore, BoxedKeyStore};
pub use feed::{ChangeFeed, Changes, Revision};
pub use list::{Cursor, InvalidCursor, KeyFilter, KeysOf, ListQuery, Page, StatusFilter};
pub use lookup::{Current, KeyLookup, Remembered, SecondLook};

pub use crate::{
    digest::{DigestAlgorithm, InvalidDigest, SecretDigest},
    grant::{InvalidPermission, PermissionParts},
    record::{
        Creator, InvalidCreator, InvalidRecord, InvalidStatus, PreviousSecret, RecordParts, SecretSlot, UnknownCause,
        UnknownSlot,
    },
};

/// Finds keys: the only trait that a verifying service needs of its store.
///
/// # Contract
///
/// - Ids are compared byte by byte; a collation that ignores case is a defect.
/// - `Ok(None)` is absence. A failure is an `Err`, never `Ok(None)`: the gate answers them differently.
/// - A found record is current: a find that starts after an acknowledged change sees the change. A store that answers
///   from memory cannot promise this; it implements [`KeyLookup<Remembered>`](KeyLookup) instead.
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
/// use keygate::{KeyId, KeyRecord, store::KeyStore};
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
}

/// Changes keys, by narrow operations, each atomic and each one with its audit event.
///
/// There is no operation that saves a whole record: it would write back what somebody else changed in the meantime,
/// and that is how revoked keys come back.
///
/// # Contract
///
/// Each operation checks and changes in one atomic step. An `Err` is the store's own failure, after which it is unknown
/// whether the change took place. [`KeyChange::apply`] is the table of outcomes:
///
/// | operation | absent | active | disabled | revoked |
/// |---|---|---|---|---|
/// | rename | `Absent` | changed, unchanged, or `NameTaken` | changed, unchanged, or `NameTaken` | `Revoked` |
/// | set labels | `Absent` | changed, or unchanged | changed, or unchanged | `Revoked` |
/// | disable | `Absent` | changed | unchanged | `Revoked` |
/// | enable | `Absent` | `NotDisabled` | changed | `Revoked` |
/// | revoke | `Absent` | changed | changed | unchanged: keeps the first time and cause |
/// | rotate | `Absent` | changed, or `Changed` | `Disabled` | `Revoked` |
/// | end overlap | `Absent` | changed, unchanged, or `Changed` | changed, unchanged, or `Changed` | `Revoked` |
/// | upgrade a legacy key | `Absent` | changed, or `Changed` | `Disabled` | `Revoked` |
/// | revoke a leaked key | `Absent` | changed, or `Changed` | changed, or `Changed` | unchanged |
/// | touch | nothing changes | changed | changed | nothing changes |
///
/// - **A change and its event are one.** A store that keeps a log writes both in one transaction: wherever the caller
///   stops waiting, the process is killed or the answer is lost, either both are there or neither is. A call
///   that changes nothing has no event. A store without a log hands the events back, as its
///   [`KeyManagementStore::Receipt`] says.
/// - An acknowledged change survives a crash of the service.
pub trait KeyManagementStore: KeyStore {
    /// [`Logged`] if the store keeps the events, [`NotLogged`] if it does not.
    type Receipt: Receipt;

    /// Stores a new key and its event.
    ///
    /// Answers [`Conflict::IdTaken`] if the id exists, and [`Conflict::NameTaken`] if a key of the same owner that is
    /// not revoked has the name; if both apply, the id comes first. It never replaces a record.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn insert(&self, new: NewKey) -> impl Future<Output = Result<Result<Self::Receipt, Conflict>, Self::Error>> + Send;

    /// Changes a key as [`KeyChange::apply`] says, and stores the event.
    ///
    /// Answers [`Conflict::NameTaken`] to a rename if another key of the owner that is not revoked has the name.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn change(&self, change: KeyChange) -> impl Future<Output = Result<Answer<Self::Receipt>, Self::Error>> + Send;

    /// Moves the last uses of keys forward, as [`Touch::applied_to`] says: never backwards, never past `now`.
    ///
    /// Nobody waits for its answer, so an absent or revoked key is no refusal. It moves no revision of a feed, and has
    /// no event.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Lists keys, revoked ones included unless the filter leaves them out, by creation time and then by id.
    ///
    /// A key that is on the list during a whole walk over the pages is seen exactly once.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn list(&self, keys_of: KeysOf, query: ListQuery) -> impl Future<Output = Result<Page, Self::Error>> + Send;

    /// Revokes keys of an owner that are not revoked yet, at most [`RevokeAll::limit`] in one atomic step, each with
    /// its event.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn revoke_all(&self, revoke: RevokeAll) -> impl Future<Output = Result<Batch<Self::Receipt>, Self::Error>> + Send;
}

/// Knows the users and their teams; asked only for personal keys, and for managing.
///
/// # Contract
///
/// The answer is current. A cache in front of it bounds how long a removed user keeps access. An unknown user is
/// deprovisioned, which is not an error: in every team, including teams that do not exist. A failure is answered with
/// 503, never with access.
///
/// A directory that counts [incarnations](crate::Incarnation) gives a user who comes back another one, so that no old
/// key of theirs opens.
///
/// ```
/// use core::convert::Infallible;
/// use keygate::{Membership, TeamId, TeamRole, UserId, UserStatus, store::Directory};
///
/// /// A service without teams: each known user is a member.
/// struct Known(Vec<UserId>);
///
/// impl Directory for Known {
///     type Error = Infallible;
///
///     async fn user(&self, user: &UserId) -> Result<UserStatus, Infallible> {
///         Ok(if self.0.contains(user) { UserStatus::active() } else { UserStatus::Deprovisioned })
///     }
///
///     async fn membership(&self, user: &UserId, _: &TeamId) -> Result<Membership, Infallible> {
///         Ok(if self.0.contains(user) { TeamRole::Member } else { TeamRole::Deprovisioned }.into())
///     }
/// }
///
/// let known = Known(vec!["ada".parse()?]);
/// assert_eq!(pollster::block_on(known.user(&"bob".parse()?))?, UserStatus::Deprovisioned);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub trait Directory: Send + Sync {
    /// Why a look-up failed.
    type Error: Error + Send + Sync + 'static;

    /// Returns whether `user` is a user.
    ///
    /// # Errors
    ///
    /// If it could not be found out.
    fn user(&self, user: &UserId) -> impl Future<Output = Result<UserStatus, Self::Error>> + Send;

    /// Returns what `user` is in `team`.
    ///
    /// # Errors
    ///
    /// If it could not be found out.
    fn membership(&self, user: &UserId, team: &TeamId) -> impl Future<Output = Result<Membership, Self::Error>> + Send;
}

/// A directory without users: every user is deprovisioned, so there are team keys only.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it knows nothing")]
pub struct NoDirectory;

impl Directory for NoDirectory {
    type Error = core::convert::Infallible;

    async fn user(&self, _: &UserId) -> Result<UserStatus, Self::Error> {
        Ok(UserStatus::Deprovisioned)
    }

    async fn membership(&self, _: &UserId, _: &TeamId) -> Result<Membership, Self::Error> {
        Ok(UserStatus::Deprovisioned.into())
    }
}
