//! A service in one file: models to call, projects to read, and keys that are made, listed and revoked over HTTP.
//!
//! ```text
//! cargo run -p keygate-example-axum -- --listen 127.0.0.1:8080
//! ```
//!
//! prints a key of ada's, and a command to try. With another store than the one in memory, only `main` changes.

use core::{error::Error, fmt::Debug, time::Duration};
use std::{
    env,
    io::{self, Write as _},
    net::TcpListener,
    sync::Arc,
    thread,
};

use axum::{
    Json, RequestPartsExt as _, Router,
    extract::{Path, State},
    http::{HeaderValue, Method, Response, StatusCode, header, request::Parts},
    response::IntoResponse,
    routing::{MethodRouter, get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use keygate::{
    Action, Actor, AuthenticateError, AuthenticatedKey, Authorization, Coverage, Gate, Grant, Issuer, KeyId,
    KeyManager, KeyName, KeyRecord, MemoryDirectory, MemoryStore, NewKeySpec, OwnAction, OwnActions, Owner, Permission,
    Request, RevocationCause, TeamId, TeamRole, UnixTime, Validity,
    http::{Introspection, Refusal, Responses},
    sink::{ChannelSink, SinkCapacity, SinkReceivers},
    store::{KeyManagementStore as _, ListQuery},
    tower::{AuthenticateLayer, AuthorizeLayer, Resolve, Unresolved},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::{cors::CorsLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

const ACME: Issuer = Issuer::from_static("acme"); // the prefix of this service's tokens
const ACTIONS: OwnActions = OwnActions::new(&[
    ("projects:read", Coverage::Ordinary),     // keys with full access may do it, too
    ("tokens:introspect", Coverage::Explicit), // only keys that list it
]);
const READ: OwnAction = ACTIONS.named("projects:read");
const INTROSPECT: OwnAction = ACTIONS.named("tokens:introspect");
const LIMIT: Duration = Duration::from_secs(10);
/// Each model, and the environment that its deployment is in now.
const MODELS: [(&str, &str); 2] = [("llama", "production"), ("mistral", "staging")];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (store, directory) = (MemoryStore::new(), MemoryDirectory::new());
    directory.set_member("ada".parse()?, "core".parse()?, TeamRole::Admin);
    let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
    let keys = KeyManager::new(ACME, store.clone())
        .with_directory(directory.clone())
        .with_own_actions(ACTIONS)
        .with_sink(sink.clone());
    let gate = Arc::new(Gate::new(ACME, store.clone()).with_directory(directory).with_sink(sink));
    follow(receivers, store)?;

    let spec = NewKeySpec::new(Grant::personal("ada".parse()?), "laptop".parse()?, Validity::NEVER_EXPIRES);
    let issued = keys.create(&Actor::system("first key")?, spec).await?;
    let app = App { gate, keys, answers: Responses::new("models")?, team: "core".parse()? };
    let address = env::args().skip_while(|argument| argument != "--listen").nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    let (address, key) = (listener.local_addr()?, issued.token.expose_secret());
    let shown_once = json!({ "name": "ada", "token": key });
    let curl = format!("curl -H 'Authorization: Bearer {key}' http://{address}/v1/models");
    // Not `println!`, which ends the server where nobody reads it.
    drop(writeln!(io::stdout(), "listening on http://{address}\n{shown_once}\n{curl}"));
    listener.set_nonblocking(true)?;
    let (mut listener, service) = (tokio::net::TcpListener::from_std(listener)?, TowerToHyperService::new(router(app)));
    // A head that does not come is not waited for; what a request takes as a whole is bounded in `router`.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(LIMIT);
    loop {
        let (stream, _) = axum::serve::Listener::accept(&mut listener).await; // It waits if file handles run out.
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service.clone()));
    }
}

/// The state that handlers share.
#[derive(Clone)]
struct App {
    gate: Arc<Gate<MemoryStore, MemoryDirectory>>,
    keys: KeyManager<MemoryStore, MemoryDirectory>,
    answers: Responses,
    team: TeamId,
}

/// A preflight has no key, so CORS stands outside of the layer that asks for one.
fn router(app: App) -> Router {
    let authenticate = AuthenticateLayer::new(Arc::clone(&app.gate), app.answers.clone());
    let decided = |rule: Rule, methods: MethodRouter<App>| {
        methods.route_layer(AuthorizeLayer::new(Arc::clone(&app.gate), app.answers.clone(), rule).hiding())
    };
    let cors = CorsLayer::new()
        .allow_origin(HeaderValue::from_static("https://app.example"))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE]);
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{model}/predict", decided(Rule::Predict, post(predict)))
        .route("/v1/projects", decided(Rule::Own(READ), get(projects)))
        .route("/v1/introspect", decided(Rule::Own(INTROSPECT), post(introspect)))
        .route("/v1/keys", get(list).post(create))
        .route("/v1/keys/{id}", axum::routing::delete(revoke))
        .with_state(app)
        .layer(authenticate)
        .layer(RequestBodyLimitLayer::new(64 * 1024))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, LIMIT))
        .layer(cors)
}

/// The rule of a route, in the service's own words: the layer decides the request before the handler runs.
enum Rule {
    Own(OwnAction),
    Predict,
}

impl Resolve for Rule {
    async fn resolve(&self, parts: &mut Parts) -> Result<Request, Unresolved> {
        let action = match self {
            Self::Own(action) => Action::custom(*action, None, None),
            Self::Predict => {
                let Path(model) = parts.extract::<Path<String>>().await.map_err(|_| Unresolved::NotFound)?;
                call(&model).ok_or(Unresolved::NotFound)?
            }
        };
        let team = "core".parse().map_err(|_| Unresolved::NoRule)?; // with several teams, look up the resource's
        Ok(Request::new(team, action))
    }
}

/// The call of a model that exists, in the environment that it is in now.
fn call(model: &str) -> Option<Action> {
    let (name, environment) = MODELS.iter().find(|(name, _)| *name == model)?;
    Some(Action::call(name.parse().ok()?, environment.parse().ok()))
}

/// Serves the model of the allowed request, and nothing else.
async fn predict(authorization: Authorization, prompt: String) -> Json<Value> {
    let model = authorization.request().action.model();
    Json(json!({ "model": model, "completion": prompt.to_uppercase() }))
}

async fn projects(_: Authorization) -> Json<Value> {
    Json(json!(["apollo", "gemini"]))
}

/// A list shows what a call would be allowed, by the same decision.
async fn models(State(app): State<App>, key: AuthenticatedKey) -> Result<Json<Value>, Answer> {
    let calls = MODELS.iter().filter_map(|(name, _)| call(name));
    let allowed = app.gate.allowed(&key, &app.team, calls).await.map_err(|error| app.answer(error))?;
    let data = allowed.iter().map(|call| json!({ "id": call.model(), "object": "model" })).collect::<Vec<_>>();
    Ok(Json(json!({ "object": "list", "data": data })))
}

/// The body of a request for a key; no field has a default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateKey {
    name: KeyName,
    permission: Permission,
    days: u32,
}

/// The key that authenticated the request acts: the manager decides whether its user may.
async fn create(
    State(app): State<App>,
    key: AuthenticatedKey,
    Json(CreateKey { name, permission, days }): Json<CreateKey>,
) -> Result<impl IntoResponse, Answer> {
    let end = UnixTime::now().saturating_add(Duration::from_secs(u64::from(days).saturating_mul(86_400)));
    let spec = NewKeySpec::new(Grant::team(app.team.clone(), permission), name, Validity::until(end));
    let issued = app.keys.create(&Actor::from(&key), spec).await.map_err(|error| app.answer(&error))?;
    // The token is here and never again.
    let body = json!({ "token": issued.token.expose_secret(), "key": show(&issued.record) });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)))
}

async fn list(State(app): State<App>, key: AuthenticatedKey) -> Result<Json<Value>, Answer> {
    let owner = Owner::Team(app.team.clone());
    let page = app.keys.list(&Actor::from(&key), owner, ListQuery::new()).await.map_err(|error| app.answer(&error))?;
    Ok(Json(json!({ "keys": page.records.iter().map(|record| show(record)).collect::<Vec<_>>(), "next": page.next })))
}

async fn revoke(State(app): State<App>, key: AuthenticatedKey, Path(id): Path<String>) -> Result<StatusCode, Answer> {
    let id: KeyId = id.parse().map_err(|_| app.answer(Refusal::NotFound))?;
    let revoked = app.keys.revoke(&Actor::from(&key), id, RevocationCause::Requested).await;
    revoked.map(|_| StatusCode::NO_CONTENT).map_err(|error| app.answer(&error))
}

#[derive(Deserialize)]
struct Introspect {
    token: String,
}

/// Token introspection for a gateway in front (RFC 7662); the caller is authenticated, and allowed to ask.
async fn introspect(
    State(app): State<App>,
    _: Authorization,
    axum::Form(Introspect { token }): axum::Form<Introspect>,
) -> Result<impl IntoResponse, Answer> {
    let answer = match app.gate.authenticate(&token).await {
        Ok(key) => Introspection::active(&key).with_own_actions(ACTIONS),
        Err(AuthenticateError::Unavailable(error)) => return Err(app.answer(error)),
        Err(_) => Introspection::INACTIVE,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)))
}

/// The fields of a key in a list: none of them opens anything.
fn show(record: &KeyRecord) -> Value {
    json!({
        "id": record.id(), "name": record.name(), "permission": record.grant().permission(), "status": record.status().as_str(),
        "created_at": record.created_at(), "expires_at": record.validity().expires_at(), "last_used_at": record.last_used_at(),
    })
}

type Answer = Response<String>;

impl App {
    fn answer(&self, refused: impl Into<Refusal>) -> Answer {
        self.answers.answer(refused.into().hiding())
    }
}

/// Off the requests' path: logs refusals, and writes when keys were last used.
fn follow(receivers: SinkReceivers, store: MemoryStore) -> Result<(), Box<dyn Error>> {
    let SinkReceivers { events, strangers, failures, touches, .. } = receivers;
    // A log that nobody reads any more ends nothing.
    let tell = |what: &str, of: &dyn Debug| drop(writeln!(io::stderr(), "{what}: {of:?}"));
    thread::Builder::new().spawn(move || events.iter().for_each(|event| tell("refused", &event)))?;
    thread::Builder::new().spawn(move || strangers.iter().for_each(|event| tell("stranger", &event)))?;
    thread::Builder::new().spawn(move || failures.iter().for_each(|error| tell("failed", &error)))?;
    tokio::spawn(async move {
        let mut timer = tokio::time::interval(Duration::from_secs(10));
        loop {
            timer.tick().await;
            let Ok(()) = store.touch(touches.take(), UnixTime::now()).await;
        }
    });
    Ok(())
}
