//! What goes wrong around the server: it stays bounded, and it comes back by itself.
//!
//! `KEYGATE_TEST_ROUNDS=50` makes what is random longer, `KEYGATE_TEST_CONNECTIONS=10000` opens as many.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "these are tests, and what they measure is told"
)]

#[path = "faults/changes.rs"]
mod changes;
#[path = "faults/machine.rs"]
mod machine;
mod running;
