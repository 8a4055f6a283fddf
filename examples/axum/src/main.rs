//! A platform that serves models, with axum: keygate stands in front of the models, and its keys are managed over HTTP.
//!
//! ```text
//! cargo run -p keygate-example-axum -- --bootstrap --dev-login
//! ```
//!
//! prints the address, and one key of every sort (the end of each token is left out here):
//!
//! ```text
//! listening on http://127.0.0.1:8080
//! {"name":"personal","token":"acmep1_uzlg1tNx5lzRYCcq_...
//! {"name":"full","token":"acmet1_KmpF2cndr7GdPVCA_...
//! {"name":"full-production","token":"acmet1_uGqjxTDX2JtE7vps_...
//! {"name":"inference","token":"acmet1_PMn8wQIvWmOhQwgW_...
//! {"name":"inference-prod-staging","token":"acmet1_nd0F5t0rH1ha0wt3_...
//! {"name":"inference-one-model","token":"acmet1_5yq4CAIdaCC1g3tg_...
//! {"name":"metrics","token":"acmet1_EqJT40lf1FO3laQS_...
//! {"name":"metrics-one-model","token":"acmet1_Vv3GquSnL26DE0g7_...
//! {"name":"other-team","token":"acmet1_zNPzZP9PVPF0l35x_...
//! {"name":"expired","token":"acmet1_knWIRCpYfazXobXL_...
//! {"name":"disabled","token":"acmet1_skLQiGrDlXB3YkpC_...
//! {"name":"revoked","token":"acmet1_z8MX3WQEAw65IbPh_...
//! ```
//!
//! With the key `inference-one-model` as `$K`, and a user who is signed in for development:
//!
//! ```text
//! $ U=http://127.0.0.1:8080/models; JSON='Content-Type: application/json'
//! $ curl -H "Authorization: Api-Key $K" -H "$JSON" -d '{}' $U/abcd1234/environments/production/predict
//! {"attributed_to":{"key":"5yq4CAIdaCC1g3tg","team":"core"},"deployment":"d1prod","environment":"production",...
//! $ curl -H "Authorization: Bearer $K" -H "$JSON" -d '{}' $U/abcd1234/environments/staging/predict
//! {"type":"urn:keygate:problem:insufficient_scope","title":"The key may not do this","status":403,"reason":"environment_not_in_scope"}
//! $ curl -H "Authorization: Bearer $K" -H "$JSON" -d '{}' $U/labs0001/environments/production/predict
//! {"type":"urn:example:problem:not_found","title":"There is no such resource","status":404}
//! $ curl -H "X-Dev-User: bob" -H "$JSON" http://127.0.0.1:8080/teams/core/api_keys \
//!     -d '{"name":"ci","level":"inference_only","environments":["production"],"models":"all","expires_at":null}'
//! {"key":{"created_at":1795442055,"created_by":"user:bob","display":"acmet1_RXN0UcEF1BqHqL4d",...},"token":"acmet1_...
//! $ curl -i -X DELETE -H "Authorization: Bearer $K" http://127.0.0.1:8080/api_keys/self
//! HTTP/1.1 204 No Content
//! $ curl -H "Authorization: Bearer $K" -H "$JSON" -d '{}' $U/abcd1234/environments/production/predict
//! {"type":"urn:keygate:problem:invalid_token","title":"The key is not valid","status":401,"reason":"revoked"}
//! ```
//!
//! Whoever finds a token somewhere may end its key, without a login; the answer is the same where there is none:
//!
//! ```text
//! $ curl -i -H "$JSON" -d "{\"tokens\":[\"$FOUND\"]}" http://127.0.0.1:8080/leaks
//! HTTP/1.1 204 No Content
//! ```
//!
//! An `OpenAI` client takes a token as its `api_key`, and as `base_url`
//! `http://127.0.0.1:8080/models/abcd1234/environments/production/sync/v1`.
//!
//! | option | |
//! |---|---|
//! | `--listen ADDRESS:PORT` | instead of `127.0.0.1:8080`; port 0 is any free one |
//! | `--database sqlite:PATH` or `postgres://...` | instead of a file that is gone when the server ends |
//! | `--cache-seconds N` | puts a cache in front, whose records are at most so old |
//! | `--bootstrap` | adds the users `ada`, `bob` and `carl`, and prints one key of every sort in place of earlier ones |
//! | `--x-api-key` | takes `X-Api-Key` too |
//! | `--dev-login` | believes `X-Dev-User`, and adds the same users; not for production |
//!
//! Events go to standard error, one JSON object a line. SIGTERM and SIGINT end the server: streams are told, requests
//! have five seconds, and what waits in the outbox is written.
#![expect(clippy::print_stdout, reason = "the address and the keys are for whoever started the server")]

mod app;
mod args;
mod audit;
mod bootstrap;
mod caller;
mod chat;
mod database;
mod keys;
mod leaks;
mod models;
mod platform;
mod problem;
mod resolve;
mod stream;

use core::{error::Error, time::Duration};
use std::{process::ExitCode, sync::Arc};

use keygate::{http::CredentialHeaders, tower::channel_sink};
use serde_json::json;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::sleep,
};

use crate::{
    app::{App, router},
    args::Args,
    audit::Drain,
    bootstrap::bootstrap,
    database::Database,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(usage) => {
            eprintln!("{usage}");
            return Ok(ExitCode::from(2));
        }
    };
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args))?;
    // Connections that did not end in time are dropped with the runtime.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(args.listen).await?;
    let database = Database::open(args.database.as_deref(), args.cache).await?;
    // Not earlier: whoever started the server takes this line for "ready".
    println!("listening on http://{}", listener.local_addr()?);

    let (outbox, notes) = channel_sink(OUTBOX);
    let (stop, stopped) = watch::channel(false);
    let fields =
        if args.x_api_key { CredentialHeaders::AuthorizationOrXApiKey } else { CredentialHeaders::Authorization };
    let app = Arc::new(App::new(database, outbox, fields, args.dev_login, stopped.clone())?);
    if args.bootstrap || args.dev_login {
        app.members.add_examples().await?;
    }
    if args.bootstrap {
        bootstrap(&app.manager, |name, token| println!("{}", json!({ "name": name, "token": token.expose_secret() })))
            .await?;
    }
    let drain =
        Drain::start((app.outbox.clone(), notes), app.store().clone(), Arc::clone(&app.uses), Handle::current());

    let wait = |mut stopped: watch::Receiver<bool>| async move { drop(stopped.wait_for(|stop| *stop).await) };
    let server = axum::serve(listener, router(&app)).with_graceful_shutdown(wait(stopped.clone()));
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    tokio::select! {
        result = server => result?,
        () = async { wait(stopped).await; sleep(GRACE).await } => {
            audit::tell(&json!({ "failed": "some requests did not end in time" }));
        }
    }
    tokio::task::spawn_blocking(|| drain.finish()).await?;
    Ok(())
}

/// How long requests may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How many notes may wait.
const OUTBOX: usize = 4096;
