//! What no handler sees: a credential, wherever it stands in the fields of a request.

use alloc::vec::Vec;

use ::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
    uri::{Authority, PathAndQuery},
};

use crate::http::{CredentialError, is_framing};

/// Finds the fields that hold a secret and can be removed, `Authorization` apart, which most often does.
///
/// It is misplaced in the request target, and in a field that frames the message.
pub(super) fn find(parts: &Parts, is_secret: impl Fn(&[u8]) -> bool) -> Result<Vec<HeaderName>, CredentialError> {
    let target = [parts.uri.authority().map(Authority::as_str), parts.uri.path_and_query().map(PathAndQuery::as_str)];
    if target.into_iter().flatten().any(|part| is_secret(part.as_bytes())) {
        return Err(CredentialError::Misplaced);
    }
    let mut names: Vec<HeaderName> = Vec::new();
    for (name, value) in &parts.headers {
        // A name's lines come one after the other.
        if *name == AUTHORIZATION || names.last() == Some(name) || !is_secret(value.as_bytes()) {
            continue;
        }
        if is_framing(name) {
            return Err(CredentialError::Misplaced);
        }
        names.push(name.clone());
    }
    Ok(names)
}

/// Removes the lines that hold a secret, from the fields that were found and from `Authorization`.
pub(super) fn remove(headers: &mut HeaderMap, names: Vec<HeaderName>, is_secret: impl Fn(&[u8]) -> bool) {
    for name in names.into_iter().chain([AUTHORIZATION]) {
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

/// Leaves out the member that holds a secret where the line is a list of them, or the whole line.
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
