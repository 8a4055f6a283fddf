//! The suite that every store must pass: run it in the tests of the crate that has the store.
//!
//! [`check`] asks for an empty store, tries a part of the contract on it, and goes on with the next part and the next
//! empty store. It reports what it finds broken by [`Rule`], all of it and not only the first. A rule that is a matter
//! of timing (two rotations at once, a revocation against a rename) is tried by several [`Task`]s at once, many times
//! over; a [`Race`] says how to run tasks at once. At the end of each part the audit events are read back: each change
//! has exactly its event, and nothing else has one.
//!
//! [`check_feed`] does the same for a [`ChangeFeed`].
//!
//! ```
//! use keygate::{MemoryStore, store::conformance::{InProcess, Threads, check, check_feed}};
//!
//! let subject = InProcess::new(MemoryStore::new, MemoryStore::events);
//! let passed = pollster::block_on(check(&subject, &Threads))?;
//! assert!(passed.checks() > 0);
//!
//! let subject = subject.with_feed_length(MemoryStore::LOG_LENGTH);
//! let passed = pollster::block_on(check_feed(&subject, &Threads))?;
//! assert!(passed.checks() > 0);
//! # Ok::<(), keygate::store::conformance::Violations>(())
//! ```
//!
//! # Executors
//!
//! The suite needs no particular executor and never blocks the one it runs on; its future can be sent to another
//! thread. [`Threads`] gives each task a thread of its own and is enough for stores that need no runtime. A store that
//! does (such as one on `sqlx`) brings a race on that runtime, which should have several threads, and a [`Subject`] of
//! its own; on tokio:
//!
//! ```ignore
//! struct Tokio;
//!
//! impl Race for Tokio {
//!     async fn race(&self, tasks: Vec<Task>) {
//!         let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
//!         for task in running {
//!             let _ = task.await;
//!         }
//!     }
//! }
//!
//! struct Postgres;
//!
//! impl Subject for Postgres {
//!     type Store = PostgresStore;
//!
//!     async fn fresh(&self) -> PostgresStore {
//!         PostgresStore::empty_schema().await
//!     }
//!
//!     async fn logged(&self, store: &PostgresStore) -> Vec<Event> {
//!         store.events().await.unwrap()
//!     }
//! }
//!
//! #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
//! async fn conforms() {
//!     check(&Postgres, &Tokio).await.unwrap();
//!     check_feed(&Postgres, &Tokio).await.unwrap();
//! }
//! ```
//!
//! # A caller that stops waiting
//!
//! Each operation is also begun and dropped: after no poll, after one, after two, and so on until it ends. A store that
//! keeps a log has the change and its event then, or neither. A killed process is more than a dropped future, so kill
//! the service in a test of your own.
//!
//! # Limits
//!
//! The suite cannot show that a change survives a crash, nor that a store has no race: it tries each often enough to
//! catch a store that reads, then writes, but a test never proves the absence of a race. The suite asks only for what
//! [`NewKey`](crate::store::NewKey) and [`KeyChange`](crate::store::KeyChange) can hold in production. Its ids and
//! digests come from a fixed sequence: they are no secrets and open nothing.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{future::Future, pin::Pin};

use super::{BoxedKeyManagementStore, ChangeFeed};

mod acknowledged;
mod change;
mod dropped;
mod events;
mod feed;
mod feed_races;
mod filters;
mod fixture;
mod identity;
mod lists;
mod names;
mod race;
mod races;
mod report;
mod rotation;
mod round_trip;
mod rule;
mod sequence;
mod statuses;
mod subject;
mod sweep;
mod sweep_races;
mod tested;
mod touches;
mod trial;

pub use race::{Race, Task, Threads};
pub use report::{Passed, Violation, Violations};
pub use rule::Rule;
pub use subject::{InProcess, Subject};

use feed::Feed;
use report::Outcome;
use subject::Opened;
use trial::Trial;

/// Tries the whole contract of [`KeyStore`](crate::store::KeyStore) and
/// [`KeyManagementStore`](crate::store::KeyManagementStore), and that a change and its event are one.
///
/// [`Subject::fresh`] is called once for each check and gives an empty store each time; by then the store of the check
/// before is dropped, so it may well empty one database again and again. See the [module](self) for an example.
///
/// # Errors
///
/// [`Violations`] with every rule that was found broken. A failure of the store (the outer `Err` of an operation) is a
/// violation of [`Rule::NoFailure`] and ends the check in which it occurs, not the others.
pub async fn check<S: Subject, R: Race>(subject: &S, race: &R) -> Result<Passed, Violations> {
    let mut found = Vec::new();
    for (number, check) in (0..).zip(CHECKS) {
        let opened = Opened::new(subject).await;
        let store = BoxedKeyManagementStore::new(Arc::clone(&opened.store));
        let mut trial = Trial::new(store, &opened, race, number);
        let outcome = check(&mut trial).await;
        trial.require_events().await;
        found.extend(trial.into_violations());
        found.extend(outcome.err());
    }
    report::of(found, CHECKS.len())
}

/// Tries the contract of [`ChangeFeed`]; what else the store promises is for [`check`].
///
/// # Errors
///
/// [`Violations`] with every rule that was found broken, as for [`check`].
pub async fn check_feed<S, R>(subject: &S, race: &R) -> Result<Passed, Violations>
where
    S: Subject,
    S::Store: ChangeFeed,
    R: Race,
{
    let mut found = Vec::new();
    for (number, check) in (1_000..).zip(FEED_CHECKS) {
        let opened = Opened::new(subject).await;
        let store = BoxedKeyManagementStore::new(Arc::clone(&opened.store));
        let feed = Feed::new(Arc::clone(&opened.store), subject.feed_length());
        let mut trial = Trial::new(store, &opened, race, number);
        let outcome = check(&mut trial, &feed).await;
        found.extend(trial.into_violations());
        found.extend(outcome.err());
    }
    report::of(found, FEED_CHECKS.len())
}

/// A part of the contract, to be tried on one empty store. An `Err` is a violation after which there is no going on.
type Check = for<'a> fn(&'a mut Trial<'_>) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

const CHECKS: &[Check] = &[
    |trial| Box::pin(acknowledged::check(trial)),
    |trial| Box::pin(round_trip::check(trial)),
    |trial| Box::pin(round_trip::check_scopes(trial)),
    |trial| Box::pin(round_trip::check_labels(trial)),
    |trial| Box::pin(identity::check_key_ids(trial)),
    |trial| Box::pin(identity::check_owner_ids(trial)),
    |trial| Box::pin(identity::check_owner_kinds(trial)),
    |trial| Box::pin(names::check_ids_taken(trial)),
    |trial| Box::pin(names::check_names_taken(trial)),
    |trial| Box::pin(names::check_names_free(trial)),
    |trial| Box::pin(statuses::check_absent(trial)),
    |trial| Box::pin(statuses::check_present(trial)),
    |trial| Box::pin(statuses::check_unchanged(trial)),
    |trial| Box::pin(statuses::check_first_revocation(trial)),
    |trial| Box::pin(touches::check(trial)),
    |trial| Box::pin(touches::check_slots(trial)),
    |trial| Box::pin(touches::check_batches(trial)),
    |trial| Box::pin(rotation::check_expected(trial)),
    |trial| Box::pin(rotation::check_previous(trial)),
    |trial| Box::pin(lists::check_pages(trial)),
    |trial| Box::pin(lists::check_changing(trial)),
    |trial| Box::pin(filters::check(trial)),
    |trial| Box::pin(sweep::check(trial)),
    |trial| Box::pin(sweep::check_batches(trial)),
    |trial| Box::pin(sweep::check_largest(trial)),
    |trial| Box::pin(dropped::check(trial)),
    |trial| Box::pin(dropped::check_batches(trial)),
    |trial| Box::pin(races::check_revoke(trial)),
    |trial| Box::pin(races::check_revocations(trial)),
    |trial| Box::pin(races::check_rotations(trial)),
    |trial| Box::pin(races::check_inserted_ids(trial)),
    |trial| Box::pin(races::check_names(trial)),
    |trial| Box::pin(races::check_touches(trial)),
    |trial| Box::pin(races::check_parts(trial)),
    |trial| Box::pin(sweep_races::check(trial)),
    |trial| Box::pin(sweep_races::check_one_step(trial)),
];

/// A part of the contract of a feed.
type FeedCheck = for<'a> fn(&'a mut Trial<'_>, &'a Feed) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

const FEED_CHECKS: &[FeedCheck] = &[
    |trial, feed| Box::pin(feed::check_unknown(trial, feed)),
    |trial, feed| Box::pin(feed::check_listed(trial, feed)),
    |trial, feed| Box::pin(feed::check_touches(trial, feed)),
    |trial, feed| Box::pin(feed::check_old(trial, feed)),
    |trial, feed| Box::pin(feed::check_dropped(trial, feed)),
    |trial, feed| Box::pin(feed_races::check(trial, feed)),
];
