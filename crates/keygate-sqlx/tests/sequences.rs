//! Both stores follow the model of the lifecycle, and answer many tasks at once as if one came after the other.
//!
//! The sequences and the races are those that the stores of the library pass: `tests/it/lifecycle` and
//! `tests/it/linearizability`.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests"
)]

mod common;
#[path = "../../../tests/it/linearizability/history.rs"]
mod history;
#[path = "../../../tests/it/lifecycle/model.rs"]
mod model;
#[path = "../../../tests/it/lifecycle/sequence.rs"]
mod sequence;

use std::env;

use common::{Log, Place, logged};
use keygate::{
    audit::Event,
    store::conformance::{Race, Task},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

both!(follows_the_model, is_linearizable);

const STEPS: usize = 150;

/// The choices of one of the random sequences; equal seeds give equal sequences.
fn choices(seed: u64) -> impl Iterator<Item = u8> {
    let mut dice = ChaCha20Rng::seed_from_u64(seed);
    core::iter::repeat_with(move || dice.next_u32().to_le_bytes()[0])
}

fn count(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |count| count.parse().unwrap())
}

async fn follows_the_model<P: Place>(place: &P) {
    let sequences = count("SQL_LIFECYCLE_SEQUENCES", 3);
    let mut refused = 0;
    for seed in 0..sequences {
        let run = sequence::run(&place.open_empty().await, log, choices(seed), STEPS).await;
        refused += run.unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
    }
    println!("lifecycle: {}: {sequences} sequences of {STEPS}, {refused} steps refused", scheme(place));
}

async fn is_linearizable<P: Place>(place: &P) {
    let rounds = count("SQL_LINEARIZABILITY_ROUNDS", 5);
    let checked = history::check(async || place.open_empty().await, log, &Tokio, rounds).await;
    let count = checked.unwrap_or_else(|fault| panic!("{fault}"));
    println!("linearizability: {}: {count} operations", scheme(place));
}

async fn log<S: Log + Sync>(store: &S) -> Vec<Event> {
    logged(store).await.into_iter().map(|logged| logged.event).collect()
}

fn scheme<P: Place>(place: &P) -> &'static str {
    if place.url().starts_with("postgres") { "PostgresStore" } else { "SqliteStore" }
}

/// Runs each task on the runtime of the test, which has several threads.
struct Tokio;

impl Race for Tokio {
    async fn race(&self, tasks: Vec<Task>) {
        let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
        for task in running {
            task.await.unwrap();
        }
    }
}
