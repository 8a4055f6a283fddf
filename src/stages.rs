//! From a credential to a decision, in stages without I/O: each returns the question to look up, or the result.
//!
//! [`Gate`](crate::Gate) does the I/O between them. Servers that look up in another way, and
//! servers that block, use the stages themselves:
//!
//! ```text
//! AcceptedKeys::parse ──> PresentedKey ──> verify ──> MatchedKey ──> Step ──> decide
//!                         look up its id              for a personal key: ask for a membership
//! ```

use alloc::sync::Arc;
use core::error::Error;
#[cfg(feature = "http")]
use core::iter;

#[cfg(feature = "http")]
use crate::token::{Token, runs};
use crate::{
    action::Request,
    audit::Principal,
    decision::Decision,
    digest::SecretDigest,
    grant::Grant,
    id::{KeyId, KeyKind, TeamId, UserId},
    legacy::LegacyFormat,
    membership::Membership,
    name::Issuer,
    policy::decide,
    reason::Reason,
    record::KeyRecord,
    time::UnixTime,
    token::{ParseTokenError, UnverifiedToken},
    verdict::{Unauthenticated, Unavailable, Verdict},
    verify::{Claims, InvalidKey, MatchedKey, match_record},
};

/// The credentials that are read as keys: the tokens of one issuer, and the legacy keys that a service accepts.
///
/// ```
/// use keygate::{Issuer, legacy::{LegacyFormat, LegacyHash}, stages::AcceptedKeys};
///
/// static FORMATS: [LegacyFormat; 1] = [LegacyFormat::prefix_secret(LegacyHash::Sha512)];
/// let keys = AcceptedKeys::new(Issuer::from_static("acme"));
/// let old = "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK";
/// assert!(keys.parse(old).unwrap_err().is_other_issuer());
/// assert!(keys.with_legacy(&FORMATS).parse(old).is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AcceptedKeys {
    issuer: Issuer,
    former: &'static [Issuer],
    formats: &'static [LegacyFormat],
}

impl AcceptedKeys {
    /// Takes the issuer whose tokens are accepted.
    #[must_use]
    pub const fn new(issuer: Issuer) -> Self {
        Self { issuer, former: &[], formats: &[] }
    }

    /// Also accepts the tokens of these issuers, so that a prefix can change.
    #[must_use]
    pub const fn with_issuers(self, issuers: &'static [Issuer]) -> Self {
        Self { former: issuers, ..self }
    }

    /// Also accepts keys of these formats, with records of any accepted issuer.
    ///
    /// A text that begins as a token of an accepted issuer is a token, good or bad. Any other is read by the first
    /// format whose shape it has.
    #[must_use]
    pub const fn with_legacy(self, formats: &'static [LegacyFormat]) -> Self {
        Self { formats, ..self }
    }

    /// Returns the issuer.
    #[must_use]
    pub const fn issuer(self) -> Issuer {
        self.issuer
    }

    /// Returns `true` if keys of `issuer` are accepted: a proof that another gate made may be of any.
    pub(crate) fn accepts(self, issuer: Issuer) -> bool {
        self.issuer == issuer || self.former.contains(&issuer)
    }

    /// Returns `true` if a text holds, anywhere, what has the shape of a token of an accepted issuer.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn have_token_in(&self, text: &[u8]) -> bool {
        // Most header fields are shorter than any token, and that is seen without a call.
        text.len() > Token::LENGTH_AFTER_ISSUER && runs(self.issuers(), text).next().is_some()
    }

    /// Returns the id of the first token of an accepted issuer in a text, whose checksum holds.
    #[cfg(feature = "http")]
    pub(crate) fn id_in(&self, text: &[u8]) -> Option<KeyId> {
        runs(self.issuers(), text).find_map(|(issuer, run)| {
            let token = UnverifiedToken::parse(*issuer, core::str::from_utf8(run).ok()?).ok()?;
            Some(token.id())
        })
    }

    #[cfg(feature = "http")]
    fn issuers(&self) -> impl Iterator<Item = &Issuer> + Clone {
        iter::once(&self.issuer).chain(self.former)
    }

    /// First stage: parses the credential, and returns the id to look up.
    ///
    /// # Errors
    ///
    /// [`Unauthenticated`] if the text is not a token of an accepted issuer, nor a legacy key of an accepted format;
    /// nothing has to be looked up then.
    #[inline]
    pub fn parse(self, credential: &str) -> Result<PresentedKey, Unauthenticated> {
        let error = match UnverifiedToken::parse(self.issuer, credential) {
            Ok(token) => return Ok(PresentedKey::token(&token)),
            Err(error) => error,
        };
        if error != ParseTokenError::ForeignIssuer {
            return Err(Unauthenticated::NotAToken(error));
        }
        for issuer in self.former {
            match UnverifiedToken::parse(*issuer, credential) {
                Ok(token) => return Ok(PresentedKey::token(&token)),
                Err(ParseTokenError::ForeignIssuer) => {}
                Err(error) => return Err(Unauthenticated::NotAToken(error)),
            }
        }
        match self.formats.iter().find_map(|format| format.parse(credential).ok()) {
            Some(legacy) => {
                let (digest, of_text) = legacy.digests();
                let Self { issuer, former, .. } = self;
                Ok(PresentedKey { issuer, former, id: legacy.id(), kind: None, digest, of_text: Some(of_text) })
            }
            None => Err(Unauthenticated::NotAToken(error)),
        }
    }

    /// All stages with blocking look-ups: from the credential to a verdict.
    ///
    /// `clock` is read after each look-up, so that nothing is judged by a time from before it. If the look-up of a
    /// membership took too long for the key to be [fresh](MatchedKey::is_fresh), the key is looked up again.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if a look-up failed: answer 503, and allow nothing.
    pub fn check_blocking<E: Error + 'static, F: Error + 'static>(
        self,
        find: impl Fn(KeyId) -> Result<Option<Arc<KeyRecord>>, E>,
        membership: impl FnOnce(&UserId, &TeamId) -> Result<Membership, F>,
        credential: &str,
        request: &Request,
        clock: impl Fn() -> UnixTime,
    ) -> Result<Verdict, Unavailable<E, F>> {
        let presented = match self.parse(credential) {
            Ok(presented) => presented,
            Err(unauthenticated) => return Ok(Verdict::Unauthenticated(unauthenticated)),
        };
        let look_up = || find(presented.id()).map_err(Unavailable::Store);
        let mut key = match presented.verify(look_up()?, clock()) {
            Ok(key) => key,
            Err(unauthenticated) => return Ok(Verdict::Unauthenticated(unauthenticated)),
        };
        let now = clock();
        let membership = match Step::of(&key, request, now) {
            Step::Decided(decision) => {
                let decided = decision.into_result().map(|allow| allow.decided_at());
                return Ok(Verdict::of(key, request, decided, now));
            }
            Step::AskMembership(query) => membership(query.user(), query.team()).map_err(Unavailable::Directory)?,
        };
        // The directory may have been slow.
        if !key.is_fresh(clock()) {
            key = match presented.verify(look_up()?, clock()) {
                Ok(key) => key,
                Err(unauthenticated) => return Ok(Verdict::Unauthenticated(unauthenticated)),
            };
        }
        let now = clock();
        let decided = decide(&key, Some(membership), request, now).into_result().map(|allow| allow.decided_at());
        Ok(Verdict::of(key, request, decided, now))
    }
}

/// Second stage: a well-formed token, or legacy key, and the id to look up.
///
/// ```
/// use keygate::{Issuer, Unauthenticated, UnixTime, stages::AcceptedKeys};
///
/// let keys = AcceptedKeys::new(Issuer::from_static("kg"));
/// let presented = keys.parse("kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d")?;
/// assert_eq!(presented.id().as_str(), "wk59pfKL0jFi2YYv");
/// let result = presented.verify(None, UnixTime::from_secs(0));
/// assert!(matches!(result, Err(Unauthenticated::InvalidKey { .. })));
/// # Ok::<(), Unauthenticated>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is verified until the record was found"]
pub struct PresentedKey {
    issuer: Issuer,
    /// A legacy key names no issuer: its record may be of any that is accepted.
    former: &'static [Issuer],
    id: KeyId,
    kind: Option<KeyKind>,
    digest: SecretDigest,
    of_text: Option<SecretDigest>,
}

impl PresentedKey {
    fn token(token: &UnverifiedToken) -> Self {
        Self {
            issuer: *token.issuer_ref(),
            former: &[],
            id: token.id(),
            kind: Some(token.kind()),
            digest: token.digest(),
            of_text: None,
        }
    }

    /// Returns the id to look up.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns `true` if it is not a token: nothing in its text shows that it is a key.
    #[cfg(feature = "http")]
    pub(crate) const fn is_legacy(&self) -> bool {
        self.kind.is_none()
    }

    /// Compares the presented secret with the record that was found.
    ///
    /// # Errors
    ///
    /// [`Unauthenticated::InvalidKey`] if nothing was found or the secret does not match. The error does not say which.
    #[inline]
    pub fn verify(&self, record: Option<Arc<KeyRecord>>, now: UnixTime) -> Result<MatchedKey, Unauthenticated> {
        let Self { issuer, former, id, kind, digest, of_text } = self;
        let of_record = record.as_ref().map(|record| record.issuer);
        let issuer = former.iter().find(|former| Some(**former) == of_record).unwrap_or(issuer);
        match_record(Claims { issuer, id, kind: *kind }, digest, of_text.as_ref(), record, now)
            .map_err(|InvalidKey| Unauthenticated::InvalidKey { claimed: *id })
    }
}

/// Third stage: a decision, or the question that has to be answered first.
///
/// The question comes for personal keys only, after rules 1 and 2 passed: the decision of a team key is there at once.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a request is decided, or a membership is missing")]
#[must_use = "nothing is decided until the membership is known"]
pub enum Step<'a> {
    /// The directory has to be asked.
    AskMembership(MembershipQuery<'a>),
    /// Nothing has to be looked up.
    Decided(Decision<'a>),
}

impl<'a> Step<'a> {
    /// Returns the decision, or the question that comes first.
    pub fn of(key: &'a MatchedKey, request: &'a Request, now: UnixTime) -> Self {
        match (decide(key, None, request, now), key.grant()) {
            (Decision::Deny(denial), Grant::Personal { user }) if denial.reason() == Reason::MembershipRequired => {
                Self::AskMembership(MembershipQuery { key, user, request })
            }
            (decision, _) => Self::Decided(decision),
        }
    }
}

/// The question about the user's membership in the request's team, for a personal key.
#[derive(Debug)]
#[must_use = "nothing is decided until the membership is known"]
pub struct MembershipQuery<'a> {
    key: &'a MatchedKey,
    user: &'a UserId,
    request: &'a Request,
}

impl<'a> MembershipQuery<'a> {
    /// Returns the user to ask about.
    #[must_use]
    pub const fn user(&self) -> &'a UserId {
        self.user
    }

    /// Returns the team to ask about.
    #[must_use]
    pub const fn team(&self) -> &'a TeamId {
        &self.request.team
    }

    /// Decides, given the answer; `now` is read after it.
    ///
    /// If the directory was slow, the key may have changed: check [`MatchedKey::is_fresh`] first, and look the key up
    /// again unless it is.
    pub fn decide(&self, membership: Membership, now: UnixTime) -> Decision<'a> {
        decide(self.key, Some(membership), self.request, now)
    }
}

/// A key that was matched before, matched again by the presented secret's digest.
pub(crate) fn match_again(
    key: &MatchedKey,
    record: Option<Arc<KeyRecord>>,
    now: UnixTime,
) -> Result<MatchedKey, Unauthenticated> {
    key.match_again(record, now).map_err(|InvalidKey| Unauthenticated::InvalidKey { claimed: key.id() })
}

/// A caller without a valid key.
pub(crate) const fn stranger(claimed: Option<KeyId>) -> Principal {
    Principal::Unverified { claimed }
}
