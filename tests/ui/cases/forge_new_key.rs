//! Only a permit makes a new key, and its event with it.
use keygate::{KeyRecord, audit::Event, store::NewKey};

fn forge(record: KeyRecord, event: Event) -> NewKey {
    NewKey { record, event }
}

fn main() {}
