//! An entry of the log, in words.

use keygate::{
    KeyKind, Owner, UnixTime,
    audit::{Attempt, Event, EventKind, Principal},
    verify::DisplayToken,
};

use url::form_urlencoded::Serializer;

use super::{
    person::Person,
    words::{self, Moment},
};
use crate::app::App;

pub(super) struct Entry {
    pub(super) at: Moment,
    pub(super) kind: &'static str,
    pub(super) what: String,
    pub(super) who: String,
    /// The key: its id, and the public start of its tokens.
    pub(super) key: Option<(String, String)>,
    pub(super) owner: String,
    /// Of a request that was refused: the query that asks for its decision again.
    pub(super) ask: Option<String>,
}

impl Entry {
    pub(super) fn of(app: &App, event: &Event, person: &Person) -> Self {
        let kind = match event.owner {
            Some(Owner::Personal(_)) => KeyKind::Personal,
            _ => KeyKind::Team,
        };
        Self {
            at: Moment::new(event.at, person.now),
            kind: event.kind.as_str(),
            what: what(event, person.now),
            who: who(app, &event.by, person),
            ask: ask(event),
            key: event.key.map(|id| (id.to_string(), DisplayToken::new(app.issuer, kind, id).to_string())),
            owner: match &event.owner {
                Some(Owner::Personal(user)) => words::user_name(user, Some(&person.user), &person.snapshot),
                Some(Owner::Team(team)) => {
                    format!("Team {}", person.snapshot.team_name(team).unwrap_or(team.as_str()))
                }
                _ => String::new(),
            },
        }
    }
}

fn who(app: &App, by: &Principal, person: &Person) -> String {
    let snapshot = &person.snapshot;
    match by {
        Principal::User { id, .. } => words::user_name(id, Some(&person.user), snapshot),
        Principal::Key { id, user: Some(user), .. } => {
            let prefix = DisplayToken::new(app.issuer, KeyKind::Personal, *id);
            format!("{} by key {prefix}", words::user_name(user, Some(&person.user), snapshot))
        }
        Principal::Key { id, user: None, .. } => {
            format!("key {}", DisplayToken::new(app.issuer, KeyKind::Team, *id))
        }
        Principal::System { reason, .. } => format!("this server ({reason})"),
        _ => "somebody without a valid key".into(),
    }
}

fn ask(event: &Event) -> Option<String> {
    let EventKind::Refused {
        attempt: Some(Attempt::Request { team, action, model, environment, resource, .. }), ..
    } = &event.kind
    else {
        return None;
    };
    let mut query = Serializer::new(String::new());
    query.append_pair("action", action).append_pair("team", team.as_str());
    for (name, value) in [
        ("model", model.as_ref().map(AsRef::as_ref)),
        ("environment", environment.as_ref().map(AsRef::as_ref)),
        ("resource", resource.as_ref().map(AsRef::<str>::as_ref)),
    ] {
        query.extend_pairs(value.map(|value: &str| (name, value)));
    }
    Some(query.finish())
}

fn what(event: &Event, now: UnixTime) -> String {
    let end = |end: &Option<UnixTime>| match end {
        Some(end) => format!("ends {}", Moment::new(*end, now).text),
        None => "never ends".into(),
    };
    match &event.kind {
        EventKind::Created { name, expires_at, .. } => format!("Created as {name}; {}", end(expires_at)),
        EventKind::Imported { name, expires_at, .. } => format!("Imported as {name}; {}", end(expires_at)),
        EventKind::Disabled => "Disabled".into(),
        EventKind::Enabled => "Enabled".into(),
        EventKind::LabelsSet { labels, .. } if labels.is_empty() => "Labels removed".into(),
        EventKind::LabelsSet { labels, .. } => {
            let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("Labels set: {}", labels.join(", "))
        }
        EventKind::OverlapEnded => "Old secret ended".into(),
        EventKind::Refused { attempt, reason, .. } => {
            let tried = match attempt {
                Some(Attempt::Operation(operation)) => operation.as_str().replace('_', " "),
                Some(Attempt::Request { action, model, environment, .. }) => {
                    let model = model.as_ref().map(|model| format!(" model {model}")).unwrap_or_default();
                    let environment = environment.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
                    format!("{action}{model}{environment}")
                }
                _ => "a request".into(),
            };
            format!("Refused: {tried}. {}", words::denial(reason.as_str()))
        }
        EventKind::Renamed { name, previous_name, .. } => format!("Renamed from {previous_name} to {name}"),
        EventKind::Revoked { cause, .. } => format!("Revoked: {}", words::cause(*cause)),
        EventKind::Rotated { previous_ends_at: Some(end), .. } => {
            format!("New secret; the old one until {}", Moment::new(*end, now).text)
        }
        EventKind::Rotated { previous_ends_at: None, .. } => "New secret; the old one ended at once".into(),
        EventKind::Upgraded => "Upgraded to the current format".into(),
        EventKind::Used { count, .. } => format!("Used {}", words::count(*count, "time")),
        _ => "An event of an unknown kind".into(),
    }
}
