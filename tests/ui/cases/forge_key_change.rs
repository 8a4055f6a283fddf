//! Only a permit makes a change, for the key that it was given for.
use keygate::{KeyId, store::KeyChange};

fn of_another_key(change: KeyChange, id: KeyId) -> KeyChange {
    KeyChange { id, ..change }
}

fn main() {}
