//! Only an allow makes an authorization.
use keygate::{Authorization, Request, MatchedKey};

fn forge(key: MatchedKey, request: Request) -> Authorization {
    Authorization { key, request }
}

fn main() {}
