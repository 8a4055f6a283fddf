//! Only `verify` makes a verified key.
use std::sync::Arc;

use keygate::{KeyRecord, Slot, VerifiedKey};

fn forge(record: Arc<KeyRecord>) -> VerifiedKey {
    VerifiedKey { record, slot: Slot::Current, of_text: None }
}

fn main() {}
