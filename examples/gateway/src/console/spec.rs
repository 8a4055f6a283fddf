//! The key that a form asks for. What is not chosen is refused: nothing means "all" but the word itself.

use core::str::FromStr;

use jiff::tz::TimeZone;
use keygate::{ActionName, EnvironmentName, Grant, ModelId, Permission, ResourceId, Scope, TeamId, UnixTime, Validity};

use super::{
    form::Fields,
    person::Person,
    words::{self, DAY},
};
use crate::{app::ACTIONS, platform::Snapshot};

/// The owner of a key, from the field `for`.
pub(super) enum For {
    Person,
    Team(TeamId),
}

impl For {
    /// Reads it; a team is one of the person's own.
    pub(super) fn of(fields: &Fields, teams: &[TeamId]) -> Option<Self> {
        match fields.text("for")? {
            "me" => Some(Self::Person),
            other => {
                let team: TeamId = other.strip_prefix("team:")?.parse().ok()?;
                teams.contains(&team).then_some(Self::Team(team))
            }
        }
    }
}

/// The levels, by their names in forms.
pub(super) const LEVELS: [(&str, &str, &str); 4] = [
    (
        "full",
        "Manage and call all team models",
        "Everything in the team except managing keys. For deployment pipelines.",
    ),
    ("inference", "Call certain models", "Calls models, and nothing else. For applications."),
    ("metrics", "Export model metrics", "Reads the metrics of models. For monitoring."),
    ("custom", "Own actions", "Exactly the actions that you list."),
];

/// The restrictions that a level can have.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked {
    pub(super) actions: bool,
    pub(super) environments: bool,
    pub(super) models: bool,
    pub(super) resources: bool,
}

impl Asked {
    pub(super) fn by(level: Option<&str>) -> Self {
        match level {
            Some("full") => Self { environments: true, ..Self::default() },
            Some("inference") => Self { environments: true, models: true, ..Self::default() },
            Some("metrics") => Self { models: true, ..Self::default() },
            Some("custom") => Self { actions: true, environments: true, resources: true, ..Self::default() },
            _ => Self::default(),
        }
    }
}

/// The names of the actions that a custom key may list.
pub(super) fn action_names() -> Vec<(String, &'static str)> {
    let built_in = [
        ("call", "call models"),
        ("deploy", "deploy models"),
        ("export_metrics", "export metrics"),
        ("manage", "manage the team's other resources"),
    ];
    let own = ACTIONS.iter().map(|action| (action.name().to_owned(), "an action of this server"));
    built_in.into_iter().map(|(name, text)| (name.to_owned(), text)).chain(own).collect()
}

/// Returns the environments that the models of a team have.
pub(super) fn environments(team: &TeamId, snapshot: &Snapshot) -> Vec<String> {
    let models = snapshot.models_of(team);
    let all = models.flat_map(|(model, _)| snapshot.environments_of_model(model)).map(ToString::to_string);
    let all: std::collections::BTreeSet<_> = all.collect();
    all.into_iter().collect()
}

/// Errors by field.
pub(super) type Wrong = (&'static str, String);

pub(super) fn grant(fields: &Fields, person: &Person, teams: &[TeamId]) -> Result<Grant, Wrong> {
    match For::of(fields, teams).ok_or(("for", "Say whose key it is.".to_owned()))? {
        For::Person => Ok(Grant::personal(person.user.clone())),
        For::Team(team) => {
            let permission = permission(fields, &team, &person.snapshot)?;
            Ok(Grant::team(team, permission))
        }
    }
}

fn permission(fields: &Fields, team: &TeamId, snapshot: &Snapshot) -> Result<Permission, Wrong> {
    let environments = || scope::<EnvironmentName>(fields, "environments");
    match fields.text("level") {
        Some("full") => Ok(Permission::full(environments()?)),
        Some("inference") => Ok(Permission::inference_only(environments()?, models(fields, team, snapshot)?)),
        Some("metrics") => Ok(Permission::metrics_only(models(fields, team, snapshot)?)),
        Some("custom") => {
            let actions: Vec<ActionName> = parsed("actions", fields.all("action"))?;
            if actions.is_empty() {
                return Err(("actions", "Choose at least one action.".into()));
            }
            let (environments, resources) = (environments()?, scope::<ResourceId>(fields, "resources")?);
            Permission::custom(actions, environments, resources)
                .map_err(|_| ("actions", "These actions and restrictions cannot be combined.".into()))
        }
        _ => Err(("level", "Say what the key may do.".into())),
    }
}

fn models(fields: &Fields, team: &TeamId, snapshot: &Snapshot) -> Result<Scope<ModelId>, Wrong> {
    let models = scope::<ModelId>(fields, "models")?;
    let mut members = models.members().into_iter().flat_map(|members| members.iter());
    match members.find(|model| snapshot.model(model).is_none_or(|model| model.team != *team)) {
        Some(_) => Err(("models", "The team has no such model.".into())),
        None => Ok(models),
    }
}

/// Reads "all" or "only these", and then these: `environments`, and `environment` for each of them.
fn scope<T: FromStr + AsRef<str> + Ord>(fields: &Fields, name: &'static str) -> Result<Scope<T>, Wrong> {
    match fields.text(name) {
        Some("all") => Ok(Scope::All),
        Some("only") => {
            let one = name.strip_suffix('s').unwrap_or(name);
            // Checkboxes give one each, a text field several.
            let texts = fields.all(one).flat_map(|text| text.split([',', ' ', '\n'])).map(str::trim);
            let members = parsed(name, texts.filter(|text| !text.is_empty()))?;
            Scope::only(members).map_err(|_| (name, format!("Choose at least one of the {name}, or say “All”.")))
        }
        _ => Err((name, format!("Say which {name}: “All”, or “Only these”."))),
    }
}

fn parsed<'a, T: FromStr>(name: &'static str, texts: impl Iterator<Item = &'a str>) -> Result<Vec<T>, Wrong> {
    let parsed: Result<Vec<T>, _> = texts.map(str::parse).collect();
    parsed.map_err(|_| (name, format!("One of the {name} is not a valid name.")))
}

/// The ends that the form offers, in days.
pub(super) const ENDS: [(&str, &str, u32); 4] =
    [("7", "7 days", 7), ("30", "30 days", 30), ("90", "90 days", 90), ("365", "1 year", 365)];

pub(super) fn validity(fields: &Fields, now: UnixTime) -> Result<Validity, Wrong> {
    match fields.text("expiry") {
        Some("never") => Ok(Validity::NEVER_EXPIRES),
        Some("date") => {
            let day = fields.text("date").and_then(words::date);
            let day = day.ok_or(("expiry", "Give the day as year-month-day, such as 2030-01-31.".to_owned()))?;
            // The whole day counts.
            let end = day.tomorrow().and_then(|day| day.to_zoned(TimeZone::UTC));
            let end = end.map_err(|_| ("expiry", "That day is too far away.".to_owned()))?;
            Ok(Validity::until(UnixTime::from_secs(end.timestamp().as_second())))
        }
        Some(days) => match ENDS.iter().find(|(name, ..)| *name == days) {
            Some((.., days)) => Ok(Validity::until(now.saturating_add(DAY.saturating_mul(*days)))),
            None => Err(("expiry", "Say when the key ends.".into())),
        },
        None => Err(("expiry", "Say when the key ends.".into())),
    }
}
