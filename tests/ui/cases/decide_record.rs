//! The policy decides for verified keys only: not for a record that was merely found.
use keygate::{Decision, KeyRecord, Request, UnixTime, decide};

fn decide_without_secret<'a>(record: &'a KeyRecord, request: &'a Request) -> Decision<'a> {
    decide(record, None, request, UnixTime::MIN)
}

fn main() {}
