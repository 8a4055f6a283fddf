//! Making a key, in steps: whose it is, what it may do, and then the details. The answer to the last one has the
//! secret.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use keygate::{Grant, KeyName, ManageError, NewKeySpec, Permission, TeamId, TeamRole, Validity, manage::MintError};

use super::{
    form::{Fields, Query, Signed},
    page::{Frame, Stop, render},
    person::Person,
    reveal::{self, Made},
    spec::{self, Asked, For, LEVELS, Wrong},
    words::{self, DAY},
};
use crate::{api::idempotency::Claimed, app::App, random};

#[derive(Template)]
#[template(path = "create.html")]
struct CreatePage {
    frame: Frame,
    step: u8,
    steps: u8,
    wrong: Option<Wrong>,
    fields: Fields,
    form: String,
    /// Value, name, and what happens when people leave.
    owners: Vec<(String, String, &'static str)>,
    is_admin: bool,
    owner: String,
    level: &'static str,
    asked: Asked,
    environments: Vec<String>,
    models: Vec<(String, String)>,
    actions: Vec<(String, &'static str)>,
    ends: Vec<(&'static str, &'static str)>,
    offers_never: bool,
    offers_date: bool,
    tomorrow: String,
}

impl CreatePage {
    fn wrong(&self, field: &str) -> Option<&str> {
        self.wrong.as_ref().filter(|(wrong, _)| *wrong == field).map(|(_, text)| text.as_str())
    }

    fn value(&self, field: &str) -> &str {
        self.fields.text(field).unwrap_or_default()
    }

    /// The query of an earlier step, with what was chosen.
    fn back(&self, without: &[&str]) -> String {
        let mut names = vec!["form", "step"];
        names.extend(without);
        self.fields.query_without(&names)
    }

    const fn levels() -> &'static [(&'static str, &'static str, &'static str)] {
        &LEVELS
    }
}

/// Asks for the next of what is not chosen yet.
pub(super) async fn ask(State(app): State<Arc<App>>, person: Person, Query(query): Query) -> Result<Response, Stop> {
    let own = person.own_teams(&app).await?;
    let wrong = if query.has("step", "1") { None } else { first_mistake(&query, &own) };
    show(&app, &person, &own, query, wrong, StatusCode::OK).await
}

/// Returns the first field with an error; a field of a later step has none.
fn first_mistake(fields: &Fields, own: &[TeamId]) -> Option<Wrong> {
    // Nothing was sent.
    fields.text("step")?;
    if let Err(wrong) = name(fields) {
        return Some(wrong);
    }
    match For::of(fields, own) {
        None => Some(("for", "Say whose key it is.".into())),
        Some(For::Team(_)) if fields.has("step", "3") && level(fields).is_none() => {
            Some(("level", "Say what the key may do.".into()))
        }
        _ => None,
    }
}

fn name(fields: &Fields) -> Result<KeyName, Wrong> {
    let name = fields.text("name").ok_or(("name", "Give the key a name.".to_owned()))?;
    name.parse().map_err(|_| ("name", "A name has lower-case letters, digits and hyphens, at most 64.".into()))
}

fn level(fields: &Fields) -> Option<&'static str> {
    LEVELS.iter().find(|(name, ..)| fields.has("level", name)).map(|(.., name, _)| *name)
}

async fn show(
    app: &App,
    person: &Person,
    own: &[TeamId],
    fields: Fields,
    wrong: Option<Wrong>,
    status: StatusCode,
) -> Result<Response, Stop> {
    let snapshot = &person.snapshot;
    let teams = person.teams(app, TeamRole::Admin).await?;
    let is_minted = |grant: &Grant| {
        let soon = Validity::until(person.now.saturating_add(DAY));
        app.rules.check(grant, soon, person.now) != Err(MintError::KindNotMinted)
    };
    let mut owners = Vec::new();
    if is_minted(&Grant::personal(person.user.clone())) {
        owners.push(("me".to_owned(), "Personal: acts as you".to_owned(), "It ends when you leave."));
    }
    for team in &teams {
        if is_minted(&any_of_team(team)) {
            let name = format!("Team {}", snapshot.team_name(team).unwrap_or(team.as_str()));
            owners.push((format!("team:{team}"), name, "It stays when people leave."));
        }
    }
    let chosen = For::of(&fields, own).filter(|_| !fields.has("step", "1"));
    let is_named = name(&fields).is_ok()
        || wrong.as_ref().is_some_and(|(field, _)| *field == "name" && fields.text("form").is_some());
    let (step, steps) = match &chosen {
        Some(For::Person) if is_named => (2, 2),
        Some(For::Team(_)) if is_named && level(&fields).is_some() && !fields.has("step", "2") => (3, 3),
        Some(For::Team(_)) if is_named => (2, 3),
        _ => (1, 3),
    };
    let (grant, team) = match chosen {
        Some(For::Team(team)) => (any_of_team(&team), Some(team)),
        _ => (Grant::personal(person.user.clone()), None),
    };
    let allows = |validity: Validity| app.rules.check(&grant, validity, person.now).is_ok();
    let tomorrow = person.now.saturating_add(DAY);
    let page = CreatePage {
        frame: person.frame("Create an API key", "keys"),
        step,
        steps,
        wrong,
        form: random::hex::<32>()?,
        owners,
        is_admin: !teams.is_empty(),
        owner: match &team {
            Some(team) => format!("Team {}", snapshot.team_name(team).unwrap_or(team.as_str())),
            None => "Personal".into(),
        },
        level: level(&fields).filter(|_| team.is_some()).unwrap_or("Everything that you may do"),
        asked: team.as_ref().map_or(Asked::default(), |_| Asked::by(fields.text("level"))),
        environments: team.as_ref().map_or(Vec::new(), |team| spec::environments(team, snapshot)),
        models: team.as_ref().map_or(Vec::new(), |team| {
            snapshot.models_of(team).map(|(model, found)| (model.to_string(), found.name.clone())).collect()
        }),
        actions: spec::action_names(),
        ends: spec::ENDS
            .iter()
            .filter(|(.., days)| allows(Validity::until(person.now.saturating_add(DAY.saturating_mul(*days)))))
            .map(|(value, text, _)| (*value, *text))
            .collect(),
        offers_never: allows(Validity::NEVER_EXPIRES),
        offers_date: allows(Validity::until(tomorrow.saturating_add(DAY))),
        tomorrow: words::day(tomorrow),
        fields,
    };
    Ok(render(status, &page))
}

/// A grant to ask the rules about dates with.
fn any_of_team(team: &TeamId) -> Grant {
    Grant::team(team.clone(), Permission::metrics_only(keygate::Scope::All))
}

/// Makes the key. The secret is in this answer alone.
pub(super) async fn create(State(app): State<Arc<App>>, Signed(person, form): Signed) -> Result<Response, Stop> {
    let own = person.own_teams(&app).await?;
    let (grant, name, validity) = match wanted(&form, &person, &own) {
        Ok(wanted) => wanted,
        Err(wrong) => return show(&app, &person, &own, form, Some(wrong), StatusCode::UNPROCESSABLE_ENTITY).await,
    };
    let claimed = Claimed::new(&app, Some(form.claim(&person.user)?), &grant.owner(), &name, None).await?;
    match app.keys.create(&person.actor(), NewKeySpec::new(grant, name, validity)).await {
        Ok(issued) => {
            claimed.made(&app, issued.record.id()).await;
            let made = Made { token: &issued.token, record: &issued.record, previous_ends: None };
            Ok(reveal::show(&app, &person, made, "Your new key").await)
        }
        Err(error) => {
            let (field, stop) = (field_of(&error), Stop::from(claimed.failed(&app, error).await));
            match field {
                // Nothing was made, and the person can mend it.
                Some(field) => {
                    let wrong = Some((field, stop.text()));
                    show(&app, &person, &own, form, wrong, StatusCode::UNPROCESSABLE_ENTITY).await
                }
                None => Err(stop),
            }
        }
    }
}

fn wanted(form: &Fields, person: &Person, own: &[TeamId]) -> Result<(Grant, KeyName, Validity), Wrong> {
    let name = name(form)?;
    Ok((spec::grant(form, person, own)?, name, spec::validity(form, person.now)?))
}

/// The field to show the manager's refusal at.
fn field_of<S: core::error::Error, D: core::error::Error>(error: &ManageError<S, D>) -> Option<&'static str> {
    match error {
        ManageError::Conflict(keygate::store::Conflict::NameTaken) => Some("name"),
        ManageError::Mint(
            MintError::ExpiresInPast | MintError::ExpiryRequired | MintError::LifetimeTooLong | MintError::TimeTooLate,
        ) => Some("expiry"),
        ManageError::Mint(MintError::ActionNeverAllowed | MintError::ActionNotDeclared) => Some("actions"),
        _ => None,
    }
}
