//! The steps before a request is routed, and the server's answers about itself.

use core::{
    hash::BuildHasher as _,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};
use std::{
    hash::RandomState,
    sync::{Arc, LazyLock},
    time::Instant,
};

use axum::{
    Json, Router,
    body::{Body, Bytes, HttpBody},
    extract::{DefaultBodyLimit, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER},
        uri::PathAndQuery,
    },
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use http_body::Frame;
use keygate::store::KeyLookup;
use serde_json::json;
use tracing::{Instrument as _, info, info_span};

use crate::{
    app::App,
    database::Lookup,
    metrics::{Counts, Metrics},
};

/// The first step of each request: a place among those in flight, an id, and the host that it is for.
///
/// In one step, since each layer of a router costs every request an allocation or two.
pub(crate) async fn accept(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let counts = &app.counts;
    let Some(place) = Place::take(counts, app.max_requests) else {
        counts.overloaded.fetch_add(1, Ordering::Relaxed);
        let text = "too many requests are in flight";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response();
    };
    counts.requests.fetch_add(1, Ordering::Relaxed);
    // What a client sends as an id would let it write into the log.
    request.headers_mut().remove(X_REQUEST_ID);
    DefaultBodyLimit::max(MAX_BODY).apply(&mut request);
    let (id, method) = (request_id(), request.method().clone());
    // The path, and not the target: a query may hold what is nobody's business.
    let path = request.uri().path_and_query().cloned();
    let (span, start) = (info_span!("request", id), Instant::now());
    let mut response = match route_by_host(&mut request) {
        Ok(()) => next.run(request).instrument(span.clone()).await,
        Err(AmbiguousHost) => StatusCode::BAD_REQUEST.into_response(),
    };
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        // Lines wait in memory for one who reads them. A part of a path could be a part of a token, which nothing
        // finds.
        let path = path.as_ref().map(PathAndQuery::path).filter(|path| path.len() <= MAX_SHOWN).unwrap_or("(too long)");
        let (status, ms) = (status.as_u16(), u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        span.in_scope(|| info!(%method, path, status, ms, "not served"));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    // A stream is in flight for as long as it runs.
    if response.body().size_hint().exact().is_some() {
        response
    } else {
        response.map(|body| Body::new(Streamed { body, _place: place }))
    }
}

/// Returns an id that no other request has: of this process, and of this request.
fn request_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}{:016x}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A place among the requests in flight, given back in any case.
struct Place(Arc<Counts>);

impl Place {
    fn take(counts: &Arc<Counts>, max: u16) -> Option<Self> {
        let before = counts.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(counts));
        (before < max.into()).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body whose length nobody knows yet, with the place of its request.
struct Streamed {
    body: Body,
    _place: Place,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }
}

/// Routes `model-ID.host/path` as `host/models/ID/path`. What the router matches afterwards is all that is read of it.
fn route_by_host(request: &mut Request) -> Result<(), AmbiguousHost> {
    let host = host(request.uri(), request.headers())?;
    let Some((label, _)) = host.as_deref().and_then(|host| host.split_once('.')) else { return Ok(()) };
    let Some(model) = label.strip_prefix("model-") else { return Ok(()) };
    let mut parts = core::mem::take(request.uri_mut()).into_parts();
    let target = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
    let rest = if target.starts_with('/') { target } else { "/" };
    parts.path_and_query = Some(format!("/models/{model}{rest}").parse().map_err(|_| AmbiguousHost)?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| AmbiguousHost)?;
    Ok(())
}

/// It is not clear which host is meant.
pub(crate) struct AmbiguousHost;

/// Returns the host that a request is for, in lower case: of HTTP/2 it is in the URI.
pub(crate) fn host(uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, AmbiguousHost> {
    let mut fields = headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (None, _) => None,
        (Some(field), None) => Some(field.to_str().map_err(|_| AmbiguousHost)?.to_ascii_lowercase()),
        (Some(_), Some(_)) => return Err(AmbiguousHost),
    };
    let authority = uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
    match (authority, field) {
        (Some(authority), Some(field)) if authority != field => Err(AmbiguousHost),
        (authority, field) => Ok(authority.or(field)),
    }
}

/// `/healthz`: the process serves. `/readyz`: keys can be checked, too.
pub(crate) fn health() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(async || "ok")).route("/readyz", get(ready))
}

/// The operations address: health, and the numbers of the server.
pub(crate) fn operations(app: &Arc<App>, metrics: Arc<Metrics>) -> Router {
    let text = async move || ([(CONTENT_TYPE, OPENMETRICS)], metrics.text());
    health().route("/metrics", get(text)).with_state(Arc::clone(app))
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let is_stopping = *app.stop.borrow();
    // An id that no key has: it is the look-up that counts.
    let store = match "0000000000000000".parse() {
        Ok(id) => app.gate.store().look_up_current(id).await.is_ok(),
        Err(_) => false,
    };
    let platform = app.platform.now().is_ok();
    let (revision, age) = match app.gate.store() {
        Lookup::Cached(cache) => (cache.revision().map(|revision| revision.number()), cache.age()),
        Lookup::Plain(_) => (None, None),
    };
    let is_ready = store && platform && !is_stopping;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": is_ready,
        "store": store,
        "models": platform,
        "stopping": is_stopping,
        "revision": revision,
        "revision_age_ms": age.map(|age| age.as_millis() as u64),
    });
    (status, Json(body)).into_response()
}

const MAX_BODY: usize = 256 * 1024;
/// The length of the longest path that is shown in the log.
const MAX_SHOWN: usize = 512;
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
