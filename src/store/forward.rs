//! `&T`, `Box<T>` and `Arc<T>` are stores where `T` is one.
#![deny(clippy::missing_trait_methods)]

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use super::{Changed, Directory, KeyManagementStore, KeyStore, ListBy, Page, PageRequest, Run};
use crate::{
    grant::Owner,
    id::{KeyId, TeamId, UserId},
    membership::Membership,
    name::KeyName,
    record::{KeyRecord, NewKey, SecretChange},
    time::UnixTime,
};

macro_rules! forward {
    ($pointer:ty) => {
        impl<T: KeyStore + ?Sized> KeyStore for $pointer {
            type Error = T::Error;

            async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, T::Error> {
                (**self).find(id).await
            }

            fn find_now(&self, id: KeyId) -> Option<Option<Arc<KeyRecord>>> {
                (**self).find_now(id)
            }

            async fn find_current(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, T::Error> {
                (**self).find_current(id).await
            }
        }

        impl<T: KeyManagementStore + ?Sized> KeyManagementStore for $pointer {
            async fn insert(&self, new: NewKey) -> Result<Changed, T::Error> {
                (**self).insert(new).await
            }

            async fn rename(&self, id: KeyId, name: KeyName) -> Result<Changed, T::Error> {
                (**self).rename(id, name).await
            }

            async fn disable(&self, id: KeyId) -> Result<Changed, T::Error> {
                (**self).disable(id).await
            }

            async fn enable(&self, id: KeyId) -> Result<Changed, T::Error> {
                (**self).enable(id).await
            }

            async fn revoke(&self, id: KeyId, at: UnixTime) -> Result<Changed<UnixTime>, T::Error> {
                (**self).revoke(id, at).await
            }

            async fn rotate(&self, change: SecretChange) -> Result<Changed, T::Error> {
                (**self).rotate(change).await
            }

            async fn end_overlap(&self, id: KeyId) -> Result<Changed, T::Error> {
                (**self).end_overlap(id).await
            }

            async fn touch(&self, id: KeyId, used_at: UnixTime, now: UnixTime) -> Result<(), T::Error> {
                (**self).touch(id, used_at, now).await
            }

            async fn list(&self, by: ListBy, page: PageRequest) -> Result<Page, T::Error> {
                (**self).list(by, page).await
            }

            async fn revoke_all(&self, owner: Owner, at: UnixTime, run: Run) -> Result<Vec<KeyId>, T::Error> {
                (**self).revoke_all(owner, at, run).await
            }
        }

        impl<T: Directory + ?Sized> Directory for $pointer {
            type Error = T::Error;

            async fn membership(&self, user: UserId, team: TeamId) -> Result<Membership, T::Error> {
                (**self).membership(user, team).await
            }
        }
    };
}

forward!(&T);
forward!(Arc<T>);
forward!(Box<T>);
