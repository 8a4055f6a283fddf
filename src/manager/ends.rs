//! Ending many keys: those that leaked, and those of an owner.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{Failure, KeyManager, MAX_ATTEMPTS, ManageError};
use crate::{
    actor::System,
    audit::{EventDraft, EventId, OperationKind},
    grant::Owner,
    id::{KeyId, UserId},
    manage::Permit,
    membership::UserStatus,
    record::RevocationCause,
    stages::{PresentedKey, stranger},
    store::{Conflict, Directory, KeyManagementStore, RevokeAll},
    verify::MatchedKey,
};

impl<S: KeyManagementStore, D: Directory> KeyManager<S, D> {
    /// Revokes the keys whose tokens have leaked: the secret is the authority.
    ///
    /// There is a result for each key that one of the texts opens, and for each that could not be looked up or revoked.
    /// Texts that open no key, and keys that were revoked before, have no result. Give the reporter the same answer in
    /// every case except a failure, after which the report must be repeated.
    ///
    /// # Security
    ///
    /// Only a matching secret revokes a key, so knowing its public id is not enough to end it. Each id is
    /// looked up once, however often it is among the texts, and past every cache.
    ///
    /// ```
    /// use keygate::{Issuer, KeyManager, MemoryStore};
    ///
    /// let keys = KeyManager::new(Issuer::from_static("kg"), MemoryStore::new());
    /// let found = ["kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d"];
    /// assert_eq!(pollster::block_on(keys.revoke_leaked(found)), []); // no such key
    /// ```
    pub async fn revoke_leaked(
        &self,
        texts: impl IntoIterator<Item = &str, IntoIter: Send> + Send,
    ) -> Vec<Result<KeyId, Failure<S, D>>> {
        let mut presented = BTreeMap::<KeyId, Vec<PresentedKey>>::new();
        for key in texts.into_iter().filter_map(|text| self.keys.parse(text).ok()) {
            presented.entry(key.id()).or_default().push(key);
        }
        let mut results = Vec::new();
        for (id, keys) in presented {
            let mut opened = None;
            let result = self.try_revoke_leaked(id, &keys, &mut opened).await;
            let by = || opened.as_ref().map_or_else(|| stranger(Some(id)), MatchedKey::principal);
            self.report(by, OperationKind::Revoke, Some(id), opened.as_ref().map(MatchedKey::owner), &result);
            results.extend(result.transpose());
        }
        results
    }

    /// Revokes the key that one of the texts opens. If a rotation comes between, they may no longer open it, so it is
    /// looked up again.
    async fn try_revoke_leaked(
        &self,
        id: KeyId,
        presented: &[PresentedKey],
        opened: &mut Option<MatchedKey>,
    ) -> Result<Option<KeyId>, Failure<S, D>> {
        for _ in 0..MAX_ATTEMPTS {
            let record = self.store.find(id).await.map_err(ManageError::Store)?;
            let record = record.filter(|record| !record.is_revoked());
            let now = self.now();
            *opened = presented.iter().find_map(|key| key.verify(record.clone(), now).ok());
            let Some(key) = opened else { return Ok(None) };
            let change = Permit::revoke_leaked(key, &*self.randomness, now)?;
            match self.carry_out(change).await {
                Err(ManageError::Conflict(Conflict::Changed)) => {}
                result => return result.map(|_| Some(id)),
            }
        }
        Err(ManageError::Conflict(Conflict::Changed))
    }

    /// Revokes all keys of a user who is deprovisioned in the directory, and returns their ids.
    ///
    /// Set the directory first: from then on no key of the user opens. Repeat a call that failed or was dropped: it
    /// goes on with the keys that are left.
    ///
    /// # Errors
    ///
    /// [`ManageError::UserNotDeprovisioned`] if the user is active in the directory, and [`ManageError::Directory`],
    /// [`ManageError::Store`] or [`ManageError::Permit`] if a look-up, the store or the generator failed: keys may be
    /// left then.
    pub async fn deprovision(&self, system: &System, user: &UserId) -> Result<Vec<KeyId>, Failure<S, D>> {
        let owner = Owner::Personal(user.clone());
        let result = self.try_deprovision(system, user, &owner).await;
        self.report(|| system.principal(), OperationKind::Revoke, None, Some(owner), &result);
        result
    }

    async fn try_deprovision(
        &self,
        system: &System,
        user: &UserId,
        owner: &Owner,
    ) -> Result<Vec<KeyId>, Failure<S, D>> {
        if self.directory.user(user).await.map_err(ManageError::Directory)? != UserStatus::Deprovisioned {
            return Err(ManageError::UserNotDeprovisioned);
        }
        self.try_revoke_all(system, owner, RevocationCause::OwnerDeprovisioned).await
    }

    /// Revokes all keys of an owner, such as a team that is dissolved, in batches, and returns their ids.
    ///
    /// Repeat a call that failed: it goes on with the keys that are left. For a dry run, list the keys with
    /// [`StatusFilter::NotRevoked`](crate::store::StatusFilter::NotRevoked).
    ///
    /// # Errors
    ///
    /// [`ManageError::Store`] or [`ManageError::Permit`] if the store or the generator failed, and
    /// [`ManageError::Conflict`] with [`Conflict::Changed`] if the store says that keys are left and revokes none: keys
    /// may be left then.
    pub async fn revoke_all(
        &self,
        system: &System,
        owner: Owner,
        cause: RevocationCause,
    ) -> Result<Vec<KeyId>, Failure<S, D>> {
        let result = self.try_revoke_all(system, &owner, cause).await;
        self.report(|| system.principal(), OperationKind::Revoke, None, Some(owner), &result);
        result
    }

    async fn try_revoke_all(
        &self,
        system: &System,
        owner: &Owner,
        cause: RevocationCause,
    ) -> Result<Vec<KeyId>, Failure<S, D>> {
        let mut ids = BTreeSet::new();
        loop {
            let draft = EventDraft::new(EventId::generate(&*self.randomness)?, self.now(), system.principal());
            let batch = self.store.revoke_all(RevokeAll::new(owner.clone(), cause, draft)).await;
            let batch = batch.map_err(ManageError::Store)?;
            self.hand_over(batch.receipt);
            let known = ids.len();
            ids.extend(batch.ids);
            if !batch.has_more {
                return Ok(ids.into_iter().collect());
            }
            // A store that says so and ends no key would be asked for ever.
            if ids.len() == known {
                return Err(ManageError::Conflict(Conflict::Changed));
            }
        }
    }
}
