//! The places that may hold a credential.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use ::http::{
    HeaderName,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION,
        SEC_WEBSOCKET_PROTOCOL, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

/// The field that some clients use instead of `Authorization`.
pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The header fields that may hold a credential. The query never does.
///
/// `Authorization` with the schemes `Bearer` and `Api-Key` always counts. A service adds other places for clients that
/// it cannot change; [`docs::clients`](crate::docs::clients) lists the needs of each client.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use keygate::{Issuer, http::{CredentialSources, extract_credential}, stages::AcceptedKeys};
///
/// let keys = AcceptedKeys::new(Issuer::from_static("kg"));
/// let sources = CredentialSources::authorization().with_x_api_key().with_field("api-key")?.with_scheme("Token")?;
///
/// let mut headers = HeaderMap::new();
/// headers.append("authorization", HeaderValue::from_static("token x"));
/// headers.append("api-key", HeaderValue::from_static("x"));
/// assert_eq!(extract_credential(&headers, &sources, keys), Ok("x"));
/// # Ok::<(), keygate::http::InvalidSource>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "builder methods return the new value"]
pub struct CredentialSources {
    pub(super) schemes: Vec<String>,
    pub(super) takes_bare: bool,
    pub(super) fields: Vec<(HeaderName, Grammar)>,
    pub(super) subprotocol: Option<String>,
}

/// The grammar of the whole value of a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Grammar {
    Token68,
    Visible,
}

impl CredentialSources {
    /// Counts `Authorization` only, with the schemes `Bearer` and `Api-Key`.
    pub const fn authorization() -> Self {
        Self { schemes: Vec::new(), takes_bare: false, fields: Vec::new(), subprotocol: None }
    }

    /// Counts `X-Api-Key` as well; its whole value is the credential.
    pub fn with_x_api_key(self) -> Self {
        self.counting(X_API_KEY, Grammar::Token68)
    }

    /// Counts another field as well; its whole value is the credential.
    ///
    /// # Errors
    ///
    /// [`InvalidSource::Field`] if it is no field name, or of a field that frames the message or has a grammar of
    /// its own: `Authorization`, `Cookie`, `Proxy-Authorization`, `Sec-WebSocket-Protocol`.
    pub fn with_field(self, name: &str) -> Result<Self, InvalidSource> {
        Ok(self.counting(field(name)?, Grammar::Token68))
    }

    /// Counts a field for keys of another system: its whole value is the credential, of any visible ASCII
    /// characters, where other fields take only those of a token68.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use keygate::{Issuer, http::{CredentialSources, extract_credential}, stages::AcceptedKeys};
    ///
    /// let keys = AcceptedKeys::new(Issuer::from_static("kg"));
    /// let sources = CredentialSources::authorization().with_legacy_field("x-old-key")?;
    /// let mut headers = HeaderMap::new();
    /// headers.append("x-old-key", HeaderValue::from_static("17|x:y*z"));
    /// assert_eq!(extract_credential(&headers, &sources, keys), Ok("17|x:y*z"));
    /// # Ok::<(), keygate::http::InvalidSource>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The same as for [`CredentialSources::with_field`].
    pub fn with_legacy_field(self, name: &str) -> Result<Self, InvalidSource> {
        Ok(self.counting(field(name)?, Grammar::Visible))
    }

    /// Counts another scheme of `Authorization` as well, in any case.
    ///
    /// # Errors
    ///
    /// [`InvalidSource::Scheme`] if it is not 1 to 64 symbols of RFC 9110's `tchar`.
    pub fn with_scheme(mut self, scheme: &str) -> Result<Self, InvalidSource> {
        if !is_token(scheme) {
            return Err(InvalidSource::Scheme);
        }
        self.schemes.push(scheme.to_owned());
        Ok(self)
    }

    /// Counts an `Authorization` without a scheme as well: its whole value is the credential.
    pub fn with_bare_authorization(self) -> Self {
        Self { takes_bare: true, ..self }
    }

    /// Counts the member of `Sec-WebSocket-Protocol` that begins with `prefix`; the credential follows it.
    ///
    /// It is for browsers, whose `WebSocket` can set no other field. The layers remove the member, so that the handler
    /// chooses among the others.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use keygate::{Issuer, http::{CredentialSources, extract_credential}, stages::AcceptedKeys};
    ///
    /// let keys = AcceptedKeys::new(Issuer::from_static("kg"));
    /// let sources = CredentialSources::authorization().with_subprotocol("api-key.")?;
    /// let mut headers = HeaderMap::new();
    /// headers.append("sec-websocket-protocol", HeaderValue::from_static("chat, api-key.x"));
    /// assert_eq!(extract_credential(&headers, &sources, keys), Ok("x"));
    /// # Ok::<(), keygate::http::InvalidSource>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidSource::Subprotocol`] if it is not 1 to 64 symbols of RFC 9110's `tchar`.
    pub fn with_subprotocol(self, prefix: &str) -> Result<Self, InvalidSource> {
        if !is_token(prefix) {
            return Err(InvalidSource::Subprotocol);
        }
        Ok(Self { subprotocol: Some(prefix.to_owned()), ..self })
    }

    /// A field counts once, with the grammar that was given last.
    fn counting(mut self, name: HeaderName, grammar: Grammar) -> Self {
        self.fields.retain(|(other, _)| *other != name);
        self.fields.push((name, grammar));
        self
    }

    /// Returns `true` if the scheme counts, in any case.
    pub(super) fn has_scheme(&self, scheme: &[u8]) -> bool {
        scheme.eq_ignore_ascii_case(b"bearer")
            || scheme.eq_ignore_ascii_case(b"api-key")
            || self.schemes.iter().any(|other| scheme.eq_ignore_ascii_case(other.as_bytes()))
    }
}

impl Default for CredentialSources {
    fn default() -> Self {
        Self::authorization()
    }
}

/// Returns `true` if the field frames the message, so that it cannot be removed.
pub(super) fn is_framing(name: &HeaderName) -> bool {
    [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
}

fn field(name: &str) -> Result<HeaderName, InvalidSource> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| InvalidSource::Field)?;
    let has_own_grammar = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL].contains(&name);
    if has_own_grammar || is_framing(&name) { Err(InvalidSource::Field) } else { Ok(name) }
}

/// RFC 9110, section 5.6.2: `1*tchar`, here of at most 64 symbols.
fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN_LENGTH).contains(&text.len()) && text.bytes().all(is_tchar)
}

pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Why a place for credentials is invalid.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSource {
    /// The name is not a field name, or the field frames the message or has a grammar of its own.
    #[error("this header field cannot hold a credential")]
    Field,
    /// The scheme is not a valid scheme.
    #[error("a scheme has 1 to 64 characters of a token (RFC 9110)")]
    Scheme,
    /// The prefix is not a valid prefix.
    #[error("the prefix of a subprotocol has 1 to 64 characters of a token (RFC 9110)")]
    Subprotocol,
}

const MAX_TOKEN_LENGTH: usize = 64;
