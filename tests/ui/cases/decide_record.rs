//! The policy decides for matched keys only: not for a record that was merely found.
use keygate::{KeyRecord, Request, UnixTime, policy::{Decision, decide}};

fn decide_without_secret<'a>(record: &'a KeyRecord, request: &'a Request) -> Decision<'a> {
    decide(record, None, request, UnixTime::MIN)
}

fn main() {}
