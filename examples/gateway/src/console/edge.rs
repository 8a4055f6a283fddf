//! Rules for every request to the pages: its host, its origin, and the headers of its answer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
            X_CONTENT_TYPE_OPTIONS,
        },
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use url::{Host, Url};

use super::page::Stop;
use crate::{app::App, edge};

/// How the URLs of this server begin, as the request came to it: the scheme and the host.
#[derive(Clone, Debug)]
pub(super) struct Site(pub(super) String);

/// Sends a browser that asks for `/` to the pages. Programs get what they got before.
pub(crate) async fn welcome(request: Request, next: Next) -> Response {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("text/html"));
    let is_browser = request.headers().get(ACCEPT).is_some_and(accepts);
    if request.uri().path() == "/" && *request.method() == Method::GET && is_browser {
        return Redirect::to("/console").into_response();
    }
    next.run(request).await
}

/// Serves loopback names and the one that is set. A page of somebody else whose name leads here (DNS rebinding) comes
/// with that name.
pub(super) async fn known_host(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let Ok(Some(authority)) = edge::host(request.uri(), request.headers()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (is_loopback, is_configured) = is_known(&authority, app.console.host.as_deref());
    if !is_loopback && !is_configured {
        return (StatusCode::MISDIRECTED_REQUEST, "the console is not served under this name: see --host")
            .into_response();
    }
    let scheme = if app.console.has_tls || is_configured { "https" } else { "http" };
    request.extensions_mut().insert(Site(format!("{scheme}://{authority}")));
    let mut response = next.run(request).await;
    // Not of this machine itself, where other servers have the same name.
    if is_configured && !is_loopback {
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// Says of a host if it is this machine itself, and if it is the one that is set.
fn is_known(authority: &str, configured: Option<&str>) -> (bool, bool) {
    let authority: Option<Authority> = authority.parse().ok();
    let authority = authority.filter(|authority| !authority.as_str().contains('@'));
    let url = authority.and_then(|authority| Url::parse(&format!("http://{authority}/")).ok());
    match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => {
            (name == "localhost", Some(name) == configured.and_then(|host| host.split(':').next()))
        }
        Some(Host::Ipv4(ip)) => (ip.is_loopback(), false),
        Some(Host::Ipv6(ip)) => (ip.is_loopback(), false),
        None => (false, false),
    }
}

/// Lets through only what the pages themselves sent, where it may change something: also without a body.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_read || is_same_origin(request.headers(), request.extensions().get()) {
        next.run(request).await
    } else {
        Stop::OtherSite.into_response()
    }
}

/// Browsers say where a request comes from; where one says nothing, nothing is assumed.
fn is_same_origin(headers: &HeaderMap, site: Option<&Site>) -> bool {
    if let Some(from) = headers.get("sec-fetch-site") {
        return from == "same-origin";
    }
    headers.get(ORIGIN).zip(site).is_some_and(|(origin, Site(site))| origin == site)
}

/// Headers that limit what a browser does with the answers.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
                      connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";
