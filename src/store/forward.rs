//! `&T`, `Box<T>` and `Arc<T>` are stores if `T` is one.
#![deny(clippy::missing_trait_methods)]

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use super::{
    Answer, Batch, ChangeFeed, Changes, Conflict, Directory, KeyChange, KeyManagementStore, KeyStore, KeysOf,
    ListQuery, NewKey, Page, Revision, RevokeAll, Touch,
};
use crate::{
    id::{KeyId, TeamId, UserId},
    membership::{Membership, UserStatus},
    record::KeyRecord,
    time::UnixTime,
};

macro_rules! forward {
    ($pointer:ty) => {
        impl<T: KeyStore + ?Sized> KeyStore for $pointer {
            type Error = T::Error;

            async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, T::Error> {
                (**self).find(id).await
            }
        }

        impl<T: KeyManagementStore + ?Sized> KeyManagementStore for $pointer {
            type Receipt = T::Receipt;

            async fn insert(&self, new: NewKey) -> Result<Result<T::Receipt, Conflict>, T::Error> {
                (**self).insert(new).await
            }

            async fn change(&self, change: KeyChange) -> Result<Answer<T::Receipt>, T::Error> {
                (**self).change(change).await
            }

            async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), T::Error> {
                (**self).touch(touches, now).await
            }

            async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, T::Error> {
                (**self).list(keys_of, query).await
            }

            async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<T::Receipt>, T::Error> {
                (**self).revoke_all(revoke).await
            }
        }

        impl<T: ChangeFeed + ?Sized> ChangeFeed for $pointer {
            async fn changes_since(&self, since: Option<Revision>) -> Result<Changes, T::Error> {
                (**self).changes_since(since).await
            }
        }

        impl<T: Directory + ?Sized> Directory for $pointer {
            type Error = T::Error;

            async fn user(&self, user: &UserId) -> Result<UserStatus, T::Error> {
                (**self).user(user).await
            }

            async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, T::Error> {
                (**self).membership(user, team).await
            }
        }
    };
}

forward!(&T);
forward!(Arc<T>);
forward!(Box<T>);
