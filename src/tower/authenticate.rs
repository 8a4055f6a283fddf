//! Authenticates the caller: from the header to an authenticated key, before the body is read.

use alloc::{borrow::ToOwned, boxed::Box, sync::Arc};
use core::{
    fmt,
    task::{Context, Poll},
};

use ::http::{Request, Response, header::AUTHORIZATION, request::Parts};
use tower_layer::Layer;
use tower_service::Service;
use zeroize::Zeroizing;

use super::{Answer, ResponseFuture, take_ready};
use crate::{
    audit::RefusalReason,
    decision::{AuthenticatedKey, Authorization},
    gate::Gate,
    http::{
        CredentialError, CredentialSources, Refusal, Responses, extract_beside_foreign, extract_credential, find,
        holds, misplaced_id, remove,
    },
    stages::PresentedKey,
    store::{Directory, KeyLookup},
};

/// Authenticates each request, and puts the [`AuthenticatedKey`] into its extensions.
///
/// A key that is revoked, disabled, expired or not yet valid, and one whose user is deprovisioned, is refused here
/// already; [`AuthorizeLayer`](super::AuthorizeLayer) decides what a usable key may do.
///
/// No handler, log or upstream after it sees a secret: a field that holds the credential, or anywhere a text in the
/// shape of a token of the gate's issuers, is removed, whether or not a credential counts there. Of `Cookie` and
/// `Sec-WebSocket-Protocol` only the member is removed that holds it. A token in the request target, or in a field that
/// frames the message and cannot be removed, is refused before anything is looked up.
///
/// # Security
///
/// Encoded tokens are not found: in Base64, or with a `_` that is written as `%5F`. Bodies and trailers are not read.
///
/// So a client can have any of its fields removed, except those that frame the message: it puts a text in the shape of
/// a token into the field. If a proxy appends to a field, such as `X-Forwarded-For`, that part goes too. Read such a
/// field outside of this layer, or treat a request without it as a stranger's, never as a trusted one.
pub struct AuthenticateLayer<S, D, M, A = Responses> {
    config: Arc<Config<S, D, M, A>>,
}

struct Config<S, D, M, A> {
    gate: Arc<Gate<S, D, M>>,
    answers: Arc<A>,
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    sources: CredentialSources,
    passes_foreign: bool,
    is_plaintext: Arc<dyn Fn(&Parts) -> bool + Send + Sync>,
}

impl<S: KeyLookup<M>, D: Directory, M, A> AuthenticateLayer<S, D, M, A> {
    /// Authenticates with `gate`; the credential is in `Authorization`.
    ///
    /// `answers` is [`Responses`], or a function from a refusal to the service's own answer ([`Answer`]).
    #[must_use]
    pub fn new(gate: Arc<Gate<S, D, M>>, answers: A) -> Self {
        let settings = Settings {
            sources: CredentialSources::authorization(),
            passes_foreign: false,
            is_plaintext: Arc::new(|_| false),
        };
        Self { config: Arc::new(Config { gate, answers: Arc::new(answers), settings }) }
    }

    /// Sets the places that may hold the credential.
    #[must_use]
    pub fn sources(self, sources: CredentialSources) -> Self {
        self.with(|settings| settings.sources = sources)
    }

    /// Passes requests with another system's credential on, without an [`AuthenticatedKey`]: another scheme, or a token
    /// that does not begin as ours do, such as a JWT. The services after it must authenticate them.
    ///
    /// A request without any credential does not pass, not even with a cookie: put routes for such requests outside of
    /// this layer. A token of ours is never passed on. If fields hold different credentials, the only one of ours
    /// counts.
    #[must_use]
    pub fn pass_foreign_on(self) -> Self {
        self.with(|settings| settings.passes_foreign = true)
    }

    /// Refuses the requests for which `is_plaintext` returns `true`, before any part of them is parsed.
    ///
    /// Only the listener or the proxy in front knows whether the transport was encrypted: the scheme in the request's
    /// URI is absent in HTTP/1.1, and the client writes it in HTTP/2.
    ///
    /// ```
    /// # use keygate::{Gate, Issuer, MemoryStore, http::Responses, tower::AuthenticateLayer};
    /// # use std::sync::Arc;
    /// # let layer = || {
    /// #     let gate = Arc::new(Gate::new(Issuer::from_static("acme"), MemoryStore::new()));
    /// #     AuthenticateLayer::new(gate, Responses::new("models").unwrap())
    /// # };
    /// // Behind a proxy that ends TLS, and overwrites what clients send in this field. A missing field proves nothing.
    /// layer().refuse_plaintext(|parts| parts.headers.get("x-forwarded-proto").is_none_or(|proto| proto != "https"));
    /// // On a listener without TLS, for clients that come by mistake.
    /// layer().refuse_plaintext(|_| true);
    /// ```
    #[must_use]
    pub fn refuse_plaintext(self, is_plaintext: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.is_plaintext = Arc::new(is_plaintext))
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let Config { gate, answers, settings } = &*self.config;
        let (gate, answers, mut settings) = (Arc::clone(gate), Arc::clone(answers), settings.clone());
        change(&mut settings);
        Self { config: Arc::new(Config { gate, answers, settings }) }
    }
}

impl<S, D, M, A> Clone for AuthenticateLayer<S, D, M, A> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config) }
    }
}

impl<S, D, M, A> fmt::Debug for AuthenticateLayer<S, D, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateLayer").finish_non_exhaustive()
    }
}

impl<S, D, M, A, I> Layer<I> for AuthenticateLayer<S, D, M, A> {
    type Service = Authenticate<I, S, D, M, A>;

    fn layer(&self, inner: I) -> Self::Service {
        Authenticate { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`AuthenticateLayer`].
pub struct Authenticate<I, S, D, M, A = Responses> {
    inner: I,
    config: Arc<Config<S, D, M, A>>,
}

impl<I: Clone, S, D, M, A> Clone for Authenticate<I, S, D, M, A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<I, S, D, M, A> fmt::Debug for Authenticate<I, S, D, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate").finish_non_exhaustive()
    }
}

impl<I, S, D, M, A, RequestBody, ResponseBody> Service<Request<RequestBody>> for Authenticate<I, S, D, M, A>
where
    I: Service<Request<RequestBody>, Response = Response<ResponseBody>, Future: Send> + Clone + Send + 'static,
    RequestBody: Send + 'static,
    S: KeyLookup<M> + 'static,
    D: Directory + 'static,
    M: 'static,
    A: Answer<ResponseBody>,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = ResponseFuture<I::Response, I::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let (config, mut inner) = (Arc::clone(&self.config), take_ready(&mut self.inner));
        Box::pin(async move {
            match config.admit(&mut parts).await {
                Ok(()) => {
                    let response = inner.call(Request::from_parts(parts, body));
                    // It may release something when it is dropped, and the answer may take long.
                    drop(inner);
                    response.await
                }
                Err(refusal) => Ok(config.answers.answer(&refusal, &parts)),
            }
        })
    }
}

impl<S: KeyLookup<M>, D: Directory, M, A> Config<S, D, M, A> {
    /// Puts the authenticated key into the extensions, or nothing if another system authenticates the request.
    async fn admit(&self, parts: &mut Parts) -> Result<(), Refusal> {
        // A proof that came with the request is none, wherever it is from.
        parts.extensions.remove::<AuthenticatedKey>();
        parts.extensions.remove::<Authorization>();
        if (self.settings.is_plaintext)(parts) {
            self.gate.stranger_refused(None, RefusalReason::PLAINTEXT);
            return Err(Refusal::Plaintext);
        }
        if let Some(presented) = self.read(parts)? {
            parts.extensions.insert(self.gate.authenticate_presented(&presented).await?);
        }
        Ok(())
    }

    /// Before the look-up: takes the presented key out of the fields, unless another system authenticates the request.
    fn read(&self, parts: &mut Parts) -> Result<Option<PresentedKey>, Refusal> {
        let keys = self.gate.accepted_keys();
        let Settings { sources, passes_foreign, .. } = &self.settings;
        let extract = if *passes_foreign { extract_beside_foreign } else { extract_credential };
        let found = extract(&parts.headers, sources, keys).map(|text| (text, keys.parse(text)));
        // A token is found by its shape; a legacy key has none.
        let legacy = match &found {
            Ok((text, Ok(presented))) if presented.is_legacy() => Some(Zeroizing::new((*text).to_owned())),
            _ => None,
        };
        let is_secret = |value: &[u8]| {
            keys.have_token_in(value) || legacy.as_ref().is_some_and(|credential| holds(value, credential))
        };
        let fields = find(&parts.uri, &parts.headers, is_secret).map_err(|error| self.no_credential(error, parts))?;
        let presented = match found {
            Ok((_, Ok(presented))) => Some(presented),
            Ok((text, Err(other))) if *passes_foreign && other.is_other_issuer() => {
                // Not even inside of somebody else's.
                if keys.have_token_in(text.as_bytes()) {
                    return Err(self.no_credential(CredentialError::Misplaced, parts));
                }
                None
            }
            Ok((_, Err(unauthenticated))) => {
                self.gate.stranger_refused(unauthenticated.claimed(), unauthenticated.refusal());
                return Err(Refusal::InvalidKey);
            }
            // A line that counts and holds no credential of ours has another scheme.
            Err(CredentialError::Missing) if *passes_foreign && parts.headers.contains_key(AUTHORIZATION) => None,
            Err(error) => return Err(self.no_credential(error, parts)),
        };
        remove(&mut parts.headers, fields, is_secret);
        Ok(presented)
    }

    fn no_credential(&self, error: CredentialError, parts: &Parts) -> Refusal {
        let claimed = match error {
            CredentialError::Misplaced => misplaced_id(&parts.uri, &parts.headers, self.gate.accepted_keys()),
            CredentialError::Malformed | CredentialError::Missing | CredentialError::Multiple => None,
        };
        self.gate.stranger_refused(claimed, error.refusal());
        error.into()
    }
}
