//! Imported keys: a service that has keys already moves here without asking its users to change them.
//!
//! A [`LegacyFormat`] describes another system's keys and the hashes that it stored of them. With it, rows of the old
//! system become records ([`LegacyFormat::stored`], [`KeyManager::import`](crate::KeyManager::import)), and the
//! [`Gate`](crate::Gate) that [accepts](crate::Gate::with_legacy) it takes those keys beside its own tokens. An
//! imported key is a key like any other: it lives in the same store and obeys the same policy, and it is listed,
//! renamed, disabled, revoked and rotated. Its next secret is a token of this crate, under the same id.
//!
//! The whole migration, slow hashes included, is described in [`docs::migration`](crate::docs::migration).
//!
//! ```
//! use keygate::{
//!     EnvironmentScope, Gate, Grant, Issuer, KeyManager, MemoryStore, Permission, System, UnixTime, Validity,
//!     legacy::{LegacyFormat, LegacyHash},
//!     manage::Import,
//! };
//!
//! // As djangorestframework-api-key makes them.
//! static FORMATS: [LegacyFormat; 1] = [LegacyFormat::prefix_secret(LegacyHash::Sha512)];
//! # pollster::block_on(async {
//! const ACME: Issuer = Issuer::from_static("acme");
//! let store = MemoryStore::new();
//! let (keys, gate) = (KeyManager::new(ACME, store.clone()), Gate::new(ACME, store).with_legacy(&FORMATS));
//!
//! // A row of the old table.
//! let (prefix, hashed_key) = ("Xj6zVG9w", "sha512$$\
//!     e67d5c3e906597d7d95b15fddd18c92c1df1d1ad08904eb59b38230da71f9ceb\
//!     6b8bdfccd5b221dea785c203e676829f092306afe1c9cd7fa8d0ffe785e3761d");
//! let key = FORMATS[0].stored(Some(prefix), hashed_key.parse()?)?;
//! let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
//! let import = Import::new(key, grant, "laptop".parse()?, Validity::NEVER_EXPIRES, UnixTime::from_secs(1_600_000_000));
//! keys.import(&System::new("import of the old keys")?, import).await?;
//!
//! // The key that its holder has been sending all along.
//! let key = gate.authenticate("Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK").await?;
//! assert_eq!(key.name().as_str(), "laptop");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # How it is stored
//!
//! A record holds a hash by this crate over the old system's hash, so that the record is as small as any other, and a
//! [`SecretDigest`](crate::store::SecretDigest) names its algorithm. Two digests of different algorithms
//! are never equal: no token opens by an imported digest, and no legacy key by a token's.
//!
//! The [`KeyId`](crate::KeyId) is derived from the format and the key's *handle*: the public part that the old system
//! finds a row by, or, without such a part, the hash of the whole key. It is a one-way function with 95 bits, so ids of
//! imported keys look like any other, may be logged, and collide no sooner. A row always has the same id: importing
//! it again is refused with [`Conflict::IdTaken`](crate::store::Conflict::IdTaken), whatever happened to the key since.
//!
//! # Security
//!
//! - An imported key is as strong as that system made it. A format guarantees what it can: any key that it reads has
//!   room for at least 112 bits, the line of NIST SP 800-63B and OWASP ASVS 5.0 (6.5.2). Whether they were random, only
//!   you can know. If people chose them, or a weak generator did, do not import them.
//! - There is no checksum: each mistyped key of the right shape costs a look-up.
//! - Scanners of repositories and redactors of logs know the shape of tokens and not that of legacy keys. Until the
//!   last of them is rotated, the old rules for scanning and redacting stay in place.
//! - The kind of key is not in the text, so the record's counts.

use core::fmt;

use sha2::{Digest as _, Sha256, Sha512};

mod hash;
mod legacy_key;

pub use hash::{InvalidHash, StoredHash};
pub use legacy_key::{LegacyKey, UnverifiedLegacyKey};

/// The shape of another system's keys, and the hashes that it stored of them.
///
/// A text belongs to a format if it has its exact shape. If several formats read a text, the first in the list
/// counts, so give each a shape of its own.
///
/// ```
/// use keygate::legacy::{LegacyFormat, LegacyHash, Symbols};
///
/// static FORMATS: [LegacyFormat; 2] = [
///     LegacyFormat::prefix_secret(LegacyHash::Sha512),
///     LegacyFormat::opaque("old_live_", Symbols::Alphanumeric, 24, 32),
/// ];
/// assert!(FORMATS[0].parse("Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK").is_ok());
/// assert!(FORMATS[1].parse("old_live_4dUQ1mRkTz0bYcN8sWvLx2Hf").is_ok());
/// assert!(FORMATS[1].parse("old_live_4dUQ1mRkTz0bYcN8sWvLx2H").is_err());
/// ```
#[derive(Clone, Copy)]
pub struct LegacyFormat(Shape);

#[derive(Clone, Copy)]
enum Shape {
    PrefixSecret(LegacyHash),
    Opaque { prefix: &'static str, symbols: Symbols, min: usize, max: usize },
    Custom { name: &'static str, parse: fn(&str) -> Option<LegacyParts<'_>> },
}

impl LegacyFormat {
    /// The largest number of bytes of a key; a longer text belongs to no format.
    pub const MAX_LENGTH: usize = 1024;

    /// The smallest number of bytes of a key: fewer than 18 visible ASCII symbols have no room for 112 bits.
    pub const MIN_LENGTH: usize = 18;

    /// Keys of the form `prefix.secret`, of 8 and 32 letters and digits, stored as the hash of the whole beside the
    /// prefix.
    ///
    /// It is the form of [`djangorestframework-api-key`][drf] and its ports. Since version 3 they store SHA-512, as
    /// `sha512$$` and hexadecimal digits (`crypto.py`, `Sha512ApiKeyHasher`); before, by one of Django's slow hashes.
    /// The handle is the prefix.
    ///
    /// [drf]: https://florimondmanca.github.io/djangorestframework-api-key/security/
    #[must_use]
    pub const fn prefix_secret(hash: LegacyHash) -> Self {
        Self(Shape::PrefixSecret(hash))
    }

    /// Keys of a fixed prefix and `min` to `max` random symbols, stored as SHA-256 of the whole; there is no handle.
    ///
    /// With an empty prefix, every text of the right symbols and length counts as one: other systems' credentials too,
    /// which are then refused and not [passed on](crate::Unauthenticated::is_other_issuer).
    ///
    /// ```compile_fail
    /// use keygate::legacy::{LegacyFormat, Symbols};
    /// // 16 hexadecimal digits are 64 bits.
    /// const SHORT: LegacyFormat = LegacyFormat::opaque("old_", Symbols::Hex, 16, 16);
    /// ```
    ///
    /// # Panics
    ///
    /// If `min` symbols have no room for 112 bits ([`Symbols::min_length`]), if `max` is less than `min`, if the key
    /// may be longer than [`LegacyFormat::MAX_LENGTH`], or if the prefix has a symbol that a header field cannot carry.
    #[must_use]
    #[expect(clippy::panic, reason = "meant for literals, where it is an error of compilation")]
    pub const fn opaque(prefix: &'static str, symbols: Symbols, min: usize, max: usize) -> Self {
        if min < symbols.min_length() {
            panic!("a key needs room for 112 bits");
        }
        if max < min || max.saturating_add(prefix.len()) > Self::MAX_LENGTH {
            panic!("the bounds of the length do not fit");
        }
        if !is_presentable(prefix.as_bytes()) {
            panic!("a header field cannot carry the prefix");
        }
        Self(Shape::Opaque { prefix, symbols, min, max })
    }

    /// Keys of any other shape, or stored in another way.
    ///
    /// `parse` is asked for texts of [`LegacyFormat::MIN_LENGTH`] to [`LegacyFormat::MAX_LENGTH`] visible ASCII
    /// symbols. For a text of this format it returns the handle of its row and the hash that the old system stored.
    /// `name` goes into the ids of the keys, so it must never change, and be another for each custom format.
    ///
    /// One key must have one text: if several texts have one hash, as where case does not count, whichever is presented
    /// first would be the only one after an [upgrade](crate::KeyManager::upgrade), or after an import of the text
    /// ([`UnverifiedLegacyKey::legacy_key`]). Take only one spelling for a key, or never do either.
    ///
    /// ```
    /// use keygate::legacy::{LegacyFormat, LegacyParts, StoredHash};
    /// # fn sha1(text: &str) -> [u8; 20] { [text.len() as u8; 20] }
    ///
    /// /// A version 4 UUID with its hyphens, which has 122 random bits, stored as its SHA-1.
    /// fn uuid(text: &str) -> Option<LegacyParts<'_>> {
    ///     let is_symbol = |(place, symbol): (usize, char)| match place {
    ///         8 | 13 | 18 | 23 => symbol == '-',
    ///         14 => symbol == '4',
    ///         _ => matches!(symbol, '0'..='9' | 'a'..='f'),
    ///     };
    ///     let is_uuid = text.len() == 36 && text.chars().enumerate().all(is_symbol);
    ///     is_uuid.then(|| Some(LegacyParts { handle: None, hash: StoredHash::from_bytes(&sha1(text)).ok()? }))?
    /// }
    ///
    /// const UUIDS: LegacyFormat = LegacyFormat::custom("uuid-sha1", uuid);
    /// assert!(UUIDS.parse("0b5d1a2c-7f3e-4c1b-9a68-2f4e6d8c0b1a").is_ok());
    /// assert!(UUIDS.parse("0b5d1a2c-7f3e-1c1b-9a68-2f4e6d8c0b1a").is_err());
    /// ```
    ///
    /// # Panics
    ///
    /// If the name is empty or longer than 32 bytes.
    ///
    /// # Security
    ///
    /// `parse` gets the text of any request that holds no token: it must be total and quick, and must refuse texts that
    /// are shorter than the keys. Compare nothing with a secret in it.
    #[must_use]
    #[expect(clippy::panic, reason = "meant for literals, where it is an error of compilation")]
    pub const fn custom(name: &'static str, parse: fn(&str) -> Option<LegacyParts<'_>>) -> Self {
        if name.is_empty() || name.len() > MAX_NAME_LENGTH {
            panic!("a format has a name of 1 to 32 bytes");
        }
        Self(Shape::Custom { name, parse })
    }

    /// Parses a presented text, allocating nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidLegacyKey::Text`] if it is not a key of this format.
    ///
    /// # Security
    ///
    /// As with tokens, the result holds an id and digests, and nothing of the text. All hashes are made before any
    /// look-up, so the following steps cost the same whether the key exists or not.
    pub fn parse(&self, text: &str) -> Result<UnverifiedLegacyKey, InvalidLegacyKey> {
        let bytes = text.as_bytes();
        if !(Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&bytes.len()) {
            return Err(InvalidLegacyKey::Text);
        }
        // All of them are looked at, whatever they are.
        if !bytes.iter().fold(true, |all, symbol| all & symbol.is_ascii_graphic()) {
            return Err(InvalidLegacyKey::Text);
        }
        let parts = self.0.parts(text).ok_or(InvalidLegacyKey::Text)?;
        UnverifiedLegacyKey::new(self, text, &parts).ok_or(InvalidLegacyKey::Text)
    }

    /// Takes a row of the old system: the handle that it finds the row by, if there is one, and the hash.
    ///
    /// If you have the text of a key, use [`UnverifiedLegacyKey::legacy_key`] instead.
    ///
    /// # Errors
    ///
    /// - [`InvalidLegacyKey::Handle`] if the format has handles and the handle is missing or malformed, or if it has no
    ///   handles and one is given. A custom format is not checked: give the handle that its `parse` returns, or the
    ///   record is never found.
    /// - [`InvalidLegacyKey::Hash`] if the hash has another length than those of the format.
    pub fn stored(&self, handle: Option<&str>, hash: StoredHash) -> Result<LegacyKey, InvalidLegacyKey> {
        let is_handle = match self.0 {
            Shape::PrefixSecret(_) => handle.is_some_and(|prefix| prefix.len() == 8 && is_word(prefix)),
            Shape::Opaque { .. } => handle.is_none(),
            Shape::Custom { .. } => handle.is_none_or(is_custom_handle),
        };
        if !is_handle {
            return Err(InvalidLegacyKey::Handle);
        }
        let length = hash.as_bytes().len();
        let is_hash = match self.0 {
            Shape::PrefixSecret(algorithm) => length == algorithm.length(),
            Shape::Opaque { .. } => length == LegacyHash::Sha256.length(),
            Shape::Custom { .. } => true,
        };
        if !is_hash {
            return Err(InvalidLegacyKey::Hash);
        }
        LegacyKey::new(self, &LegacyParts { handle, hash }).ok_or(InvalidLegacyKey::Handle)
    }
}

impl Shape {
    /// The rules of each shape; the length of `text` was bounded.
    fn parts(self, text: &str) -> Option<LegacyParts<'_>> {
        match self {
            Self::PrefixSecret(hash) => {
                let (prefix, secret) = text.split_once('.')?;
                let is_shape = prefix.len() == 8 && is_word(prefix) && secret.len() == 32 && is_word(secret);
                if is_shape { Some(LegacyParts { handle: Some(prefix), hash: hash.of(text)? }) } else { None }
            }
            Self::Opaque { prefix, symbols, min, max } => {
                let random = text.strip_prefix(prefix)?.as_bytes();
                let is_shape = (min..=max).contains(&random.len()) && symbols.include(random);
                if is_shape { Some(LegacyParts { handle: None, hash: LegacyHash::Sha256.of(text)? }) } else { None }
            }
            Self::Custom { parse, .. } => parse(text).filter(|parts| parts.handle.is_none_or(is_custom_handle)),
        }
    }
}

impl fmt::Debug for LegacyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Shape::PrefixSecret(hash) => write!(f, "LegacyFormat(prefix.secret, {hash:?})"),
            Shape::Opaque { prefix, symbols, min, max } => {
                write!(f, "LegacyFormat({prefix:?} and {min} to {max} of {symbols:?})")
            }
            Shape::Custom { name, .. } => write!(f, "LegacyFormat(custom, {name:?})"),
        }
    }
}

/// A key as the old system knows it, which a custom format reads from a text.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a custom format must fill each field")]
pub struct LegacyParts<'a> {
    /// The public part that its row is found by: 1 to 128 bytes, unique, and never a part of the secret. Without one,
    /// the hash takes its place.
    pub handle: Option<&'a str>,
    /// The stored hash of the secret.
    pub hash: StoredHash,
}

/// The hash that the old system stored, of the whole key, without a salt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "any other is a custom format's")]
pub enum LegacyHash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl LegacyHash {
    const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Always something: both lengths are those of a hash.
    fn of(self, text: &str) -> Option<StoredHash> {
        match self {
            Self::Sha256 => StoredHash::from_bytes(&Sha256::digest(text)),
            Self::Sha512 => StoredHash::from_bytes(&Sha512::digest(text)),
        }
        .ok()
    }
}

/// The symbols that the random part of a key consists of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "any other is a custom format's")]
pub enum Symbols {
    /// `[A-Za-z0-9]`.
    Alphanumeric,
    /// `[A-Za-z0-9_-]`: base64 for URLs, without padding.
    Base64Url,
    /// `[0-9a-f]`.
    Hex,
}

impl Symbols {
    /// Returns how many symbols have room for 112 bits.
    ///
    /// ```
    /// use keygate::legacy::Symbols;
    /// let [hex, others] = [Symbols::Hex, Symbols::Alphanumeric].map(|symbols| symbols.min_length() as f64);
    /// assert!(hex * 4.0 >= 112.0 && (hex - 1.0) * 4.0 < 112.0);
    /// assert!(others * 62_f64.log2() >= 112.0 && (others - 1.0) * 62_f64.log2() < 112.0);
    /// ```
    #[must_use]
    pub const fn min_length(self) -> usize {
        match self {
            Self::Alphanumeric | Self::Base64Url => 19,
            Self::Hex => 28,
        }
    }

    fn include(self, text: &[u8]) -> bool {
        let includes = |symbol: u8| match self {
            Self::Alphanumeric => symbol.is_ascii_alphanumeric(),
            Self::Base64Url => symbol.is_ascii_alphanumeric() || matches!(symbol, b'-' | b'_'),
            Self::Hex => matches!(symbol, b'0'..=b'9' | b'a'..=b'f'),
        };
        // All of them are looked at, whatever they are.
        text.iter().fold(true, |all, symbol| all & includes(*symbol))
    }
}

/// Why a text or a row is not a key of a format; it holds no part of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLegacyKey {
    /// The format has handles and this is not one, or it has none.
    #[error("the handle does not fit the format")]
    Handle,
    /// The hash has another length than those of the format.
    #[error("the stored hash has another length than the hashes of the format")]
    Hash,
    /// The text does not have the shape of the format.
    #[error("the text is not a key of the format")]
    Text,
}

fn is_word(text: &str) -> bool {
    // All of them are looked at, whatever they are.
    text.bytes().fold(true, |all, symbol| all & symbol.is_ascii_alphanumeric())
}

fn is_custom_handle(handle: &str) -> bool {
    (1..=MAX_HANDLE_LENGTH).contains(&handle.len())
}

/// Returns `true` if all symbols are visible ASCII. Those of a token68 stand in any field, the others in one of their
/// own.
const fn is_presentable(mut text: &[u8]) -> bool {
    while let [symbol, rest @ ..] = text {
        if !symbol.is_ascii_graphic() {
            return false;
        }
        text = rest;
    }
    true
}

const MAX_HANDLE_LENGTH: usize = 128;
const MAX_NAME_LENGTH: usize = 32;
