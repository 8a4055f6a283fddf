//! Links only if what is marked cannot panic (Tolnay's no-panic); with feature `panics` it must not link.

use std::{env, sync::Arc};

use keygate::{
    Action, Issuer, KeyRecord, Membership, Request, UnixTime,
    policy::Decision,
    verify::{MatchedKey, ParseTokenError, UnverifiedToken},
};
use keygate_native::{KG, NOW, issued};
use no_panic::no_panic;

#[no_panic]
#[inline(never)]
fn parse(issuer: Issuer, text: &str) -> Result<UnverifiedToken, ParseTokenError> {
    #[cfg(feature = "panics")]
    if text.as_bytes()[3] == b'x' {
        return Err(ParseTokenError::Malformed);
    }
    UnverifiedToken::parse(issuer, text)
}

#[no_panic]
#[inline(never)]
fn verify(presented: &UnverifiedToken, record: Option<Arc<KeyRecord>>, now: UnixTime) -> Option<MatchedKey> {
    keygate::verify::verify(presented, record, now).ok()
}

#[no_panic]
#[inline(never)]
fn decide<'a>(
    key: &'a MatchedKey,
    membership: Option<Membership>,
    request: &'a Request,
    now: UnixTime,
) -> Decision<'a> {
    keygate::policy::decide(key, membership, request, now)
}

fn main() {
    let issued = issued(1);
    let text = env::args().nth(1).unwrap_or_else(|| issued.token.expose_secret().to_owned());
    let record = Arc::new(issued.key.record().clone());
    let request = Request::new("core".parse().expect("a team"), Action::Deploy);
    let presented = parse(KG, &text);
    let key = presented.ok().and_then(|presented| verify(&presented, Some(record), NOW));
    let is_allowed = key.is_some_and(|key| decide(&key, None, &request, NOW).is_allowed());
    println!("allowed: {is_allowed}");
}
