//! A store in memory, for tests and small services that can live with losing it.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::{cmp, convert::Infallible};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{PoisonError, RwLock},
};

use super::{Changed, Cursor, KeyStore, ListBy, ManagedKeyStore, Page, PageRequest, Refusal, Run, Standings};
use crate::{
    grant::Owner,
    id::{KeyId, TeamId, UserId},
    name::KeyName,
    record::{KeyRecord, NewKey, PreviousChange, SecretChange, Status},
    standing::Standing,
    time::UnixTime,
};

/// Keys in memory: the whole contract, but nothing survives the process.
///
/// Finding takes a lock that readers share. Listing and revoking by owner look at every record.
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
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    records: HashMap<KeyId, Arc<KeyRecord>>,
    // INVARIANT: one entry for each record that is not revoked, and no other.
    names: HashMap<(Owner, KeyName), KeyId>,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn get(&self, id: KeyId) -> Option<Arc<KeyRecord>> {
        self.read(|state| state.records.get(&id).cloned())
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Changes a record that exists and is not revoked.
    fn change(&mut self, id: KeyId, change: impl FnOnce(&mut KeyRecord) -> Changed) -> Changed {
        let record = self.records.get_mut(&id).ok_or(Refusal::Absent)?;
        if let Status::Revoked { .. } = record.status {
            return Err(Refusal::Revoked);
        }
        change(Arc::make_mut(record))
    }

    fn rename(&mut self, id: KeyId, name: KeyName) -> Changed {
        let record = self.records.get_mut(&id).ok_or(Refusal::Absent)?;
        if let Status::Revoked { .. } = record.status {
            return Err(Refusal::Revoked);
        }
        match self.names.entry((record.grant.owner(), name.clone())) {
            Entry::Occupied(holder) if *holder.get() != id => return Err(Refusal::NameTaken),
            Entry::Occupied(_) => return Ok(()),
            Entry::Vacant(free) => free.insert(id),
        };
        let old = core::mem::replace(&mut Arc::make_mut(record).name, name);
        self.names.remove(&(record.grant.owner(), old));
        Ok(())
    }

    fn revoke(&mut self, id: KeyId, at: UnixTime) -> Changed<UnixTime> {
        let record = self.records.get_mut(&id).ok_or(Refusal::Absent)?;
        if let Status::Revoked { at } = record.status {
            return Ok(at);
        }
        Arc::make_mut(record).status = Status::Revoked { at };
        self.names.remove(&(record.grant.owner(), record.name.clone()));
        Ok(at)
    }

    fn sorted(&self, includes: impl Fn(&KeyRecord) -> bool) -> Vec<Arc<KeyRecord>> {
        let mut records: Vec<_> = self.records.values().filter(|record| includes(record)).cloned().collect();
        records.sort_unstable_by_key(|record| Cursor::behind(record));
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

impl ManagedKeyStore for MemoryStore {
    async fn insert(&self, new: NewKey) -> Result<Changed, Infallible> {
        Ok(self.write(|State { records, names }| {
            let record = new.record();
            let Entry::Vacant(place) = records.entry(record.id) else { return Err(Refusal::IdTaken) };
            let Entry::Vacant(name) = names.entry((record.grant.owner(), record.name.clone())) else {
                return Err(Refusal::NameTaken);
            };
            name.insert(record.id);
            place.insert(Arc::new(record.clone()));
            Ok(())
        }))
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
                Status::Active => Err(Refusal::NotDisabled),
                Status::Revoked { .. } => Err(Refusal::Revoked),
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
                    return Err(Refusal::Disabled);
                }
                if record.current != change.expected() {
                    return Err(Refusal::Changed);
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
            state.sorted(|record| by.includes(record) && page.after.is_none_or(|after| after < Cursor::behind(record)))
        });
        let is_last = records.len() <= limit;
        records.truncate(limit);
        let next = if is_last { None } else { records.last().map(|record| Cursor::behind(record)) };
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

/// Standings in memory; a user of whom nothing was said is [`Standing::Deprovisioned`].
///
/// ```
/// use keygate::{MemoryStandings, Standing, Standings};
///
/// let standings = MemoryStandings::new();
/// standings.set_member("ada".parse()?, "core".parse()?, Standing::Admin);
/// assert_eq!(pollster::block_on(standings.standing("ada".parse()?, "core".parse()?))?, Standing::Admin);
/// assert_eq!(pollster::block_on(standings.standing("ada".parse()?, "other".parse()?))?, Standing::Outsider);
/// assert_eq!(pollster::block_on(standings.standing("bob".parse()?, "core".parse()?))?, Standing::Deprovisioned);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryStandings {
    users: RwLock<HashMap<UserId, BTreeMap<TeamId, Standing>>>,
}

impl MemoryStandings {
    /// Makes a directory without users.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what a user is in a team; in teams of which nothing is said they are an outsider.
    pub fn set_member(&self, user: UserId, team: TeamId, standing: Standing) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        users.entry(user).or_default().insert(team, standing);
    }

    /// Forgets a user, who is deprovisioned from now on.
    pub fn deprovision(&self, user: &UserId) {
        self.users.write().unwrap_or_else(PoisonError::into_inner).remove(user);
    }
}

impl Standings for MemoryStandings {
    type Error = Infallible;

    async fn standing(&self, user: UserId, team: TeamId) -> Result<Standing, Infallible> {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        Ok(users
            .get(&user)
            .map_or(Standing::Deprovisioned, |teams| teams.get(&team).copied().unwrap_or(Standing::Outsider)))
    }
}
