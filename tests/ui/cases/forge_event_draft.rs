//! Only a manager makes the draft of an event: nobody says for another who did something.
use keygate::{
    UnixTime,
    audit::{EventDraft, EventId, Principal},
};

fn forge(id: EventId, by: Principal) -> EventDraft {
    EventDraft { id, at: UnixTime::MIN, by }
}

fn main() {}
