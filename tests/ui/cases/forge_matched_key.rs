//! Only `verify` makes a matched key.
use std::sync::Arc;

use keygate::{KeyRecord, store::SecretSlot, verify::MatchedKey};

fn forge(record: Arc<KeyRecord>) -> MatchedKey {
    MatchedKey { record, slot: SecretSlot::Current, of_text: None }
}

fn main() {}
