//! Managing keys in a store: permits on one side, narrow operations on the other.

use alloc::{collections::BTreeMap, vec::Vec};
use core::error::Error;

use rand_core::TryCryptoRng;

use super::{Gate, PresentedKey};
use crate::{
    event::{Asked, Event, EventKind, OperationKind},
    grant::{Owner, Validity},
    id::KeyId,
    manage::{
        Actor, Create, Disable, Enable, ImportError, Issued, List, Permit, Rename, Revoke, Rotate, RotateError,
        RotatedKey, Rotation, System,
    },
    name::{Issuer, KeyName},
    record::{Creator, Status},
    store::{Changed, Conflict, KeyManagementStore, ListBy, Page, PageRequest, Run},
    time::UnixTime,
    token::GenerateError,
};

/// Carries out in a store what a permit allows; each operation returns the event that tells of it.
///
/// ```
/// use core::time::Duration;
/// use keygate::{
///     Actor, Create, EventKind, Grant, Issuer, KeyManager, KeyStore, MemoryStore, System, Revoke, Rotate, Rotation,
///     UnixTime, Validity, authorize_operation,
/// };
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// # pollster::block_on(async {
/// let manager = KeyManager::new(Issuer::from_static("acme"), MemoryStore::new());
/// let mut rng = ChaCha20Rng::from_seed([1; 32]);
/// let (now, system) = (UnixTime::from_secs(100), Actor::system("first key")?);
///
/// let permit = authorize_operation(&system, Create(Grant::Personal { user: "ada".parse()? }), None, now)?;
/// let issued = manager.create(permit, "laptop".parse()?, Validity::NEVER_EXPIRES, &mut rng, now).await?;
///
/// let record = manager.store().find(issued.token.id()).await?.ok_or("it was just stored")?;
/// let permit = authorize_operation(&system, Rotate(record.clone()), None, now)?;
/// let overlap = Duration::from_secs(3600);
/// let next = manager.rotate(permit, Rotation::Start { overlap }, &mut rng, now).await?;
/// assert_eq!(next.token.id(), issued.token.id());
///
/// let event = manager.revoke(authorize_operation(&system, Revoke(record), None, now)?, now).await?;
/// assert_eq!(event.kind, EventKind::Revoked { first_at: now });
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeyManager<S> {
    issuer: Issuer,
    store: S,
}

impl<S: KeyManagementStore> KeyManager<S> {
    /// Takes the issuer of the keys, and where to store them.
    #[must_use]
    pub const fn new(issuer: Issuer, store: S) -> Self {
        Self { issuer, store }
    }

    /// Returns a reference to the store.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Creates a key; where its random id is taken, it draws another.
    ///
    /// # Errors
    ///
    /// - [`ManageError::Conflict`] with [`Conflict::NameTaken`] if another key of the owner has the name.
    /// - [`ManageError::Generate`] if the random generator does not work.
    /// - [`ManageError::Store`] if the store failed. The key may exist then, but nobody has its token.
    pub async fn create<R: TryCryptoRng + Send + ?Sized>(
        &self,
        permit: Permit<Create>,
        name: KeyName,
        validity: Validity,
        rng: &mut R,
        now: UnixTime,
    ) -> Result<Issued, ManageError<S::Error>> {
        for _ in 0..MAX_INSERTS {
            let issued = permit.issue(self.issuer, name.clone(), validity, rng, now)?;
            match self.store.insert(issued.key.clone()).await.map_err(ManageError::Store)? {
                Ok(()) => return Ok(issued),
                Err(Conflict::IdTaken) => {}
                Err(conflict) => return Err(ManageError::Conflict(conflict)),
            }
        }
        Err(ManageError::Conflict(Conflict::IdTaken))
    }

    /// Gives the key another name.
    ///
    /// # Errors
    ///
    /// As for every change: [`ManageError::Conflict`] with the store's answer ([`Conflict::NameTaken`] among them), or
    /// [`ManageError::Store`] if the store failed.
    pub async fn rename(
        &self,
        permit: Permit<Rename>,
        name: KeyName,
        now: UnixTime,
    ) -> Result<Event, ManageError<S::Error>> {
        let id = permit.operation().0.id();
        accepted(self.store.rename(id, name.clone()).await)?;
        Ok(permit.event(EventKind::Renamed { name }, now))
    }

    /// Gives the key another secret.
    ///
    /// # Errors
    ///
    /// - [`ManageError::Rotate`] if the key cannot be rotated, or not in that way.
    /// - [`ManageError::Conflict`] with [`Conflict::Changed`] if somebody else rotated it in the meantime.
    /// - [`ManageError::Store`] if the store failed. The new secret may be the current one then, and nobody has its
    ///   token: look the record up again and ask for [`Rotation::Retry`].
    pub async fn rotate<R: TryCryptoRng + Send + ?Sized>(
        &self,
        permit: Permit<Rotate>,
        rotation: Rotation,
        rng: &mut R,
        now: UnixTime,
    ) -> Result<RotatedKey, ManageError<S::Error>> {
        let rotated = permit.rotate(self.issuer, rotation, rng, now)?;
        accepted(self.store.rotate(rotated.change).await)?;
        Ok(rotated)
    }

    /// Ends the key's previous secret at once, if it has one.
    ///
    /// # Errors
    ///
    /// As [`KeyManager::rename`].
    pub async fn end_overlap(&self, permit: Permit<Rotate>, now: UnixTime) -> Result<Event, ManageError<S::Error>> {
        accepted(self.store.end_overlap(permit.operation().0.id()).await)?;
        Ok(permit.event(EventKind::OverlapEnded, now))
    }

    /// Sets the key aside.
    ///
    /// # Errors
    ///
    /// As [`KeyManager::rename`].
    pub async fn disable(&self, permit: Permit<Disable>, now: UnixTime) -> Result<Event, ManageError<S::Error>> {
        accepted(self.store.disable(permit.operation().0.id()).await)?;
        Ok(permit.event(EventKind::Disabled, now))
    }

    /// Takes the disabled key into use again.
    ///
    /// # Errors
    ///
    /// As [`KeyManager::rename`], with [`Conflict::NotDisabled`] among the responses.
    pub async fn enable(&self, permit: Permit<Enable>, now: UnixTime) -> Result<Event, ManageError<S::Error>> {
        accepted(self.store.enable(permit.operation().0.id()).await)?;
        Ok(permit.event(EventKind::Enabled, now))
    }

    /// Ends the key for good; doing it again keeps the first time.
    ///
    /// # Errors
    ///
    /// As [`KeyManager::rename`].
    pub async fn revoke(&self, permit: Permit<Revoke>, now: UnixTime) -> Result<Event, ManageError<S::Error>> {
        let first_at = accepted(self.store.revoke(permit.operation().0.id(), now).await)?;
        Ok(permit.event(EventKind::Revoked { first_at }, now))
    }

    /// Ends the keys whose tokens were found where they should not be; whoever holds a token may end its key.
    ///
    /// There is a result for each key that one of the texts opens, and for each that could not be looked up or ended: an
    /// event, or why not. Nothing comes of texts that open no key, and of keys that were ended before. Answer whoever
    /// reported them the same whatever there is, but for a failure, after which the report has to be made again.
    ///
    /// # Security
    ///
    /// Only a matching secret ends a key, so nobody can end one of which they know just the public id. Each id is looked up
    /// once, however often it is among the texts, and past every cache: neither is a new secret overlooked, nor does one
    /// that was cut over still count.
    ///
    /// ```
    /// use keygate::{Gate, Issuer, KeyManager, MemoryStore, UnixTime};
    ///
    /// let kg = Issuer::from_static("kg");
    /// let manager = KeyManager::new(kg, MemoryStore::new());
    /// let found = ["kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d"];
    /// let events = pollster::block_on(manager.revoke_leaked(Gate::new(kg), found, UnixTime::now()));
    /// assert_eq!(events, []); // no such key
    /// ```
    pub async fn revoke_leaked(
        &self,
        gate: Gate,
        texts: impl IntoIterator<Item = &str, IntoIter: Send> + Send,
        now: UnixTime,
    ) -> Vec<Result<Event, ManageError<S::Error>>> {
        let mut presented = BTreeMap::<KeyId, Vec<PresentedKey>>::new();
        for lookup in texts.into_iter().filter_map(|text| gate.parse(text).ok()) {
            presented.entry(lookup.id()).or_default().push(lookup);
        }
        let mut results = Vec::new();
        for (id, lookups) in presented {
            let record = match self.store.find_current(id).await {
                Ok(record) => record.filter(|record| !matches!(record.status(), Status::Revoked { .. })),
                Err(error) => {
                    results.push(Err(ManageError::Store(error)));
                    continue;
                }
            };
            if let Some(key) = lookups.iter().find_map(|lookup| lookup.verify(record.clone(), now).ok()) {
                results.push(self.revoke(Permit::leaked(&key), now).await);
            }
        }
        results
    }

    /// Lists the owner's keys.
    ///
    /// # Errors
    ///
    /// [`ManageError::Store`] if the store failed.
    pub async fn list(&self, permit: Permit<List>, page: PageRequest) -> Result<Page, ManageError<S::Error>> {
        let by = ListBy::Owner(permit.operation().0.clone());
        self.store.list(by, page).await.map_err(ManageError::Store)
    }

    /// Lists the keys that somebody created, whoever owns them: what to look at when a creator leaves.
    ///
    /// # Errors
    ///
    /// [`ManageError::Store`] if the store failed.
    pub async fn list_created_by(
        &self,
        _: &System,
        creator: Creator,
        page: PageRequest,
    ) -> Result<Page, ManageError<S::Error>> {
        self.store.list(ListBy::Creator(creator), page).await.map_err(ManageError::Store)
    }

    /// Ends all keys of an owner, as when a user is deprovisioned or a team dissolved.
    ///
    /// # Errors
    ///
    /// [`ManageError::Store`] if the store failed.
    pub async fn revoke_all(
        &self,
        system: &System,
        owner: Owner,
        now: UnixTime,
    ) -> Result<Vec<Event>, ManageError<S::Error>> {
        let ids = self.store.revoke_all(owner, now, Run::Real).await.map_err(ManageError::Store)?;
        let revoked = |id| Event::new(now, system.by(), Some(id), EventKind::Revoked { first_at: now });
        Ok(ids.into_iter().map(revoked).collect())
    }

    /// Returns the keys that [`KeyManager::revoke_all`] would end, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`ManageError::Store`] if the store failed.
    pub async fn revoke_all_dry_run(
        &self,
        _: &System,
        owner: Owner,
        now: UnixTime,
    ) -> Result<Vec<KeyId>, ManageError<S::Error>> {
        self.store.revoke_all(owner, now, Run::Dry).await.map_err(ManageError::Store)
    }
}

fn accepted<T, E: Error + 'static>(answer: Result<Changed<T>, E>) -> Result<T, ManageError<E>> {
    answer.map_err(ManageError::Store)?.map_err(ManageError::Conflict)
}

/// Why a permitted operation did not take place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError<E: Error + 'static> {
    /// The random generator does not work.
    #[error("no token could be made")]
    Generate(#[from] GenerateError),
    /// The key cannot be imported.
    #[error("the key cannot be imported")]
    Import(#[from] ImportError),
    /// The store refused.
    #[error("the store refused the change")]
    Conflict(#[source] Conflict),
    /// The key cannot be rotated, or not in that way.
    #[error("the key cannot be rotated")]
    Rotate(#[from] RotateError),
    /// The store failed, and it is unknown whether the change took place.
    #[error("the store failed")]
    Store(#[source] E),
}

impl<E: Error + 'static> ManageError<E> {
    /// Returns the event that tells of the conflict; nothing where nobody refused, but something failed.
    ///
    /// `key` is the one that should have been changed, where there was one already.
    #[must_use]
    pub fn to_event(
        &self,
        actor: &Actor<'_>,
        operation: OperationKind,
        key: Option<KeyId>,
        now: UnixTime,
    ) -> Option<Event> {
        let why = match self {
            Self::Conflict(conflict) => conflict.as_str(),
            Self::Rotate(RotateError::Generate(_)) | Self::Generate(_) | Self::Store(_) => return None,
            Self::Import(error) => error.as_str(),
            Self::Rotate(error) => error.as_str(),
        };
        let refused = EventKind::Refused { asked: Some(Asked::Operation(operation)), why };
        Some(Event::new(now, actor.by(), key, refused))
    }
}

/// Two ids of 95 random bits are never equal in practice: more than a few in a row say that something else is wrong.
const MAX_INSERTS: usize = 4;
