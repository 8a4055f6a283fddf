//! Both stores pass the suite that every store must pass.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use common::Place;
use keygate::store::conformance::{Race, Task, check};

both!(conforms);

async fn conforms<P: Place>(place: &P) {
    let passed = check(async || place.open_empty().await, &Tokio).await;
    assert!(passed.unwrap_or_else(|violations| panic!("{violations}")).checks() > 20);
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
