//! Stores without type parameters, for those who choose one at run time.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{error::Error, fmt, future::Future, pin::Pin};

use super::{Changed, Directory, KeyManagementStore, KeyStore, ListBy, Page, PageRequest, Run};
use crate::{
    grant::Owner,
    id::{KeyId, TeamId, UserId},
    membership::Membership,
    name::KeyName,
    record::{KeyRecord, NewKey, SecretChange},
    time::UnixTime,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// The failure of a boxed store; [`BoxError::source`](Error::source) returns the store's own.
#[derive(Debug, thiserror::Error)]
#[error("the store failed")]
pub struct BoxError(#[source] Box<dyn Error + Send + Sync>);

impl BoxError {
    fn new(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(source))
    }
}

/// Declares an object-safe twin of a store trait, and a cheaply cloned box that is a store again.
macro_rules! boxed {
    ($(#[$doc:meta])* $boxed:ident, $object:ident, $bound:ident, [$($store:ident {
        $(fn $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
        $(now fn $now:ident($now_argument:ident: $now_type:ty) -> $now_answer:ty;)?
    })*]) => {
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

        trait $object: Send + Sync {
            $($(fn $method(&self, $($argument: $type),*) -> BoxFuture<'_, $answer>;)*
            $(fn $now(&self, $now_argument: $now_type) -> $now_answer;)?)*
        }

        impl<S: $bound> $object for S {
            $($(fn $method(&self, $($argument: $type),*) -> BoxFuture<'_, $answer> {
                Box::pin(async move { $store::$method(self, $($argument),*).await.map_err(BoxError::new) })
            })*
            $(fn $now(&self, $now_argument: $now_type) -> $now_answer {
                $store::$now(self, $now_argument)
            })?)*
        }

        $(impl $store for $boxed {
            boxed!(@error $store);

            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer, BoxError> {
                (*self.0).$method($($argument),*).await
            })*
            $(fn $now(&self, $now_argument: $now_type) -> $now_answer {
                (*self.0).$now($now_argument)
            })?
        })*
    };
    (@error KeyStore) => { type Error = BoxError; };
    (@error KeyManagementStore) => {};
    (@error Directory) => { type Error = BoxError; };
}

boxed! {
    /// Any [`KeyStore`], its type hidden.
    ///
    /// ```
    /// use keygate::{BoxedKeyStore, KeyStore, MemoryStore};
    ///
    /// let stores: Vec<BoxedKeyStore> = vec![BoxedKeyStore::new(MemoryStore::new())];
    /// let found = pollster::block_on(stores[0].find("wk59pfKL0jFi2YYv".parse()?))?;
    /// assert_eq!(found, None);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    BoxedKeyStore, ObjectKeyStore, KeyStore, [
        KeyStore {
            fn find(id: KeyId) -> Option<Arc<KeyRecord>>;
            fn find_current(id: KeyId) -> Option<Arc<KeyRecord>>;
            now fn find_now(id: KeyId) -> Option<Option<Arc<KeyRecord>>>;
        }
    ]
}

boxed! {
    /// Any [`KeyManagementStore`], its type hidden.
    ///
    /// ```
    /// use keygate::{BoxedKeyManagementStore, KeyManagementStore, MemoryStore, Conflict};
    ///
    /// let store = BoxedKeyManagementStore::new(MemoryStore::new());
    /// let answer = pollster::block_on(store.disable("wk59pfKL0jFi2YYv".parse()?))?;
    /// assert_eq!(answer, Err(Conflict::Absent));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    BoxedKeyManagementStore, ObjectKeyManagementStore, KeyManagementStore, [
        KeyStore {
            fn find(id: KeyId) -> Option<Arc<KeyRecord>>;
            fn find_current(id: KeyId) -> Option<Arc<KeyRecord>>;
            now fn find_now(id: KeyId) -> Option<Option<Arc<KeyRecord>>>;
        }
        KeyManagementStore {
            fn insert(new: NewKey) -> Changed;
            fn rename(id: KeyId, name: KeyName) -> Changed;
            fn disable(id: KeyId) -> Changed;
            fn enable(id: KeyId) -> Changed;
            fn revoke(id: KeyId, at: UnixTime) -> Changed<UnixTime>;
            fn rotate(change: SecretChange) -> Changed;
            fn end_overlap(id: KeyId) -> Changed;
            fn touch(id: KeyId, used_at: UnixTime, now: UnixTime) -> ();
            fn list(by: ListBy, page: PageRequest) -> Page;
            fn revoke_all(owner: Owner, at: UnixTime, run: Run) -> Vec<KeyId>;
        }
    ]
}

boxed! {
    /// Any [`Directory`], its type hidden.
    ///
    /// ```
    /// use keygate::{BoxedDirectory, MemoryDirectory, Membership, Directory};
    ///
    /// let directory = BoxedDirectory::new(MemoryDirectory::new());
    /// let membership = pollster::block_on(directory.membership("ada".parse()?, "core".parse()?))?;
    /// assert_eq!(membership, Membership::Deprovisioned);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    BoxedDirectory, ObjectDirectory, Directory, [
        Directory {
            fn membership(user: UserId, team: TeamId) -> Membership;
        }
    ]
}
