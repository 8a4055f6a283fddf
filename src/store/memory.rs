//! A store and a directory in memory, for tests and for small services that can lose their keys.

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::{
    convert::Infallible,
    hash::{BuildHasher as _, Hasher as _},
};
use std::{
    collections::{HashMap, hash_map::RandomState},
    sync::{PoisonError, RwLock},
};

use super::{
    Answer, Batch, ChangeFeed, Changes, Conflict, Cursor, Directory, KeyChange, KeyManagementStore, KeyStore, KeysOf,
    ListQuery, Logged, NewKey, Page, Revision, RevokeAll, Step, Touch,
};
use crate::{
    audit::Event,
    grant::Owner,
    id::{KeyId, TeamId, UserId},
    membership::{Incarnation, Membership, TeamRole, UserStatus},
    name::KeyName,
    record::KeyRecord,
    time::UnixTime,
};

/// Keys in memory: the whole contract, but nothing survives the process. Clones share the keys.
///
/// It keeps the last 10,000 events. Listing and revoking by owner look at every record.
///
/// ```
/// use keygate::{MemoryStore, store::KeyStore};
///
/// let store = MemoryStore::new();
/// let found = pollster::block_on(store.find("wk59pfKL0jFi2YYv".parse()?))?;
/// assert_eq!(found, None);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore {
    state: Arc<RwLock<State>>,
}

#[derive(Debug)]
struct State {
    keys: HashMap<KeyId, Arc<KeyRecord>>,
    // INVARIANT: the names of the keys that are not revoked, and no other.
    names: HashMap<(Owner, KeyName), KeyId>,
    events: VecDeque<Event>,
    dropped_events: u64,
    /// Each changed key with the number of its change, in order.
    changes: VecDeque<(u64, KeyId)>,
    revision: Revision,
}

impl MemoryStore {
    /// The number of events that are kept, and of changes that a feed can list.
    pub const LOG_LENGTH: usize = 10_000;

    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        // Each hasher has random keys: that is randomness enough to tell one life from another.
        let random = || RandomState::new().build_hasher().finish().to_ne_bytes();
        let mut life = [0; 16];
        life.copy_from_slice([random(), random()].as_flattened());
        Self {
            state: Arc::new(RwLock::new(State {
                keys: HashMap::new(),
                names: HashMap::new(),
                events: VecDeque::new(),
                dropped_events: 0,
                changes: VecDeque::new(),
                revision: Revision::new(life, 0),
            })),
        }
    }

    /// Returns the events that are kept, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.read(|state| state.events.iter().cloned().collect())
    }

    /// Returns how many events were pushed out by later ones.
    #[must_use]
    pub fn dropped_events(&self) -> u64 {
        self.read(|state| state.dropped_events)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Replaces a record, with its event and the next revision.
    fn commit(&mut self, record: KeyRecord, event: Event) {
        let name = |record: &KeyRecord| (record.grant.owner(), record.name.clone());
        if let Some(before) = self.keys.get(&record.id).filter(|before| !before.is_revoked()) {
            self.names.remove(&name(before));
        }
        if !record.is_revoked() {
            self.names.insert(name(&record), record.id);
        }
        self.revision = Revision::new(self.revision.life(), self.revision.number().saturating_add(1));
        self.changes.push_back((self.revision.number(), record.id));
        self.events.push_back(event);
        if self.changes.len() > MemoryStore::LOG_LENGTH {
            self.changes.pop_front();
        }
        if self.events.len() > MemoryStore::LOG_LENGTH {
            self.events.pop_front();
            self.dropped_events = self.dropped_events.saturating_add(1);
        }
        self.keys.insert(record.id, Arc::new(record));
    }

    fn insert(&mut self, new: &NewKey) -> Result<Logged, Conflict> {
        let record = new.record();
        if self.keys.contains_key(&record.id) {
            return Err(Conflict::IdTaken);
        }
        if self.names.contains_key(&(record.grant.owner(), record.name.clone())) {
            return Err(Conflict::NameTaken);
        }
        self.commit(record.clone(), new.event().clone());
        Ok(Logged)
    }

    fn change(&mut self, change: &KeyChange) -> Answer<Logged> {
        let before = self.keys.get(&change.id());
        match (change.apply(before.map(|record| &**record)), before) {
            (Step::Change { update, event }, Some(before)) => {
                let is_taken = change.new_name().is_some_and(|name| {
                    self.names.get(&(before.grant.owner(), name.clone())).is_some_and(|holder| *holder != before.id)
                });
                if is_taken {
                    return Answer::Refused(Conflict::NameTaken);
                }
                let after = update.applied_to(before);
                self.commit(after, event);
                Answer::Changed(Logged)
            }
            (Step::Unchanged(_), Some(record)) => Answer::Unchanged(Arc::clone(record)),
            (Step::Refused(conflict), _) => Answer::Refused(conflict),
            (Step::Change { .. } | Step::Unchanged(_), None) => Answer::Refused(Conflict::Absent),
        }
    }

    fn touch(&mut self, touch: Touch, now: UnixTime) {
        if let Some(record) = self.keys.get_mut(&touch.id) {
            if let Some(touched) = touch.applied_to(record, now) {
                *record = Arc::new(touched);
            }
        }
    }

    fn revoke_all(&mut self, revoke: &RevokeAll) -> Batch<Logged> {
        let limit = usize::from(revoke.limit());
        let mut due: Vec<_> = self.keys.values().filter(|record| revoke.includes(record)).cloned().collect();
        due.sort_unstable_by_key(|record| record.id);
        let has_more = due.len() > limit;
        due.truncate(limit);
        for (part, record) in (0..).zip(&due) {
            let revoked = KeyRecord { status: revoke.status(), ..KeyRecord::clone(record) };
            self.commit(revoked, revoke.event(part, record));
        }
        Batch::new(due.iter().map(|record| record.id).collect(), has_more, Logged)
    }

    fn list(&self, keys_of: &KeysOf, query: &ListQuery) -> Page {
        let is_on_page = |record: &&Arc<KeyRecord>| keys_of.includes(record) && query.includes(record);
        let mut records: Vec<_> = self.keys.values().filter(is_on_page).cloned().collect();
        records.sort_unstable_by_key(|record| Cursor::after(record));
        Page::new(records, query.limit)
    }

    fn changes_since(&self, since: Option<Revision>) -> Changes {
        let revision = self.revision;
        let (Some(since), oldest) = (since, self.changes.front()) else { return Changes::Everything { revision } };
        // The list reaches back to the change after `since`, or there is none after it.
        let is_listed = since.number() == revision.number()
            || oldest.is_some_and(|(oldest, _)| *oldest <= since.number().saturating_add(1));
        if !revision.follows(since) || !is_listed {
            return Changes::Everything { revision };
        }
        let after = self.changes.iter().rev().take_while(|(number, _)| *number > since.number());
        let mut ids: Vec<_> = after.map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        Changes::Keys { ids, revision }
    }
}

impl KeyStore for MemoryStore {
    type Error = Infallible;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        Ok(self.read(|state| state.keys.get(&id).cloned()))
    }
}

impl KeyManagementStore for MemoryStore {
    type Receipt = Logged;

    async fn insert(&self, new: NewKey) -> Result<Result<Logged, Conflict>, Infallible> {
        Ok(self.write(|state| state.insert(&new)))
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<Logged>, Infallible> {
        Ok(self.write(|state| state.change(&change)))
    }

    async fn touch(&self, touches: Vec<Touch>, now: UnixTime) -> Result<(), Infallible> {
        self.write(|state| touches.into_iter().for_each(|touch| state.touch(touch, now)));
        Ok(())
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, Infallible> {
        Ok(self.read(|state| state.list(&keys_of, &query)))
    }

    async fn revoke_all(&self, revoke: RevokeAll) -> Result<Batch<Logged>, Infallible> {
        Ok(self.write(|state| state.revoke_all(&revoke)))
    }
}

impl ChangeFeed for MemoryStore {
    async fn changes_since(&self, since: Option<Revision>) -> Result<Changes, Infallible> {
        Ok(self.read(|state| state.changes_since(since)))
    }
}

/// Users and teams in memory; an unknown user is deprovisioned. Clones share the users.
///
/// ```
/// use keygate::{MemoryDirectory, TeamRole, UserStatus, store::Directory};
///
/// let directory = MemoryDirectory::new();
/// directory.set_member("ada".parse()?, "core".parse()?, TeamRole::Admin);
/// # pollster::block_on(async {
/// assert_eq!(directory.membership(&"ada".parse()?, &"core".parse()?).await?.role(), TeamRole::Admin);
/// assert_eq!(directory.membership(&"ada".parse()?, &"other".parse()?).await?.role(), TeamRole::Outsider);
///
/// // A user who comes back is another incarnation.
/// let before = directory.user(&"ada".parse()?).await?;
/// directory.deprovision(&"ada".parse()?);
/// assert_eq!(directory.user(&"ada".parse()?).await?, UserStatus::Deprovisioned);
/// directory.provision("ada".parse()?);
/// assert_ne!(directory.user(&"ada".parse()?).await?, before);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryDirectory {
    users: Arc<RwLock<Users>>,
}

#[derive(Debug, Default)]
struct Users {
    last_incarnation: i64,
    users: HashMap<UserId, User>,
}

#[derive(Debug)]
struct User {
    incarnation: Incarnation,
    teams: BTreeMap<TeamId, TeamRole>,
}

impl Users {
    fn provision(&mut self, user: UserId) -> &mut User {
        let Self { last_incarnation, users } = self;
        users.entry(user).or_insert_with(|| {
            *last_incarnation = last_incarnation.saturating_add(1);
            User { incarnation: Incarnation::new(*last_incarnation), teams: BTreeMap::new() }
        })
    }
}

impl MemoryDirectory {
    /// Makes a directory without users.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user, who is in no team yet; does nothing for an existing user.
    pub fn provision(&self, user: UserId) {
        self.users.write().unwrap_or_else(PoisonError::into_inner).provision(user);
    }

    /// Sets a user's role in a team, and adds the user if they are not there yet; in all other teams they are an
    /// outsider.
    pub fn set_member(&self, user: UserId, team: TeamId, role: TeamRole) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        users.provision(user).teams.insert(team, role);
    }

    /// Removes a user, who is deprovisioned from now on.
    pub fn deprovision(&self, user: &UserId) {
        self.users.write().unwrap_or_else(PoisonError::into_inner).users.remove(user);
    }

    fn find<T>(&self, user: &UserId, look: impl FnOnce(&User) -> T) -> Option<T> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).users.get(user).map(look)
    }
}

impl Directory for MemoryDirectory {
    type Error = Infallible;

    async fn user(&self, user: &UserId) -> Result<UserStatus, Infallible> {
        let status = self.find(user, |user| UserStatus::active_as(user.incarnation));
        Ok(status.unwrap_or(UserStatus::Deprovisioned))
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, Infallible> {
        let membership = self.find(user, |user| {
            let role = user.teams.get(team).copied().unwrap_or(TeamRole::Outsider);
            Membership::from(role).with_incarnation(user.incarnation)
        });
        Ok(membership.unwrap_or(UserStatus::Deprovisioned.into()))
    }
}
