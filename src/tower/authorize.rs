//! Whether they may: decided at the matched route.

use alloc::{boxed::Box, string::String, sync::Arc};
use core::{
    error::Error,
    future::Future,
    task::{Context, Poll},
};

use ::http::{Response, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    AuditSink, LayerConfig, Reply,
    checked::{Check, ResponseFuture},
};
use crate::{
    action::Request,
    event::Principal,
    gate::MembershipQuery,
    grant::Grant,
    http::CredentialError,
    membership::Membership,
    policy::{Authorization, Decision, decide},
    reason::Reason,
    store::Directory,
    time::UnixTime,
    verify::{DEFAULT_TOUCH_INTERVAL, MatchedKey},
};

/// Says what a request at a matched route is about.
///
/// It is asked after routing: read the matched route and its parameters as your router gives them, look up what they
/// stand for now (such as the environment that a deployment is in), and never take a raw path apart.
pub trait Resolve: Send + Sync + 'static {
    /// Resolves a request.
    ///
    /// # Errors
    ///
    /// [`Unresolved`] if there is nothing to decide upon; the request is refused then.
    fn resolve(&self, parts: &mut Parts) -> impl Future<Output = Result<Request, Unresolved>> + Send;

    /// Resolves a request for which nothing has to be waited; `None`, which is the default, leaves it to
    /// [`resolve`](Self::resolve).
    fn resolve_now(&self, parts: &mut Parts) -> Option<Result<Request, Unresolved>> {
        let _ = parts;
        None
    }
}

/// A function resolves where nothing has to be looked up, or only in memory.
impl<F> Resolve for F
where
    F: Fn(&mut Parts) -> Result<Request, Unresolved> + Send + Sync + 'static,
{
    async fn resolve(&self, parts: &mut Parts) -> Result<Request, Unresolved> {
        self(parts)
    }

    fn resolve_now(&self, parts: &mut Parts) -> Option<Result<Request, Unresolved>> {
        Some(self(parts))
    }
}

/// Why a request could not be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// A look-up failed: 503.
    #[error("a resource could not be looked up")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// The resource does not exist: 404, the same as for one that is concealed.
    #[error("there is no such resource")]
    NotFound,
    /// Nothing is said about this route, so it is closed: 403.
    #[error("nothing is said about this route")]
    NoRule,
}

/// Decides each request at its matched route, and puts the [`Authorization`] into its extensions.
///
/// Stands behind [`AuthenticateLayer`](super::AuthenticateLayer) and, in axum, on the routes
/// (`Router::route_layer`), so that the route is known. Without a [`MatchedKey`] in the extensions it refuses.
#[derive(Debug)]
pub struct AuthorizeLayer<T, R, K> {
    config: Arc<Config<T, R, K>>,
}

#[derive(Debug)]
struct Config<T, R, K> {
    edge: LayerConfig<K>,
    directory: T,
    resolve: R,
    not_found: fn() -> Response<String>,
    conceals: bool,
}

impl<T: Directory, R: Resolve, K: AuditSink> AuthorizeLayer<T, R, K> {
    /// Decides what `resolve` says, and asks `directory` for the users of personal keys only.
    ///
    /// `not_found` is the service's own 404: for what does not exist.
    #[must_use]
    pub fn new(edge: LayerConfig<K>, directory: T, resolve: R, not_found: fn() -> Response<String>) -> Self {
        Self { config: Arc::new(Config { edge, directory, resolve, not_found, conceals: false }) }
    }

    /// As [`AuthorizeLayer::new`], and gives the same 404 where a 403 would show that something exists
    /// ([`Denial::reveals_existence`](crate::Denial::reveals_existence)).
    #[must_use]
    pub fn concealing(edge: LayerConfig<K>, directory: T, resolve: R, not_found: fn() -> Response<String>) -> Self {
        Self { config: Arc::new(Config { edge, directory, resolve, not_found, conceals: true }) }
    }
}

impl<T, R, K> Clone for AuthorizeLayer<T, R, K> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config) }
    }
}

impl<T, R, K, I> Layer<I> for AuthorizeLayer<T, R, K> {
    type Service = Authorize<I, T, R, K>;

    fn layer(&self, inner: I) -> Self::Service {
        Authorize { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`AuthorizeLayer`].
#[derive(Debug)]
pub struct Authorize<I, T, R, K> {
    inner: I,
    config: Arc<Config<T, R, K>>,
}

impl<I: Clone, T, R, K> Clone for Authorize<I, T, R, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<I, T, R, K, RequestBody, ResponseBody> Service<::http::Request<RequestBody>> for Authorize<I, T, R, K>
where
    I: Service<::http::Request<RequestBody>, Response = Response<ResponseBody>> + Clone,
    T: Directory + 'static,
    R: Resolve,
    K: AuditSink,
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
        let check: Check = match self.config.begin(&mut parts) {
            Begun::Decided(result) => {
                let check = result.map(|authorization| drop(parts.extensions.insert(authorization)));
                return ResponseFuture::done(check, parts, body, &mut self.inner);
            }
            Begun::Resolving(key) => {
                let config = Arc::clone(&self.config);
                Box::pin(async move {
                    let resolved = config.resolve.resolve(&mut parts).await;
                    parts.extensions.insert(config.authorize(&key, resolved).await?);
                    Ok(parts)
                })
            }
            Begun::Asking(key, resolved) => {
                let config = Arc::clone(&self.config);
                Box::pin(async move {
                    parts.extensions.insert(config.authorize(&key, resolved).await?);
                    Ok(parts)
                })
            }
        };
        ResponseFuture::later(check, body, &mut self.inner)
    }
}

/// How far a check comes without waiting.
enum Begun {
    Decided(Result<Authorization, Reply>),
    /// The membership of the key's user has to be looked up.
    Asking(MatchedKey, Result<Request, Unresolved>),
    /// What the request is about has to be looked up.
    Resolving(MatchedKey),
}

impl<T: Directory, R: Resolve, K: AuditSink> Config<T, R, K> {
    fn begin(&self, parts: &mut Parts) -> Begun {
        // What came from outside, or from another route's decision, is no proof for this one.
        parts.extensions.remove::<Authorization>();
        let LayerConfig { responses, clock, .. } = &self.edge;
        let Some(key) = parts.extensions.get::<MatchedKey>().cloned() else {
            self.edge.refused(Principal::Unverified { claimed: None }, CredentialError::Missing.as_str(), clock());
            return Begun::Decided(Err(responses.no_credential(CredentialError::Missing).into()));
        };
        match self.resolve.resolve_now(parts) {
            None => Begun::Resolving(key),
            Some(resolved) => match self.decide(&key, &resolved) {
                Some(result) => Begun::Decided(result),
                None => Begun::Asking(key, resolved),
            },
        }
    }

    /// Decides, if no membership has to be looked up for that.
    fn decide(&self, key: &MatchedKey, resolved: &Result<Request, Unresolved>) -> Option<Result<Authorization, Reply>> {
        let now = (self.edge.clock)();
        match (resolved, key.grant()) {
            (Ok(request), _) => {
                MembershipQuery::of(key, request, now).err().map(|decision| self.decided(key, decision, now))
            }
            (Err(unresolved), Grant::Team { .. }) => Some(Err(self.unresolved(key, unresolved))),
            // A key whose user is gone is refused as such, and learns nothing of what exists.
            (Err(_), Grant::Personal { .. }) => None,
        }
    }

    async fn authorize(&self, key: &MatchedKey, resolved: Result<Request, Unresolved>) -> Result<Authorization, Reply> {
        if let Some(result) = self.decide(key, &resolved) {
            return result;
        }
        let Grant::Personal { user } = key.grant() else { return Err(self.edge.responses.unavailable().into()) };
        let team = match &resolved {
            Ok(request) => Ok(request.team.clone()),
            // Who is deprovisioned is so in every team, and that is all that is asked.
            Err(_) => NOBODYS_TEAM.parse(),
        };
        let Ok(team) = team else { return Err(self.edge.responses.unavailable().into()) };
        let membership = self.directory.membership(user.clone(), team).await.map_err(|error| {
            self.edge.sink.failed(&error);
            Reply::new(self.edge.responses.unavailable())
        })?;
        // Not as it was before the look-up: the key may have expired meanwhile.
        let now = (self.edge.clock)();
        match &resolved {
            Ok(request) => self.decided(key, decide(key, Some(membership), request, now), now),
            Err(_) if membership == Membership::Deprovisioned => {
                self.edge.refused(Principal::key(key), Reason::OwnerDeprovisioned.as_str(), now);
                Err(self.edge.responses.unusable_key(Reason::OwnerDeprovisioned).into())
            }
            Err(unresolved) => Err(self.unresolved(key, unresolved)),
        }
    }

    fn unresolved(&self, key: &MatchedKey, unresolved: &Unresolved) -> Reply {
        let LayerConfig { responses, sink, clock, .. } = &self.edge;
        match unresolved {
            Unresolved::NotFound => {
                // Told as well: who asks for many that are not there is looking for some that are.
                self.edge.refused(Principal::key(key), "not_found", clock());
                (self.not_found)().into()
            }
            Unresolved::NoRule => {
                self.edge.refused(Principal::key(key), "closed", clock());
                responses.closed().into()
            }
            Unresolved::Failed(_) => {
                sink.failed(unresolved);
                responses.unavailable().into()
            }
        }
    }

    fn decided(&self, key: &MatchedKey, decision: Decision<'_>, now: UnixTime) -> Result<Authorization, Reply> {
        let LayerConfig { responses, sink, .. } = &self.edge;
        match decision {
            Decision::Allow(allow) => {
                // Not earlier: a request that is denied uses nothing.
                if key.touch_due(now, DEFAULT_TOUCH_INTERVAL) {
                    sink.touch(key.id(), now);
                }
                Ok(allow.to_authorization())
            }
            Decision::Deny(denial) => {
                sink.refused(denial.to_event(key, now));
                let is_concealed = self.conceals && denial.reveals_existence();
                Err(if is_concealed { (self.not_found)() } else { responses.denied(denial) }.into())
            }
        }
    }
}

/// A team of which nobody is a member.
const NOBODYS_TEAM: &str = "-";
