//! The log of changes, for those who may read it.

use core::num::NonZeroU16;
use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use jiff::tz::TimeZone;
use keygate::{Owner, UnixTime, UserId, audit::EventKind};
use keygate_sqlx::{EventsOf, LogQuery};

use super::{
    entry::Entry,
    form::{Fields, Query},
    key, list,
    page::{Frame, Stop, ok},
    person::Person,
};
use crate::{api::caller::owners_of, app::App};

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    frame: Frame,
    entries: Vec<Entry>,
    owners: Vec<(String, String, bool)>,
    kinds: Vec<(&'static str, String, bool)>,
    query: Fields,
    /// An error about the search.
    wrong: Option<&'static str>,
    next: Option<String>,
    is_first: bool,
}

impl LogPage {
    fn value(&self, field: &str) -> &str {
        self.query.text(field).unwrap_or_default()
    }
}

pub(super) async fn show(State(app): State<Arc<App>>, person: Person, Query(query): Query) -> Result<Response, Stop> {
    let owners = owners_of(&app, &person.user, &person.snapshot).await?;
    let mut log = LogQuery::new();
    log.newest_first = true;
    log.limit = NonZeroU16::new(PAGE.saturating_add(1)).unwrap_or(log.limit);
    log.after = query.text("after").and_then(|after| after.parse().ok());
    log.kind = query.text("kind").and_then(|kind| EventKind::NAMES.iter().copied().find(|name| *name == kind));
    log.from = query.text("from").and_then(midnight);
    // The whole last day counts.
    log.until = query.text("until").and_then(midnight).map(|day| day.saturating_add(super::words::DAY));
    let found = events_of(&app, &person, &query, &owners).await;
    let (mut events, wrong) = match found {
        Ok(events_of) => {
            log.events_of = events_of;
            (app.database.events(&log).await?, None)
        }
        Err(Stop::Refused(_) | Stop::NotFound) => {
            (Vec::new(), Some("There is no such key or user, or it is not yours to see."))
        }
        Err(stop) => return Err(stop),
    };
    let has_more = events.len() > usize::from(PAGE);
    events.truncate(PAGE.into());
    let next = events.last().filter(|_| has_more).map(|last| {
        let mut link = query.query_without(&["after"]);
        link.push_str(&format!("&after={}", last.sequence));
        link
    });
    Ok(ok(&LogPage {
        frame: person.frame("Audit log", "log"),
        entries: events.iter().map(|logged| Entry::of(&app, &logged.event, &person)).collect(),
        owners: owner_options(&owners, &query, &person),
        kinds: kinds(&query),
        is_first: log.after.is_none(),
        query,
        wrong,
        next,
    }))
}

/// Decides whose events the person reads: an administrator everything, others of their own keys and of the teams of
/// which they are an admin.
async fn events_of(app: &App, person: &Person, query: &Fields, owners: &[Owner]) -> Result<EventsOf, Stop> {
    if let Some(text) = query.text("q") {
        // A key is the person's to see as the manager says.
        return match key::find(app, person, text).await {
            Ok((id, _)) => Ok(EventsOf::Key(id)),
            Err(stop @ (Stop::Refused(_) | Stop::NotFound)) if person.profile.is_administrator => {
                let user: UserId = text.parse().map_err(|_| stop)?;
                if person.snapshot.user(&user).is_none() {
                    return Err(Stop::NotFound);
                }
                Ok(EventsOf::ActingUser(user))
            }
            Err(stop) => Err(stop),
        };
    }
    match query.text("owner") {
        Some(wanted) => {
            let owner = owners.iter().find(|owner| owner.to_string() == wanted);
            owner.cloned().map(EventsOf::Owner).ok_or(Stop::NotFound)
        }
        None if person.profile.is_administrator => Ok(EventsOf::All),
        None => Ok(EventsOf::Owner(Owner::Personal(person.user.clone()))),
    }
}

fn owner_options(owners: &[Owner], query: &Fields, person: &Person) -> Vec<(String, String, bool)> {
    let mut options = list::owner_options(owners, query, person);
    if person.profile.is_administrator {
        options.insert(0, (String::new(), "All keys".into(), query.text("owner").is_none()));
    }
    options
}

fn kinds(query: &Fields) -> Vec<(&'static str, String, bool)> {
    let stored = EventKind::NAMES.iter().filter(|name| !["refused", "unknown", "used"].contains(name));
    stored
        .map(|name| (*name, super::words::sentence(&name.replace('_', " ")).replace('.', ""), query.has("kind", name)))
        .collect()
}

fn midnight(day: &str) -> Option<UnixTime> {
    let start = super::words::date(day)?.to_zoned(TimeZone::UTC).ok()?;
    Some(UnixTime::from_secs(start.timestamp().as_second()))
}

const PAGE: u16 = 50;
