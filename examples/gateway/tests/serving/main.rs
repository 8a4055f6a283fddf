//! What is served, to whom, and what the server says about itself: the real binary, over real sockets.
#![expect(clippy::panic, clippy::string_slice, clippy::unwrap_used, reason = "these are tests")]

mod clients;
mod hiding;
mod operations;
mod routes;
#[path = "../running/mod.rs"]
mod running;
mod streams;
