//! A store in memory, for tests and small services that can live with losing it.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::{cmp, convert::Infallible, hash::BuildHasherDefault};
use std::{
    collections::{HashMap, HashSet},
    sync::PoisonError,
};

use crossbeam_utils::sync::ShardedLock;

use super::{Changed, Conflict, Cursor, Directory, KeyManagementStore, KeyStore, ListBy, Page, PageRequest, Run};
use crate::{
    grant::Owner,
    id::{KeyId, TeamId, UserId},
    membership::Membership,
    name::KeyName,
    record::{KeyRecord, NewKey, PreviousChange, SecretChange, Status},
    time::UnixTime,
};

mod index;

use index::{ById, ByName, IdHasher};

/// Keys in memory: the whole contract, but nothing survives the process.
///
/// Finding takes a lock that readers share, and of which each thread has its own part, so that threads that find do not
/// slow each other down. Listing and revoking by owner look at every record.
///
/// ```
/// use keygate::{KeyStore, MemoryStore};
///
/// let store = MemoryStore::new();
/// let found = pollster::block_on(store.find("wk59pfKL0jFi2YYv".parse()?))?;
/// assert_eq!(found, None);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: ShardedLock<State>,
}

/// The records by what they are looked up by. They hold the id and the name themselves: maps from one to the other would
/// take more memory than the records. A record is never changed, but replaced in both sets by a changed copy.
#[derive(Debug, Default)]
struct State {
    by_id: HashSet<ById, BuildHasherDefault<IdHasher>>,
    // INVARIANT: the records of `by_id` that are not revoked, and no other.
    by_name: HashSet<ByName>,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn get(&self, id: KeyId) -> Option<Arc<KeyRecord>> {
        self.read(|state| state.by_id.get(&id).map(|ById(record)| record.clone()))
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn insert(&mut self, record: &KeyRecord) -> Changed {
        let record = Arc::new(record.clone());
        if self.by_id.contains(&record.id) {
            return Err(Conflict::IdTaken);
        }
        if !self.by_name.insert(ByName(record.clone())) {
            return Err(Conflict::NameTaken);
        }
        self.by_id.insert(ById(record));
        Ok(())
    }

    /// Finds a record that exists and is not revoked.
    fn changeable(&self, id: KeyId) -> Changed<Arc<KeyRecord>> {
        let ById(record) = self.by_id.get(&id).ok_or(Conflict::Absent)?;
        match record.status {
            Status::Revoked { .. } => Err(Conflict::Revoked),
            Status::Active | Status::Disabled => Ok(record.clone()),
        }
    }

    /// Changes anything but the name, and does not revoke.
    fn change(&mut self, id: KeyId, change: impl FnOnce(&mut KeyRecord) -> Changed) -> Changed {
        let mut record = KeyRecord::clone(&*self.changeable(id)?);
        change(&mut record)?;
        let record = Arc::new(record);
        self.by_name.replace(ByName(record.clone()));
        self.by_id.replace(ById(record));
        Ok(())
    }

    fn rename(&mut self, id: KeyId, name: KeyName) -> Changed {
        let old = self.changeable(id)?;
        let renamed = Arc::new(KeyRecord { name, ..KeyRecord::clone(&old) });
        if self.by_name.get(&ByName(renamed.clone())).is_some_and(|holder| holder.0.id != id) {
            return Err(Conflict::NameTaken);
        }
        self.by_name.remove(&ByName(old));
        self.by_name.insert(ByName(renamed.clone()));
        self.by_id.replace(ById(renamed));
        Ok(())
    }

    fn revoke(&mut self, id: KeyId, at: UnixTime) -> Changed<UnixTime> {
        let ById(record) = self.by_id.get(&id).ok_or(Conflict::Absent)?;
        if let Status::Revoked { at } = record.status {
            return Ok(at);
        }
        let revoked = Arc::new(KeyRecord { status: Status::Revoked { at }, ..KeyRecord::clone(record) });
        self.by_name.remove(&ByName(revoked.clone()));
        self.by_id.replace(ById(revoked));
        Ok(at)
    }

    fn sorted(&self, includes: impl Fn(&KeyRecord) -> bool) -> Vec<Arc<KeyRecord>> {
        let mut records: Vec<_> =
            self.by_id.iter().map(|ById(record)| record).filter(|record| includes(record)).cloned().collect();
        records.sort_unstable_by_key(|record| Cursor::after(record));
        records
    }
}

impl KeyStore for MemoryStore {
    type Error = Infallible;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        Ok(self.get(id))
    }

    fn find_now(&self, id: KeyId) -> Option<Option<Arc<KeyRecord>>> {
        Some(self.get(id))
    }
}

impl KeyManagementStore for MemoryStore {
    async fn insert(&self, new: NewKey) -> Result<Changed, Infallible> {
        Ok(self.write(|state| state.insert(new.record())))
    }

    async fn rename(&self, id: KeyId, name: KeyName) -> Result<Changed, Infallible> {
        Ok(self.write(|state| state.rename(id, name)))
    }

    async fn disable(&self, id: KeyId) -> Result<Changed, Infallible> {
        Ok(self.write(|state| {
            state.change(id, |record| {
                record.status = Status::Disabled;
                Ok(())
            })
        }))
    }

    async fn enable(&self, id: KeyId) -> Result<Changed, Infallible> {
        Ok(self.write(|state| {
            state.change(id, |record| match record.status {
                Status::Disabled => {
                    record.status = Status::Active;
                    Ok(())
                }
                Status::Active => Err(Conflict::NotDisabled),
                Status::Revoked { .. } => Err(Conflict::Revoked),
            })
        }))
    }

    async fn revoke(&self, id: KeyId, at: UnixTime) -> Result<Changed<UnixTime>, Infallible> {
        Ok(self.write(|state| state.revoke(id, at)))
    }

    async fn rotate(&self, change: SecretChange) -> Result<Changed, Infallible> {
        Ok(self.write(|state| {
            state.change(change.id(), |record| {
                if record.status == Status::Disabled {
                    return Err(Conflict::Disabled);
                }
                if record.current != change.expected() {
                    return Err(Conflict::Changed);
                }
                record.current = change.current();
                match change.previous() {
                    PreviousChange::Clear => record.previous = None,
                    PreviousChange::Keep => {}
                    PreviousChange::Set(previous) => record.previous = Some(previous),
                }
                Ok(())
            })
        }))
    }

    async fn end_overlap(&self, id: KeyId) -> Result<Changed, Infallible> {
        Ok(self.write(|state| {
            state.change(id, |record| {
                record.previous = None;
                Ok(())
            })
        }))
    }

    async fn touch(&self, id: KeyId, used_at: UnixTime, now: UnixTime) -> Result<(), Infallible> {
        self.write(|state| {
            // Nobody waits for the answer: an absent or revoked key has no last use to move.
            let _ = state.change(id, |record| {
                record.last_used_at = cmp::max(record.last_used_at, Some(cmp::min(used_at, now)));
                Ok(())
            });
        });
        Ok(())
    }

    async fn list(&self, by: ListBy, page: PageRequest) -> Result<Page, Infallible> {
        let limit = usize::from(page.limit.get());
        let mut records = self.read(|state| {
            state.sorted(|record| by.includes(record) && page.after.is_none_or(|after| after < Cursor::after(record)))
        });
        let is_last = records.len() <= limit;
        records.truncate(limit);
        let next = if is_last { None } else { records.last().map(|record| Cursor::after(record)) };
        Ok(Page { records, next })
    }

    async fn revoke_all(&self, owner: Owner, at: UnixTime, run: Run) -> Result<Vec<KeyId>, Infallible> {
        Ok(self.write(|state| {
            let is_due = |record: &KeyRecord| {
                record.grant.belongs_to(&owner) && !matches!(record.status, Status::Revoked { .. })
            };
            let mut ids: Vec<_> = state.sorted(is_due).iter().map(|record| record.id).collect();
            ids.sort_unstable();
            if run == Run::Real {
                for id in &ids {
                    // Each was found under this very lock, so it can be revoked.
                    let _ = state.revoke(*id, at);
                }
            }
            ids
        }))
    }
}

/// Directory in memory; a user of whom nothing was said is [`Membership::Deprovisioned`].
///
/// ```
/// use keygate::{MemoryDirectory, Membership, Directory};
///
/// let directory = MemoryDirectory::new();
/// directory.set_member("ada".parse()?, "core".parse()?, Membership::Admin);
/// assert_eq!(pollster::block_on(directory.membership("ada".parse()?, "core".parse()?))?, Membership::Admin);
/// assert_eq!(pollster::block_on(directory.membership("ada".parse()?, "other".parse()?))?, Membership::Outsider);
/// assert_eq!(pollster::block_on(directory.membership("bob".parse()?, "core".parse()?))?, Membership::Deprovisioned);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    users: ShardedLock<HashMap<UserId, BTreeMap<TeamId, Membership>>>,
}

impl MemoryDirectory {
    /// Makes a directory without users.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what a user is in a team; in teams of which nothing is said they are an outsider.
    pub fn set_member(&self, user: UserId, team: TeamId, membership: Membership) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        users.entry(user).or_default().insert(team, membership);
    }

    /// Forgets a user, who is deprovisioned from now on.
    pub fn deprovision(&self, user: &UserId) {
        self.users.write().unwrap_or_else(PoisonError::into_inner).remove(user);
    }
}

impl Directory for MemoryDirectory {
    type Error = Infallible;

    async fn membership(&self, user: UserId, team: TeamId) -> Result<Membership, Infallible> {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        Ok(users
            .get(&user)
            .map_or(Membership::Deprovisioned, |teams| teams.get(&team).copied().unwrap_or(Membership::Outsider)))
    }
}
