//! Finds the credential in the header fields.

use core::iter;

use ::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, InvalidHeaderValue, PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
};

use super::sources::{CredentialSources, Grammar, X_API_KEY, is_tchar};
use crate::{
    audit::RefusalReason,
    encoding::{beyond_alphanumeric, beyond_range},
    stages::AcceptedKeys,
    token::Token,
};

/// A field with more bytes than this is malformed.
pub const MAX_FIELD_LENGTH: usize = 8192;

/// Finds the one credential of a request; it is not yet known to be a token.
///
/// `Authorization: Api-Key K` and `Authorization: Bearer K` are interchangeable, whatever the case of the scheme. The
/// grammar is RFC 9110, section 11.4, and nothing is trimmed or guessed. An `Authorization` with the scheme of another
/// system does not count. Fields that hold the same credential count as one, since there are clients that send it
/// twice.
///
/// # Errors
///
/// The first that applies:
///
/// - [`CredentialError::Multiple`] if a field that counts has more than one line, or `Sec-WebSocket-Protocol` more than
///   one member that counts, even if they are equal.
/// - [`CredentialError::Malformed`] if a field does not fit its grammar (such as a scheme, spaces and one token68), or
///   has more than [`MAX_FIELD_LENGTH`] bytes.
/// - [`CredentialError::Multiple`] if two fields hold different credentials.
/// - [`CredentialError::Misplaced`] if there is no credential, and `Authorization`, `X-Api-Key`, `Api-Key` or
///   `Proxy-Authorization` holds, anywhere in it, a text in the shape of a token of `keys`.
/// - [`CredentialError::Missing`] if there is no credential.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
/// use keygate::{
///     Issuer, http::{CredentialError, CredentialSources, extract_credential}, stages::AcceptedKeys,
/// };
///
/// let (keys, sources) = (AcceptedKeys::new(Issuer::from_static("kg")), CredentialSources::authorization());
/// let mut headers = HeaderMap::new();
/// assert_eq!(extract_credential(&headers, &sources, keys), Err(CredentialError::Missing));
/// headers.append(AUTHORIZATION, HeaderValue::from_static("api-key kgt1_x"));
/// assert_eq!(extract_credential(&headers, &sources, keys), Ok("kgt1_x"));
/// headers.append(AUTHORIZATION, HeaderValue::from_static("api-key kgt1_x"));
/// assert_eq!(extract_credential(&headers, &sources, keys), Err(CredentialError::Multiple));
/// ```
pub fn extract_credential<'h>(
    headers: &'h HeaderMap,
    sources: &CredentialSources,
    keys: AcceptedKeys,
) -> Result<&'h str, CredentialError> {
    find(headers, sources, |_| true).map_err(|error| match error {
        CredentialError::Missing if is_misplaced(headers, keys) => CredentialError::Misplaced,
        error => error,
    })
}

/// Like [`extract_credential`], for a service that allows another system's credential beside ours: where fields hold
/// different ones, the only one of ours counts.
#[cfg(feature = "tower")]
pub(crate) fn extract_beside_foreign<'h>(
    headers: &'h HeaderMap,
    sources: &CredentialSources,
    keys: AcceptedKeys,
) -> Result<&'h str, CredentialError> {
    extract_credential(headers, sources, keys).or_else(|error| match error {
        CredentialError::Multiple => {
            let is_ours = |text: &str| !keys.parse(text).is_err_and(|error| error.is_other_issuer());
            find(headers, sources, is_ours).map_err(|_| CredentialError::Multiple)
        }
        error => Err(error),
    })
}

/// Finds the one credential among those that count.
fn find<'h>(
    headers: &'h HeaderMap,
    sources: &CredentialSources,
    counts: impl Fn(&str) -> bool,
) -> Result<&'h str, CredentialError> {
    let authorization = line(headers, &AUTHORIZATION, |value| authorization(value, sources));
    // Most services: nothing else counts, so there is nothing to compare.
    if sources.fields.is_empty() && sources.subprotocol.is_none() {
        return authorization;
    }
    let fields = sources.fields.iter().map(|(name, grammar)| line(headers, name, |value| whole(value, *grammar)));
    let subprotocol = sources.subprotocol.iter().map(|prefix| subprotocol(headers, prefix.as_bytes()));
    let (mut found, mut is_malformed, mut is_multiple) = (None, false, false);
    for line in iter::once(authorization).chain(fields).chain(subprotocol) {
        match line {
            Ok(text) if counts(text) => is_multiple |= *found.get_or_insert(text) != text,
            Ok(_) | Err(CredentialError::Misplaced | CredentialError::Missing) => {}
            Err(CredentialError::Malformed) => is_malformed = true,
            // Regardless of the other fields.
            Err(CredentialError::Multiple) => return Err(CredentialError::Multiple),
        }
    }
    match found {
        _ if is_malformed => Err(CredentialError::Malformed),
        _ if is_multiple => Err(CredentialError::Multiple),
        found => found.ok_or(CredentialError::Missing),
    }
}

/// Returns `true` if a field for credentials holds a token of ours, anywhere in it.
fn is_misplaced(headers: &HeaderMap, keys: AcceptedKeys) -> bool {
    credential_values(headers).any(|value| keys.have_token_in(value))
}

/// The fields for credentials, whether they count or not.
pub(super) fn credential_values(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let names = [AUTHORIZATION, X_API_KEY, API_KEY, PROXY_AUTHORIZATION];
    names.into_iter().flat_map(|name| headers.get_all(name)).map(HeaderValue::as_bytes)
}

/// Reads the one line of a field.
fn line<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    read: impl FnOnce(&'h [u8]) -> Result<&'h str, CredentialError>,
) -> Result<&'h str, CredentialError> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Err(CredentialError::Missing),
        (Some(line), None) => read(line.as_bytes()),
        (Some(_), Some(_)) => Err(CredentialError::Multiple),
    }
}

fn authorization<'h>(value: &'h [u8], sources: &CredentialSources) -> Result<&'h str, CredentialError> {
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let scheme = value.get(..end).unwrap_or_default();
    if sources.has_scheme(scheme) {
        return token68(text(value)?.get(end..).unwrap_or_default().trim_start_matches(' '));
    }
    if sources.takes_bare && end == value.len() {
        return token68(text(value)?);
    }
    let is_scheme = !scheme.is_empty() && scheme.iter().copied().all(is_tchar);
    Err(if is_scheme { CredentialError::Missing } else { CredentialError::Malformed })
}

/// The value of a field that holds nothing else.
fn whole(value: &[u8], grammar: Grammar) -> Result<&str, CredentialError> {
    let text = text(value)?;
    match grammar {
        Grammar::Token68 => token68(text),
        Grammar::Visible if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text),
        Grammar::Visible => Err(CredentialError::Malformed),
    }
}

/// The text after the prefix in the one member that begins with it (RFC 6455, section 11.3.4: the lines are one list).
fn subprotocol<'h>(headers: &'h HeaderMap, prefix: &[u8]) -> Result<&'h str, CredentialError> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(HeaderValue::as_bytes);
    let members =
        lines.flat_map(|line| line.split(|byte| *byte == b',').map(move |member| (line, member.trim_ascii())));
    let mut ours = members.filter_map(|(line, member)| Some((line, member.strip_prefix(prefix)?)));
    match (ours.next(), ours.next()) {
        (None, _) => Err(CredentialError::Missing),
        (Some((line, _)), None) if line.len() > MAX_FIELD_LENGTH => Err(CredentialError::Malformed),
        (Some((_, credential)), None) => token68(text(credential)?),
        (Some(_), Some(_)) => Err(CredentialError::Multiple),
    }
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

/// Why a request has no single credential; it holds no part of the fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "a service that answers itself must handle each")]
pub enum CredentialError {
    /// A field is there and does not fit the grammar.
    #[error("the credential field is malformed")]
    Malformed,
    /// A token of ours is in `Authorization`, `X-Api-Key`, `Api-Key` or `Proxy-Authorization`, in a way that does not
    /// count; the layers refuse one in the target as well.
    #[error("a credential was presented in a place that does not count")]
    Misplaced,
    /// No field is there that could hold a credential.
    #[error("no credential was presented")]
    Missing,
    /// More than one line of a field is there, or fields with different credentials.
    #[error("more than one credential was presented")]
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
            Self::Misplaced => "misplaced",
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

/// The field that some clients use instead of `X-Api-Key`.
const API_KEY: HeaderName = HeaderName::from_static("api-key");
