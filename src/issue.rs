//! The arguments and results of minting.

use core::time::Duration;

use crate::{
    grant::{Grant, Validity},
    labels::Labels,
    name::KeyName,
    record::KeyRecord,
    store::{KeyChange, NewKey},
    time::UnixTime,
    token::Token,
};

/// The key to create.
///
/// ```
/// use keygate::{Grant, Labels, NewKeySpec, Validity};
///
/// let spec = NewKeySpec::new(Grant::personal("ada".parse()?), "laptop".parse()?, Validity::NEVER_EXPIRES)
///     .with_labels(Labels::new([("device".parse()?, "laptop".parse()?)])?);
/// assert_eq!(spec.labels.len(), 1);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NewKeySpec {
    /// Its owner and permission.
    pub grant: Grant,
    /// Its name.
    pub name: KeyName,
    /// When it is valid.
    pub validity: Validity,
    /// Its labels.
    pub labels: Labels,
}

impl NewKeySpec {
    /// A key without labels.
    #[must_use]
    pub const fn new(grant: Grant, name: KeyName, validity: Validity) -> Self {
        Self { grant, name, validity, labels: Labels::NONE }
    }

    /// Adds labels.
    #[must_use]
    pub fn with_labels(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }
}

/// A key that was just created.
///
/// # Security
///
/// The token is shown once, to the person who gets the key; the stored digest cannot be turned back into it.
#[derive(Debug)]
#[must_use = "the token cannot be shown later"]
#[non_exhaustive]
pub struct Issued {
    /// The token, to show once.
    pub token: Token,
    /// The stored record, to show beside the token.
    pub record: KeyRecord,
}

/// A key and its token, made under a permit and not stored yet: of the pure core.
///
/// # Security
///
/// As for [`Issued`]: the token is shown once, when the store has acknowledged.
#[derive(Debug)]
#[must_use = "the token cannot be shown later"]
#[non_exhaustive]
pub struct Minted {
    /// The token, to show once.
    pub token: Token,
    /// The key for a store to insert, with its event.
    pub key: NewKey,
}

/// The ways to replace a key's secret without an outage.
///
/// ```
/// use core::time::Duration;
/// use keygate::Rotation;
/// let daily = Rotation::Start { overlap: Duration::from_secs(86_400) };
/// assert_ne!(daily, Rotation::CutOver);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rotation {
    /// Only the new secret lives, at once: for a secret that leaked.
    CutOver,
    /// Like `Start`, but a live previous secret stays, with its end, and the current one is replaced.
    ///
    /// For a `Start` whose answer was lost: the undelivered secret is replaced, and the deployed one keeps working.
    Retry {
        /// As in `Start`, if no previous secret is live; a live one keeps its own end. To end both, ask for a
        /// `CutOver`.
        overlap: Duration,
    },
    /// The current secret lives on beside the new one; refused while a previous one is live.
    Start {
        /// For how long, rounded up to whole seconds; never beyond the key's expiry. 0 is a `CutOver`.
        overlap: Duration,
    },
}

/// A key that got a new secret.
///
/// # Security
///
/// As for [`Issued`]: the token is shown once.
#[derive(Debug)]
#[must_use = "the token cannot be shown later"]
#[non_exhaustive]
pub struct RotatedKey {
    /// The new token, to show once.
    pub token: Token,
    /// When the previous secret ends, if there is one: the end of the overlap, or the key's expiry if that is earlier.
    pub previous_ends_at: Option<UnixTime>,
}

/// A new secret, made under a permit and not stored yet: of the pure core.
///
/// # Security
///
/// As for [`Issued`]: the token is shown once, when the store has acknowledged.
#[derive(Debug)]
#[must_use = "the token cannot be shown later"]
#[non_exhaustive]
pub struct MintedSecret {
    /// The new token, to show once.
    pub token: Token,
    /// The change for a store to make, with the draft of its event.
    pub change: KeyChange,
    /// When the previous secret ends, if there is one.
    pub previous_ends_at: Option<UnixTime>,
}
