//! The store under test, whose failures are violations.

use alloc::{sync::Arc, vec::Vec};

use super::report::{Outcome, Violation};
use crate::{
    grant::Owner,
    id::KeyId,
    name::KeyName,
    record::{KeyRecord, NewKey, RecordParts, SecretChange},
    store::{BoxedKeyManagementStore, Changed, KeyManagementStore as _, KeyStore as _, ListBy, Page, PageRequest, Run},
    time::UnixTime,
};

#[derive(Clone)]
pub(super) struct Subject(BoxedKeyManagementStore);

/// Passes operations on; the outer error becomes a violation that names the operation.
macro_rules! ask {
    ($(fn $operation:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(pub(super) async fn $operation(&self, $($argument: $type),*) -> Outcome<$answer> {
            let answer = self.0.$operation($($argument),*).await;
            answer.map_err(|error| Violation::failure(stringify!($operation), &error))
        })*
    };
}

impl Subject {
    pub(super) const fn new(store: BoxedKeyManagementStore) -> Self {
        Self(store)
    }

    pub(super) async fn find(&self, id: KeyId) -> Outcome<Option<RecordParts>> {
        let found = self.0.find(id).await.map_err(|error| Violation::failure("find", &error))?;
        Ok(found.map(parts))
    }

    pub(super) async fn find_current(&self, id: KeyId) -> Outcome<Option<RecordParts>> {
        let found = self.0.find_current(id).await.map_err(|error| Violation::failure("find_current", &error))?;
        Ok(found.map(parts))
    }

    pub(super) fn find_now(&self, id: KeyId) -> Option<Option<RecordParts>> {
        self.0.find_now(id).map(|known| known.map(parts))
    }

    ask! {
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
}

fn parts(record: Arc<KeyRecord>) -> RecordParts {
    Arc::unwrap_or_clone(record).into()
}
