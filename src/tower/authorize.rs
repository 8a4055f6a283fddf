//! Whether they may: decided at the matched route.

use alloc::{boxed::Box, string::String, sync::Arc};
use core::{
    error::Error,
    fmt,
    future::Future,
    task::{Context, Poll},
};

use ::http::{Response, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{Reply, response_future::ResponseFuture};
use crate::{
    action::Request,
    audit::RefusalReason,
    decision::{AuthenticatedKey, Authorization},
    gate::Gate,
    http::{CredentialError, Responses},
    sink::Message,
    store::{Directory, KeyLookup},
    verdict::Verdict,
};

/// Maps an HTTP request at a matched route to the [`Request`] to decide.
///
/// It is asked after routing: read the matched route and its parameters as your router gives them, look up what they
/// stand for now (such as the environment that a deployment is in), and never take a raw path apart.
pub trait Resolve: Send + Sync + 'static {
    /// Resolves a request.
    ///
    /// # Errors
    ///
    /// [`Unresolved`] if there is nothing to decide; the request is refused then.
    fn resolve(&self, parts: &mut Parts) -> impl Future<Output = Result<Request, Unresolved>> + Send;
}

/// A function resolves where nothing has to be looked up, or only in memory.
impl<F> Resolve for F
where
    F: Fn(&mut Parts) -> Result<Request, Unresolved> + Send + Sync + 'static,
{
    async fn resolve(&self, parts: &mut Parts) -> Result<Request, Unresolved> {
        self(parts)
    }
}

/// Why a request could not be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// A look-up failed: 503.
    #[error("a resource could not be looked up")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// There is no rule for this route, so it is closed: 403.
    #[error("there is no rule for this route")]
    NoRule,
    /// The resource does not exist: 404, the same as for one that is hidden.
    #[error("there is no such resource")]
    NotFound,
}

type NotFound = Arc<dyn Fn() -> Response<String> + Send + Sync>;

/// Decides each request at its matched route, and puts the [`Authorization`] into its extensions.
///
/// Stands after [`AuthenticateLayer`](super::AuthenticateLayer) and, in axum, on the routes (`Router::route_layer`), so
/// that the route is known. Without an [`AuthenticatedKey`] in the extensions it refuses.
pub struct AuthorizeLayer<S, D, M, R> {
    config: Arc<Config<S, D, M, R>>,
}

struct Config<S, D, M, R> {
    gate: Arc<Gate<S, D, M>>,
    responses: Responses,
    resolve: R,
    not_found: NotFound,
    hides: bool,
}

impl<S: KeyLookup<M>, D: Directory, M, R: Resolve> AuthorizeLayer<S, D, M, R> {
    /// Decides what `resolve` says.
    ///
    /// `not_found` is the service's own 404: for what does not exist.
    #[must_use]
    pub fn new(
        gate: Arc<Gate<S, D, M>>,
        responses: Responses,
        resolve: R,
        not_found: impl Fn() -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        let not_found = Arc::new(not_found);
        Self { config: Arc::new(Config { gate, responses, resolve, not_found, hides: false }) }
    }

    /// As [`AuthorizeLayer::new`], and gives the same 404 where a 403 would show that something exists
    /// ([`Denial::reveals_existence`](crate::Denial::reveals_existence)).
    #[must_use]
    pub fn hiding(
        gate: Arc<Gate<S, D, M>>,
        responses: Responses,
        resolve: R,
        not_found: impl Fn() -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        let not_found = Arc::new(not_found);
        Self { config: Arc::new(Config { gate, responses, resolve, not_found, hides: true }) }
    }
}

impl<S, D, M, R> Clone for AuthorizeLayer<S, D, M, R> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config) }
    }
}

impl<S, D, M, R> fmt::Debug for AuthorizeLayer<S, D, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeLayer").finish_non_exhaustive()
    }
}

impl<S, D, M, R, I> Layer<I> for AuthorizeLayer<S, D, M, R> {
    type Service = Authorize<I, S, D, M, R>;

    fn layer(&self, inner: I) -> Self::Service {
        Authorize { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`AuthorizeLayer`].
pub struct Authorize<I, S, D, M, R> {
    inner: I,
    config: Arc<Config<S, D, M, R>>,
}

impl<I: Clone, S, D, M, R> Clone for Authorize<I, S, D, M, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<I, S, D, M, R> fmt::Debug for Authorize<I, S, D, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize").finish_non_exhaustive()
    }
}

impl<I, S, D, M, R, RequestBody, ResponseBody> Service<::http::Request<RequestBody>> for Authorize<I, S, D, M, R>
where
    I: Service<::http::Request<RequestBody>, Response = Response<ResponseBody>> + Clone,
    S: KeyLookup<M> + 'static,
    D: Directory + 'static,
    M: 'static,
    R: Resolve,
    ResponseBody: From<String>,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = ResponseFuture<I, RequestBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: ::http::Request<RequestBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        // What came from outside, or from another route's decision, is no proof for this one.
        parts.extensions.remove::<Authorization>();
        let Some(key) = parts.extensions.get::<AuthenticatedKey>().cloned() else {
            let reply = self.config.no_key();
            return ResponseFuture::done(Err(reply), parts, body, &mut self.inner);
        };
        let config = Arc::clone(&self.config);
        let check = async move {
            let resolved = config.resolve.resolve(&mut parts).await;
            parts.extensions.insert(config.authorize(&key, resolved).await?);
            Ok(parts)
        };
        ResponseFuture::later(Box::pin(check), body, &mut self.inner)
    }
}

impl<S: KeyLookup<M>, D: Directory, M, R: Resolve> Config<S, D, M, R> {
    fn no_key(&self) -> Reply {
        let missing = CredentialError::Missing;
        self.gate.stranger_refused(None, missing.refusal());
        self.responses.no_credential(missing).into()
    }

    async fn authorize(
        &self,
        key: &AuthenticatedKey,
        resolved: Result<Request, Unresolved>,
    ) -> Result<Authorization, Reply> {
        let request = resolved.map_err(|unresolved| self.unresolved(key, &unresolved))?;
        match self.gate.authorize(key, &request).await {
            Ok(Verdict::Allowed(authorization)) => Ok(authorization),
            Ok(Verdict::Denied { denial, .. }) if self.hides && denial.reveals_existence() => {
                Err((self.not_found)().into())
            }
            Ok(Verdict::Denied { denial, .. }) => Err(self.responses.denied(denial).into()),
            Ok(Verdict::Unauthenticated(_)) => Err(self.responses.invalid_key().into()),
            Err(_) => Err(self.responses.unavailable().into()),
        }
    }

    fn unresolved(&self, key: &AuthenticatedKey, unresolved: &Unresolved) -> Reply {
        let refused = |reason| self.gate.key_refused(key, reason);
        match unresolved {
            Unresolved::NotFound => {
                // Told as well: one who asks for many that are not there is looking for some that are.
                refused(RefusalReason::NOT_FOUND);
                (self.not_found)().into()
            }
            Unresolved::NoRule => {
                refused(RefusalReason::CLOSED);
                self.responses.closed().into()
            }
            Unresolved::Failed(_) => {
                self.gate.tell(Message::Failed(unresolved));
                self.responses.unavailable().into()
            }
        }
    }
}
