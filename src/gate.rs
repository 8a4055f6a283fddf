//! The front door of a service: authenticates and authorizes requests.

use alloc::{sync::Arc, vec::Vec};
use core::{error::Error, fmt, marker::PhantomData};

use crate::{
    action::{Action, Request},
    audit::{Attempt, Event, RefusalReason},
    decision::{AuthenticatedKey, Authorization, Decided, Denial},
    id::{KeyId, TeamId},
    legacy::LegacyFormat,
    name::Issuer,
    policy,
    reason::{DenialClass, Reason},
    record::KeyRecord,
    sink::{AuditSink, Message, NoSink},
    stages::{AcceptedKeys, PresentedKey, Step, match_again, stranger},
    store::{Current, Directory, KeyLookup, NoDirectory, SecondLook, Touch},
    time::UnixTime,
    verdict::{Unauthenticated, Unavailable, Verdict},
    verify::{DEFAULT_TOUCH_INTERVAL, MatchedKey},
};

pub(crate) type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// Authenticates and authorizes requests: accepts the tokens of one issuer and, optionally, legacy keys.
///
/// It owns the store, the directory, the clock and the sink. Each time is read after the look-up that it judges, and
/// the sink receives every refusal, use and failure.
///
/// ```
/// use keygate::{
///     Action, Actor, EnvironmentScope, Gate, Grant, Issuer, KeyManager, MemoryStore, NewKeySpec, Permission, Request,
///     Validity, Verdict,
/// };
///
/// const ACME: Issuer = Issuer::from_static("acme");
/// # pollster::block_on(async {
/// let store = MemoryStore::new();
/// let (keys, gate) = (KeyManager::new(ACME, store.clone()), Gate::new(ACME, store));
///
/// let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
/// let spec = NewKeySpec::new(grant, "first-key".parse()?, Validity::NEVER_EXPIRES);
/// let token = keys.create(&Actor::system("first key")?, spec).await?.token;
///
/// let request = Request::new("core".parse()?, Action::Deploy);
/// assert!(matches!(gate.check(token.expose_secret(), &request).await?, Verdict::Allowed(_)));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Gate<S, D = NoDirectory, M = Current> {
    keys: AcceptedKeys,
    store: S,
    directory: D,
    clock: Clock,
    sink: Arc<dyn AuditSink>,
    lookup: PhantomData<fn() -> M>,
}

impl<M, S: KeyLookup<M>> Gate<S, NoDirectory, M> {
    /// Looks keys of `issuer` up in `store`; without a directory there are team keys only.
    #[cfg(feature = "std")]
    #[cfg_attr(docsrs, doc(cfg(feature = "std")))]
    #[must_use]
    pub fn new(issuer: Issuer, store: S) -> Self {
        Self::with_clock(issuer, store, UnixTime::now)
    }

    /// Like `new`, with a clock of your own.
    #[must_use]
    pub fn with_clock(issuer: Issuer, store: S, clock: impl Fn() -> UnixTime + Send + Sync + 'static) -> Self {
        Self {
            keys: AcceptedKeys::new(issuer),
            store,
            directory: NoDirectory,
            clock: Arc::new(clock),
            sink: Arc::new(NoSink),
            lookup: PhantomData,
        }
    }
}

impl<M, S: KeyLookup<M>, D: Directory> Gate<S, D, M> {
    /// Asks `directory` about the users of personal keys.
    #[must_use]
    pub fn with_directory<N: Directory>(self, directory: N) -> Gate<S, N, M> {
        let Self { keys, store, directory: _, clock, sink, lookup } = self;
        Gate { keys, store, directory, clock, sink, lookup }
    }

    /// Sends refusals, uses and failures to `sink`.
    #[must_use]
    pub fn with_sink(self, sink: impl AuditSink + 'static) -> Self {
        Self { sink: Arc::new(sink), ..self }
    }

    /// Also accepts the tokens of these issuers, so that a prefix can change.
    #[must_use]
    pub fn with_issuers(self, issuers: &'static [Issuer]) -> Self {
        Self { keys: self.keys.with_issuers(issuers), ..self }
    }

    /// Also accepts legacy keys of these formats.
    #[must_use]
    pub fn with_legacy(self, formats: &'static [LegacyFormat]) -> Self {
        Self { keys: self.keys.with_legacy(formats), ..self }
    }

    /// Returns the credentials that are read as keys.
    #[must_use]
    pub const fn accepted_keys(&self) -> AcceptedKeys {
        self.keys
    }

    /// Returns a reference to the store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        (self.clock)()
    }

    /// Sends a message to the sink.
    pub fn tell(&self, message: Message<'_>) {
        self.sink.tell(message);
    }

    /// Returns the key that a credential opens: it is usable now, and no request is decided for it yet.
    ///
    /// # Errors
    ///
    /// [`AuthenticateError`] if the credential opens no key, the key is not usable, or a look-up failed.
    pub async fn authenticate(
        &self,
        credential: &str,
    ) -> Result<AuthenticatedKey, AuthenticateError<S::Error, D::Error>> {
        let presented = self.parse(credential, None).map_err(AuthenticateError::Unauthenticated)?;
        self.authenticate_presented(&presented).await
    }

    /// Like [`Gate::authenticate`], for a credential that was parsed already.
    ///
    /// # Errors
    ///
    /// The same as for [`Gate::authenticate`].
    pub(crate) async fn authenticate_presented(
        &self,
        presented: &PresentedKey,
    ) -> Result<AuthenticatedKey, AuthenticateError<S::Error, D::Error>> {
        let matched = self.match_presented(presented, None).await;
        let matched = matched.map_err(|error| AuthenticateError::Unavailable(self.failed(Unavailable::Store(error))));
        let mut key = matched?.map_err(AuthenticateError::Unauthenticated)?;
        // Before the directory is asked, so that a revoked key is refused even if the directory fails.
        let mut now = self.now();
        if let Err(reason) = policy::check_usable(&key, now) {
            return Err(self.unusable(&key, reason, now));
        }
        let mut status = None;
        if let Some(user) = key.user() {
            let found = self.directory.user(user).await;
            let failed = |error| AuthenticateError::Unavailable(self.failed(Unavailable::Directory(error)));
            status = Some(found.map_err(failed)?);
            // The directory may have been slow.
            if !key.is_fresh(self.now()) {
                let matched = self.look_up_again(&key, None).await.map_err(AuthenticateError::Unavailable)?;
                key = matched.map_err(AuthenticateError::Unauthenticated)?;
            }
            now = self.now();
        }
        policy::try_authenticate(key, status, now).map_err(|(key, reason)| self.unusable(&key, reason, now))
    }

    fn unusable(&self, key: &MatchedKey, reason: Reason, at: UnixTime) -> AuthenticateError<S::Error, D::Error> {
        self.refused(key, None, reason.into(), reason.class(), at);
        AuthenticateError::Unusable(reason)
    }

    /// Decides a request of an authenticated key; asks the directory only if the decision needs it.
    ///
    /// A key that was looked up a [minute](MatchedKey::LIFETIME) ago or more is looked up again, however new the proof
    /// is.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if a look-up failed: answer 503, and allow nothing.
    pub async fn authorize(
        &self,
        key: &AuthenticatedKey,
        request: &Request,
    ) -> Result<Verdict, Unavailable<S::Error, D::Error>> {
        if let Some(refused) = self.of_other_issuer(key.matched(), request) {
            return Ok(refused);
        }
        if !key.matched().is_fresh(self.now()) {
            return self.look_up_and_decide(key.matched(), request, Asked::Request).await;
        }
        self.decide(key.matched().clone(), request, Asked::Request).await
    }

    /// Returns those of the actions that an authenticated key may do in a team, so that a list never shows what a call
    /// refuses.
    ///
    /// It is the same decision. The directory is asked once at most, and the sink gets no use, and no refusal of an
    /// action: nothing is done yet.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if a look-up failed.
    ///
    /// ```
    /// use keygate::{Action, AuthenticatedKey, Gate, MemoryStore, ModelId, TeamId, Unavailable};
    ///
    /// async fn callable(
    ///     gate: &Gate<MemoryStore>,
    ///     (key, team): (&AuthenticatedKey, &TeamId),
    ///     models: Vec<ModelId>,
    /// ) -> Result<Vec<ModelId>, Box<dyn core::error::Error>> {
    ///     let calls = models.into_iter().map(|model| Action::call(model, None));
    ///     let allowed = gate.allowed(key, team, calls).await?;
    ///     Ok(allowed.into_iter().filter_map(|call| call.model().cloned()).collect())
    /// }
    /// # let _ = callable;
    /// ```
    pub async fn allowed(
        &self,
        authenticated: &AuthenticatedKey,
        team: &TeamId,
        actions: impl IntoIterator<Item = Action, IntoIter: Send> + Send,
    ) -> Result<Vec<Action>, Unavailable<S::Error, D::Error>> {
        let mut key = authenticated.matched().clone();
        if !self.keys.accepts(key.issuer()) {
            return Ok(Vec::new());
        }
        let membership = match key.user() {
            Some(user) => {
                let membership = self.directory.membership(user, team).await;
                Some(membership.map_err(|error| self.failed(Unavailable::Directory(error)))?)
            }
            None => None,
        };
        if !key.is_fresh(self.now()) {
            match self.look_up_again(&key, None).await? {
                Ok(current) => key = current,
                Err(_) => return Ok(Vec::new()),
            }
        }
        let requests = actions.into_iter().map(|action| Request::new(team.clone(), action));
        Ok(policy::allowed(&key, membership, requests, self.now()).map(|request| request.action).collect())
    }

    /// All stages: from the credential to a verdict.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if a look-up failed: answer 503, and allow nothing.
    pub async fn check(&self, credential: &str, request: &Request) -> Result<Verdict, Unavailable<S::Error, D::Error>> {
        let presented = match self.parse(credential, Some(request)) {
            Ok(presented) => presented,
            Err(unauthenticated) => return Ok(Verdict::Unauthenticated(unauthenticated)),
        };
        let matched = self.match_presented(&presented, Some(request)).await;
        match matched.map_err(|error| self.failed(Unavailable::Store(error)))? {
            Ok(key) => self.decide(key, request, Asked::Request).await,
            Err(unauthenticated) => Ok(Verdict::Unauthenticated(unauthenticated)),
        }
    }

    /// Looks the key of an allowed request up again, and decides the same request again.
    ///
    /// For a request that runs long, such as a stream, a websocket or a slow body: call it now and then, and stop
    /// unless the verdict is still [`Verdict::Allowed`]. The sink gets no second allowed request: it is the same one.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if a look-up failed.
    pub async fn check_again(&self, authorization: &Authorization) -> Result<Verdict, Unavailable<S::Error, D::Error>> {
        if let Some(refused) = self.of_other_issuer(authorization.key().matched(), authorization.request()) {
            return Ok(refused);
        }
        self.look_up_and_decide(authorization.key().matched(), authorization.request(), Asked::Again).await
    }

    /// Refuses a proof that a gate of another issuer made.
    fn of_other_issuer(&self, key: &MatchedKey, request: &Request) -> Option<Verdict> {
        if self.keys.accepts(key.issuer()) {
            return None;
        }
        let unauthenticated = Unauthenticated::InvalidKey { claimed: key.id() };
        self.stranger(&unauthenticated, Some(request));
        Some(Verdict::Unauthenticated(unauthenticated))
    }

    /// First stage: parses a credential, and reports an invalid one to the sink.
    pub(crate) fn parse(&self, credential: &str, request: Option<&Request>) -> Result<PresentedKey, Unauthenticated> {
        self.keys.parse(credential).inspect_err(|unauthenticated| self.stranger(unauthenticated, request))
    }

    /// Second stage: looks up and matches. A secret that does not match a remembered record gets a second look.
    async fn match_presented(
        &self,
        presented: &PresentedKey,
        request: Option<&Request>,
    ) -> Result<Result<MatchedKey, Unauthenticated>, S::Error> {
        let matched = self.match_by(presented.id(), |record, now| presented.verify(record, now)).await?;
        Ok(matched.inspect_err(|unauthenticated| self.stranger(unauthenticated, request)))
    }

    async fn match_by(
        &self,
        id: KeyId,
        verify: impl Fn(Option<Arc<KeyRecord>>, UnixTime) -> Result<MatchedKey, Unauthenticated>,
    ) -> Result<Result<MatchedKey, Unauthenticated>, S::Error> {
        let record = self.store.look_up(id).await?;
        let Some(seen) = record else { return Ok(verify(None, self.now())) };
        let unauthenticated = match verify(Some(Arc::clone(&seen)), self.now()) {
            Ok(key) => return Ok(Ok(key)),
            Err(unauthenticated) => unauthenticated,
        };
        match self.store.look_again(&seen).await? {
            SecondLook::Found(record) => Ok(verify(record, self.now())),
            SecondLook::NothingNewer => Ok(Err(unauthenticated)),
        }
    }

    async fn look_up_and_decide(
        &self,
        key: &MatchedKey,
        request: &Request,
        asked: Asked,
    ) -> Result<Verdict, Unavailable<S::Error, D::Error>> {
        match self.look_up_again(key, Some(request)).await? {
            Ok(key) => self.decide(key, request, asked).await,
            Err(unauthenticated) => Ok(Verdict::Unauthenticated(unauthenticated)),
        }
    }

    /// Looks up and matches once more. If the secret opens nothing any more, it is still known who presented it.
    async fn look_up_again(
        &self,
        key: &MatchedKey,
        request: Option<&Request>,
    ) -> Result<Result<MatchedKey, Unauthenticated>, Unavailable<S::Error, D::Error>> {
        let matched = self.match_by(key.id(), |record, now| match_again(key, record, now)).await;
        let matched = matched.map_err(|error| self.failed(Unavailable::Store(error)))?;
        Ok(matched.inspect_err(|unauthenticated| {
            let (reason, class) = (unauthenticated.refusal(), DenialClass::NotAuthenticated);
            self.refused(key, request, reason, class, self.now());
        }))
    }

    /// Third stage: decides, and reports to the sink.
    async fn decide(
        &self,
        mut key: MatchedKey,
        request: &Request,
        asked: Asked,
    ) -> Result<Verdict, Unavailable<S::Error, D::Error>> {
        let now = self.now();
        let membership = match Step::of(&key, request, now) {
            Step::Decided(decision) => {
                let decided = decision.into_result().map(|allow| allow.decided_at());
                return Ok(self.conclude(key, request, decided, asked, now));
            }
            Step::AskMembership(query) => self.directory.membership(query.user(), query.team()).await,
        };
        let membership = membership.map_err(|error| self.failed(Unavailable::Directory(error)))?;
        // Not as it was before the look-up: the key may have expired meanwhile, or its secret have ended.
        if !key.is_fresh(self.now()) {
            key = match self.look_up_again(&key, Some(request)).await? {
                Ok(key) => key,
                Err(unauthenticated) => return Ok(Verdict::Unauthenticated(unauthenticated)),
            };
        }
        let now = self.now();
        let decision = policy::decide(&key, Some(membership), request, now);
        let decided = decision.into_result().map(|allow| allow.decided_at());
        Ok(self.conclude(key, request, decided, asked, now))
    }

    /// Makes the verdict, and reports to the sink.
    fn conclude(
        &self,
        key: MatchedKey,
        request: &Request,
        decided: Result<Decided, Denial>,
        asked: Asked,
        now: UnixTime,
    ) -> Verdict {
        if let Err(denial) = &decided {
            self.refused(&key, Some(request), denial.reason().into(), denial.class(), now);
        }
        let verdict = Verdict::of(key, request, decided, now);
        if let Verdict::Allowed(authorization) = &verdict {
            let key = authorization.key().matched();
            // Not earlier: a request that is denied uses nothing.
            if key.touch_due(now, DEFAULT_TOUCH_INTERVAL) {
                self.sink.tell(Message::Touch(Touch::new(key.id(), key.slot(), now)));
            }
            if asked == Asked::Request {
                self.sink.tell(Message::Allowed(authorization));
            }
        }
        verdict
    }

    /// Sends a refusal to the sink. One of an unusable key goes to the queue of strangers: the holder of a leaked key
    /// must not push out the events of valid keys.
    fn refused(
        &self,
        key: &MatchedKey,
        request: Option<&Request>,
        reason: RefusalReason,
        class: DenialClass,
        at: UnixTime,
    ) {
        let target = Some((key.id(), key.owner()));
        let event = Event::refused(at, key.principal(), target, request.map(Attempt::request), reason);
        self.sink.tell(match class {
            DenialClass::NotAuthenticated => Message::Stranger(event),
            DenialClass::NotAllowed | DenialClass::Undecided => Message::Event(event),
        });
    }

    fn stranger(&self, unauthenticated: &Unauthenticated, request: Option<&Request>) {
        let (by, attempt) = (stranger(unauthenticated.claimed()), request.map(Attempt::request));
        self.sink.tell(Message::Stranger(Event::refused(self.now(), by, None, attempt, unauthenticated.refusal())));
    }

    /// Reports to the sink that an authenticated key was refused, but not by the policy: by a route without a rule, a
    /// resource that does not exist, or a rule of the service. `request` is what was asked, if it is known.
    pub fn key_refused(&self, key: &AuthenticatedKey, request: Option<&Request>, reason: RefusalReason) {
        self.refused(key.matched(), request, reason, DenialClass::NotAllowed, self.now());
    }

    /// Reports to the sink a refused caller without a look-up: the credential is missing, or stands where it does not
    /// count. `claimed` is the id that it claims, which need not exist.
    ///
    /// [`Gate::authenticate`] and [`Gate::check`] report their own refusals.
    pub fn stranger_refused(&self, claimed: Option<KeyId>, reason: RefusalReason) {
        let event = Event::refused(self.now(), stranger(claimed), None, None, reason);
        self.sink.tell(Message::Stranger(event));
    }

    fn failed(&self, unavailable: Unavailable<S::Error, D::Error>) -> Unavailable<S::Error, D::Error> {
        self.sink.tell(Message::Failed(&unavailable));
        unavailable
    }
}

/// Whether a request is decided, or one that is under way is asked about again.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Asked {
    Again,
    Request,
}

impl<S: Clone, D: Clone, M> Clone for Gate<S, D, M> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys,
            store: self.store.clone(),
            directory: self.directory.clone(),
            clock: Arc::clone(&self.clock),
            sink: Arc::clone(&self.sink),
            lookup: PhantomData,
        }
    }
}

impl<S, D, M> fmt::Debug for Gate<S, D, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Why a credential was not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticateError<S: Error + 'static, D: Error + 'static> {
    /// It opens no key: 401, the same for every cause.
    #[error("the credential opens no key")]
    Unauthenticated(#[source] Unauthenticated),
    /// A look-up failed: 503.
    #[error("a look-up failed")]
    Unavailable(#[source] Unavailable<S, D>),
    /// The secret matched, and the key is revoked, disabled, expired or not yet valid, or its user is deprovisioned:
    /// 401.
    #[error("the key is not usable: {0}")]
    Unusable(Reason),
}
