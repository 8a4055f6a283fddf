//! A manager reads no cache: it takes the store behind one.
use core::time::Duration;

use keygate::{CachedStore, Issuer, KeyManager, MemoryStore};

fn main() {
    let cache = CachedStore::new(MemoryStore::new(), Duration::from_secs(5));
    let _ = KeyManager::new(Issuer::from_static("acme"), cache);
}
