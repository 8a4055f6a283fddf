//! Only an allow makes an authorization: an authenticated key may not do everything.
use keygate::{AuthenticatedKey, Authorization, Request};

fn forge(key: AuthenticatedKey, request: Request) -> Authorization {
    Authorization { key, request }
}

fn main() {}
