//! Only `decide` makes an allow.
use keygate::{Allow, Request, MatchedKey};

fn forge<'a>(key: &'a MatchedKey, request: &'a Request) -> Allow<'a> {
    Allow { key, request }
}

fn main() {}
