//! Nor is a permit copied before it is used.
use keygate::manage::{Permit, Revoke};

fn twice(permit: &Permit<Revoke>) -> Permit<Revoke> {
    permit.clone()
}

fn main() {}
