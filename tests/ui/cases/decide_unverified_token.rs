//! The policy decides for verified keys only: not for a token that merely has the right form.
use keygate::{Decision, Request, UnixTime, UnverifiedToken, decide};

fn decide_without_record<'a>(presented: &'a UnverifiedToken, request: &'a Request) -> Decision<'a> {
    decide(presented, None, request, UnixTime::MIN)
}

fn main() {}
