//! A bare axum handler, and the same behind both layers, with an in-memory store of 1,000 keys.
//!
//! The layers stand around one handler (`Handler::layer`), and with the second one on all routes of a router
//! (`Router::route_layer`), for which axum boxes each route once more: two layers that do nothing but put a value into
//! the extensions, there as well, show what both cost alone.

use std::{convert::Infallible, error::Error, hint::black_box, sync::Arc};

use axum::{
    Extension, Router,
    body::Body,
    extract::MatchedPath,
    handler::Handler as _,
    http::{Request, Response, StatusCode, request::Parts},
    routing::get,
};
use keygate::{
    Action, Actor, Authorization, EnvironmentScope, Gate, Grant, Issuer, KeyManager, MemoryStore, NewKeySpec,
    Permission, Token, UnixTime, Validity,
    http::Responses,
    store::{Current, NoDirectory},
    tower::{AuthenticateLayer, AuthorizeLayer, Resolve, Unresolved},
};
use tower::{Layer as _, Service, ServiceExt as _, util::MapRequestLayer};

/// What a server serves: it clones the service for each request.
pub trait Serve:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Serve for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

async fn hello() -> &'static str {
    "hello"
}

/// The handler that demands the proof of what was decided.
async fn proven(Extension(authorization): Extension<Authorization>) -> &'static str {
    black_box(&authorization);
    "hello"
}

pub fn bare() -> Router {
    Router::new().route("/hello", get(hello))
}

/// The first layer around all, the second around the handler.
pub fn around_handler(store: MemoryStore) -> Result<impl Serve, Box<dyn Error>> {
    let (authenticate, authorize) = layers(store)?;
    Ok(authenticate.layer(Router::new().route("/hello", get(proven.layer(authorize)))))
}

/// The first layer around all, the second on the routes.
pub fn on_routes(store: MemoryStore) -> Result<impl Serve, Box<dyn Error>> {
    let (authenticate, authorize) = layers(store)?;
    Ok(authenticate.layer(Router::new().route("/hello", get(proven)).route_layer(authorize)))
}

type Layers<R> =
    (AuthenticateLayer<MemoryStore, NoDirectory, Current>, AuthorizeLayer<MemoryStore, NoDirectory, Current, R>);

fn layers(store: MemoryStore) -> Result<Layers<impl Resolve>, Box<dyn Error>> {
    let request = keygate::Request::new("core".parse()?, Action::Deploy);
    let resolve = move |parts: &mut Parts| match parts.extensions.get::<MatchedPath>() {
        Some(path) if path.as_str() == "/hello" => Ok(request.clone()),
        _ => Err(Unresolved::NoRule),
    };
    let (gate, responses) = (Arc::new(Gate::with_clock(ISSUER, store, || NOW)), Responses::new("bench")?);
    let authorize = AuthorizeLayer::new(Arc::clone(&gate), responses.clone(), resolve);
    Ok((AuthenticateLayer::new(gate, responses), authorize))
}

/// Two layers where the others stand, which do nothing but put a value into the extensions.
pub fn idle() -> impl Serve {
    #[derive(Clone)]
    struct Key(Arc<()>);
    #[derive(Clone)]
    struct Proof(Arc<()>);
    async fn hello(Extension(proof): Extension<Option<Proof>>) -> &'static str {
        black_box(proof.map(|proof| proof.0));
        "hello"
    }
    let shared = Arc::new(());
    let key = MapRequestLayer::new(move |mut request: Request<Body>| {
        request.extensions_mut().insert(Key(Arc::clone(&shared)));
        request
    });
    let proof = MapRequestLayer::new(|mut request: Request<Body>| {
        let proof = request.extensions().get::<Key>().map(|key| Proof(Arc::clone(&key.0)));
        request.extensions_mut().insert(proof);
        request
    });
    key.layer(Router::new().route("/hello", get(hello)).route_layer(proof))
}

/// A store of 1,000 keys, and the token of the last one.
pub async fn keys() -> Result<(MemoryStore, Token), Box<dyn Error>> {
    let store = MemoryStore::new();
    let keys = KeyManager::new(ISSUER, store.clone());
    let system = Actor::system("bench")?;
    let mut last = None;
    for number in 0..KEYS {
        let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
        let spec = NewKeySpec::new(grant, format!("key-{number}").parse()?, Validity::NEVER_EXPIRES);
        last = Some(keys.create(&system, spec).await?.token);
    }
    Ok((store, last.ok_or("at least one key")?))
}

/// One request from its making to the end of its answer.
pub async fn send<S: Serve>(service: &S, header: &str) {
    let builder = Request::builder().uri("/hello").header("host", "bench").header("authorization", header);
    let Ok(request) = builder.body(Body::empty()) else { return };
    let Ok(response) = service.clone().oneshot(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = axum::body::to_bytes(response.into_body(), 64).await;
    assert!(body.is_ok_and(|body| body == "hello"));
}

const ISSUER: Issuer = Issuer::from_static("kg");
const KEYS: usize = 1000;
const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);
