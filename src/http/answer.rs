//! What to reply: one answer for each class of outcome.

use alloc::{format, string::String, vec::Vec};

use ::http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
};

use super::CredentialError;
use crate::{
    decision::Denial,
    manage::ManageDenial,
    reason::{DenialClass, Reason},
};

/// Makes the replies of one protection space (RFC 9110, section 11.5).
///
/// The bodies are problem details (RFC 9457), the challenges `Bearer` (RFC 6750) and then `Api-Key`. A reply names
/// rules and levels only: nothing that came with the request, and nothing that the key holds.
///
/// ```
/// use http::StatusCode;
/// use keygate::http::Responses;
///
/// let responses = Responses::new("models")?;
/// let reply = responses.invalid_key();
/// assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
/// let challenges: Vec<_> = reply.headers().get_all("www-authenticate").iter().collect();
/// assert_eq!(challenges, ["Bearer realm=\"models\", error=\"invalid_token\"", "Api-Key realm=\"models\""]);
/// # Ok::<(), keygate::http::InvalidRealm>(())
/// ```
#[derive(Clone, Debug)]
pub struct Responses {
    bare: HeaderValue,
    insufficient_scope: HeaderValue,
    invalid_request: HeaderValue,
    invalid_token: HeaderValue,
    api_key: HeaderValue,
}

impl Responses {
    /// Takes the name of the protection space, which clients may show.
    ///
    /// # Errors
    ///
    /// [`InvalidRealm`] if the name is empty, has more than 128 symbols, or has one that is not printable ASCII, a
    /// quotation mark or a backslash.
    pub fn new(realm: &str) -> Result<Self, InvalidRealm> {
        let is_symbol = |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && byte != b'"' && byte != b'\\';
        if realm.is_empty() || realm.len() > MAX_REALM_LENGTH || !realm.bytes().all(is_symbol) {
            return Err(InvalidRealm);
        }
        let value = |text: String| HeaderValue::try_from(text).map_err(|_| InvalidRealm);
        let bearer = |error: &str| value(format!("Bearer realm=\"{realm}\", error=\"{error}\""));
        Ok(Self {
            bare: value(format!("Bearer realm=\"{realm}\""))?,
            insufficient_scope: bearer("insufficient_scope")?,
            invalid_request: bearer("invalid_request")?,
            invalid_token: bearer("invalid_token")?,
            api_key: value(format!("Api-Key realm=\"{realm}\""))?,
        })
    }

    /// Builds the answer to a request without one credential: 401 if it is missing, 400 otherwise.
    #[must_use]
    pub fn no_credential(&self, error: CredentialError) -> Response<String> {
        match error {
            CredentialError::Missing => self.challenge(
                StatusCode::UNAUTHORIZED,
                &self.bare,
                problem(401, "missing_credential", "A credential is required", ""),
            ),
            CredentialError::Malformed | CredentialError::Multiple => self.challenge(
                StatusCode::BAD_REQUEST,
                &self.invalid_request,
                problem(400, "invalid_request", "One well-formed credential is required", ""),
            ),
        }
    }

    /// Builds the 401 for a credential that opens no key: the same bytes for every cause.
    #[must_use]
    pub fn invalid_key(&self) -> Response<String> {
        self.challenge(
            StatusCode::UNAUTHORIZED,
            &self.invalid_token,
            problem(401, "invalid_token", "The key is not valid", ""),
        )
    }

    /// Builds the 401 for a revoked, disabled, expired or not-yet-valid key; the body names the reason.
    #[must_use]
    pub fn unusable_key(&self, reason: Reason) -> Response<String> {
        self.challenge(
            StatusCode::UNAUTHORIZED,
            &self.invalid_token,
            problem(401, "invalid_token", "The key is not valid", &format!(",\"reason\":\"{reason}\"")),
        )
    }

    /// Builds the 403 for a route that is not listed, without a hint of what would be needed.
    #[must_use]
    pub fn closed(&self) -> Response<String> {
        self.challenge(
            StatusCode::FORBIDDEN,
            &self.insufficient_scope,
            problem(403, "insufficient_scope", "No key may do this", ""),
        )
    }

    /// Builds the answer to a denial: 401 or 403 by its class, 503 if nothing was decided.
    ///
    /// A service that hides what exists looks at [`Denial::reveals_existence`] first and gives its own 404.
    #[must_use]
    pub fn denied(&self, denial: Denial) -> Response<String> {
        self.by_class(denial.reason(), sufficient(denial))
    }

    /// Builds the answer to a denied operation on keys: 401 or 403 by its class, 503 if nothing was decided.
    #[must_use]
    pub fn operation_denied(&self, denial: ManageDenial) -> Response<String> {
        self.by_class(denial.reason(), String::new())
    }

    fn by_class(&self, reason: Reason, sufficient: String) -> Response<String> {
        match reason.class() {
            DenialClass::NotAuthenticated => self.unusable_key(reason),
            DenialClass::NotAllowed => {
                let details = format!(",\"reason\":\"{reason}\"{sufficient}");
                let body = problem(403, "insufficient_scope", "The key may not do this", &details);
                self.challenge(StatusCode::FORBIDDEN, &self.insufficient_scope, body)
            }
            DenialClass::Undecided => self.unavailable(),
        }
    }

    /// Builds the 503 for a failed look-up: never an allow, and never "the key is not valid".
    #[must_use]
    pub fn unavailable(&self) -> Response<String> {
        reply(StatusCode::SERVICE_UNAVAILABLE, problem(503, "unavailable", "Keys cannot be checked now", ""))
    }

    /// Builds the 403 for a request over a transport that is not encrypted; it does not depend on the request.
    ///
    /// A redirect would invite the client to do it again; a reply that depends on the key would say something about
    /// it in the clear (draft-ietf-httpapi-privacy). A key that came that way has leaked: see
    /// [`KeyManager::revoke_leaked`](crate::KeyManager::revoke_leaked).
    #[must_use]
    pub fn plaintext(&self) -> Response<String> {
        reply(StatusCode::FORBIDDEN, problem(403, "plaintext", "Use an encrypted connection", ""))
    }

    fn challenge(&self, status: StatusCode, bearer: &HeaderValue, body: String) -> Response<String> {
        let mut response = reply(status, body);
        response.headers_mut().append(WWW_AUTHENTICATE, bearer.clone());
        response.headers_mut().append(WWW_AUTHENTICATE, self.api_key.clone());
        response
    }
}

fn reply(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Every part is ours: no part of a request or a key comes here, so nothing needs to be escaped.
fn problem(status: u16, kind: &str, title: &str, details: &str) -> String {
    format!("{{\"type\":\"urn:keygate:problem:{kind}\",\"title\":\"{title}\",\"status\":{status}{details}}}")
}

/// The levels that would have sufficed, where it was the level that did not.
fn sufficient(denial: Denial) -> String {
    if denial.reason() != Reason::LevelInsufficient {
        return String::new();
    }
    let levels = denial.sufficient_levels().iter().map(|level| format!("\"{level}\""));
    format!(",\"sufficient_levels\":[{}]", levels.collect::<Vec<_>>().join(","))
}

/// A text that cannot name a protection space.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a realm has 1 to 128 printable ASCII symbols, no quotation mark and no backslash")]
#[non_exhaustive]
pub struct InvalidRealm;

const MAX_REALM_LENGTH: usize = 128;
