//! Reports of leaked tokens: the one who found a token ends its key, and learns nothing by it.

use core::time::Duration;
use std::sync::Arc;

use axum::{
    extract::{FromRequest as _, Request, State},
    http::StatusCode,
};
use keygate::http::Refusal;
use serde::Deserialize;
use tokio::{sync::Semaphore, time::timeout};
use utoipa::ToSchema;

use super::problem::{Body, Failure, Problem};
use crate::app::App;

/// Tokens that were found where they should not be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Found {
    #[schema(min_items = 1, max_items = 1000)]
    tokens: Vec<String>,
}

/// Ends the keys of tokens that leaked
///
/// Open to everybody: the token itself is the authorization. The answer is the same for known and unknown tokens, and
/// comes when all are revoked: after a 204 none of them opens anything here, nor elsewhere once the caches there have
/// expired. After a 503 some may still open something, so repeat the report.
#[utoipa::path(
    post, path = "/v1/leaks", tag = "leaks", operation_id = "report_leak", request_body = Found, security(()),
    responses(
        (status = 204, description = "All reported keys are revoked"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn report(State(app): State<Arc<App>>, request: Request) -> Result<StatusCode, Failure> {
    // Before the body is read: reports that need no key must not take all places of requests that have one.
    let Ok(_waiting) = app.reports.waiting.try_acquire() else { return Err(Refusal::Unavailable.into()) };
    let Body(found) = Body::<Found>::from_request(request, &app).await?;
    if found.tokens.is_empty() || found.tokens.len() > MAX_TOKENS {
        return Err(Failure::invalid("tokens", format_args!("there are 1 to {MAX_TOKENS} tokens")));
    }
    // Anybody may ask, so a few at a time, and the others wait for their turn: reports must not take the database away
    // from requests.
    let Ok(Ok(_place)) = timeout(PATIENCE, app.reports.looking.acquire()).await else {
        return Err(Refusal::Unavailable.into());
    };
    let results = app.keys.revoke_leaked(found.tokens.iter().map(String::as_str)).await;
    let is_done = results.iter().all(Result::is_ok);
    if is_done { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::Unavailable.into()) }
}

/// Places for reports.
#[derive(Debug)]
pub(crate) struct Reports {
    /// Of those that came, and are read or wait.
    waiting: Semaphore,
    /// Of those whose tokens are looked up.
    looking: Semaphore,
}

impl Default for Reports {
    fn default() -> Self {
        Self { waiting: Semaphore::new(16), looking: Semaphore::new(2) }
    }
}

const MAX_TOKENS: usize = 1000;
/// How long a report waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
