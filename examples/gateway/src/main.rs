//! A server that stands in front of models: keygate decides who may call them, and its keys are managed over HTTP.
//!
//! ```text
//! cargo run -p keygate-gateway
//! ```
//!
//! starts on the loopback interface, makes a folder `keygate-data` with an SQLite file, an administrator and a key of
//! theirs, and prints the key once, with commands to try. The folder has one server at a time; several nodes share a
//! PostgreSQL. `--help` lists the options; each is also an environment variable and a line of a file.
//!
//! | path | what it is |
//! |---|---|
//! | `/v1/api_keys`, `/v1/teams/{team}/api_keys`, `/v1/audit_logs` | managing keys, in the shape that Baseten documents, and more: `/openapi.json` |
//! | `/v1/models`, `/v1/chat/completions` | models in the shape of OpenAI's API |
//! | `/models/{model}/environments/{environment}/predict` and others | models by environment or deployment, also at `model-{model}.` in front of the host |
//! | `/console` | the page on which people make, rotate and end their keys |
//! | `/metrics` | numbers of the models that a key may see |
//! | `/healthz`, `/readyz` | whether the process serves, and whether keys can be checked |
//!
//! Changes of keys and their events are in the database. Refusals, failures, and requests that were answered with
//! either go to standard error, one JSON object a line; with `RUST_LOG=keygate_gateway=debug` all requests. SIGTERM and
//! SIGINT end the server: streams are told, requests have five seconds, and what is left to write two.

mod api;
mod app;
mod config;
mod console;
mod database;
mod edge;
mod inference;
mod log;
mod metrics;
mod platform;
mod random;
mod restore;
mod serve;
mod setup;
mod users;
mod work;

use core::{error::Error, time::Duration};
use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use tokio::runtime::Builder;

use crate::{config::Config, log::Log};

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: what failed, and why; some errors say what their cause says.
            let mut line = format!("keygate-gateway: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                let text = error.to_string();
                if !line.ends_with(&text) {
                    line.push_str(&format!(": {text}"));
                }
                source = error.source();
            }
            drop(writeln!(io::stderr(), "{}", line.replace('\n', " ")));
            ExitCode::from(2)
        }
    }
}

fn start() -> Result<(), Box<dyn Error>> {
    let config = Config::read()?;
    let (log, _written_at_the_end) = Log::start(config.issuer);
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let result = match &config.task {
        Some(task) => runtime.block_on(serve::carry_out(&config, task)),
        None => runtime.block_on(serve::run(&config, &log)),
    };
    // Connections that did not end in time are dropped with the runtime, and with them those who tell the log.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
