//! Making keys.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, HeaderName},
    },
};
use keygate::{Actor, AuthenticatedKey, Grant, KeyName, NewKeySpec, Validity, http::Refusal};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    caller,
    idempotency::{Claim, Claimed},
    key::{self, CreateKey, KeyInfo, KeyType},
    problem::{Body, Failure, Problem, Segment},
};
use crate::{app::App, random};

/// A secret stands here and nowhere else: it must not stay in any cache.
pub(super) type ShownOnce<T> = (StatusCode, [(HeaderName, &'static str); 1], Json<T>);

pub(super) const fn shown_once<T>(status: StatusCode, body: T) -> ShownOnce<T> {
    (status, [(CACHE_CONTROL, "no-store")], Json(body))
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedKey {
    /// The token: this answer is the only one that has it.
    api_key: String,
    key: KeyInfo,
}

/// Creates a key
///
/// A personal key is created by its signed-in user on the page for keys; a key cannot do so.
#[utoipa::path(
    post, path = "/v1/api_keys", tag = "keys", operation_id = "create_api_key",
    params(("Idempotency-Key" = Option<String>, Header, max_length = 128, description = "A repeated request creates nothing and gets 409")),
    request_body = CreateKey,
    responses(
        (status = 200, body = CreatedKey),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    key: AuthenticatedKey,
    headers: HeaderMap,
    Body(new): Body<CreateKey>,
) -> Result<ShownOnce<CreatedKey>, Failure> {
    create_in(&app, &key, &headers, None, new).await
}

/// Creates a key of a team
#[utoipa::path(
    post, path = "/v1/teams/{team_id}/api_keys", tag = "keys", operation_id = "create_team_api_key",
    params(
        ("team_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, max_length = 128, description = "A repeated request creates nothing and gets 409"),
    ),
    request_body = CreateKey,
    responses(
        (status = 200, body = CreatedKey),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create_for_team(
    State(app): State<Arc<App>>,
    key: AuthenticatedKey,
    Segment(team): Segment,
    headers: HeaderMap,
    Body(new): Body<CreateKey>,
) -> Result<ShownOnce<CreatedKey>, Failure> {
    create_in(&app, &key, &headers, Some(&team), new).await
}

async fn create_in(
    app: &App,
    key: &AuthenticatedKey,
    headers: &HeaderMap,
    in_path: Option<&str>,
    new: CreateKey,
) -> Result<ShownOnce<CreatedKey>, Failure> {
    let snapshot = app.platform.now()?;
    let grant = match new.r#type {
        KeyType::Personal => {
            new.no_restriction()?;
            // A team key has no user: the manager refuses by the same rule.
            Grant::personal(key.user().cloned().ok_or(Refusal::Closed)?)
        }
        _ => {
            let team = match (in_path, &new.team_id) {
                (Some(team), Some(other)) if team != other => {
                    return Err(Failure::invalid("other_team", "path and body name different teams"));
                }
                (in_path, in_body) => match in_path.or(in_body.as_deref()) {
                    Some(team) => caller::team_id(app, key, team, &snapshot).await?,
                    None => caller::default_team(app, key, &snapshot).await?,
                },
            };
            let permission = new.permission(&team, &snapshot)?;
            Grant::team(team, permission)
        }
    };
    let name: KeyName = match &new.name {
        Some(name) => name.parse().map_err(|error| Failure::invalid("name", format_args!("`name`: {error}")))?,
        None => made_up_name()?,
    };
    let validity = match &new.expires_at {
        Some(end) => Validity::until(key::parse_time(end)?),
        None => Validity::NEVER_EXPIRES,
    };
    let spec = NewKeySpec::new(grant.clone(), name.clone(), validity).with_labels(key::labels(&new.labels)?);

    let claim = Claim::read(headers, key)?;
    let claimed = Claimed::new(app, claim, &grant.owner(), &name, None).await?;
    let issued = match app.keys.create(&Actor::from(key), spec).await {
        Ok(issued) => issued,
        Err(error) => return Err(claimed.failed(app, error).await),
    };
    claimed.made(app, issued.record.id()).await;
    let info = KeyInfo::of(&issued.record, &snapshot, app.gate.now());
    let body = CreatedKey { api_key: issued.token.expose_secret().to_owned(), key: info };
    Ok(shown_once(StatusCode::OK, body))
}

/// A name that no other key of the owner has.
fn made_up_name() -> Result<KeyName, Failure> {
    let random = random::hex::<8>().map_err(|_| Refusal::Unavailable)?;
    format!("unnamed-{random}").parse().map_err(|_| Refusal::Unavailable.into())
}
