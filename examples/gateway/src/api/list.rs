//! Listing keys.

use core::num::NonZeroU16;
use std::sync::Arc;

use axum::{Json, extract::State};
use keygate::{
    Actor, AuthenticatedKey, Owner,
    store::{Creator, Cursor, ListQuery, StatusFilter},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller,
    key::{self, KeyInfo, KeyType},
    problem::{Failure, Parameters, Problem, Segment},
};
use crate::app::App;

/// Which keys to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those of a type.
    r#type: Option<KeyType>,
    /// Only those that the caller's user created.
    #[serde(default)]
    created_by_me: bool,
    /// Revoked keys are listed where they are asked for.
    #[serde(default)]
    status: StatusName,
}

/// Which keys of a team to list, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// The largest number of keys; 100 if not given.
    #[param(minimum = 1, maximum = 1000)]
    #[param(value_type = Option<u16>)]
    limit: Option<NonZeroU16>,
    /// The `cursor` of the previous page.
    cursor: Option<String>,
    #[serde(default)]
    status: StatusName,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StatusName {
    Active,
    All,
    Disabled,
    #[default]
    NotRevoked,
    Revoked,
}

impl StatusName {
    const fn filter(self) -> Option<StatusFilter> {
        match self {
            Self::Active => Some(StatusFilter::Active),
            Self::All => None,
            Self::Disabled => Some(StatusFilter::Disabled),
            Self::NotRevoked => Some(StatusFilter::NotRevoked),
            Self::Revoked => Some(StatusFilter::Revoked),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    keys: Vec<KeyInfo>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct KeysPage {
    keys: Vec<KeyInfo>,
    /// The cursor of the next page, if there is one.
    cursor: Option<String>,
}

/// Lists the keys that the caller may see
///
/// The keys of its user, and of the teams that the user administers.
#[utoipa::path(
    get, path = "/v1/api_keys", tag = "keys", operation_id = "list_api_keys", params(Filter),
    responses(
        (status = 200, body = Keys),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Keys>, Failure> {
    let snapshot = app.platform.now()?;
    let mut keys = Vec::new();
    for owner in caller::owners(&app, &caller, &snapshot).await? {
        let mut query = ListQuery::new();
        query.filter.status = filter.status.filter();
        query.limit = PAGE;
        loop {
            let page = app.keys.list(&Actor::from(&caller), owner.clone(), query).await?;
            let wanted = page.records.iter().filter(|record| {
                let is_mine =
                    || matches!((record.created_by(), caller.user()), (Creator::User(by), Some(me)) if by == me);
                filter.r#type.is_none_or(|wanted| wanted == KeyType::of(record.grant()))
                    && (!filter.created_by_me || is_mine())
            });
            keys.extend(wanted.map(|record| KeyInfo::of(record, &snapshot, app.gate.now())));
            if keys.len() > MAX_KEYS {
                return Err(Failure::invalid("too_many", "there are too many: list the keys of each team, in pages"));
            }
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
    }
    Ok(Json(Keys { keys }))
}

/// Lists the keys of a team, in pages
#[utoipa::path(
    get, path = "/v1/teams/{team_id}/api_keys", tag = "keys", operation_id = "list_team_api_keys",
    params(("team_id" = String, Path), Page),
    responses(
        (status = 200, body = KeysPage),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_of_team(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Segment(team): Segment,
    Parameters(page): Parameters<Page>,
) -> Result<Json<KeysPage>, Failure> {
    let snapshot = app.platform.now()?;
    let team = caller::team_id(&app, &caller, &team, &snapshot).await?;
    let mut query = ListQuery::new();
    query.filter.status = page.status.filter();
    query.limit = page.limit.unwrap_or(query.limit);
    if query.limit > PAGE {
        return Err(Failure::invalid("limit", "`limit` is 1 to 1000"));
    }
    if let Some(cursor) = &page.cursor {
        let cursor: Cursor = cursor.parse().map_err(|_| Failure::invalid("cursor", "that is no place in a list"))?;
        query.after = Some(cursor);
    }
    let page = app.keys.list(&Actor::from(&caller), Owner::Team(team), query).await?;
    let keys = page.records.iter().map(|record| KeyInfo::of(record, &snapshot, app.gate.now())).collect();
    Ok(Json(KeysPage { keys, cursor: page.next.map(|next| next.to_string()) }))
}

/// Shows one key
#[utoipa::path(
    get, path = "/v1/api_keys/{prefix}", tag = "keys", operation_id = "get_api_key", params(("prefix" = String, Path)),
    responses(
        (status = 200, body = KeyInfo),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    caller: AuthenticatedKey,
    Segment(prefix): Segment,
) -> Result<Json<KeyInfo>, Failure> {
    let snapshot = app.platform.now()?;
    let record = app.keys.find(&Actor::from(&caller), key::key_id(&app, &prefix).await?).await?;
    Ok(Json(KeyInfo::of(&record, &snapshot, app.gate.now())))
}

const PAGE: NonZeroU16 = NonZeroU16::new(1000).expect("1,000 is not 0");
const MAX_KEYS: usize = 10_000;
