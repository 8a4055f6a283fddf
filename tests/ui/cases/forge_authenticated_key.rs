//! Only the policy makes an authenticated key: a matched one may be revoked.
use keygate::{AuthenticatedKey, UnixTime, verify::MatchedKey};

fn forge(key: MatchedKey) -> AuthenticatedKey {
    AuthenticatedKey { key, judged_at: UnixTime::MIN }
}

fn main() {}
