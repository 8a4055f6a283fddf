//! What was presented, found in the header fields.

use ::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, InvalidHeaderValue},
};

use crate::token::Token;

/// The field that some clients use instead of `Authorization`.
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A field with more bytes than this is malformed.
pub const MAX_FIELD_LENGTH: usize = 8192;

/// The header fields that may hold a credential. The query never does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fields {
    /// `Authorization` with scheme `Bearer` or `Api-Key`.
    Authorization,
    /// `X-Api-Key` as well.
    AuthorizationOrXApiKey,
}

/// Finds the one credential of a request; it is not yet known to be a token.
///
/// `Authorization: Api-Key K` and `Authorization: Bearer K` are interchangeable, whatever the case of the scheme. The
/// grammar is RFC 9110, section 11.4, and nothing is trimmed or guessed.
///
/// # Errors
///
/// - [`CredentialError::Missing`] if there is no field, or one whose scheme is somebody else's.
/// - [`CredentialError::Multiple`] if there is more than one field, even if they are equal.
/// - [`CredentialError::Malformed`] if the field is not a scheme, spaces and one token68, or has more than
///   [`MAX_FIELD_LENGTH`] bytes.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
/// use keygate::http::{CredentialError, Fields, credential};
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(credential(&headers, Fields::Authorization), Err(CredentialError::Missing));
/// headers.append(AUTHORIZATION, HeaderValue::from_static("api-key kgt1_x"));
/// assert_eq!(credential(&headers, Fields::Authorization), Ok("kgt1_x"));
/// headers.append(AUTHORIZATION, HeaderValue::from_static("api-key kgt1_x"));
/// assert_eq!(credential(&headers, Fields::Authorization), Err(CredentialError::Multiple));
/// ```
pub fn credential(headers: &HeaderMap, fields: Fields) -> Result<&str, CredentialError> {
    let x_api_key = match fields {
        Fields::Authorization => None,
        Fields::AuthorizationOrXApiKey => Some(headers.get_all(X_API_KEY).iter()),
    };
    let mut lines = headers
        .get_all(AUTHORIZATION)
        .iter()
        .map(|value| (Line::Authorization, value))
        .chain(x_api_key.into_iter().flatten().map(|value| (Line::XApiKey, value)));
    match (lines.next(), lines.next()) {
        (None, _) => Err(CredentialError::Missing),
        (Some(_), Some(_)) => Err(CredentialError::Multiple),
        (Some((Line::Authorization, value)), None) => authorization(value.as_bytes()),
        (Some((Line::XApiKey, value)), None) => token68(bounded(value.as_bytes())?),
    }
}

#[derive(Clone, Copy)]
enum Line {
    Authorization,
    XApiKey,
}

fn authorization(value: &[u8]) -> Result<&str, CredentialError> {
    let end = value.iter().position(|byte| !is_tchar(*byte)).unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end).ok_or(CredentialError::Malformed)?;
    if scheme.is_empty() || !matches!(rest.first(), None | Some(b' ')) {
        return Err(CredentialError::Malformed);
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") && !scheme.eq_ignore_ascii_case(b"api-key") {
        return Err(CredentialError::Missing);
    }
    bounded(value)?;
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    token68(rest.get(blanks..).unwrap_or_default())
}

const fn bounded(value: &[u8]) -> Result<&[u8], CredentialError> {
    if value.len() > MAX_FIELD_LENGTH { Err(CredentialError::Malformed) } else { Ok(value) }
}

/// RFC 9110, section 11.2: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`, to the very end.
fn token68(value: &[u8]) -> Result<&str, CredentialError> {
    let symbols = value.iter().take_while(|byte| is_token68_symbol(**byte)).count();
    let padding = value.get(symbols..).unwrap_or_default();
    if symbols == 0 || padding.iter().any(|byte| *byte != b'=') {
        return Err(CredentialError::Malformed);
    }
    core::str::from_utf8(value).map_err(|_| CredentialError::Malformed)
}

fn is_token68_symbol(byte: u8) -> bool {
    TOKEN68.get(usize::from(byte)) == Some(&true)
}

fn is_tchar(byte: u8) -> bool {
    TCHAR.get(usize::from(byte)) == Some(&true)
}

/// RFC 9110, section 11.2.
const TOKEN68: [bool; 256] = symbols(b"-._~+/");

/// RFC 9110, section 5.6.2.
const TCHAR: [bool; 256] = symbols(b"!#$%&'*+-.^_`|~");

/// Letters, digits, and others: a table, since each byte of each request is looked up.
const fn symbols(mut others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut rest: &mut [bool] = &mut table;
    let mut byte = 0_u8;
    while let [place, tail @ ..] = rest {
        *place = byte.is_ascii_alphanumeric();
        byte = byte.wrapping_add(1);
        rest = tail;
    }
    while let [symbol, tail @ ..] = others {
        let (_, from) = table.split_at_mut(*symbol as usize);
        if let [place, ..] = from {
            *place = true;
        }
        others = tail;
    }
    table
}

/// Why there is no one credential; it holds nothing of the fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "each is answered differently, and no other is possible")]
pub enum CredentialError {
    /// A field is there and does not fit the grammar.
    #[error("the credential field is malformed")]
    Malformed,
    /// No field is there that could hold a credential.
    #[error("no credential was presented")]
    Missing,
    /// More than one field is there.
    #[error("more than one credential field was presented")]
    Multiple,
}

impl CredentialError {
    /// Returns the name used in logs, which is stable.
    ///
    /// ```
    /// assert_eq!(keygate::http::CredentialError::Missing.as_str(), "missing");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::Multiple => "multiple",
        }
    }
}

/// Makes the `Authorization` value of an outgoing request, marked sensitive so that it is not logged.
///
/// # Errors
///
/// None for a token of this crate, whose symbols all fit a header; the type is the `http` crate's.
///
/// # Security
///
/// The secret is in the value: `HeaderValue`'s `Debug` hides it as long as it is marked, a copy of its bytes is not.
///
/// ```
/// use keygate::{Issuer, KeyKind, Token, http::outgoing};
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// let token = Token::generate(Issuer::from_static("acme"), KeyKind::Team, &mut ChaCha20Rng::from_seed([7; 32]))?;
/// assert_eq!(format!("{:?}", outgoing(&token)?), "Sensitive");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn outgoing(token: &Token) -> Result<HeaderValue, InvalidHeaderValue> {
    let text = zeroize::Zeroizing::new(alloc::format!("Bearer {}", token.expose_secret()));
    let mut value = HeaderValue::from_str(&text)?;
    value.set_sensitive(true);
    Ok(value)
}
