//! The way of a request, one stage after the other. `Gate::check` is all of it in one call; here each stage is seen.

use core::convert::Infallible;

use hyper::{HeaderMap, Response, StatusCode, header};
use keygate::{
    Authorization, Decision, Directory, Event, Gate, KeyStore, Membership, MembershipQuery, MemoryDirectory,
    MemoryStore, Principal, Request, UnixTime, check_usable,
    http::{CredentialHeaders, Responses, extract_credential},
};

use crate::keys::ACME;

/// What the stages need.
#[derive(Debug)]
pub(crate) struct Guard {
    gate: Gate,
    responses: Responses,
    pub(crate) store: MemoryStore,
    directory: MemoryDirectory,
}

impl Guard {
    pub(crate) fn new() -> Result<Self, Box<dyn core::error::Error>> {
        let directory = MemoryDirectory::new();
        directory.set_member("ada".parse()?, "core".parse()?, Membership::Member);
        Ok(Self { gate: Gate::new(ACME), responses: Responses::new("models")?, store: MemoryStore::new(), directory })
    }

    /// From the header fields to a proof, or to the answer that refuses.
    pub(crate) async fn admit(
        &self,
        headers: &HeaderMap,
        request: Option<&Request>,
    ) -> Result<Authorization, Response<String>> {
        let (responses, now) = (&self.responses, UnixTime::now());

        // The header: one credential, or 401 where there is none, or 400. It is no token yet.
        let text = extract_credential(headers, CredentialHeaders::Authorization).map_err(|error| {
            tell(&Event::refused(now, Principal::Unverified { claimed: None }, error.as_str()));
            responses.no_credential(error)
        })?;

        // The token: parsed and hashed; what is none never reaches the store. From here on nobody has the secret.
        let lookup = self.gate.parse(text).map_err(|why| {
            tell(&why.to_event(now));
            responses.invalid_key()
        })?;

        // The record: the only look-up. A store that fails is neither an allow nor a wrong key.
        let record = self.store.find(lookup.id()).await.map_err(|error| self.unavailable(error))?;

        // The key: two comparisons, also where nothing was found. Absent and wrong get the same answer.
        let key = lookup.verify(record, now).map_err(|why| {
            tell(&why.to_event(now));
            responses.invalid_key()
        })?;

        // The state: a key that is revoked, disabled or out of its time gets its 401 everywhere.
        check_usable(&key, now).map_err(|reason| {
            tell(&Event::refused(now, Principal::key(&key), reason.as_str()));
            responses.unusable_key(reason)
        })?;

        // The request: what the router says this is about. Where it says nothing, nothing is allowed.
        let request = request.ok_or_else(|| {
            tell(&Event::refused(now, Principal::key(&key), "closed"));
            responses.closed()
        })?;

        // The decision. A personal key is asked about its user's membership now, and only if that is what decides.
        let decision = match MembershipQuery::of(&key, request, now) {
            Err(decision) => decision,
            Ok(question) => {
                let membership = self.directory.membership(question.user().clone(), question.team().clone()).await;
                question.decide(membership.map_err(|error| self.unavailable(error))?)
            }
        };

        // The answer: a proof for the handler, or a denial. What would show that something exists is answered as if it
        // did not.
        match decision {
            Decision::Allow(allow) => Ok(allow.to_authorization()),
            Decision::Deny(denial) => {
                tell(&denial.to_event(&key, now));
                Err(if denial.reveals_existence() { not_found() } else { responses.denied(denial) })
            }
        }
    }

    /// A store in memory cannot fail; what a real one says goes to the log, and the client is told nothing of it.
    fn unavailable(&self, error: Infallible) -> Response<String> {
        eprintln!("a look-up failed: {error}");
        self.responses.unavailable()
    }
}

/// The service's own 404.
pub(crate) fn not_found() -> Response<String> {
    let body = r#"{"type":"urn:example:problem:not_found","title":"There is no such resource","status":404}"#;
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// The audit log: a line on standard error.
fn tell(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        eprintln!("{line}");
    }
}
