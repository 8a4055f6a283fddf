//! What users are in teams, in the same database.

use keygate::{Directory, Membership, TeamId, UserId};

use crate::{
    database::Database,
    error::{CorruptRow, StoreError},
    query::{Query, first},
    sql,
    store::SqlStore,
};

#[expect(private_bounds, reason = "sealed: the statements are written for the databases that are here")]
impl<D: Database> SqlStore<D> {
    /// Says what a user is in a team; in teams of which nothing is said they are an outsider.
    ///
    /// [`Membership::Deprovisioned`] is so in every team, and as [`SqlStore::deprovision`].
    ///
    /// # Errors
    ///
    /// If the store failed.
    pub async fn set_member(&self, user: &UserId, team: &TeamId, membership: Membership) -> Result<(), StoreError> {
        let membership = match membership {
            Membership::Admin => ADMIN,
            Membership::Deprovisioned => return self.deprovision(user).await,
            Membership::Member => MEMBER,
            Membership::Outsider => OUTSIDER,
        };
        let add_user = Query::new(sql::ADD_USER).with(user.as_str());
        let add_member = Query::new(sql::ADD_MEMBER).with(user.as_str()).with(team.as_str()).with(membership);
        self.database.write_all(vec![add_user, add_member]).await
    }

    /// Forgets a user, who is deprovisioned from now on.
    ///
    /// # Errors
    ///
    /// If the store failed.
    pub async fn deprovision(&self, user: &UserId) -> Result<(), StoreError> {
        self.database.write(Query::new(sql::REMOVE_USER).with(user.as_str())).await.map(drop)
    }
}

impl<D: Database> Directory for SqlStore<D> {
    type Error = StoreError;

    async fn membership(&self, user: UserId, team: TeamId) -> Result<Membership, StoreError> {
        let rows = self.database.read(Query::new(sql::STANDING).with(user.as_str()).with(team.as_str())).await?;
        let membership = first(rows, |row| match row.optional_text("membership")?.as_deref() {
            Some(ADMIN) => Ok(Membership::Admin),
            Some(MEMBER) => Ok(Membership::Member),
            Some(OUTSIDER) | None => Ok(Membership::Outsider),
            Some(_) => Err(CorruptRow::new("membership")),
        })?;
        Ok(membership.unwrap_or(Membership::Deprovisioned))
    }
}

const ADMIN: &str = "admin";
const MEMBER: &str = "member";
const OUTSIDER: &str = "outsider";
