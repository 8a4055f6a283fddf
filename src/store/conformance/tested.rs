//! The store under test: its failures are violations, and what is asked of it is noted in a ledger.

use alloc::{sync::Arc, vec::Vec};

use super::{
    change::{Change, Told},
    events::Ledger,
    report::{Outcome, Violation},
};
use crate::{
    audit::EventKind,
    grant::{Owner, Permission},
    id::KeyId,
    record::{KeyRecord, RevocationCause},
    store::{
        Answer, Batch, BoxedKeyManagementStore, Conflict, KeyChange, KeyManagementStore as _, KeyStore as _, KeysOf,
        ListQuery, NewKey, Page, Receipt as _, RevokeAll, Touch,
    },
    time::UnixTime,
};

#[derive(Clone)]
pub(super) struct Tested {
    store: BoxedKeyManagementStore,
    pub(super) ledger: Arc<Ledger>,
}

impl Tested {
    pub(super) fn new(store: BoxedKeyManagementStore, seed: u64) -> Self {
        Self { store, ledger: Arc::new(Ledger::new(seed)) }
    }

    pub(super) async fn find(&self, id: KeyId) -> Outcome<Option<KeyRecord>> {
        let found = self.store.find(id).await.map_err(|error| Violation::failure("find", &error))?;
        Ok(found.map(Arc::unwrap_or_clone))
    }

    pub(super) async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Outcome<Page> {
        self.store.list(keys_of, query).await.map_err(|error| Violation::failure("list", &error))
    }

    /// Inserts a key: one that looks imported with the event of an import.
    pub(super) async fn insert(&self, record: &KeyRecord) -> Outcome<Result<(), Conflict>> {
        let (name, labels, expires_at) = (record.name.clone(), record.labels.clone(), record.validity.expires_at());
        let level = record.grant.permission().map(Permission::level);
        let kind = if record.current.algorithm().is_legacy() {
            EventKind::Imported { name, level, created_at: record.created_at, expires_at, labels }
        } else {
            EventKind::Created { name, level, expires_at, labels }
        };
        let draft = self.ledger.draft(record.created_at)?;
        self.ledger.note_new(record);
        let asked = self.ledger.begin("insert", &draft);
        let new = NewKey::new(record.clone(), &draft, kind.clone());
        let answer = self.store.insert(new).await.map_err(|error| Violation::failure("insert", &error))?;
        Ok(match answer {
            Ok(receipt) => {
                self.ledger.note_stored(record);
                self.ledger.end_with(asked, [(record.id, kind)], true, receipt.into_unlogged());
                Ok(())
            }
            Err(conflict) => {
                self.ledger.end_with(asked, [], true, Vec::new());
                Err(conflict)
            }
        })
    }

    /// Asks for a change. What the event of it says of the record before is compared if that record is given.
    pub(super) async fn ask(&self, id: KeyId, change: &Change, before: Option<&KeyRecord>) -> Outcome<Told> {
        let (operation, at) = match change {
            Change::Make(operation, at) => (operation, *at),
            Change::Touch { slot, used_at, now } => {
                self.touch([Touch::new(id, *slot, *used_at)].into(), *now).await?;
                return Ok(Told::Changed(()));
            }
        };
        let draft = self.ledger.draft(at)?;
        let asked = self.ledger.begin(change.name(), &draft);
        let change_of_key = KeyChange::new(id, operation.clone(), draft);
        let answer = self.store.change(change_of_key).await;
        let answer = answer.map_err(|error| Violation::failure(change.name(), &error))?;
        Ok(match answer {
            Answer::Changed(receipt) => {
                let event = change.event_kind(before).map(|kind| (id, kind));
                self.ledger.end_with(asked, event, before.is_some(), receipt.into_unlogged());
                Told::Changed(())
            }
            Answer::Refused(conflict) => {
                self.ledger.end_with(asked, [], true, Vec::new());
                Told::Refused(conflict)
            }
            Answer::Unchanged(record) => {
                self.ledger.end_with(asked, [], true, Vec::new());
                Told::Unchanged(record)
            }
        })
    }

    pub(super) async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Outcome {
        self.store.touch(touches, now).await.map_err(|error| Violation::failure("touch", &error))
    }

    /// Asks for one step that revokes keys of an owner.
    pub(super) async fn revoke_all(&self, sweep: &Sweep) -> Outcome<Batch<()>> {
        let Sweep { owner, at, cause, limit } = sweep.clone();
        let draft = self.ledger.draft(at)?;
        let asked = self.ledger.begin("revoke_all", &draft);
        let revoke = RevokeAll::new(owner, cause, draft).with_limit(limit);
        let batch = self.store.revoke_all(revoke).await.map_err(|error| Violation::failure("revoke_all", &error))?;
        let Batch { ids, has_more, receipt } = batch;
        let events = ids.iter().map(|id| (*id, EventKind::Revoked { cause }));
        self.ledger.end_with(asked, events, true, receipt.into_unlogged());
        Ok(Batch::new(ids, has_more, ()))
    }
}

/// The request of one step of `revoke_all`.
#[derive(Clone)]
pub(super) struct Sweep {
    pub(super) owner: Owner,
    pub(super) at: UnixTime,
    pub(super) cause: RevocationCause,
    pub(super) limit: u16,
}

impl Sweep {
    /// As many as may be, since the owner is gone.
    pub(super) const fn of(owner: Owner, at: UnixTime) -> Self {
        Self { owner, at, cause: RevocationCause::OwnerDeprovisioned, limit: RevokeAll::MAX }
    }

    pub(super) fn with_limit(self, limit: u16) -> Self {
        Self { limit, ..self }
    }

    /// The change that each of the keys undergoes.
    pub(super) const fn change(&self) -> Change {
        Change::revoke_for(self.cause, self.at)
    }
}
