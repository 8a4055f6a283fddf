//! What was presented, found in the header fields.

use ::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, InvalidHeaderValue},
};

use crate::{
    audit::RefusalReason,
    encoding::{beyond_alphanumeric, beyond_range},
    token::Token,
};

/// The field that some clients use instead of `Authorization`.
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A field with more bytes than this is malformed.
pub const MAX_FIELD_LENGTH: usize = 8192;

/// The header fields that may hold a credential. The query never does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CredentialHeaders {
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
/// - [`CredentialError::Missing`] if there is no field, or one with the scheme of another system.
/// - [`CredentialError::Multiple`] if there is more than one field, even if they are equal.
/// - [`CredentialError::Malformed`] if the field is not a scheme, spaces and one token68, or has more than
///   [`MAX_FIELD_LENGTH`] bytes.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
/// use keygate::http::{CredentialError, CredentialHeaders, extract_credential};
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(extract_credential(&headers, CredentialHeaders::Authorization), Err(CredentialError::Missing));
/// headers.append(AUTHORIZATION, HeaderValue::from_static("api-key kgt1_x"));
/// assert_eq!(extract_credential(&headers, CredentialHeaders::Authorization), Ok("kgt1_x"));
/// headers.append(AUTHORIZATION, HeaderValue::from_static("api-key kgt1_x"));
/// assert_eq!(extract_credential(&headers, CredentialHeaders::Authorization), Err(CredentialError::Multiple));
/// ```
pub fn extract_credential(headers: &HeaderMap, fields: CredentialHeaders) -> Result<&str, CredentialError> {
    let authorization_line = single(headers, AUTHORIZATION)?;
    let x_api_key_line = match fields {
        CredentialHeaders::Authorization => None,
        CredentialHeaders::AuthorizationOrXApiKey => single(headers, X_API_KEY)?,
    };
    match (authorization_line, x_api_key_line) {
        (None, None) => Err(CredentialError::Missing),
        (Some(_), Some(_)) => Err(CredentialError::Multiple),
        (Some(value), None) => authorization(value),
        (None, Some(value)) => token68(text(value)?),
    }
}

/// Finds the one line of a field, if it is there.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&[u8]>, CredentialError> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line.map(HeaderValue::as_bytes)),
        (_, Some(_)) => Err(CredentialError::Multiple),
    }
}

fn authorization(value: &[u8]) -> Result<&str, CredentialError> {
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let scheme = value.get(..end).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"bearer") && !scheme.eq_ignore_ascii_case(b"api-key") {
        let is_scheme = !scheme.is_empty() && scheme.iter().copied().all(is_tchar);
        return Err(if is_scheme { CredentialError::Missing } else { CredentialError::Malformed });
    }
    token68(text(value)?.get(end..).unwrap_or_default().trim_start_matches(' '))
}

/// The whole value, so that what is cut off it is text without another look.
fn text(value: &[u8]) -> Result<&str, CredentialError> {
    if value.len() > MAX_FIELD_LENGTH {
        return Err(CredentialError::Malformed);
    }
    core::str::from_utf8(value).map_err(|_| CredentialError::Malformed)
}

/// RFC 9110, section 11.2: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`, to the very end.
fn token68(value: &str) -> Result<&str, CredentialError> {
    let symbols = value.trim_end_matches('=').as_bytes();
    if symbols.is_empty() || !is_token68(symbols) {
        return Err(CredentialError::Malformed);
    }
    Ok(value)
}

/// Looks at sixteen symbols at a time; the last sixteen may overlap with those before them.
fn is_token68(symbols: &[u8]) -> bool {
    let fits = |some: &[u8; 16]| some.iter().fold(0, |beyond, symbol| beyond | beyond_token68(*symbol)) == 0;
    match symbols.last_chunk() {
        Some(last) => fits(last) && symbols.chunks_exact(16).filter_map(<[u8]>::first_chunk).all(fits),
        None => symbols.iter().all(|symbol| beyond_token68(*symbol) == 0),
    }
}

/// Zero for a symbol of RFC 9110, section 11.2.
#[inline]
fn beyond_token68(byte: u8) -> u8 {
    let others = beyond_range(byte, b'-', b'/').min(byte ^ b'+').min(byte ^ b'_').min(byte ^ b'~');
    beyond_alphanumeric(byte).min(others)
}

/// RFC 9110, section 5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
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

    /// Returns the reason, for an audit event.
    #[must_use]
    pub const fn refusal(self) -> RefusalReason {
        RefusalReason::of(self.as_str())
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
/// use keygate::{Issuer, KeyKind, SystemRandomness, Token, http::bearer_header};
///
/// let token = Token::generate(Issuer::from_static("acme"), KeyKind::Team, &SystemRandomness)?;
/// assert_eq!(format!("{:?}", bearer_header(&token)?), "Sensitive");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn bearer_header(token: &Token) -> Result<HeaderValue, InvalidHeaderValue> {
    let text = zeroize::Zeroizing::new(alloc::format!("Bearer {}", token.expose_secret()));
    let mut value = HeaderValue::from_str(&text)?;
    value.set_sensitive(true);
    Ok(value)
}
