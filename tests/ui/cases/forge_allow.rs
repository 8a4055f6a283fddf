//! Only `decide` makes an allow.
use keygate::{Request, UnixTime, policy::Allow, verify::MatchedKey};

fn forge<'a>(key: &'a MatchedKey, request: &'a Request) -> Allow<'a> {
    Allow { key, request, decided_at: UnixTime::MIN }
}

fn main() {}
