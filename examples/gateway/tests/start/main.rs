//! Starting and ending: the first start, options, errors, TLS, the log.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "these are tests")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod common;

mod end;
mod errors;
mod first;
mod options;
mod restore;
mod slow;
