//! Actions on a key. Each is one call of the manager, as the user.

use core::time::Duration;
use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use keygate::{Done, Grant, KeyId, KeyRecord, Labels, RevocationCause, Rotation, http::Refusal};

use super::{
    form::{Fields, Signed},
    key::{find, show_with},
    key_view::KeyView,
    list::is_mine,
    page::{Frame, Stop, ok},
    person::Person,
    reveal::{self, Made},
    words::{self, DAY},
};
use crate::{api::idempotency::Claimed, app::App, random};

/// Goes on to the page of the key, which says what was done. A reload does it no second time.
fn done(id: KeyId, done: Done, what: &str) -> Response {
    let what = if matches!(done, Done::Unchanged(_)) { "unchanged" } else { what };
    Redirect::to(&format!("/console/keys/{id}?done={what}")).into_response()
}

/// Shows the page of the key with what is wrong; what is no mistake of the form is a page of its own.
async fn wrong(app: &App, person: &Person, id: &str, field: &'static str, stop: Stop) -> Result<Response, Stop> {
    match &stop {
        Stop::Refused(Refusal::Conflict(_) | Refusal::InvalidChange(_)) | Stop::Wrong { .. } => {
            show_with(app, person, id, Fields::default(), Some((field, stop.text()))).await
        }
        _ => Err(stop),
    }
}

pub(super) async fn rename(
    State(app): State<Arc<App>>,
    Path(text): Path<String>,
    Signed(person, form): Signed,
) -> Result<Response, Stop> {
    let (id, _) = find(&app, &person, &text).await?;
    let Ok(name) = form.text("name").unwrap_or_default().parse() else {
        let stop =
            Stop::wrong(StatusCode::BAD_REQUEST, "A name has lower-case letters, digits and hyphens, at most 64.");
        return wrong(&app, &person, &text, "name", stop).await;
    };
    match app.keys.rename(&person.actor(), id, name).await {
        Ok(renamed) => Ok(done(id, renamed, "renamed")),
        Err(error) => wrong(&app, &person, &text, "name", error.into()).await,
    }
}

pub(super) async fn set_labels(
    State(app): State<Arc<App>>,
    Path(text): Path<String>,
    Signed(person, form): Signed,
) -> Result<Response, Stop> {
    let (id, _) = find(&app, &person, &text).await?;
    let labels = match labels(form.text("labels").unwrap_or_default()) {
        Ok(labels) => labels,
        Err(stop) => return wrong(&app, &person, &text, "labels", stop).await,
    };
    match app.keys.set_labels(&person.actor(), id, labels).await {
        Ok(set) => Ok(done(id, set, "labels")),
        Err(error) => wrong(&app, &person, &text, "labels", error.into()).await,
    }
}

/// Reads `name=value`, a line each.
fn labels(text: &str) -> Result<Labels, Stop> {
    let wrong = |text: String| Stop::wrong(StatusCode::BAD_REQUEST, words::sentence(&text));
    let mut labels = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let name = name.trim().parse().map_err(|error: keygate::InvalidText| wrong(error.to_string()))?;
        labels.push((name, value.trim().parse().map_err(|error: keygate::InvalidText| wrong(error.to_string()))?));
    }
    Labels::new(labels).map_err(|error| wrong(error.to_string()))
}

pub(super) async fn disable(
    State(app): State<Arc<App>>,
    person: Person,
    Path(text): Path<String>,
) -> Result<Response, Stop> {
    let (id, _) = find(&app, &person, &text).await?;
    Ok(done(id, app.keys.disable(&person.actor(), id).await?, "disabled"))
}

pub(super) async fn enable(
    State(app): State<Arc<App>>,
    person: Person,
    Path(text): Path<String>,
) -> Result<Response, Stop> {
    let (id, _) = find(&app, &person, &text).await?;
    Ok(done(id, app.keys.enable(&person.actor(), id).await?, "enabled"))
}

pub(super) async fn end_overlap(
    State(app): State<Arc<App>>,
    person: Person,
    Path(text): Path<String>,
) -> Result<Response, Stop> {
    let (id, _) = find(&app, &person, &text).await?;
    Ok(done(id, app.keys.end_overlap(&person.actor(), id).await?, "overlap-ended"))
}

#[derive(Template)]
#[template(path = "revoke.html")]
struct RevokePage {
    frame: Frame,
    key: KeyView,
    breaks: Vec<String>,
}

pub(super) async fn ask_revoke(
    State(app): State<Arc<App>>,
    person: Person,
    Path(text): Path<String>,
) -> Result<Response, Stop> {
    let (_, record) = find(&app, &person, &text).await?;
    let key = KeyView::of(&record, &person);
    let frame = person.frame(&format!("Revoke {}", key.name), "keys");
    Ok(ok(&RevokePage { frame, breaks: breaks(&record, &person), key }))
}

/// What a revoked key breaks, line by line.
fn breaks(record: &KeyRecord, person: &Person) -> Vec<String> {
    let who = match record.grant() {
        Grant::Personal { .. } if is_mine(record, person) => "Everything that you run with it".to_owned(),
        Grant::Team { .. } => "Everything that the team runs with it".into(),
        _ => "Everything that runs with it".into(),
    };
    let mut breaks = vec![format!("{who} is refused from the next request on.")];
    match record.last_used_at() {
        Some(used) if used > person.now.saturating_sub(DAY.saturating_mul(7)) => {
            breaks.push("It was used within the last 7 days: something still depends on it.".into());
        }
        Some(_) => breaks.push("It was not used within the last 7 days.".into()),
        None => breaks.push("It was never used.".into()),
    }
    if record.live_previous(person.now).is_some() {
        breaks.push("The old secret, which still works, ends as well.".into());
    }
    breaks
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    person: Person,
    Path(text): Path<String>,
) -> Result<Response, Stop> {
    let (id, _) = find(&app, &person, &text).await?;
    let revoked = app.keys.revoke(&person.actor(), id, RevocationCause::Requested).await?;
    let what = if matches!(revoked, Done::Unchanged(_)) { "was-revoked" } else { "revoked" };
    Ok(Redirect::to(&format!("/console/keys/{id}?done={what}")).into_response())
}

#[derive(Template)]
#[template(path = "rotate.html")]
struct RotatePage {
    frame: Frame,
    key: KeyView,
    form: String,
    overlaps: Vec<(u64, &'static str)>,
    wrong: Option<String>,
}

pub(super) async fn ask_rotate(
    State(app): State<Arc<App>>,
    person: Person,
    Path(text): Path<String>,
) -> Result<Response, Stop> {
    show_rotate(&app, &person, &text, None).await
}

async fn show_rotate(app: &App, person: &Person, text: &str, wrong: Option<String>) -> Result<Response, Stop> {
    let (_, record) = find(app, person, text).await?;
    let key = KeyView::of(&record, person);
    let longest = app.rules.max_overlap().as_secs();
    Ok(ok(&RotatePage {
        frame: person.frame(&format!("Rotate {}", key.name), "keys"),
        form: random::hex::<32>()?,
        overlaps: OVERLAPS.into_iter().filter(|(seconds, _)| *seconds <= longest).collect(),
        key,
        wrong,
    }))
}

/// Gives the key a new secret, which is in this answer alone.
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    Path(text): Path<String>,
    Signed(person, form): Signed,
) -> Result<Response, Stop> {
    let (id, record) = find(&app, &person, &text).await?;
    let overlap = form.text("overlap").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let rotation = match (form.text("how"), overlap) {
        (Some("cut-over"), _) => Rotation::CutOver,
        (Some("retry"), _) => Rotation::Retry { overlap: DAY },
        (Some("start"), Some(overlap)) => Rotation::Start { overlap },
        _ => return show_rotate(&app, &person, &text, Some("Say how long the old secret stays.".into())).await,
    };
    let claim = form.claim(&person.user)?;
    let claimed = Claimed::new(&app, Some(claim), &record.grant().owner(), record.name(), Some(id)).await?;
    let rotated = match app.keys.rotate(&person.actor(), id, rotation).await {
        Ok(rotated) => rotated,
        Err(error) => {
            let stop = Stop::from(claimed.failed(&app, error).await);
            return match &stop {
                Stop::Refused(Refusal::Conflict(_) | Refusal::InvalidChange(_)) => {
                    show_rotate(&app, &person, &text, Some(stop.text())).await
                }
                _ => Err(stop),
            };
        }
    };
    let made = Made { token: &rotated.token, record: &record, previous_ends: rotated.previous_ends_at };
    Ok(reveal::show(&app, &person, made, "Your new secret").await)
}

const OVERLAPS: [(u64, &str); 5] =
    [(3_600, "1 hour"), (86_400, "1 day"), (604_800, "7 days"), (1_209_600, "14 days"), (2_592_000, "30 days")];
