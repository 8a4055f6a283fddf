//! A store of its own, as plain as can be: a map of columns behind a lock, and one fault if asked for.
//!
//! It is no wrapper, since `MemoryStore` cannot be made to break its contract from outside; so the suite also passes a
//! second implementation that shares nothing with the first.

use std::{
    collections::BTreeMap,
    panic,
    sync::{Arc, Mutex},
    thread,
};

use keygate::{
    Changed, Conflict, Cursor, KeyId, KeyManagementStore, KeyName, KeyRecord, KeyStore, ListBy, NewKey, Owner, Page,
    PageRequest, PreviousChange, PreviousSecret, RecordParts, Run, SecretChange, Status, UnixTime,
};

use crate::{
    fault::Fault,
    row::{as_token_digest, forget_models, is_revoked, owner_text, record},
};

#[derive(Debug, Default)]
pub(crate) struct PlainStore {
    fault: Option<Fault>,
    rows: Mutex<Rows>,
    /// What finds have seen: a store has no business to know.
    seen: Mutex<BTreeMap<KeyId, RecordParts>>,
}

type Rows = BTreeMap<String, RecordParts>;

#[derive(Debug, thiserror::Error)]
#[error("out of order")]
pub(crate) struct OutOfOrder;

impl PlainStore {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { fault, ..Self::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Rows) -> T) -> T {
        work(&mut self.rows.lock().unwrap())
    }

    /// Where a record is kept.
    fn place(&self, id: KeyId) -> String {
        if self.has(Fault::BlursIds) { id.as_str().to_lowercase() } else { id.as_str().to_owned() }
    }

    fn is_owner(&self, row: &RecordParts, owner: &Owner) -> bool {
        let own = row.grant.owner();
        match self.fault {
            Some(Fault::BlursOwnerIds) => {
                own.kind() == owner.kind() && owner_text(&own).eq_ignore_ascii_case(owner_text(owner))
            }
            Some(Fault::BlursOwnerKinds) => owner_text(&own) == owner_text(owner),
            _ => own == *owner,
        }
    }

    /// Changes a row that exists and is not revoked. With a fault that does things in two steps, the row is read under
    /// one lock and written back, whole, under another.
    fn change(&self, id: KeyId, two_steps: bool, change: impl FnOnce(&mut RecordParts) -> Changed) -> Changed {
        let place = self.place(id);
        let absent = if self.has(Fault::AnswersAbsentAsDone) { Ok(()) } else { Err(Conflict::Absent) };
        let mut rows = self.rows.lock().unwrap();
        let Some(row) = rows.get(&place) else { return absent };
        if is_revoked(row) && !self.has(Fault::RevivesRevoked) {
            return Err(Conflict::Revoked);
        }
        let mut row = row.clone();
        if two_steps || self.has(Fault::SavesWholeRecords) {
            drop(rows);
            pause();
            rows = self.rows.lock().unwrap();
        }
        change(&mut row)?;
        rows.insert(place, row);
        Ok(())
    }

    fn is_name_taken(&self, rows: &Rows, owner: &Owner, name: &KeyName, but: Option<KeyId>) -> bool {
        let is_holder = |row: &&RecordParts| {
            let is_live = self.has(Fault::KeepsNamesOfRevoked) || !is_revoked(row);
            is_live && row.name == *name && Some(row.id) != but && self.is_owner(row, owner)
        };
        !self.has(Fault::ForgetsNameConflicts) && rows.values().any(|row| is_holder(&row))
    }

    /// Between looking and doing, for faults that do one under another lock than the other.
    fn checked_before<T>(
        &self,
        two_steps: Fault,
        check: impl Fn(&Rows) -> Changed,
        work: impl FnOnce(&mut Rows) -> T,
    ) -> Changed<T> {
        if self.has(two_steps) {
            self.locked(|rows| check(rows))?;
            pause();
            return Ok(self.locked(work));
        }
        self.locked(|rows| {
            check(rows)?;
            Ok(work(rows))
        })
    }

    fn stored(&self, new: &NewKey) -> RecordParts {
        let mut row = RecordParts::from(new.record().clone());
        if self.has(Fault::TruncatesTimes) {
            row.created_at = UnixTime::from_secs(row.created_at.as_secs().clamp(0, 1 << 40));
        }
        if self.has(Fault::ForgetsAlgorithms) {
            row.current = as_token_digest(row.current);
        }
        if self.has(Fault::DropsModelsItDoesNotKnow) {
            forget_models(&mut row.grant);
        }
        row
    }
}

impl KeyStore for PlainStore {
    type Error = OutOfOrder;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, OutOfOrder> {
        let mut found = self.locked(|rows| rows.get(&self.place(id)).cloned());
        let mut seen = self.seen.lock().unwrap();
        if self.has(Fault::CachesFinds) {
            found = seen.get(&id).cloned().or(found);
        }
        if self.has(Fault::FindsAnything) && found.is_none() {
            found = self.locked(|rows| rows.values().next().cloned());
        }
        if let Some(found) = &found {
            seen.insert(id, found.clone());
        }
        Ok(found.map(record))
    }

    async fn find_current(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, OutOfOrder> {
        let seen = self.seen.lock().unwrap().get(&id).cloned();
        match seen {
            Some(seen) if self.has(Fault::FindsCurrentInTheCache) => Ok(Some(record(seen))),
            _ => self.find(id).await,
        }
    }

    fn find_now(&self, id: KeyId) -> Option<Option<Arc<KeyRecord>>> {
        let seen = self.seen.lock().unwrap();
        self.has(Fault::KnowsWhatWas).then(|| seen.get(&id).cloned().map(record))
    }
}

impl KeyManagementStore for PlainStore {
    async fn insert(&self, new: NewKey) -> Result<Changed, OutOfOrder> {
        let row = self.stored(&new);
        let (id, place, owner) = (row.id, self.place(row.id), row.grant.owner());
        let is_id_free = |rows: &Rows| match rows.contains_key(&place) && !self.has(Fault::InsertReplaces) {
            true => Err(Conflict::IdTaken),
            false => Ok(()),
        };
        let is_name_free = |rows: &Rows| match self.is_name_taken(rows, &owner, &row.name, Some(id)) {
            true => Err(Conflict::NameTaken),
            false => Ok(()),
        };
        let check = |rows: &Rows| is_id_free(rows).and_then(|()| is_name_free(rows));
        let two_steps =
            if self.has(Fault::NamesInTwoSteps) { Fault::NamesInTwoSteps } else { Fault::InsertsInTwoSteps };
        Ok(self.checked_before(two_steps, check, |rows| {
            rows.insert(place.clone(), row.clone());
        }))
    }

    async fn rename(&self, id: KeyId, name: KeyName) -> Result<Changed, OutOfOrder> {
        if self.has(Fault::FailsToRename) {
            return Err(OutOfOrder);
        }
        if self.has(Fault::SavesWholeRecords) || self.has(Fault::ClearsPreviousOnRename) {
            let is_taken = self.locked(|rows| {
                let owner = rows.get(&self.place(id)).map(|row| row.grant.owner());
                owner.is_some_and(|owner| self.is_name_taken(rows, &owner, &name, Some(id)))
            });
            return Ok(self.change(id, false, |row| {
                if is_taken {
                    return Err(Conflict::NameTaken);
                }
                if self.has(Fault::ClearsPreviousOnRename) {
                    row.previous = None;
                }
                row.name = name;
                Ok(())
            }));
        }
        let place = self.place(id);
        let check = |rows: &Rows| match rows.get(&place) {
            None if self.has(Fault::AnswersAbsentAsDone) => Ok(()),
            None => Err(Conflict::Absent),
            Some(row) if is_revoked(row) => Err(Conflict::Revoked),
            Some(row) if self.is_name_taken(rows, &row.grant.owner(), &name, Some(id)) => Err(Conflict::NameTaken),
            Some(_) => Ok(()),
        };
        Ok(self.checked_before(Fault::NamesInTwoSteps, check, |rows| {
            if let Some(row) = rows.get_mut(&place) {
                row.name = name.clone();
            }
        }))
    }

    async fn disable(&self, id: KeyId) -> Result<Changed, OutOfOrder> {
        Ok(self.change(id, false, |row| {
            row.status = Status::Disabled;
            Ok(())
        }))
    }

    async fn enable(&self, id: KeyId) -> Result<Changed, OutOfOrder> {
        Ok(self.change(id, false, |row| {
            if row.status == Status::Active {
                return Err(Conflict::NotDisabled);
            }
            row.status = Status::Active;
            Ok(())
        }))
    }

    async fn revoke(&self, id: KeyId, at: UnixTime) -> Result<Changed<UnixTime>, OutOfOrder> {
        if self.has(Fault::PanicsInRaces) && is_racing() {
            // A panic without the message that would fill the output of the tests.
            panic::resume_unwind(Box::new("planted"));
        }
        let place = self.place(id);
        let first = |rows: &Rows| match rows.get(&place)?.status {
            Status::Revoked { at: first } if !self.has(Fault::RevokesOverFirst) => Some(first),
            _ => Some(at),
        };
        let looked = self.locked(|rows| first(rows));
        if self.has(Fault::RevokesInTwoSteps) {
            pause();
        }
        Ok(self.locked(|rows| {
            let first = if self.has(Fault::RevokesInTwoSteps) { looked } else { first(rows) };
            let row = rows.get_mut(&place).ok_or(Conflict::Absent)?;
            let at = first.ok_or(Conflict::Absent)?;
            row.status = Status::Revoked { at };
            Ok(at)
        }))
    }

    async fn rotate(&self, change: SecretChange) -> Result<Changed, OutOfOrder> {
        let seen = self.seen.lock().unwrap().get(&change.id()).and_then(|row| row.previous);
        Ok(self.change(change.id(), self.has(Fault::RotatesInTwoSteps), |row| {
            if row.status == Status::Disabled && !self.has(Fault::AnswersDisabledAsDone) {
                return Err(Conflict::Disabled);
            }
            let is_expected = match self.fault {
                Some(Fault::RotatesWithoutComparing) => true,
                Some(Fault::RotatesWithoutAlgorithms) => {
                    as_token_digest(row.current) == as_token_digest(change.expected())
                }
                _ => row.current == change.expected(),
            };
            if !is_expected {
                return Err(Conflict::Changed);
            }
            row.current = change.current();
            row.previous = match change.previous() {
                PreviousChange::Clear => None,
                PreviousChange::Keep if self.has(Fault::KeepsPreviousOfLastFind) => seen,
                PreviousChange::Keep => row.previous,
                PreviousChange::Set(_) if self.has(Fault::SetsPreviousToNothing) => None,
                PreviousChange::Set(PreviousSecret { digest, ends_at }) => Some(PreviousSecret { digest, ends_at }),
            };
            Ok(())
        }))
    }

    async fn end_overlap(&self, id: KeyId) -> Result<Changed, OutOfOrder> {
        Ok(self.change(id, false, |row| {
            row.previous = None;
            Ok(())
        }))
    }

    async fn touch(&self, id: KeyId, used_at: UnixTime, now: UnixTime) -> Result<(), OutOfOrder> {
        let bounded = if self.has(Fault::TouchesPastNow) { used_at } else { used_at.min(now) };
        let _ = self.change(id, false, |row| {
            let last = if self.has(Fault::TouchesBackwards) { None } else { row.last_used_at };
            row.last_used_at = last.max(Some(bounded));
            Ok(())
        });
        Ok(())
    }

    async fn list(&self, by: ListBy, page: PageRequest) -> Result<Page, OutOfOrder> {
        let includes = |row: &RecordParts| {
            let is_asked_for = match &by {
                ListBy::Creator(creator) => row.created_by == *creator,
                ListBy::Owner(owner) => self.is_owner(row, owner),
            };
            (is_asked_for || self.has(Fault::ListsOthers)) && !(self.has(Fault::OmitsRevoked) && is_revoked(row))
        };
        let mut records: Vec<_> =
            self.locked(|rows| rows.values().filter(|row| includes(row)).cloned().map(record).collect());
        if !self.has(Fault::ListsByIdAlone) {
            records.sort_by_key(|record| Cursor::after(record));
        }
        let is_behind = |record: &Arc<KeyRecord>| match page.after {
            None => true,
            Some(after) if self.has(Fault::ListsByIdAlone) => after.id < record.id(),
            // As in `WHERE created_at > ...`, with and without the `=`.
            Some(after) if self.has(Fault::SkipsAtPageBorders) => after.created_at < record.created_at(),
            Some(after) if self.has(Fault::RepeatsAtPageBorders) => after <= Cursor::after(record),
            Some(after) => after < Cursor::after(record),
        };
        records.retain(is_behind);
        let too_many = usize::from(self.has(Fault::GivesTooMany));
        let limit = usize::from(page.limit.get()).saturating_add(too_many);
        let is_last = records.len() <= limit && !self.has(Fault::NeverEndsAPage);
        records.truncate(limit);
        let next = if is_last { None } else { records.last().map(|record| Cursor::after(record)) };
        Ok(Page { records, next })
    }

    async fn revoke_all(&self, owner: Owner, at: UnixTime, run: Run) -> Result<Vec<KeyId>, OutOfOrder> {
        let is_due = |row: &RecordParts| !is_revoked(row) && self.is_owner(row, &owner);
        let mut ids = Vec::new();
        self.locked(|rows| {
            for row in rows.values_mut().filter(|row| is_due(row)) {
                ids.push(row.id);
                if (run == Run::Real && !self.has(Fault::SweepsInTwoSteps)) || self.has(Fault::DryRunRevokes) {
                    row.status = Status::Revoked { at };
                }
            }
        });
        if self.has(Fault::SweepsInTwoSteps) && run == Run::Real {
            pause();
            for id in &ids {
                let _ = self.revoke(*id, at).await?;
            }
        }
        if self.has(Fault::SweepsUnsorted) {
            ids.reverse();
        }
        Ok(ids)
    }
}

/// Lets others come in between.
fn pause() {
    thread::yield_now();
}

/// The threads of a race have no name, other than those of tests.
fn is_racing() -> bool {
    thread::current().name().is_none()
}
