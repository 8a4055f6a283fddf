//! Users, for administrators: inviting by links that work once, and ending everything of one who leaves.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use keygate::{Actor, TeamRole, UserId, UserStatus, store::Directory as _};

use super::{
    form::{Fields, Query, Signed},
    list::notice,
    page::{Frame, Stop, ok, render},
    person::Person,
    sign_in::{Links, link_url},
};
use crate::{
    api::users::deprovision_by,
    app::App,
    database::{execute, sql},
};

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    frame: Frame,
    users: Vec<UserView>,
    teams: Vec<(String, String)>,
    fields: Fields,
    wrong: Option<String>,
    notice: Option<&'static str>,
}

struct UserView {
    id: String,
    name: String,
    email: String,
    is_user: bool,
    is_administrator: bool,
    is_me: bool,
    /// A link waits to be used.
    is_invited: bool,
    teams: String,
}

impl UsersPage {
    fn value(&self, field: &str) -> &str {
        self.fields.text(field).unwrap_or_default()
    }
}

pub(super) async fn show(State(app): State<Arc<App>>, person: Person, Query(query): Query) -> Result<Response, Stop> {
    person.administrator()?;
    show_with(&app, &person, query, None).await
}

async fn show_with(app: &App, person: &Person, fields: Fields, wrong: Option<String>) -> Result<Response, Stop> {
    let snapshot = app.platform.now()?;
    let find = "SELECT user_id FROM gateway_sign_in_links WHERE expires_at > $1";
    let invited: Vec<(String,)> =
        sql!(&app.database, pool => sqlx::query_as(find).bind(person.now.as_secs()).fetch_all(pool))?;
    let mut users = Vec::new();
    for (user, profile) in snapshot.users() {
        let mut teams = Vec::new();
        for (team, name) in snapshot.teams() {
            match app.database.membership(user, team).await?.role() {
                TeamRole::Admin => teams.push(format!("{name} (admin)")),
                TeamRole::Member => teams.push(name.to_owned()),
                _ => {}
            }
        }
        users.push(UserView {
            id: user.to_string(),
            name: profile.name.clone(),
            email: profile.email.clone().unwrap_or_default(),
            is_user: app.database.user(user).await? != UserStatus::Deprovisioned,
            is_administrator: profile.is_administrator,
            is_me: *user == person.user,
            is_invited: invited.iter().any(|(invited,)| *invited == user.as_str()),
            teams: teams.join(", "),
        });
    }
    users.sort_by_key(|user| (!user.is_user, user.name.to_lowercase()));
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = UsersPage {
        frame: person.frame("Users", "users"),
        users,
        teams: snapshot.teams().map(|(team, name)| (team.to_string(), name.to_owned())).collect(),
        notice: notice(&fields),
        fields,
        wrong,
    };
    Ok(render(status, &page))
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    frame: Frame,
    name: String,
    url: String,
}

/// Adds a user, and shows the link that signs them in.
pub(super) async fn invite(State(app): State<Arc<App>>, Signed(person, form): Signed) -> Result<Response, Stop> {
    person.administrator()?;
    let invited = match Invited::of(&form, &person) {
        Ok(invited) => invited,
        Err(text) => return show_with(&app, &person, form, Some(text.into())).await,
    };
    if app.database.user(&invited.user).await? != UserStatus::Deprovisioned {
        let text = "There is a user with this id. Give them another link in the list.";
        return show_with(&app, &person, form, Some(text.into())).await;
    }
    // First what they are called: one who comes back is no administrator.
    let name = "INSERT INTO gateway_users (id, name, email, is_administrator) VALUES ($1, $2, $3, FALSE) \
                ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email, is_administrator = FALSE";
    execute!(&app.database, name, invited.user.as_str(), invited.name, invited.email)?;
    app.database.set_member(&invited.user, &invited.team, invited.role).await?;
    app.platform.refresh(&app.database).await?;
    show_link(&app, &person, &invited.user, invited.name).await
}

struct Invited<'a> {
    user: UserId,
    name: &'a str,
    email: Option<&'a str>,
    team: keygate::TeamId,
    role: TeamRole,
}

impl<'a> Invited<'a> {
    fn of(form: &'a Fields, person: &Person) -> Result<Self, &'static str> {
        let user = form.text("user").ok_or("Give the user an id.")?;
        let user = user.parse().map_err(|_| "An id has 1 to 128 visible ASCII symbols.")?;
        // A browser takes these out of a path: nobody could end such a user.
        if [".", ".."].contains(&form.text("user").unwrap_or_default()) {
            return Err("An id must not be one or two dots.");
        }
        let name = form.text("name").filter(|name| name.len() <= 100).ok_or("Give the user a name.")?;
        let team: keygate::TeamId = form.text("team").and_then(|team| team.parse().ok()).ok_or("Choose a team.")?;
        if person.snapshot.team_name(&team).is_none() {
            return Err("There is no such team.");
        }
        let role = match form.text("role") {
            Some("admin") => TeamRole::Admin,
            Some("member") => TeamRole::Member,
            _ => return Err("Choose a role."),
        };
        Ok(Self { user, name, email: form.text("email").filter(|email| email.len() <= 200), team, role })
    }
}

/// Makes another link for a user whose session ended, or whose link did.
pub(super) async fn link(
    State(app): State<Arc<App>>,
    person: Person,
    Path(user): Path<String>,
) -> Result<Response, Stop> {
    person.administrator()?;
    let user: UserId = user.parse().map_err(|_| Stop::NotFound)?;
    let profile = person.snapshot.user(&user).ok_or(Stop::NotFound)?;
    show_link(&app, &person, &user, &profile.name).await
}

async fn show_link(app: &App, person: &Person, user: &UserId, name: &str) -> Result<Response, Stop> {
    let made = Links::new(&app.database).make_by(user, Some(person)).await;
    let link = made.map_err(|error| {
        tracing::error!(%error, "a link could not be made");
        Stop::Unavailable
    })?;
    let url = link_url(&person.base, &link.ok_or(Stop::NotFound)?);
    // One who has the link is this user from then on: it has to be seen who made it.
    tracing::info!(by = %person.user, %user, "a link to sign in was made");
    Ok(ok(&LinkPage { frame: person.frame("A link to sign in", "users"), name: name.into(), url }))
}

#[derive(Template)]
#[template(path = "deprovision.html")]
struct DeprovisionPage {
    frame: Frame,
    id: String,
    name: String,
    keys: Vec<(String, String)>,
    sessions: String,
}

pub(super) async fn ask_deprovision(
    State(app): State<Arc<App>>,
    person: Person,
    Path(user): Path<String>,
) -> Result<Response, Stop> {
    person.administrator()?;
    let user: UserId = user.parse().map_err(|_| Stop::NotFound)?;
    let would_end = deprovision_by(&app, &person.user, &user, true).await?;
    let system = Actor::system("deprovisioning").map_err(|_| Stop::Unavailable)?;
    let mut keys = Vec::new();
    for id in would_end.key_ids {
        // What an administrator may not see elsewhere has its name here, where it is about to end.
        let parsed = id.parse().map_err(|_| Stop::NotFound)?;
        keys.push((app.keys.find(&system, parsed).await?.name().to_string(), id));
    }
    let count = "SELECT count(*) FROM gateway_sessions WHERE user_id = $1 AND expires_at > $2";
    let (sessions,): (i64,) = sql!(&app.database, pool =>
        sqlx::query_as(count).bind(user.as_str()).bind(person.now.as_secs()).fetch_one(pool))?;
    let name = super::words::user_name(&user, None, &person.snapshot);
    Ok(ok(&DeprovisionPage {
        frame: person.frame(&format!("Deprovision {name}"), "users"),
        id: user.to_string(),
        name,
        keys,
        sessions: super::words::count(sessions.unsigned_abs(), "session"),
    }))
}

pub(super) async fn deprovision(
    State(app): State<Arc<App>>,
    person: Person,
    Path(user): Path<String>,
) -> Result<Response, Stop> {
    person.administrator()?;
    let user: UserId = user.parse().map_err(|_| Stop::NotFound)?;
    deprovision_by(&app, &person.user, &user, false).await?;
    tracing::info!(by = %person.user, %user, "a user was deprovisioned");
    Ok(Redirect::to("/console/users?done=deprovisioned").into_response())
}
