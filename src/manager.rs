//! The front door for managing keys: one call finds the target, decides, changes, and writes the event.

use alloc::sync::Arc;
use core::fmt;

use crate::{
    actor::{Actor, System},
    audit::{Attempt, Event, OperationKind, Principal},
    gate::Clock,
    grant::Owner,
    id::KeyId,
    issue::{Issued, NewKeySpec, RotatedKey, Rotation},
    labels::Labels,
    legacy::LegacyFormat,
    manage::{
        Create, Disable, Enable, EndOverlap, Import, List, MintRules, Minted, MintedSecret, Operation, Permit,
        PermitError, Rename, Revoke, Rotate, SetLabels, Upgrade,
    },
    name::{Issuer, KeyName},
    own_action::OwnActions,
    randomness::Randomness,
    record::{KeyRecord, RevocationCause},
    sink::{AuditSink, Message, NoSink},
    stages::AcceptedKeys,
    store::{
        Answer, Conflict, Directory, KeyChange, KeyManagementStore, KeysOf, ListQuery, NoDirectory, Page, Receipt,
    },
    time::UnixTime,
    verify::MatchedKey,
};

mod dry_run;
mod ends;
mod error;
mod permit;

pub use dry_run::DryRun;
pub use error::ManageError;

/// Creates, lists, changes and ends keys for an [`Actor`].
///
/// It owns the store, the directory, the clock, the generator and the sink. Each call finds the target past every
/// cache, asks the directory, looks the acting key up again past every cache and matches it again by the presented
/// digest, decides by the rules of [`manage`](crate::manage), and changes the store, which writes the event in the same
/// transaction. Only the time from that look-up to the commit remains. Refusals go to the sink.
///
/// Behind a cache, give it [`CachedStore::write_through`](crate::CachedStore::write_through).
///
/// ```
/// use core::time::Duration;
/// use keygate::{
///     Actor, Grant, Issuer, KeyManager, MemoryDirectory, MemoryStore, NewKeySpec, RevocationCause, Rotation,
///     TeamRole, Validity,
/// };
///
/// # pollster::block_on(async {
/// let directory = MemoryDirectory::new();
/// directory.set_member("ada".parse()?, "core".parse()?, TeamRole::Member);
/// let keys = KeyManager::new(Issuer::from_static("acme"), MemoryStore::new()).with_directory(directory);
///
/// let ada = Actor::User("ada".parse()?); // signed in
/// let spec = NewKeySpec::new(Grant::personal("ada".parse()?), "laptop".parse()?, Validity::NEVER_EXPIRES);
/// let issued = keys.create(&ada, spec).await?;
///
/// let rotated = keys.rotate(&ada, issued.record.id(), Rotation::Start { overlap: Duration::from_secs(3600) }).await?;
/// assert_eq!(rotated.token.id(), issued.record.id());
/// keys.revoke(&ada, issued.record.id(), RevocationCause::Requested).await?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct KeyManager<S, D = NoDirectory> {
    keys: AcceptedKeys,
    rules: MintRules,
    store: S,
    directory: D,
    clock: Clock,
    randomness: Arc<dyn Randomness>,
    sink: Arc<dyn AuditSink>,
}

/// The error of a manager's call.
type Failure<S, D> = ManageError<<S as crate::store::KeyStore>::Error, <D as Directory>::Error>;

impl<S: KeyManagementStore> KeyManager<S> {
    /// Manages keys of `issuer` in `store`; without a directory there are team keys only.
    #[cfg(all(feature = "std", feature = "getrandom"))]
    #[cfg_attr(docsrs, doc(cfg(all(feature = "std", feature = "getrandom"))))]
    #[must_use]
    pub fn new(issuer: Issuer, store: S) -> Self {
        Self::with_parts(issuer, store, UnixTime::now, crate::randomness::SystemRandomness)
    }

    /// Like `new`, with a clock and a generator of your own.
    #[must_use]
    pub fn with_parts(
        issuer: Issuer,
        store: S,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
        randomness: impl Randomness + 'static,
    ) -> Self {
        Self {
            keys: AcceptedKeys::new(issuer),
            rules: MintRules::new(),
            store,
            directory: NoDirectory,
            clock: Arc::new(clock),
            randomness: Arc::new(randomness),
            sink: Arc::new(NoSink),
        }
    }
}

impl<S: KeyManagementStore, D: Directory> KeyManager<S, D> {
    /// Asks `directory` about users.
    #[must_use]
    pub fn with_directory<N: Directory>(self, directory: N) -> KeyManager<S, N> {
        let Self { keys, rules, store, directory: _, clock, randomness, sink } = self;
        KeyManager { keys, rules, store, directory, clock, randomness, sink }
    }

    /// Sends refusals to `sink`, and the events of a store that keeps no log.
    #[must_use]
    pub fn with_sink(self, sink: impl AuditSink + 'static) -> Self {
        Self { sink: Arc::new(sink), ..self }
    }

    /// Sets the rules for new keys.
    #[must_use]
    pub fn with_rules(self, rules: MintRules) -> Self {
        Self { rules, ..self }
    }

    /// Declares the service's own actions.
    #[must_use]
    pub fn with_own_actions(self, actions: OwnActions) -> Self {
        Self { rules: self.rules.with_own_actions(actions), ..self }
    }

    /// Also manages the keys of these issuers, so that a prefix can change; new keys are of the first.
    #[must_use]
    pub fn with_issuers(self, issuers: &'static [Issuer]) -> Self {
        Self { keys: self.keys.with_issuers(issuers), ..self }
    }

    /// Recognises legacy keys of these formats, so that a leaked one can be revoked.
    #[must_use]
    pub fn with_legacy(self, formats: &'static [LegacyFormat]) -> Self {
        Self { keys: self.keys.with_legacy(formats), ..self }
    }

    /// Returns a reference to the store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Creates a key; if its random id is taken, it draws another.
    ///
    /// # Errors
    ///
    /// - [`ManageError::ActorInvalid`] and [`ManageError::Denied`] if the actor is not allowed to.
    /// - [`ManageError::Mint`] if the key breaks a rule about keys, or the generator failed.
    /// - [`ManageError::Conflict`] with [`Conflict::NameTaken`] if another key of the owner has the name.
    /// - [`ManageError::Directory`] if a look-up of a user failed; nothing was changed.
    /// - [`ManageError::Store`] if the store failed. The key may exist then, but nobody has its token.
    pub async fn create(&self, actor: &Actor, spec: NewKeySpec) -> Result<Issued, Failure<S, D>> {
        let owner = spec.grant.owner();
        let result = self.try_create(actor, spec).await;
        self.report(|| actor.principal(), OperationKind::Create, None, Some(owner), &result);
        result
    }

    async fn try_create(&self, actor: &Actor, spec: NewKeySpec) -> Result<Issued, Failure<S, D>> {
        let NewKeySpec { grant, name, validity, labels } = spec;
        // Before anything is looked up: the rules hold for every actor.
        if let Err(error) = self.rules.check(&grant, validity, self.now()) {
            return Err(self.of_actor_first(actor, OperationKind::Create, error.into()).await);
        }
        let permit = self.permit(actor, Create { grant, validity }).await?;
        let minting = permit.minting(self.issuer(), (name, labels), &self.rules, self.now())?;
        for _ in 0..MAX_ATTEMPTS {
            let Minted { token, key } = minting.mint(&*self.randomness)?;
            let record = key.record().clone();
            match self.store.insert(key).await.map_err(ManageError::Store)? {
                Ok(receipt) => {
                    self.hand_over(receipt);
                    return Ok(Issued { token, record });
                }
                Err(Conflict::IdTaken) => {}
                Err(conflict) => return Err(ManageError::Conflict(conflict)),
            }
        }
        Err(ManageError::Conflict(Conflict::IdTaken))
    }

    /// Renames the key.
    ///
    /// # Errors
    ///
    /// As for every change: [`ManageError::ActorInvalid`] and [`ManageError::Denied`] if the actor is not allowed to,
    /// [`ManageError::Conflict`] with the store's answer, [`Conflict::NameTaken`] among them, [`ManageError::Permit`]
    /// if the generator failed or the clock jumped, and [`ManageError::Directory`] or [`ManageError::Store`] if a
    /// look-up or the store failed.
    pub async fn rename(&self, actor: &Actor, id: KeyId, name: KeyName) -> Result<Done, Failure<S, D>> {
        self.change(actor, id, Rename, |permit: Permit<Rename>, issuer, randomness, now| {
            permit.rename(issuer, name, randomness, now)
        })
        .await
    }

    /// Replaces the key's labels.
    ///
    /// # Errors
    ///
    /// The same as for [`KeyManager::rename`].
    pub async fn set_labels(&self, actor: &Actor, id: KeyId, labels: Labels) -> Result<Done, Failure<S, D>> {
        self.change(actor, id, SetLabels, |permit: Permit<SetLabels>, issuer, randomness, now| {
            permit.set_labels(issuer, labels, randomness, now)
        })
        .await
    }

    /// Ends the key's previous secret at once, if it has one.
    ///
    /// # Errors
    ///
    /// The same as for [`KeyManager::rename`], with [`Conflict::Changed`] among the answers if the key was rotated in
    /// the meantime.
    pub async fn end_overlap(&self, actor: &Actor, id: KeyId) -> Result<Done, Failure<S, D>> {
        self.change(actor, id, EndOverlap, |permit: Permit<EndOverlap>, issuer, randomness, now| {
            permit.end_overlap(issuer, randomness, now)
        })
        .await
    }

    /// Disables the key; it can be enabled again.
    ///
    /// # Errors
    ///
    /// The same as for [`KeyManager::rename`].
    pub async fn disable(&self, actor: &Actor, id: KeyId) -> Result<Done, Failure<S, D>> {
        self.change(actor, id, Disable, |permit: Permit<Disable>, issuer, randomness, now| {
            permit.disable(issuer, randomness, now)
        })
        .await
    }

    /// Enables the disabled key.
    ///
    /// # Errors
    ///
    /// The same as for [`KeyManager::rename`], with [`Conflict::NotDisabled`] among the answers.
    pub async fn enable(&self, actor: &Actor, id: KeyId) -> Result<Done, Failure<S, D>> {
        self.change(actor, id, Enable, |permit: Permit<Enable>, issuer, randomness, now| {
            permit.enable(issuer, randomness, now)
        })
        .await
    }

    /// Revokes the key for good. Doing it again keeps the first time and cause, which [`Done::Unchanged`] has.
    ///
    /// # Errors
    ///
    /// The same as for [`KeyManager::rename`].
    pub async fn revoke(&self, actor: &Actor, id: KeyId, cause: RevocationCause) -> Result<Done, Failure<S, D>> {
        self.change(actor, id, Revoke, |permit: Permit<Revoke>, issuer, randomness, now| {
            permit.revoke(issuer, cause, randomness, now)
        })
        .await
    }

    /// Replaces the key's secret.
    ///
    /// # Errors
    ///
    /// - [`ManageError::ActorInvalid`] and [`ManageError::Denied`] if the actor is not allowed to.
    /// - [`ManageError::Rotate`] if the key cannot be rotated, or not in that way.
    /// - [`ManageError::Conflict`] with [`Conflict::Changed`] if somebody else rotated it in the meantime.
    /// - [`ManageError::Directory`] if a look-up of a user failed; nothing was changed.
    /// - [`ManageError::Store`] if the store failed. The new secret may be the current one then, and nobody has its
    ///   token: ask for [`Rotation::Retry`].
    pub async fn rotate(&self, actor: &Actor, id: KeyId, rotation: Rotation) -> Result<RotatedKey, Failure<S, D>> {
        let mut owner = None;
        let result = self.try_rotate(actor, id, rotation, &mut owner).await;
        self.report(|| actor.principal(), OperationKind::Rotate, Some(id), owner, &result);
        result
    }

    async fn try_rotate(
        &self,
        actor: &Actor,
        id: KeyId,
        rotation: Rotation,
        owner: &mut Option<Owner>,
    ) -> Result<RotatedKey, Failure<S, D>> {
        let target = self.target(actor, (OperationKind::Rotate, id), owner).await?;
        let issuer = target.issuer();
        let permit = self.permit(actor, Rotate(target)).await?;
        let minted = permit.rotate(issuer, rotation, &self.rules, &*self.randomness, self.now())?;
        let MintedSecret { token, change, previous_ends_at } = minted;
        match self.carry_out(change).await? {
            Done::Changed => Ok(RotatedKey { token, previous_ends_at }),
            // The new secret is not stored: its token opens nothing.
            Done::Unchanged(_) => Err(ManageError::Conflict(Conflict::Changed)),
        }
    }

    /// Finds a key, if the actor may list the keys of its owner.
    ///
    /// # Errors
    ///
    /// [`ManageError::Conflict`] with [`Conflict::Absent`] if there is no such key, [`ManageError::ActorInvalid`] or
    /// [`ManageError::Denied`] if the actor is not allowed to see it, and [`ManageError::Directory`] or
    /// [`ManageError::Store`] if a look-up or the store failed.
    pub async fn find(&self, actor: &Actor, id: KeyId) -> Result<Arc<KeyRecord>, Failure<S, D>> {
        let mut owner = None;
        let result = match self.target(actor, (OperationKind::List, id), &mut owner).await {
            Ok(record) => self.permit(actor, List(record.grant().owner())).await.map(|_| record),
            Err(error) => Err(error),
        };
        self.report(|| actor.principal(), OperationKind::List, Some(id), owner, &result);
        result
    }

    /// Lists an owner's keys.
    ///
    /// ```
    /// use keygate::{Actor, Issuer, KeyManager, MemoryStore, Owner, store::{ListQuery, StatusFilter}};
    ///
    /// # pollster::block_on(async {
    /// let keys = KeyManager::new(Issuer::from_static("acme"), MemoryStore::new());
    /// let mut query = ListQuery::new();
    /// query.filter.status = Some(StatusFilter::NotRevoked);
    /// loop {
    ///     let page = keys.list(&Actor::system("a list")?, Owner::Team("core".parse()?), query.clone()).await?;
    ///     for record in &page.records {
    ///         println!("{} {} {}", record.id(), record.name(), record.status().as_str());
    ///     }
    ///     match page.next {
    ///         Some(next) => query.after = Some(next),
    ///         None => break,
    ///     }
    /// }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ManageError::ActorInvalid`] or [`ManageError::Denied`] if the actor is not allowed to, and
    /// [`ManageError::Directory`] or [`ManageError::Store`] if a look-up or the store failed.
    pub async fn list(&self, actor: &Actor, owner: Owner, query: ListQuery) -> Result<Page, Failure<S, D>> {
        let result = match self.permit(actor, List(owner.clone())).await {
            Ok(_) => self.store.list(KeysOf::Owner(owner.clone()), query).await.map_err(ManageError::Store),
            Err(error) => Err(error),
        };
        self.report(|| actor.principal(), OperationKind::List, None, Some(owner), &result);
        result
    }

    /// Lists keys of any owner: all, or those of one creator.
    ///
    /// # Errors
    ///
    /// [`ManageError::Store`] if the store failed.
    pub async fn list_all(&self, system: &System, keys_of: KeysOf, query: ListQuery) -> Result<Page, Failure<S, D>> {
        let result = self.store.list(keys_of, query).await.map_err(ManageError::Store);
        self.report(|| system.principal(), OperationKind::List, None, None, &result);
        result
    }

    /// Imports a legacy key; see [`legacy`](crate::legacy) for an example.
    ///
    /// # Errors
    ///
    /// - [`ManageError::Import`] if a date is wrong.
    /// - [`ManageError::Denied`] if it is a personal key and its user is deprovisioned.
    /// - [`ManageError::Conflict`] with [`Conflict::IdTaken`] if it was imported before, whatever happened to it since,
    ///   or with [`Conflict::NameTaken`] if another key of the owner has the name.
    /// - [`ManageError::Directory`] if a look-up of a user failed; nothing was changed.
    /// - [`ManageError::Store`] if the store failed. Import it again to learn whether the key exists.
    pub async fn import(&self, system: &System, import: Import) -> Result<KeyId, Failure<S, D>> {
        let (owner, id, actor) = (import.grant.owner(), import.key.id(), Actor::System(system.clone()));
        let result = self.try_import(&actor, import).await;
        self.report(|| actor.principal(), OperationKind::Import, Some(id), Some(owner), &result);
        result
    }

    async fn try_import(&self, actor: &Actor, import: Import) -> Result<KeyId, Failure<S, D>> {
        let permit = self.permit(actor, import).await?;
        let key = permit.import(self.issuer(), &self.rules, &*self.randomness, self.now())?;
        let id = key.record().id();
        let answer = self.store.insert(key).await.map_err(ManageError::Store)?;
        self.hand_over(answer.map_err(ManageError::Conflict)?);
        Ok(id)
    }

    /// Saves the [better digest](Upgrade) of a presented imported secret if that is due, and returns `true` if it was
    /// saved.
    ///
    /// Call it off the request's path, and never fail a request because of it. If somebody upgraded or rotated the key
    /// in the meantime, theirs stays.
    ///
    /// If a [custom format](crate::legacy::LegacyFormat::custom) gives several texts one hash, only the presented text
    /// opens the key afterwards.
    ///
    /// # Errors
    ///
    /// - [`ManageError::Conflict`] if the key was revoked or disabled in the meantime.
    /// - [`ManageError::Store`] if the store failed; the next use of the key offers it again.
    pub async fn upgrade(&self, key: &MatchedKey) -> Result<bool, Failure<S, D>> {
        let result = self.try_upgrade(key).await;
        // Nobody asked for it, so only a failure is reported.
        if let Err(error) = &result {
            if error.refusal().is_none() {
                self.sink.tell(Message::Failed(error));
            }
        }
        result
    }

    async fn try_upgrade(&self, key: &MatchedKey) -> Result<bool, Failure<S, D>> {
        let Some(change) = Upgrade::due(key, &*self.randomness, self.now())? else { return Ok(false) };
        match self.carry_out(change).await {
            Ok(done) => Ok(done == Done::Changed),
            Err(ManageError::Conflict(Conflict::Changed)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    const fn issuer(&self) -> Issuer {
        self.keys.issuer()
    }

    fn now(&self) -> UnixTime {
        (self.clock)()
    }

    /// Carries out one of the changes that need only a permit.
    async fn change<O: Operation>(
        &self,
        actor: &Actor,
        id: KeyId,
        operation: impl FnOnce(Arc<KeyRecord>) -> O,
        change: impl FnOnce(Permit<O>, Issuer, &dyn Randomness, UnixTime) -> Result<KeyChange, PermitError>,
    ) -> Result<Done, Failure<S, D>> {
        let mut owner = None;
        let result = self.try_change(actor, id, operation, change, &mut owner).await;
        self.report(|| actor.principal(), O::KIND, Some(id), owner, &result);
        result
    }

    async fn try_change<O: Operation>(
        &self,
        actor: &Actor,
        id: KeyId,
        operation: impl FnOnce(Arc<KeyRecord>) -> O,
        change: impl FnOnce(Permit<O>, Issuer, &dyn Randomness, UnixTime) -> Result<KeyChange, PermitError>,
        owner: &mut Option<Owner>,
    ) -> Result<Done, Failure<S, D>> {
        let target = self.target(actor, (O::KIND, id), owner).await?;
        let issuer = target.issuer();
        let permit = self.permit(actor, operation(target)).await?;
        let change = change(permit, issuer, &*self.randomness, self.now())?;
        self.carry_out(change).await
    }

    /// Finds the record to change, and its owner.
    async fn target(
        &self,
        actor: &Actor,
        (kind, id): (OperationKind, KeyId),
        owner: &mut Option<Owner>,
    ) -> Result<Arc<KeyRecord>, Failure<S, D>> {
        let found = self.store.find(id).await.map_err(ManageError::Store)?;
        // A store that answers with another record than was asked for has none; keys of another issuer are not managed
        // here.
        let is_asked_for = |record: &Arc<KeyRecord>| record.id() == id && self.keys.accepts(record.issuer());
        let Some(record) = found.filter(is_asked_for) else {
            return Err(self.of_actor_first(actor, kind, ManageError::Conflict(Conflict::Absent)).await);
        };
        *owner = Some(record.grant().owner());
        Ok(record)
    }

    async fn carry_out(&self, change: KeyChange) -> Result<Done, Failure<S, D>> {
        match self.store.change(change).await.map_err(ManageError::Store)? {
            Answer::Changed(receipt) => {
                self.hand_over(receipt);
                Ok(Done::Changed)
            }
            Answer::Refused(conflict) => Err(ManageError::Conflict(conflict)),
            Answer::Unchanged(record) => Ok(Done::Unchanged(record)),
        }
    }

    /// Hands the events of a store that keeps no log to the sink.
    fn hand_over(&self, receipt: impl Receipt) {
        receipt.into_unlogged().into_iter().for_each(|event| self.sink.tell(Message::Event(event)));
    }

    /// Reports refusals and failures to the sink.
    fn report<T>(
        &self,
        by: impl FnOnce() -> Principal,
        operation: OperationKind,
        key: Option<KeyId>,
        owner: Option<Owner>,
        result: &Result<T, Failure<S, D>>,
    ) {
        let Err(error) = result else { return };
        match error.refusal() {
            Some(reason) => {
                let attempt = Some(Attempt::Operation(operation));
                let by = by();
                // The holder of an unusable key must not push out the events of valid keys.
                let is_of_no_use = matches!(by, Principal::Key { .. }) && error.is_of_actor();
                let event = Event::refused_operation(self.now(), by, (key, owner), attempt, reason);
                self.sink.tell(if is_of_no_use { Message::Stranger(event) } else { Message::Event(event) });
            }
            None => self.sink.tell(Message::Failed(error)),
        }
    }
}

impl<S: Clone, D: Clone> Clone for KeyManager<S, D> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys,
            rules: self.rules,
            store: self.store.clone(),
            directory: self.directory.clone(),
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            sink: Arc::clone(&self.sink),
        }
    }
}

impl<S, D> fmt::Debug for KeyManager<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyManager").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// The outcome of a change that was not refused.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Done {
    /// The change is stored, with its event.
    Changed,
    /// There was nothing to change: the stored record.
    Unchanged(Arc<KeyRecord>),
}

/// Two ids of 95 random bits are never equal in practice, and no key is rotated in every moment: more than a few
/// attempts in a row say that something else is wrong.
const MAX_ATTEMPTS: usize = 4;
