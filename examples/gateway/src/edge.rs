//! What happens to a request before it is routed, and the answers of the server about itself.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode, Uri,
        header::{CONTENT_TYPE, HOST},
        uri::PathAndQuery,
    },
    response::{IntoResponse, Response},
    routing::get,
};
use keygate::store::KeyLookup;
use serde_json::json;

use crate::{app::App, database::Lookup, metrics::Metrics};

/// The id of a request is ours: what a client sends would let it write into the log.
pub(crate) async fn forget_request_id(mut request: Request) -> Request {
    request.headers_mut().remove("x-request-id");
    request
}

/// Routes `model-ID.host/path` as `host/models/ID/path`. What the router matches afterwards is all that is read of it.
///
/// # Errors
///
/// 400 where it is not clear which host is meant.
pub(crate) async fn route_by_host(mut request: Request<Body>) -> Result<Request<Body>, Response> {
    let host = host(request.uri(), request.headers()).map_err(|()| StatusCode::BAD_REQUEST.into_response())?;
    let Some((label, _)) = host.as_deref().and_then(|host| host.split_once('.')) else { return Ok(request) };
    let Some(model) = label.strip_prefix("model-") else { return Ok(request) };
    let mut parts = core::mem::take(request.uri_mut()).into_parts();
    let target = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
    let rest = if target.starts_with('/') { target } else { "/" };
    let target = format!("/models/{model}{rest}").parse();
    parts.path_and_query = Some(target.map_err(|_| StatusCode::BAD_REQUEST.into_response())?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| StatusCode::BAD_REQUEST.into_response())?;
    Ok(request)
}

/// Returns the host that a request is for, in lower case: of HTTP/2 it is in the URI.
pub(crate) fn host(uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, ()> {
    let mut fields = headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (None, _) => None,
        (Some(field), None) => Some(field.to_str().map_err(|_| ())?.to_ascii_lowercase()),
        (Some(_), Some(_)) => return Err(()),
    };
    let authority = uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
    match (authority, field) {
        (Some(authority), Some(field)) if authority != field => Err(()),
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

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
