//! A store that says it did what it did not: nobody waits for ever, and nobody gets a token that opens nothing.

use keygate::store::{Batch, KeyChange, Logged, NewKey, RevokeAll};

use super::*;

/// Answers that there was nothing to change, and that there are always more keys to revoke.
struct Lazy(MemoryStore);

impl KeyStore for Lazy {
    type Error = Infallible;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.0.find(id).await
    }
}

impl KeyManagementStore for Lazy {
    type Receipt = Logged;

    async fn insert(&self, new: NewKey) -> Result<Result<Logged, Conflict>, Infallible> {
        self.0.insert(new).await
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<Logged>, Infallible> {
        Ok(Answer::Unchanged(self.0.find(change.id()).await?.unwrap()))
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), Infallible> {
        self.0.touch(touches, now).await
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, Infallible> {
        self.0.list(keys_of, query).await
    }

    async fn revoke_all(&self, _: RevokeAll) -> Result<Batch<Logged>, Infallible> {
        Ok(Batch::new(Vec::new(), true, Logged))
    }
}

#[test]
fn a_batch_that_revokes_nothing_is_not_asked_for_again() {
    let keys = KeyManager::new(KG, Lazy(MemoryStore::new()));
    let owner = Owner::Team(text("core"));
    let refused = block_on(keys.revoke_all(&root(), owner, REQUESTED));
    assert_eq!(refused.unwrap_err(), ManageError::Conflict(Conflict::Changed));
}

#[test]
fn a_secret_that_is_not_stored_has_no_token() {
    let keys = KeyManager::new(KG, Lazy(MemoryStore::new()));
    let spec = NewKeySpec::new(team("core", full("all")), text("batch"), Validity::NEVER_EXPIRES);
    let id = block_on(keys.create(&system(), spec)).unwrap().token.id();
    let refused = block_on(keys.rotate(&system(), id, START));
    assert_eq!(refused.unwrap_err(), ManageError::Conflict(Conflict::Changed));
}
