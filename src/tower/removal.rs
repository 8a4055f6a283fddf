//! What no handler sees: a credential, wherever it stands in the fields of a request.

use alloc::vec::Vec;

use ::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
    uri::{Authority, PathAndQuery},
};

use crate::http::{CredentialError, is_framing};

/// The fields that hold a secret and can be removed.
#[derive(Default)]
pub(super) struct Secrets {
    in_authorization: bool,
    others: Vec<HeaderName>,
}

/// Finds the fields that hold a secret and can be removed.
///
/// It is misplaced in the request target, and in a field that frames the message.
pub(super) fn find(parts: &Parts, is_secret: impl Fn(&[u8]) -> bool) -> Result<Secrets, CredentialError> {
    let target = [parts.uri.authority().map(Authority::as_str), parts.uri.path_and_query().map(PathAndQuery::as_str)];
    if target.into_iter().flatten().any(|part| is_secret(part.as_bytes())) {
        return Err(CredentialError::Misplaced);
    }
    let mut found = Secrets::default();
    for (name, value) in &parts.headers {
        // Most fields hold none, which is seen at once.
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

/// Removes the lines that hold a secret; of `Authorization`, which has one line where a credential was found, all.
pub(super) fn remove(headers: &mut HeaderMap, found: Secrets, is_secret: impl Fn(&[u8]) -> bool) {
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
