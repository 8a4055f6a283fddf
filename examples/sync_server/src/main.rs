//! A server without an asynchronous runtime: one thread for each connection, and futures that never wait.
//!
//! A store with a blocking driver is called in [`KeyStore::find`](keygate::store::KeyStore::find) and the like, and
//! never yields; then `pollster::block_on` is a plain call.
//!
//! ```text
//! cargo run -p keygate-example-sync-server
//! ```
//!
//! prints the address, and one key of every kind (the end of each token is left out here); `--listen` takes another
//! address, and port 0 is any free one:
//!
//! ```text
//! listening on http://127.0.0.1:8082
//! {"name":"personal","token":"acmep1_W4WLcX28mIJFVWhG_...
//! {"name":"full","token":"acmet1_z9gHlUoPgFt8ajuO_...
//! {"name":"inference-one-model","token":"acmet1_kHzKx2PjcMPbM9By_...
//! {"name":"revoked","token":"acmet1_LUQqtyj4LwZDjqhV_...
//! ```
//!
//! With the key `inference-one-model` as `$K`:
//!
//! ```text
//! $ U=http://127.0.0.1:8082/models
//! $ curl -H "Authorization: Api-Key $K" -d '{}' $U/abcd1234/environments/production/predict
//! {"bytes":2,"environment":"production","model":"abcd1234"}
//! $ curl -d '{}' $U/abcd1234/environments/production/predict
//! {"type":"/problems/missing_credential","title":"A credential is required","status":401,"error":{"message":"A credential is required","type":"missing_credential","code":"missing_credential"}}
//! $ curl -H "Authorization: Bearer $K" -d '{}' $U/abcd1234/environments/staging/predict
//! {"type":"/problems/insufficient_scope","title":"The key may not do this","status":403,"reason":"environment_not_in_scope","error":{"message":"The key may not do this (environment_not_in_scope)","type":"insufficient_scope","code":"environment_not_in_scope"}}
//! $ curl -H "Authorization: Bearer $K" -d '{}' $U/labs0001/environments/production/predict
//! {"type":"urn:example:problem:not_found","title":"There is no such resource","status":404}
//! ```
//!
//! Refusals go to standard error, one JSON object a line.
//! SIGTERM and SIGINT end the server, requests within five seconds.
#![expect(clippy::print_stdout, reason = "the address and the keys are for the one who started the server")]

// The same platform, keys, steps and log as in the example with hyper.
#[path = "../../hyper/src/guard.rs"]
mod guard;
#[path = "../../hyper/src/keys.rs"]
mod keys;
#[path = "../../hyper/src/log.rs"]
mod log;
#[path = "../../hyper/src/platform.rs"]
mod platform;
mod wire;

use core::{
    error::Error,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use http::{Response, StatusCode};
use keygate::{
    UnixTime,
    sink::{AuditSink, ChannelSink, Message, SinkCapacity, Touches},
    store::KeyManagementStore,
};
use pollster::block_on;
use serde_json::json;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    guard::Guard,
    log::Log,
    platform::{Platform, Route, serve},
    wire::{Bad, Wire},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listener = TcpListener::bind(address()?)?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");

    let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
    let (log, touches) = Log::start(receivers);
    let server = Arc::new(Server { guard: Guard::new(sink.clone())?, platform: Platform::new()?, sink });
    block_on(keys::bootstrap(&server.guard.keys, |name, token| {
        println!("{}", json!({ "name": name, "token": token.expose_secret() }));
    }))?;
    let (store, sink) = (server.guard.gate.store().clone(), server.sink.clone());
    thread::spawn(move || write_touches(&store, &touches, &sink));

    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            over.store(true, Ordering::Release);
            // Wakes the loop below, which waits for a connection.
            let _ = TcpStream::connect(address);
        }
    });

    let connections = Arc::new(Connections::default());
    for stream in listener.incoming() {
        if is_over.load(Ordering::Acquire) {
            break;
        }
        match stream {
            Ok(stream) => start(&server, &connections, stream),
            // Such as too many open files: that passes, and the server stays.
            Err(error) => {
                server.sink.tell(Message::Failed(&error));
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
    drop(listener);
    connections.wait_for_all();
    log.finish();
    Ok(())
}

/// Reads the command line.
fn address() -> Result<SocketAddr, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(SocketAddr::from(([127, 0, 0, 1], 8082))),
        ["--listen", address] => Ok(address.parse()?),
        _ => Err("usage: keygate-example-sync-server [--listen ADDRESS:PORT]".into()),
    }
}

/// Writes the last uses of keys, in batches and off the requests' path.
fn write_touches(store: &impl KeyManagementStore, touches: &Touches, sink: &ChannelSink) {
    loop {
        thread::sleep(Duration::from_secs(1));
        if let Err(error) = block_on(store.touch(touches.take(), UnixTime::now())) {
            // Nobody waits for it, and the next use asks again.
            sink.tell(Message::Failed(&error));
        }
    }
}

struct Server {
    guard: Guard,
    platform: Platform,
    sink: ChannelSink,
}

impl Server {
    /// Answers the one request of a connection.
    fn answer(&self, wire: &mut Wire) -> Result<Response<String>, Bad> {
        let mut head = wire.read_head()?;
        let route = self.platform.route(&head.method, head.target.path());
        if matches!(route, Route::Health) {
            return Ok(Response::new("ok".into()));
        }
        Ok(match block_on(self.guard.admit(&head.target, &mut head.headers, &route)) {
            // The body is read only now: an unauthorized client cannot make the server buffer data.
            Ok(authorization) => serve(&authorization, &wire.read_body(&mut head)?),
            Err(refusal) => refusal,
        })
    }
}

/// Gives the connection a thread, if there are not too many already.
fn start(server: &Arc<Server>, connections: &Arc<Connections>, stream: TcpStream) {
    let Some(place) = Connections::enter(connections) else {
        // Closed without an answer: the thread that accepts must not wait for anybody.
        server.sink.tell(Message::Failed(&io::Error::other("too many connections")));
        return;
    };
    let of_thread = Arc::clone(server);
    let started = thread::Builder::new().spawn(move || {
        // The place is given back when the thread ends, however it ends.
        let _place = place;
        // An error of a connection concerns its client only.
        let _ = respond(&of_thread, stream);
    });
    if let Err(error) = started {
        server.sink.tell(Message::Failed(&error));
    }
}

fn respond(server: &Server, stream: TcpStream) -> io::Result<()> {
    let mut wire = Wire::new(stream)?;
    match server.answer(&mut wire) {
        Ok(response) => wire.finish(&response),
        Err(Bad::Status(status)) => wire.finish(&empty(status)),
        Err(Bad::Gone) => Ok(()),
    }
}

fn empty(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response
}

/// How many connections there are: bounded, since each has a thread.
#[derive(Debug, Default)]
struct Connections {
    count: Mutex<usize>,
    changed: Condvar,
}

struct Place(Arc<Connections>);

impl Connections {
    fn enter(this: &Arc<Self>) -> Option<Place> {
        let mut count = this.count.lock().unwrap_or_else(PoisonError::into_inner);
        if *count >= MAX_CONNECTIONS {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place(Arc::clone(this)))
    }

    /// Each ends by itself, since every read and write has a timeout; but the server does not wait for the slowest.
    fn wait_for_all(&self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.changed.wait_timeout_while(count, GRACE, |count| *count > 0);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(1);
        self.0.changed.notify_all();
    }
}

/// How long requests may take to end when the server ends.
const GRACE: Duration = Duration::from_secs(5);
const MAX_CONNECTIONS: usize = 256;
