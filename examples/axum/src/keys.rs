//! Managing keys over HTTP. Every handler takes its permit from `authorize_operation`, with the caller's membership as it is now.
//!
//! A key of somebody else's is answered as one that does not exist.

mod json;
mod permit;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use keygate::{
    BoxError, Create, Disable, Enable, Event, EventKind, Grant, List, ManageError, Owner, Rename, Revoke, Rotate,
    SysRng, TeamId, UnixTime, Validity,
};
use serde_json::{Value, json};

use self::{
    json::{KeyView, ListQuery, NewName, NewPersonalKey, NewTeamKey, RotateBody},
    permit::{permit, permit_on, refused},
};
use crate::{
    app::App,
    audit,
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
    let grant = Grant::Team { team: team_id(&team)?, permission: new.permission().map_err(bad)? };
    create(&app, &caller, grant, &new.name, new.expires_at).await
}

pub(crate) async fn create_mine(State(app): Shared, caller: Caller, Body(new): Body<NewPersonalKey>) -> Answer {
    let user = caller.actor().user().cloned().ok_or_else(Problem::not_found)?;
    create(&app, &caller, Grant::Personal { user }, &new.name, new.expires_at).await
}

async fn create(app: &App, caller: &Caller, grant: Grant, name: &str, expires_at: Option<UnixTime>) -> Answer {
    let name = name.parse().map_err(bad)?;
    let validity = expires_at.map_or(Validity::NEVER_EXPIRES, Validity::until);
    let now = UnixTime::now();
    let permit = permit(app, caller, Create(grant.clone()), &grant.owner(), now).await?;
    let issued =
        app.manager.create(permit, name, validity, &mut SysRng, now).await.map_err(|error| refused(app, error))?;
    audit::tell(&issued.event);
    let key = KeyView::of(issued.key.record());
    Ok(shown_once(StatusCode::CREATED, json!({ "key": key, "token": issued.token.expose_secret() })))
}

pub(crate) async fn list_of_team(
    State(app): Shared,
    caller: Caller,
    Path(team): Path<String>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    list(&app, &caller, Owner::Team(team_id(&team)?), query).await
}

pub(crate) async fn list_mine(
    State(app): Shared,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let user = caller.actor().user().cloned().ok_or_else(Problem::not_found)?;
    list(&app, &caller, Owner::Personal(user), query).await
}

async fn list(app: &App, caller: &Caller, owner: Owner, query: Result<Query<ListQuery>, QueryRejection>) -> Answer {
    let page = query.map_err(|_| bad("the query has `limit` and `after`"))?.page();
    let permit = permit(app, caller, List(owner.clone()), &owner, UnixTime::now()).await?;
    let page = app.manager.list(permit, page).await.map_err(|error| refused(app, error))?;
    let keys: Vec<_> = page.records.iter().map(|record| KeyView::of(record)).collect();
    Ok(Json(json!({ "keys": keys, "next": page.next })).into_response())
}

pub(crate) async fn rename(
    State(app): Shared,
    caller: Caller,
    Path(key): Path<String>,
    Body(new): Body<NewName>,
) -> Answer {
    let (name, now) = (new.name.parse().map_err(bad)?, UnixTime::now());
    let permit = permit_on(&app, &caller, &key, Rename, now).await?;
    done(&app, app.manager.rename(permit, name, now).await)
}

pub(crate) async fn rotate(
    State(app): Shared,
    caller: Caller,
    Path(key): Path<String>,
    Body(body): Body<RotateBody>,
) -> Answer {
    let now = UnixTime::now();
    let permit = permit_on(&app, &caller, &key, Rotate, now).await?;
    let rotated = app.manager.rotate(permit, body.rotation(), &mut SysRng, now).await;
    let rotated = rotated.map_err(|error| refused(&app, error))?;
    audit::tell(&rotated.event);
    let previous_ends_at = match rotated.event.kind {
        EventKind::Rotated { previous_ends_at } => previous_ends_at,
        _ => None,
    };
    let body = json!({ "token": rotated.token.expose_secret(), "previous_ends_at": previous_ends_at });
    Ok(shown_once(StatusCode::OK, body))
}

pub(crate) async fn end_overlap(State(app): Shared, caller: Caller, Path(key): Path<String>) -> Answer {
    let now = UnixTime::now();
    let permit = permit_on(&app, &caller, &key, Rotate, now).await?;
    done(&app, app.manager.end_overlap(permit, now).await)
}

pub(crate) async fn disable(State(app): Shared, caller: Caller, Path(key): Path<String>) -> Answer {
    let now = UnixTime::now();
    let permit = permit_on(&app, &caller, &key, Disable, now).await?;
    done(&app, app.manager.disable(permit, now).await)
}

pub(crate) async fn enable(State(app): Shared, caller: Caller, Path(key): Path<String>) -> Answer {
    let now = UnixTime::now();
    let permit = permit_on(&app, &caller, &key, Enable, now).await?;
    done(&app, app.manager.enable(permit, now).await)
}

pub(crate) async fn revoke(State(app): Shared, caller: Caller, Path(key): Path<String>) -> Answer {
    let now = UnixTime::now();
    let permit = permit_on(&app, &caller, &key, Revoke, now).await?;
    done(&app, app.manager.revoke(permit, now).await)
}

/// A key ends itself: what whoever finds a leaked one should do.
pub(crate) async fn revoke_self(State(app): Shared, caller: Caller) -> Answer {
    let Caller::Key(key) = &caller else { return Err(Problem::not_found().into()) };
    let now = UnixTime::now();
    let permit = permit_on(&app, &caller, key.id().as_str(), Revoke, now).await?;
    done(&app, app.manager.revoke(permit, now).await)
}

fn team_id(text: &str) -> Result<TeamId, Reply> {
    text.parse().map_err(|_| Problem::not_found().into())
}

fn bad(detail: impl ToString) -> Reply {
    Problem::body(detail).into()
}

fn done(app: &App, result: Result<Event, ManageError<BoxError>>) -> Answer {
    let event = result.map_err(|error| refused(app, error))?;
    audit::tell(&event);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A token leaves the service here and nowhere else: it must not stay in any cache.
fn shown_once(status: StatusCode, body: Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
