//! What handlers share, and how the routes are put behind keygate.

use std::sync::{Arc, PoisonError};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts},
    http::request::Parts,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, patch, post},
};
use keygate::{
    Authorization, Gate, Issuer, KeyManager,
    http::{CredentialSources, Refusal, Responses},
    sink::ChannelSink,
    store::{BoxedKeyManagementStore, Remembered},
    tower::{AuthenticateLayer, AuthorizeLayer},
};
use tokio::sync::{Semaphore, watch};
use tower::Layer;

use crate::{
    audit::Uses,
    caller, chat,
    database::{Database, Lookup},
    keys, leaks, models,
    platform::Platform,
    problem::Problem,
    resolve::{self, Routes},
    stream,
};

pub(crate) const ACME: Issuer = Issuer::from_static("acme");

/// Manages keys in any database, with or without a cache in front: which, is chosen when the server starts.
pub(crate) type Keys = KeyManager<BoxedKeyManagementStore, Database>;

/// What handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) gate: Arc<Gate<Lookup, Database, Remembered>>,
    pub(crate) keys: Keys,
    pub(crate) responses: Responses,
    pub(crate) platform: Arc<Platform>,
    pub(crate) uses: Uses,
    pub(crate) authenticate: AuthenticateLayer<Lookup, Database, Remembered>,
    /// Places for reports of leaked tokens.
    pub(crate) reports: Semaphore,
    /// Where a credential may be.
    pub(crate) sources: CredentialSources,
    /// Whether `X-Dev-User` is believed.
    pub(crate) dev_login: bool,
    /// Becomes true when the server is about to end.
    pub(crate) stop: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(
        (database, lookup): (Database, Lookup),
        (sink, uses): (ChannelSink, Uses),
        sources: CredentialSources,
        dev_login: bool,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Box<dyn core::error::Error>> {
        let keys = KeyManager::new(ACME, lookup.store()).with_directory(database.clone()).with_sink(sink.clone());
        let gate = Arc::new(Gate::new(ACME, lookup).with_directory(database).with_sink(sink));
        let responses = Responses::new("models")?;
        // No `refuse_plaintext` here: on the loopback interface there is no TLS. Behind a proxy that ends TLS, tell it
        // how to read the proxy's word on the transport.
        let authenticate = AuthenticateLayer::new(Arc::clone(&gate), responses.clone()).sources(sources.clone());
        Ok(Self {
            gate,
            keys,
            responses,
            platform: Arc::new(Platform::new()?),
            uses,
            authenticate,
            reports: Semaphore::new(leaks::MAX_REPORTS),
            sources,
            dev_login,
            stop,
        })
    }
}

/// Puts the routes together.
///
/// ```text
/// /health, /leaks                open
/// keys                           signed-in user or authenticated key; the manager decides
/// everything else                AuthenticateLayer, then the router, then AuthorizeLayer at the matched route
/// ```
pub(crate) fn router(app: &Arc<App>) -> Router {
    let (gate, routes) = (Arc::clone(&app.gate), Routes(Arc::clone(&app.platform)));
    let responses = app.responses.clone();
    let answer = move |refusal: &Refusal, _: &Parts| match refusal {
        Refusal::NotFound => Problem::not_found().into_response(),
        refusal => responses.answer(refusal).into_response(),
    };
    let authorize = AuthorizeLayer::new(gate, answer, routes).hiding();
    // On the methods of a route and not on the router: another method gets its 405 then, and not the layer's 403.
    let decided = |methods: MethodRouter<Arc<App>>| methods.route_layer(authorize.clone());
    let serving = Router::new()
        .route(resolve::CHAT, decided(post(chat::completions)))
        .route(resolve::DEPLOYMENTS, decided(post(models::deploy)))
        .route(resolve::LOGS, decided(get(models::logs)))
        .route(resolve::MODEL_METRICS, decided(get(models::metrics)))
        .route(resolve::PREDICT, decided(post(models::predict)))
        .route(resolve::PREDICT_DEPLOYMENT, decided(post(models::predict)))
        .route(resolve::SECRETS, decided(get(models::secrets)))
        .route(resolve::TEAM_METRICS, decided(get(models::metrics)))
        .route(resolve::TICKS, decided(get(stream::ticks)))
        .method_not_allowed_fallback(async || Problem::method())
        .fallback(async || Problem::not_found())
        .with_state(Arc::clone(app));

    let keys = Router::new()
        .route("/teams/{team}/api_keys", get(keys::list_of_team).post(keys::create_for_team))
        .route("/users/me/api_keys", get(keys::list_mine).post(keys::create_mine))
        .route("/api_keys/self", delete(keys::revoke_self))
        .route("/api_keys/{key}", patch(keys::rename).delete(keys::revoke))
        .route("/api_keys/{key}/rotate", post(keys::rotate))
        .route("/api_keys/{key}/end_overlap", post(keys::end_overlap))
        .route("/api_keys/{key}/disable", post(keys::disable))
        .route("/api_keys/{key}/enable", post(keys::enable))
        .method_not_allowed_fallback(async || Problem::method())
        .route_layer(from_fn_with_state(Arc::clone(app), caller::sign_in))
        .with_state(Arc::clone(app));

    let leaks = Router::new().route("/leaks", post(leaks::report)).with_state(Arc::clone(app));

    // The layer is outside the inner router, so also a path that no route has needs a key: what is open is listed.
    Router::new()
        .route("/health", get(async || "ok"))
        .merge(keys)
        .merge(leaks)
        .fallback_service(app.authenticate.layer(serving))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Proof that the request was allowed. A handler that takes it cannot be reached without a decision; behind a route
/// where the layer was forgotten it answers 403.
#[derive(Debug)]
pub(crate) struct Allowed(pub(crate) Authorization);

impl FromRequestParts<Arc<App>> for Allowed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let Some(authorization) = parts.extensions.remove::<Authorization>() else {
            return Err(app.responses.answer(Refusal::Closed).into_response());
        };
        let mut uses = app.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.record(authorization.key().matched(), authorization.decided_at());
        Ok(Self(authorization))
    }
}

const MAX_BODY: usize = 256 * 1024;
