//! The hash of a secret that another system stored, in the text forms in which such hashes are stored.

use core::{fmt, str::FromStr};

use crate::encoding::read_hex;

/// The hash of a secret, as another system stored it: 16 to 64 bytes.
///
/// As text it is lower-case hexadecimal, with or without the tag of Django's form, `sha512$$` or `sha256$$`. A hash in
/// another spelling, such as base64, is decoded by you ([`StoredHash::from_bytes`]).
///
/// ```
/// use keygate::legacy::{InvalidHash, StoredHash};
///
/// let hex = "a3".repeat(64);
/// assert!(hex.parse::<StoredHash>().is_ok() && format!("sha512$${hex}").parse::<StoredHash>().is_ok());
/// // A slow hash would be computed for each request; its error names the alternatives.
/// let slow = "pbkdf2_sha256$260000$hLk1$Yw0c";
/// assert_eq!(slow.parse::<StoredHash>().err(), Some(InvalidHash::Slow));
/// ```
///
/// # Security
///
/// There is no `Display` and no `==`, and `Debug` prints no part of it.
#[derive(Clone, Copy)]
pub struct StoredHash {
    // INVARIANT: zero after `length`, which is at most 64.
    bytes: [u8; Self::MAX_LENGTH],
    length: usize,
}

impl StoredHash {
    /// The largest number of bytes: those of SHA-512.
    pub const MAX_LENGTH: usize = 64;

    /// The smallest number of bytes. Shorter hashes collide and can be inverted by search.
    pub const MIN_LENGTH: usize = 16;

    /// Takes the bytes of a hash.
    ///
    /// # Errors
    ///
    /// [`InvalidHash::Length`] if there are fewer than 16 or more than 64.
    pub fn from_bytes(hash: &[u8]) -> Result<Self, InvalidHash> {
        let mut bytes = [0; Self::MAX_LENGTH];
        match bytes.get_mut(..hash.len()) {
            Some(place) if hash.len() >= Self::MIN_LENGTH => place.copy_from_slice(hash),
            _ => return Err(InvalidHash::Length),
        }
        Ok(Self { bytes, length: hash.len() })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl FromStr for StoredHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let begins_with = |prefix: &&str| {
            text.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        if SLOW.iter().any(begins_with) {
            return Err(InvalidHash::Slow);
        }
        let (digits, length) = match text.split_once('$') {
            None => (text, text.len()),
            Some(("sha256", rest)) => (unsalted(rest)?, 2 * 32),
            Some(("sha512", rest)) => (unsalted(rest)?, 2 * 64),
            Some(("md5" | "sha1" | "sha224" | "sha384", rest)) if !rest.starts_with('$') => {
                return Err(InvalidHash::Salted);
            }
            Some(_) => return Err(InvalidHash::Tag),
        };
        let is_even = length % 2 == 0;
        if digits.len() != length || !is_even || length > 2 * Self::MAX_LENGTH {
            return Err(InvalidHash::Length);
        }
        let mut bytes = [0; Self::MAX_LENGTH];
        for (byte, digits) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            [*byte] = read_hex(digits).ok_or(InvalidHash::Digits)?;
        }
        Self::from_bytes(bytes.get(..length / 2).unwrap_or_default())
    }
}

/// In Django's form, the first `$` is followed by the salt, which random keys lack, and another `$`.
fn unsalted(rest: &str) -> Result<&str, InvalidHash> {
    rest.strip_prefix('$').ok_or(InvalidHash::Salted)
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredHash([redacted])")
    }
}

/// Why a text or bytes are not an importable hash; it holds no part of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHash {
    /// A symbol is not a lower-case hexadecimal digit.
    #[error("a stored hash has lower-case hexadecimal digits")]
    Digits,
    /// It is shorter or longer than its algorithm's hash.
    #[error("a stored hash has the length of its algorithm: 16 to 64 bytes, two digits for each")]
    Length,
    /// It is salted, so it cannot be computed from the presented key alone.
    ///
    /// Do as for [`InvalidHash::Slow`].
    #[error("a salted hash tells nothing of a key alone: import the key when it is presented, or replace it")]
    Salted,
    /// The algorithm is deliberately slow, or an old form of such an algorithm.
    ///
    /// Slowness protects passwords that people choose, and a random key does not need it. Here it would be computed for
    /// every request, valid or not, which is a way to overload the service; and a row cannot be looked up by such a
    /// hash, since each has a salt. See [what to do instead](crate::docs::migration#slow-hashes).
    #[error("a slow hash would be computed for each request: import the key when it is presented, or replace it")]
    Slow,
    /// The algorithm tag is not recognised.
    #[error("a stored hash is bare hexadecimal digits, or they follow `sha256$$` or `sha512$$`")]
    Tag,
}

/// How the text forms of slow hashes begin, in lower case: those of crypt(3), with its dialects of phpass and Drupal,
/// of the PHC format, of Django, Werkzeug, Dovecot and `OpenLDAP`, and of Mosquitto.
const SLOW: &[&str] = &[
    "$1$",
    "$2$",
    "$2a$",
    "$2b$",
    "$2x$",
    "$2y$",
    "$5$",
    "$6$",
    "$7$",
    "$argon2",
    "$bcrypt",
    "$gy$",
    "$h$",
    "$md5$",
    "$p$",
    "$pbkdf2",
    "$s$",
    "$s0$",
    "$scrypt$",
    "$sha1$",
    "$y$",
    "argon2",
    "bcrypt",
    "pbkdf2",
    "scrypt",
    "{argon2",
    "{bcrypt",
    "{blf-crypt",
    "{crypt}",
    "{pbkdf2",
    "{scrypt",
    "{x-pbkdf2",
];
