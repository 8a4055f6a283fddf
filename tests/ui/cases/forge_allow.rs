//! Only `decide` makes an allow.
use keygate::{Allow, Request, VerifiedKey};

fn forge<'a>(key: &'a VerifiedKey, request: &'a Request) -> Allow<'a> {
    Allow { key, request }
}

fn main() {}
