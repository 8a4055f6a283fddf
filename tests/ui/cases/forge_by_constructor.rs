//! The functions that make proofs, new keys and changes are not for others.
use keygate::{
    AuthenticatedKey, KeyId, KeyRecord, Owner, Request, RevocationCause, UnixTime,
    audit::{EventDraft, EventId, EventKind, Principal},
    policy::Allow,
    store::{KeyChange, NewKey, RevokeAll},
    verify::MatchedKey,
};

fn authenticated_key(key: MatchedKey) -> AuthenticatedKey {
    AuthenticatedKey::judged(key, UnixTime::MIN)
}

fn allow<'a>(key: &'a MatchedKey, request: &'a Request) -> Allow<'a> {
    Allow::decided(key, request, UnixTime::MIN)
}

fn new_key(record: KeyRecord, draft: &EventDraft) -> NewKey {
    NewKey::new(record, draft, EventKind::Enabled)
}

fn key_change(id: KeyId, draft: EventDraft) -> KeyChange {
    KeyChange::new(id, keygate::store::Operation::Revoke(RevocationCause::Leaked), draft)
}

fn revoke_all(owner: Owner, draft: EventDraft) -> RevokeAll {
    RevokeAll::new(owner, RevocationCause::Requested, draft)
}

fn draft(id: EventId, by: Principal) -> EventDraft {
    EventDraft::new(id, UnixTime::MIN, by)
}

fn main() {}
