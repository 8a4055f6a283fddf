//! From what a client presents to a decision: the stages in their order, and the only place that awaits.
//!
//! The order is written once, without I/O: [`PresentedKey`] and [`MembershipQuery`] say what to look up and take the answer. The
//! asynchronous methods of [`Gate`] and its `…_blocking` twins only carry questions to stores and answers back. A look-up that
//! fails is [`Unavailable`]: neither an allow nor an invalid key.

use alloc::sync::Arc;
use core::error::Error;

use crate::{
    action::Request,
    digest::SecretDigest,
    event::{Asked, Event, EventKind, Principal},
    grant::Grant,
    id::{KeyId, KeyKind, TeamId, UserId},
    legacy::LegacyFormat,
    manage::{Permit, Revoke},
    membership::Membership,
    name::Issuer,
    policy::{Authorization, Decision, Denial, decide},
    reason::Reason,
    record::KeyRecord,
    store::{Directory, KeyStore},
    time::UnixTime,
    token::{ParseTokenError, UnverifiedToken},
    verify::{InvalidKey, MatchedKey, match_record},
};

mod import;
mod manager;

pub use manager::{KeyManager, ManageError};

/// The way in: one issuer's tokens, and the imported keys that it accepts.
///
/// ```
/// use keygate::{
///     Action, Actor, Create, Gate, Grant, Issuer, KeyManager, MemoryDirectory, MemoryStore, Request,
///     Membership, UnixTime, Validity, Verdict, authorize_operation,
/// };
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// const ACME: Issuer = Issuer::from_static("acme");
/// let (store, directory) = (MemoryStore::new(), MemoryDirectory::new());
/// directory.set_member("ada".parse()?, "core".parse()?, Membership::Member);
/// let now = UnixTime::from_secs(1_750_000_000);
///
/// let system = Actor::system("first key")?;
/// let permit = authorize_operation(&system, Create(Grant::Personal { user: "ada".parse()? }), None, now)?;
/// let mut rng = ChaCha20Rng::from_seed([1; 32]);
/// let manager = KeyManager::new(ACME, &store);
/// let create = manager.create(permit, "laptop".parse()?, Validity::NEVER_EXPIRES, &mut rng, now);
/// let token = pollster::block_on(create)?.token;
///
/// let request = Request::new("core".parse()?, Action::Deploy);
/// let check = Gate::new(ACME).check(&store, &directory, token.expose_secret(), &request, now);
/// assert!(matches!(pollster::block_on(check)?, Verdict::Allowed(_)));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    issuer: Issuer,
    formats: &'static [LegacyFormat],
}

impl Gate {
    /// Takes the issuer whose tokens open it.
    #[must_use]
    pub const fn new(issuer: Issuer) -> Self {
        Self { issuer, formats: &[] }
    }

    /// Accepts keys of these formats as well.
    ///
    /// A text that begins as a token of the issuer is a token, good or bad. Any other is read by the first format whose
    /// shape it has; what none of them reads stays [legacy](Unauthenticated::is_foreign).
    ///
    /// ```
    /// use keygate::{Gate, Issuer, legacy::{LegacyFormat, LegacyHash}};
    ///
    /// static FORMATS: [LegacyFormat; 1] = [LegacyFormat::prefix_secret(LegacyHash::Sha512)];
    /// let gate = Gate::new(Issuer::from_static("acme"));
    /// let old = "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK";
    /// assert!(gate.parse(old).unwrap_err().is_foreign());
    /// assert!(gate.accepting(&FORMATS).parse(old).is_ok());
    /// ```
    #[must_use]
    pub const fn accepting(self, formats: &'static [LegacyFormat]) -> Self {
        Self { formats, ..self }
    }

    /// Returns the issuer.
    #[must_use]
    pub const fn issuer(self) -> Issuer {
        self.issuer
    }

    /// First stage: reads what was presented, and says which id to look up.
    ///
    /// # Errors
    ///
    /// [`Unauthenticated`] if the text is not a token of this issuer, nor a legacy key that is accepted; nothing was
    /// looked up then.
    #[inline]
    pub fn parse(self, credential: &str) -> Result<PresentedKey, Unauthenticated> {
        let error = match UnverifiedToken::parse(self.issuer, credential) {
            Ok(token) => {
                return Ok(PresentedKey {
                    id: token.id(),
                    kind: Some(token.kind()),
                    digest: token.digest(),
                    of_text: None,
                });
            }
            Err(error) => error,
        };
        let formats = if error == ParseTokenError::ForeignIssuer { self.formats } else { &[] };
        match formats.iter().find_map(|format| format.parse(credential).ok()) {
            Some(legacy) => {
                let (digest, of_text) = legacy.digests();
                Ok(PresentedKey { id: legacy.id(), kind: None, digest, of_text: Some(of_text) })
            }
            None => Err(Unauthenticated::NotAToken(error)),
        }
    }

    /// Reads a credential, looks it up and verifies it.
    ///
    /// The key is only known then, not allowed anything: a revoked key verifies, and [`Gate::authorize`] denies it.
    ///
    /// # Errors
    ///
    /// [`Unavailable::Store`] if the store failed.
    pub async fn authenticate<S: KeyStore>(
        self,
        store: &S,
        credential: &str,
        now: UnixTime,
    ) -> Result<Result<MatchedKey, Unauthenticated>, S::Error> {
        // Lent, not taken: it is large, and would be moved to where it outlives the waiting.
        let lookup = self.parse(credential);
        match &lookup {
            Err(unauthenticated) => Ok(Err(*unauthenticated)),
            Ok(lookup) => Ok(lookup.verify(store.find(lookup.id()).await?, now)),
        }
    }

    /// As [`Gate::authenticate`], where the look-up does not wait.
    ///
    /// # Errors
    ///
    /// The error of `find`.
    pub fn authenticate_blocking<E>(
        self,
        find: impl FnOnce(KeyId) -> Result<Option<Arc<KeyRecord>>, E>,
        credential: &str,
        now: UnixTime,
    ) -> Result<Result<MatchedKey, Unauthenticated>, E> {
        match self.parse(credential) {
            Err(unauthenticated) => Ok(Err(unauthenticated)),
            Ok(lookup) => Ok(lookup.verify(find(lookup.id())?, now)),
        }
    }

    /// Returns leave to revoke a key whose token was seen where it should not be: on a plaintext connection, in a log,
    /// in a public repository.
    ///
    /// Only a matching secret yields it, current or previous: a public id is not enough to end somebody's key. Call it
    /// off the response's path, so that what the client sees does not depend on it.
    ///
    /// ```
    /// use keygate::{Gate, Issuer, MemoryStore, UnixTime};
    ///
    /// let gate = Gate::new(Issuer::from_static("kg"));
    /// let text = "kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d";
    /// let permit = pollster::block_on(gate.authorize_leak_revocation(&MemoryStore::new(), text, UnixTime::MIN))?;
    /// assert!(permit.is_none()); // no such key
    /// # Ok::<(), core::convert::Infallible>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the store.
    pub async fn authorize_leak_revocation<S: KeyStore>(
        self,
        store: &S,
        text: &str,
        now: UnixTime,
    ) -> Result<Option<Permit<Revoke>>, S::Error> {
        let Ok(lookup) = self.parse(text) else { return Ok(None) };
        let record = store.find_current(lookup.id()).await?;
        Ok(lookup.verify(record, now).ok().map(|key| Permit::leaked(&key)))
    }

    /// Decides a request of a verified key; asks for the user's membership only if that is what decides.
    ///
    /// # Errors
    ///
    /// The error of `directory`.
    pub async fn authorize<'a, T: Directory>(
        self,
        directory: &T,
        key: &'a MatchedKey,
        request: &'a Request,
        now: UnixTime,
    ) -> Result<Decision<'a>, T::Error> {
        match MembershipQuery::of(key, request, now) {
            Err(decision) => Ok(decision),
            Ok(question) => {
                let (user, team) = (question.user().clone(), question.team().clone());
                Ok(question.decide(directory.membership(user, team).await?))
            }
        }
    }

    /// As [`Gate::authorize`], where the look-up does not wait.
    ///
    /// # Errors
    ///
    /// The error of `membership`.
    pub fn authorize_blocking<'a, E>(
        self,
        membership: impl FnOnce(&UserId, &TeamId) -> Result<Membership, E>,
        key: &'a MatchedKey,
        request: &'a Request,
        now: UnixTime,
    ) -> Result<Decision<'a>, E> {
        match MembershipQuery::of(key, request, now) {
            Err(decision) => Ok(decision),
            Ok(question) => Ok(question.decide(membership(question.user(), question.team())?)),
        }
    }

    /// All stages: from what was presented to a verdict.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if a look-up failed: answer 503, and allow nothing.
    pub async fn check<S: KeyStore, T: Directory>(
        self,
        store: &S,
        directory: &T,
        credential: &str,
        request: &Request,
        now: UnixTime,
    ) -> Result<Verdict, Unavailable<S::Error, T::Error>> {
        let key = match self.authenticate(store, credential, now).await.map_err(Unavailable::Store)? {
            Ok(key) => key,
            Err(unauthenticated) => return Ok(Verdict::Unauthenticated(unauthenticated)),
        };
        let decision = self.authorize(directory, &key, request, now).await.map_err(Unavailable::Directory)?;
        Ok(Verdict::of(&key, decision))
    }

    /// Looks the key of an allowed request up again, and decides the same request anew.
    ///
    /// For what outlives a request, such as a stream or a websocket: call it now and then, and stop unless the verdict
    /// is still [`Verdict::Allowed`].
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if a look-up failed.
    pub async fn check_again<S: KeyStore, T: Directory>(
        self,
        store: &S,
        directory: &T,
        authorization: &Authorization,
        now: UnixTime,
    ) -> Result<Verdict, Unavailable<S::Error, T::Error>> {
        let claimed = authorization.key().id();
        let record = store.find(claimed).await.map_err(Unavailable::Store)?;
        let Ok(key) = authorization.key().verify_again(record, now) else {
            return Ok(Verdict::Unauthenticated(Unauthenticated::InvalidKey { claimed }));
        };
        let decision =
            self.authorize(directory, &key, authorization.request(), now).await.map_err(Unavailable::Directory)?;
        Ok(Verdict::of(&key, decision))
    }

    /// As [`Gate::check`], where the look-ups do not wait.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if a look-up failed: answer 503, and allow nothing.
    pub fn check_blocking<E: Error + 'static, F: Error + 'static>(
        self,
        find: impl FnOnce(KeyId) -> Result<Option<Arc<KeyRecord>>, E>,
        membership: impl FnOnce(&UserId, &TeamId) -> Result<Membership, F>,
        credential: &str,
        request: &Request,
        now: UnixTime,
    ) -> Result<Verdict, Unavailable<E, F>> {
        let key = match self.authenticate_blocking(find, credential, now).map_err(Unavailable::Store)? {
            Ok(key) => key,
            Err(unauthenticated) => return Ok(Verdict::Unauthenticated(unauthenticated)),
        };
        let decision = self.authorize_blocking(membership, &key, request, now).map_err(Unavailable::Directory)?;
        Ok(Verdict::of(&key, decision))
    }
}

/// Second stage: a well-formed token, or legacy key, and the id to look up.
///
/// ```
/// use keygate::{Gate, Issuer, UnixTime, Unauthenticated};
///
/// let gate = Gate::new(Issuer::from_static("kg"));
/// let lookup = gate.parse("kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d")?;
/// assert_eq!(lookup.id().as_str(), "wk59pfKL0jFi2YYv");
/// let result = lookup.verify(None, UnixTime::from_secs(0));
/// assert!(matches!(result, Err(Unauthenticated::InvalidKey { .. })));
/// # Ok::<(), Unauthenticated>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is verified until the record was found"]
pub struct PresentedKey {
    id: KeyId,
    kind: Option<KeyKind>,
    digest: SecretDigest,
    of_text: Option<SecretDigest>,
}

impl PresentedKey {
    /// Returns the id to look up.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Takes what was found, and verifies.
    ///
    /// # Errors
    ///
    /// [`Unauthenticated::InvalidKey`] if nothing was found or the secret does not match; which, is not told.
    #[inline]
    pub fn verify(&self, record: Option<Arc<KeyRecord>>, now: UnixTime) -> Result<MatchedKey, Unauthenticated> {
        let Self { id, kind, digest, of_text } = self;
        match_record(id, *kind, digest, of_text.as_ref(), record, now)
            .map_err(|InvalidKey| Unauthenticated::InvalidKey { claimed: *id })
    }
}

/// Third stage, for personal keys only: the membership that decides.
///
/// ```
/// # use keygate::*;
/// # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// # let (now, mut rng) = (UnixTime::from_secs(100), ChaCha20Rng::from_seed([1; 32]));
/// # let system = Actor::system("example")?;
/// # let permission = Permission::InferenceOnly {
/// #     environments: EnvironmentScope::only(["production".parse()?])?,
/// #     models: ModelScope::All,
/// # };
/// # let grant = Grant::Team { team: "core".parse()?, permission };
/// # let permit = authorize_operation(&system, Create(grant), None, now)?;
/// # let issuer = Issuer::from_static("acme");
/// # let issued = permit.issue(issuer, "batch".parse()?, Validity::NEVER_EXPIRES, &mut rng, now)?;
/// # let presented = UnverifiedToken::parse(issuer, issued.token.expose_secret())?;
/// # let key = verify(&presented, Some(issued.key.record().clone().into()), now)?;
/// // The key is a team's: nothing has to be looked up, and the decision is there.
/// let request = Request::new("core".parse()?, Action::Deploy);
/// let decision = MembershipQuery::of(&key, &request, now).unwrap_err();
/// assert!(!decision.is_allowed());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is decided until the membership is known"]
pub struct MembershipQuery<'a> {
    key: &'a MatchedKey,
    user: &'a UserId,
    request: &'a Request,
    now: UnixTime,
}

impl<'a> MembershipQuery<'a> {
    /// Asks what to look up.
    ///
    /// # Errors
    ///
    /// The [`Decision`], where nothing has to be looked up.
    pub fn of(key: &'a MatchedKey, request: &'a Request, now: UnixTime) -> Result<Self, Decision<'a>> {
        match (decide(key, None, request, now), key.grant()) {
            (Decision::Deny(denial), Grant::Personal { user }) if denial.reason() == Reason::MembershipRequired => {
                Ok(Self { key, user, request, now })
            }
            (decision, _) => Err(decision),
        }
    }

    /// Returns a reference to the user to ask about.
    #[must_use]
    pub const fn user(&self) -> &'a UserId {
        self.user
    }

    /// Returns a reference to the team to ask about.
    #[must_use]
    pub const fn team(&self) -> &'a TeamId {
        &self.request.team
    }

    /// Takes the answer, and decides.
    pub fn decide(&self, membership: Membership) -> Decision<'a> {
        decide(self.key, Some(membership), self.request, self.now)
    }
}

/// What became of a request.
///
/// ```
/// use keygate::{Gate, Issuer, Request, Membership, UnixTime, Verdict};
/// use core::convert::Infallible;
///
/// fn status(verdict: &Verdict) -> u16 {
///     match verdict {
///         Verdict::Allowed(_) => 200,
///         Verdict::Denied { denial, .. } if denial.reveals_existence() => 404,
///         Verdict::Denied { .. } => 403, // or 401, by `Denial::class`
///         Verdict::Unauthenticated(_) => 401,
///     }
/// }
///
/// let gate = Gate::new(Issuer::from_static("acme"));
/// let request = Request::new("core".parse()?, keygate::Action::Deploy);
/// let membership = |_: &_, _: &_| Ok::<_, Infallible>(Membership::Outsider);
/// let verdict = gate.check_blocking(|_| Ok::<_, Infallible>(None), membership, "hello", &request, UnixTime::MIN)?;
/// assert_eq!(status(&verdict), 401);
/// assert!(verdict.to_event(UnixTime::MIN).is_some());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a verdict that nobody looks at protects nothing"]
#[expect(clippy::exhaustive_enums, reason = "each is answered differently, and no other is possible")]
pub enum Verdict {
    /// The key may do it.
    Allowed(Authorization),
    /// The key was verified and may not do it.
    Denied {
        /// The key.
        key: MatchedKey,
        /// Why not.
        denial: Denial,
    },
    /// What was presented opens no key.
    Unauthenticated(Unauthenticated),
}

impl Verdict {
    fn of(key: &MatchedKey, decision: Decision<'_>) -> Self {
        match decision {
            Decision::Allow(allow) => Self::Allowed(allow.to_authorization()),
            Decision::Deny(denial) => Self::Denied { key: key.clone(), denial },
        }
    }

    /// Returns the event that tells of a conflict; an allow is counted by [`UsageCounter`](crate::UsageCounter).
    #[must_use]
    pub fn to_event(&self, now: UnixTime) -> Option<Event> {
        match self {
            Self::Allowed(_) => None,
            Self::Denied { key, denial } => Some(denial.to_event(key, now)),
            Self::Unauthenticated(unauthenticated) => Some(unauthenticated.to_event(now)),
        }
    }
}

impl Denial {
    /// Returns the event that tells of the denial.
    #[must_use]
    pub fn to_event(&self, key: &MatchedKey, now: UnixTime) -> Event {
        let refused = EventKind::Refused { asked: Some(Asked::Action(self.action())), why: self.reason().as_str() };
        Event::new(now, Principal::key(key), Some(key.id()), refused)
    }
}

/// What was presented opens no key.
///
/// # Security
///
/// The variants are for logs. To the client there is one answer for all of them.
///
/// ```
/// use keygate::{Gate, Issuer, ParseTokenError, Unauthenticated};
///
/// let error = Gate::new(Issuer::from_static("kg")).read("eyJhbGciOi").unwrap_err();
/// assert_eq!(error, Unauthenticated::NotAToken(ParseTokenError::ForeignIssuer));
/// assert!(error.is_foreign());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthenticated {
    /// A well-formed token, or legacy key, of a key that does not exist, or whose secret is another.
    #[error("the key is not valid")]
    InvalidKey {
        /// The id that was claimed, which need not exist.
        claimed: KeyId,
    },
    /// Not a token of this issuer, nor a legacy key that is accepted.
    #[error("the credential is not a token")]
    NotAToken(#[source] ParseTokenError),
}

impl Unauthenticated {
    /// Returns the name used in logs, which is stable.
    ///
    /// ```
    /// use keygate::{ParseTokenError, Unauthenticated};
    /// assert_eq!(Unauthenticated::NotAToken(ParseTokenError::Malformed).as_str(), "malformed");
    /// ```
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidKey { .. } => "invalid_key",
            Self::NotAToken(error) => error.as_str(),
        }
    }

    /// Returns `true` if it may be another system's credential, such as a JWT, that a service may want to pass on.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::NotAToken(ParseTokenError::ForeignIssuer))
    }

    /// Returns the event that tells of the conflict.
    #[must_use]
    pub fn to_event(&self, now: UnixTime) -> Event {
        let claimed = match self {
            Self::InvalidKey { claimed } => Some(*claimed),
            Self::NotAToken(_) => None,
        };
        Event::new(now, Principal::Unverified { claimed }, None, EventKind::Refused { asked: None, why: self.as_str() })
    }
}

/// A look-up failed, so nothing is known: neither an allow nor an invalid key.
///
/// ```
/// use keygate::{Gate, Issuer, Request, Membership, Unavailable, UnixTime};
/// use core::{convert::Infallible, fmt};
///
/// let gate = Gate::new(Issuer::from_static("kg"));
/// let token = "kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d";
/// let request = Request::new("core".parse()?, keygate::Action::Deploy);
/// let membership = |_: &_, _: &_| Ok::<_, Infallible>(Membership::Member);
/// let result = gate.check_blocking(|_| Err(fmt::Error), membership, token, &request, UnixTime::MIN);
/// assert_eq!(result.unwrap_err(), Unavailable::Store(fmt::Error));
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "these are the two look-ups")]
pub enum Unavailable<S: Error + 'static, T: Error + 'static> {
    /// The user's membership could not be looked up.
    #[error("the look-up of a membership failed")]
    Directory(#[source] T),
    /// The key could not be looked up.
    #[error("the look-up of a key failed")]
    Store(#[source] S),
}
