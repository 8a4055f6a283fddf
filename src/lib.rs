//! Issue API keys, and decide what each key may do.
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
mod name;
mod reason;
mod scope;
mod standing;

mod digest;
mod token;

mod action;
mod grant;
mod record;

mod issue;
pub mod store;
mod verify;

pub mod policy;

mod event;

pub mod manage;

pub mod gate;

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;

pub use action::{Action, ActionKind, Request};
pub use digest::{InvalidDigest, SecretDigest};
pub use event::{Asked, By, Event, EventKind, OperationKind, OperatorReason, Uses};
pub use gate::{Gate, KeyManager, Lookup, ManageError, Question, Unauthenticated, Unavailable, Verdict};
#[cfg(feature = "getrandom")]
#[cfg_attr(docsrs, doc(cfg(feature = "getrandom")))]
pub use getrandom::SysRng;
pub use grant::{Grant, InvalidValidity, Owner, Permission, Validity};
pub use id::{KeyId, KeyKind, ModelId, TeamId, UnknownKind, UserId};
pub use level::{PermissionLevel, UnknownLevel};
pub use manage::{
    Actor, Create, Disable, Enable, Issued, List, ManageDenial, Operation, Operator, Permit, Reminted, Rename, Revoke,
    Rotate, RotateError, Rotation, may_manage,
};
pub use name::{EnvironmentName, Issuer, KeyName};
pub use policy::{Allow, Attribution, Authorization, Decision, Denial, Sufficient, decide};
pub use reason::{Class, Reason};
pub use record::{
    Creator, InvalidRecord, KeyRecord, NewKey, PreviousChange, PreviousSecret, RecordParts, SecretChange, Status,
};
pub use scope::{EnvironmentScope, InvalidScope, ModelScope, NonEmptySet, Scope};
pub use secret::SecretText;
pub use standing::Standing;
pub use store::{
    BoxError, BoxedKeyStore, BoxedManagedKeyStore, Changed, Cursor, KeyStore, ListBy, ManagedKeyStore, Page,
    PageRequest, Refusal, Run, Standings,
};
#[cfg(feature = "memory")]
#[cfg_attr(docsrs, doc(cfg(feature = "memory")))]
pub use store::{MemoryStandings, MemoryStore};
pub use text::{InvalidText, TextRule};
pub use time::UnixTime;
pub use token::{GenerateError, ParseTokenError, PublicToken, Token, UnverifiedToken};
pub use verify::{DEFAULT_TOUCH_INTERVAL, InvalidKey, Slot, VerifiedKey, verify};
