//! The one page that has a secret: it is the answer to the request that made it, and nothing keeps it.

use askama::Template;
use axum::response::Response;
use keygate::{Action, EnvironmentName, Grant, KeyRecord, ModelId, Reason, Request, TeamId, Token, UnixTime};

use serde_json::json;

use super::{
    key_view::KeyView,
    page::{Frame, Stop, ok},
    person::Person,
    words::Moment,
};
use crate::app::App;

/// A secret that was made just now.
pub(super) struct Made<'a> {
    pub(super) token: &'a Token,
    pub(super) record: &'a KeyRecord,
    pub(super) previous_ends: Option<UnixTime>,
}

#[derive(Template)]
#[template(path = "reveal.html")]
struct RevealPage {
    frame: Frame,
    key: KeyView,
    token: String,
    /// The public start, and dots.
    masked: String,
    snippets: Vec<Snippet>,
    is_rotated: bool,
    previous_ends: Option<Moment>,
}

/// Something to run. The page shows it without the secret, and copies it with.
struct Snippet {
    id: &'static str,
    title: &'static str,
    text: String,
}

/// Nothing here fails: nobody else has the secret, and an answer without it would lose it.
pub(super) async fn show(app: &App, person: &Person, made: Made<'_>, title: &str) -> Response {
    let key = KeyView::of(made.record, person);
    let masked = format!("{}_{}", key.prefix, "•".repeat(12));
    ok(&RevealPage {
        frame: person.frame(title, "keys"),
        token: made.token.expose_secret().to_owned(),
        snippets: snippets(app, person, made.record, &masked).await,
        masked,
        is_rotated: title != "Your new key",
        previous_ends: made.previous_ends.map(|end| Moment::new(end, person.now)),
        key,
    })
}

async fn snippets(app: &App, person: &Person, record: &KeyRecord, token: &str) -> Vec<Snippet> {
    let base = &person.base;
    // Without a model to call, if that cannot be looked up.
    let Some((model, environment)) = callable(app, person, record).await.unwrap_or(None) else {
        let exports = record
            .grant()
            .permission()
            .is_some_and(|permission| permission.level() == keygate::PermissionLevel::MetricsOnly);
        let path = if exports { "/metrics" } else { "/v1/whoami" };
        let text = format!("export API_KEY='{token}'\ncurl -H \"Authorization: Bearer $API_KEY\" {base}{path}");
        return vec![Snippet { id: "curl", title: "curl", text }];
    };
    let model = if environment.as_str() == "production" { model.to_string() } else { format!("{model}/{environment}") };
    // A model id is any visible text. What JSON makes of it, Python reads as well; a quote ends a text for the shell.
    let model = json!(model).to_string();
    let in_shell = model.replace('\'', r"'\''");
    let curl = format!(
        "export API_KEY='{token}'\ncurl {base}/v1/chat/completions \\\n  -H \"Authorization: Bearer $API_KEY\" \\\n  \
         -H 'Content-Type: application/json' \\\n  \
         -d '{{\"model\": {in_shell}, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'"
    );
    let python = format!(
        "from openai import OpenAI\n\nclient = OpenAI(base_url=\"{base}/v1\", api_key=\"{token}\")\n\
         answer = client.chat.completions.create(\n    model={model},\n    \
         messages=[{{\"role\": \"user\", \"content\": \"Hello\"}}],\n)\nprint(answer.choices[0].message.content)"
    );
    vec![
        Snippet { id: "curl", title: "curl", text: curl },
        Snippet { id: "python", title: "OpenAI’s client for Python", text: python },
    ]
}

/// Returns what the key may call, by the decision that a call would get; production first.
async fn callable(app: &App, person: &Person, record: &KeyRecord) -> Result<Option<(ModelId, EnvironmentName)>, Stop> {
    let snapshot = &person.snapshot;
    let is_of_key = |team: &TeamId| match record.grant() {
        Grant::Team { team: own, .. } => team == own,
        _ => true,
    };
    let mut found = None;
    for team in snapshot.teams().map(|(team, _)| team).filter(|team| is_of_key(team)) {
        for (model, _) in snapshot.models_of(team) {
            for environment in snapshot.environments_of_model(model) {
                let call = Request::new(team.clone(), Action::call(model.clone(), Some(environment.clone())));
                let dry_run = app.keys.dry_run(&person.actor(), record.id(), call).await?;
                match dry_run.denial().map(|denial| denial.reason()) {
                    None if environment.as_str() == "production" => {
                        return Ok(Some((model.clone(), environment.clone())));
                    }
                    None => found = found.or(Some((model.clone(), environment.clone()))),
                    // It calls nothing, whatever the model.
                    Some(Reason::ActionNotInScope | Reason::LevelInsufficient) => return Ok(None),
                    Some(_) => {}
                }
            }
        }
    }
    Ok(found)
}
