//! Looking keys up, in a store or in a cache.

use alloc::{boxed::Box, sync::Arc};
use core::future::Future;

use super::KeyStore;
use crate::{id::KeyId, record::KeyRecord};

/// Looks keys up for a gate: a [`KeyStore`], or a cache in front of one.
///
/// Every [`KeyStore`] is one for free, as `KeyLookup<Current>`. A cache implements `KeyLookup<Remembered>` instead,
/// because it cannot promise current answers. So a plain store stays one method, a cache is no `KeyStore`, and code
/// that must not read from a cache asks for a `KeyStore` by type. Calls infer the parameter; a type that you write out
/// names it: `Gate<CachedStore<Store>, Directory, Remembered>`.
///
/// ```
/// use keygate::{CachedStore, MemoryStore, store::{Current, KeyLookup, KeyStore, Remembered}};
/// use core::time::Duration;
///
/// fn never_stale<S: KeyStore>(_: &S) {}
/// fn may_be_stale<M, L: KeyLookup<M>>(_: &L) {}
///
/// let store = MemoryStore::new();
/// never_stale(&store);
/// may_be_stale(&store);
/// may_be_stale(&CachedStore::new(store, Duration::from_secs(5)));
/// ```
///
/// ```compile_fail
/// use keygate::{CachedStore, MemoryStore, store::KeyStore};
/// use core::time::Duration;
///
/// fn never_stale<S: KeyStore>(_: &S) {}
///
/// never_stale(&CachedStore::new(MemoryStore::new(), Duration::from_secs(5)));
/// ```
pub trait KeyLookup<M>: Send + Sync {
    /// Why a look-up failed.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Looks a key up like [`KeyStore::find`]; the answer may be as old as the bound of the cache.
    ///
    /// # Errors
    ///
    /// If the store could not be asked.
    fn look_up(&self, id: KeyId) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, Self::Error>> + Send;

    /// Looks a key up past every cache.
    ///
    /// # Errors
    ///
    /// If the store could not be asked.
    fn look_up_current(&self, id: KeyId) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, Self::Error>> + Send;

    /// Looks again at a record that did not match a secret: the record may be older than the secret.
    ///
    /// # Errors
    ///
    /// If the store could not be asked.
    fn look_again(&self, seen: &Arc<KeyRecord>) -> impl Future<Output = Result<SecondLook, Self::Error>> + Send;
}

/// The answers are current: the parameter of [`KeyLookup`] for stores.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a name for types, without values")]
pub enum Current {}

/// The answers may come from memory: the parameter of [`KeyLookup`] for caches.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a name for types, without values")]
pub enum Remembered {}

/// The result of a second look at a key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a gate must heed each")]
pub enum SecondLook {
    /// The record as it is now, or `None` if there is none any more.
    Found(Option<Arc<KeyRecord>>),
    /// The record that was seen is current already.
    NothingNewer,
}

impl<S: KeyStore> KeyLookup<Current> for S {
    type Error = S::Error;

    async fn look_up(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, S::Error> {
        self.find(id).await
    }

    async fn look_up_current(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, S::Error> {
        self.find(id).await
    }

    async fn look_again(&self, _: &Arc<KeyRecord>) -> Result<SecondLook, S::Error> {
        Ok(SecondLook::NothingNewer)
    }
}

macro_rules! forward {
    ($pointer:ty) => {
        impl<T: KeyLookup<Remembered> + ?Sized> KeyLookup<Remembered> for $pointer {
            type Error = T::Error;

            async fn look_up(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, T::Error> {
                (**self).look_up(id).await
            }

            async fn look_up_current(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, T::Error> {
                (**self).look_up_current(id).await
            }

            async fn look_again(&self, seen: &Arc<KeyRecord>) -> Result<SecondLook, T::Error> {
                (**self).look_again(seen).await
            }
        }
    };
}

forward!(&T);
forward!(Arc<T>);
forward!(Box<T>);
