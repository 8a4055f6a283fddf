//! The tests of the library, in one program: a file for each part, and `cargo test --test it NAME::` runs one of them.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_wrap,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test or a helper that panics has failed; tokens are ASCII; what was done is told"
)]

mod common;

mod alloc;
#[cfg(all(feature = "cache", feature = "memory", feature = "getrandom"))]
mod cache;
#[cfg(all(feature = "getrandom", feature = "http", feature = "serde"))]
mod driver;
#[cfg(all(feature = "memory", feature = "serde"))]
mod event;
#[cfg(all(feature = "axum", feature = "memory"))]
mod extract;
#[cfg(feature = "memory")]
mod gate;
#[cfg(feature = "serde")]
mod grammar;
#[cfg(feature = "http")]
mod header;
#[cfg(all(feature = "tower", feature = "memory"))]
mod header_layers;
#[cfg(all(feature = "http", feature = "memory"))]
mod http;
#[cfg(all(feature = "http", feature = "memory", feature = "serde"))]
mod introspection;
mod layers;
#[cfg(all(feature = "http", feature = "memory", feature = "serde"))]
mod leak;
#[cfg(all(feature = "cache", feature = "memory"))]
mod leaked;
#[cfg(all(feature = "http", feature = "memory", feature = "serde"))]
mod legacy;
#[cfg(all(feature = "cache", feature = "conformance"))]
mod lifecycle;
#[cfg(all(feature = "cache", feature = "conformance"))]
mod linearizability;
mod manage;
mod manage_bounds;
#[cfg(all(feature = "cache", feature = "memory"))]
mod manager;
#[cfg(all(feature = "getrandom", feature = "memory"))]
mod migrate;
#[cfg(feature = "memory")]
mod own_actions;
mod policy;
#[cfg(feature = "serde")]
mod properties;
#[cfg(feature = "serde")]
mod record;
#[cfg(feature = "memory")]
mod refusals;
#[cfg(feature = "std")]
mod scan;
#[cfg(feature = "memory")]
mod sink;
#[cfg(feature = "conformance")]
mod store_conformance;
mod tables;
#[cfg(all(feature = "tower", feature = "memory"))]
mod tower;
#[cfg(all(feature = "memory", feature = "serde"))]
mod traits;
mod vectors;
