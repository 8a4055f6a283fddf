//! Decides what an actor may, by the present state of directory and store.

use super::{Failure, KeyManager, ManageError};
use crate::{
    actor::{ActingKey, Actor},
    audit::OperationKind,
    grant::Owner,
    id::UserId,
    manage::{Acting, List, ManageDenial, Operation, Permit, authorize_among},
    membership::{Membership, TeamRole},
    reason::{DenialClass, Reason},
    record::KeyRecord,
    sink::Message,
    store::{Directory, KeyManagementStore, Touch},
    time::UnixTime,
    verify::{DEFAULT_TOUCH_INTERVAL, MatchedKey},
};

impl<S: KeyManagementStore, D: Directory> KeyManager<S, D> {
    /// Decides whether the actor may, by the present state of directory and store. The acting key comes last, so that
    /// nothing but the change itself lies between its look-up and the commit.
    pub(super) async fn permit<O: Operation>(&self, actor: &Actor, operation: O) -> Result<Permit<O>, Failure<S, D>> {
        let owner = operation.owner();
        let denied = |reason| ManageError::Denied(ManageDenial::new(reason, O::KIND));
        match actor {
            Actor::System(system) => {
                let mints = matches!(O::KIND, OperationKind::Create | OperationKind::Import);
                let membership = match &owner {
                    Owner::Personal(user) if mints => Some(self.user(user).await?),
                    _ => None,
                };
                if membership.is_some_and(|membership| membership.role() == TeamRole::Deprovisioned) {
                    return Err(denied(Reason::OwnerDeprovisioned));
                }
                self.authorize(Acting::System(system), operation, membership, self.now())
            }
            Actor::User(user) => {
                let membership = self.membership(user, &owner).await?;
                self.authorize(Acting::User(user), operation, Some(membership), self.now())
            }
            Actor::Key(acting) => {
                let (key, membership, now) = self.acting(acting, &owner).await?;
                let permit = self.authorize(Acting::Key(&key), operation, membership, now)?;
                // Managing is use, too.
                if key.touch_due(now, DEFAULT_TOUCH_INTERVAL) {
                    self.sink.tell(Message::Touch(Touch::new(key.id(), key.slot(), now)));
                }
                Ok(permit)
            }
        }
    }

    /// Looks the acting key up and matches it, and asks what its user is to the owner of the target.
    async fn acting(
        &self,
        acting: &ActingKey,
        owner: &Owner,
    ) -> Result<(MatchedKey, Option<Membership>, UnixTime), Failure<S, D>> {
        let presented = acting.as_presented();
        if !self.keys.accepts(presented.issuer()) {
            return Err(ManageError::ActorInvalid);
        }
        let membership = match presented.user() {
            Some(user) => Some(self.membership(user, owner).await?),
            None => None,
        };
        let record = self.store.find(acting.id()).await.map_err(ManageError::Store)?;
        let now = self.now();
        let key = presented.match_again(record, now).map_err(|_| ManageError::ActorInvalid)?;
        Ok((key, membership, now))
    }

    /// Returns the error of a call that ended before the actor was looked at. If the acting key is of no use, that is
    /// the error, for nothing else is for its holder; and so is a failure to find that out.
    pub(super) async fn of_actor_first(
        &self,
        actor: &Actor,
        kind: OperationKind,
        error: Failure<S, D>,
    ) -> Failure<S, D> {
        let Actor::Key(acting) = actor else { return error };
        let owner = acting.as_presented().owner();
        let authorized = match self.acting(acting, &owner).await {
            Ok((key, membership, now)) => self.authorize(Acting::Key(&key), List(owner), membership, now).map(drop),
            Err(error) => Err(error),
        };
        match authorized {
            Err(ManageError::Denied(denial)) if denial.class() == DenialClass::NotAuthenticated => {
                ManageDenial::new(denial.reason(), kind).into()
            }
            Ok(()) | Err(ManageError::Denied(_)) => error,
            Err(of_actor) => of_actor,
        }
    }

    fn authorize<O: Operation>(
        &self,
        acting: Acting<'_>,
        operation: O,
        membership: Option<Membership>,
        now: UnixTime,
    ) -> Result<Permit<O>, Failure<S, D>> {
        // A key of a former issuer stays one of that issuer.
        let issuer = operation.record().map_or(self.issuer(), KeyRecord::issuer);
        Ok(authorize_among(&|accepted| self.keys.accepts(accepted), issuer, acting, operation, membership, now)?)
    }

    pub(super) async fn user(&self, user: &UserId) -> Result<Membership, Failure<S, D>> {
        self.directory.user(user).await.map(Membership::from).map_err(ManageError::Directory)
    }

    async fn membership(&self, user: &UserId, owner: &Owner) -> Result<Membership, Failure<S, D>> {
        match owner {
            Owner::Team(team) => self.directory.membership(user, team).await.map_err(ManageError::Directory),
            Owner::Personal(_) => self.user(user).await,
        }
    }
}
