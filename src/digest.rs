//! What is stored of a secret: enough to recognise it, not enough to present it.

use core::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256, block_api::compress256};
use subtle::{Choice, ConstantTimeEq};

use crate::encoding::{read_hex, write_hex};

/// The stored form of a token: 28 of the 32 bytes of SHA-256 over the token without its checksum.
///
/// The other four bytes are the token's checksum, so what is stored gives back neither the secret nor the checksum.
/// The text form is `v1$` and 56 hexadecimal digits; the tag names the algorithm, so that it can change.
///
/// # Security
///
/// `==` and [`ConstantTimeEq`] look at all bytes whatever they hold. `Debug` prints none. A random secret of 190 bits
/// needs no slow hash and no salt: NIST SP 800-63B (section 5.1.2) and OWASP ASVS 5.0 (6.5.2) draw the line at 112.
///
/// ```
/// use keygate::SecretDigest;
///
/// let text = "v1$b018ade7a2fa939801e20bec39cc70ba95764602c5f1d787713d7504";
/// let digest: SecretDigest = text.parse()?;
/// assert_eq!(digest.to_string(), text);
/// assert_eq!(format!("{digest:?}"), "SecretDigest([redacted])");
/// assert!(text.to_uppercase().parse::<SecretDigest>().is_err());
/// # Ok::<(), keygate::InvalidDigest>(())
/// ```
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; Self::LENGTH]);

impl SecretDigest {
    /// The number of bytes.
    pub const LENGTH: usize = 28;

    /// Compared where a record has no digest to compare, so that absence costs what presence costs. Nobody knows a
    /// text that hashes to it, and what it is compared for is refused whatever the comparison says.
    pub(crate) const DUMMY: Self = Self([0; Self::LENGTH]);

    const TAG: &'static str = "v1$";
    const CHECKSUM_LENGTH: usize = 4;

    /// Hashes once: the first four bytes are the checksum, the others what is stored.
    #[inline]
    pub(crate) fn of(body: &[u8]) -> ([u8; Self::CHECKSUM_LENGTH], Self) {
        let [a, b, c, d, digest @ ..] = sha256(body);
        ([a, b, c, d], Self(digest))
    }

    /// Takes the 28 bytes that a store holds.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes as few numbers, of which the last overlaps the one before it.
    fn words(&self) -> [u64; 4] {
        [0, 8, 16, Self::LENGTH - 8].map(|start| {
            self.0.get(start..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
        })
    }

    /// Lends the 28 bytes, for a store to hold.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl ConstantTimeEq for SecretDigest {
    fn ct_eq(&self, other: &Self) -> Choice {
        // Differences are gathered in one number, which `subtle` compares with zero: its own comparison of slices
        // puts a barrier behind each byte and costs about as much as the hash.
        let difference =
            self.words().iter().zip(other.words()).fold(0, |difference, (left, right)| difference | (left ^ right));
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
        let digits = text.strip_prefix(Self::TAG).ok_or(InvalidDigest::Tag)?;
        read_hex(digits.as_bytes()).map(Self).ok_or(InvalidDigest::Digits)
    }
}

impl fmt::Display for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::TAG)?;
        write_hex(&self.0, f)
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

/// A text that is not a stored digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDigest {
    /// There are not exactly 56 lower-case hexadecimal digits.
    #[error("a digest has 56 lower-case hexadecimal digits")]
    Digits,
    /// The tag names no algorithm known here.
    #[error("a digest starts with `v1$`")]
    Tag,
}

/// SHA-256.
///
/// A token fits one block or two, which are padded here (FIPS 180-4, section 5.1.1) and compressed by `sha2`. Its
/// hasher takes texts of any length in pieces, and on a text of one block spends a third of its instructions on that.
#[inline]
fn sha256(text: &[u8]) -> [u8; 32] {
    let mut blocks = [[0; 64]; 2];
    let blocks = match text.len() {
        0..=55 => &mut blocks[..1],
        56..=119 => &mut blocks[..],
        _ => return Sha256::digest(text).into(),
    };
    let padded = blocks.as_flattened_mut();
    if let Some((start, [end, ..])) = padded.split_at_mut_checked(text.len()) {
        start.copy_from_slice(text);
        *end = 0x80;
    }
    if let Some(bits) = padded.last_chunk_mut() {
        *bits = (text.len() as u64).wrapping_mul(8).to_be_bytes();
    }
    let mut state = INITIAL;
    compress256(&mut state, blocks);
    let mut hash = [0; 32];
    hash.copy_from_slice(state.map(u32::to_be_bytes).as_flattened());
    hash
}

/// FIPS 180-4, section 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
