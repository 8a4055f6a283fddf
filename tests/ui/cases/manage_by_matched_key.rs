//! Who acts on keys is the system, a user, or a key that was authenticated: a manager takes nothing less.
use keygate::{KeyId, KeyManager, MemoryStore, RevocationCause, verify::MatchedKey};

async fn revoke(keys: &KeyManager<MemoryStore>, key: &MatchedKey, id: KeyId) {
    let _ = keys.revoke(key, id, RevocationCause::Requested).await;
}

fn main() {}
