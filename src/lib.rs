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
//! - **Leaks are found, redacted and ended**: a [`Scanner`] for text and for logs, and revocation by the token itself
//!   ([`docs::leaks`]).
//! - **Imported keys** move in without their users noticing, and obey the same rules ([`docs::migration`]).
//! - **A store contract**: narrow atomic operations, and a suite that checks any store (feature `conformance`).
//! - **Types that make mistakes hard.** What was checked has its own type, and only the check makes it: a
//!   [`MatchedKey`] was verified, an [`Authorization`] was allowed, a [`Permit`] was granted. What stops which known
//!   mistake is listed in [`docs::threat_model`].
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
//! With the features `getrandom` and `memory`; any executor does, here it is `pollster`.
//!
//! ```
//! use keygate::{
//!     Action, Actor, Create, EnvironmentScope, Gate, Grant, Issuer, KeyManager, MemoryDirectory, MemoryStore,
//!     ModelScope, Permission, Reason, Request, SysRng, UnixTime, Validity, Verdict, authorize_operation,
//! };
//!
//! // The prefix of this service's tokens, checked by the compiler.
//! const ACME: Issuer = Issuer::from_static("acme");
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     pollster::block_on(run())
//! }
//!
//! async fn run() -> Result<(), Box<dyn std::error::Error>> {
//!     let (store, directory) = (MemoryStore::new(), MemoryDirectory::new());
//!     let now = UnixTime::now();
//!
//!     // Issue a key that may call models in production, and do nothing else.
//!     let grant = Grant::Team {
//!         team: "core".parse()?,
//!         permission: Permission::InferenceOnly {
//!             environments: EnvironmentScope::only(["production".parse()?])?,
//!             models: ModelScope::All,
//!         },
//!     };
//!     let system = Actor::system("first key")?;
//!     let permit = authorize_operation(&system, Create(grant), None, now)?;
//!     let manager = KeyManager::new(ACME, &store);
//!     let issued = manager.create(permit, "nightly-batch".parse()?, Validity::NEVER_EXPIRES, &mut SysRng, now).await?;
//!
//!     // Show the token once. The store has a digest, which cannot give it back.
//!     let token = issued.token.expose_secret();
//!     assert!(token.starts_with("acmet1_"));
//!
//!     // A request comes in: decide, and serve what was allowed.
//!     let gate = Gate::new(ACME);
//!     let call = Action::Call { model: "m1aaaaaa".parse()?, environment: Some("production".parse()?) };
//!     let request = Request::new("core".parse()?, call);
//!     let verdict = gate.check(&store, &directory, token, &request, now).await?;
//!     assert!(matches!(verdict, Verdict::Allowed(_)));
//!
//!     // A denial says why.
//!     let request = Request::new("core".parse()?, Action::Deploy);
//!     let verdict = gate.check(&store, &directory, token, &request, now).await?;
//!     assert!(matches!(verdict, Verdict::Denied { denial, .. } if denial.reason() == Reason::LevelInsufficient));
//!
//!     // Whatever opens no key is neither.
//!     let verdict = gate.check(&store, &directory, "hello", &request, now).await?;
//!     assert!(matches!(verdict, Verdict::Unauthenticated(_)));
//!     Ok(())
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
//! [`Gate`] is the whole way, asynchronous or blocking; [`PresentedKey`] and [`MembershipQuery`] are its steps without I/O. For a
//! personal key the user's [`Membership`] is looked up as well, after the secret matched.
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
//! | `getrandom` | | `SysRng`, the generator of the operating system |
//! | `memory` | | `MemoryStore` and `MemoryDirectory`, for tests and small services |
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
//! - All causes of "not valid" look alike from outside. Logs get the cause ([`Unauthenticated`], [`Event`]).
//! - No error holds any part of a secret.
//! - There is no `unsafe` code here, and no panic on the way to a decision: both are lints.
//! - Time and randomness are arguments. `UnixTime::now` and `SysRng` are there for you to call; nothing here does.
//!
//! # Minimum supported Rust version
//!
//! 1.85. Raising it is a minor release.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod encoding;
mod secret;
#[cfg(feature = "serde")]
mod serialized;
mod text;
mod time;

mod id;
mod level;
mod membership;
mod name;
mod reason;
mod scope;

mod digest;
pub mod legacy;
mod token;

mod action;
mod grant;
mod record;

mod issue;
pub mod store;
mod verify;

#[cfg(feature = "cache")]
mod cache;

pub mod policy;

mod event;

pub mod manage;

pub mod gate;

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;

#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub mod tower;

pub mod scan;

pub use action::{Action, ActionKind, Request};
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub use cache::CachedStore;
pub use digest::{DigestAlgorithm, InvalidDigest, SecretDigest};
pub use event::{Asked, Event, EventKind, OperationKind, Principal, SystemReason, UsageCounter};
pub use gate::{Gate, KeyManager, ManageError, MembershipQuery, PresentedKey, Unauthenticated, Unavailable, Verdict};
#[cfg(feature = "getrandom")]
#[cfg_attr(docsrs, doc(cfg(feature = "getrandom")))]
pub use getrandom::SysRng;
pub use grant::{Grant, InvalidOwner, InvalidValidity, Owner, Permission, Validity};
pub use id::{KeyId, KeyKind, ModelId, TeamId, UnknownKind, UserId};
pub use level::{PermissionLevel, UnknownLevel};
pub use manage::{
    Actor, Create, Disable, Enable, Import, ImportError, Imported, Issued, List, ManageDenial, Operation, Permit,
    Rename, Revoke, Rotate, RotateError, RotatedKey, Rotation, System, Upgrade, authorize_operation,
};
pub use membership::Membership;
pub use name::{EnvironmentName, Issuer, KeyName};
pub use policy::{Allow, Attribution, Authorization, Decision, Denial, Requirement, check_usable, decide};
pub use reason::{DenialClass, Reason};
pub use record::{
    Creator, InvalidCreator, InvalidRecord, InvalidStatus, KeyRecord, NewKey, PreviousChange, PreviousSecret,
    RecordParts, SecretChange, Status,
};
pub use scan::{RedactingWriter, Scanner, TokenMatch};
pub use scope::{EnvironmentScope, InvalidScope, ModelScope, NonEmptySet, Scope};
pub use store::{
    BoxError, BoxedDirectory, BoxedKeyManagementStore, BoxedKeyStore, Changed, Conflict, Cursor, Directory,
    InvalidCursor, KeyManagementStore, KeyStore, ListBy, Page, PageRequest, Run,
};
#[cfg(feature = "memory")]
#[cfg_attr(docsrs, doc(cfg(feature = "memory")))]
pub use store::{MemoryDirectory, MemoryStore};
pub use text::{InvalidText, TextRule};
pub use time::{InvalidTime, UnixTime};
pub use token::{DisplayToken, GenerateError, ParseTokenError, Token, UnverifiedToken};
pub use verify::{DEFAULT_TOUCH_INTERVAL, InvalidKey, MatchedKey, SecretSlot, verify, verify_legacy};

pub mod docs;

/// Runs the README's examples as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
