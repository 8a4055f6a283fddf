//! Reports of leaked tokens: the one who found a token ends its key, and learns nothing by it.

use core::time::Duration;
use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use keygate::http::Refusal;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    app::App,
    problem::{Body, Problem, Reply},
};

/// ```json
/// {"tokens": ["acmet1_...", "acmep1_..."]}
/// ```
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Found {
    tokens: Vec<String>,
}

/// Ends the keys of all tokens that open one. Open to everybody, for a token is all the leave that is needed.
///
/// The answer is the same for known and unknown tokens. It comes when all are ended: after a 204 none of them opens
/// anything here, nor elsewhere once the caches there are out of date. After a 503 some may still do, so that the report
/// has to be made again.
pub(crate) async fn report(State(app): State<Arc<App>>, Body(found): Body<Found>) -> Result<Response, Reply> {
    if found.tokens.is_empty() || found.tokens.len() > MAX_TOKENS {
        return Err(Problem::body(format_args!("there are 1 to {MAX_TOKENS} tokens")).into());
    }
    // Anybody may ask, so a few at a time, and the others wait for their turn: reports must not take the database away
    // from requests.
    let Ok(Ok(_place)) = timeout(PATIENCE, app.reports.acquire()).await else {
        return Err(app.responses.answer(Refusal::Unavailable).into());
    };
    let results = app.keys.revoke_leaked(found.tokens.iter().map(String::as_str)).await;
    let is_done = results.iter().all(Result::is_ok);
    if is_done {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(app.responses.answer(Refusal::Unavailable).into())
    }
}

/// How many reports are looked at at once.
pub(crate) const MAX_REPORTS: usize = 2;
const MAX_TOKENS: usize = 1000;
/// How long a report waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
