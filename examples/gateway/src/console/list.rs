//! The list of keys that a person may see.

use core::num::NonZeroU16;
use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use keygate::{
    Grant, KeyRecord, Owner, UnixTime,
    store::{ListQuery, StatusFilter},
};

use super::{
    form::{Fields, Query},
    key_view::KeyView,
    page::{Frame, Stop, ok},
    person::Person,
    words::{self, DAY},
};
use crate::{
    api::{caller::owners_of, key::status},
    app::App,
};

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    keys: Vec<KeyView>,
    count: String,
    /// Each owner's keys are all there.
    is_whole: bool,
    with_ended_query: String,
    owners: Vec<(String, String, bool)>,
    filters: Vec<(&'static str, &'static str, bool)>,
    search: String,
    shows_ended: bool,
    is_filtered: bool,
    notice: Option<&'static str>,
    before: Option<String>,
    next: Option<String>,
}

pub(super) async fn list(State(app): State<Arc<App>>, person: Person, Query(query): Query) -> Result<Response, Stop> {
    let owners = owners_of(&app, &person.user, &person.snapshot).await?;
    let shows_ended = query.has("ended", "show");
    let (mut records, mut is_whole) = (Vec::new(), true);
    for owner in &owners {
        let is_wanted = query.text("owner").is_none_or(|wanted| wanted == owner.to_string());
        if is_wanted {
            let (keys, are_all) = keys_of(&app, &person, owner, shows_ended).await?;
            records.extend(keys);
            is_whole &= are_all;
        }
    }
    records.sort_by_key(|record| core::cmp::Reverse((record.created_at(), record.id())));
    let is_shown =
        |record: &KeyRecord| (shows_ended || !is_ended(record, person.now)) && is_wanted(record, &query, &person);
    let shown: Vec<_> = records.iter().filter(|record| is_shown(record)).collect();

    let page: usize = query.text("page").and_then(|page| page.parse().ok()).unwrap_or(0);
    let keys = shown.iter().skip(page.saturating_mul(PAGE)).take(PAGE);
    let keys: Vec<_> = keys.map(|record| KeyView::of(record, &person)).collect();
    let link = |page: usize| format!("{}&page={page}", query.query_without(&["page", "done"]));
    let is_last = page.saturating_add(1).saturating_mul(PAGE) >= shown.len();
    Ok(ok(&ListPage {
        frame: person.frame("API keys", "keys"),
        count: words::count(shown.len() as u64, "key"),
        is_whole,
        with_ended_query: format!("{}&ended=show", query.query_without(&["page", "done", "ended"])),
        owners: owner_options(&owners, &query, &person),
        filters: FILTERS.iter().map(|(name, text)| (*name, *text, query.has("only", name))).collect(),
        search: query.text("q").unwrap_or_default().into(),
        shows_ended,
        is_filtered: ["q", "owner", "only"].iter().any(|name| query.text(name).is_some()),
        notice: notice(&query),
        before: page.checked_sub(1).map(link),
        next: (!is_last).then(|| link(page.saturating_add(1))),
        keys,
    }))
}

/// Returns the keys of an owner, and `true` if these are all: one page shows only so many.
async fn keys_of(
    app: &App,
    person: &Person,
    owner: &Owner,
    with_revoked: bool,
) -> Result<(Vec<Arc<KeyRecord>>, bool), Stop> {
    let mut query = ListQuery::new();
    if !with_revoked {
        query.filter.status = Some(StatusFilter::NotRevoked);
    }
    query.limit = NonZeroU16::new(1000).unwrap_or(query.limit);
    let mut records = Vec::new();
    loop {
        let page = app.keys.list(&person.actor(), owner.clone(), query).await?;
        records.extend(page.records);
        let Some(next) = page.next else { return Ok((records, true)) };
        if records.len() >= MAX_KEYS {
            return Ok((records, false));
        }
        query.after = Some(next);
    }
}

fn is_ended(record: &KeyRecord, now: UnixTime) -> bool {
    matches!(status(record, now), "revoked" | "expired")
}

fn is_wanted(record: &KeyRecord, query: &Fields, person: &Person) -> bool {
    let now = person.now;
    let since = now.saturating_sub(DAY.saturating_mul(90));
    let fits = match query.text("only") {
        Some("never-ends") => record.validity().expires_at().is_none(),
        Some("ends-soon") => {
            let soon = now.saturating_add(DAY.saturating_mul(30));
            record.validity().expires_at().is_some_and(|end| end > now && end <= soon)
        }
        // A key that is younger than that was not left unused for as long.
        Some("unused") => record.last_used_at().is_none_or(|used| used < since) && record.created_at() < since,
        Some("old-secret") => record.live_previous(now).is_some_and(|previous| previous.last_used_at.is_some()),
        Some("disabled") => status(record, now) == "disabled",
        _ => true,
    };
    fits && query.text("q").is_none_or(|text| matches(record, &text.to_lowercase(), person))
}

/// Searches what the row says.
fn matches(record: &KeyRecord, text: &str, person: &Person) -> bool {
    let view = KeyView::of(record, person);
    let labels = view.labels.iter().map(|(name, value)| format!("{name}={value}"));
    let texts = [view.name, view.prefix, view.owner, view.made_by, view.level.into()];
    let mut texts = texts.into_iter().chain(view.scopes).chain(labels);
    texts.any(|found| found.to_lowercase().contains(text))
}

pub(super) fn owner_options(owners: &[Owner], query: &Fields, person: &Person) -> Vec<(String, String, bool)> {
    let name = |owner: &Owner| match owner {
        Owner::Team(team) => format!("Team {}", person.snapshot.team_name(team).unwrap_or(team.as_str())),
        _ => "My own keys".into(),
    };
    owners.iter().map(|owner| (owner.to_string(), name(owner), query.has("owner", &owner.to_string()))).collect()
}

/// The message about the previous action, from a closed list.
pub(super) fn notice(query: &Fields) -> Option<&'static str> {
    Some(match query.text("done")? {
        "revoked" => "The key is revoked. Requests with it are refused from now on.",
        "was-revoked" => "The key was revoked before. Nothing was changed.",
        "disabled" => "The key is disabled. You can enable it again.",
        "enabled" => "The key is enabled.",
        "renamed" => "The key has its new name.",
        "labels" => "The labels are set.",
        "overlap-ended" => "The old secret has ended. Only the new one works.",
        "deprovisioned" => "The user is deprovisioned: their sessions and personal keys have ended.",
        "unchanged" => "Nothing had to be changed.",
        _ => return None,
    })
}

/// Returns `true` if the key is the person's own.
pub(super) fn is_mine(record: &KeyRecord, person: &Person) -> bool {
    matches!(record.grant(), Grant::Personal { user, .. } if *user == person.user)
}

const FILTERS: [(&str, &str); 5] = [
    ("ends-soon", "Ends within 30 days"),
    ("never-ends", "Never expires"),
    ("unused", "Unused for 90 days"),
    ("old-secret", "Old secret still in use"),
    ("disabled", "Disabled"),
];
const PAGE: usize = 100;
const MAX_KEYS: usize = 10_000;
