//! A store takes new keys only: a record that was found cannot be written back.
use keygate::{KeyRecord, MemoryStore, store::KeyManagementStore};

async fn save(store: &MemoryStore, record: KeyRecord) {
    let _ = store.insert(record).await;
}

fn main() {}
