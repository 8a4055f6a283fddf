//! Imported keys: taking them in under a permit, and saving a better digest once the text was seen.

use super::{Create, Permit};
use crate::{
    event::{Event, EventKind, Principal},
    grant::Validity,
    issue,
    legacy::LegacyKey,
    name::KeyName,
    policy::check_usable,
    record::{NewKey, SecretChange},
    time::UnixTime,
    verify::MatchedKey,
};

/// An imported key, as it is to be here. What it may do is in the permit.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "who imports a key says each of these")]
pub struct Import {
    /// Its id and its digest, of what the old system [stored](crate::legacy::LegacyFormat::stored), or of the
    /// [text](crate::legacy::UnverifiedLegacyKey::legacy_key).
    pub legacy_key: LegacyKey,
    /// Its name here.
    pub name: KeyName,
    /// When it is valid. An old system's keys are often without end: importing is a good time to give them one.
    pub validity: Validity,
    /// When the old system made it, or now if that is not known.
    pub created_at: UnixTime,
}

impl Permit<Create> {
    /// Imports a legacy key: a record to [insert](crate::KeyManagementStore::insert).
    ///
    /// Owner, permission and creator come from the permit, as for [`Permit::issue`]. The creator is who imports the key.
    ///
    /// # Errors
    ///
    /// [`ImportError::CreatedInFuture`] if the key was made after `now`.
    ///
    /// ```
    /// use keygate::{
    ///     Actor, Create, Grant, Import, ImportError, UnixTime, Validity,
    ///     legacy::{LegacyFormat, Symbols}, authorize_operation,
    /// };
    ///
    /// const OLD: LegacyFormat = LegacyFormat::opaque("old_", Symbols::Hex, 32, 32);
    /// let mut import = Import {
    ///     legacy_key: OLD.stored(None, "5c".repeat(32).parse()?)?,
    ///     name: "laptop".parse()?,
    ///     validity: Validity::NEVER_EXPIRES,
    ///     created_at: UnixTime::from_secs(100),
    /// };
    /// let system = Actor::system("import of the old keys")?;
    /// let now = UnixTime::from_secs(200);
    /// let permit = authorize_operation(&system, Create(Grant::Personal { user: "ada".parse()? }), None, now)?;
    /// let imported = permit.import(import.clone(), now)?;
    /// assert_eq!(imported.key.record().id(), import.legacy_key.id());
    ///
    /// import.created_at = UnixTime::from_secs(201);
    /// assert_eq!(permit.import(import, now).unwrap_err(), ImportError::CreatedInFuture);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn import(&self, import: Import, now: UnixTime) -> Result<Imported, ImportError> {
        let Import { legacy_key, name, validity, created_at } = import;
        if created_at > now {
            return Err(ImportError::CreatedInFuture);
        }
        let grant = self.operation().0.clone();
        let imported = EventKind::Imported { name: name.clone(), owner: grant.owner(), created_at };
        let key = issue::import(legacy_key, (name, grant, validity), self.creator(), created_at);
        Ok(Imported { key, event: Event::new(now, self.by.clone(), Some(legacy_key.id()), imported) })
    }
}

/// A key that was just taken in.
#[derive(Debug)]
#[must_use = "the key does not exist until it is stored"]
#[non_exhaustive]
pub struct Imported {
    /// What a store holds.
    pub key: NewKey,
    /// What the audit log is told, when the store has acknowledged.
    pub event: Event,
}

/// Why a key cannot be imported.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It would have been made after it is imported.
    #[error("the key was made in the future")]
    CreatedInFuture,
}

impl ImportError {
    /// Returns the name used in logs, which is stable.
    ///
    /// ```
    /// assert_eq!(keygate::ImportError::CreatedInFuture.as_str(), "created_in_future");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreatedInFuture => "created_in_future",
        }
    }
}

/// A better digest of a secret that was imported by its hash and has been presented since.
///
/// What is saved is a hash of the text instead of a hash of the hash. The secret stays, and so do id, grant and all else:
/// nobody notices. After it, nothing rests on the old hash any more, be it SHA-512 or the MD5 of a custom format.
///
/// It needs no permit, since it changes neither who opens the key nor what the key opens, and only a verified key gives it.
///
/// # Security
///
/// The store makes the change only if the digest is still the one that was verified, and only of an active key, in one
/// step ([`KeyManagementStore::rotate`](crate::KeyManagementStore::rotate)). So no rotation or revocation is ever undone by it.
/// Nobody else can make one:
///
/// ```compile_fail
/// use keygate::{Event, SecretChange, Upgrade};
/// fn forge(change: SecretChange, event: Event) -> Upgrade {
///     Upgrade { change, event }
/// }
/// ```
///
/// ```
/// # use keygate::*;
/// use keygate::legacy::{LegacyFormat, LegacyHash};
///
/// const OLD: LegacyFormat = LegacyFormat::prefix_secret(LegacyHash::Sha256);
/// let text = "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK";
/// let sha256 = "6eed3c343d3edee0d458a34a875a78969a449fe0b706d3dcb2dae6955471f630";
/// # let now = UnixTime::from_secs(100);
/// # let system = Actor::system("example")?;
/// # let permit = authorize_operation(&system, Create(Grant::Personal { user: "ada".parse()? }), None, now)?;
/// # let (name, validity) = ("laptop".parse()?, Validity::NEVER_EXPIRES);
/// let legacy_key = OLD.stored(Some("Xj6zVG9w"), sha256.parse()?)?;
/// let imported = permit.import(Import { legacy_key, name, validity, created_at: now }, now)?;
///
/// let record = imported.key.record().clone();
/// let key = verify_legacy(&OLD.parse(text)?, Some(record.into()), now)?;
/// let upgrade = Upgrade::of(&key, now).ok_or("an upgrade is due")?;
/// assert_eq!(upgrade.change.expected().algorithm(), DigestAlgorithm::LegacySha256);
/// assert_eq!(upgrade.change.current().algorithm(), DigestAlgorithm::LegacyText);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is upgraded until it is stored"]
#[non_exhaustive]
pub struct Upgrade {
    /// What a store is asked to change.
    pub change: SecretChange,
    /// What the audit log is told, when the store has acknowledged.
    pub event: Event,
}

impl Upgrade {
    /// Returns the upgrade that is due, if one is.
    ///
    /// None is due of a token, of a secret whose text was seen before, of one that a rotation has replaced already, and
    /// of a key that may not be used.
    #[must_use]
    pub fn of(key: &MatchedKey, now: UnixTime) -> Option<Self> {
        check_usable(key, now).ok()?;
        let change = issue::rehash(key.record(), key.upgraded()?);
        Some(Self { change, event: Event::new(now, Principal::key(key), Some(key.id()), EventKind::Upgraded) })
    }
}
