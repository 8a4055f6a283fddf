//! A permit is used up by the operation that it allows.
use keygate::{KeyManager, MemoryStore, Permit, Revoke, UnixTime};

async fn revoke(manager: &KeyManager<MemoryStore>, permit: Permit<Revoke>, now: UnixTime) {
    let _ = manager.revoke(permit, now).await;
    let _ = manager.revoke(permit, now).await;
}

fn main() {}
