//! What handlers share, and how the routes are put behind keygate.

use core::{sync::atomic::Ordering, time::Duration};
use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    error_handling::HandleErrorLayer,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use keygate::{
    Coverage, Gate, Issuer, KeyKind, KeyManager, OwnAction, OwnActions, Validity,
    http::{CredentialSources, Refusal, Responses},
    manage::MintRules,
    sink::ChannelSink,
    store::{BoxedKeyManagementStore, Remembered},
    tower::AuthenticateLayer,
};
use tokio::sync::watch;
use tower::{BoxError, ServiceBuilder, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_http::{
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    trace::TraceLayer,
};
use tracing::{Span, debug, info, info_span};

use crate::{
    api,
    config::Config,
    console::{self, Console},
    database::{Database, Lookup},
    edge, inference,
    metrics::Counts,
    platform::Platform,
};

/// What keys may do beside the built-in actions.
pub(crate) const ACTIONS: OwnActions = OwnActions::new(&[
    ("audit_logs:read", Coverage::Ordinary),
    ("projects:read", Coverage::Ordinary),
    // Only keys that list it: it lets its holder try tokens.
    ("tokens:introspect", Coverage::Explicit),
]);
pub(crate) const INTROSPECT: OwnAction = ACTIONS.named("tokens:introspect");
pub(crate) const READ_LOG: OwnAction = ACTIONS.named("audit_logs:read");

/// Manages keys in any database, with or without a cache in front: which, is chosen when the server starts.
pub(crate) type Keys = KeyManager<BoxedKeyManagementStore, Database>;
pub(crate) type AppGate = Gate<Lookup, Database, Remembered>;

/// What handlers share.
pub(crate) struct App {
    pub(crate) issuer: Issuer,
    pub(crate) gate: Arc<AppGate>,
    pub(crate) keys: Keys,
    /// What may be minted.
    pub(crate) rules: MintRules,
    longest_life: Option<Duration>,
    pub(crate) answers: Responses,
    pub(crate) database: Database,
    pub(crate) platform: Platform,
    pub(crate) counts: Arc<Counts>,
    pub(crate) console: Console,
    /// Places for reports of leaked tokens.
    pub(crate) reports: api::leaks::Reports,
    /// Becomes true when the server is about to end.
    pub(crate) stop: watch::Receiver<bool>,
    sources: CredentialSources,
    max_requests: u16,
}

impl App {
    pub(crate) async fn new(
        config: &Config,
        (database, lookup): (Database, Lookup),
        (sink, counts): (ChannelSink, Arc<Counts>),
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Box<dyn core::error::Error>> {
        let days = config.max_key_days.map(|days| u64::from(days.get()));
        let longest_life = days.map(|days| Duration::from_secs(days.saturating_mul(86_400)));
        let rules = rules(longest_life);
        let keys = KeyManager::new(config.issuer, lookup.store())
            .with_directory(database.clone())
            .with_rules(rules)
            .with_sink(sink.clone());
        let gate = Gate::new(config.issuer, lookup).with_directory(database.clone()).with_sink(sink);
        let sources = CredentialSources::authorization();
        Ok(Self {
            issuer: config.issuer,
            gate: Arc::new(gate),
            keys,
            rules,
            longest_life,
            answers: Responses::new("models")?,
            platform: Platform::load(&database).await?,
            database,
            counts,
            console: Console::new(config),
            reports: api::leaks::Reports::default(),
            stop,
            sources: if config.x_api_key { sources.with_x_api_key() } else { sources },
            max_requests: config.max_requests,
        })
    }

    /// Returns the longest validity that may be minted.
    pub(crate) fn longest_validity(&self) -> Validity {
        self.longest_life.map_or(Validity::NEVER_EXPIRES, |life| Validity::until(self.gate.now().saturating_add(life)))
    }

    /// Waits until the server is about to end.
    pub(crate) async fn stopped(&self) {
        drop(self.stop.clone().wait_for(|stop| *stop).await);
    }

    /// Answers a refusal; what others must not see is not found.
    pub(crate) fn refuse(&self, refused: impl Into<Refusal>) -> Response {
        self.answers.answer(refused.into().hiding()).into_response()
    }
}

fn rules(longest_life: Option<Duration>) -> MintRules {
    let rules = MintRules::new().with_own_actions(ACTIONS);
    let Some(longest) = longest_life else { return rules };
    rules.with_max_lifetime(KeyKind::Personal, longest).with_max_lifetime(KeyKind::Team, longest)
}

/// Puts the routes together.
///
/// ```text
/// /healthz, /readyz, /openapi.json, /v1/leaks     open
/// /console                                        sessions of people who signed in
/// everything else                                 AuthenticateLayer; models behind an AuthorizeLayer at their routes as well
/// ```
pub(crate) fn router(app: &Arc<App>) -> Router {
    // No `refuse_plaintext` here: on the loopback interface there is no TLS. Behind a proxy that ends TLS, tell it how to
    // read the proxy's word on the transport.
    let authenticate = AuthenticateLayer::new(Arc::clone(&app.gate), app.answers.clone()).sources(app.sources.clone());
    // The layer is around these routes and their fallback, so a path that no route has needs a key as well.
    let closed = Router::new()
        .merge(api::closed())
        .merge(inference::routes(app))
        .fallback(async |State(app): State<Arc<App>>| app.refuse(Refusal::NotFound))
        .layer(authenticate);
    let routes = Router::new()
        .merge(edge::health())
        .merge(api::open())
        .merge(console::routes(app))
        .fallback_service(closed.with_state(Arc::clone(app)))
        .with_state(Arc::clone(app))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let routes = Router::new().fallback_service(routes).layer(from_fn(console::welcome));
    // In front of the routes, since it says which route it is.
    let routes = Router::new().fallback_service(routes).layer(axum::middleware::map_request(edge::route_by_host));
    let overloaded = Arc::clone(app);
    let limits = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async move |_: BoxError| {
            overloaded.counts.overloaded.fetch_add(1, Ordering::Relaxed);
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "too many requests are in flight")
        }))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(app.max_requests.into()));
    Router::new()
        .fallback_service(routes)
        .layer(from_fn_with_state(Arc::clone(app), count))
        .layer(limits)
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(|request: &Request| {
                    let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
                    // The path, and not the target: a query may hold what is nobody's business.
                    info_span!("request", id, method = %request.method(), path = request.uri().path())
                })
                .on_response(told)
                .on_failure(()),
        )
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(axum::middleware::map_request(edge::forget_request_id))
}

/// Tells how a request was answered, in the span that has its id: those that came through are too many.
fn told(response: &Response, latency: Duration, _: &Span) {
    let (status, ms) = (response.status(), latency.as_millis() as u64);
    if status.is_client_error() || status.is_server_error() {
        info!(status = status.as_u16(), ms, "answered");
    } else {
        debug!(status = status.as_u16(), ms, "answered");
    }
}

/// Counts requests, also where the client goes away.
async fn count(State(app): State<Arc<App>>, request: Request<Body>, next: Next) -> Response {
    struct InFlight(Arc<Counts>);
    impl Drop for InFlight {
        fn drop(&mut self) {
            self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
    app.counts.requests.fetch_add(1, Ordering::Relaxed);
    app.counts.in_flight.fetch_add(1, Ordering::Relaxed);
    let _in_flight = InFlight(Arc::clone(&app.counts));
    next.run(request).await
}

const MAX_BODY: usize = 256 * 1024;
