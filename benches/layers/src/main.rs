//! What both layers add to a bare axum handler, on the allow path and with an in-memory store of 1,000 keys.
//!
//! ```text
//! cargo run --release -p keygate-bench-layers
//! ```
//!
//! Bare and layered requests take turns in one run, so that a noisy machine disturbs both alike; what is printed is the
//! median of the ratios. They are measured twice: over a connection on loopback, as a client sees it, and in process,
//! where nothing but axum's own work is beside ours. In process, two layers that do nothing but put a value into the
//! extensions are the floor, which is printed too: no layers that hand a proof to a handler can cost less.

use std::{
    convert::Infallible,
    error::Error,
    hint::black_box,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Instant,
};

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
use tokio::runtime::{Builder, Runtime};
use tower::{Service, ServiceExt, util::MapRequestLayer};

const ISSUER: Issuer = Issuer::from_static("kg");
const KEYS: usize = 1000;
const ROUNDS: usize = 401;
const REQUESTS: usize = 500;
const WIRE_REQUESTS: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (store, token) = runtime.block_on(keys())?;
    let mut bare = Router::new().route("/hello", get(hello));
    let mut layered = layered(store)?;
    let header = format!("Bearer {}", token.expose_secret());
    let request = || {
        let builder = Request::builder().uri("/hello").header("authorization", &header);
        builder.body(Body::empty())
    };

    let mut bare_times = Vec::new();
    let (mut ratios, mut floors) = (Vec::new(), Vec::new());
    let mut floor = floor();
    for _ in 0..ROUNDS {
        let bare_time = runtime.block_on(time(&mut bare, request))?;
        ratios.push(runtime.block_on(time(&mut layered, request))? / bare_time);
        floors.push(runtime.block_on(time(&mut floor, request))? / bare_time);
        bare_times.push(bare_time);
    }
    let bare_count = allocations(&runtime, &mut bare, request()?);
    let added = |count: u64| count.saturating_sub(bare_count);
    let layered_count = added(allocations(&runtime, &mut layered, request()?));
    let floor_count = added(allocations(&runtime, &mut floor, request()?));

    let mut wires = [Wire::to(&runtime, bare, &header)?, Wire::to(&runtime, layered, &header)?];
    let (mut wire_times, mut wire_ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [bare_time, layered_time] = wires.each_mut().map(Wire::time);
        let bare_time = bare_time?;
        wire_ratios.push(layered_time? / bare_time);
        wire_times.push(bare_time);
    }
    println!("over a connection   bare {:8.0} ns", median(&mut wire_times) * 1e9);
    println!("                    layered / bare        {:.3}", median(&mut wire_ratios));
    println!("in process          bare {:8.0} ns, {bare_count} allocations", median(&mut bare_times) * 1e9);
    println!("                    layered / bare        {:.3}, {layered_count} allocations more", median(&mut ratios));
    println!("                    floor / bare          {:.3}, {floor_count} allocations more", median(&mut floors));
    println!("                    layered - floor       {} allocations", layered_count.saturating_sub(floor_count));
    Ok(())
}

/// A connection that is kept, to a server of its own.
struct Wire {
    stream: TcpStream,
    request: String,
}

impl Wire {
    fn to(runtime: &Runtime, router: Router, header: &str) -> Result<Self, Box<dyn Error>> {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nodelay(true)?;
        runtime.spawn(async move { axum::serve(listener, router).await });
        let request = format!("GET /hello HTTP/1.1\r\nhost: bench\r\nauthorization: {header}\r\n\r\n");
        Ok(Self { stream, request })
    }

    /// Seconds for one request and its answer.
    fn time(&mut self) -> std::io::Result<f64> {
        let mut answer = [0; 1024];
        let start = Instant::now();
        for _ in 0..WIRE_REQUESTS {
            self.stream.write_all(self.request.as_bytes())?;
            let length = self.stream.read(&mut answer)?;
            let answer = answer.get(..length).unwrap_or_default();
            assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"hello"));
        }
        Ok(start.elapsed().as_secs_f64() / WIRE_REQUESTS as f64)
    }
}

/// The bare handler behind two layers that do nothing but put a value into the extensions, of which it takes one.
fn floor() -> Router {
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
    Router::new().route("/hello", get(hello)).route_layer(proof).layer(key)
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
        .layer(AuthenticateLayer::new(edge, Arc::new(store))))
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

fn allocations(runtime: &Runtime, router: &mut Router, request: Request<Body>) -> u64 {
    allocation_counter::measure(|| runtime.block_on(send(router, request))).count_total
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);
