//! The page of one key: what it is, what happened to it, and why it is refused.

use core::num::NonZeroU16;
use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use keygate::{
    KeyId, KeyRecord, TeamId,
    audit::{Attempt, Event, EventKind, RefusalReason},
};
use keygate_sqlx::{EventsOf, LogQuery};

use super::{
    entry::Entry,
    form::{Fields, Query},
    key_view::KeyView,
    list,
    page::{Frame, Stop, render},
    person::Person,
    refusals, spec, words,
};
use crate::{
    api::{check, key::key_id},
    app::App,
};

#[derive(Template)]
#[template(path = "key.html")]
pub(super) struct KeyPage {
    frame: Frame,
    key: KeyView,
    labels_text: String,
    notice: Option<&'static str>,
    wrong: Option<(&'static str, String)>,
    entries: Vec<Entry>,
    /// The latest refusals, with counts.
    refused: Vec<(Entry, String)>,
    older: Option<u64>,
    actions: Vec<(String, &'static str)>,
    environments: Vec<String>,
    models: Vec<(String, String)>,
    teams: Vec<(String, String)>,
    query: Fields,
    answer: Option<Answer>,
}

/// The result of a dry run.
struct Answer {
    allowed: bool,
    text: String,
    missing: Option<String>,
}

impl KeyPage {
    fn is_chosen(&self, field: &str, value: &str) -> bool {
        self.query.has(field, value)
    }

    fn wrong(&self, field: &str) -> Option<&str> {
        self.wrong.as_ref().filter(|(wrong, _)| *wrong == field).map(|(_, text)| text.as_str())
    }
}

/// Finds a key that the person may see, by what a path names it.
pub(super) async fn find(app: &App, person: &Person, text: &str) -> Result<(KeyId, Arc<KeyRecord>), Stop> {
    let id = key_id(app, text).await?;
    Ok((id, app.keys.find(&person.actor(), id).await?))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    person: Person,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Response, Stop> {
    show_with(&app, &person, &id, query, None).await
}

/// Shows the key, and what was wrong with one of its forms.
pub(super) async fn show_with(
    app: &App,
    person: &Person,
    id: &str,
    query: Fields,
    wrong: Option<(&'static str, String)>,
) -> Result<Response, Stop> {
    let (id, record) = find(app, person, id).await?;
    let snapshot = &person.snapshot;
    let (entries, older) = history(app, person, id, &query).await?;
    let teams = person.own_teams(app).await?;
    let refused = as_seen(refusals::of(&app.database, id).await?, &teams);
    let key = KeyView::of(&record, person);
    let labels: Vec<_> = key.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let all = teams.iter().flat_map(|team| spec::environments(team, snapshot));
    let environments: std::collections::BTreeSet<_> = all.collect();
    let models = teams.iter().flat_map(|team| snapshot.models_of(team));
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = KeyPage {
        frame: person.frame(&key.name, "keys"),
        labels_text: labels.join("\n"),
        notice: list::notice(&query),
        wrong,
        entries,
        refused: refused
            .iter()
            .take(REFUSED)
            .map(|(event, times)| (Entry::of(app, event, person), words::count(*times, "time")))
            .collect(),
        older,
        actions: spec::action_names(),
        environments: environments.into_iter().collect(),
        models: models.map(|(model, _)| (model.to_string(), words::model_name(model, snapshot))).collect(),
        teams: teams.iter().filter_map(|team| Some((team.to_string(), snapshot.team_name(team)?.to_owned()))).collect(),
        answer: answer(app, person, id, &query).await?,
        query,
        key,
    };
    Ok(render(status, &page))
}

/// Makes of each request to a team of others what a request for nothing is, one with those: what is theirs is not there
/// for the person.
fn as_seen(refused: Vec<(Event, u64)>, own: &[TeamId]) -> Vec<(Event, u64)> {
    let mut seen: Vec<(Event, u64)> = Vec::new();
    for (mut event, times) in refused {
        if let EventKind::Refused { attempt, reason, .. } = &mut event.kind
            && matches!(attempt, Some(Attempt::Request { team, .. }) if !own.contains(team))
        {
            (*attempt, *reason) = (None, RefusalReason::NOT_FOUND);
        }
        match seen.iter_mut().find(|(other, _)| other.by == event.by && other.kind == event.kind) {
            Some((_, sum)) => *sum = sum.saturating_add(times),
            None => seen.push((event, times)),
        }
    }
    seen
}

async fn history(app: &App, person: &Person, id: KeyId, query: &Fields) -> Result<(Vec<Entry>, Option<u64>), Stop> {
    let mut log = LogQuery::new();
    log.events_of = EventsOf::Key(id);
    log.newest_first = true;
    log.after = query.text("after").and_then(|after| after.parse().ok());
    log.limit = NonZeroU16::new(HISTORY.saturating_add(1)).unwrap_or(log.limit);
    let mut events = app.database.events(&log).await?;
    let has_more = events.len() > usize::from(HISTORY);
    events.truncate(HISTORY.into());
    let older = events.last().filter(|_| has_more).map(|last| last.sequence);
    Ok((events.iter().map(|logged| Entry::of(app, &logged.event, person)).collect(), older))
}

/// Asks for the decision that a request would get. It is the same function that decides requests.
async fn answer(app: &App, person: &Person, id: KeyId, query: &Fields) -> Result<Option<Answer>, Stop> {
    let Some(action) = query.text("action") else { return Ok(None) };
    let text = |name: &str| query.text(name).map(ToOwned::to_owned);
    let would_do = check::WouldDo {
        action: action.into(),
        team_id: text("team"),
        model_id: text("model"),
        environment: text("environment"),
        resource: text("resource"),
    };
    Ok(Some(match check::explain_for(app, &person.actor(), id, &would_do).await.map_err(Stop::from) {
        Ok(explained) => Answer {
            allowed: explained.allowed,
            text: match &explained.reason {
                None => "This request would be allowed.".into(),
                Some(reason) => words::denial(reason),
            },
            missing: explained.missing.map(|missing| missing.replace('`', "")),
        },
        Err(Stop::Unavailable) => return Err(Stop::Unavailable),
        Err(stop) => Answer { allowed: false, text: stop.text(), missing: None },
    }))
}

/// How many refusals are shown.
const REFUSED: usize = 10;
/// How many entries a page of the history has.
const HISTORY: u16 = 20;
