//! The log of changes.

use core::num::NonZeroU16;
use std::sync::Arc;

use axum::{Json, extract::State};
use keygate::{
    Action, Actor, AuthenticatedKey, Grant, Issuer, KeyKind, Owner, Request, TeamId, TeamRole, UnixTime,
    audit::{EventKind, Principal},
    http::Refusal,
    store::Directory as _,
    verify::DisplayToken,
};
use keygate_sqlx::{EventsOf, LogQuery, LoggedEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller,
    key::{self, rfc3339},
    problem::{Failure, Parameters, Problem},
};
use crate::app::{App, READ_LOG};

/// Which entries, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// The `cursor` of the previous page.
    cursor: Option<String>,
    /// The largest number of entries; 20 if not given.
    #[param(minimum = 1, maximum = 200)]
    #[param(value_type = Option<u16>)]
    limit: Option<NonZeroU16>,
    /// Newest first, if not given.
    #[serde(default)]
    direction: Direction,
    /// Only those at this time or later.
    start_epoch_millis: Option<i64>,
    /// Only those before this time.
    end_epoch_millis: Option<i64>,
    /// Only those of the keys of a team.
    team_id: Option<String>,
    /// Only those of a key, by its id or prefix.
    api_key: Option<String>,
    /// Only those of a kind, such as `revoked`.
    kind: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Direction {
    Asc,
    #[default]
    Desc,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Entries {
    items: Vec<Entry>,
    pagination: Pagination,
}

#[derive(Serialize, ToSchema)]
struct Pagination {
    has_more: bool,
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Entry {
    id: String,
    #[schema(format = DateTime)]
    created: String,
    event_type: String,
    /// `event_type`, `api_key_id`, `prefix`, and `event`, which is the event as keygate documents it.
    event_data: Value,
    source: Option<String>,
    actor: EntryActor,
}

#[derive(Serialize, ToSchema)]
struct EntryActor {
    /// `USER`, `API_KEY` or `SYSTEM`.
    r#type: String,
    user_id: Option<String>,
    api_key_prefix: Option<String>,
    /// Why the service itself did it.
    reason: Option<String>,
}

/// Reads the log of changes
///
/// Without `team_id` or `api_key`: of an administrator everything, of a user their own keys, of a team key its team.
#[utoipa::path(
    get, path = "/v1/audit_logs", tag = "audit logs", operation_id = "get_audit_logs", params(Filter),
    responses(
        (status = 200, body = Entries),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn audit_logs(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Entries>, Failure> {
    let limit = filter.limit.map_or(20, NonZeroU16::get);
    if limit > 200 {
        return Err(Failure::invalid("limit", "`limit` is 1 to 200"));
    }
    let mut query = LogQuery::new();
    query.events_of = events_of(&app, &caller, &filter).await?;
    query.newest_first = matches!(filter.direction, Direction::Desc);
    query.from = filter.start_epoch_millis.map(first_second);
    query.until = filter.end_epoch_millis.map(first_second);
    if let Some(kind) = &filter.kind {
        let known = EventKind::NAMES.iter().find(|name| **name == kind.as_str());
        query.kind = Some(known.ok_or(Failure::invalid("unknown_kind", "there is no such kind of event"))?);
    }
    if let Some(cursor) = &filter.cursor {
        query.after = Some(cursor.parse().map_err(|_| Failure::invalid("cursor", "that is no place in the log"))?);
    }
    // One more than asked for, to know whether there are more.
    query.limit = NonZeroU16::new(limit.saturating_add(1)).unwrap_or(query.limit);
    let mut events = app.database.events(&query).await?;
    let has_more = events.len() > usize::from(limit);
    events.truncate(limit.into());
    let cursor = events.last().filter(|_| has_more).map(|last| last.sequence.to_string());
    let items = events.iter().map(|logged| Entry::of(app.issuer, logged)).collect();
    Ok(Json(Entries { items, pagination: Pagination { has_more, cursor } }))
}

/// Returns the first whole second at this time or later: events have whole seconds.
const fn first_second(millis: i64) -> UnixTime {
    let seconds = millis.div_euclid(1000);
    UnixTime::from_secs(if millis.rem_euclid(1000) == 0 { seconds } else { seconds.saturating_add(1) })
}

/// Decides whose events the caller may read.
async fn events_of(app: &App, caller: &AuthenticatedKey, filter: &Filter) -> Result<EventsOf, Failure> {
    let snapshot = app.platform.now()?;
    let profile = caller.user().and_then(|user| snapshot.user(user));
    let is_administrator = profile.is_some_and(|profile| profile.is_administrator);
    if let Some(text) = &filter.api_key {
        if is_administrator {
            return Ok(EventsOf::Key(key::key_id(app, text).await?));
        }
        let record = app.keys.find(&Actor::from(caller), key::key_id(app, text).await?).await?;
        return Ok(EventsOf::Key(record.id()));
    }
    let team = match (&filter.team_id, caller.grant()) {
        (Some(team), _) if is_administrator => {
            let team: TeamId = team.parse().map_err(|_| Refusal::NotFound)?;
            snapshot.team_name(&team).ok_or(Refusal::NotFound)?;
            return Ok(EventsOf::Owner(Owner::Team(team)));
        }
        (Some(team), _) => caller::team_id(app, caller, team, &snapshot).await?,
        (None, Grant::Team { team, .. }) => team.clone(),
        (None, _) => {
            let user = caller::user(caller)?;
            return Ok(if is_administrator { EventsOf::All } else { EventsOf::Owner(Owner::Personal(user.clone())) });
        }
    };
    match caller.user() {
        Some(user) if app.database.membership(user, &team).await?.role() != TeamRole::Admin => {
            return Err(Refusal::NotFound.into());
        }
        _ => {
            let request = Request::new(team.clone(), Action::custom(READ_LOG, None, None));
            let _allowed = Refusal::unless_allowed(app.gate.authorize(caller, &request).await?)?;
        }
    }
    Ok(EventsOf::Owner(Owner::Team(team)))
}

impl Entry {
    pub(super) fn of(issuer: Issuer, logged: &LoggedEvent) -> Self {
        let event = &logged.event;
        let event_type = match event.kind.as_str() {
            "created" => "API_KEY_CREATED".to_owned(),
            "revoked" => "API_KEY_DELETED".to_owned(),
            kind => format!("API_KEY_{}", kind.to_uppercase()),
        };
        let kind = match event.owner {
            Some(Owner::Personal(_)) => KeyKind::Personal,
            _ => KeyKind::Team,
        };
        let prefix = event.key.map(|id| DisplayToken::new(issuer, kind, id).to_string());
        let mut actor = EntryActor { r#type: "SYSTEM".into(), user_id: None, api_key_prefix: None, reason: None };
        match &event.by {
            Principal::Key { id, user, .. } => {
                let kind = if user.is_some() { KeyKind::Personal } else { KeyKind::Team };
                actor.r#type = "API_KEY".into();
                actor.api_key_prefix = Some(DisplayToken::new(issuer, kind, *id).to_string());
                actor.user_id = user.as_ref().map(ToString::to_string);
            }
            Principal::User { id, .. } => {
                actor.r#type = "USER".into();
                actor.user_id = Some(id.to_string());
            }
            Principal::System { reason, .. } => actor.reason = Some(reason.to_string()),
            _ => {}
        }
        Self {
            id: logged.sequence.to_string(),
            created: rfc3339(event.at),
            event_data: json!({
                "event_type": event_type,
                "api_key_id": event.key,
                "prefix": prefix,
                "event": event,
            }),
            event_type,
            source: None,
            actor,
        }
    }
}
