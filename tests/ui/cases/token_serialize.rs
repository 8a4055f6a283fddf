//! A token is not written into anybody's JSON.
use keygate::{Token, verify::UnverifiedToken};
use serde::Serialize;

fn serialized<T: Serialize>() {}

fn main() {
    serialized::<Token>();
    serialized::<UnverifiedToken>();
}
