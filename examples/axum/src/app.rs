//! What handlers share, and how the routes are put behind keygate.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts},
    http::request::Parts,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use keygate::{
    Authorization, BoxedKeyManagementStore, Gate, Issuer, KeyManager, TeamId, UnixTime, UsageCounter,
    http::{CredentialHeaders, Responses},
    tower::{AuthenticateLayer, AuthorizeLayer, ChannelSink, LayerConfig},
};
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tower::Layer;

use crate::{
    caller, chat,
    database::{Database, Members},
    keys, leaks, models,
    platform::Platform,
    problem::{Problem, not_found},
    resolve::{self, Routes},
    stream,
};

pub(crate) const ACME: Issuer = Issuer::from_static("acme");

/// Any store, with or without a cache in front: which, is chosen when the server starts.
pub(crate) type Store = BoxedKeyManagementStore;

/// What handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) gate: Gate,
    pub(crate) responses: Responses,
    pub(crate) manager: KeyManager<Store>,
    pub(crate) members: Members,
    /// For questions about a user that are not about a team.
    pub(crate) any_team: TeamId,
    pub(crate) platform: Arc<Platform>,
    pub(crate) outbox: ChannelSink,
    pub(crate) uses: Arc<Mutex<UsageCounter>>,
    pub(crate) authenticate: AuthenticateLayer<Store, ChannelSink>,
    /// Places for reports of leaked tokens.
    pub(crate) reports: Semaphore,
    /// Where a credential may be.
    pub(crate) fields: CredentialHeaders,
    /// Whether `X-Dev-User` is believed.
    pub(crate) dev_login: bool,
    /// Becomes true when the server is about to end.
    pub(crate) stop: watch::Receiver<bool>,
    edge: LayerConfig<ChannelSink>,
    /// Goes with the last who uses the database.
    _directory: Option<TempDir>,
}

impl App {
    pub(crate) fn new(
        database: Database,
        outbox: ChannelSink,
        fields: CredentialHeaders,
        dev_login: bool,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Box<dyn core::error::Error>> {
        let Database { store, members, directory } = database;
        let (gate, responses) = (Gate::new(ACME), Responses::new("models")?);
        // No `refuse_plaintext` here: on the loopback interface there is no TLS. Behind a proxy that ends TLS, tell it
        // how to read the proxy's word on the transport.
        let edge = LayerConfig::new(gate, responses.clone(), outbox.clone(), UnixTime::now);
        Ok(Self {
            gate,
            responses,
            manager: KeyManager::new(ACME, store.clone()),
            members,
            any_team: "core".parse()?,
            platform: Arc::new(Platform::new()?),
            outbox,
            uses: Arc::default(),
            authenticate: AuthenticateLayer::new(edge.clone(), store).fields(fields),
            reports: Semaphore::new(leaks::MAX_REPORTS),
            fields,
            dev_login,
            stop,
            edge,
            _directory: directory,
        })
    }

    /// Returns a reference to the store.
    pub(crate) const fn store(&self) -> &Store {
        self.manager.store()
    }
}

/// Puts the routes together.
///
/// ```text
/// /health, /leaks                open
/// keys                           signed-in user or verified key; each handler asks `authorize_operation`
/// everything else                AuthenticateLayer, then the router, then AuthorizeLayer at the matched route
/// ```
pub(crate) fn router(app: &Arc<App>) -> Router {
    let authorize =
        AuthorizeLayer::concealing(app.edge.clone(), app.members.clone(), Routes(Arc::clone(&app.platform)), not_found);
    let serving = Router::new()
        .route(resolve::CHAT, post(chat::completions))
        .route(resolve::DEPLOYMENTS, post(models::deploy))
        .route(resolve::LOGS, get(models::logs))
        .route(resolve::MODEL_METRICS, get(models::metrics))
        .route(resolve::PREDICT, post(models::predict))
        .route(resolve::PREDICT_DEPLOYMENT, post(models::predict))
        .route(resolve::SECRETS, get(models::secrets))
        .route(resolve::TEAM_METRICS, get(models::metrics))
        .route(resolve::TICKS, get(stream::ticks))
        .route_layer(authorize)
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
            return Err(app.responses.closed().into_response());
        };
        let mut uses = app.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.record(authorization.key(), UnixTime::now());
        Ok(Self(authorization))
    }
}

const MAX_BODY: usize = 256 * 1024;
