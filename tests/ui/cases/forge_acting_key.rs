//! A key acts for itself after it was authenticated: a record, or a key that only matched, acts for nobody.
use std::sync::Arc;

use keygate::{ActingKey, Actor, KeyRecord, verify::MatchedKey};

fn of_match(key: MatchedKey) -> Actor {
    Actor::Key(ActingKey(key))
}

fn of_record(record: Arc<KeyRecord>) -> Actor {
    Actor::Key(record)
}

fn main() {}
