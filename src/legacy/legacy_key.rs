//! A legacy key: an id that follows from its handle, and a digest that follows from its hash.
//!
//! Every input of a hash begins with its purpose, and each part follows its length, so that no two inputs are ever
//! the same bytes. `tests/vectors/legacy-v1.json` was made by another implementation, from these rules:
//!
//! ```text
//! hash(purpose, parts...) = SHA-256 of "keygate legacy key", purpose, kind, name and the parts, each after its length
//!                           as two bytes, big-endian
//! id                      = bytes 0..12, else 12..24, of hash("id-v1", counter, handle), in base64 for URLs: the first that
//!                           is all letters and digits, for counter = one byte from 0 on
//! digest of a hash        = hash(algorithm, handle, stored hash)[0..28]
//! digest of a text        = hash("legacy-v1", text)[0..28]
//! ```
//!
//! `kind` is `prefix.secret`, `opaque` or `custom`; `name` is empty but for a custom format; `algorithm` is the tag of
//! a [`DigestAlgorithm`]; and the handle is the stored hash if there is no other.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{LegacyFormat, LegacyHash, LegacyParts, Shape};
use crate::{
    digest::{DigestAlgorithm, SecretDigest},
    encoding::is_alphanumeric,
    id::KeyId,
};

/// A legacy key to import: the id that it has here, and the digest to store.
///
/// ```
/// use keygate::{legacy::{LegacyFormat, LegacyHash}, store::DigestAlgorithm};
///
/// const OLD: LegacyFormat = LegacyFormat::prefix_secret(LegacyHash::Sha256);
/// let stored = OLD.stored(Some("Xj6zVG9w"), "5c".repeat(32).parse()?)?;
/// assert_eq!(stored.digest().algorithm(), DigestAlgorithm::LegacySha256);
///
/// // Of the text: the same key, and a better digest.
/// let text = OLD.parse("Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK")?.legacy_key();
/// assert_eq!(text.id(), stored.id());
/// assert_eq!(text.digest().algorithm(), DigestAlgorithm::LegacyText);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LegacyKey {
    id: KeyId,
    digest: SecretDigest,
}

impl LegacyKey {
    pub(super) fn new(format: &LegacyFormat, parts: &LegacyParts<'_>) -> Option<Self> {
        let handle = parts.handle.map_or(parts.hash.as_bytes(), str::as_bytes);
        let algorithm = format.algorithm();
        let digest = format.hash(algorithm.as_str(), [handle, parts.hash.as_bytes()]);
        Some(Self { id: format.id(handle)?, digest: SecretDigest::truncated(digest, algorithm) })
    }

    /// Returns the id that the key has here.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the digest to store.
    #[must_use]
    pub const fn digest(&self) -> SecretDigest {
        self.digest
    }
}

/// An imported key as somebody presented it: of the right shape, not yet known to open anything.
///
/// It holds digests and nothing of the text.
///
/// ```
/// use keygate::{Issuer, UnixTime, legacy::{LegacyFormat, LegacyHash}, verify::verify_legacy};
///
/// let format = LegacyFormat::prefix_secret(LegacyHash::Sha512);
/// let presented = format.parse("Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK")?;
/// assert!(verify_legacy(&presented, Issuer::from_static("acme"), None, UnixTime::MIN).is_err());
/// # Ok::<(), keygate::legacy::InvalidLegacyKey>(())
/// ```
#[derive(Debug)]
pub struct UnverifiedLegacyKey {
    stored: LegacyKey,
    text: SecretDigest,
}

impl UnverifiedLegacyKey {
    pub(super) fn new(format: &LegacyFormat, text: &str, parts: &LegacyParts<'_>) -> Option<Self> {
        let algorithm = DigestAlgorithm::LegacyText;
        let digest = format.hash(algorithm.as_str(), [text.as_bytes()]);
        Some(Self { stored: LegacyKey::new(format, parts)?, text: SecretDigest::truncated(digest, algorithm) })
    }

    /// Returns the id that a store finds the record by.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.stored.id
    }

    /// Returns what to import of it: with a digest of the text, which needs no upgrade.
    ///
    /// For an old system that holds the texts themselves, or has verified the one that was presented.
    #[must_use]
    pub const fn legacy_key(&self) -> LegacyKey {
        LegacyKey { id: self.stored.id, digest: self.text }
    }

    /// Returns the digest as it is of an imported hash, and as it is of the text.
    pub(crate) const fn digests(&self) -> (SecretDigest, SecretDigest) {
        (self.stored.digest, self.text)
    }
}

impl LegacyFormat {
    const fn kind(&self) -> (&'static str, &'static str) {
        match self.0 {
            Shape::PrefixSecret(_) => ("prefix.secret", ""),
            Shape::Opaque { .. } => ("opaque", ""),
            Shape::Custom { name, .. } => ("custom", name),
        }
    }

    const fn algorithm(&self) -> DigestAlgorithm {
        match self.0 {
            Shape::PrefixSecret(LegacyHash::Sha512) => DigestAlgorithm::LegacySha512,
            Shape::PrefixSecret(LegacyHash::Sha256) | Shape::Opaque { .. } => DigestAlgorithm::LegacySha256,
            Shape::Custom { .. } => DigestAlgorithm::LegacyCustom,
        }
    }

    fn id(&self, handle: &[u8]) -> Option<KeyId> {
        (0..=u8::MAX).find_map(|counter| {
            let hash = self.hash("id-v1", [&[counter], handle]);
            hash.chunks_exact(KeyId::LENGTH / 4 * 3).find_map(|block| {
                let mut symbols = [0; KeyId::LENGTH];
                let written = URL_SAFE_NO_PAD.encode_slice(block, &mut symbols);
                let is_id = written == Ok(KeyId::LENGTH) && is_alphanumeric(&symbols);
                is_id.then(|| KeyId::from_checked(symbols))
            })
        })
    }

    fn hash<const N: usize>(&self, purpose: &str, parts: [&[u8]; N]) -> [u8; 32] {
        let (kind, name) = self.kind();
        let mut hash = Sha256::new();
        for part in [DOMAIN, purpose, kind, name].map(str::as_bytes).into_iter().chain(parts) {
            // INVARIANT: every part is bounded: a name, a handle, a hash, or a text of at most 256 bytes.
            hash.update(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

const DOMAIN: &str = "keygate legacy key";
