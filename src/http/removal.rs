//! Removes credentials from a request, wherever they stand in its fields, so that no handler sees one.

use alloc::{borrow::ToOwned, vec::Vec};
use core::fmt;

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL},
    uri::{Authority, PathAndQuery},
};

use super::{
    credential::{CredentialError, credential_values, extract_credential},
    sources::{CredentialSources, is_framing},
};
use crate::{id::KeyId, secret::SecretText, stages::AcceptedKeys};

/// A credential that [`take_credential`] took out of a request: no field of it holds the credential any more.
///
/// # Security
///
/// The text leaves by [`Credential::expose_secret`] only, `Debug` hides it, and it is wiped on drop.
#[must_use = "the request does not have it any more"]
pub struct Credential(SecretText);

impl Credential {
    /// Returns a reference to the text, for [`Gate::authenticate`](crate::Gate::authenticate) or
    /// [`Gate::check`](crate::Gate::check).
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

/// Takes the one credential out of a request, as the first of the `tower` layers does, so that nothing that comes after
/// sees a secret.
///
/// A field that holds the credential, or anywhere in it a text in the shape of a token of `keys`, is removed; of
/// `Cookie` and `Sec-WebSocket-Protocol` only the member that holds it. Call it before the look-up, and log the target
/// only after it.
///
/// # Errors
///
/// As for [`extract_credential`]; also [`CredentialError::Misplaced`] if a token is in the target, or in a field that
/// frames the message and cannot be removed. After an error the fields are as they came: pass nothing on.
///
/// # Security
///
/// As for the layer: encoded tokens are not found, and bodies and trailers are not read.
///
/// ```
/// use http::{HeaderMap, HeaderValue, Uri};
/// use keygate::{
///     Issuer, http::{CredentialError, CredentialSources, take_credential}, stages::AcceptedKeys,
/// };
///
/// const TOKEN: &str = "kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d";
/// let (keys, sources) = (AcceptedKeys::new(Issuer::from_static("kg")), CredentialSources::authorization());
/// let mut headers = HeaderMap::new();
/// headers.append("authorization", HeaderValue::from_str(&format!("Bearer {TOKEN}"))?);
/// headers.append("cookie", HeaderValue::from_str(&format!("a=1; key={TOKEN}"))?);
///
/// let in_target = format!("/v1/models?key={TOKEN}").parse::<Uri>()?;
/// let refused = take_credential(&in_target, &mut headers, &sources, keys).unwrap_err();
/// assert_eq!(refused, CredentialError::Misplaced);
///
/// let target = Uri::from_static("/v1/models");
/// assert_eq!(take_credential(&target, &mut headers, &sources, keys)?.expose_secret(), TOKEN);
/// assert!(!headers.contains_key("authorization"));
/// assert_eq!(headers["cookie"], "a=1");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn take_credential(
    target: &Uri,
    headers: &mut HeaderMap,
    sources: &CredentialSources,
    keys: AcceptedKeys,
) -> Result<Credential, CredentialError> {
    let credential =
        extract_credential(headers, sources, keys).map(|text| Credential(SecretText::new(text.to_owned())));
    // A token is found by its shape; a legacy key has none.
    let text = credential.as_ref().ok().map(Credential::expose_secret);
    let legacy = text.filter(|text| keys.parse(text).is_ok_and(|presented| presented.is_legacy()));
    let is_secret = |value: &[u8]| keys.have_token_in(value) || legacy.is_some_and(|legacy| holds(value, legacy));
    let found = find(target, headers, is_secret)?;
    if credential.is_ok() {
        remove(headers, found, is_secret);
    }
    credential
}

/// Returns the id that a misplaced token claims, for the event of the refusal
/// ([`Gate::stranger_refused`](crate::Gate::stranger_refused)), if its checksum holds.
///
/// The target and the header fields are those that caused [`CredentialError::Misplaced`]. Nobody looked the id up:
/// it need not exist, and it is no reason to end a key. With the token itself, call
/// [`KeyManager::revoke_leaked`](crate::KeyManager::revoke_leaked).
///
/// ```
/// use http::{HeaderMap, Uri};
/// use keygate::{Issuer, http::misplaced_id, stages::AcceptedKeys};
///
/// let keys = AcceptedKeys::new(Issuer::from_static("kg"));
/// let target = Uri::from_static("/?key=kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d");
/// let claimed = misplaced_id(&target, &HeaderMap::new(), keys);
/// assert_eq!(claimed.map(|id| id.to_string()).as_deref(), Some("wk59pfKL0jFi2YYv"));
/// ```
#[must_use]
pub fn misplaced_id(target: &Uri, headers: &HeaderMap, keys: AcceptedKeys) -> Option<KeyId> {
    let framing = headers.iter().filter(|(name, _)| is_framing(name)).map(|(_, value)| value.as_bytes());
    // Where a token is in none of these, none counted, and it is in a field for credentials.
    let mut places = parts(target).chain(framing).chain(credential_values(headers));
    keys.id_in(places.find(|place| keys.have_token_in(place))?)
}

/// The parts of a target that may hold a token.
fn parts(target: &Uri) -> impl Iterator<Item = &[u8]> {
    let parts = [target.authority().map(Authority::as_str), target.path_and_query().map(PathAndQuery::as_str)];
    parts.into_iter().flatten().map(str::as_bytes)
}

/// Returns `true` if a field's value holds the credential, which is visible ASCII.
pub(crate) fn holds(value: &[u8], credential: &str) -> bool {
    // The search for a text takes time in proportion, whatever both are; one for bytes would not.
    value.utf8_chunks().any(|chunk| chunk.valid().contains(credential))
}

/// The fields that hold a secret and can be removed.
#[derive(Default)]
pub(crate) struct Secrets {
    in_authorization: bool,
    others: Vec<HeaderName>,
}

/// Finds the fields that hold a secret and can be removed.
///
/// It is misplaced in the request target, and in a field that frames the message.
pub(crate) fn find(
    target: &Uri,
    headers: &HeaderMap,
    is_secret: impl Fn(&[u8]) -> bool,
) -> Result<Secrets, CredentialError> {
    if parts(target).any(&is_secret) {
        return Err(CredentialError::Misplaced);
    }
    let mut found = Secrets::default();
    for (name, value) in headers {
        // Most fields hold none, which shows at once.
        if !is_secret(value.as_bytes()) {
            continue;
        }
        if is_framing(name) {
            return Err(CredentialError::Misplaced);
        }
        if *name == AUTHORIZATION {
            found.in_authorization = true;
        } else if found.others.last() != Some(name) {
            // A name's lines come one after the other.
            found.others.push(name.clone());
        }
    }
    Ok(found)
}

/// Removes the lines that hold a secret; of `Authorization`, which has one line if a credential was found, all.
pub(crate) fn remove(headers: &mut HeaderMap, found: Secrets, is_secret: impl Fn(&[u8]) -> bool) {
    if found.in_authorization {
        headers.remove(AUTHORIZATION);
    }
    for name in found.others {
        let mut kept = Vec::new();
        for line in headers.get_all(&name) {
            kept.extend(without_secret(&name, line, &is_secret));
        }
        headers.remove(&name);
        for line in kept {
            headers.append(&name, line);
        }
    }
}

/// Leaves out the member that holds a secret if the line is a list of them, or the whole line.
fn without_secret(name: &HeaderName, line: &HeaderValue, is_secret: impl Fn(&[u8]) -> bool) -> Option<HeaderValue> {
    if !is_secret(line.as_bytes()) {
        return Some(line.clone());
    }
    let separator = match name {
        name if *name == COOKIE => b';',
        name if *name == SEC_WEBSOCKET_PROTOCOL => b',',
        _ => return None,
    };
    let members = line.as_bytes().split(|byte| *byte == separator);
    let kept = members.filter(|member| !is_secret(member)).collect::<Vec<_>>().join(&separator);
    let kept = kept.trim_ascii_start();
    // A secret with a separator in it is in no single member.
    if kept.is_empty() || is_secret(kept) {
        return None;
    }
    let mut kept = HeaderValue::from_bytes(kept).ok()?;
    kept.set_sensitive(line.is_sensitive());
    Some(kept)
}
