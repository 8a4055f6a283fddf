//! The description of a key on the pages.

use keygate::{Grant, KeyRecord, Status, UnixTime};

use super::{
    person::Person,
    words::{self, Moment},
};
use crate::api::key::{prefix, status};

pub(super) struct KeyView {
    pub(super) id: String,
    pub(super) name: String,
    /// The public start of its tokens.
    pub(super) prefix: String,
    pub(super) owner: String,
    pub(super) when_people_leave: String,
    pub(super) level: &'static str,
    pub(super) scopes: Vec<String>,
    pub(super) made_by: String,
    pub(super) made: Moment,
    pub(super) last_used: Option<Moment>,
    pub(super) begin: Option<Moment>,
    pub(super) end: Option<Moment>,
    pub(super) status: StatusView,
    pub(super) labels: Vec<(String, String)>,
    pub(super) previous: Option<PreviousView>,
}

pub(super) struct StatusView {
    /// As the API names it; the stylesheet knows it as well.
    pub(super) name: &'static str,
    pub(super) text: String,
    /// It ends within two weeks.
    pub(super) is_soon: bool,
    /// When and why, of a revoked key.
    pub(super) revoked: Option<(Moment, &'static str)>,
}

/// The secret before the last rotation, which still opens.
pub(super) struct PreviousView {
    pub(super) ends: Moment,
    pub(super) last_used: Option<Moment>,
}

impl KeyView {
    pub(super) fn of(record: &KeyRecord, person: &Person) -> Self {
        let (snapshot, now) = (&*person.snapshot, person.now);
        let moment = |time: UnixTime| Moment::new(time, now);
        let (owner, when_people_leave) = match record.grant() {
            Grant::Personal { user, .. } => {
                let ends = if *user == person.user {
                    "Ends when you leave".to_owned()
                } else {
                    format!("Ends when {} leaves", words::user_name(user, None, snapshot))
                };
                (words::user_name(user, Some(&person.user), snapshot), ends)
            }
            Grant::Team { team, .. } => {
                let name = snapshot.team_name(team).unwrap_or(team.as_str());
                (format!("Team {name}"), "Stays when people leave".into())
            }
            _ => (record.grant().owner().to_string(), String::new()),
        };
        Self {
            id: record.id().to_string(),
            name: record.name().to_string(),
            prefix: prefix(record),
            owner,
            when_people_leave,
            level: words::level(record.grant()),
            scopes: words::scopes(record.grant(), snapshot),
            made_by: words::creator(record.created_by(), &person.user, snapshot),
            made: moment(record.created_at()),
            last_used: record.last_used_at().map(moment),
            begin: record.validity().not_before().filter(|begin| *begin > now).map(moment),
            end: record.validity().expires_at().map(moment),
            status: status_of(record, now),
            labels: record.labels().iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            previous: record.live_previous(now).filter(|_| !record.is_revoked()).map(|previous| PreviousView {
                ends: moment(previous.ends_at),
                last_used: previous.last_used_at.map(moment),
            }),
        }
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.status.name == "revoked"
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.status.name == "disabled"
    }

    /// Only an active key can get a new secret.
    pub(super) fn can_rotate(&self) -> bool {
        matches!(self.status.name, "active" | "not_yet_valid")
    }
}

fn status_of(record: &KeyRecord, now: UnixTime) -> StatusView {
    let name = status(record, now);
    let text = match (name, record.validity().expires_at()) {
        ("active", Some(end)) => format!("Ends {}", Moment::new(end, now).near),
        ("active", None) => "Active".into(),
        ("disabled", _) => "Disabled".into(),
        ("expired", _) => "Expired".into(),
        ("not_yet_valid", _) => "Not valid yet".into(),
        ("revoked", _) => "Revoked".into(),
        _ => words::sentence(name),
    };
    let revoked = match record.status() {
        Status::Revoked { at, cause } => Some((Moment::new(at, now), words::cause(cause))),
        _ => None,
    };
    let soon = now.saturating_add(words::DAY.saturating_mul(14));
    let is_soon = name == "active" && record.validity().expires_at().is_some_and(|end| end <= soon);
    StatusView { name, text, is_soon, revoked }
}
