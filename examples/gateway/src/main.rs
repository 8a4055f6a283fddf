//! A platform that serves models, with axum: keygate stands in front of the models, and its keys are managed over HTTP.
//!
//! ```text
//! cargo run -p keygate-gateway -- --bootstrap --dev-login
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
//! {"type":"/problems/insufficient_scope","title":"The key may not do this","status":403,"reason":"environment_not_in_scope","error":{"message":"The key may not do this (environment_not_in_scope)","type":"insufficient_scope","code":"environment_not_in_scope"}}
//! $ curl -H "Authorization: Bearer $K" -H "$JSON" -d '{}' $U/labs0001/environments/production/predict
//! {"type":"urn:example:problem:not_found","title":"There is no such resource","status":404}
//! $ curl -H "X-Dev-User: bob" -H "$JSON" http://127.0.0.1:8080/teams/core/api_keys \
//!     -d '{"name":"ci","level":"inference_only","environments":["production"],"models":"all","expires_at":null}'
//! {"key":{"display":"acmet1_RXN0UcEF1BqHqL4d","id":"RXN0UcEF1BqHqL4d","name":"ci"},"token":"acmet1_...
//! $ curl -i -X DELETE -H "Authorization: Bearer $K" http://127.0.0.1:8080/api_keys/self
//! HTTP/1.1 204 No Content
//! $ curl -H "Authorization: Bearer $K" -H "$JSON" -d '{}' $U/abcd1234/environments/production/predict
//! {"type":"/problems/invalid_token","title":"The key is not valid","status":401,"reason":"revoked","error":{"message":"The key is not valid (revoked)","type":"invalid_token","code":"revoked"}}
//! ```
//!
//! Anybody who finds a token may end its key, without a login; the answer is the same where there is none:
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
//! | `--cache-seconds N` | puts a cache in front, which follows the database's changes every second, and serves nothing that was not confirmed for so long |
//! | `--bootstrap` | adds the users `ada`, `bob` and `carl`, and prints one key of every sort in place of those that it made before |
//! | `--x-api-key` | takes `X-Api-Key` too |
//! | `--dev-login` | believes `X-Dev-User`, and adds the same users; not for production |
//!
//! The events of changes are in the database, in the table `keygate_events`. Refusals, uses and failures go to standard
//! error, one JSON object a line. SIGTERM and SIGINT end the server: streams are told, requests have five seconds, and
//! what is left to write two.
#![expect(clippy::print_stdout, reason = "the address and the keys are for the one who started the server")]

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
use std::{io, process::ExitCode, sync::Arc};

use keygate::{
    http::CredentialSources,
    sink::{AuditSink, ChannelSink, Message, SinkCapacity, Touches},
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::sleep,
};

use crate::{
    app::{App, router},
    args::Args,
    audit::{Log, Uses, follow, write_last_touches, write_touches},
    bootstrap::bootstrap,
    database::{Database, Lookup},
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
    let ((sink, receivers), uses) = (ChannelSink::new(SinkCapacity::default()), Uses::default());
    let (log, touches) = Log::start(receivers, sink.clone(), Arc::clone(&uses));
    let result = runtime.block_on(run(args, sink, uses, Arc::new(touches)));
    // Connections that did not end in time are dropped with the runtime, and with them those who tell the log.
    runtime.shutdown_timeout(Duration::from_secs(1));
    log.finish();
    result.map(|()| ExitCode::SUCCESS)
}

async fn run(args: Args, sink: ChannelSink, uses: Uses, touches: Arc<Touches>) -> Result<(), Box<dyn Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(args.listen).await?;
    let (database, _directory) = Database::open(args.database.as_deref()).await?;
    if args.bootstrap || args.dev_login {
        database.add_examples().await?;
    }
    let lookup = Lookup::new(database.clone(), args.cache);
    if let Lookup::Cached(cache) = &lookup {
        tokio::spawn(follow(cache.clone(), sink.clone()));
    }
    // Not earlier: a supervisor takes this line for "ready".
    println!("listening on http://{}", listener.local_addr()?);

    let sources = CredentialSources::authorization();
    let sources = if args.x_api_key { sources.with_x_api_key() } else { sources };
    let (stop, stopped) = watch::channel(false);
    let app =
        Arc::new(App::new((database.clone(), lookup), (sink.clone(), uses), sources, args.dev_login, stopped.clone())?);
    if args.bootstrap {
        bootstrap(&app.keys, |name, token| println!("{}", json!({ "name": name, "token": token.expose_secret() })))
            .await?;
    }
    let store = app.keys.store().clone();
    tokio::spawn(write_touches(store.clone(), Arc::clone(&touches), sink.clone()));

    let wait = |mut stopped: watch::Receiver<bool>| async move { drop(stopped.wait_for(|stop| *stop).await) };
    let server = axum::serve(listener, router(&app)).with_graceful_shutdown(wait(stopped.clone()));
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    let late = async {
        wait(stopped).await;
        sleep(GRACE).await;
    };
    tokio::select! {
        result = server => result?,
        () = late => sink.tell(Message::Failed(&io::Error::other("some requests did not end in time"))),
    }
    write_last_touches(&store, &touches, &sink).await;
    Ok(database.close().await?)
}

/// How long requests may take to end.
const GRACE: Duration = Duration::from_secs(5);
