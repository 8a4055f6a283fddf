//! Legacy keys: importing them under a permit, and saving a better digest once the text was seen.

use super::{MintError, MintRules, Permit, PermitError, mint::Minting};
use crate::{
    audit::{EventDraft, EventId, OperationKind},
    grant::{Grant, Owner, Validity},
    labels::Labels,
    legacy::LegacyKey,
    name::{Issuer, KeyName},
    policy::check_usable,
    randomness::{Randomness, RandomnessError},
    record::KeyRecord,
    store::{KeyChange, NewKey, Operation, PreviousChange, SecretChange},
    time::UnixTime,
    verify::MatchedKey,
};

/// A legacy key to import, with its owner and its name here.
///
/// ```
/// use keygate::{Grant, UnixTime, Validity, legacy::{LegacyFormat, Symbols}, manage::Import};
///
/// const OLD: LegacyFormat = LegacyFormat::opaque("old_", Symbols::Hex, 32, 32);
/// let key = OLD.stored(None, "5c".repeat(32).parse()?)?;
/// let (ada, validity) = (Grant::personal("ada".parse()?), Validity::until(UnixTime::from_secs(2_000_000_000)));
/// let import = Import::new(key, ada, "laptop".parse()?, validity, UnixTime::from_secs(1_600_000_000));
/// assert_eq!(import.validity, validity);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Import {
    /// Its id and its digest: of the hash that the old system [stored](crate::legacy::LegacyFormat::stored), or of the
    /// [text](crate::legacy::UnverifiedLegacyKey::legacy_key).
    pub key: LegacyKey,
    /// Its owner and permission.
    pub grant: Grant,
    /// Its name here.
    pub name: KeyName,
    /// When it is valid. An old system's keys often never expire: importing is a good time to give them an expiry.
    pub validity: Validity,
    /// When the old system made it, or now if that is not known.
    pub created_at: UnixTime,
    /// Its labels.
    pub labels: Labels,
}

impl Import {
    /// A legacy key without labels.
    #[must_use]
    pub const fn new(key: LegacyKey, grant: Grant, name: KeyName, validity: Validity, created_at: UnixTime) -> Self {
        Self { key, grant, name, validity, created_at, labels: Labels::NONE }
    }

    /// Adds labels.
    #[must_use]
    pub fn with_labels(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }
}

impl super::Operation for Import {}

impl super::sealed::Operation for Import {
    const KIND: OperationKind = OperationKind::Import;

    fn owner(&self) -> Owner {
        self.grant.owner()
    }

    fn record(&self) -> Option<&KeyRecord> {
        None
    }

    fn expires_at(&self) -> Option<UnixTime> {
        self.validity.expires_at()
    }
}

impl Permit<Import> {
    /// Imports the legacy key: makes a record to [insert](crate::store::KeyManagementStore::insert).
    ///
    /// Only the rules about dates apply, since the key exists already.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if a date is wrong, or the permit cannot be used.
    pub fn import(
        self,
        issuer: Issuer,
        rules: &MintRules,
        randomness: &dyn Randomness,
        now: UnixTime,
    ) -> Result<NewKey, ImportError> {
        let (creator, incarnation) = (self.creator.clone(), self.incarnation);
        let (Import { key, grant, name, validity, created_at, labels }, used) = self.use_up(issuer, now)?;
        if created_at > now {
            return Err(ImportError::CreatedInFuture);
        }
        rules.check_dates(grant.kind(), validity, now).map_err(|error| match error {
            MintError::ExpiresInPast => ImportError::ExpiresInPast,
            error => ImportError::Date(error),
        })?;
        let minting = Minting { issuer, name, labels, grant, validity, creator, incarnation, used };
        Ok(minting.adopt((key.id(), key.digest()), created_at, randomness)?)
    }
}

/// Why a key cannot be imported.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// `created_at` is after the time of the import.
    #[error("`created_at` is after the time of the import")]
    CreatedInFuture,
    /// A date breaks a rule of the service.
    #[error("a date of the key cannot be taken over")]
    Date(#[source] MintError),
    /// The key has expired, or a number that means "never" was read as a time.
    #[error(
        "`expires_at` is not after now: if the old table means \"never\" by 0 or -1, import it with `Validity::NEVER_EXPIRES`"
    )]
    ExpiresInPast,
    /// The permit cannot be used.
    #[error("the permit cannot be used")]
    Permit(#[from] PermitError),
}

impl ImportError {
    /// Returns the name used in logs, which is stable; `None` for a failure that refused nothing.
    ///
    /// ```
    /// assert_eq!(keygate::manage::ImportError::CreatedInFuture.as_str(), Some("created_in_future"));
    /// ```
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::CreatedInFuture => Some("created_in_future"),
            Self::Date(error) => error.as_str(),
            Self::ExpiresInPast => MintError::ExpiresInPast.as_str(),
            Self::Permit(error) => error.as_str(),
        }
    }
}

/// Saves a better digest of a secret that was imported by its hash and has been presented since.
///
/// The new digest is a hash of the text instead of a hash of the hash. The secret stays, and so do id, grant and all
/// else: nobody notices. Afterwards nothing depends on the old hash any more, such as the MD5 of a custom format.
///
/// It needs no permit, since it changes neither who opens the key nor what the key opens, and only a matched key gives
/// it.
///
/// # Security
///
/// The store makes the change only if the digest is still the one that was matched, and only of an active key, in one
/// step. So no rotation or revocation is ever undone by it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a name for an operation that needs no permit")]
pub struct Upgrade;

impl Upgrade {
    /// Returns the change that is due, if any.
    ///
    /// No change is due for a token, for a key that was upgraded already, for a previous secret, and for an unusable
    /// key.
    ///
    /// # Errors
    ///
    /// [`RandomnessError`] if there are no random bytes for the id of the event.
    pub fn due(
        key: &MatchedKey,
        randomness: &dyn Randomness,
        now: UnixTime,
    ) -> Result<Option<KeyChange>, RandomnessError> {
        let (Ok(()), Some(upgraded)) = (check_usable(key, now), key.upgraded()) else { return Ok(None) };
        let secrets = SecretChange::new(key.record().current, upgraded, PreviousChange::Keep);
        let draft = EventDraft::new(EventId::generate(randomness)?, now, key.principal());
        Ok(Some(KeyChange::new(key.id(), Operation::Upgrade(secrets), draft)))
    }
}
