//! Only an allow makes an authorization.
use keygate::{Authorization, Request, VerifiedKey};

fn forge(key: VerifiedKey, request: Request) -> Authorization {
    Authorization { key, request }
}

fn main() {}
