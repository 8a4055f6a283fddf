//! Where keys and memberships are kept.

use core::{error::Error, time::Duration};
use std::{path::Path, time::Instant};

use keygate::{CachedStore, Directory, KeyManagementStore, Membership, TeamId, UserId};
use keygate_sql_store::{PostgresStore, SqliteStore, StoreError};
use tempfile::TempDir;

use crate::app::Store;

/// Keys and members.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) store: Store,
    pub(crate) members: Members,
    /// Removed at the end, with the database in it.
    pub(crate) directory: Option<TempDir>,
}

impl Database {
    /// Opens `sqlite:PATH` or `postgres://...`; nothing is a database that ends with the server.
    pub(crate) async fn open(url: Option<&str>, cache: Option<Duration>) -> Result<Self, Box<dyn Error>> {
        let (members, directory) = match url {
            None => {
                let directory = TempDir::new()?;
                let store = SqliteStore::open(&directory.path().join("keys.sqlite")).await?;
                (Members::Sqlite(store), Some(directory))
            }
            Some(url) => match url.strip_prefix("sqlite:") {
                Some(path) => (Members::Sqlite(SqliteStore::open(Path::new(path)).await?), None),
                None => (Members::Postgres(PostgresStore::connect(url).await?), None),
            },
        };
        let store = match &members {
            Members::Postgres(store) => cached(store.clone(), cache),
            Members::Sqlite(store) => cached(store.clone(), cache),
        };
        Ok(Self { store, members, directory })
    }
}

/// Puts a cache in front, if one is asked for. Its bound is how long a key that another process revoked keeps opening.
fn cached(store: impl KeyManagementStore + 'static, cache: Option<Duration>) -> Store {
    match cache {
        Some(max_staleness) => Store::new(CachedStore::new(store, max_staleness, 10_000, 1_000, Instant::now)),
        None => Store::new(store),
    }
}

/// What users are in teams: in the same database, and never cached.
#[derive(Clone, Debug)]
pub(crate) enum Members {
    Postgres(PostgresStore),
    Sqlite(SqliteStore),
}

impl Members {
    /// Adds users for tests and for trying out: `ada`, a member of `core`, `bob`, its admin, and `carl`, admin of
    /// `labs`.
    pub(crate) async fn add_examples(&self) -> Result<(), Box<dyn Error>> {
        for (user, team, membership) in [
            ("ada", "core", Membership::Member),
            ("bob", "core", Membership::Admin),
            ("carl", "labs", Membership::Admin),
        ] {
            let (user, team) = (user.parse()?, team.parse()?);
            match self {
                Self::Postgres(store) => store.set_member(&user, &team, membership).await?,
                Self::Sqlite(store) => store.set_member(&user, &team, membership).await?,
            }
        }
        Ok(())
    }
}

impl Directory for Members {
    type Error = StoreError;

    async fn membership(&self, user: UserId, team: TeamId) -> Result<Membership, StoreError> {
        match self {
            Self::Postgres(store) => store.membership(user, team).await,
            Self::Sqlite(store) => store.membership(user, team).await,
        }
    }
}
