//! Token introspection (RFC 7662), for gateways.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header::{CACHE_CONTROL, HeaderName},
};
use keygate::{
    Action, AuthenticateError, AuthenticatedKey, Grant, Request,
    http::{Introspection, Refusal},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::{Failure, Fields, Problem};
use crate::app::{App, INTROSPECT};

#[derive(Deserialize, ToSchema)]
pub(super) struct Question {
    token: String,
}

/// Says what a token is, to a key that lists the action `tokens:introspect`
#[utoipa::path(
    post, path = "/v1/introspect", tag = "introspection", operation_id = "introspect",
    request_body(content = Question, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = serde_json::Value),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn introspect(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    question: Result<Fields<Question>, Failure>,
) -> Result<([(HeaderName, &'static str); 1], Json<Introspection>), Failure> {
    let Grant::Team { team, .. } = caller.grant() else { return Err(Refusal::Closed.into()) };
    let request = Request::new(team.clone(), Action::custom(INTROSPECT, None, None));
    let _allowed = Refusal::unless_allowed(app.gate.authorize(&caller, &request).await?)?;
    let Fields(Question { token }) = question?;
    let answer = match app.gate.authenticate(&token).await {
        Ok(key) => Introspection::active(&key),
        Err(AuthenticateError::Unavailable(_)) => return Err(Refusal::Unavailable.into()),
        Err(_) => Introspection::INACTIVE,
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)))
}
