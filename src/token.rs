//! The token: shown once to the person who gets the key, and presented with each request.

mod skeleton;

use alloc::string::String;
use core::fmt;

use crate::{
    digest::SecretDigest,
    encoding::{DrawError, draw_text, is_alphanumeric, read_hex, write_hex},
    id::{KeyId, KeyKind},
    name::Issuer,
    randomness::Randomness,
    secret::SecretText,
};

pub(crate) use skeleton::{SECOND, skeleton};

/// A token that was just made: shown once, then forgotten.
///
/// # Security
///
/// The text leaves by [`Token::expose_secret`] only: no `Display`, `Clone` or `Serialize`, and `Debug` prints the
/// public part. Dropping it wipes the text. The stored [`SecretDigest`] cannot be turned back into it.
///
/// ```
/// use keygate::{Issuer, KeyKind, SystemRandomness, Token};
///
/// const ACME: Issuer = Issuer::from_static("acme");
/// let token = Token::generate(ACME, KeyKind::Team, &SystemRandomness)?;
/// assert!(token.expose_secret().starts_with("acmet1_"));
/// assert!(!format!("{token:?}").contains(token.expose_secret()));
/// # Ok::<(), keygate::verify::GenerateError>(())
/// ```
pub struct Token {
    text: SecretText,
    issuer: Issuer,
    kind: KeyKind,
    id: KeyId,
    digest: SecretDigest,
}

impl Token {
    /// The number of symbols that follow the issuer.
    pub const LENGTH_AFTER_ISSUER: usize = HEAD_LENGTH + KeyId::LENGTH + 1 + SECRET_LENGTH + 1 + CHECKSUM_LENGTH;

    /// Makes a new key's token: an id and a secret, from independent random bytes.
    ///
    /// # Errors
    ///
    /// - [`GenerateError::Generator`] if the generator failed.
    /// - [`GenerateError::Exhausted`] or [`GenerateError::Stuck`] if its output cannot be random.
    pub fn generate(issuer: Issuer, kind: KeyKind, randomness: &dyn Randomness) -> Result<Self, GenerateError> {
        let id = draw_text::<{ KeyId::LENGTH / 4 * 3 }, { KeyId::LENGTH }>(randomness)?;
        Self::generate_secret(issuer, kind, KeyId::from_checked(*id), randomness)
    }

    /// Makes the next token of a key whose id stays.
    ///
    /// # Errors
    ///
    /// The same as for [`Token::generate`].
    pub fn generate_secret(
        issuer: Issuer,
        kind: KeyKind,
        id: KeyId,
        randomness: &dyn Randomness,
    ) -> Result<Self, GenerateError> {
        let secret = draw_text::<{ SECRET_LENGTH / 4 * 3 }, SECRET_LENGTH>(randomness)?;
        // Exactly as large as needed: growing would leave copies of the secret behind.
        let mut text = String::with_capacity(Issuer::MAX_LENGTH + Self::LENGTH_AFTER_ISSUER);
        for part in [issuer.as_str(), kind.symbol(), VERSION, SEPARATOR, id.as_str(), SEPARATOR] {
            text.push_str(part);
        }
        text.push_str(core::str::from_utf8(secret.as_slice()).map_err(|_| GenerateError::Generator)?);
        let (checksum, digest) = SecretDigest::of(text.as_bytes());
        text.push_str(SEPARATOR);
        write_hex(&checksum.to_be_bytes(), &mut text).map_err(|fmt::Error| GenerateError::Generator)?;
        Ok(Self { text: SecretText::new(text), issuer, kind, id, digest })
    }

    /// Returns a reference to the whole token, secret included.
    ///
    /// # Security
    ///
    /// The one door out. Show it once to its owner; do not log, store or send it elsewhere.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.text.expose_secret()
    }

    /// Returns the part that lists and logs show.
    #[must_use]
    pub const fn public(&self) -> DisplayToken {
        DisplayToken { issuer: self.issuer, kind: self.kind, id: self.id }
    }

    /// Returns the public id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the digest to store.
    #[must_use]
    pub const fn digest(&self) -> SecretDigest {
        self.digest
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, [redacted])", self.public())
    }
}

/// A token as somebody presented it: well-formed, with a right checksum, not yet known to open anything.
///
/// It holds the public id and the digest of the presented token, and nothing of the text: parsing needs the hash for
/// the checksum, and the rest of the hash is all that verification needs.
///
/// ```
/// use keygate::{Issuer, KeyKind, verify::{ParseTokenError, UnverifiedToken}};
///
/// const KG: Issuer = Issuer::from_static("kg");
/// let presented = UnverifiedToken::parse(KG, "kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d")?;
/// assert_eq!(presented.kind(), KeyKind::Personal);
/// assert_eq!(presented.public().to_string(), "kgp1_wk59pfKL0jFi2YYv");
/// assert_eq!(UnverifiedToken::parse(KG, "eyJhbGciOi").unwrap_err(), ParseTokenError::ForeignIssuer);
/// # Ok::<(), ParseTokenError>(())
/// ```
#[derive(Debug)]
pub struct UnverifiedToken {
    issuer: Issuer,
    kind: KeyKind,
    id: KeyId,
    digest: SecretDigest,
}

impl UnverifiedToken {
    /// Parses a presented text, allocating nothing.
    ///
    /// # Errors
    ///
    /// The first that applies:
    ///
    /// - [`ParseTokenError::ForeignIssuer`] if it does not begin as one of this issuer's tokens does.
    /// - [`ParseTokenError::UnsupportedVersion`] if it is one of a version other than 1.
    /// - [`ParseTokenError::Malformed`] if its length or a symbol does not fit the grammar.
    /// - [`ParseTokenError::ChecksumMismatch`] if a symbol is mistyped.
    ///
    /// # Security
    ///
    /// Errors contain no part of the input and reveal nothing about the secret beyond the rule that was broken. The
    /// checksum finds typing errors; anyone can compute it, so it authenticates nothing and is no defence against load.
    pub fn parse(issuer: Issuer, text: &str) -> Result<Self, ParseTokenError> {
        let text = text.as_bytes();
        let (kind, id, checksum) = fields(&issuer, text)?;
        let body = text.get(..text.len().saturating_sub(CHECKSUM_LENGTH + 1)).ok_or(ParseTokenError::Malformed)?;
        let (expected, digest) = SecretDigest::of(body);
        // Not constant-time: both values are derived from the input, so nobody learns what the sender does not know.
        if checksum != expected {
            return Err(ParseTokenError::ChecksumMismatch);
        }
        Ok(Self { issuer, kind, id, digest })
    }

    /// Returns the public id that a store finds the record by.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the kind that the token claims.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the part that lists and logs show.
    #[must_use]
    pub const fn public(&self) -> DisplayToken {
        DisplayToken { issuer: self.issuer, kind: self.kind, id: self.id }
    }

    pub(crate) const fn issuer_ref(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns a reference to the public id.
    pub(crate) const fn id_ref(&self) -> &KeyId {
        &self.id
    }

    /// Returns a reference to the digest of the presented token.
    pub(crate) const fn digest_ref(&self) -> &SecretDigest {
        &self.digest
    }

    /// Returns the digest of the presented token.
    #[must_use]
    pub const fn digest(&self) -> SecretDigest {
        self.digest
    }
}

/// Checks all but the hash, and returns what the token claims: kind, id and checksum.
fn fields(issuer: &Issuer, text: &[u8]) -> Result<(KeyKind, KeyId, u32), ParseTokenError> {
    let (prefix, head) = text.split_at_checked(issuer.as_bytes().len()).ok_or(ParseTokenError::ForeignIssuer)?;
    // Byte by byte: they are few, and calling the C library's comparison costs more.
    if !prefix.iter().eq(issuer.as_bytes()) {
        return Err(ParseTokenError::ForeignIssuer);
    }
    let [kind, version, b'_', rest @ ..] = head else { return Err(ParseTokenError::ForeignIssuer) };
    let kind = KeyKind::from_symbol(*kind).ok_or(ParseTokenError::ForeignIssuer)?;
    match version {
        b'1' => {}
        _ if is_version(*version) => return Err(ParseTokenError::UnsupportedVersion),
        _ => return Err(ParseTokenError::ForeignIssuer),
    }
    let (id, checksum) = split(rest).ok_or(ParseTokenError::Malformed)?;
    Ok((kind, id, checksum))
}

/// Finds, anywhere in a text, the shape of a token of one of the issuers, of any version, with a right or a wrong
/// checksum. It takes time in proportion to the text.
#[cfg(feature = "http")]
pub(crate) fn runs<'i, 't>(
    issuers: impl Iterator<Item = &'i Issuer> + Clone,
    text: &'t [u8],
) -> impl Iterator<Item = (&'i Issuer, &'t [u8])> {
    let mut from = 0;
    // Not `successors`, which would search on before what was found is looked at.
    let kinds = core::iter::from_fn(move || {
        let kind = skeleton(text, from)?;
        from = kind.saturating_add(1);
        Some(kind)
    });
    let shapes = kinds.filter(|kind| match text.get(*kind..).and_then(<[u8]>::split_first_chunk) {
        Some(([_, version, b'_'], rest)) => {
            let length = Token::LENGTH_AFTER_ISSUER.saturating_sub(HEAD_LENGTH);
            is_version(*version) && rest.get(..length).and_then(split).is_some()
        }
        _ => false,
    });
    shapes.flat_map(move |kind| {
        issuers.clone().filter_map(move |issuer| {
            let start = kind.checked_sub(issuer.as_bytes().len())?;
            let run = text.get(start..kind.saturating_add(Token::LENGTH_AFTER_ISSUER))?;
            run.starts_with(issuer.as_bytes()).then_some((issuer, run))
        })
    })
}

/// Returns `true` if a symbol may stand for a version, known here or not.
pub(crate) const fn is_version(symbol: u8) -> bool {
    symbol.is_ascii_digit() || symbol.is_ascii_lowercase()
}

/// Checks `id "_" secret "_" checksum` and returns the first and the last.
fn split(rest: &[u8]) -> Option<(KeyId, u32)> {
    if rest.len() != KeyId::LENGTH + 1 + SECRET_LENGTH + 1 + CHECKSUM_LENGTH {
        return None;
    }
    let (id, rest) = rest.split_first_chunk::<{ KeyId::LENGTH }>()?;
    let (b'_', rest) = rest.split_first()? else { return None };
    let (secret, rest) = rest.split_first_chunk::<SECRET_LENGTH>()?;
    let (b'_', checksum) = rest.split_first()? else { return None };
    if !(is_alphanumeric(id) & is_alphanumeric(secret)) {
        return None;
    }
    Some((KeyId::from_checked(*id), u32::from_be_bytes(read_hex(checksum)?)))
}

/// The part of a token that lists and logs show: `issuer kind version "_" id`.
///
/// ```
/// use keygate::{Issuer, KeyKind, verify::DisplayToken};
/// let public = DisplayToken::new(Issuer::from_static("kg"), KeyKind::Team, "wk59pfKL0jFi2YYv".parse()?);
/// assert_eq!(public.to_string(), "kgt1_wk59pfKL0jFi2YYv");
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DisplayToken {
    issuer: Issuer,
    kind: KeyKind,
    id: KeyId,
}

impl DisplayToken {
    /// Takes the parts that a record and its service know.
    #[must_use]
    pub const fn new(issuer: Issuer, kind: KeyKind, id: KeyId) -> Self {
        Self { issuer, kind, id }
    }
}

impl fmt::Display for DisplayToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{VERSION}{SEPARATOR}{}", self.issuer, self.kind.symbol(), self.id)
    }
}

/// Why a text is not a token of this issuer; it holds nothing of the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTokenError {
    /// The checksum does not fit: a symbol is mistyped.
    #[error("the checksum of the token does not match: is it copied in full and without change?")]
    ChecksumMismatch,
    /// It is not a token of this issuer: another system's key, a JWT, or any other text.
    #[error("not a token of this issuer")]
    ForeignIssuer,
    /// It begins as a token does, but its length or a symbol does not fit.
    #[error("the length or a symbol of the token does not fit the format")]
    Malformed,
    /// It is a token of a version that this release does not know.
    #[error("the version of the token is not supported")]
    UnsupportedVersion,
}

impl ParseTokenError {
    /// Returns the name used in logs, which is stable.
    ///
    /// ```
    /// assert_eq!(keygate::verify::ParseTokenError::ForeignIssuer.as_str(), "foreign_issuer");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChecksumMismatch => "checksum_mismatch",
            Self::ForeignIssuer => "foreign_issuer",
            Self::Malformed => "malformed",
            Self::UnsupportedVersion => "unsupported_version",
        }
    }
}

/// Why no token could be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// No usable text in 128 draws, which does not happen to a working generator.
    #[error("the random generator gave no usable text in 128 draws")]
    Exhausted,
    /// The generator failed.
    #[error("the random generator failed")]
    Generator,
    /// The generator repeats one symbol.
    #[error("the random generator repeats one symbol")]
    Stuck,
}

impl From<DrawError> for GenerateError {
    fn from(error: DrawError) -> Self {
        match error {
            DrawError::Exhausted => Self::Exhausted,
            DrawError::Generator => Self::Generator,
            DrawError::Stuck => Self::Stuck,
        }
    }
}

pub(crate) const CHECKSUM_LENGTH: usize = 8;
/// Kind, version and separator.
pub(crate) const HEAD_LENGTH: usize = 3;
pub(crate) const SECRET_LENGTH: usize = 32;
const SEPARATOR: &str = "_";
pub(crate) const VERSION: &str = "1";
