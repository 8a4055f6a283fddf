//! The grammar for other programs: a regular expression.

use alloc::{format, string::String};
use core::fmt;

use crate::{
    id::{KeyId, KeyKind},
    name::Issuer,
    token::{CHECKSUM_LENGTH, SECRET_LENGTH, VERSION},
};

/// The tokens of an issuer as a regular expression, without anything around it.
///
/// It has no look-around, no group and no escape, so it means the same in every dialect. A rule for a scanner must
/// match case-sensitively, and put no boundary around it: the letter of an escape may be beside a token, or another
/// token. The checksum tells nearly all chance hits apart.
///
/// ```
/// use keygate::{Issuer, scan::Pattern};
///
/// let pattern = Pattern::new(Issuer::from_static("kg"));
/// assert_eq!(pattern.to_string(), "kg[pt]1_[A-Za-z0-9]{16}_[A-Za-z0-9]{32}_[0-9a-f]{8}");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pattern {
    issuer: Issuer,
}

impl Pattern {
    /// Describes the tokens of one issuer.
    #[must_use]
    pub const fn new(issuer: Issuer) -> Self {
        Self { issuer }
    }

    /// Describes the hashed part: everything before the last `_`.
    ///
    /// ```
    /// # use keygate::{Issuer, scan::Pattern};
    /// let pattern = Pattern::new(Issuer::from_static("kg"));
    /// assert_eq!(pattern.body(), "kg[pt]1_[A-Za-z0-9]{16}_[A-Za-z0-9]{32}");
    /// ```
    #[must_use]
    pub fn body(self) -> String {
        let [personal, team] = [KeyKind::Personal, KeyKind::Team].map(KeyKind::symbol);
        let (issuer, id) = (self.issuer, KeyId::LENGTH);
        format!("{issuer}[{personal}{team}]{VERSION}_[A-Za-z0-9]{{{id}}}_[A-Za-z0-9]{{{SECRET_LENGTH}}}")
    }

    /// Describes the first digits of the hash.
    ///
    /// ```
    /// # use keygate::{Issuer, scan::Pattern};
    /// assert_eq!(Pattern::new(Issuer::from_static("kg")).checksum(), "[0-9a-f]{8}");
    /// ```
    #[must_use]
    pub fn checksum(self) -> String {
        format!("[0-9a-f]{{{CHECKSUM_LENGTH}}}")
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.body(), self.checksum())
    }
}
