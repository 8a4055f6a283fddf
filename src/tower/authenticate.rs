//! Who calls: from the header to an authenticated key, before the body is read.

use alloc::{boxed::Box, string::String, sync::Arc};
use core::{
    fmt,
    task::{Context, Poll},
};

use ::http::{Request, Response, header::AUTHORIZATION, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{Reply, response_future::ResponseFuture};
use crate::{
    audit::RefusalReason,
    decision::{AuthenticatedKey, Authorization},
    gate::{AuthenticateError, Gate},
    http::{CredentialError, CredentialHeaders, Responses, X_API_KEY, extract_credential},
    stages::PresentedKey,
    store::{Directory, KeyLookup},
};

/// Authenticates each request, and puts the [`AuthenticatedKey`] into its extensions.
///
/// The credential is removed from the request, so that no handler, log or upstream sees it. A key that is revoked,
/// disabled or outside its time, and one whose user is deprovisioned, is refused here already; what it may do is
/// [`AuthorizeLayer`](super::AuthorizeLayer)'s part.
pub struct AuthenticateLayer<S, D, M> {
    config: Arc<Config<S, D, M>>,
}

struct Config<S, D, M> {
    gate: Arc<Gate<S, D, M>>,
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    responses: Responses,
    headers: CredentialHeaders,
    passes_foreign: bool,
    is_plaintext: Arc<dyn Fn(&Parts) -> bool + Send + Sync>,
}

impl<S: KeyLookup<M>, D: Directory, M> AuthenticateLayer<S, D, M> {
    /// Authenticates by `gate`; the credential is in `Authorization`.
    #[must_use]
    pub fn new(gate: Arc<Gate<S, D, M>>, responses: Responses) -> Self {
        let settings = Settings {
            responses,
            headers: CredentialHeaders::Authorization,
            passes_foreign: false,
            is_plaintext: Arc::new(|_| false),
        };
        Self { config: Arc::new(Config { gate, settings }) }
    }

    /// Says which header fields may hold the credential.
    #[must_use]
    pub fn headers(self, headers: CredentialHeaders) -> Self {
        self.with(|settings| settings.headers = headers)
    }

    /// Passes requests with another system's credential on, untouched and without an [`AuthenticatedKey`]: another
    /// scheme, or a token that does not begin as ours do, such as a JWT. Whatever comes after must authenticate them.
    #[must_use]
    pub fn pass_foreign_on(self) -> Self {
        self.with(|settings| settings.passes_foreign = true)
    }

    /// Says how to tell that a request came over a transport that is not encrypted: it is refused before anything of it
    /// is parsed.
    #[must_use]
    pub fn refuse_plaintext(self, is_plaintext: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.is_plaintext = Arc::new(is_plaintext))
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let Config { gate, settings } = &*self.config;
        let (gate, mut settings) = (Arc::clone(gate), settings.clone());
        change(&mut settings);
        Self { config: Arc::new(Config { gate, settings }) }
    }
}

impl<S, D, M> Clone for AuthenticateLayer<S, D, M> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config) }
    }
}

impl<S, D, M> fmt::Debug for AuthenticateLayer<S, D, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateLayer").finish_non_exhaustive()
    }
}

impl<S, D, M, I> Layer<I> for AuthenticateLayer<S, D, M> {
    type Service = Authenticate<I, S, D, M>;

    fn layer(&self, inner: I) -> Self::Service {
        Authenticate { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`AuthenticateLayer`].
pub struct Authenticate<I, S, D, M> {
    inner: I,
    config: Arc<Config<S, D, M>>,
}

impl<I: Clone, S, D, M> Clone for Authenticate<I, S, D, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<I, S, D, M> fmt::Debug for Authenticate<I, S, D, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate").finish_non_exhaustive()
    }
}

impl<I, S, D, M, RequestBody, ResponseBody> Service<Request<RequestBody>> for Authenticate<I, S, D, M>
where
    I: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone,
    S: KeyLookup<M> + 'static,
    D: Directory + 'static,
    M: 'static,
    ResponseBody: From<String>,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = ResponseFuture<I, RequestBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let presented = match self.config.read(&mut parts) {
            Ok(Some(presented)) => presented,
            Ok(None) => return ResponseFuture::done(Ok(()), parts, body, &mut self.inner),
            Err(reply) => return ResponseFuture::done(Err(reply), parts, body, &mut self.inner),
        };
        let config = Arc::clone(&self.config);
        let check = async move {
            let key = config.authenticate(&presented).await?;
            config.remove_credential(&mut parts);
            parts.extensions.insert(key);
            Ok(parts)
        };
        ResponseFuture::later(Box::pin(check), body, &mut self.inner)
    }
}

impl<S: KeyLookup<M>, D: Directory, M> Config<S, D, M> {
    /// Before the look-up: the presented key, or nothing if another system authenticates the request.
    fn read(&self, parts: &mut Parts) -> Result<Option<PresentedKey>, Reply> {
        // A proof that came with the request is none, wherever it is from.
        parts.extensions.remove::<AuthenticatedKey>();
        parts.extensions.remove::<Authorization>();
        let Settings { responses, headers, passes_foreign, is_plaintext } = &self.settings;
        if is_plaintext(parts) {
            self.gate.stranger_refused(None, RefusalReason::PLAINTEXT);
            return Err(responses.plaintext().into());
        }
        let text = match extract_credential(&parts.headers, *headers) {
            Ok(text) => text,
            // A line that counts and holds no credential of ours has another scheme.
            Err(CredentialError::Missing) if *passes_foreign && parts.headers.contains_key(AUTHORIZATION) => {
                return Ok(None);
            }
            Err(error) => {
                self.gate.stranger_refused(None, error.refusal());
                return Err(responses.no_credential(error).into());
            }
        };
        match self.gate.accepted_keys().parse(text) {
            Ok(presented) => Ok(Some(presented)),
            Err(unauthenticated) if *passes_foreign && unauthenticated.is_other_issuer() => Ok(None),
            Err(unauthenticated) => {
                self.gate.stranger_refused(unauthenticated.claimed(), unauthenticated.refusal());
                Err(responses.invalid_key().into())
            }
        }
    }

    async fn authenticate(&self, presented: &PresentedKey) -> Result<AuthenticatedKey, Reply> {
        let responses = &self.settings.responses;
        self.gate.authenticate_presented(presented).await.map_err(|error| {
            Reply::new(match error {
                AuthenticateError::Unauthenticated(_) => responses.invalid_key(),
                AuthenticateError::Unavailable(_) => responses.unavailable(),
                AuthenticateError::Unusable(reason) => responses.unusable_key(reason),
            })
        })
    }

    fn remove_credential(&self, parts: &mut Parts) {
        parts.headers.remove(AUTHORIZATION);
        if self.settings.headers == CredentialHeaders::AuthorizationOrXApiKey {
            parts.headers.remove(X_API_KEY);
        }
    }
}
