//! Who calls: from the header to a verified key, before the body is read.

use alloc::{boxed::Box, string::String, sync::Arc};
use core::task::{Context, Poll};

use ::http::{Request, Response, header::AUTHORIZATION, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{AuditSink, LayerConfig, Reply, checked::ResponseFuture};
use crate::{
    event::Principal,
    gate::PresentedKey,
    http::{CredentialError, CredentialHeaders, X_API_KEY, extract_credential},
    policy::{Authorization, check_usable},
    record::KeyRecord,
    store::KeyStore,
    time::UnixTime,
    verify::MatchedKey,
};

/// Authenticates each request, and puts the [`MatchedKey`] into its extensions.
///
/// The credential is removed from the request, so that no handler, log or upstream sees it. A key that is revoked,
/// disabled or out of its time is refused here already; what it may do is [`AuthorizeLayer`](super::AuthorizeLayer)'s part.
#[derive(Debug)]
pub struct AuthenticateLayer<S, K> {
    config: Arc<Config<S, K>>,
}

#[derive(Debug)]
struct Config<S, K> {
    edge: LayerConfig<K>,
    store: S,
    fields: CredentialHeaders,
    passes_foreign: bool,
    is_plaintext: fn(&Parts) -> bool,
}

impl<S: KeyStore, K: AuditSink> AuthenticateLayer<S, K> {
    /// Looks keys up in `store`; the credential is in `Authorization`.
    #[must_use]
    pub fn new(edge: LayerConfig<K>, store: S) -> Self {
        let config = Config {
            edge,
            store,
            fields: CredentialHeaders::Authorization,
            passes_foreign: false,
            is_plaintext: |_| false,
        };
        Self { config: Arc::new(config) }
    }
}

impl<S: KeyStore + Clone, K: AuditSink> AuthenticateLayer<S, K> {
    /// Says which header fields may hold the credential.
    #[must_use]
    pub fn fields(self, fields: CredentialHeaders) -> Self {
        self.with(|config| config.fields = fields)
    }

    /// Passes requests with another system's credential on, untouched and without a [`MatchedKey`]: another scheme, or
    /// a token that does not begin as ours do, such as a JWT. Whoever stands behind must authenticate them.
    #[must_use]
    pub fn pass_foreign_on(self) -> Self {
        self.with(|config| config.passes_foreign = true)
    }

    /// Says how to tell that a request came over a transport that is not encrypted: it is refused before anything of
    /// it is parsed.
    #[must_use]
    pub fn refuse_plaintext(self, is_plaintext: fn(&Parts) -> bool) -> Self {
        self.with(|config| config.is_plaintext = is_plaintext)
    }

    fn with(self, change: impl FnOnce(&mut Config<S, K>)) -> Self {
        let mut config = Arc::unwrap_or_clone(self.config);
        change(&mut config);
        Self { config: Arc::new(config) }
    }
}

impl<S: Clone, K: Clone> Clone for Config<S, K> {
    fn clone(&self) -> Self {
        let Self { edge, store, fields, passes_foreign, is_plaintext } = self;
        Self {
            edge: edge.clone(),
            store: store.clone(),
            fields: *fields,
            passes_foreign: *passes_foreign,
            is_plaintext: *is_plaintext,
        }
    }
}

impl<S, K> Clone for AuthenticateLayer<S, K> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config) }
    }
}

impl<S, K, I> Layer<I> for AuthenticateLayer<S, K> {
    type Service = Authenticate<I, S, K>;

    fn layer(&self, inner: I) -> Self::Service {
        Authenticate { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`AuthenticateLayer`].
#[derive(Debug)]
pub struct Authenticate<I, S, K> {
    inner: I,
    config: Arc<Config<S, K>>,
}

impl<I: Clone, S, K> Clone for Authenticate<I, S, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<I, S, K, RequestBody, ResponseBody> Service<Request<RequestBody>> for Authenticate<I, S, K>
where
    I: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone,
    S: KeyStore + 'static,
    K: AuditSink,
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
        let config = &self.config;
        let now = (config.edge.clock)();
        let lookup = match config.read(&mut parts, now) {
            Ok(Some(lookup)) => lookup,
            Ok(None) => return ResponseFuture::done(Ok(()), parts, body, &mut self.inner),
            Err(reply) => return ResponseFuture::done(Err(reply), parts, body, &mut self.inner),
        };
        if let Some(found) = config.store.find_now(lookup.id()) {
            let check = config.admit(&mut parts, &lookup, Ok(found), now);
            return ResponseFuture::done(check, parts, body, &mut self.inner);
        }
        let config = Arc::clone(config);
        let check = async move {
            let found = config.store.find(lookup.id()).await;
            // Not as it was before the look-up: a secret or a key may have ended meanwhile.
            let now = (config.edge.clock)();
            config.admit(&mut parts, &lookup, found, now)?;
            Ok(parts)
        };
        ResponseFuture::later(Box::pin(check), body, &mut self.inner)
    }
}

impl<S: KeyStore, K: AuditSink> Config<S, K> {
    /// Before the look-up: what is presented, if it is not somebody else's to authenticate.
    fn read(&self, parts: &mut Parts, now: UnixTime) -> Result<Option<PresentedKey>, Reply> {
        // What came from outside is no proof, whoever put it there.
        parts.extensions.remove::<MatchedKey>();
        parts.extensions.remove::<Authorization>();
        let LayerConfig { gate, responses, sink, .. } = &self.edge;
        let nobody = Principal::Unverified { claimed: None };
        if (self.is_plaintext)(parts) {
            self.edge.refused(nobody, "plaintext", now);
            return Err(responses.plaintext().into());
        }
        let text = match extract_credential(&parts.headers, self.fields) {
            Ok(text) => text,
            // A line that counts and holds no credential of ours has another scheme.
            Err(CredentialError::Missing) if self.passes_foreign && parts.headers.contains_key(AUTHORIZATION) => {
                return Ok(None);
            }
            Err(error) => {
                self.edge.refused(nobody, error.as_str(), now);
                return Err(responses.no_credential(error).into());
            }
        };
        match gate.parse(text) {
            Ok(lookup) => Ok(Some(lookup)),
            Err(unauthenticated) if self.passes_foreign && unauthenticated.is_foreign() => Ok(None),
            Err(unauthenticated) => {
                sink.refused(unauthenticated.to_event(now));
                Err(responses.invalid_key().into())
            }
        }
    }

    /// After the look-up: the key goes into the request, and its credential out of it.
    fn admit(
        &self,
        parts: &mut Parts,
        lookup: &PresentedKey,
        found: Result<Option<Arc<KeyRecord>>, S::Error>,
        now: UnixTime,
    ) -> Result<(), Reply> {
        let LayerConfig { responses, sink, .. } = &self.edge;
        let found = found.map_err(|error| {
            sink.failed(&error);
            Reply::new(responses.unavailable())
        })?;
        let key = lookup.verify(found, now).map_err(|unauthenticated| {
            sink.refused(unauthenticated.to_event(now));
            Reply::new(responses.invalid_key())
        })?;
        if let Err(reason) = check_usable(&key, now) {
            self.edge.refused(Principal::key(&key), reason.as_str(), now);
            return Err(responses.unusable_key(reason).into());
        }
        parts.headers.remove(AUTHORIZATION);
        if self.fields == CredentialHeaders::AuthorizationOrXApiKey {
            parts.headers.remove(X_API_KEY);
        }
        parts.extensions.insert(key);
        Ok(())
    }
}
