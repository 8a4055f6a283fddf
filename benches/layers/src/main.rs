//! What both layers add to a bare axum handler, on the allow path and with an in-memory store of 1,000 keys.
//!
//! ```text
//! cargo run --release -p keygate-bench-layers
//! ```
//!
//! Bare and layered requests take turns in one run, so that a noisy machine disturbs both alike; what is printed is the
//! median of the ratios, and the allocations of one request of each kind.

use std::{convert::Infallible, error::Error, hint::black_box, time::Instant};

use axum::{
    Extension, Router,
    body::Body,
    extract::MatchedPath,
    http::{Request, Response, StatusCode, request::Parts},
    routing::get,
};
use keygate::{
    Action, Actor, Authorization, Create, EnvironmentScope, Event, Gate, Grant, Issuer, KeyId, KeyManager,
    MemoryStandings, MemoryStore, Operator, Permission, SysRng, Token, UnixTime, Validity,
    http::Answers,
    may_manage,
    tower::{AuthenticateLayer, AuthorizeLayer, Edge, Resolve, Sink, Unresolved},
};
use tower::{Service, ServiceExt};

const ISSUER: Issuer = Issuer::from_static("kg");
const KEYS: usize = 1000;
const ROUNDS: usize = 401;
const REQUESTS: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (store, token) = runtime.block_on(keys())?;
    let mut bare = Router::new().route("/hello", get(hello));
    let mut layered = layered(store)?;
    let header = format!("Bearer {}", token.expose_secret());
    let request = || {
        let builder = Request::builder().uri("/hello").header("authorization", &header);
        builder.body(Body::empty())
    };

    let mut bare_times = Vec::new();
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let bare_time = runtime.block_on(time(&mut bare, request))?;
        let layered_time = runtime.block_on(time(&mut layered, request))?;
        bare_times.push(bare_time);
        ratios.push(layered_time / bare_time);
    }
    let bare_allocations = allocations(&runtime, &mut bare, request()?);
    let layered_allocations = allocations(&runtime, &mut layered, request()?);
    println!("bare handler        {:8.0} ns, {bare_allocations} allocations", median(&mut bare_times) * 1e9);
    println!("layered / bare      {:8.3} (median of {ROUNDS} rounds; bar: 1.250)", median(&mut ratios));
    println!("added allocations   {:8} (bar: 4)", layered_allocations.saturating_sub(bare_allocations));
    Ok(())
}

async fn hello() -> &'static str {
    "hello"
}

/// The handler with both layers, which demands the proof of what was decided.
fn layered(store: MemoryStore) -> Result<Router, Box<dyn Error>> {
    let edge = Edge::new(Gate::new(ISSUER), Answers::new("bench")?, Discard, || NOW);
    let route = Route { request: keygate::Request::new("core".parse()?, Action::Deploy) };
    let authorize = AuthorizeLayer::new(edge.clone(), MemoryStandings::new(), route, not_found);
    async fn hello(Extension(authorization): Extension<Authorization>) -> &'static str {
        black_box(&authorization);
        "hello"
    }
    Ok(Router::new()
        .route("/hello", get(hello))
        .route_layer(authorize)
        .layer(AuthenticateLayer::new(edge, std::sync::Arc::new(store))))
}

fn not_found() -> Response<String> {
    Response::new(String::new())
}

struct Route {
    request: keygate::Request,
}

impl Resolve for Route {
    async fn resolve(&self, parts: &mut Parts) -> Result<keygate::Request, Unresolved> {
        match parts.extensions.get::<MatchedPath>() {
            Some(path) if path.as_str() == "/hello" => Ok(self.request.clone()),
            _ => Err(Unresolved::Unlisted),
        }
    }
}

#[derive(Clone)]
struct Discard;

impl Sink for Discard {
    fn touch(&self, _: KeyId, _: UnixTime) {}
    fn refused(&self, _: Event) {}
    fn failed(&self, _: &(dyn Error + 'static)) {}
}

async fn keys() -> Result<(MemoryStore, Token), Box<dyn Error>> {
    let store = MemoryStore::new();
    let manager = KeyManager::new(ISSUER, &store);
    let operator = Actor::Operator(Operator::because("bench")?);
    let mut last = None;
    for number in 0..KEYS {
        let permission = Permission::Full { environments: EnvironmentScope::All };
        let grant = Grant::Team { team: "core".parse()?, permission };
        let permit = may_manage(&operator, Create(grant), None, NOW)?;
        let name = format!("key-{number}").parse()?;
        last = Some(manager.create(permit, name, Validity::UNLIMITED, &mut SysRng, NOW).await?.token);
    }
    Ok((store, last.ok_or("at least one key")?))
}

/// Seconds for one request; the requests are made beforehand.
async fn time(
    router: &mut Router,
    request: impl Fn() -> Result<Request<Body>, axum::http::Error>,
) -> Result<f64, Box<dyn Error>> {
    let requests = (0..REQUESTS).map(|_| request()).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    for request in requests {
        send(router, request).await;
    }
    Ok(start.elapsed().as_secs_f64() / REQUESTS as f64)
}

async fn send(router: &mut Router, request: Request<Body>) {
    let ready: Result<&mut Router, Infallible> = ServiceExt::<Request<Body>>::ready(router).await;
    let Ok(ready) = ready;
    let Ok(response) = ready.call(request).await;
    assert_eq!(response.status(), StatusCode::OK);
}

fn allocations(runtime: &tokio::runtime::Runtime, router: &mut Router, request: Request<Body>) -> u64 {
    allocation_counter::measure(|| runtime.block_on(send(router, request))).count_total
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);
