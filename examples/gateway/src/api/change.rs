//! Changing and ending keys.

use core::time::Duration;
use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use keygate::{Actor, AuthenticatedKey, RevocationCause, Rotation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    create::{ShownOnce, shown_once},
    idempotency::{Claim, Claimed},
    key::{self, KeyInfo, LabelTexts},
    problem::{Body, Failure, Problem, Segment},
};
use crate::app::App;

/// The changes to a key; at least one of both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeKey {
    #[serde(default)]
    #[schema(pattern = "^[a-z0-9-]{1,64}$")]
    name: Option<String>,
    /// All labels that the key is to have.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    labels: Option<LabelTexts>,
}

/// The key whose secret opens nothing any more.
#[derive(Serialize, ToSchema)]
pub(super) struct Tombstone {
    prefix: String,
}

/// How to rotate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "rotation", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RotateKey {
    /// The secret before ends at once.
    CutOver {},
    /// The secret before stays valid for a time.
    Start {
        #[schema(minimum = 0, maximum = 2_592_000)]
        overlap_seconds: u32,
    },
    /// As `start`, where the answer to one was lost: the secret before that one stays.
    Retry {
        #[schema(minimum = 0, maximum = 2_592_000)]
        overlap_seconds: u32,
    },
}

#[derive(Serialize, ToSchema)]
pub(super) struct RotatedKey {
    /// The new token: this answer is the only one that has it.
    api_key: String,
    prefix: String,
    /// When the secret before ends, if it is still valid.
    #[schema(format = DateTime)]
    previous_ends_at: Option<String>,
}

/// Renames a key, or sets its labels
#[utoipa::path(
    patch, path = "/v1/api_keys/{prefix}", tag = "keys", operation_id = "change_api_key",
    params(("prefix" = String, Path)), request_body = ChangeKey,
    responses(
        (status = 200, body = KeyInfo),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Segment(prefix): Segment,
    Body(change): Body<ChangeKey>,
) -> Result<Json<KeyInfo>, Failure> {
    let (id, actor) = (key::key_id(&app, &prefix).await?, Actor::from(&caller));
    if change.name.is_none() && change.labels.is_none() {
        return Err(Failure::invalid("nothing_to_change", "give `name`, `labels` or both"));
    }
    let name = change.name.map(|name| name.parse()).transpose();
    let name = name.map_err(|error| Failure::invalid("name", format_args!("`name`: {error}")))?;
    let labels = change.labels.as_ref().map(key::labels).transpose()?;
    if let Some(name) = name {
        app.keys.rename(&actor, id, name).await?;
    }
    if let Some(labels) = labels {
        app.keys.set_labels(&actor, id, labels).await?;
    }
    show(&app, &actor, id).await
}

/// Revokes a key, for ever
#[utoipa::path(
    delete, path = "/v1/api_keys/{prefix}", tag = "keys", operation_id = "revoke_api_key",
    params(("prefix" = String, Path)),
    responses(
        (status = 200, body = Tombstone),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Segment(prefix): Segment,
) -> Result<Json<Tombstone>, Failure> {
    let id = key::key_id(&app, &prefix).await?;
    app.keys.revoke(&Actor::from(&caller), id, RevocationCause::Requested).await?;
    Ok(Json(Tombstone { prefix }))
}

/// Gives a key a new secret
#[utoipa::path(
    post, path = "/v1/api_keys/{prefix}/rotate", tag = "keys", operation_id = "rotate_api_key",
    params(
        ("prefix" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, max_length = 128, description = "A repeated request creates nothing and gets 409"),
    ),
    request_body = RotateKey,
    responses(
        (status = 200, body = RotatedKey),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Segment(prefix): Segment,
    headers: HeaderMap,
    Body(how): Body<RotateKey>,
) -> Result<ShownOnce<RotatedKey>, Failure> {
    let (id, actor) = (key::key_id(&app, &prefix).await?, Actor::from(&caller));
    let claim = Claim::read(&headers, &caller)?;
    let overlap = |seconds: u32| Duration::from_secs(seconds.into());
    let rotation = match how {
        RotateKey::CutOver {} => Rotation::CutOver,
        RotateKey::Start { overlap_seconds } => Rotation::Start { overlap: overlap(overlap_seconds) },
        RotateKey::Retry { overlap_seconds } => Rotation::Retry { overlap: overlap(overlap_seconds) },
    };
    let record = app.keys.find(&actor, id).await?;
    let claimed = Claimed::new(&app, claim, &record.grant().owner(), record.name(), Some(id)).await?;
    let rotated = match app.keys.rotate(&actor, id, rotation).await {
        Ok(rotated) => rotated,
        Err(error) => return Err(claimed.failed(&app, error).await),
    };
    let body = RotatedKey {
        api_key: rotated.token.expose_secret().to_owned(),
        prefix: key::prefix(&record),
        previous_ends_at: rotated.previous_ends_at.map(key::rfc3339),
    };
    Ok(shown_once(StatusCode::OK, body))
}

/// Ends the secret before the last rotation
#[utoipa::path(
    post, path = "/v1/api_keys/{prefix}/end_overlap", tag = "keys", operation_id = "end_overlap",
    params(("prefix" = String, Path)),
    responses(
        (status = 200, body = KeyInfo),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn end_overlap(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Segment(prefix): Segment,
) -> Result<Json<KeyInfo>, Failure> {
    let (id, actor) = (key::key_id(&app, &prefix).await?, Actor::from(&caller));
    app.keys.end_overlap(&actor, id).await?;
    show(&app, &actor, id).await
}

/// Disables a key, until it is enabled
#[utoipa::path(
    post, path = "/v1/api_keys/{prefix}/disable", tag = "keys", operation_id = "disable_api_key",
    params(("prefix" = String, Path)),
    responses(
        (status = 200, body = KeyInfo),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn disable(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Segment(prefix): Segment,
) -> Result<Json<KeyInfo>, Failure> {
    let (id, actor) = (key::key_id(&app, &prefix).await?, Actor::from(&caller));
    app.keys.disable(&actor, id).await?;
    show(&app, &actor, id).await
}

/// Enables a disabled key
#[utoipa::path(
    post, path = "/v1/api_keys/{prefix}/enable", tag = "keys", operation_id = "enable_api_key",
    params(("prefix" = String, Path)),
    responses(
        (status = 200, body = KeyInfo),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn enable(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Segment(prefix): Segment,
) -> Result<Json<KeyInfo>, Failure> {
    let (id, actor) = (key::key_id(&app, &prefix).await?, Actor::from(&caller));
    app.keys.enable(&actor, id).await?;
    show(&app, &actor, id).await
}

async fn show(app: &App, actor: &Actor, id: keygate::KeyId) -> Result<Json<KeyInfo>, Failure> {
    let (record, snapshot) = (app.keys.find(actor, id).await?, app.platform.now()?);
    Ok(Json(KeyInfo::of(&record, &snapshot, app.gate.now())))
}
