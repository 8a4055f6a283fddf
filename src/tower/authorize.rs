//! Authorizes the request at its matched route.

use alloc::{boxed::Box, sync::Arc};
use core::{
    error::Error,
    fmt,
    future::Future,
    task::{Context, Poll},
};

use ::http::{HeaderValue, Response, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{Answer, ResponseFuture, take_ready};
use crate::{
    action::Request,
    audit::RefusalReason,
    decision::{AuthenticatedKey, Authorization},
    gate::Gate,
    http::{CredentialError, Refusal, Responses},
    sink::Message,
    store::{Directory, KeyLookup},
};

/// Maps an HTTP request at a matched route to the [`Request`] to decide.
///
/// It runs after routing: read the matched route and its parameters as your router gives them, look up what they
/// stand for now (such as the environment that a deployment is in), and never take a raw path apart.
///
/// ```
/// use keygate::{Action, Request, tower::{Resolve, Unresolved}};
///
/// /// A route that has one rule, whatever its path; in axum, `parts.extract::<Path<…>>()` gives what the router matched.
/// struct Deploys;
///
/// impl Resolve for Deploys {
///     async fn resolve(&self, _: &mut http::request::Parts) -> Result<Request, Unresolved> {
///         let team = "core".parse().map_err(|_| Unresolved::NoRule)?;
///         Ok(Request::new(team, Action::Deploy))
///     }
/// }
/// ```
pub trait Resolve: Send + Sync + 'static {
    /// Resolves a request.
    ///
    /// # Errors
    ///
    /// [`Unresolved`] if there is nothing to decide; the request is refused then.
    fn resolve(&self, parts: &mut Parts) -> impl Future<Output = Result<Request, Unresolved>> + Send;
}

/// A function can resolve if no look-up is needed, or only one in memory.
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
    /// The route has other methods, which this names for the field `Allow`: 405. A router that calls the layer only for
    /// the route's methods answers 405 itself.
    #[error("the route has no such method")]
    MethodNotAllowed(HeaderValue),
    /// There is no rule for this route, so it is closed: 403.
    #[error("there is no rule for this route")]
    NoRule,
    /// The resource does not exist: 404, the same as for one that is hidden.
    #[error("there is no such resource")]
    NotFound,
}

/// Decides each request at its matched route, and puts the [`Authorization`] into its extensions.
///
/// Stands after [`AuthenticateLayer`](super::AuthenticateLayer) and, in axum, on the methods of a route
/// (`MethodRouter::route_layer`), so that the route is known and another method gets the router's 405. Without an
/// [`AuthenticatedKey`] in the extensions it refuses.
pub struct AuthorizeLayer<S, D, M, R, A = Responses> {
    config: Arc<Config<S, D, M, R, A>>,
    hides: bool,
}

struct Config<S, D, M, R, A> {
    gate: Arc<Gate<S, D, M>>,
    answers: A,
    resolve: R,
}

impl<S: KeyLookup<M>, D: Directory, M, R: Resolve, A> AuthorizeLayer<S, D, M, R, A> {
    /// Decides the request that `resolve` returns.
    ///
    /// `answers` is [`Responses`], or a function from a refusal to the service's own answer
    /// ([`Answer`](super::Answer)).
    #[must_use]
    pub fn new(gate: Arc<Gate<S, D, M>>, answers: A, resolve: R) -> Self {
        Self { config: Arc::new(Config { gate, answers, resolve }), hides: false }
    }

    /// Answers [`Refusal::NotFound`] if a 403 would show that something exists
    /// ([`Denial::reveals_existence`](crate::Denial::reveals_existence)).
    #[must_use]
    pub fn hiding(self) -> Self {
        Self { hides: true, ..self }
    }
}

impl<S, D, M, R, A> Clone for AuthorizeLayer<S, D, M, R, A> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config), hides: self.hides }
    }
}

impl<S, D, M, R, A> fmt::Debug for AuthorizeLayer<S, D, M, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeLayer").finish_non_exhaustive()
    }
}

impl<S, D, M, R, A, I> Layer<I> for AuthorizeLayer<S, D, M, R, A> {
    type Service = Authorize<I, S, D, M, R, A>;

    fn layer(&self, inner: I) -> Self::Service {
        Authorize { inner, config: Arc::clone(&self.config), hides: self.hides }
    }
}

/// The service of [`AuthorizeLayer`].
pub struct Authorize<I, S, D, M, R, A = Responses> {
    inner: I,
    config: Arc<Config<S, D, M, R, A>>,
    hides: bool,
}

impl<I: Clone, S, D, M, R, A> Clone for Authorize<I, S, D, M, R, A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config), hides: self.hides }
    }
}

impl<I, S, D, M, R, A> fmt::Debug for Authorize<I, S, D, M, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize").finish_non_exhaustive()
    }
}

impl<I, S, D, M, R, A, RequestBody, ResponseBody> Service<::http::Request<RequestBody>> for Authorize<I, S, D, M, R, A>
where
    I: Service<::http::Request<RequestBody>, Response = Response<ResponseBody>, Future: Send> + Clone + Send + 'static,
    RequestBody: Send + 'static,
    S: KeyLookup<M> + 'static,
    D: Directory + 'static,
    M: 'static,
    R: Resolve,
    A: Answer<ResponseBody>,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = ResponseFuture<I::Response, I::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: ::http::Request<RequestBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let (config, hides, mut inner) = (Arc::clone(&self.config), self.hides, take_ready(&mut self.inner));
        Box::pin(async move {
            match config.admit(&mut parts).await {
                Ok(()) => {
                    let response = inner.call(::http::Request::from_parts(parts, body));
                    // As in the first layer.
                    drop(inner);
                    response.await
                }
                Err(refusal) => {
                    let refusal = if hides { refusal.hiding() } else { refusal };
                    Ok(config.answers.answer(&refusal, &parts))
                }
            }
        })
    }
}

impl<S: KeyLookup<M>, D: Directory, M, R: Resolve, A> Config<S, D, M, R, A> {
    /// Puts the proof that the request is allowed into the extensions.
    async fn admit(&self, parts: &mut Parts) -> Result<(), Refusal> {
        // A proof from outside, or from another route's decision, does not count for this one.
        parts.extensions.remove::<Authorization>();
        let Some(key) = parts.extensions.get::<AuthenticatedKey>().cloned() else {
            let missing = CredentialError::Missing;
            self.gate.stranger_refused(None, missing.refusal());
            return Err(missing.into());
        };
        let request = match self.resolve.resolve(parts).await {
            Ok(request) => request,
            Err(unresolved) => return Err(self.unresolved(&key, unresolved)),
        };
        parts.extensions.insert(Refusal::unless_allowed(self.gate.authorize(&key, &request).await?)?);
        Ok(())
    }

    fn unresolved(&self, key: &AuthenticatedKey, unresolved: Unresolved) -> Refusal {
        match unresolved {
            Unresolved::Failed(_) => {
                self.gate.tell(Message::Failed(&unresolved));
                Refusal::Unavailable
            }
            Unresolved::MethodNotAllowed(methods) => {
                self.gate.key_refused(key, None, RefusalReason::CLOSED);
                Refusal::MethodNotAllowed(methods)
            }
            Unresolved::NoRule => {
                self.gate.key_refused(key, None, RefusalReason::CLOSED);
                Refusal::Closed
            }
            Unresolved::NotFound => {
                // Told as well: one who asks for many that are not there is looking for some that are.
                self.gate.key_refused(key, None, RefusalReason::NOT_FOUND);
                Refusal::NotFound
            }
        }
    }
}
