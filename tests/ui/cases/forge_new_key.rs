//! Only a permit makes a new key.
use keygate::{KeyRecord, NewKey};

fn forge(record: KeyRecord) -> NewKey {
    NewKey(record)
}

fn main() {}
