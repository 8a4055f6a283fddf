//! The suite that every store must pass: whoever writes a [`KeyManagementStore`] runs it in the tests of their own crate.
//!
//! [`check`] asks for an empty store, tries a part of the contract on it, and goes on with the next part and the next
//! empty store. It reports what it finds broken by [`Rule`], all of it and not only the first. A rule that is a matter
//! of timing (two rotations at once, a revoke against a rename) is tried by several [`Task`]s at once, many times over;
//! how to run tasks at once is yours to say, by a [`Race`].
//!
//! ```
//! use keygate::{MemoryStore, store::conformance::{Threads, check}};
//!
//! let passed = pollster::block_on(check(async || MemoryStore::new(), &Threads))?;
//! assert!(passed.checks() > 0);
//! # Ok::<(), keygate::store::conformance::Violations>(())
//! ```
//!
//! # Executors
//!
//! The suite needs no particular executor and never blocks the one it runs on. [`Threads`] gives each task a thread of
//! its own and is enough for stores that need no runtime. A store that does (such as one on `sqlx`) brings a race on
//! that runtime, which should have several threads; on tokio:
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
//! #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
//! async fn conforms() {
//!     check(async || PostgresStore::empty_schema().await, &Tokio).await.unwrap();
//! }
//! ```
//!
//! # What it cannot tell
//!
//! Whether a change survives a crash, and whether a race that was not lost could have been: it is tried often enough to
//! catch a store that reads, then writes, but a test never proves the absence of a race. The suite asks only for what
//! [`NewKey`](crate::NewKey) and [`SecretChange`](crate::SecretChange) can hold in earnest. Its ids and digests come
//! from a fixed sequence: they are no secrets and open nothing.

use alloc::{boxed::Box, vec::Vec};
use core::{future::Future, pin::Pin};

use super::{BoxedKeyManagementStore, KeyManagementStore};

mod acknowledged;
mod change;
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
mod statuses;
mod subject;
mod sweep;
mod sweep_races;
mod touches;
mod trial;

pub use race::{Race, Task, Threads};
pub use report::{Passed, Violation, Violations};
pub use rule::Rule;

use report::Outcome;
use trial::Trial;

/// Tries the whole contract of [`KeyStore`](crate::KeyStore) and [`KeyManagementStore`] on stores that `fresh` makes.
///
/// `fresh` is called once for each check and gives an empty store each time; by then the store of the check before is
/// dropped, so it may well empty one database again and again. See the [module](self) for an example.
///
/// # Errors
///
/// [`Violations`] with every rule that was found broken. A failure of the store (the outer `Err` of an operation) is a
/// violation of [`Rule::NoFailure`] and ends the check in which it occurs, not the others.
pub async fn check<S, F, R>(fresh: F, race: &R) -> Result<Passed, Violations>
where
    S: KeyManagementStore + 'static,
    F: AsyncFn() -> S,
    R: Race,
{
    let mut found = Vec::new();
    for (number, check) in (0..).zip(CHECKS) {
        let mut trial = Trial::new(BoxedKeyManagementStore::new(fresh().await), race, number);
        let outcome = check(&mut trial).await;
        found.extend(trial.into_violations());
        found.extend(outcome.err());
    }
    report::of(found, CHECKS.len())
}

/// A part of the contract, to be tried on one empty store. An `Err` is a violation after which there is no going on.
type Check = for<'a> fn(&'a mut Trial<'_>) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

const CHECKS: &[Check] = &[
    |trial| Box::pin(acknowledged::check(trial)),
    |trial| Box::pin(round_trip::check(trial)),
    |trial| Box::pin(round_trip::check_scopes(trial)),
    |trial| Box::pin(identity::check_key_ids(trial)),
    |trial| Box::pin(identity::check_owner_ids(trial)),
    |trial| Box::pin(identity::check_owner_kinds(trial)),
    |trial| Box::pin(names::check_ids_taken(trial)),
    |trial| Box::pin(names::check_names_taken(trial)),
    |trial| Box::pin(names::check_names_free(trial)),
    |trial| Box::pin(statuses::check_absent(trial)),
    |trial| Box::pin(statuses::check_present(trial)),
    |trial| Box::pin(statuses::check_first_revocation(trial)),
    |trial| Box::pin(touches::check(trial)),
    |trial| Box::pin(rotation::check_expected(trial)),
    |trial| Box::pin(rotation::check_previous(trial)),
    |trial| Box::pin(lists::check_pages(trial)),
    |trial| Box::pin(lists::check_changing(trial)),
    |trial| Box::pin(sweep::check(trial)),
    |trial| Box::pin(sweep::check_dry(trial)),
    |trial| Box::pin(races::check_revoke(trial)),
    |trial| Box::pin(races::check_revocations(trial)),
    |trial| Box::pin(races::check_rotations(trial)),
    |trial| Box::pin(races::check_inserted_ids(trial)),
    |trial| Box::pin(races::check_names(trial)),
    |trial| Box::pin(races::check_touches(trial)),
    |trial| Box::pin(races::check_parts(trial)),
    |trial| Box::pin(sweep_races::check(trial)),
];
