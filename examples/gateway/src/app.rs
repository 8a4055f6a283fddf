//! The state that handlers share, and the layers of keygate around the routes.

use core::time::Duration;
use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    middleware::{from_fn, from_fn_with_state},
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
use tokio::sync::{Semaphore, watch};

use crate::{
    api,
    config::Config,
    console::{self, Console},
    database::{Database, Lookup},
    edge, inference,
    metrics::Counts,
    platform::Platform,
    users::Users,
};

/// The gateway's own actions, beside the built-in ones.
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
pub(crate) type AppGate = Gate<Lookup, Users, Remembered>;

/// The state that handlers share.
pub(crate) struct App {
    pub(crate) issuer: Issuer,
    pub(crate) gate: Arc<AppGate>,
    pub(crate) keys: Keys,
    /// The limits for new keys.
    pub(crate) rules: MintRules,
    longest_life: Option<Duration>,
    pub(crate) answers: Responses,
    pub(crate) database: Database,
    pub(crate) users: Users,
    pub(crate) platform: Platform,
    pub(crate) counts: Arc<Counts>,
    pub(crate) console: Console,
    /// Places for bodies that are being read.
    pub(crate) bodies: Semaphore,
    /// Places for reports of leaked tokens.
    pub(crate) reports: api::leaks::Reports,
    /// Becomes true when the server is about to end.
    pub(crate) stop: watch::Receiver<bool>,
    sources: CredentialSources,
    pub(crate) max_requests: u16,
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
        let users = Users::new(database.clone(), config.cache_seconds);
        let gate = Gate::new(config.issuer, lookup).with_directory(users.clone()).with_sink(sink);
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
            users,
            counts,
            console: Console::new(config),
            bodies: Semaphore::new(config.max_requests.saturating_sub(config.max_requests / 4).max(1).into()),
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
    // No `refuse_plaintext` here: on the loopback interface there is no TLS. Behind a proxy that ends TLS, tell it how
    // to read the proxy's word on the transport.
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
        .merge(closed)
        .with_state(Arc::clone(app));
    // In front of the routes, since `accept` says which route it is.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn(console::welcome))
        .layer(from_fn_with_state(Arc::clone(app), edge::accept))
}
