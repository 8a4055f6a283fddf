//! The stored digest of a secret: enough to recognise the secret, not enough to present it.

use core::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::encoding::{read_hex, write_hex};

/// The stored form of a secret: 28 bytes of hash, and the [algorithm](DigestAlgorithm) that made them.
///
/// Of a token it is SHA-256 over the token without its checksum. The other four of its 32 bytes are the checksum, so
/// the stored form gives back neither the secret nor the checksum. The text form is the tag of the algorithm, which is
/// `v1` for tokens, then `$` and 56 hexadecimal digits. The form in bytes is one for the algorithm, and the 28.
///
/// # Security
///
/// `==` and [`ConstantTimeEq`] look at all bytes whatever they hold, and at the algorithm: two digests of different
/// algorithms are never equal. `Debug` prints none. A random secret of 190 bits needs no slow hash and no salt: NIST SP
/// 800-63B (section 5.1.2) and OWASP ASVS 5.0 (6.5.2) draw the line at 112.
///
/// ```
/// use keygate::store::{DigestAlgorithm, SecretDigest};
///
/// let text = "v1$b018ade7a2fa939801e20bec39cc70ba95764602c5f1d787713d7504";
/// let digest: SecretDigest = text.parse()?;
/// assert_eq!(digest.to_string(), text);
/// assert_eq!(format!("{digest:?}"), "SecretDigest([redacted])");
/// assert!(text.to_uppercase().parse::<SecretDigest>().is_err());
///
/// assert_eq!(digest.algorithm(), DigestAlgorithm::Native);
/// assert_eq!(SecretDigest::from_bytes(digest.to_bytes())?, digest);
/// assert_ne!(text.replace("v1$", "sha512-v1$").parse(), Ok(digest));
/// # Ok::<(), keygate::store::InvalidDigest>(())
/// ```
#[derive(Clone, Copy)]
pub struct SecretDigest {
    algorithm: DigestAlgorithm,
    // As the numbers that SHA-256 computes: so two are compared in seven steps.
    hash: [u32; Self::WORDS],
}

impl SecretDigest {
    /// The number of bytes that a store holds: the algorithm and the hash.
    pub const LENGTH: usize = 1 + Self::WORDS * 4;

    /// Compared where a record has no digest to compare, so that absence costs what presence costs. Nobody knows a
    /// text that hashes to it, and what it is compared for is refused whatever the comparison says.
    pub(crate) const DUMMY: Self = Self { hash: [0; Self::WORDS], algorithm: DigestAlgorithm::Native };

    const WORDS: usize = 7;

    /// Hashes once: the first four bytes, as one number, are the checksum, the others the stored digest.
    #[inline]
    pub(crate) fn of(body: &[u8]) -> (u32, Self) {
        let [checksum, hash @ ..]: [u32; 1 + Self::WORDS] = words(&Sha256::digest(body));
        (checksum, Self { hash, algorithm: DigestAlgorithm::Native })
    }

    /// Takes the first bytes of a hash.
    pub(crate) fn truncated(hash: [u8; 32], algorithm: DigestAlgorithm) -> Self {
        Self { hash: words(&hash), algorithm }
    }

    /// Takes the bytes that a store holds.
    ///
    /// # Errors
    ///
    /// [`InvalidDigest::Tag`] if the first byte names no algorithm known here.
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Result<Self, InvalidDigest> {
        let [code, hash @ ..] = &bytes;
        let is_meant = |one: &&DigestAlgorithm| one.code() == *code;
        let algorithm = *DigestAlgorithm::ALL.iter().find(is_meant).ok_or(InvalidDigest::Tag)?;
        Ok(Self { hash: words(hash), algorithm })
    }

    /// Returns the bytes for a store to hold: the algorithm, and the hash.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [self.algorithm.code(); Self::LENGTH];
        let [_, hash @ ..] = &mut bytes;
        hash.copy_from_slice(self.hash.map(u32::to_be_bytes).as_flattened());
        bytes
    }

    /// Returns how the digest was made, which is no secret.
    #[must_use]
    pub const fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }
}

/// Reads the first bytes as numbers.
fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4).filter_map(<[u8]>::first_chunk)) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

impl ConstantTimeEq for SecretDigest {
    #[inline]
    fn ct_eq(&self, other: &Self) -> Choice {
        // Differences are gathered in one number, which `subtle` compares with zero: its own comparison of slices
        // puts a barrier behind each byte and costs about as much as the hash.
        let algorithms = u32::from(self.algorithm.code() ^ other.algorithm.code());
        let difference =
            self.hash.iter().zip(other.hash).fold(algorithms, |difference, (left, right)| difference | (left ^ right));
        difference.ct_eq(&0)
    }
}

impl PartialEq for SecretDigest {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for SecretDigest {}

impl FromStr for SecretDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let (tag, digits) = text.split_once('$').ok_or(InvalidDigest::Tag)?;
        let is_meant = |one: &&DigestAlgorithm| one.as_str() == tag;
        let algorithm = DigestAlgorithm::ALL.iter().find(is_meant).ok_or(InvalidDigest::Tag)?;
        let hash: [u8; Self::WORDS * 4] = read_hex(digits.as_bytes()).ok_or(InvalidDigest::Digits)?;
        Ok(Self { hash: words(&hash), algorithm: *algorithm })
    }
}

impl fmt::Display for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}$", self.algorithm)?;
        write_hex(self.hash.map(u32::to_be_bytes).as_flattened(), f)
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest([redacted])")
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for SecretDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for SecretDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(crate::text::TextVisitor(core::marker::PhantomData))
    }
}

/// How a stored digest was made; a digest of one is never equal to a digest of another.
///
/// All but the first are of keys that were [imported](crate::legacy).
///
/// ```
/// use keygate::store::{DigestAlgorithm, SecretDigest};
///
/// let imported: SecretDigest = "sha512-v1$b018ade7a2fa939801e20bec39cc70ba95764602c5f1d787713d7504".parse()?;
/// assert_eq!(imported.algorithm(), DigestAlgorithm::LegacySha512);
/// assert!(imported.algorithm().is_legacy());
/// # Ok::<(), keygate::store::InvalidDigest>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// `v1`: of a token of this crate.
    Native = 1,
    /// `legacy-v1`: of the text of an imported key.
    LegacyText = 2,
    /// `sha256-v1`: of the SHA-256 of the text of an imported key.
    LegacySha256 = 3,
    /// `sha512-v1`: of the SHA-512 of the text of an imported key.
    LegacySha512 = 4,
    /// `custom-v1`: of a hash that only the format of the key knows.
    LegacyCustom = 5,
}

impl DigestAlgorithm {
    /// Every algorithm.
    pub const ALL: &'static [Self] =
        &[Self::Native, Self::LegacyText, Self::LegacySha256, Self::LegacySha512, Self::LegacyCustom];

    /// Returns the tag used in the text form, which is stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "v1",
            Self::LegacyText => "legacy-v1",
            Self::LegacySha256 => "sha256-v1",
            Self::LegacySha512 => "sha512-v1",
            Self::LegacyCustom => "custom-v1",
        }
    }

    /// Returns `true` if the key was imported.
    #[must_use]
    pub const fn is_legacy(self) -> bool {
        !matches!(self, Self::Native)
    }

    /// The first byte of the form in bytes, which is stable.
    const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text, or bytes, that are not a stored digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDigest {
    /// There are not exactly 56 lower-case hexadecimal digits.
    #[error("a digest has 56 lower-case hexadecimal digits")]
    Digits,
    /// The tag names no algorithm known here.
    #[error("a digest starts with the tag of a known algorithm, as `v1$` is")]
    Tag,
}
