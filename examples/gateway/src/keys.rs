//! Managing keys over HTTP: each handler is one call of the manager, and the answer to it.
//!
//! A key of another owner is answered as one that does not exist.

mod json;
mod refusal;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use keygate::{
    Done, Grant, KeyId, ManageError, NewKeySpec, Owner, RevocationCause, TeamId, UnixTime, Validity, store::BoxError,
};
use keygate_sqlx::StoreError;
use serde_json::{Value, json};

use self::{
    json::{KeyView, NewName, NewPersonalKey, NewTeamKey, Place, RotateBody},
    refusal::refused,
};
use crate::{
    app::App,
    caller::Caller,
    problem::{Body, Problem, Reply},
};

type Shared = State<Arc<App>>;
type Answer = Result<Response, Reply>;

pub(crate) async fn create_for_team(
    State(app): Shared,
    caller: Caller,
    Path(team): Path<String>,
    Body(new): Body<NewTeamKey>,
) -> Answer {
    let grant = Grant::team(team_id(&team)?, new.permission().map_err(bad)?);
    create(&app, &caller, grant, &new.name, new.expires_at).await
}

pub(crate) async fn create_mine(State(app): Shared, caller: Caller, Body(new): Body<NewPersonalKey>) -> Answer {
    let user = caller.user().cloned().ok_or_else(Problem::not_found)?;
    create(&app, &caller, Grant::personal(user), &new.name, new.expires_at).await
}

async fn create(app: &App, caller: &Caller, grant: Grant, name: &str, expires_at: Option<UnixTime>) -> Answer {
    let validity = expires_at.map_or(Validity::NEVER_EXPIRES, Validity::until);
    let spec = NewKeySpec::new(grant, name.parse().map_err(bad)?, validity);
    let issued = app.keys.create(&caller.actor(), spec).await.map_err(|error| refused(app, caller, &error))?;
    // The list has the rest: to look it up now could fail, and the token would be lost.
    let key = json!({ "id": issued.record.id(), "display": issued.token.public().to_string(), "name": name });
    Ok(shown_once(StatusCode::CREATED, json!({ "key": key, "token": issued.token.expose_secret() })))
}

pub(crate) async fn list_of_team(
    State(app): Shared,
    caller: Caller,
    Path(team): Path<String>,
    place: Result<Query<Place>, QueryRejection>,
) -> Answer {
    list(&app, &caller, Owner::Team(team_id(&team)?), place).await
}

pub(crate) async fn list_mine(
    State(app): Shared,
    caller: Caller,
    place: Result<Query<Place>, QueryRejection>,
) -> Answer {
    let user = caller.user().cloned().ok_or_else(Problem::not_found)?;
    list(&app, &caller, Owner::Personal(user), place).await
}

async fn list(app: &App, caller: &Caller, owner: Owner, place: Result<Query<Place>, QueryRejection>) -> Answer {
    let query = place.map_err(|_| bad("the query has `limit` and `after`"))?.query();
    let page = app.keys.list(&caller.actor(), owner, query).await.map_err(|error| refused(app, caller, &error))?;
    let keys: Vec<_> = page.records.iter().map(|record| KeyView::of(record)).collect();
    Ok(Json(json!({ "keys": keys, "next": page.next })).into_response())
}

pub(crate) async fn rename(
    State(app): Shared,
    caller: Caller,
    Path(key): Path<String>,
    Body(new): Body<NewName>,
) -> Answer {
    let name = new.name.parse().map_err(bad)?;
    done(&app, &caller, app.keys.rename(&caller.actor(), key_id(&key)?, name).await)
}

pub(crate) async fn rotate(
    State(app): Shared,
    caller: Caller,
    Path(key): Path<String>,
    Body(body): Body<RotateBody>,
) -> Answer {
    let rotated = app.keys.rotate(&caller.actor(), key_id(&key)?, body.rotation()).await;
    let rotated = rotated.map_err(|error| refused(&app, &caller, &error))?;
    let body = json!({ "token": rotated.token.expose_secret(), "previous_ends_at": rotated.previous_ends_at });
    Ok(shown_once(StatusCode::OK, body))
}

pub(crate) async fn end_overlap(State(app): Shared, caller: Caller, Path(key): Path<String>) -> Answer {
    done(&app, &caller, app.keys.end_overlap(&caller.actor(), key_id(&key)?).await)
}

pub(crate) async fn disable(State(app): Shared, caller: Caller, Path(key): Path<String>) -> Answer {
    done(&app, &caller, app.keys.disable(&caller.actor(), key_id(&key)?).await)
}

pub(crate) async fn enable(State(app): Shared, caller: Caller, Path(key): Path<String>) -> Answer {
    done(&app, &caller, app.keys.enable(&caller.actor(), key_id(&key)?).await)
}

pub(crate) async fn revoke(State(app): Shared, caller: Caller, Path(key): Path<String>) -> Answer {
    done(&app, &caller, app.keys.revoke(&caller.actor(), key_id(&key)?, RevocationCause::Requested).await)
}

/// A key ends itself: what anybody who finds a leaked one should do.
pub(crate) async fn revoke_self(State(app): Shared, caller: Caller) -> Answer {
    let Caller::Key(key) = &caller else { return Err(Problem::not_found().into()) };
    done(&app, &caller, app.keys.revoke(&caller.actor(), key.id(), RevocationCause::Requested).await)
}

fn team_id(text: &str) -> Result<TeamId, Reply> {
    text.parse().map_err(|_| Problem::not_found().into())
}

fn key_id(text: &str) -> Result<KeyId, Reply> {
    text.parse().map_err(|_| Problem::not_found().into())
}

fn bad(detail: impl ToString) -> Reply {
    Problem::body(detail).into()
}

/// What is as it should be already is done as well.
fn done(app: &App, caller: &Caller, result: Result<Done, ManageError<BoxError, StoreError>>) -> Answer {
    result.map_err(|error| refused(app, caller, &error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A token leaves the service here and nowhere else: it must not stay in any cache.
fn shown_once(status: StatusCode, body: Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
