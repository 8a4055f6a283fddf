//! Stores without type parameters, for services that choose one at run time.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{error::Error, fmt, future::Future, pin::Pin};

use super::{
    Answer, Batch, BoxedReceipt, Conflict, Directory, KeyChange, KeyManagementStore, KeyStore, KeysOf, ListQuery,
    NewKey, Page, RevokeAll, Touch,
};
use crate::{
    id::{KeyId, TeamId, UserId},
    membership::{Membership, UserStatus},
    record::KeyRecord,
    time::UnixTime,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxedError>> + Send + 'a>>;
type Found = Option<Arc<KeyRecord>>;

/// The failure of a boxed store or directory; [`BoxedError::source`](Error::source) returns the store's own.
#[derive(Debug, thiserror::Error)]
#[error("the store or directory failed")]
pub struct BoxedError(#[source] Box<dyn Error + Send + Sync>);

impl BoxedError {
    fn new(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(source))
    }
}

/// Declares a cheaply cloned box around an object-safe twin of a trait.
macro_rules! boxed {
    ($(#[$doc:meta])* $boxed:ident, $object:ident, $bound:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $boxed(Arc<dyn $object>);

        impl $boxed {
            /// Hides the type of `store`.
            pub fn new(store: impl $bound + 'static) -> Self {
                Self(Arc::new(store))
            }
        }

        impl fmt::Debug for $boxed {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($boxed)).finish_non_exhaustive()
            }
        }
    };
}

boxed! {
    /// Any [`KeyStore`], with its type hidden.
    ///
    /// ```
    /// use keygate::{MemoryStore, store::{BoxedKeyStore, KeyStore}};
    ///
    /// let stores: Vec<BoxedKeyStore> = vec![BoxedKeyStore::new(MemoryStore::new())];
    /// let found = pollster::block_on(stores[0].find("wk59pfKL0jFi2YYv".parse()?))?;
    /// assert_eq!(found, None);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    BoxedKeyStore, ObjectKeyStore, KeyStore
}

trait ObjectKeyStore: Send + Sync {
    fn find_boxed(&self, id: KeyId) -> BoxFuture<'_, Found>;
}

impl<S: KeyStore> ObjectKeyStore for S {
    fn find_boxed(&self, id: KeyId) -> BoxFuture<'_, Found> {
        Box::pin(async move { self.find(id).await.map_err(BoxedError::new) })
    }
}

impl KeyStore for BoxedKeyStore {
    type Error = BoxedError;

    async fn find(&self, id: KeyId) -> Result<Found, BoxedError> {
        self.0.find_boxed(id).await
    }
}

boxed! {
    /// Any [`KeyManagementStore`], with its type hidden, and thereby also whether it keeps a log.
    ///
    /// ```
    /// use keygate::{MemoryStore, store::{BoxedKeyManagementStore, KeyManagementStore, KeysOf, ListQuery}};
    ///
    /// let store = BoxedKeyManagementStore::new(MemoryStore::new());
    /// let page = pollster::block_on(store.list(KeysOf::All, ListQuery::new()))?;
    /// assert_eq!(page.records, []);
    /// # Ok::<(), keygate::store::BoxedError>(())
    /// ```
    BoxedKeyManagementStore, ObjectKeyManagementStore, KeyManagementStore
}

trait ObjectKeyManagementStore: ObjectKeyStore {
    fn insert_boxed(&self, new: NewKey) -> BoxFuture<'_, Result<BoxedReceipt, Conflict>>;
    fn change_boxed(&self, change: KeyChange) -> BoxFuture<'_, Answer<BoxedReceipt>>;
    fn touch_boxed(&self, touches: Vec<Touch>, now: UnixTime) -> BoxFuture<'_, ()>;
    fn list_boxed(&self, keys_of: KeysOf, query: ListQuery) -> BoxFuture<'_, Page>;
    fn revoke_all_boxed(&self, revoke: RevokeAll) -> BoxFuture<'_, Batch<BoxedReceipt>>;
}

impl<S: KeyManagementStore> ObjectKeyManagementStore for S {
    fn insert_boxed(&self, new: NewKey) -> BoxFuture<'_, Result<BoxedReceipt, Conflict>> {
        Box::pin(async move {
            let answer = self.insert(new).await.map_err(BoxedError::new)?;
            Ok(answer.map(BoxedReceipt::of))
        })
    }

    fn change_boxed(&self, change: KeyChange) -> BoxFuture<'_, Answer<BoxedReceipt>> {
        Box::pin(async move {
            Ok(match self.change(change).await.map_err(BoxedError::new)? {
                Answer::Changed(receipt) => Answer::Changed(BoxedReceipt::of(receipt)),
                Answer::Refused(conflict) => Answer::Refused(conflict),
                Answer::Unchanged(record) => Answer::Unchanged(record),
            })
        })
    }

    fn touch_boxed(&self, touches: Vec<Touch>, now: UnixTime) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.touch(touches, now).await.map_err(BoxedError::new) })
    }

    fn list_boxed(&self, keys_of: KeysOf, query: ListQuery) -> BoxFuture<'_, Page> {
        Box::pin(async move { self.list(keys_of, query).await.map_err(BoxedError::new) })
    }

    fn revoke_all_boxed(&self, revoke: RevokeAll) -> BoxFuture<'_, Batch<BoxedReceipt>> {
        Box::pin(async move {
            let Batch { ids, has_more, receipt } = self.revoke_all(revoke).await.map_err(BoxedError::new)?;
            Ok(Batch { ids, has_more, receipt: BoxedReceipt::of(receipt) })
        })
    }
}

impl KeyStore for BoxedKeyManagementStore {
    type Error = BoxedError;

    async fn find(&self, id: KeyId) -> Result<Found, BoxedError> {
        self.0.find_boxed(id).await
    }
}

impl KeyManagementStore for BoxedKeyManagementStore {
    type Receipt = BoxedReceipt;

    async fn insert(&self, new: NewKey) -> Result<Result<BoxedReceipt, Conflict>, BoxedError> {
        self.0.insert_boxed(new).await
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<BoxedReceipt>, BoxedError> {
        self.0.change_boxed(change).await
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), BoxedError> {
        self.0.touch_boxed(touches, now).await
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, BoxedError> {
        self.0.list_boxed(keys_of, query).await
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<BoxedReceipt>, BoxedError> {
        self.0.revoke_all_boxed(revoke).await
    }
}

boxed! {
    /// Any [`Directory`], with its type hidden.
    ///
    /// ```
    /// use keygate::{MemoryDirectory, UserStatus, store::{BoxedDirectory, Directory}};
    ///
    /// let directory = BoxedDirectory::new(MemoryDirectory::new());
    /// let status = pollster::block_on(directory.user(&"ada".parse()?))?;
    /// assert_eq!(status, UserStatus::Deprovisioned);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    BoxedDirectory, ObjectDirectory, Directory
}

trait ObjectDirectory: Send + Sync {
    fn user_boxed<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, UserStatus>;
    fn membership_boxed<'a>(&'a self, user: &'a UserId, team: &'a TeamId) -> BoxFuture<'a, Membership>;
}

impl<D: Directory> ObjectDirectory for D {
    fn user_boxed<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, UserStatus> {
        Box::pin(async move { self.user(user).await.map_err(BoxedError::new) })
    }

    fn membership_boxed<'a>(&'a self, user: &'a UserId, team: &'a TeamId) -> BoxFuture<'a, Membership> {
        Box::pin(async move { self.membership(user, team).await.map_err(BoxedError::new) })
    }
}

impl Directory for BoxedDirectory {
    type Error = BoxedError;

    async fn user(&self, user: &UserId) -> Result<UserStatus, BoxedError> {
        self.0.user_boxed(user).await
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, BoxedError> {
        self.0.membership_boxed(user, team).await
    }
}
