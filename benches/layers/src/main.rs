//! What both layers add to a bare axum handler, on the allow path and with an in-memory store of 1,000 keys.
//!
//! ```text
//! cargo run --release -p keygate-bench-layers
//! ```
//!
//! Bare and layered requests take turns in one run, so that a noisy machine disturbs both alike; what is printed is the
//! median of the ratios. They are measured over a connection on loopback, as a client sees it, and in process: there a
//! request is made, served by a clone of the service as servers do it, and its answer read to the end. The processor
//! time is that of client and server together, as the kernel counts it (`/proc/self/task`).
//!
//! The layers are measured around one handler (`Handler::layer`), and with the second one on all routes of a router
//! (`Router::route_layer`), for which axum boxes each route once more: two layers that do nothing but put a value into
//! the extensions show what that costs.

use std::{
    convert::Infallible,
    error::Error,
    fs,
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
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, Service, ServiceExt as _, make::Shared, util::MapRequestLayer};

const ISSUER: Issuer = Issuer::from_static("kg");
const KEYS: usize = 1000;
const ROUNDS: usize = 401;
const REQUESTS: usize = 500;
const WIRE_REQUESTS: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (store, token) = runtime.block_on(keys())?;
    let header = format!("Bearer {}", token.expose_secret());

    let bare = Router::new().route("/hello", get(hello));
    let (authenticate, authorize) = layers(store)?;
    let handler = authenticate.layer(Router::new().route("/hello", get(proven.layer(authorize.clone()))));
    let routes = authenticate.layer(Router::new().route("/hello", get(proven)).route_layer(authorize));
    let idle = idle();

    let mut in_process = [Subject::default(), Subject::default(), Subject::default(), Subject::default()];
    for _ in 0..ROUNDS {
        let [of_bare, of_handler, of_routes, of_idle] = &mut in_process;
        of_bare.add(&runtime, &bare, &header);
        of_handler.add(&runtime, &handler, &header);
        of_routes.add(&runtime, &routes, &header);
        of_idle.add(&runtime, &idle, &header);
    }

    let mut wires = [Wire::to(&runtime, bare, &header)?, Wire::to(&runtime, handler, &header)?];
    let (mut wire_times, mut wire_ratios, mut processor_more) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [(bare_time, bare_processor), (time, processor)] = {
            let [bare, layered] = &mut wires;
            [bare.time()?, layered.time()?]
        };
        wire_ratios.push(time / bare_time);
        wire_times.push(bare_time);
        processor_more.push(processor - bare_processor);
    }

    println!("over a connection   bare        {:6.0} ns", median(wire_times) * 1e9);
    let wire_ratio = median(wire_ratios);
    let is_met = if wire_ratio <= WIRE_BAR { "met" } else { "NOT MET" };
    println!("                    layered     {wire_ratio:6.3} times, {is_met}: at most {WIRE_BAR}");
    println!("                    layered     {:6.0} ns of processor time more", median(processor_more) * 1e9);
    let [bare, layered @ ..] = in_process;
    println!("in process          bare        {:6.0} ns, {} allocations", median(bare.times.clone()) * 1e9, bare.count);
    for (name, subject) in ["handler", "route_layer", "idle layers"].into_iter().zip(layered) {
        let ratios = subject.times.iter().zip(&bare.times).map(|(layered, bare)| layered / bare).collect();
        let more = subject.count.saturating_sub(bare.count);
        let ratio = median(ratios);
        println!("                    {name:12}{ratio:5.3} times, {more} allocations more");
    }
    Ok(())
}

/// Seconds for one request in each round, and the allocations of one.
#[derive(Default)]
struct Subject {
    times: Vec<f64>,
    count: u64,
}

impl Subject {
    fn add<S: Serve>(&mut self, runtime: &Runtime, service: &S, header: &str) {
        self.times.push(runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..REQUESTS {
                send(service, header).await;
            }
            start.elapsed().as_secs_f64() / REQUESTS as f64
        }));
        self.count = allocation_counter::measure(|| runtime.block_on(send(service, header))).count_total;
    }
}

/// A connection that is kept, to a server of its own.
struct Wire {
    stream: TcpStream,
    request: String,
}

impl Wire {
    fn to<S: Serve>(runtime: &Runtime, service: S, header: &str) -> Result<Self, Box<dyn Error>> {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nodelay(true)?;
        runtime.spawn(async move { axum::serve(listener, Shared::new(service)).await });
        let request = format!("GET /hello HTTP/1.1\r\nhost: bench\r\nauthorization: {header}\r\n\r\n");
        Ok(Self { stream, request })
    }

    /// Seconds for one request and its answer, and seconds of processor time.
    fn time(&mut self) -> std::io::Result<(f64, f64)> {
        let mut answer = [0; 1024];
        let (processor, start) = (processor_time()?, Instant::now());
        for _ in 0..WIRE_REQUESTS {
            self.stream.write_all(self.request.as_bytes())?;
            let length = self.stream.read(&mut answer)?;
            let answer = answer.get(..length).unwrap_or_default();
            assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"hello"));
        }
        let seconds = start.elapsed().as_secs_f64();
        let of_one = |seconds: f64| seconds / WIRE_REQUESTS as f64;
        Ok((of_one(seconds), of_one(processor_time()? - processor)))
    }
}

/// Seconds that the threads of this process have run.
fn processor_time() -> std::io::Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir("/proc/self/task")? {
        let counts = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += counts.split(' ').next().and_then(|count| count.parse::<f64>().ok()).unwrap_or(f64::NAN);
    }
    Ok(nanoseconds / 1e9)
}

async fn hello() -> &'static str {
    "hello"
}

/// The handler that demands the proof of what was decided.
async fn proven(Extension(authorization): Extension<Authorization>) -> &'static str {
    black_box(&authorization);
    "hello"
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
fn idle() -> impl Serve {
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

async fn keys() -> Result<(MemoryStore, Token), Box<dyn Error>> {
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

/// What a server serves: it clones the service for each request.
trait Serve:
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

/// One request from its making to the end of its answer.
async fn send<S: Serve>(service: &S, header: &str) {
    let builder = Request::builder().uri("/hello").header("host", "bench").header("authorization", header);
    let Ok(request) = builder.body(Body::empty()) else { return };
    let Ok(response) = service.clone().oneshot(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = axum::body::to_bytes(response.into_body(), 64).await;
    assert!(body.is_ok_and(|body| body == "hello"));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);
/// What both layers may take at most over a connection, beside the bare handler.
const WIRE_BAR: f64 = 1.05;
