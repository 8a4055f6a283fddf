//! The directory of the gate: the database, or a cache with the same bound as that of keys.
//!
//! The cache serves requests only: managing keys asks the database each time.

use core::{
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::{sync::Arc, time::Instant};

use keygate::{Membership, TeamId, TeamRole, UserId, UserStatus, store::Directory};
use keygate_sqlx::StoreError;
use quick_cache::{Equivalent, sync::Cache};

use crate::database::Database;

/// The directory of the gate.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    database: Database,
    memory: Option<Arc<Memory>>,
}

/// Answers of the database, kept for a bounded time. Absent users and outsiders of a team are looked up each time, so
/// that new rights take effect at once.
#[derive(Debug)]
struct Memory {
    bound: Duration,
    /// Goes up when this node changes what a user is: what was read before counts no more.
    generation: AtomicU64,
    statuses: Cache<UserId, Dated<UserStatus>>,
    memberships: Cache<(UserId, TeamId), Dated<Membership>>,
}

/// As of before it was looked up.
#[derive(Clone, Copy, Debug)]
struct Dated<T> {
    value: T,
    since: Instant,
    generation: u64,
}

impl Users {
    /// Remembers for so many seconds; with 0, nothing.
    pub(crate) fn new(database: Database, seconds: u8) -> Self {
        let memory = (seconds > 0).then(|| {
            Arc::new(Memory {
                bound: Duration::from_secs(seconds.into()),
                generation: AtomicU64::new(0),
                statuses: Cache::new(MAX_REMEMBERED),
                memberships: Cache::new(MAX_REMEMBERED),
            })
        });
        Self { database, memory }
    }

    /// Removes a user, whose keys open nothing from now on: here at once, and on other nodes within the bound.
    ///
    /// # Errors
    ///
    /// If the database failed.
    pub(crate) async fn deprovision(&self, user: &UserId) -> Result<(), StoreError> {
        // Also after a failure, and where nobody waits any more: whether it was done is unknown then.
        let _forgets = self.memory.as_deref().map(ForgetOnDrop);
        self.database.deprovision(user).await
    }
}

/// Makes what was remembered until now count no more.
struct ForgetOnDrop<'a>(&'a Memory);

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Memory {
    async fn get<K: Hash + Eq, Q: Hash + Equivalent<K>, T: Copy>(
        &self,
        cache: &Cache<K, Dated<T>>,
        key: &Q,
        own: impl FnOnce() -> K,
        look_up: impl Future<Output = Result<T, StoreError>>,
        is_remembered: impl FnOnce(&T) -> bool,
    ) -> Result<T, StoreError> {
        let generation = self.generation.load(Ordering::SeqCst);
        let found = cache.get(key).filter(|found| found.generation == generation);
        if let Some(found) = found.filter(|found| found.since.elapsed() < self.bound) {
            return Ok(found.value);
        }
        let since = Instant::now();
        let value = look_up.await?;
        if is_remembered(&value) {
            cache.insert(own(), Dated { value, since, generation });
        }
        Ok(value)
    }
}

impl Directory for Users {
    type Error = StoreError;

    async fn user(&self, user: &UserId) -> Result<UserStatus, StoreError> {
        USER_LOOK_UPS.fetch_add(1, Ordering::Relaxed);
        let look_up = async {
            STORE_USER_LOOK_UPS.fetch_add(1, Ordering::Relaxed);
            self.database.user(user).await
        };
        let Some(memory) = &self.memory else { return look_up.await };
        let is_remembered = |status: &UserStatus| *status != UserStatus::Deprovisioned;
        memory.get(&memory.statuses, user, || user.clone(), look_up, is_remembered).await
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, StoreError> {
        USER_LOOK_UPS.fetch_add(1, Ordering::Relaxed);
        let look_up = async {
            STORE_USER_LOOK_UPS.fetch_add(1, Ordering::Relaxed);
            self.database.membership(user, team).await
        };
        let Some(memory) = &self.memory else { return look_up.await };
        let own = || (user.clone(), team.clone());
        let is_remembered = |membership: &Membership| matches!(membership.role(), TeamRole::Admin | TeamRole::Member);
        memory.get(&memory.memberships, &Member(user, team), own, look_up, is_remembered).await
    }
}

/// As the pair of both, which hashes one after the other.
#[derive(Hash)]
struct Member<'a>(&'a UserId, &'a TeamId);

impl Equivalent<(UserId, TeamId)> for Member<'_> {
    fn equivalent(&self, (user, team): &(UserId, TeamId)) -> bool {
        self.0 == user && self.1 == team
    }
}

const MAX_REMEMBERED: usize = 100_000;

/// How often a user was looked up, in memory or not, since the process began.
pub(crate) static USER_LOOK_UPS: AtomicU64 = AtomicU64::new(0);
/// How many of these the database answered.
pub(crate) static STORE_USER_LOOK_UPS: AtomicU64 = AtomicU64::new(0);
