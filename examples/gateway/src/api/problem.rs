//! Answers where something is refused or does not fit: problem details (RFC 9457), which name the rule and never the
//! input.

use core::{sync::atomic::Ordering, time::Duration};
use std::sync::{Arc, LazyLock};

use axum::{
    Form,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use keygate::{
    AuthenticateError, ManageError, Unavailable,
    http::{InvalidResponses, Refusal, Responses},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::error;
use utoipa::ToSchema;

use crate::{app::App, platform::TooOld};

/// Why a handler ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// As keygate answers it.
    Refusal(Refusal),
    /// A rule of this API is broken.
    Invalid { status: StatusCode, rule: &'static str, detail: String },
    /// The key that an earlier request with the same idempotency key created.
    Replayed { id: Option<String> },
}

impl Failure {
    /// The request breaks a rule.
    pub(crate) fn invalid(rule: &'static str, detail: impl ToString) -> Self {
        Self::Invalid { status: StatusCode::BAD_REQUEST, rule, detail: detail.to_string() }
    }

    /// The path has other methods, which axum names in `Allow`.
    pub(crate) fn method() -> Self {
        let detail = "there is no such method here".into();
        Self::Invalid { status: StatusCode::METHOD_NOT_ALLOWED, rule: "method", detail }
    }

    fn content_type(expected: &str) -> Self {
        let detail = format!("the content type is not {expected}");
        Self::Invalid { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, rule: "content_type", detail }
    }

    fn too_large() -> Self {
        let detail = "the body is too large".into();
        Self::Invalid { status: StatusCode::PAYLOAD_TOO_LARGE, rule: "too_large", detail }
    }

    /// The key was looked at before: a body that takes its time must not carry that far into the future.
    fn late() -> Self {
        let detail = "the body took too long".into();
        Self::Invalid { status: StatusCode::REQUEST_TIMEOUT, rule: "late", detail }
    }
}

/// A resource that the caller must not see is not found.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal.hiding())
    }
}

impl<S: core::error::Error + 'static, D: core::error::Error + 'static> From<ManageError<S, D>> for Failure {
    fn from(error: ManageError<S, D>) -> Self {
        Refusal::from(&error).into()
    }
}

impl<S: core::error::Error + 'static, D: core::error::Error + 'static> From<Unavailable<S, D>> for Failure {
    fn from(error: Unavailable<S, D>) -> Self {
        Refusal::from(error).into()
    }
}

impl<S: core::error::Error + 'static, D: core::error::Error + 'static> From<AuthenticateError<S, D>> for Failure {
    fn from(error: AuthenticateError<S, D>) -> Self {
        Refusal::from(error).into()
    }
}

impl From<TooOld> for Failure {
    fn from(_: TooOld) -> Self {
        Self::Refusal(Refusal::Unavailable)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        error!(%error, "the database failed");
        Self::Refusal(Refusal::Unavailable)
    }
}

impl From<keygate_sqlx::StoreError> for Failure {
    fn from(error: keygate_sqlx::StoreError) -> Self {
        error!(%error, "the database failed");
        Self::Refusal(Refusal::Unavailable)
    }
}

/// How every refusal looks, and every request that does not fit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The kind of the problem.
    r#type: String,
    title: String,
    status: u16,
    /// The rule that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// A description of the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Of an idempotency key that was used before: the key that was made or changed then.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The levels of keys that may do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sufficient_levels: Option<Vec<String>>,
    /// For OpenAI's clients.
    error: ProblemError,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemError {
    message: String,
    r#type: String,
    code: String,
}

static ANSWERS: LazyLock<Result<Responses, InvalidResponses>> = LazyLock::new(|| Responses::new("models"));

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = |status: StatusCode, kind: &str, title: &str, reason: Option<&str>| Problem {
            r#type: format!("/problems/{kind}"),
            title: title.into(),
            status: status.as_u16(),
            reason: reason.map(Into::into),
            detail: None,
            id: None,
            sufficient_levels: None,
            error: ProblemError { message: title.into(), r#type: kind.into(), code: reason.unwrap_or(kind).into() },
        };
        let problem = match self {
            Self::Refusal(refusal) => {
                return match &*ANSWERS {
                    Ok(answers) => answers.answer(refusal).into_response(),
                    Err(_) => refusal.status().into_response(),
                };
            }
            Self::Invalid { status, rule, detail } => {
                let mut problem = problem(status, "invalid_request", "The request does not fit", Some(rule));
                problem.error.message = format!("The request does not fit: {detail}");
                Problem { detail: Some(detail), ..problem }
            }
            Self::Replayed { id } => {
                let title = "The idempotency key was used before";
                Problem { id, ..problem(StatusCode::CONFLICT, "conflict", title, Some("idempotency_key_used")) }
            }
        };
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, json!(problem).to_string()).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// A JSON body; what is wrong with it is told by its place, since serde's own words quote the input.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        // A web page of somebody else can send any other type without being asked first (CORS).
        if !is_of_type(request.headers(), "application/json") {
            return Err(Failure::content_type("application/json"));
        }
        let bytes =
            arrived(app, Bytes::from_request(request, app)).await?.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Failure::too_large(),
                _ => Failure::invalid("incomplete", "the body did not arrive whole"),
            })?;
        // A struct would be read from a list as well, its fields by their places.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(Failure::invalid("not_an_object", "the body is no JSON object"));
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Failure::invalid(rule_of(&error, &bytes), place)
        })?;
        Ok(Self(value))
    }
}

/// Waits for a body in bounded time, and not in all places of requests: one who has a key could take them all by bodies
/// that do not come, also from requests that have none.
async fn arrived<T>(app: &App, body: impl Future<Output = T>) -> Result<T, Failure> {
    let Ok(_place) = app.bodies.try_acquire() else {
        app.counts.overloaded.fetch_add(1, Ordering::Relaxed);
        return Err(Refusal::Unavailable.into());
    };
    timeout(PATIENCE, body).await.map_err(|_| Failure::late())
}

/// The fields of a form.
#[derive(Debug)]
pub(crate) struct Fields<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Fields<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let Form(fields) =
            arrived(app, Form::from_request(request, app)).await?.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Failure::too_large(),
                StatusCode::UNSUPPORTED_MEDIA_TYPE => Failure::content_type("application/x-www-form-urlencoded"),
                _ => Failure::invalid("form", "the fields of the form do not fit"),
            })?;
        Ok(Self(fields))
    }
}

/// The part of a path that names something; what is no text names nothing.
#[derive(Debug)]
pub(crate) struct Segment(pub(crate) String);

impl FromRequestParts<Arc<App>> for Segment {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let segment = Path::from_request_parts(parts, app).await;
        segment.map(|Path(text)| Self(text)).map_err(|_| Refusal::NotFound.into())
    }
}

/// The rule that a body breaks, by the beginning of what serde says, which is not from the input.
fn rule_of(error: &serde_json::Error, body: &[u8]) -> &'static str {
    let text = error.to_string();
    // Where a text is expected, serde calls any other value a mistake of syntax.
    if (error.is_syntax() || error.is_eof()) && serde_json::from_slice::<Value>(body).is_err() {
        return "not_json";
    }
    for (start, rule) in [
        ("unknown field", "unknown_field"),
        ("missing field", "missing_field"),
        ("duplicate field", "duplicate_field"),
        ("unknown variant", "unknown_value"),
    ] {
        if text.starts_with(start) {
            return rule;
        }
    }
    "wrong_value"
}

/// The parameters of a query; what is unknown is refused, not ignored.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let query = Query::from_request_parts(parts, app).await;
        let refused = |_| Failure::invalid("query", "the query has an unknown parameter, or a value that does not fit");
        query.map(|Query(value)| Self(value)).map_err(refused)
    }
}

/// Returns `true` if the content type is this one.
fn is_of_type(headers: &HeaderMap, expected: &str) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next()).is_some_and(|kind| kind.trim().eq_ignore_ascii_case(expected))
}

/// How long a body may take to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
