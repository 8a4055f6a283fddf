//! The page for keys: what holds for sessions, requests and secrets, and every flow in a browser.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "these are tests, and what is skipped is told"
)]

mod browser;
mod forms;
mod gateway;
mod postgres;
mod rights;
mod sessions;
mod sites;
mod slow;
