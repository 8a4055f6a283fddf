//! Issue API keys, and decide what each key may do.
//!
//! A service embeds this crate, keeps the key records in its own database, and asks it about each request. The crate
//! promises:
//!
//! - **Tokens that can be found and checked.** Each starts with the service's own prefix and ends with a checksum. It
//!   is shown once; the stored digest cannot be turned back into a token ([`docs::token_format`]).
//! - **One way to verify**, in constant time. Someone who knows only an id learns nothing about its key.
//! - **A decision that is pure and explains itself.** No I/O, no clock, no allocation; the rules are numbered in
//!   [`policy`].
//! - **Managing keys is decided too**, and tied to its target ([`manage`]).
//! - **A change and its audit event are one.** A store commits both in one transaction ([`store`], [`audit`]).
//! - **A key's life without outages**: expiry, disabling, revocation, rotation with overlap ([`docs::rotation`]).
//! - **Leaks**: find tokens in text and redact them from logs with a [`Scanner`](scan::Scanner), and let anyone who
//!   holds a leaked token revoke it ([`docs::leaks`]).
//! - **Imported keys** keep working unchanged and follow the same rules ([`docs::migration`]).
//! - **A small store trait**: narrow atomic operations, and a suite that checks any store (feature `conformance`).
//! - **Types that make mistakes hard.** Each checked state has its own type, which only the check can construct: an
//!   [`AuthenticatedKey`] was usable, an [`Authorization`] was allowed, a [`Permit`](manage::Permit) was granted.
//!   [`docs::threat_model`] lists known mistakes, and what stops each.
//!
//! # Not covered
//!
//! - passwords and sessions
//! - issuing OAuth tokens or JWTs
//! - administration of organizations: members, billing, teams
//! - restricted environments, that is, who may *manage* an environment
//! - rules about IP addresses
//! - rate limits; a decision carries the id, the owner and the labels of the key, which is what a limiter needs
//! - a general policy language
//!
//! # Quick start
//!
//! `cargo add keygate --features memory` and `cargo add pollster`. It works with any executor; this example uses
//! `pollster`.
//!
//! ```
//! use keygate::{
//!     Action, Actor, Gate, Grant, KeyManager, MemoryStore, NewKeySpec, Permission, Request, Scope, Validity, Verdict,
//! };
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     pollster::block_on(async {
//!         let acme = "acme".parse()?; // the issuer, with which this service's tokens begin
//!         let store = MemoryStore::new();
//!         let (keys, gate) = (KeyManager::new(acme, store.clone()), Gate::new(acme, store));
//!
//!         // A key of the team `core` that may call one model, in every environment, and do nothing else.
//!         let one_model = Scope::only(["llama".parse()?])?;
//!         let grant = Grant::team("core".parse()?, Permission::inference_only(Scope::All, one_model));
//!         let spec = NewKeySpec::new(grant, "first-key".parse()?, Validity::NEVER_EXPIRES);
//!         let issued = keys.create(&Actor::system("quick start")?, spec).await?;
//!         let key = issued.token.expose_secret(); // shown once
//!
//!         for (token, model) in [(key, "llama"), (key, "mistral"), ("made up", "llama")] {
//!             let request = Request::new("core".parse()?, Action::call(model.parse()?, None));
//!             match gate.check(token, &request).await? {
//!                 Verdict::Allowed(_) => println!("allowed"),
//!                 Verdict::Denied { denial, .. } => println!("denied: {}", denial.reason()),
//!                 _ => println!("not a valid key"),
//!             }
//!         }
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # Life of a request
//!
//! ```text
//! header ──> token ────────────> record ─────────> matched key ─────> decision
//!   │        PresentedKey        KeyLookup         two compares,      rules 1 to 8:
//!   │        one hash,           by public id      constant time      Allow or Deny
//!   │        no allocation         │                 │                  │
//!   │          │                   │                 │                  └─ a denial: 401 or 403, with its reason
//!   │          │                   │                 └─ no match: 401, one answer for all causes
//!   │          │                   └─ the store failed: 503, never an allow
//!   │          └─ not a token, nor an accepted legacy key: the same 401; the store is not asked
//!   └─ missing: 401; malformed, or more than one: 400 (feature `http`)
//! ```
//!
//! [`Gate::check`] is the whole path. [`Gate::authenticate`] stops at an [`AuthenticatedKey`], before there is a
//! request to decide, and [`Gate::authorize`] goes on from there; the layers of `tower` are these two. [`stages`] has
//! the same steps without I/O. For a personal key, the gate also asks the [`Directory`](store::Directory) for the
//! user's [`Membership`], after the secret matched.
//!
//! [`KeyManager`] creates, changes and ends keys. It looks the acting key and the target up in the store itself, never
//! in a cache, so that a stale record cannot become a lasting access.
//!
//! # Features
//!
//! Features are additive; none changes a decision. `std` and `getrandom` are on by default.
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `std` | yes | `UnixTime::now`, `Gate::new`, `sink::ChannelSink`, and `std` in the dependencies. Without it the crate is `no_std` with `alloc` |
//! | `getrandom` | yes | `SystemRandomness`, the generator of the operating system, and with `std` `KeyManager::new` |
//! | `axum` | | `axum`: extractors for handlers; implies `tower` |
//! | `cache` | | `CachedStore`: keeps records that were found, for at most the staleness that you set; implies `std` |
//! | `conformance` | | `store::conformance`, the suite that every store must pass; implies `memory` |
//! | `http` | | `http`: the credential from header fields, and the answers; implies `std` |
//! | `memory` | | `MemoryStore` and `MemoryDirectory`, for tests and small services; implies `std` |
//! | `rand_core` | | `Randomness` for a lock around a generator of that crate; implies `std` |
//! | `serde` | | `Serialize` and `Deserialize` for everything that is stored or logged; never for a secret |
//! | `testing` | | `testing`: proofs for the tests of handlers; implies `std` and `getrandom` |
//! | `tower` | | `tower`: two layers, one that authenticates and one that authorizes; implies `http` |
//!
//! With `serde`, deserialization needs a self-describing format, such as JSON, CBOR or TOML: a scope is a text or a
//! list, and an unknown field is an error. Formats that write no field names and no types cannot be read back.
//!
//! # Security notes
//!
//! - Comparisons of digests and secrets take a time that does not depend on their content. The source is written that
//!   way, but a compiler may undo it: measure the binary if you need certainty.
//! - Secrets are wiped when dropped, as far as this crate holds them. Buffers held by your web server are outside its
//!   control.
//! - All causes of "not valid" look alike from outside. Logs get the cause ([`Unauthenticated`],
//!   [`Event`](audit::Event)).
//! - No error holds any part of a secret.
//! - There is no `unsafe` code here, and no panic on the way to a decision: both are lints.
//! - [`Gate`], [`KeyManager`] and `CachedStore` read the system's clock, and the manager its generator, unless they are
//!   given others. The core takes time and randomness as arguments.
//! - Proofs age. A request that runs long is decided again ([`Gate::check_again`]), a [`Permit`](manage::Permit) is
//!   refused after a minute, and a cache serves nothing beyond the staleness that you set.
//! - A store can make any record, and code that makes a record and a token for it gets any [`Authorization`]. The types
//!   stop mistakes; they do not stop code that wants to cheat.
//!
//! # Minimum supported Rust version
//!
//! 1.85. Raising it is a minor release.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod randomness;

mod encoding;
mod secret;
#[cfg(feature = "serde")]
mod serialized;
mod text;
mod time;

mod id;
mod labels;
mod level;
mod membership;
mod name;
mod own_action;
mod reason;
mod scope;

mod digest;
pub mod legacy;
mod token;

mod action;
mod grant;
mod record;

pub mod audit;

pub mod store;
pub mod verify;

mod decision;
pub mod policy;

mod actor;
mod issue;
pub mod manage;

#[cfg(feature = "cache")]
mod cache;

mod verdict;

pub mod stages;

pub mod sink;

mod gate;
mod manager;

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;

#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub mod tower;

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;

pub mod scan;

#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

pub use action::{Action, ActionKind, Request};
pub use actor::{ActingKey, Actor, System};
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub use cache::{CacheError, CacheSettings, CachedStore, WriteThrough};
pub use decision::{Attribution, AuthenticatedKey, Authorization, Denial};
pub use gate::{AuthenticateError, Gate};
pub use grant::{Grant, InvalidOwner, InvalidValidity, Owner, Permission, Validity};
pub use id::{KeyId, KeyKind, ModelId, ResourceId, TeamId, UnknownKind, UserId};
pub use issue::{Issued, NewKeySpec, RotatedKey, Rotation};
pub use labels::{InvalidLabels, LabelName, LabelValue, Labels};
pub use level::{PermissionLevel, UnknownLevel};
pub use manager::{Done, DryRun, KeyManager, ManageError};
pub use membership::{Incarnation, Membership, TeamRole, UserStatus};
pub use name::{EnvironmentName, Issuer, KeyName};
pub use own_action::{ActionName, Coverage, OwnAction, OwnActions};
#[cfg(feature = "getrandom")]
#[cfg_attr(docsrs, doc(cfg(feature = "getrandom")))]
pub use randomness::SystemRandomness;
pub use randomness::{Randomness, RandomnessError};
pub use reason::{DenialClass, Reason};
pub use record::{KeyRecord, RevocationCause, Status};
pub use scope::{EnvironmentScope, InvalidScope, ModelScope, NonEmptySet, ResourceScope, Scope};
#[cfg(feature = "memory")]
#[cfg_attr(docsrs, doc(cfg(feature = "memory")))]
pub use store::memory::{MemoryDirectory, MemoryStore};
pub use text::{InvalidText, TextRule};
pub use time::{InvalidTime, UnixTime};
pub use token::Token;
pub use verdict::{DeniedKey, Unauthenticated, Unavailable, Verdict};

pub mod docs;

/// Runs the README's examples as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
