//! A permit allows one operation: who may rename a key may not revoke it by that.
use keygate::{KeyManager, MemoryStore, Permit, Rename, UnixTime};

async fn revoke(manager: &KeyManager<MemoryStore>, permit: Permit<Rename>, now: UnixTime) {
    let _ = manager.revoke(permit, now).await;
}

fn main() {}
