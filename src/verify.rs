//! Verification: does the presented secret open the key that was found?
//!
//! Status, time and scope are not looked at here: that is the [policy's](crate::policy) part, and it comes after the
//! secret matched, so that nobody learns a key's status from its public id alone.

use alloc::sync::Arc;
use core::{fmt, time::Duration};

use subtle::ConstantTimeEq as _;

use crate::{
    audit::Principal,
    digest::{DigestAlgorithm, SecretDigest},
    grant::{Grant, Owner, Validity},
    id::{KeyId, KeyKind, UserId},
    labels::Labels,
    legacy::UnverifiedLegacyKey,
    membership::Incarnation,
    name::{Issuer, KeyName},
    record::{KeyRecord, SecretSlot, Status},
    time::UnixTime,
};

pub use crate::token::{DisplayToken, GenerateError, ParseTokenError, UnverifiedToken};

/// How long a stored last use may lag behind before [`MatchedKey::touch_due`] asks for a write: one minute.
pub const DEFAULT_TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// Compares a presented token with the record that was found by its id, if any.
///
/// `now` decides whether a previous secret is still live.
///
/// # Errors
///
/// [`InvalidKey`] if no record was found, if it is of another id, kind or issuer, or if neither its current secret nor
/// a live previous one was presented. The error does not say which.
///
/// # Security
///
/// Two digests are always compared, each in constant time, and the results are combined without a branch;
/// if a record or a previous secret is missing, a dummy takes its place, and its comparison does not count.
///
/// ```
/// use keygate::{Issuer, UnixTime, verify::{InvalidKey, UnverifiedToken, verify}};
///
/// let text = "kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d";
/// let presented = UnverifiedToken::parse(Issuer::from_static("kg"), text)?;
/// assert_eq!(verify(&presented, None, UnixTime::from_secs(0)).unwrap_err(), InvalidKey);
/// # Ok::<(), keygate::verify::ParseTokenError>(())
/// ```
#[inline]
pub fn verify(
    presented: &UnverifiedToken,
    record: Option<Arc<KeyRecord>>,
    now: UnixTime,
) -> Result<MatchedKey, InvalidKey> {
    let claims = Claims { issuer: presented.issuer_ref(), id: presented.id_ref(), kind: Some(presented.kind()) };
    match_record(claims, presented.digest_ref(), None, record, now)
}

/// Compares a legacy key with the record that was found by its id, if any; `issuer` is that of the record.
///
/// The text of a legacy key does not say its kind, so the record's counts.
///
/// # Errors
///
/// The same as for [`verify`].
///
/// # Security
///
/// As for [`verify`]: the record names the algorithm of its digests, which is no secret, and each is compared with the
/// presented key's digest by that algorithm. A digest of a token is never equal to either.
///
/// ```
/// use keygate::{Issuer, UnixTime, legacy::{LegacyFormat, LegacyHash}, verify::{InvalidKey, verify_legacy}};
///
/// let format = LegacyFormat::prefix_secret(LegacyHash::Sha512);
/// let presented = format.parse("Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK")?;
/// let acme = Issuer::from_static("acme");
/// assert_eq!(verify_legacy(&presented, acme, None, UnixTime::from_secs(0)).unwrap_err(), InvalidKey);
/// # Ok::<(), keygate::legacy::InvalidLegacyKey>(())
/// ```
pub fn verify_legacy(
    presented: &UnverifiedLegacyKey,
    issuer: Issuer,
    record: Option<Arc<KeyRecord>>,
    now: UnixTime,
) -> Result<MatchedKey, InvalidKey> {
    let (digest, of_text) = presented.digests();
    match_record(Claims { issuer: &issuer, id: &presented.id(), kind: None }, &digest, Some(&of_text), record, now)
}

/// The id, issuer and kind that a record must have; a legacy key claims no kind.
#[derive(Clone, Copy)]
pub(crate) struct Claims<'a> {
    pub(crate) issuer: &'a Issuer,
    pub(crate) id: &'a KeyId,
    pub(crate) kind: Option<KeyKind>,
}

/// Compares the presented digest with both secrets; for a legacy key also that of its text, which an upgraded record
/// holds.
#[inline]
pub(crate) fn match_record(
    claims: Claims<'_>,
    digest: &SecretDigest,
    of_text: Option<&SecretDigest>,
    record: Option<Arc<KeyRecord>>,
    now: UnixTime,
) -> Result<MatchedKey, InvalidKey> {
    let (is_current, is_previous) = match_secrets(claims, digest, of_text, record.as_deref(), now);
    let key = match record {
        Some(record) if is_current | is_previous => {
            let slot = if is_current { SecretSlot::Current } else { SecretSlot::Previous };
            MatchedKey { record, slot, matched_at: now, of_text: None }
        }
        _ => return Err(InvalidKey),
    };
    // The record has no better digest than that of an imported hash: it may get one.
    Ok(match of_text {
        Some(of_text) if key.algorithm() != DigestAlgorithm::LegacyText => {
            MatchedKey { of_text: Some(Arc::new(*of_text)), ..key }
        }
        _ => key,
    })
}

/// Compares with the current secret and with a live previous one.
fn match_secrets(
    claims: Claims<'_>,
    digest: &SecretDigest,
    of_text: Option<&SecretDigest>,
    record: Option<&KeyRecord>,
    now: UnixTime,
) -> (bool, bool) {
    let current = record.map_or(&SecretDigest::DUMMY, |record| &record.current);
    let live_previous = record.and_then(|record| record.live_previous(now));
    let previous = live_previous.map_or(&SecretDigest::DUMMY, |previous| &previous.digest);
    let as_stored = |stored: &SecretDigest| match of_text {
        Some(of_text) if stored.algorithm() == DigestAlgorithm::LegacyText => of_text,
        _ => digest,
    };

    // `&`, not `&&`: that would branch on the results of the comparisons.
    let is_record = record.is_some_and(|record| {
        record.id == *claims.id
            && record.issuer == *claims.issuer
            && claims.kind.is_none_or(|kind| record.kind() == kind)
    });
    let is_current = bool::from(as_stored(current).ct_eq(current)) & is_record;
    let is_previous = bool::from(as_stored(previous).ct_eq(previous)) & is_record & live_previous.is_some();
    (is_current, is_previous)
}

/// A key whose secret matched: a snapshot of its record, without the secret.
///
/// Only a comparison with the secrets of a record makes one, as in [`verify`]. It identifies the caller but grants
/// nothing: a revoked key still matches, and [`decide`](crate::policy::decide) refuses it. A handler gets an
/// [`AuthenticatedKey`](crate::AuthenticatedKey).
///
/// ```compile_fail
/// use keygate::{KeyRecord, UnixTime, store::SecretSlot, verify::MatchedKey};
/// fn forge(record: std::sync::Arc<KeyRecord>) -> MatchedKey {
///     MatchedKey { record, slot: SecretSlot::Current, matched_at: UnixTime::MIN, of_text: None }
/// }
/// ```
#[derive(Clone)]
#[must_use = "a matched key allows nothing until the policy has decided"]
pub struct MatchedKey {
    record: Arc<KeyRecord>,
    slot: SecretSlot,
    matched_at: UnixTime,
    /// Of a legacy key that matched by the digest of an imported hash, that of its text: the record may get it while
    /// the key is in use. Shared, so that tokens do not have to carry it.
    of_text: Option<Arc<SecretDigest>>,
}

impl MatchedKey {
    /// How long a match can be relied on: one minute. After it, look the key up and [match it
    /// again](Self::match_again).
    pub const LIFETIME: Duration = Duration::from_secs(60);

    /// Returns `true` if the match can still be relied on at `now`: it is not older than [`MatchedKey::LIFETIME`], not
    /// from the future, and the secret that matched is not a previous one that has ended since.
    ///
    /// A proof that is made of this key, such as an [`Authorization`](crate::Authorization), makes it no younger.
    #[must_use]
    pub fn is_fresh(&self, now: UnixTime) -> bool {
        let is_live = match self.slot {
            SecretSlot::Current => true,
            SecretSlot::Previous => self.record.live_previous(now).is_some(),
        };
        is_live && self.matched_at <= now && now < self.matched_at.saturating_add(Self::LIFETIME)
    }

    /// Matches again, without the secret: compares the presented digest with the record as it is now.
    ///
    /// Use it for long requests, such as a stream: a rotation may have ended the secret, a revocation the key.
    ///
    /// # Errors
    ///
    /// The same as for [`verify`].
    pub fn match_again(&self, record: Option<Arc<KeyRecord>>, now: UnixTime) -> Result<Self, InvalidKey> {
        let claims = Claims { issuer: &self.record.issuer, id: &self.record.id, kind: Some(self.kind()) };
        match_record(claims, self.presented(), self.of_text.as_deref(), record, now)
    }

    /// Returns the digest of the presented secret: by construction the one in the slot that matched.
    pub(crate) fn presented(&self) -> &SecretDigest {
        match (self.slot, &self.record.previous) {
            (SecretSlot::Previous, Some(previous)) => &previous.digest,
            (SecretSlot::Previous, None) | (SecretSlot::Current, _) => &self.record.current,
        }
    }

    /// Returns the public id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.record.id
    }

    /// Returns the issuer.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        self.record.issuer
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.record.kind()
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        self.record.name()
    }

    /// Returns the labels.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        self.record.labels()
    }

    /// Returns the grant: the owner and the permission.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        self.record.grant()
    }

    /// Returns the owner.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.record.grant().owner()
    }

    /// Returns the user of a personal key.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.record.grant().user()
    }

    /// Returns the incarnation of its user that a personal key was minted for.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.record.incarnation
    }

    /// Returns when the key is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.record.validity()
    }

    /// Returns the status that the record had when it was found.
    #[must_use]
    pub fn status(&self) -> Status {
        self.record.status()
    }

    /// Returns which secret was presented.
    #[must_use]
    pub const fn slot(&self) -> SecretSlot {
        self.slot
    }

    /// Returns how the digest that matched was made: [`DigestAlgorithm::Native`] for tokens, and another for legacy
    /// keys.
    #[must_use]
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.presented().algorithm()
    }

    /// Returns the actor, for an audit event.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal::Key { id: self.id(), slot: self.slot, user: self.user().cloned() }
    }

    /// Returns the digest of the text of a legacy key, if the record still holds that of an imported hash.
    pub(crate) fn upgraded(&self) -> Option<SecretDigest> {
        self.of_text.as_deref().copied().filter(|_| self.slot == SecretSlot::Current)
    }

    /// Stands in for a match in a dry run, in which nobody presents a secret. It must not leave the dry run.
    pub(crate) const fn unpresented(record: Arc<KeyRecord>, now: UnixTime) -> Self {
        Self { record, slot: SecretSlot::Current, matched_at: now, of_text: None }
    }

    /// Returns a reference to the record that the secret was matched against.
    #[must_use]
    pub const fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }

    /// Returns `true` if the stored last use is `interval` or more behind `now`, so that a touch is due.
    ///
    /// Verification writes nothing. Call [`KeyManagementStore::touch`](crate::store::KeyManagementStore::touch) off the
    /// request's path, and never fail a request because of it.
    #[must_use]
    pub fn touch_due(&self, now: UnixTime, interval: Duration) -> bool {
        let last_use = match (self.slot, &self.record.previous) {
            (SecretSlot::Previous, Some(previous)) => previous.last_used_at,
            (SecretSlot::Previous, None) | (SecretSlot::Current, _) => self.record.last_used_at,
        };
        last_use.is_none_or(|last_use| last_use.saturating_add(interval) <= now)
    }
}

impl fmt::Debug for MatchedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatchedKey")
            .field("id", &self.id())
            .field("name", self.name())
            .field("grant", self.grant())
            .field("status", &self.status())
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// The presented secret opens no key; the outside learns nothing more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the key is not valid")]
#[expect(clippy::exhaustive_structs, reason = "detail would be an oracle, so there will never be a field")]
pub struct InvalidKey;
