//! The whole way of a request, built straight on the crates that one would take first: what the pipeline is compared
//! with. It answers the same question about the same token, with as much care: every symbol is checked, the checksum
//! too, both digests are compared in constant time, and times, environments and models are looked at.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, RwLock},
};

use http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What is stored of a key.
pub struct Record {
    pub kind: char,
    pub team: String,
    pub current: [u8; 28],
    pub previous: Option<([u8; 28], i64)>,
    pub is_active: bool,
    pub not_before: Option<i64>,
    pub expires_at: Option<i64>,
    pub environments: Option<HashSet<String>>,
    pub models: Option<HashSet<String>>,
}

/// Keys by their id.
pub type Store = RwLock<HashMap<String, Arc<Record>>>;

/// What is asked for.
#[derive(Debug)]
pub struct Call<'a> {
    pub team: &'a str,
    pub model: &'a str,
    pub environment: &'a str,
}

/// Decides whether the call is allowed, or gives nothing where the key is not valid.
#[must_use]
pub fn check(headers: &HeaderMap, store: &Store, call: &Call<'_>, now: i64) -> Option<bool> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("api-key") {
        return None;
    }

    let mut parts = token.split('_');
    let (head, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let (checksum, None) = (parts.next()?, parts.next()) else { return None };
    let kind = head.strip_prefix("kg")?.strip_suffix('1')?.chars().next()?;
    let is_word =
        |text: &str, length| text.len() == length && text.chars().all(|symbol| symbol.is_ascii_alphanumeric());
    if head.len() != 4 || !is_word(id, 16) || !is_word(secret, 32) {
        return None;
    }
    let hash = Sha256::digest(token.rsplit_once('_')?.0);
    let mut claimed = [0; 4];
    hex::decode_to_slice(checksum, &mut claimed).ok()?;
    if hash[..4] != claimed || checksum.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }

    let record = store.read().ok()?.get(id).cloned()?;
    let live_previous = record.previous.filter(|(_, end)| now < *end);
    let previous = live_previous.map_or([0; 28], |(digest, _)| digest);
    let is_current = hash[4..].ct_eq(&record.current);
    let is_previous = hash[4..].ct_eq(&previous);
    let opens = bool::from(is_current) || bool::from(is_previous) && live_previous.is_some();
    if !opens || record.kind != kind {
        return None;
    }

    Some(
        record.is_active
            && record.not_before.is_none_or(|start| start <= now)
            && record.expires_at.is_none_or(|end| now < end)
            && record.team == call.team
            && record.environments.as_ref().is_none_or(|granted| granted.contains(call.environment))
            && record.models.as_ref().is_none_or(|granted| granted.contains(call.model)),
    )
}
