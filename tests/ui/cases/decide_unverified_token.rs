//! The policy decides for matched keys only: not for a token that merely has the right form.
use keygate::{Request, UnixTime, policy::{Decision, decide}, verify::UnverifiedToken};

fn decide_without_record<'a>(presented: &'a UnverifiedToken, request: &'a Request) -> Decision<'a> {
    decide(presented, None, request, UnixTime::MIN)
}

fn main() {}
