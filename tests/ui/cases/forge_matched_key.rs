//! Only `verify` makes a verified key.
use std::sync::Arc;

use keygate::{KeyRecord, SecretSlot, MatchedKey};

fn forge(record: Arc<KeyRecord>) -> MatchedKey {
    MatchedKey { record, slot: SecretSlot::Current, of_text: None }
}

fn main() {}
