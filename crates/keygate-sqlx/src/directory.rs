//! Users, and their roles in teams.

use keygate::{Incarnation, Membership, TeamId, TeamRole, UserId, UserStatus, store::Directory};

use crate::{
    database::{Database, Transaction},
    error::{CorruptRow, OpenError, StoreError},
    query::{Columns, Query, first},
    schema::Migration,
    settings::TablePrefix,
    sql,
};

/// Users and teams in a PostgreSQL database.
#[cfg(feature = "postgres")]
pub type PostgresDirectory = SqlDirectory<crate::Postgres>;

/// Users and teams in an SQLite file.
#[cfg(feature = "sqlite")]
pub type SqliteDirectory = SqlDirectory<crate::Sqlite>;

/// Users, each with an incarnation, and their roles in teams; clones share the connections of the database.
///
/// It is for services that have no other table of users. It knows nothing of keys: deprovision a user here first, and
/// then call [`KeyManager::deprovision`](keygate::KeyManager::deprovision).
#[derive(Clone, Debug)]
pub struct SqlDirectory<D> {
    database: D,
}

#[expect(private_bounds, reason = "sealed: the statements are written for the databases that are here")]
impl<D: Database> SqlDirectory<D> {
    /// Makes the tables, or brings them up to date, as [`SqlStore::migrate`](crate::SqlStore::migrate).
    ///
    /// # Errors
    ///
    /// The same as there.
    pub async fn migrate(database: &D) -> Result<(), OpenError> {
        D::DIRECTORY.migrate(database).await
    }

    /// Returns the statements that [`SqlDirectory::migrate`] runs.
    #[must_use]
    pub fn migrations(prefix: &TablePrefix) -> Vec<Migration> {
        D::DIRECTORY.migrations(prefix)
    }

    /// Makes a directory on the tables that are there.
    ///
    /// # Errors
    ///
    /// The same as for [`SqlStore::open`](crate::SqlStore::open).
    pub async fn open(database: &D) -> Result<Self, OpenError> {
        D::DIRECTORY.check(database).await?;
        Ok(Self { database: database.clone() })
    }

    /// Adds a user, who is in no team yet; does nothing for an existing user.
    ///
    /// A user who comes back is another [incarnation](Incarnation).
    ///
    /// # Errors
    ///
    /// If the store failed.
    pub async fn provision(&self, user: &UserId) -> Result<(), StoreError> {
        self.database.write(Query::new(sql::ADD_USER).with(user.as_str())).await.map(drop)
    }

    /// Sets a user's role in a team, and adds the user if they are not there yet; in all other teams they are an
    /// outsider.
    ///
    /// [`TeamRole::Deprovisioned`] applies to every team, like [`SqlDirectory::deprovision`].
    ///
    /// # Errors
    ///
    /// If the store failed, or does not know the role.
    pub async fn set_member(&self, user: &UserId, team: &TeamId, role: TeamRole) -> Result<(), StoreError> {
        let role = match role {
            TeamRole::Admin => ADMIN,
            TeamRole::Deprovisioned => return self.deprovision(user).await,
            TeamRole::Member => MEMBER,
            TeamRole::Outsider => OUTSIDER,
            _ => return Err(self.database.place().corrupt(CorruptRow::new("role"))),
        };
        let mut transaction = self.database.begin(None).await?;
        transaction.run(Query::new(sql::ADD_USER).with(user.as_str())).await?;
        transaction.run(Query::new(sql::ADD_MEMBER).with(user.as_str()).with(team.as_str()).with(role)).await?;
        transaction.commit().await
    }

    /// Removes a user, who is deprovisioned from now on.
    ///
    /// # Errors
    ///
    /// If the store failed.
    pub async fn deprovision(&self, user: &UserId) -> Result<(), StoreError> {
        let mut transaction = self.database.begin(None).await?;
        for statement in [sql::REMOVE_USER, sql::REMOVE_MEMBERS] {
            transaction.run(Query::new(statement).with(user.as_str())).await?;
        }
        transaction.commit().await
    }
}

impl<D: Database> Directory for SqlDirectory<D> {
    type Error = StoreError;

    async fn user(&self, user: &UserId) -> Result<UserStatus, StoreError> {
        let rows = self.database.read(Query::read(D::SQL.reads.user).with(user.as_str())).await?;
        let status = first(self.database.place(), &rows, |row| Ok(UserStatus::active_as(read_incarnation(row)?)))?;
        Ok(status.unwrap_or(UserStatus::Deprovisioned))
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, StoreError> {
        let query = Query::read(D::SQL.reads.membership).with(user.as_str()).with(team.as_str());
        let rows = self.database.read(query).await?;
        let membership = first(self.database.place(), &rows, |row| {
            let incarnation = read_incarnation(row)?;
            let role = match row.optional_text("role")? {
                Some(ADMIN) => TeamRole::Admin,
                Some(MEMBER) => TeamRole::Member,
                Some(OUTSIDER) | None => TeamRole::Outsider,
                Some(_) => return Err(CorruptRow::new("role")),
            };
            Ok(Membership::from(role).with_incarnation(incarnation))
        })?;
        Ok(membership.unwrap_or(UserStatus::Deprovisioned.into()))
    }
}

fn read_incarnation(row: &mut Columns<'_>) -> Result<Incarnation, CorruptRow> {
    const COLUMN: &str = "incarnation";
    row.optional_integer(COLUMN)?.map(Incarnation::new).ok_or(CorruptRow::new(COLUMN))
}

const ADMIN: &str = "admin";
const MEMBER: &str = "member";
const OUTSIDER: &str = "outsider";
