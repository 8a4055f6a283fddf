//! The service's own problem details (RFC 9457), for what keygate's `Responses` do not cover.

use core::time::Duration;
use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::app::App;

/// A reply that says what is wrong, and never holds anything that came with the request.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    error: Shown,
}

/// What OpenAI's clients show to their users.
#[derive(Debug, Serialize)]
struct Shown {
    message: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
}

impl Problem {
    fn new(kind: &'static str, title: &'static str, status: StatusCode) -> Self {
        let name = kind.rsplit(':').next().unwrap_or(kind);
        let error = Shown { message: title, kind: name, code: name };
        Self { kind, title, status: status.as_u16(), reason: None, detail: None, error }
    }

    /// What does not exist, and what is hidden: one answer, so that nobody can tell them apart.
    pub(crate) fn not_found() -> Self {
        Self::new("urn:example:problem:not_found", "There is no such resource", StatusCode::NOT_FOUND)
    }

    pub(crate) fn method() -> Self {
        Self::new("urn:example:problem:method", "The method is not allowed", StatusCode::METHOD_NOT_ALLOWED)
    }

    pub(crate) fn body(detail: impl ToString) -> Self {
        let problem = Self::new("urn:example:problem:body", "The body does not fit", StatusCode::BAD_REQUEST);
        Self { detail: Some(detail.to_string()), ..problem }
    }

    pub(crate) fn content_type() -> Self {
        Self::body("the content type is not application/json")
    }

    pub(crate) fn late() -> Self {
        Self::new("urn:example:problem:late", "The body took too long", StatusCode::REQUEST_TIMEOUT)
    }

    pub(crate) fn too_large() -> Self {
        Self::new("urn:example:problem:too_large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE)
    }

    pub(crate) fn conflict(detail: impl ToString) -> Self {
        let problem = Self::new("urn:example:problem:conflict", "The key cannot be changed so", StatusCode::CONFLICT);
        Self { detail: Some(detail.to_string()), ..problem }
    }

    pub(crate) fn forbidden(reason: &'static str) -> Self {
        let problem = Self::new("urn:example:problem:forbidden", "You may not do this", StatusCode::FORBIDDEN);
        Self { reason: Some(reason), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut reply = axum::http::Response::new(serde_json::to_string(&self).unwrap_or_default());
        *reply.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        reply.into_response()
    }
}

/// An answer that ends a handler early; boxed, since it goes through many `Result`s.
#[derive(Debug)]
pub(crate) struct Reply(Box<Response>);

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem.into_response()))
    }
}

impl From<axum::http::Response<String>> for Reply {
    fn from(reply: axum::http::Response<String>) -> Self {
        Self(Box::new(reply.into_response()))
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// A JSON body; what is wrong with it is told by its place, since serde's own words quote the input.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        // A web page of somebody else can send any other type without being asked first (CORS).
        if !is_json(request.headers()) {
            return Err(Problem::content_type().into_response());
        }
        // The key was looked at before: a body that takes its time must not carry that far into the future.
        let Ok(bytes) = timeout(PATIENCE, Bytes::from_request(request, app)).await else {
            return Err(Problem::late().into_response());
        };
        let bytes = bytes.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large().into_response(),
            _ => Problem::body("the body did not arrive whole").into_response(),
        })?;
        // A struct would be read from a list as well, its fields by their places.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(Problem::body("the body is no JSON object").into_response());
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Problem::body(format_args!("line {}, column {}", error.line(), error.column())).into_response()
        })?;
        Ok(Self(value))
    }
}

/// Returns `true` if the content type is that of JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json"))
    })
}

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
