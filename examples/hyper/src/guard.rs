//! The life of a request: it authenticates the caller, and then authorizes the request. These are the two steps of
//! [`Gate`], which the layers of the feature `tower` take too.

use core::error::Error;

use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use keygate::{
    Authorization, Gate, KeyManager, MemoryDirectory, MemoryStore, TeamRole,
    audit::RefusalReason,
    http::{CredentialError, CredentialSources, Refusal, Responses, misplaced_id, take_credential},
    sink::ChannelSink,
};

use crate::{keys::ACME, platform::Route};

/// The parts that the steps need.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) gate: Gate<MemoryStore, MemoryDirectory>,
    pub(crate) keys: KeyManager<MemoryStore, MemoryDirectory>,
    responses: Responses,
}

impl Guard {
    pub(crate) fn new(sink: ChannelSink) -> Result<Self, Box<dyn Error>> {
        let (store, directory) = (MemoryStore::new(), MemoryDirectory::new());
        directory.set_member("ada".parse()?, "core".parse()?, TeamRole::Member);
        Ok(Self {
            gate: Gate::new(ACME, store.clone()).with_directory(directory.clone()).with_sink(sink.clone()),
            keys: KeyManager::new(ACME, store).with_directory(directory).with_sink(sink),
            responses: Responses::new("models")?,
        })
    }

    /// From the target and the header fields to a proof, or to the answer that refuses. After it no field holds a
    /// secret, so that a request passed on to another server has none.
    pub(crate) async fn admit(
        &self,
        target: &Uri,
        headers: &mut HeaderMap,
        route: &Route,
    ) -> Result<Authorization, Response<String>> {
        self.decide(target, headers, route).await.map_err(|refusal| match refusal.hiding() {
            Refusal::NotFound => not_found(),
            refusal => self.responses.answer(refusal),
        })
    }

    /// From the target and the header fields to a proof. The sink gets each refusal.
    async fn decide(&self, target: &Uri, headers: &mut HeaderMap, route: &Route) -> Result<Authorization, Refusal> {
        let gate = &self.gate;

        // The header: one credential, which is taken out, or 401 where there is none, or 400, also where a token is in
        // the target. It is no token yet.
        let keys = gate.accepted_keys();
        let credential = take_credential(target, headers, &CredentialSources::authorization(), keys);
        let credential = credential.inspect_err(|error| {
            let claimed = (*error == CredentialError::Misplaced).then(|| misplaced_id(target, headers, keys)).flatten();
            gate.stranger_refused(claimed, error.refusal());
        })?;

        // The key: one look-up, two comparisons also where nothing was found. Absent and wrong get the same answer; one
        // that is revoked, disabled or expired gets its 401 on every route.
        // A store that fails is neither an allow nor a wrong key.
        let key = gate.authenticate(credential.expose_secret()).await?;

        // The request, as the router resolved it. Without a rule, nothing is allowed.
        let request = match route {
            Route::Ask(request) => request,
            Route::Closed => {
                gate.key_refused(&key, None, RefusalReason::CLOSED);
                return Err(Refusal::Closed);
            }
            _ => {
                gate.key_refused(&key, None, RefusalReason::NOT_FOUND);
                return Err(Refusal::NotFound);
            }
        };

        // The decision: a proof for the handler, or a denial. One that would show that something exists is answered as
        // if it did not, above.
        Refusal::unless_allowed(gate.authorize(&key, request).await?)
    }
}

/// The service's own 404.
pub(crate) fn not_found() -> Response<String> {
    let body = r#"{"type":"urn:example:problem:not_found","title":"There is no such resource","status":404}"#;
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
