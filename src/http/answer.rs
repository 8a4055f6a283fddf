//! The replies: one answer for each class of outcome.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

use ::http::{
    HeaderValue, Response,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
};

use super::{CredentialError, Refusal};
use crate::{decision::Denial, reason::Reason, verdict::Verdict};

/// Makes the answers of one protection space (RFC 9110, section 11.5).
///
/// The format is in the documentation of [this module](super). An answer names rules and levels only: nothing that came
/// with the request, and nothing that the key holds.
///
/// ```
/// use http::StatusCode;
/// use keygate::http::{Refusal, Responses};
///
/// let responses = Responses::new("models")?;
/// let reply = responses.answer(Refusal::InvalidKey);
/// assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
/// let challenges: Vec<_> = reply.headers().get_all("www-authenticate").iter().collect();
/// assert_eq!(challenges, ["Bearer realm=\"models\", error=\"invalid_token\"", "Api-Key realm=\"models\""]);
/// # Ok::<(), keygate::http::InvalidResponses>(())
/// ```
#[derive(Clone, Debug)]
pub struct Responses {
    bare: HeaderValue,
    insufficient_scope: HeaderValue,
    invalid_request: HeaderValue,
    invalid_token: HeaderValue,
    api_key: HeaderValue,
    types: String,
}

impl Responses {
    /// Takes the name of the protection space, which clients may show.
    ///
    /// # Errors
    ///
    /// [`InvalidResponses::Realm`] if the name is empty, has more than 128 symbols, or has one that is not printable
    /// ASCII, a quotation mark or a backslash.
    pub fn new(realm: &str) -> Result<Self, InvalidResponses> {
        if !is_quotable(realm) {
            return Err(InvalidResponses::Realm);
        }
        let value = |text: String| HeaderValue::try_from(text).map_err(|_| InvalidResponses::Realm);
        let bearer = |error: &str| value(format!("Bearer realm=\"{realm}\", error=\"{error}\""));
        Ok(Self {
            bare: value(format!("Bearer realm=\"{realm}\""))?,
            insufficient_scope: bearer("insufficient_scope")?,
            invalid_request: bearer("invalid_request")?,
            invalid_token: bearer("invalid_token")?,
            api_key: value(format!("Api-Key realm=\"{realm}\""))?,
            types: "/problems/".to_owned(),
        })
    }

    /// Begins the `type` of each body with `base`, where the service describes its problems.
    ///
    /// ```
    /// use keygate::http::{Refusal, Responses};
    ///
    /// let responses = Responses::new("models")?.with_types("https://acme.example/errors#")?;
    /// let reply = responses.answer(Refusal::InvalidKey);
    /// assert!(reply.body().starts_with(r#"{"type":"https://acme.example/errors#invalid_token","#));
    /// # Ok::<(), keygate::http::InvalidResponses>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidResponses::Types`] if it is empty, has more than 128 symbols, or has one that no URI has.
    pub fn with_types(self, base: &str) -> Result<Self, InvalidResponses> {
        let is_uri = is_quotable(base) && base.bytes().all(|byte| !b" <>^`{|}".contains(&byte));
        if is_uri { Ok(Self { types: base.to_owned(), ..self }) } else { Err(InvalidResponses::Types) }
    }

    /// Builds the answer to a refusal, or to the error of an earlier stage.
    #[must_use]
    pub fn answer(&self, refusal: impl Into<Refusal>) -> Response<String> {
        let refusal = &refusal.into();
        let mut response = Response::new(self.body(refusal));
        *response.status_mut() = refusal.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(bearer) = self.challenge(refusal) {
            headers.append(WWW_AUTHENTICATE, bearer.clone());
            headers.append(WWW_AUTHENTICATE, self.api_key.clone());
        }
        if let Refusal::MethodNotAllowed(methods) = refusal {
            headers.insert(ALLOW, methods.clone());
        }
        response
    }

    /// Builds the answer to a verdict, unless it is an allow.
    ///
    /// A service that hides its resources uses [`Refusal::unless_allowed`] and [`Refusal::hiding`] instead.
    #[must_use]
    pub fn verdict(&self, verdict: &Verdict) -> Option<Response<String>> {
        match verdict {
            Verdict::Allowed(_) => None,
            Verdict::Denied { denial, .. } => Some(self.answer(*denial)),
            Verdict::Unauthenticated(_) => Some(self.answer(Refusal::InvalidKey)),
        }
    }

    /// RFC 6750, section 3: no error code if no credential came.
    const fn challenge(&self, refusal: &Refusal) -> Option<&HeaderValue> {
        match refusal {
            Refusal::Credential(CredentialError::Missing) => Some(&self.bare),
            Refusal::Credential(_) => Some(&self.invalid_request),
            Refusal::InvalidKey | Refusal::Unusable(_) => Some(&self.invalid_token),
            Refusal::Closed | Refusal::Denied(_) | Refusal::OperationDenied(_) => Some(&self.insufficient_scope),
            Refusal::Conflict(_)
            | Refusal::InvalidChange(_)
            | Refusal::MethodNotAllowed(_)
            | Refusal::NotFound
            | Refusal::Plaintext
            | Refusal::Unavailable => None,
        }
    }

    /// Every part is ours: no part of a request or a key comes here, so nothing needs to be escaped.
    fn body(&self, refusal: &Refusal) -> String {
        let (types, kind, title, status) = (&self.types, refusal.kind(), title(refusal), refusal.status().as_u16());
        let (reason, message) = match refusal.reason() {
            Some(reason) => (format!(",\"reason\":\"{reason}\""), format!("{title} ({reason})")),
            None => (String::new(), title.to_owned()),
        };
        let code = refusal.reason().unwrap_or(kind);
        let levels = match refusal {
            Refusal::Denied(denial) => sufficient(*denial),
            _ => String::new(),
        };
        format!(
            "{{\"type\":\"{types}{kind}\",\"title\":\"{title}\",\"status\":{status}{reason}{levels},\
             \"error\":{{\"message\":\"{message}\",\"type\":\"{kind}\",\"code\":\"{code}\"}}}}"
        )
    }
}

const fn title(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Closed => "No key may do this",
        Refusal::Conflict(_) => "The change conflicts with the stored keys",
        Refusal::Credential(CredentialError::Missing) => "A credential is required",
        Refusal::Credential(_) => "One well-formed credential is required, in a place that counts",
        Refusal::Denied(_) | Refusal::OperationDenied(_) => "The key may not do this",
        Refusal::InvalidChange(_) => "The change breaks a rule for keys",
        Refusal::InvalidKey | Refusal::Unusable(_) => "The key is not valid",
        Refusal::MethodNotAllowed(_) => "The method is not allowed",
        Refusal::NotFound => "There is no such resource",
        Refusal::Plaintext => "Use an encrypted connection",
        Refusal::Unavailable => "Keys cannot be checked now",
    }
}

/// The levels that would have sufficed, if the level was the reason.
fn sufficient(denial: Denial) -> String {
    if denial.reason() != Reason::LevelInsufficient {
        return String::new();
    }
    let levels = denial.sufficient_levels().iter().map(|level| format!("\"{level}\""));
    format!(",\"sufficient_levels\":[{}]", levels.collect::<Vec<_>>().join(","))
}

/// Returns `true` if a text can stand between quotation marks, in a challenge and in JSON, as it is.
fn is_quotable(text: &str) -> bool {
    let is_symbol = |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && byte != b'"' && byte != b'\\';
    (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_symbol)
}

/// Why [`Responses`] cannot be built.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResponses {
    /// The text cannot name a protection space.
    #[error("a realm has 1 to 128 printable ASCII symbols, no quotation mark and no backslash")]
    Realm,
    /// The text cannot begin a URI.
    #[error("the types of problems begin with 1 to 128 characters of a URI")]
    Types,
}

const MAX_LENGTH: usize = 128;
