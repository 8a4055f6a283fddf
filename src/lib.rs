//! Issue API keys, and decide what each key may do.
//!
//! A service embeds this crate, keeps the records in a store of its own, and asks it about each request. The crate
//! promises:
//!
//! - **Tokens that can be found and checked.** Each starts with the service's own prefix and ends with a checksum. It
//!   is shown once; what is stored cannot give it back ([`docs::token_format`]).
//! - **One way to verify**, in constant time. Whoever knows only an id learns nothing about its key.
//! - **A decision that is pure and explains itself.** No I/O, no clock, no allocation; the rules are numbered in
//!   [`policy`].
//! - **Managing keys is decided too**, and tied to its target ([`manage`]).
//! - **A key's life without outages**: expiry, disabling, revocation, rotation with overlap ([`docs::rotation`]).
//! - **Leaks are found, redacted and ended**: a [`Scanner`](scan::Scanner) for text and for logs, and revocation by the token itself
//!   ([`docs::leaks`]).
//! - **Imported keys** move in without their users noticing, and obey the same rules ([`docs::migration`]).
//! - **A store contract**: narrow atomic operations, and a suite that checks any store (feature `conformance`).
//! - **Types that make mistakes hard.** What was checked has its own type, and only the check makes it: a
//!   [`MatchedKey`](verify::MatchedKey) was verified, an [`Authorization`] was allowed, a [`Permit`](manage::Permit) was
//!   granted. What stops which known mistake is listed in [`docs::threat_model`].
//!
//! # What it is not for
//!
//! - passwords and sessions
//! - issuing OAuth tokens or JWTs
//! - administration of organizations: members, billing, teams
//! - restricted environments, that is, who may *manage* an environment
//! - rules about IP addresses
//! - rate limits; a decision carries the id of the key, which is what a limiter needs
//! - a general policy language
//!
//! # Quick start
//!
//! `cargo add keygate --features memory` and `cargo add pollster`; any executor does.
//!
//! ```
//! use keygate::{
//!     Action, Actor, EnvironmentScope, Gate, Grant, Issuer, KeyManager, MemoryStore, ModelScope, NewKeySpec, Permission,
//!     Request, Validity, Verdict,
//! };
//!
//! const ACME: Issuer = Issuer::from_static("acme"); // the prefix of this service's tokens
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     pollster::block_on(async {
//!         let store = MemoryStore::new();
//!         let (keys, gate) = (KeyManager::new(ACME, store.clone()), Gate::new(ACME, store));
//!
//!         // A key of the team `core` that may call one model, and do nothing else.
//!         let one_model = ModelScope::only(["llama".parse()?])?;
//!         let grant = Grant::team("core".parse()?, Permission::inference_only(EnvironmentScope::All, one_model));
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
//! # The way of a request
//!
//! ```text
//! header ──> token ────────────> record ─────────> verified key ────> decision
//!   │        UnverifiedToken     KeyStore::find    verify             decide
//!   │        one hash,           by public id      two compares,      rules 1 to 8:
//!   │        no allocation         │               constant time      Allow or Deny
//!   │          │                   │                 │                  │
//!   │          │                   │                 │                  └─ a denial: 401 or 403, with its reason
//!   │          │                   │                 └─ no match: 401, one answer for all causes
//!   │          │                   └─ the store failed: 503, never an allow
//!   │          └─ not a token, nor an accepted legacy key: the same 401; the store is not asked
//!   └─ missing: 401; malformed, or more than one: 400 (feature `http`)
//! ```
//!
//! [`Gate`] is the whole way; [`stages`] has its steps without I/O. For a personal key the user's [`Membership`] is looked up as well, after the secret matched.
//!
//! # Features
//!
//! All add; none changes a decision.
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `std` | yes | `UnixTime::now`, and `std` in the dependencies. Without it the crate is `no_std` with `alloc` |
//! | `serde` | | `Serialize` and `Deserialize` for everything that is stored, `Serialize` for events; never for a secret |
//! | `http` | | `http`: the credential from header fields, and the answers |
//! | `tower` | | `tower`: two layers, one that says who calls and one that says whether they may; implies `http` |
//! | `cache` | | `CachedStore`: records that were found, kept for a time that you bound |
//! | `getrandom` | yes | `SystemRandomness`, the generator of the operating system |
//! | `rand_core` | | `Randomness` for a lock around a generator of that crate |
//! | `memory` | | `MemoryStore` and `MemoryDirectory`, for tests and small services |
//! | `testing` | | `testing`: proofs for the tests of handlers |
//! | `conformance` | | `store::conformance`, the suite that every store must pass |
//!
//! With `serde`, deserialization needs a self-describing format, such as JSON or CBOR: a scope is a text or a list,
//! and an unknown field is an error. Formats that write no field names and no types cannot be read back.
//!
//! # Security notes
//!
//! - Comparisons of digests and secrets take a time that does not depend on what they hold. This is so in the source;
//!   a compiler may always do otherwise, so measure the binary if you must be sure.
//! - Secrets are wiped when dropped, as far as this crate holds them. The buffers of a web server are not ours.
//! - All causes of "not valid" look alike from outside. Logs get the cause ([`Unauthenticated`], [`Event`](audit::Event)).
//! - No error holds any part of a secret.
//! - There is no `unsafe` code here, and no panic on the way to a decision: both are lints.
//! - Time and randomness are arguments of everything but [`Gate`] and [`KeyManager`], which take them from the system
//!   unless they are given others.
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
pub use manager::{Done, KeyManager, ManageError};
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
