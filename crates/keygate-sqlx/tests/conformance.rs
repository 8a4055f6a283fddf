//! Both stores pass the suite that every store must pass.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Place, logged};
use keygate::{
    audit::Event,
    store::conformance::{Race, Subject, Task, check, check_feed},
};

both!(conforms, feeds);

async fn conforms<P: Place>(place: &P) {
    let passed = check(&Empty(place), &Tokio).await;
    assert!(passed.unwrap_or_else(|violations| panic!("{violations}")).checks() > 20);
}

async fn feeds<P: Place>(place: &P) {
    let passed = check_feed(&Empty(place), &Tokio).await;
    assert!(passed.unwrap_or_else(|violations| panic!("{violations}")).checks() > 3);
}

/// The stores that can be opened at a place.
struct Empty<'a, P>(&'a P);

impl<P: Place> Subject for Empty<'_, P> {
    type Store = P::Store;

    async fn fresh(&self) -> P::Store {
        self.0.open_empty().await
    }

    async fn logged(&self, store: &P::Store) -> Vec<Event> {
        logged(store).await.into_iter().map(|logged| logged.event).collect()
    }
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
