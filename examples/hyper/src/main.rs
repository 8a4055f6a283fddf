//! A server on hyper that takes the two steps of the gate by hand, without `tower`: see `guard.rs`.
//!
//! ```text
//! cargo run -p keygate-example-hyper
//! ```
//!
//! prints the address, and one key of every kind (the end of each token is left out here); `--listen` takes another
//! address, and port 0 is any free one:
//!
//! ```text
//! listening on http://127.0.0.1:8081
//! {"name":"personal","token":"acmep1_ufVPuUJKOv7ZMqxI_...
//! {"name":"full","token":"acmet1_724XCAbLzdjFkU97_...
//! {"name":"inference-one-model","token":"acmet1_gA4psb1PHL7p6amo_...
//! {"name":"revoked","token":"acmet1_LSlfT3jUrAUPkS0x_...
//! ```
//!
//! With the key `inference-one-model` as `$K`:
//!
//! ```text
//! $ U=http://127.0.0.1:8081/models
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

mod guard;
mod keys;
mod log;
mod platform;

use core::{convert::Infallible, error::Error, net::SocketAddr, pin::pin, time::Duration};
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use keygate::{
    UnixTime,
    sink::{AuditSink, ChannelSink, Message, SinkCapacity, Touches},
    store::KeyManagementStore,
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

use crate::{
    guard::Guard,
    log::Log,
    platform::{Platform, Route, serve},
};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
    let (log, touches) = Log::start(receivers);
    let result = runtime.block_on(run(sink, touches));
    // Requests that did not end in time end with the runtime, and with them the senders of the log.
    runtime.shutdown_timeout(Duration::from_secs(1));
    log.finish();
    result
}

async fn run(sink: ChannelSink, touches: Touches) -> Result<(), Box<dyn Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(address()?).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let server = Arc::new(Server { guard: Guard::new(sink.clone())?, platform: Platform::new()? });
    keys::bootstrap(&server.guard.keys, |name, token| {
        println!("{}", json!({ "name": name, "token": token.expose_secret() }));
    })
    .await?;
    tokio::spawn(write_touches(server.guard.gate.store().clone(), touches, sink.clone()));

    let connections = GracefulShutdown::new();
    let mut stop = pin!(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Such as too many open files: that passes, and the server stays.
                Err(error) => {
                    sink.tell(Message::Failed(&error));
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let server = Arc::clone(&server);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(request).await.map(|body| Full::new(Bytes::from(body)))) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(stream), service);
        // An error of a connection concerns its client only.
        let connection = connections.watch(connection);
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    if let Err(error) = timeout(GRACE, connections.shutdown()).await {
        sink.tell(Message::Failed(&error));
    }
    Ok(())
}

/// Reads the command line.
fn address() -> Result<SocketAddr, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(SocketAddr::from(([127, 0, 0, 1], 8081))),
        ["--listen", address] => Ok(address.parse()?),
        _ => Err("usage: keygate-example-hyper [--listen ADDRESS:PORT]".into()),
    }
}

/// Writes the last uses of keys, in batches and off the requests' path.
async fn write_touches(store: impl KeyManagementStore, touches: Touches, sink: ChannelSink) {
    loop {
        sleep(Duration::from_secs(1)).await;
        if let Err(error) = store.touch(touches.take(), UnixTime::now()).await {
            // Nobody waits for it, and the next use asks again.
            sink.tell(Message::Failed(&error));
        }
    }
}

struct Server {
    guard: Guard,
    platform: Platform,
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Response<String> {
        let (mut parts, body) = request.into_parts();
        let route = self.platform.route(parts.method.as_str(), parts.uri.path());
        if matches!(route, Route::Health) {
            return Response::new("ok".into());
        }
        let authorization = match self.guard.admit(&parts.uri, &mut parts.headers, &route).await {
            Ok(authorization) => authorization,
            Err(refusal) => return refusal,
        };
        // The body is read only now: an unauthorized client cannot make the server buffer data.
        match timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => serve(&authorization, &body.to_bytes()),
            Ok(Err(_)) => status(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => status(StatusCode::REQUEST_TIMEOUT),
        }
    }
}

fn status(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response
}

const MAX_BODY: usize = 256 * 1024;
/// How long requests may take to end when the server ends.
const GRACE: Duration = Duration::from_secs(5);
/// How long a header or a body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
