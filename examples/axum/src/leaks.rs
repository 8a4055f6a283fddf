//! Reports of leaked tokens: whoever found one ends its key, and learns nothing by it.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use keygate::{UnixTime, tower::Sink};
use serde::Deserialize;

use crate::{
    app::App,
    audit,
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
/// anything. After a 503 some may still do, so that the report has to be made again.
pub(crate) async fn report(State(app): State<Arc<App>>, Body(found): Body<Found>) -> Result<Response, Reply> {
    if found.tokens.is_empty() || found.tokens.len() > MAX_TOKENS {
        return Err(Problem::body(format_args!("there are 1 to {MAX_TOKENS} tokens")).into());
    }
    // Anybody may ask, so a few at a time: reports must not take the database away from requests.
    let Ok(_place) = app.reports.try_acquire() else { return Err(app.answers.unavailable().into()) };
    for token in &found.tokens {
        match app.manager.revoke_exposed(app.gate, token, UnixTime::now()).await {
            Ok(event) => event.iter().for_each(audit::tell),
            Err(error) => {
                app.outbox.failed(&error);
                return Err(app.answers.unavailable().into());
            }
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// How many reports are looked at at once.
pub(crate) const MAX_REPORTS: usize = 2;
const MAX_TOKENS: usize = 1000;
