//! Only `verify` makes a matched key.
use std::sync::Arc;

use keygate::{KeyRecord, UnixTime, store::SecretSlot, verify::MatchedKey};

fn forge(record: Arc<KeyRecord>) -> MatchedKey {
    MatchedKey { record, slot: SecretSlot::Current, matched_at: UnixTime::MIN, of_text: None }
}

fn main() {}
